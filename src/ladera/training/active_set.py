"""The active set of a model, chosen from the frames that it was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ladera.array_files import blank
from ladera.arrays import Floats, Integers
from ladera.data.dataset import Dataset
from ladera.data.graphs import GraphStore
from ladera.data.store import release
from ladera.labelling.asking import batches
from ladera.potential import ActiveSet, Potential
from ladera.potential.reach import Reach
from ladera.progress import Task
from ladera.units import BOLTZMANN

_HEAT: Final = (300 * BOLTZMANN, 1200 * BOLTZMANN)  # eV, kT of frames whose T is not known
KEPT: Final = 2**30  # bytes of features that are kept from one pass to the next, on the disk


def choose_active_set(
    potential: Potential,
    dataset: Dataset,
    graphs: GraphStore,
    frames: Integers | None = None,
    heads: Integers | None = None,
) -> None:
    """Give a potential the active set of some frames; of a committee, each member.

    ``graphs`` are those of all frames of the data set, ``frames`` the numbers of those that count
    (all by default), ``heads`` (n_frames,) the head of each frame, of a model with several. A model
    without features (:meth:`Potential.grade_features`) keeps none.
    """
    chosen = np.arange(len(dataset)) if frames is None else frames
    for part in parts_with_features(potential):
        passes = _Passes(part, dataset, graphs, chosen, heads)
        parts_of = _in_batches(dataset, chosen, part.cutoff)
        reach = Reach.of((graphs.batch(chosen[k]) for k in parts_of), part.cutoff)
        part.active_set = ActiveSet.of(passes, _floor(part, dataset[chosen]), reach)


def parts_with_features(potential: Potential) -> list[Potential]:
    """The model, or the models that it is made of, as far as they can have an active set."""
    parts = (module for module in potential.modules() if isinstance(module, Potential))
    return [part for part in parts if part.has_grade_features]


def _floor(potential: Potential, dataset: Dataset) -> float | None:
    r"""The energy that no structure should be below, eV/atom over free atoms; None without labels.

        min_f e_f - 3/2 kT,    e_f = (E_f - sum of E0) / n_f,    (kT)^2 = 2/3 n_f var(e_f)

    Frames of dynamics lie 3/2 kT above their minimum, and the variance of their energies, taken
    over frames of one composition, says what T is, if they are harmonic. T is held between 300 and
    1200 K: frames of all kinds differ by more than heat.
    """
    free, known = potential.free_atom_energies(), dataset.has("energy")
    if free is None or len(potential.heads) > 1 or not known.any():
        return None
    of_symbol = dict(zip(potential.symbols, free.tolist(), strict=True))
    compositions, sizes = dataset.compositions[known], dataset.atom_counts[known]
    references = compositions @ np.array([of_symbol[symbol] for symbol in dataset.symbols])
    e: Floats = (dataset.column("energy")[known] - references) / sizes
    _, kind, counts = np.unique(compositions, axis=0, return_inverse=True, return_counts=True)
    means = np.bincount(kind.ravel(), e) / counts
    heat = float(np.sqrt(2 / 3 * np.mean(sizes * (e - means[kind.ravel()]) ** 2)))
    return float(e.min()) - 1.5 * float(np.clip(heat, *_HEAT))


class _Passes:
    """Goes through the features of all atoms of some frames, again and again.

    They are kept as far as KEPT goes and computed anew beyond.
    """

    def __init__(
        self,
        potential: Potential,
        dataset: Dataset,
        graphs: GraphStore,
        frames: Integers,
        heads: Integers | None,
    ) -> None:
        self._potential, self._graphs, self._heads = potential, graphs, heads
        self._batches = [frames[k] for k in _in_batches(dataset, frames, potential.cutoff)]
        ends = np.cumsum([dataset.atom_counts[batch].sum() for batch in self._batches])
        self._ends: list[int] = [0, *ends.tolist()]
        self._numbers: list[Tensor] = []  # of the atoms of the batches that are kept, (n,) uint8
        self._features = np.empty((0, 0))  # of these atoms, (n_atoms, m)

    def __call__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Atomic numbers and features of the atoms of one batch after the other."""
        with Task("batches of the active set", len(self._batches)) as task:
            for k, frames in enumerate(self._batches):
                if k < len(self._numbers):
                    rows = self._features[self._ends[k] : self._ends[k + 1]]
                    yield self._numbers[k], torch.from_numpy(rows)
                else:
                    numbers, features = self._of(frames)
                    self._keep(k, numbers, features)
                    yield numbers, features
                release({"": self._features})
                task.advance(1)

    def _keep(self, k: int, numbers: Tensor, features: Tensor) -> None:
        """Those of batch k, if they are the next and there is room."""
        if k == 0:
            most = KEPT // (8 * features.shape[1])
            n_atoms = max(end for end in self._ends if end <= most)
            self._features = blank((n_atoms, features.shape[1]))
        if k == len(self._numbers) and self._ends[k + 1] <= len(self._features):
            self._features[self._ends[k] : self._ends[k + 1]] = features.numpy()
            self._numbers.append(numbers.to(torch.uint8))

    def _of(self, frames: Integers) -> tuple[Tensor, Tensor]:
        graph = self._graphs.batch(frames)
        if self._heads is not None:
            graph = replace(graph, heads=torch.from_numpy(self._heads[frames]))
        with torch.no_grad():
            features = self._potential.grade_features(graph)
        assert features is not None  # parts_with_features has asked
        return graph.numbers, features.double().cpu()


def _in_batches(dataset: Dataset, frames: Integers, cutoff: float) -> Iterator[Integers]:
    """Places among ``frames``, in batches of a good size."""
    yield from batches(dataset[frames], np.arange(len(frames)), cutoff)
