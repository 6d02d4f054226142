"""The ways to contract moment tensors to a number: graphs whose vertices are the tensors.

A vertex is a moment tensor M_(mu,nu), an edge a pair of indices that are summed over, a leg an
index that stays open. A tensor of rank nu has nu edges and legs in all. An edge from a tensor to
itself would give M_(mu,nu-2) once more, for u.u = 1, so there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import combinations_with_replacement, permutations, product
from typing import Final, NamedTuple

# Products of more tensors are in no potential of a level: functions of five atoms at most.
MOST_TENSORS: Final = 4


class Graph(NamedTuple):
    """Tensors and what is contracted; equal graphs are equal functions if they are canonical."""

    radial: tuple[int, ...]  # mu of each tensor
    edges: tuple[tuple[int, ...], ...]  # symmetric: how many indices two tensors share
    legs: tuple[int, ...]  # open indices of each tensor

    @property
    def ranks(self) -> tuple[int, ...]:
        """The number of indices nu of each tensor."""
        return tuple(sum(row) + legs for row, legs in zip(self.edges, self.legs, strict=True))

    @property
    def level(self) -> int:
        """Sum of 2 + 4 mu + nu over the tensors."""
        return sum(2 + 4 * mu + nu for mu, nu in zip(self.radial, self.ranks, strict=True))

    def reordered(self, order: tuple[int, ...]) -> Graph:
        """The same with its tensors in another order."""
        return Graph(
            tuple(self.radial[v] for v in order),
            tuple(tuple(self.edges[v][w] for w in order) for v in order),
            tuple(self.legs[v] for v in order),
        )

    def part(self, vertices: tuple[int, ...]) -> Graph:
        """Some of its tensors; the indices that they shared with others are open."""
        inside = self.reordered(vertices)
        ranks = self.ranks
        legs = (ranks[v] - sum(row) for v, row in zip(vertices, inside.edges, strict=True))
        return inside._replace(legs=tuple(legs))

    @property
    def connected(self) -> bool:
        """Whether every tensor is reached from the first."""
        reached, new = {0}, [0]
        while new:
            row = self.edges[new.pop()]
            beyond = [w for w, shared in enumerate(row) if shared and w not in reached]
            reached.update(beyond)
            new += beyond
        return len(reached) == len(self.radial)


def canonical_orders(graph: Graph) -> tuple[Graph, list[tuple[int, ...]]]:
    """The form that all isomorphic graphs share, and all orders of the tensors that lead to it.

    Composed with the inverse of one of them the orders are the automorphisms.
    """
    kinds = [
        (mu, legs, nu, tuple(sorted(row, reverse=True)))
        for mu, legs, nu, row in zip(
            graph.radial, graph.legs, graph.ranks, graph.edges, strict=True
        )
    ]
    classes = [[v for v, k in enumerate(kinds) if k == kind] for kind in sorted(set(kinds))]
    best: Graph | None = None
    orders: list[tuple[int, ...]] = []
    for choice in product(*(permutations(members) for members in classes)):
        order = tuple(v for members in choice for v in members)
        candidate = graph.reordered(order)
        if best is None or candidate.edges > best.edges:
            best, orders = candidate, []
        if candidate.edges == best.edges:
            orders.append(order)
    assert best is not None  # a graph has at least one tensor
    return best, orders


def canonical(graph: Graph) -> Graph:
    """The form that all isomorphic graphs share."""
    return canonical_orders(graph)[0]


def connected_scalars(level: int) -> list[Graph]:
    """Every connected graph without legs up to a level, once; by level, then by size."""
    found: list[Graph] = []
    for size in range(1, min(level // 2, MOST_TENSORS) + 1):
        for n_edges in range(size - 1, (level - 2 * size) // 2 + 1):
            most = (level - 2 * size - 2 * n_edges) // 4  # of the sum of mu
            for shape in _shapes(size, n_edges):
                found += _coloured(shape, most)
    return sorted(found, key=lambda graph: (graph.level, len(graph.radial), graph))


@cache
def _shapes(size: int, n_edges: int) -> tuple[Graph, ...]:
    """Connected graphs of so many tensors of mu = 0 and shared indices."""
    if size == 1:
        return (Graph((0,), ((0,),), (0,)),) if n_edges == 0 else ()
    larger: set[Graph] = set()
    if n_edges >= size:  # one more index between two tensors
        for graph in _shapes(size, n_edges - 1):
            for v, w in _pairs(size):
                larger.add(canonical(_with_edge(graph, v, w)))
    else:  # a tree: one more tensor at the end of one index
        for graph in _shapes(size - 1, n_edges - 1):
            rows = (*((*row, 0) for row in graph.edges), (0,) * size)
            wider = Graph((0,) * size, rows, (0,) * size)
            for v in range(size - 1):
                larger.add(canonical(_with_edge(wider, v, size - 1)))
    return tuple(sorted(larger))


def _pairs(size: int) -> Iterator[tuple[int, int]]:
    return ((v, w) for v in range(size) for w in range(v + 1, size))


def _with_edge(graph: Graph, v: int, w: int) -> Graph:
    rows = [list(row) for row in graph.edges]
    rows[v][w] += 1
    rows[w][v] += 1
    return graph._replace(edges=tuple(map(tuple, rows)))


def _coloured(shape: Graph, most: int) -> set[Graph]:
    """A shape with all radial functions whose numbers add up to at most ``most``."""
    size = len(shape.radial)
    return {
        canonical(shape._replace(radial=radial))
        for radial in product(range(most + 1), repeat=size)
        if sum(radial) <= most
    }


def scalars(level: int) -> list[tuple[Graph, ...]]:
    """All invariant functions up to a level: products of connected graphs, by level.

    Of at most four tensors together, as in the potentials of MLIP: 2, 5, 9, 16, 29, 52, 92, 163,
    288 for levels 4 to 20, 864 for 24.
    """
    factors = connected_scalars(level)
    found: list[tuple[Graph, ...]] = []

    def extend(chosen: tuple[Graph, ...], start: int, left: int) -> None:
        for number in range(start, len(factors)):
            graph = factors[number]
            if graph.level > left:
                break  # they are in the order of their levels
            if sum(len(each.radial) for each in (*chosen, graph)) > MOST_TENSORS:
                continue
            found.append((*chosen, graph))
            extend(found[-1], number, left - graph.level)

    extend((), 0, level)
    return sorted(found, key=lambda graphs: (sum(g.level for g in graphs), len(graphs), graphs))


def components(rank: int) -> list[tuple[int, int, int]]:
    """The components (a, b, c) of a symmetric tensor: how many indices are x, y and z."""
    choices = combinations_with_replacement(range(3), rank)
    return [(c.count(0), c.count(1), c.count(2)) for c in choices]
