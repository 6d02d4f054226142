"""Functions of the distance as splines: what a radial network is worth.

A spline of degree seven on equidistant knots is a sum of bumps B, each eight intervals wide.
Between two knots, with t from 0 to 1, there are eight of them,

    f(t) = sum_k c_k B_k(t) = c_0 + sum_k d_k S_k(t),    d_k = c_k - c_(k-1),  k = 1 ... 7,

where S_k is the sum of B_k to B_7. The differences are stored: in float32 a slope from the rounded
coefficients would lose as many digits as their number has where knots are close.

Where a function is not smooth (at the onset of some cutoffs), a new spline begins: a *segment*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.polynomial import polynomial
from scipy.interpolate import make_interp_spline

from ladera.arrays import Floats, Integers, Reals

# Functions of the distances (n,) for the elements of the receiving and of the sending atom, as
# (n, n_functions).
Radial = Callable[[Floats, int, int], Reals]

DEGREE = 7
FEWEST, MOST = 64, 2048  # intervals
FEWEST_OF_SEGMENT = 8
ROWS = 2  # of a coefficient: itself, and its difference to the one before
TERMS = DEGREE + 1  # of an interval: the first coefficient, and the seven differences after it


class Knots(NamedTuple):
    """Where the knots of all splines of a model are, from 0 to the cutoff; by segment."""

    cutoff: float  # Angstrom
    start: Floats  # (n_segments,) Angstrom
    inverse_spacing: Floats  # (n_segments,) 1/Angstrom
    intervals: Integers  # (n_segments,)
    first: Integers  # (n_segments,) of its coefficients
    polynomials: Floats  # (TERMS, 8), see :func:`polynomials`

    @property
    def size(self) -> int:
        """How many coefficients a spline has."""
        return int(self.intervals.sum()) + DEGREE * len(self.intervals)


def make_knots(cutoff: float, count: int, breaks: Sequence[float] = ()) -> Knots:
    """About ``count`` intervals, those of a segment of the same length."""
    bounds = np.array([0.0, *breaks, cutoff])
    lengths = np.diff(bounds)
    intervals = np.maximum(np.ceil(count * lengths / cutoff - 1e-9), FEWEST_OF_SEGMENT)
    intervals = intervals.astype(np.int64)
    first = np.cumsum(intervals + DEGREE) - intervals - DEGREE
    return Knots(cutoff, bounds[:-1], intervals / lengths, intervals, first, polynomials())


@cache
def polynomials() -> Floats:
    """What multiplies c_0, d_1, ..., d_7 in an interval: coefficients of 1, t, ..., t^7, (8, 8).

    The bumps of degree p are (t + p - k)/p times those of p - 1 and k - 1, plus (k + 1 - t)/p times
    those of p - 1 and k (de Boor, A Practical Guide to Splines, 1978, chapter IX).
    """
    bumps = [np.ones(1)]
    for p in range(1, DEGREE + 1):
        none = np.zeros(1)
        left, right = [none, *bumps], [*bumps, none]
        bumps = [
            polynomial.polyadd(
                polynomial.polymul(left[k], [(p - k) / p, 1 / p]),
                polynomial.polymul(right[k], [(k + 1) / p, -1 / p]),
            )
            for k in range(p + 1)
        ]
    rows = np.array([np.pad(bump, (0, TERMS - len(bump))) for bump in bumps])
    sums: Floats = np.cumsum(rows[::-1], axis=0)[::-1]
    sums[0] = np.eye(TERMS)[0]  # of all bumps
    sums.flags.writeable = False
    return sums


def sites(knots: Knots) -> Floats:
    """Distances (size,) at which functions are to be known: knots, and a few between, in Angstrom.

    A spline has seven coefficients more than intervals: the middles of three intervals at either
    end of a segment complete the knots.
    """
    found = []
    for start, inverse, n in zip(knots.start, knots.inverse_spacing, knots.intervals, strict=True):
        ends = np.arange(3) + 0.5
        found.append(start + np.sort(np.r_[np.arange(n + 1), ends, n - ends]) / inverse)
    return np.minimum(np.concatenate(found), knots.cutoff)


def tabulate(values: Reals, knots: Knots, n_paths: int = 1) -> Floats:
    """Rows of every coefficient and path, of values (size, n_paths * channels) at :func:`sites`.

    (ROWS * size * n_paths, channels), the rows of a path together, those of a coefficient one after
    another. The error falls with the eighth power of the spacing.
    """
    table = coefficients(values, knots)
    by_path = table.reshape(knots.size, ROWS, n_paths, -1).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(by_path).reshape(ROWS * knots.size * n_paths, -1)


def coefficients(values: Reals, knots: Knots) -> Floats:
    """Coefficients and their differences, (size, ROWS, n_functions), of values at :func:`sites`."""
    table = np.zeros((knots.size, ROWS, values.shape[1]))
    x = sites(knots)
    bounds = zip(knots.first, knots.start, knots.inverse_spacing, knots.intervals, strict=True)
    for first, start, inverse, n in bounds:
        here = slice(first, first + n + DEGREE)
        t = start + np.arange(-DEGREE, n + DEGREE + 1) / inverse
        t[-TERMS] = max(t[-TERMS], x[here][-1])  # that rounding leaves no site outside
        table[here, 0] = make_interp_spline(x[here], values[here], k=DEGREE, t=t).c
        table[first + 1 : first + n + DEGREE, 1] = np.diff(table[here, 0], axis=0)
    return table


def intervals_for(
    radial: Radial,
    pair: tuple[int, int],
    cutoff: float,
    tolerance: float,
    count: int = FEWEST,
    breaks: Sequence[float] = (),
) -> int:
    """How many intervals keep the error between the knots below ``tolerance`` of the largest value.

    At least ``count``, and that times a power of two. Distances below a tenth of the cutoff do not
    count: no atoms are there.
    """
    weights = polynomials() @ 0.4 ** np.arange(TERMS)
    while count < MOST:
        knots = make_knots(cutoff, count, breaks)
        values = radial(sites(knots), *pair)
        table = coefficients(values, knots)
        first = np.concatenate(
            [f + np.arange(n) for f, n in zip(knots.first, knots.intervals, strict=True)]
        )
        between = np.concatenate(
            [
                start + (np.arange(n) + 0.4) / inverse
                for start, inverse, n in zip(*knots[1:4], strict=True)
            ]
        )
        guess = table[first, 0] + sum(w * table[first + k, 1] for k, w in enumerate(weights) if k)
        errors = np.abs(guess - radial(between, *pair))[between > 0.1 * cutoff]
        if errors.max() <= tolerance * np.abs(values).max():
            return count
        count *= 2
    return count
