"""Functions of the distance as splines: what a radial network is worth.

A spline of degree seven on equidistant knots is a sum of bumps B, each eight intervals wide.
Between two knots, with t from 0 to 1, there are eight of them,

    f(t) = sum_k c_k B_k(t) = c_0 + sum_k d_k S_k(t),    d_k = c_k - c_(k-1),  k = 1 ... 7,

where S_k is the sum of B_k to B_7. The differences are stored: in float32 a slope from the rounded
coefficients would lose as many digits as their number has where knots are close.

Functions are rougher where atoms are close, and some have a kink at the onset of their cutoff; so
there are several splines, each for a *segment* of the distances, with knots as dense as it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.polynomial import polynomial
from scipy.interpolate import make_interp_spline

from ladera.arrays import Floats, Integers, Reals


class Radial(Protocol):
    """Radial functions of the elements of the receiving and of the sending atom."""

    def __call__(self, distances: Floats, receiver: int, sender: int) -> Reals:
        """Of distances (n,) in Angstrom, as (n, n_functions)."""


DEGREE = 7
FEWEST, MOST = 8, 1024  # intervals of a segment
SEGMENTS = (0.125, 0.25, 0.5)  # of the cutoff: where one ends and the next begins
CLOSEST = 0.1  # of the cutoff; no atoms are closer
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


def make_knots(bounds: Sequence[float], intervals: Sequence[int]) -> Knots:
    """With segments between ``bounds``, the first 0 and the last the cutoff, in Angstrom."""
    counts = np.array(intervals, np.int64)
    first = np.cumsum(counts + DEGREE) - counts - DEGREE
    start, inverse = np.array(bounds[:-1], np.float64), counts / np.diff(bounds)
    return Knots(float(bounds[-1]), start, inverse, counts, first, polynomials())


@cache
def polynomials() -> Floats:
    """What multiplies c_0, d_1, ..., d_7 in an interval: coefficients of 1, t, ..., t^7, (8, 8).

    The bumps of degree p are (t + p - k)/p times those of p - 1 and k - 1, plus (k + 1 - t)/p times
    those of p - 1 and k (de Boor, A Practical Guide to Splines, 1978, chapter IX).
    """
    bumps: list[Any] = [np.ones(1)]
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
    found: list[Floats] = []
    for start, inverse, n in zip(knots.start, knots.inverse_spacing, knots.intervals, strict=True):
        ends = np.arange(3) + 0.5
        found.append(start + np.sort(np.r_[np.arange(n + 1), ends, n - ends]) / inverse)
    joined: Floats = np.concatenate(found).clip(max=knots.cutoff)
    return joined


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


def choose_knots(
    radials: Sequence[Callable[[Floats], Reals]],
    cutoff: float,
    tolerance: float,
    kinks: Sequence[float] = (),
) -> Knots:
    """Dense enough for the radial functions.

    In each segment, no error between the knots is above ``tolerance`` of the largest value there.
    """
    bounds = sorted({0.0, *(cutoff * part for part in SEGMENTS), *kinks, cutoff})
    intervals = []
    for segment in pairwise(bounds):
        count = FEWEST
        for radial in radials:
            count = _intervals(radial, segment, max(segment[0], CLOSEST * cutoff), tolerance, count)
        intervals.append(count)
    return make_knots(bounds, intervals)


def _intervals(
    radial: Callable[[Floats], Reals],
    segment: tuple[float, float],
    closest: float,
    tolerance: float,
    count: int,
) -> int:
    """How many intervals a segment needs: at least ``count``."""
    start, stop = segment
    weights = polynomials() @ 0.4 ** np.arange(TERMS)
    while count < MOST:
        knots = make_knots((0.0, stop - start), (count,))
        values = radial(start + sites(knots))
        table = coefficients(values, knots)
        between = start + (np.arange(count) + 0.4) / knots.inverse_spacing[0]
        guess = table[:count, 0] + sum(weights[k] * table[k:][:count, 1] for k in range(1, TERMS))
        errors = np.abs(guess - radial(between))[between > closest]
        if errors.max(initial=0.0) <= tolerance * np.abs(values).max():
            break
        count += count // 2
    return count
