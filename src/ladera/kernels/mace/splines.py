"""Functions of the distance as splines: what a radial network is worth on knots.

Between two knots, h apart and t from 0 to 1, a function is a polynomial of degree seven in t with
the values and three derivatives of both knots,

    f(t) = f_0 + (f_1 - f_0) s(t) + sum_k h^k (f_0^(k) a_k(t) + f_1^(k) b_k(t)),    k = 1, 2, 3.

The difference of the values is a row of its own: in float32 a slope from two rounded values would
lose as many digits as their number has where knots are close.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.interpolate import make_interp_spline

from ladera.arrays import Reals
from ladera.kernels.mace.tables import Radial

FEWEST, MOST = 64, 2048  # intervals
ROWS = 5  # of a knot: the value, the difference to the next, h^k times derivative k = 1, 2, 3
TERMS = 8  # of an interval: all rows of its knot, and the derivatives of the next


class Knots(NamedTuple):
    """Where the knots of all splines of a model are, from 0 to the cutoff."""

    spacing: float  # Angstrom
    number: int
    polynomials: Reals  # (TERMS, 8), see :func:`polynomials`


def polynomials() -> Reals:
    """What multiplies the rows of an interval: coefficients of 1, t, ..., t^7, (TERMS, 8)."""
    powers = np.arange(8)
    conditions = np.zeros((8, 8))  # derivatives 0 to 3 at 0, then at 1, of each power of t
    factor = np.ones(8)
    for k in range(4):
        conditions[k, k] = factor[k]
        conditions[4 + k] = factor
        factor = factor * (powers - k)
    f0, a1, a2, a3, f1, b1, b2, b3 = np.linalg.inv(conditions).T
    return np.round([f0 + f1, f1, a1, a2, a3, b1, b2, b3], 12)


def tabulate(values: Reals, spacing: float, n_paths: int = 1) -> Reals:
    """Rows of every knot and path, of values (n_knots, n_paths * channels).

    (ROWS * n_knots * n_paths, channels), the rows of a path together, those of a knot one after
    another. The derivatives are those of the interpolating spline of degree seven, whose error
    falls with the eighth power of the spacing. At the last knot, the cutoff, functions vanish with
    their first two derivatives.
    """
    n_knots, n_functions = values.shape
    x = np.arange(n_knots) * spacing
    spline = make_interp_spline(x, values, k=7)
    table = np.empty((n_knots, ROWS, n_functions))
    table[:, 0] = values
    table[:-1, 1] = np.diff(values, axis=0)
    for k in (1, 2, 3):
        table[:, 1 + k] = spline(x, k) * spacing**k
    table[-1, :-1] = 0.0
    by_path = table.reshape(n_knots, ROWS, n_paths, -1).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(by_path).reshape(ROWS * n_knots * n_paths, -1)


def intervals_for(
    radial: Radial, pair: tuple[int, int], cutoff: float, tolerance: float, count: int = FEWEST
) -> int:
    """How many intervals keep the error between the knots below ``tolerance`` of the largest value.

    At least ``count``, and that times a power of two. Distances below a tenth of the cutoff do not
    count: no atoms are there.
    """
    weights = polynomials() @ 0.5 ** np.arange(8)
    while count < MOST:
        spacing = cutoff / count
        knots = np.arange(count + 1) * spacing
        middles = knots[:-1] + 0.5 * spacing
        values = radial(knots, *pair)
        table = tabulate(values, spacing).reshape(count + 1, ROWS, -1)
        guess = np.einsum("k,ikf->if", weights[:ROWS], table[:-1])
        guess += np.einsum("k,ikf->if", weights[ROWS:], table[1:, 2:])
        errors = np.abs(guess - radial(middles, *pair))[middles > 0.1 * cutoff]
        if errors.max() <= tolerance * np.abs(values).max():
            return count
        count *= 2
    return count
