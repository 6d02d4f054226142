"""Edges as the loops over them read them: distances, directions, spline weights, harmonics."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ladera.kernels.compilation import simd
from ladera.kernels.mace.splines import TERMS
from ladera.kernels.mace.tables import Floats, Integers

BLOCK = 256  # edges at a time, so that what they need stays in the cache


class Edges(NamedTuple):
    """All edges of a structure. Directions point from the neighbour to the central atom.

    Splines are sum_k basis_k row_k with the rows of ``splines``, their slopes sum_k slope_k row_k.
    """

    distance: Floats  # (n_edges,) Angstrom
    unit: Floats  # (3, n_edges)
    knot: Integers  # (n_edges,) where the interval begins
    basis: Floats  # (TERMS, n_edges)
    slope: Floats  # (TERMS, n_edges) 1/Angstrom
    harmonics: Floats  # (n_lm, n_edges)


def make_edges(n_edges: int, degree: int, dtype: np.dtype) -> Edges:
    """Room for ``n_edges`` edges with harmonics up to ``degree``."""
    n_lm = (degree + 1) ** 2
    return Edges(
        distance=np.empty(n_edges, dtype),
        unit=np.empty((3, n_edges), dtype),
        knot=np.empty(n_edges, np.int64),
        basis=np.empty((TERMS, n_edges), dtype),
        slope=np.empty((TERMS, n_edges), dtype),
        harmonics=np.empty((n_lm, n_edges), dtype),
    )


def norms(degree: int) -> Floats:
    """N_lm of Y_lm = N_lm T_lm(y) Re or Im (z + i x)^m, (degree + 1, degree + 1).

    Real harmonics with sum_m Y_lm^2 = 2 l + 1 and y as their axis; T_lm = d^m P_l / dy^m.
    """
    N = np.zeros((degree + 1, degree + 1))
    for l in range(degree + 1):
        ratio = 1.0  # (l - m)! / (l + m)!
        for m in range(l + 1):
            N[l, m] = np.sqrt((2 * l + 1) * ratio * (2 if m else 1))
            ratio /= (l + m + 1) * max(l - m, 1)
    return N


@simd
def fill_edges(
    begin: int,
    end: int,
    vectors: Floats,
    spacing: float,
    n_knots: int,
    polynomials: Floats,
    edges: Edges,
    t: Floats,
) -> None:
    """Everything about the edges ``begin`` to ``end`` but the harmonics; ``t`` is scratch."""
    unit, n, inverse_spacing = edges.unit, end - begin, 1.0 / spacing
    for e in range(begin, end):
        x, y, z = vectors[e, 0], vectors[e, 1], vectors[e, 2]
        r = np.sqrt(x * x + y * y + z * z)
        inverse = 1.0 / r
        edges.distance[e] = r
        unit[0, e], unit[1, e], unit[2, e] = -x * inverse, -y * inverse, -z * inverse
    for e in range(begin, end):
        s = edges.distance[e] * inverse_spacing
        k = min(int(s), n_knots - 2)
        edges.knot[e] = k
        t[e - begin] = s - k
    for k in range(TERMS):
        c = polynomials[k]
        basis, slope = edges.basis[k, begin:end], edges.slope[k, begin:end]
        for e in range(n):
            value, rise, x = c[7], 0.0, t[e]
            for p in range(6, -1, -1):
                rise = rise * x + value
                value = value * x + c[p]
            inside = 1.0 if x < 1.0 else 0.0  # beyond the cutoff there is nothing
            basis[e] = inside * value
            slope[e] = inside * rise * inverse_spacing


@simd
def fill_harmonics(begin: int, end: int, N: Floats, edges: Edges, rows: Floats) -> None:
    """Y_lm of the edges ``begin`` to ``end``, at most BLOCK of them; ``rows`` is scratch."""
    degree, n = N.shape[0] - 1, end - begin
    cosine, sine = rows[0, :n], rows[1, :n]
    ones, before, now = rows[2, :n], rows[3, :n], rows[4, :n]
    x, y, z = edges.unit[0, begin:end], edges.unit[1, begin:end], edges.unit[2, begin:end]
    ones[:] = 1
    cosine[:] = 1
    sine[:] = 0
    for m in range(degree + 1):
        if m > 0:  # (z + i x)^m, and T_mm = (2 m - 1)!!
            for e in range(n):
                c = cosine[e] * z[e] - sine[e] * x[e]
                sine[e] = sine[e] * z[e] + cosine[e] * x[e]
                cosine[e] = c
                ones[e] *= 2 * m - 1
        for e in range(n):
            before[e] = 0
            now[e] = ones[e]
        for l in range(m, degree + 1):
            if l > m:
                _legendre_step(l, m, y, before, now)
            plus = edges.harmonics[l * l + l + m, begin:end]
            minus = edges.harmonics[l * l + l - m, begin:end]
            factor = N[l, m]
            for e in range(n):
                minus[e] = factor * now[e] * sine[e]
                plus[e] = factor * now[e] * cosine[e]


@simd
def _legendre_step(l: int, m: int, y: Floats, before: Floats, now: Floats) -> None:
    """T_lm = ((2 l - 1) y T_(l-1)m - (l + m - 1) T_(l-2)m) / (l - m)."""
    for e in range(now.size):
        after = ((2 * l - 1) * y[e] * now[e] - (l + m - 1) * before[e]) / (l - m)
        before[e] = now[e]
        now[e] = after


@simd
def edge_gradients(
    begin: int,
    end: int,
    N: Floats,
    edges: Edges,
    distance_bar: Floats,
    harmonics_bar: Floats,
    rows: Floats,
    gradients: Floats,
) -> None:
    """dE/dr_ij from dE/dr and dE/dY_lm, of at most BLOCK edges; ``rows`` is scratch.

    T_lm' = T_l(m+1), and (z + i x)^m has the slope m (z + i x)^(m-1) along z, i times that along x.
    """
    degree, n = N.shape[0] - 1, end - begin
    cosine, sine, below_c, below_s = rows[0, :n], rows[1, :n], rows[5, :n], rows[6, :n]
    ones, before, now = rows[2, :n], rows[3, :n], rows[4, :n]
    gx, gy, gz = rows[7, :n], rows[8, :n], rows[9, :n]
    x, y, z = edges.unit[0, begin:end], edges.unit[1, begin:end], edges.unit[2, begin:end]
    ones[:] = 1
    cosine[:] = 1
    for scratch in (sine, below_c, below_s, gx, gy, gz):
        scratch[:] = 0
    for m in range(degree + 1):
        if m > 0:
            for e in range(n):
                below_c[e], below_s[e] = cosine[e], sine[e]
                cosine[e] = below_c[e] * z[e] - below_s[e] * x[e]
                sine[e] = below_s[e] * z[e] + below_c[e] * x[e]
                ones[e] *= 2 * m - 1
        for e in range(n):
            before[e] = 0
            now[e] = ones[e]
        for l in range(m, degree + 1):
            if l > m:
                _legendre_step(l, m, y, before, now)
            plus = harmonics_bar[l * l + l + m, begin:end]
            minus = harmonics_bar[l * l + l - m, begin:end]
            factor = m * N[l, m]
            if m > 0:
                for e in range(n):
                    T = factor * now[e]
                    gz[e] += T * (below_c[e] * plus[e] + below_s[e] * minus[e])
                    gx[e] += T * (below_c[e] * minus[e] - below_s[e] * plus[e])
        # T_l(m+1) for the slope along y: the recursion of m + 1 begins at (2 m + 1)!!.
        before[:] = 0
        for e in range(n):
            now[e] = ones[e] * (2 * m + 1)
        for l in range(m + 1, degree + 1):
            if l > m + 1:
                _legendre_step(l, m + 1, y, before, now)
            plus = harmonics_bar[l * l + l + m, begin:end]
            minus = harmonics_bar[l * l + l - m, begin:end]
            factor = N[l, m]
            if m > 0:
                for e in range(n):
                    gy[e] += factor * now[e] * (cosine[e] * plus[e] + sine[e] * minus[e])
            else:
                for e in range(n):
                    gy[e] += factor * now[e] * plus[e]
    for e in range(n):
        inverse = 1.0 / edges.distance[begin + e]
        radial = x[e] * gx[e] + y[e] * gy[e] + z[e] * gz[e]
        along = distance_bar[begin + e] - radial * inverse
        gradients[begin + e, 0] = -(along * x[e] + gx[e] * inverse)
        gradients[begin + e, 1] = -(along * y[e] + gy[e] * inverse)
        gradients[begin + e, 2] = -(along * z[e] + gz[e] * inverse)


@simd
def fill_all(
    begin: int,
    end: int,
    vectors: Floats,
    spacing: float,
    n_knots: int,
    polynomials: Floats,
    N: Floats,
    edges: Edges,
    t: Floats,
    rows: Floats,
) -> None:
    """Everything about the edges ``begin`` to ``end``, block by block."""
    for b in range(begin, end, BLOCK):
        e = min(b + BLOCK, end)
        fill_edges(b, e, vectors, spacing, n_knots, polynomials, edges, t)
        fill_harmonics(b, e, N, edges, rows)


@simd
def all_edge_gradients(
    begin: int,
    end: int,
    N: Floats,
    edges: Edges,
    distance_bar: Floats,
    harmonics_bar: Floats,
    rows: Floats,
    gradients: Floats,
) -> None:
    """dE/dr_ij of the edges ``begin`` to ``end``, block by block."""
    for b in range(begin, end, BLOCK):
        e = min(b + BLOCK, end)
        edge_gradients(b, e, N, edges, distance_bar, harmonics_bar, rows, gradients)
