"""Counting pairs, angles and waves in the frames of a trajectory."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Final

import numpy as np
from ase.data import chemical_symbols

from ladera.arrays import Floats, Integers
from ladera.graph import Graph
from ladera.progress import track
from ladera.properties.unfolding import in_one_basis, reduced_cell
from ladera.structure import Structure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms


BIN: Final = 0.05  # Angstrom
ANGLE_BINS: Final = 90  # of 2 degrees
LARGEST_Q: Final = 10.0  # 1/Angstrom
Q_BIN: Final = 0.1  # 1/Angstrom
VECTORS_OF_A_BIN: Final = 24
_MOST_INDEX: Final = 40  # of a large cell enough vectors are within this
_FRAMES_OF_A_BLOCK: Final = 10  # for angles and waves, which say the same in every frame


class PairStatistics:
    """Frames of the same atoms with their species, pairs of species and bins of distance."""

    def __init__(self, frames: Sequence[Atoms], farthest: float) -> None:
        self._frames = frames
        self._farthest = farthest
        elements, self._element = np.unique(frames[0].numbers, return_inverse=True)
        self._symbols = [chemical_symbols[number] for number in elements]
        number = np.bincount(self._element).astype(float)
        kinds = combinations_with_replacement(range(len(elements)), 2)
        self._pairs = [(a, b) for a, b in kinds if a != b or number[a] > 1]  # none of one atom
        self.names = tuple(f"{self._symbols[a]}-{self._symbols[b]}" for a, b in self._pairs)
        self.sizes = np.array([(number[a], number[b]) for a, b in self._pairs])
        self.edges = np.arange(0, farthest + 1e-9, BIN)
        others = np.array([number[b] - (a == b) for a, b in self._pairs])
        volumes = 4 / 3 * np.pi * np.diff(self.edges**3)
        # Neighbours that an even density of the other atoms would have.
        self.volume = float(np.mean([atoms.cell.volume for atoms in frames]))
        self.ideal = others[:, None] * volumes / self.volume
        cells = in_one_basis(np.array([atoms.cell.array for atoms in frames]))
        self._cells = reduced_cell(cells[0]) @ np.linalg.inv(cells[0]) @ cells

    def histograms(self, blocks: Integers) -> Floats:
        """What :meth:`pair_counts` gives of every frame, (n_blocks, n_frames, n_pairs, n_bins)."""
        frames = track(blocks.ravel().tolist(), "frames, distances")
        counts = np.array([self.pair_counts(frame) for frame in frames])
        return counts.reshape(*blocks.shape, *counts.shape[1:])

    def pair_counts(self, frame: int) -> Floats:
        """Neighbours b of an atom a in each shell of a frame, (n_pairs, n_bins)."""
        graph = self._graph(frame, self._farthest)
        lengths = np.linalg.norm(graph.vectors.numpy(), axis=1)
        centers, neighbors = graph.centers.numpy(), graph.neighbors.numpy()
        lengths = np.where(centers == neighbors, np.inf, lengths)  # an atom's image is no neighbour
        a, b = self._element[centers], self._element[neighbors]
        n_bins = len(self.edges) - 1
        counts = np.zeros((len(self._pairs), n_bins))
        for i, (first, second) in enumerate(self._pairs):
            mine = lengths[(a == first) & (b == second)]
            counts[i] = np.histogram(mine, self.edges)[0] / self.sizes[i, 0]
        return counts

    def angles(self, blocks: Integers, reach: Floats) -> tuple[tuple[str, ...], Floats]:
        """Names (neighbour-centre-neighbour) and distributions (n_blocks, n_triplets, n_angles).

        Neighbours of a pair of species are those within its ``reach`` (n_pairs,), Angstrom.
        """
        n = len(self._symbols)
        radius = np.zeros((n, n))
        for (a, b), r in zip(self._pairs, reach, strict=True):
            radius[a, b] = radius[b, a] = np.nan_to_num(r)
        sums = np.zeros((len(blocks), n, n, n, ANGLE_BINS))
        for k, block in enumerate(track(blocks, "blocks, angles")):
            for frame in _thinned(block) if radius.max() > 0 else ():
                graph = self._graph(frame, float(radius.max()))
                sums[k] += _angle_counts(graph, self._element, radius)
        names, chosen = [], []
        for centre in range(n):
            for a, b in self._pairs:
                if sums[:, centre, a, b].sum(axis=1).all():
                    names.append(f"{self._symbols[a]}-{self._symbols[centre]}-{self._symbols[b]}")
                    chosen.append(sums[:, centre, a, b])
        if not names:
            return (), np.zeros((len(blocks), 0, ANGLE_BINS))
        counts = np.stack(chosen, axis=1)
        return tuple(names), counts / counts.sum(axis=2, keepdims=True) * ANGLE_BINS / 180

    def structure_factor(self, blocks: Integers) -> tuple[Floats, Floats]:
        """q (n_q,) and S(q) (n_blocks, n_q), averaged over vectors of about the same length."""
        mean = 2 * np.pi * np.linalg.inv(self._cells.mean(axis=0))
        most = np.ceil(LARGEST_Q / np.linalg.norm(mean, axis=0)).astype(int) + 1
        most = np.minimum(most, _MOST_INDEX)
        grid = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), -1)
        indices = grid.reshape(-1, 3)[len(grid.reshape(-1, 3)) // 2 + 1 :]  # one of q and -q
        lengths = np.linalg.norm(indices @ mean.T, axis=1)
        bins = (lengths / Q_BIN).astype(int)
        rng = np.random.default_rng(0)
        kept = []
        for k in range(round(LARGEST_Q / Q_BIN)):
            mine = np.flatnonzero(bins == k)
            kept.append(rng.permutation(mine)[:VECTORS_OF_A_BIN])
        chosen = np.concatenate(kept)
        values = np.array(
            [
                np.mean([self._scattering(f, indices[chosen]) for f in _thinned(block)], axis=0)
                for block in track(blocks, "blocks, structure factor")
            ]
        )
        _, place = np.unique(bins[chosen], return_inverse=True)
        weight = np.bincount(place)
        q = np.bincount(place, lengths[chosen]) / weight
        return q, np.array([np.bincount(place, row) / weight for row in values])

    def _scattering(self, frame: int, indices: Integers) -> Floats:
        """|sum_j exp(i q.r_j)|^2 / N of vectors of the reciprocal lattice, (n_vectors,)."""
        atoms = self._frames[frame]
        scaled = atoms.positions @ np.linalg.inv(self._cells[frame])
        phases = 2 * np.pi * (indices @ scaled.T)
        total = np.cos(phases).sum(axis=1) ** 2 + np.sin(phases).sum(axis=1) ** 2
        mean: Floats = total / len(scaled)
        return mean

    def _graph(self, frame: int, cutoff: float) -> Graph:
        atoms = self._frames[frame]
        positions = atoms.get_positions(wrap=True)
        return Graph.of(Structure.of(atoms.numbers, positions, atoms.cell.array, True), cutoff)


def _angle_counts(graph: Graph, element: Integers, radius: Floats) -> Floats:
    """Angles between two neighbours, (n_elements, n_elements, n_elements, n_angles).

    First index: the element of the centre; then those of the neighbours, the lower one first.
    """
    n = len(radius)
    centers, neighbors = graph.centers.numpy(), graph.neighbors.numpy()
    vectors = graph.vectors.numpy()
    lengths = np.linalg.norm(vectors, axis=1)
    bonded = lengths < radius[element[centers], element[neighbors]]
    centers, neighbors = centers[bonded], neighbors[bonded]
    unit = vectors[bonded] / lengths[bonded, None]
    # All ordered pairs of the edges of an atom: edge e with each of the atom's edges.
    per_atom = np.bincount(centers, minlength=graph.n_atoms)
    start = np.concatenate([[0], np.cumsum(per_atom)])
    repeats = per_atom[centers]
    one = np.repeat(np.arange(len(centers)), repeats)
    offset = np.arange(len(one)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    two = start[centers[one]] + offset
    kinds = element[neighbors]
    counted = (two > one) & (kinds[one] <= kinds[two])
    swapped = (two > one) & (kinds[one] > kinds[two])
    first = np.concatenate([one[counted], two[swapped]])
    second = np.concatenate([two[counted], one[swapped]])
    cosine = np.clip((unit[first] * unit[second]).sum(axis=1), -1, 1)
    degrees = np.degrees(np.arccos(cosine))
    bins = np.minimum((degrees * ANGLE_BINS / 180).astype(int), ANGLE_BINS - 1)
    place = (element[centers[first]] * n + kinds[first]) * n + kinds[second]
    counts = np.bincount(place * ANGLE_BINS + bins, minlength=n**3 * ANGLE_BINS)
    return counts.reshape(n, n, n, ANGLE_BINS).astype(float)


def _thinned(block: Integers) -> Integers:
    return block[:: max(1, len(block) // _FRAMES_OF_A_BLOCK)]
