"""The record of how a result was made, the same for every result.

:func:`how` says by which command, when, where and with what; who has a result adds ``settings``,
``model``, ``structure`` and ``data``, each with its hash and the files it was read from (see
:mod:`ladera.identity`). A file is known by what was read from it: :func:`came_from` notes that
where it is read, :func:`files_of` finds it again when a record is made.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from ladera import __version__
from ladera.files import hash_of_file

# Handed to the processes that work for this one.
COMMAND_VARIABLE: Final = "LADERA_COMMAND"
# What numbers may depend on.
_PACKAGES: Final = ("numpy", "torch", "numba", "scipy", "ase", "phonopy", "spglib", "vesin")

_LARGE: Final = 1 << 30  # bytes
_FILES: Final[dict[str, list[dict[str, Any]]]] = {}  # by the hash of what was read


def how() -> dict[str, Any]:
    """Command, versions, date and machine of what this process makes."""
    return {
        "command": command(),
        "versions": dict(versions()),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "host": platform.node(),
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
    }


def command() -> str:
    """The command line of this process, or of the one that it works for."""
    given = os.environ.get(COMMAND_VARIABLE)
    if given:
        return given
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name
    line = shlex.join([name, *sys.argv[1:]])
    return line.encode("utf-8", "backslashreplace").decode()  # names that are no text


@cache
def versions() -> Mapping[str, str]:
    """Versions of Ladera, Python and the packages that compute."""
    found = {"ladera": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # run from a folder that nobody installed
            found[name] = "unknown"
    return found


def came_from(content: str, *paths: str | os.PathLike[str]) -> None:
    """Note which files something was read from, by the hash of what it is."""
    _FILES[content] = files(*paths)


def files_of(content: str) -> list[dict[str, Any]]:
    """The files that something was read from, as :func:`files` has them; none if computed."""
    return _FILES.get(content, [])


def files(*paths: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Path and SHA-256 of files, and of the files in folders; for those of a GiB or more the size.

    What is read from such a file (a trajectory, a data set) has a hash of its own.
    """
    found: list[dict[str, Any]] = []
    for path in map(Path, paths):
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if not file.is_file():
                continue
            size = file.stat().st_size
            told = {"sha256": hash_of_file(file)} if size < _LARGE else {"bytes": size}
            found.append({"path": str(file)} | told)
    return found
