"""Charges of atoms, free and such that they sum to what they must."""

from __future__ import annotations

import torch
from torch import Tensor

from ladera.graph import Graph
from ladera.potential.sums import over_structures


def neutralized(free: Tensor, graph: Graph) -> Tensor:
    """Charges (n_atoms,) shifted alike within each structure to sum to its total charge."""
    sums, counts = over_structures(graph, torch.stack([free, torch.ones_like(free)], 1)).T
    excess: Tensor = ((sums - graph.total_charge.to(sums)) / counts).to(free)
    return free - excess[graph.structure_index]
