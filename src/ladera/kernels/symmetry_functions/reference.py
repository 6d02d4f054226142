"""The formulas of the symmetry functions in plain torch: short, slow, differentiable to any order.

It is the oracle of the tests, and gives the second derivatives in the edge vectors, which only a
Hessian needs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ladera.kernels.symmetry_functions.functions import GaussianFunction
from ladera.kernels.symmetry_functions.plan import Plan


def values(
    plan: Plan, vectors: Tensor, row_pointer: Tensor, centers: Tensor, neighbors: Tensor
) -> Tensor:
    """G of every atom, (n_atoms, n_functions); arguments as in ``cpu.values``, as tensors."""
    n_atoms = centers.shape[0]
    edge_center = torch.repeat_interleave(torch.arange(n_atoms), row_pointer.diff())
    distance = vectors.norm(dim=1)
    j, k = _pairs(row_pointer)
    cosine = (vectors[j] * vectors[k]).sum(1) / (distance[j] * distance[k])
    # Pairs at one place have no direction; their third side is far inside any cutoff.
    third_side = (vectors[k] - vectors[j]).pow(2).sum(1).clamp_min(1e-24).sqrt()
    columns: dict[tuple[int, int], Tensor] = {}
    for element, functions in enumerate(plan.functions):
        for column, function in enumerate(functions):
            partners = [plan.species.index(symbol) for symbol in function.neighbors]
            if function.kind == "radial":
                mask = (centers[edge_center] == element) & (neighbors == partners[0])
                terms, owner = _channel(plan, function, distance[mask]), edge_center[mask]
            else:
                a, b = partners
                kinds = torch.stack([neighbors[j], neighbors[k]]).sort(dim=0).values
                mask = (centers[edge_center[j]] == element) & (kinds[0] == a) & (kinds[1] == b)
                zeta, lambda_ = function.zeta or 1.0, function.lambda_ or 0.0
                terms = 2 ** (1 - zeta) * (1 + lambda_ * cosine[mask]).clamp_min(0) ** zeta
                for sides in (distance[j[mask]], distance[k[mask]]):
                    terms = terms * _channel(plan, function, sides)
                if function.kind == "narrow":
                    terms = terms * _channel(plan, function, third_side[mask])
                owner = edge_center[j[mask]]
            columns[element, column] = vectors.new_zeros(n_atoms).index_add(0, owner, terms)
    zero = vectors.new_zeros(n_atoms)
    stacked = [
        sum((columns.get((e, f), zero) for e in range(len(plan.species))), start=zero)
        for f in range(plan.n_functions)
    ]
    return torch.stack(stacked, dim=1)


def second_derivative(
    plan: Plan,
    vectors: Tensor,
    row_pointer: Tensor,
    centers: Tensor,
    neighbors: Tensor,
    G_bar: Tensor,
    vectors_dot: Tensor,
) -> Tensor:
    """d/dr of sum(G_bar * dG/dr . vectors_dot), (n_edges, 3).

    Differentiable again, in all three, while torch records gradients.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        moving = vectors if again else vectors.detach().requires_grad_()
        G = values(plan, moving, row_pointer, centers, neighbors)
        (first,) = torch.autograd.grad((G * G_bar).sum(), moving, create_graph=True)
        product = (first * vectors_dot).sum()
        (second,) = torch.autograd.grad(product, moving, create_graph=again)
    return second


def cutoff_function(kind: int, alpha: float, cutoff: float, r: Tensor) -> Tensor:
    """f_c(r); the formulas are in ``vector_math.cutoff_function``."""
    x = ((r - alpha * cutoff) / (cutoff - alpha * cutoff)).clamp(0, 1)
    match kind:
        case 0:
            value = torch.ones_like(r)
        case 1:
            value = 0.5 * (torch.cos(math.pi * x) + 1)
        case 2 | 3:
            value = torch.tanh(1 - r / cutoff) ** 3 / (1.0 if kind == 2 else math.tanh(1) ** 3)
        case 4:
            value = torch.exp(1 - 1 / (1 - x * x).clamp_min(1e-2))
            value = torch.where(1 - x * x > 1e-2, value, torch.zeros_like(value))
        case 5:
            value = 1 - x**2 * (3 - 2 * x)
        case 6:
            value = 1 - x**3 * (10 - 15 * x + 6 * x**2)
        case 7:
            value = 1 - x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3)
        case _:
            value = 1 - x**5 * (126 - 420 * x + 540 * x**2 - 315 * x**3 + 70 * x**4)
    return torch.where(r < cutoff, value, torch.zeros_like(value))


def _channel(plan: Plan, function: GaussianFunction, r: Tensor) -> Tensor:
    decay = torch.exp(-function.eta * (r - function.shift) ** 2)
    return decay * cutoff_function(plan.cutoff_kind, plan.cutoff_alpha, function.cutoff, r)


def _pairs(row_pointer: Tensor) -> tuple[Tensor, Tensor]:
    """All unordered pairs of edges with the same centre, as two index tensors."""
    pairs = [
        torch.combinations(torch.arange(first, last))
        for first, last in zip(row_pointer[:-1].tolist(), row_pointer[1:].tolist(), strict=True)
    ]
    joined = torch.cat(pairs) if pairs else torch.empty(0, 2, dtype=torch.int64)
    return joined[:, 0], joined[:, 1]
