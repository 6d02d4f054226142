"""The part of the page about a committee: are its uncertainties the size of its errors?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ladera.report import figures
from ladera.report.training_section import ERROR_UNITS, Plate
from ladera.training.run_folder import TrainingRun


def rows(run: TrainingRun) -> list[dict[str, Any]]:
    """A row for each part, quantity, and spread before and after calibration."""
    rows_shown = []
    for part, quantity, values in _each(run):
        for kind, factor in (("before", 1.0), ("after", values["factor"])):
            if values[kind] is not None:
                row = {"part": part, "quantity": quantity, "kind": kind, "factor": factor}
                rows_shown.append(row | values[kind] | {"correlation": values["correlation"]})
    return rows_shown


def plates(run: TrainingRun) -> Iterator[Plate]:
    """Errors against predicted standard deviations, a figure for each part and quantity."""
    for part, quantity, values in _each(run):
        spread, error = (np.array([b[k] for b in values["bins"]]) for k in ("spread", "error"))
        name, unit = ERROR_UNITS[quantity]
        curves = {"Before": (spread, error)}
        if values["factor"] is not None:
            curves["Calibrated"] = (values["factor"] * spread, error)
        figure = figures.calibration(curves, unit, title=f"{name}, {part}")
        yield Plate(
            figure,
            f"{name} errors of the {part} frames against their standard deviations, root mean "
            f"squares of {len(spread)} groups of growing spread; on the line they are equal.",
        )


def _each(run: TrainingRun) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for part, errors in run.evaluation.items():
        found = errors.uncertainty or {}
        for name in ERROR_UNITS:
            if found.get(name):
                yield part, name, found[name]
