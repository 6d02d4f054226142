"""All that a training run is made of, once its data are read and its configuration is complete."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ladera.arrays import Floats, Integers
from ladera.data import reference_energies
from ladera.data.dataset import Dataset
from ladera.data.doctor import Report
from ladera.data.splits import Split
from ladera.errors import ConfigError, DataError
from ladera.potential import PotentialConfig, TrainingStatistics
from ladera.quantities import QUANTITIES
from ladera.training.config import TrainingConfig
from ladera.training.start import FromScratch, Start


@dataclass(frozen=True)
class Prepared:
    """Everything a training run is made of, checked; the run itself has only to compute."""

    config: TrainingConfig  # with the species, and what the frames decide, written out
    dataset: Dataset  # all frames
    report: Report  # what the doctor found
    split: Split
    # The frames of each part but the free atoms: these set the reference energies, and teach
    # nothing about neighbours.
    train: Integers
    validation: Integers
    test: Integers
    weights: Floats  # (n_frames,), factors on the loss
    heads: Integers | None = None  # (n_frames,), head of each frame, of a model with several
    start: Start = field(default_factory=FromScratch)
    n_replayed: int = 0  # frames that a fine-tuning repeats, the last of all frames

    @property
    def model(self) -> PotentialConfig:
        """The configuration of the potential, complete."""
        if self.config.model is None:
            raise ConfigError("The configuration has no model; prepare() decides on it.")
        return self.config.model

    @property
    def replayed(self) -> Integers:
        """The frames that a fine-tuning repeats beside the new ones."""
        return np.arange(len(self.dataset) - self.n_replayed, len(self.dataset))

    @property
    def reference_frames(self) -> Dataset:
        """What sets reference energies: the training frames, and the free atoms of all parts.

        Free atoms are neither trained on nor judged by, so that the split does not part them.
        """
        free = reference_energies.isolated_atoms(self.dataset)
        used = np.concatenate([self.split.train, self.split.validation, self.split.test])
        return self.dataset[np.union1d(self.train, np.intersect1d(free, used))]

    @property
    def parts(self) -> dict[str, Integers]:
        """The parts that have frames, by name."""
        named = {"train": np.unique(self.train), "validation": self.validation, "test": self.test}
        return {name: indices for name, indices in named.items() if len(indices)}

    @property
    def batch_size(self) -> int:
        """Frames in one step, over all processes; of batches by atoms, as many as may be."""
        size = self.config.batch_size
        return size if isinstance(size, int) else len(self.train)

    @property
    def unlearned(self) -> list[str]:
        """Labels of the training frames that no loss has a weight for, at any time."""
        labels = self.dataset[self.train].labels
        return [q.name for q in QUANTITIES if q.name in labels and not self.learns(q.name)]

    def learns(self, name: str) -> bool:
        """Whether a label has a weight in the loss, from the beginning or later."""
        losses = (self.config.loss, self.config.stage_two)
        return any(getattr(loss, name, None) for loss in losses)

    @property
    def learns_gradients(self) -> bool:
        """Whether a gradient of the energy has a weight in the loss, at any time."""
        return any(self.learns(quantity.name) for quantity in QUANTITIES if quantity.derivative)

    def require_sound_data(self) -> None:
        """Raise DataError when the doctor found an error."""
        errors = self.report.errors
        if errors:
            more = f" It found {len(errors)} errors in all." if len(errors) > 1 else ""
            frame = errors[0].frame
            where = "" if frame is None else f" [{self.dataset.place(frame)}]"
            raise DataError(
                f"The data have an error that forbids training ({errors[0].code}): "
                f"{errors[0].message}{where}{more} 'ladera train --check' lists what it found."
            )

    def statistics(self) -> TrainingStatistics:
        """Reference energies, and scales of energies and forces, of the training frames.

        Of each head, where there are several; an element that its frames lack has the mean of the
        others' reference energies. Warns when the compositions do not determine them.
        """
        frames, view = self.reference_frames, self.dataset[self.train]
        if self.heads is None:
            return self._statistics(frames, view)
        names = self.model.head_names
        if isinstance(self.config.reference_energies, dict):
            raise ConfigError(
                "reference_energies are of one level of theory, and the frames have the heads "
                f"{', '.join(names)}; put free atoms with the head of each among the frames, or "
                "take least_squares."
            )
        parts = ([part[part.column("head") == name] for part in (frames, view)] for name in names)
        return _of_heads({n: self._statistics(*p) for n, p in zip(names, parts, strict=True)})

    def _statistics(self, frames: Dataset, view: Dataset) -> TrainingStatistics:
        """Of training frames (view), and of these and the free atoms that go with them (frames)."""
        references = _reference_energies(self.config, frames)
        squares, count = 0.0, 0
        for block in view.blocks():
            forces = block.column("forces")[np.repeat(block.has("forces"), block.atom_counts)]
            squares, count = squares + float(np.sum(forces**2)), count + forces.size
        mean = self.config.energy_shift == "mean"
        shift = _energy_shift(view, references) if mean else 0.0
        return TrainingStatistics(
            reference_energies=references,
            energy_shift=shift,
            force_scale=math.sqrt(squares / count) if count else 0.0,
        )


def _reference_energies(config: TrainingConfig, dataset: Dataset) -> dict[str, float]:
    match config.reference_energies:
        case "automatic":
            return reference_energies.automatic(dataset)
        case "isolated_atoms":
            return reference_energies.from_isolated_atoms(dataset)
        case "least_squares":
            return reference_energies.least_squares(dataset)
        case "base":
            raise ConfigError("reference_energies: base is for a fine-tuning.")
        case values:
            return reference_energies.from_values(values, dataset)


def _of_heads(parts: Mapping[str, TrainingStatistics]) -> TrainingStatistics:
    """Statistics of each head, each with the reference energies of all elements."""
    of_element: dict[str, list[float]] = {}
    for part in parts.values():
        for symbol, energy in part.reference_energies.items():
            of_element.setdefault(symbol, []).append(energy)
    mean = {symbol: float(np.mean(energies)) for symbol, energies in of_element.items()}
    heads = {
        name: replace(part, reference_energies=mean | dict(part.reference_energies))
        for name, part in parts.items()
    }
    return replace(next(iter(heads.values())), heads=heads)


def _energy_shift(dataset: Dataset, references: dict[str, float]) -> float:
    """Mean of (E - sum of E0) / n_atoms over the frames with an energy; 0 without any."""
    known = dataset.has("energy")
    if not known.any():
        return 0.0
    free = dataset.compositions @ np.array([references[symbol] for symbol in dataset.symbols])
    per_atom = (dataset.column("energy") - free) / dataset.atom_counts
    return float(per_atom[known].mean())
