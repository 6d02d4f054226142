"""The program of products for all functions of a level, with few products.

Every contraction is made of two parts, whose shared indices are summed over in one step; the parts
of all functions are shared, and of the ways to cut a graph in two the one is taken that needs the
fewest products more.
"""

from __future__ import annotations

from collections import Counter
from functools import cache, lru_cache
from itertools import combinations, product
from math import factorial

import numpy as np

from ladera.kernels.moment_tensors.program import MomentProgram
from ladera.models.mtp.graphs import Graph, canonical_orders, components, scalars

Component = tuple[int, int, int]  # how many indices are x, y and z
Key = tuple[Graph, tuple[Component, ...]]  # a moment: a graph, and components for its legs
Split = tuple[tuple[int, ...], tuple[int, ...]]  # tensors of two parts of a graph


@lru_cache(maxsize=4)
def program_of_level(level: int) -> MomentProgram:
    """All functions up to a level, in the order of :func:`~ladera.models.mtp.graphs.scalars`."""
    builder = _Builder()
    functions = [builder.product_of(graphs) for graphs in scalars(level)]
    return builder.program(functions)


@cache
def _canonical(graph: Graph) -> tuple[Graph, list[tuple[int, ...]]]:
    return canonical_orders(graph)


class _Builder:
    """Moments that have a number already, and the products that make them."""

    def __init__(self) -> None:
        self.numbers: dict[Key, int] = {}  # of all moments, in the order in which they are made
        self.rows: list[tuple[int, int, int, int]] = []
        self.products: dict[tuple[Graph, ...], int] = {}
        self.splits: dict[Graph, Split] = {}  # the way in which each graph is made
        self.count = 0

    def product_of(self, graphs: tuple[Graph, ...]) -> int:
        """Number of the moment that is the product of connected graphs without legs."""
        if len(graphs) == 1:
            return self.moment(graphs[0], ((0, 0, 0),) * len(graphs[0].radial))
        if graphs not in self.products:
            first, last = self.product_of(graphs[:-1]), self.product_of(graphs[-1:])
            self.rows.append((first, last, 1, self._next()))
            self.products[graphs] = self.count - 1
        return self.products[graphs]

    def moment(self, graph: Graph, legs: tuple[Component, ...]) -> int:
        """Number of the moment of a connected graph with these components."""
        key = _key(graph, legs)
        if key not in self.numbers:
            self._make(key)
        return self.numbers[key]

    def _make(self, key: Key) -> None:
        graph, _ = key
        if len(graph.radial) == 1:
            self.numbers[key] = self._next()
            return
        if graph not in self.splits:
            self.splits[graph] = min(_splits(graph), key=lambda split: self._cost(key, split))
        factors = self._factors(key, *self.splits[graph])
        number = self._next()
        self.rows += [(p, q, m, number) for (p, q), m in factors.items()]
        self.numbers[key] = number

    def _cost(self, key: Key, split: Split) -> int:
        """How many products a way to make a moment would need; leaves no trace."""
        n_rows, n_numbers, count = len(self.rows), len(self.numbers), self.count
        cost = len(self._factors(key, *split)) + len(self.rows) - n_rows
        del self.rows[n_rows:]
        for _ in range(len(self.numbers) - n_numbers):
            self.numbers.popitem()
        self.count = count
        return cost

    def _factors(
        self, key: Key, one: tuple[int, ...], other: tuple[int, ...]
    ) -> Counter[tuple[int, int]]:
        """Pairs of moments of the two parts, with how often each product counts."""
        graph, legs = key
        parts = graph.part(one), graph.part(other)
        shared = [(v, w, graph.edges[v][w]) for v in one for w in other if graph.edges[v][w]]
        factors: Counter[tuple[int, int]] = Counter()
        for choice in product(*(components(count) for _, _, count in shared)):
            open_legs = list(legs)
            multiplicity = 1
            for (v, w, count), (a, b, c) in zip(shared, choice, strict=True):
                multiplicity *= factorial(count) // (factorial(a) * factorial(b) * factorial(c))
                for vertex in (v, w):
                    x, y, z = open_legs[vertex]
                    open_legs[vertex] = (x + a, y + b, z + c)
            p = self.moment(parts[0], tuple(open_legs[v] for v in one))
            q = self.moment(parts[1], tuple(open_legs[w] for w in other))
            factors[min(p, q), max(p, q)] += multiplicity
        return factors

    def _next(self) -> int:
        self.count += 1
        return self.count - 1

    def program(self, functions: list[int]) -> MomentProgram:
        """The program, with its basic moments in front."""
        basic = [
            (number, (graph.radial[0], *legs[0]))
            for (graph, legs), number in self.numbers.items()
            if len(graph.radial) == 1
        ]
        basic.sort(key=lambda entry: (entry[1][0], sum(entry[1][1:]), [-n for n in entry[1][1:]]))
        order = np.full(self.count, -1)
        order[[number for number, _ in basic]] = np.arange(len(basic))
        order[order < 0] = np.arange(len(basic), self.count)
        rows = np.array(self.rows, dtype=np.int64).reshape(-1, 4)
        rows[:, [0, 1, 3]] = order[rows[:, [0, 1, 3]]]
        return MomentProgram(
            np.array([entry for _, entry in basic], dtype=np.int64), rows, order[functions]
        )


def _key(graph: Graph, legs: tuple[Component, ...]) -> Key:
    """The same for all moments that are equal by symmetry."""
    form, orders = _canonical(graph)
    return form, min(tuple(legs[v] for v in order) for order in orders)


@cache
def _splits(graph: Graph) -> list[Split]:
    """The ways to cut a connected graph into two connected parts."""
    vertices = range(len(graph.radial))
    found = []
    for size in range(1, len(vertices)):
        for rest in combinations(vertices[1:], size - 1):
            one = (0, *rest)
            other = tuple(v for v in vertices if v not in one)
            if graph.part(one).connected and graph.part(other).connected:
                found.append((one, other))
    return found
