"""The product basis: features of many neighbours at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from ladera.kernels.equivariant import ops, products
from ladera.models.equivariant import cuequivariance
from ladera.models.equivariant.constants import Constants
from ladera.models.equivariant.irreps import Irreps
from ladera.models.equivariant.linear import Elements, joined, normal
from ladera.models.mace.couplings import make_couplings


class ProductBasis(nn.Module):
    r"""B^L_mc = sum_nu sum_k W^(L nu)_zkc sum_q U^(L nu)_m,q1...q_nu,k A_q1,c ... A_q_nu,c.

    z is the element of the atom, nu = 1 ... correlation. ``weights[L][nu - 1]`` W (n_species,
    n_couplings, channels); with ``n_species`` = 1 all elements share them. The terms
    ``couplings[L][nu - 1]`` are U by distinct monomials.
    """

    def __init__(
        self, l_max: int, out: Irreps, correlation: int, n_species: int, channels: int
    ) -> None:
        super().__init__()
        self.shared, self.correlation = n_species == 1, correlation
        self.weights, self.couplings = nn.ModuleList(), nn.ModuleList()
        self._parts: list[tuple[nn.ParameterList, list[Terms]]] = []
        for irrep in out:
            terms = [Terms(l_max, irrep.l, degree) for degree in range(1, correlation + 1)]
            sizes = [term.matrix.shape[1] for term in terms]
            weights = [normal(n_species, size, channels).detach() / max(size, 1) for size in sizes]
            self._parts.append((nn.ParameterList(weights), terms))
            self.weights.append(self._parts[-1][0])
            self.couplings.append(nn.ModuleList(terms))

    def forward(self, features: Tensor, elements: Elements) -> Tensor:
        """A (n_atoms, (l_max + 1)^2, channels) to B (n_atoms, components, channels)."""
        by_polynomials = cuequivariance.serves(features.device)
        by_loops = features.device.type == "cpu"
        if self.correlation > products.MOST_FACTORS or not (by_polynomials or by_loops):
            return self.reference(features, elements)
        places = 0 * elements.index if self.shared else elements.rank
        coefficients = self._coefficients([0] if self.shared else elements.present)
        if by_polynomials:
            return cuequivariance.product(features, coefficients, places, self._all_terms)
        return ops.product(features, coefficients, places.numpy(), self._all_terms)

    def reference(self, features: Tensor, elements: Elements) -> Tensor:
        """The same in torch, on any device and for any correlation."""
        groups = zip(elements.present, elements.split(features), strict=True)
        return elements.restore([self._of_element(element, A) for element, A in groups])

    @cached_property
    def _all_terms(self) -> ops.Terms:
        """The terms of all outputs in one list."""
        factors, component, offset = [], [], 0
        for _, parts in self._parts:
            for term in parts:
                missing = products.MOST_FACTORS - term.factors.shape[1]
                factors.append(
                    np.pad(term.factors.cpu(), ((0, 0), (0, missing)), constant_values=-1)
                )
                component.append(term.component.cpu().numpy() + offset)
            offset += parts[0].dimension
        return ops.Terms(np.concatenate(factors), np.concatenate(component), offset)

    def _coefficients(self, present: Sequence[int]) -> Tensor:
        """What each term is multiplied by, (n_present, n_terms, channels)."""
        parts = [
            term.matrix.to(weight) @ weight[present]
            for weights, terms in self._parts
            for weight, term in zip(weights, terms, strict=True)
        ]
        return torch.cat(parts, dim=1)

    def _of_element(self, element: int, A: Tensor) -> Tensor:
        element = 0 if self.shared else element
        found: list[Tensor] = []
        for weights, terms in self._parts:
            parts = [term(A, weight[element]) for weight, term in zip(weights, terms, strict=True)]
            found.append(torch.stack(parts).sum(0))
        return joined(found)


class Terms(Constants):
    """The terms with one number of factors of one output irrep.

    Buffer ``matrix`` (n_terms, n_couplings), always float64; see
    :class:`ladera.models.mace.couplings.Couplings`.
    """

    matrix: Tensor
    factors: Tensor
    component: Tensor

    def __init__(self, l_max: int, out: int, degree: int) -> None:
        super().__init__()
        made = make_couplings(l_max, out, degree)
        self.dimension = 2 * out + 1
        self.register_buffer("matrix", torch.from_numpy(made.matrix.copy()))
        for name, indices in (("factors", made.factors), ("component", made.component)):
            self.register_buffer(name, torch.from_numpy(indices.copy()), persistent=False)

    def forward(self, A: Tensor, weight: Tensor) -> Tensor:
        """(n, (l_max + 1)^2, channels) and (n_couplings, channels) to (n, 2L + 1, channels)."""
        products = (self.matrix.to(weight.dtype) @ weight)[None]
        for factor in self.factors.unbind(1):
            products = products * A[:, factor]
        zeros = A.new_zeros(len(A), self.dimension, A.shape[2])
        return zeros.index_add(1, self.component, products)
