"""Wide functions from moments: O(neighbours), no triplets; the formulas are those of ``plan``."""

from __future__ import annotations

from ladera.kernels.symmetry_functions.environment import Workspace, fill_harmonics, legendre_row
from ladera.kernels.symmetry_functions.plan import Floats, PlanArrays
from ladera.kernels.symmetry_functions.vector_math import simd


@simd
def accumulate_moments(plan: PlanArrays, center: int, ws: Workspace) -> None:
    """A_lm = sum_j g_j Y_lm(u_j) and sum_j g_j^2 of every slot of a central element."""
    stride = plan.degree[center]
    first_slot = plan.slot_start[center * plan.n_elements]
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        degree = _block_degree(plan, pair)
        begin, end = ws.block[e], ws.block[e + 1]
        if degree >= 0 and end > begin:
            fill_harmonics(plan, degree, stride, begin, end, ws)
        for slot in range(plan.slot_start[pair], plan.slot_start[pair + 1]):
            s = slot - first_slot
            g = ws.g[plan.slot_channel[slot], begin:end]
            square = 0.0
            for j in range(end - begin):
                square += g[j] * g[j]
            ws.squares[s] = square
            _moments_of_slot(plan.slot_degree[slot], stride, g, ws, ws.moments[s])


@simd
def _block_degree(plan: PlanArrays, pair: int) -> int:
    degree = -1
    for slot in range(plan.slot_start[pair], plan.slot_start[pair + 1]):
        degree = max(degree, plan.slot_degree[slot])
    return degree


@simd
def _moments_of_slot(degree: int, stride: int, g: Floats, ws: Workspace, moments: Floats) -> None:
    n = g.size
    wc, ws_ = ws.rows[0, :n], ws.rows[1, :n]
    for m in range(degree + 1):
        c, s = ws.cosine[m], ws.sine[m]
        for j in range(n):
            wc[j] = g[j] * c[j]
            ws_[j] = g[j] * s[j]
        row = legendre_row(stride, m)
        for l in range(m, degree + 1):
            N = ws.legendre[row + l]
            real, imaginary = 0.0, 0.0
            for j in range(n):
                real += wc[j] * N[j]
                imaginary += ws_[j] * N[j]
            moments[0, row + l] = real
            moments[1, row + l] = imaginary


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
    stride = plan.degree[center]
    for group in range(plan.wide_start[center], plan.wide_start[center + 1]):
        if _has_no_pair(plan, group, ws):
            continue
        s1, s2 = plan.wide_slots[group, 0], plan.wide_slots[group, 1]
        one, two = ws.moments[s1], ws.moments[s2]
        begin, end = plan.wide_function_start[group], plan.wide_function_start[group + 1]
        for f in range(begin, end):
            G[plan.wide_output[f]] += plan.wide_self[f] * ws.squares[s1]
        for l in range(plan.wide_degree[group] + 1):
            product = 0.0
            for m in range(l + 1):
                p = legendre_row(stride, m) + l
                product += one[0, p] * two[0, p] + one[1, p] * two[1, p]
            for f in range(begin, end):
                G[plan.wide_output[f]] += plan.wide_coefficients[f, l] * product


@simd
def wide_reverse(plan: PlanArrays, center: int, ws: Workspace, G_bar: Floats) -> None:
    """dE/dA_lm and dE/d(sum g^2) from dE/dG, then their share of dE/dg and dE/du."""
    stride = plan.degree[center]
    if stride < 0:
        return
    ws.moments_bar[:] = 0.0
    ws.squares_bar[:] = 0.0
    for group in range(plan.wide_start[center], plan.wide_start[center + 1]):
        if _has_no_pair(plan, group, ws):
            continue
        s1, s2 = plan.wide_slots[group, 0], plan.wide_slots[group, 1]
        one, two = ws.moments[s1], ws.moments[s2]
        one_bar, two_bar = ws.moments_bar[s1], ws.moments_bar[s2]
        begin, end = plan.wide_function_start[group], plan.wide_function_start[group + 1]
        for f in range(begin, end):
            ws.squares_bar[s1] += plan.wide_self[f] * G_bar[plan.wide_output[f]]
        for l in range(plan.wide_degree[group] + 1):
            bar = 0.0
            for f in range(begin, end):
                bar += plan.wide_coefficients[f, l] * G_bar[plan.wide_output[f]]
            for m in range(l + 1):
                p = legendre_row(stride, m) + l
                for i in range(2):
                    one_bar[i, p] += bar * two[i, p]
                    two_bar[i, p] += bar * one[i, p]
    _moments_reverse(plan, center, stride, ws)


@simd
def _moments_reverse(plan: PlanArrays, center: int, stride: int, ws: Workspace) -> None:
    first_slot = plan.slot_start[center * plan.n_elements]
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        begin, end = ws.block[e], ws.block[e + 1]
        degree = _block_degree(plan, pair)
        if end == begin or degree < 0:
            continue
        fill_harmonics(plan, degree, stride, begin, end, ws)
        for slot in range(plan.slot_start[pair], plan.slot_start[pair + 1]):
            s, q = slot - first_slot, plan.slot_channel[slot]
            g, g_bar = ws.g[q, begin:end], ws.g_bar[q, begin:end]
            factor = 2.0 * ws.squares_bar[s]
            for j in range(end - begin):
                g_bar[j] += factor * g[j]
            _slot_reverse(plan, plan.slot_degree[slot], stride, begin, end, g, g_bar, s, ws)


@simd
def _slot_reverse(
    plan: PlanArrays,
    degree: int,
    stride: int,
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
    a_real, a_imaginary, b_real, b_imaginary = (
        ws.rows[0, :n],
        ws.rows[1, :n],
        ws.rows[2, :n],
        ws.rows[3, :n],
    )
    bar = ws.moments_bar[s]
    for m in range(degree + 1):
        _column_sums(plan, degree, stride, m, bar, ws, a_real, a_imaginary, b_real, b_imaginary)
        c, i = ws.cosine[m], ws.sine[m]
        for j in range(n):
            g_bar[j] += a_real[j] * c[j] + a_imaginary[j] * i[j]
        if m > 0:
            c, i = ws.cosine[m - 1], ws.sine[m - 1]
            for j in range(n):
                x_bar[j] += m * g[j] * (a_real[j] * c[j] + a_imaginary[j] * i[j])
                y_bar[j] += m * g[j] * (a_imaginary[j] * c[j] - a_real[j] * i[j])
                z_bar[j] += g[j] * (b_real[j] * c[j] + b_imaginary[j] * i[j])


@simd
def _column_sums(
    plan: PlanArrays,
    degree: int,
    stride: int,
    m: int,
    bar: Floats,
    ws: Workspace,
    a_real: Floats,
    a_imaginary: Floats,
    b_real: Floats,
    b_imaginary: Floats,
) -> None:
    """a_m and, since dN_l,m-1/dz = d_l,m-1 N_lm, also b_(m-1), in one pass over N_lm."""
    n = a_real.size
    row, last = legendre_row(stride, m), legendre_row(stride, max(m - 1, 0))
    for j in range(n):
        a_real[j] = 0.0
        a_imaginary[j] = 0.0
        b_real[j] = 0.0
        b_imaginary[j] = 0.0
    for l in range(m, degree + 1):
        N = ws.legendre[row + l]
        ar, ai = bar[0, row + l], bar[1, row + l]
        if m == 0:
            for j in range(n):
                a_real[j] += ar * N[j]
        else:
            d = plan.harmonic_d[l, m - 1]
            br, bi = d * bar[0, last + l], d * bar[1, last + l]
            for j in range(n):
                a_real[j] += ar * N[j]
                a_imaginary[j] += ai * N[j]
                b_real[j] += br * N[j]
                b_imaginary[j] += bi * N[j]


@simd
def wide_tangent(plan: PlanArrays, center: int, ws: Workspace, G_dot: Floats) -> None:
    """dG from the tangents of channels and unit vectors; needs the moments themselves."""
    stride = plan.degree[center]
    if stride < 0:
        return
    _moment_tangents(plan, center, stride, ws)
    for group in range(plan.wide_start[center], plan.wide_start[center + 1]):
        if _has_no_pair(plan, group, ws):
            continue
        s1, s2 = plan.wide_slots[group, 0], plan.wide_slots[group, 1]
        one, two = ws.moments[s1], ws.moments[s2]
        one_dot, two_dot = ws.moments_bar[s1], ws.moments_bar[s2]
        begin, end = plan.wide_function_start[group], plan.wide_function_start[group + 1]
        for f in range(begin, end):
            G_dot[plan.wide_output[f]] += plan.wide_self[f] * ws.squares_bar[s1]
        for l in range(plan.wide_degree[group] + 1):
            product = 0.0
            for m in range(l + 1):
                p = legendre_row(stride, m) + l
                for i in range(2):
                    product += one_dot[i, p] * two[i, p] + one[i, p] * two_dot[i, p]
            for f in range(begin, end):
                G_dot[plan.wide_output[f]] += plan.wide_coefficients[f, l] * product


@simd
def _moment_tangents(plan: PlanArrays, center: int, stride: int, ws: Workspace) -> None:
    """dA_lm = sum_j [dg (c, s)_m + g d(c, s)_m] N_lm + g (c, s)_m dN_lm/dz dz."""
    first_slot = plan.slot_start[center * plan.n_elements]
    ws.moments_bar[:] = 0.0
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        begin, end = ws.block[e], ws.block[e + 1]
        degree = _block_degree(plan, pair)
        if end > begin and degree >= 0:
            fill_harmonics(plan, degree, stride, begin, end, ws)
        for slot in range(plan.slot_start[pair], plan.slot_start[pair + 1]):
            s, q = slot - first_slot, plan.slot_channel[slot]
            g, g_dot = ws.g[q, begin:end], ws.g_bar[q, begin:end]
            square = 0.0
            for j in range(end - begin):
                square += g[j] * g_dot[j]
            ws.squares_bar[s] = 2.0 * square
            _slot_tangent(plan, plan.slot_degree[slot], stride, begin, end, g, g_dot, s, ws)


@simd
def _slot_tangent(
    plan: PlanArrays,
    degree: int,
    stride: int,
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
        c, i = ws.cosine[m], ws.sine[m]
        for j in range(n):
            wr[j] = g_dot[j] * c[j]
            wi[j] = g_dot[j] * i[j]
        if m > 0:
            c, i = ws.cosine[m - 1], ws.sine[m - 1]
            for j in range(n):
                wr[j] += m * g[j] * (c[j] * x_dot[j] - i[j] * y_dot[j])
                wi[j] += m * g[j] * (i[j] * x_dot[j] + c[j] * y_dot[j])
                vr[j] = g[j] * z_dot[j] * c[j]
                vi[j] = g[j] * z_dot[j] * i[j]
        row, last = legendre_row(stride, m), legendre_row(stride, max(m - 1, 0))
        for l in range(m, degree + 1):
            N = ws.legendre[row + l]
            wr_sum, wi_sum, vr_sum, vi_sum = 0.0, 0.0, 0.0, 0.0
            for j in range(n):
                wr_sum += wr[j] * N[j]
                wi_sum += wi[j] * N[j]
            dot[0, row + l] += wr_sum
            dot[1, row + l] += wi_sum
            if m > 0:
                for j in range(n):
                    vr_sum += vr[j] * N[j]
                    vi_sum += vi[j] * N[j]
                dot[0, last + l] += plan.harmonic_d[l, m - 1] * vr_sum
                dot[1, last + l] += plan.harmonic_d[l, m - 1] * vi_sum
