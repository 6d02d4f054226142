"""One pass from edge vectors to atomic energies and edge gradients of a Behler-Parrinello network.

For each atom: symmetry functions, network, the network's gradient and the symmetry functions'
gradient, while everything is still in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ladera.kernels.activations import activate
from ladera.kernels.compilation import simd
from ladera.kernels.symmetry_functions.cpu import atom_reverse, atom_values, share_atoms
from ladera.kernels.symmetry_functions.environment import Workspace, prepare
from ladera.kernels.symmetry_functions.plan import Floats, Integers, Plan, PlanArrays


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
    layers: Sequence[Sequence[tuple[NDArray[np.floating], NDArray[np.floating]]]],
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


def energies_and_gradients(
    plan: Plan,
    networks: NetworkArrays,
    vectors: Floats,
    row_pointer: Integers,
    centers: Integers,
    neighbors: Integers,
) -> tuple[Floats, Floats]:
    """Atomic energies (n_atoms,) in eV and dE/dr_ij (n_edges, 3) in eV/Angstrom."""
    energies = np.zeros(len(centers))
    gradients = np.zeros_like(vectors)
    width = max(plan.n_functions, int(networks.sizes.max()))
    n_rows = 4 + 2 * networks.activations.shape[1]

    def work(start: int, stop: int, ws: Workspace) -> None:
        scratch = np.zeros((n_rows, width))
        _atoms(
            start, stop, plan.arrays, plan.triplets, ws, row_pointer, networks, vectors, centers,
            neighbors, energies, gradients, scratch,
        )  # fmt: skip

    share_atoms(plan, row_pointer, work)
    return energies, gradients


@simd
def _atoms(
    start: int,
    stop: int,
    plan: PlanArrays,
    triplets: bool | None,
    ws: Workspace,
    row_pointer: Integers,
    networks: NetworkArrays,
    vectors: Floats,
    centers: Integers,
    neighbors: Integers,
    energies: Floats,
    gradients: Floats,
    scratch: Floats,
) -> None:
    layers = networks.activations.shape[1] + 1
    G, G_bar = scratch[0], scratch[1]
    nodes, slopes = scratch[2 : 2 + layers], scratch[2 + layers :]
    for i in range(start, stop):
        c, first, last = centers[i], row_pointer[i], row_pointer[i + 1]
        prepare(plan, c, first, last, vectors, neighbors, ws)
        G[:] = 0.0
        atom_values(plan, triplets, c, ws, G)
        energies[i] = _network(networks, c, G, G_bar, nodes, slopes)
        atom_reverse(plan, triplets, c, first, last, ws, G_bar, gradients)


@simd
def _network(
    net: NetworkArrays, c: int, G: Floats, G_bar: Floats, nodes: Floats, slopes: Floats
) -> float:
    """Energy of one atom from its symmetry functions; its gradient goes to G_bar."""
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
