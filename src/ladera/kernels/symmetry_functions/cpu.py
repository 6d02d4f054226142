"""Values, reverse pass and tangent of symmetry functions on the CPU: loops over atoms.

Each atom writes only its own row and its own edges, so that threads never meet and the result does
not depend on their number.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

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
from ladera.kernels.threads import Shares


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

    def work(start: int, stop: int, ws: Workspace) -> None:
        _values(
            start, stop, plan.arrays, plan.triplets, ws, row_pointer, vectors, centers, neighbors, G
        )

    share_atoms(plan, row_pointer, work)
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

    def work(start: int, stop: int, ws: Workspace) -> None:
        _reverse(
            start,
            stop,
            plan.arrays,
            plan.triplets,
            ws,
            row_pointer,
            vectors,
            centers,
            neighbors,
            G_bar,
            gradient,
        )

    share_atoms(plan, row_pointer, work)
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

    def work(start: int, stop: int, ws: Workspace) -> None:
        _tangent(
            start,
            stop,
            plan.arrays,
            plan.triplets,
            ws,
            row_pointer,
            vectors,
            centers,
            neighbors,
            vectors_dot,
            G_dot,
        )

    share_atoms(plan, row_pointer, work)
    return G_dot


def share_atoms(
    plan: Plan, row_pointer: Integers, work: Callable[[int, int, Workspace], None]
) -> None:
    """Run a loop over ranges of atoms, start to stop, on as many threads as torch uses."""
    n_neighbors = np.diff(row_pointer)
    most = int(n_neighbors.max(initial=0))

    def share(thread: int, start: int, stop: int) -> None:
        work(start, stop, make_workspace(plan, most))

    Shares((1 + n_neighbors) ** (2 if plan.triplets else 1)).atoms(share)


@simd
def _values(
    start: int,
    stop: int,
    plan: PlanArrays,
    triplets: bool | None,
    ws: Workspace,
    row_pointer: Integers,
    vectors: Floats,
    centers: Integers,
    neighbors: Integers,
    G: Floats,
) -> None:
    for i in range(start, stop):
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
    start: int,
    stop: int,
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
    for i in range(start, stop):
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
    start: int,
    stop: int,
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
    for i in range(start, stop):
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
