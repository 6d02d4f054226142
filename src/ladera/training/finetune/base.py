"""The potential that a fine-tuning starts from, and what it says of new data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ladera import loading
from ladera.arrays import Floats
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.errors import ConfigError
from ladera.models.committee import Committee
from ladera.potential import Potential
from ladera.training import heads
from ladera.training.evaluation import evaluate_dataset


def load(path: str) -> Potential:
    """The base, of several heads the one that predicts; ConfigError for a committee."""
    base = loading.load(path)
    if isinstance(base, Committee):
        raise ConfigError(f"{path} is a committee; fine-tune its members, and make a new one.")
    base.config = heads.chosen(base.config)
    return base


def energies(base: Potential, dataset: Dataset) -> Floats:
    """What the base says of the energies of frames, (n_frames,), eV."""
    return evaluate_dataset(base, dataset).energy


def labelled(base: Potential, dataset: Dataset) -> Dataset:
    """The same frames with the base's energy, forces and, in cells, stress for labels."""
    predicted = evaluate_dataset(base, dataset)

    def frame(k: int) -> Frame:
        atoms = slice(int(dataset.offsets[k]), int(dataset.offsets[k + 1]))
        stress = None if np.isnan(predicted.stress[k]).any() else predicted.stress[k]
        return dataset[k].with_(
            energy=float(predicted.energy[k]), forces=predicted.forces[atoms], stress=stress
        )

    return Dataset.from_frames(frame(k) for k in range(len(dataset)))


def reference_energies(potential: Potential) -> dict[str, float]:
    """E0 of each element, eV; none of a model that has no such thing."""
    row = _references(potential)
    return {} if row is None else dict(zip(potential.symbols, row.tolist(), strict=True))


def set_reference_energies(potential: Potential, values: Mapping[str, float]) -> None:
    """Change E0 of these elements (of the head that predicts); the others keep theirs."""
    row = _references(potential)
    if row is None:
        raise ConfigError(
            f"The {potential.config.architecture} model has no reference energies to set; "
            "fine-tune it with reference_energies: base."
        )
    with torch.no_grad():
        for symbol, value in values.items():
            row[potential.symbols.index(symbol)] = value


def _references(potential: Potential) -> Tensor | None:
    """Where the model keeps E0, (n_species,)."""
    found = getattr(potential, "reference_energies", None)
    if not isinstance(found, Tensor):
        return None
    if found.ndim == 1:
        return found
    row: Tensor = found[getattr(potential.config, "head_index", 0)]
    return row
