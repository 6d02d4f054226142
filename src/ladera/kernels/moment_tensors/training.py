"""Gradients of a loss in a potential's coefficients, from its gradients in energies and forces.

A loss has gradients e_i in the energies E_i and d_ij in the edge gradients g_ij = dE/dr_ij. With

    S = sum_i (e_i E_i + E_dot_i),      E_dot_i = sum_j d_ij . g_ij

the change of E_i along d, its gradients in the coefficients are those of S. The moments change by

    M_dot = sum_j f' r_dot u_z^c X + f (c u_z_dot X + u_z^c X_dot)

(mu, ab and c as in :mod:`.neighbors`), and with M_bar = dE/dM and M_bar_dot = dS/dM

    dS/df  = h_0 + u_z h_1 + u_z_dot l_1,    h_c = sum_ab M_bar_dot X + M_bar X_dot
    dS/df' = r_dot (l_0 + u_z l_1),          l_c = sum_ab M_bar X

where f and f' are linear in the radial coefficients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ladera.arrays import Floats, Integers, Reals
from ladera.kernels.compilation import inlined, simd
from ladera.kernels.lanes import load, rows_of_lanes, store, zero
from ladera.kernels.moment_tensors import neighbors, products
from ladera.kernels.moment_tensors.inference import Blocks
from ladera.kernels.moment_tensors.neighbors import (
    Edges,
    Neighborhood,
    RadialTables,
)
from ladera.kernels.moment_tensors.tables import ProductTables, SumTables, Tables


class Loss(NamedTuple):
    """Gradients of a loss."""

    energies: Reals  # (n_atoms,) in the energies
    edges: Reals  # (n_edges, 3) in the edge gradients


class Model(NamedTuple):
    """A potential as the loops of training take it."""

    radial: RadialTables
    sums: SumTables
    products: ProductTables
    linear: Reals  # (n_moments,)
    scalars: Integers  # (n_scalars,)


class Memory(NamedTuple):
    """Scratch memory of one thread, and its sums."""

    near: Neighborhood
    change: Reals  # rows 4 k + 0, 1, 2: that of the unit vector in slot k; + 3: of the distance
    X_dot: Reals
    M: Reals
    M_dot: Reals
    M_bar: Reals
    M_bar_dot: Reals
    by_radial: Reals  # rows (pair, mu, b)
    by_moments: Floats  # (n_scalars,)


def coefficient_gradients(
    tables: Tables, radial: RadialTables, coefficients: Reals, edges: Edges, loss: Loss
) -> tuple[Reals, Floats]:
    """Gradients in the radial coefficients (n_pairs, n_radial, size) and the linear ones, float64.

    ``coefficients`` (n_scalars,) are the linear ones.
    """
    linear = tables.linear(coefficients).astype(tables.dtype)
    model = Model(radial, tables.sums, tables.every_product, linear, tables.scalars)
    blocks = Blocks(edges, tables.dtype)
    sums: list[Memory | None] = [None] * blocks.shares.count

    def work(thread: int, start: int, stop: int) -> None:
        sums[thread] = memory = _memory(blocks, model)
        _blocks(start, stop, blocks.order, model, edges, loss, memory)

    blocks.shares.items(work, blocks.count)
    done = [memory for memory in sums if memory is not None]
    by_radial = np.sum([memory.by_radial.sum(1, dtype=np.float64) for memory in done], axis=0)
    by_moments = np.sum([memory.by_moments for memory in done], axis=0)
    return by_radial.reshape(radial.coefficients.shape), by_moments


def _memory(blocks: Blocks, model: Model) -> Memory:
    near = blocks.neighborhood(model.radial, model.sums)
    n_moments = len(model.linear)
    rows = (4 * blocks.slots, len(near.X), *(n_moments,) * 4, model.radial.coefficients.size)
    change, X_dot, M, M_dot, M_bar, M_bar_dot, by_radial = (
        rows_of_lanes(n, blocks.dtype) for n in rows
    )
    by_moments = np.zeros(len(model.scalars))
    return Memory(near, change, X_dot, M, M_dot, M_bar, M_bar_dot, by_radial, by_moments)


@simd
def _blocks(
    start: int,
    stop: int,
    order: Integers,
    model: Model,
    edges: Edges,
    loss: Loss,
    memory: Memory,
) -> None:
    sums, near = model.sums, memory.near
    M, M_dot, M_bar, M_bar_dot = memory.M, memory.M_dot, memory.M_bar, memory.M_bar_dot
    lanes = M.shape[1]
    for block in range(start, stop):
        atoms = order[lanes * block : min(lanes * (block + 1), order.size)]
        n_slots = neighbors.gather(atoms, edges, model.radial, near)
        neighbors.radial_functions(n_slots, model.radial, near)
        neighbors.moments(n_slots, sums, near, M)
        products.derive(sums.derived, sums.n_summed, M)
        products.multiply(model.products, M)
        _changes(n_slots, loss.edges, near, memory.change)
        _moments_tangent(n_slots, sums, near, memory.change, memory.X_dot, M_dot)
        products.derive(sums.derived, sums.n_summed, M_dot)
        products.multiply_tangent(model.products, M, M_dot)
        for lane in range(lanes):
            M_bar_dot[0, lane] = loss.energies[atoms[lane]] if lane < atoms.size else 0.0
        for s in range(model.scalars.size):
            k = model.scalars[s]
            for lane in range(atoms.size):
                memory.by_moments[s] += M_bar_dot[0, lane] * M[k, lane] + M_dot[k, lane]
        products.reverse_twice(model.linear, model.products, M, M_dot, M_bar, M_bar_dot)
        products.derive_reverse(sums.derived, sums.n_summed, M_bar)
        products.derive_reverse(sums.derived, sums.n_summed, M_bar_dot)
        _radial_gradients(n_slots, model.radial, sums, memory)


@simd
def _changes(n_slots: int, direction: Reals, near: Neighborhood, change: Reals) -> None:
    """How unit vectors and distances change when the edges do by ``direction``."""
    u = near.u
    for k in range(n_slots):
        for lane in range(u.shape[1]):
            edge = near.slots[k, lane]
            for axis in range(3):
                change[4 * k + axis, lane] = direction[edge, axis] if edge >= 0 else 0.0
        x, y, z, r = load(u, 4 * k), load(u, 4 * k + 1), load(u, 4 * k + 2), load(u, 4 * k + 3)
        dx, dy, dz = load(change, 4 * k), load(change, 4 * k + 1), load(change, 4 * k + 2)
        along = x * dx + y * dy + z * dz
        store(change, 4 * k, (dx - along * x) / r)
        store(change, 4 * k + 1, (dy - along * y) / r)
        store(change, 4 * k + 2, (dz - along * z) / r)
        store(change, 4 * k + 3, along)


@inlined
def _monomials(degree: int, k: int, near: Neighborhood, change: Reals, X_dot: Reals) -> None:
    """X_ab of slot k and their change."""
    u, X = near.u, near.X
    neighbors.monomials(degree, k, u, 0, X)
    x, y, dx, dy = load(u, 4 * k), load(u, 4 * k + 1), load(change, 4 * k), load(change, 4 * k + 1)
    store(X_dot, 0, zero(X))
    start = 0
    for d in range(1, degree + 1):
        for b in range(d):
            store(X_dot, start + d + b, dx * load(X, start + b) + x * load(X_dot, start + b))
        last = start + d - 1
        store(X_dot, start + 2 * d, dy * load(X, last) + y * load(X_dot, last))
        start += d


@simd
def _moments_tangent(
    n_slots: int,
    sums: SumTables,
    near: Neighborhood,
    change: Reals,
    X_dot: Reals,
    M_dot: Reals,
) -> None:
    """The change of the moments that are summed over neighbours."""
    f, X = near.f, near.X
    for row in range(sums.n_summed):
        store(M_dot, row, zero(X))
    for k in range(n_slots):
        _monomials(sums.degree, k, near, change, X_dot)
        z, dz, dr = load(near.u, 4 * k + 2), load(change, 4 * k + 2), load(change, 4 * k + 3)
        for mu in range(sums.starts.shape[0]):
            row = 2 * (sums.starts.shape[0] * k + mu)
            value = load(f, row)
            slope = load(f, row + 1) * dr
            value_z, slope_z = value * z, slope * z + value * dz
            even, odd = sums.starts[mu, 0], sums.starts[mu, 1]
            for i in range(sums.counts[mu, 0]):
                added = slope * load(X, i) + value * load(X_dot, i)
                store(M_dot, even + i, load(M_dot, even + i) + added)
            for i in range(sums.counts[mu, 1]):
                added = slope_z * load(X, i) + value_z * load(X_dot, i)
                store(M_dot, odd + i, load(M_dot, odd + i) + added)


@simd
def _radial_gradients(n_slots: int, radial: RadialTables, sums: SumTables, memory: Memory) -> None:
    """Add to the gradients in the radial coefficients."""
    near, change, X, X_dot = memory.near, memory.change, memory.near.X, memory.X_dot
    for k in range(n_slots):
        _monomials(sums.degree, k, near, change, X_dot)
        neighbors.polynomials(load(near.u, 4 * k + 3), radial.shift, near.basis)
        z, dz, dr = load(near.u, 4 * k + 2), load(change, 4 * k + 2), load(change, 4 * k + 3)
        for mu in range(sums.starts.shape[0]):
            h0, l0, h1, l1 = zero(X), zero(X), zero(X), zero(X)
            even, odd = sums.starts[mu, 0], sums.starts[mu, 1]
            for i in range(sums.counts[mu, 0]):
                x, bar = load(X, i), load(memory.M_bar, even + i)
                h0 = h0 + load(memory.M_bar_dot, even + i) * x + bar * load(X_dot, i)
                l0 = l0 + bar * x
            for i in range(sums.counts[mu, 1]):
                x, bar = load(X, i), load(memory.M_bar, odd + i)
                h1 = h1 + load(memory.M_bar_dot, odd + i) * x + bar * load(X_dot, i)
                l1 = l1 + bar * x
            by_value, by_slope = h0 + z * h1 + dz * l1, dr * (l0 + z * l1)
            _add_to_pairs(k, mu, radial, memory, by_value, by_slope)


@inlined
def _add_to_pairs(
    k: int, mu: int, radial: RadialTables, memory: Memory, by_value: Any, by_slope: Any
) -> None:
    """From dS/df_mu and dS/df'_mu of slot k to the coefficients of the pairs in it."""
    near = memory.near
    n_radial, size = radial.coefficients.shape[1:]
    for lane in range(near.pairs.shape[1]):
        if neighbors.marks(lane, near.pairs[k], near.mask[0]):
            mask = load(near.mask, 0)
            row = (near.pairs[k, lane] * n_radial + mu) * size
            value, slope = mask * by_value, mask * by_slope
            for b in range(size):
                added = value * load(near.basis, 2 * b) + slope * load(near.basis, 2 * b + 1)
                store(memory.by_radial, row + b, load(memory.by_radial, row + b) + added)
