"""The linear problem of a moment tensor potential: energies and gradients in its coefficients.

The energy of a frame is linear in the coefficients of the invariant functions,

    E = sum_s w_s sum_i B_s(i),      so are      dE/dr_a       and       dE/d(strain)

and least squares need the sums sum_i B_s, their derivatives, and, to change the radial coefficients
c as well, the derivatives of the same in c with the present w. All are made by forward passes
through the program: tangents of the basic moments along each coordinate of each neighbour, and
along each c; the latter are followed by tangents of the reverse pass. Most products know nothing of
the later radial functions, so that c costs little.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ladera.arrays import Floats
from ladera.kernels.moment_tensors.design_arrays import (
    LANES,
    NARROW,
    Atoms,
    Chain,
    Chains,
    Functions,
    Scratch,
    Tables,
)
from ladera.kernels.moment_tensors.design_loops import add_rows
from ladera.kernels.moment_tensors.program import MomentProgram
from ladera.kernels.threads import Shares


class Rows(NamedTuple):
    """Of one frame: the energy, its gradient in the positions, and in the strain.

    Columns are the invariant functions, then the radial coefficients in the order of their array.
    """

    energy: Floats  # (n_columns,) eV per unit of the coefficient
    positions: Floats  # (3 n_atoms, n_columns) per Angstrom
    strain: Floats  # (6, n_columns): xx, xy, yy, xz, yz, zz; empty if not asked for


class Design:
    """The rows of the frames of a program."""

    def __init__(self, program: MomentProgram) -> None:
        self._tables, self._chains = _tables(program), _chains(program)

    def rows(self, atoms: Atoms, functions: Functions, *, strain: bool, radial: bool) -> Rows:
        """Those of a frame; without ``radial`` the columns of the radial coefficients are zero."""
        n_atoms, n_scalars = len(atoms.elements), len(self._tables.scalars)
        count = 1 + 3 * n_atoms + (6 if strain else 0)
        counts = np.diff(atoms.row_pointer)
        most = int(counts.max(initial=0))
        shares = Shares(counts + 1)
        parts = np.zeros((shares.count, count, n_scalars + functions.coefficients.size))

        def work(thread: int, start: int, stop: int) -> None:
            ws = _scratch(self._tables, functions, most)
            fixed = atoms, self._tables, self._chains, functions
            add_rows(start, stop, *fixed, radial, ws, parts[thread])

        shares.atoms(work)
        rows = parts[0]
        for part in parts[1:]:
            rows += part
        return Rows(rows[0], rows[1 : 1 + 3 * n_atoms], rows[1 + 3 * n_atoms :])


def _tables(program: MomentProgram) -> Tables:
    """The program with the products of each moment together, in an order that can be walked."""
    basic, products = program.basic, program.products
    monomials = [
        (a, b, degree - a - b)
        for degree in range(program.degree + 1)
        for a in range(degree, -1, -1)
        for b in range(degree - a, -1, -1)
    ]
    number = {monomial: v for v, monomial in enumerate(monomials)}
    lower = [
        [number.get(less, 0) for less in ((a - 1, b, c), (a, b - 1, c), (a, b, c - 1))]
        for a, b, c in monomials
    ]
    # A moment is complete with its last product; all its factors were before its first.
    complete = {k: row for row, k in enumerate(products[:, 3].tolist())}
    order = np.argsort([complete[k] for k in products[:, 3].tolist()], kind="stable")
    rows = products[order]
    start = np.flatnonzero(np.diff(rows[:, 3], prepend=-1, append=-1))
    return Tables(
        radial=basic[:, 0].copy(),
        monomial=np.array([number[a, b, c] for _, a, b, c in basic.tolist()], dtype=np.int64),
        exponents=np.array(monomials, dtype=np.int64),
        lower=np.array(lower, dtype=np.int64),
        made=rows[start[:-1], 3].astype(np.uint64),
        start=start,
        first=rows[:, 0].astype(np.uint64),
        second=rows[:, 1].astype(np.uint64),
        factor=rows[:, 2].astype(np.float64),
        scalars=program.scalars.astype(np.uint64),
    )


def _chains(program: MomentProgram) -> Chains:
    """Which products depend on each radial function, forward and in reverse."""
    tables = _tables(program)
    order = np.repeat(tables.made, np.diff(tables.start))
    rows = np.stack([tables.first, tables.second, order], axis=1).astype(np.int64)
    forward, reverse, basic = [], [], []
    for mu in range(program.n_radial):
        moves = np.zeros(program.n_moments, dtype=bool)
        moves[: len(program.basic)] = program.basic[:, 0] == mu
        terms = []
        for (p, q, k), factor in zip(rows.tolist(), tables.factor.tolist(), strict=True):
            terms += [(k, p, q, factor)] * int(moves[p]) + [(k, q, p, factor)] * int(moves[q])
            moves[k] |= moves[p] or moves[q]
        forward.append(terms)
        bars, terms = np.zeros(program.n_moments, dtype=bool), []
        for (p, q, k), factor in zip(
            rows[::-1].tolist(), tables.factor[::-1].tolist(), strict=True
        ):
            for one, other in ((p, q), (q, p)):
                if bars[k] or moves[other]:
                    terms.append((k, one, other, factor))
                    bars[one] = True
        reverse.append(terms)
        basic.append(np.flatnonzero(bars[: len(program.basic)]))
    start = np.cumsum([0, *map(len, basic)])
    return Chains(_chain(forward), _chain(reverse), start, np.concatenate(basic))


def _chain(parts: list[list[tuple[int, int, int, float]]]) -> Chain:
    """Terms (moment, one, other, factor) of each radial function, those of a moment together."""
    terms = [term for part in parts for term in part]
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    numbers = np.array([term[:3] for term in terms], dtype=np.int64).reshape(-1, 3)
    key = owner * (numbers.max(initial=0) + 1) + numbers[:, 0]
    start = np.flatnonzero(np.diff(key, prepend=-1, append=-1)) if len(key) else np.zeros(1, int)
    return Chain(
        bounds=np.searchsorted(owner[start[:-1]], np.arange(len(parts) + 1)),
        moment=numbers[start[:-1], 0].astype(np.uint64),
        start=start,
        one=numbers[:, 1].astype(np.uint64),
        other=numbers[:, 2].astype(np.uint64),
        factor=np.array([term[3] for term in terms], dtype=np.float64),
    )


def _scratch(tables: Tables, functions: Functions, most: int) -> Scratch:
    _, _, n_radial, size = functions.coefficients.shape
    width = -(-3 * most // LANES) * LANES
    n_basic = len(tables.radial)
    n_moments = 1 + int(max(n_basic - 1, tables.made.max(initial=0)))
    n_monomials = len(tables.exponents)
    shapes = {
        "basis": (size, width),
        "basis_slope": (size, width),
        "radial": (n_radial, width),
        "radial_slope": (n_radial, width),
        "monomials": (n_monomials, width),
        "monomial_slopes": (n_monomials, width),
        "slopes": (n_basic, width),
        "moments": (n_moments,),
        "bars": (n_moments,),
        "tangents": (n_moments, LANES),
        "narrow": (n_moments, NARROW),
        "bar_narrow": (n_moments, NARROW),
        "mixed": (NARROW, width),
        "sums": (n_radial, width),
        "sum_slopes": (n_radial, width),
    }
    columns = np.zeros(NARROW, dtype=np.int64)
    return Scratch(columns=columns, **{name: np.zeros(shape) for name, shape in shapes.items()})
