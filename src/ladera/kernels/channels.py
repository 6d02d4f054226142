"""Short loops over the channels of a row, for loops over edges and terms."""

from __future__ import annotations

from typing import Any

from ladera.arrays import Reals
from ladera.kernels.compilation import inlined


@inlined
def add_scaled(out: Reals, x: Reals, factor: Any) -> None:
    """out += factor x."""
    for c in range(out.size):
        out[c] += factor * x[c]


@inlined
def add_product(out: Reals, x: Reals, y: Reals) -> None:
    """out += x y."""
    for c in range(out.size):
        out[c] += x[c] * y[c]


@inlined
def dot(x: Reals, y: Reals) -> Any:
    """sum x y."""
    total = x[0] * y[0]
    for c in range(1, x.size):
        total += x[c] * y[c]
    return total


@inlined
def add3(out: Reals, x: Reals, y: Reals, z: Reals) -> None:
    """out += x y z."""
    for c in range(out.size):
        out[c] += x[c] * y[c] * z[c]
