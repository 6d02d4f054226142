r"""Derivatives of energies and forces in the weights of atomic networks.

Of one network y(x) with layers z_l = (W_l x_(l-1) + b_l) / d_l, x_l = f_l(z_l):

    energy    dy/dW_l = a_l x_(l-1)^T / d_l,    a_l = f_l' * (W_(l+1)^T a_(l+1) / d_(l+1))

A force component is minus the slope of the energy along the vector v = ds/dr by which the inputs
change: F = - sum v . dy/dx. That slope is the tangent y' = v . dy/dx, carried forward with
x'_l = f_l' * z'_l, z'_l = W_l x'_(l-1) / d_l, and its derivative comes back with

    dy'/dW_l = (b_l x_(l-1)^T + a_l x'_(l-1)^T) / d_l
    b_l = f_l' * (W_(l+1)^T b_(l+1) / d_(l+1)) + f_l'' * z'_l * (W_(l+1)^T a_(l+1) / d_(l+1))

The atoms of all observations go through as one matrix, and each observation's sum over its atoms is
one product of matrices: no automatic differentiation per row. Observations of fewer atoms than the
largest are filled up with atoms that do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ladera.kernels.activations import ACTIVATIONS
from ladera.models.hdnnp.network import AtomicNetwork


@dataclass(frozen=True)
class _Pass:
    """A network's layers for some atoms, forward and back."""

    inputs: list[Tensor]  # x_(l-1), (m, p, n_(l-1))
    slopes: list[Tensor]  # f_l'
    curvatures: list[Tensor]  # f_l''
    adjoints: list[Tensor]  # a_l
    upper: list[Tensor]  # W_(l+1)^T a_(l+1) / d_(l+1), ones at the top
    outputs: Tensor  # y, (m, p)


def energy_rows(network: AtomicNetwork, x: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """E (m,) and dE/dw (m, n_weights) of E = sum of y over the first ``counts`` (m,) of p atoms.

    x is (m, p, n_inputs).
    """
    found = _run(network, x)
    present = (torch.arange(x.shape[1]) < counts[:, None]).to(x)[:, :, None]
    parts = []
    for inputs, adjoint, divisor in zip(
        found.inputs, found.adjoints, network.divisors, strict=True
    ):
        counted = adjoint * present
        parts += _parts(counted.mT @ inputs, counted, divisor)
    return (found.outputs * present[:, :, 0]).sum(1), torch.cat(parts, dim=1)


def slope_rows(network: AtomicNetwork, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """S (m,) and dS/dw (m, n_weights) of S = sum of v . dy/dx over p atoms.

    x and v are (m, p, n_inputs); an atom with v = 0 does not count.
    """
    found, layers = _run(network, x), network.layers()
    tangents, rates = [], []
    for layer, slope, divisor in zip(layers, found.slopes, network.divisors, strict=True):
        tangents.append(v)
        rates.append(v @ layer.weight.T / divisor)
        v = slope * rates[-1]
    back = torch.zeros_like(v)
    parts: list[Tensor] = []
    for l in reversed(range(len(layers))):
        divisor = network.divisors[l]
        bend = found.curvatures[l] * rates[l] * found.upper[l]
        second = found.slopes[l] * back + bend
        weights = second.mT @ found.inputs[l] + found.adjoints[l].mT @ tangents[l]
        parts = [*_parts(weights, second, divisor), *parts]
        back = second @ layers[l].weight / divisor
    return v[:, :, 0].sum(1), torch.cat(parts, dim=1)


def _run(network: AtomicNetwork, x: Tensor) -> _Pass:
    inputs, slopes, curvatures = [], [], []
    layers = network.layers()
    for layer, name, divisor in zip(layers, network.activations, network.divisors, strict=True):
        inputs.append(x)
        x, slope, curvature = _activate(name, layer(x) / divisor)
        slopes.append(slope)
        curvatures.append(curvature)
    back = torch.ones_like(x)
    adjoints, upper = [], []
    for layer, slope, divisor in zip(
        reversed(layers), reversed(slopes), reversed(network.divisors), strict=True
    ):
        upper.append(back)
        adjoints.append(slope * back)
        back = adjoints[-1] @ layer.weight / divisor
    return _Pass(inputs, slopes, curvatures, adjoints[::-1], upper[::-1], x[:, :, 0])


def _parts(weights: Tensor, biases: Tensor, divisor: int) -> list[Tensor]:
    """A layer's derivatives in the order of its parameters, each (m, count)."""
    return [weights.flatten(1) / divisor, biases.sum(1) / divisor]


def _activate(name: str, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """f(z), f'(z) and f''(z)."""
    if name == "linear":
        return z, torch.ones_like(z), torch.zeros_like(z)
    if name == "tanh":
        t = torch.tanh(z)
        slope = 1 - t * t
        return t, slope, -2 * t * slope
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        f = ACTIVATIONS[name](z)
        (slope,) = torch.autograd.grad(f.sum(), z, create_graph=True)
        if not slope.requires_grad:
            return f.detach(), slope.detach(), torch.zeros_like(z)
        (curvature,) = torch.autograd.grad(slope.sum(), z)
    return f.detach(), slope.detach(), curvature.detach()
