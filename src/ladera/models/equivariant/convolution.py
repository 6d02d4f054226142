"""Messages: features of neighbours times spherical harmonics times radial functions, summed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import sqrt

import numpy as np
import torch
from torch import Tensor

from ladera.graph import Graph
from ladera.kernels.equivariant import ops
from ladera.models.equivariant import cuequivariance
from ladera.models.equivariant.clebsch_gordan import clebsch_gordan
from ladera.models.equivariant.constants import Constants
from ladera.models.equivariant.irreps import Floats, Irreps, dimension, paths, slices


@dataclass(frozen=True, eq=False)
class Coupling:
    """One path: a block of entries, n_targets rows of n_sources each."""

    sources: slice  # components of the neighbour's feature
    targets: tuple[int, ...]  # components of the message
    entries: slice  # columns of the plan's matrix


@dataclass(frozen=True, eq=False)
class ConvolutionPlan:
    """Which component of a neighbour's feature goes where in a message, and by how much.

    Components of a message are numbered l by l, then by m, then by path.
    """

    couplings: tuple[Coupling, ...]
    counts: tuple[int, ...]  # paths to each irrep of the message
    n_sources: int
    n_targets: int
    matrix: Floats  # (n_harmonics, n_entries), the entries' factors from the harmonics

    @cached_property
    def paths(self) -> ops.Paths:
        """The couplings as the compiled loops take them."""
        blocks, targets = [], np.zeros(0, dtype=np.int64)
        for coupling in self.couplings:
            sources = coupling.sources.start, coupling.sources.stop - coupling.sources.start
            received = len(targets), len(coupling.targets)
            blocks.append((*sources, *received, coupling.entries.start))
            targets = np.append(targets, coupling.targets)
        return ops.Paths(np.array(blocks, dtype=np.int64), targets, self.n_targets)


class Convolution(Constants):
    r"""The sum over neighbours in equivariant message passing.

        m^(p)_i,mc = sqrt(2l + 1) sum_j w_pc(r_ij) sum_ab C^(l1 l2 l)_abm h^(l1)_j,ac Y_l2,b(ij)

    One path p for each l1 of the features, l2 of the harmonics and l of ``out`` that couple, sorted
    by (l, l1, l2). The message of an atom has as channels of an irrep all paths to it. Features are
    ``constant`` when no position enters them.
    """

    def __init__(
        self, features: Irreps, harmonics: Irreps, out: Irreps, constant: bool = False
    ) -> None:
        super().__init__()
        self.out = out
        self.constant = constant
        self.plan = plan = make_plan(features, harmonics, out)
        matrix = torch.from_numpy(plan.matrix.copy())
        self.register_buffer("matrix", matrix)
        self.matrix: Tensor

    def forward(
        self, features: Tensor, harmonics: Tensor, weights: Tensor, graph: Graph
    ) -> list[Tensor]:
        """Sums over the neighbours of each atom, (n_atoms, 2l + 1, paths * channels) for each l.

        ``features`` (n_atoms, components, channels), ``harmonics`` (n_edges, components), and
        ``weights`` (n_edges, paths * channels), path slow.
        """
        n_atoms, _, channels = features.shape
        weights = weights.view(-1, len(self.plan.couplings), channels)
        sums = self._sums(features, harmonics, weights, graph)
        sizes = [i.dimension * count for i, count in zip(self.out, self.plan.counts, strict=True)]
        parts = torch.split(sums, sizes, dim=1)
        return [
            part.reshape(n_atoms, irrep.dimension, -1)
            for irrep, part in zip(self.out, parts, strict=True)
        ]

    def _sums(self, features: Tensor, harmonics: Tensor, weights: Tensor, graph: Graph) -> Tensor:
        """(n_atoms, n_targets, channels), in whichever way serves the device."""
        if cuequivariance.serves(features.device) and graph.n_edges:
            return cuequivariance.convolve(
                self.plan, self.matrix, harmonics, weights, features, graph
            )
        factors = harmonics @ self.matrix.to(harmonics)
        if features.device.type != "cpu":
            return convolve(self.plan, factors, weights, features, graph)
        edges = ops.Edges(graph.row_pointer.numpy(), graph.neighbors.numpy())
        return ops.convolve(factors, weights, features, self.plan.paths, edges, self.constant)


def convolve(
    plan: ConvolutionPlan, factors: Tensor, weights: Tensor, features: Tensor, graph: Graph
) -> Tensor:
    """What :func:`ladera.kernels.equivariant.ops.convolve` does, in torch.

    ``factors`` (n_edges, n_entries), ``weights`` (n_edges, n_paths, channels), ``features``
    (n_atoms, n_sources, channels).
    """
    sent = features.index_select(0, graph.neighbors)
    sums = features.new_zeros(graph.n_atoms, plan.n_targets, features.shape[2])
    for path, coupling in enumerate(plan.couplings):
        part = sent[:, coupling.sources] * weights[:, path, None]
        shape = len(sent), len(coupling.targets), part.shape[1]
        message = factors[:, coupling.entries].view(shape) @ part
        received = message.new_zeros(graph.n_atoms, *message.shape[1:])
        received = received.index_add(0, graph.centers, message)
        targets = torch.tensor(coupling.targets, device=sums.device)
        sums = sums.index_add(1, targets, received)
    return sums


@lru_cache(maxsize=64)
def make_plan(features: Irreps, harmonics: Irreps, out: Irreps) -> ConvolutionPlan:
    """The plan of a convolution of these irreps."""
    found = paths(features, harmonics, out)
    counts = tuple(sum(path.out == k for path in found) for k in range(len(out)))
    source_slices, harmonic_slices = slices(features), slices(harmonics)
    couplings, blocks, n_entries, offset = [], [], 0, 0
    for k, irrep in enumerate(out):
        for place, path in enumerate(path for path in found if path.out == k):
            one, two = features[path.one], harmonics[path.two]
            tensor = sqrt(irrep.dimension) * clebsch_gordan(one.l, two.l, irrep.l)
            block = np.zeros((dimension(harmonics), irrep.dimension * one.dimension))
            block[harmonic_slices[path.two]] = tensor.transpose(1, 2, 0).reshape(two.dimension, -1)
            blocks.append(block)
            targets = tuple(offset + m * counts[k] + place for m in range(irrep.dimension))
            entries = slice(n_entries, n_entries + block.shape[1])
            couplings.append(Coupling(source_slices[path.one], targets, entries))
            n_entries += block.shape[1]
        offset += irrep.dimension * counts[k]
    matrix = np.concatenate(blocks, axis=1)
    return ConvolutionPlan(tuple(couplings), counts, dimension(features), offset, matrix)
