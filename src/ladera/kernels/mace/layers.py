"""The steps of a layer, forward and back, on all atoms of a structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ladera.kernels.mace import messages, moments, products
from ladera.kernels.mace.density import density_forward, density_reverse
from ladera.kernels.mace.geometry import Edges
from ladera.kernels.mace.layout import Atoms, blocks, layout
from ladera.kernels.mace.prepared import Matrices, Product, Sum
from ladera.kernels.mace.tables import Floats
from ladera.kernels.mace.threads import Shares


@dataclass(frozen=True, eq=False)
class Run:
    """One evaluation: the structure, its edges, and gradients that all layers add to."""

    atoms: Atoms
    starts: list[int]  # where each element's atoms begin; one more at the end
    channels: int
    degree: int
    dtype: torch.dtype
    shares: Shares
    edges: Edges
    distance_bar: Floats  # (n_edges,)
    harmonics_bar: Floats  # (n_lm, n_edges)
    memory: Memory

    @property
    def n_atoms(self) -> int:
        """How many atoms there are."""
        return len(self.atoms.elements)

    @property
    def most_neighbors(self) -> int:
        """Of any atom."""
        rows = self.atoms.rows
        return int((rows[:, 1] - rows[:, 0]).max(initial=0))

    def invariants(self, h: Tensor) -> Tensor:
        """The part of degree 0 of features, (n_atoms, channels)."""
        return h[: self.n_atoms * self.channels].view(self.n_atoms, self.channels)

    def features(self, name: str, columns: tuple[int, ...], channels: int = 0) -> Tensor:
        """Room for features that have ``columns[l]`` rows of (l, m)."""
        size = sum((2 * l + 1) * count for l, count in enumerate(columns))
        return self.memory.get(name, self.n_atoms * size * (channels or self.channels))


class Memory:
    """Buffers that are kept between evaluations, by name."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._buffers: dict[str, Tensor] = {}

    def get(self, name: str, size: int) -> Tensor:
        """A flat buffer of ``size`` numbers with whatever is in it."""
        held = self._buffers.get(name)
        if held is None or held.numel() < size:
            held = self._buffers[name] = torch.zeros(size, dtype=self._dtype)
        return held[:size]


def multiply(
    run: Run, source: Tensor, matrices: Matrices, target: Tensor, transpose: bool, add: bool = False
) -> None:
    """target (+)= source @ matrix, or its transpose, with each element's own matrix if it has."""
    width = len(source) // run.n_atoms
    starts = [0, run.n_atoms] if len(matrices) == 1 else run.starts
    for matrix, begin, end in zip(matrices, starts[:-1], starts[1:], strict=True):
        factor = matrix.T if transpose else matrix
        rows = slice(begin * width, end * width)
        if add:
            target[rows].addmm_(source[rows], factor)
        else:
            torch.mm(source[rows], factor, out=target[rows])


class SumStep:
    """Sum over neighbours and the linear map behind it: h to A, dE/dA to dE/dh."""

    def __init__(self, run: Run, layer: Sum, t: int) -> None:
        self.run, self.layer, self.t = run, layer, t
        self.width = layer.table.shape[1] if layer.couplings is None else layer.up[0].shape[1]
        ones = (1,) * (run.degree + 1)
        self.A = run.features(f"A{t}", ones)

    def forward(self, h: Tensor | None) -> Tensor:
        """A of all atoms, flat."""
        run, layer = self.run, self.layer
        M = run.features("M", layer.columns, self.width)
        if layer.couplings is None:
            self._moments(M)
        else:
            assert h is not None
            self._messages(h, M)
        ones = (1,) * (run.degree + 1)
        sources = self._blocks(M, layer.columns, self.width)
        targets = self._blocks(self.A, ones, run.channels)
        for source, matrices, target in zip(sources, layer.mix, targets, strict=True):
            multiply(run, source, matrices, target, transpose=False)
        if layer.density is not None:
            self.inverse = density_forward(run, layer.density)
            for target in targets:
                target.view(run.n_atoms, -1).mul_(self.inverse[:, None])
        return self.A

    def reverse(self, A_bar: Tensor) -> Tensor | None:
        """dE/dh of all atoms, flat; None in the first layer. Adds to the edges' gradients."""
        run, layer = self.run, self.layer
        ones = (1,) * (run.degree + 1)
        bars = self._blocks(A_bar, ones, run.channels)
        if layer.density is not None:
            values = self._blocks(self.A, ones, run.channels)
            total = torch.zeros(run.n_atoms, dtype=run.dtype)
            for bar, value in zip(bars, values, strict=True):
                total += (bar * value).view(run.n_atoms, -1).sum(1)
                bar.view(run.n_atoms, -1).mul_(self.inverse[:, None])
            density_reverse(run, layer.density, -self.inverse * total)
        M_bar = run.features("M", layer.columns, self.width)
        targets = self._blocks(M_bar, layer.columns, self.width)
        for bar, matrices, target in zip(bars, layer.mix, targets, strict=True):
            multiply(run, bar, matrices, target, transpose=True)
        if layer.couplings is None:
            self._moments_reverse(M_bar)
            return None
        return self._messages_reverse(M_bar)

    def _blocks(self, buffer: Tensor, columns: tuple[int, ...], channels: int) -> list[Tensor]:
        return blocks(buffer, columns, self.run.n_atoms, channels)

    def _moments(self, S: Tensor) -> None:
        run, layer = self.run, self.layer
        out = S.numpy()

        def work(thread: int, begin: int, end: int) -> None:
            b = np.zeros((5, self.width), out.dtype)
            moments.forward(
                begin, end, run.atoms,
                run.edges, layer.table, layer.places, out, b,
            )  # fmt: skip

        run.shares.atoms(work)

    def _moments_reverse(self, S_bar: Tensor) -> None:
        run, layer = self.run, self.layer
        bar = S_bar.numpy()

        def work(thread: int, begin: int, end: int) -> None:
            b = np.zeros((5, self.width), bar.dtype)
            moments.reverse(
                begin, end, run.atoms,
                run.edges, layer.table, layer.places, bar,
                run.distance_bar, run.harmonics_bar, b,
            )  # fmt: skip

        run.shares.atoms(work)

    def _messages(self, h: Tensor, M: Tensor) -> None:
        run, layer, couplings = self.run, self.layer, self.layer.couplings
        assert couplings is not None
        ones = (1,) * len(layer.up)
        self.x = run.features(f"x{self.t}", ones, self.width)
        sources = self._blocks(h, ones, run.channels)
        targets = self._blocks(self.x, ones, self.width)
        for source, matrix, target in zip(sources, layer.up, targets, strict=True):
            torch.mm(source, matrix, out=target)
        x, out, places = self.x.numpy(), M.numpy(), layout(ones)

        def work(thread: int, begin: int, end: int) -> None:
            scratch = messages.make_scratch(couplings, run.most_neighbors, self.width, x.dtype)
            messages.forward(
                begin, end, run.atoms, couplings, run.edges, layer.table,
                places, x, layer.places, out, scratch,
            )  # fmt: skip

        run.shares.atoms(work)

    def _messages_reverse(self, M_bar: Tensor) -> Tensor:
        run, layer, couplings = self.run, self.layer, self.layer.couplings
        assert couplings is not None
        ones = (1,) * len(layer.up)
        x, bar, places = self.x.numpy(), M_bar.numpy(), layout(ones)
        count = run.shares.count
        copies = run.memory.get("x_bar", count * len(x)).view(count, -1)

        def work(thread: int, begin: int, end: int) -> None:
            scratch = messages.make_scratch(couplings, run.most_neighbors, self.width, x.dtype)
            x_bar = copies[thread].numpy()
            x_bar[:] = 0
            messages.reverse(
                begin, end, run.atoms, couplings, run.edges, layer.table,
                places, x, x_bar, layer.places, bar,
                run.distance_bar, run.harmonics_bar, scratch,
            )  # fmt: skip

        run.shares.atoms(work)
        x_bar = copies[0]
        for other in copies[1:]:
            x_bar += other
        h_bar = run.features(f"h_bar{self.t}", (1,) * layer.n_input)
        h_bar[run.n_atoms * run.channels * len(layer.up) ** 2 :] = 0  # degrees that send nothing
        sources = self._blocks(x_bar, ones, self.width)
        targets = self._blocks(h_bar, ones, run.channels)
        for source, matrix, target in zip(sources, layer.up, targets, strict=True):
            torch.mm(source, matrix.T, out=target)
        return h_bar


class ProductStep:
    """Product basis, the linear map behind it, and the skip: A and h to h', and back."""

    def __init__(self, run: Run, layer: Product, t: int) -> None:
        self.run, self.layer, self.t = run, layer, t
        self.places = layout((1,) * (run.degree + 1))
        self.width = layer.out[0].shape[1]

    def forward(self, A: Tensor, h: Tensor | None) -> Tensor:
        """h' of all atoms, flat."""
        run, layer = self.run, self.layer
        ones = (1,) * len(layer.out)
        self.A = A
        B = run.features("B", ones)
        a, b = A.numpy(), B.numpy()

        def work(thread: int, begin: int, end: int) -> None:
            values = np.zeros((int(layer.nodes.order.max()) + 1, run.channels), a.dtype)
            products.forward(
                begin, end, run.atoms, layer.nodes, layer.coefficients, self.places,
                a, layer.places, b, values,
            )  # fmt: skip

        run.shares.items(work, run.n_atoms)
        result = run.features(f"h{self.t}", ones, self.width)
        targets = blocks(result, ones, run.n_atoms, self.width)
        for source, matrix, target in zip(
            blocks(B, ones, run.n_atoms, run.channels), layer.out, targets, strict=True
        ):
            torch.mm(source, matrix, out=target)
        if layer.constants is not None:
            targets[0] += layer.constants[torch.from_numpy(run.atoms.elements)]
        for l, matrices in enumerate(layer.skip):
            assert h is not None
            source = blocks(h, (1,) * (l + 1), run.n_atoms, run.channels)[l]
            multiply(run, source, matrices, targets[l], transpose=False, add=True)
        return result

    def reverse(self, bar: Tensor) -> Tensor:
        """dE/dA of all atoms, flat, from dE/dh'."""
        run, layer = self.run, self.layer
        ones = (1,) * len(layer.out)
        B_bar, A_bar = run.features("B", ones), run.features("A_bar", (1,) * (run.degree + 1))
        sources = blocks(bar, ones, run.n_atoms, self.width)
        targets = blocks(B_bar, ones, run.n_atoms, run.channels)
        for source, matrix, target in zip(sources, layer.out, targets, strict=True):
            torch.mm(source, matrix.T, out=target)
        a, a_bar, b_bar = self.A.numpy(), A_bar.numpy(), B_bar.numpy()

        def work(thread: int, begin: int, end: int) -> None:
            depth = int(layer.nodes.order.max()) + 1
            values, bars = np.zeros((2, depth, run.channels), a.dtype)
            products.reverse(
                begin, end, run.atoms, layer.nodes, layer.coefficients, self.places,
                a, a_bar, layer.places, b_bar,
                values, bars, np.zeros(depth, np.int64),
            )  # fmt: skip

        run.shares.items(work, run.n_atoms)
        return A_bar

    def add_skip(self, bar: Tensor, h_bar: Tensor) -> None:
        """Add what went past the product to dE/dh."""
        run = self.run
        for l, matrices in enumerate(self.layer.skip):
            source = blocks(bar, (1,) * (l + 1), run.n_atoms, self.width)[l]
            target = blocks(h_bar, (1,) * (l + 1), run.n_atoms, run.channels)[l]
            multiply(run, source, matrices, target, transpose=True, add=True)
