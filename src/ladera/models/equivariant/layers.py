"""What layers of message passing have in common: their sizes, the edges, gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ladera.graph import Graph
from ladera.kernels.interpolation import Places, interpolate
from ladera.models.equivariant.irreps import Irreps
from ladera.models.equivariant.linear import Elements
from ladera.models.equivariant.networks import sigmoid, silu


@dataclass(frozen=True)
class Shape:
    """Sizes of one layer."""

    first: bool  # whether the features are those of free atoms
    features: Irreps  # of the atoms, from the layer before
    senders: Irreps  # of these, what messages are made of
    out: Irreps  # of the atoms, for the next layer
    channels: int
    edge_channels: int


@dataclass(frozen=True, eq=False)
class Edges:
    """What all layers know of the edges."""

    graph: Graph
    elements: Elements  # of the atoms
    harmonics: Tensor  # (n_edges, (max_l + 1)^2) of the directions from neighbour to centre
    radial: Tensor  # (n_edges, num_radial) inputs of the radial networks, or (n_points, ...)
    cutoff: Tensor | None  # (n_edges, 1) factor of the radial networks' outputs; None: in inputs
    places: Places | None = None  # of the edges among the points of ``radial``

    def cut(self, values: Tensor) -> Tensor:
        """Outputs of a radial network (n_edges, n), gone at the cutoff."""
        return values if self.cutoff is None else values * self.cutoff

    def placed(self, values: Tensor) -> Tensor:
        """Outputs of a radial network on all edges, also where its inputs are those of points."""
        return values if self.places is None else interpolate(values, self.places)

    def sum(self, values: Tensor) -> Tensor:
        """Sums (n_atoms, n) over the edges of each centre of values (n_edges, n)."""
        zeros = values.new_zeros(self.graph.n_atoms, values.shape[1])
        return zeros.index_add(0, self.graph.centers, values)


def gated(parts: Sequence[Tensor]) -> list[Tensor]:
    """silu(s) of the scalars s, sigmoid(g^l) x^l of every other irrep.

    ``parts`` of k irreps, (n, components, channels) each; of the first one, the scalars, (n, 1,
    k channels): s, then the gates g of the others.
    """
    scalars, *others = parts
    channels = scalars.shape[2] // len(parts)
    first, *gates = torch.split(scalars, channels, dim=2)
    return [silu(first), *(x * sigmoid(g) for x, g in zip(others, gates, strict=True))]
