"""Loops over the monomials of the product basis, channels innermost."""

from __future__ import annotations

from ladera.arrays import Integers, Reals
from ladera.kernels.compilation import simd
from ladera.kernels.mace.layout import Atoms, span
from ladera.kernels.mace.monomials import Nodes


@simd
def forward(
    begin: int,
    end: int,
    atoms: Atoms,
    nodes: Nodes,
    coefficients: Reals,
    A_places: Integers,
    A: Reals,
    B_places: Integers,
    B: Reals,
    values: Reals,
) -> None:
    """B of the atoms ``begin`` to ``end``; ``values`` (largest order + 1, channels) is scratch."""
    C, n_atoms = values.shape[1], atoms.elements.size
    values[0, :] = 1
    for i in range(begin, end):
        c = coefficients[atoms.elements[i]]
        for o in range(B_places.shape[0]):
            B[span(B_places[o], n_atoms, i, C)][:] = 0
        for k in range(nodes.order.size):
            a = A[span(A_places[nodes.factor[k]], n_atoms, i, C)]
            parent = values[nodes.order[k] - 1]
            first, last = nodes.term[k], nodes.term[k + 1]
            if nodes.leaf[k] and last - first == 1:
                b, weight = B[span(B_places[nodes.output[first]], n_atoms, i, C)], c[first]
                for q in range(C):
                    b[q] += weight[q] * parent[q] * a[q]
                continue
            value = values[nodes.order[k]]
            for q in range(C):
                value[q] = parent[q] * a[q]
            for t in range(first, last):
                b, weight = B[span(B_places[nodes.output[t]], n_atoms, i, C)], c[t]
                for q in range(C):
                    b[q] += weight[q] * value[q]


@simd
def reverse(
    begin: int,
    end: int,
    atoms: Atoms,
    nodes: Nodes,
    coefficients: Reals,
    A_places: Integers,
    A: Reals,
    A_bar: Reals,
    B_places: Integers,
    B_bar: Reals,
    values: Reals,
    bars: Reals,
    path: Integers,
) -> None:
    """dE/dA from dE/dB; ``values`` and ``bars`` as in ``forward``, ``path`` (largest order + 1,).

    Walks the prefixes down and, when one is left, passes on what its extensions gave it.
    """
    C, n_atoms = values.shape[1], atoms.elements.size
    values[0, :] = 1
    for i in range(begin, end):
        c = coefficients[atoms.elements[i]]
        for o in range(A_places.shape[0]):
            A_bar[span(A_places[o], n_atoms, i, C)][:] = 0
        depth = 0
        bars[0, :] = 0
        for k in range(nodes.order.size):
            order = nodes.order[k]
            while depth >= order:
                _leave(depth, i, n_atoms, path, A_places, A, A_bar, values, bars)
                depth -= 1
            first, last = nodes.term[k], nodes.term[k + 1]
            parent, parent_bar = values[order - 1], bars[order - 1]
            a = A[span(A_places[nodes.factor[k]], n_atoms, i, C)]
            if nodes.leaf[k] and last - first == 1:
                a_bar = A_bar[span(A_places[nodes.factor[k]], n_atoms, i, C)]
                b_bar, weight = B_bar[span(B_places[nodes.output[first]], n_atoms, i, C)], c[first]
                for q in range(C):
                    bar = weight[q] * b_bar[q]
                    parent_bar[q] += bar * a[q]
                    a_bar[q] += bar * parent[q]
                continue
            depth = order
            path[depth] = nodes.factor[k]
            value, bar_row = values[order], bars[order]
            for q in range(C):
                value[q] = parent[q] * a[q]
                bar_row[q] = 0
            for t in range(first, last):
                b_bar, weight = B_bar[span(B_places[nodes.output[t]], n_atoms, i, C)], c[t]
                for q in range(C):
                    bar_row[q] += weight[q] * b_bar[q]
        while depth >= 1:
            _leave(depth, i, n_atoms, path, A_places, A, A_bar, values, bars)
            depth -= 1


@simd
def _leave(
    depth: int,
    i: int,
    n_atoms: int,
    path: Integers,
    A_places: Integers,
    A: Reals,
    A_bar: Reals,
    values: Reals,
    bars: Reals,
) -> None:
    """Give the gradient of a monomial to its prefix and to its last factor."""
    C = values.shape[1]
    place = A_places[path[depth]]
    a, a_bar = A[span(place, n_atoms, i, C)], A_bar[span(place, n_atoms, i, C)]
    bar, parent, parent_bar = bars[depth], values[depth - 1], bars[depth - 1]
    for q in range(C):
        parent_bar[q] += bar[q] * a[q]
        a_bar[q] += bar[q] * parent[q]
