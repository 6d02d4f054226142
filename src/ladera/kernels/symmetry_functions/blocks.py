"""The parts of the functions over triplets for one block of pairs: angles, sides and terms."""

from __future__ import annotations

from ladera.kernels.compilation import simd
from ladera.kernels.symmetry_functions.pairs import (
    COSINE,
    DF,
    FREE,
    LOG_JK,
    R_JK,
    RADIAL,
    SIDES,
    SINE,
    SLOT,
    SUM,
    SUM_SQUARES,
    THETA,
    WORK,
    F,
    Pairs,
    find_pairs,
    select_members,
)
from ladera.kernels.symmetry_functions.plan import Integers, PlanArrays
from ladera.kernels.symmetry_functions.vector_math import cutoff_function, damp, powers
from ladera.kernels.symmetry_functions.windows import arc_cosine, compact_function


@simd
def begin_group(plan: PlanArrays, center: int, group: int, block: Integers, pairs: Pairs) -> None:
    """Go to the first block of a group."""
    kept = pairs.kept[group - plan.triplet_start[center]]
    if kept[1] >= 0:
        pairs.state[SLOT] = kept[0]
        return
    kept[0] = pairs.state[SLOT] = pairs.state[FREE]
    select_members(plan, group, block, pairs)


@simd
def next_block(plan: PlanArrays, center: int, group: int, pairs: Pairs) -> tuple[int, int]:
    """The slot with the group's next block, and the number of its pairs; 0 after the last."""
    kept, state = pairs.kept[group - plan.triplet_start[center]], pairs.state
    if kept[1] >= 0:
        slot = state[SLOT]
        state[SLOT] += 1
        return (slot, pairs.counts[slot]) if slot < kept[1] else (slot, 0)
    spare = pairs.counts.size - 1
    slot = min(state[SLOT], spare)
    n = find_pairs(plan, group, slot, pairs)
    if n == 0:
        if state[SLOT] <= spare:
            state[FREE] = kept[1] = state[SLOT]
        return slot, 0
    pairs.counts[slot] = n
    state[SLOT] += 1
    _angles(plan, group, slot, n, pairs)
    for term in range(plan.term_start[group], plan.term_start[group + 1]):
        _term(plan, center, group, term, slot, n, pairs)
    return slot, n


@simd
def _angles(plan: PlanArrays, group: int, slot: int, n: int, pairs: Pairs) -> None:
    """The angular parts of a block, and their slopes in cos theta."""
    cosine = pairs.geometry[slot, COSINE, :n]
    theta, sine = pairs.rows[THETA, :n], pairs.rows[SINE, :n]
    first = plan.angle_start[group]
    known = False
    for a in range(first, plan.angle_start[group + 1]):
        value, slope = pairs.angles[slot, a - first, 0, :n], pairs.angles[slot, a - first, 1, :n]
        kind, one, two = plan.angle_kind[a], plan.angle_first[a], plan.angle_second[a]
        if kind < 0:
            powers(one, two, cosine, value, slope)
            continue
        if not known:
            arc_cosine(cosine, theta, sine)
            known = True
        compact_function(kind, one, two, theta, value, slope, pairs.rows[WORK, :n], pairs.bits[:n])
        # d theta / d cos = -1 / sin. Where the sine vanishes so does the slope, since a window
        # either ends there or has its middle there, and so does d cos: any finite ratio will do.
        for p in range(n):
            slope[p] = -slope[p] / max(sine[p], 1e-30)


@simd
def _term(
    plan: PlanArrays, center: int, group: int, term: int, slot: int, n: int, pairs: Pairs
) -> None:
    """The radial part of a term; the sides come from the term before where it has the same."""
    first, side = plan.term_start[group], plan.term_side[term]
    t = term - first
    narrow = plan.triplet_narrow[group]
    if t == 0 or side != plan.term_side[term - 1]:
        _sides(plan, plan.side_start[center] + side, side, narrow, slot, t, n, pairs)
        if plan.triplet_elements[group, 0] < 0:
            j, k = pairs.partners[slot, 0, :n], pairs.partners[slot, 1, :n]
            sides, charge = pairs.rows[SIDES, :n], pairs.neighbor[4]
            for p in range(n):
                sides[p] *= charge[j[p]] * charge[k[p]]
    damp(
        plan.term_eta[term],
        plan.term_shift[term],
        3.0 if narrow else 2.0,
        pairs.rows[SUM, :n],
        pairs.rows[SUM_SQUARES, :n],
        pairs.rows[SIDES, :n],
        pairs.terms[slot, t, RADIAL, :n],
        pairs.rows[WORK, :n],
        pairs.bits[:n],
    )


@simd
def _sides(
    plan: PlanArrays, index: int, side: int, narrow: bool, slot: int, t: int, n: int, pairs: Pairs
) -> None:
    """The product of the sides, and the slope of the logarithm of the third one."""
    j, k, near = pairs.partners[slot, 0, :n], pairs.partners[slot, 1, :n], pairs.sides[side, 0]
    sides = pairs.rows[SIDES, :n]
    for p in range(n):
        sides[p] = near[j[p]] * near[k[p]]
    if not narrow:
        return
    f, df, log = pairs.rows[F, :n], pairs.rows[DF, :n], pairs.terms[slot, t, LOG_JK, :n]
    work, bits, r = pairs.rows[WORK, :n], pairs.bits[:n], pairs.geometry[slot, R_JK, :n]
    kind, cutoff = plan.side_kind[index], plan.side_cutoff[index]
    if kind < 0:
        cutoff_function(plan.cutoff_kind, plan.cutoff_alpha, cutoff, r, f, df, work, bits)
    else:
        compact_function(kind, plan.side_inner[index], cutoff, r, f, df, work, bits)
    for p in range(n):
        sides[p] *= f[p]
        log[p] = df[p] / f[p] if f[p] != 0.0 else 0.0
