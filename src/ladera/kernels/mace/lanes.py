"""Four edges at a time, channels innermost: a load and store of a message's row serves all four."""

from __future__ import annotations

from typing import Any

from ladera.arrays import Reals
from ladera.kernels.compilation import inlined

LANES = 4


@inlined
def times(x: Reals, w: Reals, f: Reals) -> None:
    """f = w x of one edge."""
    for c in range(w.size):
        f[c] = w[c] * x[c]


@inlined
def times_and_clear(x: Reals, w: Reals, f: Reals, f_bar: Reals) -> None:
    """f = w x of one edge, f_bar = 0."""
    zero = f.dtype.type(0)
    for c in range(w.size):
        f[c] = w[c] * x[c]
        f_bar[c] = zero


@inlined
def add(message: Reals, Z: Reals, f: Reals) -> None:
    """One term of four edges."""
    f0, f1, f2, f3 = f[0], f[1], f[2], f[3]
    z0, z1, z2, z3 = Z[0], Z[1], Z[2], Z[3]
    for c in range(message.size):
        message[c] += z0 * f0[c] + z1 * f1[c] + z2 * f2[c] + z3 * f3[c]


@inlined
def add_two(message: Reals, other: Reals, Z: Reals, Y: Reals, f: Reals) -> None:
    """Two terms of four edges."""
    f0, f1, f2, f3 = f[0], f[1], f[2], f[3]
    z0, z1, z2, z3 = Z[0], Z[1], Z[2], Z[3]
    y0, y1, y2, y3 = Y[0], Y[1], Y[2], Y[3]
    for c in range(message.size):
        v0, v1, v2, v3 = f0[c], f1[c], f2[c], f3[c]
        message[c] += z0 * v0 + z1 * v1 + z2 * v2 + z3 * v3
        other[c] += y0 * v0 + y1 * v1 + y2 * v2 + y3 * v3


@inlined
def add_reverse(bar: Reals, Z: Reals, Z_bar: Reals, f: Reals, f_bar: Reals) -> None:
    """Gradients of one term of four edges."""
    f0, f1, f2, f3 = f[0], f[1], f[2], f[3]
    g0, g1, g2, g3 = f_bar[0], f_bar[1], f_bar[2], f_bar[3]
    z0, z1, z2, z3 = Z[0], Z[1], Z[2], Z[3]
    s0 = s1 = s2 = s3 = bar.dtype.type(0)
    for c in range(bar.size):
        m = bar[c]
        s0 += f0[c] * m
        s1 += f1[c] * m
        s2 += f2[c] * m
        s3 += f3[c] * m
        g0[c] += z0 * m
        g1[c] += z1 * m
        g2[c] += z2 * m
        g3[c] += z3 * m
    Z_bar[0], Z_bar[1], Z_bar[2], Z_bar[3] = s0, s1, s2, s3


@inlined
def add_two_reverse(
    bar: Reals,
    other: Reals,
    Z: Reals,
    Y: Reals,
    Z_bar: Reals,
    Y_bar: Reals,
    f: Reals,
    f_bar: Reals,
) -> None:
    """Gradients of two terms of four edges."""
    f0, f1, f2, f3 = f[0], f[1], f[2], f[3]
    g0, g1, g2, g3 = f_bar[0], f_bar[1], f_bar[2], f_bar[3]
    z0, z1, z2, z3 = Z[0], Z[1], Z[2], Z[3]
    y0, y1, y2, y3 = Y[0], Y[1], Y[2], Y[3]
    s0 = s1 = s2 = s3 = bar.dtype.type(0)
    t0 = t1 = t2 = t3 = bar.dtype.type(0)
    for c in range(bar.size):
        m, n = bar[c], other[c]
        v0, v1, v2, v3 = f0[c], f1[c], f2[c], f3[c]
        s0 += v0 * m
        s1 += v1 * m
        s2 += v2 * m
        s3 += v3 * m
        t0 += v0 * n
        t1 += v1 * n
        t2 += v2 * n
        t3 += v3 * n
        g0[c] += z0 * m + y0 * n
        g1[c] += z1 * m + y1 * n
        g2[c] += z2 * m + y2 * n
        g3[c] += z3 * m + y3 * n
    Z_bar[0], Z_bar[1], Z_bar[2], Z_bar[3] = s0, s1, s2, s3
    Y_bar[0], Y_bar[1], Y_bar[2], Y_bar[3] = t0, t1, t2, t3


@inlined
def sender_reverse(x: Reals, w: Reals, slope: Reals, f_bar: Reals, x_bar: Reals) -> Any:
    """Add to dE/dx of a sender; the slope along the distance."""
    total = x.dtype.type(0)
    for c in range(x.size):
        x_bar[c] += w[c] * f_bar[c]
        total += slope[c] * x[c] * f_bar[c]
    return total
