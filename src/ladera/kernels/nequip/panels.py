"""Where the numbers of an atom lie: in panels, tables whose rows are vectors.

A panel has as many channels of an irrep as a vector has lanes (:mod:`ladera.kernels.lanes`); its
rows are those of atom after atom, 2 l + 1 of each. What the loops over edges read of one panel lies
together. Channels that are left over in the last panel of an irrep are zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ladera.arrays import Integers, Reals
from ladera.kernels.compilation import simd
from ladera.kernels.lanes import (
    lanes_of,
    load,
    load_rows,
    plus_outer,
    rows_of_lanes,
    store,
    store_rows,
    zero,
    zeros,
)

_EIGHT = (0,) * 8


@dataclass(frozen=True, eq=False)
class Layout:
    """The panels of some irreps, given as (l, channels), of every atom.

    Row m of an atom in a panel is n_atoms * before + atom * width + m of the table.
    """

    sizes: tuple[tuple[int, int], ...]
    lanes: int

    @cached_property
    def counts(self) -> list[int]:
        """Panels of each irrep."""
        return [-(-channels // self.lanes) for _, channels in self.sizes]

    @cached_property
    def first(self) -> list[int]:
        """First panel of each irrep; one more at the end."""
        return [0, *np.cumsum(self.counts).tolist()]

    @cached_property
    def width(self) -> Integers:
        """Rows of an atom in each panel."""
        return np.repeat([2 * l + 1 for l, _ in self.sizes], self.counts).astype(np.int64)

    @cached_property
    def before(self) -> Integers:
        """Rows of an atom in the panels before."""
        return np.cumsum(self.width) - self.width

    @cached_property
    def places(self) -> Integers:
        """Rows before and rows of an atom, (n_panels, 2)."""
        return np.stack([self.before, self.width], axis=1)

    @cached_property
    def rows(self) -> int:
        """Of an atom, in all panels."""
        return int(self.width.sum())

    def of(self, irrep: int) -> slice:
        """The panels of an irrep."""
        return slice(self.first[irrep], self.first[irrep + 1])


class Linear(NamedTuple):
    """Matrices that take panels to panels. Places of panels are rows before, and rows of an atom.

    To a target panel t go the source panels ``start[t]`` to ``start[t + 1]``, each by a tile.
    """

    target: Integers  # (n_targets, 2) places
    start: Integers  # (n_targets + 1,)
    source: Integers  # (n_tiles, 2) places
    tiles: Reals  # (n_tiles * lanes, lanes)


class Part(NamedTuple):
    """A range of atoms of a table that has panels of ``n_atoms``."""

    table: Reals
    n_atoms: int
    first: int


@dataclass(frozen=True, eq=False)
class Features:
    """Features of some atoms, or gradients in them."""

    layout: Layout
    n_atoms: int
    table: Reals  # (n_atoms * layout.rows, lanes)

    def part(self, atom: int) -> Part:
        """From an atom on."""
        return Part(self.table, self.n_atoms, atom)

    def block(self, irrep: int) -> Reals:
        """All numbers of an irrep, (panels, n_atoms, 2 l + 1, lanes), as a view."""
        panels, layout = self.layout.of(irrep), self.layout
        count, width = panels.stop - panels.start, 2 * layout.sizes[irrep][0] + 1
        first = self.n_atoms * int(layout.before[panels.start]) if count else 0
        rows = self.table[first : first + count * self.n_atoms * width]
        return rows.reshape(count, self.n_atoms, width, self.table.shape[1])

    def of_atoms(self) -> list[Reals]:
        """The numbers of each panel, (n_atoms, 2 l + 1, channels), as views without padding."""
        lanes = self.table.shape[1]
        return [
            panel[:, :, : channels - lanes * k]
            for irrep, (_, channels) in enumerate(self.layout.sizes)
            for k, panel in enumerate(self.block(irrep))
        ]

    def scalars(self, irrep: int) -> Reals:
        """Scalars of all atoms, (n_atoms, channels)."""
        block = self.block(irrep)[:, :, 0]
        flat = block.transpose(1, 0, 2).reshape(self.n_atoms, len(block) * block.shape[2])
        return flat[:, : self.layout.sizes[irrep][1]]

    def set_scalars(self, irrep: int, values: Reals) -> None:
        """Write what :meth:`scalars` reads."""
        block = self.block(irrep)
        missing = block.shape[0] * block.shape[3] - values.shape[1]
        padded = np.pad(values, ((0, 0), (0, missing)))
        shape = self.n_atoms, len(block), block.shape[3]
        block[:, :, 0] = padded.reshape(shape).transpose(1, 0, 2)

    def add(self, irrep: int, rows: Reals, atoms: slice) -> None:
        """Add numbers (1 or atoms, channels) to the scalars of a range of atoms."""
        block = self.block(irrep)[:, atoms, 0]
        lanes = block.shape[2]
        padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % lanes)))
        block += padded.reshape(len(rows), -1, lanes).transpose(1, 0, 2)


class Matrix(NamedTuple):
    """A matrix from an irrep of one layout to one of another, in parts below each other.

    Each part (channels in, columns) begins a panel of the source.
    """

    source: int
    target: int
    parts: Sequence[Reals]


def pack(
    matrices: Sequence[Matrix],
    source: Layout,
    target: Layout,
    dtype: np.dtype[Any],
    transposed: bool = False,
) -> Linear:
    """Matrices between two layouts, from ``source`` to ``target`` or, transposed, back."""
    lanes = source.lanes
    terms: dict[int, list[tuple[int, Reals]]] = {}  # of a target panel: source panels and tiles
    for matrix in matrices:
        rows = [np.pad(part, ((0, -len(part) % lanes), (0, 0))) for part in matrix.parts]
        whole = np.concatenate(rows)
        whole = np.pad(whole, ((0, 0), (0, -whole.shape[1] % lanes)))
        for p in range(source.counts[matrix.source]):
            for q in range(target.counts[matrix.target]):
                tile = whole[p * lanes : (p + 1) * lanes, q * lanes : (q + 1) * lanes]
                one, two = source.first[matrix.source] + p, target.first[matrix.target] + q
                if transposed:
                    terms.setdefault(one, []).append((two, tile.T))
                else:
                    terms.setdefault(two, []).append((one, tile))
    back, forth = (source, target) if transposed else (target, source)
    panels = sorted(terms)
    tiles = [tile for panel in panels for _, tile in terms[panel]]
    table = rows_of_lanes(len(tiles) * lanes, dtype)
    if tiles:
        np.concatenate(tiles, out=table, casting="same_kind")
    sources = [panel for target_panel in panels for panel, _ in terms[target_panel]]
    return Linear(
        target=back.places[panels],
        start=np.cumsum([0, *(len(terms[panel]) for panel in panels)]),
        source=forth.places[sources],
        tiles=table,
    )


def padded_lanes(values: Reals, dtype: np.dtype[Any]) -> Reals:
    """Numbers (n, channels) as rows of vectors (n * panels, lanes)."""
    lanes = lanes_of(dtype)
    padded = np.pad(values, ((0, 0), (0, -values.shape[1] % lanes)))
    table = rows_of_lanes(padded.size // lanes, dtype)
    table[:] = padded.reshape(-1, lanes)
    return table


@simd
def multiply(linear: Linear, source: Part, target: Part, count: int, add: bool) -> None:
    """target = source @ matrices for ``count`` atoms, or added to it."""
    lanes = target.table.shape[1]
    for t in range(linear.target.shape[0]):
        width = linear.target[t, 1]
        first = target.n_atoms * linear.target[t, 0] + target.first * width
        n, start, stop = count * width, linear.start[t], linear.start[t + 1]
        whole = n - n % 8
        for i in range(0, whole, 8):
            if add:
                total = load_rows(target.table, first + i, _EIGHT)
            else:
                total = zeros(target.table, _EIGHT)
            for q in range(start, stop):
                row = source.n_atoms * linear.source[q, 0] + source.first * width + i
                for k in range(lanes):
                    tile = load(linear.tiles, q * lanes + k)
                    total = plus_outer(total, source.table, row * lanes + k, lanes, tile)
            store_rows(target.table, first + i, total)
        for i in range(whole, n):
            one = load(target.table, first + i) if add else zero(target.table)
            for q in range(start, stop):
                row = source.n_atoms * linear.source[q, 0] + source.first * width + i
                for k in range(lanes):
                    one = one + source.table[row, k] * load(linear.tiles, q * lanes + k)
            store(target.table, first + i, one)


@simd
def clear(atoms: Integers, n_atoms: int, places: Integers, table: Reals) -> None:
    """Zeros in all rows of some atoms; ``places`` (n_panels, 2) before and width."""
    for p in range(places.shape[0]):
        for i in atoms:
            for m in range(places[p, 1]):
                store(table, n_atoms * places[p, 0] + i * places[p, 1] + m, zero(table))


@simd
def add_rows(atoms: Integers, n_atoms: int, places: Integers, table: Reals, total: Reals) -> None:
    """Add all rows of some atoms to those of ``total``."""
    for p in range(places.shape[0]):
        for i in atoms:
            for m in range(places[p, 1]):
                row = n_atoms * places[p, 0] + i * places[p, 1] + m
                store(total, row, load(total, row) + load(table, row))
