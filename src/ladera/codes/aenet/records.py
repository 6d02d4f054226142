"""The values of a network file of aenet one after the other, from either of its two forms.

Binary files are Fortran's sequential records: a length of 4 bytes, the bytes, the length again.
Text files have the same values in the same order, lists wrapped over lines and words on lines of
their own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from ladera.arrays import Floats, Integers
from ladera.errors import ModelFileError
from ladera.recognition.networks import is_of_aenet

_FOUR: Final = (4).to_bytes(4, "little")
_LARGEST: Final = 500_000_000  # bytes


class Records(Protocol):
    """Values in the order of the file; every method raises ModelFileError where others stand."""

    path: Path

    def integers(self, count: int) -> Integers:
        """The next list of whole numbers."""

    def floats(self, count: int) -> Floats:
        """The next list of numbers."""

    def words(self, count: int, length: int) -> tuple[str, ...]:
        """The next list of words, each of ``length`` bytes in a binary file."""

    def logical(self) -> bool:
        """The next truth value."""

    def pairs(self, count: int, n_elements: int) -> Integers:
        """The numbers of the elements that each of ``count`` functions is for, (count, 2)."""


class BinaryRecords:
    """Those of a binary file in the byte order of this machine's aenet, little endian."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self._data, self._place = data, 0

    def integers(self, count: int) -> Integers:
        return self._array("<i4", count).astype(np.int64)

    def floats(self, count: int) -> Floats:
        return self._array("<f8", count).astype(np.float64)

    def words(self, count: int, length: int) -> tuple[str, ...]:
        text = self._record(count * length).decode("latin1")
        return tuple(text[i * length : (i + 1) * length].strip() for i in range(count))

    def logical(self) -> bool:
        return bool(self._array("<i4", 1)[0])

    def pairs(self, count: int, n_elements: int) -> Integers:
        return self.integers(2 * count).reshape(count, 2)

    def _array(self, kind: str, count: int) -> np.ndarray[tuple[int], np.dtype[np.generic]]:
        return np.frombuffer(self._record(count * np.dtype(kind).itemsize), dtype=kind)

    def _record(self, length: int) -> bytes:
        """The next record, which must have this length."""
        start = self._place + 4
        found = int.from_bytes(self._data[self._place : start], "little")
        if len(self._data) < start + length + 4:
            raise ModelFileError(f"{self.path} is cut short; copy the file again.")
        if found != length or self._data[start + length : start + length + 4] != (
            length.to_bytes(4, "little")
        ):
            raise ModelFileError(
                f"{self.path}, byte {self._place}: a record of {length} bytes was expected and "
                f"{found} found; the file is damaged, or of another version of aenet than 2."
            )
        self._place = start + length + 4
        return self._data[start : start + length]


class TextRecords:
    """Those of a text file."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self._lines = data.decode("utf-8", errors="replace").splitlines()
        self._number = 0

    def integers(self, count: int) -> Integers:
        words = self._list(count)
        if not all(word.lstrip("+-").isdigit() for word in words):
            raise self._error(f"{count} whole numbers were expected")
        return np.array([int(word) for word in words], dtype=np.int64)

    def floats(self, count: int) -> Floats:
        try:
            return np.array([_number(word) for word in self._list(count)])
        except ValueError:
            raise self._error(f"{count} numbers were expected") from None

    def words(self, count: int, length: int) -> tuple[str, ...]:
        return tuple(self._line().strip() for _ in range(count))

    def logical(self) -> bool:
        return self._line().strip().strip(".").upper().startswith("T")

    def pairs(self, count: int, n_elements: int) -> Integers:
        """Here each has as many numbers as there are elements, of which two at most count."""
        rows = self.integers(count * n_elements).reshape(count, n_elements)
        return rows[:, :2] if n_elements > 1 else np.repeat(rows, 2, axis=1)

    def _list(self, count: int) -> list[str]:
        """So many words, from as many lines as they stand on."""
        words: list[str] = []
        while len(words) < count:
            words += self._line().split()
        if len(words) > count:
            raise self._error(f"{count} values were expected and {len(words)} found")
        return words

    def _line(self) -> str:
        if self._number == len(self._lines):
            raise ModelFileError(f"{self.path} is cut short; copy the file again.")
        self._number += 1
        return self._lines[self._number - 1]

    def _error(self, problem: str) -> ModelFileError:
        return ModelFileError(
            f"{self.path}, line {self._number}: {problem}; the file is damaged, or of another "
            "version of aenet than 2."
        )


def _number(word: str) -> float:
    """A number as Fortran writes it: 1.0D-05, or 1.0-100, where the exponent leaves no room."""
    return float(re.sub(r"[dD]|(?<=\d)(?=[+-]\d{3}$)", "E", word))


def records_of(path: Path) -> Records:
    """The values of a file; ModelFileError for another byte order, and for no file of aenet."""
    try:
        data = path.read_bytes() if path.stat().st_size < _LARGEST else b""
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read ({error.strerror}).") from error
    if not is_of_aenet(data[:512]):
        raise ModelFileError(f"{path} is no network of aenet, neither binary nor text.")
    if data[:4] == _FOUR[::-1]:
        raise ModelFileError(
            f"{path} was written on a machine of the other byte order (big endian); give the text "
            "file, or let aenet write it on this machine."
        )
    return BinaryRecords(path, data) if data[:4] == _FOUR else TextRecords(path, data)
