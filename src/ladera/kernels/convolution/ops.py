"""The convolution as a torch operation that can be differentiated twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ladera.kernels.autograd import (
    arrays,
    asks_parameters,
    asks_positions,
    empty,
    scratch,
    unused,
    zeros,
)
from ladera.kernels.convolution import cpu, cuequivariance, reference
from ladera.kernels.convolution.paths import Paths
from ladera.kernels.cuequivariance import serves

if TYPE_CHECKING:  # kernels take what looks like one
    from ladera.graph import Graph


def convolve(
    harmonics: Tensor,
    matrix: Tensor,
    weights: Tensor,
    features: Tensor,
    paths: Paths,
    graph: Graph,
    constant: bool = False,
) -> Tensor:
    """Messages (n_atoms, n_targets, channels), by the form that serves the device.

    ``harmonics`` (n_edges, n_harmonics), ``matrix`` (n_harmonics, n_entries) float64, ``weights``
    (n_edges, n_paths, channels), ``features`` (n_atoms, n_sources, channels), which are
    ``constant`` if no position enters them.
    """
    if serves(features.device) and graph.n_edges:
        return cuequivariance.convolve(harmonics, matrix, weights, features, paths, graph)
    factors = harmonics @ matrix.to(harmonics)
    if features.device.type != "cpu":
        return reference.convolve(factors, weights, features, paths, graph)
    return by_loops(factors, weights, features, paths, graph, constant)


def by_loops(
    factors: Tensor,
    weights: Tensor,
    features: Tensor,
    paths: Paths,
    graph: Graph,
    constant: bool = False,
) -> Tensor:
    """As :func:`ladera.kernels.convolution.reference.convolve`."""
    edges = cpu.Edges(graph.row_pointer.numpy(), graph.neighbors.numpy())
    message: Tensor = _Convolve.apply(  # type: ignore[no-untyped-call]
        factors, weights, features, paths, edges, constant
    )
    return message


class _Convolve(Function):
    @staticmethod
    def forward(ctx: Any, G: Tensor, w: Tensor, h: Tensor, *rest: Any) -> Tensor:
        paths, edges, _ = ctx.rest = rest
        ctx.save_for_backward(G, w, h)
        message = h.new_zeros(h.shape[0], paths.n_targets, h.shape[2])
        operands = cpu.Operands(*arrays(G, w, h))
        cpu.forward(edges, paths.arrays, operands, message.numpy(), scratch(1, h)[0])
        return message

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        paths, edges, constant = ctx.rest
        with_features = ctx.needs_input_grad[2] and (asks_parameters() or not constant)
        bars = _ConvolveReverse.apply(  # type: ignore[no-untyped-call]
            *ctx.saved_tensors, g, paths, edges, asks_positions(), with_features
        )
        return (*bars, None, None, None)


class _ConvolveReverse(Function):
    @staticmethod
    def forward(ctx: Any, G: Tensor, w: Tensor, h: Tensor, g: Tensor, *rest: Any) -> Any:
        paths, edges, with_factors, with_features = ctx.rest = rest
        ctx.save_for_backward(G, w, h, g)
        ctx.set_materialize_grads(False)
        *operands, received = arrays(G, w, h, g)
        # The loops set what belongs to an edge, and add to what belongs to an atom.
        G_bar = empty(G) if with_factors else unused(G)
        bars = G_bar, empty(w), zeros(h) if with_features else unused(h)
        cpu.reverse(
            edges,
            paths.arrays,
            cpu.Operands(*operands),
            received,
            cpu.Operands(*arrays(*bars)),
            with_factors,
            with_features,
            *scratch(2, h),
        )
        return (
            bars[0] if with_factors else None,
            bars[1],
            bars[2] if with_features else None,
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dG: Tensor | None, dw: Tensor | None, dh: Tensor | None) -> Any:
        G, w, h, g = ctx.saved_tensors
        paths, edges, *_ = ctx.rest
        with_factors = asks_positions()
        changes = arrays(
            zeros(G) if dG is None else dG,
            zeros(w) if dw is None else dw,
            unused(h) if dh is None else dh,
        )
        *operands, received = arrays(G, w, h, g)
        bars = [empty(G) if with_factors else unused(G), empty(w), zeros(h), zeros(g)]
        *operand_bars, received_bar = arrays(*bars)
        cpu.second(
            edges,
            paths.arrays,
            cpu.Operands(*operands),
            received,
            cpu.Operands(*changes),
            cpu.Operands(*operand_bars),
            received_bar,
            with_factors,
            dh is not None,
            scratch(4, h),
        )
        return (bars[0] if with_factors else None, *bars[1:], None, None, None, None)
