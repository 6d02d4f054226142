r"""Derivatives of atomic networks in closed form, where torch would differentiate a derivative.

A network y(x) has layers z_l = (W_l x_(l-1) + b_l) / d_l, x_l = f_l(z_l). Its gradient comes back
as

    a_l = f_l' * u_l,    u_l = W_(l+1)^T a_(l+1) / d_(l+1),    u_L = 1,    dy/dx = W_1^T a_1 / d_1

Along a direction v of the inputs it has the slope y' = v . dy/dx, carried forward with x'_0 = v,

    z'_l = W_l x'_(l-1) / d_l,    x'_l = f_l' * z'_l,    y' = x'_L

whose derivatives in the weights need the second pass back

    b_l = f_l' * (W_(l+1)^T b_(l+1) / d_(l+1)) + f_l'' * z'_l * u_l,    b_L = f_L'' * z'_L
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ladera.kernels.activations import ACTIVATIONS
from ladera.kernels.symmetry_functions import cpu
from ladera.kernels.symmetry_functions.environment import Edges
from ladera.kernels.symmetry_functions.plan import Plan
from ladera.models.hdnnp.network import AtomicNetwork
from ladera.models.hdnnp.scaling import InputScaling


@dataclass(frozen=True, eq=False)
class NetworkPass:
    """A network's layers for some atoms, forward and back; tensors (..., atoms, nodes)."""

    weights: list[Tensor]  # W_l / d_l
    inputs: list[Tensor]  # x_(l-1)
    slopes: list[Tensor]  # f_l'
    curvatures: list[Tensor]  # f_l''
    adjoints: list[Tensor]  # a_l
    upper: list[Tensor]  # u_l
    outputs: Tensor  # y, (..., atoms)
    gradient: Tensor  # dy/dx, (..., atoms, n_inputs)

    def along(self, v: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """x'_(l-1) and z'_l of each layer, and y' (..., atoms), for a direction as the inputs."""
        tangents, rates = [], []
        for weight, slope in zip(self.weights, self.slopes, strict=True):
            tangents.append(v)
            rates.append(v @ weight.mT)
            v = slope * rates[-1]
        return tangents, rates, v[..., 0]

    def second_adjoints(
        self, rates: Sequence[Tensor], of_outputs: Tensor | None = None
    ) -> list[Tensor]:
        """b_l of each layer; with ``of_outputs`` (..., atoms) those of y' + of_outputs * y."""
        found: list[Tensor] = []
        back = None if of_outputs is None else of_outputs[..., None]
        for l in reversed(range(len(rates))):
            second = self.curvatures[l] * rates[l] * self.upper[l]
            if back is not None:
                second = torch.addcmul(second, self.slopes[l], back)
            found.append(second)
            back = second @ self.weights[l]
        return found[::-1]


def run(network: AtomicNetwork, x: Tensor) -> NetworkPass:
    """The network at x (..., atoms, n_inputs), without a graph of operations."""
    with torch.no_grad():
        inputs, slopes, curvatures = [], [], []
        layers, divisors = network.layers(), network.divisors
        for layer, name, divisor in zip(layers, network.activations, divisors, strict=True):
            inputs.append(x)
            z = layer(x)
            x, slope, curvature = _activate(name, z if divisor == 1 else z / divisor)
            slopes.append(slope)
            curvatures.append(curvature)
        weights = [
            layer.weight.detach() if divisor == 1 else layer.weight.detach() / divisor
            for layer, divisor in zip(layers, divisors, strict=True)
        ]
        back = torch.ones_like(x)
        adjoints, upper = [], []
        for weight, slope in zip(reversed(weights), reversed(slopes), strict=True):
            upper.append(back)
            adjoints.append(slope * back)
            back = adjoints[-1] @ weight
        adjoints, upper = adjoints[::-1], upper[::-1]
        return NetworkPass(weights, inputs, slopes, curvatures, adjoints, upper, x[..., 0], back)


def _activate(name: str, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """f(z), f'(z) and f''(z)."""
    if name == "linear":
        return z, torch.ones_like(z), torch.zeros_like(z)
    if name == "tanh":
        t = torch.tanh(z)
        slope = 1 - t * t
        return t, slope, -2 * t * slope
    if name == "softplus":
        slope = torch.sigmoid(z)
        return ACTIVATIONS[name](z), slope, slope * (1 - slope)
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        f = ACTIVATIONS[name](z)
        (slope,) = torch.autograd.grad(f.sum(), z, create_graph=True)
        if not slope.requires_grad:
            return f.detach(), slope.detach(), torch.zeros_like(z)
        (curvature,) = torch.autograd.grad(slope.sum(), z)
    return f.detach(), slope.detach(), curvature.detach()


class EnergiesAndEdgeGradients(torch.autograd.Function):
    r"""Atomic energies and edge gradients, differentiable in the networks' weights.

        E_i = c_i + s y_e(x_i),    dE/dr_ij = s sum_kf dy_e/dx_ik K_efk dG_if/dr_ij

    (element e of atom i, energy scale s, slopes K = dx/dG of the inputs' scaling). With the
    derivatives p_i and q_ij of a loss in both, those in the weights of element e are those of

        sum_i s p_i y_e(x_i) + y'_e(x_i),    v_ik = s sum_f K_efk sum_j q_ij . dG_if/dr_ij
    """

    @staticmethod
    def forward(
        ctx: Any, batch: SymmetryFunctionBatch, networks: Sequence[AtomicNetwork], *_: Tensor
    ) -> tuple[Tensor, Tensor]:
        """E (n_atoms,) float64, and dE/dr_ij (n_edges, 3); the further arguments are the weights.

        These are ``parameters(networks)``.
        """
        ctx.set_materialize_grads(False)
        x = batch.inputs
        energies, slope = batch.constants.clone(), torch.zeros_like(x)
        ctx.batch, ctx.passes = batch, []
        for element, network in enumerate(networks):
            atoms = torch.nonzero(batch.elements == element)[:, 0]
            n_inputs = network.layers()[0].in_features
            done = run(network, x[atoms, :n_inputs])
            energies[atoms] += done.outputs.double() * batch.scale
            slope[atoms, :n_inputs] = done.gradient
            ctx.passes.append((atoms, done, network.divisors))
        weights = batch.scaling.gradients(slope, batch.elements).double() * batch.scale
        gradient = cpu.reverse(batch.plan, batch.edges, weights.numpy())
        return energies, torch.from_numpy(gradient).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_energies: Tensor | None, of_edges: Tensor | None) -> Any:
        """The derivatives in the weights."""
        batch: SymmetryFunctionBatch = ctx.batch
        v = torch.zeros_like(batch.inputs)
        if of_edges is not None:
            changes = cpu.tangent(batch.plan, batch.edges, of_edges.double().contiguous().numpy())
            of_functions = (torch.from_numpy(changes) * batch.scale).to(v.dtype)
            v = batch.scaling.changes(of_functions, batch.elements)
        found: list[Tensor] = []
        for atoms, done, divisors in ctx.passes:
            tangents, rates, _ = done.along(v[atoms, : done.inputs[0].shape[1]])
            of_outputs = None
            if of_energies is not None:
                of_outputs = (of_energies[atoms] * batch.scale).to(v.dtype)
            seconds = done.second_adjoints(rates, of_outputs)
            for l, divisor in enumerate(divisors):
                weights = torch.addmm(
                    seconds[l].T @ done.inputs[l], done.adjoints[l].T, tangents[l]
                )
                biases = seconds[l].sum(0)
                found += (
                    [weights / divisor, biases / divisor] if divisor != 1 else [weights, biases]
                )
        return None, None, *found


@dataclass(frozen=True, eq=False)
class SymmetryFunctionBatch:
    """What a pass over a batch needs beside the weights."""

    plan: Plan
    edges: Edges
    elements: Tensor  # (n_atoms,)
    inputs: Tensor  # (n_atoms, n_inputs)
    scaling: InputScaling
    constants: Tensor  # (n_atoms,) float64, c in eV
    scale: float  # s in eV


def parameters(networks: Sequence[AtomicNetwork]) -> list[Tensor]:
    """Weights and biases of all layers of all networks, as the pass wants them."""
    return [
        tensor
        for network in networks
        for layer in network.layers()
        for tensor in (layer.weight, layer.bias)
    ]
