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
        own = _turned(self.numbers, x[4:])
        rotation, by_quaternion = _rotation(x[:4])
        placed = own @ rotation.T
        clash, gradient = _clash(self.numbers, placed)
        ring = 0.0
        if np.isfinite(centre[0]):
            arms = placed[self.numbers.acid] - centre
            lengths = np.sqrt((arms**2).sum(axis=1))
            off = lengths - RING
            ring = RING_WEIGHT * float(off @ off)
            gradient[self.numbers.acid] += (2 * RING_WEIGHT * off / lengths)[:, None] * arms
        by_angle, strain = _torques(self.numbers, own, gradient @ rotation)
        by_turn = np.tensordot(by_quaternion, gradient.T @ own, 2)
        return np.array([clash, ring, strain]), np.append(by_turn, by_angle)

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


# The loops below are written out in numbers: what numba makes of small arrays takes it ten times as
# long to compile.


@njit(cache=True)
def _turned(numbers, angles):
    """Positions (half, 3) with each torsion turned by its angle, by Rodrigues' formula."""
    positions = numbers.positions.copy()
    for k in range(len(angles)):
        base, tip = numbers.bases[k], numbers.tips[k]
        ox, oy, oz = positions[base, 0], positions[base, 1], positions[base, 2]
        ux, uy, uz = _unit(positions, base, tip)
        cosine, sine = np.cos(angles[k]), np.sin(angles[k])
        for n in range(numbers.ends[k], numbers.ends[k + 1]):
            i = numbers.moving[n]
            x, y, z = positions[i, 0] - ox, positions[i, 1] - oy, positions[i, 2] - oz
            along = (1 - cosine) * (x * ux + y * uy + z * uz)
            positions[i, 0] = ox + cosine * x + along * ux + sine * (uy * z - uz * y)
            positions[i, 1] = oy + cosine * y + along * uy + sine * (uz * x - ux * z)
            positions[i, 2] = oz + cosine * z + along * uz + sine * (ux * y - uy * x)
    return positions


@njit(cache=True)
def _unit(positions, i, j):
    """The direction from one atom to another."""
    x = positions[j, 0] - positions[i, 0]
    y = positions[j, 1] - positions[i, 1]
    z = positions[j, 2] - positions[i, 2]
    length = np.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


@njit(cache=True)
def _angle(positions, four):
    """The dihedral angle of four atoms, radian."""
    i, j, k, l = four[0], four[1], four[2], four[3]
    ux, uy, uz = _unit(positions, j, k)
    ax, ay, az = _unit(positions, j, i)
    bx, by, bz = _unit(positions, k, l)
    cx, cy, cz = uy * bz - uz * by, uz * bx - ux * bz, ux * by - uy * bx
    sine = ax * cx + ay * cy + az * cz
    flat = (ax * ux + ay * uy + az * uz) * (bx * ux + by * uy + bz * uz)
    return np.arctan2(-sine, ax * bx + ay * by + az * bz - flat)


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
def _torques(numbers, own, pull):
    """Derivatives of the penalty by the angles, (n_torsions,), and the penalty of the torsions."""
    slopes, total = np.zeros(len(numbers.bases)), 0.0
    for k in range(len(slopes)):
        base = numbers.bases[k]
        ux, uy, uz = _unit(own, base, numbers.tips[k])
        for n in range(numbers.ends[k], numbers.ends[k + 1]):
            i = numbers.moving[n]
            x, y, z = own[i, 0] - own[base, 0], own[i, 1] - own[base, 1], own[i, 2] - own[base, 2]
            fx, fy, fz = pull[i, 0], pull[i, 1], pull[i, 2]
            slopes[k] += ux * (y * fz - z * fy) + uy * (z * fx - x * fz) + uz * (x * fy - y * fx)
        barrier, minima = numbers.barriers[k, 0], numbers.barriers[k, 1]
        turn = minima * (_angle(own, numbers.dihedrals[k]) - numbers.barriers[k, 2])
        total += barrier * (1 - np.cos(turn)) / 2
        slopes[k] += barrier * minima * np.sin(turn) / 2
    return slopes, total


def _rotation(quaternion: Floats) -> tuple[Floats, Floats]:
    """R (3, 3) and dR/dq (4, 3, 3) of a quaternion of any length."""
    w, x, y, z = quaternion
    slopes = np.array(
        [
            [[w, -z, y], [z, w, -x], [-y, x, w]],
            [[x, y, z], [y, -x, -w], [z, w, -x]],
            [[-y, x, w], [x, y, z], [-w, z, -y]],
            [[-z, -w, x], [w, -z, y], [x, y, z]],
        ]
    )
    square = quaternion @ quaternion
    # R |q|^2 is of second degree in q, so that it is half of q . d(R |q|^2)/dq.
    rotation = np.tensordot(quaternion, slopes, 1) / square
    return rotation, 2 * (slopes - np.multiply.outer(quaternion, rotation)) / square
