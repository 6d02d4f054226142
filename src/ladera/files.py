"""Writing files so that an interruption never leaves half a file behind, reading JSON, hashes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ladera.errors import DataError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success move it there in one step.

    The target is either the old file or the complete new one, whatever happens in between (a full
    disk, a kill). The temporary file is removed when the block raises.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Mapping[str, Any]:
    """The object in a JSON file; empty when there is no such file, DataError for a damaged one."""
    if not path.exists():
        return {}
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is no complete JSON file ({error}); run the command that wrote it again, or "
            "take it away to report without it."
        ) from error
    if not isinstance(contents, dict):
        raise DataError(f"{path} holds a {type(contents).__name__}, expected a JSON object.")
    return contents


def save_arrays(path: Path, arrays: Iterable[tuple[str, NDArray[Any]]]) -> None:
    """Write named arrays as ``np.savez_compressed`` does, only one of them in memory at a time."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(values), allow_pickle=False)


def first_mistake(error: ValidationError) -> str:
    """Where a stored object differs from what it should be, for the sentence that refuses it."""
    detail = error.errors(include_url=False)[0]
    place = ".".join(map(str, detail["loc"])) or "the file"
    return f"{place}: {detail['msg']}"


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file by name; ValueError for one that is damaged."""
    try:
        # Opened here: numpy leaves the file open when it turns out to be cut short.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return dict(stored)
    except Exception as error:  # damaged archives fail in many ways: sizes, methods, passwords
        raise ValueError(str(error) or type(error).__name__) from error


def cut_to(path: Path, length: int) -> None:
    """Drop what a file holds beyond its first ``length`` bytes, written after a restart point.

    Raises DataError for a file that is shorter or gone.
    """
    if not path.is_file() or path.stat().st_size < length:
        raise DataError(
            f"{path} is shorter than at the restart point or gone, so the run cannot go on; "
            "put it back or start anew in another folder."
        )
    os.truncate(path, length)


def hash_of_file(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    """The process's umask; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
