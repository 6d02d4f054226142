"""Which distances between atoms a model has met in its training, pair of elements by pair.

Frames near one minimum leave gaps: bonds of 0.9 to 1.2 Angstrom, neighbours from 1.8 on, and
nothing between. What a model says of a gap is made up, and so is how high its two sides lie above
each other: nothing that it has seen leads from one to the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import Tensor

from ladera.arrays import Booleans, Floats, Integers
from ladera.graph import Graph

WIDTH: Final = 0.05  # Angstrom, of a bin
TOLERANCE: Final = 0.1  # Angstrom from a distance that was met, which count as met
STORED: Final = ("kinds", "met")  # names of tensors in model files
_KIND: Final = len(chemical_symbols)  # a kind of pair is _KIND Z_1 + Z_2 with Z_1 <= Z_2


class Passage(NamedTuple):
    """Two atoms that came through, or into, a gap of the training data; Angstrom."""

    i: int
    j: int
    before: float
    after: float
    lower: float  # edges of the gap; -inf where no pair is nearer
    upper: float  # the cutoff where none is farther
    depth: float  # how far the worst of the distances is from those that were met

    def in_words(self, symbols: Sequence[str], cutoff: float) -> str:
        """Which atoms, where from and where to, and where there are no data."""
        nothing_nearer, nothing_farther = np.isinf(self.lower), self.upper >= cutoff
        gap = f"between {self.lower:.2f} and {self.upper:.2f} apart"
        if nothing_farther:
            gap = f"farther apart than {self.lower:.2f}"
        if nothing_nearer:
            gap = "near" if nothing_farther else f"nearer than {self.upper:.2f}"
        one, two = symbols[self.i], symbols[self.j]
        return (
            f"atoms {self.i} ({one}) and {self.j} ({two}) went from {self.before:.2f} to "
            f"{self.after:.2f} Angstrom, and no {one} and {two} of the training frames are {gap}"
        )


@dataclass(frozen=True, eq=False)
class Reach:
    """The bins of WIDTH from 0 to the cutoff in which each kind of pair was met, (n_bins,)."""

    met: Mapping[int, Booleans]
    n_bins: int

    @classmethod
    def of(cls, graphs: Iterable[Graph], cutoff: float) -> Self:
        """Of all pairs of some structures that are closer than ``cutoff`` (Angstrom)."""
        n_bins = int(np.ceil(cutoff / WIDTH))
        met = np.zeros((_KIND * _KIND, n_bins), dtype=bool)
        for graph in graphs:
            lengths: Floats = np.linalg.norm(graph.vectors.numpy(), axis=1)
            near = lengths < cutoff
            i, j = graph.centers.numpy()[near], graph.neighbors.numpy()[near]
            bins = np.minimum((lengths[near] / WIDTH).astype(int), n_bins - 1)
            met[_kinds(graph.numbers.numpy(), i, j), bins] = True
        return cls({int(kind): met[kind] for kind in np.flatnonzero(met.any(axis=1))}, n_bins)

    def passages(self, before: Graph, after: Graph) -> list[Passage]:
        """The pairs of atoms that came through a gap, or ended in one, the deepest first.

        Of two graphs, up to the cutoff, of the same atoms, which nobody has put back into their
        cell between them. Pairs beyond the cutoff are in no gap.
        """
        i, j, shifts = _pairs_of_either(before, after)
        start, end = (_lengths(graph, i, j, shifts) for graph in (before, after))
        kinds, found = _kinds(after.numbers.numpy(), i, j), list[Passage]()
        for kind in np.unique(kinds).tolist():
            own = np.nonzero(kinds == kind)[0]
            for gap in self._gaps(kind):
                depths = _depths(start[own], end[own], *gap)
                for k, depth in zip(own, depths, strict=True):
                    if depth > TOLERANCE:
                        ends = float(start[k]), float(end[k])
                        found.append(Passage(int(i[k]), int(j[k]), *ends, *gap, float(depth)))
        return sorted(found, key=lambda each: -each.depth)

    def _gaps(self, kind: int) -> Iterator[tuple[float, float]]:
        """Edges of the stretches without a pair of a kind, from -inf to the cutoff."""
        met = np.nonzero(self.met.get(kind, np.zeros(self.n_bins, dtype=bool)))[0].tolist()
        for last, first in zip([-1, *met], [*met, self.n_bins], strict=True):
            if first > last + 1:
                yield WIDTH * (last + 1) if last >= 0 else -np.inf, WIDTH * first

    def stored(self) -> dict[str, Tensor]:
        """What a model file holds of it, by name."""
        met = np.array([*self.met.values()], dtype=bool).reshape(len(self.met), self.n_bins)
        return {
            STORED[0]: torch.tensor([divmod(kind, _KIND) for kind in self.met], dtype=torch.int64),
            STORED[1]: torch.from_numpy(met),
        }

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> Self | None:
        """From what :meth:`stored` gave, None of an older file; RuntimeError for what is none."""
        kinds, met = tensors.get(STORED[0]), tensors.get(STORED[1])
        if kinds is None or met is None:
            return None
        fits = met.ndim == 2 and met.dtype == torch.bool and kinds.shape == (len(met), 2)
        if not fits or kinds.dtype != torch.int64:
            raise RuntimeError(f"{' and '.join(STORED)} are no distances of pairs")
        names = (_KIND * kinds[:, 0] + kinds[:, 1]).tolist()
        return cls(dict(zip(names, met.numpy(), strict=True)), met.shape[1])


def _depths(start: Floats, end: Floats, lower: float, upper: float) -> Floats:
    """How far pairs were from both edges of a gap: where they ended, or in its middle; or 0."""
    within = (end > lower) & (end < upper)
    ended = np.where(within, np.minimum(end - lower, upper - end), 0.0)
    crossed = (np.minimum(start, end) <= lower) & (np.maximum(start, end) >= upper)
    return np.where(crossed, 0.5 * (upper - lower), ended)


def _pairs_of_either(*graphs: Graph) -> tuple[Integers, Integers, Integers]:
    """Centres and neighbours (n_pairs,) and shifts (n_pairs, 3) of the pairs in one or another."""
    each = [
        np.column_stack([graph.centers.numpy(), graph.neighbors.numpy(), graph.shifts.numpy()])
        for graph in graphs
    ]
    rows = np.concatenate(each).astype(np.int64)
    rows = np.unique(rows[rows[:, 0] <= rows[:, 1]], axis=0)
    return rows[:, 0], rows[:, 1], rows[:, 2:]


def _lengths(graph: Graph, i: Integers, j: Integers, shifts: Integers) -> Floats:
    """Distances of pairs, wherever they are in the structure of a graph, (n_pairs,)."""
    positions, cell = graph.positions.double().numpy(), graph.cell[0].double().numpy()
    lengths: Floats = np.linalg.norm(positions[j] - positions[i] + shifts @ cell, axis=1)
    return lengths


def _kinds(numbers: Integers, i: Integers, j: Integers) -> Integers:
    """The kind of each pair of atoms."""
    one, two = numbers[i], numbers[j]
    return np.asarray(_KIND * np.minimum(one, two) + np.maximum(one, two))
