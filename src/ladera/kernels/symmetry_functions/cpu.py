"""Values, reverse pass and tangent of symmetry functions on the CPU: loops over atoms.

Each atom writes only its own row and its own edges, so that threads never meet and the result does
not depend on their number.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch

from ladera.kernels.compilation import simd
from ladera.kernels.symmetry_functions.environment import (
    Workspace,
    clear,
    collect_gradient,
    make_workspace,
    prepare,
    spread_tangent,
)
from ladera.kernels.symmetry_functions.moments import (
    accumulate_moments,
    wide_reverse,
    wide_tangent,
    wide_values,
)
from ladera.kernels.symmetry_functions.plan import Floats, Integers, Plan, PlanArrays
from ladera.kernels.symmetry_functions.triplets import (
    triplet_reverse,
    triplet_tangent,
    triplet_values,
)

# Fewer atoms than this are done before a second thread has woken up.
SMALLEST_SHARE = 8


def values(
    plan: Plan,
    vectors: Floats,
    row_pointer: Integers,
    centers: Integers,
    neighbors: Integers,
) -> Floats:
    """G of every atom, (n_atoms, n_functions), 0 beyond the functions of its element.

    ``vectors`` (n_edges, 3) in Angstrom, sorted as :class:`ladera.graph.Graph` has them;
    ``row_pointer`` (n_atoms + 1,); element indices of the atoms ``centers`` (n_atoms,) and of the
    edges' ``neighbors`` (n_edges,).
    """
    G = np.zeros((len(centers), plan.n_functions))
    share_atoms(_values, plan, row_pointer, vectors, centers, neighbors, G)
    return G


def reverse(
    plan: Plan,
    vectors: Floats,
    row_pointer: Integers,
    centers: Integers,
    neighbors: Integers,
    G_bar: Floats,
) -> Floats:
    """sum_f G_bar_if dG_if/dr_ij, (n_edges, 3): the gradient of sum(G_bar * G)."""
    gradient = np.zeros_like(vectors)
    share_atoms(_reverse, plan, row_pointer, vectors, centers, neighbors, G_bar, gradient)
    return gradient


def tangent(
    plan: Plan,
    vectors: Floats,
    row_pointer: Integers,
    centers: Integers,
    neighbors: Integers,
    vectors_dot: Floats,
) -> Floats:
    """sum_j dG_if/dr_ij . vectors_dot_ij, (n_atoms, n_functions): G's change along a direction."""
    G_dot = np.zeros((len(centers), plan.n_functions))
    share_atoms(_tangent, plan, row_pointer, vectors, centers, neighbors, vectors_dot, G_dot)
    return G_dot


def share_atoms(loop: Callable[..., None], plan: Plan, row_pointer: Integers, *arrays: Any) -> None:
    """Run a loop over atoms on as many threads as torch uses, interleaving the atoms."""
    n_atoms = len(row_pointer) - 1
    n_neighbors = int(np.diff(row_pointer).max(initial=0))
    n_threads = max(1, min(torch.get_num_threads(), n_atoms // SMALLEST_SHARE))

    def work(thread: int) -> None:
        workspace = make_workspace(plan, n_neighbors)
        loop(thread, n_threads, plan.arrays, plan.triplets, workspace, row_pointer, *arrays)

    if n_threads == 1:
        work(0)
    else:
        list(_threads(n_threads).map(work, range(n_threads)))


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    """Threads that stay: the loops release Python's lock. (Not to be used before a fork.)"""
    return ThreadPoolExecutor(count, thread_name_prefix="ladera")


@simd
def _values(
    thread: int,
    n_threads: int,
    plan: PlanArrays,
    triplets: bool | None,
    ws: Workspace,
    row_pointer: Integers,
    vectors: Floats,
    centers: Integers,
    neighbors: Integers,
    G: Floats,
) -> None:
    for i in range(thread, centers.size, n_threads):
        c = centers[i]
        prepare(plan, c, row_pointer[i], row_pointer[i + 1], vectors, neighbors, ws)
        atom_values(plan, triplets, c, ws, G[i])


@simd
def atom_values(
    plan: PlanArrays, triplets: bool | None, center: int, ws: Workspace, G: Floats
) -> None:
    """Add all functions of one prepared atom to G; leaves its moments in the workspace."""
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        for f in range(plan.radial_start[pair], plan.radial_start[pair + 1]):
            g = ws.g[plan.radial_channel[f]]
            total = 0.0
            for j in range(ws.block[e], ws.block[e + 1]):
                total += g[j]
            G[plan.radial_output[f]] += plan.radial_weight[f] * total
    if plan.degree[center] >= 0:
        accumulate_moments(plan, center, ws)
        wide_values(plan, center, ws, G)
    if triplets is not None:
        triplet_values(plan, center, ws, G)


@simd
def _reverse(
    thread: int,
    n_threads: int,
    plan: PlanArrays,
    triplets: bool | None,
    ws: Workspace,
    row_pointer: Integers,
    vectors: Floats,
    centers: Integers,
    neighbors: Integers,
    G_bar: Floats,
    gradient: Floats,
) -> None:
    for i in range(thread, centers.size, n_threads):
        c, first, last = centers[i], row_pointer[i], row_pointer[i + 1]
        prepare(plan, c, first, last, vectors, neighbors, ws)
        if plan.degree[c] >= 0:
            accumulate_moments(plan, c, ws)
        atom_reverse(plan, triplets, c, first, last, ws, G_bar[i], gradient)


@simd
def atom_reverse(
    plan: PlanArrays,
    triplets: bool | None,
    center: int,
    first: int,
    last: int,
    ws: Workspace,
    G_bar: Floats,
    gradient: Floats,
) -> None:
    """Gradient on one atom's edges; the workspace holds its channels and moments."""
    clear(plan, center, last - first, ws)
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        for f in range(plan.radial_start[pair], plan.radial_start[pair + 1]):
            bar = plan.radial_weight[f] * G_bar[plan.radial_output[f]]
            g_bar = ws.g_bar[plan.radial_channel[f]]
            for j in range(ws.block[e], ws.block[e + 1]):
                g_bar[j] += bar
    wide_reverse(plan, center, ws, G_bar)
    if triplets is not None:
        triplet_reverse(plan, center, ws, G_bar)
    collect_gradient(plan, center, first, last - first, ws, gradient)


@simd
def _tangent(
    thread: int,
    n_threads: int,
    plan: PlanArrays,
    triplets: bool | None,
    ws: Workspace,
    row_pointer: Integers,
    vectors: Floats,
    centers: Integers,
    neighbors: Integers,
    vectors_dot: Floats,
    G_dot: Floats,
) -> None:
    for i in range(thread, centers.size, n_threads):
        c, first, last = centers[i], row_pointer[i], row_pointer[i + 1]
        prepare(plan, c, first, last, vectors, neighbors, ws)
        spread_tangent(plan, c, first, last - first, vectors_dot, ws)
        for e in range(plan.n_elements):
            pair = c * plan.n_elements + e
            for f in range(plan.radial_start[pair], plan.radial_start[pair + 1]):
                g_dot = ws.g_bar[plan.radial_channel[f]]
                total = 0.0
                for j in range(ws.block[e], ws.block[e + 1]):
                    total += g_dot[j]
                G_dot[i, plan.radial_output[f]] += plan.radial_weight[f] * total
        if plan.degree[c] >= 0:
            accumulate_moments(plan, c, ws)
            wide_tangent(plan, c, ws, G_dot[i])
        if triplets is not None:
            triplet_tangent(plan, c, ws, G_dot[i])
