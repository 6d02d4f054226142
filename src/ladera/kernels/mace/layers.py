"""The steps of a layer, forward and back, each on a range of atoms that one thread has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ladera.arrays import Reals
from ladera.kernels.mace import density, gates, messages, moments, products
from ladera.kernels.mace.geometry import Edges
from ladera.kernels.mace.layout import Atoms, blocks, layout
from ladera.kernels.mace.linear import multiply
from ladera.kernels.mace.prepared import Gate, Matrices, Product, Sum
from ladera.kernels.threads import Shares


class Memory:
    """Buffers that are kept between evaluations, by name."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._buffers: dict[str, Reals] = {}

    def get(self, name: str, size: int) -> Reals:
        """A flat buffer of ``size`` numbers with whatever is in it."""
        held = self._buffers.get(name)
        if held is None or held.size < size:
            held = self._buffers[name] = np.zeros(size, self._dtype)
        return held[:size]


@dataclass(frozen=True, eq=False)
class Run:
    """One evaluation: the structure, its edges, and gradients that all layers add to."""

    atoms: Atoms
    starts: list[int]  # where each element's atoms begin; one more at the end
    channels: int
    degree: int
    shares: Shares
    edges: Edges
    distance_bar: Reals  # (n_edges,)
    harmonics_bar: Reals  # (n_lm, n_edges)
    memory: Memory

    @property
    def n_atoms(self) -> int:
        """How many atoms there are."""
        return len(self.atoms.elements)

    def most_neighbors(self, begin: int, end: int) -> int:
        """Of any atom in a range."""
        rows = self.atoms.rows[begin:end]
        return int((rows[:, 1] - rows[:, 0]).max(initial=0))

    def features(self, name: str, columns: Sequence[int], channels: int) -> Features:
        """Room for features that have ``columns[l]`` rows of (l, m)."""
        size = sum((2 * l + 1) * count for l, count in enumerate(columns))
        flat = self.memory.get(name, self.n_atoms * size * channels)
        return Features(self, flat, blocks(flat, columns, self.n_atoms, channels))


@dataclass(frozen=True, eq=False)
class Features:
    """Features of all atoms, the matrices of all degrees one after another."""

    run: Run
    flat: Reals
    degrees: list[Reals]  # (n_atoms * (2 l + 1), columns * channels) each

    def of(self, begin: int, end: int) -> list[Reals]:
        """The matrices of a range of atoms."""
        return [
            block[begin * (2 * l + 1) : end * (2 * l + 1)] for l, block in enumerate(self.degrees)
        ]

    def times(
        self,
        matrices: Sequence[Matrices],
        target: Features,
        begin: int,
        end: int,
        add: bool = False,
    ) -> None:
        """target (+)= self @ matrix for each degree, of a range of atoms."""
        starts = self.run.starts
        for l, choices in enumerate(matrices):
            source, result, width = self.degrees[l], target.degrees[l], 2 * l + 1
            for z, matrix in enumerate(choices):
                first, last = (begin, end) if len(choices) == 1 else starts[z : z + 2]
                rows = slice(max(begin, first) * width, min(end, last) * width)
                if rows.start < rows.stop:
                    multiply(source[rows], matrix, result[rows], add)


class SumStep:
    """Sum over neighbours and the linear map behind it: h to A, dE/dA to dE/dh."""

    def __init__(self, run: Run, layer: Sum, t: int, h: Features | None) -> None:
        self.run, self.layer, self.h = run, layer, h
        self.width = layer.table.shape[1] if layer.couplings is None else layer.up[0][0].shape[1]
        ones = (1,) * (run.degree + 1)
        self.A, self.A_bar = (run.features(name, ones, run.channels) for name in (f"A{t}", "A_bar"))
        self.M = run.features("M", layer.columns, self.width)
        self.message, self.message_bar = self.A, self.A_bar
        if layer.gate is not None:
            scalars = (1 + run.degree, *ones[1:])
            names = (f"message{t}", "message_bar", f"open{t}", "open_bar")
            features = [run.features(name, scalars, run.channels) for name in names]
            self.message, self.message_bar, self.open, self.open_bar = features
            self.gated = run.features("gated", ones, run.channels)
        if layer.density is not None:
            self.inverse = run.memory.get(f"inverse{t}", run.n_atoms)
        if h is None or layer.couplings is None:
            return
        senders = (1,) * len(layer.up)
        self.senders = layout(senders)
        self.x = run.features(f"x{t}", senders, self.width)
        size = self.x.flat.size
        copies = run.memory.get("x_bar", run.shares.count * size).reshape(-1, size)
        self.x_bars = [
            Features(run, copy, blocks(copy, senders, run.n_atoms, self.width)) for copy in copies
        ]
        self.h_bar = run.features(f"h_bar{t}", (1,) * layer.n_input, run.channels)

    def send(self, begin: int, end: int) -> None:
        """What these atoms give to their neighbours' messages."""
        if self.h is not None:
            self.h.times(self.layer.up, self.x, begin, end)

    def forward(self, begin: int, end: int) -> None:
        """A of these atoms."""
        run, layer, M = self.run, self.layer, self.M
        if layer.couplings is None:
            b = np.zeros((5, self.width), M.flat.dtype)
            moments.forward(begin, end, run.atoms, run.edges, layer.table, layer.places, M.flat, b)
        else:
            scratch = self._scratch(layer.couplings, begin, end)
            messages.forward(
                begin, end, run.atoms, layer.couplings, run.edges, layer.table,
                self.senders, self.x.flat, layer.places, M.flat, scratch,
            )  # fmt: skip
        M.times(layer.mix, self.message, begin, end)
        if layer.density is not None:
            density.forward(
                begin, end, run.atoms, run.edges, layer.density, layer.least_density, self.inverse
            )
            for block in self.message.of(begin, end):
                block.reshape(end - begin, -1)[:] *= self.inverse[begin:end, None]
        if layer.gate is not None:
            self._gate(layer.gate, begin, end)

    def _gate(self, gate: Gate, begin: int, end: int) -> None:
        """From the message to A."""
        both, atoms = self.open.of(begin, end), slice(begin, end)
        for total, part in zip(both, self.message.of(begin, end), strict=True):
            total[:] = part
        if gate.constants is not None:
            both[0] += gate.constants[self.run.atoms.elements[atoms]]
        if self.h is not None:
            self.h.times(gate.rest, self.open, begin, end, add=True)
        gates.forward(both, self.gated.of(begin, end))
        self.gated.times(gate.last, self.A, begin, end)

    def _gate_reverse(self, gate: Gate, begin: int, end: int) -> None:
        """From dE/dA to that of the message."""
        self.A_bar.times(gate.last_transposed, self.gated, begin, end)
        bar = self.open_bar.of(begin, end)
        gates.reverse(self.open.of(begin, end), self.gated.of(begin, end), bar)
        for copy, part in zip(self.message_bar.of(begin, end), bar, strict=True):
            copy[:] = part

    def reverse(self, thread: int, begin: int, end: int) -> None:
        """Gradients of these atoms' edges, and of their neighbours' features, from dE/dA."""
        run, layer, M = self.run, self.layer, self.M
        if layer.gate is not None:
            self._gate_reverse(layer.gate, begin, end)
        if layer.density is not None:
            self._divide_reverse(layer.density, begin, end)
        self.message_bar.times(layer.mix_transposed, M, begin, end)
        if layer.couplings is None:
            b = np.zeros((5, self.width), M.flat.dtype)
            moments.reverse(
                begin, end, run.atoms, run.edges, layer.table, layer.places, M.flat,
                run.distance_bar, run.harmonics_bar, b,
            )  # fmt: skip
            return
        x_bar = self.x_bars[thread].flat
        x_bar[:] = 0
        scratch = self._scratch(layer.couplings, begin, end)
        messages.reverse(
            begin, end, run.atoms, layer.couplings, run.edges, layer.table,
            self.senders, self.x.flat, x_bar, layer.places, M.flat,
            run.distance_bar, run.harmonics_bar, scratch,
        )  # fmt: skip

    def collect(self, begin: int, end: int) -> None:
        """dE/dh of these atoms from what all threads have found."""
        first, *others = self.x_bars
        for other in others:
            for total, part in zip(first.of(begin, end), other.of(begin, end), strict=True):
                total += part
        for block in self.h_bar.of(begin, end)[len(self.layer.up) :]:
            block[:] = 0  # of these degrees nothing was sent
        first.times(self.layer.up_transposed, self.h_bar, begin, end)
        if self.layer.gate is not None:
            self.open_bar.times(self.layer.gate.rest_transposed, self.h_bar, begin, end, add=True)

    def _divide_reverse(self, table: Reals, begin: int, end: int) -> None:
        run, inverse = self.run, self.inverse[begin:end]
        bar = np.zeros(end - begin, inverse.dtype)
        messages = (features.of(begin, end) for features in (self.message, self.message_bar))
        for value, gradient in zip(*messages, strict=True):
            bar -= np.einsum("ik,ik->i", *(x.reshape(end - begin, -1) for x in (value, gradient)))
            gradient.reshape(end - begin, -1)[:] *= inverse[:, None]
        bar *= inverse
        density.reverse(begin, end, run.atoms, run.edges, table, bar, run.distance_bar)

    def _scratch(self, plan: messages.Couplings, begin: int, end: int) -> messages.Scratch:
        most = self.run.most_neighbors(begin, end)
        return messages.make_scratch(plan, most, self.width, self.M.flat.dtype)


class ProductStep:
    """Product basis, the linear map behind it, and the skip: A and h to h', and back."""

    def __init__(self, run: Run, layer: Product, t: int, summation: SumStep) -> None:
        self.run, self.layer, self.h = run, layer, summation.h
        self.A, self.A_bar = summation.A, summation.A_bar
        ones = (1,) * len(layer.out)
        self.places = layout((1,) * (run.degree + 1))
        self.B = run.features("B", ones, run.channels)
        self.result = run.features(f"h{t}", ones, layer.out[0][0].shape[1])

    def forward(self, begin: int, end: int) -> None:
        """h' of these atoms."""
        run, layer = self.run, self.layer
        values = np.zeros((layer.depth, run.channels), self.A.flat.dtype)
        products.forward(
            begin, end, run.atoms, layer.nodes, layer.coefficients, self.places, self.A.flat,
            layer.places, self.B.flat, values,
        )  # fmt: skip
        self.B.times(layer.out, self.result, begin, end)
        if layer.constants is not None:
            self.result.degrees[0][begin:end] += layer.constants[run.atoms.elements[begin:end]]
        if self.h is not None:
            self.h.times(layer.skip, self.result, begin, end, add=True)

    def reverse(self, bar: Features, begin: int, end: int) -> None:
        """dE/dA of these atoms from dE/dh'."""
        run, layer = self.run, self.layer
        bar.times(layer.out_transposed, self.B, begin, end)
        values, bars = np.zeros((2, layer.depth, run.channels), self.A.flat.dtype)
        products.reverse(
            begin, end, run.atoms, layer.nodes, layer.coefficients, self.places, self.A.flat,
            self.A_bar.flat, layer.places, self.B.flat, values, bars,
            np.zeros(layer.depth, np.int64),
        )  # fmt: skip

    def skip_reverse(self, bar: Features, h_bar: Features, begin: int, end: int) -> None:
        """Add what went past the product to dE/dh."""
        bar.times(self.layer.skip_transposed, h_bar, begin, end, add=True)
