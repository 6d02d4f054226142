"""Irreducible representations of rotations and reflections, and the paths between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from ladera.arrays import Floats


class Irrep(NamedTuple):
    """How 2l + 1 numbers turn: as spherical harmonics of degree l, times parity when inverted."""

    l: int
    parity: int  # 1 or -1: what a reflection through the origin multiplies them by

    @property
    def dimension(self) -> int:
        """2l + 1."""
        return 2 * self.l + 1

    def __str__(self) -> str:
        return f"{self.l}{'e' if self.parity == 1 else 'o'}"


Irreps = tuple[Irrep, ...]


def natural(l_max: int) -> Irreps:
    """The irreps of the spherical harmonics up to a degree: 0e, 1o, 2e, 3o, ..."""
    return tuple(Irrep(l, (-1) ** l) for l in range(l_max + 1))


def dimension(irreps: Sequence[Irrep]) -> int:
    """Components of a feature."""
    return sum(irrep.dimension for irrep in irreps)


def slices(irreps: Sequence[Irrep]) -> list[slice]:
    """Where the components of each irrep are in a feature."""
    ends = list(accumulate((irrep.dimension for irrep in irreps), initial=0))
    return [slice(start, end) for start, end in pairwise(ends)]


def products(one: Irrep, two: Irrep) -> Iterator[Irrep]:
    """The irreps in the tensor product of two, ascending in l."""
    for l in range(abs(one.l - two.l), one.l + two.l + 1):
        yield Irrep(l, one.parity * two.parity)


class Path(NamedTuple):
    """One way to couple irrep ``one`` of a feature with ``two`` of another to ``out``."""

    one: int  # indices into the lists of irreps
    two: int
    out: int


def paths(one: Irreps, two: Irreps, out: Irreps) -> list[Path]:
    """All couplings of two lists of irreps to a third, sorted by (out, one, two)."""
    found = [
        Path(i, j, out.index(irrep))
        for i, left in enumerate(one)
        for j, right in enumerate(two)
        for irrep in products(left, right)
        if irrep in out
    ]
    return sorted(found, key=lambda path: path.out)


def wigner_d(irrep: Irrep, matrix: Floats) -> Floats:
    """D(R) of an orthogonal matrix R (3, 3): how the 2l + 1 components turn, (2l + 1, 2l + 1).

    Defined by Y_l(R u) = D(R) Y_l(u) for rotations, times the parity for reflections; found from
    the harmonics of enough directions.
    """
    import torch

    from ladera.kernels.harmonics import spherical_harmonics

    sign = np.sign(np.linalg.det(matrix))  # R is a rotation, or a rotation times the inversion
    directions = np.random.default_rng(0).normal(size=(4 * irrep.dimension, 3))
    before, after = (
        spherical_harmonics(torch.from_numpy(points), irrep.l)[:, irrep.l**2 :].numpy()
        for points in (directions, sign * directions @ matrix.T)
    )
    turned: Floats = np.linalg.lstsq(before, after, rcond=None)[0].T
    return turned * (irrep.parity if sign < 0 else 1)
