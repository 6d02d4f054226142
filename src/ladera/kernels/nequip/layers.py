"""The steps of a layer, forward and back, each on a range of atoms that one thread has."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ladera.arrays import Integers, Reals
from ladera.kernels.ghosts import Ghosts
from ladera.kernels.lanes import lanes_of, rows_of_lanes
from ladera.kernels.nequip import first_layer, gates, messages
from ladera.kernels.nequip.messages import GROUP, LARGEST_L, Scratch, Surroundings
from ladera.kernels.nequip.panels import Features, Layout, Linear, add_rows, clear, multiply
from ladera.kernels.nequip.prepared import PreparedLayer


class Memory:
    """Tables that are kept between evaluations, by name."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._tables: dict[str, Reals] = {}

    def features(self, name: str, layout: Layout, n_atoms: int) -> Features:
        """Room for features, with whatever is in it."""
        return Features(layout, n_atoms, self.table(name, layout.rows * n_atoms))

    def table(self, name: str, rows: int) -> Reals:
        """A table of at least so many rows."""
        held = self._tables.get(name)
        if held is None or len(held) < rows:
            held = self._tables[name] = rows_of_lanes(rows, self.dtype)
        return held


@dataclass(frozen=True, eq=False)
class Run:
    """One evaluation: the structure, its edges, and gradients that all layers add to.

    Loops go over owned atoms, which are all where there are no ghosts.
    """

    elements: Integers  # (n_atoms,) among those present; of ghosts behind all others
    ghosts: Ghosts | None
    starts: list[int]  # where each element's atoms start; one more at the stop
    around: Surroundings
    bars: Reals  # (n_edges, n_lm + 1) gradients in harmonics and distance
    memory: Memory
    _touched: dict[tuple[int, int], Integers] = field(default_factory=dict)

    @property
    def n_owned(self) -> int:
        """How many atoms the loops go over."""
        return len(self.around.edges)

    @property
    def n_atoms(self) -> int:
        """How many atoms there are with ghosts."""
        return len(self.elements)

    @cached_property
    def most_neighbors(self) -> int:
        """Of any atom."""
        edges = self.around.edges
        return int((edges[:, 1] - edges[:, 0]).max(initial=0))

    def touched(self, start: int, stop: int) -> Integers:
        """The neighbours of a range of atoms, ascending; kept until the end of the run."""
        if (start, stop) not in self._touched:
            edges, senders = self.around.edges[start:stop], self.around.senders
            found = [senders[:0], *(senders[low:high] for low, high in edges)]
            self._touched[start, stop] = np.unique(np.concatenate(found))
        return self._touched[start, stop]

    def scratch(self, thread: int, messages: Layout | None = None) -> Scratch:
        """For the loops of one thread."""
        memory, n_lm, most = self.memory, self.around.harmonics.shape[1], self.most_neighbors
        return Scratch(
            w=memory.table(f"w {thread}", most),
            A=memory.table(f"A {thread}", (2 * LARGEST_L + 1) ** 2),
            M=memory.table(f"M {thread}", 0 if messages is None else GROUP * messages.rows),
            edge=memory.table(f"edge {thread}", (n_lm + 1) * most),
        )

    def apply(
        self, matrices: list[Linear], source: Features, target: Features, atoms: slice, add: bool
    ) -> None:
        """target (+)= source @ matrix of a range of atoms; of each element, or one for all."""
        for z, matrix in enumerate(matrices):
            low, high = (atoms.start, atoms.stop) if len(matrices) == 1 else self.starts[z : z + 2]
            first, stop = max(atoms.start, low), min(atoms.stop, high)
            if first < stop:
                multiply(matrix, source.part(first), target.part(first), stop - first, add)


class Step:
    """One layer of a run: x and h to h', dE/dh' to dE/dh."""

    def __init__(self, run: Run, layer: PreparedLayer, t: int, h: Features | None) -> None:
        self.run, self.layer, self.h = run, layer, h
        memory, n = run.memory, run.n_owned
        self.y = memory.features(f"y{t}", layer.y, n)
        self.y_bar = memory.features("y_bar", layer.y, n)
        self.result = memory.features(f"h{t}", layer.h, n)
        self.kept = memory.table(f"gates{t}", 2 * layer.h.first[-1] * n)
        self.inverse = memory.table(f"inverse{t}", n // lanes_of(memory.dtype) + 1).reshape(-1)
        if layer.x is not None and h is not None:
            self.x = memory.features(f"x{t}", layer.x, run.n_atoms)
            self.x_bar = memory.features("x_bar", layer.x, run.n_atoms)
            self.h_bar = memory.features(f"h_bar{t}", h.layout, n)

    def send(self, start: int, stop: int) -> None:
        """What these atoms give to their neighbours' messages."""
        if self.h is None:
            return
        assert self.layer.up is not None
        self.run.apply(self.layer.up.forth, self.h, self.x, slice(start, stop), add=False)
        if self.layer.up_bias is not None:
            self._add(self.x, 0, self.layer.up_bias, start, stop)

    def send_to_ghosts(self) -> None:
        """Ghosts give what their owners do."""
        run = self.run
        if run.ghosts is not None:
            atoms = np.arange(run.n_owned, run.n_atoms)
            clear(atoms, run.n_atoms, self.x.layout.places, self.x.table)  # also what is padded
            run.ghosts.send(self.x.of_atoms())

    def collect_from_ghosts(self) -> None:
        """Add dE/dx of ghosts to that of their owners."""
        if self.run.ghosts is not None:
            self.run.ghosts.collect(self.x_bar.of_atoms())

    def forward(self, thread: int, start: int, stop: int) -> None:
        """h' of these atoms."""
        run, layer, y = self.run, self.layer, self.y
        if layer.first is not None:
            first_layer.forward(start, stop, run.around, layer.first, y.table, run.n_owned)
        else:
            assert layer.plan is not None
            x, scratch = self.x.part(0), run.scratch(thread, layer.message)
            messages.forward(start, stop, run.around, layer.plan, x, y.part(0), scratch)
        if self.h is not None and layer.skip is not None:
            run.apply(layer.skip.forth, self.h, y, slice(start, stop), add=True)
        for block, rows in layer.constants:
            self._add(y, block, rows, start, stop)
        tables = self.result.table, self.kept, self.inverse
        gates.forward(start, stop, layer.gates, y.part(0), *tables)

    def reverse(self, thread: int, bar: Features, start: int, stop: int) -> None:
        """Gradients of these atoms' edges, and of their neighbours' features, from dE/dh'."""
        run, layer = self.run, self.layer
        tables = self.kept, self.inverse, bar.table, self.y_bar.table
        gates.reverse(start, stop, layer.gates, self.y.part(0), *tables)
        if layer.first is not None:
            first_layer.reverse(
                start, stop, run.around, layer.first, self.y_bar.table, run.n_owned,
                run.scratch(thread), run.bars,
            )  # fmt: skip
            return
        assert layer.plan is not None
        x_bar = self._copy(thread)
        clear(run.touched(start, stop), run.n_atoms, x_bar.layout.places, x_bar.table)
        messages.reverse(
            start, stop, run.around, layer.plan, self.y_bar.part(0), self.x.part(0), x_bar.table,
            run.scratch(thread, layer.message), run.bars,
        )  # fmt: skip

    def clear(self, start: int, stop: int) -> None:
        """Set dE/dx of these atoms, with ghosts, to zero."""
        atoms = np.arange(start, stop)
        clear(atoms, self.run.n_atoms, self.x_bar.layout.places, self.x_bar.table)

    def add(self, thread: int, chunk: tuple[int, int], start: int, stop: int) -> None:
        """Add dE/dx of these atoms, with ghosts, as far as a thread found it for a chunk."""
        atoms = self.run.touched(*chunk)
        atoms = atoms[np.searchsorted(atoms, start) : np.searchsorted(atoms, stop)]
        places, copy = self.x_bar.layout.places, self._copy(thread)
        add_rows(atoms, self.run.n_atoms, places, copy.table, self.x_bar.table)

    def collect(self, start: int, stop: int) -> None:
        """dE/dh of these atoms from that in what they send and in y."""
        atoms, run, layer = slice(start, stop), self.run, self.layer
        assert layer.up is not None
        run.apply(layer.up.back, self.x_bar, self.h_bar, atoms, add=False)
        if layer.skip is not None:
            run.apply(layer.skip.back, self.y_bar, self.h_bar, atoms, add=True)

    def _copy(self, thread: int) -> Features:
        """Where a thread adds to dE/dx."""
        return self.run.memory.features(f"x_bar {thread}", self.x_bar.layout, self.run.n_atoms)

    def _add(self, features: Features, block: int, rows: Reals, start: int, stop: int) -> None:
        """Add constants (1 or elements present, channels) to scalars."""
        chosen = rows if len(rows) == 1 else rows[self.run.elements[start:stop]]
        features.add(block, chosen, slice(start, stop))
