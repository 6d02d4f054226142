"""The symmetric contraction in plain torch, for any degree."""

from __future__ import annotations

import torch
from torch import Tensor

from ladera.kernels.contraction.terms import Terms


def contract(features: Tensor, coefficients: Tensor, elements: Tensor, terms: Terms) -> Tensor:
    """As :func:`ladera.kernels.contraction.ops.contract`."""
    n_atoms, _, channels = features.shape
    result = features.new_zeros(n_atoms, terms.n_components, channels)
    for element, weights in enumerate(coefficients):
        (atoms,) = torch.nonzero(elements == element, as_tuple=True)
        values = _of_one_element(features.index_select(0, atoms), weights, terms)
        result = result.index_add(0, atoms, values)
    return result


def _of_one_element(A: Tensor, weights: Tensor, terms: Terms) -> Tensor:
    """A (n, n_features, channels) and (n_terms, channels) to (n, n_components, channels)."""
    result = A.new_zeros(len(A), terms.n_components, A.shape[2])
    for places, part in terms.by_degree:
        indices = torch.from_numpy(part.factors).to(A.device)
        products = weights[torch.from_numpy(places).to(A.device)][None]
        for factor in indices.unbind(1):
            products = products * A[:, factor]
        result = result.index_add(1, torch.from_numpy(part.component).to(A.device), products)
    return result
