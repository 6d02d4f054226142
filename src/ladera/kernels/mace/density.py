"""The density that some layers divide by: one more radial function, summed over neighbours."""

from __future__ import annotations

from ladera.arrays import Reals
from ladera.kernels.compilation import simd
from ladera.kernels.mace.geometry import Edges
from ladera.kernels.mace.layout import Atoms
from ladera.kernels.mace.splines import ROWS, TERMS


@simd
def forward(
    begin: int, end: int, atoms: Atoms, edges: Edges, table: Reals, least: float, inverse: Reals
) -> None:
    """1 / (least + density) of the atoms ``begin`` to ``end``."""
    for i in range(begin, end):
        total = least
        for e in range(atoms.rows[i, 0], atoms.rows[i, 1]):
            base = ROWS * (atoms.pairs[e] + edges.knot[e])
            for k in range(TERMS):
                total += edges.basis[k, e] * table[base + k + 2 * (k >= ROWS), 0]
        inverse[i] = 1.0 / total


@simd
def reverse(
    begin: int,
    end: int,
    atoms: Atoms,
    edges: Edges,
    table: Reals,
    bar: Reals,
    distance_bar: Reals,
) -> None:
    """Add to dE/dr what comes from dE/d(density), ``bar`` (end - begin,)."""
    for i in range(begin, end):
        for e in range(atoms.rows[i, 0], atoms.rows[i, 1]):
            base = ROWS * (atoms.pairs[e] + edges.knot[e])
            slope = 0.0
            for k in range(TERMS):
                slope += edges.slope[k, e] * table[base + k + 2 * (k >= ROWS), 0]
            distance_bar[e] += bar[i - begin] * slope
