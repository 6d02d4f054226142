"""Frames that differ most from each other, by the descriptors of a potential."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ladera.arrays import Floats, Integers
from ladera.data.dataset import Dataset
from ladera.errors import ConfigError
from ladera.graph import Graph
from ladera.potential import Potential
from ladera.training.batches import in_order

# Descriptors of an element are projected on so many random directions, which keeps distances.
_DIRECTIONS: Final = 64
_FRAMES_AT_ONCE: Final = 16


@runtime_checkable
class Descriptive(Protocol):
    """A potential that describes the surroundings of atoms by numbers."""

    def descriptors(self, graph: Graph) -> Tensor:
        """(n_atoms, n_descriptors); does not change when the structure is turned or shifted."""


def fingerprints(potential: Potential, dataset: Dataset, elements: tuple[int, ...]) -> Floats:
    """A point for each frame, (n_frames, n_elements * n_directions).

    For each element the sum of its atoms' descriptors, over the number of all atoms. Raises
    ConfigError for a potential without descriptors.
    """
    if not isinstance(potential, Descriptive):
        raise ConfigError(
            f"The {potential.config.architecture} model has no descriptors to choose frames by; "
            "leave finetune.replay.frames out to replay all of them."
        )
    rows = []
    for indices in in_order(np.arange(len(dataset)), _FRAMES_AT_ONCE):
        graph = Graph.batch([dataset[int(k)].graph(potential.cutoff) for k in indices])
        with torch.no_grad():
            descriptors = potential.descriptors(
                graph.to(potential.dtype, potential.device)
            ).double()
        descriptors = _project(descriptors.cpu())
        sums = descriptors.new_zeros(graph.n_structures, len(elements), descriptors.shape[1])
        for place, number in enumerate(elements):
            mine = graph.numbers == number
            sums[:, place].index_add_(0, graph.structure_index[mine], descriptors[mine])
        rows.append((sums.flatten(1) / graph.atom_counts[:, None]).numpy())
    return np.concatenate(rows)


def farthest_points(candidates: Floats, known: Floats, number: int) -> Integers:
    """Again and again the candidate (row) farthest from all ``known`` and all chosen points.

    Returns ``number`` different rows, ascending. Without ``known`` it begins with the candidate
    nearest to their mean.
    """
    if number >= len(candidates):
        return np.arange(len(candidates))
    if len(known):
        distances = np.min([_distances(candidates, point) for point in known], axis=0)
        chosen: list[int] = []
    else:
        chosen = [int(np.argmin(_distances(candidates, candidates.mean(0))))]
        distances = _distances(candidates, candidates[chosen[0]])
    while len(chosen) < number:
        distances[chosen] = -1.0
        chosen.append(int(np.argmax(distances)))
        distances = np.minimum(distances, _distances(candidates, candidates[chosen[-1]]))
    return np.sort(np.array(chosen, dtype=np.int64))


def _distances(points: Floats, point: Floats) -> Floats:
    squares: Floats = np.square(points - point).sum(1)
    return squares


def _project(descriptors: Tensor) -> Tensor:
    columns = descriptors.shape[1]
    if columns <= _DIRECTIONS:
        return descriptors
    directions = np.random.default_rng(0).standard_normal((columns, _DIRECTIONS))
    return descriptors @ torch.from_numpy(directions / _DIRECTIONS**0.5)
