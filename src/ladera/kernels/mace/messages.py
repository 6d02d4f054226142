"""Messages of a layer: spline x harmonics x features of the sender, summed over neighbours.

Four neighbours at a time, so that every load and store of a message's row serves four edges.
Nothing is kept of an edge; the reverse pass computes it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ladera.arrays import Integers, Reals
from ladera.kernels.compilation import inlined, simd
from ladera.kernels.mace.geometry import Edges
from ladera.kernels.mace.layout import Atoms, span
from ladera.kernels.mace.splines import ROWS
from ladera.kernels.mace.tables import Path

LANES = 4
NEGLIGIBLE = 1e-12


class Couplings(NamedTuple):
    """Paths of a layer as lists: slots (path, row of the sender), terms (slot, row of the message).

    Term k adds Z_k w_path x_row to its message's row, with Z_k = sum coefficient Y_lm.
    """

    slot: Integers  # (n_paths + 1,) where the slots of a path begin
    source: Integers  # (n_slots,) row (l, m) of the sender
    term: Integers  # (n_slots + 1,) where the terms of a slot begin
    target: Integers  # (n_terms,) row of the message
    part: Integers  # (n_terms + 1,) where the harmonics of a term begin
    harmonic: Integers  # (n_parts,) l^2 + l + m
    coefficient: Reals  # (n_parts,)


class Scratch(NamedTuple):
    """Scratch memory of one thread; n is the largest number of neighbours."""

    Z: Reals  # (n_terms, n + LANES)
    Z_bar: Reals  # (n_terms, n + LANES)
    w: Reals  # (LANES, channels) radial functions
    slope: Reals  # (LANES, channels)
    f: Reals  # (LANES, channels) times the sender's features
    f_bar: Reals  # (LANES, channels)


def couple(paths: Sequence[Path], dtype: np.dtype[Any]) -> Couplings:
    """The lists of a layer."""
    counts = [sum(path.l3 == l for path in paths) for l in range(1 + paths[-1].l3)]
    before = np.cumsum([0] + [(2 * l + 1) * count for l, count in enumerate(counts)])
    column = [0] * len(counts)
    slot, source, term, target, part = [0], [], [0], [], [0]
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
                    part.append(len(harmonic))
            term.append(len(target))
        slot.append(len(source))
        column[path.l3] += 1
    return Couplings(
        slot=np.array(slot),
        source=np.array(source),
        term=np.array(term),
        target=np.array(target),
        part=np.array(part),
        harmonic=np.array(harmonic),
        coefficient=np.array(coefficient, dtype),
    )


def make_scratch(
    couplings: Couplings, n_neighbors: int, channels: int, dtype: np.dtype[Any]
) -> Scratch:
    """Scratch for atoms with up to ``n_neighbors`` neighbours."""
    Z = np.zeros((2, len(couplings.target), n_neighbors + LANES), dtype)
    rows = np.zeros((4, LANES, channels), dtype)
    return Scratch(Z[0], Z[1], rows[0], rows[1], rows[2], rows[3])


@inlined
def _fill_couplings(plan: Couplings, first: int, n: int, edges: Edges, scratch: Scratch) -> None:
    """Z of an atom's edges; zero beyond them, where lanes are left over."""
    for k in range(plan.target.size):
        Z = scratch.Z[k]
        Z[: n + LANES] = 0
        for s in range(plan.part[k], plan.part[k + 1]):
            a = plan.coefficient[s]
            Y = edges.harmonics[plan.harmonic[s]]
            for e in range(n):
                Z[e] += a * Y[first + e]


@inlined
def _radial(
    edges: Edges,
    e: int,
    table: Reals,
    pair: int,
    n_paths: int,
    path: int,
    x: Reals,
    w: Reals,
    f: Reals,
) -> None:
    """Radial functions of one path at one edge, and their product with a sender's features."""
    k = ROWS * ((pair + edges.knot[e]) * n_paths + path)
    n = k + ROWS * n_paths + 2  # the derivatives of the next knot
    r0, r1, r2, r3, r4 = table[k], table[k + 1], table[k + 2], table[k + 3], table[k + 4]
    r5, r6, r7 = table[n], table[n + 1], table[n + 2]
    b0, b1, b2, b3 = edges.basis[0, e], edges.basis[1, e], edges.basis[2, e], edges.basis[3, e]
    b4, b5, b6, b7 = edges.basis[4, e], edges.basis[5, e], edges.basis[6, e], edges.basis[7, e]
    for c in range(w.size):
        value = b0 * r0[c] + b1 * r1[c] + b2 * r2[c] + b3 * r3[c]
        value += b4 * r4[c] + b5 * r5[c] + b6 * r6[c] + b7 * r7[c]
        w[c] = value
        f[c] = value * x[c]


@inlined
def radial_slope(
    edges: Edges,
    e: int,
    table: Reals,
    pair: int,
    n_paths: int,
    path: int,
    w: Reals,
    slope: Reals,
) -> None:
    """Radial functions of one path at one edge, and their slopes."""
    k = ROWS * ((pair + edges.knot[e]) * n_paths + path)
    n = k + ROWS * n_paths + 2  # the derivatives of the next knot
    r0, r1, r2, r3, r4 = table[k], table[k + 1], table[k + 2], table[k + 3], table[k + 4]
    r5, r6, r7 = table[n], table[n + 1], table[n + 2]
    b0, b1, b2, b3 = edges.basis[0, e], edges.basis[1, e], edges.basis[2, e], edges.basis[3, e]
    b4, b5, b6, b7 = edges.basis[4, e], edges.basis[5, e], edges.basis[6, e], edges.basis[7, e]
    d1, d2, d3, d4 = edges.slope[1, e], edges.slope[2, e], edges.slope[3, e], edges.slope[4, e]
    d5, d6, d7 = edges.slope[5, e], edges.slope[6, e], edges.slope[7, e]
    for c in range(w.size):
        v1, v2, v3, v4, v5, v6, v7 = r1[c], r2[c], r3[c], r4[c], r5[c], r6[c], r7[c]
        value = b0 * r0[c] + b1 * v1 + b2 * v2 + b3 * v3
        w[c] = value + (b4 * v4 + b5 * v5 + b6 * v6 + b7 * v7)
        slope[c] = d1 * v1 + d2 * v2 + d3 * v3 + d4 * v4 + d5 * v5 + d6 * v6 + d7 * v7


@inlined
def _times(x: Reals, w: Reals, f: Reals) -> None:
    for c in range(w.size):
        f[c] = w[c] * x[c]


@inlined
def _times_and_clear(x: Reals, w: Reals, f: Reals, f_bar: Reals) -> None:
    zero = f.dtype.type(0)
    for c in range(w.size):
        f[c] = w[c] * x[c]
        f_bar[c] = zero


@inlined
def _add(message: Reals, Z: Reals, f: Reals) -> None:
    """One term of four edges."""
    f0, f1, f2, f3 = f[0], f[1], f[2], f[3]
    z0, z1, z2, z3 = Z[0], Z[1], Z[2], Z[3]
    for c in range(message.size):
        message[c] += z0 * f0[c] + z1 * f1[c] + z2 * f2[c] + z3 * f3[c]


@inlined
def _add_two(message: Reals, other: Reals, Z: Reals, Y: Reals, f: Reals) -> None:
    """Two terms of four edges."""
    f0, f1, f2, f3 = f[0], f[1], f[2], f[3]
    z0, z1, z2, z3 = Z[0], Z[1], Z[2], Z[3]
    y0, y1, y2, y3 = Y[0], Y[1], Y[2], Y[3]
    for c in range(message.size):
        v0, v1, v2, v3 = f0[c], f1[c], f2[c], f3[c]
        message[c] += z0 * v0 + z1 * v1 + z2 * v2 + z3 * v3
        other[c] += y0 * v0 + y1 * v1 + y2 * v2 + y3 * v3


@inlined
def _add_reverse(bar: Reals, Z: Reals, Z_bar: Reals, f: Reals, f_bar: Reals) -> None:
    """Gradients of one term of four edges."""
    f0, f1, f2, f3 = f[0], f[1], f[2], f[3]
    g0, g1, g2, g3 = f_bar[0], f_bar[1], f_bar[2], f_bar[3]
    z0, z1, z2, z3 = Z[0], Z[1], Z[2], Z[3]
    s0 = s1 = s2 = s3 = bar.dtype.type(0)
    for c in range(bar.size):
        m = bar[c]
        s0 += f0[c] * m
        s1 += f1[c] * m
        s2 += f2[c] * m
        s3 += f3[c] * m
        g0[c] += z0 * m
        g1[c] += z1 * m
        g2[c] += z2 * m
        g3[c] += z3 * m
    Z_bar[0], Z_bar[1], Z_bar[2], Z_bar[3] = s0, s1, s2, s3


@inlined
def _add_two_reverse(
    bar: Reals,
    other: Reals,
    Z: Reals,
    Y: Reals,
    Z_bar: Reals,
    Y_bar: Reals,
    f: Reals,
    f_bar: Reals,
) -> None:
    """Gradients of two terms of four edges."""
    f0, f1, f2, f3 = f[0], f[1], f[2], f[3]
    g0, g1, g2, g3 = f_bar[0], f_bar[1], f_bar[2], f_bar[3]
    z0, z1, z2, z3 = Z[0], Z[1], Z[2], Z[3]
    y0, y1, y2, y3 = Y[0], Y[1], Y[2], Y[3]
    s0 = s1 = s2 = s3 = bar.dtype.type(0)
    t0 = t1 = t2 = t3 = bar.dtype.type(0)
    for c in range(bar.size):
        m, n = bar[c], other[c]
        v0, v1, v2, v3 = f0[c], f1[c], f2[c], f3[c]
        s0 += v0 * m
        s1 += v1 * m
        s2 += v2 * m
        s3 += v3 * m
        t0 += v0 * n
        t1 += v1 * n
        t2 += v2 * n
        t3 += v3 * n
        g0[c] += z0 * m + y0 * n
        g1[c] += z1 * m + y1 * n
        g2[c] += z2 * m + y2 * n
        g3[c] += z3 * m + y3 * n
    Z_bar[0], Z_bar[1], Z_bar[2], Z_bar[3] = s0, s1, s2, s3
    Y_bar[0], Y_bar[1], Y_bar[2], Y_bar[3] = t0, t1, t2, t3


@inlined
def _sender_reverse(x: Reals, w: Reals, slope: Reals, f_bar: Reals, x_bar: Reals) -> float:
    """Add to dE/dx of a sender; the slope along the distance."""
    total = x.dtype.type(0)
    for c in range(x.size):
        x_bar[c] += w[c] * f_bar[c]
        total += slope[c] * x[c] * f_bar[c]
    return total  # type: ignore[no-any-return]


@simd
def forward(
    begin: int,
    end: int,
    atoms: Atoms,
    plan: Couplings,
    edges: Edges,
    table: Reals,
    x_places: Integers,
    x: Reals,
    M_places: Integers,
    M: Reals,
    scratch: Scratch,
) -> None:
    """M of the atoms ``begin`` to ``end``."""
    w, f = scratch.w, scratch.f
    C, n_paths, n_atoms = w.shape[1], plan.slot.size - 1, atoms.elements.size
    for i in range(begin, end):
        first, last = atoms.rows[i, 0], atoms.rows[i, 1]
        for o in range(M_places.shape[0]):
            M[span(M_places[o], n_atoms, i, C)][:] = 0
        _fill_couplings(plan, first, last - first, edges, scratch)
        for e in range(first, last, LANES):
            lanes = slice(e - first, e - first + LANES)
            for p in range(n_paths):
                for s in range(plan.slot[p], plan.slot[p + 1]):
                    for lane in range(LANES):
                        g = min(e + lane, last - 1)
                        source = x[span(x_places[plan.source[s]], n_atoms, atoms.senders[g], C)]
                        if s == plan.slot[p]:
                            _radial(
                                edges,
                                g,
                                table,
                                atoms.pairs[g],
                                n_paths,
                                p,
                                source,
                                w[lane],
                                f[lane],
                            )
                        else:
                            _times(source, w[lane], f[lane])
                    k, stop = plan.term[s], plan.term[s + 1]
                    while k + 1 < stop:
                        one = M[span(M_places[plan.target[k]], n_atoms, i, C)]
                        two = M[span(M_places[plan.target[k + 1]], n_atoms, i, C)]
                        _add_two(one, two, scratch.Z[k, lanes], scratch.Z[k + 1, lanes], f)
                        k += 2
                    if k < stop:
                        one = M[span(M_places[plan.target[k]], n_atoms, i, C)]
                        _add(one, scratch.Z[k, lanes], f)


@simd
def reverse(
    begin: int,
    end: int,
    atoms: Atoms,
    plan: Couplings,
    edges: Edges,
    table: Reals,
    x_places: Integers,
    x: Reals,
    x_bar: Reals,
    M_places: Integers,
    M_bar: Reals,
    distance_bar: Reals,
    harmonics_bar: Reals,
    scratch: Scratch,
) -> None:
    """Add the gradients in distances, harmonics and senders' features, from dE/dM."""
    w, slope, f, f_bar, Z, Z_bar = (
        scratch.w,
        scratch.slope,
        scratch.f,
        scratch.f_bar,
        scratch.Z,
        scratch.Z_bar,
    )
    C, n_paths, n_atoms = w.shape[1], plan.slot.size - 1, atoms.elements.size
    for i in range(begin, end):
        first, last = atoms.rows[i, 0], atoms.rows[i, 1]
        _fill_couplings(plan, first, last - first, edges, scratch)
        for e in range(first, last, LANES):
            lanes = slice(e - first, e - first + LANES)
            for p in range(n_paths):
                for lane in range(LANES):
                    g = min(e + lane, last - 1)
                    radial_slope(edges, g, table, atoms.pairs[g], n_paths, p, w[lane], slope[lane])
                for s in range(plan.slot[p], plan.slot[p + 1]):
                    place = x_places[plan.source[s]]
                    for lane in range(LANES):
                        g = min(e + lane, last - 1)
                        source = x[span(place, n_atoms, atoms.senders[g], C)]
                        _times_and_clear(source, w[lane], f[lane], f_bar[lane])
                    k, stop = plan.term[s], plan.term[s + 1]
                    while k + 1 < stop:
                        one = M_bar[span(M_places[plan.target[k]], n_atoms, i, C)]
                        two = M_bar[span(M_places[plan.target[k + 1]], n_atoms, i, C)]
                        _add_two_reverse(
                            one,
                            two,
                            Z[k, lanes],
                            Z[k + 1, lanes],
                            Z_bar[k, lanes],
                            Z_bar[k + 1, lanes],
                            f,
                            f_bar,
                        )
                        k += 2
                    if k < stop:
                        one = M_bar[span(M_places[plan.target[k]], n_atoms, i, C)]
                        _add_reverse(one, Z[k, lanes], Z_bar[k, lanes], f, f_bar)
                    for lane in range(min(LANES, last - e)):
                        sender = span(place, n_atoms, atoms.senders[e + lane], C)
                        distance_bar[e + lane] += _sender_reverse(
                            x[sender], w[lane], slope[lane], f_bar[lane], x_bar[sender]
                        )
        for k in range(plan.target.size):
            for s in range(plan.part[k], plan.part[k + 1]):
                a, Y_bar, bar = plan.coefficient[s], harmonics_bar[plan.harmonic[s]], Z_bar[k]
                for e in range(last - first):
                    Y_bar[first + e] += a * bar[e]
