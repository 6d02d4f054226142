"""Symmetry functions chosen by the data: those of a pool that say most, and differ most."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from scipy.sparse.linalg import eigsh

from ladera.arrays import Booleans, Floats, Integers
from ladera.errors import ConfigError, DataError
from ladera.graph import Graph
from ladera.kernels.symmetry_functions import cpu
from ladera.kernels.symmetry_functions.environment import Edges
from ladera.kernels.symmetry_functions.functions import SymmetryFunction
from ladera.kernels.symmetry_functions.plan import Plan
from ladera.models.hdnnp.config import Method, SelectionConfig
from ladera.models.hdnnp.scaling import RESOLUTION
from ladera.progress import track

log = logging.getLogger(__name__)

# A function whose variance the chosen ones explain but for this part of it is a sum of them.
DEPENDENT = 1e-10
# Atoms of each element, and frames, that are looked at; more change the choice little.
ATOMS, FRAMES = 2000, 500


def select(plan: Plan, values: Sequence[Floats], config: SelectionConfig) -> list[SymmetryFunction]:
    """The functions of a pool that the data choose, for each element as many as asked for.

    ``values[c]`` (n_atoms, n_functions) are those of ``plan.functions[c]``, as :func:`sample` gives
    them. Raises ConfigError when fewer functions are in the pool, or vary independently.
    """
    chosen: list[SymmetryFunction] = []
    for symbol, functions, G in zip(plan.species, plan.functions, values, strict=True):
        if len(functions) < config.number:
            raise ConfigError(
                f"selection.number is {config.number}, but the pool has {len(functions)} symmetry "
                f"functions of {symbol}; ask for fewer, or add recipes to selection.pool."
            )
        if len(functions) == config.number:  # nothing to choose, as in a run that has chosen
            chosen += functions
            continue
        varying = np.flatnonzero(~constant(G))
        columns = varying[choose_columns(correlation(G[:, varying]), config.number, config.method)]
        if len(columns) < config.number:
            raise ConfigError(
                f"selection.number is {config.number}, but of the {len(functions)} symmetry "
                f"functions of {symbol} in the pool only {len(columns)} differ on these frames "
                f"({len(functions) - len(varying)} are constant); ask for at most {len(columns)}."
            )
        log.info("%d of %d symmetry functions of %s.", len(columns), len(functions), symbol)
        chosen += [functions[column] for column in np.sort(columns)]
    return chosen


def choose_columns(correlations: Floats, number: int, method: Method) -> Integers:
    """Up to ``number`` functions, in the order in which they are chosen, from their correlations.

    cur: again and again the function with the largest part in the leading principal component; then
    what it explains is taken out of all others (Imbalzano et al., J. Chem. Phys. 148, 241730
    (2018)). A function that the chosen ones explain is never taken.

    farthest_point: first the function most correlated with all others, then again and again the one
    whose largest squared correlation with a chosen one is smallest. One that is a multiple of a
    chosen one is never taken.

    Fewer are returned when no others are left.
    """
    choose = {"cur": _cur, "farthest_point": _farthest_point}[method]
    return np.array(choose(correlations, number), dtype=np.int64)


def _cur(correlations: Floats, number: int) -> list[int]:
    left = correlations.copy()  # covariances of what the chosen functions do not explain
    chosen: list[int] = []
    while len(chosen) < number:
        free = np.diag(left) > DEPENDENT
        if not free.any():
            break
        best = _first_largest(np.where(free, _leading_vector(left) ** 2, -1.0))
        chosen.append(best)
        left -= np.outer(left[:, best], left[best] / left[best, best])
        left[best] = left[:, best] = 0.0
    return chosen


def _farthest_point(correlations: Floats, number: int) -> list[int]:
    distances = 1.0 - correlations**2  # squared sine of the angle between two functions
    nearest = np.full(len(distances), np.inf)
    chosen: list[int] = []
    while len(chosen) < min(number, len(distances)):
        best = _first_largest(nearest if chosen else -distances.sum(0))
        if nearest[best] <= DEPENDENT:
            break
        chosen.append(best)
        nearest = np.minimum(nearest, distances[best])
        nearest[best] = 0.0
    return chosen


def _leading_vector(matrix: Floats) -> Floats:
    """Eigenvector of the largest eigenvalue of a symmetric matrix."""
    if len(matrix) == 1:
        return np.ones(1)
    start = np.random.default_rng(0).standard_normal(len(matrix))
    vector: Floats = eigsh(matrix, k=1, which="LA", v0=start)[1][:, 0]
    return vector


def _first_largest(scores: Floats) -> int:
    """The first of the largest: rounding does not decide between equals."""
    largest = scores.max()
    return int(np.flatnonzero(scores >= largest - 1e-9 * abs(largest))[0])


def constant(G: Floats) -> Booleans:
    """Which functions (columns) say nothing, (n_functions,)."""
    varies: Booleans = np.ptp(G, axis=0) >= RESOLUTION
    return ~varies


def correlation(G: Floats) -> Floats:
    """Correlation coefficients of columns that vary, (n_functions, n_functions)."""
    x = (G - G.mean(0)) / G.std(0)
    product: Floats = x.T @ x / len(x)
    return product


def sample(plan: Plan, graphs: Sequence[Graph]) -> list[Floats]:
    """Values of the functions of a plan for some atoms of each element.

    Returns an array (n_atoms, n_functions) for each element, in the order of the plan: of about
    ``ATOMS`` atoms from ``FRAMES`` frames, or more frames while an element has been met in few.
    Always the same ones. Raises DataError when an element has no atom at all, or one that is not
    of the plan is met.
    """
    generator = np.random.default_rng(0)
    quota = -(-ATOMS // min(len(graphs), FRAMES))
    rows: list[list[Floats]] = [[] for _ in plan.species]
    frames = track(generator.permutation(len(graphs)), "frames, symmetry functions")
    for visited, frame in enumerate(frames):
        if visited >= FRAMES and all(len(blocks) >= FRAMES // 10 for blocks in rows):
            break
        _add_rows(rows, plan, graphs[int(frame)], quota, generator)
    for symbol, blocks in zip(plan.species, rows, strict=True):
        if not blocks:
            raise DataError(
                f"No structure has an atom of {symbol}; leave it out of the model's species or add "
                "structures with it."
            )
    return [np.concatenate(blocks) for blocks in rows]


def _add_rows(
    rows: list[list[Floats]],
    plan: Plan,
    graph: Graph,
    quota: int,
    generator: np.random.Generator,
) -> None:
    """Add the values of at most ``quota`` atoms of each element of a structure."""
    index = _element_index(plan.species, graph)
    atoms = np.concatenate(
        [
            generator.permutation(np.flatnonzero(index == element))[:quota]
            for element in range(len(plan.species))
        ]
    )
    starts, stops = (graph.row_pointer.numpy()[atoms + k] for k in (0, 1))
    edges = np.concatenate(
        [np.arange(start, stop) for start, stop in zip(starts, stops, strict=True)]
    )
    row_pointer = np.concatenate([[0], np.cumsum(stops - starts)])
    neighbors = index[graph.neighbors.numpy()[edges]]
    vectors = np.ascontiguousarray(graph.vectors.double().numpy()[edges])
    G = cpu.values(plan, Edges(vectors, row_pointer, index[atoms], neighbors))
    for element, count in enumerate(plan.counts):
        if (of_element := index[atoms] == element).any():
            rows[element].append(G[of_element, :count])


def _element_index(species: Sequence[str], graph: Graph) -> Any:
    """Position of each atom's element among the species, (n_atoms,) int64."""
    lookup = np.full(119, -1)
    lookup[[atomic_numbers[symbol] for symbol in species]] = np.arange(len(species))
    index = lookup[graph.numbers.numpy()]
    if (index < 0).any():
        atom = int(np.flatnonzero(index < 0)[0])
        raise DataError(
            f"Atom {atom} of a structure is {chemical_symbols[int(graph.numbers[atom])]}, but the "
            f"symmetry functions are for {', '.join(species)}; leave such structures out."
        )
    return index
