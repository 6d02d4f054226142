"""The keys of an ``.mtp`` file and their values, each with the line that it stands on.

Keys stand one on a line, ``key = value``, in any order; lists in braces may go on over lines, and
line ends may be those of Windows. What MLIP writes after the line ``#MVS_v1.1``, in part binary, is
the active set of its selection, which is left aside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from ladera.errors import ModelFileError, did_you_mean

COEFFICIENTS: Final = ("radial_coeffs", "species_coeffs", "moment_coeffs")
PAIR: Final = re.compile(r"(\d{1,9})\s*-\s*(\d{1,9})")
_KNOWN: Final = (
    *("version", "potential_name", "potential_tag", "scaling", "species_count"),
    *("radial_basis_type", "min_dist", "max_dist", "radial_basis_size", "radial_funcs_count"),
    *("alpha_moments_count", "alpha_index_basic_count", "alpha_index_basic"),
    *("alpha_index_times_count", "alpha_index_times", "alpha_scalar_moments"),
    *("alpha_moment_mapping", *COEFFICIENTS),
)
_ACTIVE_SET: Final = b"#MVS_v"
_INTEGER: Final = re.compile(r"[+-]?\d{1,18}")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ROW: Final = re.compile(r"\{([^{}]*)\}")


class Entry(NamedTuple):
    """A value, as text."""

    line: int  # from 1
    text: str


class Fields:
    """What stands in a file; every method raises ModelFileError, with the line, for what is wrong.

    ``pairs`` are the lines below ``radial_coeffs``, and ``scaling`` the factor of all radial
    functions, which old files have in two parts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.scaling = 1.0
        self.pairs: list[Entry] = []
        try:
            text, marker, _ = path.read_bytes().partition(_ACTIVE_SET)
        except OSError as error:
            raise ModelFileError(f"{path} cannot be read ({error.strerror}).") from error
        self.active_set = bool(marker)
        self._lines = text.decode("utf-8", errors="replace").splitlines()
        self._read()

    def error(self, line: int, message: str) -> ModelFileError:
        """An error on a line."""
        return ModelFileError(f"{self.path}, line {line}: {message}")

    def entry(self, key: str) -> Entry:
        """The value of a key that has to be there."""
        if key not in self.entries:
            raise self.error(len(self._lines), f"the file ends without {key}; it is cut short.")
        return self.entries[key]

    def line(self, key: str) -> int:
        """Where a key stands."""
        return self.entry(key).line

    def number(self, key: str) -> float:
        """A finite number."""
        return self._number(*self.entry(key))

    def count(self, key: str, at_least: int = 1) -> int:
        """A whole number."""
        line, text = self.entry(key)
        value = self._integer(line, text)
        if value < at_least:
            raise self.error(line, f"{key} is {value}; expected {at_least} or more.")
        return value

    def numbers(self, key: str, count: str) -> list[float]:
        """A list ``{a, b, ...}``, as long as another key says."""
        values = self.numbers_of(self.entry(key))
        self._require_count(key, len(values), count)
        return values

    def numbers_of(self, entry: Entry) -> list[float]:
        """The list ``{a, b, ...}`` on a line."""
        return [self._number(entry.line, word) for word in self._words(entry)]

    def integers(self, key: str, count: str) -> list[int]:
        """A list of whole numbers, as long as another key says."""
        values = [self._integer(self.line(key), word) for word in self._words(self.entry(key))]
        self._require_count(key, len(values), count)
        return values

    def rows(self, key: str) -> list[tuple[int, ...]]:
        """Rows of four whole numbers, ``{{0, 0, 0, 0}, ...}``, as many as ``key_count`` says."""
        line, text = self.entry(key)
        between = _ROW.sub("", text[1:-1]).replace(",", "").strip()
        if not (text.startswith("{") and text.endswith("}")) or between:
            raise self.error(line, f"expected {{{{a, b, c, d}}, ...}}, found '{text[:40]}'.")
        rows: list[tuple[int, ...]] = []
        for match in _ROW.finditer(text, 1, len(text) - 1):
            row = tuple(self._integer(line, word) for word in match[1].split(","))
            if len(row) != 4:
                raise self.error(line, f"expected rows of four numbers, found {match[0][:40]}.")
            rows.append(row)
        self._require_count(key, len(rows), f"{key}_count")
        return rows

    # --- lines -----------------------------------------------------------------------------------

    def _read(self) -> None:
        lines = self._joined()
        first = next(lines, Entry(1, ""))
        if first.text != "MTP":
            raise self.error(1, f"expected MTP, found '{first.text[:40]}'; it is no .mtp file.")
        in_pairs = False
        for entry in lines:
            key, equals, value = (part.strip() for part in entry.text.partition("="))
            if in_pairs and not equals and (key.startswith("{") or PAIR.fullmatch(key)):
                self.pairs.append(entry)
                continue
            in_pairs = key == "radial_coeffs"
            self._take(entry.line, key, value if equals else None)

    def _joined(self) -> Iterator[Entry]:
        """The lines with something on them, those between two braces as one."""
        start, depth, parts = 0, 0, list[str]()
        for number, line in enumerate(self._lines, start=1):
            if not line.strip():
                continue
            start = start if parts else number
            parts.append(line.strip())
            depth += line.count("{") - line.count("}")
            if depth <= 0:
                yield Entry(start, " ".join(parts))
                parts, depth = [], 0
        if parts:
            raise self.error(start, "the file ends within these braces; it is cut short.")

    def _take(self, line: int, key: str, value: str | None) -> None:
        if key.startswith("magnetic"):
            raise self.error(
                line, f"'{key}' is of a magnetic potential, which Ladera does not have."
            )
        if (value is None) != (key == "radial_coeffs") or key not in _KNOWN:
            word = (key.split() or [""])[0][:40]
            hint = f"expected {word} = and a value." if word in _KNOWN else "is the file damaged?"
            hint = did_you_mean(word, _KNOWN) if value is not None and word not in _KNOWN else hint
            raise self.error(line, f"'{key[:40]}' is no line of an .mtp file; {hint}")
        if key == "scaling":
            self.scaling *= self._number(line, value or "")
            return
        if key in self.entries:
            before = self.entries[key].line
            raise self.error(line, f"'{key}' stands a second time, first on line {before}.")
        self.entries[key] = Entry(line, value or "")

    # --- words -----------------------------------------------------------------------------------

    def _words(self, entry: Entry) -> list[str]:
        text = entry.text
        if len(text) < 2 or text[0] != "{" or text[-1] != "}":
            raise self.error(entry.line, f"expected {{a, b, ...}}, found '{text[:40]}'.")
        return text[1:-1].split(",") if text[1:-1].strip() else []

    def _number(self, line: int, word: str) -> float:
        value = float(word) if _NUMBER.fullmatch(word.strip()) else float("nan")
        if not abs(value) < float("inf"):
            raise self.error(line, f"expected a number, found '{word.strip()[:40]}'.")
        return value

    def _integer(self, line: int, word: str) -> int:
        if not _INTEGER.fullmatch(word.strip()):
            raise self.error(line, f"expected a whole number, found '{word.strip()[:40]}'.")
        return int(word)

    def _require_count(self, key: str, found: int, of: str) -> None:
        expected = self.count(of, 0)
        if found != expected:
            raise self.error(self.line(key), f"{key} has {found} entries, and {of} is {expected}.")
