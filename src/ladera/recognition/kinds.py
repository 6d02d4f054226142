"""Kinds of files, and which of them a path is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from ladera.recognition.look import Look

Role = Literal["model", "data", "result", "run", "settings", "other"]
Match = Callable[[Look], bool]


@dataclass(frozen=True)
class FileKind:
    """A format: what it is called, how it is known, and what to do with such a file."""

    name: str  # with its article: "a trajectory of ASE"
    role: Role
    matches: Match
    advice: str  # the end of a sentence; {path} stands for the path
    is_read: bool = True

    def what_to_do(self, path: Path) -> str:
        """The advice for a path."""
        return self.advice.replace("{path}", str(path))


def recognise(path: str | os.PathLike[str]) -> FileKind | None:
    """The kind of what stands at a path, by its content; None for what is not known, or missing.

    A suffix alone counts nowhere. Never raises, whatever the file holds.
    """
    path = Path(path)
    try:
        state = path.stat()
    except (OSError, ValueError):  # nothing there, or no path at all
        return None
    return _recognised(path, state.st_mtime_ns, state.st_size)


def foreign(path: Path) -> str:
    """The sentence about a model of another code that Ladera does not read; empty for others."""
    kind = recognise(path)
    if kind is None or kind.role != "model" or kind.is_read:
        return ""
    return f"{path} is {kind.name}, which Ladera does not read; {kind.what_to_do(path)}."


@lru_cache(maxsize=256)
def _recognised(path: Path, changed: int, size: int) -> FileKind | None:
    """Changed at a time, of a size: what is known of a file holds until it is another."""
    from ladera.recognition.data import FILES, FOLDERS
    from ladera.recognition.models import MODEL_FOLDERS, MODELS

    look = Look(path)
    kinds = (*FOLDERS, *MODEL_FOLDERS) if path.is_dir() else (*MODELS, *FILES)
    return next((kind for kind in kinds if kind.matches(look)), None)


# --- signatures ---------------------------------------------------------------------------------


def begins(pattern: str) -> Match:
    """The text begins so, after blanks."""
    compiled = re.compile(r"\s*" + pattern)
    return lambda look: bool(compiled.match(look.text))


def says(*patterns: str) -> Match:
    """Each pattern is in the text's beginning; ^ and $ are those of a line."""
    compiled = [re.compile(pattern, re.MULTILINE) for pattern in patterns]
    return lambda look: bool(look.text) and all(each.search(look.text) for each in compiled)


def magic(*starts: bytes) -> Match:
    """The first bytes are one of these."""
    return lambda look: look.head.startswith(starts)


def pickles(*words: str) -> Match:
    """A pickle, alone or in a checkpoint of torch, with all of these names or texts in it."""
    encoded = [word.encode() for word in words]
    return lambda look: bool(look.pickled) and all(word in look.pickled for word in encoded)


def archives(*patterns: str) -> Match:
    """A zip archive with names in it that match, each pattern one."""
    compiled = [re.compile(pattern) for pattern in patterns]
    return lambda look: (
        bool(look.members)
        and all(any(each.search(name) for name in look.members) for each in compiled)
    )


def holds(*names: str) -> Match:
    """A folder with all of these in it."""
    return lambda look: look.names.issuperset(names)


def either(*matches: Match) -> Match:
    """One of several signatures."""
    return lambda look: any(match(look) for match in matches)
