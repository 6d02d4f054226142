"""A model made ready for the elements of a structure: splines, packed matrices, lists of panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from ladera.arrays import Floats, Reals
from ladera.kernels.lanes import lanes_of, rows_of_lanes
from ladera.kernels.nequip import first_layer, gates, messages
from ladera.kernels.nequip.panels import Layout, Linear, Matrix, pack, padded_lanes
from ladera.kernels.nequip.tables import Layer, Model
from ladera.kernels.splines import ROWS, Knots, choose_knots, coefficients, sites

# Largest error between the knots of the splines, see ``choose_knots``.
TOLERANCES = {torch.float64: 1e-13, torch.float32: 2e-7}
NEGLIGIBLE = 1e-12  # coupling coefficients

KEPT = 4  # sets of elements


class Map(NamedTuple):
    """Matrices for all atoms, or of each element present; and the transposed."""

    forth: list[Linear]
    back: list[Linear]


@dataclass(frozen=True, eq=False)
class PreparedLayer:
    """Everything a run reads of one layer.

    Its output before the gates, y, has a block for each irrep, and then one for each gate.
    """

    x: Layout | None  # what senders send; none in the first layer
    message: Layout | None  # a block for each irrep of the output, the channels of all paths
    y: Layout
    h: Layout
    first: first_layer.Panel | None
    plan: messages.Plan | None
    up: Map | None
    up_bias: Reals | None  # (1 or elements present, channels)
    skip: Map | None
    constants: list[tuple[int, Reals]]  # what is added to scalars of y, (1 or present, channels)
    gates: gates.Gates


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything a run reads, for some elements ``present``, indices of the model's elements."""

    present: tuple[int, ...]
    knots: Knots
    layers: list[PreparedLayer]
    scale: Floats  # (present,)
    constants: Floats  # (present,) reference energies, eV


class Preparation:
    """Makes and keeps what structures of the same elements need."""

    def __init__(self, model: Model, dtype: torch.dtype) -> None:
        self.model, self.dtype = model, dtype
        self.numpy_dtype: np.dtype[Any] = np.dtype(str(dtype).removeprefix("torch."))
        self.lanes = lanes_of(self.numpy_dtype)
        self._prepared: dict[tuple[int, ...], Prepared] = {}
        self._tables: dict[int, Reals] = {}
        self._knots: Knots | None = None

    def of(self, present: tuple[int, ...]) -> Prepared:
        """What a structure of these elements needs; kept for the sets of elements used last."""
        prepared = self._prepared.pop(present, None) or self._prepare(present)
        self._prepared[present] = prepared
        if len(self._prepared) > KEPT:
            del self._prepared[next(iter(self._prepared))]
        return prepared

    @property
    def knots(self) -> Knots:
        """Fine enough for the radial functions of all layers."""
        if self._knots is None:
            model = self.model
            radials = [partial(layer.radial, receiver=0, sender=0) for layer in model.layers]
            tolerance = TOLERANCES[self.dtype]
            self._knots = choose_knots(radials, model.cutoff, tolerance, model.kinks)
        return self._knots

    def _prepare(self, present: tuple[int, ...]) -> Prepared:
        model, chosen = self.model, list(present)
        return Prepared(
            present=present,
            knots=self.knots,
            layers=[self._layer(t, chosen) for t in range(len(model.layers))],
            scale=model.scale[chosen],
            constants=model.reference_energies[chosen],
        )

    def _layer(self, t: int, present: list[int]) -> PreparedLayer:
        layer = self.model.layers[t]
        outputs = [(output.l, output.channels) for output in layer.outputs]
        gated = [(0, output.channels) for output in layer.outputs if output.l > 0]
        y, h = Layout((*outputs, *gated), self.lanes), Layout(tuple(outputs), self.lanes)
        constants = []
        if layer.down_bias is not None:
            constants += self._scalars(layer, layer.down_bias[None])
        if t == 0:
            sent = _sent(self.model)[present]
            for skip in layer.skip:
                rows = [self.model.embedding[z] @ _of(skip.weights, z) for z in present]
                constants += self._scalars(layer, np.array(rows))
            return PreparedLayer(
                x=None, message=None, y=y, h=h,
                first=self._first(layer, y, sent), plan=None,
                up=None, up_bias=None, skip=None,
                constants=constants, gates=self._gates(layer, y, h),
            )  # fmt: skip
        x = Layout(layer.sources, self.lanes)
        message = self._messages(layer)
        matrices = [
            Matrix(k, to, _rows(layer, k, matrix))
            for k, columns in enumerate(layer.down)
            for to, matrix in _columns(layer, k, columns)
        ]
        down = self._map([matrices], message, y)
        return PreparedLayer(
            x=x,
            message=message,
            y=y,
            h=h,
            first=None,
            plan=messages.Plan(self._panels(t, x, message), down.forth[0], down.back[0]),
            up=self._map(
                [
                    [Matrix(k, k, [_of(weights, z)]) for k, weights in enumerate(layer.up)]
                    for z in _kinds(layer.up, present)
                ],
                x,
                x,
            ),
            up_bias=None if layer.up_bias is None else _each_row(layer.up_bias, present),
            skip=self._skip(layer, present, x, y),
            constants=constants,
            gates=self._gates(layer, y, h),
        )

    def _skip(self, layer: Layer, present: list[int], x: Layout, y: Layout) -> Map | None:
        """What the input adds to y, which has the same layout as what is sent."""
        if not layer.skip:
            return None
        choices = [
            [
                Matrix(skip.source, to, [columns])
                for skip in layer.skip
                for to, columns in _columns(layer, skip.target, _of(skip.weights, z))
            ]
            for z in _kinds([skip.weights for skip in layer.skip], present)
        ]
        return self._map(choices, x, y)

    def _map(self, choices: list[list[Matrix]], source: Layout, target: Layout) -> Map:
        """Of the matrices for all atoms, or of each element."""
        sizes = source, target, self.numpy_dtype
        forth = [pack(matrices, *sizes) for matrices in choices]
        return Map(forth, [pack(matrices, *sizes, transposed=True) for matrices in choices])

    def _scalars(self, layer: Layer, rows: Reals) -> list[tuple[int, Reals]]:
        """Columns of the first output as blocks of y."""
        return [(k, self._array(part)) for k, part in _columns(layer, 0, rows)]

    def _messages(self, layer: Layer) -> Layout:
        """A block for each irrep of the output, with whole panels for every path."""
        sizes = []
        for k, output in enumerate(layer.outputs):
            paths = [path for path in layer.paths if path.target == k]
            channels = [layer.sources[path.source].channels for path in paths]
            sizes.append((output.l, sum(n + -n % self.lanes for n in channels)))
        return Layout(tuple(sizes), self.lanes)

    def _panels(self, t: int, x: Layout, message: Layout) -> messages.Panel:
        layer = self.model.layers[t]
        rows = ROWS * self.knots.size
        used = [0] * len(layer.outputs)
        panels, first = [], 0
        terms: list[tuple[int, int]] = []
        factors: list[float] = []
        for path in layer.paths:
            l1, l3 = layer.sources[path.source].l, layer.outputs[path.target].l
            start = len(terms)
            for ab, m, coefficient in _terms(path.coupling, path.l2):
                terms.append((ab, m))
                factors.append(coefficient)
            for k in range(x.counts[path.source]):
                sender = x.first[path.source] + k
                receiver = message.first[path.target] + used[path.target]
                used[path.target] += 1
                panels.append(
                    (
                        *(l1, path.l2, l3),
                        *(x.before[sender], x.width[sender], message.before[receiver]),
                        *(first, start, len(terms)),
                    )
                )
                first += rows
        panels.sort(key=lambda panel: panel[1])  # gradients in harmonics of one l2 stay at hand
        table = np.array(panels, np.int64)
        return messages.Panel(
            table=self._table(t),
            first=np.ascontiguousarray(table[:, 6]),
            degrees=np.ascontiguousarray(table[:, :3]),
            sender=np.ascontiguousarray(table[:, 3:5]),
            message=np.ascontiguousarray(table[:, 5]),
            term_start=np.ascontiguousarray(table[:, 7:]),
            term=np.array(terms, np.int64),
            coefficient=self._array(np.array(factors)),
        )

    def _table(self, t: int) -> Reals:
        """Splines of all panels of a layer, one behind the other; the same for every structure."""
        if t not in self._tables:
            layer = self.model.layers[t]
            values = layer.radial(sites(self.knots), 0, 0)
            widths = [layer.sources[path.source].channels for path in layer.paths]
            parts = np.split(values, np.cumsum(widths)[:-1], axis=1)
            self._tables[t] = self._splines(parts)
        return self._tables[t]

    def _splines(self, parts: Sequence[Reals]) -> Reals:
        """Rows of lanes: of each part and panel within, of each coefficient, see ``splines``."""
        padded = [np.pad(part, ((0, 0), (0, -part.shape[1] % self.lanes))) for part in parts]
        values = coefficients(np.concatenate(padded, axis=1), self.knots)
        by_panel = values.reshape(*values.shape[:2], -1, self.lanes).transpose(2, 0, 1, 3)
        table = rows_of_lanes(values.size // self.lanes, self.numpy_dtype)
        table[:] = by_panel.reshape(-1, self.lanes)
        return table

    def _first(self, layer: Layer, y: Layout, x: Reals) -> first_layer.Panel:
        """Splines of every column of y for the elements that send ``x``, (present, channels)."""
        values = layer.radial(sites(self.knots), 0, 0)
        n = layer.sources[0].channels
        blocks: list[list[Reals]] = [[] for _ in y.sizes]
        for p, path in enumerate(layer.paths):  # one to each irrep of the output
            functions = values[:, p * n : (p + 1) * n]
            factor = _terms(path.coupling, path.l2)[0][2]  # of scalars: a multiple of one
            for to, matrix in _columns(layer, path.target, layer.down[path.target]):
                blocks[to] = [(functions * row) @ matrix * factor for row in x]
        tables = [self._splines(block) for block in blocks]  # (element, panel, coefficient)
        size, outputs, pieces = ROWS * self.knots.size, [], []
        for k, table in enumerate(tables):
            by_panel = table.reshape(len(x), y.counts[k], size, self.lanes).transpose(1, 0, 2, 3)
            pieces.append(by_panel.reshape(-1, self.lanes))
            panels = range(y.first[k], y.first[k + 1])
            outputs += [(y.before[panel], y.width[panel]) for panel in panels]
        joined = rows_of_lanes(sum(len(piece) for piece in pieces), self.numpy_dtype)
        np.concatenate(pieces, out=joined)
        return first_layer.Panel(
            table=joined,
            first=np.arange(len(outputs)) * (size * len(x)),
            output=np.array(outputs, np.int64),
        )

    def _gates(self, layer: Layer, y: Layout, h: Layout) -> gates.Gates:
        panels: list[tuple[int, int]] = []
        factor: list[float] = []
        waiting = h.first[-1]
        for k, output in enumerate(layer.outputs):
            kind = {"silu": gates.SILU, "tanh": gates.TANH}[output.activation]
            for panel in range(h.first[k], h.first[k + 1]):
                gate, waiting = (panel, waiting) if output.l == 0 else (waiting, waiting + 1)
                panels.append((gate, kind))
                factor.append(output.factor)
        gamma, share = np.ones((y.first[-1], self.lanes)), np.zeros(y.first[-1])
        if layer.gamma is not None:
            for target, columns in enumerate(layer.gamma):
                for k, part in _columns(layer, target, columns[None]):
                    gamma[y.of(k)] = padded_lanes(part, self.numpy_dtype)
                    share[y.of(k)] = layer.share[target]
        return gates.Gates(
            places=y.places,
            outputs=np.array(panels, np.int64),
            factor=self._array(np.array(factor)),
            has_norm=layer.gamma is not None,
            least=layer.least,
            share=self._array(share),
            gamma=self._array(gamma),
        )

    def _array(self, values: Reals) -> Reals:
        return np.ascontiguousarray(values, self.numpy_dtype)


def _sent(model: Model) -> Floats:
    """What atoms of each element send in the first layer, (S, channels)."""
    layer = model.layers[0]
    elements = range(len(model.embedding))
    x = np.array([model.embedding[z] @ _of(layer.up[0], z) for z in elements])
    return x if layer.up_bias is None else x + layer.up_bias


def _of(weights: Reals, element: int) -> Reals:
    """Of (S or 1, ...) that of an element."""
    row: Reals = weights[element if len(weights) > 1 else 0]
    return row


def _kinds(weights: Sequence[Reals], present: list[int]) -> list[int]:
    """The elements present, or one of them where matrices are the same for all."""
    return present if any(len(each) > 1 for each in weights) else present[:1]


def _each_row(rows: Reals, present: list[int]) -> Reals:
    return rows[present] if len(rows) > 1 else rows


def _columns(layer: Layer, target: int, matrix: Reals) -> list[tuple[int, Reals]]:
    """A matrix (..., columns) to an output, in parts to the blocks of y: gates have their own."""
    if target > 0:
        return [(target, matrix)]
    gated = [output.channels for output in layer.outputs if output.l > 0]
    parts = np.split(matrix, np.cumsum([layer.outputs[0].channels, *gated])[:-1], axis=-1)
    blocks = [0, *range(len(layer.outputs), len(layer.outputs) + len(gated))]
    return list(zip(blocks, parts, strict=True))


def _rows(layer: Layer, target: int, matrix: Reals) -> list[Reals]:
    """A matrix (channels of all paths to an output, columns), path by path."""
    paths = [path for path in layer.paths if path.target == target]
    channels = [layer.sources[path.source].channels for path in paths]
    return np.split(matrix, np.cumsum(channels)[:-1])


def _terms(coupling: Floats, l2: int) -> list[tuple[int, int, float]]:
    """(row ab of A, m, C_abm), for directions to the central atom, whose odd harmonics turn sign.

    Where the message is a scalar, A has one row, the sum of all pairs a = b.
    """
    signed = coupling * (-1) ** l2
    if coupling.shape[2] == 1:
        return [(0, 0, float(signed[0, 0, 0]))]
    return [
        (int(a * coupling.shape[1] + b), int(m), float(signed[a, b, m]))
        for a, b, m in np.argwhere(np.abs(coupling) > NEGLIGIBLE)
    ]
