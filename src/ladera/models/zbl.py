"""Screened repulsion of nuclei at short distances."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ladera.graph import Graph
from ladera.models.equivariant.constants import Constants
from ladera.models.equivariant.radial import covalent, smooth_cutoff


class ScreenedRepulsion(Constants):
    r"""The repulsion of Ziegler, Biersack and Littmark (ZBL, 1985), cut off at bond lengths.

        V_i = sum_j 1/2 14.3996 Z_i Z_j / r phi(r / a) f(r / (R_i + R_j))
        phi(x) = sum_k c_k exp(-d_k x),   a = a_0 / (Z_i^g + Z_j^g)

    with the smooth cutoff f and covalent radii R. Buffers: ``coefficients`` c (4,), ``length`` a_0
    in Angstrom, ``exponent`` g, ``radii`` and ``numbers`` Z (n_species,).
    """

    coefficients: Tensor
    decays: Tensor
    length: Tensor
    exponent: Tensor
    radii: Tensor
    numbers: Tensor

    def __init__(self, species: Sequence[int], cutoff_power: int) -> None:
        super().__init__()
        self.cutoff_power = cutoff_power
        for name, values in (
            ("coefficients", [0.1818, 0.5099, 0.2802, 0.02817]),
            ("decays", [3.2, 0.9423, 0.4028, 0.2016]),
            ("length", 0.4543 * 0.529),
            ("exponent", 0.3),
            ("numbers", list(species)),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))
        self.register_buffer("radii", covalent(species))

    def forward(self, graph: Graph, index: Tensor) -> Tensor:
        """Half of each atom's pair energies, (n_atoms,), eV; ``index`` (n_atoms,) its element."""
        one, two = index[graph.centers], index[graph.neighbors]
        r = graph.vectors.norm(dim=1)
        powers = (self.numbers**self.exponent / self.length).to(r)
        x = r * (powers[one] + powers[two])
        screening = torch.exp(-x[:, None] * self.decays.to(r)) @ self.coefficients.to(r)
        charges, radii = self.numbers.to(r), self.radii.to(r)
        cutoff = smooth_cutoff(r / (radii[one] + radii[two]), self.cutoff_power)
        pairs = 0.5 * 14.3996 * charges[one] * charges[two] / r * screening * cutoff
        energies: Tensor = pairs.new_zeros(graph.n_atoms).index_add(0, graph.centers, pairs)
        return energies
