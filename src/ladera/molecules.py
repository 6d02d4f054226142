"""Molecules of a structure: which atoms are bonded, and which of their images stand together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from ase.data import chemical_symbols, covalent_radii

from ladera.errors import DataError
from ladera.graph import Graph

if TYPE_CHECKING:
    from ladera.arrays import Floats, Integers
    from ladera.structure import Structure

_BOND: Final = 1.25  # sums of covalent radii that a bond may be long: no hydrogen bond is so short
_LONGEST: Final = 4.0  # Angstrom
_POLAR: Final = (7, 8, 9)  # N, O, F: what gives and takes the hydrogen of a hydrogen bond
_HYDROGEN_BOND: Final = 2.3  # Angstrom, H...O: the longest that much charge flows through


class NetworkError(DataError):
    """Bonds run through the whole cell: there are no molecules that could be told apart."""


class Bonds(NamedTuple):
    """Pairs of bonded atoms, each pair in both directions, sorted by the first."""

    first: Integers  # (n_bonds,)
    second: Integers  # (n_bonds,)
    shifts: Integers  # (n_bonds, 3), cells by which the image of the second atom is away
    lengths: Floats  # (n_bonds,), Angstrom


def bonds(structure: Structure) -> Bonds:
    """Pairs closer than 1.25 times the sum of their covalent radii, and than 4 Angstrom.

    The radii are those of Cordero et al., Dalton Trans. 2832 (2008). O-H may be 1.21 Angstrom long:
    a hydrogen bond is longer, and a proton in the middle of a very strong one has two bonds.
    """
    radii = covalent_radii[structure.numbers]
    graph = Graph.of(structure, min(_LONGEST, 2 * _BOND * float(radii.max())))
    first, second = graph.centers.numpy(), graph.neighbors.numpy()
    lengths = np.linalg.norm(graph.vectors.numpy(), axis=1)
    near = lengths < _BOND * (radii[first] + radii[second])
    shifts = graph.shifts.numpy()[near].astype(np.int64)
    return Bonds(first[near], second[near], shifts, lengths[near])


@dataclass(frozen=True, eq=False)
class Molecules:
    """The molecules of a structure, and the images of its atoms with which they are whole."""

    index: Integers  # (n_atoms,), the molecule of each atom; they are numbered by their first atoms
    images: Integers  # (n_atoms, 3), cells to go from an atom's place to that in its molecule

    @classmethod
    def of(cls, structure: Structure) -> Molecules:
        """Atoms that bonds connect; see :func:`bonds`.

        Raises NetworkError where an atom is connected with its own image: a chain, a layer or a
        framework runs through the cell.
        """
        found = bonds(structure)
        starts = np.searchsorted(found.first, np.arange(len(structure.numbers) + 1))
        index = np.full(len(structure.numbers), -1)
        images = np.zeros((len(structure.numbers), 3), dtype=np.int64)
        for atom in range(len(index)):
            if index[atom] < 0:
                _follow(atom, index, images, found, starts, structure)
        return cls(index, images)

    @property
    def count(self) -> int:
        """How many."""
        return int(self.index.max()) + 1

    def atoms(self, molecule: int) -> Integers:
        """The atoms of one, (n,)."""
        return np.flatnonzero(self.index == molecule)

    def whole(self, positions: Floats, cell: Floats) -> Floats:
        """Positions (..., n_atoms, 3) in ``cell`` (..., 3, 3) at which all molecules are whole."""
        placed: Floats = positions + self.images @ cell
        return placed


def hydrogen_bonds(structure: Structure, molecules: Molecules) -> int:
    """How many hydrogens of O-H, N-H or F-H are near an O, N or F of another molecule.

    Nearer than 2.3 Angstrom; another image of the same molecule counts as another one.
    """
    numbers, own = structure.numbers, bonds(structure)
    polar = np.isin(numbers, _POLAR)
    given = np.zeros(len(numbers), dtype=bool)
    given[own.first[(numbers[own.first] == 1) & polar[own.second]]] = True
    graph = Graph.of(structure, _HYDROGEN_BOND)
    first, second = graph.centers.numpy(), graph.neighbors.numpy()
    inside = (graph.shifts.numpy() == molecules.images[second] - molecules.images[first]).all(
        axis=1
    )
    inside &= molecules.index[first] == molecules.index[second]
    return len(np.unique(first[given[first] & polar[second] & ~inside]))


def _follow(
    start: int, index: Integers, images: Integers, found: Bonds, starts: Integers, s: Structure
) -> None:
    """Give all atoms that bonds connect with ``start`` the next number, and their images."""
    index[start] = index.max() + 1
    waiting = [start]
    while waiting:
        atom = waiting.pop()
        for bond in range(starts[atom], starts[atom + 1]):
            other, image = found.second[bond], images[atom] + found.shifts[bond]
            if index[other] < 0:
                index[other], images[other] = index[atom], image
                waiting.append(other)
            elif (images[other] != image).any():
                raise _network(s, atom, other, image - images[other])


def _network(structure: Structure, atom: int, other: int, along: Integers) -> NetworkError:
    one, two = (f"{chemical_symbols[structure.numbers[k]]} {k}" for k in (atom, other))
    return NetworkError(
        f"Bonds run through the cell along [{' '.join(map(str, along))}] ({one} to {two} closes a "
        "chain to the next cell), so it has no molecules that could be kept whole, and the moment "
        "of charges in it depends on the choice of the cell; take a model that gives dipoles and "
        "no charges (mace, charges: false)."
    )
