"""The compiled convolution and product basis against plain torch, with first and second slopes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from conftest import water_like
from ladera import Graph
from ladera.kernels.autograd import forces_only
from ladera.kernels.contraction import reference as contraction_by_torch
from ladera.kernels.convolution import ops, reference
from ladera.models.equivariant.convolution import make_plan
from ladera.models.equivariant.irreps import natural
from ladera.models.equivariant.linear import Elements
from ladera.models.mace.product import ProductBasis

TOLERANCE = {torch.float64: 1e-11, torch.float32: 1e-4}
PRECISIONS = [torch.float64, torch.float32]


def slopes(function: Callable[..., Tensor], leaves: Sequence[Tensor]) -> list[Tensor]:
    """A value, its slopes, and slopes of these, as in learning from forces."""
    value = function(*leaves)
    first = torch.autograd.grad(value.pow(2).sum(), leaves, create_graph=True)
    second = torch.autograd.grad(sum(each.pow(2).sum() for each in first), leaves)
    return [value, *first, *second]


def compare(one: Sequence[Tensor], two: Sequence[Tensor], dtype: torch.dtype) -> None:
    for found, expected in zip(one, two, strict=True):
        scale = float(expected.detach().abs().max())
        assert scale > 0
        torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


def random(*shape: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_()


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("senders", [0, 2])
def test_convolution(senders: int, dtype: torch.dtype) -> None:
    graph = Graph.from_atoms(water_like(6, 4.0, True, 2), 3.0)
    plan = make_plan(natural(senders), natural(2), natural(2))
    leaves = [
        random(graph.n_edges, plan.matrix.shape[1], dtype=dtype),
        random(graph.n_edges, len(plan.paths.couplings), 5, dtype=dtype),
        random(graph.n_atoms, plan.paths.n_sources, 5, dtype=dtype),
    ]
    fast = slopes(lambda *x: ops.by_loops(*x, plan.paths, graph), leaves)
    by_torch = slopes(lambda *x: reference.convolve(*x, plan.paths, graph), leaves)
    compare(fast, by_torch, dtype)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("shared", [False, True])
def test_product_basis(shared: bool, dtype: torch.dtype) -> None:
    basis = ProductBasis(2, natural(1), 3, 1 if shared else 3, 5).to(dtype)
    elements = Elements.of(torch.tensor([2, 0, 2, 2, 0]))
    features = random(5, 9, 5, dtype=dtype)
    leaves = [features, *basis.parameters()]
    rank = 0 * elements.index if shared else elements.rank
    present = [0] if shared else elements.present

    def by_torch(A: Tensor, *_: Tensor) -> Tensor:
        return contraction_by_torch.contract(A, basis.coefficients(present), rank, basis.terms)

    fast = slopes(lambda A, *_: basis(A, elements), leaves)
    compare(fast, slopes(by_torch, leaves), dtype)


def test_without_slopes_of_parameters_the_second_ones_are_the_same() -> None:
    """Forces leave out what they do not need; the loss still reaches every parameter."""
    basis = ProductBasis(2, natural(1), 3, 2, 4)
    elements = Elements.of(torch.tensor([1, 0, 1]))
    features = random(3, 9, 4, dtype=torch.float64)
    found = []
    for only in (False, True):
        energy = basis(features, elements).pow(2).sum()
        if only:
            with forces_only():
                (force,) = torch.autograd.grad(energy, features, create_graph=True)
        else:
            (force,) = torch.autograd.grad(energy, features, create_graph=True)
        found.append(torch.autograd.grad(force.pow(2).sum(), list(basis.parameters())))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two)
