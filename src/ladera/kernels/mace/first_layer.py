"""The first layer: its senders' features are the same for all atoms of an element.

Its radial functions, of all paths and channels, are combinations of a few functions of the distance
(their singular vectors), so that the sum over neighbours is one of moments,

    S_lm,z,k = sum over neighbours of element z of  Y_lm(r) b_k(r)

and everything else, embedding, radial network's last weights and linear layers, is one matrix.
"""

from __future__ import annotations

from ladera.arrays import Integers, Reals
from ladera.kernels.compilation import simd
from ladera.kernels.mace.geometry import Edges
from ladera.kernels.mace.layout import Atoms, span
from ladera.kernels.mace.messages import radial_slope


@simd
def forward(
    begin: int,
    end: int,
    atoms: Atoms,
    edges: Edges,
    table: Reals,
    places: Integers,
    S: Reals,
    b: Reals,
) -> None:
    """S of the atoms ``begin`` to ``end``; ``b`` (4, n_functions) is scratch."""
    K, n_atoms = b.shape[1], atoms.elements.size
    n_elements = S.size // (n_atoms * places.shape[0] * K)
    b0, b1, b2, b3 = b[0], b[1], b[2], b[3]
    zero = S.dtype.type(0)
    for i in range(begin, end):
        first, last = atoms.rows[i, 0], atoms.rows[i, 1]
        for o in range(places.shape[0]):
            S[span(places[o], n_atoms, i, n_elements * K)][:] = 0
        e = first
        while e < last:
            z = atoms.elements[atoms.senders[e]]
            n = 1
            while n < 4 and e + n < last and atoms.elements[atoms.senders[e + n]] == z:
                n += 1
            for lane in range(n):
                radial_slope(edges, e + lane, table, atoms.pairs[e + lane], 1, 0, b[lane], b[4])
            h1, h2, h3 = min(e + 1, last - 1), min(e + 2, last - 1), min(e + 3, last - 1)
            for o in range(places.shape[0]):
                Y = edges.harmonics[o]
                y0 = Y[e]
                y1 = Y[h1] if n > 1 else zero
                y2 = Y[h2] if n > 2 else zero
                y3 = Y[h3] if n > 3 else zero
                s = S[span(places[o], n_atoms, i, n_elements * K)][z * K : (z + 1) * K]
                for k in range(K):
                    s[k] += y0 * b0[k] + y1 * b1[k] + y2 * b2[k] + y3 * b3[k]
            e += n


@simd
def reverse(
    begin: int,
    end: int,
    atoms: Atoms,
    edges: Edges,
    table: Reals,
    places: Integers,
    S_bar: Reals,
    distance_bar: Reals,
    harmonics_bar: Reals,
    b: Reals,
) -> None:
    """Add the gradients in distances and harmonics, from dE/dS; ``b`` (4, n_functions)."""
    K, n_atoms = b.shape[1], atoms.elements.size
    n_elements = S_bar.size // (n_atoms * places.shape[0] * K)
    value, slope, total = b[0], b[1], b[2]
    zero = S_bar.dtype.type(0)
    for i in range(begin, end):
        for e in range(atoms.rows[i, 0], atoms.rows[i, 1]):
            z = atoms.elements[atoms.senders[e]]
            radial_slope(edges, e, table, atoms.pairs[e], 1, 0, value, slope)
            total[:] = 0
            for o in range(places.shape[0]):
                s = S_bar[span(places[o], n_atoms, i, n_elements * K)][z * K : (z + 1) * K]
                y, bar = edges.harmonics[o, e], zero
                for k in range(K):
                    bar += s[k] * value[k]
                    total[k] += y * s[k]
                harmonics_bar[o, e] += bar
            bar = zero
            for k in range(K):
                bar += slope[k] * total[k]
            distance_bar[e] += bar
