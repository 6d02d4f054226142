"""The one place that unfolds: paths of atoms through the faces of a cell, along what is periodic.

A cell has zero vectors in its open directions, for any part of the directions: crystals, films,
wires and clusters are the same to everything here.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from ase.geometry import minkowski_reduce

from ladera.arrays import Floats
from ladera.errors import DataError

# A step longer than this part of the cell's height may as well have gone the other way around.
_LONGEST_STEP: Final = 0.4


def unfold(positions: Floats, cells: Floats, *, whole: bool = False) -> tuple[Floats, Floats, bool]:
    """Paths of atoms in the mean cell, the cells in one basis, and whether faces were crossed.

    Steps are taken to their nearest image in fractional coordinates of the reduced lattice, where
    skewed and left-handed descriptions of one lattice are the same::

        s(i) = s(i-1) + ds - round(ds),    ds = r(i) h(i)^-1 - r(i-1) h(i-1)^-1,    r'(i) = s(i) <h>

    The mean cell <h> takes the breathing of the cell out of the paths: an atom that rests at a
    place of the cell rests, wherever it is folded to, and one that is many cells away does not
    move with every change of the cell (von Buelow, Bullerjahn and Hummer, J. Chem. Phys. 153,
    021101 (2020), on what goes wrong without). Open directions keep their coordinates.

    Parameters
    ----------
    positions
        Angstrom, shape (n_frames, n_atoms, 3).
    cells
        Lattice vectors in rows, Angstrom, shape (n_frames, 3, 3); zeros in open directions.
    whole
        The positions are known to be unfolded already, so that a long step is a long step.

    Raises DataError for other open directions in one frame than in the first, lattice vectors in
    one line or plane, a cell that does not go on from the one before, and a step too long to tell
    which way an atom went.
    """
    rows = cells[0].any(axis=1)
    _check(cells, rows)
    if not rows.any():
        return positions, cells, False
    cells = cells.copy()
    cells[:, rows] = vectors = in_one_basis(cells[:, rows])
    reduced = _reduction(vectors[0]) @ vectors
    mean = reduced.mean(axis=0)
    across = np.linalg.svd(mean)[2][len(mean) :]  # unit vectors of the open directions
    open_rows = np.broadcast_to(across, (len(cells), *across.shape))
    scaled = positions @ np.linalg.inv(np.concatenate([reduced, open_rows], axis=1))
    steps = np.diff(scaled, axis=0)
    turns = np.zeros_like(steps) if whole else np.round(steps)
    turns[..., len(mean) :] = 0
    if turns.any():
        _require_short(steps - turns, turns, reduced)
    elif np.ptp(cells, axis=0).max() == 0:
        return positions, cells, False  # as they are, to the last digit
    paths = scaled[0] + np.concatenate([0 * scaled[:1], np.cumsum(steps - turns, axis=0)])
    return paths @ np.concatenate([mean, across]), cells, bool(turns.any())


def reduced_cell(cell: Floats) -> Floats:
    """The shortest vectors (n_periodic, 3) of a cell's lattice: equal for equal lattices."""
    vectors = cell[cell.any(axis=1)]
    reduced: Floats = _reduction(vectors) @ vectors
    return reduced


def nearest_image(cell: Floats) -> float:
    """Half the shortest vector of a lattice: nearer, an atom has one image of another at most."""
    return float(np.linalg.norm(reduced_cell(cell), axis=1).min(initial=np.inf)) / 2


def _check(cells: Floats, rows: Floats) -> None:
    other = np.flatnonzero((cells.any(axis=2) != rows).any(axis=1))
    if len(other):
        found, first = (cells[k].any(axis=1).tolist() for k in (other[0], 0))
        raise DataError(
            f"Frame {other[0]} is periodic along {found} and frame 0 along {first}; a trajectory "
            "has the same open directions throughout, so give it without the frames that differ."
        )
    vectors = cells[:, rows]
    flat = np.flatnonzero(np.linalg.matrix_rank(vectors) < vectors.shape[1]) if rows.any() else []
    if len(flat):
        raise DataError(
            f"The lattice vectors of frame {flat[0]}, {vectors[flat[0]].tolist()}, do not span a "
            "cell; check the cell."
        )


def in_one_basis(vectors: Floats) -> Floats:
    """Lattice vectors (n_frames, k, 3) in the basis of the first frame.

    A box that leans too far is flipped by programs such as LAMMPS: the same lattice, other vectors.
    """
    change = np.round(vectors[1:] @ np.linalg.pinv(vectors[:-1]))
    one = np.eye(vectors.shape[1])
    if (change == one).all():
        return vectors
    vectors = vectors.copy()
    for frame in range(1, len(vectors)):
        turn = np.round(vectors[frame] @ np.linalg.pinv(vectors[frame - 1]))
        if abs(abs(np.linalg.det(turn)) - 1) > 1e-6:
            raise DataError(
                f"The cell of frame {frame}, {vectors[frame].tolist()}, is no continuation of "
                f"the one before, {vectors[frame - 1].tolist()}; give frames of one simulation."
            )
        vectors[frame] = np.linalg.inv(turn) @ vectors[frame]
    return vectors


def _reduction(vectors: Floats) -> Floats:
    """The whole numbers (k, k) that make the shortest basis of lattice vectors (k, 3)."""
    k = len(vectors)
    full = np.concatenate([vectors, np.linalg.svd(vectors)[2][k:]])
    _, turn = minkowski_reduce(full, pbc=np.arange(3) < k)
    reduction: Floats = turn[:k, :k].astype(float)
    return reduction


def _require_short(steps: Floats, turns: Floats, cells: Floats) -> None:
    k = cells.shape[1]
    crossed = turns[..., :k].any(axis=(0, 1))  # along the others atoms were never folded
    size = np.abs(steps[..., :k]) * crossed
    if size.max() <= _LONGEST_STEP:
        return
    frame, atom, axis = np.unravel_index(np.argmax(size), size.shape)
    heights = 1 / np.linalg.norm(np.linalg.pinv(cells[frame + 1]), axis=0)
    raise DataError(
        f"The positions are wrapped into the cell and cannot be unwrapped: between frames "
        f"{frame} and {frame + 1} atom {atom} moves by {size.max() * heights[axis]:.2f} Angstrom "
        f"or some other image of that, in a cell {heights[axis]:.2f} Angstrom high; write "
        "frames more often, or write unwrapped positions (xu yu zu in LAMMPS)."
    )
