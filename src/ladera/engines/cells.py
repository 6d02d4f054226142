"""Cells as engines want them: the first vector along x, the second in the plane of x and y."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase.cell import Cell

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats


def standing(atoms: Atoms) -> tuple[Floats, Floats]:
    """A lower triangular cell (3, 3) of the same lattice, its diagonal positive, and a rotation.

    A row vector of the structure, times the rotation (3, 3), is one beside that cell. The third
    vector of a left-handed cell is taken the other way round: nothing is mirrored.
    """
    vectors = atoms.cell.array.copy()
    if np.linalg.det(vectors) < 0:
        vectors[2] *= -1
    cell, turn = Cell(vectors).standard_form()
    return np.asarray(cell.array), np.asarray(turn).T
