"""Messages: features of neighbours times spherical harmonics times radial functions, summed."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ladera.arrays import Floats
from ladera.graph import Graph
from ladera.kernels.convolution import ops
from ladera.kernels.convolution.paths import Coupling, Paths
from ladera.models.equivariant.clebsch_gordan import clebsch_gordan
from ladera.models.equivariant.constants import Constants
from ladera.models.equivariant.irreps import Irreps, dimension, paths, slices


class ConvolutionPlan(NamedTuple):
    """Which component of a sender's feature goes where in a message, and by how much.

    Components of a message are numbered l by l, then by m, then by path.
    """

    paths: Paths
    counts: tuple[int, ...]  # paths to each irrep of the message
    matrix: Floats  # (n_harmonics, n_entries), the entries' factors from the harmonics


class Convolution(Constants):
    r"""The sum over neighbours in equivariant message passing.

        m^(p)_i,mc = sqrt(2l + 1) sum_j w_pc(r_ij) sum_ab C^(l1 l2 l)_abm h^(l1)_j,ac Y_l2,b(ij)

    One path p for each l1 of the features, l2 of the harmonics and l of ``out`` that couple, sorted
    by (l, l1, l2). The message of an atom has as channels of an irrep all paths to it. Features are
    ``constant`` when no position enters them; else ghost atoms have those of their owners.
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
        if not self.constant:
            features = graph.exchange(features)
        weights = weights.view(-1, len(self.plan.paths.couplings), channels)
        sums = ops.convolve(
            harmonics, self.matrix, weights, features, self.plan.paths, graph, self.constant
        )
        sizes = [i.dimension * count for i, count in zip(self.out, self.plan.counts, strict=True)]
        parts = torch.split(sums, sizes, dim=1)
        return [
            part.reshape(n_atoms, irrep.dimension, -1)
            for irrep, part in zip(self.out, parts, strict=True)
        ]


@lru_cache(maxsize=64)
def make_plan(features: Irreps, harmonics: Irreps, out: Irreps) -> ConvolutionPlan:
    """The plan of a convolution of these irreps."""
    ways = paths(features, harmonics, out)
    counts = tuple(sum(way.out == k for way in ways) for k in range(len(out)))
    source_slices, harmonic_slices = slices(features), slices(harmonics)
    couplings, blocks, n_entries, offset = [], [], 0, 0
    for k, irrep in enumerate(out):
        for place, way in enumerate(way for way in ways if way.out == k):
            one, two = features[way.one], harmonics[way.two]
            tensor = sqrt(irrep.dimension) * clebsch_gordan(one.l, two.l, irrep.l)
            block = np.zeros((dimension(harmonics), irrep.dimension * one.dimension))
            block[harmonic_slices[way.two]] = tensor.transpose(1, 2, 0).reshape(two.dimension, -1)
            blocks.append(block)
            targets = tuple(offset + m * counts[k] + place for m in range(irrep.dimension))
            entries = slice(n_entries, n_entries + block.shape[1])
            couplings.append(Coupling(source_slices[way.one], targets, entries))
            n_entries += block.shape[1]
        offset += irrep.dimension * counts[k]
    matrix = np.concatenate(blocks, axis=1)
    return ConvolutionPlan(Paths(tuple(couplings), dimension(features), offset), counts, matrix)
