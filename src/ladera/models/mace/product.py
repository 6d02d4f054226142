"""The product basis: features of many neighbours at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ladera.kernels.contraction import cpu, ops
from ladera.kernels.contraction.terms import NONE, TermArrays, Terms
from ladera.models.equivariant.constants import Constants
from ladera.models.equivariant.irreps import Irreps
from ladera.models.equivariant.linear import Elements, normal
from ladera.models.mace.couplings import Couplings, make_couplings


class ProductBasis(nn.Module):
    r"""B^L_mc = sum_nu sum_k W^(L nu)_zkc sum_q U^(L nu)_m,q1...q_nu,k A_q1,c ... A_q_nu,c.

    z is the element of the atom, nu = 1 ... correlation. ``weights[L][nu - 1]`` W (n_species,
    n_couplings, channels); with ``n_species`` = 1 all elements share them. The matrices
    ``couplings[L][nu - 1]`` are U by distinct monomials.
    """

    def __init__(
        self, l_max: int, out: Irreps, correlation: int, n_species: int, channels: int
    ) -> None:
        super().__init__()
        self.shared = n_species == 1
        self.weights, self.couplings = nn.ModuleList(), nn.ModuleList()
        self._parts: list[tuple[nn.ParameterList, list[CouplingMatrix]]] = []
        for irrep in out:
            degrees = range(1, correlation + 1)
            matrices = [CouplingMatrix(make_couplings(l_max, irrep.l, nu)) for nu in degrees]
            sizes = [each.matrix.shape[1] for each in matrices]
            weights = [normal(n_species, size, channels).detach() / max(size, 1) for size in sizes]
            self._parts.append((nn.ParameterList(weights), matrices))
            self.weights.append(self._parts[-1][0])
            self.couplings.append(nn.ModuleList(matrices))
        self.terms = _all_terms(out, [matrices for _, matrices in self._parts])

    def forward(self, features: Tensor, elements: Elements) -> Tensor:
        """A (n_atoms, (l_max + 1)^2, channels) to B (n_atoms, components, channels)."""
        rank = 0 * elements.index if self.shared else elements.rank
        present = [0] if self.shared else elements.present
        return ops.contract(features, self.coefficients(present), rank, self.terms)

    def coefficients(self, present: Sequence[int]) -> Tensor:
        """What each term is multiplied by, (n_present, n_terms, channels)."""
        parts = [
            each.matrix.to(weight) @ weight[present]
            for weights, matrices in self._parts
            for weight, each in zip(weights, matrices, strict=True)
        ]
        return torch.cat(parts, dim=1)


class CouplingMatrix(Constants):
    """The terms of one degree to one irrep, by the couplings they are in.

    Buffer ``matrix`` (n_terms, n_couplings), always float64: U, see
    :class:`ladera.models.mace.couplings.Couplings`.
    """

    matrix: Tensor

    def __init__(self, couplings: Couplings) -> None:
        super().__init__()
        self.factors, self.component = couplings.factors, couplings.component
        self.register_buffer("matrix", torch.from_numpy(couplings.matrix.copy()))


def _all_terms(out: Irreps, degrees: Sequence[Sequence[CouplingMatrix]]) -> Terms:
    """The terms of all irreps and degrees in one list, in the order of the coefficients."""
    width = max(cpu.MOST_FACTORS, len(degrees[0]))
    factors, component, offset = [], [], 0
    for irrep, matrices in zip(out, degrees, strict=True):
        for each in matrices:
            missing = ((0, 0), (0, width - each.factors.shape[1]))
            factors.append(np.pad(each.factors, missing, constant_values=NONE))
            component.append(each.component + offset)
        offset += irrep.dimension
    return Terms(TermArrays(np.concatenate(factors), np.concatenate(component)), offset)
