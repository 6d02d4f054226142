"""Clebsch-Gordan coefficients of real spherical harmonics."""

from __future__ import annotations

from functools import cache
from math import factorial, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ladera.arrays import Floats

# The phase of a real coefficient with odd l1 + l2 + l3 is a matter of taste: the formula below
# leaves its sign open. e3nn 0.4.4, in whose convention weights of MACE are published, has taken
# the other sign for these (l1, l2, l3). They are in the couplings of three and more neighbours.
_TURNED: Final = frozenset(
    {
        *((1, 2, 2), (1, 3, 3), (1, 4, 4), (1, 5, 5), (2, 1, 2), (2, 2, 1), (3, 1, 3), (3, 3, 1)),
        *((3, 4, 6), (3, 5, 7), (4, 1, 4), (4, 3, 6), (4, 4, 1), (4, 4, 5), (4, 5, 4), (4, 5, 6)),
        *((5, 1, 5), (5, 3, 7), (5, 4, 4), (5, 4, 6), (5, 5, 1), (5, 5, 5)),
    }
)


@cache
def clebsch_gordan(l1: int, l2: int, l3: int) -> Floats:
    r"""Coefficients C_{abc} that couple real harmonics, (2 l1 + 1, 2 l2 + 1, 2 l3 + 1).

    With the matrix Q_l of complex in terms of real harmonics and Racah's coefficients,

        C_abc = N sum_ikn Q1_ia Q2_kb Re[conj(Q3_nc) <l1 i l2 k | l3 n>],    sum_abc C_abc^2 = 1,

    so that x_a y_b C_abc turns as a harmonic of degree l3 when x and y turn as l1 and l2. Zero
    where l1, l2, l3 are no triangle.
    """
    if not abs(l1 - l2) <= l3 <= l1 + l2:
        return np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    q1, q2, q3 = (_real_harmonics(l) for l in (l1, l2, l3))
    racah = _racah(l1, l2, l3)
    tensor = np.einsum("ia,kb,nc,ikn->abc", q1, q2, q3.conj(), racah).real
    tensor[np.abs(tensor) < 1e-14] = 0.0
    sign = -1.0 if is_turned(l1, l2, l3) else 1.0
    result: Floats = sign * tensor / np.linalg.norm(tensor)
    result.flags.writeable = False
    return result


def is_turned(l1: int, l2: int, l3: int) -> bool:
    """Whether e3nn has the other sign of these coefficients since version 0.5, as e3nn-jax has."""
    return (l1, l2, l3) in _TURNED


def _real_harmonics(l: int) -> NDArray[np.complex128]:
    """Rows: complex harmonics m = -l ... l, columns: the real ones they are made of."""
    q = np.zeros((2 * l + 1, 2 * l + 1), dtype=np.complex128)
    q[l, l] = 1
    for m in range(1, l + 1):
        q[l - m, l + m], q[l - m, l - m] = 1 / sqrt(2), -1j / sqrt(2)
        q[l + m, l + m], q[l + m, l - m] = (-1) ** m / sqrt(2), 1j * (-1) ** m / sqrt(2)
    return (-1j) ** l * q


def _racah(l1: int, l2: int, l3: int) -> Floats:
    """<l1 m1 l2 m2 | l3 m3> by Racah's formula, (2 l1 + 1, 2 l2 + 1, 2 l3 + 1)."""
    found = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    f = factorial
    triangle = (2 * l3 + 1) * f(l1 + l2 - l3) * f(l1 - l2 + l3) * f(-l1 + l2 + l3)
    norm = triangle / f(l1 + l2 + l3 + 1)
    for m1 in range(-l1, l1 + 1):
        for m2 in range(max(-l2, -l3 - m1), min(l2, l3 - m1) + 1):
            m3 = m1 + m2
            root = f(l1 + m1) * f(l1 - m1) * f(l2 + m2) * f(l2 - m2) * f(l3 + m3) * f(l3 - m3)
            total = 0.0
            first = max(0, l2 - l3 - m1, l1 - l3 + m2)
            for k in range(first, min(l1 + l2 - l3, l1 - m1, l2 + m2) + 1):
                denominator = f(k) * f(l1 + l2 - l3 - k) * f(l1 - m1 - k) * f(l2 + m2 - k)
                denominator *= f(l3 - l2 + m1 + k) * f(l3 - l1 - m2 + k)
                total += (-1) ** k / denominator
            found[l1 + m1, l2 + m2, l3 + m3] = sqrt(norm) * sqrt(root) * total
    return found
