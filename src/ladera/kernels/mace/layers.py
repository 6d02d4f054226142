"""The steps of a layer, forward and back, each on a range of atoms that one thread has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ladera.arrays import Reals
from ladera.kernels.edges import EdgeGradients, Edges
from ladera.kernels.ghosts import Ghosts
from ladera.kernels.mace import density, first_layer, gates, messages, products
from ladera.kernels.mace.layout import Atoms, Rows, blocks, layout
from ladera.kernels.mace.linear import Linear, multiply
from ladera.kernels.mace.prepared import Gate, Product, Sum
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
    """One evaluation: the structure, its edges, and gradients that all layers add to.

    Loops go over owned atoms, which are all where there are no ghosts.
    """

    atoms: Atoms
    ghosts: Ghosts | None
    starts: list[int]  # where each element's atoms start; one more at the stop
    channels: int
    degree: int
    shares: Shares
    edges: Edges
    bars: EdgeGradients
    memory: Memory

    @property
    def n_owned(self) -> int:
        """How many atoms the loops go over."""
        return len(self.atoms.rows)

    @property
    def n_atoms(self) -> int:
        """How many atoms there are with ghosts."""
        return len(self.atoms.elements)

    def most_neighbors(self, start: int, stop: int) -> int:
        """Of any atom in a range."""
        rows = self.atoms.rows[start:stop]
        return int((rows[:, 1] - rows[:, 0]).max(initial=0))

    def features(self, name: str, columns: tuple[int, ...], channels: int) -> Features:
        """Room for features of owned atoms that have ``columns[l]`` rows of (l, m)."""
        size = sum((2 * l + 1) * count for l, count in enumerate(columns))
        flat = self.memory.get(name, self.n_owned * size * channels)
        return Features(self, flat, columns, self.n_owned, channels)


class Features:
    """Features of atoms in a flat buffer, the matrices of all degrees one after another."""

    def __init__(
        self, run: Run, flat: Reals, columns: tuple[int, ...], n_atoms: int, channels: int
    ) -> None:
        self.run = run
        self.rows = Rows(flat, layout(columns))
        # (n_atoms * (2 l + 1), columns * channels) each
        self.degrees = blocks(flat, columns, n_atoms, channels)

    def part(self, start: int, stop: int) -> list[Reals]:
        """The matrices of a range of atoms."""
        return [
            block[start * (2 * l + 1) : stop * (2 * l + 1)] for l, block in enumerate(self.degrees)
        ]

    def times(
        self, linear: Linear, target: Features, start: int, stop: int, add: bool = False
    ) -> None:
        """target (+)= self @ matrix for each degree, of a range of atoms."""
        for l, choices in enumerate(linear.degrees):
            source, result, width = self.degrees[l], target.degrees[l], 2 * l + 1
            for z, matrix in enumerate(choices):
                low, high = (start, stop) if len(choices) == 1 else self.run.starts[z : z + 2]
                rows = slice(max(start, low) * width, min(stop, high) * width)
                if rows.start < rows.stop:
                    multiply(source[rows], matrix, result[rows], add)


class SumStep:
    """Sum over neighbours and the linear map behind it: h to A, dE/dA to dE/dh."""

    def __init__(self, run: Run, layer: Sum, t: int, h: Features | None) -> None:
        self.run, self.layer, self.h = run, layer, h
        self.width = layer.table.shape[1]
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
            self.inverse = run.memory.get(f"inverse{t}", run.n_owned)
        if h is None or layer.couplings is None:
            return
        senders = (1,) * len(layer.up.degrees)
        size = run.n_atoms * sum(2 * l + 1 for l in range(len(senders))) * self.width
        flat = run.memory.get(f"x{t}", size), run.memory.get("x_bar", run.shares.count * size)
        copies = (flat[1][k * size : (k + 1) * size] for k in range(run.shares.count))
        self.x, *self.x_bars = (
            Features(run, buffer, senders, run.n_atoms, self.width) for buffer in (flat[0], *copies)
        )
        self.h_bar = run.features(f"h_bar{t}", (1,) * layer.n_input, run.channels)

    def send(self, start: int, stop: int) -> None:
        """What these atoms give to their neighbours' messages."""
        if self.h is not None:
            self.h.times(self.layer.up, self.x, start, stop)

    def send_to_ghosts(self) -> None:
        """Ghosts give what their owners do."""
        if self.run.ghosts is not None:
            self.run.ghosts.send(self._of_atoms(self.x))

    def collect_from_ghosts(self) -> None:
        """Add dE/dx of ghosts, from all threads, to that of their owners."""
        if self.run.ghosts is None:
            return
        first, *others = self.x_bars
        for other in others:
            ghosts = (each.part(self.run.n_owned, self.run.n_atoms) for each in (first, other))
            for total, part in zip(*ghosts, strict=True):
                total += part
        self.run.ghosts.collect(self._of_atoms(first))

    def _of_atoms(self, features: Features) -> list[Reals]:
        return [_by_atom(block, self.run.n_atoms) for block in features.degrees]

    def forward(self, start: int, stop: int) -> None:
        """A of these atoms."""
        run, layer, M = self.run, self.layer, self.M
        if layer.couplings is None:
            b = np.zeros((5, self.width), layer.table.dtype)
            first_layer.forward(start, stop, run.atoms, run.edges, layer.table, M.rows, b)
        else:
            scratch = self._scratch(layer.couplings, start, stop)
            messages.forward(
                start, stop, run.atoms, run.edges, layer.couplings, self.x.rows, M.rows, scratch
            )
        M.times(layer.mix, self.message, start, stop)
        if layer.density is not None:
            density.forward(
                start, stop, run.atoms, run.edges, layer.density, layer.least_density, self.inverse
            )
            for block in self.message.part(start, stop):
                _by_atom(block, stop - start)[:] *= self.inverse[start:stop, None]
        if layer.gate is not None:
            self._gate(layer.gate, start, stop)

    def _gate(self, gate: Gate, start: int, stop: int) -> None:
        """From the message to A."""
        both, atoms = self.open.part(start, stop), slice(start, stop)
        for total, part in zip(both, self.message.part(start, stop), strict=True):
            total[:] = part
        if gate.constants is not None:
            both[0] += gate.constants[self.run.atoms.elements[atoms]]
        if self.h is not None:
            self.h.times(gate.rest, self.open, start, stop, add=True)
        gates.forward(both, self.gated.part(start, stop))
        self.gated.times(gate.last, self.A, start, stop)

    def _gate_reverse(self, gate: Gate, start: int, stop: int) -> None:
        """From dE/dA to that of the message."""
        self.A_bar.times(gate.last.transposed, self.gated, start, stop)
        bar = self.open_bar.part(start, stop)
        gates.reverse(self.open.part(start, stop), self.gated.part(start, stop), bar)
        for copy, part in zip(self.message_bar.part(start, stop), bar, strict=True):
            copy[:] = part

    def reverse(self, thread: int, start: int, stop: int) -> None:
        """Gradients of these atoms' edges, and of their neighbours' features, from dE/dA."""
        run, layer, M = self.run, self.layer, self.M
        if layer.gate is not None:
            self._gate_reverse(layer.gate, start, stop)
        if layer.density is not None:
            self._divide_reverse(layer.density, start, stop)
        self.message_bar.times(layer.mix.transposed, M, start, stop)
        if layer.couplings is None:
            b = np.zeros((3, self.width), layer.table.dtype)
            first_layer.reverse(start, stop, run.atoms, run.edges, layer.table, M.rows, run.bars, b)
            return
        x_bar = self.x_bars[thread].rows
        x_bar.flat[:] = 0
        scratch = self._scratch(layer.couplings, start, stop)
        messages.reverse(
            start, stop, run.atoms, run.edges, layer.couplings, self.x.rows, x_bar, M.rows,
            run.bars, scratch,
        )  # fmt: skip

    def collect(self, start: int, stop: int) -> None:
        """dE/dh of these atoms from what all threads have found."""
        first, *others = self.x_bars
        for other in others:
            for total, part in zip(first.part(start, stop), other.part(start, stop), strict=True):
                total += part
        for block in self.h_bar.part(start, stop)[len(self.layer.up.degrees) :]:
            block[:] = 0  # of these degrees nothing was sent
        first.times(self.layer.up.transposed, self.h_bar, start, stop)
        if self.layer.gate is not None:
            self.open_bar.times(self.layer.gate.rest.transposed, self.h_bar, start, stop, add=True)

    def _divide_reverse(self, table: Reals, start: int, stop: int) -> None:
        run, inverse = self.run, self.inverse[start:stop]
        bar = np.zeros(stop - start, inverse.dtype)
        messages = (features.part(start, stop) for features in (self.message, self.message_bar))
        for value, gradient in zip(*messages, strict=True):
            rows = [_by_atom(block, stop - start) for block in (value, gradient)]
            bar -= np.einsum("ik,ik->i", *rows)
            rows[1][:] *= inverse[:, None]
        bar *= inverse
        density.reverse(start, stop, run.atoms, run.edges, table, bar, run.bars.distance)

    def _scratch(self, plan: messages.Couplings, start: int, stop: int) -> messages.Scratch:
        return messages.make_scratch(plan, self.run.most_neighbors(start, stop))


def _by_atom(block: Reals, n_atoms: int) -> Reals:
    """Rows (l, m) of atoms (n_atoms * (2 l + 1), n) as one row for each, also where none is."""
    return block.reshape(n_atoms, len(block) // max(n_atoms, 1) * block.shape[1])


class ProductStep:
    """Product basis, the linear map behind it, and the skip: A and h to h', and back."""

    def __init__(self, run: Run, layer: Product, t: int, summation: SumStep) -> None:
        self.run, self.layer, self.h = run, layer, summation.h
        self.A, self.A_bar = summation.A, summation.A_bar
        ones = (1,) * len(layer.out.degrees)
        self.B = run.features("B", ones, run.channels)
        self.result = run.features(f"h{t}", ones, layer.out.degrees[0][0].shape[1])

    def forward(self, start: int, stop: int) -> None:
        """h' of these atoms."""
        run, layer = self.run, self.layer
        values = np.zeros((layer.depth, run.channels), layer.coefficients.dtype)
        products.forward(
            start,
            stop,
            run.atoms,
            layer.nodes,
            layer.coefficients,
            self.A.rows,
            self.B.rows,
            values,
        )
        self.B.times(layer.out, self.result, start, stop)
        if layer.constants is not None:
            self.result.degrees[0][start:stop] += layer.constants[run.atoms.elements[start:stop]]
        if self.h is not None:
            self.h.times(layer.skip, self.result, start, stop, add=True)

    def reverse(self, bar: Features, start: int, stop: int) -> None:
        """dE/dA of these atoms from dE/dh'."""
        run, layer = self.run, self.layer
        bar.times(layer.out.transposed, self.B, start, stop)
        values, bars = np.zeros((2, layer.depth, run.channels), layer.coefficients.dtype)
        scratch = products.Scratch(values, bars, np.zeros(layer.depth, np.int64))
        products.reverse(
            start, stop, run.atoms, layer.nodes, layer.coefficients, self.A.rows, self.A_bar.rows,
            self.B.rows, scratch,
        )  # fmt: skip

    def skip_reverse(self, bar: Features, h_bar: Features, start: int, stop: int) -> None:
        """Add what went past the product to dE/dh."""
        bar.times(self.layer.skip.transposed, h_bar, start, stop, add=True)
