r"""Derivatives of energies and forces in the weights of atomic networks, a row for each.

A force component is minus the slope of the energy along the vector v = ds/dr by which the inputs
change: F = - sum v . dy/dx = - y'. With the passes of :mod:`ladera.models.hdnnp.derivatives`,

    dy/dW_l  = a_l x_(l-1)^T / d_l
    dy'/dW_l = (b_l x_(l-1)^T + a_l x'_(l-1)^T) / d_l

The atoms of all observations go through as one matrix, and each observation's sum over its atoms is
one product of matrices: no automatic differentiation per row. Observations of fewer atoms than the
largest are filled up with atoms that do not count.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ladera.models.hdnnp.derivatives import run
from ladera.models.hdnnp.network import AtomicNetwork


def energy_rows(network: AtomicNetwork, x: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """E (m,) and dE/dw (m, n_weights) of E = sum of y over the first ``counts`` (m,) of p atoms.

    x is (m, p, n_inputs).
    """
    passes = run(network, x)
    present = (torch.arange(x.shape[1]) < counts[:, None]).to(x)[:, :, None]
    parts = []
    for inputs, adjoint, divisor in zip(
        passes.inputs, passes.adjoints, network.divisors, strict=True
    ):
        counted = adjoint * present
        parts += _parts(counted.mT @ inputs, counted, divisor)
    return (passes.outputs * present[:, :, 0]).sum(1), torch.cat(parts, dim=1)


def slope_rows(network: AtomicNetwork, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """S (m,) and dS/dw (m, n_weights) of S = sum of v . dy/dx over p atoms.

    x and v are (m, p, n_inputs); an atom with v = 0 does not count.
    """
    passes = run(network, x)
    tangents, rates, slopes = passes.along(v)
    parts: list[Tensor] = []
    for l, second in enumerate(passes.second_adjoints(rates)):
        weights = second.mT @ passes.inputs[l] + passes.adjoints[l].mT @ tangents[l]
        parts += _parts(weights, second, network.divisors[l])
    return slopes.sum(1), torch.cat(parts, dim=1)


def _parts(weights: Tensor, biases: Tensor, divisor: int) -> list[Tensor]:
    """A layer's derivatives in the order of its parameters, each (m, count)."""
    return [weights.flatten(1) / divisor, biases.sum(1) / divisor]
