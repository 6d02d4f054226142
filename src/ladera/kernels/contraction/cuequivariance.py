"""The symmetric contraction as a polynomial of NVIDIA's cuEquivariance."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor

from ladera.kernels.contraction.terms import Terms
from ladera.kernels.cuequivariance import Products, evaluate, polynomial


def contract(features: Tensor, coefficients: Tensor, elements: Tensor, terms: Terms) -> Tensor:
    """As :func:`ladera.kernels.contraction.ops.contract`."""
    n_atoms, n_features, channels = features.shape
    made = _polynomial(terms, n_features, channels, features.device.type)
    result = evaluate(made, [coefficients.flatten(1), features.flatten(1)], {0: elements})
    return result.view(n_atoms, terms.n_components, channels)


@lru_cache(maxsize=64)
def _polynomial(terms: Terms, n_features: int, channels: int, device: str) -> Any:
    """Of coefficients and features."""
    products = []
    for places, part in terms.by_degree:
        segments = np.column_stack([places, part.factors, part.component])
        operands = (0, *[1] * part.factors.shape[1], 2)
        products.append(Products(operands, segments, np.ones(len(places))))
    sizes = [len(terms.arrays.factors), n_features, terms.n_components]
    return polynomial(sizes, [channels] * 3, products, device)
