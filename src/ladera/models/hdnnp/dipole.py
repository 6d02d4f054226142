"""A high-dimensional neural network potential that knows the dipole moment as well."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ladera.graph import Graph
from ladera.kernels.symmetry_functions import ops
from ladera.models.hdnnp.config import HDNNPConfig, Layers
from ladera.models.hdnnp.model import HDNNP
from ladera.models.hdnnp.network import AtomicNetwork
from ladera.models.moments import neutralized
from ladera.potential import Prediction

N_RADIAL: Final = 6  # radial functions of the edge vectors


class HDNNPDipoleConfig(HDNNPConfig):
    """A Behler-Parrinello network for the energy, and a second one for the dipole moment."""

    architecture: Literal["hdnnp_dipole"] = "hdnnp_dipole"  # type: ignore[assignment]
    dipole_layers: Layers = Field(
        default=(32, 32), description="Nodes of each hidden layer of the networks of the dipole."
    )


class HDNNPDipole(HDNNP):
    r"""HDNNP energies beside charges and atomic dipoles that depend on the environment.

    With (q'_i, c_i) = NN^p_e( s(G_i) ), one network for each element e,

        q_i = q'_i + (Q - sum_j q'_j) / n                      the charges sum to the total charge Q
        p_i = sum_j sum_k c_i,bk u_k(r_ij) r_ij                b the element of atom j
        u_k(r) = sqrt(2 / r_c) sin(k pi r / r_c) / r (1 - r^2 / r_c^2)^3

    and the dipole moment is sum_i q_i r_i + p_i. It turns with the molecule exactly, and for a
    neutral one does not depend on the origin. The charges are whatever makes the best moments.
    """

    config: HDNNPDipoleConfig
    has_charges = True
    has_atomic_dipoles = True

    def __init__(self, config: HDNNPDipoleConfig) -> None:
        super().__init__(config)
        n_outputs = 1 + len(self.numbers) * N_RADIAL
        activations = (*["tanh"] * len(config.dipole_layers), "linear")
        self.dipole_networks = nn.ModuleList(
            AtomicNetwork((count, *config.dipole_layers, n_outputs), activations)
            for count in self.input_counts
        )

    def predict(self, graph: Graph, gradients: bool = True) -> Prediction:
        """Energies and their gradients, charges and atomic dipoles."""
        charges, dipoles = self._moments(graph)
        prediction = super().predict(graph, gradients)
        return replace(prediction, charges=charges, atomic_dipoles=dipoles)

    def _moments(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """q (n_atoms,) in e and p (n_atoms, 3) in e*Angstrom, float64."""
        index, *arguments = self._arguments(graph)
        G = ops.values(graph.vectors, *arguments, self.plan_number)
        inputs = self.input_scaling().inputs(G, index)
        outputs = inputs.new_zeros(graph.n_atoms, 1 + len(self.numbers) * N_RADIAL)
        for element, network in enumerate(self.dipole_networks):
            atoms = torch.nonzero(index == element)[:, 0]
            if len(atoms):
                x = inputs[atoms, : self.input_counts[element]]
                outputs = outputs.index_add(0, atoms, network(x))
        edges = self._edge_sums(graph, index)
        dipoles = (outputs[:, 1:, None].double() * edges).sum(1)
        return neutralized(outputs[:, 0].double(), graph), dipoles

    def _edge_sums(self, graph: Graph, index: Tensor) -> Tensor:
        """sum_j u_k(r_ij) r_ij over the neighbours of each element, (n_atoms, n_species * k, 3)."""
        vectors = graph.vectors.double()
        r = vectors.norm(dim=1, keepdim=True)
        k = torch.arange(1, N_RADIAL + 1, dtype=r.dtype, device=r.device)
        waves = math.sqrt(2 / self.cutoff) * torch.sin(k * math.pi * r / self.cutoff) / r
        radial = waves * (1 - (r / self.cutoff).clamp(max=1) ** 2) ** 3
        n_species = len(self.numbers)
        sums = vectors.new_zeros(graph.n_atoms * n_species, N_RADIAL, 3)
        place = graph.centers * n_species + index[graph.neighbors]
        sums = sums.index_add(0, place, radial[:, :, None] * vectors[:, None, :])
        return sums.reshape(graph.n_atoms, n_species * N_RADIAL, 3)
