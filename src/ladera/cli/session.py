"""What may stand anywhere on the line of any command: how much it says, and to whom.

    --json FILE|-   the result as one JSON document, in a file or alone on standard output
    --quiet, -q     no progress and no notices: answers, warnings and errors only
    --verbose, -v   notices of what is read, computed and written
    --debug         the traceback of a failure

Answers go to standard output, all other words to standard error. Notices are those of the logger
``ladera``. With ``--json -`` standard output has the document, and the words go elsewhere. It is
strict JSON: what is no finite number is null. After a failure it has the sentence as ``error``,
beside what was found before it.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from ladera import progress
from ladera.cli.streams import document_stream

HELP: Final = (
    "Every command takes --json FILE (or -) for its result as one JSON document, --quiet for no "
    "progress and no notices, -v for more of them, --debug for tracebacks."
)

_QUIET, _VERBOSE, _DEBUG = ("--quiet", "-q"), ("--verbose", "-v"), ("--debug",)
_answers: Final[dict[str, Any]] = {}  # of the command that runs
_ASKED: Final[list[str]] = []  # where the document goes


def answer(document: Mapping[str, Any], files: Iterable[str | os.PathLike[str]] = ()) -> None:
    """The result of a command, for ``--json``, and the ``files`` it wrote; the last one counts."""
    _answers.clear()
    written = [os.fspath(file) for file in files]
    _answers.update({**document, **({"files": written} if written else {})})


def asked() -> bool:
    """Whether anybody wants the document: one that is large need not be made else."""
    return bool(_ASKED)


def quantities(
    kind: str,
    fields: Mapping[str, tuple[Any, str]],
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A document in the form of result.json, of fields with their values and units."""
    import ladera
    from ladera.provenance import how

    return {
        "kind": kind,
        "ladera": ladera.__version__,
        "fields": {name: {"value": value, "unit": unit} for name, (value, unit) in fields.items()},
        "provenance": how() if provenance is None else provenance,
    }


def strict(value: Any) -> Any:
    """A value as JSON has it; numbers that are not finite become null."""
    if hasattr(value, "tolist"):  # an array, or a number of NumPy
        value = value.tolist()
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): strict(item) for key, item in value.items()}
        case Iterable():
            return [strict(item) for item in value]
    return str(value)


@dataclass
class Session:
    """One command line: its words without those of this module, and what these ask for."""

    words: list[str]
    debug: bool = False
    quiet: bool = False
    verbose: bool = False
    json: str | None = None
    _output: TextIO | None = field(default=None, init=False)  # standard output as it was
    _file: Path | None = field(default=None, init=False)  # for the document, and nobody else's

    @classmethod
    def of(cls, words: Sequence[str]) -> Session:
        """Take the words apart. Raises ConfigError for a ``--json`` that leads nowhere."""
        session, rest = cls([]), iter(words)
        for word in rest:
            if word == "--":
                session.words += [word, *rest]
            elif word == "--json" or word.startswith("--json="):
                session.json = word[7:] if word != "--json" else next(rest, "")
            elif word in _QUIET:
                session.quiet = True
            elif word in _VERBOSE:
                session.verbose = True
            elif word in _DEBUG:
                session.debug = True
            else:
                session.words.append(word)
        return session

    def begin(self) -> None:
        """Listen to the notices, and keep standard output for the document if that goes there."""
        _answers.clear()
        progress.hide(self.quiet)
        level = logging.WARNING if self.quiet else logging.DEBUG if self.verbose else logging.INFO
        log = logging.getLogger("ladera")
        log.handlers = [each for each in log.handlers if not isinstance(each, _Notices)]
        log.addHandler(_Notices())
        log.setLevel(level)
        _ASKED[:] = [] if self.json is None else [self.json]
        if self.json is None:
            return
        if self.json == "-":
            self._output = document_stream()
        else:
            self._require_file(self.json)

    def _require_file(self, name: str) -> None:
        from ladera.errors import ConfigError

        if not name or name.startswith("-"):
            raise ConfigError(
                f"--json is followed by {repr(name) if name else 'nothing'}; name a file for the "
                "result, or give - for standard output."
            )
        if os.path.lexists(name):
            raise ConfigError(f"{name} exists already; remove it or name another file with --json.")
        self._file = Path(name)

    def end(self, code: int, error: str | None) -> None:
        """Write the document. Raises OSError where it cannot be written."""
        if self._output is not None:
            sys.stdout = self._output
        document = dict(_answers)
        if error is not None:
            document |= {"error": error, "exit_code": code}
        if not document or (self._output is None and self._file is None):
            return
        text = json.dumps(strict(document), indent=1, ensure_ascii=False, allow_nan=False)
        if self._output is not None:
            print(text)
        elif self._file is not None:
            from ladera.files import write_text_atomic

            write_text_atomic(self._file, f"{text}\n")


class _Notices(logging.Handler):
    """Puts notices on standard error, wherever that leads by then."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)
