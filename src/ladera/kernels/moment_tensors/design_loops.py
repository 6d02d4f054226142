"""Loops over atoms that fill the rows of the linear problem; see :mod:`~.design`.

Tangents along coordinates, on which all moments depend, go through the program LANES at a time,
those of each moment being contiguous; those along the coefficients of radial functions do in
:mod:`~.radial_columns`.
"""

from __future__ import annotations

import numpy as np

from ladera.arrays import Floats
from ladera.kernels.compilation import inlined, simd
from ladera.kernels.moment_tensors.design_arrays import (
    LANES,
    Atoms,
    Chains,
    Functions,
    Scratch,
    Tables,
)
from ladera.kernels.moment_tensors.radial_columns import add_radial_columns


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
            add_radial_columns(i, first, last, atoms, tables, chains, functions, ws, rows)


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
