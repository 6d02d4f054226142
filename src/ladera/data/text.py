"""What the readers of text files share: opening, and tables of atoms parsed many at a time."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from ladera.arrays import Integers
from ladera.errors import DataError
from ladera.files import atomic_path, closest

# Atoms parsed by one call: enough to make its overhead small, few enough to stay in the cache.
BATCH_ATOMS = 20_000

_OPENERS: Final[dict[str, Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_MAGIC: Final = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ": ".xz"}  # first bytes of a file
_DAMAGED: Final = (OSError, EOFError, zlib.error, lzma.LZMAError, UnicodeError)
_HEAD: Final = 100  # lines looked at to tell what a file is

_TextFrame = TypeVar("_TextFrame", bound="TextFrame")


class LineReader:
    """The lines of a text file, compressed or not, with the number of the last one read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0

    def __enter__(self) -> LineReader:
        try:
            self._file = open_text(self.path, "rt")
        except _DAMAGED as error:
            raise unreadable(self.path, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def line(self) -> str | None:
        """The next line, None at the end of the file."""
        lines = self.lines(1)
        return lines[0] if lines else None

    def lines(self, count: int) -> list[str]:
        """The next ``count`` lines, fewer at the end of the file."""
        try:
            lines = list(islice(self._file, min(count, sys.maxsize)))
        except _DAMAGED as error:
            raise unreadable(self.path, error) from error
        self.number += len(lines)
        return lines

    def __iter__(self) -> Iterator[str]:
        """The lines that are left."""
        try:
            for line in self._file:
                self.number += 1
                yield line
        except _DAMAGED as error:
            raise unreadable(self.path, error) from error

    def error(self, message: str, number: int | None = None) -> DataError:
        """A DataError that names the file and a line, by default the last one read."""
        return DataError(f"{self.path}, line {number or self.number}: {message}")


@dataclass
class AtomTable:
    """The atom lines of one frame."""

    first_line: int  # the number in the file of the first one, from 1
    lines: list[str] = field(repr=False)


@dataclass
class TextFrame:
    """One frame as text: its keys, and its atoms, not yet parsed."""

    index: int
    values: dict[str, str] = field(default_factory=dict)
    table: AtomTable = field(default_factory=lambda: AtomTable(0, []))
    columns: str = ""  # what the columns of its atoms are, where the file says so


def batches(frames: Iterable[_TextFrame]) -> Iterator[list[_TextFrame]]:
    """Successive frames with the same columns, of about BATCH_ATOMS atoms together."""
    batch: list[_TextFrame] = []
    size = 0
    for frame in frames:
        if batch and (frame.columns != batch[0].columns or size > BATCH_ATOMS):
            yield batch
            batch, size = [], 0
        batch.append(frame)
        size += len(frame.table.lines)
    if batch:
        yield batch


def open_text(path: Path, mode: str) -> IO[Any]:
    """A text file, compressed or not; bytes that are no text become U+FFFD.

    What is read says itself how it is compressed and whether it is UTF-16 (by a byte-order mark);
    what is written is compressed as its name says.
    """
    suffix, encoding = path.suffix.lower(), "utf-8"
    if mode == "rt":
        with path.open("rb") as raw:
            begin = raw.read(6)
        suffix = next((name for magic, name in _MAGIC.items() if begin.startswith(magic)), "")
        with _OPENERS.get(suffix, open)(path, "rb") as plain:
            marked = plain.read(2) in (b"\xff\xfe", b"\xfe\xff")
        encoding = "utf-16" if marked else "utf-8-sig"
    opener: Any = _OPENERS.get(suffix, open)
    file: IO[Any] = opener(path, mode, encoding=encoding, errors="replace")
    return file


def ending(path: Path) -> str:
    """The ending of a file's name in small letters, without that of a compression."""
    plain = path.with_suffix("") if path.suffix.lower() in _OPENERS else path
    return plain.suffix.lower()


@contextmanager
def text_writer(path: Path) -> Iterator[IO[Any]]:
    """Write a text file in one step; DataError when that fails."""
    try:
        with atomic_path(path) as temporary, open_text(temporary, "wt") as file:
            yield file
    except OSError as error:
        raise DataError(f"{path} could not be written: {error.strerror or error}.") from error


def unreadable(path: Path, error: Exception) -> DataError:
    """The error for a file that is missing, locked or damaged."""
    if isinstance(error, FileNotFoundError):
        return DataError(f"There is no file {path}; {closest(path)}")
    if isinstance(error, IsADirectoryError):
        return DataError(f"{path} is a folder; name the files in it.")
    reason = error.strerror if isinstance(error, OSError) else ""
    return DataError(f"{path} cannot be read: {reason or 'it is damaged, or cut short'}.")


def parse_tables(
    tables: Sequence[AtomTable], dtype: np.dtype[Any], path: Path, *, extra_columns: bool = False
) -> list[NDArray[Any]]:
    """One structured array for each table, in one pass over all their lines.

    With ``extra_columns`` words beyond those of ``dtype`` are ignored. Raises DataError with file
    and line for a line that does not fit.
    """
    lines = [line for table in tables for line in table.lines]
    width = _width(dtype)
    try:
        columns = range(width) if extra_columns else None
        rows = np.loadtxt(lines, dtype, comments=None, ndmin=1, usecols=columns)
    except ValueError as error:
        raise _first_bad_line(tables, dtype, path, extra_columns, str(error)) from error
    if len(rows) != len(lines):  # loadtxt leaves empty lines out
        raise _first_bad_line(tables, dtype, path, extra_columns, "an atom is missing")
    return np.split(rows, np.cumsum([len(table.lines) for table in tables])[:-1])


def symbols_to_numbers(symbols: Iterable[str], path: Path, table: AtomTable) -> Integers:
    """Atomic numbers of chemical symbols; DataError with file and line for an unknown one."""
    words = list(symbols)
    try:
        numbers = [_NUMBERS[word] for word in words]
    except KeyError as error:
        line = table.first_line + words.index(error.args[0])
        raise DataError(
            f"{path}, line {line}: '{error.args[0]}' is no chemical symbol; expected one such as "
            "H, He or Li."
        ) from None
    return np.array(numbers, dtype=np.int64)


def numbers_of_types(types: Sequence[str]) -> list[int]:
    """Atomic numbers of what types are said to be, 0 of an X; DataError for what is no element."""
    for name in types:
        if name not in atomic_numbers:
            raise DataError(f"'{name}' is no element; name each type by one, as in Li P S.")
    return [atomic_numbers[name] for name in types]


_NUMBERS = {symbol: number for symbol, number in atomic_numbers.items() if number > 0}
_NUMBERS |= {"D": 1, "T": 1}  # energies and forces know no isotopes


def _width(dtype: np.dtype[Any]) -> int:
    """Number of words on a line."""
    return sum(int(np.prod(dtype[name].shape)) for name in dtype.names or ())


def _first_bad_line(
    tables: Sequence[AtomTable],
    dtype: np.dtype[Any],
    path: Path,
    extra_columns: bool,
    message: str,
) -> DataError:
    """Find the line that a table as a whole could not be read for."""
    width = _width(dtype)
    names = [
        (name, dtype[name].base.kind)
        for name in dtype.names or ()
        for _ in range(int(np.prod(dtype[name].shape)))
    ]
    for table in tables:
        for number, line in enumerate(table.lines, table.first_line):
            words = line.split()
            if len(words) < width or (len(words) > width and not extra_columns):
                return DataError(
                    f"{path}, line {number}: {len(words)} columns where {width} are expected: "
                    f"'{line.strip()[:60]}'."
                )
            for word, (name, kind) in zip(words, names, strict=False):
                if not _fits(word, kind):
                    point = word[:40].replace(",", ".")
                    return DataError(
                        f"{path}, line {number}: '{word[:40]}' in the column '{name}' is no number"
                        + (f"; write {point}, with a point." if "," in word else "; correct it.")
                    )
    first = tables[0].first_line
    return DataError(f"{path}, at or after line {first}: its atoms cannot be read ({message}).")


def _fits(word: str, kind: str) -> bool:
    if kind == "U":
        return True
    try:
        float(word) if kind == "f" else int(word)
    except ValueError:
        return False
    return True


def is_input_data(path: Path) -> bool:
    """Whether a file, of whatever kind, is an ``input.data``.

    Its first word is ``begin``, or one of its first lines is ``begin`` with a line of a structure
    next: what stands before is free text. Raises DataError for a file that cannot be read.
    """
    lines = [line for line in head(path) if line.strip() and line.strip()[0] not in "#!"]
    first = [line.split()[0] for line in lines]
    if first[:1] == ["begin"] or not first:
        return bool(first) or path.name.startswith("input.data")
    return any(
        word == "begin" and following in ("comment", "lattice", "atom", "energy", "charge")
        for word, following in pairwise(first)
    )


def is_extended_xyz(path: Path) -> bool:
    """Whether a file, whatever its name, is an extended XYZ file; raises as is_input_data does."""
    first, second = (*(line.strip().lower() for line in head(path)[:2]), "", "")[:2]
    return first.isdecimal() and ("properties=" in second or "lattice=" in second)


def head(path: Path) -> list[str]:
    """The first lines of a text file; raises as is_input_data does."""
    with LineReader(path) as reader:
        return reader.lines(_HEAD)
