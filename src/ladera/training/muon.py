r"""Muon: steps along the nearest orthogonal matrix to the mean gradient of each matrix.

Weights that mix channels are matrices, and their gradients are of low rank: a few directions are
many times as long as the others, which are then hardly learned. Muon (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon) makes all singular values of a step alike,

    m <- mu m + (1 - mu) g,    u = mu m + (1 - mu) g
    W <- W - lr (decay W + s sqrt(max(rows, columns)) U V^T)    where  u = U S V^T

with the factor for which the entries of a step have a root mean square of lr s, whatever the shape
(Liu et al., arXiv:2502.16982, with a factor of their own). s is that of the entries of W before its
first step, so that one rate is right for models that begin with entries of one and divide sums by
the root of their number, and for those that begin with entries of one over that root, which is the
least that s may be. Parameters of more than two dimensions are as many matrices; those of less are
left to Adam. A matrix whose gradient is zero, such as that of an element which the batch lacks,
only decays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.optim import Optimizer

# Jordan's polynomial: five rounds bring singular values from 0.001 ... 1 to 0.7 ... 1.2.
_ROUNDS: Final = 5
_COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
_TINY: Final = 1e-30  # added to the length of a gradient, which may be zero


class Muon(Optimizer):
    """Muon for matrices, Adam for other parameters; groups have ``lr`` and ``weight_decay``."""

    def __init__(
        self,
        parameters: Any,
        rate: float,
        momentum: float,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        super().__init__(parameters, {"lr": rate, "weight_decay": weight_decay})
        self._momentum, self._betas = momentum, betas

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step; with a closure that computes the loss and its gradient before."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            rate, moving = group["lr"], [p for p in group["params"] if p.grad is not None]
            if group["weight_decay"]:
                torch._foreach_mul_(moving, 1 - rate * group["weight_decay"])
            alike: dict[torch.Size, list[Tensor]] = {}  # matrices by their shape
            for p in moving:
                if p.ndim > 1:
                    alike.setdefault(p.shape[-2:], []).append(p)
                else:
                    self._adam(p, rate)
            for parameters in alike.values():
                self._muon(parameters, rate)
        return loss

    def _muon(self, parameters: Sequence[Tensor], rate: float) -> None:
        """A step of matrices of one shape, which may be many in one parameter."""
        rows, columns = parameters[0].shape[-2:]
        counts = [p.numel() // (rows * columns) for p in parameters]
        mu, gradients = self._momentum, [_gradient(p) for p in parameters]
        means = [self._state(p, "mean") for p in parameters]
        torch._foreach_lerp_(means, gradients, 1 - mu)
        ahead = torch._foreach_lerp(gradients, means, mu)
        stack = torch.cat([x.reshape(-1, rows, columns) for x in ahead])
        moved = torch.cat([x.reshape(-1, rows, columns) for x in gradients]).abs().amax((1, 2)) > 0
        steps = orthogonal(stack) * moved[:, None, None] * (-rate * math.sqrt(max(rows, columns)))
        for p, step in zip(parameters, torch.split(steps, counts), strict=True):
            p.addcmul_(step.view_as(p), self._scale(p))

    def _adam(self, p: Tensor, rate: float) -> None:
        (one, two), gradient = self._betas, _gradient(p)
        count = self.state[p].get("count", 0) + 1
        self.state[p]["count"] = count
        mean = self._state(p, "mean").lerp_(gradient, 1 - one)
        square = self._state(p, "square").lerp_(gradient.square(), 1 - two)
        root = (square / (1 - two**count)).sqrt_().add_(1e-8)
        p.addcdiv_(mean, root, value=-rate / (1 - one**count))

    def _scale(self, p: Tensor) -> Tensor:
        """s: root mean square of the entries before the first step, or the least."""
        state = self.state[p]
        if "scale" not in state:
            least = max(p.shape[-2:]) ** -0.5
            state["scale"] = p.square().mean().sqrt().clamp(min=least)
        found: Tensor = state["scale"]
        return found

    def _state(self, p: Tensor, name: str) -> Tensor:
        """A mean over the steps, zero at first."""
        state = self.state[p]
        if name not in state:
            state[name] = torch.zeros_like(p)
        found: Tensor = state[name]
        return found


def orthogonal(matrices: Tensor) -> Tensor:
    """About U V^T of matrices U S V^T (n, rows, columns), by the iteration of Newton and Schulz."""
    a, b, c = _COEFFICIENTS
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + _TINY)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    found: Tensor = x.mT if tall else x
    return found


def _gradient(p: Tensor) -> Tensor:
    assert p.grad is not None
    return p.grad
