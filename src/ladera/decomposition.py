"""A structure on several processes, which here are threads of one.

It stands for an engine with domain decomposition: every part has its own atoms and ghosts, and
talks to the others through a :class:`ladera.halo.Halo`. Tests of models and engines use it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier, BrokenBarrierError
from typing import TypeVar

import numpy as np
import torch

from ladera.arrays import Floats, Integers, Reals
from ladera.graph import Graph
from ladera.halo import Halo

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class Part:
    """What one process has of a structure."""

    graph: Graph  # with a halo
    atoms: Integers  # (n_atoms,) which atom of the structure each is, or is a copy of
    halo: Threads

    @property
    def owned(self) -> Integers:
        """Which atoms of the structure it owns, (n_owned,)."""
        return self.atoms[: self.halo.n_owned]


class Threads(Halo):
    """The halo of a part whose neighbours are threads.

    ``calls`` are the exchanges so far: forward, reverse or total, and the width of the rows.
    """

    def __init__(self, rank: int, n_owned: int, ranks: Integers, rows: Integers) -> None:
        self.rank, self.n_owned = rank, n_owned
        self.ranks, self.rows = ranks, rows  # (n_ghosts,) the owner, and the row there
        self.calls: list[tuple[str, int]] = []
        self.everybody: Sequence[Threads] = (self,)
        self.barrier = Barrier(1)
        self._shown: Reals

    def forward(self, rows: Reals) -> None:
        """Copy the rows of the owners."""
        self._show("forward", rows)
        for other in self.everybody:
            ghosts = np.flatnonzero(self.ranks == other.rank)
            rows[self.n_owned + ghosts] = other._shown[self.rows[ghosts]]
        self.barrier.wait()

    def reverse(self, rows: Reals) -> None:
        """Add what others have found for their copies; nobody may look at ghosts afterwards."""
        self._show("reverse", rows)
        for other in self.everybody:
            ghosts = np.flatnonzero(other.ranks == self.rank)
            np.add.at(rows, other.rows[ghosts], other._shown[other.n_owned + ghosts])
        self.barrier.wait()
        rows[self.n_owned :] = np.nan

    def total(self, values: Floats) -> None:
        """Add everybody's."""
        self._show("total", values.copy())
        values[:] = sum(other._shown for other in self.everybody)
        self.barrier.wait()

    def _show(self, name: str, rows: Reals) -> None:
        self.calls.append((name, rows.shape[-1]))
        self._shown = rows
        self.barrier.wait()


def decompose(graph: Graph, ranks: Integers) -> list[Part]:
    """The parts of one structure; atom i goes to part ``ranks[i]``, counted from 0.

    Periodic images that are neighbours become ghosts, also those of a part's own atoms.
    """
    ranks = np.asarray(ranks)
    n_parts, rows = int(ranks.max(initial=0)) + 1, np.empty_like(ranks)
    for rank in range(n_parts):
        rows[ranks == rank] = np.arange((ranks == rank).sum())
    parts = [_part(graph, ranks, rows, rank) for rank in range(n_parts)]
    barrier, everybody = Barrier(n_parts), [part.halo for part in parts]
    for halo in everybody:
        halo.everybody, halo.barrier = everybody, barrier
    return parts


def together(parts: Sequence[Part], work: Callable[[Part], Found]) -> list[Found]:
    """What ``work`` gives for each part, all at the same time. Raises what the first one raises.

    Grad mode is a thread's own: ``work`` sets it.
    """

    def guarded(part: Part) -> Found:
        try:
            return work(part)
        except BaseException:
            part.halo.barrier.abort()  # the others would wait for ever
            raise

    with ThreadPoolExecutor(len(parts)) as pool:
        waiting = [pool.submit(guarded, part) for part in parts]
    errors = [each.exception() for each in waiting]
    first = [e for e in errors if e is not None and not isinstance(e, BrokenBarrierError)]
    if first:
        raise first[0]
    return [each.result() for each in waiting]


def _part(graph: Graph, ranks: Integers, rows: Integers, rank: int) -> Part:
    owned = np.flatnonzero(ranks == rank)
    edges = np.flatnonzero(ranks[graph.centers.numpy()] == rank)
    neighbors, shifts = graph.neighbors.numpy()[edges], graph.shifts.numpy()[edges]
    far = (ranks[neighbors] != rank) | shifts.any(axis=1)
    images, inverse = np.unique(
        np.column_stack([neighbors, shifts])[far].astype(np.int64), axis=0, return_inverse=True
    )
    places = rows[neighbors]
    places[far] = len(owned) + inverse.reshape(-1)
    atoms = np.concatenate([owned, images[:, 0]])
    positions = graph.positions[torch.from_numpy(atoms)]
    positions[len(owned) :] += torch.from_numpy(images[:, 1:]).to(graph.cell) @ graph.cell[0]
    counts = np.zeros(len(atoms), np.int64)
    counts[: len(owned)] = np.diff(graph.row_pointer.numpy())[owned]
    halo = Threads(rank, len(owned), ranks[images[:, 0]], rows[images[:, 0]])
    part = Graph(
        numbers=graph.numbers[torch.from_numpy(atoms)],
        positions=positions,
        cell=graph.cell,
        periodic=graph.periodic,
        structure_index=torch.zeros(len(atoms), dtype=torch.int64),
        centers=torch.from_numpy(rows[graph.centers.numpy()[edges]]),
        neighbors=torch.from_numpy(places),
        shifts=torch.zeros((len(edges), 3), dtype=graph.shifts.dtype),
        vectors=graph.vectors[torch.from_numpy(edges)],
        row_pointer=torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])),
        total_charge=graph.total_charge,
        heads=graph.heads,
        cutoff=graph.cutoff,
        halo=halo,
    )
    return Part(part, atoms, halo)
