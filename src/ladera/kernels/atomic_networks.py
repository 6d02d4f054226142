"""One pass from edge vectors to atomic energies and edge gradients of a Behler-Parrinello network.

For each atom: symmetry functions, network, the network's gradient and the symmetry functions'
gradient, while everything is still in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ladera.arrays import Floats, Integers, Reals
from ladera.kernels.activations import activate
from ladera.kernels.compilation import simd
from ladera.kernels.symmetry_functions.cpu import atom_reverse, atom_values, share_atoms
from ladera.kernels.symmetry_functions.environment import (
    Derivatives,
    Edges,
    Workspace,
    prepare,
)
from ladera.kernels.symmetry_functions.plan import Plan
from ladera.kernels.symmetry_functions.plan_arrays import PlanArrays


class NetworkArrays(NamedTuple):
    """Networks of all elements as the compiled loops see them.

    Layer l of element e maps ``sizes[e, l]`` to ``sizes[e, l + 1]`` numbers with the weights
    (out, in), row by row, from ``weight_start[e, l]`` on, the biases from ``bias_start[e, l]`` on.
    Inputs are (G - offset) * factor + low.
    """

    n_layers: Integers  # (n_elements,)
    sizes: Integers  # (n_elements, largest n_layers + 1)
    weight_start: Integers  # (n_elements, largest n_layers)
    bias_start: Integers  # (n_elements, largest n_layers)
    activations: Integers  # (n_elements, largest n_layers)
    weights: Floats
    biases: Floats
    offset: Floats  # (n_elements, n_functions)
    factor: Floats  # (n_elements, n_functions)
    low: float
    energy_offset: Floats  # (n_elements,) eV
    energy_scale: float  # eV


def pack_networks(
    layers: Sequence[Sequence[tuple[Reals, Reals]]],
    activations: Sequence[Sequence[int]],
    offset: Floats,
    factor: Floats,
    low: float,
    energy_offset: Floats,
    energy_scale: float,
) -> NetworkArrays:
    """Networks as arrays; ``layers[e][l]`` is (weights (out, in), biases (out,))."""
    n_layers = np.array([len(element) for element in layers], dtype=np.int64)
    shape = (len(layers), int(n_layers.max()))
    sizes = np.zeros((shape[0], shape[1] + 1), dtype=np.int64)
    weight_start, bias_start, kinds = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    weights = [weight.ravel() for element in layers for weight, _ in element]
    biases = [bias for element in layers for _, bias in element]
    n_weights = n_biases = 0
    for e, element in enumerate(layers):
        sizes[e, 0] = element[0][0].shape[1]
        kinds[e, : n_layers[e]] = activations[e]
        for l, (weight, bias) in enumerate(element):
            sizes[e, l + 1] = bias.size
            weight_start[e, l], bias_start[e, l] = n_weights, n_biases
            n_weights, n_biases = n_weights + weight.size, n_biases + bias.size
    return NetworkArrays(
        n_layers=n_layers,
        sizes=sizes,
        weight_start=weight_start,
        bias_start=bias_start,
        activations=kinds,
        weights=np.concatenate(weights).astype(np.float64),
        biases=np.concatenate(biases).astype(np.float64),
        offset=offset,
        factor=factor,
        low=low,
        energy_offset=energy_offset,
        energy_scale=energy_scale,
    )


class Scratch(NamedTuple):
    """Scratch memory of one thread."""

    G: Floats  # (n_functions or more,)
    G_bar: Floats  # likewise
    nodes: Floats  # (largest n_layers + 1, largest size)
    slopes: Floats  # likewise


def energies_and_gradients(
    plan: Plan, networks: NetworkArrays, edges: Edges, *, n_nodes: int = 0
) -> tuple[Floats, Floats, Floats]:
    """Atomic energies (n_atoms,) in eV, dE/dr_ij (n_edges, 3) in eV/Angstrom, and last nodes.

    These are the first ``n_nodes`` of the last hidden layer of each atom's network, (n_atoms,
    n_nodes); 0 beyond those it has.
    """
    energies = np.zeros(len(edges.elements))
    last = np.zeros((len(energies), n_nodes))
    gradients = np.zeros_like(edges.vectors)
    width = max(plan.n_functions, int(networks.sizes.max()))
    n_rows = networks.sizes.shape[1]

    def work(start: int, stop: int, ws: Workspace, bar: Derivatives) -> None:
        scratch = Scratch(*np.zeros((2, width)), *np.zeros((2, n_rows, width)))
        atoms = Atoms(edges, energies, gradients, last)
        _atoms(start, stop, plan.arrays, plan.has_triplets, networks, ws, bar, scratch, atoms)

    share_atoms(plan, edges.row_pointer, work)
    return energies, gradients, last


class Atoms(NamedTuple):
    """What is read and written of all atoms."""

    edges: Edges
    energies: Floats  # (n_atoms,) eV
    gradients: Floats  # (n_edges, 3) eV/Angstrom
    last: Floats  # (n_atoms, n) nodes of the last hidden layer


@simd
def _atoms(
    start: int,
    stop: int,
    plan: PlanArrays,
    has_triplets: bool | None,
    networks: NetworkArrays,
    ws: Workspace,
    bar: Derivatives,
    scratch: Scratch,
    atoms: Atoms,
) -> None:
    edges, G, G_bar = atoms.edges, scratch.G, scratch.G_bar
    for i in range(start, stop):
        center = edges.elements[i]
        prepare(plan, i, edges, ws)
        G[:] = 0.0
        atom_values(plan, has_triplets, center, ws, G)
        atoms.energies[i] = _network(networks, center, scratch, atoms.last[i])
        atom_reverse(plan, has_triplets, i, edges, ws, bar, G_bar, atoms.gradients)


@simd
def _network(net: NetworkArrays, c: int, scratch: Scratch, last: Floats) -> float:
    """Energy of an atom of element c from its G; its gradient goes to G_bar, nodes to last."""
    G, G_bar, nodes, slopes = scratch.G, scratch.G_bar, scratch.nodes, scratch.slopes
    n_layers = net.n_layers[c]
    for j in range(net.sizes[c, 0]):
        nodes[0, j] = (G[j] - net.offset[c, j]) * net.factor[c, j] + net.low
    for l in range(n_layers):
        n_in, n_out = net.sizes[c, l], net.sizes[c, l + 1]
        source = nodes[l]
        for k in range(n_out):
            start = net.weight_start[c, l] + k * n_in
            row = net.weights[start : start + n_in]
            total = 0.0
            for j in range(n_in):
                total += row[j] * source[j]
            total += net.biases[net.bias_start[c, l] + k]
            nodes[l + 1, k], slopes[l + 1, k] = activate(net.activations[c, l], total)
    for j in range(min(len(last), net.sizes[c, n_layers - 1])):
        last[j] = nodes[n_layers - 1, j]
    energy: float = nodes[n_layers, 0] * net.energy_scale + net.energy_offset[c]
    nodes[n_layers, 0] = net.energy_scale  # from here on nodes hold dE/d(node)
    for l in range(n_layers - 1, -1, -1):
        n_in, n_out = net.sizes[c, l], net.sizes[c, l + 1]
        target = nodes[l]
        target[:n_in] = 0.0
        for k in range(n_out):
            start = net.weight_start[c, l] + k * n_in
            row = net.weights[start : start + n_in]
            bar = nodes[l + 1, k] * slopes[l + 1, k]
            for j in range(n_in):
                target[j] += bar * row[j]
    for j in range(net.sizes[c, 0]):
        G_bar[j] = nodes[0, j] * net.factor[c, j]
    return energy
