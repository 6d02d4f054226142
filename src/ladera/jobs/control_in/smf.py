"""``.smf``: the symmetry functions of one central element.

::

    # CentralAtom Al

    # Type G2
    # neighbour  eta  Rs  Rc
    O   0.005   0.0   12.0

    # Type G3
    # pair  eta  lambda  zeta  Rc  [Rs]
    H  O   0.0   1.0   4.0   12.0

Lengths (Rs, Rc) are in the ``length_unit`` of the control.in, eta in one over its square. What is
right of a # is a comment; empty lines do nothing. The titles of the blocks may be comments, as the
thesis writes them, or not, or missing: a line of four columns is a G2, one of six or seven a G3
(a pair may also be written H-O). Under a title the lines must be of its kind. The comment that
names the central atom may be missing too, but must not name another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from ladera.errors import ConfigError, did_you_mean, first_problem
from ladera.files import write_text_atomic
from ladera.kernels.symmetry_functions.functions import GaussianFunction, SymmetryFunction

Angular = Literal["wide", "narrow"]

_TITLE: Final = re.compile(r"\btype\s+g\s*(\d+)\b", re.IGNORECASE)
_CENTRAL_ATOM: Final = re.compile(r"(?i:central\s*atom)\s*[:=]?\s*([A-Z][a-z]?)$")
_COLUMN_TITLES: Final = re.compile(r"(j-|neighbou?r|pair)", re.IGNORECASE)
_PAIR: Final = re.compile(r"([A-Z][a-z]?)-([A-Z][a-z]?)$")
_COLUMNS: Final = {
    "G2": "neighbour eta Rs Rc",
    "G3": "two neighbours, eta lambda zeta Rc and, if you like, Rs",
}


def read(
    path: Path, center: str, elements: Sequence[str], angular: Angular, length: float
) -> tuple[SymmetryFunction, ...]:
    """The functions of the central element, in the order of the file.

    ``elements`` are those of the control.in, ``angular`` is what its ``angular_sf`` says, and
    ``length`` its ``length_unit`` in Angstrom. Raises ConfigError, with file and line, for what is
    malformed, for an element that the control.in has not, and for a function given twice.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    reader = _Reader(path, center, tuple(elements), angular, length)
    lines: dict[SymmetryFunction, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        function = reader.line(number, line)
        if function is None:
            continue
        if function in lines:
            raise reader.error(number, f"repeats the function of line {lines[function]}; drop it.")
        lines[function] = number
    if not lines:
        raise ConfigError(
            f"{path} holds no symmetry functions; a line such as '{elements[0]} 0.01 0.0 12.0' "
            "(neighbour eta Rs Rc) is one."
        )
    return tuple(lines)


def write(path: Path, functions: Iterable[SymmetryFunction], length: float) -> None:
    """Write the functions of one central element, lengths in units of ``length`` (Angstrom).

    Raises ConfigError for functions that the file has no place for: those of several central
    elements, narrow and wide ones together, and kinds other than radial, narrow and wide.
    """
    functions = list(functions)
    centers = {function.center for function in functions}
    kinds = {function.kind for function in functions}
    if (
        len(centers) != 1
        or not kinds <= {"radial", "narrow", "wide"}
        or kinds >= {"narrow", "wide"}
    ):
        raise ConfigError(
            f"{path} is for one central element, radial functions and either narrow or wide ones; "
            f"these are of {', '.join(sorted(centers)) or 'none'}: {', '.join(sorted(kinds))}."
        )
    gaussians = [function for function in functions if isinstance(function, GaussianFunction)]
    radial = [_words(function, length) for function in gaussians if not function.angular]
    angular = [_words(function, length) for function in gaussians if function.angular]
    lines = [f"# CentralAtom {centers.pop()}"]
    if radial:
        lines += ["", "# Type G2", "# j-atom  eta  Rs  Rc", *radial]
    if angular:
        lines += ["", "# Type G3", "# j-k-atoms  eta  lambda  zeta  Rc", *angular]
    write_text_atomic(path, "\n".join([*lines, ""]))


@dataclass
class _Reader:
    """Reads a file line by line, with the block that it is in."""

    path: Path
    center: str
    elements: tuple[str, ...]
    angular: Angular
    length: float
    block: str = ""

    def line(self, number: int, line: str) -> SymmetryFunction | None:
        """The function of a line, if it is one."""
        content, _, comment = line.partition("#")
        words = content.split()
        text = content.strip() or comment.strip()
        if title := _TITLE.search(text):
            self.block = f"G{title[1]}"
            if self.block not in _COLUMNS:
                raise self.error(number, f"'{text}' is no block of a .smf; expected Type G2 or G3.")
            return None
        if named := _CENTRAL_ATOM.match(text):
            if named[1] != self.center:
                raise self.error(
                    number,
                    f"the file is of the central atom {named[1]}, but the control.in gives it to "
                    f"{self.center}; exchange the files.",
                )
            return None
        if not words or _COLUMN_TITLES.match(words[0]):
            return None
        if pair := _PAIR.match(words[0]):
            words = [pair[1], pair[2], *words[1:]]
        return self._function(number, words)

    def _function(self, number: int, words: list[str]) -> SymmetryFunction:
        kind = "G2" if len(words) == 4 else "G3" if len(words) in (6, 7) else ""
        if not kind or self.block not in ("", kind):
            wanted = [self.block] if self.block else list(_COLUMNS)
            expected = " or ".join(f"a {name} line: {_COLUMNS[name]}" for name in wanted)
            raise self.error(
                number, f"'{' '.join(words)}' has {len(words)} columns, expected {expected}."
            )
        n_neighbors = 1 if kind == "G2" else 2
        for word in words[:n_neighbors]:
            if word not in self.elements:
                hint = did_you_mean(word, self.elements)
                raise self.error(number, f"'{word}' is no atom type of the control.in; {hint}")
        values = [self._number(number, word) for word in words[n_neighbors:]]
        per_area = self.length**-2
        try:
            if kind == "G2":
                eta, shift, cutoff = values
                return GaussianFunction(
                    kind="radial",
                    center=self.center,
                    neighbors=(words[0],),
                    eta=eta * per_area,
                    shift=shift * self.length,
                    cutoff=cutoff * self.length,
                )
            eta, lambda_, zeta, cutoff, shift = (*values, 0.0)[:5]
            return GaussianFunction(
                kind=self.angular,
                center=self.center,
                neighbors=(words[0], words[1]),
                eta=eta * per_area,
                shift=shift * self.length,
                cutoff=cutoff * self.length,
                lambda_=lambda_,
                zeta=zeta,
            )
        except ValidationError as error:
            where, message = first_problem(error)
            reason = f"{where.partition('.')[0]}: {message}" if where else message
            raise self.error(number, f"impossible function ({reason}).") from error

    def _number(self, number: int, word: str) -> float:
        try:
            value = float(word)
        except ValueError:
            value = float("nan")
        if not abs(value) < float("inf"):
            raise self.error(number, f"'{word}' is no number.")
        return value

    def error(self, number: int, message: str) -> ConfigError:
        """An error in a line of this file."""
        return ConfigError(f"{self.path}, line {number}: {message}")


def _words(function: GaussianFunction, length: float) -> str:
    """The line of a function."""
    eta, shift, cutoff = (
        _text(function.eta * length**2),
        _text(function.shift / length),
        _text(function.cutoff / length),
    )
    neighbors = "  ".join(f"{symbol:2s}" for symbol in function.neighbors)
    if function.lambda_ is None or function.zeta is None:
        return f"{neighbors}  {eta}  {shift}  {cutoff}"
    words = [neighbors, eta, f"{function.lambda_!r}", f"{function.zeta!r}", cutoff]
    return "  ".join([*words, *([shift] if function.shift else [])])


def _text(value: float) -> str:
    """A number without the digits that a change of units leaves behind."""
    return f"{value:.15g}"
