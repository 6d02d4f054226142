"""NequIP as the compiled loops of :mod:`ladera.kernels.nequip` take it."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from math import sqrt
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from ladera.arrays import Floats
from ladera.graph import Graph
from ladera.kernels.edges import System
from ladera.kernels.nequip import tables
from ladera.kernels.nequip.inference import Inference
from ladera.models.equivariant.clebsch_gordan import clebsch_gordan
from ladera.models.equivariant.irreps import paths
from ladera.models.equivariant.linear import Linear, SpeciesLinear
from ladera.models.equivariant.networks import SILU, TANH, RadialNetwork
from ladera.models.nequip.layers import TINY, Layer, MixedLinear
from ladera.models.nequip.shapes import LayerShape
from ladera.models.snapshot import Snapshot

if TYPE_CHECKING:
    from ladera.models.nequip.model import NequIP

_CLOSEST = 1e-8  # Angstrom, in place of 0, where sin(x) / x is not a number
_LARGEST_L = 4


def why_not_fast(potential: NequIP, graph: Graph | None) -> str | None:
    """Why the compiled loops do not do this; None where they do."""
    if potential.device.type != "cpu":
        return "compiled loops are for CPUs"
    if max(potential.config.max_l, len(potential.config.widths) - 1) > _LARGEST_L:
        return f"compiled loops go up to l = {_LARGEST_L}"
    return None


class FastPath:
    """Energies and edge gradients of a NequIP by compiled loops, with tables of its parameters."""

    def __init__(self, potential: NequIP) -> None:
        self._snapshot = Snapshot(potential)
        self._inference = Inference(make_tables(deepcopy(potential).double()), potential.dtype)

    @property
    def outdated(self) -> bool:
        """Whether a parameter has changed, or has been replaced, since the tables were made."""
        return self._snapshot.outdated

    def energies_and_edge_gradients(self, graph: Graph, index: Tensor) -> tuple[Tensor, Tensor]:
        """Energies (n_atoms,), eV, float64, and dE/dr_ij (n_edges, 3), eV/Angstrom."""
        energies, gradients = self._inference.energies_and_edge_gradients(_system(graph, index))
        return torch.from_numpy(energies), torch.from_numpy(gradients)

    def scalars(self, graph: Graph, index: Tensor) -> Tensor:
        """Scalars 0e after every layer, (n_atoms, layers * channels)."""
        return torch.from_numpy(self._inference.invariants(_system(graph, index)))

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Copies of a model, also those for other processes, make tables of their own."""
        return type(None), ()


def _system(graph: Graph, index: Tensor) -> System:
    return System(
        index.numpy(),
        graph.vectors.detach().contiguous().numpy(),
        graph.owned_rows.numpy(),
        graph.neighbors.numpy(),
        graph.halo,
    )


def make_tables(potential: NequIP) -> tables.Model:
    """The parameters with all normalisations, in float64."""
    config, layers = potential.config, cast("Iterable[Layer]", potential.layers)
    return tables.Model(
        cutoff=config.cutoff,
        kinks=() if config.cutoff_start is None else (config.cutoff_start,),
        degree=config.max_l,
        embedding=_array(potential.embedding),
        layers=tuple(_layer(potential, layer) for layer in layers),
        readout=tables.Readout(
            tuple(_array(weight) / sqrt(len(weight)) for weight in potential.readout.weights), SILU
        ),
        reference_energies=_array(potential.reference_energies + potential.shift),
        scale=_array(potential.scale),
    )


def _layer(potential: NequIP, layer: Layer) -> tables.Layer:
    shape, neighbors = layer.shape, _array(potential.average_neighbors)
    if (neighbors == neighbors[0]).all():
        neighbors = neighbors[:1]
    root = neighbors[:, None] ** 0.5
    bias = layer.up.bias
    norm = layer.norm
    return tables.Layer(
        sources=tuple(
            tables.Irrep(irrep.l, channels)
            for irrep, channels in zip(shape.features, shape.channels, strict=True)
        ),
        outputs=_outputs(shape),
        paths=_paths(shape),
        radial=_Sampler(potential, layer.radial, shape),
        up=tuple(matrix / root[:, :, None] for matrix in _linear(layer.up)),
        up_bias=None if bias is None else _array(bias) / root,
        down=_linear(layer.down),
        down_bias=None if layer.down.bias is None else _array(layer.down.bias),
        skip=_skip(layer),
        gamma=None if norm is None else tuple(_array(weight) for weight in norm.weights),
        share=tuple(1 / (len(shape.out) * irrep.dimension**2) for irrep in shape.out),
        least=TINY,
    )


def _outputs(shape: LayerShape) -> tuple[tables.Output, ...]:
    """Even scalars and gates pass silu, odd scalars tanh."""
    return tuple(
        tables.Output(irrep.l, channels, "tanh", TANH)
        if k > 0 and irrep.l == 0
        else tables.Output(irrep.l, channels, "silu", SILU)
        for k, (irrep, channels) in enumerate(zip(shape.out, shape.out_channels, strict=True))
    )


def _paths(shape: LayerShape) -> tuple[tables.Path, ...]:
    found = []
    for path in paths(shape.features, shape.harmonics, shape.out):
        l1, l2 = shape.features[path.one].l, shape.harmonics[path.two].l
        out = shape.out[path.out]
        coupling = sqrt(out.dimension) * clebsch_gordan(l1, l2, out.l)
        found.append(tables.Path(path.one, l2, path.out, coupling))
    return tuple(found)


def _skip(layer: Layer) -> tuple[tables.Skip, ...]:
    connection = layer.connection
    if connection is None:
        return ()
    weights = [_array(weight) for weight in connection.weights]
    if isinstance(connection, SpeciesLinear):
        weights = [weight / sqrt(weight.shape[0] * weight.shape[1]) for weight in weights]
    else:
        weights = [weight[None] / sqrt(len(weight)) for weight in weights]
    return tuple(
        tables.Skip(source, target, weight)
        for (source, target), weight in zip(layer.shape.common, weights, strict=True)
    )


class _Sampler:
    """Radial functions of a layer; of solid harmonics with the powers of the distance."""

    def __init__(self, potential: NequIP, network: RadialNetwork, shape: LayerShape) -> None:
        self._potential, self._network = potential, network
        powers = [
            [shape.harmonics[path.two].l] * shape.channels[path.one]
            for path in paths(shape.features, shape.harmonics, shape.out)
        ]
        self._powers = torch.tensor([power for row in powers for power in row])
        if not potential.config.solid_harmonics:
            self._powers = torch.zeros_like(self._powers)

    @torch.no_grad()
    def __call__(self, distances: Floats, receiver: int, sender: int) -> Floats:
        """(n,) in Angstrom to (n, n_functions); whichever elements the atoms are of."""
        r = torch.from_numpy(distances).clamp(min=_CLOSEST)
        values = self._network(self._potential.radial_inputs(r))
        return _array(values * r[:, None] ** self._powers)


def _linear(linear: Linear | MixedLinear) -> tuple[Floats, ...]:
    return tuple(_array(weight) / sqrt(len(weight)) for weight in linear.weights)


def _array(tensor: Tensor) -> Floats:
    return tensor.detach().double().numpy()
