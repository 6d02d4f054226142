"""The part of the page about a training run: errors, learning curves, parity, worst frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from ase.data import chemical_symbols
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ladera.report import figures
from ladera.report.predictions import Errors, FloatArray, Predictions, Quantity
from ladera.report.run import PARTS, TrainingRun, column

MILLI: Final = 1000.0
_SHOWN_GROUPS: Final = 7
_WORST: Final = 10
# Columns of log.csv, what they are, and the unit of the figure.
_CURVES: Final = (
    ("energy_mae_mev_per_atom", "Energy MAE (meV/atom)"),
    ("force_mae_mev_per_angstrom", "Force MAE (meV/Å)"),
    ("stress_mae_mev_per_angstrom3", "Stress MAE (meV/Å³)"),
    ("loss", "Loss (no unit)"),
)
# Quantity: (what to call its errors, their unit, factor from eV)
ERROR_UNITS: Final[Mapping[Quantity, tuple[str, str]]] = {
    "energy": ("Energy", "meV/atom"),
    "forces": ("Force", "meV/Å"),
    "stress": ("Stress", "meV/Å³"),
}


@dataclass(frozen=True)
class Plate:
    """A figure on the page with the words below it and for those who cannot see it."""

    figure: Figure
    caption: str


@dataclass(frozen=True)
class ErrorRow:
    """Errors of some frames, one line of a table."""

    name: str
    frames: int
    errors: Mapping[Quantity, Errors | None]  # in meV/atom, meV/Angstrom, meV/Angstrom^3


@dataclass(frozen=True)
class WorstFrame:
    """A frame the model does badly on."""

    frame: int  # number in the data set
    part: str
    config_type: str
    energy_error: float  # meV/atom, signed; NaN without a label
    force_error: float  # meV/Angstrom, length of the worst atom's error; NaN without labels
    atom: int | None  # that atom, counted from 0
    symbol: str


def judged_part(run: TrainingRun) -> str | None:
    """The part that tells most about frames the model has not seen."""
    return next((part for part in reversed(PARTS) if part in run.predictions), None)


def error_row(name: str, predictions: Predictions) -> ErrorRow:
    """Errors of all frames together."""
    return ErrorRow(name, predictions.n_frames, _all_errors(predictions))


def group_rows(predictions: Predictions) -> list[ErrorRow]:
    """Errors by config_type, most frequent first; none when there is only one group."""
    names, counts = np.unique(predictions.config_type, return_counts=True)
    if len(names) < 2:
        return []
    rows = []
    for index in np.argsort(-counts, kind="stable"):
        chosen = predictions.config_type == names[index]
        rows.append(
            ErrorRow(
                str(names[index]) or "(none)", int(counts[index]), _all_errors(predictions, chosen)
            )
        )
    return rows


def element_rows(predictions: Predictions) -> list[tuple[str, int, Errors]]:
    """Element, number of atoms and force errors (meV/Angstrom) by element."""
    rows = []
    for number in np.unique(predictions.numbers):
        chosen = predictions.numbers == number
        errors = Errors.of(
            MILLI * predictions.forces_reference[chosen],
            MILLI * predictions.forces_predicted[chosen],
        )
        if errors is not None:
            rows.append((str(predictions.symbols[chosen][0]), int(chosen.sum()), errors))
    return rows


def learning_plates(run: TrainingRun, best: float | None) -> Iterator[Plate]:
    """A figure for each quantity of the log, and the learning rate."""
    log = run.log
    if "epoch" not in log or len(log["epoch"]) == 0:
        return
    for name, label in _CURVES:
        curves = {
            part: column(log, f"{part}_{name}")
            for part in ("train", "validation")
            if len(column(log, f"{part}_{name}"))
        }
        if curves:
            figure = figures.learning_curve(log["epoch"], curves, label, best=best)
            last = ", ".join(f"{part} {_last(values):.3g}" for part, values in curves.items())
            yield Plate(figure, f"{label.split(' (')[0]} over the epochs; at the end {last}.")
    if len(column(log, "learning_rate")):
        figure = figures.learning_curve(
            log["epoch"], {"Learning rate": log["learning_rate"]}, "Learning rate (no unit)"
        )
        yield Plate(figure, "Learning rate over the epochs.")


def parity_plates(run: TrainingRun) -> Iterator[Plate]:
    """Predicted against reference energies, forces and stress, a figure for each part."""
    yield from _energy_plates(run.predictions)
    numbers = sorted({int(n) for p in run.predictions.values() for n in np.unique(p.numbers)})
    colors = figures.group_colors([chemical_symbols[number] for number in numbers])
    for part, predictions in run.predictions.items():
        groups = {
            symbol: (
                predictions.forces_reference[predictions.symbols == symbol],
                predictions.forces_predicted[predictions.symbols == symbol],
            )
            for symbol in colors
        }
        if np.isfinite(predictions.forces_reference).any():
            figure = figures.parity(
                groups, "force component", "eV/Å", title=f"Forces, {part}", colors=colors
            )
            yield Plate(figure, f"Force components of the {part} frames, coloured by element.")
    for part, predictions in run.predictions.items():
        reference, predicted = (MILLI * values for values in predictions.values("stress"))
        if np.isfinite(reference).any():
            figure = figures.parity(
                {"stress": (reference, predicted)}, "stress", "meV/Å³", title=f"Stress, {part}"
            )
            yield Plate(figure, f"Stress components of the {part} frames, positive in tension.")


def histogram_plates(run: TrainingRun) -> Iterator[Plate]:
    """How the errors of each quantity are distributed."""
    for quantity, (name, unit) in ERROR_UNITS.items():
        errors = {}
        for part, predictions in run.predictions.items():
            reference, predicted = predictions.values(quantity)
            difference = MILLI * (predicted - reference)
            if np.isfinite(difference).any():
                errors[part] = difference
        if errors:
            what = "energy" if quantity == "energy" else f"{name.lower()} component"
            figure = figures.error_histogram(errors, f"Error of the {what} ({unit})")
            yield Plate(figure, f"Errors of the {what}, predicted minus reference.")


def worst_frames(predictions: Predictions, part: str) -> list[WorstFrame]:
    """The frames with the worst force on an atom, or the worst energies without forces."""
    energy = MILLI * predictions.energy_error
    lengths = MILLI * np.linalg.norm(predictions.force_error, axis=1)
    starts = np.concatenate([[0], np.cumsum(predictions.n_atoms)])
    worst_atom = np.full(predictions.n_frames, -1)
    worst_force = np.full(predictions.n_frames, np.nan)
    for row in range(predictions.n_frames):
        own = lengths[starts[row] : starts[row + 1]]
        if np.isfinite(own).any():
            worst_atom[row] = np.nanargmax(own)
            worst_force[row] = own[worst_atom[row]]
    badness = worst_force if np.isfinite(worst_force).any() else np.abs(energy)
    order = np.argsort(-np.nan_to_num(badness, nan=-1.0), kind="stable")[:_WORST]
    return [
        WorstFrame(
            frame=int(predictions.frame_index[row]),
            part=part,
            config_type=str(predictions.config_type[row]),
            energy_error=float(energy[row]),
            force_error=float(worst_force[row]),
            atom=int(worst_atom[row]) if worst_atom[row] >= 0 else None,
            symbol=str(predictions.symbols[starts[row] + worst_atom[row]])
            if worst_atom[row] >= 0
            else "",
        )
        for row in order
    ]


def best_epoch(run: TrainingRun) -> float | None:
    """Epoch of the lowest validation loss, None without validation."""
    losses = column(run.log, "validation_loss")
    if not len(losses):
        return None
    return float(run.log["epoch"][np.nanargmin(losses)])


def _all_errors(
    predictions: Predictions, frames: NDArray[np.bool_] | None = None
) -> dict[Quantity, Errors | None]:
    """Errors of each quantity in meV/atom, meV/Angstrom and meV/Angstrom^3."""
    found: dict[Quantity, Errors | None] = {}
    for quantity in ERROR_UNITS:
        reference, predicted = predictions.values(quantity)
        if frames is not None and len(reference):
            of_frames = frames[predictions.frame_of_atom] if quantity == "forces" else frames
            reference, predicted = reference[of_frames], predicted[of_frames]
        found[quantity] = Errors.of(MILLI * reference, MILLI * predicted)
    return found


def _energy_plates(parts: Mapping[str, Predictions]) -> Iterator[Plate]:
    if not parts:
        return
    baselines, words = _baselines(parts)
    shown = _shown_groups(parts)
    colors = figures.group_colors(shown)
    for part, predictions in parts.items():
        reference, predicted = predictions.values("energy")
        known = np.isfinite(baselines[part])
        names = np.array(
            [_shown_name(name, shown) for name in predictions.config_type], dtype=object
        )
        groups = {
            name: (
                MILLI * (reference - baselines[part])[known & (names == name)],
                MILLI * (predicted - baselines[part])[known & (names == name)],
            )
            for name in shown
        }
        if np.isfinite(reference[known]).any():
            figure = figures.parity(
                groups, "energy", "meV/atom", title=f"Energies, {part}", colors=colors
            )
            left_out = int((~known).sum())
            note = f" {left_out} alone in their composition are left out." if left_out else ""
            yield Plate(figure, f"Energies of the {part} frames relative to {words}.{note}")


def _baselines(parts: Mapping[str, Predictions]) -> tuple[dict[str, FloatArray], str]:
    """What to take off the energies per atom so that a figure shows more than compositions.

    The mean of each composition where most frames share theirs with others (NaN for the rest);
    else the least-squares energy of each element.
    """
    compositions, energies = _all_compositions(parts)
    _, group, counts = np.unique(compositions, axis=0, return_inverse=True, return_counts=True)
    group = group.ravel()
    labelled = np.isfinite(energies)
    if (counts[group] > 1).mean() >= 0.5:
        totals = np.bincount(group[labelled], energies[labelled], len(counts))
        numbers = np.bincount(group[labelled], minlength=len(counts))
        means = np.where(numbers > 1, totals / np.maximum(numbers, 1), np.nan)
        baseline, words = means[group], "the mean of their composition"
    else:
        fractions = compositions / compositions.sum(axis=1, keepdims=True)
        solution = np.linalg.lstsq(fractions[labelled], energies[labelled], rcond=None)[0]
        baseline, words = fractions @ solution, "a fitted energy of each element"
    ends = np.cumsum([predictions.n_frames for predictions in parts.values()])
    split = np.split(baseline, ends[:-1])
    return dict(zip(parts, split, strict=True)), words


def _all_compositions(parts: Mapping[str, Predictions]) -> tuple[NDArray[Any], FloatArray]:
    """Atoms of each element in each frame of all parts, and reference energies per atom."""
    elements = np.unique(np.concatenate([predictions.numbers for predictions in parts.values()]))
    rows = []
    for predictions in parts.values():
        columns = np.searchsorted(elements, np.unique(predictions.numbers))
        counts = np.zeros((predictions.n_frames, len(elements)), dtype=np.int64)
        counts[:, columns] = predictions.composition
        rows.append(counts)
    energies = [predictions.values("energy")[0] for predictions in parts.values()]
    return np.concatenate(rows), np.concatenate(energies)


def _shown_groups(parts: Mapping[str, Predictions]) -> list[str]:
    """The most frequent config_types, and "other" when there are more than fit a legend."""
    every = np.concatenate([predictions.config_type for predictions in parts.values()])
    names, counts = np.unique(every, return_counts=True)
    ordered = [str(names[index]) for index in np.argsort(-counts, kind="stable")]
    if len(ordered) <= _SHOWN_GROUPS + 1:
        return [_shown_name(name, ordered) for name in ordered]
    return [*(name or "(none)" for name in ordered[:_SHOWN_GROUPS]), "other"]


def _shown_name(name: str, shown: list[str]) -> str:
    named = str(name) or "(none)"
    return named if named in shown or "other" not in shown else "other"


def _last(values: FloatArray) -> float:
    return float(values[np.isfinite(values)][-1])
