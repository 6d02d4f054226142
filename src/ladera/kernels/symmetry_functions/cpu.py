"""Values, reverse pass and tangent of symmetry functions on the CPU: loops over atoms.

Each atom writes only its own row and its own edges, so that threads never meet and the result does
not depend on their number.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ladera.arrays import Floats, Integers
from ladera.kernels.compilation import simd
from ladera.kernels.symmetry_functions.environment import (
    Derivatives,
    Edges,
    Workspace,
    clear,
    collect_gradient,
    prepare,
    return_memory,
    spread_tangent,
    take_memory,
)
from ladera.kernels.symmetry_functions.moments import (
    accumulate_moments,
    wide_reverse,
    wide_tangent,
    wide_values,
)
from ladera.kernels.symmetry_functions.plan import Plan
from ladera.kernels.symmetry_functions.plan_arrays import PlanArrays
from ladera.kernels.symmetry_functions.triplets import (
    triplet_reverse,
    triplet_tangent,
    triplet_values,
)
from ladera.kernels.threads import Shares


def values(plan: Plan, edges: Edges) -> Floats:
    """G of every atom, (n_atoms, n_functions), 0 beyond the functions of its element."""
    G = np.zeros((len(edges.elements), plan.n_functions))

    def work(start: int, stop: int, ws: Workspace, _: Derivatives) -> None:
        _values(start, stop, plan.arrays, plan.has_triplets, ws, edges, G)

    share_atoms(plan, edges.row_pointer, work)
    return G


def reverse(plan: Plan, edges: Edges, G_bar: Floats) -> Floats:
    """sum_f G_bar_if dG_if/dr_ij, (n_edges, 3): the gradient of sum(G_bar * G)."""
    gradient = np.zeros_like(edges.vectors)

    def work(start: int, stop: int, ws: Workspace, bar: Derivatives) -> None:
        _reverse(start, stop, plan.arrays, plan.has_triplets, ws, bar, edges, G_bar, gradient)

    share_atoms(plan, edges.row_pointer, work)
    return gradient


def tangent(plan: Plan, edges: Edges, vectors_dot: Floats) -> Floats:
    """sum_j dG_if/dr_ij . vectors_dot_ij, (n_atoms, n_functions): G's change along a direction."""
    G_dot = np.zeros((len(edges.elements), plan.n_functions))

    def work(start: int, stop: int, ws: Workspace, dot: Derivatives) -> None:
        _tangent(start, stop, plan.arrays, plan.has_triplets, ws, dot, edges, vectors_dot, G_dot)

    share_atoms(plan, edges.row_pointer, work)
    return G_dot


def share_atoms(
    plan: Plan,
    row_pointer: Integers,
    work: Callable[[int, int, Workspace, Derivatives], None],
) -> None:
    """Run a loop over ranges of atoms, start to stop, on as many threads as torch uses.

    An atom costs as much as its neighbours, or their pairs.
    """
    n_neighbors = np.diff(row_pointer)
    most = int(n_neighbors.max(initial=0))

    def share(_: int, start: int, stop: int) -> None:
        memory = take_memory(plan, most)
        work(start, stop, *memory)
        return_memory(plan, memory)

    costs = n_neighbors + 1
    Shares(costs * costs if plan.has_triplets else costs).atoms(share)


@simd
def _values(
    start: int,
    stop: int,
    plan: PlanArrays,
    has_triplets: bool | None,
    ws: Workspace,
    edges: Edges,
    G: Floats,
) -> None:
    for i in range(start, stop):
        prepare(plan, i, edges, ws)
        atom_values(plan, has_triplets, edges.elements[i], ws, G[i])


@simd
def atom_values(
    plan: PlanArrays, has_triplets: bool | None, center: int, ws: Workspace, G: Floats
) -> None:
    """Add all functions of one prepared atom to G; leaves its moments in the workspace."""
    radial = plan.radial
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        for f in range(radial.start[pair], radial.start[pair + 1]):
            g = ws.g[radial.channel[f]]
            total = 0.0
            for j in range(ws.starts[e], ws.starts[e + 1]):
                total += g[j]
            G[radial.output[f]] += radial.weight[f] * total
    if plan.degree[center] >= 0:
        accumulate_moments(plan, center, ws)
        wide_values(plan, center, ws, G)
    if has_triplets is not None:
        triplet_values(plan, center, ws, G)


@simd
def _reverse(
    start: int,
    stop: int,
    plan: PlanArrays,
    has_triplets: bool | None,
    ws: Workspace,
    bar: Derivatives,
    edges: Edges,
    G_bar: Floats,
    gradient: Floats,
) -> None:
    for i in range(start, stop):
        prepare(plan, i, edges, ws)
        if plan.degree[edges.elements[i]] >= 0:
            accumulate_moments(plan, edges.elements[i], ws)
        atom_reverse(plan, has_triplets, i, edges, ws, bar, G_bar[i], gradient)


@simd
def atom_reverse(
    plan: PlanArrays,
    has_triplets: bool | None,
    i: int,
    edges: Edges,
    ws: Workspace,
    bar: Derivatives,
    G_bar: Floats,
    gradient: Floats,
) -> None:
    """Gradient on the edges of atom i; the workspace holds its channels and moments."""
    center, radial = edges.elements[i], plan.radial
    clear(plan, center, edges.row_pointer[i + 1] - edges.row_pointer[i], bar)
    for e in range(plan.n_elements):
        pair = center * plan.n_elements + e
        for f in range(radial.start[pair], radial.start[pair + 1]):
            weight = radial.weight[f] * G_bar[radial.output[f]]
            g_bar = bar.g[radial.channel[f]]
            for j in range(ws.starts[e], ws.starts[e + 1]):
                g_bar[j] += weight
    wide_reverse(plan, center, ws, bar, G_bar)
    if has_triplets is not None:
        triplet_reverse(plan, center, ws, bar, G_bar)
    collect_gradient(plan, i, edges, ws, bar, gradient)


@simd
def _tangent(
    start: int,
    stop: int,
    plan: PlanArrays,
    has_triplets: bool | None,
    ws: Workspace,
    dot: Derivatives,
    edges: Edges,
    vectors_dot: Floats,
    G_dot: Floats,
) -> None:
    radial = plan.radial
    for i in range(start, stop):
        center = edges.elements[i]
        prepare(plan, i, edges, ws)
        spread_tangent(plan, i, edges, vectors_dot, ws, dot)
        for e in range(plan.n_elements):
            pair = center * plan.n_elements + e
            for f in range(radial.start[pair], radial.start[pair + 1]):
                g_dot = dot.g[radial.channel[f]]
                total = 0.0
                for j in range(ws.starts[e], ws.starts[e + 1]):
                    total += g_dot[j]
                G_dot[i, radial.output[f]] += radial.weight[f] * total
        if plan.degree[center] >= 0:
            accumulate_moments(plan, center, ws)
            wide_tangent(plan, center, ws, dot, G_dot[i])
        if has_triplets is not None:
            triplet_tangent(plan, center, ws, dot, G_dot[i])
