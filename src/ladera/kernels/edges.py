"""Edges as the loops over them read them: distances, directions, spline weights, harmonics."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ladera.arrays import Integers, Reals
from ladera.halo import Halo
from ladera.kernels import harmonics
from ladera.kernels.compilation import simd
from ladera.kernels.splines import TERMS, Knots

BLOCK = 256  # edges at a time, so that what they need stays in the cache


class System(NamedTuple):
    """A structure as :class:`ladera.graph.Graph` has it."""

    species: Integers  # (n_atoms,) indices of the model's elements
    vectors: Reals  # (n_edges, 3) in the precision of the model, Angstrom
    row_pointer: Integers  # (n_owned + 1,), all atoms but ghosts, which come last
    neighbors: Integers  # (n_edges,)
    halo: Halo | None = None


class Edges(NamedTuple):
    """All edges of a structure. Directions point from the neighbour to the central atom.

    Splines are sum_k basis_k row_k with the rows of ``splines``, their slopes sum_k slope_k row_k.
    """

    distance: Reals  # (n_edges,) Angstrom
    unit: Reals  # (3, n_edges)
    knot: Integers  # (n_edges,) the first coefficient of the interval
    basis: Reals  # (TERMS, n_edges)
    slope: Reals  # (TERMS, n_edges) 1/Angstrom
    harmonics: Reals  # (n_lm, n_edges)


class EdgeGradients(NamedTuple):
    """What a reverse pass adds to: derivatives of the energy E in the distances and harmonics."""

    distance: Reals  # (n_edges,) eV/Angstrom
    harmonics: Reals  # (n_lm, n_edges) eV


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
def fill_edges(start: int, stop: int, vectors: Reals, knots: Knots, edges: Edges, t: Reals) -> None:
    """Everything about the edges ``start`` to ``stop`` but the harmonics.

    ``t`` (2, stop - start or more) is scratch: place in the interval, 1 / spacing.
    """
    unit, n = edges.unit, stop - start
    for e in range(start, stop):
        x, y, z = vectors[e, 0], vectors[e, 1], vectors[e, 2]
        r = np.sqrt(x * x + y * y + z * z)
        inverse = 1.0 / r
        edges.distance[e] = r
        unit[0, e], unit[1, e], unit[2, e] = -x * inverse, -y * inverse, -z * inverse
    for e in range(start, stop):
        r, segment = edges.distance[e], 0
        while segment + 1 < knots.start.size and r >= knots.start[segment + 1]:
            segment += 1
        inverse = knots.inverse_spacing[segment]
        s = (r - knots.start[segment]) * inverse
        k = min(int(s), knots.intervals[segment] - 1)
        edges.knot[e] = knots.first[segment] + k
        t[0, e - start] = s - k
        t[1, e - start] = inverse if r < knots.cutoff else 0.0  # beyond there is nothing
    for k in range(TERMS):
        c = knots.polynomials[k]
        basis, slope = edges.basis[k, start:stop], edges.slope[k, start:stop]
        for e in range(n):
            value, rise, x, inverse = c[7], 0.0, t[0, e], t[1, e]
            for p in range(6, -1, -1):
                rise = rise * x + value
                value = value * x + c[p]
            basis[e] = value if inverse > 0.0 else 0.0
            slope[e] = rise * inverse


@simd
def fill_all(
    start: int,
    stop: int,
    vectors: Reals,
    knots: Knots,
    N: Reals,
    edges: Edges,
    t: Reals,
    rows: Reals,
) -> None:
    """Everything about the edges ``start`` to ``stop``, block by block.

    ``t`` (2, BLOCK) and ``rows`` (harmonics.FORWARD_ROWS, BLOCK) are scratch.
    """
    for block in range(start, stop, BLOCK):
        block_stop = min(block + BLOCK, stop)
        fill_edges(block, block_stop, vectors, knots, edges, t)
        harmonics.fill(block, block_stop, N, edges.unit, edges.harmonics, rows)


@simd
def edge_gradients(
    start: int,
    stop: int,
    N: Reals,
    edges: Edges,
    bars: EdgeGradients,
    rows: Reals,
    gradients: Reals,
) -> None:
    """dE/dr_ij of the edges ``start`` to ``stop`` from dE/dr and dE/dY_lm, block by block.

    ``rows`` (harmonics.REVERSE_ROWS, BLOCK) is scratch.
    """
    for block in range(start, stop, BLOCK):
        block_stop = min(block + BLOCK, stop)
        harmonics.reverse(block, block_stop, N, edges.unit, bars.harmonics, rows)
        for e in range(block, block_stop):
            x, y, z = edges.unit[0, e], edges.unit[1, e], edges.unit[2, e]
            gx, gy, gz = rows[7, e - block], rows[8, e - block], rows[9, e - block]
            inverse = 1.0 / edges.distance[e]
            radial = x * gx + y * gy + z * gz
            along = bars.distance[e] - radial * inverse
            gradients[e, 0] = -(along * x + gx * inverse)
            gradients[e, 1] = -(along * y + gy * inverse)
            gradients[e, 2] = -(along * z + gz * inverse)
