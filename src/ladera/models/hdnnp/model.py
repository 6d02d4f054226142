"""The high-dimensional neural network potential."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from ladera.arrays import Floats
from ladera.errors import ConfigError
from ladera.graph import Graph
from ladera.kernels.activations import ACTIVATION_NUMBERS
from ladera.kernels.atomic_networks import (
    NetworkArrays,
    energies_and_gradients,
    pack_networks,
)
from ladera.kernels.symmetry_functions import cpu, ops
from ladera.kernels.symmetry_functions.environment import Edges
from ladera.models.hdnnp.base import SymmetryFunctionPotential
from ladera.models.hdnnp.config import HDNNPConfig
from ladera.models.hdnnp.derivatives import (
    EnergiesAndEdgeGradients,
    SymmetryFunctionBatch,
    parameters,
)
from ladera.models.hdnnp.moments import DipoleNetworks
from ladera.models.hdnnp.network import AtomicNetwork
from ladera.potential import AtomicValues, Prediction

_IN_TRAINING: Any = EnergiesAndEdgeGradients.apply  # which torch does not annotate


class HDNNP(SymmetryFunctionPotential):
    r"""Behler-Parrinello potential (Phys. Rev. Lett. 98, 146401 (2007)).

        E_i = E0[e] + shift + scale * NN_e( s(G_i) ),    e the element of atom i

    with the symmetry functions G_i scaled by ``s`` (see ``SymmetryFunctionPotential``).
    """

    def __init__(self, config: HDNNPConfig) -> None:
        super().__init__(config)
        config = self.config
        self._state: tuple[Tensor, ...] | None = None
        self._packed_networks: tuple[list[int], NetworkArrays, int] | None = None
        shapes = [config.network(symbol) for symbol in self.symbols]
        self.networks = nn.ModuleList(
            AtomicNetwork((count, *hidden, 1), activations, config.normalize_nodes)
            for count, (hidden, activations) in zip(self.input_counts, shapes, strict=True)
        )
        self.dipole_networks: DipoleNetworks | None = None

    def atomic_energies(self, graph: Graph) -> Tensor:
        """E_i of each atom, (n_atoms,), eV, float64."""
        return self.predict(graph, gradients=False).atomic_energies

    def energies_and_edge_gradients(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """One compiled pass; in training, one that is differentiable in the networks' weights."""
        prediction = self.predict(graph)
        return prediction.atomic_energies, prediction.edge_gradients

    def predict(self, graph: Graph, gradients: bool = True) -> Prediction:
        """Energies and their gradients, and the moments of a model that has them.

        These are of the same inputs as the energies; beside those of the compiled pass they are
        computed when asked for.
        """
        inputs: Tensor | None = None
        slopes: Tensor | None = None
        features: Tensor | None = None
        if not gradients:
            inputs = self.energy_inputs(graph)
            energies = self._network_energies(inputs, self.element_index(graph))
        elif torch.is_grad_enabled():
            batch, networks = self._batch(graph), self.atomic_networks()
            energies, slopes = _IN_TRAINING(batch, networks, *parameters(networks))
            inputs = batch.inputs
        else:
            _, *arguments = self._arguments(graph)
            edges = Edges(*(t.contiguous().numpy() for t in (graph.vectors.double(), *arguments)))
            packed, n_features = self._packed()
            n_features = 0 if self.active_set is None else n_features
            values, gradients_, nodes = energies_and_gradients(
                self.plan, packed, edges, n_nodes=n_features
            )
            energies = torch.from_numpy(values)
            slopes = torch.from_numpy(gradients_).to(self.dtype)
            if n_features:
                nodes[:, -1] = 1.0
                features = torch.from_numpy(nodes)
        return Prediction(
            graph,
            energies,
            slopes,
            atomic_values=self._moments(graph, inputs),
            grade_features=features,
        )

    def _moments(self, graph: Graph, inputs: Tensor | None) -> Callable[[], AtomicValues] | None:
        """How to compute charges and dipoles, of a model that has them, from inputs if known."""
        networks = self.dipole_networks
        if networks is None:
            return None
        return lambda: networks(
            graph,
            self.element_index(graph),
            self.energy_inputs(graph) if inputs is None else inputs,
        )

    def with_dipole(self, charges: bool = True) -> HDNNP:
        """A copy with networks for dipoles, whose last weights are zero."""
        if not charges:
            raise ConfigError(
                "The dipoles of an hdnnp are of charges and atomic dipoles; set finetune.charges: "
                "true."
            )
        from ladera.models.hdnnp.dipole import HDNNPDipole, HDNNPDipoleConfig

        values = self.config.model_dump(by_alias=True) | {"architecture": "hdnnp_dipole"}
        larger = HDNNPDipole(HDNNPDipoleConfig.model_validate(values)).to(self.dtype)
        larger.load_state_dict(larger.state_dict() | self.state_dict())
        with torch.no_grad():
            for network in larger.dipole_networks or ():
                if isinstance(network, AtomicNetwork):
                    network.output.weight.zero_()
        return larger.eval()

    def energy_inputs(self, graph: Graph, prediction: Prediction | None = None) -> Tensor:
        """x of the networks of all atoms, (n_atoms, n_inputs), differentiable in the vectors."""
        if graph.inputs is not None:
            return graph.inputs
        index, *arguments = self._arguments(graph)
        G = ops.values(graph.vectors, *arguments, self.plan_number)
        return self.input_scaling().inputs(G, index)

    def reduced(self, graph: Graph) -> Graph:
        """The atoms with the inputs of their networks; dipoles are of the edges, too."""
        if self.dipole_networks is not None:
            return graph
        with torch.no_grad():
            return graph.reduced(self.energy_inputs(graph.to(self.dtype, self.device)))

    def _layers_on_functions(self, element: int) -> list[tuple[Floats, Floats]]:
        """Weights (out, in) and biases (out,) of an element's network, divided as its layers are.

        The first layer takes scaled symmetry functions, before they are mixed.
        """
        network, count = self.atomic_networks()[element], self.plan.counts[element]
        (weights, biases), *others = network.arrays()
        unmixed = self.input_scaling().unmixed(torch.from_numpy(weights), element)
        return [(unmixed[:, :count].numpy(), biases), *others]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Forget the packed networks when tensors are moved or converted."""
        self._state = self._packed_networks = None
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        """Copies of a model, also those for other processes, pack their networks themselves."""
        return self.__dict__ | {"_state": None, "_packed_networks": None}

    def _network_energies(self, inputs: Tensor, index: Tensor) -> Tensor:
        energies = (self.reference_energies + self.energy_shift).double()[index]
        for element, network in enumerate(self.networks):
            atoms = torch.nonzero(index == element)[:, 0]
            if len(atoms):
                output = network(inputs[atoms, : self.input_counts[element]]).double()
                energies = energies.index_add(0, atoms, output * self.energy_scale)
        return energies

    def atomic_networks(self) -> list[AtomicNetwork]:
        """The network of each element."""
        return [network for network in self.networks if isinstance(network, AtomicNetwork)]

    def _batch(self, graph: Graph) -> SymmetryFunctionBatch:
        """A batch of structures as the pass in training sees it."""
        index, *arguments = self._arguments(graph)
        vectors = graph.vectors.detach().double()
        edges = Edges(*(t.contiguous().numpy() for t in (vectors, *arguments)))
        scaling = self.input_scaling()
        G = torch.from_numpy(cpu.values(self.plan, edges)).to(graph.vectors.dtype)
        return SymmetryFunctionBatch(
            plan=self.plan,
            edges=edges,
            elements=index,
            inputs=scaling.inputs(G, index),
            scaling=scaling,
            constants=(self.reference_energies + self.energy_shift).double()[index],
            scale=float(self.energy_scale),
        )

    def _packed(self) -> tuple[NetworkArrays, int]:
        """The networks for the compiled pass, packed again only when a tensor has changed.

        Beside them the number of features of a grade, of which the last is 1; 0 where a network
        without hidden layers is graded by its mixed inputs, which that pass has not.
        """
        if self._state is None:
            self._state = (*self.parameters(), *self.buffers())
        key = [tensor._version for tensor in self._state]
        if self._packed_networks is None or self._packed_networks[0] != key:
            scaling, networks = self.input_scaling(), self.atomic_networks()
            packed = pack_networks(
                [self._layers_on_functions(element) for element in range(len(networks))],
                [[ACTIVATION_NUMBERS[name] for name in net.activations] for net in networks],
                scaling.offset.double().numpy(),
                scaling.factor.double().numpy(),
                scaling.low,
                (self.reference_energies + self.energy_shift).double().numpy(),
                float(self.energy_scale),
            )
            width = 1 + max(network.output.in_features for network in networks)
            hidden = all(len(network.hidden) for network in networks)
            self._packed_networks = key, packed, width if hidden else 0
        return self._packed_networks[1:]
