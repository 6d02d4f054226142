"""How well a potential reproduces labelled frames."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from ladera.array_files import InParts, save_arrays
from ladera.arrays import Booleans, Floats, Integers
from ladera.data.dataset import Dataset
from ladera.data.graphs import GraphStore
from ladera.data.store import BLOCK, release
from ladera.errors import DataError
from ladera.extrapolation import Extrapolation
from ladera.files import atomic_path
from ladera.labelling.asking import answers
from ladera.labelling.labelled import Values
from ladera.potential import Potential, Prediction
from ladera.potential.committee import calibration_of
from ladera.potential.parts import Division
from ladera.progress import Task
from ladera.quantities import ENERGY, FORCES, MILLI, QUANTITIES, Quantity, pretty
from ladera.training.batches import in_order
from ladera.training.extrapolation import ExtrapolationReport
from ladera.training.metrics import RunningErrors
from ladera.training.uncertainty import Uncertainty, reliability

N_WORST: Final = 5

# Largest differences in meV/atom and meV/Angstrom that rounding in a file makes of one number.
OWN: Final = {ENERGY: 1e-3, FORCES: 1e-2}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions for the frames of a data set, and their errors."""

    dataset: Dataset
    frame_index: Integers  # (n_frames,) how messages and files call the frames
    # Each of QUANTITIES, (n_frames or n_atoms_total, ...); NaN where it does not exist.
    predicted: Mapping[Quantity, Floats]
    exists: Mapping[Quantity, Booleans]  # (n_frames,); False everywhere if the model has it not
    uncertainty: Uncertainty | None = None  # of a committee
    extrapolation: ExtrapolationReport | None = None  # of a model that knows its training domain

    def __getitem__(self, quantity: Quantity) -> Floats:
        return self.predicted[quantity]

    def to_json(self) -> dict[str, Any]:
        """All errors: in total, by head, by group, by element, and the worst frames.

        Each error has count, mae, rmse, max (absolute) and r2 = 1 - sum (x - x_ref)^2 / sum
        (x_ref - mean x_ref)^2, in ``units``; None without labels or predictions.
        """
        groups = self.dataset.column("config_type")
        everything = np.ones(len(self.dataset), dtype=bool)
        return {
            "n_frames": len(self.dataset),
            "n_atoms": int(self.dataset.offsets[-1]),
            "units": {quantity.name: quantity.unit_of_errors for quantity in QUANTITIES},
            **self._errors(everything),
            "by_head": self._by_head(),
            "by_config_type": {
                str(group): self._errors(groups == group) for group in np.unique(groups)
            },
            "by_element": self._by_element(),
            "worst_frames": self._worst_frames(),
            "uncertainty": self._reliability(),
            "extrapolation": None if self.extrapolation is None else self.extrapolation.to_json(),
        }

    def save_predictions(self, path: str | os.PathLike[str]) -> None:
        """Write labels and predictions as NumPy arrays (npz); missing labels are NaN."""
        with atomic_path(path) as temporary:
            save_arrays(temporary, self._arrays())

    def _arrays(self) -> Iterator[InParts]:
        """The arrays of predictions_PART.npz, each part made when it is written."""
        dataset = self.dataset
        n_frames, n_atoms = len(dataset), int(dataset.offsets[-1])
        yield "frame_index", n_frames, [self.frame_index]
        yield "n_atoms", n_frames, [dataset.atom_counts]
        yield "config_type", n_frames, [dataset.column("config_type")]
        yield "numbers", n_atoms, (block.column("numbers") for block in dataset.blocks())
        for quantity in QUANTITIES:
            name, has_values = quantity.name, bool(self.exists[quantity].any())
            shown = quantity.basic or (has_values and not quantity.derivative)
            if shown or dataset.has(name).any():
                length = n_atoms if quantity.per_atom else n_frames
                columns = (block.column(name) for block in dataset.blocks())
                yield f"{name}_reference", length, columns
                yield f"{name}_predicted", length, _in_parts(self.predicted[quantity])
        if self.uncertainty is not None:
            for quantity in self.uncertainty.spreads:
                std = self.uncertainty.std(quantity)
                yield f"{quantity.name}_std", len(std), [std]

    def errors(self, quantity: Quantity) -> Floats:
        """Predicted minus reference, in the shape and unit of the quantity; NaN where unlabelled.

        Of an extensive quantity, such as the energy, per atom.
        """
        every = np.ones(len(self.dataset), dtype=bool)
        parts = [predicted - reference for _, reference, predicted in self._pairs(quantity, every)]
        return np.concatenate(parts)

    def spread(self, quantity: Quantity) -> Floats:
        """The spread of a committee, of what :meth:`errors` is of."""
        if self.uncertainty is None:
            raise DataError("A single model has no spread; only a committee has.")
        return np.asarray(self.uncertainty.spreads[quantity] / self._sizes(quantity))

    def _reliability(self) -> dict[str, Any] | None:
        """How well a committee's spread tells its errors; energies per atom."""
        if self.uncertainty is None:
            return None
        members, factors = self.uncertainty.n_members, self.uncertainty.calibration.factors
        return {"members": members} | {
            q.name: reliability(self.errors(q), self.spread(q), members, factors.get(q))
            for q in self.uncertainty.spreads
        }

    def _sizes(self, quantity: Quantity) -> Integers | int:
        """What values are divided by: the atoms of the frames, of an extensive quantity."""
        return self.dataset.atom_counts if quantity.extensive else 1

    def _pairs(
        self, quantity: Quantity, frames: Booleans
    ) -> Iterator[tuple[Integers, Floats, Floats]]:
        """Frames, labels and predictions of chosen frames, a few thousand at once.

        Per atom of an extensive quantity; NaN where unlabelled.
        """
        for frame in in_order(np.flatnonzero(frames), BLOCK):
            view, rows = self.dataset[frame], frame
            if quantity.per_atom:
                shift = self.dataset.offsets[frame] - view.offsets[:-1]
                rows = np.arange(view.offsets[-1]) + np.repeat(shift, view.atom_counts)
            sizes = view.atom_counts if quantity.extensive else 1
            yield frame, view.column(quantity.name) / sizes, self.predicted[quantity][rows] / sizes
            self.dataset.release()
            release({quantity.name: self.predicted[quantity]})

    def _errors(self, frames: Booleans) -> dict[str, Any]:
        """Errors of some frames."""
        return {quantity.name: self._errors_of(quantity, frames) for quantity in QUANTITIES}

    def _errors_of(
        self, quantity: Quantity, frames: Booleans, number: int | None = None
    ) -> dict[str, Any] | None:
        """Errors of a quantity in some frames, and if it is of atoms, of those of an element."""
        errors = RunningErrors()
        for frame, reference, predicted in self._pairs(quantity, frames & self.exists[quantity]):
            atoms: Any = slice(None)
            if number is not None:
                atoms = self.dataset[frame].column("numbers") == number
            errors.add(reference[atoms], predicted[atoms])
        return errors.to_json()

    def _by_head(self) -> dict[str, Any]:
        """Errors of the frames of each head, where they have several."""
        heads = self.dataset.column("head")
        known = np.unique(heads)
        return {str(h): self._errors(heads == h) for h in known} if len(known) > 1 else {}

    def _by_element(self) -> dict[str, Any]:
        """Errors of what atoms have, by element; without what the model does not give."""
        numbers = [atomic_numbers[symbol] for symbol in self.dataset.symbols]
        given = [q for q in QUANTITIES if q.per_atom and self.exists[q].any()]
        every = np.ones(len(self.dataset), dtype=bool)
        return {
            chemical_symbols[number]: {q.name: self._errors_of(q, every, number) for q in given}
            for number in (numbers if given else ())
        }

    def _worst_frames(self) -> dict[str, list[dict[str, Any]]]:
        """The frames with the largest error of energy, and of one atom's force."""
        worst: dict[str, list[dict[str, Any]]] = {}
        for quantity in (q for q in QUANTITIES if q.basic):
            entries = worst[quantity.name] = []
            of_frames = np.full(len(self.dataset), np.nan)
            for frame, sizes in self._sizes_of_errors(quantity, np.full(len(of_frames), True)):
                starts = self.dataset[frame].offsets[:-1]
                largest = np.maximum.reduceat(sizes, starts) if quantity.per_atom else sizes
                of_frames[frame] = largest
            known = np.flatnonzero(~np.isnan(of_frames))
            for k in known[np.argsort(-of_frames[known], kind="stable")][:N_WORST].tolist():
                entry = {
                    "frame": int(self.frame_index[k]),
                    "source": self.dataset[k].source,
                    "config_type": self.dataset[k].config_type,
                    "error": MILLI * float(of_frames[k]),
                }
                if quantity.per_atom:
                    only = np.arange(len(of_frames)) == k
                    ((_, sizes),) = self._sizes_of_errors(quantity, only)
                    entry["atom"] = int(np.argmax(sizes))
                entries.append(entry)
        return worst

    def _sizes_of_errors(
        self, quantity: Quantity, frames: Booleans
    ) -> Iterator[tuple[Integers, Floats]]:
        """Frames, and how large the errors in them are, of vectors their lengths."""
        for frame, reference, predicted in self._pairs(quantity, frames):
            errors = np.abs(predicted - reference)
            yield frame, np.linalg.norm(errors, axis=1) if quantity.shape else errors


def evaluate_dataset(
    potential: Potential,
    dataset: Dataset,
    frame_index: Integers | None = None,
    *,
    head: str | None = None,
    graphs: GraphStore | None = None,
) -> Evaluation:
    """Predict all that a potential gives of every frame, whatever labels it has.

    With ``head`` all frames by that one; else, of a model with several, each frame by its own,
    unless one was chosen for all. ``frame_index`` (n_frames,) are the numbers by which the frames
    are called, when they are part of a larger set; ``graphs`` are those of the larger set, else
    each is built.

    Raises DataError for an empty data set, and for an element or a head the model does not know,
    naming the frame.
    """
    index = np.arange(len(dataset)) if frame_index is None else frame_index
    values, report = Values(potential, dataset), _Outside(potential, dataset, index)
    asked = answers(potential, dataset, head=head, names=index, graphs=graphs)
    with Task("frames evaluated", len(dataset)) as task:
        for frames, prediction, division in asked:
            values.add(frames, prediction)
            report.add(frames, prediction, division)
            task.advance(len(frames))
    uncertainty = None
    if potential.members and ENERGY in potential.gives:
        uncertainty = Uncertainty(len(potential.members), calibration_of(potential), values.spreads)
    return Evaluation(dataset, index, values.of, values.exists, uncertainty, report.found)


class _Outside:
    """What is outside a model's training domain; nothing of a model that does not know it."""

    def __init__(self, potential: Potential, dataset: Dataset, index: Integers) -> None:
        self._potential, self._first = potential, True
        self.found: ExtrapolationReport | None = ExtrapolationReport(dataset, index)

    def add(self, frames: Integers, prediction: Prediction, division: Division | None) -> None:
        """Look at some frames, or at one that was evaluated in parts."""
        report, potential, graph = self.found, self._potential, prediction.graph
        if report is None:
            return
        if division is not None:
            if not potential.knows_domain:
                self.found = None
                return
            report.add(int(frames[0]), division.explain_grade())
            return
        # Reasons are as cheap as grades, but for a committee's.
        if potential.members or self._first:
            grade = potential.grade(graph, prediction)
            if grade is None:
                self.found = None
            if grade is None or not bool((grade > 1).any()):
                return
        self._first = False
        ends = np.cumsum(graph.atom_counts.cpu().numpy()).tolist()
        found = [list[Extrapolation]() for _ in ends]
        for each in potential.explain_grade(graph, prediction):
            k = bisect_right(ends, each.atom)
            found[k].append(each._replace(atom=each.atom - (ends[k - 1] if k else 0)))
        for frame, reasons in zip(frames.tolist(), found, strict=True):
            report.add(frame, reasons)


def _in_parts(values: Floats) -> Iterator[Floats]:
    """A few thousand rows at once."""
    for start in range(0, len(values), BLOCK):
        yield values[start : start + BLOCK]
        release({"": values})


def require_foreign_labels(evaluation: Evaluation) -> Evaluation:
    """The same; DataError for labels that are the model's own, as those of its simulations are."""
    largest = {
        quantity: MILLI * float(np.nanmax(np.abs(errors)))
        for quantity in OWN
        if np.isfinite(errors := evaluation.errors(quantity)).any()
    }
    if largest and all(error <= OWN[quantity] for quantity, error in largest.items()):
        words = " and ".join(
            f"{q.name} within {error:.1g} {pretty(q.unit_of_errors)}"
            for q, error in largest.items()
        )
        source = evaluation.dataset[0].source
        raise DataError(
            f"The labels are this model's own predictions, {words} in all frames (the first is "
            f"{source}), as in a trajectory of its own; take labels of the reference instead."
        )
    return evaluation
