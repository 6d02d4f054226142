"""Networks on invariants."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from ladera.kernels import silu as loops
from ladera.models.equivariant.linear import normal

# 1 / sqrt(mean f(x)^2) over normally distributed x, as e3nn 0.4.4 estimates it from a million
# random numbers with the seed 0. Published weights are made for these, not for the exact values.
SILU: Final = 1.6791767923989418
SIGMOID: Final = 1.8467055342154763
TANH: Final = 1.5937334472592695
ABS: Final = 1.001110600838467


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), with a mean square of one for normal x."""
    return loops.silu(x, SILU)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), with a mean square of one for normal x."""
    return SIGMOID * torch.sigmoid(x)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, with a mean square of one for normal x."""
    return TANH * torch.tanh(x)


def absolute(x: Tensor) -> Tensor:
    """|x|, with a mean square of one for normal x."""
    return ABS * torch.abs(x)


GATES: Final = {"silu": silu, "tanh": tanh, "abs": absolute}


class RadialNetwork(nn.Module):
    r"""x <- silu(x W_k / sqrt(n_k)) layer by layer, the last one linear; no biases.

    ``weights[k]`` (n_k, n_k+1) start normally distributed with a deviation of one.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(normal(*shape) for shape in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """(n, sizes[0]) to (n, sizes[-1])."""
        return self.outputs(self.nodes(x))

    def nodes(self, x: Tensor) -> Tensor:
        """(n, sizes[0]) to what the last weights multiply, (n, sizes[-2])."""
        for weight in self.weights[:-1]:
            x = silu(x @ (weight / sqrt(len(weight))).to(x.dtype))
        return x

    def outputs(self, nodes: Tensor, columns: Tensor | None = None) -> Tensor:
        """(n, sizes[-2]) to (n, sizes[-1]), or to those ``columns`` of it that are asked for."""
        last = self.weights[-1]
        if columns is not None:
            last = last.index_select(1, columns)
        output: Tensor = nodes @ (last / sqrt(len(last))).to(nodes.dtype)
        return output


class NormalizedNetwork(nn.Module):
    """A multilayer perceptron, with layer normalisation and silu after each layer but the last."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        shapes = list(pairwise(sizes))
        self.linears = nn.ModuleList(nn.Linear(*shape, dtype=torch.float64) for shape in shapes)
        self.norms = nn.ModuleList(nn.LayerNorm(n, dtype=torch.float64) for n in sizes[1:-1])

    def forward(self, x: Tensor) -> Tensor:
        """(n, sizes[0]) to (n, sizes[-1])."""
        *hidden, last = self.linears
        for linear, norm in zip(hidden, self.norms, strict=True):
            x = functional.silu(norm(linear(x)))
        output: Tensor = last(x)
        return output
