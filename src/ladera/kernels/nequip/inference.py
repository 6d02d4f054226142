"""Energies and edge gradients of a NequIP: one pass forward and one back.

Atoms are sorted by element, so that matrices of an element multiply one block of rows. Threads
share the atoms out in ranges with equal numbers of edges. Gradients of the senders' features, which
threads would write at the same places, are summed for chunks of atoms, each apart, and the sums
added in the order of the chunks. These do not depend on the number of threads, nor do the numbers.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from ladera.arrays import Floats, Integers, Reals
from ladera.kernels import edges, harmonics
from ladera.kernels.edges import System
from ladera.kernels.ghosts import Ghosts
from ladera.kernels.nequip.layers import Memory, Run, Step
from ladera.kernels.nequip.messages import Surroundings
from ladera.kernels.nequip.panels import Features
from ladera.kernels.nequip.prepared import Preparation, Prepared
from ladera.kernels.nequip.tables import Model
from ladera.kernels.splines import ROWS
from ladera.kernels.threads import Shares, chunks

ATOM_COST = 8  # edges that cost about as much as an atom itself


class Inference:
    """A model ready to run in one precision."""

    def __init__(self, model: Model, dtype: torch.dtype) -> None:
        self.model = model
        self.numpy_dtype: np.dtype[Any] = np.dtype(str(dtype).removeprefix("torch."))
        self._preparation = Preparation(model, dtype)
        self._memory = Memory(self.numpy_dtype)
        self._lock = Lock()  # the memory serves one evaluation at a time
        self._norms = harmonics.norms(model.degree)

    def energies_and_edge_gradients(self, system: System) -> tuple[Reals, Reals]:
        """Energies (n_atoms,) in eV, float64, and dE/dr_ij (n_edges, 3) in eV/Angstrom."""
        with self._lock:
            one = _Evaluation(self, system)
            one.forward()
            return one.energies(), one.edge_gradients()

    def invariants(self, system: System) -> Reals:
        """Scalars 0e after every layer, (n_atoms, sum of their channels)."""
        with self._lock:
            one = _Evaluation(self, system)
            one.forward()
            return one.invariants()


class _Evaluation:
    """One structure on its way through the layers."""

    def __init__(self, inference: Inference, system: System) -> None:
        self.inference, self.system = inference, system
        present, local = np.unique(system.species, return_inverse=True)
        self.prepared = inference._preparation.of(tuple(present.tolist()) or (0,))
        n_owned = len(system.row_pointer) - 1
        self.order = np.argsort(local[:n_owned], kind="stable")
        self.geometry = _fill(system.vectors, self.prepared, inference)
        self.kept = np.flatnonzero(self.geometry.distance < np.float64(inference.model.cutoff))
        around = _arrange(local, self.order, system, self.geometry, self.kept, self.prepared)
        n_lm, dtype = around.harmonics.shape[1], inference.numpy_dtype
        elements = local[self.order]
        self.run = Run(
            elements=np.concatenate([elements, local[n_owned:]]),
            ghosts=None if system.halo is None else Ghosts(system.halo, self.order),
            starts=np.searchsorted(elements, range(len(self.prepared.present) + 1)).tolist(),
            around=around,
            bars=np.zeros((len(self.kept), n_lm + 1), dtype),
            memory=inference._memory,
        )
        self.costs = around.edges[:, 1] - around.edges[:, 0] + ATOM_COST
        self.shares = Shares(self.costs)
        self.steps: list[Step] = []
        for t, layer in enumerate(self.prepared.layers):
            h = self.steps[-1].result if self.steps else None
            self.steps.append(Step(self.run, layer, t, h))

    def forward(self) -> None:
        """Features after every layer."""
        for step, following in zip(self.steps, [*self.steps[1:], None], strict=True):

            def work(
                thread: int,
                start: int,
                stop: int,
                step: Step = step,
                following: Step | None = following,
            ) -> None:
                step.forward(thread, start, stop)
                if following is not None:
                    following.send(start, stop)

            self.shares.atoms(work)
            if following is not None:
                following.send_to_ghosts()

    def energies(self) -> Floats:
        """Energies (n_atoms,) in eV, of ghosts 0; gradients in the last features wait."""
        model, prepared, last = self.inference.model, self.prepared, self.steps[-1].result
        values, slopes, readout = last.scalars(0).astype(np.float64), [], model.readout
        values = values @ readout.weights[0]
        for weight in readout.weights[1:]:
            sigmoid = expit(values)
            slopes.append(readout.factor * sigmoid * (1 + values * (1 - sigmoid)))
            values = readout.factor * values * sigmoid @ weight
        elements = self.run.elements[: self.run.n_owned]
        scale = prepared.scale[elements]
        bar = scale[:, None]
        for slope, weight in zip(slopes[::-1], readout.weights[:0:-1], strict=True):
            bar = slope * (bar @ weight.T)
        self.bar = self.run.memory.features("readout", last.layout, self.run.n_owned)
        self.bar.set_scalars(0, bar @ readout.weights[0].T)
        energies = np.zeros(self.run.n_atoms)
        energies[self.order] = prepared.constants[elements] + scale * values[:, 0]
        return energies

    def edge_gradients(self) -> Reals:
        """dE/dr_ij (n_edges, 3), eV/Angstrom, once energies are there."""
        bar = self.bar
        pieces = chunks(self.costs)
        for step in self.steps[::-1]:
            bar = self._back(step, bar, pieces)
        return self._gradients()

    def invariants(self) -> Reals:
        """Scalars 0e after every layer."""
        found = np.concatenate([step.result.scalars(0) for step in self.steps], axis=1)
        ordered = np.zeros((self.run.n_atoms, found.shape[1]), found.dtype)
        ordered[self.order] = found
        return ordered

    def _back(self, step: Step, bar: Features, pieces: list[tuple[int, int]]) -> Features:
        """Through one layer: the gradient in its input, of the first that in its output."""
        if step.h is None:
            self.shares.atoms(lambda thread, start, stop: step.reverse(thread, bar, start, stop))
            return bar
        self.shares.items(lambda thread, start, stop: step.clear(start, stop), self.run.n_atoms)
        for first in range(0, len(pieces), self.shares.count):
            wave = pieces[first : first + self.shares.count]

            def work(thread: int, start: int, stop: int, wave: Any = wave) -> None:
                for k in range(start, stop):
                    step.reverse(k, bar, *wave[k])

            def add(thread: int, start: int, stop: int, wave: Any = wave) -> None:
                for k, piece in enumerate(wave):
                    step.add(k, piece, start, stop)

            self.shares.items(work, len(wave))
            self.shares.items(add, self.run.n_atoms)
        step.collect_from_ghosts()
        self.shares.atoms(lambda thread, start, stop: step.collect(start, stop))
        return step.h_bar

    def _gradients(self) -> Reals:
        system, geometry, inference = self.system, self.geometry, self.inference
        n_edges, dtype = len(system.vectors), inference.numpy_dtype
        bars = edges.EdgeGradients(np.zeros(n_edges, dtype), np.zeros_like(geometry.harmonics))
        bars.distance[self.kept] = self.run.bars[:, -1]
        bars.harmonics[:, self.kept] = self.run.bars[:, :-1].T
        gradients = np.empty((n_edges, 3), dtype)

        def work(thread: int, start: int, stop: int) -> None:
            rows = np.empty((harmonics.REVERSE_ROWS, edges.BLOCK), dtype)
            edges.edge_gradients(start, stop, inference._norms, geometry, bars, rows, gradients)

        self.shares.items(work, n_edges)
        return gradients


def _fill(vectors: Reals, prepared: Prepared, inference: Inference) -> edges.Edges:
    dtype, n_edges = inference.numpy_dtype, len(vectors)
    found = edges.make_edges(n_edges, inference.model.degree, dtype)
    rows, t = np.empty((harmonics.FORWARD_ROWS, edges.BLOCK), dtype), np.empty((2, edges.BLOCK))
    edges.fill_all(0, n_edges, vectors, prepared.knots, inference._norms, found, t, rows)
    return found


def _arrange(
    elements: Integers,
    order: Integers,
    system: System,
    geometry: edges.Edges,
    kept: Integers,
    prepared: Prepared,
) -> Surroundings:
    """Atoms in this order, ghosts behind them, and those of their edges within the cutoff."""
    rank = np.arange(len(elements))
    rank[order] = np.arange(len(order))
    bounds = np.searchsorted(kept, system.row_pointer)
    senders, knot = system.neighbors[kept], geometry.knot[kept]
    splines = np.concatenate([geometry.basis, geometry.slope])
    return Surroundings(
        edges=np.stack([bounds[:-1], bounds[1:]], axis=1)[order],
        senders=rank[senders],
        rows=ROWS * knot,
        element_rows=ROWS * (knot + prepared.knots.size * elements[senders]),
        splines=np.ascontiguousarray(splines[:, kept].T),
        harmonics=np.ascontiguousarray(geometry.harmonics[:, kept].T),
    )
