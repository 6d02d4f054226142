"""The moments of an atom with few neighbours: one neighbour after the other, SIMD over l and m.

A molecule's atoms have a handful of neighbours of each element, too few for loops over neighbours
to fill a SIMD register. The mathematics is that of ``moments``; here each neighbour has a row with
all its harmonics, ordered by l and then m, so that every loop runs over a contiguous row.
"""

from __future__ import annotations

from ladera.kernels.compilation import simd
from ladera.kernels.symmetry_functions.environment import Workspace, lm
from ladera.kernels.symmetry_functions.plan import Floats, PlanArrays


@simd
def fill_rows(plan: PlanArrays, degree: int, ws: Workspace) -> None:
    """(x + i y)^m, N_lm(z) and Y_lm = N_lm (x + i y)^m of every neighbour."""
    for j in range(ws.block[plan.n_elements]):
        x, y, z = ws.unit[0, j], ws.unit[1, j], ws.unit[2, j]
        c, s = ws.row_circle[j, 0], ws.row_circle[j, 1]
        c[0], s[0] = 1.0, 0.0
        for m in range(1, degree + 1):
            c[m] = x * c[m - 1] - y * s[m - 1]
            s[m] = x * s[m - 1] + y * c[m - 1]
        N, real, imaginary = (
            ws.row_legendre[j],
            ws.row_harmonic[j, 0],
            ws.row_harmonic[j, 1],
        )
        for l in range(degree + 1):
            here = N[lm(l, 0) : lm(l, l) + 1]
            here[l] = plan.harmonic_diagonal[l]
            if l > 0:
                last = N[lm(l - 1, 0) : lm(l, 0)]
                here[l - 1] = plan.harmonic_a[l, l - 1] * z * last[l - 1]
            if l > 1:
                before = N[lm(l - 2, 0) : lm(l - 1, 0)]
                a, b = plan.harmonic_a[l], plan.harmonic_b[l]
                for m in range(l - 1):
                    here[m] = a[m] * z * last[m] - b[m] * before[m]
            one, two = real[lm(l, 0) :], imaginary[lm(l, 0) :]
            for m in range(l + 1):
                one[m] = here[m] * c[m]
                two[m] = here[m] * s[m]


@simd
def slot_moments(degree: int, begin: int, end: int, g: Floats, ws: Workspace, out: Floats) -> None:
    """A_lm = sum_j g_j Y_lm(u_j) of one slot."""
    n_lm = lm(degree + 1, 0)
    for i in range(2):
        total = out[i, :n_lm]
        total[:] = 0.0
        for j in range(begin, end):
            row, weight = ws.row_harmonic[j, i], g[j - begin]
            for p in range(n_lm):
                total[p] += weight * row[p]


@simd
def block_reverse(
    plan: PlanArrays,
    first: int,
    last: int,
    first_slot: int,
    begin: int,
    end: int,
    ws: Workspace,
) -> None:
    """Add the share of the slots first to last, all of one block, in dE/dg and dE/du."""
    degree = -1
    for slot in range(first, last):
        degree = max(degree, plan.slot_degree[slot])
    real, imaginary = ws.row_bar[0], ws.row_bar[1]
    for j in range(begin, end):
        ws.row_bar[:, : lm(degree + 1, 0)] = 0.0
        for slot in range(first, last):
            q, n_lm = plan.slot_channel[slot], lm(plan.slot_degree[slot] + 1, 0)
            weight, total = ws.g[q, j], 0.0
            for i in range(2):
                bar, row, here = (
                    ws.moments_bar[slot - first_slot, i],
                    ws.row_harmonic[j, i],
                    ws.row_bar[i],
                )
                for p in range(n_lm):
                    total += bar[p] * row[p]
                for p in range(n_lm):
                    here[p] += weight * bar[p]
            ws.g_bar[q, j] += total
        _direction_reverse(plan, degree, j, real, imaginary, ws)


@simd
def _direction_reverse(
    plan: PlanArrays,
    degree: int,
    j: int,
    real: Floats,
    imaginary: Floats,
    ws: Workspace,
) -> None:
    """dE/du of one neighbour from its dE/dY_lm; the derivatives are those of ``moments``."""
    c, s = ws.row_circle[j, 0], ws.row_circle[j, 1]
    x_bar, y_bar, z_bar = 0.0, 0.0, 0.0
    for l in range(1, degree + 1):
        N = ws.row_legendre[j, lm(l, 0) : lm(l, l) + 1]
        one, two, d = real[lm(l, 0) :], imaginary[lm(l, 0) :], plan.harmonic_d[l]
        for m in range(1, l + 1):
            mN = m * N[m]
            x_bar += mN * (one[m] * c[m - 1] + two[m] * s[m - 1])
            y_bar += mN * (two[m] * c[m - 1] - one[m] * s[m - 1])
            z_bar += d[m - 1] * N[m] * (one[m - 1] * c[m - 1] + two[m - 1] * s[m - 1])
    ws.unit_bar[0, j] += x_bar
    ws.unit_bar[1, j] += y_bar
    ws.unit_bar[2, j] += z_bar


@simd
def fill_row_tangents(plan: PlanArrays, degree: int, ws: Workspace) -> None:
    """dY_lm of every neighbour from the tangent of its unit vector."""
    for j in range(ws.block[plan.n_elements]):
        x_dot, y_dot, z_dot = ws.unit_bar[0, j], ws.unit_bar[1, j], ws.unit_bar[2, j]
        c, s = ws.row_circle[j, 0], ws.row_circle[j, 1]
        for l in range(degree + 1):
            N = ws.row_legendre[j, lm(l, 0) : lm(l, l) + 1]
            one, two = (
                ws.row_tangent[j, 0, lm(l, 0) :],
                ws.row_tangent[j, 1, lm(l, 0) :],
            )
            d = plan.harmonic_d[l]
            one[l], two[l] = 0.0, 0.0
            for m in range(l):
                dN = d[m] * N[m + 1] * z_dot
                one[m] = dN * c[m]
                two[m] = dN * s[m]
            for m in range(1, l + 1):
                mN = m * N[m]
                one[m] += mN * (c[m - 1] * x_dot - s[m - 1] * y_dot)
                two[m] += mN * (s[m - 1] * x_dot + c[m - 1] * y_dot)


@simd
def slot_tangent(
    degree: int,
    begin: int,
    end: int,
    g: Floats,
    g_dot: Floats,
    ws: Workspace,
    dot: Floats,
) -> None:
    """dA_lm = sum_j dg_j Y_lm + g_j dY_lm of one slot."""
    n_lm = lm(degree + 1, 0)
    for i in range(2):
        total = dot[i, :n_lm]
        for j in range(begin, end):
            row, change = ws.row_harmonic[j, i], ws.row_tangent[j, i]
            weight, weight_dot = g[j - begin], g_dot[j - begin]
            for p in range(n_lm):
                total[p] += weight_dot * row[p] + weight * change[p]
