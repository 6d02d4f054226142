"""Coefficients of Legendre polynomials and real spherical harmonics, made once for each plan."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def legendre_coefficients(zeta: int, lambda_: float) -> Floats:
    """kappa_l of 2^(1-zeta) (1 + lambda x)^zeta = sum_l kappa_l P_l(x), (zeta + 1,).

    From x^n = sum_{l = n, n-2, ...} P_l(x) (2l + 1) n! / (2^k k! (l + n + 1)!!), k = (n - l)/2, in
    exact rational arithmetic: the coefficients are right to the last digit.
    """
    kappa = [Fraction(0)] * (zeta + 1)
    for n in range(zeta + 1):
        power = math.comb(zeta, n) * Fraction(lambda_) ** n
        for l in range(n, -1, -2):
            k = (n - l) // 2
            double_factorial = math.prod(range(l + n + 1, 0, -2))
            denominator = 2**k * math.factorial(k) * double_factorial
            kappa[l] += power * Fraction((2 * l + 1) * math.factorial(n), denominator)
    return np.array([float(2 * value / 2**zeta) for value in kappa])


def harmonic_tables(largest: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Recurrence coefficients of N_lm = K_lm d^m P_l(z)/dz^m up to l = ``largest``.

    K_lm = sqrt((2 - delta_m0) (l - m)! / (l + m)!), so that with c_m + i s_m = (x + i y)^m the
    harmonics Y_lm = N_lm c_m, N_lm s_m obey sum_m Y_lm(u) Y_lm(v) = P_l(u.v). Then
    N_lm = a_lm z N_l-1,m - b_lm N_l-2,m and dN_lm/dz = d_lm N_l,m+1.
    """
    a, b, d = (np.zeros((largest + 1, largest + 1)) for _ in range(3))
    diagonal = np.ones(largest + 1)
    for m in range(largest + 1):
        if m > 0:
            # N_mm / N_m-1,m-1 = (2m - 1) K_mm / K_m-1,m-1
            ratio = np.sqrt((2.0 * m - 1.0) / (2.0 * m))
            diagonal[m] = diagonal[m - 1] * ratio * (np.sqrt(2.0) if m == 1 else 1.0)
        for l in range(m, largest + 1):
            if l > m:
                a[l, m] = (2.0 * l - 1.0) / np.sqrt((l - m) * (l + m))
            if l > m + 1:
                b[l, m] = np.sqrt((l + m - 1.0) * (l - m - 1.0) / ((l - m) * (l + m)))
            d[l, m] = np.sqrt((l - m) * (l + m + 1.0)) / (np.sqrt(2.0) if m == 0 else 1.0)
    return a, b, d, diagonal
