"""One atom's neighbourhood as the loops see it: distances, directions and channels."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ladera.arrays import Floats, Integers
from ladera.kernels.compilation import simd
from ladera.kernels.cutoffs import cutoff_function
from ladera.kernels.symmetry_functions.factors import chebyshev, compact_function, gaussian
from ladera.kernels.symmetry_functions.pairs import Pairs, forget_blocks, make_pairs
from ladera.kernels.symmetry_functions.plan import Plan
from ladera.kernels.symmetry_functions.plan_arrays import CHEBYSHEV, PlanArrays

# Up to so many neighbours an atom's moments are computed neighbour by neighbour.
FEW = 24


class Edges(NamedTuple):
    """Atoms and their neighbours, sorted as :class:`ladera.graph.Graph` has them."""

    vectors: Floats  # (n_edges, 3) r_ij, Angstrom
    row_pointer: Integers  # (n_atoms + 1,), or of the first atoms: others are left out
    elements: Integers  # (n_atoms,) index among the plan's species
    neighbor_elements: Integers  # (n_edges,)


class Workspace(NamedTuple):
    """What is known of one atom's n neighbours; scratch of one thread."""

    starts: Integers  # (n_elements + 1,) where each element's neighbours start
    vector: Floats  # (3, n) r_ij
    unit: Floats  # (3, n) r_ij / |r_ij|
    distance: Floats  # (n,)
    inverse: Floats  # (n,) 1 / |r_ij|
    g: Floats  # (n_channels, n)
    slope: Floats  # (n_channels, n) dg/dr
    cosine: Floats  # (degree + 1, n) Re (x + i y)^m
    sine: Floats  # (degree + 1, n) Im (x + i y)^m
    legendre: Floats  # (n_lm, n) N_lm(z)
    row_circle: Floats  # (FEW, 2, degree + 1) the same of an atom with few neighbours, by rows
    row_legendre: Floats  # (FEW, n_lm)
    row_harmonic: Floats  # (FEW, 2, n_lm) Y_lm
    moments: Floats  # (n_slots, 2, n_lm) A_lm
    squares: Floats  # (n_slots,) sum_j g_j^2
    rows: Floats  # (4, n) scratch
    bits: Integers  # (n,) scratch
    pairs: Pairs


class Derivatives(NamedTuple):
    """Derivatives in, or of, what the workspace holds under the same names.

    A reverse pass has one called ``bar``, dE/d(the quantity); a tangent has one called ``dot``, the
    change of the quantity along a direction.
    """

    edge: Floats  # (n, 4) of r_ij, as far as it goes over triplets, and along r_ij
    unit: Floats  # (3, n)
    distance: Floats  # (n,)
    g: Floats  # (n_channels, n)
    row_harmonic: Floats  # (FEW, 2, n_lm)
    moments: Floats  # (n_slots, 2, n_lm)
    squares: Floats  # (n_slots,)


# Memory that no thread is using now. To make it anew would take a third of the time of a small
# molecule; to let an atom have more neighbours than the last structure's, it has room for more.
_SPARE: WeakKeyDictionary[Plan, deque[tuple[Workspace, Derivatives]]] = WeakKeyDictionary()


def take_memory(plan: Plan, n_neighbors: int) -> tuple[Workspace, Derivatives]:
    """Scratch for a thread and atoms with up to ``n_neighbors`` neighbours."""
    spare = _SPARE.get(plan)
    while spare:
        try:
            workspace, derivatives = spare.pop()
        except IndexError:  # another thread took it
            break
        if len(workspace.distance) >= n_neighbors:
            return workspace, derivatives
    return make_memory(plan, n_neighbors + n_neighbors // 4)


def return_memory(plan: Plan, memory: tuple[Workspace, Derivatives]) -> None:
    """Keep it for whoever needs it next, as long as there is the plan."""
    _SPARE.setdefault(plan, deque()).append(memory)


def make_memory(plan: Plan, n_neighbors: int) -> tuple[Workspace, Derivatives]:
    """Room for atoms with up to ``n_neighbors`` neighbours."""
    n, few = max(n_neighbors, 1), max(1, min(n_neighbors, FEW))
    degree = max(0, int(plan.arrays.degree.max()))
    n_lm = (degree + 1) * (degree + 2) // 2
    workspace = Workspace(
        starts=np.zeros(plan.arrays.n_elements + 1, dtype=np.int64),
        vector=np.zeros((3, n)),
        unit=np.zeros((3, n)),
        distance=np.zeros(n),
        inverse=np.zeros(n),
        g=np.zeros((plan.n_channels, n)),
        slope=np.zeros((plan.n_channels, n)),
        cosine=np.zeros((degree + 1, n)),
        sine=np.zeros((degree + 1, n)),
        legendre=np.zeros((n_lm, n)),
        row_circle=np.zeros((few, 2, degree + 1)),
        row_legendre=np.zeros((few, n_lm)),
        row_harmonic=np.zeros((few, 2, n_lm)),
        moments=np.zeros((plan.n_slots, 2, n_lm)),
        squares=np.zeros(plan.n_slots),
        rows=np.zeros((4, n)),
        bits=np.zeros(n, dtype=np.int64),
        pairs=make_pairs(plan, n),
    )
    derivatives = Derivatives(
        edge=np.zeros((n, 4)),
        unit=np.zeros((3, n)),
        distance=np.zeros(n),
        g=np.zeros((plan.n_channels, n)),
        row_harmonic=np.zeros((few, 2, n_lm)),
        moments=np.zeros((plan.n_slots, 2, n_lm)),
        squares=np.zeros(plan.n_slots),
    )
    return workspace, derivatives


@simd
def prepare(plan: PlanArrays, i: int, edges: Edges, ws: Workspace) -> None:
    """Fill the workspace with the neighbourhood of atom i."""
    center, first = edges.elements[i], edges.row_pointer[i]
    n = edges.row_pointer[i + 1] - first
    ws.starts[:] = 0
    for j in range(n):
        ws.starts[edges.neighbor_elements[first + j] + 1] += 1
        for a in range(3):
            ws.vector[a, j] = edges.vectors[first + j, a]
    for e in range(plan.n_elements):
        ws.starts[e + 1] += ws.starts[e]
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
        _fill_channels(plan, center * plan.n_elements + e, ws.starts[e], ws.starts[e + 1], ws)
    if plan.triplets.start[center + 1] > plan.triplets.start[center]:
        _fill_pairs(plan, center, n, ws)


@simd
def _fill_channels(plan: PlanArrays, pair: int, start: int, stop: int, ws: Workspace) -> None:
    """g and dg/dr of every channel of the neighbours of one element."""
    if stop == start:
        return
    channels = plan.channels
    first = channels.start[pair]
    r = ws.distance[start:stop]
    f, df = ws.rows[0, start:stop], ws.rows[1, start:stop]
    work, bits = ws.rows[2, start:stop], ws.bits[start:stop]
    rows, slopes = ws.g[:, start:stop], ws.slope[:, start:stop]
    known = -1.0
    for q in range(first, channels.start[pair + 1]):
        g, slope = ws.g[q - first, start:stop], ws.slope[q - first, start:stop]
        kind, cutoff = channels.kind[q], channels.cutoff[q]
        if kind >= 0:
            compact_function(kind, channels.shift[q], cutoff, r, g, slope, work, bits)
            continue
        if cutoff != known:
            known = cutoff
            cutoff_function(plan.cutoff_kind, plan.cutoff_alpha, known, r, f, df, work, bits)
        if kind == CHEBYSHEV:
            chebyshev(int(channels.eta[q]), q - first, cutoff, r, f, df, rows, slopes)
            continue
        gaussian(channels.eta[q], channels.shift[q], r, f, df, g, slope, work, bits)


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
        for j in range(ws.starts[e], ws.starts[e + 1]):
            pairs.neighbor[4, j] = plan.atomic_numbers[e]
    sides = plan.sides
    first = sides.start[center]
    for q in range(first, sides.start[center + 1]):
        f, slope = pairs.sides[q - first, 0, :n], pairs.sides[q - first, 1, :n]
        kind, inner, cutoff = sides.kind[q], sides.inner[q], sides.cutoff[q]
        if kind < 0:
            cutoff_function(plan.cutoff_kind, plan.cutoff_alpha, cutoff, r, f, slope, work, bits)
        else:
            compact_function(kind, inner, cutoff, r, f, slope, work, bits)
        for j in range(n):
            slope[j] = slope[j] / f[j] if f[j] != 0.0 else 0.0


@simd
def clear(plan: PlanArrays, center: int, n: int, bar: Derivatives) -> None:
    """Set a reverse pass's sums over n neighbours to zero."""
    most = 0
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        most = max(most, plan.channels.start[pair + 1] - plan.channels.start[pair])
    for q in range(most):
        row = bar.g[q]
        for j in range(n):
            row[j] = 0.0
    for a in range(3):
        unit = bar.unit[a]
        for j in range(n):
            unit[j] = 0.0
    for j in range(n):
        for a in range(4):
            bar.edge[j, a] = 0.0


@simd
def collect_gradient(
    plan: PlanArrays, i: int, edges: Edges, ws: Workspace, bar: Derivatives, gradient: Floats
) -> None:
    """dE/dr_ij of the edges of atom i, from what the reverse pass has summed up.

    dE/dr_ij = u [sum_q (dE/dg_q) g_q' + dE/dr] + (1 - u u^T) (dE/du) / r + dE/dr_ij |direct
    """
    center, first = edges.elements[i], edges.row_pointer[i]
    radial = bar.distance
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        start, stop = ws.starts[e], ws.starts[e + 1]
        for j in range(start, stop):
            radial[j] = bar.edge[j, 3]
        for q in range(plan.channels.start[pair + 1] - plan.channels.start[pair]):
            g_bar, slope = bar.g[q], ws.slope[q]
            for j in range(start, stop):
                radial[j] += g_bar[j] * slope[j]
    for j in range(edges.row_pointer[i + 1] - first):
        x, y, z = ws.unit[0, j], ws.unit[1, j], ws.unit[2, j]
        bx, by, bz = bar.unit[0, j], bar.unit[1, j], bar.unit[2, j]
        along = radial[j] - (bx * x + by * y + bz * z) * ws.inverse[j]
        gradient[first + j, 0] = along * x + bx * ws.inverse[j] + bar.edge[j, 0]
        gradient[first + j, 1] = along * y + by * ws.inverse[j] + bar.edge[j, 1]
        gradient[first + j, 2] = along * z + bz * ws.inverse[j] + bar.edge[j, 2]


@simd
def spread_tangent(
    plan: PlanArrays, i: int, edges: Edges, vectors_dot: Floats, ws: Workspace, dot: Derivatives
) -> None:
    """Tangents of distance, unit vector and channels of atom i from those of the edge vectors.

    dr = u . v,  du = (v - u dr) / r,  dg_q = g_q' dr
    """
    center, first = edges.elements[i], edges.row_pointer[i]
    edge = dot.edge
    for j in range(edges.row_pointer[i + 1] - first):
        x, y, z = ws.unit[0, j], ws.unit[1, j], ws.unit[2, j]
        vx, vy, vz = vectors_dot[first + j, 0], vectors_dot[first + j, 1], vectors_dot[first + j, 2]
        along = x * vx + y * vy + z * vz
        dot.distance[j] = along
        dot.unit[0, j] = (vx - along * x) * ws.inverse[j]
        dot.unit[1, j] = (vy - along * y) * ws.inverse[j]
        dot.unit[2, j] = (vz - along * z) * ws.inverse[j]
        edge[j, 0], edge[j, 1], edge[j, 2], edge[j, 3] = vx, vy, vz, along
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        for q in range(plan.channels.start[pair + 1] - plan.channels.start[pair]):
            g_dot, slope = dot.g[q], ws.slope[q]
            for j in range(ws.starts[e], ws.starts[e + 1]):
                g_dot[j] = slope[j] * dot.distance[j]
