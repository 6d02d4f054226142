"""Energies and edge gradients as one torch operation, differentiable once in the coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ladera.kernels.moment_tensors import inference, training
from ladera.kernels.moment_tensors.neighbors import Edges, RadialRange, radial_tables
from ladera.kernels.moment_tensors.tables import Tables


def energies_and_edge_gradients(
    radial: Tensor, linear: Tensor, tables: Tables, distances: RadialRange, edges: Edges
) -> tuple[Tensor, Tensor]:
    """sum_s w_s B_s of each atom (n_atoms,), eV, float64, and dE/dr_ij (n_edges, 3), eV/Angstrom.

    ``radial`` (n_species, n_species, n_radial, basis_size) are the coefficients c, ``linear``
    (n_scalars,) are w; both in the precision of the edges.
    """
    found: tuple[Tensor, Tensor] = _EnergiesAndEdgeGradients.apply(  # type: ignore[no-untyped-call]
        radial, linear, tables, distances, edges
    )
    return found


class _EnergiesAndEdgeGradients(Function):
    @staticmethod
    def forward(
        ctx: Any,
        radial: Tensor,
        linear: Tensor,
        tables: Tables,
        distances: RadialRange,
        edges: Edges,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(radial, linear)
        ctx.rest = tables, distances, edges
        ctx.set_materialize_grads(False)
        of_pairs = radial_tables(_array(radial), distances, tables.dtype)
        potential = inference.potential(tables, of_pairs, _array(linear))
        nothing = np.zeros(len(radial))
        found = inference.energies_and_edge_gradients(potential, edges, nothing)
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_energies: Tensor | None, by_edges: Tensor | None) -> Any:
        radial, linear = ctx.saved_tensors
        tables, distances, edges = ctx.rest
        loss = training.Loss(
            _given(by_energies, np.zeros(len(edges.elements)), tables.dtype),
            _given(by_edges, np.zeros_like(edges.vectors), tables.dtype),
        )
        of_pairs = radial_tables(_array(radial), distances, tables.dtype)
        by_radial, by_linear = training.coefficient_gradients(
            tables, of_pairs, _array(linear), edges, loss
        )
        return (
            torch.from_numpy(by_radial).reshape(radial.shape).to(radial),
            torch.from_numpy(by_linear).to(linear),
            None,
            None,
            None,
        )


def _array(tensor: Tensor) -> Any:
    return tensor.detach().double().numpy()


def _given(gradient: Tensor | None, nothing: Any, dtype: Any) -> Any:
    found = nothing if gradient is None else gradient.detach().numpy()
    return np.ascontiguousarray(found, dtype=dtype)
