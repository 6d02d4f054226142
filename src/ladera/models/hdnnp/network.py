"""The network of one element: symmetry functions in, one atomic energy out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from ladera.arrays import Floats
from ladera.kernels.activations import ACTIVATIONS


class AtomicNetwork(nn.Module):
    r"""A multilayer perceptron, x_l = f_l((W_l x_(l-1) + b_l) / d_l).

    ``sizes`` are the numbers of nodes n_l from the input to the output, ``activations`` the names
    of f_1 ... f_L. d_l is n_(l-1) with ``normalize_nodes``, otherwise 1. Weights start with
    Glorot's normal distribution (Glorot and Bengio, AISTATS 2010), biases at zero.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activations: Sequence[str],
        normalize_nodes: bool = False,
    ) -> None:
        super().__init__()
        self.activations = tuple(activations)
        self.divisors = tuple(sizes[:-1]) if normalize_nodes else (1,) * (len(sizes) - 1)
        layers = []
        for n_in, n_out in pairwise(sizes):
            layer = nn.Linear(n_in, n_out, dtype=torch.float64)
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
            layers.append(layer)
        self.hidden = nn.ModuleList(layers[:-1])
        self.output = layers[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n_atoms,) for inputs (n_atoms, n_functions)."""
        return torch.squeeze(self._through(x, len(self.divisors)), dim=1)

    def last_inputs(self, x: Tensor) -> Tensor:
        """Nodes of the last hidden layer, (n_atoms, n_nodes), for inputs (n_atoms, n_functions)."""
        return self._through(x, len(self.hidden))

    def _through(self, x: Tensor, n_layers: int) -> Tensor:
        """x after the first layers."""
        for layer, name, divisor in zip(
            self.layers()[:n_layers], self.activations, self.divisors, strict=False
        ):
            x = layer(x)
            x = ACTIVATIONS[name](x / divisor if divisor != 1 else x)
        return x

    @property
    def n_inputs(self) -> int:
        """How many numbers it takes."""
        return self.layers()[0].in_features

    def layers(self) -> list[nn.Linear]:
        """The linear parts from the input to the output."""
        return [layer for layer in (*self.hidden, self.output) if isinstance(layer, nn.Linear)]

    def arrays(self) -> list[tuple[Floats, Floats]]:
        """Weights (out, in) and biases (out,) of each layer, divided as the layer is."""

        def array(tensor: Tensor, divisor: int) -> Floats:
            return np.asarray(tensor.detach(), dtype=np.float64) / divisor

        return [
            (array(layer.weight, divisor), array(layer.bias, divisor))
            for layer, divisor in zip(self.layers(), self.divisors, strict=True)
        ]
