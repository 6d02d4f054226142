"""The MACE potential."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import sqrt
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor, nn

from ladera.errors import DataError
from ladera.graph import Graph
from ladera.kernels.autograd import forces_only
from ladera.kernels.harmonics import spherical_harmonics
from ladera.models import zbl
from ladera.models.equivariant.grid import grid_of
from ladera.models.equivariant.irreps import dimension
from ladera.models.equivariant.layers import Edges
from ladera.models.equivariant.linear import Elements, normal
from ladera.models.equivariant.radial import (
    BASES,
    TRANSFORMS,
    smooth_cutoff,
)
from ladera.models.mace import larger
from ladera.models.mace.config import MACEConfig
from ladera.models.mace.fast import FastPath, why_not_fast
from ladera.models.mace.interactions import layer_shape
from ladera.models.mace.layer import Layer, Steps
from ladera.models.moments import neutralized
from ladera.potential import (
    AtomicValues,
    Potential,
    Prediction,
    TrainingStatistics,
    differentiate,
)
from ladera.potential.prediction import NO_ENERGY
from ladera.quantities import ATOMIC_DIPOLES, CHARGES, DIPOLE

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.models.mace.explanation import Explanation


class MACE(Potential):
    r"""Message passing with equivariant messages of high body order (NeurIPS 2022).

        h_i^0 = embedding of the element / sqrt(n_species),    h^(t+1) = layer_t(h^t)
        E_i = E0_z + shift + scale (V_i + sum_t readout_t(h_i^(t+1))),    V_i the ZBL energy

    with a reference energy, shift and scale for each head, and the layers of :class:`Layer`. Only
    the invariant part (l = 0) of features is read, and the last layer has no other. See Batatia et
    al., and the page *MACE* of the documentation.

    With ``dipole`` among the outputs, charges and atomic dipoles are read as well, these from the
    vectors (l = 1) of all layers, the last one included,

        (q'_i, p_i) = sum_t dipole_t(h_i^(t+1)),    q_i = q'_i + (Q - sum_j q'_j) / n

    and the moment is sum_i q_i r_i + p_i: it turns with the molecule, for a neutral one it does not
    depend on the origin, and for an ion it is that of its total charge Q. The charges are whatever
    makes the best moments. With ``charges: false`` the moment is the sum of the p_i.
    """

    config: MACEConfig
    double_buffers: ClassVar[tuple[str, ...]] = ("reference_energies", "shift", "scale")

    reference_energies: Tensor  # (n_heads, n_species), eV
    shift: Tensor  # (n_heads,), eV
    scale: Tensor  # (n_heads,), eV
    average_neighbors: Tensor  # (num_interactions,)

    def __init__(self, config: MACEConfig) -> None:
        super().__init__(config)
        moments = (DIPOLE, ATOMIC_DIPOLES) if config.has_dipole else ()
        charges = (CHARGES,) if config.has_dipole and config.charges else ()
        self.gives = (*(Potential.gives if config.has_energy else ()), *moments, *charges)
        self.hops = config.num_interactions
        self._fast: dict[int, FastPath | None] = {}  # by the number of the head
        n_species, n_heads = len(self.numbers), len(config.heads)
        self.embedding = normal(n_species, config.channels)
        self.basis = BASES[config.basis](config.cutoff, config.num_radial)
        self.transform = (
            None if config.transform is None else TRANSFORMS[config.transform](self.numbers)
        )
        self.repulsion = (
            zbl.ScreenedRepulsion(self.numbers, config.cutoff_power, zbl.MACE)
            if config.zbl
            else None
        )
        self.layers = nn.ModuleList(Layer(config, t) for t in range(config.num_interactions))
        ones = torch.ones(n_heads, dtype=torch.float64)
        self.register_buffer("reference_energies", ones.new_zeros(n_heads, n_species))
        self.register_buffer("shift", 0 * ones)
        self.register_buffer("scale", ones)
        neighbors = config.average_neighbors or (1.0,) * config.num_interactions
        self.register_buffer("average_neighbors", torch.tensor(neighbors, dtype=torch.float64))

    def atomic_energies(self, graph: Graph) -> Tensor:
        """E_i of each atom by the head that predicts, (n_atoms,), eV, float64.

        That is the structure's own in a graph with heads, else the one of the configuration.
        """
        index = self.element_index(graph)
        return self._energies(graph, index, self._features(graph, index))

    def predict(self, graph: Graph, gradients: bool = True) -> Prediction:
        """Energies, by compiled loops where they can; and charges and dipoles, if it has them.

        These are computed when asked for.
        """
        if not self.config.has_dipole:
            return super().predict(graph, gradients)
        if self.config.has_energy and gradients:
            if self._is_fast(graph):
                found = self.energies_and_edge_gradients(graph)
                return Prediction(graph, *found, atomic_values=lambda: self._moments(graph))
            with forces_only():
                return differentiate(self, graph)
        index = self.element_index(graph)
        features = list(self._features(graph, index))
        energies = self._energies(graph, index, features) if self.config.has_energy else None
        return Prediction(graph, energies, atomic_values=lambda: self._moments(graph, features))

    def _energies(self, graph: Graph, index: Tensor, features: Iterable[Tensor]) -> Tensor:
        head = self.head_of(graph)
        energies = torch.zeros(graph.n_atoms, dtype=torch.float64, device=self.device)
        if self.repulsion is not None:
            energies = energies + self.repulsion(graph, index)
        for layer, of_layer in zip(self._layers(), features, strict=True):
            if layer.readout is None:
                raise DataError(NO_ENERGY)
            energies = energies + layer.readout(of_layer[:, 0], head)
        references = self.reference_energies[head, index]
        return references + self.shift[head] + self.scale[head] * energies

    def _moments(self, graph: Graph, features: Iterable[Tensor] = ()) -> AtomicValues:
        """q (n_atoms,) in e, if it has charges, and p (n_atoms, 3) in e*Angstrom, float64."""
        if not features:
            index = self.element_index(graph)
            fast = self._is_fast(graph)
            features = (self._tables(graph).features if fast else self._features)(graph, index)
        found = [
            layer.dipole(of_layer)
            for layer, of_layer in zip(self._layers(), features, strict=True)
            if layer.dipole is not None
        ]
        dipoles = torch.stack([part for _, part in found]).double().sum(0)
        charges = [part for part, _ in found if part is not None]
        if not charges:
            return {ATOMIC_DIPOLES: dipoles}
        charge = neutralized(torch.stack(charges).double().sum(0), graph)
        return {CHARGES: charge, ATOMIC_DIPOLES: dipoles}

    def energies_and_edge_gradients(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """By compiled loops while torch records no gradients, where they cover the model."""
        if self._is_fast(graph):
            return self._tables(graph).energies_and_edge_gradients(graph, self.element_index(graph))
        with forces_only():
            return super().energies_and_edge_gradients(graph)

    @property
    def exchange_widths(self) -> tuple[int, ...]:
        """What senders give to messages, after every layer but the last."""
        shapes = [layer_shape(self.config, t) for t in range(1, self.config.num_interactions)]
        return tuple(dimension(shape.senders) * shape.edge_channels for shape in shapes)

    def _is_fast(self, graph: Graph) -> bool:
        """Whether compiled loops do this one."""
        return not torch.is_grad_enabled() and self.why_not_fast(graph) is None

    def head_of(self, graph: Graph) -> int | Tensor:
        """The number of the head that predicts: one for all atoms, or of each atom (n_atoms,)."""
        if graph.heads is None:
            return self.config.head_index
        first = int(graph.heads[0])
        return first if bool((graph.heads == first).all()) else graph.heads[graph.structure_index]

    def _tables(self, graph: Graph) -> FastPath:
        head = self.head_of(graph)
        if isinstance(head, Tensor):
            raise DataError("The compiled loops take structures of one head.")
        known = self._fast.get(head)
        if known is None or known.outdated:
            known = self._fast[head] = FastPath(self, head)
        return known

    def why_not_fast(self, graph: Graph | None = None) -> str | None:
        """Why torch and not the compiled loops give forces; None where the loops do.

        Of this model with any graph, or with a graph that an engine has made.
        """
        return why_not_fast(self, graph)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Forget the tables of the compiled loops when tensors are moved or converted."""
        self._fast = {}
        return super()._apply(fn, recurse)

    def decays(self, parameter: str) -> bool:
        """The weights that mix messages, products and residuals, as in the published models."""
        parts = (".interaction.down.", ".skip.", ".product.", ".linear.")
        return any(part in parameter for part in parts)

    def last_layers(self) -> tuple[str, ...]:
        """The readouts and the whole last layer."""
        last = self.config.num_interactions - 1
        parts = (f"layers.{t}.{part}" for t in range(last) for part in ("readout", "dipole"))
        modules = dict(self.named_modules())
        return (f"layers.{last}", *(name for name in parts if name in modules))

    def with_head(self, name: str) -> MACE:
        """A copy with one head more; see :mod:`ladera.models.mace.larger`, also of the others."""
        return larger.with_head(self, name)

    def with_elements(self, relatives: Mapping[str, str]) -> MACE:
        """A copy for more elements."""
        return larger.with_elements(self, relatives)

    def with_dipole(self, charges: bool = True) -> MACE:
        """A copy that gives dipoles too."""
        return larger.with_dipole(self, charges)

    def descriptors(self, graph: Graph) -> Tensor:
        """Invariant features of each atom after every layer, (n_atoms, layers * channels)."""
        graph = graph.to(self.dtype, self.device)
        if self._is_fast(graph):
            return self._tables(graph).descriptors(graph, self.element_index(graph))
        features = self._features(graph, self.element_index(graph))
        return graph.owned(torch.cat([each[:, 0] for each in features], dim=1))

    @property
    def has_grade_features(self) -> bool:
        """As it has energies."""
        return self.config.has_energy

    def grade_features(self, graph: Graph, prediction: Prediction | None = None) -> Tensor | None:
        """What the last weights of all readouts multiply, and 1; None of a model without energies.

        The invariant features of all layers but the last, and the last nodes behind that one.
        """
        if not self.config.has_energy:
            return None
        graph = graph.to(self.dtype, self.device)
        of_layers = torch.split(self.descriptors(graph), self.config.channels, dim=1)
        head = self.head_of(graph)
        found = [
            layer.readout.last_inputs(of_layer, head)
            for layer, of_layer in zip(self._layers(), of_layers, strict=True)
            if layer.readout is not None
        ]
        return torch.cat([*found, torch.ones_like(found[0][:, :1])], dim=1)

    def features(self, graph: Graph) -> list[Tensor]:
        """Features of each atom after every layer, (n_atoms, components, channels).

        Their components are the irreps 0e, 1o, ... up to hidden_l; after the last layer 0e and, of
        a model with a dipole, 1o.
        """
        graph = graph.to(self.dtype, self.device)
        return list(self._features(graph, self.element_index(graph)))

    def explain(self, atoms: Atoms) -> Explanation:
        """A, B, messages, features and energies of each layer, of a structure."""
        from ladera.models.mace.explanation import explain

        return explain(self, Graph.from_atoms(atoms, self.cutoff))

    def fit_statistics(self, graphs: Iterable[Graph], statistics: TrainingStatistics) -> None:
        """Set reference energies, shift and scale of each head, and the average of neighbours.

        The latter unless the configuration gives it; of atoms that have any. Raises DataError when
        an element of the model has no reference energy.
        """
        for k, head in enumerate(self.config.heads):
            own = statistics.heads.get(head, statistics)
            for element, symbol in enumerate(self.symbols):
                if symbol not in own.reference_energies:
                    raise DataError(
                        f"No training structure has an atom of {symbol}; leave it out of the "
                        "model's species or add structures with it."
                    )
                self.reference_energies[k, element] = own.reference_energies[symbol]
            self.shift[k] = own.energy_shift
            self.scale[k] = own.force_scale or 1.0
        if not self.config.average_neighbors:
            edges, atoms = 0, 0
            for graph in graphs:
                edges += graph.n_edges
                atoms += int((graph.row_pointer.diff() > 0).sum())
            self.average_neighbors.fill_(edges / max(atoms, 1) or 1.0)

    def free_atom_energies(self, head: str | None = None) -> Tensor:
        """E0 of each element, (n_species,), eV, of a head or of the one that predicts."""
        number = self.config.head_index if head is None else self.config.number_of_head(head)
        return self.reference_energies[number]

    def _layers(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def _features(self, graph: Graph, index: Tensor) -> Iterator[Tensor]:
        """Features after each layer in turn."""
        return (steps.features for steps in self.steps(graph, index))

    def steps(self, graph: Graph, index: Tensor) -> Iterator[Steps]:
        """What each layer computes of a graph, in turn, by torch; ``index`` are the elements."""
        edges = self._edges(graph, index)
        features = (self.embedding / sqrt(len(self.embedding)))[index][:, None]
        for layer, neighbors in zip(self._layers(), self.average_neighbors, strict=True):
            steps = layer.steps(features, edges, neighbors)
            features = steps.features
            yield steps

    def radial_inputs(
        self, distances: Tensor, centers: Tensor, neighbors: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Inputs (n, num_radial) of the radial networks, and the factor (n, 1) of their outputs.

        Of distances (n,) in Angstrom between atoms of elements (n,); there is no factor where the
        inputs themselves are cut off.
        """
        x = distances
        if self.transform is not None:
            x = self.transform.forward(distances, centers, neighbors)
        cutoff = smooth_cutoff(distances / self.cutoff, self.config.cutoff_power)[:, None]
        radial = self.basis(x)
        return (radial * cutoff, None) if self.config.apply_cutoff else (radial, cutoff)

    def _edges(self, graph: Graph, index: Tensor) -> Edges:
        distances, at = graph.vectors.norm(dim=1), None
        if self.training and self._radial_alike:
            distances, at = grid_of(distances, self.cutoff, self.config.num_radial)
        ends = index[graph.centers], index[graph.neighbors]
        radial, cutoff = self.radial_inputs(distances, *ends)
        return Edges(
            graph=graph,
            elements=Elements.of(index),
            # MACE's harmonics are of the vectors from neighbour to centre.
            harmonics=spherical_harmonics(-graph.vectors, self.config.max_l),
            radial=radial,
            cutoff=cutoff,
            places=at,
        )

    @property
    def _radial_alike(self) -> bool:
        """Whether radial functions are of the distance alone, the same for all elements."""
        return self.transform is None and "nonlinear_residual" not in self.config.kinds
