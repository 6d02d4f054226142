"""Atomic energies from the invariant features of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn

from ladera.models.equivariant.linear import normal
from ladera.models.equivariant.networks import GATES


class Readout(nn.Module):
    r"""x <- gate(x W_k / sqrt(f_k) + b_k), the last one linear: a network of its own for each head.

    ``weights[k]`` (f_k, f_k+1) has the nodes of all heads side by side, f_0 = channels, f_k =
    n_heads n_k, as mace-torch has; those of other heads do not take part. With ``bias`` there is a
    ``biases[k]`` (f_k+2,) of every layer but the first. ``sizes`` are n_0, n_1, ..., 1.
    """

    def __init__(self, sizes: Sequence[int], n_heads: int, gate: str, bias: bool) -> None:
        super().__init__()
        self.gate = GATES[gate]
        self.sizes = tuple(sizes)
        widths = [sizes[0], *(n_heads * size for size in sizes[1:])]
        self.weights = nn.ParameterList(normal(a, b) for a, b in pairwise(widths))
        zeros = [torch.zeros(width, dtype=torch.float64) for width in widths[2:]]
        self.biases = nn.ParameterList(zeros if bias else [])

    def forward(self, scalars: Tensor, head: int) -> Tensor:
        """(n_atoms, channels) to (n_atoms,) of one head."""
        x, rows = scalars, slice(None)
        for k, weight in enumerate(self.weights):
            columns = slice(head * self.sizes[k + 1], (head + 1) * self.sizes[k + 1])
            x = (self.gate(x) if k else x) @ (weight[rows, columns] / sqrt(len(weight)))
            if k and len(self.biases):
                x = x + self.biases[k - 1][columns]
            rows = columns
        return x[:, 0]
