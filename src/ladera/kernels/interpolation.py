"""Functions of one variable between the points of a grid, as an operation of torch.

A batch has many more edges than a smooth function of the distance needs points, so that networks on
distances cost least on a grid. The operation can be differentiated twice, as learning from
forces wants: derivatives are those of the polynomials themselves, and arrive at the values on the
grid as sums over the edges.

On eight neighbouring points, at v = 0 ... 7,

    f(v) = sum_k a_k(v) f_k,    a_k(v) = prod_(j != k) (v - j) / (k - j),

Lagrange's polynomial of degree 7; the point looked at lies between the middle two where the grid
goes on to both sides. With h between points the error of a wave sin(q r) is below (q h)^8 / 900,
and of its slope q (q h)^7 / 280.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ladera.arrays import Floats, Integers, Reals
from ladera.kernels.autograd import asks_parameters, asks_positions, unused
from ladera.kernels.compilation import inlined, simd

POINTS: Final = 8  # of the grid that a value is made of
_MIDDLE: Final = (POINTS - 1) / 2


class Places(NamedTuple):
    """Where functions are looked at, and what the loops know of it."""

    values: Tensor  # (n,), in units of the grid from its first point on
    starts: Integers  # (n,), the first of the points of each
    weights: Floats  # (n, 3, points), a_k, their slopes and curvatures


def places(values: Tensor, n_points: int) -> Places:
    """Places (n,) on a grid of so many points, eight or more.

    Those outside of it continue its outermost polynomials.
    """
    (numbers,) = _numbers(values)
    starts = np.empty(len(numbers), dtype=np.int64)
    weights = np.empty((len(numbers), 3, POINTS))
    _weights(numbers, n_points, _COEFFICIENTS, starts, weights)
    return Places(values, starts, weights)


def interpolate(table: Tensor, at: Places) -> Tensor:
    """Functions at places, (n, functions), from their values (n_points, functions) on the grid.

    The table is of float64, the result as the places are; all of it on a CPU.
    """
    result: Tensor = _Interpolate.apply(table, *at)  # type: ignore[no-untyped-call]
    return result


class _Interpolate(Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, values: Tensor, *stencils: Any) -> Tensor:
        ctx.stencils = stencils
        ctx.save_for_backward(table, values)
        out = torch.empty(len(values), table.shape[1], dtype=values.dtype)
        starts, weights = stencils
        _values(starts, weights, _numbers(table)[0], out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        with_table = ctx.needs_input_grad[0] and asks_parameters()
        bars = _Reverse.apply(  # type: ignore[no-untyped-call]
            *ctx.saved_tensors, g, ctx.stencils, with_table, asks_positions()
        )
        return (*bars, None, None)


class _Reverse(Function):
    """What a cotangent g (n, functions) of the values gives: of the table, and of the places."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, values: Tensor, g: Tensor, *rest: Any) -> Any:
        stencils, with_table, with_values = ctx.rest = rest
        ctx.save_for_backward(table, values, g)
        ctx.set_materialize_grads(False)
        by_table = torch.zeros_like(table) if with_table else unused(table)
        by_values = torch.empty_like(values)
        (starts, weights), (rows, gs) = stencils, _numbers(table, g)
        if with_values:
            _along(starts, weights, rows, gs, by_values.numpy())
        if with_table:
            _gathered(starts, weights, gs, by_table.numpy())
        return by_table if with_table else None, by_values if with_values else None

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_table: Tensor | None, by_values: Tensor | None) -> Any:
        table, values, g = ctx.saved_tensors
        if by_values is None:
            by_values = torch.zeros_like(values)
        changes = unused(table) if by_table is None else by_table
        bars = torch.zeros_like(table), torch.empty_like(values), torch.empty_like(g)
        (starts, weights), (rows, gs) = ctx.rest[0], _numbers(table, g)
        of_table, of_values = _numbers(changes, by_values)
        outputs = [bar.numpy() for bar in bars]
        asked = by_table is not None, asks_positions()
        _second(starts, weights, rows, gs, of_table, of_values, *asked, *outputs)
        return (bars[0], bars[1] if asks_positions() else None, bars[2], None, None, None)


def _numbers(*tensors: Tensor) -> list[Reals]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def _coefficients() -> Floats:
    """(points, powers) of each a_k in powers of v - 3.5."""
    rows = []
    for k in range(POINTS):
        others = [j for j in range(POINTS) if j != k]
        scale = np.prod([k - j for j in others])
        rows.append(np.poly(np.array(others) - _MIDDLE)[::-1] / scale)
    return np.array(rows)


_COEFFICIENTS: Final = _coefficients()


@simd
def _weights(
    values: Reals, n_points: int, coefficients: Floats, starts: Integers, weights: Floats
) -> None:
    """Fill starts (n,) and weights (n, 3, points): a_k, slopes and curvatures."""
    for e in range(values.size):
        start = int(np.floor(values[e])) - POINTS // 2 + 1
        starts[e] = start = min(max(start, 0), n_points - POINTS)
        v, a = values[e] - start - _MIDDLE, weights[e]
        for k in range(POINTS):
            value, slope, curvature = 0.0, 0.0, 0.0
            for p in range(POINTS - 1, -1, -1):
                curvature = curvature * v + 2.0 * slope
                slope = slope * v + value
                value = value * v + coefficients[k, p]
            a[0, k], a[1, k], a[2, k] = value, slope, curvature


@inlined
def _at(rows: Reals, a: Floats, c: int) -> float:
    """Sum over the eight points, written out so that loops over functions become SIMD code."""
    low = a[0] * rows[0, c] + a[1] * rows[1, c] + a[2] * rows[2, c] + a[3] * rows[3, c]
    high = a[4] * rows[4, c] + a[5] * rows[5, c] + a[6] * rows[6, c] + a[7] * rows[7, c]
    total: float = low + high
    return total


@simd
def _values(starts: Integers, weights: Floats, table: Reals, out: Reals) -> None:
    for e in range(starts.size):
        rows, row, a = table[starts[e] : starts[e] + POINTS], out[e], weights[e, 0]
        for c in range(row.size):
            row[c] = _at(rows, a, c)


@simd
def _along(starts: Integers, weights: Floats, table: Reals, g: Reals, by_values: Reals) -> None:
    """by_value = sum_kc a'_k f_kc g_c."""
    for e in range(starts.size):
        rows, row, slopes = table[starts[e] : starts[e] + POINTS], g[e], weights[e, 1]
        total = 0.0
        for c in range(row.size):
            total += _at(rows, slopes, c) * row[c]
        by_values[e] = total


@simd
def _gathered(starts: Integers, weights: Floats, g: Reals, by_table: Reals) -> None:
    """by_table_kc += a_k g_c."""
    for e in range(starts.size):
        _add(by_table[starts[e] : starts[e] + POINTS], weights[e, 0], 1.0, g[e])


@simd
def _second(
    starts: Integers,
    weights: Floats,
    table: Reals,
    g: Reals,
    table_changes: Reals,
    value_changes: Reals,
    with_table: bool,
    with_values: bool,
    table_bar: Reals,
    value_bar: Reals,
    g_bar: Reals,
) -> None:
    """Derivatives of d sum_kc a'_k f_kc g_c + sum_kc a_k F_kc g_c, in f, g, and a place if asked.

    d is the change of the place, F those of the table, where there are any.
    """
    for e in range(starts.size):
        rows, row, bar = table[starts[e] : starts[e] + POINTS], g[e], g_bar[e]
        changes = table_changes[starts[e] : starts[e] + POINTS]
        a, d = weights[e], value_changes[e]
        for c in range(row.size):
            bar[c] = d * _at(rows, a[1], c)
        _add(table_bar[starts[e] : starts[e] + POINTS], a[1], d, row)
        if with_table:
            for c in range(row.size):
                bar[c] += _at(changes, a[0], c)
        if with_values:
            total = 0.0
            for c in range(row.size):
                total += d * _at(rows, a[2], c) * row[c]
            if with_table:
                for c in range(row.size):
                    total += _at(changes, a[1], c) * row[c]
            value_bar[e] = total


@inlined
def _add(bars: Reals, a: Floats, factor: float, row: Reals) -> None:
    """bars_kc += a_k factor row_c."""
    for k in range(POINTS):
        scaled = factor * a[k]
        for c in range(row.size):
            bars[k, c] += scaled * row[c]
