"""Messages of a layer: spline x harmonics x features of the sender, summed over neighbours.

Four neighbours at a time, so that every load and store of a message's row serves four edges.
Nothing is kept of an edge; the reverse pass computes it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ladera.arrays import Integers, Reals
from ladera.kernels.compilation import inlined, simd
from ladera.kernels.edges import EdgeGradients, Edges
from ladera.kernels.mace import lanes, radial
from ladera.kernels.mace.lanes import LANES
from ladera.kernels.mace.layout import Atoms, Rows, clear, span
from ladera.kernels.mace.tables import Path

NEGLIGIBLE = 1e-12


class Couplings(NamedTuple):
    """Paths of a layer as lists: sources (path, row of the sender), terms (source, row of M).

    Term k adds Z_k w_path x_source to its row of the message, with Z_k = sum coefficient Y_lm. An
    array ``..._start`` says where the entries of each item of the list before begin.
    """

    table: Reals  # splines of the radial functions, see ``splines.tabulate``
    source_start: Integers  # (n_paths + 1,)
    source: Integers  # (n_sources,) row (l, m) of the sender
    term_start: Integers  # (n_sources + 1,)
    target: Integers  # (n_terms,) row of the message
    harmonic_start: Integers  # (n_terms + 1,)
    harmonic: Integers  # (n_harmonics,) l^2 + l + m
    coefficient: Reals  # (n_harmonics,)


class Scratch(NamedTuple):
    """Scratch memory of one thread; n is the largest number of neighbours."""

    Z: Reals  # (n_terms, n + LANES)
    Z_bar: Reals  # (n_terms, n + LANES)
    w: Reals  # (LANES, channels) radial functions
    slope: Reals  # (LANES, channels)
    f: Reals  # (LANES, channels) times the sender's features
    f_bar: Reals  # (LANES, channels)


def couple(paths: Sequence[Path], table: Reals) -> Couplings:
    """The lists of a layer with these splines of its radial functions."""
    counts = [sum(path.l3 == l for path in paths) for l in range(1 + paths[-1].l3)]
    before = np.cumsum([0] + [(2 * l + 1) * count for l, count in enumerate(counts)])
    column = [0] * len(counts)
    source_start, source, term_start, target, harmonic_start = [0], [], [0], [], [0]
    harmonic: list[int] = []
    coefficient: list[float] = []
    for path in paths:
        for m1 in range(2 * path.l1 + 1):
            source.append(path.l1**2 + m1)
            for m3 in range(2 * path.l3 + 1):
                (nonzero,) = np.nonzero(np.abs(path.coupling[m1, :, m3]) > NEGLIGIBLE)
                if len(nonzero):
                    target.append(before[path.l3] + m3 * counts[path.l3] + column[path.l3])
                    harmonic += (path.l2**2 + nonzero).tolist()
                    coefficient += path.coupling[m1, nonzero, m3].tolist()
                    harmonic_start.append(len(harmonic))
            term_start.append(len(target))
        source_start.append(len(source))
        column[path.l3] += 1
    return Couplings(
        table=table,
        source_start=np.array(source_start),
        source=np.array(source),
        term_start=np.array(term_start),
        target=np.array(target),
        harmonic_start=np.array(harmonic_start),
        harmonic=np.array(harmonic),
        coefficient=np.array(coefficient, table.dtype),
    )


def make_scratch(plan: Couplings, n_neighbors: int) -> Scratch:
    """Scratch for atoms with up to ``n_neighbors`` neighbours."""
    dtype, channels = plan.table.dtype, plan.table.shape[1]
    Z = np.zeros((2, len(plan.target), n_neighbors + LANES), dtype)
    rows = np.zeros((4, LANES, channels), dtype)
    return Scratch(Z[0], Z[1], rows[0], rows[1], rows[2], rows[3])


@inlined
def _fill_couplings(
    plan: Couplings, edge_start: int, n: int, edges: Edges, scratch: Scratch
) -> None:
    """Z of an atom's edges; zero beyond them, where lanes are left over."""
    for k in range(plan.target.size):
        Z = scratch.Z[k]
        Z[: n + LANES] = 0
        for s in range(plan.harmonic_start[k], plan.harmonic_start[k + 1]):
            a = plan.coefficient[s]
            Y = edges.harmonics[plan.harmonic[s]]
            for e in range(n):
                Z[e] += a * Y[edge_start + e]


@simd
def forward(
    start: int,
    stop: int,
    atoms: Atoms,
    edges: Edges,
    plan: Couplings,
    x: Rows,
    M: Rows,
    scratch: Scratch,
) -> None:
    """M of the atoms ``start`` to ``stop`` from what their neighbours send, x."""
    w, f, Z = scratch.w, scratch.f, scratch.Z
    C, n_paths = w.shape[1], plan.source_start.size - 1
    n_atoms, n_owned = atoms.elements.size, atoms.rows.shape[0]
    for i in range(start, stop):
        edge_start, edge_stop = atoms.rows[i, 0], atoms.rows[i, 1]
        clear(M, n_owned, i, C)
        _fill_couplings(plan, edge_start, edge_stop - edge_start, edges, scratch)
        for e in range(edge_start, edge_stop, LANES):
            here = slice(e - edge_start, e - edge_start + LANES)
            for p in range(n_paths):
                for s in range(plan.source_start[p], plan.source_start[p + 1]):
                    for lane in range(LANES):
                        g = min(e + lane, edge_stop - 1)
                        sent = x.flat[span(x, plan.source[s], n_atoms, atoms.senders[g], C)]
                        if s == plan.source_start[p]:
                            radial.values_times(
                                edges,
                                g,
                                plan.table,
                                atoms.pairs[g],
                                n_paths,
                                p,
                                sent,
                                w[lane],
                                f[lane],
                            )
                        else:
                            lanes.times(sent, w[lane], f[lane])
                    k, term_stop = plan.term_start[s], plan.term_start[s + 1]
                    while k + 1 < term_stop:
                        one = M.flat[span(M, plan.target[k], n_owned, i, C)]
                        two = M.flat[span(M, plan.target[k + 1], n_owned, i, C)]
                        lanes.add_two(one, two, Z[k, here], Z[k + 1, here], f)
                        k += 2
                    if k < term_stop:
                        lanes.add(M.flat[span(M, plan.target[k], n_owned, i, C)], Z[k, here], f)


@simd
def reverse(
    start: int,
    stop: int,
    atoms: Atoms,
    edges: Edges,
    plan: Couplings,
    x: Rows,
    x_bar: Rows,
    M_bar: Rows,
    bars: EdgeGradients,
    scratch: Scratch,
) -> None:
    """Add the gradients in distances, harmonics and senders' features, from dE/dM."""
    w, slope, f, f_bar = scratch.w, scratch.slope, scratch.f, scratch.f_bar
    Z, Z_bar = scratch.Z, scratch.Z_bar
    C, n_paths = w.shape[1], plan.source_start.size - 1
    n_atoms, n_owned = atoms.elements.size, atoms.rows.shape[0]
    for i in range(start, stop):
        edge_start, edge_stop = atoms.rows[i, 0], atoms.rows[i, 1]
        _fill_couplings(plan, edge_start, edge_stop - edge_start, edges, scratch)
        for e in range(edge_start, edge_stop, LANES):
            here = slice(e - edge_start, e - edge_start + LANES)
            for p in range(n_paths):
                for lane in range(LANES):
                    g = min(e + lane, edge_stop - 1)
                    radial.values_and_slopes(
                        edges, g, plan.table, atoms.pairs[g], n_paths, p, w[lane], slope[lane]
                    )
                for s in range(plan.source_start[p], plan.source_start[p + 1]):
                    for lane in range(LANES):
                        g = min(e + lane, edge_stop - 1)
                        sent = x.flat[span(x, plan.source[s], n_atoms, atoms.senders[g], C)]
                        lanes.times_and_clear(sent, w[lane], f[lane], f_bar[lane])
                    k, term_stop = plan.term_start[s], plan.term_start[s + 1]
                    while k + 1 < term_stop:
                        one = M_bar.flat[span(M_bar, plan.target[k], n_owned, i, C)]
                        two = M_bar.flat[span(M_bar, plan.target[k + 1], n_owned, i, C)]
                        y, y_bar = Z[k + 1, here], Z_bar[k + 1, here]
                        lanes.add_two_reverse(
                            one, two, Z[k, here], y, Z_bar[k, here], y_bar, f, f_bar
                        )
                        k += 2
                    if k < term_stop:
                        one = M_bar.flat[span(M_bar, plan.target[k], n_owned, i, C)]
                        lanes.add_reverse(one, Z[k, here], Z_bar[k, here], f, f_bar)
                    for lane in range(min(LANES, edge_stop - e)):
                        sender = atoms.senders[e + lane]
                        bars.distance[e + lane] += lanes.sender_reverse(
                            x.flat[span(x, plan.source[s], n_atoms, sender, C)],
                            w[lane],
                            slope[lane],
                            f_bar[lane],
                            x_bar.flat[span(x_bar, plan.source[s], n_atoms, sender, C)],
                        )
        for k in range(plan.target.size):
            for s in range(plan.harmonic_start[k], plan.harmonic_start[k + 1]):
                a, Y_bar, bar = plan.coefficient[s], bars.harmonics[plan.harmonic[s]], Z_bar[k]
                for e in range(edge_stop - edge_start):
                    Y_bar[edge_start + e] += a * bar[e]
