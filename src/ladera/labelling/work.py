"""One frame, in a process of its own: what the engine says of it, or why it says nothing."""

from __future__ import annotations

import os
import time
import traceback
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ladera.errors import LabellingError, LaderaError
from ladera.labelling.engines.registry import as_engine, parse
from ladera.processes import ProcessEndedError, TimeLimitError, begun
from ladera.yaml_text import load as load_yaml

if TYPE_CHECKING:
    from ladera.data.frame import Frame
    from ladera.labelling.engines.contract import Engine, Labels


class Outcome(NamedTuple):
    """What came of a frame."""

    labels: Labels | None = None
    reason: str = ""  # why there are none
    wall: float = 0.0  # s
    cpu: float = 0.0  # s, of the process and of the programs that it ran
    version: str = ""  # of the engine
    settings: str = ""  # their hash


def compute(config: str, frame: Frame, scratch: Path | None = None) -> Outcome:
    """Label a frame by the engine of some settings, as JSON; no error comes out of it."""
    engine = _engine(config)
    engine.scratch = scratch
    begun()
    wall, cpu = time.monotonic(), _seconds()
    labels, reason = None, ""
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            labels = engine.label(frame)
        for warning in heard:  # those of libraries, for the log
            os.write(1, f"{warning.category.__name__}: {warning.message}\n".encode())
        labels.require_finite()
    except LabellingError as error:
        labels, reason = None, str(error)
    except Exception as error:
        traceback.print_exc()
        labels, reason = None, _words(error)
    wall, cpu = time.monotonic() - wall, _seconds() - cpu
    return Outcome(labels, reason, wall, cpu, engine.version, engine.settings_hash)


def lost(error: Exception) -> Outcome:
    """The outcome of a frame whose process has ended, or was ended."""
    match error:
        case TimeLimitError():
            reason = f"it took longer than the time limit of {error.limit:g} s."
        case ProcessEndedError():
            reason = (
                f"its process ended with the exit code {error.exit_code}; was the memory enough?"
            )
        case _:
            reason = _words(error)
    return Outcome(reason=reason)


@lru_cache(maxsize=4)
def _engine(config: str) -> Engine:
    """An engine, made once in a process."""
    engine = as_engine(parse(load_yaml(config), "The engine"))
    engine.says_more = True
    return engine


def _words(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    if isinstance(error, LaderaError):
        return lines[0]
    said = f"{type(error).__name__}: {lines[0]}".rstrip(": .")
    return f"{said[:300]}."


def _seconds() -> float:
    """Processor time of this process and of those that it has waited for, s."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
