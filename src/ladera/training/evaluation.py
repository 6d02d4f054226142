"""How well a potential reproduces labelled frames."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ladera.data.dataset import Dataset
from ladera.errors import DataError
from ladera.files import atomic_path
from ladera.graph import Graph
from ladera.models.committee import Calibration, Committee, CommitteePrediction
from ladera.potential import evaluate
from ladera.training.batches import in_order
from ladera.training.extrapolation import ExtrapolationReport
from ladera.training.heads import by_head, predicting
from ladera.training.uncertainty import Uncertainty, reliability

if TYPE_CHECKING:
    from ladera.potential import Potential

UNITS: Final = {
    "energy": "meV/atom",
    "forces": "meV/Angstrom",
    "stress": "meV/Angstrom^3",
    "dipole": "me*Angstrom",
}
N_WORST: Final = 5

_MILLI: Final = 1e3
_FRAMES_AT_ONCE: Final = 16

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions for the frames of a data set, and their errors."""

    dataset: Dataset
    frame_index: NDArray[np.int64]  # (n_frames,) how messages and files call the frames
    energy: Floats  # (n_frames,), eV; NaN, as forces, for a model of dipoles alone
    forces: Floats  # (n_atoms_total, 3), eV/Angstrom
    stress: Floats  # (n_frames, 3, 3), eV/Angstrom^3; NaN for a frame without volume
    dipole: Floats  # (n_frames, 3), e*Angstrom; NaN where the model has none
    uncertainty: Uncertainty | None = None  # of a committee
    extrapolation: ExtrapolationReport | None = None  # of a model that knows its training domain
    has_energy: bool = True

    def to_json(self) -> dict[str, Any]:
        """All errors: in total, by head, by group, by element, and the worst frames.

        Each error has count, mae, rmse, max (absolute) and r2 = 1 - sum (x - x_ref)^2 / sum
        (x_ref - mean x_ref)^2, in ``units``; None without labels or predictions.
        """
        groups = self.dataset.column("config_type")
        everything = np.ones(len(groups), dtype=bool)
        return {
            "n_frames": len(self.dataset),
            "n_atoms": int(self.dataset.offsets[-1]),
            "units": UNITS,
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
        dataset = self.dataset
        arrays: dict[str, Any] = {
            "frame_index": self.frame_index,
            "n_atoms": dataset.atom_counts,
            "config_type": dataset.column("config_type"),
            "energy_reference": dataset.column("energy"),
            "energy_predicted": self.energy,
            "numbers": dataset.column("numbers"),
            "forces_reference": dataset.column("forces"),
            "forces_predicted": self.forces,
        }
        if dataset.has("stress").any():
            arrays |= {"stress_reference": dataset.column("stress")}
            arrays |= {"stress_predicted": self.stress}
        if np.isfinite(self.dipole).any():
            arrays |= {"dipole_reference": dataset.column("dipole")}
            arrays |= {"dipole_predicted": self.dipole}
        if self.uncertainty is not None:
            arrays |= {"energy_std": self.uncertainty.energy_std}
            arrays |= {"forces_std": self.uncertainty.forces_std}
        with atomic_path(path) as temporary:
            np.savez_compressed(temporary, **arrays)

    @property
    def energy_errors(self) -> Floats:
        """Predicted minus reference energy, (n_frames,), eV; NaN where unlabelled."""
        return np.asarray(self.energy - self.dataset.column("energy"))

    @property
    def forces_errors(self) -> Floats:
        """Predicted minus reference forces, (n_atoms_total, 3), eV/Angstrom; NaN as well."""
        return np.asarray(self.forces - self.dataset.column("forces"))

    def _reliability(self) -> dict[str, Any] | None:
        """How well a committee's spread tells its errors; energies per atom."""
        found = self.uncertainty
        if found is None:
            return None
        counts, members = self.dataset.atom_counts, found.n_members
        energy = (self.energy_errors / counts, found.energy_spread / counts)
        forces = (self.forces_errors, found.forces_spread)
        return {
            "members": members,
            "energy": reliability(*energy, members, found.calibration.energy),
            "forces": reliability(*forces, members, found.calibration.forces),
        }

    @cached_property
    def _energy_pairs(self) -> tuple[Floats, Floats]:
        """Labels and predictions of the energy per atom, (n_frames,), eV; NaN where unlabelled."""
        counts = self.dataset.atom_counts
        return self.dataset.column("energy") / counts, self.energy / counts

    def _errors(self, frames: NDArray[np.bool_]) -> dict[str, Any]:
        """Errors of some frames."""
        atoms = np.repeat(frames, self.dataset.atom_counts)
        if not self.has_energy:
            missing = dict.fromkeys(("energy", "forces", "stress"))
            return {**missing, "dipole": self._dipole_errors(frames)}
        return {
            "energy": _statistics(*(values[frames] for values in self._energy_pairs)),
            "forces": _statistics(self.dataset.column("forces")[atoms], self.forces[atoms]),
            "stress": _statistics(self.dataset.column("stress")[frames], self.stress[frames]),
            "dipole": self._dipole_errors(frames),
        }

    def _dipole_errors(self, frames: NDArray[np.bool_]) -> dict[str, Any] | None:
        known = frames & np.isfinite(self.dipole).all(axis=1)
        return _statistics(self.dataset.column("dipole")[known], self.dipole[known])

    def _by_head(self) -> dict[str, Any]:
        """Errors of the frames of each head, where they have several."""
        heads = self.dataset.column("head")
        known = np.unique(heads)
        return {str(h): self._errors(heads == h) for h in known} if len(known) > 1 else {}

    def _by_element(self) -> dict[str, Any]:
        if not self.has_energy:
            return {}
        numbers = self.dataset.column("numbers")
        reference = self.dataset.column("forces")
        return {
            chemical_symbols[number]: {
                "forces": _statistics(reference[numbers == number], self.forces[numbers == number])
            }
            for number in np.unique(numbers)
        }

    def _worst_frames(self) -> dict[str, list[dict[str, Any]]]:
        """The frames with the largest error of energy, and of one atom's force."""
        reference, predicted = self._energy_pairs
        by_energy = np.abs(predicted - reference)
        by_atom = np.linalg.norm(self.forces - self.dataset.column("forces"), axis=1)
        starts = self.dataset.offsets[:-1]
        by_forces = np.maximum.reduceat(by_atom, starts) if len(starts) else by_atom
        worst: dict[str, list[dict[str, Any]]] = {"energy": [], "forces": []}
        for name, errors in (("energy", by_energy), ("forces", by_forces)):
            known = np.flatnonzero(~np.isnan(errors))
            for k in known[np.argsort(-errors[known], kind="stable")][:N_WORST].tolist():
                entry = {
                    "frame": int(self.frame_index[k]),
                    "source": self.dataset[k].source,
                    "config_type": self.dataset[k].config_type,
                    "error": _MILLI * float(errors[k]),
                }
                if name == "forces":
                    span = slice(starts[k], self.dataset.offsets[k + 1])
                    entry["atom"] = int(np.argmax(by_atom[span]))
                worst[name].append(entry)
        return worst


def evaluate_dataset(
    potential: Potential,
    dataset: Dataset,
    frame_index: NDArray[np.int64] | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> Evaluation:
    """Predict energy, forces, stress and dipole of every frame, whatever labels it has.

    Of a model with several heads, each frame by its own, unless one was chosen for all.
    ``frame_index`` (n_frames,) are the numbers by which the frames are called, when they are part
    of a larger set; ``on_frames`` hears how many frames are done. Raises DataError for an empty
    data set, and for an element or a head the model does not know, naming the frame.
    """
    _check(potential, dataset)
    index = np.arange(len(dataset)) if frame_index is None else frame_index
    found, done = _Predictions(potential, dataset, index), 0
    for head, frames in by_head(potential, dataset):
        with predicting(potential, head):
            for indices in in_order(frames, _FRAMES_AT_ONCE):
                found.add(indices)
                done += len(indices)
                if on_frames:
                    on_frames(done)
    return found.evaluation()


class _Predictions:
    """What a potential says about the frames of a data set, as far as it has been asked."""

    def __init__(self, potential: Potential, dataset: Dataset, index: Indices) -> None:
        self._potential, self._dataset, self._index = potential, dataset, index
        self._energy = np.full(len(dataset), np.nan)
        self._forces = np.full((int(dataset.offsets[-1]), 3), np.nan)
        self._stress = np.full((len(dataset), 3, 3), np.nan)
        self._dipole = np.full((len(dataset), 3), np.nan)
        self._spreads = np.zeros_like(self._energy), np.zeros_like(self._forces)
        self._extrapolation: ExtrapolationReport | None = ExtrapolationReport(dataset, index)

    def add(self, indices: Indices) -> None:
        """Ask it about some frames."""
        potential, dataset = self._potential, self._dataset
        graph = Graph.batch([dataset[int(k)].graph(potential.cutoff) for k in indices])
        with torch.no_grad():
            prediction = evaluate(potential, graph)
        atoms = _atoms_of(dataset, indices)
        if potential.has_energy:
            self._energy[indices] = prediction.energy.cpu().numpy()
            self._forces[atoms] = prediction.forces.cpu().numpy()
            volumes = graph.volumes.numpy()
            solid = volumes > 0
            virial = prediction.virial.double().cpu().numpy()
            self._stress[indices[solid]] = virial[solid] / volumes[solid, None, None]
        if potential.has_dipole and not bool(graph.periodic.any()):
            self._dipole[indices] = prediction.dipole.cpu().numpy()
        if isinstance(prediction, CommitteePrediction):
            energy_spread, forces_spread = self._spreads
            energy_spread[indices] = prediction.energy_spread.cpu().numpy()
            forces_spread[atoms] = prediction.forces_spread.cpu().numpy()
        report = self._extrapolation
        if report is not None and not _add_extrapolations(report, potential, graph, indices):
            self._extrapolation = None

    def evaluation(self) -> Evaluation:
        """All of it."""
        uncertainty, potential = None, self._potential
        if isinstance(potential, Committee):
            calibration = potential.config.calibration or Calibration()
            uncertainty = Uncertainty(len(potential.members), calibration, *self._spreads)
        return Evaluation(
            self._dataset,
            self._index,
            self._energy,
            self._forces,
            self._stress,
            self._dipole,
            uncertainty,
            self._extrapolation,
            potential.has_energy,
        )


def _atoms_of(dataset: Dataset, frames: Indices) -> Indices:
    """Where the atoms of frames are among those of all."""
    return np.concatenate([np.arange(*dataset.offsets[k : k + 2]) for k in frames])


def _add_extrapolations(
    report: ExtrapolationReport, potential: Potential, graph: Graph, indices: NDArray[np.int64]
) -> bool:
    """Add those of a batch; False for a model that keeps no record of its training domain."""
    counts = potential.extrapolations(graph)
    if counts is None:
        return False
    if not bool(counts.any()):
        return True
    starts = np.concatenate([[0], np.cumsum(graph.atom_counts.cpu().numpy())])
    found = potential.list_extrapolations(graph)
    structures = np.searchsorted(starts, [each.atom for each in found], side="right") - 1
    for k, index in enumerate(indices.tolist()):
        mine = [each for each, at in zip(found, structures, strict=True) if at == k]
        report.add(index, [each._replace(atom=each.atom - int(starts[k])) for each in mine])
    return True


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


def _statistics(reference: Floats, predicted: Floats) -> dict[str, float | int | None] | None:
    """Errors in milli-units over all labelled components; None without labels."""
    known = ~np.isnan(reference)
    if not known.any():
        return None
    labels = reference[known]
    errors = predicted[known] - labels
    spread = float(np.square(labels - labels.mean()).sum())
    squares = float(np.square(errors).sum())
    return {
        "count": len(errors),
        "mae": _MILLI * float(np.abs(errors).mean()),
        "rmse": _MILLI * float(np.sqrt(squares / len(errors))),
        "max": _MILLI * float(np.abs(errors).max()),
        "r2": 1 - squares / spread if spread > 0 else None,
    }
