"""Labels and predictions of one part of the data: predictions_PART.npz."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ladera.arrays import Floats, Integers
from ladera.errors import DataError

Quantity = Literal["energy", "forces", "stress", "dipole"]

_REQUIRED: Final = (
    "frame_index",
    "n_atoms",
    "config_type",
    "energy_reference",
    "energy_predicted",
    "numbers",
    "forces_reference",
    "forces_predicted",
)
_OPTIONAL: Final = (
    "stress_reference",
    "stress_predicted",
    "dipole_reference",
    "dipole_predicted",
)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Reference and predicted values of some frames; NaN where a label is missing."""

    frame_index: Integers  # (n_frames,) numbers in the whole data set
    n_atoms: Integers  # (n_frames,)
    config_type: NDArray[np.str_]  # (n_frames,)
    energy_reference: Floats  # (n_frames,) eV
    energy_predicted: Floats
    numbers: Integers  # (n_atoms_total,) atomic numbers
    forces_reference: Floats  # (n_atoms_total, 3) eV/Angstrom
    forces_predicted: Floats
    stress_reference: Floats | None = None  # (n_frames, 3, 3) eV/Angstrom^3
    stress_predicted: Floats | None = None
    dipole_reference: Floats | None = None  # (n_frames, 3) e*Angstrom
    dipole_predicted: Floats | None = None

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Predictions:
        """Read ``predictions_*.npz``; DataError when it is damaged or arrays do not fit."""
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                missing = [name for name in _REQUIRED if name not in stored]
                if missing:
                    raise DataError(f"{path} lacks {', '.join(missing)}; evaluate the model again.")
                optional = [name for name in _OPTIONAL if name in stored]
                predictions = cls(**{name: stored[name] for name in (*_REQUIRED, *optional)})
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path} is no complete file of predictions ({error}); evaluate the model again."
            ) from error
        predictions._check(Path(path))
        return predictions

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.n_atoms)

    @property
    def frame_of_atom(self) -> Integers:
        """Row of the frame each atom belongs to, (n_atoms_total,)."""
        return np.repeat(np.arange(self.n_frames), self.n_atoms)

    @property
    def composition(self) -> Integers:
        """Atoms of each element in each frame, (n_frames, n_elements), elements by number."""
        elements, column = np.unique(self.numbers, return_inverse=True)
        counts = np.zeros((self.n_frames, len(elements)), dtype=np.int64)
        np.add.at(counts, (self.frame_of_atom, column), 1)
        return counts

    @property
    def symbols(self) -> NDArray[np.str_]:
        """Element of each atom, (n_atoms_total,)."""
        return np.array(chemical_symbols)[self.numbers]

    def values(self, quantity: Quantity) -> tuple[Floats, Floats]:
        """Reference and predicted: energies per atom, components of the others as they are."""
        if quantity == "energy":
            return self.energy_reference / self.n_atoms, self.energy_predicted / self.n_atoms
        if quantity == "forces":
            return self.forces_reference, self.forces_predicted
        pairs = {
            "stress": (self.stress_reference, self.stress_predicted),
            "dipole": (self.dipole_reference, self.dipole_predicted),
        }
        reference, predicted = pairs[quantity]
        if reference is None or predicted is None:
            return np.empty(0), np.empty(0)
        return reference, predicted

    def _check(self, path: Path) -> None:
        total = int(self.n_atoms.sum())
        expected = {
            "energy_predicted": (self.n_frames,),
            "energy_reference": (self.n_frames,),
            "config_type": (self.n_frames,),
            "frame_index": (self.n_frames,),
            "numbers": (total,),
            "forces_reference": (total, 3),
            "forces_predicted": (total, 3),
        }
        for name, shape in expected.items():
            stored = getattr(self, name).shape
            if stored != shape:
                raise DataError(
                    f"{path}: {name} has shape {stored}, expected {shape} for {self.n_frames} "
                    f"frames of {total} atoms; evaluate the model again."
                )
