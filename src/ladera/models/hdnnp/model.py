"""The high-dimensional neural network potential."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from ladera.graph import Graph
from ladera.kernels.activations import ACTIVATION_NUMBERS
from ladera.kernels.atomic_networks import (
    NetworkArrays,
    energies_and_gradients,
    pack_networks,
)
from ladera.kernels.symmetry_functions import ops
from ladera.models.hdnnp.base import SymmetryFunctionPotential
from ladera.models.hdnnp.config import HDNNPConfig
from ladera.models.hdnnp.network import AtomicNetwork


class HDNNP(SymmetryFunctionPotential):
    r"""Behler-Parrinello potential (Phys. Rev. Lett. 98, 146401 (2007)).

        E_i = E0[e] + shift + scale * NN_e( s(G_i) ),    e the element of atom i

    with the symmetry functions G_i scaled by ``s`` (see ``SymmetryFunctionPotential``).
    """

    def __init__(self, config: HDNNPConfig) -> None:
        super().__init__(config)
        config = self.config
        self._state: tuple[Tensor, ...] | None = None
        self._packed_networks: tuple[list[int], NetworkArrays] | None = None
        shapes = [config.network(symbol) for symbol in self.symbols]
        self.networks = nn.ModuleList(
            AtomicNetwork((count, *hidden, 1), activations, config.normalize_nodes)
            for count, (hidden, activations) in zip(self.plan.counts, shapes, strict=True)
        )

    def atomic_energies(self, graph: Graph) -> Tensor:
        """E_i of each atom, (n_atoms,), eV, float64."""
        index, *arguments = self._arguments(graph)
        G = ops.values(graph.vectors, *arguments, self.plan_number)
        return self._network_energies(G, index)

    def energies_and_edge_gradients(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """One compiled pass; in training dE/dG by torch, then straight to dE/dr_ij."""
        index, *arguments = self._arguments(graph)
        if not torch.is_grad_enabled():
            arrays = [t.contiguous().numpy() for t in (graph.vectors.double(), *arguments)]
            result = energies_and_gradients(self.plan, self._packed(), *arrays)
            return torch.from_numpy(result[0]), torch.from_numpy(result[1]).to(self.dtype)
        vectors = graph.vectors.detach()
        G = ops.values(vectors, *arguments, self.plan_number).requires_grad_()
        energies = self._network_energies(G, index)
        (slope,) = torch.autograd.grad(energies.sum(), G, create_graph=True)
        return energies, ops.reverse(vectors, *arguments, slope, self.plan_number)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Forget the packed networks when tensors are moved or converted."""
        self._state = self._packed_networks = None
        return super()._apply(fn, recurse)

    def _network_energies(self, G: Tensor, index: Tensor) -> Tensor:
        inputs = self.inputs(G, index)
        energies = (self.reference_energies + self.energy_shift).double()[index]
        for element, network in enumerate(self.networks):
            atoms = torch.nonzero(index == element)[:, 0]
            if len(atoms):
                output = network(inputs[atoms, : self.plan.counts[element]]).double()
                energies = energies.index_add(0, atoms, output * self.energy_scale)
        return energies

    def _packed(self) -> NetworkArrays:
        """The networks for the compiled pass, packed again only when a tensor has changed."""
        if self._state is None:
            self._state = (*self.parameters(), *self.buffers())
        key = [tensor._version for tensor in self._state]
        if self._packed_networks is None or self._packed_networks[0] != key:
            offset, factor, low = self._scaling()
            networks = [net for net in self.networks if isinstance(net, AtomicNetwork)]
            packed = pack_networks(
                [net.arrays() for net in networks],
                [[ACTIVATION_NUMBERS[name] for name in net.activations] for net in networks],
                offset.double().numpy(),
                factor.double().numpy(),
                low,
                (self.reference_energies + self.energy_shift).double().numpy(),
                float(self.energy_scale),
            )
            self._packed_networks = (key, packed)
        return self._packed_networks[1]
