"""Tables: what their columns are, how their numbers are shown, and the CSV files they are kept in.

A :class:`Table` is what a result shows: its rows go to the console, the report, CSV and JSON.

A run writes its table row by row, each row in one go, and may later go on from an earlier byte or
row. Tables hold numbers; a column of text has to be named when it is read.

    with TableWriter(path, ("step", "energy_ev")) as table:
        table.write({"step": 0, "energy_ev": -1.25})
    read(path)["energy_ev"]  # array([-1.25])
"""

from __future__ import annotations

import csv
import dataclasses
import errno
import io
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from ladera import display
from ladera.arrays import Floats
from ladera.errors import ConfigError, DataError
from ladera.files import cut_to
from ladera.quantities import pretty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from pandas import DataFrame

Value = float | int | str | None
Row = Mapping[str, Value]
# Name -> values (n_rows,): float64, NaN where a field is empty, or str where that was asked for.
Columns = Mapping[str, "NDArray[Any]"]

_TAIL: Final = 4096  # bytes at the end of a file that hold its last row


@dataclass(frozen=True)
class Column:
    """What one column of a table holds."""

    name: str  # as in the first line of the file
    unit: str = ""  # "" for a pure number
    meaning: str = ""
    pattern: str = ".4g"  # of numbers that are shown without an error

    @property
    def head(self) -> str:
        """Name and unit as people read them."""
        return f"{self.name} ({pretty(self.unit)})" if self.unit else self.name


@dataclass(frozen=True)
class Number:
    """A number in a :class:`Table`, with what is known of its errors; NaN where there is none."""

    value: float
    error: float = math.nan
    deviation: float = math.nan  # of a committee's members
    note: str = ""  # why there is no number, or what is to be said of it
    instead: str = "not computed"  # what people read where there is no number

    def text(self, pattern: str = ".4g") -> str:
        """As people read it."""
        if not math.isfinite(self.value):
            return self.instead
        return with_error(self.value, self.error, self.deviation, pattern=pattern)


Cell = str | float | Number


def with_error(value: float, *errors: float, pattern: str = ".4g") -> str:
    """A number with its errors in the digits that these deserve: 3.70(61)e-5, 1230(270), 12.3(1.5).

    An error has two significant digits, and stands for the last digits of the number. Of several
    the smallest decides how many these are. Without one (not-a-number, or none above rounding) the
    number is formatted by ``pattern``.
    """
    known = [float(e) for e in errors if math.isfinite(e) and e > 1e-9 * abs(value)]
    if not known:
        return format(value, pattern)
    place = 1 - math.floor(math.log10(float(f"{min(known):.1e}")))  # of the last digit
    largest = max(abs(round(value, place)), *known)
    exponent = math.floor(math.log10(largest))
    exponent = 0 if -4 < exponent < 6 else exponent
    decimals = max(0, place + exponent)
    shown = f"{round(value, place) / 10.0**exponent + 0.0:.{decimals}f}"
    for error in known:
        error = round(error, place) / 10.0**exponent
        digits = error if error >= 1 or not decimals else error * 10.0**decimals
        shown += f"({digits:.{decimals if error >= 1 else 0}f})"
    return shown + (f"e{exponent}" if exponent else "")


@dataclass(frozen=True)
class Table:
    """One quantity a column, one thing a row; a table of one row is read from top to bottom.

    A cell is a word, a number, or a :class:`Number` that knows its errors. A column holds words or
    numbers, never both: ValueError. :attr:`columns` and :attr:`rows` are for people, and
    :meth:`records` for programs.
    """

    fields: tuple[Column, ...]
    cells: tuple[tuple[Cell, ...], ...]
    name: str = "table"  # of its file
    notes: tuple[str, ...] = ()  # lines below it
    error: str = "standard error"  # what stands in the parentheses
    shown: tuple[int, ...] | None = None  # rows for people; programs have all
    upright: bool = False  # one row, which people read from top to bottom

    def __post_init__(self) -> None:
        for index, field in enumerate(self.fields):
            if len({isinstance(row[index], str) for row in self.cells}) > 1:
                raise ValueError(f"The column {field.name} mixes words and numbers.")

    @classmethod
    def of_one(cls, *entries: tuple[Column, Cell], **arguments: Any) -> Self:
        """A table of one row, of quantities and what they are."""
        fields, cells = zip(*entries, strict=True)
        return cls(fields, (cells,), upright=True, **arguments)

    @property
    def columns(self) -> tuple[str, ...]:
        """Heads, with units."""
        if self.upright:
            return ("quantity", "value", "note")[: 2 + self._noted]
        return tuple(field.head for field in self.fields)

    @property
    def of_words(self) -> tuple[bool, ...]:
        """Of each of these, whether it holds words, which begin at its left."""
        if self.upright:
            return (True,) * len(self.columns)
        words = tuple(isinstance(cell, str) for cell in (self.cells or [()])[0])
        return words or (True,) * len(self.fields)

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """What people read; every number with its errors in the digits that these deserve."""
        if self.upright:
            both = zip(self.fields, self.cells[0], strict=True)
            shown = tuple((f.head, _text(cell, f), _note(cell)) for f, cell in both)
            return tuple(row[: len(self.columns)] for row in shown)
        return tuple(
            tuple(_text(cell, field) for field, cell in zip(self.fields, row, strict=True))
            for row in self._shown
        )

    @property
    def foot(self) -> tuple[str, ...]:
        """Lines below the table: what the parentheses hold, what was left out, and its notes."""
        numbers = [cell for row in self.cells for cell in row if isinstance(cell, Number)]
        kinds = [self.error] * any(math.isfinite(each.error) for each in numbers)
        kinds += ["deviation of the members"] * any(math.isfinite(n.deviation) for n in numbers)
        lines = [f"In parentheses: {', then '.join(kinds)}, of the last digits."] if kinds else []
        hidden = len(self.cells) - len(self._shown)
        lines += [f"{hidden} more rows in {self.name}.csv."] if hidden else []
        return (*lines, *self._said_of_cells(), *self.notes)

    def records(self) -> dict[str, list[str | float]]:
        """Columns of words or numbers by their heads, each error a column of its own."""
        found: dict[str, list[str | float]] = {}
        for index, field in enumerate(self.fields):
            column = [row[index] for row in self.cells]
            unit = f" ({field.unit})" if field.unit else ""
            found[field.name + unit] = [c.value if isinstance(c, Number) else c for c in column]
            for kind in ("error", "deviation"):
                parts = [float(getattr(cell, kind, math.nan)) for cell in column]
                if any(map(math.isfinite, parts)):
                    found[f"{field.name} {kind}{unit}"] = [*parts]
        if self._noted:
            found["note"] = [
                "; ".join(
                    f"{field.name}: {_note(cell)}"
                    for field, cell in zip(self.fields, row, strict=True)
                    if _note(cell)
                )
                for row in self.cells
            ]
        return found

    def to_csv(self) -> str:
        """Comma-separated :meth:`records`; an empty field where there is no number."""
        records, text = self.records(), io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(records)
        writer.writerows([map(_plain, row) for row in zip(*records.values(), strict=True)])
        return text.getvalue()

    def to_frame(self) -> DataFrame:
        """The table of :meth:`to_csv` as a DataFrame of pandas; ConfigError without pandas."""
        try:
            import pandas
        except ImportError:
            raise ConfigError(
                "pandas is not installed here, and to_frame() makes a table of it; "
                "`pip install pandas`, or take to_csv()."
            ) from None
        return pandas.read_csv(io.StringIO(self.to_csv()))

    def _repr_html_(self) -> str:
        return display.table(self.columns, self.rows, foot=self.foot)

    @property
    def _shown(self) -> tuple[tuple[Cell, ...], ...]:
        return self.cells if self.shown is None else tuple(self.cells[i] for i in self.shown)

    def _said_of_cells(self) -> Iterator[str]:
        """The notes of numbers, each once; an upright table has a column for them."""
        if self.upright:
            return
        found: dict[str, list[str]] = {}
        for row in self._shown:
            for field, cell in zip(self.fields, row, strict=True):
                if _note(cell):
                    place = _text(row[0], self.fields[0])
                    found.setdefault(f"{field.name}: {_note(cell)}", []).append(place)
        for note, places in found.items():
            yield note if len(places) == len(self._shown) else f"{', '.join(places)}: {note}"

    @property
    def _noted(self) -> bool:
        return any(_note(cell) for row in self.cells for cell in row)


def _text(cell: Cell, column: Column) -> str:
    if isinstance(cell, str):
        return cell
    return (cell if isinstance(cell, Number) else Number(cell)).text(column.pattern)


def _note(cell: Cell) -> str:
    return cell.note if isinstance(cell, Number) else ""


def _plain(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.12g}" if math.isfinite(value) else ""


def described(meaning: str, unit: str = "", **arguments: Any) -> Any:
    """A field of a dataclass whose objects are the rows of a table: what it is, in which unit."""
    return dataclasses.field(metadata={"meaning": meaning, "unit": unit}, **arguments)


def columns_of(row: type[Any]) -> tuple[Column, ...]:
    """The columns of a table whose rows are objects of a dataclass of :func:`described` fields."""
    return tuple(
        Column(field.name, field.metadata["unit"], field.metadata["meaning"])
        for field in dataclasses.fields(row)
    )


class TableWriter:
    """A CSV file that is written row by row.

    A new table replaces the file, unless ``position`` says how many bytes of it are kept: see
    :meth:`position` and :func:`position_after`. It then keeps its columns, which may be fewer when
    an older Ladera began it. Floats have ``digits`` significant digits.

    Raises OSError that names the file (a full disk, a missing permission), here and in ``write``,
    and DataError for a file that is shorter than ``position`` or has other columns.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Iterable[str | Column],
        *,
        position: int | None = None,
        digits: int = 12,
    ) -> None:
        self.path = Path(path)
        self._columns = [c.name if isinstance(c, Column) else c for c in columns]
        self._digits = digits
        if position is not None:
            cut_to(self.path, position)
            self._columns = _known_columns(self.path, self._columns)
        self._file = self.path.open("wb" if position is None else "ab", buffering=0)
        if position is None:
            self._write_line(self._columns)

    def write(self, row: Row) -> None:
        """Append a row; None is an empty field, and what has no column is left out."""
        self._write_line([self._text(row[name]) for name in self._columns])

    def position(self) -> int:
        """Length of the file in bytes, all of them safely on the disk."""
        with _naming(self.path):
            os.fsync(self._file.fileno())
            return self.path.stat().st_size

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _write_line(self, fields: list[str]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(fields)
        line = text.getvalue().encode()
        try:
            with _naming(self.path):
                if self._file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self.close()  # nothing may follow half a line
            raise

    def _text(self, value: Value) -> str:
        if value is None:
            return ""
        return f"{value:.{self._digits}g}" if isinstance(value, float) else str(value)


def position_after(path: str | os.PathLike[str], n_rows: int) -> int:
    """Length in bytes of the first line and ``n_rows`` rows of a table, or of all that are there.

    It counts whole lines: no field may hold the end of a line.
    """
    with Path(path).open("rb") as file:
        lines = (line for line, _ in zip(file, range(n_rows + 1), strict=False))
        return sum(len(line) for line in lines if line.endswith(b"\n"))


def read(path: str | os.PathLike[str], *, text: Collection[str] = ()) -> Columns:
    """Columns of a CSV file: numbers, but for those named in ``text``. Empty without such a file.

    A last line that was cut short, as a run in progress or a kill leaves it, is left out. Raises
    DataError for a row with other fields than the first line, and anything that is not a number.
    """
    path = Path(path)
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    complete = [line for line in lines if line.endswith("\n")]
    names, *rows = [row for row in csv.reader(complete) if row] or [[]]
    values: dict[str, list[Any]] = {name: [] for name in names}
    for line, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise DataError(f"{path}, line {line}: {len(row)} fields, expected {len(names)}.")
        for name, field in zip(names, row, strict=True):
            values[name].append(field if name in text else _number(field, path, line, name))
    return {
        name: np.array(fields, dtype=str if name in text else float)
        for name, fields in values.items()
    }


def column(columns: Columns, name: str) -> Floats:
    """A column of numbers; empty where there is none, or no number in it."""
    values: Floats = columns.get(name, np.empty(0))
    return values if np.isfinite(values).any() else np.empty(0)


def last_row(path: str | os.PathLike[str]) -> list[str]:
    """The fields of the last complete row of a table, without reading the others.

    Empty before there is a row, and where there is no such file.
    """
    if not Path(path).is_file():  # a device may have no end
        return []
    try:
        with Path(path).open("rb") as file:
            header = file.readline()
            file.seek(max(len(header), file.seek(0, os.SEEK_END) - _TAIL))
            lines = file.read().decode("utf-8", errors="replace").split("\n")[:-1]
    except OSError:
        return []
    return next(csv.reader(lines[-1:]), [])


def _known_columns(path: Path, known: list[str]) -> list[str]:
    """The columns of a table in their order. DataError when one is not known."""
    with path.open(encoding="utf-8", errors="replace") as file:
        names = next(csv.reader(file), [])
    if not names or not set(names) <= set(known):
        raise DataError(
            f"{path} has the columns {', '.join(names) or 'of no table'}, and {', '.join(known)} "
            "would be written; start anew in another folder."
        )
    return names


def _number(field: str, path: Path, line: int, name: str) -> float:
    try:
        return float(field) if field.strip() else float("nan")
    except ValueError:
        raise DataError(
            f"{path}, line {line}: '{field}' in column {name} is not a number."
        ) from None


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Give an OSError of an open file that file's name."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise
