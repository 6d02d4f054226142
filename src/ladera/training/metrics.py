"""The errors of an epoch in the units people read, from the sums of the loss."""

from __future__ import annotations

import math
from typing import Final

from torch import Tensor

from ladera.training.config import LossConfig
from ladera.training.loss import ABSOLUTE, COUNT, QUANTITIES, SQUARE

_MILLI: Final = 1e3
_NAMES: Final = {
    "energy": ("energy", "mev_per_atom"),
    "forces": ("force", "mev_per_angstrom"),
    "stress": ("stress", "mev_per_angstrom3"),
    "dipole": ("dipole", "me_angstrom"),
}


def columns(part: str, loss: LossConfig) -> list[str]:
    """Names of the errors of a part (train, validation) in log.csv."""
    shown = [_NAMES[q] for q in QUANTITIES if q in ("energy", "forces") or getattr(loss, q) > 0]
    return [f"{part}_{name}_{kind}_{unit}" for name, unit in shown for kind in ("mae", "rmse")]


def errors(part: str, sums: Tensor) -> dict[str, float | None]:
    """Mean absolute and root mean square errors; None where there is no label."""
    found: dict[str, float | None] = {}
    for quantity, row in zip(QUANTITIES, sums.tolist(), strict=True):
        name, unit = _NAMES[quantity]
        count = row[COUNT]
        mae = _MILLI * row[ABSOLUTE] / count if count else None
        rmse = _MILLI * math.sqrt(row[SQUARE] / count) if count else None
        found[f"{part}_{name}_mae_{unit}"] = mae
        found[f"{part}_{name}_rmse_{unit}"] = rmse
    return found
