"""What stands between symmetry functions and networks: a linear map for each element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ladera.arrays import Floats

# Directions in which the functions of the training set vary by less than this part of the largest
# variance say nothing that the others do not.
DEPENDENT: Final = 1e-8
# A function that varies by less than this over the training set says nothing: scaled up, it would
# bring the rounding errors of its sum into the network.
RESOLUTION: Final = 1e-8
# How far principal components are brought to the same size: 0 leaves them as they are, 1 makes them
# equal. Less loses detail, more brings noise forward: with 0.1, 0.3, 0.5 and 0.7 the mean error of
# forces on validation frames of ethanol (rMD17, 370 functions) was 20.0, 16.6, 16.8, 21.9 meV/A.
WHITENING: Final = 0.3
# Enough for any one environment; thousands of functions of many elements would fill the memory.
MOST_COMPONENTS: Final = 512


@dataclass(frozen=True, eq=False)
class InputScaling:
    r"""The inputs x of the networks as a function of the symmetry functions G,

        s = (G - offset_e) * factor_e + low,    x = s M_e,    e the element of the atom

    without M where ``mixing`` is None.
    """

    offset: Tensor  # (n_species, n_functions)
    factor: Tensor  # (n_species, n_functions)
    low: float
    mixing: Tensor | None = None  # (n_species, n_functions, largest number of inputs)

    def inputs(self, G: Tensor, index: Tensor) -> Tensor:
        """x (..., n_atoms, n_inputs) of G (..., n_atoms, n_functions), for elements ``index``."""
        return self._mixed((G - self.offset[index]) * self.factor[index] + self.low, index)

    def changes(self, of_functions: Tensor, index: Tensor) -> Tensor:
        """dx of dG, in the shapes of :meth:`inputs`."""
        return self._mixed(of_functions * self.factor[index], index)

    def gradients(self, by_inputs: Tensor, index: Tensor) -> Tensor:
        """dE/dG (..., n_atoms, n_functions) of dE/dx (..., n_atoms, n_inputs)."""
        if self.mixing is not None:
            by_inputs = _for_each_element(by_inputs, index, self.mixing.mT)
        return by_inputs * self.factor[index]

    def unmixed(self, weights: Tensor, element: int) -> Tensor:
        """Weights (n_nodes, n_functions) on s that do what ``weights`` (n_nodes, n_inputs) do on x.

        Zero for the functions that other elements have beyond those of ``element``.
        """
        if self.mixing is None:
            return weights
        return weights @ self.mixing[element, :, : weights.shape[1]].T.to(weights.dtype)

    def _mixed(self, s: Tensor, index: Tensor) -> Tensor:
        return s if self.mixing is None else _for_each_element(s, index, self.mixing)


def _for_each_element(x: Tensor, index: Tensor, matrices: Tensor) -> Tensor:
    """x_i A_e with e the element ``index[i]``; x is (..., n_atoms, rows of A)."""
    result = x.new_zeros(*x.shape[:-1], matrices.shape[2])
    for element, matrix in enumerate(matrices):
        atoms = torch.nonzero(index == element)[:, 0]
        if len(atoms):
            result = result.index_add(-2, atoms, x.index_select(-2, atoms) @ matrix)
    return result


def principal_components(G: Floats, number: int | None = None) -> Floats:
    """:func:`components_of` the covariance of G (n_atoms, n_functions)."""
    centered = G - G.mean(0)
    return components_of(centered.T @ centered / len(G), number)


def components_of(covariance: Floats, number: int | None = None) -> Floats:
    r"""M (n_functions, n_components) of the scaling ``principal``, from the functions' covariance.

    With this covariance C = V diag(lambda) V^T, largest lambda first,

        M_fk = c V_fk lambda_k^(-w/2),    c such that mean_k <x_k^2> = 1

    w is WHITENING. Only directions with lambda_k > DEPENDENT lambda_1 count; of the ``number`` of
    components asked for, others are zero. Without a number as many are given as count, from 1 to
    MOST_COMPONENTS.
    """
    variances, directions = np.linalg.eigh(covariance)
    order = np.argsort(-variances, kind="stable")
    counts = variances[order] > max(DEPENDENT * variances[order[0]], RESOLUTION**2)
    order = order[: number or min(max(1, int(counts.sum())), MOST_COMPONENTS)]
    variances, directions, counts = variances[order], directions[:, order], counts[: len(order)]
    sizes = np.zeros_like(variances)
    sizes[counts] = variances[counts] ** (-0.5 * WHITENING)
    sizes /= np.sqrt((variances * sizes**2)[counts].mean()) if counts.any() else 1.0
    mixing: Floats = directions * sizes
    return mixing
