"""How badly a packing of the dimer fits, and the derivative of that.

The dimer's centre of inversion is that of the cell, so its rotation and the torsions of its side
chains are all that is free. The penalty (angstrom squared; no energy) is the sum of

    max(0, R_ij - r_ij)^2              over pairs of atoms, R_ij their radii less SLACK
    w (|x - T/2| - d)^2                over C, =O, -O, H of the acid: a planar dimer about T/2
    b (1 - cos n(chi - chi_0)) / 2     over torsions

Of the atoms one half is at x and the other at -x, and the pairs of one half are all that there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from ase import Atoms
from ase.data import vdw_radii
from numba import njit

import molecule
from molecule import Floats, Integers

SLACK: Final = 0.15  # Angstrom, that contacts in crystals are shorter than radii say
_IRON: Final = 2.0  # Angstrom
# Distances from the centre of a planar dimer of acids with O...O of 2.65 Angstrom: C, =O, -O, H
RING: Final = np.array([1.92, 1.72, 1.74, 1.17])
RING_WEIGHT: Final = 20.0
# Barrier, number of minima, and where the first is (radian)
_RING_TO_CHAIN: Final = (0.3, 2.0, np.pi / 2)
_IN_CHAIN: Final = (0.3, 3.0, np.pi)
_FREE: Final = (0.0, 1.0, 0.0)


class Numbers(NamedTuple):
    """What the compiled loop needs, in flat arrays."""

    positions: Floats  # (half, 3) in the molecule's axes
    cell: Floats  # (3, 3), rows
    inverse: Floats
    contacts: Floats  # (half, half), R_ij
    rigid: Integers  # (2, half, half): 1 where atoms of one molecule keep their distance
    acid: Integers  # (4,): C, =O, -O, H
    bases: Integers  # (n_torsions,)
    tips: Integers
    moving: Integers  # all torsions' atoms in one row
    ends: Integers  # (n_torsions + 1,), where each torsion's are
    dihedrals: Integers  # (n_torsions, 4)
    barriers: Floats  # (n_torsions, 3)


@dataclass(frozen=True)
class Problem:
    """A dimer in a cell."""

    dimer: Atoms
    turning: list[molecule.Torsion]
    numbers: Numbers

    @classmethod
    def of(cls, dimer: Atoms, cell: Floats, *, core: bool = False) -> Problem:
        """Of the whole dimer; with ``core`` side chains end at their first atom and do not turn."""
        half = len(dimer) // 2
        turning = molecule.torsions(dimer)
        radii = vdw_radii[dimer.numbers[:half]]
        radii = np.where(dimer.numbers[:half] == 26, _IRON, radii)
        contacts = radii[:, None] + radii - SLACK
        if core:
            beyond = np.unique(np.concatenate([torsion.moving for torsion in turning]))
            contacts[beyond] = contacts[:, beyond] = 0.0
            turning = []
        group = molecule.acid(dimer)
        acid = [group.carbon, group.carbonyl, group.hydroxyl, group.hydrogen]
        rigid = _rigid(dimer, turning)
        for i in acid[1:]:  # these meet their images in the hydrogen bonds
            contacts[i, acid[1:]] = 0.0
        numbers = Numbers(
            dimer.positions[:half].copy(),
            cell,
            np.linalg.inv(cell),
            contacts,
            np.array([rigid[:half, :half], rigid[:half, half:]], int),
            np.array(acid),
            np.array([t.base for t in turning], int),
            np.array([t.tip for t in turning], int),
            np.array([i for t in turning for i in t.moving], int),
            np.cumsum([0, *(len(t.moving) for t in turning)]),
            np.array([_dihedral(dimer, t) for t in turning], int).reshape(-1, 4),
            np.array([_barrier(t, turning) for t in turning], float).reshape(-1, 3),
        )
        return cls(dimer, turning, numbers)

    def parts(self, centre: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Clash, ring and torsion, and the derivative of their sum by ``x``.

        ``x`` is a quaternion of any length and the angles the torsions turn by (radian), ``centre``
        is T/2; where that is nan, no acid is asked for.
        """
        return _penalty(self.numbers, centre, np.ascontiguousarray(x))

    def placed(self, x: Floats) -> Atoms:
        """The crystal, with the molecule whole."""
        half = _turned(self.numbers, x[4:]) @ _rotation(x[:4])[0].T
        positions = np.concatenate([half, -half])
        return Atoms(self.dimer.numbers, positions, cell=self.numbers.cell, pbc=True)


def _rigid(dimer: Atoms, turning: list[molecule.Torsion]) -> molecule.Booleans:
    """Pairs of one molecule not to be counted: three bonds or fewer apart, or never moving."""
    near = molecule.distances_in_bonds(dimer) <= 3
    half = len(dimer) // 2
    part = np.zeros((2 * half, 1 + len(turning)), bool)
    for k, torsion in enumerate(turning):
        part[torsion.moving, k] = True
    part[half:, -1] = True  # a chain of one half moves against the same chain of the other
    together = (part[:, None, :-1] == part[None, :, :-1]).all(axis=2)
    moves = part[:, :-1].any(axis=1)
    across = part[:, None, -1] != part[None, :, -1]
    return near | (together & ~(across & moves[:, None]))


def _dihedral(dimer: Atoms, torsion: molecule.Torsion) -> list[int]:
    """Four atoms that measure a torsion; heavy ones where there are any."""
    bound, symbols = molecule.bonds(dimer), dimer.get_chemical_symbols()

    def heavy(atom: int, other: int) -> int:
        around = [j for j in molecule.neighbours(bound, atom, symbols) if j != other]
        return max(around, key=lambda j: dimer.numbers[j])

    return [heavy(torsion.base, torsion.tip), torsion.base, torsion.tip,
            heavy(torsion.tip, torsion.base)]  # fmt: skip


def _barrier(
    torsion: molecule.Torsion, turning: list[molecule.Torsion]
) -> tuple[float, float, float]:
    """Barrier, minima and first minimum: the chain stands off the ring, and is staggered."""
    acids = [t for t in turning if t.group == "acid"]
    if torsion is acids[0]:
        return _RING_TO_CHAIN
    return _IN_CHAIN if torsion is acids[1] else _FREE


@njit(cache=True)
def _turned(numbers, angles):
    """Positions (half, 3) with each torsion turned by its angle."""
    positions = numbers.positions.copy()
    for k in range(len(angles)):
        origin = positions[numbers.bases[k]].copy()
        axis = positions[numbers.tips[k]] - origin
        axis /= np.sqrt((axis * axis).sum())
        cosine, sine = np.cos(angles[k]), np.sin(angles[k])
        for i in numbers.moving[numbers.ends[k] : numbers.ends[k + 1]]:
            arm = positions[i] - origin
            along = (arm * axis).sum() * axis
            positions[i] = origin + along + cosine * (arm - along) + sine * _cross(axis, arm)
    return positions


@njit(cache=True)
def _cross(a, b):
    return np.array(
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    )


@njit(cache=True)
def _rotation(quaternion):
    """R (3, 3) and dR/dq (4, 3, 3) of a quaternion of any length."""
    square = (quaternion * quaternion).sum()
    w, x, y, z = quaternion
    rotation = np.array(
        [
            [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
        ]
    )
    rotation /= square
    slopes = np.empty((4, 3, 3))
    slopes[0] = np.array([[w, -z, y], [z, w, -x], [-y, x, w]])
    slopes[1] = np.array([[x, y, z], [y, -x, -w], [z, w, -x]])
    slopes[2] = np.array([[-y, x, w], [x, y, z], [-w, z, -y]])
    slopes[3] = np.array([[-z, -w, x], [w, -z, y], [x, y, z]])
    for k in range(4):
        slopes[k] = 2 * (slopes[k] - quaternion[k] * rotation) / square
    return rotation, slopes


@njit(cache=True)
def _clash(numbers, placed):
    """The sum over pairs, and its gradient (half, 3).

    No contact is as long as half of the cell's least width, so each pair has one image that counts.
    """
    cell, inverse = numbers.cell, numbers.inverse
    n = len(placed)
    total = 0.0
    gradient = np.zeros((n, 3))
    for i in range(n):
        for j in range(i, n):
            contact = numbers.contacts[i, j]
            for side in range(2):
                sign = 1.0 - 2.0 * side  # the other atom is at sign x_j
                if side == 0 and i == j:
                    continue
                dx = placed[i, 0] - sign * placed[j, 0]
                dy = placed[i, 1] - sign * placed[j, 1]
                dz = placed[i, 2] - sign * placed[j, 2]
                a = np.rint(dx * inverse[0, 0] + dy * inverse[1, 0] + dz * inverse[2, 0])
                b = np.rint(dx * inverse[0, 1] + dy * inverse[1, 1] + dz * inverse[2, 1])
                c = np.rint(dx * inverse[0, 2] + dy * inverse[1, 2] + dz * inverse[2, 2])
                if a == 0 and b == 0 and c == 0 and numbers.rigid[side, i, j]:
                    continue
                dx -= a * cell[0, 0] + b * cell[1, 0] + c * cell[2, 0]
                dy -= a * cell[0, 1] + b * cell[1, 1] + c * cell[2, 1]
                dz -= a * cell[0, 2] + b * cell[1, 2] + c * cell[2, 2]
                square = dx * dx + dy * dy + dz * dz
                if square >= contact * contact:
                    continue
                length = np.sqrt(square)
                gap = contact - length
                weight = 1.0 if i == j else 2.0
                total += weight * gap * gap
                push = -2.0 * weight * gap / max(length, 1e-9)
                for k, d in enumerate((dx, dy, dz)):
                    gradient[i, k] += push * d
                    gradient[j, k] -= sign * push * d
    return total, gradient


@njit(cache=True)
def _angle(a, b, c, d):
    """The dihedral angle of four points, radian."""
    axis = c - b
    axis /= np.sqrt((axis * axis).sum())
    one, two = a - b, d - c
    one = one - (one * axis).sum() * axis
    two = two - (two * axis).sum() * axis
    return np.arctan2((_cross(one, two) * axis).sum(), (one * two).sum())


@njit(cache=True)
def _penalty(numbers, centre, x):
    own = _turned(numbers, x[4:])
    rotation, by_quaternion = _rotation(x[:4])
    placed = own @ rotation.T
    parts = np.zeros(3)
    parts[0], gradient = _clash(numbers, placed)
    if np.isfinite(centre[0]):
        for k in range(4):
            i = numbers.acid[k]
            arm = placed[i] - centre
            length = np.sqrt((arm * arm).sum())
            off = length - RING[k]
            parts[1] += RING_WEIGHT * off * off
            gradient[i] += 2 * RING_WEIGHT * off / length * arm
    slopes = np.zeros(len(x))
    moment = gradient.T @ own
    for k in range(4):
        slopes[k] = (by_quaternion[k] * moment).sum()
    pull = gradient @ rotation
    for k in range(len(numbers.bases)):
        origin = own[numbers.bases[k]]
        axis = own[numbers.tips[k]] - origin
        axis = axis / np.sqrt((axis * axis).sum())
        for i in numbers.moving[numbers.ends[k] : numbers.ends[k + 1]]:
            slopes[4 + k] += (axis * _cross(own[i] - origin, pull[i])).sum()
        barrier, n, first = numbers.barriers[k]
        four = numbers.dihedrals[k]
        turn = n * (_angle(own[four[0]], own[four[1]], own[four[2]], own[four[3]]) - first)
        parts[2] += barrier * (1 - np.cos(turn)) / 2
        slopes[4 + k] += barrier * n * np.sin(turn) / 2
    return parts, slopes
