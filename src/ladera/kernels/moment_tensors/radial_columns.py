"""What radial coefficients change in energies and their gradients; see :mod:`~.design`.

Tangents along the coefficients of one radial function go through the few products that depend on
it NARROW at a time.
"""

from __future__ import annotations

from ladera.arrays import Floats
from ladera.kernels.compilation import inlined, simd
from ladera.kernels.moment_tensors.design_arrays import (
    NARROW,
    Atoms,
    Chain,
    Chains,
    Functions,
    Scratch,
    Tables,
)


@inlined
def add_radial_columns(
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
