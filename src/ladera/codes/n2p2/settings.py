"""``input.nn``, the settings file of RuNNer and n2p2, as a table of its keywords.

::

    keyword argument argument ...     # what is right of # or ! is a comment

in any order; keywords without argument count by being there. Nothing is converted here: numbers
are in the units of the file, elements in the order of the file.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ase.data import atomic_numbers, chemical_symbols

from ladera.codes.n2p2.keywords import (
    ALIASES,
    FOREIGN,
    MODEL_KEYWORDS,
    REPEATABLE,
    TRAINING_KEYWORDS,
)
from ladera.errors import ConfigError, did_you_mean

# How alike an unknown keyword and a known one must be to count as a slip of the pen.
_TYPING_ERROR = 0.8


class SettingsWarning(UserWarning):
    """Something of an ``input.nn`` that Ladera does not follow."""


@dataclass(frozen=True)
class Line:
    """One keyword with its arguments."""

    keyword: str  # as the file spells it
    words: tuple[str, ...]
    number: int  # of the line, from 1


class Settings:
    """The keywords of one ``input.nn``.

    Aliases are resolved: ask with n2p2's first spelling. ``comments`` are the lines that hold
    nothing but a comment, without their ``#``.
    """

    def __init__(self, path: Path, lines: Iterable[Line], comments: Iterable[str] = ()) -> None:
        self.path = path
        self.comments = tuple(comments)
        self._lines: dict[str, list[Line]] = {}
        for line in lines:
            self._lines.setdefault(ALIASES.get(line.keyword, line.keyword), []).append(line)
        for keyword in self._lines:
            self._check(keyword, *self._lines[keyword])

    def _check(self, keyword: str, first: Line, *more: Line) -> None:
        """Refuse a keyword that neither n2p2 nor Ladera knows, and one that stands twice."""
        if keyword in FOREIGN:
            raise self.error(f"'{keyword}' is RuNNer's alone: {FOREIGN[keyword]}.", first)
        known = keyword in MODEL_KEYWORDS | TRAINING_KEYWORDS
        respelled = any(line.keyword != first.keyword for line in more)
        if known and more and (respelled or keyword not in REPEATABLE):
            other = f" (as '{first.keyword}')" if respelled else ""
            raise self.error(
                f"'{more[0].keyword}' stands on line {first.number}{other} already; "
                "keep one of them.",
                more[0],
            )

    def __contains__(self, keyword: str) -> bool:
        return keyword in self._lines

    @property
    def keywords(self) -> tuple[str, ...]:
        """All keywords of the file in their first spelling, in the order of the file."""
        return tuple(self._lines)

    def lines(self, keyword: str) -> tuple[Line, ...]:
        """All lines with a keyword, in the order of the file."""
        return tuple(self._lines.get(keyword, ()))

    def line(self, keyword: str) -> Line:
        """The line of a keyword that must be there."""
        if keyword not in self._lines:
            raise self.error(f"'{keyword}' is missing; add it.")
        return self._lines[keyword][0]

    def words(self, keyword: str) -> tuple[str, ...]:
        """The arguments of a keyword, of which there must be at least one."""
        line = self.line(keyword)
        if not line.words:
            raise self.error(f"'{line.keyword}' has no value; expected one behind it.", line)
        return line.words

    def real(self, keyword: str, default: float | None = None) -> float:
        """The number behind a keyword; ``default`` where the keyword is missing."""
        if default is not None and keyword not in self:
            return default
        return self.number(self.line(keyword), self.words(keyword)[0])

    def integer(self, keyword: str, default: int | None = None) -> int:
        """The whole number behind a keyword; ``default`` where the keyword is missing."""
        if default is not None and keyword not in self:
            return default
        return self.whole_number(self.line(keyword), self.words(keyword)[0])

    def number(self, line: Line, word: str) -> float:
        """A word of a line as a finite number; Fortran's 1.0d-3 is one too."""
        try:
            value = float(word.lower().replace("d", "e"))
        except ValueError:
            value = float("nan")
        if not abs(value) < float("inf"):
            raise self.error(f"'{line.keyword}' has '{word}', expected a number.", line)
        return value

    def whole_number(self, line: Line, word: str) -> int:
        """A word of a line as a whole number."""
        value = self.number(line, word)
        if not value.is_integer():
            raise self.error(f"'{line.keyword}' has '{word}', expected a whole number.", line)
        return int(value)

    def element(self, line: Line, position: int = 0) -> str:
        """A word of a line as chemical symbol; one of ``elements``."""
        symbol = line.words[position] if position < len(line.words) else ""
        known = self.elements
        if symbol not in known:
            raise self.error(
                f"'{line.keyword}' names the element '{symbol}'; {did_you_mean(symbol, known)}",
                line,
            )
        return symbol

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols, by atomic number, whatever their order in the file."""
        line = self.line("elements")
        words = self.words("elements")
        for symbol in words:
            if atomic_numbers.get(symbol, 0) == 0:
                hint = did_you_mean(symbol, chemical_symbols[1:])
                raise self.error(f"'{symbol}' is not a chemical symbol; {hint}", line)
        if len(set(words)) < len(words):
            raise self.error(f"an element stands twice in '{' '.join(words)}'.", line)
        number = self.integer("number_of_elements", len(words))
        if number != len(words):
            raise self.error(
                f"'elements' names {len(words)}, but number_of_elements is {number}.", line
            )
        return tuple(sorted(words, key=atomic_numbers.__getitem__))

    def by_element(self, keyword: str) -> dict[str, float]:
        """The numbers of a keyword that has a line for each element (some may be missing)."""
        values: dict[str, float] = {}
        for line in self.lines(keyword):
            symbol = self.element(line)
            if len(line.words) != 2:
                raise self.error(f"'{line.keyword}' takes an element and a number.", line)
            if symbol in values:
                raise self.error(f"'{line.keyword}' is given twice for {symbol}.", line)
            values[symbol] = self.number(line, line.words[1])
        return values

    def check_unknown(self, relevant: Iterable[str]) -> None:
        """Refuse an unknown keyword that looks like a relevant one; warn of the others."""
        relevant = sorted(relevant)
        spellings = relevant + [alias for alias, name in ALIASES.items() if name in relevant]
        for keyword in self._lines:
            if keyword in MODEL_KEYWORDS or keyword in TRAINING_KEYWORDS:
                continue
            line = self._lines[keyword][0]
            alike = difflib.get_close_matches(keyword.lower(), spellings, 1, _TYPING_ERROR)
            if alike:
                raise self.error(f"there is no '{keyword}'; did you mean '{alike[0]}'?", line)
            warnings.warn(
                f"{self.path}, line {line.number}: '{keyword}' is unknown and has no effect.",
                SettingsWarning,
                stacklevel=3,
            )

    def error(self, message: str, line: Line | None = None) -> ConfigError:
        """An error of this file, with the line where it is."""
        where = f"{self.path}, line {line.number}" if line else str(self.path)
        return ConfigError(f"{where}: {message}")


def read(path: Path) -> Settings:
    """Read an ``input.nn``.

    Raises ConfigError for a missing file, a keyword given twice (also under another name) and a
    keyword that makes the potential one that neither n2p2 nor Ladera knows.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise ConfigError(
            f"There is no {path}; an n2p2 folder holds input.nn, scaling.data and weights.ZZZ.data."
        ) from None
    lines, comments = [], []
    for number, raw in enumerate(text.splitlines(), start=1):
        words = raw.replace("!", "#").split("#", 1)[0].split()
        if words:
            lines.append(Line(words[0], tuple(words[1:]), number))
        elif raw.strip():
            comments.append(raw.strip().lstrip("#! "))
    if not lines:
        raise ConfigError(f"{path} has no keywords; is it the right file?")
    return Settings(path, lines, comments)
