"""The network of one element: symmetry functions in, one atomic energy out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from ladera.kernels.activations import ACTIVATIONS
from ladera.kernels.symmetry_functions.plan import Floats


class AtomicNetwork(nn.Module):
    """A multilayer perceptron, x_l = f(W_l x_(l-1) + b_l), with a linear last layer.

    ``sizes`` are the numbers of nodes from the input to the output. Weights start with Glorot's
    normal distribution (Glorot and Bengio, AISTATS 2010), biases at zero.
    """

    def __init__(self, sizes: Sequence[int], activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
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
        for layer in self.hidden:
            x = self.activation(layer(x))
        return torch.squeeze(self.output(x), dim=1)

    def arrays(self) -> list[tuple[Floats, Floats]]:
        """Weights (out, in) and biases (out,) of each layer."""

        def array(tensor: Tensor) -> Floats:
            return np.asarray(tensor.detach(), dtype=np.float64)

        linear = [layer for layer in (*self.hidden, self.output) if isinstance(layer, nn.Linear)]
        return [(array(layer.weight), array(layer.bias)) for layer in linear]
