"""How well a potential reproduces labelled frames."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from ase.data import atomic_numbers, chemical_symbols

from ladera.array_files import InParts, blank, save_arrays
from ladera.arrays import Booleans, Floats, Integers
from ladera.data.dataset import Dataset
from ladera.data.store import BLOCK, release
from ladera.errors import DataError
from ladera.files import atomic_path
from ladera.graph import Graph
from ladera.potential import Potential, Prediction, evaluate
from ladera.potential.committee import CALIBRATED, calibration_of
from ladera.progress import Task
from ladera.quantities import ENERGY, FORCES, MILLI, QUANTITIES, Quantity, pretty
from ladera.structure import StructureWarning
from ladera.training.batches import in_order, within
from ladera.training.extrapolation import ExtrapolationReport
from ladera.training.heads import by_head
from ladera.training.metrics import RunningErrors
from ladera.training.uncertainty import Uncertainty, reliability

N_WORST: Final = 5

# What a call costs is lost in so many atoms, and their graphs are small.
_ATOMS_AT_ONCE: Final = 1000
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
    graphs: Sequence[Graph] | None = None,
) -> Evaluation:
    """Predict all that a potential gives of every frame, whatever labels it has.

    With ``head`` all frames by that one; else, of a model with several, each frame by its own,
    unless one was chosen for all. ``frame_index`` (n_frames,) are the numbers by which the frames
    are called, when they are part of a larger set; ``graphs`` are those of the larger set, else
    each is built.

    Raises DataError for an empty data set, and for an element or a head the model does not know,
    naming the frame.
    """
    _check(potential, dataset)
    every = np.arange(len(dataset))
    index = every if frame_index is None else frame_index
    found = _Predictions(potential, dataset, index, graphs)
    with Task("frames evaluated", len(dataset)) as task:
        for name, frames in by_head(potential, dataset) if head is None else [(head, every)]:
            for indices in within(frames, dataset.atom_counts[frames], _ATOMS_AT_ONCE):
                found.add(indices, name)
                task.advance(len(indices))
    return found.evaluation()


class _Predictions:
    """What a potential says about the frames of a data set, as far as it has been asked."""

    def __init__(
        self,
        potential: Potential,
        dataset: Dataset,
        index: Integers,
        graphs: Sequence[Graph] | None,
    ) -> None:
        self._potential, self._dataset, self._index = potential, dataset, index
        self._graphs = graphs
        n_atoms, n_frames = int(dataset.offsets[-1]), len(dataset)

        def unknown(quantity: Quantity, given: bool) -> Floats:
            shape = (n_atoms if quantity.per_atom else n_frames, *quantity.shape)
            # What is not given takes no memory: one NaN, seen everywhere.
            return blank(shape) if given else np.broadcast_to(np.nan, shape)

        self._values = {q: unknown(q, q in potential.gives) for q in QUANTITIES}
        self._exists = {quantity: np.zeros(n_frames, dtype=bool) for quantity in QUANTITIES}
        self._spreads = {q: unknown(q, bool(potential.members)) for q in CALIBRATED}
        self._extrapolation: ExtrapolationReport | None = ExtrapolationReport(dataset, index)

    def add(self, indices: Integers, head: str | None) -> None:
        """Ask it about some frames."""
        potential, dataset = self._potential, self._dataset
        graphs = {int(k): self._graph(int(k)) for k in indices}
        indices = np.array([k for k in indices.tolist() if graphs[k] is not None], dtype=np.int64)
        if not len(indices):
            return
        graph = Graph.batch([graph for graph in graphs.values() if graph is not None])
        with torch.no_grad():
            prediction = evaluate(potential, graph, head=head)
        atoms = np.concatenate([np.arange(*dataset.offsets[k : k + 2]) for k in indices])
        for quantity in QUANTITIES:
            if quantity not in potential.gives:
                continue
            rows = atoms if quantity.per_atom else indices
            self._values[quantity][rows] = prediction[quantity].double().cpu().numpy()
            self._exists[quantity][indices] = prediction.exists(quantity).cpu().numpy()
            if quantity in self._spreads and potential.members:
                self._spreads[quantity][rows] = prediction.spread[quantity].cpu().numpy()
        release({q.name: values for q, values in self._values.items()})
        if self._extrapolation is not None:
            self._add_extrapolations(self._extrapolation, prediction, indices)

    def _graph(self, k: int) -> Graph | None:
        """The graph of a frame; None, and a warning, of one that is no structure."""
        try:
            if self._graphs is not None:
                return self._graphs[int(self._index[k])]
            return self._dataset[k].graph(self._potential.cutoff)
        except DataError as error:
            source = self._dataset[k].source
            reason = f"Frame {self._index[k]} ({source}) cannot be evaluated: {error}"
            if len(self._dataset) == 1:
                raise DataError(reason) from error
            warnings.warn(f"{reason} The other frames are.", StructureWarning, stacklevel=4)
            return None

    def evaluation(self) -> Evaluation:
        """All of it."""
        uncertainty, potential = None, self._potential
        if potential.members and ENERGY in potential.gives:
            uncertainty = Uncertainty(
                len(potential.members), calibration_of(potential), self._spreads
            )
        return Evaluation(
            self._dataset,
            self._index,
            self._values,
            self._exists,
            uncertainty,
            self._extrapolation,
        )

    def _add_extrapolations(
        self, report: ExtrapolationReport, prediction: Prediction, indices: Integers
    ) -> None:
        """Note what is outside the training domain; no report of a model that does not know it."""
        graph = prediction.graph
        grade = self._potential.grade(graph, prediction)
        if grade is None:
            self._extrapolation = None
        elif bool((grade > 1).any()):
            ends = np.cumsum(graph.atom_counts.cpu().numpy())
            found = self._potential.explain_grade(graph, prediction)
            structures = np.searchsorted(ends, [each.atom for each in found], side="right")
            starts = np.concatenate([[0], ends])
            for k, index in enumerate(indices.tolist()):
                mine = [each for each, at in zip(found, structures, strict=True) if at == k]
                report.add(index, [each._replace(atom=each.atom - int(starts[k])) for each in mine])


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


def _check(potential: Potential, dataset: Dataset) -> None:
    if len(dataset) == 0:
        raise DataError("The data set is empty; there is nothing to evaluate.")
    unknown = set(dataset.symbols) - set(potential.symbols)
    if unknown:
        symbol = min(unknown)
        column = dataset.symbols.index(symbol)
        frame = int(np.flatnonzero(dataset.compositions[:, column])[0])
        raise DataError(
            f"Frame {frame} ({dataset[frame].source}) contains {symbol}, which this model does not "
            f"know; it was made for {', '.join(potential.symbols)}."
        )
