"""Wide functions from moments: O(neighbours), no triplets; the formulas are those of ``plan``."""

from __future__ import annotations

from ladera.kernels.compilation import simd
from ladera.kernels.symmetry_functions import few_neighbors
from ladera.kernels.symmetry_functions.environment import (
    FEW,
    Workspace,
    fill_harmonics,
    lm,
)
from ladera.kernels.symmetry_functions.plan import Floats, PlanArrays


@simd
def accumulate_moments(plan: PlanArrays, center: int, ws: Workspace) -> None:
    """A_lm = sum_j g_j Y_lm(u_j) and sum_j g_j^2 of every slot of a central element."""
    first_slot = plan.slot_start[center * plan.n_elements]
    few = ws.block[plan.n_elements] <= FEW
    if few:
        few_neighbors.fill_rows(plan, plan.degree[center], ws)
    else:
        fill_harmonics(plan, plan.degree[center], ws)
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        begin, end = ws.block[e], ws.block[e + 1]
        for slot in range(plan.slot_start[pair], plan.slot_start[pair + 1]):
            s = slot - first_slot
            g = ws.g[plan.slot_channel[slot], begin:end]
            square = 0.0
            for j in range(end - begin):
                square += g[j] * g[j]
            ws.squares[s] = square
            if few:
                few_neighbors.slot_moments(plan.slot_degree[slot], begin, end, g, ws, ws.moments[s])
            else:
                _moments_of_slot(plan.slot_degree[slot], begin, end, g, ws, ws.moments[s])


@simd
def _moments_of_slot(
    degree: int, begin: int, end: int, g: Floats, ws: Workspace, moments: Floats
) -> None:
    n = end - begin
    real_weight, imaginary_weight = ws.rows[0, :n], ws.rows[1, :n]
    for m in range(degree + 1):
        c, s = ws.cosine[m, begin:end], ws.sine[m, begin:end]
        for j in range(n):
            real_weight[j] = g[j] * c[j]
            imaginary_weight[j] = g[j] * s[j]
        for l in range(m, degree + 1):
            N = ws.legendre[lm(l, m), begin:end]
            real, imaginary = 0.0, 0.0
            for j in range(n):
                real += real_weight[j] * N[j]
                imaginary += imaginary_weight[j] * N[j]
            moments[0, lm(l, m)] = real
            moments[1, lm(l, m)] = imaginary


@simd
def _has_no_pair(plan: PlanArrays, group: int, ws: Workspace) -> bool:
    """Whether no two neighbours fit a group, so that its functions are exactly zero."""
    e1, e2 = plan.wide_elements[group, 0], plan.wide_elements[group, 1]
    n1, n2 = ws.block[e1 + 1] - ws.block[e1], ws.block[e2 + 1] - ws.block[e2]
    none: bool = n1 < 2 if e1 == e2 else n1 == 0 or n2 == 0
    return none


@simd
def wide_values(plan: PlanArrays, center: int, ws: Workspace, G: Floats) -> None:
    """G = sum_l kappa_l sum_m A_lm(e1) A_lm(e2), less the term j = k for equal elements."""
    for group in range(plan.wide_start[center], plan.wide_start[center + 1]):
        if _has_no_pair(plan, group, ws):
            continue
        s1, s2 = plan.wide_slots[group, 0], plan.wide_slots[group, 1]
        begin, end = (
            plan.wide_function_start[group],
            plan.wide_function_start[group + 1],
        )
        for f in range(begin, end):
            G[plan.wide_output[f]] += plan.wide_self[f] * ws.squares[s1]
        for l in range(plan.wide_degree[group] + 1):
            product = _product(l, ws.moments[s1], ws.moments[s2])
            for f in range(begin, end):
                G[plan.wide_output[f]] += plan.wide_coefficients[f, l] * product


@simd
def _product(l: int, one: Floats, two: Floats) -> float:
    """sum_m A_lm B_lm."""
    total = 0.0
    for p in range(lm(l, 0), lm(l, l) + 1):
        total += one[0, p] * two[0, p] + one[1, p] * two[1, p]
    return total


@simd
def wide_reverse(plan: PlanArrays, center: int, ws: Workspace, G_bar: Floats) -> None:
    """dE/dA_lm and dE/d(sum g^2) from dE/dG, then their share of dE/dg and dE/du."""
    if plan.degree[center] < 0:
        return
    ws.moments_bar[:] = 0.0
    ws.squares_bar[:] = 0.0
    for group in range(plan.wide_start[center], plan.wide_start[center + 1]):
        if _has_no_pair(plan, group, ws):
            continue
        s1, s2 = plan.wide_slots[group, 0], plan.wide_slots[group, 1]
        one, two = ws.moments[s1], ws.moments[s2]
        one_bar, two_bar = ws.moments_bar[s1], ws.moments_bar[s2]
        begin, end = (
            plan.wide_function_start[group],
            plan.wide_function_start[group + 1],
        )
        for f in range(begin, end):
            ws.squares_bar[s1] += plan.wide_self[f] * G_bar[plan.wide_output[f]]
        for l in range(plan.wide_degree[group] + 1):
            bar = 0.0
            for f in range(begin, end):
                bar += plan.wide_coefficients[f, l] * G_bar[plan.wide_output[f]]
            for i in range(2):
                for p in range(lm(l, 0), lm(l, l) + 1):
                    one_bar[i, p] += bar * two[i, p]
                for p in range(lm(l, 0), lm(l, l) + 1):
                    two_bar[i, p] += bar * one[i, p]
    _moments_reverse(plan, center, ws)


@simd
def _moments_reverse(plan: PlanArrays, center: int, ws: Workspace) -> None:
    few = ws.block[plan.n_elements] <= FEW
    first_slot = plan.slot_start[center * plan.n_elements]
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        begin, end = ws.block[e], ws.block[e + 1]
        if end == begin:
            continue
        first, last = plan.slot_start[pair], plan.slot_start[pair + 1]
        for slot in range(first, last):
            s, q = slot - first_slot, plan.slot_channel[slot]
            g, g_bar = ws.g[q, begin:end], ws.g_bar[q, begin:end]
            factor = 2.0 * ws.squares_bar[s]
            for j in range(end - begin):
                g_bar[j] += factor * g[j]
            if not few:
                _slot_reverse(plan, plan.slot_degree[slot], begin, end, g, g_bar, s, ws)
        if few and last > first:
            few_neighbors.block_reverse(plan, first, last, first_slot, begin, end, ws)


@simd
def _slot_reverse(
    plan: PlanArrays,
    degree: int,
    begin: int,
    end: int,
    g: Floats,
    g_bar: Floats,
    s: int,
    ws: Workspace,
) -> None:
    """Add one slot's dE/dg and dE/du.

    With a_m = sum_l Abar_lm N_lm (real and imaginary part) and b_m the same with dN_lm/dz:
    dE/dg = sum_m a_m . (c_m, s_m); dE/dz = g sum_m b_m . (c_m, s_m); and dE/dx, dE/dy from
    d(x + i y)^m = m (x + i y)^(m-1) (dx + i dy).
    """
    n = end - begin
    x_bar, y_bar, z_bar = (
        ws.unit_bar[0, begin:end],
        ws.unit_bar[1, begin:end],
        ws.unit_bar[2, begin:end],
    )
    ar, ai, br, bi = ws.rows[0, :n], ws.rows[1, :n], ws.rows[2, :n], ws.rows[3, :n]
    for m in range(degree + 1):
        _column_sums(plan, degree, m, begin, end, ws.moments_bar[s], ws)
        c, i = ws.cosine[m, begin:end], ws.sine[m, begin:end]
        for j in range(n):
            g_bar[j] += ar[j] * c[j] + ai[j] * i[j]
        if m > 0:
            c, i = ws.cosine[m - 1, begin:end], ws.sine[m - 1, begin:end]
            for j in range(n):
                x_bar[j] += m * g[j] * (ar[j] * c[j] + ai[j] * i[j])
                y_bar[j] += m * g[j] * (ai[j] * c[j] - ar[j] * i[j])
                z_bar[j] += g[j] * (br[j] * c[j] + bi[j] * i[j])


@simd
def _column_sums(
    plan: PlanArrays,
    degree: int,
    m: int,
    begin: int,
    end: int,
    bar: Floats,
    ws: Workspace,
) -> None:
    """a_m and, since dN_l,m-1/dz = d_l,m-1 N_lm, also b_(m-1), in one pass over N_lm.

    They go to the first four rows of the workspace.
    """
    n = end - begin
    ar, ai, br, bi = ws.rows[0, :n], ws.rows[1, :n], ws.rows[2, :n], ws.rows[3, :n]
    for j in range(n):
        ar[j] = 0.0
        ai[j] = 0.0
        br[j] = 0.0
        bi[j] = 0.0
    for l in range(m, degree + 1):
        N = ws.legendre[lm(l, m), begin:end]
        p, q = bar[0, lm(l, m)], bar[1, lm(l, m)]
        if m == 0:
            for j in range(n):
                ar[j] += p * N[j]
        else:
            d = plan.harmonic_d[l, m - 1]
            u, v = d * bar[0, lm(l, m - 1)], d * bar[1, lm(l, m - 1)]
            for j in range(n):
                ar[j] += p * N[j]
                ai[j] += q * N[j]
                br[j] += u * N[j]
                bi[j] += v * N[j]


@simd
def wide_tangent(plan: PlanArrays, center: int, ws: Workspace, G_dot: Floats) -> None:
    """dG from the tangents of channels and unit vectors; needs the moments themselves."""
    if plan.degree[center] < 0:
        return
    _moment_tangents(plan, center, ws)
    for group in range(plan.wide_start[center], plan.wide_start[center + 1]):
        if _has_no_pair(plan, group, ws):
            continue
        s1, s2 = plan.wide_slots[group, 0], plan.wide_slots[group, 1]
        begin, end = (
            plan.wide_function_start[group],
            plan.wide_function_start[group + 1],
        )
        for f in range(begin, end):
            G_dot[plan.wide_output[f]] += plan.wide_self[f] * ws.squares_bar[s1]
        for l in range(plan.wide_degree[group] + 1):
            product = _product(l, ws.moments_bar[s1], ws.moments[s2])
            product += _product(l, ws.moments[s1], ws.moments_bar[s2])
            for f in range(begin, end):
                G_dot[plan.wide_output[f]] += plan.wide_coefficients[f, l] * product


@simd
def _moment_tangents(plan: PlanArrays, center: int, ws: Workspace) -> None:
    """dA_lm = sum_j [dg (c, s)_m + g d(c, s)_m] N_lm + g (c, s)_m dN_lm/dz dz."""
    first_slot = plan.slot_start[center * plan.n_elements]
    ws.moments_bar[:] = 0.0
    few = ws.block[plan.n_elements] <= FEW
    if few:
        few_neighbors.fill_row_tangents(plan, plan.degree[center], ws)
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        begin, end = ws.block[e], ws.block[e + 1]
        for slot in range(plan.slot_start[pair], plan.slot_start[pair + 1]):
            s, q = slot - first_slot, plan.slot_channel[slot]
            g, g_dot = ws.g[q, begin:end], ws.g_bar[q, begin:end]
            square = 0.0
            for j in range(end - begin):
                square += g[j] * g_dot[j]
            ws.squares_bar[s] = 2.0 * square
            if few:
                few_neighbors.slot_tangent(
                    plan.slot_degree[slot], begin, end, g, g_dot, ws, ws.moments_bar[s]
                )
            elif end > begin:
                _slot_tangent(plan, plan.slot_degree[slot], begin, end, g, g_dot, s, ws)


@simd
def _slot_tangent(
    plan: PlanArrays,
    degree: int,
    begin: int,
    end: int,
    g: Floats,
    g_dot: Floats,
    s: int,
    ws: Workspace,
) -> None:
    n = end - begin
    x_dot, y_dot, z_dot = (
        ws.unit_bar[0, begin:end],
        ws.unit_bar[1, begin:end],
        ws.unit_bar[2, begin:end],
    )
    wr, wi, vr, vi = ws.rows[0, :n], ws.rows[1, :n], ws.rows[2, :n], ws.rows[3, :n]
    dot = ws.moments_bar[s]
    for m in range(degree + 1):
        c, i = ws.cosine[m, begin:end], ws.sine[m, begin:end]
        for j in range(n):
            wr[j] = g_dot[j] * c[j]
            wi[j] = g_dot[j] * i[j]
        if m > 0:
            c, i = ws.cosine[m - 1, begin:end], ws.sine[m - 1, begin:end]
            for j in range(n):
                wr[j] += m * g[j] * (c[j] * x_dot[j] - i[j] * y_dot[j])
                wi[j] += m * g[j] * (i[j] * x_dot[j] + c[j] * y_dot[j])
                vr[j] = g[j] * z_dot[j] * c[j]
                vi[j] = g[j] * z_dot[j] * i[j]
        for l in range(m, degree + 1):
            N = ws.legendre[lm(l, m), begin:end]
            real, imaginary, real_z, imaginary_z = 0.0, 0.0, 0.0, 0.0
            for j in range(n):
                real += wr[j] * N[j]
                imaginary += wi[j] * N[j]
            dot[0, lm(l, m)] += real
            dot[1, lm(l, m)] += imaginary
            if m > 0:
                for j in range(n):
                    real_z += vr[j] * N[j]
                    imaginary_z += vi[j] * N[j]
                dot[0, lm(l, m - 1)] += plan.harmonic_d[l, m - 1] * real_z
                dot[1, lm(l, m - 1)] += plan.harmonic_d[l, m - 1] * imaginary_z
