"""What symmetry functions are products of, over arrays: Gaussians, powers, polynomials, windows."""

from __future__ import annotations

import numpy as np

from ladera.arrays import Floats, Integers
from ladera.kernels.compilation import simd
from ladera.kernels.symmetry_functions.functions import COSINE_FACTOR
from ladera.kernels.vector_math import exponential, logarithm


@simd
def gaussian(
    eta: float,
    shift: float,
    r: Floats,
    f: Floats,
    df: Floats,
    g: Floats,
    dg: Floats,
    work: Floats,
    bits: Integers,
) -> None:
    """g = exp(-eta (r - shift)^2) f and its slope dg, from f = f_c(r) and df = f_c'(r)."""
    n = r.size
    if eta == 0.0:
        for j in range(n):
            g[j] = f[j]
            dg[j] = df[j]
        return
    for j in range(n):
        work[j] = -eta * (r[j] - shift) * (r[j] - shift)
    exponential(work, g, bits)
    for j in range(n):
        dg[j] = g[j] * (df[j] - 2.0 * eta * (r[j] - shift) * f[j])
    for j in range(n):
        g[j] = g[j] * f[j]


@simd
def damp(
    eta: float,
    shift: float,
    count: float,
    total: Floats,
    squares: Floats,
    f: Floats,
    g: Floats,
    work: Floats,
    bits: Integers,
) -> None:
    """g = f exp(-eta sum_i (r_i - shift)^2) from sum_i r_i, sum_i r_i^2 and their number."""
    n = f.size
    if eta == 0.0:
        for j in range(n):
            g[j] = f[j]
        return
    linear, constant = 2.0 * shift, count * shift * shift
    for j in range(n):
        work[j] = -eta * (squares[j] - linear * total[j] + constant)
    exponential(work, g, bits)
    for j in range(n):
        g[j] *= f[j]


@simd
def powers(
    lambda_: float,
    zeta: float,
    cosines: Floats,
    value: Floats,
    slope: Floats,
    work: Floats,
    bits: Integers,
) -> None:
    """b^zeta and its slope zeta lambda b^(zeta-1) in cos theta, b = max(1 + lambda cos theta, 0).

    Both are 0 where b is, also for negative zeta.
    """
    n = cosines.size
    for j in range(n):
        value[j] = max(1.0 + lambda_ * cosines[j], 0.0)
    _power_below(zeta, value, slope, work, bits)
    factor = zeta * lambda_
    for j in range(n):
        base = max(1.0 + lambda_ * cosines[j], 0.0)
        value[j] = slope[j] * base
        slope[j] *= factor if base > 0.0 else 0.0


@simd
def shifted_powers(
    angle: float,
    zeta: float,
    cosines: Floats,
    value: Floats,
    slope: Floats,
    work: Floats,
    bits: Integers,
) -> None:
    """b^zeta and its slope in cos theta, b = 1 + cos(theta' - angle), cos theta' = 0.95 cos theta.

    From cos(theta' - angle) = cos theta' cos(angle) + sin theta' sin(angle), without any arc
    cosine; the sine is above 0.3, and b above 0.05.
    """
    n = cosines.size
    along, across = np.cos(angle), np.sin(angle)
    for j in range(n):
        c = COSINE_FACTOR * cosines[j]
        value[j] = 1.0 + c * along + np.sqrt(1.0 - c * c) * across
    _power_below(zeta, value, slope, work, bits)
    for j in range(n):
        c = COSINE_FACTOR * cosines[j]
        s = np.sqrt(1.0 - c * c)
        below = slope[j]
        value[j] = below * (1.0 + c * along + s * across)
        slope[j] = zeta * COSINE_FACTOR * (along - across * c / s) * below


@simd
def _power_below(zeta: float, base: Floats, result: Floats, work: Floats, bits: Integers) -> None:
    """result = base^(zeta-1) for base >= 0; base is lost.

    A whole zeta takes repeated squaring, any other exp((zeta-1) ln base), which is 1e-300^(zeta-1)
    where base is 0.
    """
    n = base.size
    whole = np.int64(zeta)
    if zeta == whole and whole > 0:
        for j in range(n):
            result[j] = 1.0
        exponent = whole - 1
        while exponent > 0:  # base holds base^(2^i)
            if exponent & 1:
                for j in range(n):
                    result[j] *= base[j]
            exponent >>= 1
            if exponent > 0:
                for j in range(n):
                    base[j] *= base[j]
    else:
        for j in range(n):
            base[j] = max(base[j], 1e-300)
        logarithm(base, work, bits)
        for j in range(n):
            work[j] *= zeta - 1.0
        exponential(work, result, bits)


@simd
def chebyshev(
    order: int,
    row: int,
    cutoff: float,
    r: Floats,
    f: Floats,
    df: Floats,
    g: Floats,
    slope: Floats,
) -> None:
    """Row of g and of its slope: T_n(2 r / cutoff - 1) f, from f = f_c(r) and df = f_c'(r).

    The rows before it are those of the lower orders: g_n = 2 x g_n-1 - g_n-2.
    """
    n = r.size
    this, this_slope = g[row], slope[row]
    scale = 2.0 / cutoff
    if order == 0:
        for j in range(n):
            this[j] = f[j]
            this_slope[j] = df[j]
    elif order == 1:
        for j in range(n):
            x = scale * r[j] - 1.0
            this[j] = x * f[j]
            this_slope[j] = scale * f[j] + x * df[j]
    else:
        last, last_slope, before, before_slope = (
            g[row - 1],
            slope[row - 1],
            g[row - 2],
            slope[row - 2],
        )
        for j in range(n):
            x = 2.0 * (scale * r[j] - 1.0)
            this[j] = x * last[j] - before[j]
            this_slope[j] = 2.0 * scale * last[j] + x * last_slope[j] - before_slope[j]


@simd
def compact_function(
    shape: int,
    left: float,
    right: float,
    x: Floats,
    value: Floats,
    slope: Floats,
    work: Floats,
    bits: Integers,
) -> None:
    """C(x; left, right) and dC/dx of the shape at this position of SHAPES.

    ``work`` and ``bits`` are scratch of the length of x.
    """
    if shape == 0:
        _bump(left, right, x, value, slope, work, bits)
        return
    order = (shape + 1) // 2
    asymmetric = shape % 2 == 0
    middle, scale = 0.5 * (left + right), 2.0 / (right - left)
    q0, q1, q2, q3, q4 = _polynomial(order)
    steepness = (order + 1) * q0
    for j in range(x.size):
        t = min(abs(x[j] - middle) * scale, 1.0)
        rest = 1.0 - t
        inner_slope = 1.0
        if asymmetric:  # y = t (2 - t), 1 - y = (1 - t)^2
            inner_slope = 2.0 * rest
            t = t * (2.0 - t)
            rest = rest * rest
        # s(t) = 1 - s(1 - t) is taken at the nearer end, where it does not cancel.
        near = min(t, rest)
        power = near * near
        power *= near if order > 1 else 1.0
        power *= near if order > 2 else 1.0
        power *= near if order > 3 else 1.0
        end = power * (q0 + near * (q1 + near * (q2 + near * (q3 + near * q4))))
        value[j] = 1.0 - end if t < rest else end
        y = t * rest
        fall = y
        fall *= y if order > 1 else 1.0
        fall *= y if order > 2 else 1.0
        fall *= y if order > 3 else 1.0
        sign = -scale if x[j] > middle else scale
        slope[j] = sign * steepness * fall * inner_slope


@simd
def _polynomial(order: int) -> tuple[float, float, float, float, float]:
    """Coefficients q of 1 - s(t) = t^(order + 1) (q0 + q1 t + ...); ds/dt = -c t^k (1 - t)^k."""
    if order == 1:
        return 3.0, -2.0, 0.0, 0.0, 0.0
    if order == 2:
        return 10.0, -15.0, 6.0, 0.0, 0.0
    if order == 3:
        return 35.0, -84.0, 70.0, -20.0, 0.0
    return 126.0, -420.0, 540.0, -315.0, 70.0


@simd
def _bump(
    left: float,
    right: float,
    x: Floats,
    value: Floats,
    slope: Floats,
    work: Floats,
    bits: Integers,
) -> None:
    """exp(1 - 1/(1 - t^2)) and its slope."""
    middle, scale = 0.5 * (left + right), 2.0 / (right - left)
    for j in range(x.size):
        t = (x[j] - middle) * scale
        rest = max(1.0 - t * t, 1e-30)
        work[j] = 1.0 - 1.0 / rest
        slope[j] = -2.0 * t * scale / (rest * rest)
    exponential(work, value, bits)
    for j in range(x.size):
        vanishes = work[j] < -700.0
        value[j] = 0.0 if vanishes else value[j]
        slope[j] = 0.0 if vanishes else slope[j] * value[j]
