"""One atom's neighbourhood as the loops see it: distances, directions, channels, harmonics."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ladera.kernels.compilation import simd
from ladera.kernels.symmetry_functions.pairs import Pairs, forget_blocks, make_pairs
from ladera.kernels.symmetry_functions.plan import Floats, Integers, Plan, PlanArrays
from ladera.kernels.symmetry_functions.vector_math import cutoff_function, gaussian
from ladera.kernels.symmetry_functions.windows import compact_function

# Up to so many neighbours an atom's moments are computed neighbour by neighbour.
FEW = 24


class Workspace(NamedTuple):
    """Scratch memory of one thread; n is the largest number of neighbours.

    Arrays with "bar" hold derivatives of the energy in the reverse pass and tangents (dots) in
    the forward one: the two never run together.
    """

    block: Integers  # (n_elements + 1,) where each element's neighbours begin
    vector: Floats  # (3, n) r_ij
    unit: Floats  # (3, n) r_ij / |r_ij|
    distance: Floats  # (n,)
    inverse: Floats  # (n,) 1 / |r_ij|
    g: Floats  # (n_channels, n)
    slope: Floats  # (n_channels, n) dg/dr
    g_bar: Floats  # (n_channels, n)
    unit_bar: Floats  # (3, n)
    distance_bar: Floats  # (n,)
    cosine: Floats  # (degree + 1, n) Re (x + i y)^m
    sine: Floats  # (degree + 1, n) Im (x + i y)^m
    legendre: Floats  # (n_lm, n) N_lm(z)
    moments: Floats  # (n_slots, 2, n_lm)
    moments_bar: Floats  # (n_slots, 2, n_lm)
    squares: Floats  # (n_slots,) sum_j g_j^2
    squares_bar: Floats  # (n_slots,)
    row_circle: Floats  # (FEW, 2, degree + 1) (x + i y)^m of the few neighbours of an atom
    row_legendre: Floats  # (FEW, n_lm)
    row_harmonic: Floats  # (FEW, 2, n_lm)
    row_tangent: Floats  # (FEW, 2, n_lm)
    row_bar: Floats  # (2, n_lm)
    rows: Floats  # (4, n)
    bits: Integers  # (n,)
    pairs: Pairs


def make_workspace(plan: Plan, n_neighbors: int) -> Workspace:
    """Scratch for atoms with up to ``n_neighbors`` neighbours."""
    n = max(n_neighbors, 1)
    degree = max(0, int(plan.arrays.degree.max()))
    n_lm = (degree + 1) * (degree + 2) // 2
    few = min(n, FEW)

    def rows(*shape: int) -> Any:
        return np.zeros(shape)

    return Workspace(
        block=np.zeros(plan.arrays.n_elements + 1, dtype=np.int64),
        vector=rows(3, n),
        unit=rows(3, n),
        distance=rows(n),
        inverse=rows(n),
        g=rows(plan.n_channels, n),
        slope=rows(plan.n_channels, n),
        g_bar=rows(plan.n_channels, n),
        unit_bar=rows(3, n),
        distance_bar=rows(n),
        cosine=rows(degree + 1, n),
        sine=rows(degree + 1, n),
        legendre=rows(n_lm, n),
        moments=rows(plan.n_slots, 2, n_lm),
        moments_bar=rows(plan.n_slots, 2, n_lm),
        squares=rows(plan.n_slots),
        squares_bar=rows(plan.n_slots),
        row_circle=rows(few, 2, degree + 1),
        row_legendre=rows(few, n_lm),
        row_harmonic=rows(few, 2, n_lm),
        row_tangent=rows(few, 2, n_lm),
        row_bar=rows(2, n_lm),
        rows=rows(4, n),
        bits=np.zeros(n, dtype=np.int64),
        pairs=make_pairs(plan, n),
    )


@simd
def prepare(
    plan: PlanArrays,
    center: int,
    first: int,
    last: int,
    vectors: Floats,
    elements: Integers,
    ws: Workspace,
) -> None:
    """Fill the workspace with the neighbourhood of one atom: edges first to last."""
    n = last - first
    ws.block[:] = 0
    for j in range(n):
        ws.block[elements[first + j] + 1] += 1
        for a in range(3):
            ws.vector[a, j] = vectors[first + j, a]
    for e in range(plan.n_elements):
        ws.block[e + 1] += ws.block[e]
    x, y, z = ws.vector[0], ws.vector[1], ws.vector[2]
    distance, inverse = ws.distance, ws.inverse
    for j in range(n):
        distance[j] = np.sqrt(x[j] * x[j] + y[j] * y[j] + z[j] * z[j])
        inverse[j] = 1.0 / distance[j]
    for a in range(3):
        unit, vector = ws.unit[a], ws.vector[a]
        for j in range(n):
            unit[j] = vector[j] * inverse[j]
    for e in range(plan.n_elements):
        _fill_channels(plan, center * plan.n_elements + e, ws.block[e], ws.block[e + 1], ws)
    if plan.triplet_start[center + 1] > plan.triplet_start[center]:
        _fill_pairs(plan, center, n, ws)


@simd
def _fill_channels(plan: PlanArrays, pair: int, begin: int, end: int, ws: Workspace) -> None:
    """g and dg/dr of every channel of one block of neighbours."""
    if end == begin:
        return
    start = plan.channel_start[pair]
    r = ws.distance[begin:end]
    f, df = ws.rows[0, begin:end], ws.rows[1, begin:end]
    work, bits = ws.rows[2, begin:end], ws.bits[begin:end]
    known = -1.0
    for q in range(start, plan.channel_start[pair + 1]):
        g, slope = ws.g[q - start, begin:end], ws.slope[q - start, begin:end]
        kind, cutoff = plan.channel_kind[q], plan.channel_cutoff[q]
        if kind >= 0:
            compact_function(kind, plan.channel_shift[q], cutoff, r, g, slope, work, bits)
            continue
        if cutoff != known:
            known = cutoff
            cutoff_function(plan.cutoff_kind, plan.cutoff_alpha, known, r, f, df, work, bits)
        gaussian(plan.channel_eta[q], plan.channel_shift[q], r, f, df, g, slope, work, bits)


@simd
def _fill_pairs(plan: PlanArrays, center: int, n: int, ws: Workspace) -> None:
    """What the triplets need of each neighbour, with the factors that depend on its distance."""
    pairs, r, work, bits = ws.pairs, ws.distance[:n], ws.rows[2, :n], ws.bits[:n]
    forget_blocks(pairs)
    for j in range(n):
        for a in range(3):
            pairs.neighbor[a, j] = ws.vector[a, j]
            pairs.edge[j, a] = ws.vector[a, j]
        pairs.neighbor[3, j] = r[j]
    for e in range(plan.n_elements):
        for j in range(ws.block[e], ws.block[e + 1]):
            pairs.neighbor[4, j] = plan.atomic_numbers[e]
    first = plan.side_start[center]
    for q in range(first, plan.side_start[center + 1]):
        f, slope = pairs.sides[q - first, 0, :n], pairs.sides[q - first, 1, :n]
        kind, inner, cutoff = plan.side_kind[q], plan.side_inner[q], plan.side_cutoff[q]
        if kind < 0:
            cutoff_function(plan.cutoff_kind, plan.cutoff_alpha, cutoff, r, f, slope, work, bits)
        else:
            compact_function(kind, inner, cutoff, r, f, slope, work, bits)
        for j in range(n):
            slope[j] = slope[j] / f[j] if f[j] != 0.0 else 0.0


@simd
def fill_harmonics(plan: PlanArrays, degree: int, ws: Workspace) -> None:
    """(x + i y)^m and N_lm(z) up to ``degree`` for all neighbours; see tables.harmonic_tables.

    N_lm is row ``lm(l, m)``.
    """
    n = ws.block[plan.n_elements]
    x, y, z = ws.unit[0], ws.unit[1], ws.unit[2]
    for j in range(n):
        ws.cosine[0, j] = 1.0
        ws.sine[0, j] = 0.0
    for m in range(1, degree + 1):
        c, s, c_last, s_last = (
            ws.cosine[m],
            ws.sine[m],
            ws.cosine[m - 1],
            ws.sine[m - 1],
        )
        for j in range(n):
            c[j] = x[j] * c_last[j] - y[j] * s_last[j]
            s[j] = x[j] * s_last[j] + y[j] * c_last[j]
    for m in range(degree + 1):
        diagonal = ws.legendre[lm(m, m)]
        for j in range(n):
            diagonal[j] = plan.harmonic_diagonal[m]
        if m < degree:
            target, a = ws.legendre[lm(m + 1, m)], plan.harmonic_a[m + 1, m]
            for j in range(n):
                target[j] = a * z[j] * diagonal[j]
        for l in range(m + 2, degree + 1):
            target, last, before = (
                ws.legendre[lm(l, m)],
                ws.legendre[lm(l - 1, m)],
                ws.legendre[lm(l - 2, m)],
            )
            a, b = plan.harmonic_a[l, m], plan.harmonic_b[l, m]
            for j in range(n):
                target[j] = a * z[j] * last[j] - b * before[j]


@simd
def lm(l: int, m: int) -> int:
    """Position of l, m >= 0 among the moments: all m of an l lie together."""
    return l * (l + 1) // 2 + m


@simd
def clear(plan: PlanArrays, center: int, n: int, ws: Workspace) -> None:
    """Set the reverse pass's accumulators to zero."""
    most = 0
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        most = max(most, plan.channel_start[pair + 1] - plan.channel_start[pair])
    for q in range(most):
        row = ws.g_bar[q]
        for j in range(n):
            row[j] = 0.0
    for a in range(3):
        unit = ws.unit_bar[a]
        for j in range(n):
            unit[j] = 0.0
    for j in range(n):
        for a in range(4):
            ws.pairs.bar[j, a] = 0.0


@simd
def collect_gradient(
    plan: PlanArrays, center: int, first: int, n: int, ws: Workspace, out: Floats
) -> None:
    """out = dE/dr_ij of one atom's edges, from what the reverse pass has accumulated.

    dE/dr_ij = u [sum_q (dE/dg_q) g_q' + dE/dr] + (1 - u u^T) (dE/du) / r + dE/dr_ij |direct
    """
    radial = ws.distance_bar
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        begin, end = ws.block[e], ws.block[e + 1]
        for j in range(begin, end):
            radial[j] = ws.pairs.bar[j, 3]
        for q in range(plan.channel_start[pair + 1] - plan.channel_start[pair]):
            g_bar, slope = ws.g_bar[q], ws.slope[q]
            for j in range(begin, end):
                radial[j] += g_bar[j] * slope[j]
    for j in range(n):
        x, y, z = ws.unit[0, j], ws.unit[1, j], ws.unit[2, j]
        bx, by, bz = ws.unit_bar[0, j], ws.unit_bar[1, j], ws.unit_bar[2, j]
        along = radial[j] - (bx * x + by * y + bz * z) * ws.inverse[j]
        out[first + j, 0] = along * x + bx * ws.inverse[j] + ws.pairs.bar[j, 0]
        out[first + j, 1] = along * y + by * ws.inverse[j] + ws.pairs.bar[j, 1]
        out[first + j, 2] = along * z + bz * ws.inverse[j] + ws.pairs.bar[j, 2]


@simd
def spread_tangent(
    plan: PlanArrays, center: int, first: int, n: int, tangent: Floats, ws: Workspace
) -> None:
    """Tangents of distance, unit vector and channels from those of the edge vectors (n_edges, 3).

    dr = u . v,  du = (v - u dr) / r,  dg_q = g_q' dr
    """
    for j in range(n):
        x, y, z = ws.unit[0, j], ws.unit[1, j], ws.unit[2, j]
        vx, vy, vz = tangent[first + j, 0], tangent[first + j, 1], tangent[first + j, 2]
        along = x * vx + y * vy + z * vz
        ws.distance_bar[j] = along
        ws.unit_bar[0, j] = (vx - along * x) * ws.inverse[j]
        ws.unit_bar[1, j] = (vy - along * y) * ws.inverse[j]
        ws.unit_bar[2, j] = (vz - along * z) * ws.inverse[j]
        bar = ws.pairs.bar
        bar[j, 0], bar[j, 1], bar[j, 2], bar[j, 3] = vx, vy, vz, along
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        for q in range(plan.channel_start[pair + 1] - plan.channel_start[pair]):
            g_bar, slope = ws.g_bar[q], ws.slope[q]
            for j in range(ws.block[e], ws.block[e + 1]):
                g_bar[j] = slope[j] * ws.distance_bar[j]
