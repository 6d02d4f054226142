"""Energies and edge gradients of a MACE: one pass forward and one back.

Atoms are sorted by element, so that matrices of an element multiply one block of rows. Threads
share the atoms out in ranges with equal numbers of edges. The gradients of the senders' features,
which threads would write at the same places, have a copy for each thread; the copies are added in
a fixed order.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from ladera.arrays import Integers, Reals
from ladera.kernels import edges, harmonics
from ladera.kernels.edges import System
from ladera.kernels.ghosts import Ghosts
from ladera.kernels.mace.layers import Features, Memory, ProductStep, Run, SumStep
from ladera.kernels.mace.layout import Atoms
from ladera.kernels.mace.prepared import Preparation, Prepared
from ladera.kernels.mace.tables import Model
from ladera.kernels.threads import Shares

ATOM_COST = 32  # edges that cost about as much as an atom itself


class Inference:
    """A model ready to run in one precision."""

    def __init__(self, model: Model, dtype: torch.dtype) -> None:
        self.model = model
        self.dtype = dtype
        self.numpy_dtype: np.dtype[Any] = np.dtype(str(dtype).removeprefix("torch."))
        self._preparation = Preparation(model, dtype)
        self._memory = Memory(self.numpy_dtype)
        self._lock = Lock()  # the memory serves one evaluation at a time
        self._norms = harmonics.norms(model.degree)

    def energies_and_edge_gradients(self, system: System) -> tuple[Reals, Reals]:
        """Energies (n_atoms,) in eV, float64, and dE/dr_ij (n_edges, 3) in eV/Angstrom.

        Ghosts have 0.
        """
        with self._lock:
            prepared, local = self._prepare(system)
            run, order, steps = self._forward(system, prepared, local)
            readouts, bar = self._last_readout(run, steps[-1][1].result)
            for (_, product), readout in zip(steps, prepared.readouts, strict=False):
                readouts += np.einsum("ic,c->i", product.result.degrees[0], readout)
            for t in range(len(steps) - 1, -1, -1):
                bar = self._reverse(run, steps, t, bar, prepared.readouts)
            constants = prepared.constants[run.atoms.elements[: run.n_owned]]
            energies = np.zeros(run.n_atoms)
            energies[order] = constants + self.model.scale * readouts
            return energies, self._edge_gradients(run)

    def invariants(self, system: System) -> Reals:
        """Features of degree 0 after every layer, (n_atoms, layers * channels)."""
        with self._lock:
            prepared, local = self._prepare(system)
            prepared = self._preparation.unfolded(prepared)
            run, order, steps = self._forward(system, prepared, local)
            invariants = np.zeros((run.n_atoms, len(steps) * run.channels), self.numpy_dtype)
            features = [product.result.degrees[0] for _, product in steps]
            invariants[order] = np.concatenate(features, axis=1)
            return invariants

    def features(self, system: System) -> list[Reals]:
        """Features after every layer, (n_atoms, components, channels), degree after degree."""
        with self._lock:
            prepared, local = self._prepare(system)
            run, order, steps = self._forward(system, self._preparation.unfolded(prepared), local)
            found = []
            for _, product in steps:
                degrees = product.result.degrees
                parts = [
                    part.reshape(run.n_owned, 2 * l + 1, run.channels)
                    for l, part in enumerate(degrees)
                ]
                joined = np.concatenate(parts, axis=1)
                features = np.zeros((run.n_atoms, *joined.shape[1:]), joined.dtype)
                features[order] = joined
                found.append(features)
            return found

    def _prepare(self, system: System) -> tuple[Prepared, Integers]:
        """What the elements of a system need, and which of them each atom is."""
        present, local = np.unique(system.species, return_inverse=True)
        return self._preparation.of(tuple(present.tolist()) or (0,)), local

    def _forward(
        self, system: System, prepared: Prepared, local: Integers
    ) -> tuple[Run, Integers, list[tuple[SumStep, ProductStep]]]:
        """The run, the order of its atoms, and its layers, which hold their results."""
        order = np.argsort(local[: len(system.row_pointer) - 1], kind="stable")
        atoms = arrange(local, order, system.row_pointer, system.neighbors, prepared)
        ghosts = None if system.halo is None else Ghosts(system.halo, order)
        run = self._start(prepared, atoms, ghosts, system.vectors)
        steps: list[tuple[SumStep, ProductStep]] = []
        for t, layers in enumerate(zip(prepared.sums, prepared.products, strict=True)):
            summation = SumStep(run, layers[0], t, steps[-1][1].result if steps else None)
            steps.append((summation, ProductStep(run, layers[1], t, summation)))
        for t, (summation, product) in enumerate(steps):
            following = steps[t + 1][0] if t + 1 < len(steps) else None

            def work(
                thread: int,
                start: int,
                stop: int,
                summation: SumStep = summation,
                product: ProductStep = product,
                following: SumStep | None = following,
            ) -> None:
                summation.forward(start, stop)
                product.forward(start, stop)
                if following is not None:
                    following.send(start, stop)

            run.shares.atoms(work)
            if following is not None:
                following.send_to_ghosts()
        return run, order, steps

    def _reverse(
        self,
        run: Run,
        steps: list[tuple[SumStep, ProductStep]],
        t: int,
        bar: Features,
        readouts: list[Reals],
    ) -> Features:
        """Back through layer t; the gradient of its input, 0 of the first layer's."""
        summation, product = steps[t]

        def work(thread: int, start: int, stop: int) -> None:
            product.reverse(bar, start, stop)
            summation.reverse(thread, start, stop)

        run.shares.atoms(work)
        if t == 0:
            return bar
        summation.collect_from_ghosts()

        def collect(thread: int, start: int, stop: int) -> None:
            summation.collect(start, stop)
            product.skip_reverse(bar, summation.h_bar, start, stop)
            summation.h_bar.degrees[0][start:stop] += self.model.scale * readouts[t - 1]

        run.shares.atoms(collect)
        return summation.h_bar

    def _last_readout(self, run: Run, x: Features) -> tuple[Reals, Features]:
        """Energies over scale, and the gradient of the energies in x.

        x is h' times the first matrix of the network.
        """
        readout = self.model.last_readout
        values, slopes = x.degrees[0].astype(np.float64), []
        for k, weight in enumerate(readout.weights[1:]):
            gated, slope = GATES[readout.gate](values)
            slopes.append(slope)
            values = readout.factor * np.einsum("ij,jk->ik", gated, weight)
            if readout.biases:
                values += readout.biases[k]
        bar = np.full_like(values, self.model.scale)
        for slope, weight in zip(slopes[::-1], readout.weights[:0:-1], strict=True):
            bar = readout.factor * slope * np.einsum("ij,kj->ik", bar, weight)
        gradient = run.features("readout", (1,), bar.shape[1])
        gradient.degrees[0][:] = bar
        return values[:, 0].copy(), gradient

    def _start(
        self, prepared: Prepared, atoms: Atoms, ghosts: Ghosts | None, vectors: Reals
    ) -> Run:
        degree, n_edges = self.model.degree, len(vectors)
        elements = atoms.elements[: len(atoms.rows)]
        run = Run(
            atoms=atoms,
            ghosts=ghosts,
            starts=np.searchsorted(elements, range(len(prepared.present) + 1)).tolist(),
            channels=self.model.channels,
            degree=degree,
            shares=Shares(atoms.rows[:, 1] - atoms.rows[:, 0] + ATOM_COST),
            edges=edges.make_edges(n_edges, degree, self.numpy_dtype),
            bars=edges.EdgeGradients(
                distance=np.zeros(n_edges, self.numpy_dtype),
                harmonics=np.zeros(((degree + 1) ** 2, n_edges), self.numpy_dtype),
            ),
            memory=self._memory,
        )

        def work(thread: int, start: int, stop: int) -> None:
            rows, t = (
                np.empty((harmonics.FORWARD_ROWS, edges.BLOCK), self.numpy_dtype),
                np.empty((2, edges.BLOCK)),
            )
            edges.fill_all(start, stop, vectors, prepared.knots, self._norms, run.edges, t, rows)

        run.shares.items(work, n_edges)
        return run

    def _edge_gradients(self, run: Run) -> Reals:
        gradients = np.empty((len(run.bars.distance), 3), self.numpy_dtype)

        def work(thread: int, start: int, stop: int) -> None:
            rows = np.empty((harmonics.REVERSE_ROWS, edges.BLOCK), self.numpy_dtype)
            edges.edge_gradients(start, stop, self._norms, run.edges, run.bars, rows, gradients)

        run.shares.items(work, len(gradients))
        return gradients


def arrange(
    elements: Integers,
    order: Integers,
    row_pointer: Integers,
    neighbors: Integers,
    prepared: Prepared,
) -> Atoms:
    """Atoms in this order, from those of the graph; ghosts stay where they are, behind them."""
    n_owned = len(order)
    rank = np.arange(len(elements))
    rank[order] = np.arange(n_owned)
    rows = np.stack([row_pointer[:-1], row_pointer[1:]], axis=1)[order]
    if prepared.pair_base.any():
        centers = np.repeat(elements[:n_owned], np.diff(row_pointer))
        pairs = prepared.pair_base[centers, elements[neighbors]]
    else:
        pairs = np.zeros(len(neighbors), np.int64)
    ordered = np.concatenate([elements[order], elements[n_owned:]])
    return Atoms(ordered, rows, rank[neighbors], pairs)


def _silu(x: Reals) -> tuple[Reals, Reals]:
    sigmoid = expit(x)
    return x * sigmoid, sigmoid * (1 + x * (1 - sigmoid))


def _tanh(x: Reals) -> tuple[Reals, Reals]:
    t = np.tanh(x)
    return t, 1 - t * t


def _absolute(x: Reals) -> tuple[Reals, Reals]:
    return np.abs(x), np.sign(x)


GATES = {"silu": _silu, "tanh": _tanh, "abs": _absolute}
