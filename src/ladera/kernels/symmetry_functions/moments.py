"""Wide functions from moments: O(neighbours), no triplets; the formulas are those of ``plan``."""

from __future__ import annotations

from ladera.arrays import Floats
from ladera.kernels.compilation import simd
from ladera.kernels.harmonics import fill_factors, lm
from ladera.kernels.symmetry_functions import few_neighbors
from ladera.kernels.symmetry_functions.environment import FEW, Derivatives, Workspace
from ladera.kernels.symmetry_functions.plan_arrays import PlanArrays


@simd
def accumulate_moments(plan: PlanArrays, center: int, ws: Workspace) -> None:
    """A_lm = sum_j g_j Y_lm(u_j) and sum_j g_j^2 of every slot of a central element."""
    slots, first_slot = plan.slots, plan.slots.start[center * plan.n_elements]
    n, degree = ws.starts[plan.n_elements], plan.degree[center]
    few = n <= FEW
    if few:
        few_neighbors.fill_rows(plan, degree, ws)
    else:
        fill_factors(degree, plan.harmonics, n, ws.unit, ws.cosine, ws.sine, ws.legendre)
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        start, stop = ws.starts[e], ws.starts[e + 1]
        for slot in range(slots.start[pair], slots.start[pair + 1]):
            s = slot - first_slot
            g = ws.g[slots.channel[slot], start:stop]
            square = 0.0
            for j in range(stop - start):
                square += g[j] * g[j]
            ws.squares[s] = square
            if few:
                few_neighbors.slot_moments(slots.degree[slot], start, stop, g, ws, ws.moments[s])
            else:
                _slot_moments(slots.degree[slot], start, stop, g, ws, ws.moments[s])


@simd
def _slot_moments(
    degree: int, start: int, stop: int, g: Floats, ws: Workspace, moments: Floats
) -> None:
    n = stop - start
    real_weight, imaginary_weight = ws.rows[0, :n], ws.rows[1, :n]
    for m in range(degree + 1):
        c, s = ws.cosine[m, start:stop], ws.sine[m, start:stop]
        for j in range(n):
            real_weight[j] = g[j] * c[j]
            imaginary_weight[j] = g[j] * s[j]
        for l in range(m, degree + 1):
            N = ws.legendre[lm(l, m), start:stop]
            real, imaginary = 0.0, 0.0
            for j in range(n):
                real += real_weight[j] * N[j]
                imaginary += imaginary_weight[j] * N[j]
            moments[0, lm(l, m)] = real
            moments[1, lm(l, m)] = imaginary


@simd
def _has_no_pair(plan: PlanArrays, group: int, ws: Workspace) -> bool:
    """Whether no two neighbours fit a group, so that its functions are exactly zero."""
    e1, e2 = plan.wide.first_element[group], plan.wide.second_element[group]
    n1, n2 = ws.starts[e1 + 1] - ws.starts[e1], ws.starts[e2 + 1] - ws.starts[e2]
    none: bool = n1 < 2 if e1 == e2 else n1 == 0 or n2 == 0
    return none


@simd
def wide_values(plan: PlanArrays, center: int, ws: Workspace, G: Floats) -> None:
    """G = sum_l kappa_l sum_m A_lm(e1) A_lm(e2), less the term j = k for equal elements."""
    wide, functions = plan.wide, plan.wide_functions
    for group in range(wide.start[center], wide.start[center + 1]):
        if _has_no_pair(plan, group, ws):
            continue
        s1, s2 = wide.first_slot[group], wide.second_slot[group]
        start, stop = functions.start[group], functions.start[group + 1]
        for f in range(start, stop):
            G[functions.output[f]] += functions.self_term[f] * ws.squares[s1]
        for l in range(wide.degree[group] + 1):
            product = _product(l, ws.moments[s1], ws.moments[s2])
            for f in range(start, stop):
                G[functions.output[f]] += functions.coefficients[f, l] * product


@simd
def _product(l: int, one: Floats, two: Floats) -> float:
    """sum_m A_lm B_lm."""
    total = 0.0
    for p in range(lm(l, 0), lm(l, l) + 1):
        total += one[0, p] * two[0, p] + one[1, p] * two[1, p]
    return total


@simd
def wide_reverse(
    plan: PlanArrays, center: int, ws: Workspace, bar: Derivatives, G_bar: Floats
) -> None:
    """dE/dA_lm and dE/d(sum g^2) from dE/dG, then their share of dE/dg and dE/du."""
    if plan.degree[center] < 0:
        return
    wide, functions = plan.wide, plan.wide_functions
    bar.moments[:] = 0.0
    bar.squares[:] = 0.0
    for group in range(wide.start[center], wide.start[center + 1]):
        if _has_no_pair(plan, group, ws):
            continue
        s1, s2 = wide.first_slot[group], wide.second_slot[group]
        one, two = ws.moments[s1], ws.moments[s2]
        one_bar, two_bar = bar.moments[s1], bar.moments[s2]
        start, stop = functions.start[group], functions.start[group + 1]
        for f in range(start, stop):
            bar.squares[s1] += functions.self_term[f] * G_bar[functions.output[f]]
        for l in range(wide.degree[group] + 1):
            product_bar = 0.0
            for f in range(start, stop):
                product_bar += functions.coefficients[f, l] * G_bar[functions.output[f]]
            for i in range(2):
                for p in range(lm(l, 0), lm(l, l) + 1):
                    one_bar[i, p] += product_bar * two[i, p]
                for p in range(lm(l, 0), lm(l, l) + 1):
                    two_bar[i, p] += product_bar * one[i, p]
    _moments_reverse(plan, center, ws, bar)


@simd
def _moments_reverse(plan: PlanArrays, center: int, ws: Workspace, bar: Derivatives) -> None:
    few = ws.starts[plan.n_elements] <= FEW
    slots, first_slot = plan.slots, plan.slots.start[center * plan.n_elements]
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        start, stop = ws.starts[e], ws.starts[e + 1]
        if stop == start or slots.start[pair + 1] == slots.start[pair]:
            continue
        for slot in range(slots.start[pair], slots.start[pair + 1]):
            q = slots.channel[slot]
            g, g_bar = ws.g[q, start:stop], bar.g[q, start:stop]
            factor = 2.0 * bar.squares[slot - first_slot]
            for j in range(stop - start):
                g_bar[j] += factor * g[j]
            if not few:
                _slot_reverse(plan, slot, start, bar.moments[slot - first_slot], g, g_bar, ws, bar)
        if few:
            few_neighbors.element_reverse(plan, center, e, ws, bar)


@simd
def _slot_reverse(
    plan: PlanArrays,
    slot: int,
    start: int,
    moments_bar: Floats,
    g: Floats,
    g_bar: Floats,
    ws: Workspace,
    bar: Derivatives,
) -> None:
    """Add what one slot gives to dE/dg and dE/du of its neighbours, from ``start`` on.

    With a_m = sum_l Abar_lm N_lm (real and imaginary part) and b_m the same with dN_lm/dz:
    dE/dg = sum_m a_m . (c_m, s_m); dE/dz = g sum_m b_m . (c_m, s_m); and dE/dx, dE/dy from
    d(x + i y)^m = m (x + i y)^(m-1) (dx + i dy).
    """
    n = g.size
    stop = start + n
    x_bar, y_bar, z_bar = (
        bar.unit[0, start:stop],
        bar.unit[1, start:stop],
        bar.unit[2, start:stop],
    )
    ar, ai, br, bi = ws.rows[0, :n], ws.rows[1, :n], ws.rows[2, :n], ws.rows[3, :n]
    for m in range(plan.slots.degree[slot] + 1):
        _column_sums(plan, plan.slots.degree[slot], m, start, stop, moments_bar, ws)
        c, i = ws.cosine[m, start:stop], ws.sine[m, start:stop]
        for j in range(n):
            g_bar[j] += ar[j] * c[j] + ai[j] * i[j]
        if m > 0:
            c, i = ws.cosine[m - 1, start:stop], ws.sine[m - 1, start:stop]
            for j in range(n):
                x_bar[j] += m * g[j] * (ar[j] * c[j] + ai[j] * i[j])
                y_bar[j] += m * g[j] * (ai[j] * c[j] - ar[j] * i[j])
                z_bar[j] += g[j] * (br[j] * c[j] + bi[j] * i[j])


@simd
def _column_sums(
    plan: PlanArrays,
    degree: int,
    m: int,
    start: int,
    stop: int,
    moments_bar: Floats,
    ws: Workspace,
) -> None:
    """a_m and, since dN_l,m-1/dz = d_l,m-1 N_lm, also b_(m-1), in one pass over N_lm.

    They go to the first four rows of the workspace.
    """
    n = stop - start
    ar, ai, br, bi = ws.rows[0, :n], ws.rows[1, :n], ws.rows[2, :n], ws.rows[3, :n]
    for j in range(n):
        ar[j] = 0.0
        ai[j] = 0.0
        br[j] = 0.0
        bi[j] = 0.0
    for l in range(m, degree + 1):
        N = ws.legendre[lm(l, m), start:stop]
        p, q = moments_bar[0, lm(l, m)], moments_bar[1, lm(l, m)]
        if m == 0:
            for j in range(n):
                ar[j] += p * N[j]
        else:
            d = plan.harmonics.d[l, m - 1]
            u, v = d * moments_bar[0, lm(l, m - 1)], d * moments_bar[1, lm(l, m - 1)]
            for j in range(n):
                ar[j] += p * N[j]
                ai[j] += q * N[j]
                br[j] += u * N[j]
                bi[j] += v * N[j]


@simd
def wide_tangent(
    plan: PlanArrays, center: int, ws: Workspace, dot: Derivatives, G_dot: Floats
) -> None:
    """dG from the tangents of channels and unit vectors; needs the moments themselves."""
    if plan.degree[center] < 0:
        return
    wide, functions = plan.wide, plan.wide_functions
    _moment_tangents(plan, center, ws, dot)
    for group in range(wide.start[center], wide.start[center + 1]):
        if _has_no_pair(plan, group, ws):
            continue
        s1, s2 = wide.first_slot[group], wide.second_slot[group]
        start, stop = functions.start[group], functions.start[group + 1]
        for f in range(start, stop):
            G_dot[functions.output[f]] += functions.self_term[f] * dot.squares[s1]
        for l in range(wide.degree[group] + 1):
            product = _product(l, dot.moments[s1], ws.moments[s2])
            product += _product(l, ws.moments[s1], dot.moments[s2])
            for f in range(start, stop):
                G_dot[functions.output[f]] += functions.coefficients[f, l] * product


@simd
def _moment_tangents(plan: PlanArrays, center: int, ws: Workspace, dot: Derivatives) -> None:
    """dA_lm = sum_j [dg (c, s)_m + g d(c, s)_m] N_lm + g (c, s)_m dN_lm/dz dz."""
    slots, first_slot = plan.slots, plan.slots.start[center * plan.n_elements]
    dot.moments[:] = 0.0
    few = ws.starts[plan.n_elements] <= FEW
    if few:
        few_neighbors.fill_row_tangents(plan, plan.degree[center], ws, dot)
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        start, stop = ws.starts[e], ws.starts[e + 1]
        for slot in range(slots.start[pair], slots.start[pair + 1]):
            s, q, degree = slot - first_slot, slots.channel[slot], slots.degree[slot]
            g, g_dot = ws.g[q, start:stop], dot.g[q, start:stop]
            square = 0.0
            for j in range(stop - start):
                square += g[j] * g_dot[j]
            dot.squares[s] = 2.0 * square
            if few:
                few_neighbors.slot_tangent(
                    degree, start, stop, g, g_dot, ws, dot.row_harmonic, dot.moments[s]
                )
            elif stop > start:
                _slot_tangent(plan, degree, start, g, g_dot, ws, dot.unit, dot.moments[s])


@simd
def _slot_tangent(
    plan: PlanArrays,
    degree: int,
    start: int,
    g: Floats,
    g_dot: Floats,
    ws: Workspace,
    unit_dot: Floats,
    moments_dot: Floats,
) -> None:
    """Add the change of one slot's moments, from its neighbours from ``start`` on."""
    n = g.size
    stop = start + n
    x_dot, y_dot, z_dot = (
        unit_dot[0, start:stop],
        unit_dot[1, start:stop],
        unit_dot[2, start:stop],
    )
    wr, wi, vr, vi = ws.rows[0, :n], ws.rows[1, :n], ws.rows[2, :n], ws.rows[3, :n]
    for m in range(degree + 1):
        c, i = ws.cosine[m, start:stop], ws.sine[m, start:stop]
        for j in range(n):
            wr[j] = g_dot[j] * c[j]
            wi[j] = g_dot[j] * i[j]
        if m > 0:
            c, i = ws.cosine[m - 1, start:stop], ws.sine[m - 1, start:stop]
            for j in range(n):
                wr[j] += m * g[j] * (c[j] * x_dot[j] - i[j] * y_dot[j])
                wi[j] += m * g[j] * (i[j] * x_dot[j] + c[j] * y_dot[j])
                vr[j] = g[j] * z_dot[j] * c[j]
                vi[j] = g[j] * z_dot[j] * i[j]
        for l in range(m, degree + 1):
            N = ws.legendre[lm(l, m), start:stop]
            real, imaginary, real_z, imaginary_z = 0.0, 0.0, 0.0, 0.0
            for j in range(n):
                real += wr[j] * N[j]
                imaginary += wi[j] * N[j]
            moments_dot[0, lm(l, m)] += real
            moments_dot[1, lm(l, m)] += imaginary
            if m > 0:
                for j in range(n):
                    real_z += vr[j] * N[j]
                    imaginary_z += vi[j] * N[j]
                moments_dot[0, lm(l, m - 1)] += plan.harmonics.d[l, m - 1] * real_z
                moments_dot[1, lm(l, m - 1)] += plan.harmonics.d[l, m - 1] * imaginary_z
