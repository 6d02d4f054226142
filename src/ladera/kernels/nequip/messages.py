"""Messages of a layer: spline x harmonics x features of the sender, summed over neighbours.

The sum over neighbours j of an atom is made for every product of a component of the sender and one
of the harmonics,

    A_ab = sum_j w(r_ij) x_ja Y_b(r_ij),    M_m = sum_ab C_abm A_ab,

so that coupling coefficients act once on an atom, not on every edge; to scalars couple only pairs
a = b, which are added up at once. Back, B_ab = sum_m C_abm dE/dM_m is made once, and an edge takes
sum_ab B_ab x_ja Y_b apart. Nothing is kept of an edge; the reverse pass computes it again.
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
from ladera.kernels.nequip.panels import Linear, Part, multiply

# Kinds of l2: as many rows as harmonics.
ONE, THREE, FIVE, SEVEN, NINE = ((0,) * (2 * l + 1) for l in range(5))
LARGEST_L = 4
GROUP = 16  # atoms whose messages are there at a time


class Surroundings(NamedTuple):
    """Atoms in the order of the loops, and what these read of their edges."""

    edges: Integers  # (n_owned, 2) where those of an atom start and stop; ghosts have none
    senders: Integers  # (n_edges,) the neighbour
    rows: Integers  # (n_edges,) first row of the splines, within those of a panel
    element_rows: Integers  # (n_edges,) the same in the first layer's, which know the sender
    splines: Reals  # (n_edges, 16) what multiplies rows: 1 and seven sums, then their slopes
    harmonics: Reals  # (n_edges, n_lm)


class Panel(NamedTuple):
    """Panels of the messages of a layer, path by path; sorted by l2."""

    table: Reals  # (rows, lanes) splines, see ``prepared``
    first: Integers  # (n_panels,) where those of a panel begin
    degrees: Integers  # (n_panels, 3) l1, l2, l3
    sender: Integers  # (n_panels, 2) where rows of the sender are: before, width
    message: Integers  # (n_panels,) rows of an atom in the messages before this panel
    term_start: Integers  # (n_panels, 2) start and stop among the terms of its path
    term: Integers  # (n_terms, 2) rows ab of A, m of M
    coefficient: Reals  # (n_terms,) C


class Plan(NamedTuple):
    """The sums over neighbours of a layer, and the matrices behind them."""

    panels: Panel
    down: Linear
    back: Linear  # transposed


class Scratch(NamedTuple):
    """Scratch memory of one thread; n is the largest number of neighbours."""

    w: Reals  # (n, lanes) radial functions of an atom's edges
    A: Reals  # (81, lanes)
    M: Reals  # messages of GROUP atoms, or gradients in them
    edge: Reals  # ((n_lm + 1) * n, lanes) gradients in harmonics and distance, lane by lane


@inlined
def spline(table: Reals, row: int, numbers: Reals, e: int) -> Any:
    """Radial functions of a panel at edge e."""
    value = load(table, row) + numbers[e, 1] * load(table, row + 3)
    other = numbers[e, 2] * load(table, row + 5) + numbers[e, 3] * load(table, row + 7)
    value = value + numbers[e, 4] * load(table, row + 9)
    other = other + numbers[e, 5] * load(table, row + 11)
    value = value + numbers[e, 6] * load(table, row + 13)
    other = other + numbers[e, 7] * load(table, row + 15)
    return value + other


@inlined
def spline_and_slope(table: Reals, row: int, numbers: Reals, e: int) -> tuple[Any, Any]:
    """Radial functions of a panel at edge e, and their slopes."""
    r1, r2, r3 = load(table, row + 3), load(table, row + 5), load(table, row + 7)
    r4, r5, r6 = load(table, row + 9), load(table, row + 11), load(table, row + 13)
    r7 = load(table, row + 15)
    value = load(table, row) + numbers[e, 1] * r1
    value = value + numbers[e, 2] * r2 + numbers[e, 3] * r3 + numbers[e, 4] * r4
    value = value + numbers[e, 5] * r5 + numbers[e, 6] * r6 + numbers[e, 7] * r7
    slope = numbers[e, 9] * r1 + numbers[e, 10] * r2 + numbers[e, 11] * r3
    slope = slope + numbers[e, 12] * r4 + numbers[e, 13] * r5
    return value, slope + numbers[e, 14] * r6 + numbers[e, 15] * r7


@simd
def forward(
    start: int,
    stop: int,
    around: Surroundings,
    plan: Plan,
    x: Part,
    y: Part,
    scratch: Scratch,
) -> None:
    """y of the atoms ``start`` to ``stop`` from what their neighbours send."""
    for first in range(start, stop, GROUP):
        last = min(first + GROUP, stop)
        _messages(first, last, around, plan.panels, x, scratch)
        few = Part(scratch.M, last - first, 0)
        multiply(plan.down, few, Part(y.table, y.n_atoms, first), last - first, False)


@inlined
def _messages(
    start: int, stop: int, around: Surroundings, panels: Panel, x: Part, scratch: Scratch
) -> None:
    """M of a few atoms."""
    n, w, A, M = stop - start, scratch.w, scratch.A, scratch.M
    for q in range(panels.first.size):
        l1, l2, l3 = panels.degrees[q, 0], panels.degrees[q, 1], panels.degrees[q, 2]
        sender = x.n_atoms * panels.sender[q, 0]
        first = panels.first[q]
        for i in range(start, stop):
            e0, e1 = around.edges[i, 0], around.edges[i, 1]
            row = n * panels.message[q] + (i - start) * (2 * l3 + 1)
            for e in range(e0, e1):
                store(w, e - e0, spline(panels.table, first + around.rows[e], around.splines, e))
            if l3 == 0:
                _scalar(l2, e0, e1, around, x.table, sender, w, A)
            elif l2 == 0:
                _moments(ONE, l1, l2, e0, e1, around, x.table, sender, w, A)
            elif l2 == 1:
                _moments(THREE, l1, l2, e0, e1, around, x.table, sender, w, A)
            elif l2 == 2:
                _moments(FIVE, l1, l2, e0, e1, around, x.table, sender, w, A)
            elif l2 == 3:
                _moments(SEVEN, l1, l2, e0, e1, around, x.table, sender, w, A)
            else:
                _moments(NINE, l1, l2, e0, e1, around, x.table, sender, w, A)
            for m in range(2 * l3 + 1):
                store(M, row + m, zero(M))
            for t in range(panels.term_start[q, 0], panels.term_start[q, 1]):
                m = row + panels.term[t, 1]
                store(M, m, load(M, m) + panels.coefficient[t] * load(A, panels.term[t, 0]))


@inlined
def _moments(
    n: Any,
    l1: int,
    l2: int,
    e0: int,
    e1: int,
    around: Surroundings,
    x: Reals,
    sender: int,
    w: Reals,
    A: Reals,
) -> None:
    """A_ab = sum over edges of w x_a Y_b."""
    width, n_lm = 2 * l1 + 1, around.harmonics.shape[1]
    for a in range(width):
        total = zeros(A, n)
        for e in range(e0, e1):
            f = load(w, e - e0) * load(x, sender + around.senders[e] * width + a)
            total = plus_outer(total, around.harmonics, e * n_lm + l2 * l2, 1, f)
        store_rows(A, a * len(n), total)


@inlined
def _scalar(
    l2: int, e0: int, e1: int, around: Surroundings, x: Reals, sender: int, w: Reals, A: Reals
) -> None:
    """A_0 = sum over edges of w sum_a x_a Y_a."""
    width = 2 * l2 + 1
    total = zero(A)
    for e in range(e0, e1):
        row = sender + around.senders[e] * width
        Y = around.harmonics[e]
        f = Y[l2 * l2] * load(x, row)
        for a in range(1, width):
            f = f + Y[l2 * l2 + a] * load(x, row + a)
        total = total + load(w, e - e0) * f
    store(A, 0, total)


@simd
def reverse(
    start: int,
    stop: int,
    around: Surroundings,
    plan: Plan,
    y_bar: Part,
    x: Part,
    x_bar: Reals,
    scratch: Scratch,
    bars: Reals,
) -> None:
    """From dE/dy of the atoms ``start`` to ``stop`` to their edges and neighbours.

    Adds to gradients in the senders' features and in ``bars`` (n_edges, n_lm + 1): those in the
    harmonics and, in the last column, the distance.
    """
    for first in range(start, stop, GROUP):
        last = min(first + GROUP, stop)
        few = Part(scratch.M, last - first, 0)
        multiply(plan.back, Part(y_bar.table, y_bar.n_atoms, first), few, last - first, False)
        _messages_reverse(first, last, around, plan.panels, x, x_bar, scratch, bars)


@inlined
def _messages_reverse(
    start: int,
    stop: int,
    around: Surroundings,
    panels: Panel,
    x: Part,
    x_bar: Reals,
    scratch: Scratch,
    bars: Reals,
) -> None:
    """From dE/dM of a few atoms."""
    n, n_lm, B, M_bar = stop - start, around.harmonics.shape[1], scratch.A, scratch.M
    for i in range(start, stop):
        e0, e1 = around.edges[i, 0], around.edges[i, 1]
        for row in range((n_lm + 1) * (e1 - e0)):
            store(scratch.edge, row, zero(B))
        for q in range(panels.first.size):
            l1, l2, l3 = panels.degrees[q, 0], panels.degrees[q, 1], panels.degrees[q, 2]
            row = n * panels.message[q] + (i - start) * (2 * l3 + 1)
            n_rows = 1 if l3 == 0 else (2 * l1 + 1) * (2 * l2 + 1)
            for ab in range(n_rows):
                store(B, ab, zero(B))
            for t in range(panels.term_start[q, 0], panels.term_start[q, 1]):
                ab, m = panels.term[t, 0], panels.term[t, 1]
                store(B, ab, load(B, ab) + panels.coefficient[t] * load(M_bar, row + m))
            if l3 == 0:
                _scalar_reverse(q, e0, e1, around, panels, x, x_bar, scratch)
            elif l2 == 0:
                _moments_reverse(ONE, q, e0, e1, around, panels, x, x_bar, scratch)
            elif l2 == 1:
                _moments_reverse(THREE, q, e0, e1, around, panels, x, x_bar, scratch)
            elif l2 == 2:
                _moments_reverse(FIVE, q, e0, e1, around, panels, x, x_bar, scratch)
            elif l2 == 3:
                _moments_reverse(SEVEN, q, e0, e1, around, panels, x, x_bar, scratch)
            else:
                _moments_reverse(NINE, q, e0, e1, around, panels, x, x_bar, scratch)
        add_edges(e0, e1, scratch.edge, bars)


@inlined
def _moments_reverse(
    n: Any,
    q: int,
    e0: int,
    e1: int,
    around: Surroundings,
    panels: Panel,
    x: Part,
    x_bar: Reals,
    scratch: Scratch,
) -> None:
    """The edges of an atom, from B."""
    width, l2, n_lm = panels.sender[q, 1], panels.degrees[q, 1], around.harmonics.shape[1]
    sender, first = x.n_atoms * panels.sender[q, 0], panels.first[q]
    B, edge = scratch.A, scratch.edge
    for e in range(e0, e1):
        w, slope = spline_and_slope(panels.table, first + around.rows[e], around.splines, e)
        place = e * n_lm + l2 * l2
        row = sender + around.senders[e] * width
        Y_bar, f_bar = zeros(B, n), zero(B)
        for a in range(width):
            rows, sent = load_rows(B, a * len(n), n), load(x.table, row + a)
            bar = combined(rows, around.harmonics, place)
            f_bar = f_bar + sent * bar
            store(x_bar, row + a, load(x_bar, row + a) + w * bar)
            Y_bar = plus_times(Y_bar, rows, sent)
        local = (e - e0) * (n_lm + 1)
        store(edge, local + n_lm, load(edge, local + n_lm) + slope * f_bar)
        if l2 > 0:
            total = load_rows(edge, local + l2 * l2, n)
            store_rows(edge, local + l2 * l2, plus_times(total, Y_bar, w))


@inlined
def _scalar_reverse(
    q: int,
    e0: int,
    e1: int,
    around: Surroundings,
    panels: Panel,
    x: Part,
    x_bar: Reals,
    scratch: Scratch,
) -> None:
    """The edges of an atom where the message is a scalar."""
    width, n_lm, edge = panels.sender[q, 1], around.harmonics.shape[1], scratch.edge
    sender, first, l2 = x.n_atoms * panels.sender[q, 0], panels.first[q], panels.degrees[q, 1]
    bar = load(scratch.A, 0)
    for e in range(e0, e1):
        w, slope = spline_and_slope(panels.table, first + around.rows[e], around.splines, e)
        row, f, total = sender + around.senders[e] * width, w * bar, zero(edge)
        local = (e - e0) * (n_lm + 1)
        for a in range(width):
            sent, Y = load(x.table, row + a), around.harmonics[e, l2 * l2 + a]
            total = total + Y * sent
            store(x_bar, row + a, load(x_bar, row + a) + Y * f)
            if l2 > 0:
                k = local + l2 * l2 + a
                store(edge, k, load(edge, k) + f * sent)
        k = local + n_lm
        store(edge, k, load(edge, k) + slope * (bar * total))


@inlined
def add_edges(e0: int, e1: int, edge: Reals, bars: Reals) -> None:
    """Add the sums over lanes of an atom's edges to ``bars`` (n_edges, columns)."""
    columns = bars.shape[1]
    for e in range(e0, e1):
        for k in range(columns):
            total = bars.dtype.type(0)
            lanes = edge[(e - e0) * columns + k]
            for lane in range(lanes.size):
                total += lanes[lane]
            bars[e, k] += total
