"""Charges of atoms, free and such that they sum to what they must."""

from __future__ import annotations

from torch import Tensor

from ladera.graph import Graph


def neutralized(free: Tensor, graph: Graph) -> Tensor:
    """Charges (n_atoms,) shifted alike within each structure to sum to its total charge."""
    sums = free.new_zeros(graph.n_structures).index_add(0, graph.structure_index, free)
    excess = (sums - graph.total_charge.to(sums)) / graph.atom_counts
    return free - excess[graph.structure_index]
