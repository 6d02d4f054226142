"""The NequIP potential."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from ladera.errors import DataError
from ladera.graph import Graph
from ladera.kernels.autograd import forces_only
from ladera.kernels.harmonics import spherical_harmonics
from ladera.models import elements
from ladera.models.equivariant.grid import grid_of
from ladera.models.equivariant.layers import Edges
from ladera.models.equivariant.linear import Elements, normal
from ladera.models.equivariant.networks import RadialNetwork
from ladera.models.equivariant.radial import (
    BesselBasis,
    TrainedBesselBasis,
    smooth_cutoff,
    xplor_cutoff,
)
from ladera.models.nequip.config import NequIPConfig
from ladera.models.nequip.fast import FastPath, why_not_fast
from ladera.models.nequip.layers import Layer
from ladera.models.nequip.shapes import layer_shapes
from ladera.potential import Potential, Prediction, TrainingStatistics


class NequIP(Potential):
    r"""Equivariant message passing with gates (Nat. Commun. 13, 2453 (2022)).

        h_i^0 = embedding of the element,    h^(t+1) = layer_t(h^t)
        E_i = E0_z + shift + scale_z readout(h_i^T)

    with the layers of :class:`Layer`; features are scalars before the first and after the last of
    them. SevenNet (J. Chem. Theory Comput. 20, 4857 (2024)) and Nequix (arXiv:2508.16067) are of
    this family.
    """

    config: NequIPConfig
    double_buffers: ClassVar[tuple[str, ...]] = ("reference_energies", "shift", "scale")

    reference_energies: Tensor  # (n_species,), eV
    shift: Tensor  # (), eV
    scale: Tensor  # (n_species,), eV
    average_neighbors: Tensor  # (n_species,), of the sender

    def __init__(self, config: NequIPConfig) -> None:
        super().__init__(config)
        self.hops = config.layers
        self._fast: FastPath | None = None
        n_species, shapes = len(self.numbers), layer_shapes(config)
        self.embedding = normal(n_species, *shapes[0].channels)
        basis = TrainedBesselBasis if config.train_basis else BesselBasis
        self.basis = basis(config.cutoff, config.num_radial)
        self.layers = nn.ModuleList(
            Layer(config, shape, constant=t == 0) for t, shape in enumerate(shapes)
        )
        self.readout = RadialNetwork((config.widths[0], *config.readout_layers, 1))
        ones = torch.ones(n_species, dtype=torch.float64)
        self.register_buffer("reference_energies", 0 * ones)
        self.register_buffer("shift", ones.new_zeros(()))
        self.register_buffer("scale", ones.clone())
        self.register_buffer("average_neighbors", ones * (config.average_neighbors or 1.0))

    def atomic_energies(self, graph: Graph) -> Tensor:
        """E_i of each atom, (n_atoms,), eV, float64."""
        index = self.element_index(graph)
        *_, last = self._scalars(graph, index)
        energies = self.readout(last)[:, 0].double()
        found: Tensor = self.reference_energies[index] + self.shift + self.scale[index] * energies
        return found

    def energies_and_edge_gradients(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """By compiled loops while torch records no gradients, where they cover the model."""
        if self._is_fast(graph):
            return self._tables().energies_and_edge_gradients(graph, self.element_index(graph))
        with forces_only():
            return super().energies_and_edge_gradients(graph)

    def why_not_fast(self, graph: Graph | None = None) -> str | None:
        """Why torch and not the compiled loops give forces; None where the loops do.

        Of this model with any graph, or with a graph that an engine has made.
        """
        return why_not_fast(self, graph)

    @property
    def exchange_widths(self) -> tuple[int, ...]:
        """What senders give to messages, after every layer but the last."""
        return tuple(
            sum(irrep.dimension * n for irrep, n in zip(s.features, s.channels, strict=True))
            for s in layer_shapes(self.config)[1:]
        )

    def _is_fast(self, graph: Graph) -> bool:
        """Whether compiled loops do this one."""
        return not torch.is_grad_enabled() and self.why_not_fast(graph) is None

    def _tables(self) -> FastPath:
        if self._fast is None or self._fast.outdated:
            self._fast = FastPath(self)
        return self._fast

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Forget the tables of the compiled loops when tensors are moved or converted."""
        self._fast = None
        return super()._apply(fn, recurse)

    def radial_inputs(self, distances: Tensor) -> Tensor:
        """Inputs (n, num_radial) of the radial networks, of distances (n,) in Angstrom."""
        config = self.config
        if config.cutoff_start is None:
            cutoff = smooth_cutoff(distances / self.cutoff, config.cutoff_power)
        else:
            cutoff = xplor_cutoff(distances, config.cutoff_start, self.cutoff)
        return self.basis.forward(distances) * cutoff[:, None]

    def descriptors(self, graph: Graph) -> Tensor:
        """Scalars of each atom after every layer, (n_atoms, layers * channels)."""
        graph = graph.to(self.dtype, self.device)
        if self._is_fast(graph):
            return self._tables().scalars(graph, self.element_index(graph))
        scalars = list(self._scalars(graph, self.element_index(graph)))
        return graph.owned(torch.cat(scalars, dim=1))

    def grade_features(self, graph: Graph, prediction: Prediction | None = None) -> Tensor:
        """What the last weights of the readout multiply, and 1: (n_atoms, n + 1)."""
        last = self.descriptors(graph)[:, -self.config.widths[0] :]
        nodes = self.readout.nodes(last)
        return torch.cat([nodes, torch.ones_like(nodes[:, :1])], dim=1)

    def fit_statistics(self, graphs: Iterable[Graph], statistics: TrainingStatistics) -> None:
        """Set reference energies, shift and scale, and the average number of neighbours.

        The latter unless the configuration gives it; of atoms that have any. Raises DataError when
        an element of the model has no reference energy.
        """
        for element, symbol in enumerate(self.symbols):
            if symbol not in statistics.reference_energies:
                raise DataError(
                    f"No training structure has an atom of {symbol}; leave it out of the "
                    "model's species or add structures with it."
                )
            self.reference_energies[element] = statistics.reference_energies[symbol]
        self.shift.fill_(statistics.energy_shift)
        self.scale.fill_(statistics.force_scale or 1.0)
        if self.config.average_neighbors is None:
            edges, atoms = 0, 0
            for graph in graphs:
                edges += graph.n_edges
                atoms += int((graph.row_pointer.diff() > 0).sum())
            self.average_neighbors.fill_(edges / max(atoms, 1) or 1.0)

    def free_atom_energies(self, head: str | None = None) -> Tensor:
        """E0 of each element, (n_species,), eV."""
        return self.reference_energies

    def decays(self, parameter: str) -> bool:
        """The weights of the linear layers on features, as in Nequix."""
        parts = (".up.weights", ".down.weights", ".connection.", "readout.")
        return any(part in parameter for part in parts)

    def last_layers(self) -> tuple[str, ...]:
        """The readout and the last layer."""
        return "readout", f"layers.{self.config.layers - 1}"

    def with_elements(self, relatives: Mapping[str, str]) -> NequIP:
        """A copy for more elements; see :mod:`ladera.models.elements`."""
        species = elements.joined(self.symbols, relatives)
        larger = NequIP(
            NequIPConfig.model_validate(self.config.model_dump() | {"species": species})
        )
        return elements.extended(self, larger, relatives, lambda name: ".connection." in name)

    def features(self, graph: Graph) -> list[list[Tensor]]:
        """Features of each atom after every layer, (n_atoms, 2l + 1, channels) of each irrep.

        The irreps are those of ``layers[t].shape.out``.
        """
        graph = graph.to(self.dtype, self.device)
        return list(self._features(graph, self.element_index(graph)))

    def _features(self, graph: Graph, index: Tensor) -> Iterator[list[Tensor]]:
        edges = self._edges(graph, index)
        roots = self.average_neighbors.sqrt()[index][:, None, None]
        features = [self.embedding[index][:, None]]
        for layer in self.layers:
            features = layer(features, edges, roots)
            yield features

    def _scalars(self, graph: Graph, index: Tensor) -> Iterator[Tensor]:
        """Scalars 0e after each layer in turn, (n_atoms, channels)."""
        return (features[0][:, 0] for features in self._features(graph, index))

    def _edges(self, graph: Graph, index: Tensor) -> Edges:
        distances = graph.vectors.norm(dim=1)
        harmonics = spherical_harmonics(graph.vectors, self.config.max_l)
        if self.config.solid_harmonics:
            degrees = [l for l in range(self.config.max_l + 1) for _ in range(2 * l + 1)]
            harmonics = harmonics * distances[:, None] ** harmonics.new_tensor(degrees)
        at = None
        if self.training and self.config.cutoff_start is None:  # XPLOR's curvature jumps
            distances, at = grid_of(distances, self.cutoff, self.config.num_radial)
        return Edges(
            graph=graph,
            elements=Elements.of(index),
            harmonics=harmonics,
            radial=self.radial_inputs(distances),
            cutoff=None,
            places=at,
        )
