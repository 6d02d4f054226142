"""The dimer of beta-hematin: its groups, the bonds that turn, its second isomer.

The first half of the atoms is one haem, the second its image through the centre of inversion, which
is the origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.io import read
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, shortest_path

HERE = Path(__file__).parent
MODEL = HERE / "dimer.extxyz"
_BOND = 1.25  # of the sum of covalent radii: the longest bond

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Torsion:
    """A bond that turns, and the atoms that turn with it."""

    base: int  # on the side that stays
    tip: int
    group: str  # "acid", "vinyl" or "methyl"
    moving: Integers  # indices, without the tip, which is on the axis


@dataclass(frozen=True)
class Acid:
    """The free propionic acid's carboxyl group, by indices."""

    carbon: int
    carbonyl: int  # C=O
    hydroxyl: int  # C-O-H
    hydrogen: int


def dimer(isomer: str = "a") -> Atoms:
    """The model dimer bound through the propionates of ring A, or (d) of ring D, unrelaxed."""
    return other_isomer(read(MODEL)) if isomer == "d" else read(MODEL)


def bonds(atoms: Atoms) -> Booleans:
    """Which atoms are bound, (n_atoms, n_atoms)."""
    radii = covalent_radii[atoms.numbers]
    bound = atoms.get_all_distances() < _BOND * (radii[:, None] + radii)
    np.fill_diagonal(bound, False)
    return bound


def distances_in_bonds(atoms: Atoms) -> Floats:
    """The least number of bonds between atoms, (n_atoms, n_atoms)."""
    return shortest_path(bonds(atoms), unweighted=True)


def neighbours(bound: Booleans, atom: int, symbols: list[str], symbol: str = "") -> list[int]:
    """The atoms bound to ``atom``, those of one element if it is named."""
    return [j for j in np.flatnonzero(bound[atom]).tolist() if symbol in ("", symbols[j])]


def acid(atoms: Atoms) -> Acid:
    """The acid group of the first half."""
    symbols, bound = atoms.get_chemical_symbols(), bonds(atoms)
    for hydroxyl in range(len(atoms) // 2):
        if symbols[hydroxyl] != "O":
            continue
        for hydrogen in neighbours(bound, hydroxyl, symbols, "H"):
            (carbon,) = neighbours(bound, hydroxyl, symbols, "C")
            (carbonyl,) = set(neighbours(bound, carbon, symbols, "O")) - {hydroxyl}
            return Acid(carbon, carbonyl, hydroxyl, hydrogen)
    raise ValueError("The first half of the dimer has no carboxylic acid: no O with an H.")


def torsions(atoms: Atoms) -> list[Torsion]:
    """The single bonds of the first half's side chains, those nearest to the ring first.

    Bonds whose cut parts the molecule are no part of a ring; that of the bound propionate is one of
    the ring through both iron atoms. C=C and C-OH, which hold a plane, stay as they are.
    """
    symbols, bound = atoms.get_chemical_symbols(), bonds(atoms)
    half = len(atoms) // 2
    iron = symbols.index("Fe")
    found = []
    for i, j in np.argwhere(np.triu(bound[:half, :half])):
        cut = bound.copy()
        cut[i, j] = cut[j, i] = False
        n_parts, part = connected_components(cut)
        if n_parts == 1 or "H" in (symbols[i], symbols[j]):
            continue
        base, tip = (i, j) if part[i] == part[iron] else (j, i)
        moving = np.flatnonzero(part == part[tip])
        group = _group([symbols[k] for k in moving])
        if symbols[tip] == "O" or (group == "vinyl" and len(moving) < 5) or group == "=CH2":
            continue
        found.append(Torsion(int(base), int(tip), group, moving[moving != tip]))
    return sorted(found, key=lambda torsion: -len(torsion.moving))


def _group(symbols: list[str]) -> str:
    """What the atoms beyond a bond are."""
    if "O" in symbols:
        return "acid"
    counts = symbols.count("C"), symbols.count("H")
    return {(1, 3): "methyl", (2, 3): "vinyl", (1, 2): "=CH2"}[counts]


def other_isomer(atoms: Atoms) -> Atoms:
    """The isomer bound through the propionate of ring D, unrelaxed.

    Protoporphyrin IX would be its own mirror image if methyl and vinyl changed places on rings B
    and C; the mirror plane swaps rings A and D. A dimer with a centre of inversion is its own
    mirror image, so to exchange the two groups on both rings is to exchange the isomers.
    """
    atoms = atoms.copy()
    half = len(atoms) // 2
    bound = bonds(atoms)
    turning = torsions(atoms)
    vinyls = [t for t in turning if t.group == "vinyl"]
    methyls = [t for t in turning if t.group == "methyl"]
    for vinyl in vinyls:
        (methyl,) = [m for m in methyls if bound[vinyl.base, m.base]]
        _exchange(atoms, vinyl, methyl)
    atoms.positions[half:] = -atoms.positions[:half]
    return atoms


def _exchange(atoms: Atoms, one: Torsion, two: Torsion) -> None:
    """Move the groups of two torsions to each other's place, by the mirror plane between them."""
    positions = atoms.positions
    bases = positions[[one.base, two.base]]
    normal = bases[1] - bases[0]
    normal /= np.linalg.norm(normal)
    middle = bases.mean(axis=0)
    for torsion in (one, two):
        group = np.append(torsion.moving, torsion.tip)
        positions[group] -= 2 * np.outer((positions[group] - middle) @ normal, normal)


def turned(positions: Floats, turning: list[Torsion], angles: Floats) -> Floats:
    """Positions (n, 3) with each torsion turned by its angle (radian) more."""
    moved = positions.copy()
    for torsion, angle in zip(turning, angles, strict=True):
        origin = moved[torsion.base]
        axis = moved[torsion.tip] - origin
        axis = axis / np.linalg.norm(axis)
        arms = moved[torsion.moving] - origin
        along = np.outer(arms @ axis, axis)
        moved[torsion.moving] = (
            origin + along + np.cos(angle) * (arms - along) + np.sin(angle) * np.cross(axis, arms)
        )
    return moved
