"""Networks on symmetry functions for the charges and dipoles of atoms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from ladera.graph import Graph
from ladera.models.hdnnp.network import AtomicNetwork
from ladera.models.moments import neutralized
from ladera.potential import AtomicValues
from ladera.quantities import ATOMIC_DIPOLES, CHARGES

N_RADIAL: Final = 6  # radial functions of the edge vectors


class DipoleNetworks(nn.ModuleList):
    r"""One network NN^p_e for each element e, which gives (q'_i, c_i) of an atom's inputs x_i.

    q_i = q'_i + (Q - sum_j q'_j) / n                      the charges sum to the total charge Q
    p_i = sum_j sum_k c_i,bk u_k(r_ij) r_ij                b the element of atom j
    u_k(r) = sqrt(2 / r_c) sin(k pi r / r_c) / r (1 - r^2 / r_c^2)^3
    """

    def __init__(self, input_counts: Sequence[int], hidden: Sequence[int], cutoff: float) -> None:
        self.cutoff = cutoff
        self.input_counts = tuple(input_counts)
        self.n_outputs = 1 + len(input_counts) * N_RADIAL
        activations = (*["tanh"] * len(hidden), "linear")
        super().__init__(
            AtomicNetwork((count, *hidden, self.n_outputs), activations) for count in input_counts
        )

    def forward(self, graph: Graph, index: Tensor, inputs: Tensor) -> AtomicValues:
        """q (n_atoms,) in e and p (n_atoms, 3) in e*Angstrom, float64.

        ``index`` (n_atoms,) are the elements and ``inputs`` (n_atoms, n_inputs) the x_i.
        """
        outputs = inputs.new_zeros(graph.n_atoms, self.n_outputs)
        for element, network in enumerate(self):
            atoms = torch.nonzero(index == element)[:, 0]
            if len(atoms):
                x = inputs[atoms, : self.input_counts[element]]
                outputs = outputs.index_add(0, atoms, network(x))
        dipoles = (outputs[:, 1:, None].double() * self._edge_sums(graph, index)).sum(1)
        return {CHARGES: neutralized(outputs[:, 0].double(), graph), ATOMIC_DIPOLES: dipoles}

    def _edge_sums(self, graph: Graph, index: Tensor) -> Tensor:
        """sum_j u_k(r_ij) r_ij over the neighbours of each element, (n_atoms, n_species * k, 3)."""
        vectors, n_species = graph.vectors.double(), len(self.input_counts)
        r = vectors.norm(dim=1, keepdim=True)
        k = torch.arange(1, N_RADIAL + 1, dtype=r.dtype, device=r.device)
        waves = math.sqrt(2 / self.cutoff) * torch.sin(k * math.pi * r / self.cutoff) / r
        radial = waves * (1 - (r / self.cutoff).clamp(max=1) ** 2) ** 3
        sums = vectors.new_zeros(graph.n_atoms * n_species, N_RADIAL, 3)
        place = graph.centers * n_species + index[graph.neighbors]
        sums = sums.index_add(0, place, radial[:, :, None] * vectors[:, None, :])
        return sums.reshape(graph.n_atoms, n_species * N_RADIAL, 3)
