"""Functions over triplets: the narrow ones, and the wide ones that moments do not give.

A function is sum_{jk} T(r_ij, r_ik, r_jk) A(cos theta). With the sides c (f_c, or a compact
function), times Z_j Z_k in weighted functions,

    T = c(r_ij) c(r_ik) c(r_jk) exp(-eta [(r_ij - s)^2 + (r_ik - s)^2 + (r_jk - s)^2])

and without r_jk in wide functions. Its derivatives are dT/dr = T [c'(r)/c(r) - 2 eta (r - s)] for
each distance r, so that a term needs one exponential, and the sums over the functions of a group
sum_f w_f T A, times 1, 2 eta and 2 eta s, are all that the reverse pass collects.
"""

from __future__ import annotations

from ladera.kernels.compilation import simd
from ladera.kernels.symmetry_functions.environment import Workspace
from ladera.kernels.symmetry_functions.pairs import (
    ALL_TERMS,
    COSINE,
    COSINE_BAR,
    DF,
    ETA_TERMS,
    J_BAR,
    JK_BAR,
    K_BAR,
    LOG_J,
    LOG_JK,
    LOG_K,
    R_J,
    R_JK,
    R_K,
    SHIFT_TERMS,
    SIDES,
    SINE,
    SUM,
    SUM_SQUARES,
    TERM,
    THETA,
    WEIGHT,
    WEIGHT_SLOPE,
    WORK,
    F,
    Pairs,
    next_block,
    select_members,
)
from ladera.kernels.symmetry_functions.plan import Floats, PlanArrays
from ladera.kernels.symmetry_functions.vector_math import cutoff_function, damp, powers
from ladera.kernels.symmetry_functions.windows import arc_cosine, compact_function


@simd
def triplet_values(plan: PlanArrays, center: int, ws: Workspace, G: Floats) -> None:
    """Add the functions of one atom that go over triplets."""
    pairs = ws.pairs
    for group in range(plan.triplet_start[center], plan.triplet_start[center + 1]):
        select_members(plan, group, ws.block, pairs)
        n = next_block(plan, group, pairs)
        while n > 0:
            _angles(plan, group, n, pairs)
            for term in range(plan.term_start[group], plan.term_start[group + 1]):
                _term(plan, center, group, term, n, pairs)
                values = pairs.rows[TERM, :n]
                for f in range(plan.term_function_start[term], plan.term_function_start[term + 1]):
                    angle = pairs.angles[plan.term_angle[f], 0, :n]
                    total = 0.0
                    for p in range(n):
                        total += angle[p] * values[p]
                    G[plan.term_output[f]] += plan.term_factor[f] * total
            n = next_block(plan, group, pairs)


@simd
def triplet_reverse(plan: PlanArrays, center: int, ws: Workspace, G_bar: Floats) -> None:
    """Add the triplets' share of dE/dr_ij from dE/dG."""
    pairs = ws.pairs
    for group in range(plan.triplet_start[center], plan.triplet_start[center + 1]):
        select_members(plan, group, ws.block, pairs)
        n = next_block(plan, group, pairs)
        while n > 0:
            _angles(plan, group, n, pairs)
            _clear(n, pairs)
            first, last = plan.term_start[group], plan.term_start[group + 1]
            for term in range(first, last):
                _term(plan, center, group, term, n, pairs)
                _weigh_functions(plan, term, n, G_bar, pairs)
                _sum_terms(plan.term_eta[term], plan.term_shift[term], n, pairs)
                if term + 1 == last or plan.term_side[term + 1] != plan.term_side[term]:
                    _sides_reverse(plan.triplet_narrow[group], n, pairs)
            _spread(plan.triplet_narrow[group], n, pairs)
            n = next_block(plan, group, pairs)


@simd
def triplet_tangent(plan: PlanArrays, center: int, ws: Workspace, G_dot: Floats) -> None:
    """Add dG of one atom, from the tangents of distances and edge vectors."""
    pairs = ws.pairs
    for group in range(plan.triplet_start[center], plan.triplet_start[center + 1]):
        select_members(plan, group, ws.block, pairs)
        n = next_block(plan, group, pairs)
        while n > 0:
            _angles(plan, group, n, pairs)
            _geometry_tangent(plan.triplet_narrow[group], n, pairs)
            for term in range(plan.term_start[group], plan.term_start[group + 1]):
                _term(plan, center, group, term, n, pairs)
                _term_tangent(plan, group, term, n, pairs, G_dot)
            n = next_block(plan, group, pairs)


@simd
def _angles(plan: PlanArrays, group: int, n: int, pairs: Pairs) -> None:
    """The angular parts of a block, and their slopes in cos theta."""
    cosine, theta, sine = pairs.rows[COSINE, :n], pairs.rows[THETA, :n], pairs.rows[SINE, :n]
    first = plan.angle_start[group]
    known = False
    for a in range(first, plan.angle_start[group + 1]):
        value, slope = pairs.angles[a - first, 0, :n], pairs.angles[a - first, 1, :n]
        kind, one, two = plan.angle_kind[a], plan.angle_first[a], plan.angle_second[a]
        if kind < 0:
            powers(one, two, cosine, value, slope)
            continue
        if not known:
            arc_cosine(cosine, theta, sine)
            known = True
        compact_function(
            kind, one, two, theta, value, slope, pairs.rows[WORK, :n], pairs.partners[2, :n]
        )
        # d theta / d cos = -1 / sin. Where the sine vanishes so does the slope, since a window
        # either ends there or has its middle there, and so does d cos: any finite ratio will do.
        for p in range(n):
            slope[p] = -slope[p] / max(sine[p], 1e-30)


@simd
def _term(plan: PlanArrays, center: int, group: int, term: int, n: int, pairs: Pairs) -> None:
    """The radial part of a term; the sides come from the term before where it has the same."""
    narrow, side = plan.triplet_narrow[group], plan.term_side[term]
    if term == plan.term_start[group] or side != plan.term_side[term - 1]:
        _sides(plan, plan.side_start[center] + side, side, narrow, n, pairs)
        if plan.triplet_elements[group, 0] < 0:
            radial, charge, j, k = (
                pairs.rows[SIDES, :n],
                pairs.neighbor[4],
                pairs.partners[0, :n],
                pairs.partners[1, :n],
            )
            for p in range(n):
                radial[p] *= charge[j[p]] * charge[k[p]]
    damp(
        plan.term_eta[term],
        plan.term_shift[term],
        3.0 if narrow else 2.0,
        pairs.rows[SUM, :n],
        pairs.rows[SUM_SQUARES, :n],
        pairs.rows[SIDES, :n],
        pairs.rows[TERM, :n],
        pairs.rows[WORK, :n],
        pairs.partners[2, :n],
    )


@simd
def _sides(plan: PlanArrays, index: int, side: int, narrow: bool, n: int, pairs: Pairs) -> None:
    """The product of the sides, and the slopes of their logarithms."""
    f, slope = pairs.sides[side, 0], pairs.sides[side, 1]
    j, k, radial = pairs.partners[0, :n], pairs.partners[1, :n], pairs.rows[SIDES, :n]
    log_j, log_k = pairs.rows[LOG_J, :n], pairs.rows[LOG_K, :n]
    for p in range(n):
        radial[p] = f[j[p]] * f[k[p]]
    for p in range(n):
        log_j[p] = slope[j[p]]
        log_k[p] = slope[k[p]]
    if not narrow:
        return
    f, df, log_jk = pairs.rows[F, :n], pairs.rows[DF, :n], pairs.rows[LOG_JK, :n]
    work, bits, r = pairs.rows[WORK, :n], pairs.partners[2, :n], pairs.rows[R_JK, :n]
    kind, cutoff = plan.side_kind[index], plan.side_cutoff[index]
    if kind < 0:
        cutoff_function(plan.cutoff_kind, plan.cutoff_alpha, cutoff, r, f, df, work, bits)
    else:
        compact_function(kind, plan.side_inner[index], cutoff, r, f, df, work, bits)
    for p in range(n):
        radial[p] *= f[p]
        log_jk[p] = df[p] / f[p] if f[p] != 0.0 else 0.0


@simd
def _clear(n: int, pairs: Pairs) -> None:
    """Set the reverse pass's sums over terms to zero."""
    for row in range(ALL_TERMS, JK_BAR + 1):
        sums = pairs.rows[row, :n]
        for p in range(n):
            sums[p] = 0.0


@simd
def _weigh_functions(plan: PlanArrays, term: int, n: int, G_bar: Floats, pairs: Pairs) -> None:
    """sum_f dE/dG_f A_f and the same with dA_f / d cos theta, over a term's functions."""
    weight, weight_slope = pairs.rows[WEIGHT, :n], pairs.rows[WEIGHT_SLOPE, :n]
    begin, end = plan.term_function_start[term], plan.term_function_start[term + 1]
    for f in range(begin, end):
        bar = plan.term_factor[f] * G_bar[plan.term_output[f]]
        angle, slope = (
            pairs.angles[plan.term_angle[f], 0, :n],
            pairs.angles[plan.term_angle[f], 1, :n],
        )
        if f == begin:
            for p in range(n):
                weight[p] = bar * angle[p]
                weight_slope[p] = bar * slope[p]
        else:
            for p in range(n):
                weight[p] += bar * angle[p]
                weight_slope[p] += bar * slope[p]


@simd
def _sum_terms(eta: float, shift: float, n: int, pairs: Pairs) -> None:
    """Add a term's share of the sums that the derivatives are made of."""
    term, weight, weight_slope = (
        pairs.rows[TERM, :n],
        pairs.rows[WEIGHT, :n],
        pairs.rows[WEIGHT_SLOPE, :n],
    )
    cosine_bar, all_terms = pairs.rows[COSINE_BAR, :n], pairs.rows[ALL_TERMS, :n]
    eta_terms, shift_terms = pairs.rows[ETA_TERMS, :n], pairs.rows[SHIFT_TERMS, :n]
    two_eta, two_eta_shift = 2.0 * eta, 2.0 * eta * shift
    for p in range(n):
        part = weight[p] * term[p]
        cosine_bar[p] += weight_slope[p] * term[p]
        all_terms[p] += part
        eta_terms[p] += two_eta * part
        shift_terms[p] += two_eta_shift * part


@simd
def _sides_reverse(narrow: bool, n: int, pairs: Pairs) -> None:
    """dE/dr of the three distances, from the terms with the same sides."""
    all_terms, eta_terms, shift_terms = (
        pairs.rows[ALL_TERMS, :n],
        pairs.rows[ETA_TERMS, :n],
        pairs.rows[SHIFT_TERMS, :n],
    )
    r_j, r_k, r_jk = pairs.rows[R_J, :n], pairs.rows[R_K, :n], pairs.rows[R_JK, :n]
    log_j, log_k, log_jk = pairs.rows[LOG_J, :n], pairs.rows[LOG_K, :n], pairs.rows[LOG_JK, :n]
    j_bar, k_bar, jk_bar = pairs.rows[J_BAR, :n], pairs.rows[K_BAR, :n], pairs.rows[JK_BAR, :n]
    for p in range(n):
        j_bar[p] += all_terms[p] * log_j[p] - eta_terms[p] * r_j[p] + shift_terms[p]
        k_bar[p] += all_terms[p] * log_k[p] - eta_terms[p] * r_k[p] + shift_terms[p]
    if narrow:
        for p in range(n):
            jk_bar[p] += all_terms[p] * log_jk[p] - eta_terms[p] * r_jk[p] + shift_terms[p]
    for p in range(n):
        all_terms[p] = 0.0
        eta_terms[p] = 0.0
        shift_terms[p] = 0.0


@simd
def _spread(narrow: bool, n: int, pairs: Pairs) -> None:
    """From dE/dr_ij, dE/dr_ik, dE/dr_jk and dE/d cos theta to the gradients on both edges.

    With b = (dE/dr_jk) / r_jk and c = dE/d cos theta, r_jk = |r_ik - r_ij| and
    cos theta = r_ij . r_ik / (r_ij r_ik):

        dE/dr_ij = u_ij [dE/dr_ij - c cos theta / r_ij] + b r_ij + [c / (r_ij r_ik) - b] r_ik
    """
    r_j, r_k, r_jk = pairs.rows[R_J, :n], pairs.rows[R_K, :n], pairs.rows[R_JK, :n]
    j_bar, k_bar, jk_bar = pairs.rows[J_BAR, :n], pairs.rows[K_BAR, :n], pairs.rows[JK_BAR, :n]
    cosine, cosine_bar, mixed = (
        pairs.rows[COSINE, :n],
        pairs.rows[COSINE_BAR, :n],
        pairs.rows[WORK, :n],
    )
    for p in range(n):
        slope = cosine[p] * cosine_bar[p]
        j_bar[p] -= slope / r_j[p]
        k_bar[p] -= slope / r_k[p]
        mixed[p] = cosine_bar[p] / (r_j[p] * r_k[p])
    if narrow:
        for p in range(n):
            b = jk_bar[p] / r_jk[p] if r_jk[p] > 0.0 else 0.0
            j_bar[p] += b * r_j[p]
            k_bar[p] += b * r_k[p]
            mixed[p] -= b
    x, y, z = pairs.neighbor[0], pairs.neighbor[1], pairs.neighbor[2]
    x_bar, y_bar, z_bar, along = pairs.bar[0], pairs.bar[1], pairs.bar[2], pairs.bar[3]
    first, second = pairs.partners[0], pairs.partners[1]
    for p in range(n):
        j, k, c = first[p], second[p], mixed[p]
        along[j] += j_bar[p]
        along[k] += k_bar[p]
        x_bar[j] += c * x[k]
        y_bar[j] += c * y[k]
        z_bar[j] += c * z[k]
        x_bar[k] += c * x[j]
        y_bar[k] += c * y[j]
        z_bar[k] += c * z[j]


@simd
def _geometry_tangent(narrow: bool, n: int, pairs: Pairs) -> None:
    """Tangents of the three distances and of cos theta: the rows with "bar" hold them.

    d cos theta = (dr_ij . r_ik + r_ij . dr_ik) / (r_ij r_ik) - cos theta (dr_ij/r_ij + dr_ik/r_ik)
    """
    first, second = pairs.partners[0, :n], pairs.partners[1, :n]
    r_j, r_k, r_jk = pairs.rows[R_J, :n], pairs.rows[R_K, :n], pairs.rows[R_JK, :n]
    j_dot, k_dot, jk_dot = pairs.rows[J_BAR, :n], pairs.rows[K_BAR, :n], pairs.rows[JK_BAR, :n]
    cosine, cosine_dot = pairs.rows[COSINE, :n], pairs.rows[COSINE_BAR, :n]
    for p in range(n):
        j, k = first[p], second[p]
        j_dot[p] = pairs.bar[3, j]
        k_dot[p] = pairs.bar[3, k]
        change, separation = 0.0, 0.0
        for a in range(3):
            vj, vk = pairs.neighbor[a, j], pairs.neighbor[a, k]
            vj_dot, vk_dot = pairs.bar[a, j], pairs.bar[a, k]
            change += vj_dot * vk + vj * vk_dot
            separation += (vk - vj) * (vk_dot - vj_dot)
        cosine_dot[p] = change
        jk_dot[p] = separation
    for p in range(n):
        cosine_dot[p] = cosine_dot[p] / (r_j[p] * r_k[p]) - cosine[p] * (
            j_dot[p] / r_j[p] + k_dot[p] / r_k[p]
        )
        inside = narrow and r_jk[p] > 0.0
        jk_dot[p] = jk_dot[p] / r_jk[p] if inside else 0.0


@simd
def _term_tangent(
    plan: PlanArrays, group: int, term: int, n: int, pairs: Pairs, G_dot: Floats
) -> None:
    """Add one term's share of dG; weight and weight_slope hold dT and T d cos theta."""
    narrow = plan.triplet_narrow[group]
    r_j, r_k, r_jk = pairs.rows[R_J, :n], pairs.rows[R_K, :n], pairs.rows[R_JK, :n]
    log_j, log_k, log_jk = pairs.rows[LOG_J, :n], pairs.rows[LOG_K, :n], pairs.rows[LOG_JK, :n]
    j_dot, k_dot, jk_dot = pairs.rows[J_BAR, :n], pairs.rows[K_BAR, :n], pairs.rows[JK_BAR, :n]
    value, cosine_dot = pairs.rows[TERM, :n], pairs.rows[COSINE_BAR, :n]
    term_dot, angle_dot = pairs.rows[WEIGHT, :n], pairs.rows[WEIGHT_SLOPE, :n]
    two_eta, shift = 2.0 * plan.term_eta[term], plan.term_shift[term]
    for p in range(n):
        change = j_dot[p] * (log_j[p] - two_eta * (r_j[p] - shift))
        change += k_dot[p] * (log_k[p] - two_eta * (r_k[p] - shift))
        term_dot[p] = value[p] * change
        angle_dot[p] = value[p] * cosine_dot[p]
    if narrow:
        for p in range(n):
            term_dot[p] += value[p] * jk_dot[p] * (log_jk[p] - two_eta * (r_jk[p] - shift))
    for f in range(plan.term_function_start[term], plan.term_function_start[term + 1]):
        angle, slope = (
            pairs.angles[plan.term_angle[f], 0, :n],
            pairs.angles[plan.term_angle[f], 1, :n],
        )
        total = 0.0
        for p in range(n):
            total += angle[p] * term_dot[p] + slope[p] * angle_dot[p]
        G_dot[plan.term_output[f]] += plan.term_factor[f] * total
