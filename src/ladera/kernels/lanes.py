"""Vectors of as many numbers as a wide register has, for loops that compute as many atoms at once.

LLVM finds SIMD code in long loops by itself. Where every step is for a few numbers, as in a program
that is walked row by row, it has to be told: a row of a table with ``lanes_of`` columns is loaded
as one value, on which ``+``, ``-``, ``*`` and ``/`` act number by number (also with a plain number
of the same type), and stored again. On processors with narrower registers it is kept in several.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model
from numba.np import arrayobj

from ladera.arrays import Reals

_make_array: Any = arrayobj.make_array  # this and the others have no types
_insert_function: Any = cgutils.get_or_insert_function
_signature: Any = signature
_lower: Any = lower_builtin
_infer: Any = infer_global
_uniform: Any = types.UniTuple

WIDTH = 64  # bytes: a register of AVX-512, and a line of the cache


def lanes_of(dtype: np.dtype[Any]) -> int:
    """How many numbers a vector has: 8 of float64, 16 of float32."""
    return WIDTH // dtype.itemsize


def rows_of_lanes(rows: int, dtype: np.dtype[Any]) -> Reals:
    """A table (rows, lanes) of zeros whose rows are lines of the cache."""
    return tables_of_lanes([rows], dtype)[0]


def tables_of_lanes(rows: Sequence[int], dtype: np.dtype[Any]) -> list[Reals]:
    """Several such tables, one after the other in memory."""
    lanes, total = lanes_of(dtype), sum(rows)
    memory = np.zeros((total + 1) * lanes, dtype)
    start = -memory.__array_interface__["data"][0] % WIDTH // dtype.itemsize
    table = memory[start : start + total * lanes].reshape(total, lanes)
    return [table[end - count : end] for end, count in zip(accumulate(rows), rows, strict=True)]


def _intrinsic(function: Callable[..., Any]) -> Any:
    """What compiled functions call; its own arguments are types, those of its callers values."""
    return intrinsic(function)


class _Lanes(types.Type):
    """The type of a vector."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: _Lanes) -> None:
        super().__init__(manager, kind, _vector(kind))  # type: ignore[no-untyped-call]


def _vector(kind: _Lanes) -> ir.VectorType:
    number = ir.DoubleType() if kind.dtype is types.float64 else ir.FloatType()
    return ir.VectorType(number, WIDTH * 8 // kind.dtype.bitwidth)


def _spread(builder: Any, number: Any, kind: _Lanes) -> Any:
    """A number in every lane."""
    vector = _vector(kind)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, _index(0))
    every = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), every)


def _index(value: int) -> ir.Constant:
    return ir.Constant(ir.IntType(32), value)


def _address(context: Any, builder: Any, table: Any, value: Any, row: Any) -> Any:
    """Where a row of a table is."""
    data = _make_array(table)(context, builder, value).data
    vector = _vector(_Lanes(table.dtype))
    first = builder.gep(data, [builder.mul(row, ir.Constant(row.type, vector.count))])
    return builder.bitcast(first, vector.as_pointer())


@_intrinsic
def load(_: Any, table: Any, row: Any) -> Any:
    """A row of a contiguous table (rows, lanes)."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_address(context, builder, sig.args[0], *args), align=WIDTH)

    return _Lanes(table.dtype)(table, types.intp), generate


@_intrinsic
def store(_: Any, table: Any, row: Any, lanes: _Lanes) -> Any:
    """Write a row of a contiguous table (rows, lanes)."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _address(context, builder, sig.args[0], *args[:2])
        builder.store(args[2], place, align=WIDTH)
        return context.get_dummy_value()

    return types.void(table, types.intp, lanes), generate


@_intrinsic
def zero(_: Any, table: Any) -> Any:
    """Zeros, as a row of ``table``."""
    kind = _Lanes(table.dtype)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(_vector(sig.return_type), [0.0] * _vector(sig.return_type).count)

    return kind(table), generate


@_intrinsic
def root(_: Any, lanes: _Lanes) -> Any:
    """Square roots."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = args[0].type
        function = _insert_function(
            builder.module,
            ir.FunctionType(vector, [vector]),
            f"llvm.sqrt.v{vector.count}f{sig.args[0].dtype.bitwidth}",
        )
        return builder.call(function, args)

    return lanes(lanes), generate


@_intrinsic
def positive(_: Any, lanes: _Lanes) -> Any:
    """The numbers above zero, 0 in place of the others; NaN stays."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        nothing = ir.Constant(args[0].type, [0.0] * args[0].type.count)
        below = builder.fcmp_ordered("<", args[0], nothing)
        return builder.select(below, nothing, args[0])

    return lanes(lanes), generate


def _make_operator(function: Callable[..., Any], instruction: str) -> None:
    """Let an operator of Python act on vectors, and on a number and a vector."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        sides = [
            side if isinstance(kind, _Lanes) else _spread(builder, side, sig.return_type)
            for kind, side in zip(sig.args, args, strict=True)
        ]
        return getattr(builder, instruction)(*sides, flags=("contract", "nsz"))

    for sides in ((_Lanes, _Lanes), (types.Float, _Lanes)):
        _lower(function, *sides)(generate)

    class _Template(AbstractTemplate):
        def generic(self, args: Any, _: Any) -> Any:
            if len(args) != 2 or not isinstance(args[1], _Lanes):
                return None
            left, right = args
            if left == right or left == right.dtype:
                return _signature(right, left, right)
            return None

    _infer(function)(_Template)


for _operator, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _make_operator(_operator, _instruction)


# Several rows at once, as a tuple that stays in registers. Its length is that of another tuple, n,
# which is known when functions are compiled: (0,) * 3 stands for three.


def _rows(lanes: _Lanes, n: Any) -> Any:
    return _uniform(lanes, n.count)


def _parts(builder: Any, rows: Any, kind: Any) -> list[Any]:
    return [builder.extract_value(rows, k) for k in range(kind.count)]


def _tuple(builder: Any, kind: Any, parts: Any) -> Any:
    rows = ir.Constant(ir.ArrayType(_vector(kind.dtype), kind.count), ir.Undefined)
    for k, part in enumerate(parts):
        rows = builder.insert_value(rows, part, k)
    return rows


def _plus_product(builder: Any, total: Any, one: Any, two: Any) -> Any:
    flags = ("contract", "nsz")
    return builder.fadd(total, builder.fmul(one, two, flags=flags), flags=flags)


def _numbers(context: Any, builder: Any, kind: Any, array: Any, start: Any) -> Any:
    """Where number ``start`` of a contiguous array is."""
    return builder.gep(_make_array(kind)(context, builder, array).data, [start])


def _spread_number(builder: Any, place: Any, k: Any, kind: _Lanes) -> Any:
    return _spread(builder, builder.load(builder.gep(place, [k])), kind)


@_intrinsic
def zeros(_: Any, table: Any, n: Any) -> Any:
    """As many rows of zeros as ``n`` is long."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = sig.return_type
        nothing = ir.Constant(_vector(kind.dtype), [0.0] * _vector(kind.dtype).count)
        return _tuple(builder, kind, [nothing] * kind.count)

    return _rows(_Lanes(table.dtype), n)(table, n), generate


@_intrinsic
def load_rows(_: Any, table: Any, row: Any, n: Any) -> Any:
    """Rows ``row``, ``row`` + 1, ... of a contiguous table (rows, lanes)."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = sig.return_type
        first = _address(context, builder, sig.args[0], *args[:2])
        places = [builder.gep(first, [_index(k)]) for k in range(kind.count)]
        return _tuple(builder, kind, [builder.load(place, align=WIDTH) for place in places])

    return _rows(_Lanes(table.dtype), n)(table, types.intp, n), generate


@_intrinsic
def store_rows(_: Any, table: Any, row: Any, rows: Any) -> Any:
    """Write rows ``row``, ``row`` + 1, ... of a contiguous table (rows, lanes)."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first = _address(context, builder, sig.args[0], *args[:2])
        for k, part in enumerate(_parts(builder, args[2], sig.args[2])):
            builder.store(part, builder.gep(first, [_index(k)]), align=WIDTH)
        return context.get_dummy_value()

    return types.void(table, types.intp, rows), generate


@_intrinsic
def plus_outer(_: Any, rows: Any, numbers: Any, start: Any, step: Any, lanes: _Lanes) -> Any:
    """Each row plus a number times ``lanes``; numbers ``start`` + k ``step`` of an array."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _numbers(context, builder, sig.args[1], args[1], args[2])
        found = []
        for k, row in enumerate(_parts(builder, args[0], sig.args[0])):
            offset = builder.mul(args[3], ir.Constant(args[3].type, k))
            number = _spread_number(builder, place, offset, sig.args[4])
            found.append(_plus_product(builder, row, number, args[4]))
        return _tuple(builder, sig.return_type, found)

    return rows(rows, numbers, types.intp, types.intp, lanes), generate


@_intrinsic
def plus_times(_: Any, rows: Any, factors: Any, lanes: _Lanes) -> Any:
    """Each row plus a row of ``factors`` times ``lanes``."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        one, two = (_parts(builder, args[k], sig.args[k]) for k in (0, 1))
        pairs = zip(one, two, strict=True)
        found = [_plus_product(builder, row, factor, args[2]) for row, factor in pairs]
        return _tuple(builder, sig.return_type, found)

    return rows(rows, factors, lanes), generate


@_intrinsic
def combined(_: Any, rows: Any, numbers: Any, start: Any) -> Any:
    """The sum of all rows, each times a number, of an array from ``start`` on."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _numbers(context, builder, sig.args[1], args[1], args[2])
        total = None
        for k, row in enumerate(_parts(builder, args[0], sig.args[0])):
            number = _spread_number(builder, place, ir.Constant(args[2].type, k), sig.return_type)
            if total is None:
                total = builder.fmul(row, number, flags=("contract", "nsz"))
            else:
                total = _plus_product(builder, total, row, number)
        return total

    return rows.dtype(rows, numbers, types.intp), generate
