"""The density that some layers divide by: one more radial function, summed over neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ladera.kernels.compilation import simd
from ladera.kernels.mace.geometry import Edges
from ladera.kernels.mace.layout import Atoms
from ladera.kernels.mace.splines import ROWS, TERMS
from ladera.kernels.mace.tables import Floats

if TYPE_CHECKING:
    from ladera.kernels.mace.layers import Run


def density_forward(run: Run, table: Floats) -> Tensor:
    """1 / (1 + density) of every atom, (n_atoms,)."""
    result = np.empty(run.n_atoms, table.dtype)
    _forward(run.atoms, run.edges, table, result)
    return torch.from_numpy(result)


def density_reverse(run: Run, table: Floats, bar: Tensor) -> None:
    """Add to dE/dr what comes from dE/d(density)."""
    _reverse(run.atoms, run.edges, table, bar.numpy(), run.distance_bar)


@simd
def _forward(atoms: Atoms, edges: Edges, table: Floats, result: Floats) -> None:
    for i in range(result.size):
        total = 1.0
        for e in range(atoms.rows[i, 0], atoms.rows[i, 1]):
            base = ROWS * (atoms.pairs[e] + edges.knot[e])
            for k in range(TERMS):
                total += edges.basis[k, e] * table[base + k + 2 * (k >= ROWS), 0]
        result[i] = 1.0 / total


@simd
def _reverse(
    atoms: Atoms,
    edges: Edges,
    table: Floats,
    bar: Floats,
    distance_bar: Floats,
) -> None:
    for i in range(bar.size):
        for e in range(atoms.rows[i, 0], atoms.rows[i, 1]):
            base = ROWS * (atoms.pairs[e] + edges.knot[e])
            slope = 0.0
            for k in range(TERMS):
                slope += edges.slope[k, e] * table[base + k + 2 * (k >= ROWS), 0]
            distance_bar[e] += bar[i] * slope
