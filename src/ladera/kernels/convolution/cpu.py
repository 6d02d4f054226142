"""Loops over the edges of a convolution, channels innermost.

With G the factors of an edge's entries, w its radial functions, h the features of its sender and g
a cotangent of the message of its centre,

    T = sum_e sum_p sum_abc G_e,pab w_e,pc h_n(e),ac g_i(e),bc

The loops compute derivatives of T, and of its slope along changes of G, w and h.
"""

from __future__ import annotations

from typing import NamedTuple

from ladera.arrays import Integers, Reals
from ladera.kernels.channels import add_product, add_scaled, dot
from ladera.kernels.compilation import simd
from ladera.kernels.convolution.paths import PathArrays


class Edges(NamedTuple):
    """Edges by centre: those of atom i, to ``neighbors``, are rows[i]:rows[i + 1]."""

    rows: Integers  # (n_atoms + 1,)
    neighbors: Integers  # (n_edges,)


class Operands(NamedTuple):
    """What a convolution multiplies, changes of it, or derivatives in it; C channels."""

    factors: Reals  # G (n_edges, n_entries); derivatives have one row where nobody asks for them
    weights: Reals  # w (n_edges, n_paths, C)
    features: Reals  # h (n_atoms, n_sources, C); one row where they are not looked at


@simd
def forward(edges: Edges, paths: PathArrays, operands: Operands, message: Reals, x: Reals) -> None:
    """dT/dg: adds to ``message`` (n_atoms, n_targets, C); ``x`` (C,) is scratch."""
    G, w, h = operands
    C = x.size
    for i in range(edges.rows.size - 1):
        out = message[i]
        for e in range(edges.rows[i], edges.rows[i + 1]):
            sent = h[edges.neighbors[e]]
            for p in range(paths.blocks.shape[0]):
                source, n_sources, target, n_targets, entry = paths.blocks[p]
                weight = w[e, p]
                for a in range(n_sources):
                    feature = sent[source + a]
                    for c in range(C):
                        x[c] = weight[c] * feature[c]
                    for b in range(n_targets):
                        factor = G[e, entry + b * n_sources + a]
                        add_scaled(out[paths.targets[target + b]], x, factor)


@simd
def reverse(
    edges: Edges,
    paths: PathArrays,
    operands: Operands,
    g: Reals,
    bars: Operands,
    with_factors: bool,
    with_features: bool,
    x: Reals,
    u: Reals,
) -> None:
    """dT/dw of each edge, and if asked for dT/dG and, added up, dT/dh; x and u (C,): scratch.

    ``g`` (n_atoms, n_targets, C).
    """
    G, w, h = operands
    C = x.size
    for i in range(edges.rows.size - 1):
        received = g[i]
        for e in range(edges.rows[i], edges.rows[i + 1]):
            n = edges.neighbors[e]
            sent, sent_bar = h[n], bars.features[n if with_features else 0]
            for p in range(paths.blocks.shape[0]):
                source, n_sources, target, n_targets, entry = paths.blocks[p]
                weight, weight_bar = w[e, p], bars.weights[e, p]
                weight_bar[:] = 0
                for a in range(n_sources):
                    feature = sent[source + a]
                    for c in range(C):
                        x[c] = weight[c] * feature[c]
                        u[c] = 0
                    for b in range(n_targets):
                        t = entry + b * n_sources + a
                        y = received[paths.targets[target + b]]
                        if with_factors:
                            bars.factors[e, t] = dot(x, y)
                        add_scaled(u, y, G[e, t])
                    add_product(weight_bar, feature, u)
                    if with_features:
                        add_product(sent_bar[source + a], weight, u)


@simd
def second(
    edges: Edges,
    paths: PathArrays,
    operands: Operands,
    g: Reals,
    changes: Operands,
    bars: Operands,
    g_bar: Reals,
    with_factors: bool,
    with_features: bool,
    scratch: Reals,
) -> None:
    """Derivatives in the operands and in g of the slope of T along ``changes``; added.

    That in the factors is computed only ``with_factors``, the change of the features looked at only
    ``with_features``. ``scratch`` (4, C).
    """
    (G, w, h), (dG, dw, dh) = operands, changes
    x, dx, u, du = scratch[0], scratch[1], scratch[2], scratch[3]
    for i in range(edges.rows.size - 1):
        received, received_bar = g[i], g_bar[i]
        for e in range(edges.rows[i], edges.rows[i + 1]):
            n = edges.neighbors[e]
            sent, sent_bar, d_sent = h[n], bars.features[n], dh[n if with_features else 0]
            for p in range(paths.blocks.shape[0]):
                source, n_sources, target, n_targets, entry = paths.blocks[p]
                weight, d_weight, weight_bar = w[e, p], dw[e, p], bars.weights[e, p]
                weight_bar[:] = 0
                for a in range(n_sources):
                    feature = sent[source + a]
                    for c in range(x.size):
                        x[c] = weight[c] * feature[c]
                        dx[c] = d_weight[c] * feature[c]
                        u[c] = 0
                        du[c] = 0
                    if with_features:
                        add_product(dx, weight, d_sent[source + a])
                    for b in range(n_targets):
                        t, target_b = entry + b * n_sources + a, paths.targets[target + b]
                        y, y_bar = received[target_b], received_bar[target_b]
                        factor, d_factor = G[e, t], dG[e, t]
                        if with_factors:
                            bars.factors[e, t] = dot(dx, y)
                        for c in range(x.size):
                            u[c] += factor * y[c]
                            du[c] += d_factor * y[c]
                            y_bar[c] += factor * dx[c] + d_factor * x[c]
                    add_product(weight_bar, feature, du)
                    feature_bar = sent_bar[source + a]
                    for c in range(x.size):
                        feature_bar[c] += weight[c] * du[c] + d_weight[c] * u[c]
                    if with_features:
                        add_product(weight_bar, d_sent[source + a], u)
