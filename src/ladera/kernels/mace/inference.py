"""Energies and edge gradients of a MACE: one pass forward and one back.

Atoms are sorted by element, so that matrices of an element multiply one block of rows. Threads
share the atoms out in ranges with equal numbers of edges. The gradients of the senders' features,
which threads would write at the same places, have a copy for each thread; the copies are added in
a fixed order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor

from ladera.kernels.mace import geometry
from ladera.kernels.mace.layers import Memory, ProductStep, Run, SumStep
from ladera.kernels.mace.layout import Atoms
from ladera.kernels.mace.prepared import Preparation, Prepared
from ladera.kernels.mace.splines import polynomials
from ladera.kernels.mace.tables import Floats, Integers, Model
from ladera.kernels.mace.threads import Shares


class Inference:
    """A model ready to run in one precision."""

    def __init__(self, model: Model, dtype: torch.dtype) -> None:
        self.model = model
        self.dtype = dtype
        self.numpy_dtype: np.dtype[Any] = np.dtype(str(dtype).removeprefix("torch."))
        self._preparation = Preparation(model, dtype)
        self._memory = Memory(dtype)
        self._norms = geometry.norms(model.degree)
        self._polynomials = polynomials()

    def energies_and_edge_gradients(
        self, species: Integers, vectors: Floats, row_pointer: Integers, neighbors: Integers
    ) -> tuple[Floats, Floats]:
        """Energies (n_atoms,) in eV, float64, and dE/dr_ij (n_edges, 3) in eV/Angstrom.

        ``species`` (n_atoms,) are indices of the model's elements; edges as in
        :class:`ladera.graph.Graph`.
        """
        present, local = np.unique(species, return_inverse=True)
        prepared = self._preparation.of(tuple(present.tolist()))
        order = np.argsort(local, kind="stable")
        atoms = arrange(local, order, row_pointer, neighbors, prepared)
        run = self._start(prepared, atoms, vectors)
        sums = [SumStep(run, layer, t) for t, layer in enumerate(prepared.sums)]
        steps = [ProductStep(run, layer, t) for t, layer in enumerate(prepared.products)]
        local_energies = prepared.constants[atoms.elements]
        h: Tensor | None = None
        scale = self.model.scale
        for t, (summation, product) in enumerate(zip(sums, steps, strict=True)):
            h = product.forward(summation.forward(h), h)
            if t + 1 < len(steps):
                read = run.invariants(h) @ prepared.readouts[t]
                local_energies += scale * read.double().numpy()
        assert h is not None
        hidden, bar = self._last_readout(h.view(run.n_atoms, -1))
        local_energies += scale * hidden
        for t in range(len(steps) - 1, -1, -1):
            A_bar = steps[t].reverse(bar)
            h_bar = sums[t].reverse(A_bar)
            if h_bar is not None:
                steps[t].add_skip(bar, h_bar)
                run.invariants(h_bar).add_(prepared.readouts[t - 1], alpha=scale)
                bar = h_bar
        energies = np.empty(run.n_atoms)
        energies[order] = local_energies
        return energies, self._edge_gradients(run)

    def _last_readout(self, x: Tensor) -> tuple[Floats, Tensor]:
        """Energies over scale, and the gradient of the energies in x, (n_atoms, n_1) flat.

        x is h' times the first matrix of the network.
        """
        readout = self.model.last_readout
        values, slopes = x.double().numpy(), []
        for k, weight in enumerate(readout.weights[1:]):
            gated, slope = GATES[readout.gate](values)
            slopes.append(slope)
            values = readout.factor * gated @ weight
            if readout.biases:
                values += readout.biases[k]
        bar = np.full_like(values, self.model.scale)
        for slope, weight in zip(slopes[::-1], readout.weights[:0:-1], strict=True):
            bar = readout.factor * slope * (bar @ weight.T)
        return values[:, 0], torch.from_numpy(bar.astype(self.numpy_dtype)).flatten()

    def _start(self, prepared: Prepared, atoms: Atoms, vectors: Floats) -> Run:
        degree, n_edges = self.model.degree, len(vectors)
        run = Run(
            atoms=atoms,
            starts=np.searchsorted(atoms.elements, range(len(prepared.present) + 1)).tolist(),
            channels=self.model.channels,
            degree=degree,
            dtype=self.dtype,
            shares=Shares(atoms.rows),
            edges=geometry.make_edges(n_edges, degree, self.numpy_dtype),
            distance_bar=np.zeros(n_edges, self.numpy_dtype),
            harmonics_bar=np.zeros(((degree + 1) ** 2, n_edges), self.numpy_dtype),
            memory=self._memory,
        )

        def work(thread: int, begin: int, end: int) -> None:
            rows, t = np.empty((5, geometry.BLOCK), self.numpy_dtype), np.empty(geometry.BLOCK)
            for b in range(begin, end, geometry.BLOCK):
                e = min(b + geometry.BLOCK, end)
                geometry.fill_edges(
                    b, e, vectors, prepared.spacing, prepared.n_knots, self._polynomials,
                    run.edges, t,
                )  # fmt: skip
                geometry.fill_harmonics(b, e, self._norms, run.edges, rows)

        run.shares.items(work, n_edges)
        return run

    def _edge_gradients(self, run: Run) -> Floats:
        gradients = np.empty((len(run.distance_bar), 3), self.numpy_dtype)

        def work(thread: int, begin: int, end: int) -> None:
            rows = np.empty((10, geometry.BLOCK), self.numpy_dtype)
            for b in range(begin, end, geometry.BLOCK):
                e = min(b + geometry.BLOCK, end)
                geometry.edge_gradients(
                    b, e, self._norms, run.edges, run.distance_bar, run.harmonics_bar,
                    rows, gradients,
                )  # fmt: skip

        run.shares.items(work, len(gradients))
        return gradients


def arrange(
    elements: Integers,
    order: Integers,
    row_pointer: Integers,
    neighbors: Integers,
    prepared: Prepared,
) -> Atoms:
    """Atoms in this order, from those of the graph."""
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    rows = np.stack([row_pointer[:-1], row_pointer[1:]], axis=1)[order]
    if prepared.pair_base.any():
        centers = np.repeat(elements, np.diff(row_pointer))
        pairs = prepared.pair_base[centers, elements[neighbors]]
    else:
        pairs = np.zeros(len(neighbors), np.int64)
    return Atoms(elements[order], rows, rank[neighbors], pairs)


def _silu(x: Floats) -> tuple[Floats, Floats]:
    sigmoid = expit(x)
    return x * sigmoid, sigmoid * (1 + x * (1 - sigmoid))


def _tanh(x: Floats) -> tuple[Floats, Floats]:
    t = np.tanh(x)
    return t, 1 - t * t


def _absolute(x: Floats) -> tuple[Floats, Floats]:
    return np.abs(x), np.sign(x)


GATES = {"silu": _silu, "tanh": _tanh, "abs": _absolute}
