"""Writing files so that an interruption never leaves half a file behind, reading JSON, hashes.

The rule for the outputs of commands is :func:`require_absent`: what is there stays.
"""

from __future__ import annotations

import difflib
import errno
import hashlib
import json
import logging
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ladera.errors import ConfigError, DataError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

log = logging.getLogger(__name__)

_HIDDEN: Final = ".ladera-"  # how the names of temporary files begin
_DAY: Final = 86400.0  # s
_SWEPT: Final[set[Path]] = set()  # folders this process has looked into


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success move it there in one step.

    The target is either the old file or the complete new one, whatever happens in between (a full
    disk, a kill). The temporary file is removed when the block raises; one that a killed process
    left is removed by the next that writes there. An OSError of the block names the target.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        handle, name = tempfile.mkstemp(
            prefix=temporary_prefix(target.stem),
            suffix=target.suffix,
            dir=target.parent,
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
            log.debug("Wrote %s.", target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        unnamed = error.filename is None or _HIDDEN in str(error.filename)
        if unnamed and error.errno is not None:  # one of words alone would lose them
            error.filename = str(target)
        raise


def temporary_prefix(stem: str = "") -> str:
    """How the name of a temporary file or folder begins that :func:`sweep` knows as Ladera's."""
    return f"{_HIDDEN}{_namespace()}-{os.getpid()}-{stem[-60:]}."


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders of Ladera that killed processes left in a folder.

    Of this machine those of processes that are no more, of others (and of other containers, whose
    processes cannot be seen from here) those that nobody has touched for a day. A process looks
    once into each folder.
    """
    if folder in _SWEPT:
        return
    _SWEPT.add(folder)
    for path in folder.glob(f"{_HIDDEN}*"):
        with suppress(OSError, ValueError):  # another is faster, or it is no file of ours
            namespace, process, *_ = path.name.removeprefix(_HIDDEN).split("-")
            here = namespace == _namespace()
            untouched = time.time() - path.stat().st_mtime
            if not is_running(int(process)) if here else untouched > _DAY:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def is_running(process: int) -> bool:
    """Whether there is a process of this number, whoever's it is."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


@cache
def machine() -> str:
    """What tells this machine, since it was started, from all others."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return platform.node()


@cache
def _namespace() -> str:
    """What tells the processes that can be seen from here from those of other machines."""
    seen = ""
    with suppress(OSError):
        seen = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{machine()} {seen}".encode()).hexdigest()[:8]


def require_absent(*paths: Path, remedy: str = "remove it or choose another --output") -> None:
    """Raise ConfigError when one of the files or folders that a command will make is there.

    Ladera replaces no file that it does not know as what the same command left behind. So no
    output takes the place of an input, nor of anything else.
    """
    for path in paths:
        if os.path.lexists(path):
            raise ConfigError(f"{path} exists already; {remedy}.")
        require_place(path)


def require_place(path: Path) -> None:
    """Raise ConfigError where no file or folder can be made at a path, nor in a folder there.

    It tries: what a system says of permissions does not hold for every file system.
    """
    path = path if path.parts else Path(".")
    place = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    reason = "is a file"
    if place.is_dir():
        try:
            tempfile.TemporaryDirectory(prefix=temporary_prefix(), dir=place).cleanup()
            return
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = "is full" if full else "cannot be written to"
    what = f"{path} cannot be made: {place} {reason}" if place != path else f"{path} {reason}"
    raise ConfigError(f"{what}; choose another --output.")


def closest(path: Path) -> str:
    """End of a sentence on a path with nothing there: the name in its folder that is most like."""
    parent = path.parent
    if not parent.is_dir():
        return f"there is no folder {parent} either; check the path."
    if path.is_dir():
        return "it is a folder; name a file."
    names = [each.name for each in parent.iterdir()]
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.75)
    return f"did you mean '{parent / close[0]}'?" if close else "check the path."


def write_text_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path, schema: type[BaseModel] | None = None) -> Mapping[str, Any]:
    """The object in a JSON file; empty when there is no such file.

    Raises DataError for a file that is damaged or has another form than ``schema``.
    """
    if not path.exists():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        contents = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is no complete JSON file; run the command that wrote it again, or "
            "take it away to report without it."
        ) from error
    if not isinstance(contents, dict):
        raise DataError(f"{path} holds a {type(contents).__name__}, expected a JSON object.")
    if schema is not None:
        check_form(text, schema, path)
    return contents


def check_form(text: str, schema: type[BaseModel], path: Path) -> None:
    """Raise DataError, naming the first mistake, for JSON that a schema does not describe."""
    from pydantic import ValidationError

    try:
        schema.model_validate_json(text)
    except ValidationError as error:
        raise DataError(
            f"{path} is not what Ladera wrote ({first_mistake(error)}); run the command that wrote "
            "it again."
        ) from error


def first_mistake(error: ValidationError) -> str:
    """Where a stored object differs from what it should be, for the sentence that refuses it."""
    detail = error.errors(include_url=False)[0]
    place = ".".join(map(str, detail["loc"])) or "the file"
    if detail["type"] == "json_invalid":
        return "it is no JSON"
    said = (
        detail["msg"].replace("Input should", "it should").replace("Field required", "is missing")
    )
    return f"{place}: {said}"


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
