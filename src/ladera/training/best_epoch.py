"""Whether the epoch that a loss chose is one that its user would have chosen."""

from __future__ import annotations

import math
from typing import Final

from ladera.quantities import FORCES, QUANTITIES, Quantity, pretty
from ladera.table_files import Columns
from ladera.training.config import LossConfig

WORSE: Final = 1.5  # times the forces' error at the end, from which a best epoch is doubted


def doubt(log: Columns, best: int, loss: LossConfig) -> str | None:
    """A sentence where the best epoch (from 1) has far worse forces than the last one.

    The epoch is that of the least validation loss, a sum over quantities of weight times error
    squared: where another one rises, such as a dipole whose weight is large for its error, it
    chooses a model whose forces have hardly begun to learn, and nothing in the loss says so.
    ``log`` is log.csv, ``loss`` has the weights of the last epoch.
    """
    last = len(log.get("epoch", ()))
    if not 0 < best < last or not loss.forces:
        return None

    def errors(quantity: Quantity) -> tuple[float, float]:
        """Root mean squares of the best and of the last epoch; none where it has no label."""
        column = log.get(quantity.column("validation", "rmse"))
        return (0.0, 0.0) if column is None else (float(column[best - 1]), float(column[last - 1]))

    here, end = errors(FORCES)
    if not here > WORSE * end:
        return None
    rises = {}
    for quantity in QUANTITIES:
        before, after = errors(quantity)
        rise = getattr(loss, quantity.name) * (after**2 - before**2)
        rises[quantity] = 0.0 if math.isnan(rise) else rise
    decides = max(rises, key=lambda quantity: rises[quantity])
    if not rises[decides] > 0:
        return None
    before, after = errors(decides)
    return (
        f"The model is that of epoch {best}, whose forces are off by {here:.0f} "
        f"{pretty(FORCES.unit_of_errors)} on the validation frames; those of the last epoch, "
        f"{last}, by {end:.0f}. In the loss the {decides.singular} outweighs them, whose error "
        f"rose from {before:.3g} to {after:.3g} {pretty(decides.unit_of_errors)}: lower "
        f"loss.{decides.name} if forces matter more."
    )
