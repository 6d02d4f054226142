"""Convolution and product basis as torch operations that can be differentiated twice.

Forces are first derivatives, and learning from them takes second ones. Both come from loops over
edges and terms that store no tensor per edge and component, where automatic differentiation would.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ladera.kernels.equivariant import convolution, products
from ladera.kernels.equivariant.convolution import Integers

# Called with arrays by the dozen, which no type checker tells apart.
_edges: Any = convolution
_monomials: Any = products

_forces_only: ContextVar[bool] = ContextVar("forces_only", default=False)


@contextmanager
def forces_only() -> Iterator[None]:
    """Within it gradients are asked of positions alone: those of parameters are left out.

    They still arrive where such a gradient is differentiated once more, outside.
    """
    token = _forces_only.set(True)
    try:
        yield
    finally:
        _forces_only.reset(token)


@dataclass(frozen=True, eq=False)
class Paths:
    """What couples to what in a convolution; see :mod:`ladera.kernels.equivariant.convolution`."""

    blocks: Integers  # (n_paths, 5)
    targets: Integers
    n_targets: int


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges by centre: those of atom i, to ``neighbors``, are rows[i]:rows[i + 1]."""

    rows: Integers  # (n_atoms + 1,)
    neighbors: Integers  # (n_edges,)


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms of a product basis; see :mod:`ladera.kernels.equivariant.products`."""

    factors: Integers  # (n_terms, 3)
    component: Integers  # (n_terms,)
    n_components: int


def convolve(
    factors: Tensor, weights: Tensor, features: Tensor, paths: Paths, edges: Edges, constant: bool
) -> Tensor:
    """sum over edges and entries of factor * weight * feature, (n_atoms, n_targets, channels).

    ``factors`` (n_edges, n_entries), ``weights`` (n_edges, n_paths, channels), ``features``
    (n_atoms, n_sources, channels), which are ``constant`` if no position enters them.
    """
    found: Tensor = _Convolve.apply(  # type: ignore[no-untyped-call]
        factors, weights, features, paths, edges, constant
    )
    return found


def product(features: Tensor, coefficients: Tensor, elements: Integers, terms: Terms) -> Tensor:
    """sum over terms of coefficient * features, (n_atoms, n_components, channels).

    ``features`` (n_atoms, n_features, channels), ``coefficients`` (n_elements, n_terms, channels),
    ``elements`` (n_atoms,).
    """
    found: Tensor = _Product.apply(  # type: ignore[no-untyped-call]
        features, coefficients, elements, terms
    )
    return found


class _Convolve(Function):
    @staticmethod
    def forward(ctx: Any, G: Tensor, w: Tensor, h: Tensor, *rest: Any) -> Tensor:
        paths, edges, _ = ctx.rest = rest
        ctx.save_for_backward(G, w, h)
        message = h.new_zeros(h.shape[0], paths.n_targets, h.shape[2])
        _edges.forward(*_places(paths, edges), *_arrays(G, w, h, message), _scratch(1, h)[0])
        return message

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        paths, edges, constant = ctx.rest
        wanted = ctx.needs_input_grad[2] and not (constant and _forces_only.get())
        found = _ConvolveReverse.apply(  # type: ignore[no-untyped-call]
            *ctx.saved_tensors, g, paths, edges, wanted
        )
        return (*found, None, None, None)


class _ConvolveReverse(Function):
    @staticmethod
    def forward(ctx: Any, G: Tensor, w: Tensor, h: Tensor, g: Tensor, *rest: Any) -> Any:
        paths, edges, wanted = ctx.rest = rest
        ctx.save_for_backward(G, w, h, g)
        ctx.set_materialize_grads(False)
        G_bar, w_bar = _zeros(G), _zeros(w)
        h_bar = _zeros(h) if wanted else _unused(h)
        _edges.reverse(
            *_places(paths, edges),
            *_arrays(G, w, h, g, G_bar, w_bar, h_bar),
            wanted,
            *_scratch(2, h),
        )
        return G_bar, w_bar, h_bar if wanted else None

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dG: Tensor | None, dw: Tensor | None, dh: Tensor | None) -> Any:
        G, w, h, g = ctx.saved_tensors
        paths, edges, _ = ctx.rest
        changes = (
            _zeros(G) if dG is None else dG,
            _zeros(w) if dw is None else dw,
            _unused(h) if dh is None else dh,
        )
        bars = [_zeros(tensor) for tensor in (G, w, h, g)]
        _edges.second(
            *_places(paths, edges),
            *_arrays(G, w, h, g, *changes, *bars),
            dh is not None,
            _scratch(2, h),
            _scratch(2, h),
        )
        return (*bars, None, None, None)


class _Product(Function):
    @staticmethod
    def forward(ctx: Any, A: Tensor, w: Tensor, *rest: Any) -> Tensor:
        elements, terms = ctx.rest = rest
        ctx.save_for_backward(A, w)
        B = A.new_zeros(A.shape[0], terms.n_components, A.shape[2])
        _monomials.values(elements, terms.factors, terms.component, *_arrays(A, w, B))
        return B

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        wanted = ctx.needs_input_grad[1] and not _forces_only.get()
        found = _ProductReverse.apply(  # type: ignore[no-untyped-call]
            *ctx.saved_tensors, g, *ctx.rest, wanted
        )
        return (*found, None, None)


class _ProductReverse(Function):
    @staticmethod
    def forward(ctx: Any, A: Tensor, w: Tensor, g: Tensor, *rest: Any) -> Any:
        elements, terms, wanted = ctx.rest = rest
        ctx.save_for_backward(A, w, g)
        ctx.set_materialize_grads(False)
        A_bar, w_bar = _zeros(A), _zeros(w) if wanted else _unused(w)
        _monomials.reverse(
            elements,
            terms.factors,
            terms.component,
            *_arrays(A, w, g, A_bar, w_bar),
            wanted,
            _scratch(1, A)[0],
        )
        return A_bar, w_bar if wanted else None

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dA: Tensor | None, dw: Tensor | None) -> tuple[Any, ...]:
        A, w, g = ctx.saved_tensors
        elements, terms, _ = ctx.rest
        places = elements, terms.factors, terms.component
        bars = [_zeros(tensor) for tensor in (A, w, g)]
        if dA is not None:
            _monomials.second(*places, *_arrays(A, w, g, dA, *bars), _scratch(1, A)[0])
        if dw is not None:  # linear in w: as if dw were the coefficients
            arrays = _arrays(A, dw, g, bars[0], _unused(w))
            _monomials.reverse(*places, *arrays, False, _scratch(1, A)[0])
            _monomials.values(*places, *_arrays(A, dw, bars[2]))
        return (*bars, None, None, None)


def _places(paths: Paths, edges: Edges) -> Any:
    return edges.rows, edges.neighbors, paths.blocks, paths.targets


def _zeros(like: Tensor) -> Tensor:
    return torch.zeros(like.shape, dtype=like.dtype)


def _unused(like: Tensor) -> Tensor:
    """What stands for an array that a loop does not look at."""
    return torch.zeros(1, *like.shape[1:], dtype=like.dtype)


def _scratch(rows: int, like: Tensor) -> Any:
    return torch.empty(rows, like.shape[2], dtype=like.dtype).numpy()


def _arrays(*tensors: Tensor) -> Any:
    """The numbers of tensors; what a loop writes to is contiguous, and no copy."""
    return [np.asarray(tensor.detach().contiguous()) for tensor in tensors]
