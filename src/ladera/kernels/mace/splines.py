"""Functions of the distance as quintic splines: what a radial network is worth on knots."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import make_interp_spline

from ladera.kernels.mace.tables import Floats, Radial

FEWEST, MOST = 64, 2048  # intervals


def tabulate(values: Floats, spacing: float, n_paths: int = 1) -> Floats:
    """Rows f, h f', h^2 f'' of every knot and path, of values (n_knots, n_paths * channels).

    (3 n_knots n_paths, channels), the rows of a path together, those of a knot one after another.

    The interpolating spline of degree five, whose error falls with the sixth power of the spacing.
    At the last knot, the cutoff, functions vanish with their first two derivatives.
    """
    n_knots, n_functions = values.shape
    x = np.arange(n_knots) * spacing
    spline = make_interp_spline(x, values, k=5)
    table = np.empty((n_knots, 3, n_functions))
    table[:, 0] = values
    table[:, 1] = spline(x, 1) * spacing
    table[:, 2] = spline(x, 2) * spacing**2
    table[-1] = 0.0
    by_path = table.reshape(n_knots, 3, n_paths, -1).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(by_path).reshape(3 * n_knots * n_paths, -1)


def intervals_for(
    radial: Radial, pair: tuple[int, int], cutoff: float, tolerance: float, count: int = FEWEST
) -> int:
    """How many intervals keep the error between the knots below ``tolerance`` of the largest value.

    At least ``count``, and that times a power of two. Distances below a tenth of the cutoff do not count: no atoms are there.
    """
    while count < MOST:
        spacing = cutoff / count
        knots = np.arange(count + 1) * spacing
        middles = knots[:-1] + 0.5 * spacing
        values = radial(knots, *pair)
        table = tabulate(values, spacing).reshape(count + 1, 3, -1)
        weights = np.array([0.5, 5 / 32, 1 / 64])
        signs = np.array([1.0, -1.0, 1.0])
        guess = np.einsum("k,ikf->if", weights, table[:-1])
        guess += np.einsum("k,ikf->if", weights * signs, table[1:])
        errors = np.abs(guess - radial(middles, *pair))[middles > 0.1 * cutoff]
        if errors.max() <= tolerance * np.abs(values).max():
            return count
        count *= 2
    return count
