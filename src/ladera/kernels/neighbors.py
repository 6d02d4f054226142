"""Pairs of atoms: vesin finds the candidates, a compiled loop keeps those within the cutoff."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import vesin
from numpy.typing import NDArray

from ladera.arrays import Floats, Integers, Reals
from ladera.kernels.compilation import strict
from ladera.structure import Structure

Shifts = NDArray[np.int32]
_LARGEST_TABLE: Final = 1e6  # entries, of the different shifts


@dataclass(frozen=True, eq=False)
class Pairs:
    """Directed pairs of one structure, each in both directions and once per periodic image.

    They are sorted by centre, then by the neighbour's atomic number, then by neighbour and shift.
    The order depends on nothing else, so that the sums over neighbours, and with them a whole
    trajectory, do not depend on how the pairs were found.
    """

    centers: Integers  # (n_pairs,)
    neighbors: Integers  # (n_pairs,)
    shifts: Shifts  # (n_pairs, 3), how many cells the neighbour's image is away
    row_pointer: Integers  # (n_atoms + 1,), pairs of atom i: [i] to [i + 1]


def find_pairs(structure: Structure, cutoff: float) -> Pairs:
    """All pairs closer than ``cutoff`` (Angstrom), from vesin."""
    numbers, positions, _, periodic, _ = structure
    cell, operation = structure.reduced()
    search = vesin.NeighborList(cutoff=cutoff, full_list=False, sorted=False)
    first, second, shifts = search.compute(positions, cell, periodic, quantities="ijS")
    shifts = np.ascontiguousarray(shifts @ operation.astype(shifts.dtype))  # of the cell given
    elements = np.unique(numbers, return_inverse=True)[1].astype(np.int64)
    return Pairs(*_both_directions(first, second, shifts, elements))


@strict
def _both_directions(
    first: NDArray[np.uint64], second: NDArray[np.uint64], shifts: Shifts, elements: Integers
) -> tuple[Integers, Integers, Shifts, Integers]:
    """Pairs i, j and j, i of every pair, sorted: by neighbour, then by centre and element.

    Both are counting sorts, which keep the order of what they do not tell apart.
    """
    n_atoms, n_pairs = len(elements), 2 * len(first)
    n_elements = elements.max() + 1
    ends = np.zeros(n_atoms + 1, np.int64)
    for p in range(len(first)):
        ends[first[p] + 1] += 1
        ends[second[p] + 1] += 1
    for i in range(n_atoms):
        ends[i + 1] += ends[i]
    row_pointer = ends.copy()  # as many pairs have atom i as their centre as have it as neighbour
    by_neighbor = np.empty(n_pairs, np.int64)  # 2 p for the pair as it is, 2 p + 1 for its reverse
    for p in range(len(first)):
        by_neighbor[ends[second[p]]] = 2 * p
        ends[second[p]] += 1
        by_neighbor[ends[first[p]]] = 2 * p + 1
        ends[first[p]] += 1
    places = np.zeros(n_atoms * n_elements + 1, np.int64)
    for p in range(len(first)):
        places[first[p] * n_elements + elements[second[p]] + 1] += 1
        places[second[p] * n_elements + elements[first[p]] + 1] += 1
    for i in range(n_atoms * n_elements):
        places[i + 1] += places[i]
    starts = places.copy()
    centers = np.empty(n_pairs, np.int64)
    neighbors = np.empty(n_pairs, np.int64)
    ordered = np.empty((n_pairs, 3), np.int32)
    for directed in by_neighbor:
        pair = directed >> 1
        reverse = directed & 1
        i, j = (second[pair], first[pair]) if reverse else (first[pair], second[pair])
        a, b, c = shifts[pair, 0], shifts[pair, 1], shifts[pair, 2]
        if reverse:
            a, b, c = -a, -b, -c
        slot = i * n_elements + elements[j]
        place = places[slot]
        places[slot] += 1
        # Several images of one neighbour, few and only in small cells: sorted by their shifts.
        while place > starts[slot] and neighbors[place - 1] == j:
            x, y, z = ordered[place - 1, 0], ordered[place - 1, 1], ordered[place - 1, 2]
            if x < a or (x == a and (y < b or (y == b and z < c))):
                break
            neighbors[place] = j
            centers[place] = i
            ordered[place, 0], ordered[place, 1], ordered[place, 2] = x, y, z
            place -= 1
        centers[place] = i
        neighbors[place] = j
        ordered[place, 0], ordered[place, 1], ordered[place, 2] = a, b, c
    return centers, neighbors, ordered, row_pointer


def pairs_of_molecules(
    numbers: Integers, positions: Floats, starts: Integers, cutoff: float
) -> tuple[Integers, Integers, Integers, Floats, float]:
    """All pairs within many open structures, whose atoms lie one structure after the other.

    ``starts`` (n_structures + 1,) are where they begin. Returns centres, neighbours, where each
    atom's pairs begin and the vectors, as :class:`Pairs` and :func:`within_cutoff` have them, and
    the shortest distance; inf without pairs. Each atom is compared with all of its structure: fast
    while they are small.
    """
    structure = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    order = np.lexsort((numbers, structure))  # stable: atoms of an element stay in their order
    return _pairs_of_molecules(order, positions, starts, cutoff)


@strict
def _pairs_of_molecules(
    order: Integers, positions: Floats, starts: Integers, cutoff: float
) -> tuple[Integers, Integers, Integers, Floats, float]:
    most, found = 0, 0
    for s in range(len(starts) - 1):
        most += (starts[s + 1] - starts[s]) * (starts[s + 1] - starts[s] - 1)
    rows = np.zeros(len(positions) + 1, np.int64)
    centers = np.empty(most, np.int64)
    neighbors = np.empty(most, np.int64)
    vectors = np.empty((most, 3), np.float64)
    shortest = np.inf
    for s in range(len(starts) - 1):
        for i in range(starts[s], starts[s + 1]):
            for place in range(starts[s], starts[s + 1]):
                j = order[place]
                dx = positions[j, 0] - positions[i, 0]
                dy = positions[j, 1] - positions[i, 1]
                dz = positions[j, 2] - positions[i, 2]
                squared = dx * dx + dy * dy + dz * dz
                if j != i and squared < cutoff * cutoff:
                    centers[found] = i
                    neighbors[found] = j
                    vectors[found, 0], vectors[found, 1], vectors[found, 2] = dx, dy, dz
                    found += 1
                    shortest = min(shortest, squared)
            rows[i + 1] = found
    return (
        centers[:found].copy(),
        neighbors[:found].copy(),
        rows,
        vectors[:found].copy(),
        math.sqrt(shortest),
    )


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs that may come within a cutoff, with each of the shifts that many share once."""

    neighbors: Integers  # (n_pairs,)
    row_pointer: Integers  # (n_atoms + 1,)
    kinds: NDArray[np.int32]  # (n_pairs,), row of ``shifts`` of each pair
    shifts: Shifts  # (n_kinds, 3)

    @classmethod
    def of(cls, pairs: Pairs) -> Self:
        """The candidates that these pairs are."""
        ranges = pairs.shifts.max(axis=0, initial=0) - pairs.shifts.min(axis=0, initial=0)
        if float(np.prod(ranges + 1.0)) > _LARGEST_TABLE:  # shifts of a skewed cell
            shifts, kinds = np.unique(pairs.shifts, axis=0, return_inverse=True)
            # numpy 2.0.0 alone gives a column here
            return cls(
                pairs.neighbors, pairs.row_pointer, kinds.reshape(-1).astype(np.int32), shifts
            )
        return cls(pairs.neighbors, pairs.row_pointer, *_kinds(pairs.shifts))


@strict
def _kinds(shifts: Shifts) -> tuple[NDArray[np.int32], Shifts]:
    """Number the different rows in the order in which they come, by a table of all that may."""
    low, high = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for pair in range(len(shifts)):
        for k in range(3):
            low[k] = min(low[k], shifts[pair, k])
            high[k] = max(high[k], shifts[pair, k])
    _, ny, nz = high - low + 1
    numbers = np.full((high[0] - low[0] + 1) * ny * nz, -1, np.int32)
    kinds = np.empty(len(shifts), np.int32)
    distinct = np.empty((len(numbers), 3), np.int32)
    n_kinds = 0
    for pair in range(len(shifts)):
        a, b, c = shifts[pair, 0], shifts[pair, 1], shifts[pair, 2]
        place = ((a - low[0]) * ny + b - low[1]) * nz + c - low[2]
        if numbers[place] < 0:
            numbers[place] = n_kinds
            distinct[n_kinds, 0], distinct[n_kinds, 1], distinct[n_kinds, 2] = a, b, c
            n_kinds += 1
        kinds[pair] = numbers[place]
    return kinds, distinct[:n_kinds].copy()


def within_cutoff(
    candidates: Candidates, structure: Structure, cutoff: float
) -> tuple[Pairs, Floats]:
    """Those of the candidates closer than ``cutoff``, in the same order, with their vectors.

    r_ij = positions[j] - positions[i] + shift . cell, (n_pairs, 3), Angstrom.
    """
    centers, neighbors, shifts, row_pointer, vectors = _within_cutoff(
        candidates.neighbors,
        candidates.row_pointer,
        candidates.kinds,
        candidates.shifts,
        structure.positions,
        structure.cell,
        cutoff,
    )
    return Pairs(centers, neighbors, shifts, row_pointer), vectors


@strict
def _within_cutoff(
    neighbors: Integers,
    row_pointer: Integers,
    kinds: NDArray[np.int32],
    shifts: Shifts,
    positions: Floats,
    cell: Floats,
    cutoff: float,
) -> tuple[Integers, Integers, Shifts, Integers, Floats]:
    """Write every pair, but step on only past those within the cutoff: no branch to mispredict."""
    n_atoms, n_pairs = len(row_pointer) - 1, len(neighbors)
    kept_centers = np.empty(n_pairs + 1, np.int64)
    kept_neighbors = np.empty(n_pairs + 1, np.int64)
    kept_shifts = np.empty((n_pairs + 1, 3), np.int32)
    vectors = np.empty((n_pairs + 1, 3), np.float64)
    rows = np.zeros(n_atoms + 1, np.int64)
    offsets = np.empty((len(shifts), 3), np.float64)
    for row in range(len(shifts)):
        a, b, c = shifts[row, 0], shifts[row, 1], shifts[row, 2]
        for k in range(3):
            offsets[row, k] = a * cell[0, k] + b * cell[1, k] + c * cell[2, k]
    # Unsigned, for an index that may be negative is asked every time whether it is.
    kept, kept_kinds = np.uint64(0), np.empty(n_pairs + 1, np.uint32)
    for i in range(n_atoms):
        x, y, z = positions[i]
        first = kept
        for pair in range(np.uint64(row_pointer[i]), np.uint64(row_pointer[i + 1])):
            # Scalars, not rows: indexing rows here costs as much again as all the rest.
            j, kind = np.uint64(neighbors[pair]), np.uint32(kinds[pair])
            dx = positions[j, 0] - x + offsets[kind, 0]
            dy = positions[j, 1] - y + offsets[kind, 1]
            dz = positions[j, 2] - z + offsets[kind, 2]
            kept_neighbors[kept] = j
            kept_kinds[kept] = kind
            vectors[kept, 0], vectors[kept, 1], vectors[kept, 2] = dx, dy, dz
            kept += np.uint64(dx * dx + dy * dy + dz * dz < cutoff * cutoff)
        for place in range(first, kept):
            kind = kept_kinds[place]
            kept_centers[place] = i
            for k in range(3):
                kept_shifts[place, k] = shifts[kind, k]
        rows[i + 1] = kept
    return kept_centers[:kept], kept_neighbors[:kept], kept_shifts[:kept], rows, vectors[:kept]


def farthest_move(positions: Floats, start: Floats, deformation: Floats) -> float:
    """The largest of |r_i - r_i0 F|, Angstrom; positions (n_atoms, 3), F (3, 3)."""
    return math.sqrt(_farthest_move(positions, start, deformation))


@strict
def _farthest_move(positions: Floats, start: Floats, deformation: Floats) -> float:
    largest = 0.0
    for i in range(len(positions)):
        squared = 0.0
        for k in range(3):
            x, y, z = start[i, 0], start[i, 1], start[i, 2]
            image = x * deformation[0, k] + y * deformation[1, k] + z * deformation[2, k]
            squared += (positions[i, k] - image) ** 2
        if np.isnan(squared):
            return squared
        largest = max(largest, squared)
    return largest


def net_forces(
    row_pointer: Integers,
    neighbors: Integers,
    gradients: Reals,
) -> Floats:
    """F_i = sum_j g_ij - sum_j g_ji, (n_atoms, 3), summed in double precision.

    In one pass; a float32 model's net force is zero as well.
    """
    return _net_forces(row_pointer, neighbors, gradients)


@strict
def _net_forces(row_pointer: Integers, neighbors: Integers, gradients: Reals) -> Floats:
    forces = np.zeros((len(row_pointer) - 1, 3), np.float64)
    for i in range(len(forces)):
        x = y = z = 0.0
        for pair in range(np.uint64(row_pointer[i]), np.uint64(row_pointer[i + 1])):
            j = np.uint64(neighbors[pair])
            gx, gy, gz = gradients[pair, 0], gradients[pair, 1], gradients[pair, 2]
            x, y, z = x + gx, y + gy, z + gz
            forces[j, 0] -= gx
            forces[j, 1] -= gy
            forces[j, 2] -= gz
        forces[i, 0] += x
        forces[i, 1] += y
        forces[i, 2] += z
    return forces


def virial(vectors: Reals, gradients: Reals) -> Floats:
    """W = sum_ij r_ij (x) g_ij, symmetrised, (3, 3), summed in double precision."""
    return _virial(vectors, gradients)


@strict
def _virial(vectors: Reals, gradients: Reals) -> Floats:
    xx = xy = xz = yx = yy = yz = zx = zy = zz = 0.0
    for pair in range(len(vectors)):
        x = np.float64(vectors[pair, 0])
        y = np.float64(vectors[pair, 1])
        z = np.float64(vectors[pair, 2])
        gx, gy, gz = gradients[pair, 0], gradients[pair, 1], gradients[pair, 2]
        xx, xy, xz = xx + x * gx, xy + x * gy, xz + x * gz
        yx, yy, yz = yx + y * gx, yy + y * gy, yz + y * gz
        zx, zy, zz = zx + z * gx, zy + z * gy, zz + z * gz
    xy, xz, yz = 0.5 * (xy + yx), 0.5 * (xz + zx), 0.5 * (yz + zy)
    return np.array(((xx, xy, xz), (xy, yy, yz), (xz, yz, zz)), np.float64)


def closest_pair(
    centers: Integers,
    neighbors: Integers,
    vectors: Reals,
    radii: Floats,
) -> tuple[int, float]:
    """The pair with the smallest |r_ij| / (R_i + R_j), and that ratio; -1 and inf without pairs.

    ``radii`` are R of each atom, (n_atoms,), Angstrom.
    """
    pair, squared = _closest_pair(centers, neighbors, vectors, radii)
    return int(pair), float(np.sqrt(squared))


@strict
def _closest_pair(
    centers: Integers, neighbors: Integers, vectors: Reals, radii: Floats
) -> tuple[int, float]:
    closest, smallest = -1, np.inf
    for pair in range(len(vectors)):
        x, y, z = vectors[pair, 0], vectors[pair, 1], vectors[pair, 2]
        reach = radii[np.uint64(centers[pair])] + radii[np.uint64(neighbors[pair])]
        ratio = (x * x + y * y + z * z) / (reach * reach)
        if ratio < smallest:
            closest, smallest = pair, ratio
    return closest, smallest
