"""The high-dimensional neural network potential."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Self

import torch
from torch import Tensor, nn

from ladera.errors import ConfigError, DataError
from ladera.graph import Graph
from ladera.kernels.activations import ACTIVATION_NUMBERS
from ladera.kernels.atomic_networks import (
    NetworkArrays,
    energies_and_gradients,
    pack_networks,
)
from ladera.kernels.symmetry_functions import ops
from ladera.kernels.symmetry_functions.functions import CUTOFF_FUNCTIONS
from ladera.kernels.symmetry_functions.plan import make_plan
from ladera.models.hdnnp.config import HDNNPConfig
from ladera.models.hdnnp.network import AtomicNetwork
from ladera.potential import Potential, TrainingStatistics

log = logging.getLogger(__name__)

# A symmetry function that varies by less than this over the training set says nothing: scaled up,
# it would bring the rounding errors of its sum into the network.
RESOLUTION = 1e-8


class HDNNP(Potential):
    r"""Behler-Parrinello potential (Phys. Rev. Lett. 98, 146401 (2007)).

        E_i = E0[e] + shift + scale * NN_e( s(G_i) ),    e the element of atom i

    with the symmetry functions G_i (see ``SymmetryFunction``) scaled by ``s`` with their range,
    mean and standard deviation sigma over the training set:

        none          G
        scale         S_min + (S_max - S_min) (G - G_min) / (G_max - G_min)
        center        G - mean
        scale_center  S_min + (S_max - S_min) (G - mean) / (G_max - G_min)
        sigma         S_min + (S_max - S_min) (G - mean) / sigma

    The statistics are buffers: ``minimum``, ``maximum``, ``mean``, ``deviation``, each
    (n_species, n_functions) in the order of the columns of G.
    """

    double_buffers = ("reference_energies", "energy_shift", "energy_scale")

    minimum: Tensor
    maximum: Tensor
    mean: Tensor
    deviation: Tensor
    reference_energies: Tensor
    energy_shift: Tensor
    energy_scale: Tensor

    def __init__(self, config: HDNNPConfig) -> None:
        super().__init__(config)
        config = config.complete()
        self.config: HDNNPConfig = config
        self._state: tuple[Tensor, ...] | None = None
        self._packed_networks: tuple[list[int], NetworkArrays] | None = None
        kind = CUTOFF_FUNCTIONS.index(config.cutoff_function)
        self.plan = make_plan(self.symbols, config.symmetry_functions, kind, config.cutoff_alpha)
        shape = (len(self.species), self.plan.n_functions)
        zeros, ones = (
            torch.zeros(shape, dtype=torch.float64),
            torch.ones(shape, dtype=torch.float64),
        )
        self.register_buffer("minimum", zeros.clone())
        self.register_buffer("maximum", ones.clone())
        self.register_buffer("mean", zeros.clone())
        self.register_buffer("deviation", ones.clone())
        scalar = torch.zeros((), dtype=torch.float64)
        self.register_buffer("reference_energies", scalar.repeat(len(self.species)))
        self.register_buffer("energy_shift", scalar.clone())
        self.register_buffer("energy_scale", scalar + 1.0)
        shapes = [config.network(symbol) for symbol in self.symbols]
        self.networks = nn.ModuleList(
            AtomicNetwork((count, *hidden, 1), activations, config.normalize_nodes)
            for count, (hidden, activations) in zip(self.plan.counts, shapes, strict=True)
        )

    def atomic_energies(self, graph: Graph) -> Tensor:
        """E_i of each atom, (n_atoms,), eV, float64."""
        index, *arguments = self._arguments(graph)
        G = ops.values(graph.vectors, *arguments, self._plan_number)
        return self._network_energies(G, index)

    def energies_and_edge_gradients(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """One compiled pass; in training dE/dG by torch, then straight to dE/dr_ij."""
        index, *arguments = self._arguments(graph)
        if not torch.is_grad_enabled():
            arrays = [t.contiguous().numpy() for t in (graph.vectors.double(), *arguments)]
            result = energies_and_gradients(self.plan, self._packed(), *arrays)
            return torch.from_numpy(result[0]), torch.from_numpy(result[1]).to(self.dtype)
        vectors = graph.vectors.detach()
        G = ops.values(vectors, *arguments, self._plan_number).requires_grad_()
        energies = self._network_energies(G, index)
        (slope,) = torch.autograd.grad(energies.sum(), G, create_graph=True)
        return energies, ops.reverse(vectors, *arguments, slope, self._plan_number)

    def symmetry_functions(self, graph: Graph) -> Tensor:
        """Unscaled G of each atom, (n_atoms, n_functions); 0 beyond its element's functions."""
        _, *arguments = self._arguments(graph)
        values: Tensor = ops.values(graph.vectors, *arguments, self._plan_number)
        return values

    def fit_statistics(self, graphs: Sequence[Graph], statistics: TrainingStatistics) -> None:
        """Set the scaling of the symmetry functions, reference energies, energy shift and scale.

        Raises DataError when an element of the model has no atom in the training graphs.
        """
        values = torch.cat([self.symmetry_functions(graph.to(self.dtype)) for graph in graphs])
        index = torch.cat([self.species_index(graph) for graph in graphs])
        for element, symbol in enumerate(self.symbols):
            G = values[index == element].double()
            if len(G) == 0:
                raise DataError(
                    f"No training structure has an atom of {symbol}; leave it out of the model's "
                    "species or add structures with it."
                )
            low, high = G.amin(0), G.amax(0)
            constant = high - low < RESOLUTION
            deviation = G.std(0) if len(G) > 1 else torch.zeros_like(low)
            self.minimum[element], self.mean[element] = low, G.mean(0)
            self.maximum[element] = torch.where(constant, low, high)
            self.deviation[element] = torch.where(constant, torch.zeros_like(low), deviation)
            count = self.plan.counts[element]
            log.info(
                "%d of the %d symmetry functions of %s are constant in the training data.",
                int(constant[:count].sum()),
                count,
                symbol,
            )
            self.reference_energies[element] = statistics.reference_energies[symbol]
        self.energy_shift.fill_(statistics.energy_shift)
        self.energy_scale.fill_(statistics.force_scale or 1.0)

    def extrapolations(self, graph: Graph) -> Tensor:
        """Symmetry functions of each atom outside their training range, (n_atoms,) int64."""
        graph = graph.to(self.dtype, self.device)
        with torch.no_grad():
            G = self.symmetry_functions(graph)
        index = self.species_index(graph)
        slack = 1000 * torch.finfo(G.dtype).eps
        outside = (self.minimum[index] - slack > G) | (self.maximum[index] + slack < G)
        return outside.sum(1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Forget the packed networks when tensors are moved or converted."""
        self._state = self._packed_networks = None
        return super()._apply(fn, recurse)

    @cached_property
    def _plan_number(self) -> int:
        return ops.register(self.plan)

    def _arguments(self, graph: Graph) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Element indices of the atoms, and what the symmetry functions need beside the vectors."""
        if graph.vectors.device.type != "cpu":
            raise ConfigError(
                f"The HDNNP was asked to run on {graph.vectors.device}; its kernels run on the "
                "CPU only, so choose device: cpu."
            )
        index = self.species_index(graph)
        return index, graph.row_pointer, index, index[graph.neighbors]

    def _scaling(self) -> tuple[Tensor, Tensor, float]:
        """Offset, factor and low of (G - offset) * factor + low; constant functions keep G."""
        low, high = self.config.scale_range
        span = self.maximum - self.minimum
        one = torch.ones_like(span)
        match self.config.scaling:
            case "none":
                return torch.zeros_like(span), one, 0.0
            case "scale":
                return (
                    self.minimum,
                    (high - low) / torch.where(span > 0, span, one),
                    low,
                )
            case "center":
                return self.mean, one, 0.0
            case "scale_center":
                return self.mean, (high - low) / torch.where(span > 0, span, one), low
            case "sigma":
                sigma = torch.where(self.deviation > 0, self.deviation, one)
                return self.mean, (high - low) / sigma, low

    def _network_energies(self, G: Tensor, index: Tensor) -> Tensor:
        offset, factor, low = self._scaling()
        inputs = (G - offset[index]) * factor[index] + low
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
