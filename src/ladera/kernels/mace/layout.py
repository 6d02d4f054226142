"""Where the numbers of an atom lie in a flat buffer.

Features of degree l are one matrix (atoms, rows of an atom, channels), so that a linear map of all
atoms is one product of matrices; the matrices of all degrees follow each other. Row (l, m) of an
atom begins at channels * (n_atoms * before + atom * width + inner).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from ladera.arrays import Integers, Reals
from ladera.kernels.compilation import inlined


class Atoms(NamedTuple):
    """Atoms in the order of the loops, sorted by element; their edges in the order of the graph."""

    elements: Integers  # (n_atoms,) among the elements present; of ghosts behind all others
    rows: Integers  # (n_owned, 2) where the edges of an atom start and stop; ghosts have none
    senders: Integers  # (n_edges,) the neighbour
    pairs: Integers  # (n_edges,) first coefficient of the splines of its elements


class Rows(NamedTuple):
    """Features of all atoms, or gradients in them, and where their rows (l, m, column) are."""

    flat: Reals
    places: Integers  # (n_rows, 3), see :func:`layout`


@cache
def layout(columns: tuple[int, ...]) -> Integers:
    """(before, width, inner) of every row (l, m, column), where degree l has ``columns[l]``."""
    places, before = [], 0
    for l, count in enumerate(columns):
        width = (2 * l + 1) * count
        places += [(before, width, inner) for inner in range(width)]
        before += width
    return np.array(places, dtype=np.int64).reshape(-1, 3)


def blocks(buffer: Reals, columns: Sequence[int], n_atoms: int, channels: int) -> list[Reals]:
    """The matrices of all degrees, (n_atoms * (2 l + 1), columns[l] * channels) each, as views."""
    matrices, start = [], 0
    for l, count in enumerate(columns):
        size = n_atoms * (2 * l + 1) * count * channels
        matrices.append(buffer[start : start + size].reshape(-1, count * channels))
        start += size
    return matrices


@inlined
def span(rows: Rows, k: int, n_atoms: int, atom: int, channels: int) -> slice:
    """Where row k of an atom is in the flat buffer. (Numba returns slices, but no new arrays.)"""
    place = rows.places[k]
    start = channels * (n_atoms * place[0] + atom * place[1] + place[2])
    return slice(start, start + channels)


@inlined
def clear(rows: Rows, n_atoms: int, atom: int, channels: int) -> None:
    """Set all rows of an atom to zero."""
    for k in range(rows.places.shape[0]):
        rows.flat[span(rows, k, n_atoms, atom, channels)][:] = 0
