"""A program as the compiled loops take it: fewer moments, and rows grouped by what they make.

Basic moments depend on each other, because |u| = 1: with u_z^2 = 1 - u_x^2 - u_y^2

    M_(mu,a,b,c) = M_(mu,a,b,c-2) - M_(mu,a+2,b,c-2) - M_(mu,a,b+2,c-2)

so that only those with c = 0 or 1 are summed over the neighbours, (N + 1)^2 instead of
(N + 1)(N + 2)(N + 3) / 6 up to a rank N. The loops number the moments anew: summed ones first,
then those that follow from them, then what products make.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ladera.arrays import Floats, Integers, Reals
from ladera.kernels.moment_tensors.program import MomentProgram


class SumTables(NamedTuple):
    """Which moments are summed over the neighbours, and what follows from them.

    Those of a radial function mu with u_z^c are a run of rows of monomials u_x^a u_y^b, by rank
    a + b and then by b.
    """

    degree: int  # the largest a + b
    starts: Integers  # (n_radial, 2) the first row, of c = 0 and of c = 1
    counts: Integers  # (n_radial, 2) how many rows
    derived: Integers  # (n_derived, 3) rows of the three moments that give one more, by the above
    n_summed: int


class ProductTables(NamedTuple):
    """Products grouped by the moment that they make.

    Row r holds p and q in ``factors`` and m in ``multiplicities``; those of moment ``first + t``
    are rows ``starts[t]`` to ``starts[t + 1]``.
    """

    first: int  # the first moment that products make
    factors: Integers  # (n_products, 2)
    starts: Integers
    multiplicities: Reals  # (n_products,)


class EnergyTables(NamedTuple):
    """The energy as a form in the moments: sum_p M_p (linear_p + sum_q A_pq M_q / 2).

    A moment that is added to the energy and is no factor of another need not be known by itself:
    the products that make it are terms of the form, those of equal factors together one. Row r, in
    column ``partners[r]`` = q with ``weights[r]`` = A_pq, belongs to moment p from ``starts[p]`` to
    ``starts[p + 1]``.
    """

    linear: Reals  # (n_moments,)
    starts: Integers
    partners: Integers
    weights: Reals


@dataclass(frozen=True, eq=False)
class Tables:
    """A program with its moments numbered anew, in one precision; see the module."""

    dtype: np.dtype[Any]
    sums: SumTables
    products: Integers  # (n_products, 4) rows p, q, m, k, by k
    scalars: Integers  # (n_scalars,)

    @classmethod
    def of(cls, program: MomentProgram, dtype: np.dtype[Any]) -> Tables:
        """Tables of a program without idle rows."""
        numbers, sums = _sums(program)
        n_basic = len(program.basic)
        basic = [numbers[tuple(row)] for row in program.basic.tolist()]
        # In the order in which they are complete: a product comes after its factors.
        completed = np.full(program.n_moments - n_basic, -1)
        np.maximum.at(completed, program.products[:, 3] - n_basic, np.arange(len(program.products)))
        ranks = np.argsort(np.argsort(completed, kind="stable"))
        new = np.concatenate([np.array(basic), sums.n_summed + len(sums.derived) + ranks])
        products = program.products.copy()
        products[:, [0, 1, 3]] = new[products[:, [0, 1, 3]]]
        order = np.argsort(products[:, 3], kind="stable")
        return cls(dtype, sums, products[order], new[program.scalars])

    @cached_property
    def first(self) -> int:
        """The first moment that products make."""
        return self.sums.n_summed + len(self.sums.derived)

    @cached_property
    def n_moments(self) -> int:
        """All moments, with those that are neither basic nor made by products."""
        return max(self.first, int(self.products[:, 3].max(initial=-1)) + 1)

    @cached_property
    def every_product(self) -> ProductTables:
        """The products of all functions."""
        return _product_tables(self.products, self.first, self.n_moments, self.dtype)

    @cached_property
    def inner_products(self) -> ProductTables:
        """The products that make factors: what is left beside the form of the energy."""
        inner = self._form.inner
        return _product_tables(inner, self.first, len(self._form.kept), self.dtype)

    def linear(self, coefficients: Reals) -> Floats:
        """The coefficient of every moment in the energy sum_s w_s B_s, (n_moments,), float64."""
        found = np.zeros(self.n_moments)
        np.add.at(found, self.scalars, coefficients)
        return found

    def energy(self, coefficients: Reals) -> EnergyTables:
        """The energy sum_s w_s B_s of coefficients w (n_scalars,)."""
        form = self._form
        linear = self.linear(coefficients)
        weights = np.bincount(form.entries, form.factors * linear[form.targets], len(form.partners))
        return EnergyTables(
            linear[form.kept].astype(self.dtype),
            form.starts,
            form.partners,
            weights.astype(self.dtype),
        )

    @cached_property
    def _form(self) -> _Form:
        """Rows whose moment is no factor of another, put together where their factors agree."""
        factor = np.zeros(self.n_moments, dtype=bool)
        factor[self.products[:, :2]] = True
        last = ~factor[self.products[:, 3]]
        kept = factor | (np.arange(self.n_moments) < self.first)
        new = np.cumsum(kept) - 1
        inner = self.products[~last].copy()
        inner[:, [0, 1, 3]] = new[inner[:, [0, 1, 3]]]
        p, q, m, k = self.products[last].T
        pairs = np.concatenate([np.stack([p, q], axis=1), np.stack([q, p], axis=1)])
        distinct, entries = np.unique(new[pairs], axis=0, return_inverse=True)
        return _Form(
            kept=np.flatnonzero(kept),
            inner=inner,
            starts=_starts(distinct[:, 0], int(kept.sum())),
            partners=distinct[:, 1].astype(np.int32),
            entries=entries.ravel(),
            factors=np.concatenate([m, m]),
            targets=np.concatenate([k, k]),
        )


class _Form(NamedTuple):
    """How the quadratic form of the energy depends on the coefficients."""

    kept: Integers  # the moments that are left, which have new numbers, without gaps
    inner: Integers  # (n_products, 4) the products that are left, of the new numbers
    starts: Integers  # as in EnergyTables
    partners: Integers
    entries: Integers  # to which row of the form something is added: factor times linear[target]
    factors: Integers
    targets: Integers


def _sums(program: MomentProgram) -> tuple[dict[tuple[int, ...], int], SumTables]:
    """The new number of every basic moment by (mu, a, b, c), and how it comes about."""
    n_radial = program.n_radial
    ranks = np.full(n_radial, -1)
    np.maximum.at(ranks, program.basic[:, 0], program.basic[:, 1:].sum(axis=1))
    numbers: dict[tuple[int, ...], int] = {}
    starts, counts = np.zeros((2, n_radial, 2), dtype=np.int64)
    for mu, rank in enumerate(ranks.tolist()):
        for c in (0, 1):
            starts[mu, c] = len(numbers)
            monomials = [(d - b, b) for d in range(rank - c + 1) for b in range(d + 1)]
            numbers |= {(mu, a, b, c): len(numbers) + i for i, (a, b) in enumerate(monomials)}
            counts[mu, c] = len(monomials)
    n_summed = len(numbers)
    derived: list[list[int]] = []
    for moment in _closed(program.basic.tolist()):
        if moment not in numbers:
            derived.append([numbers[other] for other in _sources(moment)])
            numbers[moment] = len(numbers)
    table = np.array(derived, dtype=np.int64).reshape(-1, 3)
    return numbers, SumTables(int(ranks.max()), starts, counts, table, n_summed)


def _sources(moment: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The three moments, with u_z two times less often, that give one."""
    mu, a, b, c = moment
    return [(mu, a, b, c - 2), (mu, a + 2, b, c - 2), (mu, a, b + 2, c - 2)]


def _closed(basic: Iterable[Iterable[int]]) -> list[tuple[int, ...]]:
    """Basic moments with c > 1, and all such that they follow from, by c."""
    found: set[tuple[int, ...]] = set()
    new = [tuple(row) for row in basic]
    while new:
        moment = new.pop()
        if moment[3] > 1 and moment not in found:
            found.add(moment)
            new += _sources(moment)
    return sorted(found, key=lambda moment: (moment[3], moment))


def _product_tables(
    products: Integers, first: int, n_moments: int, dtype: np.dtype[Any]
) -> ProductTables:
    return ProductTables(
        first=first,
        factors=products[:, :2].astype(np.int32),
        starts=_starts(products[:, 3] - first, n_moments - first),
        multiplicities=products[:, 2].astype(dtype),
    )


def _starts(sorted_rows: Integers, count: int) -> Integers:
    """Where the rows of each number begin, and the end."""
    return np.searchsorted(sorted_rows, np.arange(count + 1)).astype(np.int64)
