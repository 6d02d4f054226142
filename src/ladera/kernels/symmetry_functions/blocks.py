"""The parts of the functions over triplets for one block of pairs: angles, sides and terms."""

from __future__ import annotations

from ladera.arrays import Integers
from ladera.kernels.compilation import simd
from ladera.kernels.cutoffs import cutoff_function
from ladera.kernels.symmetry_functions.factors import (
    compact_function,
    damp,
    powers,
    shifted_powers,
)
from ladera.kernels.symmetry_functions.pairs import (
    COSINE,
    DF,
    FREE_BLOCK,
    LOG_JK,
    NEXT_BLOCK,
    R_JK,
    RADIAL,
    SIDES,
    SINE,
    SUM,
    SUM_SQUARES,
    THETA,
    WORK,
    F,
    Pairs,
    find_pairs,
    select_members,
)
from ladera.kernels.symmetry_functions.plan_arrays import JOINT, NARROW, SHIFTED, PlanArrays
from ladera.kernels.vector_math import arc_cosine


@simd
def begin_group(plan: PlanArrays, center: int, group: int, starts: Integers, pairs: Pairs) -> None:
    """Go to the first block of a group."""
    kept = pairs.kept[group - plan.triplets.start[center]]
    if kept[1] >= 0:
        pairs.state[NEXT_BLOCK] = kept[0]
        return
    kept[0] = pairs.state[NEXT_BLOCK] = pairs.state[FREE_BLOCK]
    select_members(plan, group, starts, pairs)


@simd
def next_block(plan: PlanArrays, center: int, group: int, pairs: Pairs) -> tuple[int, int]:
    """The group's next block, and the number of its pairs; 0 after the last."""
    kept, state = pairs.kept[group - plan.triplets.start[center]], pairs.state
    if kept[1] >= 0:
        block = state[NEXT_BLOCK]
        state[NEXT_BLOCK] += 1
        return (block, pairs.counts[block]) if block < kept[1] else (block, 0)
    spare = pairs.counts.size - 1
    block = min(state[NEXT_BLOCK], spare)
    n = find_pairs(plan, group, block, pairs)
    if n == 0:
        if state[NEXT_BLOCK] <= spare:
            state[FREE_BLOCK] = kept[1] = state[NEXT_BLOCK]
        return block, 0
    pairs.counts[block] = n
    state[NEXT_BLOCK] += 1
    _angles(plan, group, block, n, pairs)
    for term in range(plan.terms.start[group], plan.terms.start[group + 1]):
        _term(plan, center, group, term, block, n, pairs)
    return block, n


@simd
def _angles(plan: PlanArrays, group: int, block: int, n: int, pairs: Pairs) -> None:
    """The angular parts of a block, and their slopes in cos theta."""
    cosine = pairs.geometry[block, COSINE, :n]
    theta, sine = pairs.rows[THETA, :n], pairs.rows[SINE, :n]
    work, bits = pairs.rows[WORK, :n], pairs.bits[:n]
    first = plan.angles.start[group]
    known = False
    for a in range(first, plan.angles.start[group + 1]):
        value, slope = pairs.angles[block, a - first, 0, :n], pairs.angles[block, a - first, 1, :n]
        kind, one, two = plan.angles.kind[a], plan.angles.first[a], plan.angles.second[a]
        if kind == SHIFTED:
            shifted_powers(one, two, cosine, value, slope, work, bits)
            continue
        if kind < 0:
            powers(one, two, cosine, value, slope, work, bits)
            continue
        if not known:
            arc_cosine(cosine, theta, sine)
            known = True
        compact_function(kind, one, two, theta, value, slope, work, bits)
        # d theta / d cos = -1 / sin. Where the sine vanishes so does the slope, since a window
        # either ends there or has its middle there, and so does d cos: any finite ratio will do.
        for p in range(n):
            slope[p] = -slope[p] / max(sine[p], 1e-30)


@simd
def _term(
    plan: PlanArrays, center: int, group: int, term: int, block: int, n: int, pairs: Pairs
) -> None:
    """The radial part of a term; the sides come from the term before where it has the same."""
    first, side = plan.terms.start[group], plan.terms.side[term]
    t = term - first
    form = plan.triplets.form[group]
    if t == 0 or side != plan.terms.side[term - 1]:
        _sides(plan, plan.sides.start[center] + side, side, form == NARROW, block, t, n, pairs)
        if plan.triplets.first_element[group] < 0:
            j, k = pairs.partners[block, 0, :n], pairs.partners[block, 1, :n]
            sides, charge = pairs.rows[SIDES, :n], pairs.neighbor[4]
            for p in range(n):
                sides[p] *= charge[j[p]] * charge[k[p]]
    damp(
        plan.terms.eta[term],
        plan.terms.shift[term],
        3.0 if form == NARROW else (1.0 if form == JOINT else 2.0),
        pairs.rows[SUM, :n],
        pairs.rows[SUM_SQUARES, :n],
        pairs.rows[SIDES, :n],
        pairs.terms[block, t, RADIAL, :n],
        pairs.rows[WORK, :n],
        pairs.bits[:n],
    )


@simd
def _sides(
    plan: PlanArrays, index: int, side: int, narrow: bool, block: int, t: int, n: int, pairs: Pairs
) -> None:
    """The product of the sides, and the slope of the logarithm of the third one."""
    j, k, near = pairs.partners[block, 0, :n], pairs.partners[block, 1, :n], pairs.sides[side, 0]
    sides = pairs.rows[SIDES, :n]
    for p in range(n):
        sides[p] = near[j[p]] * near[k[p]]
    if not narrow:
        return
    f, df, log = pairs.rows[F, :n], pairs.rows[DF, :n], pairs.terms[block, t, LOG_JK, :n]
    work, bits, r = pairs.rows[WORK, :n], pairs.bits[:n], pairs.geometry[block, R_JK, :n]
    kind, cutoff = plan.sides.kind[index], plan.sides.cutoff[index]
    if kind < 0:
        cutoff_function(plan.cutoff_kind, plan.cutoff_alpha, cutoff, r, f, df, work, bits)
    else:
        compact_function(kind, plan.sides.inner[index], cutoff, r, f, df, work, bits)
    for p in range(n):
        sides[p] *= f[p]
        log[p] = df[p] / f[p] if f[p] != 0.0 else 0.0
