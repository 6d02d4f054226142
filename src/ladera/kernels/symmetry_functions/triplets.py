"""Narrow functions, and the wide ones that do not separate: SIMD over k inside a loop over j."""

from __future__ import annotations

import numpy as np

from ladera.kernels.compilation import simd
from ladera.kernels.symmetry_functions.environment import Workspace
from ladera.kernels.symmetry_functions.plan import Floats, PlanArrays
from ladera.kernels.symmetry_functions.vector_math import cutoff_function, gaussian, powers

# Rows of the workspace that hold what a triplet j, k shares between functions.
COSINE, DISTANCE, F, DF, H, DH, COSINE_BAR, DISTANCE_BAR, PRODUCT, WORK, SUM, SLOPE = range(12)


@simd
def _pairs(plan: PlanArrays, group: int, j: int, begin: int, end: int, ws: Workspace) -> None:
    """cos theta and r_jk for all k of a block; f_c(r_jk) and the powers of the group's angles."""
    n = end - begin
    x, y, z = ws.unit[0, begin:end], ws.unit[1, begin:end], ws.unit[2, begin:end]
    xj, yj, zj = ws.unit[0, j], ws.unit[1, j], ws.unit[2, j]
    cosine = ws.rows[COSINE, :n]
    for k in range(n):
        cosine[k] = x[k] * xj + y[k] * yj + z[k] * zj
    if plan.triplet_narrow[group]:
        x, y, z = ws.vector[0, begin:end], ws.vector[1, begin:end], ws.vector[2, begin:end]
        xj, yj, zj = ws.vector[0, j], ws.vector[1, j], ws.vector[2, j]
        distance = ws.rows[DISTANCE, :n]
        for k in range(n):
            dx, dy, dz = x[k] - xj, y[k] - yj, z[k] - zj
            distance[k] = np.sqrt(dx * dx + dy * dy + dz * dz)
        cutoff_function(
            plan.cutoff_kind,
            plan.cutoff_alpha,
            plan.triplet_cutoff[group],
            distance,
            ws.rows[F, :n],
            ws.rows[DF, :n],
            ws.rows[WORK, :n],
            ws.bits[:n],
        )
    first = plan.angle_start[group]
    for a in range(first, plan.angle_start[group + 1]):
        power, slope = ws.power[a - first, :n], ws.power_slope[a - first, :n]
        powers(plan.angle_lambda[a], plan.angle_zeta[a], cosine, power, slope)


@simd
def _third_side(plan: PlanArrays, group: int, term: int, n: int, ws: Workspace) -> None:
    """h = g(r_jk) and its slope for a narrow function, 1 and 0 for a wide one."""
    h, dh = ws.rows[H, :n], ws.rows[DH, :n]
    if plan.triplet_narrow[group]:
        gaussian(
            plan.term_eta[term],
            plan.term_shift[term],
            ws.rows[DISTANCE, :n],
            ws.rows[F, :n],
            ws.rows[DF, :n],
            h,
            dh,
            ws.rows[WORK, :n],
            ws.bits[:n],
        )
    else:
        for k in range(n):
            h[k] = 1.0
            dh[k] = 0.0


@simd
def _range_of_k(plan: PlanArrays, group: int, j: int, ws: Workspace) -> tuple[int, int]:
    """The neighbours k that make an unordered pair with j."""
    e1, e2 = plan.triplet_elements[group, 0], plan.triplet_elements[group, 1]
    begin = j + 1 if e1 == e2 else ws.block[e2]
    return begin, ws.block[e2 + 1]


@simd
def triplet_values(plan: PlanArrays, center: int, ws: Workspace, G: Floats) -> None:
    """G = 2^(1-zeta) sum_{j<k} (1 + lambda cos theta)^zeta g_j g_k h_jk."""
    for group in range(plan.triplet_start[center], plan.triplet_start[center + 1]):
        e1, cutoff = plan.triplet_elements[group, 0], plan.triplet_cutoff[group]
        for j in range(ws.block[e1], ws.block[e1 + 1]):
            begin, end = _range_of_k(plan, group, j, ws)
            if ws.distance[j] >= cutoff or begin >= end:
                continue
            n = end - begin
            _pairs(plan, group, j, begin, end, ws)
            product, h = ws.rows[PRODUCT, :n], ws.rows[H, :n]
            for term in range(plan.term_start[group], plan.term_start[group + 1]):
                _third_side(plan, group, term, n, ws)
                gj = ws.g[plan.term_channels[term, 0], j]
                gk = ws.g[plan.term_channels[term, 1], begin:end]
                for k in range(n):
                    product[k] = gj * gk[k] * h[k]
                for f in range(plan.term_function_start[term], plan.term_function_start[term + 1]):
                    power = ws.power[plan.term_angle[f]]
                    total = 0.0
                    for k in range(n):
                        total += power[k] * product[k]
                    G[plan.term_output[f]] += plan.term_factor[f] * total


@simd
def triplet_reverse(plan: PlanArrays, center: int, ws: Workspace, G_bar: Floats) -> None:
    """Add the triplets' share of dE/dg, dE/du and dE/dr_ij from dE/dG."""
    for group in range(plan.triplet_start[center], plan.triplet_start[center + 1]):
        e1, cutoff = plan.triplet_elements[group, 0], plan.triplet_cutoff[group]
        for j in range(ws.block[e1], ws.block[e1 + 1]):
            begin, end = _range_of_k(plan, group, j, ws)
            if ws.distance[j] >= cutoff or begin >= end:
                continue
            n = end - begin
            _pairs(plan, group, j, begin, end, ws)
            ws.rows[COSINE_BAR, :n] = 0.0
            ws.rows[DISTANCE_BAR, :n] = 0.0
            for term in range(plan.term_start[group], plan.term_start[group + 1]):
                _third_side(plan, group, term, n, ws)
                _weigh_angles(plan, term, n, G_bar, ws)
                _term_reverse(plan, term, j, begin, end, ws)
            _geometry_reverse(plan.triplet_narrow[group], j, begin, end, ws)


@simd
def _weigh_angles(plan: PlanArrays, term: int, n: int, G_bar: Floats, ws: Workspace) -> None:
    """sum_f dE/dG_f 2^(1-zeta) b^zeta and its slope in cos theta, over a term's functions."""
    total, slope = ws.rows[SUM, :n], ws.rows[SLOPE, :n]
    total[:] = 0.0
    slope[:] = 0.0
    for f in range(plan.term_function_start[term], plan.term_function_start[term + 1]):
        weight = plan.term_factor[f] * G_bar[plan.term_output[f]]
        power, power_slope = ws.power[plan.term_angle[f]], ws.power_slope[plan.term_angle[f]]
        for k in range(n):
            total[k] += weight * power[k]
            slope[k] += weight * power_slope[k]


@simd
def _term_reverse(plan: PlanArrays, term: int, j: int, begin: int, end: int, ws: Workspace) -> None:
    n = end - begin
    q1, q2 = plan.term_channels[term, 0], plan.term_channels[term, 1]
    gj, gk, gk_bar = ws.g[q1, j], ws.g[q2, begin:end], ws.g_bar[q2, begin:end]
    total, slope = ws.rows[SUM, :n], ws.rows[SLOPE, :n]
    h, dh = ws.rows[H, :n], ws.rows[DH, :n]
    gj_bar = 0.0
    for k in range(n):
        gj_bar += total[k] * gk[k] * h[k]
    ws.g_bar[q1, j] += gj_bar
    cosine_bar, distance_bar = ws.rows[COSINE_BAR, :n], ws.rows[DISTANCE_BAR, :n]
    for k in range(n):
        cosine_bar[k] += slope[k] * gj * gk[k] * h[k]
        distance_bar[k] += total[k] * gj * gk[k] * dh[k]
    for k in range(n):
        gk_bar[k] += total[k] * gj * h[k]


@simd
def _geometry_reverse(narrow: bool, j: int, begin: int, end: int, ws: Workspace) -> None:
    """From dE/dcos theta and dE/dr_jk to unit vectors and edge vectors, r_jk = r_ik - r_ij."""
    n = end - begin
    cosine_bar, distance_bar = ws.rows[COSINE_BAR, :n], ws.rows[DISTANCE_BAR, :n]
    for a in range(3):
        unit, unit_bar, unit_j = ws.unit[a, begin:end], ws.unit_bar[a, begin:end], ws.unit[a, j]
        total = 0.0
        for k in range(n):
            total += cosine_bar[k] * unit[k]
        for k in range(n):
            unit_bar[k] += cosine_bar[k] * unit_j
        ws.unit_bar[a, j] += total
    if not narrow:
        return
    distance = ws.rows[DISTANCE, :n]
    for k in range(n):
        distance_bar[k] = distance_bar[k] / distance[k] if distance_bar[k] != 0.0 else 0.0
    for a in range(3):
        vector, bar, vector_j = (
            ws.vector[a, begin:end],
            ws.vector_bar[a, begin:end],
            ws.vector[a, j],
        )
        total = 0.0
        for k in range(n):
            part = distance_bar[k] * (vector[k] - vector_j)
            total += part
            bar[k] += part
        ws.vector_bar[a, j] -= total


@simd
def triplet_tangent(plan: PlanArrays, center: int, ws: Workspace, G_dot: Floats) -> None:
    """dG from the tangents of channels, unit vectors and edge vectors."""
    for group in range(plan.triplet_start[center], plan.triplet_start[center + 1]):
        e1, cutoff = plan.triplet_elements[group, 0], plan.triplet_cutoff[group]
        for j in range(ws.block[e1], ws.block[e1 + 1]):
            begin, end = _range_of_k(plan, group, j, ws)
            if ws.distance[j] >= cutoff or begin >= end:
                continue
            n = end - begin
            _pairs(plan, group, j, begin, end, ws)
            _geometry_tangent(plan.triplet_narrow[group], j, begin, end, ws)
            for term in range(plan.term_start[group], plan.term_start[group + 1]):
                _third_side(plan, group, term, n, ws)
                _term_tangent(plan, term, j, begin, end, ws, G_dot)


@simd
def _geometry_tangent(narrow: bool, j: int, begin: int, end: int, ws: Workspace) -> None:
    """d cos theta = du_j . u_k + u_j . du_k and d r_jk = r_jk . (dr_ik - dr_ij) / |r_jk|."""
    n = end - begin
    cosine_dot, distance_dot = ws.rows[COSINE_BAR, :n], ws.rows[DISTANCE_BAR, :n]
    cosine_dot[:] = 0.0
    distance_dot[:] = 0.0
    for a in range(3):
        unit, unit_dot = ws.unit[a, begin:end], ws.unit_bar[a, begin:end]
        unit_j, unit_j_dot = ws.unit[a, j], ws.unit_bar[a, j]
        for k in range(n):
            cosine_dot[k] += unit_j_dot * unit[k] + unit_j * unit_dot[k]
    if not narrow:
        return
    for a in range(3):
        vector, dot = ws.vector[a, begin:end], ws.vector_bar[a, begin:end]
        vector_j, dot_j = ws.vector[a, j], ws.vector_bar[a, j]
        for k in range(n):
            distance_dot[k] += (vector[k] - vector_j) * (dot[k] - dot_j)
    distance = ws.rows[DISTANCE, :n]
    for k in range(n):
        distance_dot[k] = distance_dot[k] / distance[k] if distance_dot[k] != 0.0 else 0.0


@simd
def _term_tangent(
    plan: PlanArrays, term: int, j: int, begin: int, end: int, ws: Workspace, G_dot: Floats
) -> None:
    n = end - begin
    q1, q2 = plan.term_channels[term, 0], plan.term_channels[term, 1]
    gj, gj_dot = ws.g[q1, j], ws.g_bar[q1, j]
    gk, gk_dot = ws.g[q2, begin:end], ws.g_bar[q2, begin:end]
    h, dh = ws.rows[H, :n], ws.rows[DH, :n]
    cosine_dot, distance_dot = ws.rows[COSINE_BAR, :n], ws.rows[DISTANCE_BAR, :n]
    product, product_dot = ws.rows[PRODUCT, :n], ws.rows[SUM, :n]
    for k in range(n):
        product[k] = gj * gk[k] * h[k] * cosine_dot[k]
    for k in range(n):
        product_dot[k] = (gj_dot * gk[k] + gj * gk_dot[k]) * h[k]
    for k in range(n):
        product_dot[k] += gj * gk[k] * dh[k] * distance_dot[k]
    for f in range(plan.term_function_start[term], plan.term_function_start[term + 1]):
        power, slope = ws.power[plan.term_angle[f]], ws.power_slope[plan.term_angle[f]]
        total = 0.0
        for k in range(n):
            total += power[k] * product_dot[k] + slope[k] * product[k]
        G_dot[plan.term_output[f]] += plan.term_factor[f] * total
