"""The moments of an atom with few neighbours: one neighbour after the other, SIMD over l and m.

A molecule's atoms have a handful of neighbours of each element, too few for loops over neighbours
to fill a SIMD register. The mathematics is that of ``moments``; here each neighbour has a row with
all its harmonics, ordered by l and then m, so that every loop runs over a contiguous row.
"""

from __future__ import annotations

from ladera.arrays import Floats
from ladera.kernels.compilation import simd
from ladera.kernels.harmonics import HarmonicRow, fill_row, lm, reverse_row, tangent_row
from ladera.kernels.symmetry_functions.environment import Derivatives, Workspace
from ladera.kernels.symmetry_functions.plan_arrays import PlanArrays


@simd
def _row(ws: Workspace, j: int) -> HarmonicRow:
    return HarmonicRow(ws.row_circle[j], ws.row_legendre[j], ws.row_harmonic[j])


@simd
def fill_rows(plan: PlanArrays, degree: int, ws: Workspace) -> None:
    """The harmonics of every neighbour."""
    for j in range(ws.starts[plan.n_elements]):
        x, y, z = ws.unit[0, j], ws.unit[1, j], ws.unit[2, j]
        fill_row(degree, plan.harmonics, x, y, z, _row(ws, j))


@simd
def slot_moments(
    degree: int, start: int, stop: int, g: Floats, ws: Workspace, moments: Floats
) -> None:
    """A_lm = sum_j g_j Y_lm(u_j) of one slot."""
    n_lm = lm(degree + 1, 0)
    for i in range(2):
        total = moments[i, :n_lm]
        total[:] = 0.0
        for j in range(start, stop):
            row, weight = ws.row_harmonic[j, i], g[j - start]
            for p in range(n_lm):
                total[p] += weight * row[p]


@simd
def element_reverse(
    plan: PlanArrays, center: int, element: int, ws: Workspace, bar: Derivatives
) -> None:
    """Add what all slots of one neighbour element give to dE/dg and dE/du."""
    slots, first_slot = plan.slots, plan.slots.start[center * plan.n_elements]
    pair = center * plan.n_elements + element
    start, stop = slots.start[pair], slots.start[pair + 1]
    degree = -1
    for slot in range(start, stop):
        degree = max(degree, slots.degree[slot])
    for j in range(ws.starts[element], ws.starts[element + 1]):
        harmonic_bar = bar.row_harmonic[j]
        harmonic_bar[:, : lm(degree + 1, 0)] = 0.0
        for slot in range(start, stop):
            q, n_lm = slots.channel[slot], lm(slots.degree[slot] + 1, 0)
            weight, total = ws.g[q, j], 0.0
            for i in range(2):
                moments_bar, row, sums = (
                    bar.moments[slot - first_slot, i],
                    ws.row_harmonic[j, i],
                    harmonic_bar[i],
                )
                for p in range(n_lm):
                    total += moments_bar[p] * row[p]
                for p in range(n_lm):
                    sums[p] += weight * moments_bar[p]
            bar.g[q, j] += total
        x_bar, y_bar, z_bar = reverse_row(degree, plan.harmonics, _row(ws, j), harmonic_bar)
        bar.unit[0, j] += x_bar
        bar.unit[1, j] += y_bar
        bar.unit[2, j] += z_bar


@simd
def fill_row_tangents(plan: PlanArrays, degree: int, ws: Workspace, dot: Derivatives) -> None:
    """dY_lm of every neighbour from the tangent of its unit vector."""
    for j in range(ws.starts[plan.n_elements]):
        x_dot, y_dot, z_dot = dot.unit[0, j], dot.unit[1, j], dot.unit[2, j]
        tangent_row(degree, plan.harmonics, _row(ws, j), x_dot, y_dot, z_dot, dot.row_harmonic[j])


@simd
def slot_tangent(
    degree: int,
    start: int,
    stop: int,
    g: Floats,
    g_dot: Floats,
    ws: Workspace,
    row_dot: Floats,
    moments_dot: Floats,
) -> None:
    """dA_lm = sum_j dg_j Y_lm + g_j dY_lm of one slot."""
    n_lm = lm(degree + 1, 0)
    for i in range(2):
        total = moments_dot[i, :n_lm]
        for j in range(start, stop):
            row, change = ws.row_harmonic[j, i], row_dot[j, i]
            weight, weight_dot = g[j - start], g_dot[j - start]
            for p in range(n_lm):
                total[p] += weight_dot * row[p] + weight * change[p]
