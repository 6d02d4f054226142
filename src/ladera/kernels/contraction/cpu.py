"""Loops over the terms of a symmetric contraction, channels innermost.

    B_b = sum_t w_t A_p A_q A_s,   (p, q, s) = factors[t],   over the terms t with component[t] = b

with the coefficients w of the atom's ``element`` (n_atoms,), and B (n_atoms, n_components, C);
arrays called ``..._bar`` and ``d...`` are like what they are of. Of a term with fewer than three
factors the last ones are NONE. Two factors may be the same, so no loop writes to more than one row
of features: their derivatives are added up one by one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ladera.arrays import Integers, Reals
from ladera.kernels.channels import add3, add_product
from ladera.kernels.compilation import inlined, simd
from ladera.kernels.contraction.terms import NONE, TermArrays

MOST_FACTORS: Final = 3  # in a term


class Operands(NamedTuple):
    """What a contraction multiplies, or derivatives in it; C channels."""

    features: Reals  # A (n_atoms, n_features, C)
    coefficients: Reals  # w (n_elements, n_terms, C); one element where they are not looked at


@inlined
def add_slope(out: Reals, v: Reals, x: Reals, dx: Reals, y: Reals, dy: Reals) -> None:
    """out += v d(x y)."""
    for c in range(out.size):
        out[c] += v[c] * (dx[c] * y[c] + x[c] * dy[c])


@simd
def forward(terms: TermArrays, element: Integers, operands: Operands, B: Reals) -> None:
    """Adds to B (n_atoms, n_components, C)."""
    A, coefficients = operands
    C = A.shape[2]
    for i in range(A.shape[0]):
        features, weights = A[i], coefficients[element[i]]
        for t in range(terms.component.size):
            p, q, s = terms.factors[t]
            out = B[i, terms.component[t]]
            if q == NONE:
                add_product(out, weights[t], features[p])
            elif s == NONE:
                add3(out, weights[t], features[p], features[q])
            else:
                weight, x, y, z = weights[t], features[p], features[q], features[s]
                for c in range(C):
                    out[c] += weight[c] * x[c] * y[c] * z[c]


@simd
def reverse(
    terms: TermArrays,
    element: Integers,
    operands: Operands,
    B_bar: Reals,
    bars: Operands,
    with_weights: bool,
    v: Reals,
) -> None:
    """Adds to the features' gradient, and to the coefficients' if asked for; v (C,): scratch."""
    (A, coefficients), (A_bar, weights_bar) = operands, bars
    C = A.shape[2]
    for i in range(A.shape[0]):
        features, bar, weights = A[i], A_bar[i], coefficients[element[i]]
        w_bar = weights_bar[element[i] if with_weights else 0]
        for t in range(terms.component.size):
            p, q, s = terms.factors[t]
            weight, g, x = weights[t], B_bar[i, terms.component[t]], features[p]
            for c in range(C):
                v[c] = weight[c] * g[c]
            if q == NONE:
                add_product(bar[p], weight, g)
                if with_weights:
                    add_product(w_bar[t], g, x)
            elif s == NONE:
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
    terms: TermArrays,
    element: Integers,
    operands: Operands,
    B_bar: Reals,
    dA: Reals,
    bars: Operands,
    g_bar: Reals,
    v: Reals,
) -> None:
    """Derivatives in the operands and B_bar of the slope of sum B_bar B along dA; added."""
    (A, coefficients), (A_bar, weights_bar) = operands, bars
    C = A.shape[2]
    for i in range(A.shape[0]):
        features, d, bar = A[i], dA[i], A_bar[i]
        weights, w_bar = coefficients[element[i]], weights_bar[element[i]]
        for t in range(terms.component.size):
            p, q, s = terms.factors[t]
            weight, weight_bar = weights[t], w_bar[t]
            g, out = B_bar[i, terms.component[t]], g_bar[i, terms.component[t]]
            x, dx = features[p], d[p]
            if q == NONE:
                add_product(out, weight, dx)
                add_product(weight_bar, g, dx)
                continue
            for c in range(C):
                v[c] = weight[c] * g[c]
            y, dy = features[q], d[q]
            if s == NONE:
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
