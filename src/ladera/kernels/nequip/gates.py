"""Norm and gates of a layer, forward and back.

u = y / sqrt(q + least),  q = sum_p share_p |y_p|^2;    z = gamma u
scalars: h = c f(z),    others: h_m = c f(z_g) z_m,  z_g the gate of the channel
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ladera.arrays import Integers, Reals
from ladera.kernels.compilation import inlined, simd
from ladera.kernels.nequip.panels import Part

SILU, TANH = 0, 1


class Gates(NamedTuple):
    """What is done with the panels of y; those of gates are behind all others."""

    places: Integers  # (n_panels of y, 2) before, width
    outputs: Integers  # (n_panels of h, 2) panel of the gate, its own for scalars; activation
    factor: Reals  # (n_panels of h,)
    has_norm: bool
    least: float
    share: Reals  # (n_panels of y,)
    gamma: Reals  # (n_panels of y, lanes)


@inlined
def _activate(kind: int, x: float) -> tuple[float, float]:
    """Value and slope."""
    if kind == TANH:
        t = np.tanh(x)
        return t, 1 - t * t
    s = 1 / (1 + np.exp(-x))
    return x * s, s * (1 + x * (1 - s))


@simd
def forward(
    start: int, stop: int, plan: Gates, y: Part, h: Reals, kept: Reals, inverse: Reals
) -> None:
    """h of the atoms ``start`` to ``stop``; y becomes u, ``inverse`` (n_atoms,) what made it.

    For the way back, ``kept`` (2 n_panels of h * n_atoms, lanes) gets c f gamma and c f' gamma.
    """
    u, n_atoms = y.table, y.n_atoms
    for i in range(start, stop):
        if plan.has_norm:
            inverse[i] = _normalize(i, plan, u, n_atoms)
        for p in range(plan.outputs.shape[0]):
            gate, width = plan.outputs[p, 0], plan.places[p, 1]
            row = n_atoms * plan.places[p, 0] + i * width
            above = n_atoms * plan.places[gate, 0] + i
            values, slopes = kept[2 * p * n_atoms + i], kept[(2 * p + 1) * n_atoms + i]
            for c in range(u.shape[1]):
                g = plan.gamma[gate, c]
                f, slope = _activate(plan.outputs[p, 1], g * u[above, c])
                values[c] = plan.factor[p] * f
                slopes[c] = plan.factor[p] * slope * g
            if gate == p:
                for c in range(u.shape[1]):
                    h[row, c] = values[c]
                continue
            for c in range(u.shape[1]):
                values[c] *= plan.gamma[p, c]
                slopes[c] *= plan.gamma[p, c]
            for m in range(width):
                for c in range(u.shape[1]):
                    h[row + m, c] = values[c] * u[row + m, c]


@inlined
def _normalize(i: int, plan: Gates, y: Reals, n_atoms: int) -> Any:
    """Divide y of an atom by its root mean square; what it was multiplied by."""
    q = plan.least
    for p in range(plan.places.shape[0]):
        row, square = n_atoms * plan.places[p, 0] + i * plan.places[p, 1], y.dtype.type(0)
        for m in range(plan.places[p, 1]):
            for c in range(y.shape[1]):
                square += y[row + m, c] * y[row + m, c]
        q += plan.share[p] * square
    inverse = y.dtype.type(1 / np.sqrt(q))
    for p in range(plan.places.shape[0]):
        row = n_atoms * plan.places[p, 0] + i * plan.places[p, 1]
        for m in range(plan.places[p, 1]):
            for c in range(y.shape[1]):
                y[row + m, c] *= inverse
    return inverse


@simd
def reverse(
    start: int,
    stop: int,
    plan: Gates,
    u: Part,
    kept: Reals,
    inverse: Reals,
    h_bar: Reals,
    y_bar: Reals,
) -> None:
    """dE/dy of the atoms ``start`` to ``stop`` from dE/dh."""
    n_atoms, lanes = u.n_atoms, u.table.shape[1]
    for i in range(start, stop):
        for p in range(plan.outputs.shape[0]):
            gate, width = plan.outputs[p, 0], plan.places[p, 1]
            row = n_atoms * plan.places[p, 0] + i * width
            above = n_atoms * plan.places[gate, 0] + i
            values, slopes = kept[2 * p * n_atoms + i], kept[(2 * p + 1) * n_atoms + i]
            if gate == p:
                for c in range(lanes):
                    y_bar[row, c] = slopes[c] * h_bar[row, c]
                continue
            for c in range(lanes):
                y_bar[above, c] = 0
            for m in range(width):
                for c in range(lanes):
                    y_bar[above, c] += h_bar[row + m, c] * u.table[row + m, c] * slopes[c]
                    y_bar[row + m, c] = values[c] * h_bar[row + m, c]
        if plan.has_norm:
            _norm_reverse(i, plan, u.table, n_atoms, inverse[i], y_bar)


@inlined
def _norm_reverse(
    i: int, plan: Gates, u: Reals, n_atoms: int, inverse: float, y_bar: Reals
) -> None:
    """From dE/du to dE/dy of an atom."""
    along = u.dtype.type(0)
    for p in range(plan.places.shape[0]):
        row = n_atoms * plan.places[p, 0] + i * plan.places[p, 1]
        for m in range(plan.places[p, 1]):
            for c in range(u.shape[1]):
                along += u[row + m, c] * y_bar[row + m, c]
    for p in range(plan.places.shape[0]):
        row, share = n_atoms * plan.places[p, 0] + i * plan.places[p, 1], plan.share[p] * along
        for m in range(plan.places[p, 1]):
            for c in range(u.shape[1]):
                y_bar[row + m, c] = inverse * (y_bar[row + m, c] - share * u[row + m, c])
