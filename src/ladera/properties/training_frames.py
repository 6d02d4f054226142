"""The frames that a model was trained on, where they still are, and structures made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ladera.data import formats
from ladera.errors import LaderaError

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.data.dataset import Dataset
    from ladera.potential import Potential


def frames_of_training(potential: Potential) -> Dataset | None:
    """All of them; None where the files have moved, or nobody knows which they were."""
    section = potential.provenance.get("config", {}).get("data", {})
    files = section.get("files", ())
    if not files or section.get("units"):
        return None
    try:
        return formats.read(list(files))
    except LaderaError:
        return None  # moved, or with other keys


def lowest_frame(dataset: Dataset) -> Atoms | None:
    """The one of several atoms with the lowest energy of an atom, unlabelled; None without any."""
    energies = dataset.column("energy") / dataset.atom_counts
    several = dataset.atom_counts > 1
    if not np.isfinite(energies[several]).any():
        return None
    lowest = int(np.nanargmin(np.where(several, energies, np.nan)))
    found = dataset[lowest].with_(forces=None, energy=None, stress=None, dipole=None, charges=None)
    return found.to_atoms()
