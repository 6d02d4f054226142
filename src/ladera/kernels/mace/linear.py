"""Linear maps, as products of matrices within the threads that the loops run in.

A BLAS would bring threads of its own, which wait for work in a loop and take the cores from ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ladera.arrays import Reals
from ladera.kernels.compilation import inlined, simd


@dataclass(frozen=True, eq=False)
class Linear:
    """Matrices (channels in, channels out): of each degree one, or one for each element present."""

    degrees: list[list[Reals]]

    @cached_property
    def transposed(self) -> Linear:
        """For the reverse pass."""
        return Linear([[np.ascontiguousarray(each.T) for each in row] for row in self.degrees])


@simd
def multiply(source: Reals, matrix: Reals, target: Reals, add: bool) -> None:
    """target (rows, N) = source (rows, K) @ matrix (K, N), or added to it.

    Four rows of each at a time: sixteen products for every eight loads.
    """
    n, size = source.shape
    for i in range(0, n - 3, 4):
        t0, t1, t2, t3 = target[i], target[i + 1], target[i + 2], target[i + 3]
        if not add:
            _clear(t0, t1, t2, t3)
        for k in range(0, size - 3, 4):
            _four_by_four(source, matrix, i, k, t0, t1, t2, t3)
        for k in range(size - size % 4, size):
            for row in range(4):
                _one(source[i + row, k], matrix[k], target[i + row])
    for i in range(n - n % 4, n):
        if not add:
            target[i, :] = 0
        for k in range(size):
            _one(source[i, k], matrix[k], target[i])


@inlined
def _clear(t0: Reals, t1: Reals, t2: Reals, t3: Reals) -> None:
    t0[:] = 0
    t1[:] = 0
    t2[:] = 0
    t3[:] = 0


@inlined
def _one(factor: float, row: Reals, target: Reals) -> None:
    for c in range(target.size):
        target[c] += factor * row[c]


@inlined
def _four_by_four(
    source: Reals,
    matrix: Reals,
    i: int,
    k: int,
    t0: Reals,
    t1: Reals,
    t2: Reals,
    t3: Reals,
) -> None:
    a0, a1, a2, a3 = source[i, k], source[i, k + 1], source[i, k + 2], source[i, k + 3]
    j = i + 1
    b0, b1, b2, b3 = source[j, k], source[j, k + 1], source[j, k + 2], source[j, k + 3]
    j = i + 2
    c0, c1, c2, c3 = source[j, k], source[j, k + 1], source[j, k + 2], source[j, k + 3]
    j = i + 3
    d0, d1, d2, d3 = source[j, k], source[j, k + 1], source[j, k + 2], source[j, k + 3]
    m0, m1, m2, m3 = matrix[k], matrix[k + 1], matrix[k + 2], matrix[k + 3]
    for q in range(t0.size):
        v0, v1, v2, v3 = m0[q], m1[q], m2[q], m3[q]
        t0[q] += a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3
        t1[q] += b0 * v0 + b1 * v1 + b2 * v2 + b3 * v3
        t2[q] += c0 * v0 + c1 * v1 + c2 * v2 + c3 * v3
        t3[q] += d0 * v0 + d1 * v1 + d2 * v2 + d3 * v3
