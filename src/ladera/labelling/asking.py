"""Frames to batches, and each batch to a prediction: here is decided how many at once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from math import pi
from typing import Final, NamedTuple

import numpy as np
import torch
from ase.data import chemical_symbols

from ladera.arrays import Floats, Integers
from ladera.data.dataset import Dataset
from ladera.data.graphs import GraphStore
from ladera.errors import DataError
from ladera.graph import Graph
from ladera.labelling.heads import by_head
from ladera.potential import Potential, Prediction, evaluate
from ladera.potential.memory import Fitting
from ladera.potential.parts import Division
from ladera.structure import StructureWarning

# What a call costs is lost in so many atoms, and what their edges take stays in the cache of a
# processor: twice as many are no faster, ten times as many up to twice as slow.
_ATOMS: Final = 1000
_EDGES: Final = 30_000


class Answer(NamedTuple):
    """What a potential says of some frames."""

    frames: Integers  # (n_structures,) their places in the data set
    prediction: Prediction
    division: Division | None = None  # of a single frame that was evaluated in parts


def answers(
    potential: Potential,
    dataset: Dataset,
    *,
    head: str | None = None,
    names: Integers | None = None,
    graphs: GraphStore | None = None,
) -> Iterator[Answer]:
    """Predictions of all frames of a data set, batch after batch; an empty one of unsound frames.

    ``names`` (n_frames,) are the numbers by which frames are called, when they are part of a larger
    set; ``graphs`` are those of the larger set, else they are built. With ``head`` all frames are
    predicted by that one; of a model with several they come head after head, else in their order.

    A frame that does not fit into memory is evaluated in parts; TooLargeError where that is not
    possible. A frame that is no sound structure is left out with a warning (StructureWarning).
    Raises DataError for an empty data set, for a single frame that is unsound, and for an element
    or a head that the model does not know, naming frame and atom, before anything is predicted.
    """
    _check(potential, dataset)
    every = np.arange(len(dataset))
    names = every if names is None else names
    heads = by_head(potential, dataset) if head is None else [(head, every)]
    for name, frames in heads:
        fitting = Fitting(potential, head=name)
        for batch in batches(dataset, frames, potential.cutoff):
            if (division := _division(fitting, dataset, batch)) is not None:
                yield Answer(batch, division.evaluate(), division)
                continue
            graph, sound = _graph(potential.cutoff, dataset, batch, names, graphs)
            if graph is not None:
                with torch.no_grad():
                    prediction = evaluate(potential, graph, head=name)
                yield Answer(sound, prediction)


def batches(dataset: Dataset, frames: Integers, cutoff: float) -> Iterator[Integers]:
    """Frames in their order, as many at once as have so many atoms and edges; one at least."""
    # Of a data set's block at once: the cells of all frames may not fit in memory.
    costs = dataset.of_frames(lambda block: _costs(block, cutoff))[frames]
    start, held = 0, 0.0
    for place, cost in enumerate(costs.tolist()):
        if place > start and held + cost > 1:
            yield frames[start:place]
            start, held = place, 0.0
        held += cost
    if len(frames) > start:
        yield frames[start:]


def _costs(block: Dataset, cutoff: float) -> Floats:
    """The part of a batch that each frame fills, (n_frames,), by its atoms and likely edges.

    An atom of a periodic structure sees 4/3 pi cutoff^3 n / V others, one of an open structure the
    other n - 1 at most, and not more than those of a very dense solid.
    """
    n = block.atom_counts
    periodic, volumes = block.column("periodic"), np.abs(np.linalg.det(block.column("cell")))
    sphere, bulk = 4 / 3 * pi * cutoff**3, periodic.any(axis=1) & (volumes > 0)
    density = np.where(bulk, n / np.where(bulk, volumes, 1.0), _DENSEST)
    seen = sphere * np.minimum(density, _DENSEST)
    seen = np.where(bulk, seen, np.minimum(n - 1, seen))
    costs: Floats = np.maximum(n / _ATOMS, n * seen / _EDGES)
    return np.nan_to_num(costs, nan=1.0)  # of a cell that is no cell


_DENSEST: Final = 0.2  # atoms/Angstrom^3: diamond has 0.176


def _division(fitting: Fitting, dataset: Dataset, batch: Integers) -> Division | None:
    """The parts of a large frame that is alone in its batch and does not fit into memory."""
    if len(batch) > 1:
        return None
    with suppress(DataError):  # unsound, which is said where its graph is made
        return fitting.division(dataset[int(batch[0])].structure)
    return None


def _graph(
    cutoff: float,
    dataset: Dataset,
    batch: Integers,
    names: Integers,
    graphs: GraphStore | None,
) -> tuple[Graph | None, Integers]:
    """The graph of the frames of a batch that are sound structures, and which these are."""
    with suppress(DataError):
        if graphs is not None:
            return graphs.batch(names[batch]), batch
        dataset.count_read(len(batch))
        return Graph.of_all(dataset[batch].structures, cutoff), batch
    found = {}
    for k in batch.tolist():
        try:
            found[k] = dataset[k].graph(cutoff)
        except DataError as error:
            reason = f"Frame {names[k]} ({dataset[k].source}) cannot be evaluated: {error}"
            if len(dataset) == 1:
                raise DataError(reason) from error
            warnings.warn(f"{reason} The other frames are.", StructureWarning, stacklevel=4)
    sound = np.array(list(found), dtype=np.int64)
    return (Graph.batch(list(found.values())) if found else None), sound


def _check(potential: Potential, dataset: Dataset) -> None:
    if len(dataset) == 0:
        raise DataError("The data set is empty; there is nothing to evaluate.")
    unknown = set(dataset.symbols) - set(potential.symbols)
    if unknown:
        column = [symbol in unknown for symbol in dataset.symbols]
        frame = int(np.flatnonzero(dataset.compositions[:, column].any(axis=1))[0])
        symbols = [chemical_symbols[number] for number in dataset[frame].numbers]
        atom = next(k for k, symbol in enumerate(symbols) if symbol in unknown)
        raise DataError(
            f"Frame {frame} ({dataset[frame].source}), atom {atom} is {symbols[atom]}, which this "
            f"model does not know; it was made for {', '.join(potential.symbols)}. Leave such "
            "frames out, or take a model that knows the element."
        )
