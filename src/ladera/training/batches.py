"""Frames as batches: their graph, labels as tensors, shuffling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ladera.arrays import Floats, Integers
from ladera.data.dataset import Dataset
from ladera.data.graphs import GraphStore
from ladera.graph import Graph
from ladera.quantities import QUANTITIES, Quantity


@dataclass(frozen=True, eq=False)
class Labels:
    """A quantity of the frames of a batch, as far as they are labelled with it."""

    values: Tensor  # (n_structures, ...) or (n_atoms, ...) of the quantity; zero where missing
    known: Tensor  # (n_structures,) bool

    @classmethod
    def of(cls, quantity: Quantity, frames: Dataset) -> Self:
        """Those of some frames."""
        known, n_atoms = frames.has(quantity.name), int(frames.offsets[-1])
        shape = (n_atoms if quantity.per_atom else len(frames), *quantity.shape)
        values = np.zeros(shape)
        if known.any():
            rows = np.repeat(known, frames.atom_counts) if quantity.per_atom else known
            values[rows] = frames.column(quantity.name).reshape(shape)[rows]
        return cls(torch.from_numpy(values), torch.from_numpy(known))

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        return replace(self, values=self.values.to(device), known=self.known.to(device))


@dataclass(frozen=True, eq=False)
class Batch:
    """Some frames as one graph, with their labels."""

    graph: Graph
    frames: Integers  # (n_structures,) their numbers in the data set
    names: tuple[str, ...]  # and what messages call them
    labels: Mapping[Quantity, Labels]  # of each of QUANTITIES
    weights: Tensor  # (n_structures,), factor on each frame's part of the loss

    @property
    def counts(self) -> Tensor:
        """Labelled numbers of each of QUANTITIES, such as components of forces; float64."""
        atoms = self.graph.atom_counts
        return torch.stack(
            [
                (atoms[labels.known] if quantity.per_atom else labels.known).sum()
                * math.prod(quantity.shape)
                for quantity, labels in self.labels.items()
            ]
        ).double()

    def to(self, device: torch.device) -> Self:
        """The same batch on another device."""
        return replace(
            self,
            graph=self.graph.to(device=device),
            labels={quantity: labels.to(device) for quantity, labels in self.labels.items()},
            weights=self.weights.to(device),
        )

    def without_labels(self) -> Self:
        """The same structures, of which nothing is known: they add nothing to a loss."""
        return replace(
            self,
            labels={
                quantity: replace(labels, known=torch.zeros_like(labels.known))
                for quantity, labels in self.labels.items()
            },
        )


class Batches:
    """Batches of chosen frames of a data set.

    ``weights`` (n_frames,) are factors on the frames' loss, ``heads`` (n_frames,) says which head
    of the model is for which frame. The last two are kept: where an epoch is one step, and one
    batch of validation frames, they are those of the next epoch.
    """

    def __init__(
        self,
        dataset: Dataset,
        graphs: GraphStore,
        weights: Floats | None = None,
        heads: Integers | None = None,
    ) -> None:
        self.dataset = dataset
        self.graphs = graphs
        self.weights = dataset.column("weight") if weights is None else weights
        self.heads = heads
        self._last: dict[bytes, Batch] = {}

    def make(self, indices: Integers) -> Batch:
        """The batch of these frames, in this order."""
        key = np.asarray(indices).tobytes()
        batch = self._last.pop(key, None) or self._make(indices)
        self._last = dict([*self._last.items(), (key, batch)][-2:])
        return batch

    def _make(self, indices: Integers) -> Batch:
        frames, graph = self.dataset[indices], self.graphs.batch(indices)
        if self.heads is not None:
            graph = replace(graph, heads=torch.from_numpy(self.heads[indices]))
        sources = frames.column("source").tolist()
        self.dataset.count_read(len(indices))
        return Batch(
            graph=graph,
            frames=np.asarray(indices),
            names=tuple(f"Frame {k} ({s})" for k, s in zip(indices, sources, strict=True)),
            labels={quantity: Labels.of(quantity, frames) for quantity in QUANTITIES},
            weights=torch.from_numpy(self.weights[indices]),
        )


def shuffled(indices: Integers, batch_size: int, seed: int, epoch: int) -> list[Integers]:
    """The batches of one epoch: frames in random parts of (nearly) equal size, each in order.

    Depends on nothing but the arguments, so that a resumed run sees the same batches.
    """
    generator = torch.Generator().manual_seed(seed + epoch)
    order = torch.randperm(len(indices), generator=generator).numpy()
    parts = np.array_split(order, -(-len(indices) // batch_size))
    return [indices[np.sort(part)] for part in parts]


def filled(
    indices: Integers, atom_counts: Integers, atoms: int, seed: int, epoch: int
) -> list[Integers]:
    """As ``shuffled``, but each batch takes frames until one more would be above so many atoms.

    ``atom_counts`` are those of ``indices``; a frame with more atoms is a batch of its own.
    """
    generator = torch.Generator().manual_seed(seed + epoch)
    order = torch.randperm(len(indices), generator=generator).numpy()
    starts, held = [], atoms
    for place, count in enumerate(atom_counts[order].tolist()):
        held += count
        if held > atoms:
            starts.append(place)
            held = count
    return np.split(indices[order], starts[1:])


def interleaved(some: Sequence[Integers], others: Sequence[Integers]) -> list[Integers]:
    """Both lists of batches in one, each spread evenly and in its own order."""
    places = [((k + 0.5) / len(part), part[k]) for part in (some, others) for k in range(len(part))]
    return [batch for _, batch in sorted(places, key=lambda place: place[0])]


def in_order(indices: Integers, batch_size: int) -> Iterator[Integers]:
    """The frames one after the other, in batches."""
    for start in range(0, len(indices), batch_size):
        yield indices[start : start + batch_size]
