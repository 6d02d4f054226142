"""The symmetric contraction as a torch operation that can be differentiated twice."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ladera.kernels.autograd import arrays, asks_parameters, scratch, unused, zeros
from ladera.kernels.contraction import cpu, cuequivariance, reference
from ladera.kernels.contraction.terms import Terms
from ladera.kernels.cuequivariance import serves


def contract(features: Tensor, coefficients: Tensor, elements: Tensor, terms: Terms) -> Tensor:
    """B (n_atoms, n_components, channels), by the form that serves the device and the degree.

    ``features`` (n_atoms, n_features, channels), ``coefficients`` (n_elements, n_terms, channels),
    ``elements`` (n_atoms,) int64, which of the coefficients are an atom's.
    """
    if terms.degree <= cpu.MOST_FACTORS:
        if serves(features.device):
            return cuequivariance.contract(features, coefficients, elements, terms)
        if features.device.type == "cpu":
            return by_loops(features, coefficients, elements, terms)
    return reference.contract(features, coefficients, elements, terms)


def by_loops(features: Tensor, coefficients: Tensor, elements: Tensor, terms: Terms) -> Tensor:
    """As :func:`contract`, of terms with at most three factors."""
    result: Tensor = _Contract.apply(  # type: ignore[no-untyped-call]
        features, coefficients, elements.numpy(), terms
    )
    return result


class _Contract(Function):
    @staticmethod
    def forward(ctx: Any, A: Tensor, w: Tensor, *rest: Any) -> Tensor:
        elements, terms = ctx.rest = rest
        ctx.save_for_backward(A, w)
        B = A.new_zeros(A.shape[0], terms.n_components, A.shape[2])
        cpu.forward(terms.arrays, elements, cpu.Operands(*arrays(A, w)), B.numpy())
        return B

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        with_weights = ctx.needs_input_grad[1] and asks_parameters()
        bars = _ContractReverse.apply(  # type: ignore[no-untyped-call]
            *ctx.saved_tensors, g, *ctx.rest, with_weights
        )
        return (*bars, None, None)


class _ContractReverse(Function):
    @staticmethod
    def forward(ctx: Any, A: Tensor, w: Tensor, g: Tensor, *rest: Any) -> Any:
        elements, terms, with_weights = ctx.rest = rest
        ctx.save_for_backward(A, w, g)
        ctx.set_materialize_grads(False)
        A_bar, w_bar = zeros(A), zeros(w) if with_weights else unused(w)
        cpu.reverse(
            terms.arrays,
            elements,
            cpu.Operands(*arrays(A, w)),
            arrays(g)[0],
            cpu.Operands(*arrays(A_bar, w_bar)),
            with_weights,
            scratch(1, A)[0],
        )
        return A_bar, w_bar if with_weights else None

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dA: Tensor | None, dw: Tensor | None) -> tuple[Any, ...]:
        A, w, g = ctx.saved_tensors
        elements, terms, _ = ctx.rest
        terms, row = terms.arrays, scratch(1, A)[0]
        bars = [zeros(tensor) for tensor in (A, w, g)]
        features, coefficients, received = arrays(A, w, g)
        features_bar, coefficients_bar, received_bar = arrays(*bars)
        if dA is not None:
            operands = cpu.Operands(features, coefficients)
            operand_bars = cpu.Operands(features_bar, coefficients_bar)
            (change,) = arrays(dA)
            cpu.second(terms, elements, operands, received, change, operand_bars, received_bar, row)
        if dw is not None:  # linear in w: as if dw were the coefficients
            operands = cpu.Operands(features, *arrays(dw))
            unasked = cpu.Operands(features_bar, *arrays(unused(w)))
            cpu.reverse(terms, elements, operands, received, unasked, False, row)
            cpu.forward(terms, elements, operands, received_bar)
        return (*bars, None, None, None)
