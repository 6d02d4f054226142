"""The one-particle basis: what an atom hears from each of its neighbours, summed."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn

from ladera.models.equivariant.convolution import Convolution
from ladera.models.equivariant.irreps import natural
from ladera.models.equivariant.layers import Edges, Shape, gated
from ladera.models.equivariant.linear import Linear, SpeciesLinear, joined, normal, split
from ladera.models.equivariant.networks import NormalizedNetwork, RadialNetwork
from ladera.models.mace.config import MACEConfig

DENSITY_NODES = 64  # of the hidden layer of a nonlinear_residual density


def layer_shape(config: MACEConfig, layer: int) -> Shape:
    """Sizes of a layer, counted from 0: features begin as scalars and end as what is read out."""
    features = natural(config.hidden_l if layer else 0)
    edge_l = config.hidden_l if config.edge_l is None else config.edge_l
    last = layer == config.num_interactions - 1
    return Shape(
        first=layer == 0,
        features=features,
        senders=features[: edge_l + 1],
        out=natural(config.has_dipole if last else config.hidden_l),
        channels=config.channels,
        edge_channels=config.edge_channels[layer] if config.edge_channels else config.channels,
    )


class Interaction(nn.Module):
    r"""A_i from the features of the neighbours: agnostic, residual, density, density_residual.

        h' = up h,   w = cut(radial(e_ij)),   A_i = down sum_j w_ij h'_j Y(r_ij) / n_i
        n_i = average number of neighbours,  or  1 + sum_j cut(tanh((e_ij W_d)^2)) of the densities
        A_i = mix_z A_i        where there is no residual

    with the linear layers up, down, mix and the convolution of :class:`Convolution`.
    """

    def __init__(self, config: MACEConfig, shape: Shape, kind: str) -> None:
        super().__init__()
        self.senders = shape.senders
        harmonics = natural(config.max_l)
        channels, n = shape.channels, shape.edge_channels
        self.up = Linear([(channels, n)] * len(shape.senders))
        self.convolution = Convolution(shape.senders, harmonics, harmonics, shape.first)
        n_weights = sum(self.convolution.plan.counts) * n
        self.radial = RadialNetwork((config.num_radial, *config.radial_layers, n_weights))
        self.down = Linear([(paths * n, channels) for paths in self.convolution.plan.counts])
        self.density = RadialNetwork((config.num_radial, 1)) if "density" in kind else None
        self.mix = (
            None
            if "residual" in kind
            else SpeciesLinear([(channels, channels)] * len(harmonics), len(config.species))
        )

    def forward(self, features: Tensor, edges: Edges, average_neighbors: Tensor) -> Tensor:
        """Features (n_atoms, components, channels) to A (n_atoms, (max_l + 1)^2, channels)."""
        sent = joined(self.up(split(features, self.senders)))
        weights = edges.placed(edges.cut(self.radial(edges.radial)))
        sums = self.convolution(sent, edges.harmonics, weights, edges.graph)
        neighbors = average_neighbors
        if self.density is not None:
            density = torch.tanh(self.density(edges.radial) ** 2)
            neighbors = 1 + edges.sum(edges.placed(edges.cut(density)))[:, :, None]
        message = [part / neighbors for part in self.down(sums)]
        return joined(message if self.mix is None else self.mix(message, edges.elements))


class NonlinearInteraction(nn.Module):
    r"""A_i of the nonlinear_residual kind, with a gate on the message.

    w, d = cut(radial(x_ij)), cut(tanh(density(x_ij)^2)),   x_ij = [e_ij, source_zj, target_zi]
    m_i = down sum_j w_ij h'_j Y(r_ij) / (beta sum_j d_ij + alpha) + rest h'_i
    A_i = last [silu(m^0), sigmoid(g^l) m^l]        g: gates, scalars in m_i beside m^0
    """

    def __init__(self, config: MACEConfig, shape: Shape) -> None:
        super().__init__()
        self.senders, harmonics = shape.senders, natural(config.max_l)
        channels, n, n_species = shape.channels, shape.edge_channels, len(config.species)
        self.up = Linear([(channels, n)] * len(shape.senders))
        self.convolution = Convolution(shape.senders, harmonics, harmonics, shape.first)
        counts = self.convolution.plan.counts
        self.source, self.target = normal(n_species, channels), normal(n_species, channels)
        n_inputs = config.num_radial + 2 * channels
        self.radial = NormalizedNetwork((n_inputs, *config.radial_layers, sum(counts) * n))
        self.density = NormalizedNetwork((n_inputs, DENSITY_NODES, 1))
        self.alpha = nn.Parameter(torch.tensor(20.0, dtype=torch.float64))
        self.beta = nn.Parameter(torch.tensor(0.0, dtype=torch.float64))
        widths = [channels * (1 + config.max_l)] + [channels] * config.max_l
        self.down = Linear([(count * n, w) for count, w in zip(counts, widths, strict=True)])
        self.rest = Linear([(n, width) for width in widths[: len(shape.senders)]])
        self.last = Linear([(channels, channels)] * len(harmonics))

    def forward(self, features: Tensor, edges: Edges, average_neighbors: Tensor) -> Tensor:
        """Features (n_atoms, components, channels) to A (n_atoms, (max_l + 1)^2, channels)."""
        own = self.up(split(features, self.senders))
        index, graph = edges.elements.index, edges.graph
        inputs = self.inputs(edges.radial, index[graph.centers], index[graph.neighbors])
        weights = edges.cut(self.radial(inputs))
        density = edges.sum(edges.cut(torch.tanh(self.density(inputs) ** 2)))[:, :, None]
        sums = self.convolution(joined(own), edges.harmonics, weights, edges.graph)
        message = [part / (self.beta * density + self.alpha) for part in self.down(sums)]
        for l, part in enumerate(self.rest(own)):
            message[l] = message[l] + part
        return joined(self.last(gated(message)))

    def inputs(self, radial: Tensor, receivers: Tensor, senders: Tensor) -> Tensor:
        """x_ij (n, num_radial + 2 channels) between elements (n,) of two atoms."""
        factor = 1 / sqrt(len(self.source))
        source, target = (self.source * factor)[senders], (self.target * factor)[receivers]
        return torch.cat([radial, source, target], dim=1)
