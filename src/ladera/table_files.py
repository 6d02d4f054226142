"""CSV files that a run writes row by row, each row in one go, and reads again.

A run may go on from an earlier byte or row. Tables hold numbers; a column of text has to be named
when it is read.

    with TableWriter(path, ("step", "energy_ev")) as table:
        table.write({"step": 0, "energy_ev": -1.25})
    read(path)["energy_ev"]  # array([-1.25])
"""

from __future__ import annotations

import csv
import errno
import io
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from ladera.arrays import Floats
from ladera.errors import DataError
from ladera.files import cut_to
from ladera.tables import Column

if TYPE_CHECKING:
    from numpy.typing import NDArray

Value = float | int | str | None
Row = Mapping[str, Value]
# Name -> values (n_rows,): float64, NaN where a field is empty, or str where that was asked for.
Columns = Mapping[str, "NDArray[Any]"]

_TAIL: Final = 4096  # bytes at the end of a file that hold its last row


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
