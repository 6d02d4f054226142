"""Elementary functions over arrays, written so that LLVM turns the loops into SIMD code."""

from __future__ import annotations

import numpy as np

from ladera.arrays import Floats, Integers
from ladera.kernels.compilation import exact, simd

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
def logarithm(x: Floats, y: Floats, bits: Integers) -> None:
    """y = ln(x) for normal x > 0, below 2 units in the last place or 1e-16; y and bits as in
    :func:`exponential`.

    x = 2^k m with m from 2^-1/2 to 2^1/2, and ln(m) = 2 artanh((m - 1)/(m + 1)) by its series.
    """
    n = x.size
    whole = y.view(np.int64)
    for j in range(n):
        y[j] = x[j]
    for j in range(n):
        bits[j] = (whole[j] >> 52) - 1023
        whole[j] = (whole[j] & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000
    for j in range(n):
        above = y[j] > 1.4142135623730951
        m = 0.5 * y[j] if above else y[j]
        k = np.float64(np.int32(bits[j])) + (1.0 if above else 0.0)
        s = (m - 1.0) / (m + 1.0)
        z = s * s
        p = 1.0 / 21.0
        p = p * z + 1.0 / 19.0
        p = p * z + 1.0 / 17.0
        p = p * z + 1.0 / 15.0
        p = p * z + 1.0 / 13.0
        p = p * z + 1.0 / 11.0
        p = p * z + 1.0 / 9.0
        p = p * z + 1.0 / 7.0
        p = p * z + 0.2
        p = p * z + 1.0 / 3.0
        y[j] = k * _LN2_HIGH + (k * _LN2_LOW + 2.0 * (s + s * z * p))


@exact
def sine_and_cosine_of_pi(y: float) -> tuple[float, float]:
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
def arc_cosine(cosine: Floats, angle: Floats, sine: Floats) -> None:
    """theta = arccos(cosine) to 1e-15, and sin theta; cosines beyond 1 by rounding count as 1.

    With c = |cosine|: arccos(c) = 2 arcsin(sqrt((1 - c)/2)) where c > 1/2, else
    pi/2 - arcsin(c), and arcsin(y) = y + y^3 P(y^2), P the Chebyshev approximation of degree 11 on
    0 <= y <= 1/2, which is good to 3e-17.
    """
    for j in range(cosine.size):
        c = min(abs(cosine[j]), 1.0)
        far = c > 0.5
        z = 0.5 * (1.0 - c) if far else c * c
        y = np.sqrt(z)
        p = 0.028169218060881412899
        p = p * z - 0.010749050339697807562
        p = p * z + 0.016035514349148823079
        p = p * z + 0.0078029494773533171436
        p = p * z + 0.0118754943826369232
        p = p * z + 0.013929652902326633248
        p = p * z + 0.017355259955786321748
        p = p * z + 0.022372047631744510379
        p = p * z + 0.030381947367098481126
        p = p * z + 0.044642857103423643363
        p = p * z + 0.075000000000207643609
        p = p * z + 0.16666666666666648628
        arc = y + y * z * p
        acute = 2.0 * arc if far else 0.5 * np.pi - arc
        angle[j] = acute if cosine[j] >= 0.0 else np.pi - acute
        sine[j] = np.sqrt((1.0 - c) * (1.0 + c))
