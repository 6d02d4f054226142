"""The density that some layers divide by: one more radial function, summed over neighbours."""

from __future__ import annotations

from ladera.arrays import Reals
from ladera.kernels.compilation import inlined, simd
from ladera.kernels.edges import Edges
from ladera.kernels.mace.layout import Atoms
from ladera.kernels.splines import ROWS, TERMS


@simd
def forward(
    start: int, stop: int, atoms: Atoms, edges: Edges, table: Reals, least: float, inverse: Reals
) -> None:
    """1 / (least + density) of the atoms ``start`` to ``stop``."""
    for i in range(start, stop):
        total = least
        for e in range(atoms.rows[i, 0], atoms.rows[i, 1]):
            total += _spline(edges.basis, e, table, atoms.pairs[e] + edges.knot[e])
        inverse[i] = 1.0 / total


@simd
def reverse(
    start: int,
    stop: int,
    atoms: Atoms,
    edges: Edges,
    table: Reals,
    bar: Reals,
    distance_bar: Reals,
) -> None:
    """Add to dE/dr what comes from dE/d(density), ``bar`` (stop - start,)."""
    for i in range(start, stop):
        for e in range(atoms.rows[i, 0], atoms.rows[i, 1]):
            slope = _spline(edges.slope, e, table, atoms.pairs[e] + edges.knot[e])
            distance_bar[e] += bar[i - start] * slope


@inlined
def _spline(weights: Reals, e: int, table: Reals, knot: int) -> float:
    """The only function of a table at an edge, or its slope; ``weights`` (TERMS, n_edges)."""
    total = 0.0
    for k in range(TERMS):
        total += weights[k, e] * table[ROWS * (knot + k) + (k > 0), 0]
    return total
