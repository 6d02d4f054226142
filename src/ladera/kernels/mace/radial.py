"""The radial functions of one path at one edge, all channels, from their splines."""

from __future__ import annotations

from typing import Any

from ladera.arrays import Reals
from ladera.kernels.compilation import inlined
from ladera.kernels.edges import Edges
from ladera.kernels.splines import ROWS


@inlined
def values_times(
    edges: Edges,
    e: int,
    table: Reals,
    pair: int,
    n_paths: int,
    path: int,
    x: Reals,
    w: Reals,
    f: Reals,
) -> None:
    """Radial functions w of a path, and their product f with a sender's features x."""
    k, step = _places(pair + edges.knot[e], n_paths, path)
    n = k + 4 * step
    r0, r1, r2, r3 = table[k - 1], table[k + step], table[k + 2 * step], table[k + 3 * step]
    r4, r5, r6, r7 = table[n], table[n + step], table[n + 2 * step], table[n + 3 * step]
    b0, b1, b2, b3, b4, b5, b6, b7 = _column(edges.basis, e)
    for c in range(w.size):
        value = b0 * r0[c] + b1 * r1[c] + b2 * r2[c] + b3 * r3[c]
        value += b4 * r4[c] + b5 * r5[c] + b6 * r6[c] + b7 * r7[c]
        w[c] = value
        f[c] = value * x[c]


@inlined
def values_and_slopes(
    edges: Edges,
    e: int,
    table: Reals,
    pair: int,
    n_paths: int,
    path: int,
    w: Reals,
    slope: Reals,
) -> None:
    """Radial functions w of a path, and their slopes."""
    k, step = _places(pair + edges.knot[e], n_paths, path)
    n = k + 4 * step
    r0, r1, r2, r3 = table[k - 1], table[k + step], table[k + 2 * step], table[k + 3 * step]
    r4, r5, r6, r7 = table[n], table[n + step], table[n + 2 * step], table[n + 3 * step]
    b0, b1, b2, b3, b4, b5, b6, b7 = _column(edges.basis, e)
    _, d1, d2, d3, d4, d5, d6, d7 = _column(edges.slope, e)
    for c in range(w.size):
        v1, v2, v3, v4, v5, v6, v7 = r1[c], r2[c], r3[c], r4[c], r5[c], r6[c], r7[c]
        value = b0 * r0[c] + b1 * v1 + b2 * v2 + b3 * v3
        w[c] = value + (b4 * v4 + b5 * v5 + b6 * v6 + b7 * v7)
        slope[c] = d1 * v1 + d2 * v2 + d3 * v3 + d4 * v4 + d5 * v5 + d6 * v6 + d7 * v7


@inlined
def _places(coefficient: int, n_paths: int, path: int) -> tuple[int, int]:
    """Where in a table the difference of a coefficient is, and how far it is to the next."""
    return ROWS * (coefficient * n_paths + path) + 1, ROWS * n_paths


@inlined
def _column(weights: Reals, e: int) -> Any:
    """What these rows are multiplied by at an edge; ``weights`` (TERMS, n_edges)."""
    w0, w1, w2, w3 = weights[0, e], weights[1, e], weights[2, e], weights[3, e]
    return w0, w1, w2, w3, weights[4, e], weights[5, e], weights[6, e], weights[7, e]
