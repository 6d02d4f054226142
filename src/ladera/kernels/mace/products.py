"""Loops over the monomials of the product basis, channels innermost."""

from __future__ import annotations

from typing import NamedTuple

from ladera.arrays import Integers, Reals
from ladera.kernels.compilation import simd
from ladera.kernels.mace.layout import Atoms, Rows, clear, span
from ladera.kernels.mace.monomials import Nodes


class Scratch(NamedTuple):
    """Of each prefix of the monomial at hand, by its number of factors from 0 to ``order``."""

    values: Reals  # (order + 1, channels)
    bars: Reals  # (order + 1, channels) dE/d(value) so far
    factors: Integers  # (order + 1,) the last factor


@simd
def forward(
    start: int,
    stop: int,
    atoms: Atoms,
    nodes: Nodes,
    coefficients: Reals,
    A: Rows,
    B: Rows,
    values: Reals,
) -> None:
    """B of the atoms ``start`` to ``stop``; ``values`` as in :class:`Scratch`."""
    C, n_atoms = values.shape[1], atoms.rows.shape[0]
    values[0, :] = 1
    for i in range(start, stop):
        weights = coefficients[atoms.elements[i]]
        clear(B, n_atoms, i, C)
        for k in range(nodes.order.size):
            a = A.flat[span(A, nodes.factor[k], n_atoms, i, C)]
            parent = values[nodes.order[k] - 1]
            term_start, term_stop = nodes.term_start[k], nodes.term_start[k + 1]
            if nodes.leaf[k] and term_stop - term_start == 1:
                b, weight = (
                    B.flat[span(B, nodes.output[term_start], n_atoms, i, C)],
                    weights[term_start],
                )
                for q in range(C):
                    b[q] += weight[q] * parent[q] * a[q]
                continue
            value = values[nodes.order[k]]
            for q in range(C):
                value[q] = parent[q] * a[q]
            for t in range(term_start, term_stop):
                b, weight = B.flat[span(B, nodes.output[t], n_atoms, i, C)], weights[t]
                for q in range(C):
                    b[q] += weight[q] * value[q]


@simd
def reverse(
    start: int,
    stop: int,
    atoms: Atoms,
    nodes: Nodes,
    coefficients: Reals,
    A: Rows,
    A_bar: Rows,
    B_bar: Rows,
    scratch: Scratch,
) -> None:
    """dE/dA from dE/dB.

    Walks the prefixes down and, when one is left, passes on what its extensions gave it.
    """
    values, bars = scratch.values, scratch.bars
    C, n_atoms = values.shape[1], atoms.rows.shape[0]
    values[0, :] = 1
    for i in range(start, stop):
        weights = coefficients[atoms.elements[i]]
        clear(A_bar, n_atoms, i, C)
        depth = 0
        bars[0, :] = 0
        for k in range(nodes.order.size):
            order = nodes.order[k]
            while depth >= order:
                _leave(depth, i, n_atoms, A, A_bar, scratch)
                depth -= 1
            term_start, term_stop = nodes.term_start[k], nodes.term_start[k + 1]
            parent, parent_bar = values[order - 1], bars[order - 1]
            a = A.flat[span(A, nodes.factor[k], n_atoms, i, C)]
            if nodes.leaf[k] and term_stop - term_start == 1:
                a_bar = A_bar.flat[span(A_bar, nodes.factor[k], n_atoms, i, C)]
                b_bar, weight = (
                    B_bar.flat[span(B_bar, nodes.output[term_start], n_atoms, i, C)],
                    weights[term_start],
                )
                for q in range(C):
                    bar = weight[q] * b_bar[q]
                    parent_bar[q] += bar * a[q]
                    a_bar[q] += bar * parent[q]
                continue
            depth = order
            scratch.factors[depth] = nodes.factor[k]
            value, bar_row = values[order], bars[order]
            for q in range(C):
                value[q] = parent[q] * a[q]
                bar_row[q] = 0
            for t in range(term_start, term_stop):
                b_bar, weight = B_bar.flat[span(B_bar, nodes.output[t], n_atoms, i, C)], weights[t]
                for q in range(C):
                    bar_row[q] += weight[q] * b_bar[q]
        while depth >= 1:
            _leave(depth, i, n_atoms, A, A_bar, scratch)
            depth -= 1


@simd
def _leave(depth: int, i: int, n_atoms: int, A: Rows, A_bar: Rows, scratch: Scratch) -> None:
    """Give the gradient of a monomial to its prefix and to its last factor."""
    C, factor = scratch.values.shape[1], scratch.factors[depth]
    a, a_bar = (
        A.flat[span(A, factor, n_atoms, i, C)],
        A_bar.flat[span(A_bar, factor, n_atoms, i, C)],
    )
    bar, parent = scratch.bars[depth], scratch.values[depth - 1]
    parent_bar = scratch.bars[depth - 1]
    for q in range(C):
        parent_bar[q] += bar[q] * a[q]
        a_bar[q] += bar[q] * parent[q]
