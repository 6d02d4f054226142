"""Where the numbers of an atom lie: in panels, tables whose rows are vectors.

A panel has as many channels of an irrep as a vector has lanes (:mod:`ladera.kernels.lanes`); its
rows are those of atom after atom, 2 l + 1 of each. What the loops over edges read of one panel lies
together. Channels that are left over in the last panel of an irrep are zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

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

    @property
    def rows(self) -> int:
        """Of an atom, in all panels."""
        return int(self.width.sum())

    def of(self, irrep: int) -> slice:
        """The panels of an irrep."""
        return slice(self.first[irrep], self.first[irrep + 1])


class Range(NamedTuple):
    """A range of atoms: where it begins in one table and in another, and how many there are."""

    source: int
    target: int
    count: int


@dataclass(frozen=True, eq=False)
class Features:
    """Features of some atoms, or gradients in them."""

    layout: Layout
    n_atoms: int
    table: Reals  # (n_atoms * layout.rows, lanes)

    def starts(self, irrep: int, atom: int) -> Integers:
        """The row at which an atom begins, in each panel of an irrep."""
        panels, layout = self.layout.of(irrep), self.layout
        rows: Integers = self.n_atoms * layout.before[panels] + atom * layout.width[panels]
        return rows

    def block(self, irrep: int) -> Reals:
        """All numbers of an irrep, (panels, n_atoms, 2 l + 1, lanes), as a view."""
        panels, layout = self.layout.of(irrep), self.layout
        count, width = panels.stop - panels.start, 2 * layout.sizes[irrep][0] + 1
        first = self.n_atoms * int(layout.before[panels.start]) if count else 0
        rows = self.table[first : first + count * self.n_atoms * width]
        return rows.reshape(count, self.n_atoms, width, -1)

    def scalars(self, irrep: int) -> Reals:
        """Scalars of all atoms, (n_atoms, channels)."""
        flat = self.block(irrep)[:, :, 0].transpose(1, 0, 2).reshape(self.n_atoms, -1)
        return flat[:, : self.layout.sizes[irrep][1]]

    def set_scalars(self, irrep: int, values: Reals) -> None:
        """Write what :meth:`scalars` reads."""
        block = self.block(irrep)
        missing = block.shape[0] * block.shape[3] - values.shape[1]
        padded = np.pad(values, ((0, 0), (0, missing)))
        block[:, :, 0] = padded.reshape(self.n_atoms, len(block), -1).transpose(1, 0, 2)

    def times(
        self,
        irrep: int,
        tiles: Reals,
        target: Features,
        to: int,
        atoms: Range,
        add: bool = False,
    ) -> None:
        """target[to] (+)= self[irrep] @ matrix for a range of atoms, which ``pack`` has packed."""
        count = atoms.count * (2 * self.layout.sizes[irrep][0] + 1)
        if count > 0:
            rows = self.starts(irrep, atoms.source), target.starts(to, atoms.target)
            multiply(self.table, rows[0], tiles, target.table, rows[1], count, add)

    def add(self, irrep: int, rows: Reals, atoms: slice) -> None:
        """Add numbers (1 or atoms, channels) to the scalars of a range of atoms."""
        block = self.block(irrep)[:, atoms, 0]
        lanes = block.shape[2]
        padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % lanes)))
        block += padded.reshape(len(rows), -1, lanes).transpose(1, 0, 2)


def pack(blocks: Sequence[Reals], lanes: int, dtype: np.dtype) -> Reals:
    """A matrix for :func:`multiply`, of parts (channels in, channels out) below each other.

    A tile (lanes, lanes) of a table for each panel of the result and, within, each of the source;
    each part begins a panel of its own.
    """
    padded = [np.pad(block, ((0, -len(block) % lanes), (0, 0))) for block in blocks]
    matrix = np.concatenate(padded)
    matrix = np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % lanes)))
    n_source, n_target = (size // lanes for size in matrix.shape)
    tiles = rows_of_lanes(matrix.size // lanes, dtype)
    cut = matrix.reshape(n_source, lanes, n_target, lanes).transpose(2, 0, 1, 3)
    tiles[:] = cut.reshape(-1, lanes)
    return tiles


def pack_transposed(blocks: Sequence[Reals], lanes: int, dtype: np.dtype) -> Reals:
    """The transposed matrix of :func:`pack`, for the way back."""
    padded = [np.pad(block, ((0, -len(block) % lanes), (0, 0))) for block in blocks]
    return pack([np.concatenate(padded).T], lanes, dtype)


def padded_lanes(values: Reals, dtype: np.dtype) -> Reals:
    """Numbers (n, channels) as rows of vectors (n * panels, lanes)."""
    lanes = lanes_of(dtype)
    padded = np.pad(values, ((0, 0), (0, -values.shape[1] % lanes)))
    table = rows_of_lanes(padded.size // lanes, dtype)
    table[:] = padded.reshape(-1, lanes)
    return table


@simd
def multiply(
    source: Reals,
    source_rows: Integers,
    tiles: Reals,
    target: Reals,
    target_rows: Integers,
    n: int,
    add: bool,
) -> None:
    """n rows of each panel of the target = those of all panels of the source @ tiles, or added.

    Panels begin at ``source_rows`` and ``target_rows`` of their tables.
    """
    lanes = source.shape[1]
    for p in range(target_rows.size):
        first = p * source_rows.size * lanes
        whole = n - n % 8
        for i in range(0, whole, 8):
            row = target_rows[p] + i
            total = load_rows(target, row, _EIGHT) if add else zeros(target, _EIGHT)
            for q in range(source_rows.size):
                start = (source_rows[q] + i) * lanes
                for k in range(lanes):
                    tile = load(tiles, first + q * lanes + k)
                    total = plus_outer(total, source, start + k, lanes, tile)
            store_rows(target, row, total)
        for i in range(whole, n):
            row = target_rows[p] + i
            one = load(target, row) if add else zero(target)
            for q in range(source_rows.size):
                numbers = source[source_rows[q] + i]
                for k in range(lanes):
                    one = one + numbers[k] * load(tiles, first + q * lanes + k)
            store(target, row, one)


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
