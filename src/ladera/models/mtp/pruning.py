r"""Which functions of a moment tensor potential to do without, by what they cost and explain.

Of a model that is linear in the coefficients w of its functions the loss and what it becomes
without some of them are known at once: with P the inverse of the (regularised) normal matrix,
without the functions S it grows by

    w_S^T (P_SS)^-1 w_S

and what is left is the least squares solution of the others. So functions go one by one, or all
that need a moment tensor together, always those that add least to the loss for the arithmetic that
becomes idle. A product is three multiplications and additions in energy and forces, a component of
a moment tensor three for each neighbour.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from ladera.arrays import Booleans, Floats, Integers
from ladera.kernels.moment_tensors.program import MomentProgram

_EACH: Final = 3.0  # multiplications and additions of a product, and of a component at a neighbour


def cost_of(program: MomentProgram, n_neighbors: float) -> float:
    """Arithmetic of an atom with so many neighbours."""
    return _EACH * (len(program.products) + len(program.basic) * n_neighbors)


class Uses(NamedTuple):
    """What needs each moment: how often it is a factor, and whether it is a function."""

    counts: Integers  # (n_moments,)
    factors: list[list[int]]  # of each moment, what it is made of
    costs: Floats  # (n_moments,)


def kept_functions(
    program: MomentProgram, normal: Floats, right: Floats, *, cost: float, n_neighbors: float
) -> Booleans:
    """Which functions stay so that the arithmetic is at most ``cost`` of what it was.

    ``normal`` (n, n) is the normal matrix, regularised, of the functions and whatever else the
    model is linear in, which stays, and ``right`` (n,) its right hand side.
    """
    inverse = np.linalg.inv(normal)
    weights = inverse @ right
    uses = _uses(program, n_neighbors)
    kept = np.ones(len(program.scalars), dtype=bool)
    groups = _groups(program)
    left = total = cost_of(program, n_neighbors)
    scalars = program.scalars.tolist()
    while left > cost * total and kept.any():
        alive = np.flatnonzero(kept)
        grown = weights[alive] ** 2 / np.diag(inverse)[alive]
        candidates = [([s], loss) for s, loss in zip(alive.tolist(), grown.tolist(), strict=True)]
        for members in groups:
            some = [s for s in members if kept[s]]
            if len(some) > 1:
                block = inverse[np.ix_(some, some)]
                candidates.append(
                    (some, float(weights[some] @ np.linalg.solve(block, weights[some])))
                )
        chosen, saved, least = [], 0.0, np.inf
        for some, loss in candidates:
            idle = _remove(uses, [scalars[s] for s in some], undo=True)
            rate = loss / (min(idle, left - cost * total) + 1.0)  # more than enough is no use
            if rate < least:
                chosen, saved, least = some, idle, rate
        _remove(uses, [scalars[s] for s in chosen], undo=False)
        kept[chosen] = False
        left -= saved
        part = inverse[:, chosen] @ np.linalg.inv(inverse[np.ix_(chosen, chosen)])
        weights = weights - part @ weights[chosen]
        inverse = inverse - part @ inverse[chosen]
        weights[chosen] = 0.0
    return kept


def _uses(program: MomentProgram, n_neighbors: float) -> Uses:
    counts = np.bincount(program.scalars, minlength=program.n_moments)
    counts += np.bincount(program.products[:, :2].ravel(), minlength=program.n_moments)
    factors: list[list[int]] = [[] for _ in range(program.n_moments)]
    for p, q, _, k in program.products.tolist():
        factors[k] += [p, q]
    costs = np.array([_EACH * len(of) / 2 for of in factors])
    costs[: len(program.basic)] = _EACH * n_neighbors
    return Uses(counts, factors, costs)


def _remove(uses: Uses, functions: Iterable[int], undo: bool) -> float:
    """The arithmetic that becomes idle without some functions; ``undo`` leaves them there."""
    pending, taken, saved = list(functions), list[int](), 0.0
    while pending:
        k = pending.pop()
        taken.append(k)
        uses.counts[k] -= 1
        if uses.counts[k] == 0:
            saved += uses.costs[k]
            pending += uses.factors[k]
    if undo:
        np.add.at(uses.counts, taken, 1)
    return saved


def _groups(program: MomentProgram) -> list[list[int]]:
    """Of each moment tensor the functions that need it."""
    tensors = np.unique(
        np.stack([program.basic[:, 0], program.basic[:, 1:].sum(axis=1)], axis=1), axis=0
    )
    rank = program.basic[:, 1:].sum(axis=1)
    groups = []
    for mu, nu in tensors.tolist():
        needs = np.zeros(program.n_moments, dtype=bool)
        needs[: len(program.basic)] = (program.basic[:, 0] == mu) & (rank == nu)
        for p, q, _, k in program.products.tolist():
            needs[k] |= needs[p] | needs[q]
        groups.append(np.flatnonzero(needs[program.scalars]).tolist())
    return groups
