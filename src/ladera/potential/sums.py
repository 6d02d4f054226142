"""Sums over edges: forces and virials from the edge gradients, in float64 whatever these are.

On a CPU a compiled loop adds them up, in training as in molecular dynamics. Where several processes
have parts of a structure, the sums are over all of them, and all must ask for them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ladera.graph import Graph
from ladera.halo import total
from ladera.kernels import neighbors


def forces(graph: Graph, gradients: Tensor) -> Tensor:
    """F_i = sum_j g_ij - sum_j g_ji, (n_atoms, 3), float64; differentiable in g (n_edges, 3)."""
    return graph.collect(_of_edges(graph, gradients))


def _of_edges(graph: Graph, gradients: Tensor) -> Tensor:
    """The same of the edges that are here, ghosts having a share."""
    if gradients.device.type != "cpu":
        wide = gradients.double()
        zeros = wide.new_zeros(graph.n_atoms, 3)
        # -g and not alpha=-1, which takes torch's slow path.
        return zeros.index_add(0, graph.centers, wide).index_add(0, graph.neighbors, -wide)
    if gradients.requires_grad:
        found: Tensor = _differentiable_forces(gradients, graph)
        return found
    return _forces(graph, gradients)


def virials(graph: Graph, gradients: Tensor) -> Tensor:
    """W = sum_ij r_ij (x) g_ij of each structure, symmetrised, (n_structures, 3, 3), float64."""
    compiled = gradients.device.type == "cpu" and not gradients.requires_grad
    of_edges = _compiled_virial if compiled else _virial
    if graph.n_structures == 1:
        found = of_edges(graph.vectors, gradients)[None]
        return found if graph.halo is None else total(found, graph.halo)
    ends = graph.row_pointer[graph.atom_counts.cumsum(0)].tolist()
    parts = [slice(*pair) for pair in zip([0, *ends], ends, strict=False)]
    return torch.stack([of_edges(graph.vectors[part], gradients[part]) for part in parts])


def over_structures(graph: Graph, values: Tensor) -> Tensor:
    """Sum of (n_atoms, ...) over the atoms of each structure, (n_structures, ...), float64."""
    if graph.n_structures == 1:
        found = values[: graph.n_owned].sum(0, keepdim=True, dtype=torch.float64)
        return found if graph.halo is None else total(found, graph.halo)
    values = values.double()
    zeros = values.new_zeros(graph.n_structures, *values.shape[1:])
    return zeros.index_add(0, graph.structure_index, values)


def _forces(graph: Graph, gradients: Tensor) -> Tensor:
    arrays = (graph.row_pointer, graph.neighbors, gradients.detach())
    return torch.from_numpy(neighbors.net_forces(*(array.numpy() for array in arrays)))


class _Forces(torch.autograd.Function):
    """With the gradient b_i by F_i, that by g_ij is b_i - b_j."""

    @staticmethod
    def forward(ctx: Any, gradients: Tensor, graph: Graph) -> Tensor:
        """F (n_atoms, 3)."""
        ctx.graph, ctx.dtype = graph, gradients.dtype
        return _forces(graph, gradients)

    @staticmethod
    def backward(ctx: Any, *by_forces: Tensor) -> tuple[Tensor, None]:
        """By the gradients, (n_edges, 3)."""
        (by,) = by_forces
        return (by[ctx.graph.centers] - by[ctx.graph.neighbors]).to(ctx.dtype), None


_differentiable_forces: Any = _Forces.apply  # which torch does not annotate


def _virial(vectors: Tensor, gradients: Tensor) -> Tensor:
    product = vectors.double().T @ gradients.double()
    return 0.5 * (product + product.T)


def _compiled_virial(vectors: Tensor, gradients: Tensor) -> Tensor:
    return torch.from_numpy(neighbors.virial(vectors.detach().numpy(), gradients.numpy()))
