"""Ghost atoms in the loops of inference: features out to them, gradients back to their owners."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ladera.arrays import Integers, Reals
from ladera.halo import Halo


@dataclass(frozen=True, eq=False)
class Ghosts:
    """The halo of a structure whose atoms the loops have in an order of their own.

    Blocks are parts of the features of all atoms, (n_atoms, ...) each: first owned atoms, of which
    the k-th is number ``order[k]`` of the graph, then ghosts as the graph has them.
    """

    halo: Halo
    order: Integers  # (n_owned,)

    def send(self, blocks: Sequence[Reals]) -> None:
        """Give ghosts what their owners have."""
        rows, n = _rows(blocks), len(self.order)
        for columns, block in _columns(rows, blocks):
            columns[self.order] = block[:n]
        self.halo.forward(rows)
        for columns, block in _columns(rows, blocks):
            block[n:] = columns[n:]

    def collect(self, blocks: Sequence[Reals]) -> None:
        """Add what ghosts have to their owners'."""
        rows, n = _rows(blocks), len(self.order)
        for columns, block in _columns(rows, blocks):
            columns[:n] = 0
            columns[n:] = block[n:]
        self.halo.reverse(rows)
        for columns, block in _columns(rows, blocks):
            block[:n] += columns[self.order]


def _rows(blocks: Sequence[Reals]) -> Reals:
    width = sum(int(np.prod(block.shape[1:])) for block in blocks)
    return np.empty((len(blocks[0]), width), blocks[0].dtype)


def _columns(rows: Reals, blocks: Sequence[Reals]) -> Iterator[tuple[Reals, Reals]]:
    """The columns of each block, in its shape, and the block."""
    start = 0
    for block in blocks:
        stop = start + int(np.prod(block.shape[1:]))
        yield rows[:, start:stop].reshape(block.shape), block
        start = stop
