"""Blocks of neighbour pairs j, k: found once for a group of functions, then handled by SIMD loops.

Pairs that no function of the group can see (a distance outside the radial window) are left out
before anything is computed, and the rest is packed into blocks of ``BLOCK``, whatever the number
of neighbours is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ladera.kernels.compilation import simd
from ladera.kernels.symmetry_functions.plan import Floats, Integers, Plan, PlanArrays

BLOCK = 128

# Rows of a block. In the tangent the rows with "bar" hold tangents.
DOT, SQUARE, COSINE, R_J, R_K, R_JK = range(6)  # r_ij . r_ik, r_jk^2, cos theta, distances
SUM, SUM_SQUARES = range(6, 8)  # of the distances
SIDES, LOG_J, LOG_K, LOG_JK = range(8, 12)  # product of the sides, slopes of their logarithms
TERM, THETA, SINE, F, DF, WORK = range(12, 18)
WEIGHT, WEIGHT_SLOPE, ALL_TERMS, ETA_TERMS, SHIFT_TERMS = range(18, 23)
COSINE_BAR, J_BAR, K_BAR, JK_BAR = range(23, 27)


class Pairs(NamedTuple):
    """One block of pairs and what its loops need of the n neighbours; scratch of one thread.

    Few arrays with many rows: a call costs as much as the arrays that are handed over.
    """

    neighbor: Floats  # (5, n) x, y, z and length of r_ij, and atomic number
    bar: Floats  # (4, n) dE/dr_ij from the triplets: a vector, and along r_ij; or their tangents
    sides: Floats  # (n_sides, 2, n) f_c or compact function, slope of its logarithm
    member: Integers  # (n,) neighbours in the group's window, those of its second element last
    place: Floats  # (3, n) their r_ij
    state: Integers  # (4,) number of j, of j and k, next j, next k (positions in ``member``)
    partners: Integers  # (3, BLOCK) j, k, and bits for the exponential
    rows: Floats  # (27, BLOCK)
    angles: Floats  # (n_angles, 2, BLOCK) angular part, its slope in cos theta


def make_pairs(plan: Plan, n: int) -> Pairs:
    """Scratch for one block of an atom with up to n neighbours."""
    return Pairs(
        neighbor=np.zeros((5, n)),
        bar=np.zeros((4, n)),
        sides=np.zeros((plan.n_sides, 2, n)),
        member=np.zeros(n, dtype=np.int64),
        place=np.zeros((3, n)),
        state=np.zeros(4, dtype=np.int64),
        partners=np.zeros((3, BLOCK), dtype=np.int64),
        rows=np.zeros((JK_BAR + 1, BLOCK)),
        angles=np.zeros((plan.n_angles, 2, BLOCK)),
    )


@simd
def select_members(plan: PlanArrays, group: int, block: Integers, pairs: Pairs) -> None:
    """List the neighbours inside a group's radial window, and begin at its first pair."""
    e1, e2 = plan.triplet_elements[group, 0], plan.triplet_elements[group, 1]
    first, last = (0, plan.n_elements) if e1 < 0 else (e1, e1 + 1)
    n = _append_members(plan, group, block[first], block[last], 0, pairs)
    pairs.state[0], pairs.state[1] = n, n
    pairs.state[2], pairs.state[3] = 0, 1
    if e1 != e2:
        pairs.state[1] = _append_members(plan, group, block[e2], block[e2 + 1], n, pairs)
        pairs.state[3] = n


@simd
def _append_members(
    plan: PlanArrays, group: int, begin: int, end: int, n: int, pairs: Pairs
) -> int:
    inner, cutoff = plan.triplet_inner[group], plan.triplet_cutoff[group]
    for j in range(begin, end):
        r = pairs.neighbor[3, j]
        if r <= inner or r >= cutoff:  # so that a NaN stays in
            continue
        pairs.member[n] = j
        for a in range(3):
            pairs.place[a, n] = pairs.neighbor[a, j]
        n += 1
    return n


@simd
def next_block(plan: PlanArrays, group: int, pairs: Pairs) -> int:
    """Fill the block with the group's next pairs: who, and their geometry. Returns how many."""
    n_first, n_members = pairs.state[0], pairs.state[1]
    same = plan.triplet_elements[group, 0] == plan.triplet_elements[group, 1]
    narrow = plan.triplet_narrow[group]
    inner, cutoff = max(plan.triplet_inner[group], 0.0), plan.triplet_cutoff[group]
    low, high = inner * inner, cutoff * cutoff
    dot, square, candidate = pairs.rows[DOT], pairs.rows[SQUARE], pairs.rows[WORK]
    product, first, second = pairs.rows[F], pairs.partners[0], pairs.partners[1]
    j, k, n = pairs.state[2], pairs.state[3], 0
    while j < n_first and n < BLOCK:
        count = min(n_members - k, BLOCK - n)
        x, y, z = pairs.place[0, k:], pairs.place[1, k:], pairs.place[2, k:]
        xj, yj, zj = pairs.place[0, j], pairs.place[1, j], pairs.place[2, j]
        member, member_j = pairs.member[k:], pairs.member[j]
        for q in range(count):
            dx, dy, dz = x[q] - xj, y[q] - yj, z[q] - zj
            candidate[q] = dx * dx + dy * dy + dz * dz
            product[q] = x[q] * xj + y[q] * yj + z[q] * zj
        if narrow:
            for q in range(count):
                first[n] = member_j
                second[n] = member[q]
                dot[n] = product[q]
                square[n] = candidate[q]
                n += int(not (candidate[q] >= high or candidate[q] < low))
        else:
            for q in range(count):
                first[n + q] = member_j
                second[n + q] = member[q]
                dot[n + q] = product[q]
            n += count
        k += count
        if k >= n_members:
            j += 1
            k = j + 1 if same else n_first
    pairs.state[2], pairs.state[3] = j, k
    if n > 0:
        _geometry(narrow, n, pairs.neighbor[3], pairs)
    return n


@simd
def _geometry(narrow: bool, n: int, distance: Floats, pairs: Pairs) -> None:
    """Distances, their sums and cos theta of a block."""
    first, second = pairs.partners[0, :n], pairs.partners[1, :n]
    r_j, r_k, r_jk = pairs.rows[R_J, :n], pairs.rows[R_K, :n], pairs.rows[R_JK, :n]
    dot, cosine = pairs.rows[DOT, :n], pairs.rows[COSINE, :n]
    total, squares = pairs.rows[SUM, :n], pairs.rows[SUM_SQUARES, :n]
    square = pairs.rows[SQUARE, :n]
    for p in range(n):
        r_j[p] = distance[first[p]]
        r_k[p] = distance[second[p]]
    for p in range(n):
        cosine[p] = dot[p] / (r_j[p] * r_k[p])
        total[p] = r_j[p] + r_k[p]
        squares[p] = r_j[p] * r_j[p] + r_k[p] * r_k[p]
    if narrow:
        for p in range(n):
            r_jk[p] = np.sqrt(square[p])
            total[p] += r_jk[p]
            squares[p] += square[p]
