"""Frames that differ most from each other, by the descriptors of a potential."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

from ladera.arrays import Floats, Integers
from ladera.data.dataset import Dataset
from ladera.errors import ConfigError, DataError
from ladera.graph import Graph
from ladera.potential import Potential, evaluate
from ladera.quantities import FORCES

Score = Literal["deviation", "grade"]

# Descriptors of an element are projected on so many random directions, which keeps distances.
_DIRECTIONS: Final = 64
_FRAMES_AT_ONCE: Final = 16
_KNOWN_AT_ONCE: Final = 256


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows of points, in the order in which they were chosen."""

    indices: Integers  # (n_chosen,)
    # The largest distance of a point to the chosen ones, after each choice: how well they cover.
    radii: Floats  # (n_chosen,)


def fingerprints(
    potential: Potential,
    dataset: Dataset,
    elements: tuple[int, ...],
    on_frames: Callable[[int], None] = lambda done: None,
) -> Floats:
    """A point for each frame, (n_frames, n_elements * n_directions).

    For each element the sum of its atoms' descriptors, over the number of all atoms. Raises
    ConfigError for a potential without descriptors.
    """
    _require_elements(potential, dataset)
    rows: list[Floats] = []
    for start in range(0, len(dataset), _FRAMES_AT_ONCE):
        graph = _batch(potential, dataset, start)
        with torch.no_grad():
            descriptors = potential.descriptors(graph)
        if descriptors is None:
            raise ConfigError(
                f"The {potential.config.architecture} model has no descriptors to choose frames "
                "by; choose with a network on symmetry functions or a MACE, such as ethanol-mace."
            )
        projected = _project(descriptors.double().cpu())
        numbers, structures = graph.numbers.cpu(), graph.structure_index.cpu()
        sums = projected.new_zeros(graph.n_structures, len(elements), projected.shape[1])
        for place, number in enumerate(elements):
            mine = numbers == number
            sums[:, place].index_add_(0, structures[mine], projected[mine])
        rows.append((sums.flatten(1) / graph.atom_counts.cpu()[:, None]).numpy())
        on_frames(min(start + _FRAMES_AT_ONCE, len(dataset)))
    return np.concatenate(rows)


def scores(
    potential: Potential,
    dataset: Dataset,
    by: Score,
    on_frames: Callable[[int], None] = lambda done: None,
) -> Floats:
    """How uncertain a potential is of each frame, (n_frames,): that of its worst atom.

    ``deviation``: the standard deviation of a committee's forces (Euclidean norm of the
    components', eV/Angstrom, calibrated where the committee is); ``grade``: the grade, above 1
    outside the training domain. Raises ConfigError for a potential that has none.
    """
    if by == "deviation" and not potential.members:
        raise ConfigError(
            f"The {potential.config.architecture} model is no committee, so that nothing deviates; "
            "make one (ladera committee), or choose by grade."
        )
    _require_elements(potential, dataset)
    found: list[Floats] = []
    for start in range(0, len(dataset), _FRAMES_AT_ONCE):
        graph = _batch(potential, dataset, start)
        with torch.no_grad():
            prediction = evaluate(potential, graph)
            atoms = (
                prediction.std[FORCES].norm(dim=1)
                if by == "deviation"
                else potential.grade(graph, prediction)
            )
        if atoms is None:
            raise ConfigError(
                f"The {potential.config.architecture} model keeps no record of its training "
                "domain, so it has no grade; choose by descriptors, or a committee's deviation."
            )
        offsets = np.concatenate([[0], np.cumsum(graph.atom_counts.cpu().numpy())[:-1]])
        found.append(np.maximum.reduceat(atoms.double().cpu().numpy(), offsets))
        on_frames(min(start + _FRAMES_AT_ONCE, len(dataset)))
    return np.concatenate(found)


def farthest_points(
    candidates: Floats,
    known: Floats,
    number: int | None = None,
    *,
    distance: float = 0.0,
    first: int | None = None,
) -> Selection:
    """Again and again the candidate (row) farthest from all ``known`` and all chosen points.

    It ends with ``number`` different rows, or when no candidate is farther than ``distance`` from
    the nearest of them. Without ``known`` it begins with ``first``, by default with the candidate
    nearest to their mean. (Greedy: its covering radius is at most twice the smallest that so many
    points can have; Gonzalez, Theor. Comput. Sci. 38, 293 (1985).)
    """
    limit = len(candidates) if number is None else min(number, len(candidates))
    points = candidates - candidates.mean(0)
    squares = np.einsum("ij,ij->i", points, points)

    def from_chosen(row: int) -> Floats:
        square: Floats = squares + squares[row] - 2 * (points @ points[row])
        return np.maximum(square, 0.0)

    nearest = np.full(len(candidates), np.inf)
    for start in range(0, len(known), _KNOWN_AT_ONCE):
        others = known[start : start + _KNOWN_AT_ONCE] - candidates.mean(0)
        square = squares[:, None] + np.einsum("ij,ij->i", others, others) - 2 * points @ others.T
        nearest = np.minimum(nearest, np.maximum(square, 0.0).min(1))
    left = np.ones(len(candidates), dtype=bool)
    chosen: list[int] = []
    radii: list[float] = []
    while len(chosen) < limit:
        if not chosen and not len(known):
            row = int(np.argmin(squares)) if first is None else first
        else:
            row = int(np.argmax(np.where(left, nearest, -1.0)))
            if nearest[row] <= distance**2 and number is None:
                break
        chosen.append(row)
        left[row] = False
        nearest = np.minimum(nearest, from_chosen(row))
        nearest[row] = 0.0
        radii.append(float(np.sqrt(nearest.max())))
    return Selection(np.array(chosen, dtype=np.int64), np.array(radii))


def _require_elements(potential: Potential, dataset: Dataset) -> None:
    for column, symbol in enumerate(dataset.symbols):
        if symbol not in potential.symbols:
            first = int(np.flatnonzero(dataset.compositions[:, column])[0])
            raise DataError(
                f"{dataset.place(first)} contains {symbol}, which the model does not know; it was "
                f"made for {', '.join(potential.symbols)}. Leave such frames out (ladera data "
                f"filter --without {symbol}), or take another model."
            )


def _batch(potential: Potential, dataset: Dataset, start: int) -> Graph:
    stop = min(start + _FRAMES_AT_ONCE, len(dataset))
    graphs = []
    for k in range(start, stop):
        try:
            graphs.append(dataset[k].graph(potential.cutoff))
        except DataError as error:
            raise DataError(f"{dataset.place(k)}: {error}") from error
    return Graph.batch(graphs).to(potential.dtype, potential.device)


def _project(descriptors: Tensor) -> Tensor:
    columns = descriptors.shape[1]
    if columns <= _DIRECTIONS:
        return descriptors
    directions = np.random.default_rng(0).standard_normal((columns, _DIRECTIONS))
    return descriptors @ torch.from_numpy(directions / _DIRECTIONS**0.5)
