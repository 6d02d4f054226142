r"""Pairs of nearly identical frames, and the work their labels do between them.

Between two structures of the same atoms, 1 and 2, forces and stress give the energy difference
to third order in the step (the trapezoidal rule):

    E_2 - E_1 = -1/2 sum_i (F_1i + F_2i) . d_i + 1/2 (V_1 sigma_1 + V_2 sigma_2) : eps + ...

===========  ======================================================================
d_i          displacement of atom i beyond the strain: (s_2i - s_1i) . (h_1 + h_2)/2
s_i, h       fractional coordinates and cell (rows are the cell vectors)
eps          symmetric part of 2 (h_1 + h_2)^-1 (h_2 - h_1)
===========  ======================================================================

Open structures are first turned onto each other, forces along with positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from ladera.arrays import Booleans, Floats, Integers
from ladera.data.dataset import Dataset

_WINDOW = 400  # frames among which neighbours are sought: the search is quadratic in it


@dataclass(frozen=True)
class NearPairs:
    """Each frame with the most similar one; arrays of shape (n_pairs,)."""

    first: Integers
    second: Integers
    n_atoms: Integers
    energy_difference: Floats  # E_2 - E_1, eV
    force_work: Floats  # what the forces say it is, eV
    stress_work: Floats  # what the stress adds, eV; NaN without stress or cell
    displacement: Floats  # largest |d_i|, Angstrom
    strain: Floats  # largest component of eps

    def frames(self, pairs: Integers) -> Integers:
        """The frames of these pairs, each once, ascending."""
        return np.unique(np.concatenate([self.first[pairs], self.second[pairs]]))


def near_pairs(dataset: Dataset) -> NearPairs:
    """Pairs among the frames with energy and forces that are made of the same atoms in order."""
    tables = []
    for group in same_atoms(dataset):
        for window in _windows(group):
            tables.append(_pairs(dataset, window))
            dataset.release()
    whole, real = np.zeros(0, dtype=np.int64), np.zeros(0)
    tables.append(NearPairs(whole, whole, whole, real, real, real, real, real))
    return NearPairs(
        *(
            np.concatenate([getattr(table, each.name) for table in tables])
            for each in fields(NearPairs)
        )
    )


def same_atoms(dataset: Dataset) -> list[Integers]:
    """Groups of frames with energy and forces, the same atoms in order, periodicity and head.

    Only fully open and fully periodic frames of two atoms or more.
    """
    usable = dataset.has("energy") & dataset.has("forces") & (dataset.atom_counts > 1)
    frames = np.flatnonzero(usable & dataset.of_frames(_open_or_bulk))
    _, kind = np.unique(dataset.of_frames(_kinds)[frames], return_inverse=True)
    order = np.argsort(kind.ravel(), kind="stable")
    groups = np.split(frames[order], np.cumsum(np.bincount(kind.ravel()))[:-1])
    return sorted((group for group in groups if len(group) > 1), key=lambda group: int(group[0]))


def _open_or_bulk(view: Dataset) -> Booleans:
    periodic, volumes = view.column("periodic"), np.abs(np.linalg.det(view.column("cell")))
    fits: Booleans = (periodic.all(axis=1) & (volumes > 1e-6)) | ~periodic.any(axis=1)
    return fits


def _kinds(view: Dataset) -> NDArray[np.bytes_]:
    """Of each frame 16 bytes that those of the same atoms in order, periodicity and head share."""
    numbers, periodic, heads = (view.column(name) for name in ("numbers", "periodic", "head"))
    kinds = []
    for index in range(len(view)):
        atoms = numbers[view.offsets[index] : view.offsets[index + 1]]
        key = periodic[index].tobytes() + heads[index].encode() + atoms.tobytes()
        kinds.append(blake2b(key, digest_size=16).digest())
    return np.array(kinds, dtype="S16")


def _windows(group: Integers) -> Iterator[Integers]:
    for start in range(0, len(group), _WINDOW):
        if len(group) - start > 1:
            yield group[start : start + _WINDOW]


def _pairs(dataset: Dataset, frames: Integers) -> NearPairs:
    view = dataset[frames]
    n_atoms = int(view.atom_counts[0])
    shape = (len(frames), n_atoms, 3)
    positions, forces = (view.column(name).reshape(shape) for name in ("positions", "forces"))
    cells = view.column("cell")
    periodic = bool(view.column("periodic")[0].any())
    if periodic:
        fractions = positions @ np.linalg.inv(cells)
        first, second = _closest(_periodic_features(fractions, cells))
        step = fractions[second] - fractions[first]
        displacement = (step - np.round(step)) @ (0.5 * (cells[first] + cells[second]))
        strain, stress_work = _strain_work(view, first, second)
    else:
        positions, forces = _turned(positions, forces)
        first, second = _closest(positions.reshape(len(frames), -1))
        displacement = positions[second] - positions[first]
        strain, stress_work = np.zeros(len(first)), np.full(len(first), np.nan)
    energies = view.column("energy")
    work = -0.5 * np.einsum("pax,pax->p", forces[first] + forces[second], displacement)
    return NearPairs(
        first=frames[first],
        second=frames[second],
        n_atoms=np.full(len(first), n_atoms),
        energy_difference=energies[second] - energies[first],
        force_work=work,
        stress_work=stress_work,
        displacement=np.sqrt((displacement**2).sum(axis=2).max(axis=1)),
        strain=strain,
    )


def _closest(features: Floats) -> tuple[Integers, Integers]:
    """Each row with the one nearest to it, every pair once: (first, second), first < second."""
    features = features - features.mean(axis=0)
    squares = np.einsum("ij,ij->i", features, features)
    distances = squares[:, None] + squares[None, :] - 2 * features @ features.T
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    here = np.arange(len(features))
    pairs = np.unique(np.sort(np.stack([here, nearest], axis=1), axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _periodic_features(fractions: Floats, cells: Floats) -> Floats:
    """Coordinates whose distance is that of positions and cells, blind to whole cell vectors.

    Each fractional coordinate becomes a point on a circle as long as the cell vector.
    """
    lengths = np.linalg.norm(cells, axis=2)[:, None, :]
    angles = 2 * np.pi * fractions
    circles = np.concatenate([np.cos(angles), np.sin(angles)], axis=2) / (2 * np.pi)
    circles *= np.concatenate([lengths, lengths], axis=2).mean(axis=0)
    n_atoms = fractions.shape[1]
    shape = np.sqrt(n_atoms) * 0.5 * cells
    return np.concatenate([circles.reshape(len(cells), -1), shape.reshape(len(cells), -1)], axis=1)


def _strain_work(view: Dataset, first: Integers, second: Integers) -> tuple[Floats, Floats]:
    """Largest strain component between the frames of each pair, and the work of the stress."""
    cells = view.column("cell")
    total, change = cells[first] + cells[second], cells[second] - cells[first]
    strain = 2 * np.linalg.inv(total) @ change
    strain = 0.5 * (strain + strain.transpose(0, 2, 1))
    virial = np.abs(np.linalg.det(cells))[:, None, None] * view.column("stress")
    work = 0.5 * np.einsum("pxy,pxy->p", virial[first] + virial[second], strain)
    return np.abs(strain).max(axis=(1, 2)), work


def _turned(positions: Floats, forces: Floats) -> tuple[Floats, Floats]:
    """Open structures moved and turned onto the first one, with their forces.

    W. Kabsch, Acta Cryst. A 32, 922 (1976): with the singular value decomposition U S V^T of
    sum_i x_i (x) y_i the best rotation of x onto y is U diag(1, 1, det(U V^T)) V^T.
    """
    centred = positions - positions.mean(axis=1, keepdims=True)
    left, _, right = np.linalg.svd(np.einsum("pax,ay->pxy", centred, centred[0]))
    left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
    rotation = left @ right
    return centred @ rotation, forces @ rotation
