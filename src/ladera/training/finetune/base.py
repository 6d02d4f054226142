"""The potential that a fine-tuning starts from, and what it says of new data."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ladera import loading
from ladera.arrays import Floats
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.errors import ConfigError
from ladera.potential import Potential
from ladera.quantities import ENERGY, FORCES, STRESS
from ladera.training import heads
from ladera.training.evaluation import evaluate_dataset


def load(path: str) -> Potential:
    """The base, of several heads the one that predicts; ConfigError for a committee."""
    base = loading.load(path)
    if not base.storable:
        raise ConfigError(f"{path} is an ASE calculator, which has no parameters to fine-tune.")
    if base.members:
        raise ConfigError(f"{path} is a committee; fine-tune its members, and make a new one.")
    base.config = heads.chosen(base.config)
    return base


def energies(base: Potential, dataset: Dataset) -> Floats:
    """What the base says of the energies of frames, (n_frames,), eV."""
    return evaluate_dataset(base, dataset)[ENERGY]


def labelled(base: Potential, dataset: Dataset) -> Dataset:
    """The same frames with the base's energy, forces and, in cells, stress for labels."""
    predicted = evaluate_dataset(base, dataset)
    energy, forces, stress = (predicted[q] for q in (ENERGY, FORCES, STRESS))

    def frame(k: int) -> Frame:
        atoms = slice(int(dataset.offsets[k]), int(dataset.offsets[k + 1]))
        return dataset[k].with_(
            energy=float(energy[k]),
            forces=forces[atoms],
            stress=stress[k] if predicted.exists[STRESS][k] else None,
        )

    return Dataset.from_frames(frame(k) for k in range(len(dataset)))


def reference_energies(potential: Potential, head: str | None = None) -> dict[str, float]:
    """E0 of each element, eV; none of a model that has no such thing."""
    row = potential.free_atom_energies(head)
    return {} if row is None else dict(zip(potential.symbols, row.tolist(), strict=True))


def set_reference_energies(
    potential: Potential, values: Mapping[str, float], head: str | None = None
) -> None:
    """Change E0 of these elements (of the head that predicts); the others keep theirs."""
    row = potential.free_atom_energies(head)
    if row is None:
        raise ConfigError(
            f"The {potential.config.architecture} model has no reference energies to set; "
            "fine-tune it with reference_energies: base."
        )
    with torch.no_grad():
        for symbol, value in values.items():
            row[potential.symbols.index(symbol)] = value
