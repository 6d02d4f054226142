"""Functions over triplets: the narrow ones, and the wide ones that moments do not give.

A function is sum_{jk} T(r_ij, r_ik, r_jk) A(cos theta). With the sides c (f_c, or a compact
function), times Z_j Z_k in weighted functions,

    T = c(r_ij) c(r_ik) c(r_jk) exp(-eta [(r_ij - s)^2 + (r_ik - s)^2 + (r_jk - s)^2])

and without r_jk in wide functions. Its derivatives are dT/dr = T [c'(r)/c(r) - 2 eta (r - s)] for
each distance r, so that a term needs one exponential, and the sums over the functions of a group
sum_f w_f T A, times 1, 2 eta and 2 eta s, are all that the reverse pass collects. In a JOINT group
the Gaussian is exp(-eta (t - s)^2) of t = r_ij + r_ik, and t stands in place of r in its slope.
"""

from __future__ import annotations

import numpy as np

from ladera.arrays import Floats, Integers
from ladera.kernels.compilation import simd
from ladera.kernels.symmetry_functions.blocks import begin_group, next_block
from ladera.kernels.symmetry_functions.environment import Derivatives, Workspace
from ladera.kernels.symmetry_functions.pairs import (
    ALL_TERMS,
    ANGLE_DOT,
    COSINE,
    COSINE_BAR,
    COSINE_DOT,
    ETA_TERMS,
    J_BAR,
    J_DOT,
    JK_BAR,
    JK_DOT,
    K_BAR,
    K_DOT,
    LOG_J,
    LOG_JK,
    LOG_K,
    N_ROWS,
    R_J,
    R_JK,
    R_K,
    RADIAL,
    SHIFT_TERMS,
    TERM_DOT,
    WEIGHT,
    WEIGHT_SLOPE,
    WORK,
    Pairs,
)
from ladera.kernels.symmetry_functions.plan_arrays import JOINT, NARROW, PlanArrays


@simd
def triplet_values(plan: PlanArrays, center: int, ws: Workspace, G: Floats) -> None:
    """Add the functions of one atom that go over triplets."""
    pairs = ws.pairs
    for group in range(plan.triplets.start[center], plan.triplets.start[center + 1]):
        begin_group(plan, center, group, ws.starts, pairs)
        block, n = next_block(plan, center, group, pairs)
        while n > 0:
            first = plan.terms.start[group]
            for term in range(first, plan.terms.start[group + 1]):
                radial = pairs.terms[block, term - first, RADIAL, :n]
                for f in range(
                    plan.term_functions.start[term], plan.term_functions.start[term + 1]
                ):
                    angle = pairs.angles[block, plan.term_functions.angle[f], 0, :n]
                    total = 0.0
                    for p in range(n):
                        total += angle[p] * radial[p]
                    G[plan.term_functions.output[f]] += plan.term_functions.factor[f] * total
            block, n = next_block(plan, center, group, pairs)


@simd
def triplet_reverse(
    plan: PlanArrays, center: int, ws: Workspace, bar: Derivatives, G_bar: Floats
) -> None:
    """Add the triplets' share of dE/dr_ij from dE/dG."""
    pairs = ws.pairs
    for group in range(plan.triplets.start[center], plan.triplets.start[center + 1]):
        form = plan.triplets.form[group]
        begin_group(plan, center, group, ws.starts, pairs)
        block, n = next_block(plan, center, group, pairs)
        while n > 0:
            _clear(n, pairs)
            first, stop, head = plan.terms.start[group], plan.terms.start[group + 1], 0
            for term in range(first, stop):
                t, side = term - first, plan.terms.side[term]
                if t == 0 or side != plan.terms.side[term - 1]:
                    head = t  # the term that holds what those with the same side share
                _weigh_functions(plan, term, block, n, G_bar, pairs)
                _sum_terms(plan.terms.eta[term], plan.terms.shift[term], block, t, n, pairs)
                if term + 1 == stop or plan.terms.side[term + 1] != side:
                    _log_slopes(side, block, n, pairs)
                    _sides_reverse(form, block, head, n, pairs)
            _spread(form == NARROW, block, n, pairs, bar.edge)
            block, n = next_block(plan, center, group, pairs)


@simd
def triplet_tangent(
    plan: PlanArrays, center: int, ws: Workspace, dot: Derivatives, G_dot: Floats
) -> None:
    """Add dG of one atom, from the tangents of distances and edge vectors."""
    pairs = ws.pairs
    for group in range(plan.triplets.start[center], plan.triplets.start[center + 1]):
        begin_group(plan, center, group, ws.starts, pairs)
        block, n = next_block(plan, center, group, pairs)
        while n > 0:
            _geometry_tangent(plan.triplets.form[group] == NARROW, block, n, pairs, dot.edge)
            first, head = plan.terms.start[group], 0
            for term in range(first, plan.terms.start[group + 1]):
                side = plan.terms.side[term]
                if term == first or side != plan.terms.side[term - 1]:
                    head = term - first
                    _log_slopes(side, block, n, pairs)
                _term_tangent(plan, group, term, head, block, n, pairs, G_dot)
            block, n = next_block(plan, center, group, pairs)


@simd
def _log_slopes(side: int, block: int, n: int, pairs: Pairs) -> None:
    """d log c / dr at r_ij and r_ik."""
    j, k, slope = pairs.partners[block, 0, :n], pairs.partners[block, 1, :n], pairs.sides[side, 1]
    log_j, log_k = pairs.rows[LOG_J, :n], pairs.rows[LOG_K, :n]
    for p in range(n):
        log_j[p] = slope[j[p]]
        log_k[p] = slope[k[p]]


@simd
def _clear(n: int, pairs: Pairs) -> None:
    """Set the reverse pass's sums to zero."""
    for row in range(ALL_TERMS, N_ROWS):
        sums = pairs.rows[row, :n]
        for p in range(n):
            sums[p] = 0.0


@simd
def _weigh_functions(
    plan: PlanArrays, term: int, block: int, n: int, G_bar: Floats, pairs: Pairs
) -> None:
    """sum_f dE/dG_f A_f and the same with dA_f / d cos theta, over a term's functions."""
    weight, weight_slope = pairs.rows[WEIGHT, :n], pairs.rows[WEIGHT_SLOPE, :n]
    start, stop = plan.term_functions.start[term], plan.term_functions.start[term + 1]
    for f in range(start, stop):
        bar = plan.term_functions.factor[f] * G_bar[plan.term_functions.output[f]]
        angle, slope = (
            pairs.angles[block, plan.term_functions.angle[f], 0, :n],
            pairs.angles[block, plan.term_functions.angle[f], 1, :n],
        )
        if f == start:
            for p in range(n):
                weight[p] = bar * angle[p]
                weight_slope[p] = bar * slope[p]
        else:
            for p in range(n):
                weight[p] += bar * angle[p]
                weight_slope[p] += bar * slope[p]


@simd
def _sum_terms(eta: float, shift: float, block: int, t: int, n: int, pairs: Pairs) -> None:
    """Add a term's share of the sums that the derivatives are made of."""
    term, weight, weight_slope = (
        pairs.terms[block, t, RADIAL, :n],
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
def _sides_reverse(form: int, block: int, head: int, n: int, pairs: Pairs) -> None:
    """dE/dr of the three distances, from the terms with the same sides."""
    all_terms, eta_terms, shift_terms = (
        pairs.rows[ALL_TERMS, :n],
        pairs.rows[ETA_TERMS, :n],
        pairs.rows[SHIFT_TERMS, :n],
    )
    geometry = pairs.geometry[block]
    r_j, r_k, r_jk = geometry[R_J, :n], geometry[R_K, :n], geometry[R_JK, :n]
    log_j, log_k, log_jk = (
        pairs.rows[LOG_J, :n],
        pairs.rows[LOG_K, :n],
        pairs.terms[block, head, LOG_JK, :n],
    )
    j_bar, k_bar, jk_bar = pairs.rows[J_BAR, :n], pairs.rows[K_BAR, :n], pairs.rows[JK_BAR, :n]
    if form == JOINT:
        for p in range(n):
            decay = shift_terms[p] - eta_terms[p] * (r_j[p] + r_k[p])
            j_bar[p] += all_terms[p] * log_j[p] + decay
            k_bar[p] += all_terms[p] * log_k[p] + decay
    else:
        for p in range(n):
            j_bar[p] += all_terms[p] * log_j[p] - eta_terms[p] * r_j[p] + shift_terms[p]
            k_bar[p] += all_terms[p] * log_k[p] - eta_terms[p] * r_k[p] + shift_terms[p]
    if form == NARROW:
        for p in range(n):
            jk_bar[p] += all_terms[p] * log_jk[p] - eta_terms[p] * r_jk[p] + shift_terms[p]
    for p in range(n):
        all_terms[p] = 0.0
        eta_terms[p] = 0.0
        shift_terms[p] = 0.0


@simd
def _spread(narrow: bool, block: int, n: int, pairs: Pairs, edge_bar: Floats) -> None:
    """From dE/dr_ij, dE/dr_ik, dE/dr_jk and dE/d cos theta to the gradients on both edges.

    With b = (dE/dr_jk) / r_jk and c = dE/d cos theta, r_jk = |r_ik - r_ij| and
    cos theta = r_ij . r_ik / (r_ij r_ik):

        dE/dr_ij = u_ij [dE/dr_ij - c cos theta / r_ij] + b r_ij + [c / (r_ij r_ik) - b] r_ik
    """
    geometry = pairs.geometry[block]
    r_j, r_k, r_jk = geometry[R_J, :n], geometry[R_K, :n], geometry[R_JK, :n]
    j_bar, k_bar, jk_bar = pairs.rows[J_BAR, :n], pairs.rows[K_BAR, :n], pairs.rows[JK_BAR, :n]
    cosine, cosine_bar, mixed = (
        geometry[COSINE, :n],
        pairs.rows[COSINE_BAR, :n],
        pairs.rows[WORK, :n],
    )
    for p in range(n):
        slope = cosine[p] * cosine_bar[p]
        inverse = 1.0 / (r_j[p] * r_k[p])
        j_bar[p] -= slope * r_k[p] * inverse
        k_bar[p] -= slope * r_j[p] * inverse
        mixed[p] = cosine_bar[p] * inverse
    if narrow:
        for p in range(n):
            b = jk_bar[p] / r_jk[p] if r_jk[p] > 0.0 else 0.0
            j_bar[p] += b * r_j[p]
            k_bar[p] += b * r_k[p]
            mixed[p] -= b
    _add_to_edges(pairs.partners[block, 0], pairs.partners[block, 1], n, pairs, edge_bar)


@simd
def _add_to_edges(
    first: Integers, second: Integers, n: int, pairs: Pairs, edge_bar: Floats
) -> None:
    """Add a block's gradients to those of the edges; pairs with the same j follow each other."""
    edge, mixed = pairs.edge, pairs.rows[WORK]
    j_bar, k_bar = pairs.rows[J_BAR], pairs.rows[K_BAR]
    p = np.uint64(0)  # unsigned: no check for negative indices
    while p < n:
        j = first[p]
        xj, yj, zj = edge[j, 0], edge[j, 1], edge[j, 2]
        x, y, z, along = 0.0, 0.0, 0.0, 0.0
        while p < n and first[p] == j:
            k, c = np.uint64(second[p]), mixed[p]
            x += c * edge[k, 0]
            y += c * edge[k, 1]
            z += c * edge[k, 2]
            along += j_bar[p]
            edge_bar[k, 0] += c * xj
            edge_bar[k, 1] += c * yj
            edge_bar[k, 2] += c * zj
            edge_bar[k, 3] += k_bar[p]
            p += np.uint64(1)
        edge_bar[j, 0] += x
        edge_bar[j, 1] += y
        edge_bar[j, 2] += z
        edge_bar[j, 3] += along


@simd
def _geometry_tangent(narrow: bool, block: int, n: int, pairs: Pairs, edge_dot: Floats) -> None:
    """Tangents of the three distances and of cos theta.

    d cos theta = (dr_ij . r_ik + r_ij . dr_ik) / (r_ij r_ik) - cos theta (dr_ij/r_ij + dr_ik/r_ik)
    """
    first, second = pairs.partners[block, 0, :n], pairs.partners[block, 1, :n]
    geometry = pairs.geometry[block]
    r_j, r_k, r_jk = geometry[R_J, :n], geometry[R_K, :n], geometry[R_JK, :n]
    j_dot, k_dot, jk_dot = pairs.rows[J_DOT, :n], pairs.rows[K_DOT, :n], pairs.rows[JK_DOT, :n]
    cosine, cosine_dot = geometry[COSINE, :n], pairs.rows[COSINE_DOT, :n]
    for p in range(n):
        j, k = first[p], second[p]
        j_dot[p] = edge_dot[j, 3]
        k_dot[p] = edge_dot[k, 3]
        change, separation = 0.0, 0.0
        for a in range(3):
            vj, vk = pairs.neighbor[a, j], pairs.neighbor[a, k]
            vj_dot, vk_dot = edge_dot[j, a], edge_dot[k, a]
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
    plan: PlanArrays,
    group: int,
    term: int,
    head: int,
    block: int,
    n: int,
    pairs: Pairs,
    G_dot: Floats,
) -> None:
    """Add one term's share of dG, from dT and T d cos theta."""
    form, t = plan.triplets.form[group], term - plan.terms.start[group]
    geometry = pairs.geometry[block]
    r_j, r_k, r_jk = geometry[R_J, :n], geometry[R_K, :n], geometry[R_JK, :n]
    log_j, log_k, log_jk = (
        pairs.rows[LOG_J, :n],
        pairs.rows[LOG_K, :n],
        pairs.terms[block, head, LOG_JK, :n],
    )
    j_dot, k_dot, jk_dot = pairs.rows[J_DOT, :n], pairs.rows[K_DOT, :n], pairs.rows[JK_DOT, :n]
    value, cosine_dot = pairs.terms[block, t, RADIAL, :n], pairs.rows[COSINE_DOT, :n]
    term_dot, angle_dot = pairs.rows[TERM_DOT, :n], pairs.rows[ANGLE_DOT, :n]
    two_eta, shift = 2.0 * plan.terms.eta[term], plan.terms.shift[term]
    joint = 1.0 if form == JOINT else 0.0
    for p in range(n):
        change = j_dot[p] * (log_j[p] - two_eta * (r_j[p] + joint * r_k[p] - shift))
        change += k_dot[p] * (log_k[p] - two_eta * (r_k[p] + joint * r_j[p] - shift))
        term_dot[p] = value[p] * change
        angle_dot[p] = value[p] * cosine_dot[p]
    if form == NARROW:
        for p in range(n):
            term_dot[p] += value[p] * jk_dot[p] * (log_jk[p] - two_eta * (r_jk[p] - shift))
    for f in range(plan.term_functions.start[term], plan.term_functions.start[term + 1]):
        angle, slope = (
            pairs.angles[block, plan.term_functions.angle[f], 0, :n],
            pairs.angles[block, plan.term_functions.angle[f], 1, :n],
        )
        total = 0.0
        for p in range(n):
            total += angle[p] * term_dot[p] + slope[p] * angle_dot[p]
        G_dot[plan.term_functions.output[f]] += plan.term_functions.factor[f] * total
