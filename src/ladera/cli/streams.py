"""Standard output and error that never stop the work: closed, broken, full, or in another encoding.

What was computed counts, not who listens. A stream that cannot be written to is written to no more
and remembers why; a closed one leads nowhere; a character that an encoding lacks is replaced.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TextIO

# What stands for a character in an encoding without it; for any other a question mark.
_SPELLED: Final[Mapping[str, str]] = {
    "\N{PLUS-MINUS SIGN}": "+-",
    "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}": "A",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{DEGREE SIGN}": "deg",
    "\N{SUPERSCRIPT TWO}": "^2",
    "\N{SUPERSCRIPT THREE}": "^3",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{EN DASH}": "-",
    "\N{MINUS SIGN}": "-",
}


class _Patient(io.FileIO):
    """A file descriptor whose first failure is remembered, and hidden from who writes."""

    error: OSError | None = None
    descriptor: int | None = None  # where it leads, if no longer to the one it was opened with

    def write(self, data: Any, /) -> int:
        """Write, or pretend to."""
        if self.error is None:
            try:
                return os.write(self.fileno() if self.descriptor is None else self.descriptor, data)
            except OSError as error:
                self.error = error
        return len(memoryview(data).cast("B"))


@dataclass(frozen=True)
class StandardStreams:
    """Those that were put in place of the process's own."""

    output: _Patient | None  # None where somebody else has replaced standard output already

    def error(self) -> OSError | None:
        """Why standard output could not be written to."""
        with suppress(ValueError):  # closed by the command
            sys.stdout.flush()
        return None if self.output is None else self.output.error


def standard_streams() -> StandardStreams:
    """Put patient streams in place of the process's own, and never take them away again."""
    codecs.register_error("ladera", _spelled)
    for number in (0, 1, 2):  # before another file is opened there
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            os.set_inheritable(number, True)
    output = None
    if sys.stdout is sys.__stdout__:
        output = _Patient(1, "w", closefd=False)
        sys.stdout = _text(output, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Patient(2, "w", closefd=False), sys.stderr, buffered=False)
    return StandardStreams(output)


def document_stream() -> TextIO:
    """Standard output for one document; all that prints from now on goes to standard error.

    Also what libraries of other languages print, past Python: descriptor 1 is led to standard error
    and stays there, as they may write what they keep when the process ends.
    """
    document = sys.stdout
    raw = getattr(getattr(document, "buffer", None), "raw", None)
    if isinstance(raw, _Patient) and raw.descriptor is None:
        document.flush()
        raw.descriptor = os.dup(raw.fileno())
        os.dup2(2, raw.fileno())
    sys.stdout = sys.stderr
    return document


def _text(raw: _Patient, old: Any, *, buffered: bool = True) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=old.encoding if old is not None else "utf-8",
        errors="ladera",
        line_buffering=raw.isatty() or not buffered,
    )


def _spelled(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_SPELLED.get(character, "?") for character in missing), error.end
