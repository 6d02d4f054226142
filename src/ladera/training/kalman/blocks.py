"""Which weights share a block of the covariance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal

import numpy as np

from ladera.arrays import Integers
from ladera.models.hdnnp.network import AtomicNetwork

Blocks = Literal["automatic", "one", "element", "node"]

# So many weights in one block cost about as much as the rows of an update.
LARGEST: Final = 3000


def make_blocks(networks: Sequence[AtomicNetwork], kind: Blocks) -> list[Integers]:
    """Arrays (k, s) of weight numbers, for k blocks of s weights each.

    Weights are numbered as the networks' parameters are. ``node`` takes what enters a node, its
    weights and its bias; ``automatic`` is one block for few weights, and the nodes for many.
    """
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    starts = np.cumsum([0, *counts])
    if kind == "one" or (kind == "automatic" and starts[-1] <= LARGEST):
        return [np.arange(starts[-1])[None]]
    if kind == "element":
        return [np.arange(*pair)[None] for pair in pairwise(starts.tolist())]
    blocks, place = [], 0
    for network in networks:
        for layer in network.layers():
            n_out, n_in = layer.weight.shape
            weights = place + np.arange(n_out * n_in).reshape(n_out, n_in)
            biases = place + n_out * n_in + np.arange(n_out)[:, None]
            blocks.append(np.concatenate([weights, biases], axis=1))
            place += blocks[-1].size
    return blocks
