r"""Least squares whose model is linear in most of its parameters.

With A(c) w for the predictions, both weighted by the loss, and y for the labels, w is eliminated
(variable projection: Golub and Pereyra, SIAM J. Numer. Anal. 10, 413 (1973)):

    L(c) = min_w  |A(c) w - y|^2 + ridge sum_s d_s (w_s - v_s)^2,      d = diag(A^T A)

and L is lowered by steps of Levenberg and Marquardt in c. Of a step dc the change of A(c) w is
J dc, J = d(A w)/dc with the w of the minimum (Kaufman, BIT 15, 49 (1975)), so that the step is that
of the joint linear problem, of which w is eliminated in turn:

    | A^T A + ridge d      A^T J                | | w  |   | A^T y + ridge d v |
    | J^T A                J^T J + damping d_J  | | dc | = | J^T y             |

The ridge pulls towards v, ``towards``: zero, or what is known already. All that is needed are the
sums of products of the columns of (A, J, y) over all rows: ``gram``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg

from ladera.arrays import Floats


class Solution(NamedTuple):
    """The minimum over w."""

    weights: Floats  # (n_linear,)
    loss: float
    condition: float  # of the scaled matrix that was solved with


class Step(NamedTuple):
    """The minimum of the joint linear problem."""

    weights: Floats  # (n_linear,)
    change: Floats  # (n_nonlinear,) dc
    loss: float  # as far as it is linear


def solve(gram: Floats, ridge: float, towards: Floats) -> Solution:
    """The best w, of sums of products (n_columns, n_columns), that of y being the last column."""
    n_linear = len(towards)
    scale = _scale(gram[:n_linear, :n_linear])
    matrix, right = gram[:n_linear, :n_linear] / np.outer(scale, scale), gram[:n_linear, -1] / scale
    values = scipy.linalg.eigvalsh(matrix)
    pull = np.full(n_linear, ridge)
    found = _solved(matrix, right, pull, scale * towards)
    loss = _loss(matrix, right, gram[-1, -1], found) + pull @ (found - scale * towards) ** 2
    condition = (values[-1] + ridge) / (max(values[0], 0.0) + ridge)
    return Solution(found / scale, float(loss), float(condition))


def step(gram: Floats, ridge: float, towards: Floats, damping: float) -> Step:
    """The step in c that a damping allows; 0 for what changes nothing."""
    n_linear = len(towards)
    scale = _scale(gram[:-1, :-1])
    matrix, right = gram[:-1, :-1] / np.outer(scale, scale), gram[:-1, -1] / scale
    pull, center = np.full(len(matrix), damping), np.zeros(len(matrix))
    pull[:n_linear], center[:n_linear] = ridge, scale[:n_linear] * towards
    found = _solved(matrix, right, pull, center)
    loss = _loss(matrix, right, gram[-1, -1], found)
    loss += ridge * float(((found - center)[:n_linear] ** 2).sum())
    found = found / scale
    return Step(found[:n_linear], found[n_linear:], loss)


def _scale(matrix: Floats) -> Floats:
    """Square roots of the diagonal; 1 for columns of zeros."""
    diagonal = np.sqrt(np.diag(matrix))
    return np.where(diagonal > 0, diagonal, 1.0)


def _solved(matrix: Floats, right: Floats, pull: Floats, center: Floats) -> Floats:
    """(matrix + diag(pull))^-1 (right + pull center), with a diagonal of ones or zeros."""
    factor = scipy.linalg.cho_factor(matrix + np.diag(pull))
    found: Floats = scipy.linalg.cho_solve(factor, right + pull * center)
    return found


def _loss(matrix: Floats, right: Floats, square: float, found: Floats) -> float:
    return float(square - 2 * right @ found + found @ (matrix @ found))
