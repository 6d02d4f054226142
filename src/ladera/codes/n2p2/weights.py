"""``weights.ZZZ.data``: the weights and biases of one element's network, one on each line.

Only the first column counts, in the order of the file: for each layer the weights w(j -> k), with
the source node j outside and the target node k inside, then the biases.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from ase.data import atomic_numbers

from ladera.arrays import Floats
from ladera.codes.n2p2 import tables
from ladera.errors import ModelFileError
from ladera.files import write_text_atomic

Layer = tuple[Floats, Floats]  # weights (out, in) and biases (out,)

_COLUMNS: Final = (
    tables.Column(24, "value", "Weight or bias."),
    tables.Column(1, "t", "a: weight, b: bias."),
    tables.Column(9, "index", "Its number in the network."),
    tables.Column(5, "l_s", "Weight: layer it comes from (0 is the input); bias: its layer."),
    tables.Column(5, "n_s", "Weight: node it comes from; bias: its node."),
    tables.Column(5, "l_e", "Weight: layer it goes to."),
    tables.Column(5, "n_e", "Weight: node it goes to."),
)


def file_name(symbol: str, network: str = "weights") -> str:
    """``weights.008.data`` for O; ``network`` is weightse for that of a 4G potential's charges."""
    return f"{network}.{atomic_numbers[symbol]:03d}.data"


def count(sizes: Sequence[int]) -> int:
    """Number of weights and biases of a network with these layers, input to output."""
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))


def read(path: Path) -> Floats:
    """All numbers of a file; ModelFileError for what is no number."""
    return np.array([row.number(0) for row in tables.read(path)], dtype=np.float64)


def as_layers(path: Path, values: Floats, sizes: Sequence[int]) -> list[Layer]:
    """The numbers of a file as layers; ModelFileError when they are too few or too many."""
    expected = count(sizes)
    if len(values) != expected:
        problem = "too short" if len(values) < expected else "too long"
        raise ModelFileError(
            f"{path} is {problem}: it has {len(values)} values, but a network "
            f"{'-'.join(map(str, sizes))} has {expected}; it is of another network, or damaged."
        )
    layers, start = [], 0
    for n_in, n_out in pairwise(sizes):
        middle, stop = start + n_in * n_out, start + (n_in + 1) * n_out
        weights = np.ascontiguousarray(values[start:middle].reshape(n_in, n_out).T)
        layers.append((weights, values[middle:stop].copy()))
        start = stop
    return layers


def write(path: Path, layers: Sequence[Layer]) -> None:
    """Write a network."""
    lines = [tables.header(["Weights and biases of a neural network."], _COLUMNS).rstrip("\n")]
    for l, (weights, biases) in enumerate(layers):
        for j, column in enumerate(weights.T.tolist(), start=1):
            for k, value in enumerate(column, start=1):
                lines.append(f"{value:24.16E} a {len(lines):9d} {l:5d} {j:5d} {l + 1:5d} {k:5d}")
        for k, value in enumerate(biases.tolist(), start=1):
            lines.append(f"{value:24.16E} b {len(lines):9d} {l + 1:5d} {k:5d}")
    write_text_atomic(path, "\n".join([*lines, ""]))
