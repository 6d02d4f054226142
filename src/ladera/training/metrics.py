"""The errors of an epoch in the units people read, from the sums of the loss."""

from __future__ import annotations

import math

from torch import Tensor

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
