"""Edges as the loops over them read them: distances, directions, spline weights, harmonics."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ladera.arrays import Integers, Reals
from ladera.kernels import harmonics
from ladera.kernels.compilation import simd
from ladera.kernels.mace.splines import TERMS

BLOCK = 256  # edges at a time, so that what they need stays in the cache


class Edges(NamedTuple):
    """All edges of a structure. Directions point from the neighbour to the central atom.

    Splines are sum_k basis_k row_k with the rows of ``splines``, their slopes sum_k slope_k row_k.
    """

    distance: Reals  # (n_edges,) Angstrom
    unit: Reals  # (3, n_edges)
    knot: Integers  # (n_edges,) where the interval begins
    basis: Reals  # (TERMS, n_edges)
    slope: Reals  # (TERMS, n_edges) 1/Angstrom
    harmonics: Reals  # (n_lm, n_edges)


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


@simd
def fill_edges(
    begin: int,
    end: int,
    vectors: Reals,
    spacing: float,
    n_knots: int,
    polynomials: Reals,
    edges: Edges,
    t: Reals,
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
def edge_gradients(
    begin: int,
    end: int,
    N: Reals,
    edges: Edges,
    distance_bar: Reals,
    harmonics_bar: Reals,
    rows: Reals,
    gradients: Reals,
) -> None:
    """dE/dr_ij from dE/dr and dE/dY_lm, of at most BLOCK edges; ``rows`` is scratch."""
    n, unit = end - begin, edges.unit
    harmonics.reverse(begin, end, N, unit, harmonics_bar, rows)
    gx, gy, gz = rows[7, :n], rows[8, :n], rows[9, :n]
    x, y, z = unit[0, begin:end], unit[1, begin:end], unit[2, begin:end]
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
    vectors: Reals,
    spacing: float,
    n_knots: int,
    polynomials: Reals,
    N: Reals,
    edges: Edges,
    t: Reals,
    rows: Reals,
) -> None:
    """Everything about the edges ``begin`` to ``end``, block by block."""
    for b in range(begin, end, BLOCK):
        e = min(b + BLOCK, end)
        fill_edges(b, e, vectors, spacing, n_knots, polynomials, edges, t)
        harmonics.fill(b, e, N, edges.unit, edges.harmonics, rows)


@simd
def all_edge_gradients(
    begin: int,
    end: int,
    N: Reals,
    edges: Edges,
    distance_bar: Reals,
    harmonics_bar: Reals,
    rows: Reals,
    gradients: Reals,
) -> None:
    """dE/dr_ij of the edges ``begin`` to ``end``, block by block."""
    for b in range(begin, end, BLOCK):
        e = min(b + BLOCK, end)
        edge_gradients(b, e, N, edges, distance_bar, harmonics_bar, rows, gradients)
