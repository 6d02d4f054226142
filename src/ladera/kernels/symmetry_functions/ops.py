"""Symmetry functions as torch operations, closed under differentiation.

===============  =========================================  ================================
operation        computes                                   its gradient is made of
===============  =========================================  ================================
values           G(r)                                       reverse
reverse          w . dG/dr             (linear in w)        tangent, second derivative
tangent          dG/dr . v             (linear in v)        reverse, second derivative
===============  =========================================  ================================

The second derivative w . d2G/dr2 . v is only reached by Hessians, and comes from the reference,
which is differentiable to any order.
Where nothing is to be differentiated the plain loops are called: the first call of an operation
imports torch's compiler, which takes longer than all else before the first step of a simulation.
"""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ladera.kernels.symmetry_functions import cpu, reference
from ladera.kernels.symmetry_functions.environment import Edges
from ladera.kernels.symmetry_functions.plan import Plan

# torch operations take tensors and numbers: a plan is handed over by its number.
# Numbers are of this process: they are kept here, where no copy of a model takes them along.
_PLANS: weakref.WeakValueDictionary[int, Plan] = weakref.WeakValueDictionary()
_KNOWN: weakref.WeakKeyDictionary[Plan, int] = weakref.WeakKeyDictionary()
_NUMBERS = itertools.count()


def number_of(plan: Plan) -> int:
    """The number by which the operations of this process find a plan, while somebody holds it."""
    number = _KNOWN.get(plan)
    if number is None:
        number = next(_NUMBERS)
        _PLANS[number] = plan  # before anyone can ask for it
        number = _KNOWN.setdefault(plan, number)  # another thread may have been faster
    return number


def _array(tensor: Tensor) -> Any:
    tensor = tensor.detach().double() if tensor.is_floating_point() else tensor
    return tensor.contiguous().numpy()


def _edges(*tensors: Tensor) -> Edges:
    return Edges(*map(_array, tensors))


def _operation(function: Callable[..., Tensor]) -> tuple[Callable[..., Tensor], Any]:
    """A function as it is called, and the torch operation behind it."""
    name = f"ladera::symmetry_{function.__name__.strip('_')}"
    operation: Any = torch.library.custom_op(name, function, mutates_args=(), device_types="cpu")

    @functools.wraps(function)
    def call(*arguments: Any) -> Tensor:
        tensors = [argument for argument in arguments if isinstance(argument, Tensor)]
        recorded = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
        result: Tensor = (operation if recorded else function)(*arguments)
        return result

    return call, operation


def _values(
    vectors: Tensor, row_pointer: Tensor, elements: Tensor, neighbor_elements: Tensor, plan: int
) -> Tensor:
    """G, (n_atoms, n_functions); arguments as in ``environment.Edges``."""
    edges = _edges(vectors, row_pointer, elements, neighbor_elements)
    return torch.from_numpy(cpu.values(_PLANS[plan], edges)).to(vectors.dtype)


def _reverse(
    vectors: Tensor,
    row_pointer: Tensor,
    elements: Tensor,
    neighbor_elements: Tensor,
    weights: Tensor,
    plan: int,
) -> Tensor:
    """sum_f weights_if dG_if/dr_ij, (n_edges, 3), for weights (n_atoms, n_functions)."""
    edges = _edges(vectors, row_pointer, elements, neighbor_elements)
    result = cpu.reverse(_PLANS[plan], edges, _array(weights))
    return torch.from_numpy(result).to(vectors.dtype)


def _tangent(
    vectors: Tensor,
    row_pointer: Tensor,
    elements: Tensor,
    neighbor_elements: Tensor,
    direction: Tensor,
    plan: int,
) -> Tensor:
    """sum_j dG_if/dr_ij . direction_ij, (n_atoms, n_functions)."""
    edges = _edges(vectors, row_pointer, elements, neighbor_elements)
    result = cpu.tangent(_PLANS[plan], edges, _array(direction))
    return torch.from_numpy(result).to(vectors.dtype)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.plan = inputs
    ctx.held = _PLANS[ctx.plan]  # also when the model itself is gone before its gradient is asked
    ctx.save_for_backward(*tensors)


def _values_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return reverse(*ctx.saved_tensors, grad, ctx.plan), None, None, None, None


def _reverse_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    *graph, weights = ctx.saved_tensors
    by_vectors = by_weights = None
    if ctx.needs_input_grad[0]:
        by_vectors = _second_derivative(ctx, weights, grad)
    if ctx.needs_input_grad[4]:
        by_weights = tangent(*graph, grad, ctx.plan)
    return by_vectors, None, None, None, by_weights, None


def _tangent_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    *graph, direction = ctx.saved_tensors
    by_vectors = by_direction = None
    if ctx.needs_input_grad[0]:
        by_vectors = _second_derivative(ctx, grad, direction)
    if ctx.needs_input_grad[4]:
        by_direction = reverse(*graph, grad, ctx.plan)
    return by_vectors, None, None, None, by_direction, None


def _second_derivative(ctx: Any, weights: Tensor, direction: Tensor) -> Tensor:
    vectors, row_pointer, elements, neighbor_elements, _ = ctx.saved_tensors
    return reference.second_derivative(
        _PLANS[ctx.plan], vectors, row_pointer, elements, neighbor_elements, weights, direction
    )


values, _values_operation = _operation(_values)
reverse, _reverse_operation = _operation(_reverse)
tangent, _tangent_operation = _operation(_tangent)
_values_operation.register_autograd(_values_backward, setup_context=_save)
_reverse_operation.register_autograd(_reverse_backward, setup_context=_save)
_tangent_operation.register_autograd(_tangent_backward, setup_context=_save)
