r"""Radial coefficients of low rank: the matrix of (element, neighbour, mu) by beta is U V^T.

With n elements, R functions of a pair and b polynomials, n^2 R b coefficients come from
(n^2 R + b) rank numbers (after Vorotnikov et al., arXiv:2409.02877). The coefficients themselves
stay what the model holds; a step goes along the matrices of that rank.
"""

from __future__ import annotations

import numpy as np

from ladera.arrays import Floats


def truncated(coefficients: Floats, rank: int) -> Floats:
    """The nearest coefficients (..., size) of a rank."""
    U, V = _factors(coefficients, rank)
    return np.reshape(U @ V.T, coefficients.shape)


def tangent(coefficients: Floats, rank: int) -> Floats:
    """How the coefficients change with U, then V^T, row by row: (n_coefficients, n_numbers)."""
    U, V = _factors(coefficients, rank)
    return np.hstack([np.kron(np.eye(len(U)), V), np.kron(U, np.eye(len(V)))])


def moved(coefficients: Floats, rank: int, change: Floats) -> Floats:
    """Coefficients of that rank after a change of U and V^T, (n_numbers,)."""
    U, V = _factors(coefficients, rank)
    dU, dV = change[: U.size].reshape(U.shape), change[U.size :].reshape(rank, len(V)).T
    return np.reshape((U + dU) @ (V + dV).T, coefficients.shape)


def _factors(coefficients: Floats, rank: int) -> tuple[Floats, Floats]:
    """U and V; where a rank is not used so far V has a direction for U to go along."""
    left, values, right = np.linalg.svd(
        coefficients.reshape(-1, coefficients.shape[-1]), full_matrices=False
    )
    root = np.sqrt(values[:rank])
    used = values[:rank] > 1e-12 * values[0]
    return left[:, :rank] * np.where(used, root, 0.0), right[:rank].T * np.where(used, root, 1.0)
