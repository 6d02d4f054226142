r"""Which functions of a moment tensor potential to do without, by time and what they explain.

Of a model that is linear in the coefficients w of its functions the loss and what it becomes
without some of them are known at once: with P the inverse of the (regularised) normal matrix,
without the functions S it grows by

    w_S^T (P_SS)^-1 w_S  >=  w_s^2 / P_ss                                       for each s in S

and what is left is the least squares solution of the others. Time goes into pieces of work that
many functions share (:class:`Work`), and is saved when the last function that needs a piece is
gone. So functions go one by one, or all that need some piece together, always those that add least
to the loss for the time they save.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ladera.arrays import Booleans, Floats
from ladera.kernels.moment_tensors.program import MomentProgram

# Nanoseconds of energy and forces of an atom, measured by benchmarks/mtp_cost.py: of a product; at
# each neighbour of a sum, of a monomial of the direction, and of what is left; and of the atom.
_PRODUCT: Final = 0.56
_SUM: Final = 0.18
_MONOMIAL: Final = 0.46
_NEIGHBOR: Final = 21.0
_ATOM: Final = 1130.0


class Work(NamedTuple):
    """Pieces of work for an atom, and which functions need them."""

    needs: Booleans  # (n_pieces, n_scalars)
    times: Floats  # (n_pieces,) ns
    fixed: float  # ns that remain without any function

    @property
    def time(self) -> float:
        """Nanoseconds of an atom."""
        return self.fixed + float(self.times @ self.needs.any(axis=1))


def work_of(program: MomentProgram, n_neighbors: float) -> Work:
    """What is done for an atom with so many neighbours.

    A moment takes the products that make it. At each neighbour, the monomials of a degree are
    computed with all below it, and the sums of a rank of a radial function, 2 rank + 1 numbers,
    with those of lower ranks.
    """
    needs = np.zeros((program.n_moments, len(program.scalars)), dtype=bool)
    needs[program.scalars, np.arange(len(program.scalars))] = True
    for p, q, _, k in program.products[::-1].tolist():
        needs[p] |= needs[k]
        needs[q] |= needs[k]
    mu, rank = program.basic[:, 0], program.basic[:, 1:].sum(axis=1)
    basic = needs[: len(program.basic)]
    rows, times = [], []
    for m in range(program.n_radial):
        for nu in range(int(rank[mu == m].max(initial=-1)) + 1):
            rows.append(basic[(mu == m) & (rank >= nu)].any(axis=0))
            times.append(_SUM * n_neighbors * (2 * nu + 1))
    for degree in range(program.degree + 1):
        rows.append(basic[rank >= degree].any(axis=0))
        times.append(_MONOMIAL * n_neighbors * (degree + 1))
    products = np.bincount(program.products[:, 3], minlength=program.n_moments)
    every = np.concatenate([np.array(rows), needs[products > 0]])
    taken = np.concatenate([np.array(times), _PRODUCT * products[products > 0]])
    distinct, which = np.unique(np.packbits(every, axis=1), axis=0, return_inverse=True)
    needs = np.unpackbits(distinct, axis=1, count=len(program.scalars)).astype(bool)
    times_of: Floats = np.bincount(which.ravel(), taken).astype(np.float64)
    return Work(needs, times_of, _ATOM + _NEIGHBOR * n_neighbors)


def kept_functions(work: Work, normal: Floats, right: Floats, *, time: float) -> Booleans:
    """Which functions stay so that an atom takes at most so many nanoseconds; (n_scalars,).

    None where that is less than what remains without any.
    ``normal`` (n, n) is the normal matrix, regularised, of the functions and whatever else the
    model is linear in, which stays, and ``right`` (n,) its right hand side.
    """
    inverse = np.asarray(np.linalg.inv(normal), dtype=np.float64)
    weights = inverse @ right
    n_scalars = work.needs.shape[1]
    groups = np.concatenate([np.eye(n_scalars, dtype=bool), work.needs])
    # Of each piece and group the functions that need the one and are in the other.
    shared = work.needs.astype(np.float32) @ groups.T.astype(np.float32)
    kept = np.ones(n_scalars, dtype=bool)
    left = work.time
    while left > time and kept.any():
        counts = np.count_nonzero(work.needs & kept, axis=1)
        saved = ((shared == counts[:, None]) & (counts > 0)[:, None]).T @ work.times
        # More than enough is no use.
        rates: Floats = 1 / (np.minimum(saved, left - time) + 1e-6).astype(np.float64)
        chosen = groups[_cheapest(groups & kept, rates, weights, inverse)] & kept
        left -= float(work.times @ ((counts > 0) & ~(work.needs & kept & ~chosen).any(axis=1)))
        shared -= work.needs[:, chosen].astype(np.float32) @ groups[:, chosen].T
        kept &= ~chosen
        gone = np.flatnonzero(chosen)
        part = inverse[:, gone] @ np.linalg.inv(inverse[np.ix_(gone, gone)])
        weights = weights - part @ weights[gone]
        inverse = inverse - part @ inverse[gone]
        weights[gone] = 0.0
    return kept


def _cheapest(groups: Booleans, rates: Floats, weights: Floats, inverse: Floats) -> int:
    """The number of the group whose loss times rate is least; empty ones do not count."""
    n_scalars = groups.shape[1]
    single = np.zeros(n_scalars)
    present = groups.any(axis=0)
    single[present] = weights[:n_scalars][present] ** 2 / np.diag(inverse)[:n_scalars][present]
    bounds = np.where(groups.any(axis=1), (groups * single).max(axis=1) * rates, np.inf)
    best, least = int(np.argmin(bounds)), np.inf
    for group in np.argsort(bounds):
        if bounds[group] >= least:
            break
        some = np.flatnonzero(groups[group])
        block = inverse[np.ix_(some, some)]
        loss = float(weights[some] @ np.linalg.solve(block, weights[some]))
        if loss * rates[group] < least:
            best, least = int(group), loss * rates[group]
    return best
