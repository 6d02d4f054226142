"""Loops over the terms of a product basis, channels innermost.

    B_b = sum_t w_t A_p A_q A_s,   (p, q, s) = factors[t],   over the terms t with component[t] = b

with coefficients w (n_elements, n_terms, C) of the element of the atom, A (n_atoms, n_features, C)
and B (n_atoms, n_components, C); arrays called ``..._bar`` and ``d...`` are like what they are of.
Of a term with fewer than three factors the last ones are -1. Two factors may be the same, so no
loop writes to more than one row of features: their derivatives are added up one by one.
"""

from __future__ import annotations

from typing import Final

from ladera.kernels.compilation import inlined, simd
from ladera.kernels.equivariant.convolution import Floats, Integers, add_product

MOST_FACTORS: Final = 3  # in a term


@inlined
def add3(out: Floats, x: Floats, y: Floats, z: Floats) -> None:
    """out += x y z."""
    for c in range(out.size):
        out[c] += x[c] * y[c] * z[c]


@inlined
def add_slope(out: Floats, v: Floats, x: Floats, dx: Floats, y: Floats, dy: Floats) -> None:
    """out += v d(x y)."""
    for c in range(out.size):
        out[c] += v[c] * (dx[c] * y[c] + x[c] * dy[c])


@simd
def values(
    element: Integers,
    factors: Integers,
    component: Integers,
    A: Floats,
    coefficients: Floats,
    B: Floats,
) -> None:
    """Adds to B (n_atoms, n_components, C)."""
    C = A.shape[2]
    for i in range(A.shape[0]):
        features, weights = A[i], coefficients[element[i]]
        for t in range(factors.shape[0]):
            p, q, s = factors[t]
            out = B[i, component[t]]
            if q < 0:
                add_product(out, weights[t], features[p])
            elif s < 0:
                add3(out, weights[t], features[p], features[q])
            else:
                weight, x, y, z = weights[t], features[p], features[q], features[s]
                for c in range(C):
                    out[c] += weight[c] * x[c] * y[c] * z[c]


@simd
def reverse(
    element: Integers,
    factors: Integers,
    component: Integers,
    A: Floats,
    coefficients: Floats,
    B_bar: Floats,
    A_bar: Floats,
    weights_bar: Floats,
    with_weights: bool,
    v: Floats,
) -> None:
    """Adds to A_bar (n_atoms, n_features, C), and to weights_bar if asked for; v (C,): scratch."""
    C = A.shape[2]
    for i in range(A.shape[0]):
        features, bar, weights = A[i], A_bar[i], coefficients[element[i]]
        w_bar = weights_bar[element[i] if with_weights else 0]
        for t in range(factors.shape[0]):
            p, q, s = factors[t]
            weight, g, x = weights[t], B_bar[i, component[t]], features[p]
            for c in range(C):
                v[c] = weight[c] * g[c]
            if q < 0:
                add_product(bar[p], weight, g)
                if with_weights:
                    add_product(w_bar[t], g, x)
            elif s < 0:
                y = features[q]
                add_product(bar[p], v, y)
                add_product(bar[q], v, x)
                if with_weights:
                    add3(w_bar[t], g, x, y)
            else:
                y, z = features[q], features[s]
                add3(bar[p], v, y, z)
                add3(bar[q], v, x, z)
                add3(bar[s], v, x, y)
                if with_weights:
                    weight_bar = w_bar[t]
                    for c in range(C):
                        weight_bar[c] += g[c] * x[c] * y[c] * z[c]


@simd
def second(
    element: Integers,
    factors: Integers,
    component: Integers,
    A: Floats,
    coefficients: Floats,
    B_bar: Floats,
    dA: Floats,
    A_bar: Floats,
    weights_bar: Floats,
    g_bar: Floats,
    v: Floats,
) -> None:
    """Derivatives in A, coefficients and B_bar of the slope of sum B_bar B along dA; added."""
    C = A.shape[2]
    for i in range(A.shape[0]):
        features, d, bar = A[i], dA[i], A_bar[i]
        weights, w_bar = coefficients[element[i]], weights_bar[element[i]]
        for t in range(factors.shape[0]):
            p, q, s = factors[t]
            weight, weight_bar = weights[t], w_bar[t]
            g, out = B_bar[i, component[t]], g_bar[i, component[t]]
            x, dx = features[p], d[p]
            if q < 0:
                add_product(out, weight, dx)
                add_product(weight_bar, g, dx)
                continue
            for c in range(C):
                v[c] = weight[c] * g[c]
            y, dy = features[q], d[q]
            if s < 0:
                for c in range(C):
                    slope = dx[c] * y[c] + x[c] * dy[c]
                    out[c] += weight[c] * slope
                    weight_bar[c] += g[c] * slope
                add_product(bar[p], v, dy)
                add_product(bar[q], v, dx)
            else:
                z, dz = features[s], d[s]
                for c in range(C):
                    slope = (dx[c] * y[c] + x[c] * dy[c]) * z[c] + x[c] * y[c] * dz[c]
                    out[c] += weight[c] * slope
                    weight_bar[c] += g[c] * slope
                add_slope(bar[p], v, y, dy, z, dz)
                add_slope(bar[q], v, x, dx, z, dz)
                add_slope(bar[s], v, x, dx, y, dy)
