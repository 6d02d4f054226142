"""The linear problem of a moment tensor potential: energies and gradients in its coefficients.

The energy of a frame is linear in the coefficients of the invariant functions,

    E = sum_s w_s sum_i B_s(i),      so are      dE/dr_a       and       dE/d(strain)

and least squares need the sums sum_i B_s, their derivatives, and, to change the radial coefficients
c as well, the derivatives of the same in c with the present w. All are made by forward passes
through the program: tangents of the basic moments along each coordinate of each neighbour, and
along each c; the latter are followed by tangents of the reverse pass.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ladera.arrays import Floats
from ladera.kernels.moment_tensors.design_loops import (
    LANES,
    Atoms,
    Functions,
    Scratch,
    Tables,
    add_radial_columns,
    add_rows,
)
from ladera.kernels.moment_tensors.program import MomentProgram
from ladera.kernels.threads import Shares


class Rows(NamedTuple):
    """Of one frame: the energy, its gradient in the positions, and in the strain.

    Columns are the invariant functions, then the radial coefficients in the order of their array.
    """

    energy: Floats  # (n_columns,) eV per unit of the coefficient
    positions: Floats  # (3 n_atoms, n_columns) per Angstrom
    strain: Floats  # (6, n_columns): xx, xy, yy, xz, yz, zz; empty if not asked for


def rows_of(
    atoms: Atoms, tables: Tables, functions: Functions, *, strain: bool, radial: bool
) -> Rows:
    """The rows of a frame; without ``radial`` the columns of the radial coefficients are zero."""
    n_atoms, n_scalars = len(atoms.elements), len(tables.scalars)
    count = 1 + 3 * n_atoms + (6 if strain else 0)
    counts = np.diff(atoms.row_pointer)
    most = int(counts.max(initial=0))
    shares = Shares(counts + 1)
    n_columns = n_scalars + functions.coefficients.size
    parts = np.zeros((shares.count, count, n_columns))

    def work(thread: int, start: int, stop: int) -> None:
        ws, rows = _scratch(tables, functions, most), parts[thread]
        add_rows(start, stop, atoms, tables, functions, ws, rows[:, :n_scalars])
        if radial:
            add_radial_columns(start, stop, atoms, tables, functions, ws, rows[:, n_scalars:])

    shares.atoms(work)
    rows = parts[0]
    for part in parts[1:]:
        rows += part
    return Rows(rows[0], rows[1 : 1 + 3 * n_atoms], rows[1 + 3 * n_atoms :])


def tables_of(program: MomentProgram) -> Tables:
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
        [number.get(tuple(n - (axis == one) for axis, n in enumerate(each)), 0) for one in range(3)]
        for each in monomials
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


def _scratch(tables: Tables, functions: Functions, most: int) -> Scratch:
    n_species, _, n_radial, size = functions.coefficients.shape
    width = -(-3 * most // LANES) * LANES
    n_basic, n_lanes = len(tables.radial), n_species * n_radial * size
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
        "bar_tangents": (n_moments, LANES),
        "curvature": (n_lanes, n_basic),
        "mixed": (n_lanes, width),
        "sums": (n_radial, width),
        "sum_slopes": (n_radial, width),
    }
    return Scratch(**{name: np.zeros(shape) for name, shape in shapes.items()})
