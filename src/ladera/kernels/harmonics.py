r"""Real spherical harmonics of directions.

With a unit vector (x, y, z), y the polar axis, and (z + i x)^m = A_m + i B_m,

    Y_l0 = N_l0 T_l0(y),    Y_lm = N_lm T_lm(y) A_m,    Y_l-m = N_lm T_lm(y) B_m,    m = 1 ... l

    T_lm(y) = d^m P_l / dy^m,    N_lm = sqrt((2 l + 1) (2 - delta_m0) (l - m)! / (l + m)!)

with the Legendre polynomials P_l. Then sum_m Y_lm^2 = 2 l + 1: this is the "component" norm, and
with y as the axis the order, of e3nn 0.4.4. Components stand l by l, m = -l ... l. As a polynomial
in x, y and z none has a pole. See e.g. Limpanuparb and Milthorpe, arXiv:1410.1748 (2014), for the
recursions.

:func:`spherical_harmonics` is the reference in torch; :func:`fill` and :func:`reverse` are loops,
edges innermost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from math import sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ladera.arrays import Floats, Reals
from ladera.kernels.compilation import simd


def spherical_harmonics(vectors: Tensor, l_max: int) -> Tensor:
    r"""Y_lm of the directions of vectors (n, 3), (n, (l_max + 1)^2).

    With q_lm = T_lm sqrt((l - m)! / (l + m)!), from

        q_mm = sqrt((2m - 1) / 2m) q_m-1,m-1
        sqrt(l^2 - m^2) q_lm = (2l - 1) y q_l-1,m - sqrt((l - 1)^2 - m^2) q_l-2,m

    a recursion that is stable upwards in l.
    """
    x, y, z = (vectors / vectors.norm(dim=1, keepdim=True)).unbind(1)
    rows: list[list[Tensor]] = [[torch.empty(0)] * (2 * l + 1) for l in range(l_max + 1)]
    cosine, sine, diagonal = torch.ones_like(x), torch.zeros_like(x), 1.0
    for m in range(l_max + 1):
        if m > 0:
            cosine, sine = (z, x) if m == 1 else (cosine * z - sine * x, cosine * x + sine * z)
            diagonal *= sqrt((2 * m - 1) / (2 * m))
        for l, q in enumerate(_legendre(y, m, l_max, diagonal), start=m):
            factor = sqrt(2 * l + 1) * (1.0 if m == 0 else sqrt(2))
            if m == 0:
                rows[l][l] = factor * q
            else:
                rows[l][l + m], rows[l][l - m] = factor * q * cosine, factor * q * sine
    return torch.stack([component for row in rows for component in row], dim=1)


def _legendre(y: Tensor, m: int, l_max: int, diagonal: float) -> list[Tensor]:
    """q_lm for l = m ... l_max."""
    values = [torch.full_like(y, diagonal)]
    for l in range(m + 1, l_max + 1):
        q = (2 * l - 1) * y * values[-1]
        if l > m + 1:
            q = q - sqrt((l - 1) ** 2 - m**2) * values[-2]
        values.append(q / sqrt(l**2 - m**2))
    return values


def norms(degree: int) -> Floats:
    """N_lm, (degree + 1, degree + 1)."""
    N = np.zeros((degree + 1, degree + 1))
    for l in range(degree + 1):
        ratio = 1.0  # (l - m)! / (l + m)!
        for m in range(l + 1):
            N[l, m] = np.sqrt((2 * l + 1) * ratio * (2 if m else 1))
            ratio /= (l + m + 1) * max(l - m, 1)
    return N


FORWARD_ROWS, REVERSE_ROWS = 5, 10  # of scratch


@simd
def fill(start: int, stop: int, N: Reals, unit: Reals, harmonics: Reals, rows: Reals) -> None:
    """Y_lm (n_lm, n) of the edges ``start`` to ``stop``, with directions ``unit`` (3, n).

    ``rows`` (FORWARD_ROWS, stop - start or more) is scratch.
    """
    degree, n = N.shape[0] - 1, stop - start
    cosine, sine = rows[0, :n], rows[1, :n]
    double_factorial, before, now = rows[2, :n], rows[3, :n], rows[4, :n]
    x, y, z = unit[0, start:stop], unit[1, start:stop], unit[2, start:stop]
    double_factorial[:] = 1
    cosine[:] = 1
    sine[:] = 0
    for m in range(degree + 1):
        if m > 0:  # (z + i x)^m, and T_mm = (2 m - 1)!!
            for e in range(n):
                c = cosine[e] * z[e] - sine[e] * x[e]
                sine[e] = sine[e] * z[e] + cosine[e] * x[e]
                cosine[e] = c
                double_factorial[e] *= 2 * m - 1
        for e in range(n):
            before[e] = 0
            now[e] = double_factorial[e]
        for l in range(m, degree + 1):
            if l > m:
                _legendre_step(l, m, y, before, now)
            plus = harmonics[l * l + l + m, start:stop]
            minus = harmonics[l * l + l - m, start:stop]
            factor = N[l, m]
            for e in range(n):
                minus[e] = factor * now[e] * sine[e]
                plus[e] = factor * now[e] * cosine[e]


@simd
def _legendre_step(l: int, m: int, y: Reals, before: Reals, now: Reals) -> None:
    """T_lm = ((2 l - 1) y T_(l-1)m - (l + m - 1) T_(l-2)m) / (l - m)."""
    for e in range(now.size):
        after = ((2 * l - 1) * y[e] * now[e] - (l + m - 1) * before[e]) / (l - m)
        before[e] = now[e]
        now[e] = after


@simd
def reverse(
    start: int, stop: int, N: Reals, unit: Reals, harmonics_bar: Reals, rows: Reals
) -> None:
    """dE/d(x, y, z), not yet projected on the sphere, from dE/dY_lm (n_lm, n).

    Of the edges ``start`` to ``stop``, to the last three of the scratch ``rows`` (REVERSE_ROWS,
    stop - start or more). T_lm' = T_l(m+1), and (z + i x)^m has the slope m (z + i x)^(m-1) along
    z, i times that along x.
    """
    degree, n = N.shape[0] - 1, stop - start
    cosine, sine, below_c, below_s = rows[0, :n], rows[1, :n], rows[5, :n], rows[6, :n]
    double_factorial, before, now = rows[2, :n], rows[3, :n], rows[4, :n]
    gx, gy, gz = rows[7, :n], rows[8, :n], rows[9, :n]
    x, y, z = unit[0, start:stop], unit[1, start:stop], unit[2, start:stop]
    double_factorial[:] = 1
    cosine[:] = 1
    for scratch in (sine, below_c, below_s, gx, gy, gz):
        scratch[:] = 0
    for m in range(degree + 1):
        if m > 0:
            for e in range(n):
                below_c[e], below_s[e] = cosine[e], sine[e]
                cosine[e] = below_c[e] * z[e] - below_s[e] * x[e]
                sine[e] = below_s[e] * z[e] + below_c[e] * x[e]
                double_factorial[e] *= 2 * m - 1
        for e in range(n):
            before[e] = 0
            now[e] = double_factorial[e]
        for l in range(m, degree + 1):
            if l > m:
                _legendre_step(l, m, y, before, now)
            plus = harmonics_bar[l * l + l + m, start:stop]
            minus = harmonics_bar[l * l + l - m, start:stop]
            factor = m * N[l, m]
            if m > 0:
                for e in range(n):
                    T = factor * now[e]
                    gz[e] += T * (below_c[e] * plus[e] + below_s[e] * minus[e])
                    gx[e] += T * (below_c[e] * minus[e] - below_s[e] * plus[e])
        # T_l(m+1) for the slope along y: the recursion of m + 1 begins at (2 m + 1)!!.
        before[:] = 0
        for e in range(n):
            now[e] = double_factorial[e] * (2 * m + 1)
        for l in range(m + 1, degree + 1):
            if l > m + 1:
                _legendre_step(l, m + 1, y, before, now)
            plus = harmonics_bar[l * l + l + m, start:stop]
            minus = harmonics_bar[l * l + l - m, start:stop]
            factor = N[l, m]
            if m > 0:
                for e in range(n):
                    gy[e] += factor * now[e] * (cosine[e] * plus[e] + sine[e] * minus[e])
            else:
                for e in range(n):
                    gy[e] += factor * now[e] * plus[e]


# The same harmonics where they are summed over the neighbours of an atom. Here z is the polar axis
# and sum_m Y_lm(u) Y_lm(v) = P_l(u.v), so that moments multiply to a Legendre series; and the
# factors of Y_lm = N_lm(z) (x + i y)^m are kept apart, real and imaginary part for m >= 0, since
# the derivatives are made of them.


class Recurrence(NamedTuple):
    """Coefficients [l, m] of N_lm = K_lm d^m P_l(z)/dz^m, K_lm^2 = (2 - delta_m0) (l-m)!/(l+m)!.

    N_lm = a_lm z N_l-1,m - b_lm N_l-2,m and dN_lm/dz = d_lm N_l,m+1.
    """

    a: Floats
    b: Floats
    d: Floats
    diagonal: Floats  # N_mm


def recurrence(degree: int) -> Recurrence:
    """The coefficients up to l = ``degree``."""
    a, b, d = (np.zeros((degree + 1, degree + 1)) for _ in range(3))
    diagonal = np.ones(degree + 1)
    for m in range(degree + 1):
        if m > 0:
            # N_mm / N_m-1,m-1 = (2m - 1) K_mm / K_m-1,m-1
            ratio = np.sqrt((2.0 * m - 1.0) / (2.0 * m))
            diagonal[m] = diagonal[m - 1] * ratio * (np.sqrt(2.0) if m == 1 else 1.0)
        for l in range(m, degree + 1):
            if l > m:
                a[l, m] = (2.0 * l - 1.0) / np.sqrt((l - m) * (l + m))
            if l > m + 1:
                b[l, m] = np.sqrt((l + m - 1.0) * (l - m - 1.0) / ((l - m) * (l + m)))
            d[l, m] = np.sqrt((l - m) * (l + m + 1.0)) / (np.sqrt(2.0) if m == 0 else 1.0)
    return Recurrence(a, b, d, diagonal)


@simd
def lm(l: int, m: int) -> int:
    """Position of l, m >= 0: all m of an l lie together."""
    return l * (l + 1) // 2 + m


@simd
def fill_factors(
    degree: int,
    table: Recurrence,
    n: int,
    unit: Floats,
    cosine: Floats,
    sine: Floats,
    legendre: Floats,
) -> None:
    """(x + i y)^m, ``cosine`` and ``sine`` (degree + 1, n), and N_lm(z), ``legendre`` (n_lm, n).

    Of n directions ``unit`` (3, n), neighbours innermost; all of them may be longer.
    """
    x, y, z = unit[0], unit[1], unit[2]
    for j in range(n):
        cosine[0, j] = 1.0
        sine[0, j] = 0.0
    for m in range(1, degree + 1):
        c, s, c_below, s_below = cosine[m], sine[m], cosine[m - 1], sine[m - 1]
        for j in range(n):
            c[j] = x[j] * c_below[j] - y[j] * s_below[j]
            s[j] = x[j] * s_below[j] + y[j] * c_below[j]
    for m in range(degree + 1):
        diagonal = legendre[lm(m, m)]
        for j in range(n):
            diagonal[j] = table.diagonal[m]
        if m < degree:
            now, a = legendre[lm(m + 1, m)], table.a[m + 1, m]
            for j in range(n):
                now[j] = a * z[j] * diagonal[j]
        for l in range(m + 2, degree + 1):
            now, below, before = legendre[lm(l, m)], legendre[lm(l - 1, m)], legendre[lm(l - 2, m)]
            a, b = table.a[l, m], table.b[l, m]
            for j in range(n):
                now[j] = a * z[j] * below[j] - b * before[j]


class HarmonicRow(NamedTuple):
    """The harmonics of one direction, by l and then m: SIMD over them where neighbours are few."""

    circle: Floats  # (2, degree + 1) (x + i y)^m
    legendre: Floats  # (n_lm,) N_lm
    harmonic: Floats  # (2, n_lm) Y_lm


@simd
def fill_row(
    degree: int, table: Recurrence, x: float, y: float, z: float, row: HarmonicRow
) -> None:
    """All of a row."""
    c, s, N = row.circle[0], row.circle[1], row.legendre
    c[0], s[0] = 1.0, 0.0
    for m in range(1, degree + 1):
        c[m] = x * c[m - 1] - y * s[m - 1]
        s[m] = x * s[m - 1] + y * c[m - 1]
    for l in range(degree + 1):
        now = N[lm(l, 0) : lm(l, l) + 1]
        now[l] = table.diagonal[l]
        if l > 0:
            below = N[lm(l - 1, 0) : lm(l, 0)]
            now[l - 1] = table.a[l, l - 1] * z * below[l - 1]
        if l > 1:
            before = N[lm(l - 2, 0) : lm(l - 1, 0)]
            a, b = table.a[l], table.b[l]
            for m in range(l - 1):
                now[m] = a[m] * z * below[m] - b[m] * before[m]
        one, two = row.harmonic[0, lm(l, 0) :], row.harmonic[1, lm(l, 0) :]
        for m in range(l + 1):
            one[m] = now[m] * c[m]
            two[m] = now[m] * s[m]


@simd
def reverse_row(
    degree: int, table: Recurrence, row: HarmonicRow, bar: Floats
) -> tuple[float, float, float]:
    """dE/d(x, y, z), not projected on the sphere, from dE/dY_lm (2, n_lm).

    d(x + i y)^m = m (x + i y)^(m-1) (dx + i dy).
    """
    c, s = row.circle[0], row.circle[1]
    x_bar, y_bar, z_bar = 0.0, 0.0, 0.0
    for l in range(1, degree + 1):
        N = row.legendre[lm(l, 0) : lm(l, l) + 1]
        one, two, d = bar[0, lm(l, 0) :], bar[1, lm(l, 0) :], table.d[l]
        for m in range(1, l + 1):
            mN = m * N[m]
            x_bar += mN * (one[m] * c[m - 1] + two[m] * s[m - 1])
            y_bar += mN * (two[m] * c[m - 1] - one[m] * s[m - 1])
            z_bar += d[m - 1] * N[m] * (one[m - 1] * c[m - 1] + two[m - 1] * s[m - 1])
    return x_bar, y_bar, z_bar


@simd
def tangent_row(
    degree: int,
    table: Recurrence,
    row: HarmonicRow,
    x_dot: float,
    y_dot: float,
    z_dot: float,
    dot: Floats,
) -> None:
    """dY_lm (2, n_lm) along a change of the direction."""
    c, s = row.circle[0], row.circle[1]
    for l in range(degree + 1):
        N = row.legendre[lm(l, 0) : lm(l, l) + 1]
        one, two, d = dot[0, lm(l, 0) :], dot[1, lm(l, 0) :], table.d[l]
        one[l], two[l] = 0.0, 0.0
        for m in range(l):
            dN = d[m] * N[m + 1] * z_dot
            one[m] = dN * c[m]
            two[m] = dN * s[m]
        for m in range(1, l + 1):
            mN = m * N[m]
            one[m] += mN * (c[m - 1] * x_dot - s[m - 1] * y_dot)
            two[m] += mN * (s[m - 1] * x_dot + c[m - 1] * y_dot)


def legendre_coefficients(zeta: int, lambda_: float) -> Floats:
    """kappa_l of 2^(1-zeta) (1 + lambda x)^zeta = sum_l kappa_l P_l(x), (zeta + 1,)."""
    scale, power = Fraction(2) ** (1 - zeta), Fraction(lambda_)
    return _legendre_series([scale * math.comb(zeta, n) * power**n for n in range(zeta + 1)])


def chebyshev_coefficients(order: int) -> Floats:
    """kappa_l of the Chebyshev polynomial T_n(x) = sum_l kappa_l P_l(x), (n + 1,)."""
    last, this = [Fraction(0)], [Fraction(1)]  # those of T_n-1 and T_n, powers of x ascending
    for n in range(order):
        twice = [Fraction(0), *((1 if n == 0 else 2) * value for value in this)]
        rest = [*last, *[Fraction(0)] * (len(twice) - len(last))]
        last, this = this, [a - b for a, b in zip(twice, rest, strict=True)]
    return _legendre_series(this)


def _legendre_series(powers: Sequence[Fraction]) -> Floats:
    """kappa_l of sum_n powers_n x^n = sum_l kappa_l P_l(x).

    From x^n = sum_{l = n, n-2, ...} P_l(x) (2l + 1) n! / (2^k k! (l + n + 1)!!), k = (n - l)/2, in
    exact rational arithmetic: the coefficients are right to the last digit.
    """
    kappa = [Fraction(0)] * len(powers)
    for n, power in enumerate(powers):
        for l in range(n, -1, -2):
            k = (n - l) // 2
            double_factorial = math.prod(range(l + n + 1, 0, -2))
            denominator = 2**k * math.factorial(k) * double_factorial
            kappa[l] += power * Fraction((2 * l + 1) * math.factorial(n), denominator)
    return np.array([float(value) for value in kappa])
