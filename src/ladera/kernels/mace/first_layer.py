"""The first layer: its senders' features are the same for all atoms of an element.

Its radial functions, of all paths and channels, are combinations of a few functions of the distance
(their singular vectors), so that the sum over neighbours is

    S_lm,z,k = sum over neighbours of element z of  Y_lm(r) b_k(r)

and everything else, embedding, radial network's last weights and linear layers, is one matrix.
"""

from __future__ import annotations

from ladera.arrays import Reals
from ladera.kernels.compilation import simd
from ladera.kernels.edges import EdgeGradients, Edges
from ladera.kernels.mace.layout import Atoms, Rows, clear, span
from ladera.kernels.mace.radial import values_and_slopes


@simd
def forward(
    start: int, stop: int, atoms: Atoms, edges: Edges, table: Reals, S: Rows, b: Reals
) -> None:
    """S of the atoms ``start`` to ``stop``; ``b`` (5, n_functions) is scratch."""
    K, n_atoms, n_lm = b.shape[1], atoms.rows.shape[0], edges.harmonics.shape[0]
    n_elements = S.places.shape[0] // n_lm
    b0, b1, b2, b3 = b[0], b[1], b[2], b[3]
    zero = S.flat.dtype.type(0)
    for i in range(start, stop):
        clear(S, n_atoms, i, K)
        e, edge_stop = atoms.rows[i, 0], atoms.rows[i, 1]
        while e < edge_stop:
            z = atoms.elements[atoms.senders[e]]
            n = 1
            while n < 4 and e + n < edge_stop and atoms.elements[atoms.senders[e + n]] == z:
                n += 1
            for lane in range(n):
                values_and_slopes(
                    edges, e + lane, table, atoms.pairs[e + lane], 1, 0, b[lane], b[4]
                )
            last = edge_stop - 1  # read, but not used, in place of edges that there are not
            h1, h2, h3 = min(e + 1, last), min(e + 2, last), min(e + 3, last)
            for o in range(n_lm):
                Y = edges.harmonics[o]
                y0 = Y[e]
                y1 = Y[h1] if n > 1 else zero
                y2 = Y[h2] if n > 2 else zero
                y3 = Y[h3] if n > 3 else zero
                s = S.flat[span(S, o * n_elements + z, n_atoms, i, K)]
                for k in range(K):
                    s[k] += y0 * b0[k] + y1 * b1[k] + y2 * b2[k] + y3 * b3[k]
            e += n


@simd
def reverse(
    start: int,
    stop: int,
    atoms: Atoms,
    edges: Edges,
    table: Reals,
    S_bar: Rows,
    bars: EdgeGradients,
    b: Reals,
) -> None:
    """Add the gradients in distances and harmonics, from dE/dS; ``b`` (3, n_functions or more)."""
    K, n_atoms, n_lm = b.shape[1], atoms.rows.shape[0], edges.harmonics.shape[0]
    n_elements = S_bar.places.shape[0] // n_lm
    value, slope, total = b[0], b[1], b[2]
    zero = S_bar.flat.dtype.type(0)
    for i in range(start, stop):
        for e in range(atoms.rows[i, 0], atoms.rows[i, 1]):
            z = atoms.elements[atoms.senders[e]]
            values_and_slopes(edges, e, table, atoms.pairs[e], 1, 0, value, slope)
            total[:] = 0
            for o in range(n_lm):
                s = S_bar.flat[span(S_bar, o * n_elements + z, n_atoms, i, K)]
                y, bar = edges.harmonics[o, e], zero
                for k in range(K):
                    bar += s[k] * value[k]
                    total[k] += y * s[k]
                bars.harmonics[o, e] += bar
            bar = zero
            for k in range(K):
                bar += slope[k] * total[k]
            bars.distance[e] += bar
