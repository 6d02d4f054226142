"""Neighbours of one vector of atoms: radial functions, moments, and the gradient on the edges.

Slot k holds the k-th neighbour of each atom. Atoms with fewer neighbours have one at the cutoff,
where all functions are zero. With the monomials X_ab = u_x^a u_y^b and c = 0 or 1

    M_(mu,ab,c) = sum_j f_mu u_z^c X_ab

    dE/df_mu  = h_mu0 + u_z h_mu1,      h_muc = sum_ab M_bar_(mu,ab,c) X_ab
    dE/du_z   = sum_mu f_mu h_mu1,      dE/dX_ab = sum_muc f_mu u_z^c M_bar_(mu,ab,c)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ladera.arrays import Integers, Reals
from ladera.kernels.compilation import inlined, simd
from ladera.kernels.lanes import lanes_of, load, positive, root, store, tables_of_lanes, zero
from ladera.kernels.moment_tensors.tables import SumTables

TOGETHER = 2  # slots that are summed at once; rows of moments are loaded once for all


class RadialTables(NamedTuple):
    """The radial functions of all ordered pairs of elements; see :func:`.reference.chebyshev`."""

    n_species: int
    coefficients: Reals  # (n_pairs, n_radial, basis_size)
    shift: Reals  # (3,) numbers s, t and cutoff of x = s + t r


class RadialRange(NamedTuple):
    """The distances of the Chebyshev polynomials, Angstrom."""

    minimum: float
    cutoff: float


def radial_tables(
    coefficients: Reals, distances: RadialRange, dtype: np.dtype[Any]
) -> RadialTables:
    """Of coefficients (n_species, n_species, n_radial, basis_size)."""
    n_species, _, n_radial, size = coefficients.shape
    minimum, cutoff = distances
    width = cutoff - minimum
    shift = np.array([-(cutoff + minimum) / width, 2 / width, cutoff])
    flat = np.ascontiguousarray(coefficients.reshape(-1, n_radial, size), dtype=dtype)
    return RadialTables(n_species, flat, shift.astype(dtype))


class Edges(NamedTuple):
    """The edges of a structure."""

    vectors: Reals  # (n_edges, 3), Angstrom
    row_pointer: Integers  # (n_atoms + 1,), or of the first atoms: others are left out
    neighbors: Integers  # (n_edges,)
    elements: Integers  # (n_atoms,)


class Neighborhood(NamedTuple):
    """Scratch memory of one thread for the neighbours of a vector of atoms: tables of lanes."""

    slots: Integers  # (slots, lanes) the edge; -1 where there is none
    pairs: Integers  # (slots, lanes) its pair of elements
    u: Reals  # rows 4 k + 0, 1, 2: the unit vector in slot k; + 3: the distance
    f: Reals  # rows 2 (n_radial k + mu): f_mu in slot k; + 1: its derivative, 1/Angstrom
    basis: Reals  # rows 2 b: T_b; + 1: its derivative; of the slot at hand
    mask: Reals  # one row: 1 where the pair of elements is the one at hand
    X: Reals  # TOGETHER tables of monomials of slots
    X_bar: Reals
    gradient: Reals  # 3 rows


def make_neighborhood(
    slots: int, basis_size: int, sums: SumTables, dtype: np.dtype[Any]
) -> Neighborhood:
    """Scratch memory for up to so many slots, a multiple of TOGETHER."""
    n_radial, n_monomials = len(sums.starts), (sums.degree + 1) * (sums.degree + 2) // 2
    lanes = lanes_of(dtype)
    rows = (4 * slots, 2 * n_radial * slots, 2 * basis_size, 1)
    tables = tables_of_lanes((*rows, *(TOGETHER * n_monomials,) * 2, 3), dtype)
    return Neighborhood(*np.zeros((2, slots, lanes), dtype=np.int64), *tables)


@simd
def gather(atoms: Integers, edges: Edges, radial: RadialTables, near: Neighborhood) -> int:
    """Fill the slots of some atoms, as many as there are lanes or fewer; returns how many slots."""
    n_slots = 0
    for lane in range(atoms.size):
        i = atoms[lane]
        n_slots = max(n_slots, edges.row_pointer[i + 1] - edges.row_pointer[i])
    n_slots += n_slots % TOGETHER
    for lane in range(near.slots.shape[1]):
        count = 0
        if lane < atoms.size:
            i = atoms[lane]
            first, count = edges.row_pointer[i], edges.row_pointer[i + 1] - edges.row_pointer[i]
            row = edges.elements[i] * radial.n_species
            for k in range(count):
                near.slots[k, lane] = first + k
                near.pairs[k, lane] = row + edges.elements[edges.neighbors[first + k]]
                for axis in range(3):
                    near.u[4 * k + axis, lane] = edges.vectors[first + k, axis]
        for k in range(count, n_slots):
            near.slots[k, lane] = -1
            near.pairs[k, lane] = -1
            near.u[4 * k, lane] = radial.shift[2]
            near.u[4 * k + 1, lane] = 0.0
            near.u[4 * k + 2, lane] = 0.0
    return n_slots


@simd
def radial_functions(n_slots: int, radial: RadialTables, near: Neighborhood) -> None:
    """Unit vectors, distances, and f_mu of all slots."""
    u, f = near.u, near.f
    rows = 2 * radial.coefficients.shape[1]
    for k in range(n_slots):
        x, y, z = load(u, 4 * k), load(u, 4 * k + 1), load(u, 4 * k + 2)
        r = root(x * x + y * y + z * z)
        store(u, 4 * k, x / r)
        store(u, 4 * k + 1, y / r)
        store(u, 4 * k + 2, z / r)
        store(u, 4 * k + 3, r)
        polynomials(r, radial.shift, near.basis)
        if radial.coefficients.shape[0] == 1:
            for mu in range(radial.coefficients.shape[1]):
                value, slope = _combined(radial.coefficients[0, mu], near.basis)
                store(f, rows * k + 2 * mu, value)
                store(f, rows * k + 2 * mu + 1, slope)
        else:
            for row in range(rows * k, rows * (k + 1)):
                store(f, row, zero(f))
            for lane in range(near.pairs.shape[1]):
                if marks(lane, near.pairs[k], near.mask[0]):
                    _add_masked(k, radial.coefficients[near.pairs[k, lane]], near)


@inlined
def polynomials(r: Any, shift: Reals, basis: Reals) -> None:
    """Q_b and dQ_b/dr of a slot, b from 0."""
    x = shift[0] + shift[1] * r
    slope = shift[1] + zero(basis)
    s = positive(shift[2] - r)
    square, minus_two_s = s * s, zero(basis) - (s + s)
    T, T_slope = basis.dtype.type(1) + zero(basis), zero(basis)
    next_T, next_slope = x, slope
    for b in range(basis.shape[0] // 2):
        store(basis, 2 * b, T * square)
        store(basis, 2 * b + 1, T_slope * square + T * minus_two_s)
        after = (x + x) * next_T - T
        after_slope = (slope + slope) * next_T + (x + x) * next_slope - T_slope
        T, T_slope = next_T, next_slope
        next_T, next_slope = after, after_slope


@inlined
def _combined(coefficients: Reals, basis: Reals) -> Any:
    """A radial function and its derivative."""
    value, slope = zero(basis), zero(basis)
    for b in range(coefficients.size):
        value = value + coefficients[b] * load(basis, 2 * b)
        slope = slope + coefficients[b] * load(basis, 2 * b + 1)
    return value, slope


@inlined
def marks(lane: int, pairs: Integers, mask: Reals) -> bool:
    """Fill the mask with where the pair of this lane is; False if that was done before."""
    if pairs[lane] < 0:
        return False
    for other in range(lane):
        if pairs[other] == pairs[lane]:
            return False
    for other in range(pairs.size):
        mask[other] = pairs[other] == pairs[lane]
    return True


@inlined
def _add_masked(k: int, coefficients: Reals, near: Neighborhood) -> None:
    """The radial functions of one pair of elements, in the lanes that have it."""
    f, rows, mask = near.f, 2 * coefficients.shape[0], load(near.mask, 0)
    for mu in range(coefficients.shape[0]):
        row = rows * k + 2 * mu
        value, slope = _combined(coefficients[mu], near.basis)
        store(f, row, load(f, row) + mask * value)
        store(f, row + 1, load(f, row + 1) + mask * slope)


@inlined
def monomials(degree: int, k: int, u: Reals, first: int, X: Reals) -> None:
    """X_ab of slot k in rows from ``first``, by a + b and then by b."""
    x, y = load(u, 4 * k), load(u, 4 * k + 1)
    store(X, first, X.dtype.type(1) + zero(X))
    start = first
    for d in range(1, degree + 1):
        for b in range(d):
            store(X, start + d + b, x * load(X, start + b))
        store(X, start + 2 * d, y * load(X, start + d - 1))
        start += d


@inlined
def _monomials_reverse(degree: int, k: int, near: Neighborhood, first: int) -> Any:
    """dE/du_x and dE/du_y of slot k from X_bar, which is written over."""
    u, X, X_bar = near.u, near.X, near.X_bar
    x, y = load(u, 4 * k), load(u, 4 * k + 1)
    x_bar, y_bar = zero(X), zero(X)
    start = first + degree * (degree - 1) // 2
    for d in range(degree, 0, -1):
        last, bar = start + d - 1, load(X_bar, start + 2 * d)
        y_bar = y_bar + bar * load(X, last)
        store(X_bar, last, load(X_bar, last) + bar * y)
        for b in range(d):
            bar = load(X_bar, start + d + b)
            x_bar = x_bar + bar * load(X, start + b)
            store(X_bar, start + b, load(X_bar, start + b) + bar * x)
        start -= d - 1
    return x_bar, y_bar


@simd
def moments(n_slots: int, sums: SumTables, near: Neighborhood, M: Reals) -> None:
    """The moments that are summed over neighbours."""
    u, f, X = near.u, near.f, near.X
    n_radial, half = sums.starts.shape[0], X.shape[0] // 2
    for row in range(sums.n_summed):
        store(M, row, zero(M))
    for k in range(0, n_slots, 2):
        monomials(sums.degree, k, u, 0, X)
        monomials(sums.degree, k + 1, u, half, X)
        z0, z1 = load(u, 4 * k + 2), load(u, 4 * k + 6)
        for mu in range(n_radial):
            f0, f1 = load(f, 2 * (n_radial * k + mu)), load(f, 2 * (n_radial * (k + 1) + mu))
            g0, g1 = f0 * z0, f1 * z1
            even, odd = sums.starts[mu, 0], sums.starts[mu, 1]
            for i in range(sums.counts[mu, 1]):
                a, b = load(X, i), load(X, half + i)
                store(M, even + i, load(M, even + i) + f0 * a + f1 * b)
                store(M, odd + i, load(M, odd + i) + g0 * a + g1 * b)
            for i in range(sums.counts[mu, 1], sums.counts[mu, 0]):
                store(M, even + i, load(M, even + i) + f0 * load(X, i) + f1 * load(X, half + i))


@simd
def gradients(
    n_slots: int, sums: SumTables, near: Neighborhood, M_bar: Reals, edge_gradients: Reals
) -> None:
    """dE/dr_ij of the edges in the slots."""
    u, f, X, X_bar = near.u, near.f, near.X, near.X_bar
    n_radial, half = sums.starts.shape[0], X.shape[0] // 2
    for k in range(0, n_slots, 2):
        monomials(sums.degree, k, u, 0, X)
        monomials(sums.degree, k + 1, u, half, X)
        for row in range(2 * half):
            store(X_bar, row, zero(X))
        z0, z1 = load(u, 4 * k + 2), load(u, 4 * k + 6)
        z0_bar, z1_bar, r0_bar, r1_bar = zero(X), zero(X), zero(X), zero(X)
        for mu in range(n_radial):
            row, next_row = 2 * (n_radial * k + mu), 2 * (n_radial * (k + 1) + mu)
            f0, f1 = load(f, row), load(f, next_row)
            g0, g1 = f0 * z0, f1 * z1
            even0, even1, odd0, odd1 = zero(X), zero(X), zero(X), zero(X)
            even, odd = sums.starts[mu, 0], sums.starts[mu, 1]
            for i in range(sums.counts[mu, 1]):
                a, b = load(X, i), load(X, half + i)
                bar, z_bar = load(M_bar, even + i), load(M_bar, odd + i)
                even0 = even0 + bar * a
                even1 = even1 + bar * b
                odd0 = odd0 + z_bar * a
                odd1 = odd1 + z_bar * b
                store(X_bar, i, load(X_bar, i) + f0 * bar + g0 * z_bar)
                store(X_bar, half + i, load(X_bar, half + i) + f1 * bar + g1 * z_bar)
            for i in range(sums.counts[mu, 1], sums.counts[mu, 0]):
                bar = load(M_bar, even + i)
                even0 = even0 + bar * load(X, i)
                even1 = even1 + bar * load(X, half + i)
                store(X_bar, i, load(X_bar, i) + f0 * bar)
                store(X_bar, half + i, load(X_bar, half + i) + f1 * bar)
            z0_bar = z0_bar + f0 * odd0
            z1_bar = z1_bar + f1 * odd1
            r0_bar = r0_bar + load(f, row + 1) * (even0 + z0 * odd0)
            r1_bar = r1_bar + load(f, next_row + 1) * (even1 + z1 * odd1)
        _to_edges(sums.degree, k, near, 0, (r0_bar, z0_bar), edge_gradients)
        _to_edges(sums.degree, k + 1, near, half, (r1_bar, z1_bar), edge_gradients)


@inlined
def _to_edges(
    degree: int, k: int, near: Neighborhood, first: int, bars: Any, edge_gradients: Reals
) -> None:
    """dE/dr = dE/d|r| u + (1 - u u) dE/du / |r| of slot k."""
    u, gradient = near.u, near.gradient
    r_bar, z_bar = bars
    x_bar, y_bar = _monomials_reverse(degree, k, near, first)
    x, y, z, r = load(u, 4 * k), load(u, 4 * k + 1), load(u, 4 * k + 2), load(u, 4 * k + 3)
    along = r_bar - (x_bar * x + y_bar * y + z_bar * z) / r
    store(gradient, 0, along * x + x_bar / r)
    store(gradient, 1, along * y + y_bar / r)
    store(gradient, 2, along * z + z_bar / r)
    for lane in range(gradient.shape[1]):
        edge = near.slots[k, lane]
        if edge >= 0:
            for axis in range(3):
                edge_gradients[edge, axis] = gradient[axis, lane]
