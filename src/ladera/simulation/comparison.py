"""What a relaxation did to a structure, quantity by quantity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from ase.data import chemical_symbols
from ase.geometry import find_mic

from ladera.molecules import bonds
from ladera.structure import Structure
from ladera.symmetry import symmetry_dataset
from ladera.units import GIGAPASCAL

if TYPE_CHECKING:
    from ase import Atoms

COLUMNS: Final = ("quantity", "before", "after", "change")
SYMMETRY_TOLERANCE: Final = 0.01  # Angstrom

Row = tuple[str, str, str, str]


def before_and_after(before: Atoms, after: Atoms) -> list[Row]:
    """Rows of :data:`COLUMNS`: energy, forces, cell, space group, bonds and how far atoms went.

    Both structures are the same atoms in the same order, with their results.
    """
    rows = [
        _numbers("potential energy (eV)", _energy(before), _energy(after), ".6f"),
        _numbers("largest force (eV/Å)", _force(before), _force(after), ".2g"),
    ]
    if before.pbc.all():
        rows += _cell_rows(before, after)
    rows += _bond_rows(before, after)
    rows.append(("farthest move of an atom (Å)", "", f"{_farthest_move(before, after):.4f}", ""))
    return rows


def _farthest_move(before: Atoms, after: Atoms) -> float:
    """Angstrom, without the strain of the cell and the motion of the centre."""
    start = before.copy()
    start.set_cell(after.cell, scale_atoms=True)
    moves = find_mic(after.positions - start.positions, after.cell, after.pbc)[0]
    return float(np.linalg.norm(moves - moves.mean(axis=0), axis=1).max())


def _cell_rows(before: Atoms, after: Atoms) -> Iterator[Row]:
    stresses = [_stress(atoms) for atoms in (before, after)]
    if all(stress is not None for stress in stresses):
        shown = [format(stress, ".2g") for stress in stresses]
        yield "largest stress (GPa)", shown[0], shown[1], ""
    one, two = before.cell.cellpar(), after.cell.cellpar()
    for name, x, y in zip(("a (Å)", "b (Å)", "c (Å)"), one[:3], two[:3], strict=True):
        yield _numbers(name, x, y, ".4f", relative=True)
    for name, x, y in zip(
        ("angle b, c (degree)", "angle a, c (degree)", "angle a, b (degree)"),
        one[3:],
        two[3:],
        strict=True,
    ):
        yield _numbers(name, x, y, ".3f")
    volumes = before.cell.volume / len(before), after.cell.volume / len(after)
    yield _numbers("volume (Å³ per atom)", *volumes, ".4f", relative=True)
    groups = space_group(before), space_group(after)
    yield "space group", *groups, "kept" if groups[0] == groups[1] else "changed"


def _bond_rows(before: Atoms, after: Atoms) -> Iterator[Row]:
    """Mean lengths of the bonds that the structure begins with, by their elements."""
    found = bonds(Structure.from_atoms(before))
    one_way = found.first <= found.second
    i, j, shifts, lengths = (each[one_way] for each in found)
    moved = after.positions[j] - after.positions[i] + shifts @ after.cell.array
    longer = np.linalg.norm(moved, axis=1)
    kinds = np.sort(np.stack([before.numbers[i], before.numbers[j]], axis=1), axis=1)
    for kind in np.unique(kinds, axis=0) if len(kinds) else ():
        mine = (kinds == kind).all(axis=1)
        name = "-".join(chemical_symbols[number] for number in kind)
        label = f"{name} bond (Å), mean of {int(mine.sum())}"
        yield _numbers(label, lengths[mine].mean(), longer[mine].mean(), ".4f")


def space_group(atoms: Atoms) -> str:
    """Symbol and number of the space group, found within 0.01 Angstrom."""
    dataset = symmetry_dataset(atoms, SYMMETRY_TOLERANCE)
    return "none found" if dataset is None else f"{dataset.international} ({dataset.number})"


def _numbers(name: str, before: float, after: float, pattern: str, relative: bool = False) -> Row:
    change = f"{after - before:+{pattern}}"
    if relative and before:
        change += f" ({100 * (after / before - 1):+.2f} %)"
    return name, f"{before:{pattern}}", f"{after:{pattern}}", change


def _energy(atoms: Atoms) -> float:
    return float(atoms.get_potential_energy())


def _force(atoms: Atoms) -> float:
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


def _stress(atoms: Atoms) -> float | None:
    results = atoms.calc.results if atoms.calc is not None else {}
    return float(np.abs(results["stress"]).max() / GIGAPASCAL) if "stress" in results else None
