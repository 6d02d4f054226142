"""Tables that people read: what their columns are, and how their numbers are shown.

A :class:`Table` is what a result shows: its rows go to the console, the report, CSV and JSON. Files
that a run writes row by row are in :mod:`ladera.table_files`.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from ladera import display
from ladera.errors import ConfigError
from ladera.quantities import pretty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pandas import DataFrame


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
