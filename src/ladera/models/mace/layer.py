"""One layer of MACE: interaction, products, messages, and what is read of them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from ladera.models.equivariant.layers import Edges
from ladera.models.equivariant.linear import Elements, Linear, SpeciesLinear, joined, split
from ladera.models.mace.config import MACEConfig
from ladera.models.mace.interactions import Interaction, NonlinearInteraction, layer_shape
from ladera.models.mace.product import ProductBasis
from ladera.models.mace.readout import DipoleReadout, Readout


class Steps(NamedTuple):
    """What a layer computes, each (n_atoms, components, channels)."""

    one_particle: Tensor  # A, of the irreps up to max_l
    products: Tensor  # B, of the irreps of the layer
    messages: list[Tensor]  # linear B, of each irrep
    features: Tensor  # messages and residual


class Layer(nn.Module):
    r"""One layer of message passing: interaction, product basis, linear, residual; and readout.

        A = interaction(h),    h' = linear B(A) + skip h

    skip is of each element (residual, density_residual), of all alike (nonlinear_residual) or none.
    ``readout`` gives energies, ``dipole`` charges and dipoles, as far as the model has them.
    """

    def __init__(self, config: MACEConfig, number: int) -> None:
        super().__init__()
        shape, kind = layer_shape(config, number), config.kinds[number]
        n_species, channels = len(config.species), config.channels
        last = number == config.num_interactions - 1
        self.common = shape.features[: len(shape.out)]  # irreps with a residual
        self.interaction: nn.Module
        self.skip: nn.Module | None = None
        sizes = [(channels, channels)] * len(self.common)
        if kind == "nonlinear_residual":
            self.interaction = NonlinearInteraction(config, shape)
            self.skip = Linear(sizes)
        else:
            self.interaction = Interaction(config, shape, kind)
            if "residual" in kind:
                self.skip = SpeciesLinear(sizes, n_species)
        n_weights = n_species if config.element_products else 1
        self.out = shape.out
        self.product = ProductBasis(
            config.max_l, shape.out, config.correlation, n_weights, channels
        )
        self.linear = Linear([(channels, channels)] * len(shape.out))
        nodes = config.readout_layers if last else ()
        bias = last and config.readout_bias
        self.readout = (
            Readout((channels, *nodes, 1), len(config.heads), config.gate, bias)
            if config.has_energy
            else None
        )
        has_vectors = config.has_dipole and len(shape.out) > 1
        self.dipole = (
            DipoleReadout(channels, nodes, config.gate, config.charges) if has_vectors else None
        )

    def forward(self, features: Tensor, edges: Edges, average_neighbors: Tensor) -> Tensor:
        """Features (n_atoms, components, channels) of the next layer from those of the last."""
        return self.steps(features, edges, average_neighbors).features

    def steps(self, features: Tensor, edges: Edges, average_neighbors: Tensor) -> Steps:
        """The same, with what comes before: A, B and the messages."""
        A = self.interaction(features, edges, average_neighbors)
        B = self.product(A, edges.elements)
        messages = self.linear(split(B, self.out))
        found = list(messages)
        for l, part in enumerate(self._residual(features, edges.elements)):
            found[l] = found[l] + part
        return Steps(A, B, messages, joined(found))

    def _residual(self, features: Tensor, elements: Elements) -> list[Tensor]:
        if self.skip is None:
            return []
        parts = split(features, self.common)
        by_element = isinstance(self.skip, SpeciesLinear)
        found: list[Tensor] = self.skip(parts, elements) if by_element else self.skip(parts)
        return found
