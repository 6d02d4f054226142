"""The activation x sigmoid(x) as a torch operation that can be differentiated twice in few passes.

Learning from forces differentiates an activation twice. Made of torch's operations that is some
twenty passes over arrays as large as the radial networks' nodes on all edges, and was the largest
part of a training step; here it is one loop for each derivative.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from ladera.arrays import Reals
from ladera.kernels.compilation import simd


def silu(x: Tensor, factor: float = 1.0) -> Tensor:
    """``factor`` x sigmoid(x), of a tensor of any shape; loops on CPUs, torch elsewhere."""
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return factor * functional.silu(x)
    result: Tensor = _Silu.apply(x, factor)  # type: ignore[no-untyped-call]
    return result


class _Silu(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        s = torch.sigmoid(x)
        ctx.factor = factor
        ctx.save_for_backward(x, s)
        return (x * s).mul_(factor)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return _Slope.apply(g, *ctx.saved_tensors, ctx.factor), None  # type: ignore[no-untyped-call]


class _Slope(Function):
    """g f'(x), of f = factor x s with s = sigmoid(x): f' = factor s (1 + x (1 - s))."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, s: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        ctx.save_for_backward(g, x, s)
        out = torch.empty(x.shape, dtype=x.dtype)
        gs, xs, ss, outs = _flat(g, x, s, out)
        _slope(gs, xs, ss, factor, outs)
        return out

    @staticmethod
    def backward(ctx: Any, change: Tensor) -> tuple[Tensor, Tensor, None, None]:
        g, x, s = ctx.saved_tensors
        if torch.is_grad_enabled():  # a third derivative is wanted
            s = torch.sigmoid(x)
            along = change * ctx.factor * s
            return (
                along * (1 + x * (1 - s)),
                along * g * (1 - s) * (2 + x * (1 - 2 * s)),
                None,
                None,
            )
        by_g, by_x = (torch.empty(x.shape, dtype=x.dtype) for _ in range(2))
        changes, gs, xs, ss, bars_of_g, bars_of_x = _flat(change, g, x, s, by_g, by_x)
        _curvature(changes, gs, xs, ss, ctx.factor, bars_of_g, bars_of_x)
        return by_g, by_x, None, None


def _flat(*tensors: Tensor) -> list[Reals]:
    """Their numbers in one row each; no copies of what is contiguous."""
    return [tensor.detach().contiguous().view(-1).numpy() for tensor in tensors]


@simd
def _slope(g: Reals, x: Reals, s: Reals, factor: float, out: Reals) -> None:
    one, c = x.dtype.type(1.0), x.dtype.type(factor)
    for j in range(x.size):
        out[j] = c * g[j] * s[j] * (one + x[j] * (one - s[j]))


@simd
def _curvature(
    change: Reals, g: Reals, x: Reals, s: Reals, factor: float, by_g: Reals, by_x: Reals
) -> None:
    """change f' and change g f'', f'' = factor s (1 - s) (2 + x (1 - 2 s))."""
    one, two, c = x.dtype.type(1.0), x.dtype.type(2.0), x.dtype.type(factor)
    for j in range(x.size):
        rest = one - s[j]
        along = c * change[j] * s[j]
        by_g[j] = along * (one + x[j] * rest)
        by_x[j] = along * g[j] * rest * (two + x[j] * (rest - s[j]))
