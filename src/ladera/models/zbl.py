"""Screened repulsion of nuclei at short distances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from ladera.graph import Graph
from ladera.models.equivariant.constants import Constants
from ladera.models.equivariant.radial import covalent, smooth_cutoff


class Screening(NamedTuple):
    """Constants of the screening of two nuclei."""

    coefficients: tuple[float, ...]  # c
    decays: tuple[float, ...]  # d
    length: float  # a_0, Angstrom
    exponent: float  # g


# Ziegler, Biersack and Littmark, The Stopping and Range of Ions in Solids (1985).
PUBLISHED: Final = Screening(
    (0.18175, 0.50986, 0.28022, 0.02817), (3.19980, 0.94229, 0.40290, 0.20162), 0.46850, 0.23
)
# Those of mace-torch, where nuclei are screened within half the length.
MACE: Final = Screening(
    (0.1818, 0.5099, 0.2802, 0.02817), (3.2, 0.9423, 0.4028, 0.2016), 0.4543 * 0.529, 0.3
)


class ScreenedRepulsion(Constants):
    r"""The repulsion of Ziegler, Biersack and Littmark (ZBL, 1985), cut off at bond lengths.

        V_i = sum_j 1/2 14.3996 Z_i Z_j / r phi(r / a) f(r / (R_i + R_j))
        phi(x) = sum_k c_k exp(-d_k x),   a = a_0 / (Z_i^g + Z_j^g)

    with the smooth cutoff f, whose exponent is ``cutoff_power``, and ``reach`` times covalent radii
    R. Buffers: ``coefficients`` c (4,), ``length`` a_0 in Angstrom, ``exponent`` g, ``radii`` and
    ``numbers`` Z (n_species,).
    """

    coefficients: Tensor
    decays: Tensor
    length: Tensor
    exponent: Tensor
    radii: Tensor
    numbers: Tensor

    def __init__(
        self,
        species: Sequence[int],
        cutoff_power: int,
        screening: Screening = PUBLISHED,
        reach: float = 1.0,
    ) -> None:
        super().__init__()
        self.cutoff_power = cutoff_power
        for name, values in (*screening._asdict().items(), ("numbers", list(species))):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))
        self.register_buffer("radii", reach * covalent(species))

    @property
    def cutoff(self) -> float:
        """The largest distance at which anything is repelled, Angstrom."""
        return 2 * float(self.radii.max())

    def forward(self, graph: Graph, index: Tensor) -> Tensor:
        """Half of each atom's pair energies, (n_atoms,), eV; ``index`` (n_atoms,) its element."""
        one, two = index[graph.centers], index[graph.neighbors]
        pairs = self._pairs(graph.vectors, one, two)
        energies: Tensor = pairs.new_zeros(graph.n_atoms).index_add(0, graph.centers, pairs)
        return energies

    def of_near(self, graph: Graph, index: Tensor, gradients: bool) -> tuple[Tensor, Tensor | None]:
        """The same by the edges alone that are repelled, and its ``gradients`` (n_edges, 3)."""
        reach = self.radii.to(graph.vectors)[index]
        lengths = graph.vectors.detach().norm(dim=1)
        near = torch.nonzero(lengths < reach[graph.centers] + reach[graph.neighbors])[:, 0]
        centers = graph.centers[near]
        with torch.set_grad_enabled(gradients or torch.is_grad_enabled()):
            vectors = graph.vectors[near]
            if gradients:
                vectors = vectors.detach().requires_grad_()
            pairs = self._pairs(vectors, index[centers], index[graph.neighbors[near]])
            energies = pairs.new_zeros(graph.n_atoms).index_add(0, centers, pairs)
            if not gradients:
                return energies, None
            slopes = torch.zeros_like(graph.vectors)
            slopes[near] = torch.autograd.grad(pairs.sum(), vectors)[0]
        return energies.detach(), slopes

    def _pairs(self, vectors: Tensor, one: Tensor, two: Tensor) -> Tensor:
        """Half the energies of pairs of elements ``one`` and ``two``, (n_edges,), eV."""
        r = vectors.norm(dim=1)
        powers = (self.numbers**self.exponent / self.length).to(r)
        x = r * (powers[one] + powers[two])
        screening = torch.exp(-x[:, None] * self.decays.to(r)) @ self.coefficients.to(r)
        charges, radii = self.numbers.to(r), self.radii.to(r)
        cutoff = smooth_cutoff(r / (radii[one] + radii[two]), self.cutoff_power)
        pairs: Tensor = 0.5 * 14.3996 * charges[one] * charges[two] / r * screening * cutoff
        return pairs
