"""The Cartesian axes that elastic constants are printed in, whatever axes a file has.

IEEE Standard on Piezoelectricity 176-1987, section 3.2. Where it needs a piezoelectric sign to
tell a direction from its opposite, the lattice (rhombohedral: obverse) or the sign of a constant
decides. Inversion changes no elastic constant, so that left-handed cells need no care.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.symmetry import symmetry_dataset

if TYPE_CHECKING:
    from ase import Atoms

VOIGT: Final = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
# Kelvin's notation: with shear components times sqrt(2) a symmetric tensor is a vector whose length
# is the tensor's, so that rotations of the tensor are rotations of the vector.
KELVIN: Final = np.array([1.0, 1.0, 1.0, np.sqrt(2), np.sqrt(2), np.sqrt(2)])

_ORTHORHOMBIC: Final = "11 12 13 22 23 33 44 55 66"
_ALL: Final = " ".join(f"{i}{j}" for i in range(1, 7) for j in range(i, 7))
# The last space group of each Laue class, its independent constants in standard axes, the axes.
_CLASSES: Final = (
    (2, "triclinic", _ALL, "z ∥ c, y ⟂ a and c; c < a < b, a and b obtuse to c"),
    (15, "monoclinic", f"{_ORTHORHOMBIC} 15 25 35 46", "y ∥ b (twofold), z ∥ c; c < a, obtuse"),
    (74, "orthorhombic", _ORTHORHOMBIC, "x ∥ a, y ∥ b, z ∥ c; c < a < b"),
    (88, "tetragonal, 4/m", "11 12 13 16 33 44 66", "z ∥ c, x ∥ a, in the sense of C16 > 0"),
    (142, "tetragonal, 4/mmm", "11 12 13 33 44 66", "z ∥ c, x ∥ a"),
    (148, "trigonal, -3", "11 12 13 14 15 33 44", "z ∥ c, x ∥ a"),
    (167, "trigonal, -3m", "11 12 13 14 33 44", "z ∥ c, x ∥ a twofold axis"),
    (194, "hexagonal", "11 12 13 33 44", "z ∥ c, x ∥ a"),
    (230, "cubic", "11 12 44", "x, y, z ∥ the cube's edges"),
)
_POLAR: Final = range(25, 47)  # orthorhombic, mm2
_ABOUT_X, _ABOUT_Z = np.diag([1.0, -1.0, -1.0]), np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Setting:
    """A crystal's symmetry and its standard axes."""

    space_group: str
    number: int
    laue: str
    about: str  # which axes these are, for people
    constants: tuple[tuple[int, int], ...]  # the independent C_ij, from 0
    axes: Floats  # (3, 3), rows are x, y, z in the Cartesian axes of the structure
    rotations: Floats  # (n_operations, 3, 3), the point group in standard axes
    obverse: bool  # whether the lattice is rhombohedral

    def from_file(self, tensor: Floats) -> Floats:
        """A tensor (3, 3) of the structure's axes in the standard ones."""
        turned: Floats = self.axes @ tensor @ self.axes.T
        return turned

    def to_file(self, tensor: Floats) -> Floats:
        """A tensor (3, 3) of the standard axes in the structure's."""
        turned: Floats = self.axes.T @ tensor @ self.axes
        return turned

    def settled(self, stiffness: Floats) -> tuple[Setting, Floats]:
        """The setting and constants (6, 6) in the sense that the sign of a constant decides."""
        turns: list[Floats] = []
        if self.laue.startswith("trigonal") and not self.obverse:
            turns += [_ABOUT_Z] if stiffness[0, 3] > 0 else []
        if self.laue == "trigonal, -3":
            turns += [_ABOUT_X] if turned(stiffness, *turns, np.eye(3))[0, 4] < 0 else []
        if self.laue == "tetragonal, 4/m" and stiffness[0, 5] < 0:
            turns += [_ABOUT_X]
        turn = np.linalg.multi_dot([np.eye(3), *turns[::-1], np.eye(3)])
        other = replace(
            self,
            axes=turn @ self.axes,
            rotations=np.einsum("ab,nbc,dc->nad", turn, self.rotations, turn),
        )
        return other._near_the_file(), turned(stiffness, turn)

    def _near_the_file(self) -> Setting:
        """Of the frames that symmetry makes equal, that nearest to the structure's own axes."""
        proper = self.rotations * np.linalg.det(self.rotations)[:, None, None]
        frames = np.einsum("nab,bc->nac", proper, self.axes)
        return replace(self, axes=frames[np.trace(frames, axis1=1, axis2=2).round(6).argmax()])


def standard_setting(atoms: Atoms, tolerance: float = 1e-3) -> Setting:
    """The symmetry of a crystal and its standard axes.

    Positions may be off by ``tolerance`` (Angstrom), as relaxations leave them. Raises
    PropertyError where no symmetry can be found.
    """
    dataset = symmetry_dataset(atoms, tolerance)
    if dataset is None:
        raise PropertyError("The structure's symmetry could not be found; do atoms overlap?")
    lattice = atoms.cell.array.T
    rotations = np.array([lattice @ w @ np.linalg.inv(lattice) for w in dataset.rotations])
    # Conventional vectors as rows: (a_s b_s c_s) = (a b c) P^-1
    vectors = (lattice @ np.linalg.inv(dataset.transformation_matrix)).T
    vectors *= np.sign(np.linalg.det(vectors))
    number = int(dataset.number)
    _, laue, constants, about = next(row for row in _CLASSES if number <= row[0])
    obverse = dataset.international.startswith("R")
    if laue == "orthorhombic" and number in _POLAR:
        about = "z ∥ c (polar); a < b"
    if laue.startswith("trigonal"):
        signs = [] if obverse else ["C14 < 0"]
        signs += ["C15 > 0"] if laue.endswith("-3") else []
        about += ", obverse setting" if obverse else ""
        about += f", in the sense of {' and '.join(signs)}" if signs else ""
    axes = _axes(laue, number, vectors, rotations)
    return Setting(
        space_group=f"{dataset.international} ({number})",
        number=number,
        laue=laue,
        about=about,
        constants=tuple((int(ij[0]) - 1, int(ij[1]) - 1) for ij in constants.split()),
        axes=axes,
        rotations=np.einsum("ab,nbc,dc->nad", axes, rotations, axes),
        obverse=obverse,
    )._near_the_file()


def _axes(laue: str, number: int, vectors: Floats, rotations: Floats) -> Floats:
    """Rows x, y, z of a Laue class from the conventional vectors, right-handed, as rows."""
    a, b, c = vectors
    if laue == "triclinic":
        c, a, b = sorted(vectors, key=np.linalg.norm)
        a, b = _obtuse(a, c), _obtuse(b, c)
        return _frame(z=c * np.sign(np.cross(c, a) @ b), y=np.cross(c, a))
    if laue == "monoclinic":
        c, a = _shortest(c, a)
        return _frame(z=c, y=np.cross(c, _obtuse(a, c)))
    if laue == "orthorhombic":
        polar = number in _POLAR
        edges = [*sorted((a, b), key=np.linalg.norm), c]
        c, a, b = (edges[2], *edges[:2]) if polar else sorted(edges, key=np.linalg.norm)
        return _frame(z=c, y=np.cross(c, a))
    if laue == "trigonal, -3m" and not _is_twofold(a, rotations):
        a = 2 * a + b
    return _frame(z=c, y=np.cross(c, a))


def _frame(*, z: Floats, y: Floats) -> Floats:
    z, y = z / np.linalg.norm(z), y / np.linalg.norm(y)
    return np.array([np.cross(y, z), y, z])


def _obtuse(vector: Floats, other: Floats) -> Floats:
    """The vector or its opposite, whichever makes no acute angle with the other."""
    return vector if vector @ other < 1e-6 else -vector


def _shortest(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """The two shortest vectors of a lattice in a plane, the shortest first (Gauss)."""
    while True:
        one, other = sorted((one, other), key=np.linalg.norm)
        steps = np.round(one @ other / (one @ one))
        if steps == 0:
            return one, other
        other = other - steps * one


def _is_twofold(vector: Floats, rotations: Floats) -> bool:
    x = vector / np.linalg.norm(vector)
    proper = rotations * np.linalg.det(rotations)[:, None, None]
    return bool((np.abs(proper - (2 * np.outer(x, x) - np.eye(3))).max(axis=(1, 2)) < 1e-3).any())


def to_kelvin(tensor: Floats) -> Floats:
    """A symmetric tensor (3, 3) as a vector (6,) of the same length."""
    vector: Floats = np.array([tensor[i, j] for i, j in VOIGT]) * KELVIN
    return vector


def unit_strain(column: int) -> Floats:
    """The strain tensor whose Voigt component ``column`` is 1, such as 2 epsilon_yz = 1."""
    i, j = VOIGT[column]
    strain = np.zeros((3, 3))
    strain[i, j] += 0.5
    strain[j, i] += 0.5
    return strain


def turned(stiffness: Floats, *turns: Floats) -> Floats:
    """Constants (6, 6) in Voigt order in axes that ``turns`` (3, 3), rows, make of theirs."""
    kelvin = stiffness * np.outer(KELVIN, KELVIN)
    for turn in turns:
        basis = [turn @ unit_strain(k) @ turn.T for k in range(6)]
        matrix = np.array([to_kelvin(e) for e in basis]).T * np.array([*[1] * 3, *[np.sqrt(2)] * 3])
        kelvin = matrix @ kelvin @ matrix.T
    result: Floats = kelvin / np.outer(KELVIN, KELVIN)
    return result
