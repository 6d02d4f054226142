"""Loops over atoms that fill the rows of the linear problem; see :mod:`~.design`.

Tangents go through the program LANES at a time, each row of a moment's tangents being contiguous.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ladera.arrays import Floats, Integers
from ladera.kernels.compilation import inlined, simd

LANES: Final = 24  # of a cell's three axes times the numbers of a SIMD register


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
    bar_tangents: Floats  # (n_moments, LANES)
    curvature: Floats  # (n_lanes, n_basic) d^2 E / dc dM
    mixed: Floats  # (n_lanes, width) d^2 E / dc dr_ij
    sums: Floats  # (n_radial, width) sum_k dE/dM_k u^abc of the moments of a radial function
    sum_slopes: Floats  # (n_radial, width) and its gradient in r_ij


@simd
def add_rows(
    start: int,
    stop: int,
    atoms: Atoms,
    tables: Tables,
    functions: Functions,
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


@simd
def add_radial_columns(
    start: int,
    stop: int,
    atoms: Atoms,
    tables: Tables,
    functions: Functions,
    ws: Scratch,
    rows: Floats,
) -> None:
    """Add what the radial coefficients change in the present energy and its gradients.

    ``rows`` (n_rows, n_species^2 n_radial size) are as in :func:`add_rows`.
    """
    n_lanes = ws.mixed.shape[0]
    for i in range(start, stop):
        first, last = atoms.row_pointer[i], atoms.row_pointer[i + 1]
        _prepare_edges(i, first, last, atoms, tables, functions, ws)
        _values(last - first, tables, ws)
        _bars(tables, functions.weights, ws)
        column = atoms.elements[i] * n_lanes
        for block in range(0, n_lanes, LANES):
            _basic_changes(block, column, first, last, atoms, tables, ws, rows[0])
            _tangents(tables, ws.moments, ws.tangents)
            _bar_tangents(tables, ws)
            for lane in range(min(LANES, n_lanes - block)):
                for k in range(tables.radial.size):
                    ws.curvature[block + lane, k] = ws.bar_tangents[k, lane]
        _mixed(first, last, atoms, tables, ws)
        _collect_mixed(i, first, last, column, atoms, ws, rows)


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
def _basic_changes(
    block: int,
    column: int,
    first: int,
    last: int,
    atoms: Atoms,
    tables: Tables,
    ws: Scratch,
    energy_row: Floats,
) -> None:
    """Tangents of the basic moments for LANES radial coefficients, and dE/dc of these."""
    size, n_radial, n_lanes = ws.basis.shape[0], ws.radial.shape[0], ws.mixed.shape[0]
    n_basic = tables.radial.size
    ws.tangents[:n_basic] = 0.0
    for lane in range(min(LANES, n_lanes - block)):
        element, rest = divmod(block + lane, n_radial * size)
        radial, b = divmod(rest, size)
        change = 0.0
        for k in range(n_basic):
            if tables.radial[k] != radial:
                continue
            v, total = tables.monomial[k], 0.0
            for e in range(last - first):
                if atoms.elements[atoms.neighbors[first + e]] == element:
                    total += ws.basis[b, 3 * e] * ws.monomials[v, 3 * e]
            ws.tangents[k, lane] = total
            change += ws.bars[k] * total
        energy_row[column + block + lane] += change


@simd
def _bar_tangents(tables: Tables, ws: Scratch) -> None:
    """From the tangents of all moments those of dE/dM."""
    bar_tangents, tangents = ws.bar_tangents, ws.tangents
    bar_tangents[:] = 0.0
    for g in range(tables.made.size - 1, -1, -1):
        bar, of_bar = ws.bars[tables.made[g]], bar_tangents[tables.made[g]]
        for row in range(tables.start[g], tables.start[g + 1]):
            p, q, factor = tables.first[row], tables.second[row], tables.factor[row]
            value_p, value_q = factor * ws.moments[p], factor * ws.moments[q]
            other = factor * bar
            one, two = bar_tangents[p], tangents[q]
            for lane in range(LANES):
                one[lane] += value_q * of_bar[lane] + other * two[lane]
            one, two = bar_tangents[q], tangents[p]
            for lane in range(LANES):
                one[lane] += value_p * of_bar[lane] + other * two[lane]


@inlined
def _mixed(first: int, last: int, atoms: Atoms, tables: Tables, ws: Scratch) -> None:
    """d^2 E / dc dr_ij: by the moments that c changes, and by the slope of the edge itself."""
    size, n_radial, n_lanes = ws.basis.shape[0], ws.radial.shape[0], ws.mixed.shape[0]
    width = 3 * (last - first)
    ws.sums[:] = 0.0
    ws.sum_slopes[:] = 0.0
    for k in range(tables.radial.size):
        mu, v, bar = tables.radial[k], tables.monomial[k], ws.bars[k]
        for place in range(width):
            ws.sums[mu, place] += bar * ws.monomials[v, place]
            ws.sum_slopes[mu, place] += bar * ws.monomial_slopes[v, place]
    for lane in range(n_lanes):
        element, rest = divmod(lane, n_radial * size)
        mu, b = divmod(rest, size)
        mixed, curvature = ws.mixed[lane], ws.curvature[lane]
        for e in range(last - first):
            same = 1.0 if atoms.elements[atoms.neighbors[first + e]] == element else 0.0
            for place in range(3 * e, 3 * e + 3):
                mixed[place] = same * (
                    ws.basis_slope[b, place] * ws.sums[mu, place]
                    + ws.basis[b, place] * ws.sum_slopes[mu, place]
                )
        for k in range(tables.radial.size):
            value, slopes = curvature[k], ws.slopes[k]
            for place in range(width):
                mixed[place] += value * slopes[place]


@inlined
def _collect_mixed(
    i: int, first: int, last: int, column: int, atoms: Atoms, ws: Scratch, rows: Floats
) -> None:
    """Add d^2 E / dc dr_ij to the rows of positions and strain."""
    strain, n_lanes = 1 + 3 * atoms.elements.size, ws.mixed.shape[0]
    for place in range(3 * (last - first)):
        e, axis = first + place // 3, place % 3
        of_neighbor, of_center = rows[1 + 3 * atoms.neighbors[e] + axis], rows[1 + 3 * i + axis]
        for lane in range(n_lanes):
            of_neighbor[column + lane] += ws.mixed[lane, place]
            of_center[column + lane] -= ws.mixed[lane, place]
        for other in range(axis + 1 if rows.shape[0] > strain else 0):
            row, length = rows[strain + axis * (axis + 1) // 2 + other], atoms.vectors[e, other]
            for lane in range(n_lanes):
                row[column + lane] += length * ws.mixed[lane, place]
