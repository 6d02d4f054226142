"""The program of products for one vector of atoms, forward and back.

Moments M and their gradients M_bar are tables with a row for each moment and a column for each atom
(:mod:`ladera.kernels.lanes`).
"""

from __future__ import annotations

from ladera.arrays import Integers, Reals
from ladera.kernels.compilation import simd
from ladera.kernels.lanes import load, store, zero
from ladera.kernels.moment_tensors.tables import EnergyTables, ProductTables


@simd
def derive(derived: Integers, n_summed: int, M: Reals) -> None:
    """The basic moments that follow from those summed over neighbours."""
    for row in range(derived.shape[0]):
        x, y, z = derived[row, 0], derived[row, 1], derived[row, 2]
        store(M, n_summed + row, load(M, x) - load(M, y) - load(M, z))


@simd
def derive_reverse(derived: Integers, n_summed: int, M_bar: Reals) -> None:
    """Add to the gradients in the moments summed over neighbours."""
    for row in range(derived.shape[0] - 1, -1, -1):
        x, y, z = derived[row, 0], derived[row, 1], derived[row, 2]
        bar = load(M_bar, n_summed + row)
        store(M_bar, x, load(M_bar, x) + bar)
        store(M_bar, y, load(M_bar, y) - bar)
        store(M_bar, z, load(M_bar, z) - bar)


@simd
def multiply(table: ProductTables, M: Reals) -> None:
    """M_k = sum m M_p M_q."""
    for t in range(table.starts.size - 1):
        total = zero(M)
        for row in range(table.starts[t], table.starts[t + 1]):
            p, q = table.factors[row, 0], table.factors[row, 1]
            total = total + table.multiplicities[row] * (load(M, p) * load(M, q))
        store(M, table.first + t, total)


@simd
def energy_and_gradient(
    energy: EnergyTables, table: ProductTables, M: Reals, M_bar: Reals, result: Reals
) -> None:
    """The energy of each atom, to the row ``result``, and its gradient in all moments, to M_bar."""
    total = zero(M)
    half = M.dtype.type(0.5)
    for p in range(energy.linear.size):
        bar = zero(M)
        for row in range(energy.starts[p], energy.starts[p + 1]):
            bar = bar + energy.weights[row] * load(M, energy.partners[row])
        total = total + load(M, p) * (energy.linear[p] + half * bar)
        store(M_bar, p, energy.linear[p] + bar)
    store(result, 0, total)
    for t in range(table.starts.size - 2, -1, -1):
        bar = load(M_bar, table.first + t)
        for row in range(table.starts[t], table.starts[t + 1]):
            p, q = table.factors[row, 0], table.factors[row, 1]
            share = table.multiplicities[row] * bar
            store(M_bar, p, load(M_bar, p) + share * load(M, q))
            store(M_bar, q, load(M_bar, q) + share * load(M, p))


@simd
def multiply_tangent(table: ProductTables, M: Reals, M_dot: Reals) -> None:
    """The change of the moments that products make, with that of the others."""
    for t in range(table.starts.size - 1):
        total = zero(M)
        for row in range(table.starts[t], table.starts[t + 1]):
            p, q = table.factors[row, 0], table.factors[row, 1]
            change = load(M_dot, p) * load(M, q) + load(M, p) * load(M_dot, q)
            total = total + table.multiplicities[row] * change
        store(M_dot, table.first + t, total)


@simd
def reverse_twice(
    linear: Reals, table: ProductTables, M: Reals, M_dot: Reals, M_bar: Reals, M_bar_dot: Reals
) -> None:
    """Gradients of the energy and of what training asks of it, in all moments.

    With E = sum_p linear_p M_p and its change E_dot along M_dot these are M_bar = dE/dM and
    M_bar_dot = d(e E + E_dot)/dM, where e (a number for each atom) is in row 0 of M_bar_dot.
    """
    weight = load(M_bar_dot, 0)
    for p in range(linear.size):
        store(M_bar, p, linear[p] + zero(M))
        store(M_bar_dot, p, linear[p] * weight)
    for t in range(table.starts.size - 2, -1, -1):
        bar, bar_dot = load(M_bar, table.first + t), load(M_bar_dot, table.first + t)
        for row in range(table.starts[t], table.starts[t + 1]):
            p, q = table.factors[row, 0], table.factors[row, 1]
            share, share_dot = table.multiplicities[row] * bar, table.multiplicities[row] * bar_dot
            x, y = load(M, p), load(M, q)
            store(M_bar, p, load(M_bar, p) + share * y)
            store(M_bar, q, load(M_bar, q) + share * x)
            x_change, y_change = share * load(M_dot, p), share * load(M_dot, q)
            store(M_bar_dot, p, load(M_bar_dot, p) + share_dot * y + y_change)
            store(M_bar_dot, q, load(M_bar_dot, q) + share_dot * x + x_change)
