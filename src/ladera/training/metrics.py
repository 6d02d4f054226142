"""Errors in the units people read, from the sums of the loss or from values in parts."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from ladera.arrays import Floats
from ladera.quantities import MILLI, QUANTITIES
from ladera.training.config import LossConfig
from ladera.training.loss import ABSOLUTE, COUNT, SQUARE


def columns(part: str, loss: LossConfig) -> list[str]:
    """Names of the errors of a part (train, validation) in log.csv."""
    shown = [q for q in QUANTITIES if q.basic or getattr(loss, q.name) > 0]
    return [quantity.column(part, kind) for quantity in shown for kind in ("mae", "rmse")]


def errors(part: str, sums: Tensor) -> dict[str, float | None]:
    """Mean absolute and root mean square errors; None where there is no label."""
    found: dict[str, float | None] = {}
    for quantity, row in zip(QUANTITIES, sums.tolist(), strict=True):
        count = row[COUNT]
        found[quantity.column(part, "mae")] = MILLI * row[ABSOLUTE] / count if count else None
        square = row[SQUARE] / count if count else None
        found[quantity.column(part, "rmse")] = square and MILLI * math.sqrt(square)
    return found


class RunningErrors:
    """Errors over all labelled components, which come in parts."""

    def __init__(self) -> None:
        self._count = 0
        self._absolute = self._squares = self._largest = 0.0
        self._mean = self._spread = 0.0  # of the labels: mean, sum of squares about it

    def add(self, reference: Floats, predicted: Floats) -> None:
        """Count those that have a label."""
        known = ~np.isnan(reference)
        labels, errors = reference[known], predicted[known] - reference[known]
        if not len(labels):
            return
        mean, total = float(labels.mean()), self._count + len(labels)
        change = mean - self._mean
        self._spread += float(np.square(labels - mean).sum())
        self._spread += change**2 * self._count * len(labels) / total
        self._mean += change * len(labels) / total
        self._count = total
        self._squares += float(np.square(errors).sum())
        self._absolute += float(np.abs(errors).sum())
        self._largest = max(self._largest, float(np.abs(errors).max()))

    def to_json(self) -> dict[str, float | int | None] | None:
        """In milli-units; None without labels."""
        if not self._count:
            return None
        return {
            "count": self._count,
            "mae": MILLI * self._absolute / self._count,
            "rmse": MILLI * math.sqrt(self._squares / self._count),
            "max": MILLI * self._largest,
            "r2": 1 - self._squares / self._spread if self._spread > 0 else None,
        }
