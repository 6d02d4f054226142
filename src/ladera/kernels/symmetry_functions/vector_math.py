"""Elementary functions over arrays, written so that LLVM turns the loops into SIMD code."""

from __future__ import annotations

import numpy as np

from ladera.kernels.compilation import exact, simd
from ladera.kernels.symmetry_functions.plan import Floats, Integers

_LOG2_E = 1.4426950408889634
_LN2_HIGH = 6.93147180369123816490e-01  # the leading bits of ln 2, so that k * high is exact
_LN2_LOW = 1.90821492927058770002e-10


@exact
def exponential(x: Floats, y: Floats, bits: Integers) -> None:
    """y = exp(x) for x <= 700, below 2 units in the last place; 0 or denormal below -708.

    exp(x) = 2^k exp(r), k = round(x / ln 2), |r| <= ln(2)/2, Taylor's series to r^13. ``bits`` is
    int64 scratch; x, y and bits have the same length.
    """
    n = x.size
    for j in range(n):
        t = min(max(x[j], -708.0), 700.0)
        k = np.floor(t * _LOG2_E + 0.5)
        r = (t - k * _LN2_HIGH) - k * _LN2_LOW
        p = 1.0 / 6227020800.0
        p = p * r + 1.0 / 479001600.0
        p = p * r + 1.0 / 39916800.0
        p = p * r + 1.0 / 3628800.0
        p = p * r + 1.0 / 362880.0
        p = p * r + 1.0 / 40320.0
        p = p * r + 1.0 / 5040.0
        p = p * r + 1.0 / 720.0
        p = p * r + 1.0 / 120.0
        p = p * r + 1.0 / 24.0
        p = p * r + 1.0 / 6.0
        p = p * r + 0.5
        p = p * r + 1.0
        y[j] = p * r + 1.0
        bits[j] = (np.int64(np.int32(k)) + 1023) << 52
    scale = bits.view(np.float64)
    for j in range(n):
        y[j] = y[j] * scale[j] if x[j] == x[j] else x[j]  # a NaN stays one


@exact
def _sine_and_cosine_of_pi(y: float) -> tuple[float, float]:
    """sin(pi y) and cos(pi y) for |y| <= 1/2 by Taylor's series, to 1e-16."""
    t = np.pi * y
    s = t * t
    p = 1.0 / 51090942171709440000.0
    p = -1.0 / 121645100408832000.0 + s * p
    p = 1.0 / 355687428096000.0 + s * p
    p = -1.0 / 1307674368000.0 + s * p
    p = 1.0 / 6227020800.0 + s * p
    p = -1.0 / 39916800.0 + s * p
    p = 1.0 / 362880.0 + s * p
    p = -1.0 / 5040.0 + s * p
    p = 1.0 / 120.0 + s * p
    p = -1.0 / 6.0 + s * p
    sine = t + t * s * p
    q = 1.0 / 2432902008176640000.0 + s * (-1.0 / 1124000727777607680000.0)
    q = -1.0 / 6402373705728000.0 + s * q
    q = 1.0 / 20922789888000.0 + s * q
    q = -1.0 / 87178291200.0 + s * q
    q = 1.0 / 479001600.0 + s * q
    q = -1.0 / 3628800.0 + s * q
    q = 1.0 / 40320.0 + s * q
    q = -1.0 / 720.0 + s * q
    q = 1.0 / 24.0 + s * q
    q = -0.5 + s * q
    return sine, 1.0 + s * q


@simd
def cutoff_function(
    kind: int,
    alpha: float,
    cutoff: float,
    r: Floats,
    f: Floats,
    df: Floats,
    work: Floats,
    bits: Integers,
) -> None:
    """f_c(r) and f_c'(r) for the cutoff functions 0-8 of RuNNer and n2p2.

    With x = (r - alpha cutoff) / (cutoff - alpha cutoff), f = 1 for x < 0 and 0 for x >= 1:
    0 hard 1; 1 cosine (cos(pi x) + 1)/2; 2 tanh^3(1 - r/cutoff); 3 the same over tanh^3(1);
    4 exp(1 - 1/(1 - x^2)); 5-8 the polynomials in x of degree 3, 5, 7, 9 that are flat at both
    ends. 2 and 3 do not know alpha. ``work`` and ``bits`` are scratch of the length of r.
    """
    n = r.size
    inner = alpha * cutoff
    scale = 1.0 / (cutoff - inner)
    if kind == 0:
        for j in range(n):
            f[j] = 1.0 if r[j] < cutoff else 0.0
            df[j] = 0.0
    elif kind == 1:
        for j in range(n):
            x = min(max((r[j] - inner) * scale, 0.0), 1.0)
            sine, cosine = _sine_and_cosine_of_pi(x - 0.5)  # cos(pi x) = -sin(pi (x - 1/2))
            f[j] = 0.5 * (1.0 - sine)
            df[j] = -0.5 * np.pi * scale * cosine
        for j in range(n):
            outside = r[j] >= cutoff
            f[j] = 0.0 if outside else f[j]
            df[j] = 0.0 if outside or r[j] <= inner else df[j]
    elif kind in (2, 3):
        norm = 1.0 if kind == 2 else 1.0 / np.tanh(1.0) ** 3
        for j in range(n):
            work[j] = -2.0 * max(1.0 - r[j] / cutoff, 0.0)
        exponential(work, f, bits)
        for j in range(n):
            t = (1.0 - f[j]) / (1.0 + f[j])
            f[j] = norm * t * t * t
            df[j] = -3.0 * norm / cutoff * t * t * (1.0 - t * t)
    elif kind == 4:
        for j in range(n):
            x = min(max((r[j] - inner) * scale, 0.0), 1.0)
            rest = max(1.0 - x * x, 1e-30)
            work[j] = 1.0 - 1.0 / rest
            df[j] = -2.0 * x * scale / (rest * rest)
        exponential(work, f, bits)
        for j in range(n):
            vanishes = work[j] < -700.0
            f[j] = 0.0 if vanishes else f[j]
            df[j] = 0.0 if vanishes else df[j] * f[j]
    else:
        _polynomial_cutoff(kind, inner, scale, r, f, df)


@simd
def _polynomial_cutoff(
    kind: int, inner: float, scale: float, r: Floats, f: Floats, df: Floats
) -> None:
    """Cutoff functions 5-8. Their slopes are -c x^k (1 - x)^k with k = kind - 4.

    1 - f(x) = f(1 - x): the polynomial is taken at the nearer end, where it does not cancel.
    """
    n = r.size
    for j in range(n):
        x = min(max((r[j] - inner) * scale, 0.0), 1.0)
        t = min(x, 1.0 - x)
        y = x * (1.0 - x)
        if kind == 5:
            rest = t * t * (3.0 - 2.0 * t)
            slope = 6.0 * y
        elif kind == 6:
            rest = t * t * t * (10.0 - t * (15.0 - 6.0 * t))
            slope = 30.0 * y * y
        elif kind == 7:
            rest = t * t * t * t * (35.0 - t * (84.0 - t * (70.0 - 20.0 * t)))
            slope = 140.0 * y * y * y
        else:
            rest = t * t * t * t * t * (126.0 - t * (420.0 - t * (540.0 - t * (315.0 - 70.0 * t))))
            slope = 630.0 * y * y * y * y
        f[j] = 1.0 - rest if x < 0.5 else rest
        df[j] = -scale * slope


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
def powers(lambda_: float, zeta: float, cosines: Floats, value: Floats, slope: Floats) -> None:
    """b^zeta and its slope zeta lambda b^(zeta-1) in cos theta, b = max(1 + lambda cos theta, 0).

    A whole zeta takes repeated squaring, any other the power function. Both are 0 where b is, also
    for negative zeta.
    """
    n = cosines.size
    whole = np.int64(zeta)
    if zeta == whole and whole > 0:
        for j in range(n):
            value[j] = max(1.0 + lambda_ * cosines[j], 0.0)  # holds b^(2^i)
            slope[j] = 1.0
        exponent = whole - 1
        while exponent > 0:
            if exponent & 1:
                for j in range(n):
                    slope[j] *= value[j]
            exponent >>= 1
            if exponent > 0:
                for j in range(n):
                    value[j] *= value[j]
    else:
        for j in range(n):
            base = 1.0 + lambda_ * cosines[j]
            slope[j] = base ** (zeta - 1.0) if base > 0.0 else 0.0
    factor = zeta * lambda_
    for j in range(n):
        base = max(1.0 + lambda_ * cosines[j], 0.0)
        value[j] = slope[j] * base
        slope[j] *= factor if base > 0.0 else 0.0
