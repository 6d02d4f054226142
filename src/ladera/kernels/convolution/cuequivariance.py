"""The convolution as a polynomial of NVIDIA's cuEquivariance."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ladera.kernels.convolution.paths import Paths
from ladera.kernels.cuequivariance import NEGLIGIBLE, Products, evaluate, polynomial

if TYPE_CHECKING:  # kernels take what looks like one
    from ladera.graph import Graph


def convolve(
    harmonics: Tensor, matrix: Tensor, weights: Tensor, features: Tensor, paths: Paths, graph: Graph
) -> Tensor:
    """As :func:`ladera.kernels.convolution.ops.convolve`; there are edges."""
    channels = features.shape[2]
    sums = evaluate(
        _polynomial(paths, matrix, matrix._version, channels, features.device.type),
        [weights.flatten(1), features.flatten(1), harmonics],
        {1: graph.neighbors},
        {0: features.new_empty(graph.n_atoms, 1)},  # as many rows as this one has
        {0: graph.centers},
    )
    return sums.view(graph.n_atoms, paths.n_targets, channels)


@lru_cache(maxsize=64)
def _polynomial(paths: Paths, matrix: Tensor, version: int, channels: int, device: str) -> Any:
    """Of weights, features of the senders, and harmonics. A changed matrix has a new version."""
    numbers, rows = matrix.detach().cpu().numpy(), []
    for p, coupling in enumerate(paths.couplings):
        for harmonic, entry in np.argwhere(np.abs(numbers[:, coupling.entries]) > NEGLIGIBLE):
            target, place = divmod(entry, coupling.n_sources)
            coefficient = numbers[harmonic, coupling.entries.start + entry]
            source = coupling.sources.start + place
            rows.append((p, source, harmonic, coupling.targets[target], coefficient))
    *segments, coefficients = zip(*rows, strict=True)
    products = Products((0, 1, 2, 3), np.column_stack(segments), np.array(coefficients))
    sizes = [len(paths.couplings), paths.n_sources, len(numbers), paths.n_targets]
    return polynomial(sizes, [channels, channels, None, channels], [products], device)
