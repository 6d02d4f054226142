"""Loops over the edges of a convolution, channels innermost.

With G the factors of an edge's entries, w its radial functions, h the features of its neighbour
and g a cotangent of the message of its centre,

    T = sum_e sum_p sum_abc G_e,pab w_e,pc h_n(e),ac g_i(e),bc

The loops compute derivatives of T, and of its slope along changes of G, w and h. G is (n_edges,
n_entries), w (n_edges, n_paths, C), h (n_atoms, n_sources, C), g (n_atoms, n_targets, C); arrays
called ``..._bar`` and ``d...`` are like what they are of. Edges of atom i are rows[i]:rows[i + 1].
A row of ``blocks`` is a path: first source, number of sources, first of its ``targets``, number of
targets, first entry; entries are target by target.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ladera.kernels.compilation import inlined, simd

Floats = NDArray[np.floating[Any]]  # float32 or float64, all of a call the same
Integers = NDArray[np.int64]


@inlined
def add_scaled(out: Floats, x: Floats, factor: Any) -> None:
    """out += factor x."""
    for c in range(out.size):
        out[c] += factor * x[c]


@inlined
def add_product(out: Floats, x: Floats, y: Floats) -> None:
    """out += x y."""
    for c in range(out.size):
        out[c] += x[c] * y[c]


@inlined
def dot(x: Floats, y: Floats) -> Any:
    """sum x y."""
    total = x[0] * y[0]
    for c in range(1, x.size):
        total += x[c] * y[c]
    return total


@simd
def forward(
    rows: Integers,
    neighbors: Integers,
    blocks: Integers,
    targets: Integers,
    G: Floats,
    w: Floats,
    h: Floats,
    message: Floats,
    x: Floats,
) -> None:
    """dT/dg: adds to ``message`` (n_atoms, n_targets, C); ``x`` (C,) is scratch."""
    C = x.size
    for i in range(rows.size - 1):
        out = message[i]
        for e in range(rows[i], rows[i + 1]):
            sent = h[neighbors[e]]
            for p in range(blocks.shape[0]):
                source, n_sources, target, n_targets, entry = blocks[p]
                weight = w[e, p]
                for a in range(n_sources):
                    feature = sent[source + a]
                    for c in range(C):
                        x[c] = weight[c] * feature[c]
                    for b in range(n_targets):
                        add_scaled(out[targets[target + b]], x, G[e, entry + b * n_sources + a])


@simd
def reverse(
    rows: Integers,
    neighbors: Integers,
    blocks: Integers,
    targets: Integers,
    G: Floats,
    w: Floats,
    h: Floats,
    g: Floats,
    G_bar: Floats,
    w_bar: Floats,
    h_bar: Floats,
    with_features: bool,
    x: Floats,
    u: Floats,
) -> None:
    """dT/dG and dT/dw of each edge, and dT/dh, added up, if asked for."""
    C = x.size
    for i in range(rows.size - 1):
        received = g[i]
        for e in range(rows[i], rows[i + 1]):
            n = neighbors[e]
            sent, sent_bar = h[n], h_bar[n if with_features else 0]
            for p in range(blocks.shape[0]):
                source, n_sources, target, n_targets, entry = blocks[p]
                weight, weight_bar = w[e, p], w_bar[e, p]
                weight_bar[:] = 0
                for a in range(n_sources):
                    feature = sent[source + a]
                    for c in range(C):
                        x[c] = weight[c] * feature[c]
                        u[c] = 0
                    for b in range(n_targets):
                        t = entry + b * n_sources + a
                        y = received[targets[target + b]]
                        G_bar[e, t] = dot(x, y)
                        add_scaled(u, y, G[e, t])
                    add_product(weight_bar, feature, u)
                    if with_features:
                        add_product(sent_bar[source + a], weight, u)


@simd
def second(
    rows: Integers,
    neighbors: Integers,
    blocks: Integers,
    targets: Integers,
    G: Floats,
    w: Floats,
    h: Floats,
    g: Floats,
    dG: Floats,
    dw: Floats,
    dh: Floats,
    G_bar: Floats,
    w_bar: Floats,
    h_bar: Floats,
    g_bar: Floats,
    with_features: bool,
    x: Floats,
    u: Floats,
) -> None:
    """Derivatives in G, w, h and g of the slope of T along (dG, dw, dh).

    dh is looked at only ``with_features``. ``x`` and ``u`` (2, C) are scratch.
    """
    C = x.shape[1]
    for i in range(rows.size - 1):
        received, received_bar = g[i], g_bar[i]
        for e in range(rows[i], rows[i + 1]):
            n = neighbors[e]
            sent, sent_bar, d_sent = h[n], h_bar[n], dh[n if with_features else 0]
            for p in range(blocks.shape[0]):
                source, n_sources, target, n_targets, entry = blocks[p]
                weight, d_weight, weight_bar = w[e, p], dw[e, p], w_bar[e, p]
                weight_bar[:] = 0
                for a in range(n_sources):
                    feature = sent[source + a]
                    for c in range(C):
                        x[0, c] = weight[c] * feature[c]
                        x[1, c] = d_weight[c] * feature[c]
                        u[0, c] = 0
                        u[1, c] = 0
                    if with_features:
                        add_product(x[1], weight, d_sent[source + a])
                    for b in range(n_targets):
                        t = entry + b * n_sources + a
                        y, y_bar = received[targets[target + b]], received_bar[targets[target + b]]
                        factor, d_factor = G[e, t], dG[e, t]
                        G_bar[e, t] = dot(x[1], y)
                        for c in range(C):
                            u[0, c] += factor * y[c]
                            u[1, c] += d_factor * y[c]
                            y_bar[c] += factor * x[1, c] + d_factor * x[0, c]
                    add_product(weight_bar, feature, u[1])
                    feature_bar = sent_bar[source + a]
                    for c in range(C):
                        feature_bar[c] += weight[c] * u[1, c] + d_weight[c] * u[0, c]
                    if with_features:
                        add_product(weight_bar, d_sent[source + a], u[0])
