r"""Distances, angles and dihedrals of a structure: their values, and structures with others.

===========  =======  ==========  ==================================================================
atoms        called   unit        what moves when it is changed
===========  =======  ==========  ==================================================================
i-j          distance  Angstrom   the side of j, along r_ij
i-j-k        angle     degree     the side of k, about the axis through j across the plane i, j, k
i-j-k-l      dihedral  degree     the side of k and l, about the bond j-k
===========  =======  ==========  ==================================================================

The side of an atom are the atoms that bonds lead to without crossing the last bond of the
coordinate (for a dihedral the one in the middle). Atoms are bonded below 1.25 times the sum of
their covalent radii. Where both sides hang together all the same, in a ring, only the last atom
moves; only a relaxation of the others makes sense of that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from ase.constraints import FixInternals
from ase.data import covalent_radii

from ladera.arrays import Booleans
from ladera.errors import PropertyError

if TYPE_CHECKING:
    from ase import Atoms

BOND: Final = 1.25  # of the sum of two covalent radii
STRAIGHT: Final = 1.0  # degrees from 0 and 180, within which an angle has no plane
_NAMES: Final = {2: "distance", 3: "angle", 4: "dihedral"}


@dataclass(frozen=True)
class InternalCoordinate:
    """A distance, angle or dihedral, by the numbers of its atoms from 0."""

    atoms: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> InternalCoordinate:
        """That of ``0-1``, ``0-1-2`` or ``0-1-2-3``; raises PropertyError for anything else."""
        found = re.fullmatch(r"\d{1,9}(-\d{1,9}){1,3}", text)
        atoms = tuple(int(word) for word in text.split("-")) if found else ()
        if not atoms or len(set(atoms)) < len(atoms):
            raise PropertyError(
                f"A coordinate is '{text}', expected the numbers of two, three or four atoms, from "
                "0, such as 0-1 (a distance), 0-1-2 (an angle) or 0-1-2-3 (a dihedral)."
            )
        return cls(atoms)

    def __str__(self) -> str:
        return "-".join(map(str, self.atoms))

    @property
    def unit(self) -> str:
        """Angstrom or degree."""
        return "Angstrom" if len(self.atoms) == 2 else "degree"

    def name(self, atoms: Atoms) -> str:
        """Such as ``dihedral H3-C0-C1-O2``."""
        symbols = atoms.get_chemical_symbols()
        return f"{_NAMES[len(self.atoms)]} {'-'.join(f'{symbols[k]}{k}' for k in self.atoms)}"

    def value(self, atoms: Atoms) -> float:
        """Its value in a structure; a dihedral from 0 to 360 degrees."""
        match self.atoms:
            case i, j:
                return float(atoms.get_distance(i, j))
            case i, j, k:
                return float(atoms.get_angle(i, j, k))
        return float(atoms.get_dihedral(*self.atoms))

    def check(self, atoms: Atoms, *, relaxed: bool) -> None:
        """Raise PropertyError where a structure has no such coordinate, or none to be changed."""
        if max(self.atoms) >= len(atoms):
            raise PropertyError(
                f"The coordinate {self} names atom {max(self.atoms)}, and the structure has "
                f"{len(atoms)}, numbered from 0."
            )
        for one, other in zip(self.atoms, self.atoms[1:], strict=False):
            direct, nearest = (atoms.get_distance(one, other, mic=mic) for mic in (False, True))
            if atoms.pbc.any() and direct > nearest + 1e-6:
                raise PropertyError(
                    f"Atoms {one} and {other} of the coordinate {self} are nearer to each other "
                    f"across the border of the cell ({nearest:.2f} Angstrom) than inside it "
                    f"({direct:.2f}); move the molecule into the middle of the cell."
                )
        for k in range(len(self.atoms) - 2):
            angle = atoms.get_angle(*self.atoms[k : k + 3])
            if not STRAIGHT < angle < 180 - STRAIGHT:
                raise PropertyError(
                    f"Atoms {'-'.join(map(str, self.atoms[k : k + 3]))} of the coordinate {self} "
                    f"lie on a line (angle {angle:.1f} degrees), so that there is no plane to turn "
                    "in; bend them a little first, or take other atoms."
                )
        if not relaxed and self._is_of_a_ring(atoms):
            raise PropertyError(
                f"Both sides of the coordinate {self} hang together by other bonds (a ring), and "
                "no rigid part can be moved alone; relax the others: --relax (relax=True)."
            )

    def set(self, atoms: Atoms, value: float) -> None:
        """Give it a value, what belongs to its last atom moving along; constraints wait."""
        moving = self._side(atoms)
        held, atoms.constraints = atoms.constraints, []
        match self.atoms:
            case i, j:
                atoms.set_distance(i, j, value, fix=0, indices=np.flatnonzero(moving))
            case i, j, k:
                atoms.set_angle(i, j, k, value, mask=moving)
            case i, j, k, last:
                atoms.set_dihedral(i, j, k, last, value, mask=moving)
        atoms.constraints = held

    def _cut(self) -> tuple[int, int]:
        """The atoms between which the structure comes apart: fixed side, moving side."""
        if len(self.atoms) == 4:
            return self.atoms[1], self.atoms[2]
        return self.atoms[-2], self.atoms[-1]

    def _reached(self, atoms: Atoms) -> Booleans:
        """Atoms that bonds lead to from the moving side, not by the bond that is cut."""
        here, there = self._cut()
        radii = covalent_radii[atoms.numbers]
        bonded = atoms.get_all_distances(mic=bool(atoms.pbc.any())) < BOND * np.add.outer(
            radii, radii
        )
        bonded[here, there] = bonded[there, here] = False
        reached = np.zeros(len(atoms), dtype=bool)
        reached[there] = True
        while (grown := reached | bonded[reached].any(axis=0)).sum() > reached.sum():
            reached = grown
        return reached

    def _is_of_a_ring(self, atoms: Atoms) -> bool:
        return bool(self._reached(atoms)[self._cut()[0]])

    def _side(self, atoms: Atoms) -> Booleans:
        """The atoms that move."""
        reached = self._reached(atoms)
        if reached[self._cut()[0]]:
            reached[:] = False
        reached[self.atoms[-1]] = True
        return reached


def held_at(pairs: list[tuple[InternalCoordinate, float]]) -> FixInternals:
    """A constraint that keeps coordinates at their values."""
    kinds: dict[int, list[list[object]]] = {2: [], 3: [], 4: []}
    for coordinate, value in pairs:
        kinds[len(coordinate.atoms)].append([value, list(coordinate.atoms)])
    return FixInternals(bonds=kinds[2], angles_deg=kinds[3], dihedrals_deg=kinds[4], epsilon=1e-6)
