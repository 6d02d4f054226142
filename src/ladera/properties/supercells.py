"""Crystals as phonopy has them: which cell, how many of it, and back to ASE's."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ase.geometry import minkowski_reduce
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.cells import guess_primitive_matrix

from ladera.arrays import Floats, Integers
from ladera.errors import PropertyError
from ladera.structure import total_charge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

_SUPERCELL_HEIGHT: Final = 12.0  # Angstrom; force constants have mostly decayed at half of it
_SAME_PLACE: Final = 1e-3  # Angstrom, of atoms that symmetry makes one, as relaxations leave them


def phonopy_cell(atoms: Atoms) -> PhonopyAtoms:
    """phonopy's structure of a crystal, with one symbol for each element and mass."""
    # phonopy wants right-handed vectors: their opposites are those of the same lattice.
    hand = np.sign(np.linalg.det(atoms.cell.array))
    return PhonopyAtoms(
        symbols=_kinds(atoms),
        cell=hand * atoms.cell.array,
        scaled_positions=hand * atoms.get_scaled_positions(wrap=False),
        masses=atoms.get_masses(),
    )


def _kinds(atoms: Atoms) -> list[str]:
    """Symbols, with a number for each mass where those of an element differ: Cu, Cu1.

    Symmetry must not take a heavy atom for a light one: not for the primitive cell, nor for the
    wave vectors that are computed.
    """
    pairs = list(zip(atoms.get_chemical_symbols(), atoms.get_masses().round(6), strict=True))
    distinct = list(dict.fromkeys(pairs))
    numbers = {
        pair: [other for other in distinct if other[0] == pair[0]].index(pair) for pair in distinct
    }
    return [f"{pair[0]}{numbers[pair] or ''}" for pair in pairs]


def primitive_matrix(cell: PhonopyAtoms) -> Floats:
    """Vectors of the primitive cell in columns, in those of ``cell``; one if that is primitive."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib's, of exceptions to come
        matrix: Floats = guess_primitive_matrix(
            cell, symprec=_SAME_PLACE, distinguish_symbol_index=True
        )
    return matrix if abs(np.linalg.det(matrix)) < 0.99 else np.eye(3)


def to_ase(supercell: Any, like: Atoms) -> Atoms:
    """phonopy's supercell with all that the atoms of the cell are labelled with."""
    cells = len(supercell) // len(like)
    places = [supercell.u2u_map[i] for i in supercell.s2u_map]
    atoms = like[places]
    atoms.set_cell(supercell.cell)
    atoms.positions = supercell.positions
    if "total_charge" in atoms.info:
        atoms.info["total_charge"] = cells * total_charge(like)
    atoms.calc = like.calc
    return atoms


def supercell_of(atoms: Atoms, supercell: int | Sequence[int] | None) -> tuple[Atoms, Integers]:
    """The cell to repeat, and how often along each vector (3,): as asked (one number for
    all), or 12 Angstrom high.

    Where nothing is asked it is the cell of the lattice's shortest vectors: a supercell of many
    skewed cells would be no higher. Raises PropertyError for a size that makes no sense.
    """
    if supercell is None:
        vectors, operation = minkowski_reduce(atoms.cell)
        if (np.abs(operation).sum(axis=1) > 1).any():  # not the same vectors in another order
            reduced = atoms.copy()
            reduced.set_cell(vectors)
            reduced.calc = atoms.calc
            atoms = reduced
        heights = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
        cells: Integers = np.ceil(_SUPERCELL_HEIGHT / heights - 1e-6).astype(np.int64)
        return atoms, cells
    size = np.array([supercell] * 3 if isinstance(supercell, int) else supercell, dtype=np.int64)
    if size.shape != (3,) or (size < 1).any():
        given = " ".join(map(str, size.ravel().tolist()))
        raise PropertyError.of("supercell", given, "give three numbers from 1 up, such as 2 2 2")
    return atoms, size
