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

from math import sqrt

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
