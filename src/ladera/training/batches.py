"""Frames as batches: neighbour lists that are built once, labels as tensors, shuffling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ladera.data.dataset import Dataset
from ladera.errors import DataError
from ladera.graph import Graph

GIBIBYTE = 2**30


class GraphStore(Sequence[Graph]):
    """The graphs of a data set's frames, built when first asked for and then kept.

    Once they fill ``memory`` bytes the others are built anew each time: the data set may be larger
    than memory.
    """

    def __init__(self, dataset: Dataset, cutoff: float, memory: float = 4 * GIBIBYTE) -> None:
        self._dataset = dataset
        self._cutoff = cutoff
        self._free = memory
        self._kept: dict[int, Graph] = {}

    def __len__(self) -> int:
        return len(self._dataset)

    @overload
    def __getitem__(self, index: int) -> Graph: ...
    @overload
    def __getitem__(self, index: slice) -> list[Graph]: ...
    def __getitem__(self, index: int | slice) -> Graph | list[Graph]:
        if isinstance(index, slice):
            return [self[k] for k in range(len(self))[index]]
        index = range(len(self))[index]
        if index in self._kept:
            return self._kept[index]
        graph = self._dataset[index].graph(self._cutoff)
        tensors = [getattr(graph, field.name) for field in fields(graph)]
        size = sum(tensor.nbytes for tensor in tensors if tensor is not None)
        if size <= self._free:
            self._free -= size
            self._kept[index] = graph
        return graph


@dataclass(frozen=True, eq=False)
class Batch:
    """Some frames as one graph, with their labels; where a label is missing it is zero."""

    graph: Graph
    frames: NDArray[np.int64]  # (n_structures,) their numbers in the data set
    energy: Tensor  # (n_structures,), eV
    forces: Tensor  # (n_atoms, 3), eV/Angstrom
    stress: Tensor  # (n_structures, 3, 3), eV/Angstrom^3
    dipole: Tensor  # (n_structures, 3), e*Angstrom
    has_energy: Tensor  # (n_structures,) bool
    has_forces: Tensor  # (n_structures,) bool
    has_stress: Tensor  # (n_structures,) bool
    has_dipole: Tensor  # (n_structures,) bool
    weights: Tensor  # (n_structures,), factor on each frame's part of the loss

    @property
    def counts(self) -> Tensor:
        """Labelled energies and components of forces, stresses and dipoles, (4,) float64."""
        return torch.stack(
            [
                self.has_energy.sum(),
                3 * self.graph.atom_counts[self.has_forces].sum(),
                9 * self.has_stress.sum(),
                3 * self.has_dipole.sum(),
            ]
        ).double()

    def to(self, device: torch.device) -> Self:
        """The same batch on another device."""
        moved = {
            field.name: getattr(self, field.name).to(device=device)
            for field in fields(self)
            if field.name != "frames"
        }
        return replace(self, **moved)

    def without_labels(self) -> Self:
        """The same structures, of which nothing is known: they add nothing to a loss."""
        nothing = torch.zeros_like(self.has_energy)
        return replace(
            self, has_energy=nothing, has_forces=nothing, has_stress=nothing, has_dipole=nothing
        )


class Batches:
    """Batches of chosen frames of a data set.

    ``weights`` (n_frames,) are factors on the frames' loss, ``heads`` (n_frames,) says which head
    of the model is for which frame. Raises DataError, when a batch is made, for a stress label of
    a structure without volume.
    """

    def __init__(
        self,
        dataset: Dataset,
        graphs: Sequence[Graph],
        weights: NDArray[np.float64] | None = None,
        heads: NDArray[np.int64] | None = None,
    ) -> None:
        self.dataset = dataset
        self.graphs = graphs
        self.weights = dataset.column("weight") if weights is None else weights
        self.heads = heads

    def make(self, indices: NDArray[np.int64]) -> Batch:
        """The batch of these frames, in this order."""
        frames = [self.dataset[int(k)] for k in indices]
        for index, frame in zip(indices, frames, strict=True):
            if frame.stress is not None and frame.volume == 0:
                raise DataError(
                    f"Frame {index} ({frame.source}) has a stress but no volume; give its cell or "
                    "leave its stress out."
                )
        forces = [np.zeros((f.n_atoms, 3)) if f.forces is None else f.forces for f in frames]
        stress = [np.zeros((3, 3)) if f.stress is None else f.stress for f in frames]
        dipole = [np.zeros(3) if f.dipole is None else f.dipole for f in frames]
        graph = Graph.batch([self.graphs[int(k)] for k in indices])
        if self.heads is not None:
            graph = replace(graph, heads=torch.from_numpy(self.heads[indices]))
        return Batch(
            graph=graph,
            frames=np.asarray(indices),
            energy=torch.tensor([f.energy or 0.0 for f in frames], dtype=torch.float64),
            forces=torch.from_numpy(np.concatenate(forces)),
            stress=torch.from_numpy(np.stack(stress)),
            dipole=torch.from_numpy(np.stack(dipole)),
            has_energy=torch.tensor([f.energy is not None for f in frames]),
            has_forces=torch.tensor([f.forces is not None for f in frames]),
            has_stress=torch.tensor([f.stress is not None for f in frames]),
            has_dipole=torch.tensor([f.dipole is not None for f in frames]),
            weights=torch.from_numpy(self.weights[indices]),
        )


def shuffled(
    indices: NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """The batches of one epoch: all frames in random order, in parts of (nearly) equal size.

    Depends on nothing but the arguments, so that a resumed run sees the same batches.
    """
    generator = torch.Generator().manual_seed(seed + epoch)
    order = torch.randperm(len(indices), generator=generator).numpy()
    return np.array_split(indices[order], -(-len(indices) // batch_size))


def filled(
    indices: NDArray[np.int64], atom_counts: NDArray[np.int64], atoms: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
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


def interleaved(
    some: Sequence[NDArray[np.int64]], others: Sequence[NDArray[np.int64]]
) -> list[NDArray[np.int64]]:
    """Both lists of batches in one, each spread evenly and in its own order."""
    places = [((k + 0.5) / len(part), part[k]) for part in (some, others) for k in range(len(part))]
    return [batch for _, batch in sorted(places, key=lambda place: place[0])]


def in_order(indices: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.int64]]:
    """The frames one after the other, in batches."""
    for start in range(0, len(indices), batch_size):
        yield indices[start : start + batch_size]
