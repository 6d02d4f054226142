"""The part of the page about a training run: errors, learning curves, parity, worst frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from ase.data import chemical_symbols
from matplotlib.figure import Figure

from ladera.arrays import Floats
from ladera.quantities import ENERGY, MILLI, QUANTITIES, STRESS, Quantity, pretty
from ladera.report import figures
from ladera.table_files import column
from ladera.training.evaluation_files import PARTS
from ladera.training.predictions import Predictions
from ladera.training.run_folder import TrainingRun

_SHOWN_GROUPS: Final = 7
# Columns of log.csv behind the name of the part, and the label of the figure.
_CURVES: Final = (
    *(
        (q.column("", "mae").removeprefix("_"), f"{q.title} MAE ({pretty(q.unit_of_errors)})")
        for q in QUANTITIES
    ),
    ("loss", "Loss (no unit)"),
)
# What to call the errors of a quantity, and their unit.
ERROR_UNITS: Final = {q.name: (q.title, pretty(q.unit_of_errors)) for q in QUANTITIES}


@dataclass(frozen=True)
class Plate:
    """A figure on the page with the words below it and for those who cannot see it."""

    figure: Figure
    caption: str


def judged_part(run: TrainingRun) -> str | None:
    """The part that tells most about frames the model has not seen."""
    return next((part for part in reversed(PARTS) if part in run.evaluation), None)


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
    """Predicted against reference values of each quantity, a figure for each part."""
    yield from _energy_plates(run.predictions)
    for quantity in QUANTITIES:
        if quantity != ENERGY:
            yield from _plates_of(quantity, run.predictions)


def _plates_of(quantity: Quantity, parts: Mapping[str, Predictions]) -> Iterator[Plate]:
    numbers = sorted({int(n) for p in parts.values() for n in np.unique(p.numbers)})
    symbols = [chemical_symbols[number] for number in numbers]
    milli = quantity == STRESS  # whose unit is large
    unit = pretty(quantity.unit_of_errors if milli else quantity.unit)
    for part, predictions in parts.items():
        reference, predicted = (
            (MILLI if milli else 1.0) * values for values in predictions.values(quantity.name)
        )
        if not np.isfinite(reference - predicted).any():
            continue
        groups, colors = {quantity.name: (reference, predicted)}, None
        if quantity.per_atom:
            of = predictions.symbols
            groups = {s: (reference[of == s], predicted[of == s]) for s in symbols}
            colors = figures.group_colors(symbols)
        what = quantity.component if quantity.per_atom else quantity.name
        title = f"{quantity.name.capitalize()}, {part}"
        yield Plate(
            figures.parity(groups, what, unit, title=title, colors=colors),
            quantity.caption.format(part=part),
        )


def histogram_plates(run: TrainingRun) -> Iterator[Plate]:
    """How the errors of each quantity are distributed."""
    for quantity in QUANTITIES:
        errors = {}
        for part, predictions in run.predictions.items():
            reference, predicted = predictions.values(quantity.name)
            difference = MILLI * (predicted - reference)
            if np.isfinite(difference).any():
                errors[part] = difference
        if errors:
            unit = pretty(quantity.unit_of_errors)
            figure = figures.error_histogram(errors, f"Error of the {quantity.component} ({unit})")
            yield Plate(figure, f"Errors of the {quantity.component}, predicted minus reference.")


def best_epoch(run: TrainingRun) -> float | None:
    """Epoch of the model that was kept; so far that of the lowest validation loss."""
    kept = run.model.get("provenance", {}).get("epoch")
    if kept is not None:
        return float(kept)
    losses = column(run.log, "validation_loss")
    return float(run.log["epoch"][np.nanargmin(losses)]) if len(losses) else None


def _energy_plates(parts: Mapping[str, Predictions]) -> Iterator[Plate]:
    if not parts:
        return
    baselines, words = _baselines(parts)
    shown = _shown_groups(parts)
    colors = figures.group_colors(shown)
    for part, predictions in parts.items():
        reference, predicted = (
            MILLI * (values - baselines[part]) for values in predictions.values("energy")
        )
        if not np.isfinite(reference - predicted).any():
            continue
        names = np.array([_shown_name(str(name), shown) for name in predictions.config_type])
        groups = {name: (reference[names == name], predicted[names == name]) for name in shown}
        figure = figures.parity(
            groups, "energy", "meV/atom", title=f"Energies, {part}", colors=colors
        )
        yield Plate(figure, f"Energies of the {part} frames, relative to {words}.")


def _baselines(parts: Mapping[str, Predictions]) -> tuple[dict[str, Floats], str]:
    """What to take off the energies per atom so that a figure shows more than compositions.

    The mean reference of each composition where most frames share theirs with others; else the
    least-squares energy of each element.
    """
    fractions, energies = _fractions_and_energies(parts)
    _, group, counts = np.unique(
        fractions.round(6), axis=0, return_inverse=True, return_counts=True
    )
    group = group.ravel()
    labelled = np.isfinite(energies)
    if (counts[group] > 1).mean() >= 0.5:
        totals = np.bincount(group[labelled], energies[labelled], len(counts))
        numbers = np.bincount(group[labelled], minlength=len(counts))
        baseline, words = (totals / np.maximum(numbers, 1))[group], "the mean of their composition"
    else:
        solution = np.linalg.lstsq(fractions[labelled], energies[labelled], rcond=None)[0]
        baseline, words = fractions @ solution, "a fitted energy of each element"
    ends = np.cumsum([predictions.n_frames for predictions in parts.values()])
    split = np.split(baseline, ends[:-1])
    return dict(zip(parts, split, strict=True)), words


def _fractions_and_energies(parts: Mapping[str, Predictions]) -> tuple[Floats, Floats]:
    """Share of each element, and reference energies per atom (eV), in the frames of all parts."""
    elements = np.unique(np.concatenate([predictions.numbers for predictions in parts.values()]))
    rows = []
    for predictions in parts.values():
        columns = np.searchsorted(elements, np.unique(predictions.numbers))
        counts = np.zeros((predictions.n_frames, len(elements)))
        counts[:, columns] = predictions.composition
        rows.append(counts / predictions.n_atoms[:, None])
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


def _last(values: Floats) -> float:
    return float(values[np.isfinite(values)][-1])
