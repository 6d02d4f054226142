"""Blocks of neighbour pairs j, k: found once for a group of functions, then handled by SIMD loops.

Pairs that no function of the group can see (a distance outside the radial window) are left out
before anything is computed, and the rest is packed into blocks of ``BLOCK`` pairs, whatever the
number of neighbours is. Blocks are kept until the next atom where there is room, so that the
reverse pass finds there what the values have left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ladera.arrays import Floats, Integers
from ladera.kernels.compilation import simd
from ladera.kernels.symmetry_functions.plan import Plan
from ladera.kernels.symmetry_functions.plan_arrays import JOINT, NARROW, PlanArrays

BLOCK = 256
# What fits in the second-level cache of a core, beside what else is there.
_KEPT_BYTES = 2**20

# Rows of the geometry, and of the terms.
COSINE, R_J, R_K, R_JK = range(4)
# The radial part of a term; the slope of the logarithm of its side at r_jk, of the first with it.
RADIAL, LOG_JK = range(2)
# Rows of scratch. The tangent has its own where the reverse pass has sums.
SQUARE, SUM, SUM_SQUARES, SIDES, LOG_J, LOG_K, THETA, SINE = range(8)
F, DF, WORK, WEIGHT, WEIGHT_SLOPE = range(8, 13)
ALL_TERMS, ETA_TERMS, SHIFT_TERMS, COSINE_BAR, J_BAR, K_BAR, JK_BAR = range(13, 20)
TERM_DOT, ANGLE_DOT, COSINE_DOT, J_DOT, K_DOT, JK_DOT = 11, 12, 16, 17, 18, 19
N_ROWS = 20
# The state of the search: members of the first element and of both, the next pair, the next block,
# and the first block that no group has taken.
N_FIRST, N_MEMBERS, NEXT_J, NEXT_K, NEXT_BLOCK, FREE_BLOCK = range(6)


class Pairs(NamedTuple):
    """Blocks of pairs and what their loops need of the n neighbours; scratch of one thread.

    Few arrays with many rows: a call costs as much as the arrays that are handed over.
    """

    neighbor: Floats  # (5, n) x, y, z and length of r_ij, and atomic number
    sides: Floats  # (n_sides, 2, n) f_c or compact function, slope of its logarithm
    member: Integers  # (n,) neighbours in the group's window, those of its second element last
    place: Floats  # (3, n) r_ij of the members
    edge: Floats  # (n, 3) r_ij of all neighbours
    state: Integers  # (6,)
    kept: Integers  # (n_groups, 2) start and stop of its blocks; stop -1 where not yet known
    counts: Integers  # (n_blocks,) pairs in a block
    partners: Integers  # (n_blocks, 2, BLOCK) j, k
    geometry: Floats  # (n_blocks, 4, BLOCK)
    angles: Floats  # (n_blocks, n_angles, 2, BLOCK) angular part, its slope in cos theta
    terms: Floats  # (n_blocks, n_terms, 2, BLOCK)
    rows: Floats  # (20, BLOCK)
    bits: Integers  # (BLOCK,)


def make_pairs(plan: Plan, n: int) -> Pairs:
    """Scratch for an atom with up to n neighbours."""
    bytes_per_block = 8 * BLOCK * (6 + 2 * plan.n_angles + 2 * plan.n_terms)
    most = 1 + n * n // 2 // BLOCK * max(plan.n_groups, 1) + plan.n_groups
    blocks = max(1, min(_KEPT_BYTES // bytes_per_block, most))
    return Pairs(
        neighbor=np.zeros((5, n)),
        sides=np.zeros((plan.n_sides, 2, n)),
        member=np.zeros(n, dtype=np.int64),
        place=np.zeros((3, n)),
        edge=np.zeros((n, 3)),
        state=np.zeros(6, dtype=np.int64),
        kept=np.zeros((plan.n_groups, 2), dtype=np.int64),
        counts=np.zeros(blocks, dtype=np.int64),
        partners=np.zeros((blocks, 2, BLOCK), dtype=np.int64),
        geometry=np.zeros((blocks, 4, BLOCK)),
        angles=np.zeros((blocks, plan.n_angles, 2, BLOCK)),
        terms=np.zeros((blocks, plan.n_terms, 2, BLOCK)),
        rows=np.zeros((N_ROWS, BLOCK)),
        bits=np.zeros(BLOCK, dtype=np.int64),
    )


@simd
def forget_blocks(pairs: Pairs) -> None:
    """Begin with another atom."""
    pairs.state[FREE_BLOCK] = 0
    for group in range(pairs.kept.shape[0]):
        pairs.kept[group, 1] = -1


@simd
def select_members(plan: PlanArrays, group: int, starts: Integers, pairs: Pairs) -> None:
    """List the neighbours inside a group's radial window, and begin at its first pair."""
    e1, e2 = plan.triplets.first_element[group], plan.triplets.second_element[group]
    first, stop = (0, plan.n_elements) if e1 < 0 else (e1, e1 + 1)
    n = _append_members(plan, group, starts[first], starts[stop], 0, pairs)
    state = pairs.state
    state[N_FIRST], state[N_MEMBERS], state[NEXT_J], state[NEXT_K] = n, n, 0, 1
    if e1 != e2:
        state[N_MEMBERS] = _append_members(plan, group, starts[e2], starts[e2 + 1], n, pairs)
        state[NEXT_K] = n


@simd
def _append_members(
    plan: PlanArrays, group: int, start: int, stop: int, n: int, pairs: Pairs
) -> int:
    inner, cutoff = plan.triplets.inner[group], plan.triplets.cutoff[group]
    for j in range(start, stop):
        r = pairs.neighbor[3, j]
        if r <= inner or r >= cutoff:  # so that a NaN stays in
            continue
        pairs.member[n] = j
        for a in range(3):
            pairs.place[a, n] = pairs.neighbor[a, j]
        n += 1
    return n


@simd
def find_pairs(plan: PlanArrays, group: int, block: int, pairs: Pairs) -> int:
    """Fill a block with the group's next pairs and their geometry. Returns how many there are."""
    state, member = pairs.state, pairs.member
    same = plan.triplets.first_element[group] == plan.triplets.second_element[group]
    middle, half = 0.0, np.inf  # of the window of r_jk^2
    if plan.triplets.form[group] == NARROW:
        low, high = max(plan.triplets.inner[group], 0.0) ** 2, plan.triplets.cutoff[group] ** 2
        middle, half = 0.5 * (high + low), 0.5 * (high - low)
    x, y, z = pairs.place[0], pairs.place[1], pairs.place[2]
    first, second = pairs.partners[block, 0], pairs.partners[block, 1]
    square = pairs.rows[SQUARE]
    j, k, n = state[NEXT_J], state[NEXT_K], np.uint64(0)  # unsigned: no check for negative indices
    while j < state[N_FIRST] and n < BLOCK:
        stop = min(state[N_MEMBERS], k + BLOCK - np.int64(n))
        xj, yj, zj, member_j = x[j], y[j], z[j], member[j]
        for q in range(np.uint64(k), np.uint64(stop)):
            dx, dy, dz = x[q] - xj, y[q] - yj, z[q] - zj
            distance = dx * dx + dy * dy + dz * dz
            first[n] = member_j
            second[n] = member[q]
            square[n] = distance
            # Without a branch, that would be mispredicted half the time; a NaN stays in.
            n += np.uint64(not abs(distance - middle) >= half)
        k = stop
        if k >= state[N_MEMBERS]:
            j += 1
            k = j + 1 if same else state[N_FIRST]
    state[NEXT_J], state[NEXT_K] = j, k
    count = int(np.int64(n))
    _geometry(plan.triplets.form[group], block, count, pairs)
    return count


@simd
def _geometry(form: int, block: int, n: int, pairs: Pairs) -> None:
    """Distances, cos theta by the law of cosines, and the sums that the Gaussians need.

    These are sum_i x_i and sum_i x_i^2 of the distances, or of t = r_ij + r_ik alone.
    """
    first, second = pairs.partners[block, 0, :n], pairs.partners[block, 1, :n]
    geometry, distance = pairs.geometry[block], pairs.neighbor[3]
    r_j, r_k, r_jk = geometry[R_J, :n], geometry[R_K, :n], geometry[R_JK, :n]
    square, cosine = pairs.rows[SQUARE, :n], geometry[COSINE, :n]
    total, squares = pairs.rows[SUM, :n], pairs.rows[SUM_SQUARES, :n]
    for p in range(n):
        r_j[p] = distance[first[p]]
        r_k[p] = distance[second[p]]
    for p in range(n):
        total[p] = r_j[p] + r_k[p]
        squares[p] = r_j[p] * r_j[p] + r_k[p] * r_k[p]
        cosine[p] = 0.5 * (squares[p] - square[p]) / (r_j[p] * r_k[p])
    if form == NARROW:
        for p in range(n):
            r_jk[p] = np.sqrt(square[p])
            total[p] += r_jk[p]
            squares[p] += square[p]
    elif form == JOINT:
        for p in range(n):
            squares[p] = total[p] * total[p]
