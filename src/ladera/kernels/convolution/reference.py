"""The convolution in plain torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ladera.kernels.convolution.paths import Paths

if TYPE_CHECKING:  # kernels take what looks like one
    from ladera.graph import Graph


def convolve(
    factors: Tensor, weights: Tensor, features: Tensor, paths: Paths, graph: Graph
) -> Tensor:
    """Messages (n_atoms, n_targets, channels).

    ``factors`` (n_edges, n_entries), ``weights`` (n_edges, n_paths, channels), ``features``
    (n_atoms, n_sources, channels).
    """
    sent = features.index_select(0, graph.neighbors)
    sums = features.new_zeros(graph.n_atoms, paths.n_targets, features.shape[2])
    for p, coupling in enumerate(paths.couplings):
        part = sent[:, coupling.sources] * weights[:, p, None]
        shape = len(sent), len(coupling.targets), part.shape[1]
        message = factors[:, coupling.entries].view(shape) @ part
        received = message.new_zeros(graph.n_atoms, *message.shape[1:])
        received = received.index_add(0, graph.centers, message)
        targets = torch.tensor(coupling.targets, device=sums.device)
        sums = sums.index_add(1, targets, received)
    return sums
