"""Text tables as n2p2 writes and reads them: comments begin with ``#``, columns are any width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ladera.errors import ModelFileError

_WIDTH = 80


class Column(NamedTuple):
    """A column of a table."""

    width: int
    name: str
    description: str


@dataclass(frozen=True)
class Row:
    """One row of a file."""

    path: Path
    line: int  # from 1
    words: tuple[str, ...]

    def numbers(self, at_least: int) -> list[float]:
        """All words as finite numbers, of which there must be enough."""
        if len(self.words) < at_least:
            raise self.error(f"expected {at_least} numbers, found '{' '.join(self.words)}'.")
        return [self.number(position) for position in range(len(self.words))]

    def number(self, position: int) -> float:
        """One word as a finite number."""
        word = self.words[position]
        try:
            value = float(word.lower().replace("d", "e"))
        except ValueError:
            value = float("nan")
        if not abs(value) < float("inf"):
            raise self.error(f"expected a number, found '{word}'.")
        return value

    def error(self, message: str) -> ModelFileError:
        """An error in this row."""
        return ModelFileError(f"{self.path}, line {self.line}: {message}")


def read(path: Path) -> list[Row]:
    """The rows of a table; ModelFileError when there is no such file."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ModelFileError(
            f"{path} cannot be read ({error.strerror}); an n2p2 folder holds input.nn, "
            "scaling.data and weights.ZZZ.data."
        ) from error
    lines = enumerate(text.splitlines(), start=1)
    return [
        Row(path, number, tuple(line.split()))
        for number, line in lines
        if line.strip() and not line.lstrip().startswith("#")
    ]


def header(title: Sequence[str], columns: Sequence[Column]) -> str:
    """Comment lines that say what a table is and what its columns hold."""
    names = max(len("Name"), *(len(column.name) for column in columns))
    total = max(_WIDTH, sum(column.width + 1 for column in columns) - 1)
    rule = "#" * _WIDTH
    lines = [rule, *(f"# {line}" for line in title), rule]
    lines += [f"# {'Col':4s} {'Name':{names}s} Description", rule]
    lines += [
        f"# {number:<4d} {column.name:{names}s} {column.description}"
        for number, column in enumerate(columns, start=1)
    ]
    lines.append("#" * total)
    for words in (range(1, len(columns) + 1), [column.name for column in columns]):
        cells = [f"{word!s:>{column.width}s}" for word, column in zip(words, columns, strict=True)]
        lines.append("#" + " ".join(cells)[1:])
    lines.append("#" * total)
    return "\n".join(lines) + "\n"
