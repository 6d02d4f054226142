"""Atomic energies, charges and dipoles from the features of a layer."""

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

    def forward(self, scalars: Tensor, head: int | Tensor) -> Tensor:
        """(n_atoms, channels) to (n_atoms,), all of one head or each of its own (n_atoms,)."""
        return self._through(scalars, head, len(self.weights))[:, 0]

    def last_inputs(self, scalars: Tensor, head: int | Tensor) -> Tensor:
        """What the last weights multiply, (n_atoms, n): the last nodes, gated, or the channels."""
        x = self._through(scalars, head, len(self.weights) - 1)
        return self.gate(x) if len(self.weights) > 1 else x

    def _through(self, scalars: Tensor, head: int | Tensor, n_layers: int) -> Tensor:
        """(n_atoms, channels) after the first layers."""
        if isinstance(head, Tensor):
            n_heads = self.weights[-1].shape[1]
            found = torch.stack([self._through(scalars, k, n_layers) for k in range(n_heads)], 1)
            return found[torch.arange(len(head), device=head.device), head]
        x, rows = scalars, slice(None)
        for k, weight in enumerate(self.weights[:n_layers]):
            columns = slice(head * self.sizes[k + 1], (head + 1) * self.sizes[k + 1])
            x = (self.gate(x) if k else x) @ (weight[rows, columns] / sqrt(len(weight)))
            if k and len(self.biases):
                x = x + self.biases[k - 1][columns]
            rows = columns
        return x


class DipoleReadout(nn.Module):
    r"""Charges and dipoles of atoms from the scalars s and the vectors v of a layer's features.

        q = readout(s),    p = v W_0 / sqrt(C)                                 without nodes
        p = [gate(s G / sqrt(C)) * v W_0 / sqrt(C)] W_1 / sqrt(n)              with n nodes

    ``charges`` is a :class:`Readout`, or None for dipoles alone; ``weights`` are W_0 (C, n or 1)
    and W_1 (n, 1), ``gates`` G (C, n).
    """

    def __init__(self, channels: int, nodes: Sequence[int], gate: str, charges: bool) -> None:
        super().__init__()
        self.gate = GATES[gate]
        self.charges = Readout((channels, *nodes, 1), 1, gate, bias=False) if charges else None
        widths = (channels, *nodes[:1], 1)
        self.weights = nn.ParameterList(normal(a, b) for a, b in pairwise(widths))
        self.gates = nn.ParameterList(normal(channels, n) for n in nodes[:1])

    def last_weights(self) -> tuple[Tensor, ...]:
        """Those that charges and dipoles are linear in."""
        charges = () if self.charges is None else (self.charges.weights[-1],)
        return (*charges, self.weights[-1])

    def forward(self, features: Tensor) -> tuple[Tensor | None, Tensor]:
        """(n_atoms, 4 or more components, channels) to q (n_atoms,) in e and p (n_atoms, 3) in eA.

        The components 1 to 3 are the vectors, in the order x, y, z. Without charges q is None.
        """
        scalars, vectors = features[:, 0], features[:, 1:4]
        for k, weight in enumerate(self.weights):
            if k:
                gates = scalars @ (self.gates[0] / sqrt(len(self.gates[0])))
                vectors = vectors * self.gate(gates)[:, None]
            vectors = vectors @ (weight / sqrt(len(weight)))
        charges = None if self.charges is None else self.charges(scalars, 0)
        return charges, vectors[:, :, 0]
