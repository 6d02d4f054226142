"""Small files of Nequix with random weights, made by us."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

SETTINGS: dict[str, Any] = {
    "atomic_numbers": [1, 14, 8],  # in an order of its own
    "hidden_irreps": "4x0e + 3x1o + 2x2e",
    "lmax": 2,
    "n_layers": 3,
    "cutoff": 4.0,
    "radial_basis_size": 5,
    "radial_mlp_size": 6,
    "radial_mlp_layers": 2,
    "radial_polynomial_p": 6.0,
    "index_weights": False,
    "layer_norm": True,
    "shift": 0.25,
    "scale": 1.5,
    "avg_n_neighbors": 9.5,
    "optimizer": "muon",  # which decides nothing
}
_LAYERS = (  # irreps of the input, rows of linear_2, its columns
    ((3,), (3, 3, 3), (9, 3, 2)),
    # Paths to l: (l1, l2) = 00 11 22; 01 10 12 21; 02 11 20 22 (natural parity has no odd sums).
    ((4, 3, 2), (9, 12, 11), (9, 3, 2)),
    ((4, 3, 2), (9,), (4,)),
)


def arrays(index_weights: bool = False, layer_norm: bool = True) -> list[np.ndarray]:
    """The arrays of a file with these settings, in its order."""
    random, species = np.random.default_rng(5), len(SETTINGS["atomic_numbers"])

    def draw(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    found = [-10 * np.arange(1, species + 1, dtype=np.float32)]
    for channels, rows, columns in _LAYERS:
        widths = (5, 6, 6, sum(rows))
        found += [draw(n, m) / np.float32(np.sqrt(n)) for n, m in pairwise(widths)]
        found += [draw(n, n) for n in channels]
        found += [draw(n, m) for n, m in zip(rows, columns, strict=True)]
        skips = zip(channels, columns, strict=False)
        found += [draw(*((species,) * index_weights), n, m) for n, m in skips]
        found += [1 + draw(n) / 10 for n in columns if layer_norm]
    return [*found, draw(4, 1)]


def content(changes: dict[str, Any] | None = None, behind: bytes = b"\n") -> bytes:
    """A file as bytes, with other settings, and something behind its last array."""
    settings = SETTINGS | (changes or {})
    file = io.BytesIO()
    file.write(json.dumps(settings).encode() + b"\n")
    for array in arrays(settings["index_weights"], settings["layer_norm"]):
        np.save(file, array)
    return file.getvalue() + behind


def write(path: Path, **changes: Any) -> Path:
    """A file of these settings, changed."""
    path.write_bytes(content(changes))
    return path
