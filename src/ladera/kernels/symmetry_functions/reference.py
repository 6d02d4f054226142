"""The formulas of the symmetry functions in plain torch: short, slow, differentiable to any order.

It is the oracle of the tests, and gives the second derivatives in the edge vectors, which only a
Hessian needs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ladera.kernels.cutoffs import reference_cutoff_function
from ladera.kernels.symmetry_functions.functions import (
    COSINE_FACTOR,
    ChebyshevFunction,
    GaussianFunction,
    ShiftedFunction,
    SymmetryFunction,
)
from ladera.kernels.symmetry_functions.plan import Plan


def values(
    plan: Plan, vectors: Tensor, row_pointer: Tensor, elements: Tensor, neighbor_elements: Tensor
) -> Tensor:
    """G of every atom, (n_atoms, n_functions); arguments as in ``Edges``, as tensors."""
    n_atoms = elements.shape[0]
    atom = torch.repeat_interleave(torch.arange(len(row_pointer) - 1), row_pointer.diff())
    distance = vectors.norm(dim=1)
    j, k = _pairs(row_pointer)
    triplets = _Triplets(vectors, distance, j, k)
    kinds = torch.stack([neighbor_elements[j], neighbor_elements[k]]).sort(dim=0).values
    columns: dict[tuple[int, int], Tensor] = {}
    for element, functions in enumerate(plan.functions):
        for column, function in enumerate(functions):
            partners = [plan.species.index(symbol) for symbol in function.neighbors]
            weights = [function.weight(symbol) for symbol in plan.species]
            weight = vectors.new_tensor(weights)[neighbor_elements]
            if not function.angular:
                mask = elements[atom] == element
                if partners:
                    mask &= neighbor_elements == partners[0]
                terms, owner = _radial_part(plan, function, distance[mask]), atom[mask]
                terms = terms * weight[mask]
            else:
                mask = elements[atom[j]] == element
                if partners:
                    mask &= (kinds[0] == partners[0]) & (kinds[1] == partners[1])
                terms, owner = triplets.values(plan, function, mask), atom[j[mask]]
                terms = terms * weight[j[mask]] * weight[k[mask]]
            columns[element, column] = vectors.new_zeros(n_atoms).index_add(0, owner, terms)
    zero = vectors.new_zeros(n_atoms)
    stacked = [
        sum((columns.get((e, f), zero) for e in range(len(plan.species))), start=zero)
        for f in range(plan.n_functions)
    ]
    return torch.stack(stacked, dim=1)


class _Triplets:
    """Distances and angles of all pairs j, k of edges with the same centre."""

    def __init__(self, vectors: Tensor, distance: Tensor, j: Tensor, k: Tensor) -> None:
        self.sides = (distance[j], distance[k])
        self.cosine = (vectors[j] * vectors[k]).sum(1) / (distance[j] * distance[k])
        # Pairs at one place have no direction; their third side is far inside any cutoff.
        self.third_side = (vectors[k] - vectors[j]).pow(2).sum(1).clamp_min(1e-24).sqrt()
        # From 1 - cos and 1 + cos without cancellation: right, with two derivatives, also where
        # the three atoms lie on a line and the arc cosine has none.
        unit_j, unit_k = vectors[j] / self.sides[0][:, None], vectors[k] / self.sides[1][:, None]
        less, more = ((unit_k + sign * unit_j).pow(2).sum(1) + 1e-24 for sign in (-1, 1))
        self.theta = 2 * torch.atan2(less.sqrt(), more.sqrt())

    def values(self, plan: Plan, function: SymmetryFunction, mask: Tensor) -> Tensor:
        """One function of the masked pairs."""
        if isinstance(function, GaussianFunction):
            zeta, lambda_ = function.zeta or 1.0, function.lambda_ or 0.0
            base = 1 + lambda_ * self.cosine[mask]
            inside = torch.where(base > 0, base, torch.ones_like(base))
            powers = torch.where(base > 0, inside**zeta, torch.zeros_like(base))
            terms = 2 ** (1 - zeta) * powers
        elif isinstance(function, ShiftedFunction):
            theta = torch.arccos(COSINE_FACTOR * self.cosine[mask])
            base = 1 + torch.cos(theta - math.radians(function.angle))
            mean = (self.sides[0] + self.sides[1])[mask] / 2
            decay = torch.exp(-function.eta * (mean - function.shift) ** 2)
            terms = 2 ** (1 - function.zeta) * base**function.zeta * decay
        elif isinstance(function, ChebyshevFunction):
            terms = _chebyshev(function.order, self.cosine[mask])
        else:
            left, right = function.angle_left or 0.0, function.angle_right or 0.0
            shape = function.shape.removesuffix("_asymmetric")
            window = math.radians(left), math.radians(right)
            terms = compact_function(shape, *window, self.theta[mask])
        for side in (*self.sides, self.third_side)[: 3 if function.narrow else 2]:
            terms = terms * _side(plan, function, side[mask])
        return terms


def second_derivative(
    plan: Plan,
    vectors: Tensor,
    row_pointer: Tensor,
    elements: Tensor,
    neighbor_elements: Tensor,
    G_bar: Tensor,
    vectors_dot: Tensor,
) -> Tensor:
    """d/dr of sum(G_bar * dG/dr . vectors_dot), (n_edges, 3).

    Differentiable again, in all three, while torch records gradients.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        moving = vectors if again else vectors.detach().requires_grad_()
        G = values(plan, moving, row_pointer, elements, neighbor_elements)
        (first,) = torch.autograd.grad((G * G_bar).sum(), moving, create_graph=True)
        product = (first * vectors_dot).sum()
        (second,) = torch.autograd.grad(product, moving, create_graph=again)
    return second


def compact_function(shape: str, left: float, right: float, x: Tensor) -> Tensor:
    """C(x; left, right); the formulas are in ``functions.PolynomialFunction``."""
    t = ((x - (left + right) / 2).abs() * 2 / (right - left)).clamp_max(1)
    if shape == "exponential":
        value = reference_cutoff_function(4, 0.0, 1.0, t)
    else:
        kind = 4 + int(shape[len("poly")])
        value = reference_cutoff_function(
            kind, 0.0, 1.0, t * (2 - t) if shape.endswith("ic") else t
        )
    return torch.where((left < x) & (x < right), value, torch.zeros_like(value))


def _radial_part(plan: Plan, function: SymmetryFunction, r: Tensor) -> Tensor:
    """A radial function of one neighbour, without its weight."""
    side = _side(plan, function, r)
    if isinstance(function, ChebyshevFunction):
        return side * _chebyshev(function.order, 2 * r / function.cutoff - 1)
    return side


def _side(plan: Plan, function: SymmetryFunction, r: Tensor) -> Tensor:
    """What a function over triplets has of each distance."""
    if isinstance(function, (GaussianFunction, ShiftedFunction, ChebyshevFunction)):
        f = reference_cutoff_function(plan.cutoff_kind, plan.cutoff_alpha, function.cutoff, r)
        if isinstance(function, GaussianFunction):
            return f * torch.exp(-function.eta * (r - function.shift) ** 2)
        return f
    return compact_function(function.shape, function.inner, function.cutoff, r)


def _chebyshev(order: int, x: Tensor) -> Tensor:
    """T_n(x)."""
    last, this = x, torch.ones_like(x)  # T_-1 = T_1
    for _ in range(order):
        last, this = this, 2 * x * this - last
    return this


def _pairs(row_pointer: Tensor) -> tuple[Tensor, Tensor]:
    """All unordered pairs of edges with the same centre, as two index tensors."""
    pairs = [
        torch.combinations(torch.arange(start, stop))
        for start, stop in zip(row_pointer[:-1].tolist(), row_pointer[1:].tolist(), strict=True)
    ]
    joined = torch.cat(pairs) if pairs else torch.empty(0, 2, dtype=torch.int64)
    return joined[:, 0], joined[:, 1]
