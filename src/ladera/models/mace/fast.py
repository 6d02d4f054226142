"""MACE as the compiled loops of :mod:`ladera.kernels.mace` take it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Module, ModuleList

from ladera.arrays import Reals
from ladera.graph import Graph
from ladera.kernels.edges import System
from ladera.kernels.mace import tables
from ladera.kernels.mace.inference import Inference
from ladera.models.equivariant.irreps import paths
from ladera.models.equivariant.linear import Linear, SpeciesLinear
from ladera.models.equivariant.networks import ABS, SIGMOID, SILU, TANH
from ladera.models.mace.interactions import Interaction, NonlinearInteraction
from ladera.models.snapshot import Snapshot

if TYPE_CHECKING:
    from ladera.models.mace.layer import Layer
    from ladera.models.mace.model import MACE
    from ladera.models.mace.product import CouplingMatrix, ProductBasis
    from ladera.models.mace.readout import Readout

_GATE_FACTORS = {"silu": SILU, "tanh": TANH, "abs": ABS}
_CLOSEST = 1e-8  # Angstrom, in place of 0, where sin(x) / x is not a number


def why_not_fast(potential: MACE, graph: Graph | None) -> str | None:
    """Why the compiled loops do not do this; None where they do."""
    if not potential.config.has_energy:
        return "compiled loops are for energies, and it has none"
    if "nonlinear_residual" in potential.config.kinds and potential.config.apply_cutoff:
        return "messages of nonlinear_residual layers with apply_cutoff: true do not end smoothly"
    if potential.device.type != "cpu":
        return "compiled loops are for CPUs"
    if graph is not None and isinstance(potential.head_of(graph), Tensor):
        return "its structures have heads of their own"
    return None


class FastPath:
    """Energies and edge gradients of a MACE by compiled loops, with tables of its parameters.

    They are those of the head with the number ``head``.
    """

    def __init__(self, potential: MACE, head: int) -> None:
        self._repulsion = potential.repulsion
        self._scale = float(potential.scale[head])
        self._snapshot = Snapshot(potential)
        double, dtype = deepcopy(potential).double(), potential.dtype
        self._inference = self._of_moments = Inference(_model(double, head), dtype)
        if potential.config.has_dipole:
            self._of_moments = Inference(_model(double, head, every_degree=True), dtype)

    @property
    def outdated(self) -> bool:
        """Whether a parameter has changed, or has been replaced, since the tables were made."""
        return self._snapshot.outdated

    def energies_and_edge_gradients(self, graph: Graph, index: Tensor) -> tuple[Tensor, Tensor]:
        """Energies (n_atoms,), eV, float64, and dE/dr_ij (n_edges, 3), eV/Angstrom."""
        energies, gradients = self._inference.energies_and_edge_gradients(_system(graph, index))
        found = torch.from_numpy(energies), torch.from_numpy(gradients)
        return found if self._repulsion is None else self._repel(graph, index, *found)

    def features(self, graph: Graph, index: Tensor) -> list[Tensor]:
        """Features after every layer, of which dipoles are made: see :meth:`MACE.features`."""
        return [torch.from_numpy(x) for x in self._of_moments.features(_system(graph, index))]

    def descriptors(self, graph: Graph, index: Tensor) -> Tensor:
        """Invariant features after every layer, (n_atoms, layers * channels)."""
        return torch.from_numpy(self._inference.invariants(_system(graph, index)))

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Copies of a model, also those for other processes, make tables of their own."""
        return type(None), ()

    def _repel(
        self, graph: Graph, index: Tensor, energies: Tensor, gradients: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Add the repulsion of the few pairs that are close enough for it."""
        assert self._repulsion is not None
        reach = self._repulsion.radii[index].to(graph.vectors)
        distances = graph.vectors.detach().norm(dim=1)
        close = distances < reach[graph.centers] + reach[graph.neighbors]
        vectors = graph.vectors.detach()[close]
        centers, neighbors = graph.centers[close], graph.neighbors[close]
        few = replace(graph, vectors=vectors, centers=centers, neighbors=neighbors)
        with torch.enable_grad():
            vectors.requires_grad_()
            repulsion = self._scale * self._repulsion(few, index).double()
            (slope,) = torch.autograd.grad(repulsion.sum(), vectors)
        gradients[close] += slope.to(gradients)
        return energies + repulsion.detach(), gradients


def _system(graph: Graph, index: Tensor) -> System:
    return System(
        index.numpy(),
        graph.vectors.detach().contiguous().numpy(),
        graph.owned_rows.numpy(),
        graph.neighbors.numpy(),
        graph.halo,
    )


def _model(potential: MACE, head: int, every_degree: bool = False) -> tables.Model:
    """The parameters with all normalisations, in float64.

    Without ``every_degree`` the last layer has the scalars alone, of which energies are made.
    """
    config = potential.config
    layers: list[Layer] = _list(potential.layers)
    *linear, last = [layer.readout for layer in layers if layer.readout is not None]
    return tables.Model(
        cutoff=config.cutoff,
        degree=config.max_l,
        embedding=_array(potential.embedding) / sqrt(len(potential.embedding)),
        layers=tuple(
            _layer(potential, layer, _degrees(potential, layer, t, every_degree), t)
            for t, layer in enumerate(layers)
        ),
        readouts=tuple(_readout(readout, head, config.gate).weights[0][:, 0] for readout in linear),
        last_readout=_readout(last, head, config.gate),
        reference_energies=_array(potential.reference_energies[head] + potential.shift[head]),
        scale=float(potential.scale[head]),
        pairs=_pairs(potential),
    )


def _pairs(potential: MACE) -> tables.Pairs:
    if "nonlinear_residual" in potential.config.kinds:
        return "ordered"
    return "same" if potential.transform is None else "unordered"


def _layer(potential: MACE, layer: Layer, degrees: int, t: int) -> tables.Layer:
    if isinstance(layer.interaction, NonlinearInteraction):
        return _nonlinear_layer(potential, layer, layer.interaction, degrees)
    interaction = layer.interaction
    assert isinstance(interaction, Interaction)
    mix = _linear(interaction.down)
    if interaction.density is None:
        mix = tuple(matrix / float(potential.average_neighbors[t]) for matrix in mix)
    return tables.Layer(
        paths=_paths(interaction),
        radial=_Sampler(potential, interaction, density=False),
        up=_linear(interaction.up),
        mix=mix,
        mix_element=None if interaction.mix is None else _by_species(interaction.mix),
        skip=_by_species(layer.skip)[:degrees] if isinstance(layer.skip, SpeciesLinear) else (),
        density=None
        if interaction.density is None
        else _Sampler(potential, interaction, density=True),
        contractions=_contractions(layer.product)[:degrees],
        out=_linear(layer.linear)[:degrees],
    )


def _nonlinear_layer(
    potential: MACE, layer: Layer, interaction: NonlinearInteraction, degrees: int
) -> tables.Layer:
    assert isinstance(layer.skip, Linear)
    first, *others = _linear(interaction.last)
    return tables.Layer(
        paths=_paths(interaction),
        radial=_NonlinearSampler(potential, interaction, density=False),
        up=_linear(interaction.up),
        mix=_linear(interaction.down),
        mix_element=None,
        skip=tuple(matrix[None] for matrix in _linear(layer.skip)[:degrees]),
        density=_NonlinearSampler(potential, interaction, density=True),
        contractions=_contractions(layer.product)[:degrees],
        out=_linear(layer.linear)[:degrees],
        least_density=float(interaction.alpha),
        gate=tables.Gate(
            rest=_linear(interaction.rest),
            last=(SILU * first, *(SIGMOID * matrix for matrix in others)),
        ),
    )


def _degrees(potential: MACE, layer: Layer, t: int, every: bool) -> int:
    """How many degrees of a layer's result are wanted: all, or those that energies need.

    The vectors of the last layer are there for the dipole.
    """
    last = t == potential.config.num_interactions - 1
    return 1 if last and not every else len(layer.out)


class _Sampler:
    """Radial functions, or the density, of a layer at distances between atoms of two elements."""

    def __init__(self, potential: MACE, interaction: Interaction, density: bool) -> None:
        self.potential, self.interaction, self.density = potential, interaction, density

    @torch.no_grad()
    def __call__(self, distances: Reals, receiver: int, sender: int) -> Reals:
        """(n,) in Angstrom to (n, n_functions)."""
        r = torch.from_numpy(distances).clamp(min=_CLOSEST)
        one, two = (torch.full(r.shape, element) for element in (receiver, sender))
        radial, cutoff = self.potential.radial_inputs(r, one, two)
        if self.density:
            network = self.interaction.density
            assert network is not None
            values = torch.tanh(network(radial) ** 2)
        else:
            values = self.interaction.radial(radial)
        return _array(values if cutoff is None else values * cutoff)


class _NonlinearSampler:
    """The same of a nonlinear_residual layer, whose networks know both elements."""

    def __init__(self, potential: MACE, interaction: NonlinearInteraction, density: bool) -> None:
        self.potential, self.interaction, self.density = potential, interaction, density

    @torch.no_grad()
    def __call__(self, distances: Reals, receiver: int, sender: int) -> Reals:
        """(n,) in Angstrom to (n, n_functions)."""
        interaction = self.interaction
        r = torch.from_numpy(distances).clamp(min=_CLOSEST)
        one, two = (torch.full(r.shape, element) for element in (receiver, sender))
        radial, cutoff = self.potential.radial_inputs(r, one, two)
        assert cutoff is not None
        inputs = interaction.inputs(radial, one, two)
        if self.density:
            values = interaction.beta * torch.tanh(interaction.density(inputs) ** 2)
        else:
            values = interaction.radial(inputs)
        return _array(values * cutoff)


def _paths(interaction: Interaction | NonlinearInteraction) -> tuple[tables.Path, ...]:
    convolution = interaction.convolution
    matrix, harmonics = _array(convolution.matrix), convolution.out
    found = []
    for path, coupling in zip(
        paths(interaction.senders, harmonics, harmonics),
        convolution.plan.paths.couplings,
        strict=True,
    ):
        l1, l2, l3 = interaction.senders[path.one].l, harmonics[path.two].l, harmonics[path.out].l
        block = matrix[l2**2 : (l2 + 1) ** 2, coupling.entries]
        tensor = block.reshape(2 * l2 + 1, 2 * l3 + 1, 2 * l1 + 1).transpose(2, 0, 1)
        found.append(tables.Path(l1, l2, l3, tensor))
    return tuple(found)


def _contractions(product: ProductBasis) -> tuple[tuple[tables.Contraction, ...], ...]:
    pairs = zip(_list(product.couplings), _list(product.weights), strict=True)
    return tuple(
        tuple(_contraction(*each) for each in zip(matrices, weights, strict=True))
        for matrices, weights in pairs
    )


def _contraction(coupling: CouplingMatrix, weights: Tensor) -> tables.Contraction:
    return tables.Contraction(
        component=coupling.component,
        factors=coupling.factors,
        matrix=_array(coupling.matrix),
        weights=_array(weights)[:, : coupling.matrix.shape[1]],
    )


def _readout(readout: Readout, head: int, gate: str) -> tables.Readout:
    """Of one head; see :class:`ladera.models.mace.readout.Readout`."""
    weights, biases, rows = [], [], slice(None)
    for k, weight in enumerate(readout.weights):
        columns = slice(head * readout.sizes[k + 1], (head + 1) * readout.sizes[k + 1])
        weights.append(_array(weight)[rows, columns] / sqrt(len(weight)))
        if k and len(readout.biases):
            biases.append(_array(readout.biases[k - 1])[columns])
        rows = columns
    return tables.Readout(tuple(weights), tuple(biases), gate, _GATE_FACTORS[gate])


def _linear(linear: Linear) -> tuple[Reals, ...]:
    return tuple(_array(weight) / sqrt(len(weight)) for weight in linear.weights)


def _by_species(linear: SpeciesLinear) -> tuple[Reals, ...]:
    return tuple(
        _array(weight) / sqrt(weight.shape[0] * weight.shape[1]) for weight in linear.weights
    )


def _list(modules: Module) -> list[Any]:
    """What a list of torch's holds, of types that torch has forgotten."""
    assert isinstance(modules, ModuleList)
    return list(modules)


def _array(tensor: Tensor) -> Reals:
    return tensor.detach().double().numpy()
