"""Loops over atoms that fill the rows of the linear problem; see :mod:`~.design`.

Tangents go through the program several at a time, those of each moment being contiguous: LANES
along coordinates, on which all moments depend, and NARROW along the coefficients of one radial
function, with the few products that depend on it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ladera.arrays import Floats, Integers
from ladera.kernels.compilation import inlined, simd

LANES: Final = 24  # three axes times the numbers of a SIMD register
NARROW: Final = 8


class Tables(NamedTuple):
    """A program as the loops walk it: all products of a moment one after the other.

    Indices that go into arrays in the innermost loops are unsigned, which spares a comparison.
    """

    radial: Integers  # (n_basic,) mu of each basic moment
    monomial: Integers  # (n_basic,)
    exponents: Integers  # (n_monomials, 3)
    lower: Integers  # (n_monomials, 3) the monomial with one factor less; 0 where there is none
    made: Integers  # (n_made,) moments that products make, in the order in which they are complete
    start: Integers  # (n_made + 1,) products of each
    first: Integers  # (n_products,)
    second: Integers  # (n_products,)
    factor: Floats  # (n_products,)
    scalars: Integers  # (n_scalars,)


class Chain(NamedTuple):
    """The terms of sums over products that depend on each radial function, in their order.

    Forward, the tangent of ``moment[n]`` is the sum of factor M_other times the tangent of ``one``
    over the terms start[n] to start[n + 1]; in reverse, the bar of ``moment[n]`` goes to ``one``.
    """

    bounds: Integers  # (n_radial + 1,) moments of each radial function
    moment: Integers  # (n_moments,)
    start: Integers  # (n_moments + 1,)
    one: Integers  # (n_terms,)
    other: Integers  # (n_terms,)
    factor: Floats  # (n_terms,)


class Chains(NamedTuple):
    """What depends on each radial function."""

    forward: Chain
    reverse: Chain
    start: Integers  # (n_radial + 1,) of ``basic``
    basic: Integers  # basic moments whose bars change with the coefficients of a radial function


class Atoms(NamedTuple):
    """The neighbours of each atom of a frame."""

    row_pointer: Integers  # (n_atoms + 1,)
    neighbors: Integers  # (n_edges,)
    vectors: Floats  # (n_edges, 3)
    elements: Integers  # (n_atoms,)


class Functions(NamedTuple):
    """Radial functions, and what the invariant functions count for in the present energy."""

    coefficients: Floats  # (n_species, n_species, n_radial, size)
    weights: Floats  # (n_scalars,)
    minimum: float
    cutoff: float


class Scratch(NamedTuple):
    """Of one atom; ``width`` is a multiple of LANES, and edge e has the places 3 e to 3 e + 2."""

    basis: Floats  # (size, width) Q of the edge, three times
    basis_slope: Floats  # (size, width) dQ/dr u
    radial: Floats  # (n_radial, width) f_mu, three times
    radial_slope: Floats  # (n_radial, width) f_mu' u
    monomials: Floats  # (n_monomials, width) u^abc, three times
    monomial_slopes: Floats  # (n_monomials, width) its gradient in r_ij
    slopes: Floats  # (n_basic, width) gradient of the basic moments in r_ij
    moments: Floats  # (n_moments,)
    bars: Floats  # (n_moments,) dE/dM
    tangents: Floats  # (n_moments, LANES)
    narrow: Floats  # (n_moments, NARROW)
    bar_narrow: Floats  # (n_moments, NARROW)
    mixed: Floats  # (NARROW, width) d^2 E / dc dr_ij
    columns: Integers  # (NARROW,) of these c
    sums: Floats  # (n_radial, width) sum_k dE/dM_k u^abc of the moments of a radial function
    sum_slopes: Floats  # (n_radial, width) and its gradient in r_ij


@simd
def add_rows(
    start: int,
    stop: int,
    atoms: Atoms,
    tables: Tables,
    chains: Chains,
    functions: Functions,
    radial: bool,
    ws: Scratch,
    rows: Floats,
) -> None:
    """Add the atoms ``start`` to ``stop`` to the rows, as :func:`.design.rows_of` has them."""
    for i in range(start, stop):
        first, last = atoms.row_pointer[i], atoms.row_pointer[i + 1]
        _prepare_edges(i, first, last, atoms, tables, functions, ws)
        _values(last - first, tables, ws)
        row = rows[0]
        for s in range(tables.scalars.size):
            row[s] += ws.moments[tables.scalars[s]]
        width = 3 * (last - first)
        for block in range(0, width, LANES):
            for k in range(tables.radial.size):
                for lane in range(LANES):
                    ws.tangents[k, lane] = ws.slopes[k, block + lane]
            _tangents(tables, ws.moments, ws.tangents)
            _collect(i, first, block, min(LANES, width - block), atoms, tables, ws.tangents, rows)
        if radial:
            _bars(tables, functions.weights, ws)
            _sums(width, tables, ws)
            _add_radial_columns(i, first, last, atoms, tables, chains, functions, ws, rows)


@inlined
def _prepare_edges(
    i: int,
    first: int,
    last: int,
    atoms: Atoms,
    tables: Tables,
    functions: Functions,
    ws: Scratch,
) -> None:
    """Radial functions, monomials and the slopes of the basic moments, of the edges of an atom."""
    size, n_radial = ws.basis.shape[0], ws.radial.shape[0]
    width = -(-3 * (last - first) // LANES) * LANES
    ws.slopes[:, 3 * (last - first) : width] = 0.0
    for e in range(first, last):
        x, y, z = atoms.vectors[e, 0], atoms.vectors[e, 1], atoms.vectors[e, 2]
        r = np.sqrt(x * x + y * y + z * z)
        for axis in range(3):
            place = 3 * (e - first) + axis
            u = atoms.vectors[e, axis] / r
            _chebyshev(r, u, functions.minimum, functions.cutoff, place, ws)
            c = functions.coefficients[atoms.elements[i], atoms.elements[atoms.neighbors[e]]]
            for mu in range(n_radial):
                value = slope = 0.0
                for b in range(size):
                    value += c[mu, b] * ws.basis[b, place]
                    slope += c[mu, b] * ws.basis_slope[b, place]
                ws.radial[mu, place], ws.radial_slope[mu, place] = value, slope
            _monomials(x / r, y / r, z / r, r, u, axis, place, tables, ws)
    for k in range(tables.radial.size):
        mu, v = tables.radial[k], tables.monomial[k]
        for place in range(3 * (last - first)):
            ws.slopes[k, place] = (
                ws.radial_slope[mu, place] * ws.monomials[v, place]
                + ws.radial[mu, place] * ws.monomial_slopes[v, place]
            )


@inlined
def _chebyshev(r: float, u: float, minimum: float, cutoff: float, place: int, ws: Scratch) -> None:
    """The radial basis at a distance, and its gradient along an axis."""
    span = cutoff - minimum
    x, gap = (2 * r - minimum - cutoff) / span, max(cutoff - r, 0.0)
    before, value = x, 1.0  # T_-1 = T_1
    slope_before, slope = 1.0, 0.0
    for b in range(ws.basis.shape[0]):
        ws.basis[b, place] = value * gap * gap
        ws.basis_slope[b, place] = (slope * (2 / span) * gap * gap - 2 * value * gap) * u
        value, before = 2 * x * value - before, value
        # T_n' = 2 T_(n-1) + 2 x T_(n-1)' - T_(n-2)'
        slope, slope_before = 2 * before + 2 * x * slope - slope_before, slope


@inlined
def _monomials(
    x: float,
    y: float,
    z: float,
    r: float,
    u: float,
    axis: int,
    place: int,
    tables: Tables,
    ws: Scratch,
) -> None:
    """u_x^a u_y^b u_z^c, which are in the order of their degree, and their slopes along an axis."""
    ws.monomials[0, place], ws.monomial_slopes[0, place] = 1.0, 0.0
    for v in range(1, tables.exponents.shape[0]):
        a, b, c = tables.exponents[v, 0], tables.exponents[v, 1], tables.exponents[v, 2]
        if a:
            value = x * ws.monomials[tables.lower[v, 0], place]
        elif b:
            value = y * ws.monomials[tables.lower[v, 1], place]
        else:
            value = z * ws.monomials[tables.lower[v, 2], place]
        ws.monomials[v, place] = value
        power = tables.exponents[v, axis]
        along = power * ws.monomials[tables.lower[v, axis], place]
        ws.monomial_slopes[v, place] = (along - (a + b + c) * u * value) / r


@inlined
def _values(n_edges: int, tables: Tables, ws: Scratch) -> None:
    """All moments of an atom."""
    for k in range(tables.radial.size):
        mu, v = tables.radial[k], tables.monomial[k]
        total = 0.0
        for e in range(n_edges):
            total += ws.radial[mu, 3 * e] * ws.monomials[v, 3 * e]
        ws.moments[k] = total
    for g in range(tables.made.size):
        total = 0.0
        for row in range(tables.start[g], tables.start[g + 1]):
            moments = ws.moments[tables.first[row]] * ws.moments[tables.second[row]]
            total += tables.factor[row] * moments
        ws.moments[tables.made[g]] = total


@simd
def _tangents(tables: Tables, moments: Floats, tangents: Floats) -> None:
    """From the tangents of the basic moments those of all."""
    for g in range(tables.made.size):
        total = tangents[tables.made[g]]
        for lane in range(LANES):
            total[lane] = 0.0
        for row in range(tables.start[g], tables.start[g + 1]):
            p, q, factor = tables.first[row], tables.second[row], tables.factor[row]
            of_p, of_q = factor * moments[q], factor * moments[p]
            tangent_p, tangent_q = tangents[p], tangents[q]
            for lane in range(LANES):
                total[lane] += of_p * tangent_p[lane] + of_q * tangent_q[lane]


@inlined
def _collect(
    i: int,
    first: int,
    block: int,
    count: int,
    atoms: Atoms,
    tables: Tables,
    tangents: Floats,
    rows: Floats,
) -> None:
    """Add dB/dr_ij to the rows of positions and strain; r_ij is r_j - r_i."""
    strain = 1 + 3 * atoms.elements.size
    for lane in range(count):
        place = block + lane
        e, axis = first + place // 3, place % 3
        if atoms.neighbors[e] != i:  # an image moves with its atom
            of_neighbor, of_center = rows[1 + 3 * atoms.neighbors[e] + axis], rows[1 + 3 * i + axis]
            for s in range(tables.scalars.size):
                slope = tangents[tables.scalars[s], lane]
                of_neighbor[s] += slope
                of_center[s] -= slope
        for other in range(axis + 1 if rows.shape[0] > strain else 0):
            # xx, xy, yy, xz, yz, zz
            row, length = rows[strain + axis * (axis + 1) // 2 + other], atoms.vectors[e, other]
            for s in range(tables.scalars.size):
                row[s] += length * tangents[tables.scalars[s], lane]


@inlined
def _bars(tables: Tables, weights: Floats, ws: Scratch) -> None:
    """dE/dM of all moments."""
    ws.bars[:] = 0.0
    for s in range(tables.scalars.size):
        ws.bars[tables.scalars[s]] += weights[s]
    for g in range(tables.made.size - 1, -1, -1):
        bar = ws.bars[tables.made[g]]
        for row in range(tables.start[g], tables.start[g + 1]):
            p, q, factor = tables.first[row], tables.second[row], tables.factor[row] * bar
            ws.bars[p] += factor * ws.moments[q]
            ws.bars[q] += factor * ws.moments[p]


@inlined
def _sums(width: int, tables: Tables, ws: Scratch) -> None:
    """What each radial function of each edge counts for in the energy, and its slope."""
    ws.sums[:] = 0.0
    ws.sum_slopes[:] = 0.0
    for k in range(tables.radial.size):
        mu, v, bar = tables.radial[k], tables.monomial[k], ws.bars[k]
        for place in range(width):
            ws.sums[mu, place] += bar * ws.monomials[v, place]
            ws.sum_slopes[mu, place] += bar * ws.monomial_slopes[v, place]


@inlined
def _add_radial_columns(
    i: int,
    first: int,
    last: int,
    atoms: Atoms,
    tables: Tables,
    chains: Chains,
    functions: Functions,
    ws: Scratch,
    rows: Floats,
) -> None:
    """What the radial coefficients change in the present energy and its gradients."""
    n_species, _, n_radial, size = functions.coefficients.shape
    for mu in range(chains.start.size - 1):  # a pruned model may use no more of them
        for block in range(0, n_species * size, NARROW):
            _basic_changes(mu, block, first, last, atoms, tables, ws)
            _narrow_tangents(mu, chains, ws)
            _mixed(mu, block, first, last, atoms, chains, ws)
            for lane in range(min(NARROW, n_species * size - block)):
                element, b = divmod(block + lane, size)
                pair = atoms.elements[i] * n_species + element
                ws.columns[lane] = tables.scalars.size + (pair * n_radial + mu) * size + b
            _collect_mixed(i, first, last, min(NARROW, n_species * size - block), atoms, ws, rows)
            for k in range(tables.radial.size):
                for lane in range(min(NARROW, n_species * size - block)):
                    rows[0, ws.columns[lane]] += ws.bars[k] * ws.narrow[k, lane]


@inlined
def _basic_changes(
    mu: int, block: int, first: int, last: int, atoms: Atoms, tables: Tables, ws: Scratch
) -> None:
    """Tangents of the basic moments for some coefficients of a radial function."""
    size, n_basic = ws.basis.shape[0], tables.radial.size
    ws.narrow[:] = 0.0
    for k in range(n_basic):
        if tables.radial[k] != mu:
            continue
        v = tables.monomial[k]
        for e in range(last - first):
            lane = atoms.elements[atoms.neighbors[first + e]] * size - block
            for b in range(max(0, -lane), min(size, NARROW - lane)):
                ws.narrow[k, lane + b] += ws.basis[b, 3 * e] * ws.monomials[v, 3 * e]


@simd
def _narrow_tangents(mu: int, chains: Chains, ws: Scratch) -> None:
    """From the tangents of the basic moments those of all, and of dE/dM."""
    chain = chains.forward
    for n in range(chain.bounds[mu], chain.bounds[mu + 1]):
        first, last = chain.start[n], chain.start[n + 1]
        _narrow_sum(first, last, chain, ws.moments, ws.narrow, ws.narrow[chain.moment[n]])
    ws.bar_narrow[:] = 0.0
    chain = chains.reverse
    for n in range(chain.bounds[mu], chain.bounds[mu + 1]):
        bar, of_bar = ws.bars[chain.moment[n]], ws.bar_narrow[chain.moment[n]]
        _narrow_spread(chain.start[n], chain.start[n + 1], bar, of_bar, chain, ws)


# For so few lanes LLVM does not check whether arrays overlap, and would take one number after the
# other; so all are read before one is written.


@inlined
def _narrow_sum(
    first: int, last: int, chain: Chain, moments: Floats, tangents: Floats, total: Floats
) -> None:
    t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = 0.0
    for term in range(first, last):
        value, t = chain.factor[term] * moments[chain.other[term]], tangents[chain.one[term]]
        t0 += value * t[0]
        t1 += value * t[1]
        t2 += value * t[2]
        t3 += value * t[3]
        t4 += value * t[4]
        t5 += value * t[5]
        t6 += value * t[6]
        t7 += value * t[7]
    total[0], total[1], total[2], total[3] = t0, t1, t2, t3
    total[4], total[5], total[6], total[7] = t4, t5, t6, t7


@inlined
def _narrow_spread(
    first: int, last: int, bar: float, of_bar: Floats, chain: Chain, ws: Scratch
) -> None:
    b0, b1, b2, b3 = of_bar[0], of_bar[1], of_bar[2], of_bar[3]
    b4, b5, b6, b7 = of_bar[4], of_bar[5], of_bar[6], of_bar[7]
    for term in range(first, last):
        factor, number = chain.factor[term], chain.other[term]
        v, w = factor * ws.moments[number], factor * bar
        t, one = ws.narrow[number], ws.bar_narrow[chain.one[term]]
        t0, t1, t2, t3 = one[0], one[1], one[2], one[3]
        t4, t5, t6, t7 = one[4], one[5], one[6], one[7]
        t0 += v * b0 + w * t[0]
        t1 += v * b1 + w * t[1]
        t2 += v * b2 + w * t[2]
        t3 += v * b3 + w * t[3]
        t4 += v * b4 + w * t[4]
        t5 += v * b5 + w * t[5]
        t6 += v * b6 + w * t[6]
        t7 += v * b7 + w * t[7]
        one[0], one[1], one[2], one[3] = t0, t1, t2, t3
        one[4], one[5], one[6], one[7] = t4, t5, t6, t7


@inlined
def _mixed(
    mu: int, block: int, first: int, last: int, atoms: Atoms, chains: Chains, ws: Scratch
) -> None:
    """d^2 E / dc dr_ij: by the slope of the edge itself, and by the bars that c changes."""
    size, n_lanes = ws.basis.shape[0], ws.mixed.shape[0]
    width = 3 * (last - first)
    ws.mixed[:, :width] = 0.0
    for e in range(last - first):
        lane = atoms.elements[atoms.neighbors[first + e]] * size - block
        for b in range(max(0, -lane), min(size, NARROW - lane)):
            mixed = ws.mixed[lane + b]
            for place in range(3 * e, 3 * e + 3):
                mixed[place] = (
                    ws.basis_slope[b, place] * ws.sums[mu, place]
                    + ws.basis[b, place] * ws.sum_slopes[mu, place]
                )
    for lane in range(n_lanes):
        mixed = ws.mixed[lane]
        for n in range(chains.start[mu], chains.start[mu + 1]):
            k = chains.basic[n]
            value, slopes = ws.bar_narrow[k, lane], ws.slopes[k]
            for place in range(width):
                mixed[place] += value * slopes[place]


@inlined
def _collect_mixed(
    i: int, first: int, last: int, count: int, atoms: Atoms, ws: Scratch, rows: Floats
) -> None:
    """Add d^2 E / dc dr_ij of some coefficients to the rows of positions and strain."""
    strain = 1 + 3 * atoms.elements.size
    for place in range(3 * (last - first)):
        e, axis = first + place // 3, place % 3
        of_neighbor, of_center = rows[1 + 3 * atoms.neighbors[e] + axis], rows[1 + 3 * i + axis]
        for lane in range(count):
            of_neighbor[ws.columns[lane]] += ws.mixed[lane, place]
            of_center[ws.columns[lane]] -= ws.mixed[lane, place]
        for other in range(axis + 1 if rows.shape[0] > strain else 0):
            row, length = rows[strain + axis * (axis + 1) // 2 + other], atoms.vectors[e, other]
            for lane in range(count):
                row[ws.columns[lane]] += length * ws.mixed[lane, place]
