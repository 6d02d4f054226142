"""Compact functions of distances and angles, over arrays (Bircher et al., see ``functions``)."""

from __future__ import annotations

import numpy as np

from ladera.kernels.compilation import simd
from ladera.kernels.symmetry_functions.plan import Floats, Integers
from ladera.kernels.symmetry_functions.vector_math import exponential


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
