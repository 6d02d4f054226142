"""The first layer: features of senders are the same for all atoms of an element.

Embedding, linear layers and the radial functions of all paths to an irrep are functions R of the
distance for each element z of the sender and each column of the layer's output,

    y_lm = sum_j R_l(r_ij; z_j) Y_lm(r_ij)
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ladera.arrays import Integers, Reals
from ladera.kernels.compilation import inlined, simd
from ladera.kernels.lanes import (
    combined,
    load,
    load_rows,
    plus_outer,
    plus_times,
    store,
    store_rows,
    zero,
    zeros,
)
from ladera.kernels.nequip.messages import (
    FIVE,
    NINE,
    ONE,
    SEVEN,
    THREE,
    Scratch,
    Surroundings,
    add_edges,
    spline,
    spline_and_slope,
)


class Panel(NamedTuple):
    """Panels of the layer's output before the gates."""

    table: Reals  # (rows, lanes) splines, see ``prepared``
    first: Integers  # (n_panels,) where those of a panel begin
    output: Integers  # (n_panels, 2) where rows are in the output: before, width


@simd
def forward(
    start: int, stop: int, around: Surroundings, panels: Panel, y: Reals, n_atoms: int
) -> None:
    """y of the atoms ``start`` to ``stop``."""
    for q in range(panels.first.size):
        width = panels.output[q, 1]
        for i in range(start, stop):
            e0, e1 = around.edges[i, 0], around.edges[i, 1]
            row = n_atoms * panels.output[q, 0] + i * width
            if width == 1:
                _sum(ONE, q, e0, e1, around, panels, y, row)
            elif width == 3:
                _sum(THREE, q, e0, e1, around, panels, y, row)
            elif width == 5:
                _sum(FIVE, q, e0, e1, around, panels, y, row)
            elif width == 7:
                _sum(SEVEN, q, e0, e1, around, panels, y, row)
            else:
                _sum(NINE, q, e0, e1, around, panels, y, row)


@inlined
def _sum(
    n: Any, q: int, e0: int, e1: int, around: Surroundings, panels: Panel, y: Reals, row: int
) -> None:
    l, n_lm = (len(n) - 1) // 2, around.harmonics.shape[1]
    total = zeros(y, n)
    for e in range(e0, e1):
        w = spline(panels.table, panels.first[q] + around.element_rows[e], around.splines, e)
        total = plus_outer(total, around.harmonics, e * n_lm + l * l, 1, w)
    store_rows(y, row, total)


@simd
def reverse(
    start: int,
    stop: int,
    around: Surroundings,
    panels: Panel,
    y_bar: Reals,
    n_atoms: int,
    scratch: Scratch,
    bars: Reals,
) -> None:
    """Add to gradients ``bars`` (n_edges, n_lm + 1) in harmonics and distance, from dE/dy."""
    n_lm = around.harmonics.shape[1]
    for i in range(start, stop):
        e0, e1 = around.edges[i, 0], around.edges[i, 1]
        for row in range((n_lm + 1) * (e1 - e0)):
            store(scratch.edge, row, zero(y_bar))
        for q in range(panels.first.size):
            width = panels.output[q, 1]
            row = n_atoms * panels.output[q, 0] + i * width
            if width == 1:
                _sum_reverse(ONE, q, e0, e1, around, panels, y_bar, row, scratch.edge)
            elif width == 3:
                _sum_reverse(THREE, q, e0, e1, around, panels, y_bar, row, scratch.edge)
            elif width == 5:
                _sum_reverse(FIVE, q, e0, e1, around, panels, y_bar, row, scratch.edge)
            elif width == 7:
                _sum_reverse(SEVEN, q, e0, e1, around, panels, y_bar, row, scratch.edge)
            else:
                _sum_reverse(NINE, q, e0, e1, around, panels, y_bar, row, scratch.edge)
        add_edges(e0, e1, scratch.edge, bars)


@inlined
def _sum_reverse(
    n: Any,
    q: int,
    e0: int,
    e1: int,
    around: Surroundings,
    panels: Panel,
    y_bar: Reals,
    row: int,
    edge: Reals,
) -> None:
    l, n_lm = (len(n) - 1) // 2, around.harmonics.shape[1]
    bar = load_rows(y_bar, row, n)
    for e in range(e0, e1):
        first = panels.first[q] + around.element_rows[e]
        w, slope = spline_and_slope(panels.table, first, around.splines, e)
        local = (e - e0) * (n_lm + 1)
        along = slope * combined(bar, around.harmonics, e * n_lm + l * l)
        store(edge, local + n_lm, load(edge, local + n_lm) + along)
        if l > 0:
            rows = load_rows(edge, local + l * l, n)
            store_rows(edge, local + l * l, plus_times(rows, bar, w))
