"""The graphs of the frames of a data set, as far as memory goes built only once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Final, overload

from torch import Tensor

from ladera.arrays import Integers
from ladera.data.dataset import Dataset
from ladera.graph import Graph
from ladera.machine import GIBIBYTE, memory

_OF_FREE: Final = 0.5  # of the free memory, which graphs may fill
# What a tensor takes besides its numbers, bytes: measured, and of the graph of a small molecule as
# much again as the numbers.
_OBJECT: Final = 650


def room(gibibytes: float) -> float:
    """Bytes that kept graphs may fill: so many GiB, and at most half of what is free."""
    return min(gibibytes * GIBIBYTE, _OF_FREE * memory().free)


def weight(parts: Iterable[object]) -> int:
    """Memory that the tensors among some parts take, bytes."""
    return sum(part.nbytes + _OBJECT for part in parts if isinstance(part, Tensor))


class GraphStore(Sequence[Graph]):
    """The graphs of a data set's frames, built when first asked for and then kept.

    Once they fill ``memory`` bytes the others are built anew each time: the data set may be larger
    than memory. What is kept, and given, is what ``reduced`` makes of each graph.
    """

    def __init__(
        self,
        dataset: Dataset,
        cutoff: float,
        memory: float = 4 * GIBIBYTE,
        reduced: Callable[[Graph], Graph] | None = None,
    ) -> None:
        self._dataset = dataset
        self._cutoff = cutoff
        self._reduced = reduced or (lambda graph: graph)
        self._free = memory
        self._kept: dict[int, Graph] = {}
        self._full = memory == 0

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
        graph = self._reduced(self._dataset[index].graph(self._cutoff))
        size = weight(getattr(graph, field.name) for field in fields(graph))
        if size <= self._free:
            self._free -= size
            self._kept[index] = graph
        else:
            self._full = True
        return graph

    def batch(self, frames: Integers) -> Graph:
        """The graph of some frames, in this order; those of molecules are built all at once."""
        if self._full and not all(k in self._kept for k in frames.tolist()):
            view = self._dataset[frames]
            self._dataset.count_read(len(frames))
            if not view.column("periodic").any():
                return self._reduced(Graph.of_all(view.structures, self._cutoff))
        return Graph.batch([self[k] for k in frames.tolist()])
