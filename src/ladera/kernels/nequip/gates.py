"""Norm and gates of a layer, forward and back.

u = y / sqrt(q + least),  q = sum_p share_p |y_p|^2;    z = gamma u
scalars: h = c f(z),    others: h_m = c f(z_g) z_m,  z_g the gate of the channel
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ladera.arrays import Integers, Reals
from ladera.kernels.compilation import inlined, simd

SILU, TANH = 0, 1


class Gates(NamedTuple):
    """What is done with the panels of y; those of gates are behind all others."""

    rows: Integers  # (n_panels of y, 2) before, width
    outputs: Integers  # (n_panels of h, 4) before, width, panel of the gate or -1, activation
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
    start: int, stop: int, n_atoms: int, plan: Gates, y: Reals, h: Reals, inverse: Reals
) -> None:
    """h of the atoms ``start`` to ``stop``; y becomes u, ``inverse`` (n_atoms,) what made it."""
    lanes = y.shape[1]
    for i in range(start, stop):
        if plan.has_norm:
            q = plan.least
            for p in range(plan.rows.shape[0]):
                row = n_atoms * plan.rows[p, 0] + i * plan.rows[p, 1]
                square = 0.0
                for m in range(plan.rows[p, 1]):
                    for c in range(lanes):
                        square += y[row + m, c] * y[row + m, c]
                q += plan.share[p] * square
            inverse[i] = 1 / np.sqrt(q)
            for p in range(plan.rows.shape[0]):
                row = n_atoms * plan.rows[p, 0] + i * plan.rows[p, 1]
                for m in range(plan.rows[p, 1]):
                    for c in range(lanes):
                        y[row + m, c] *= inverse[i]
        for p in range(plan.outputs.shape[0]):
            width, gate, factor = plan.outputs[p, 1], plan.outputs[p, 2], plan.factor[p]
            row = n_atoms * plan.outputs[p, 0] + i * width
            if gate < 0:
                for c in range(lanes):
                    z = plan.gamma[p, c] * y[row, c]
                    h[row, c] = factor * _activate(plan.outputs[p, 3], z)[0]
                continue
            above = n_atoms * plan.rows[gate, 0] + i
            for c in range(lanes):
                z = plan.gamma[gate, c] * y[above, c]
                open_ = factor * _activate(plan.outputs[p, 3], z)[0] * plan.gamma[p, c]
                for m in range(width):
                    h[row + m, c] = open_ * y[row + m, c]


@simd
def reverse(
    start: int,
    stop: int,
    n_atoms: int,
    plan: Gates,
    u: Reals,
    inverse: Reals,
    h_bar: Reals,
    y_bar: Reals,
) -> None:
    """dE/dy of the atoms ``start`` to ``stop`` from dE/dh."""
    lanes = u.shape[1]
    for i in range(start, stop):
        for p in range(plan.outputs.shape[0]):
            width, gate, factor = plan.outputs[p, 1], plan.outputs[p, 2], plan.factor[p]
            row = n_atoms * plan.outputs[p, 0] + i * width
            if gate < 0:
                for c in range(lanes):
                    g = plan.gamma[p, c]
                    slope = _activate(plan.outputs[p, 3], g * u[row, c])[1]
                    y_bar[row, c] = g * factor * slope * h_bar[row, c]
                continue
            above = n_atoms * plan.rows[gate, 0] + i
            for c in range(lanes):
                g = plan.gamma[gate, c]
                value, slope = _activate(plan.outputs[p, 3], g * u[above, c])
                total = u.dtype.type(0)
                for m in range(width):
                    total += h_bar[row + m, c] * u[row + m, c]
                    y_bar[row + m, c] = factor * value * plan.gamma[p, c] * h_bar[row + m, c]
                y_bar[above, c] = g * factor * slope * plan.gamma[p, c] * total
        if plan.has_norm:
            _norm_reverse(i, n_atoms, plan, u, inverse[i], y_bar)


@inlined
def _norm_reverse(
    i: int, n_atoms: int, plan: Gates, u: Reals, inverse: float, y_bar: Reals
) -> None:
    """From dE/du to dE/dy of an atom."""
    along = 0.0
    for p in range(plan.rows.shape[0]):
        row = n_atoms * plan.rows[p, 0] + i * plan.rows[p, 1]
        for m in range(plan.rows[p, 1]):
            for c in range(u.shape[1]):
                along += u[row + m, c] * y_bar[row + m, c]
    for p in range(plan.rows.shape[0]):
        row, share = n_atoms * plan.rows[p, 0] + i * plan.rows[p, 1], plan.share[p] * along
        for m in range(plan.rows[p, 1]):
            for c in range(u.shape[1]):
                y_bar[row + m, c] = inverse * (y_bar[row + m, c] - share * u[row + m, c])
