"""One run at a time in a folder: the lock file ``running.lock``.

The kernel holds the lock (``flock``), so that it ends with its process however that ends; the file
says whose it is. Where a file system knows no such locks, and for a file that another machine left,
what the file says has to do.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ladera.errors import ConfigError
from ladera.files import is_running, machine, require_place, sweep

LOCK: Final = "running.lock"


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a folder, made if it is not there, and sweep what a killed process left in it.

    Raises ConfigError when another run is at work in it, or when it cannot be made or written to,
    and OSError when the disk is full a moment later. A lock whose process is no more on this
    machine is taken over.
    """
    path = Path(folder) / LOCK
    made = [place for place in (Path(folder), *Path(folder).parents) if not place.exists()]
    require_place(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _acquire(path)
    try:
        sweep(path.parent)
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is free: nobody else's file is removed
        os.close(handle)
        with suppress(OSError):  # not empty: then there is something to keep
            for place in made:
                place.rmdir()


def _acquire(path: Path) -> int:
    """The open lock file, held and saying so."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            held = _hold(handle)
            owner = _owner(handle)
            if held is False or _may_be_at_work(owner, held):
                raise ConfigError(_sentence(path, owner))
            if not _is_still(path, handle):  # the one before us removed it a moment ago
                os.close(handle)
                continue
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(_ours()).encode(), 0)
            return handle
        except ConfigError:  # another's
            os.close(handle)
            raise
        except OSError as error:  # a full disk
            path.unlink(missing_ok=True)
            os.close(handle)
            error.filename = str(path)
            raise


def _hold(handle: int) -> bool | None:
    """Whether the lock is ours now; None where the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True


def _owner(handle: int) -> Mapping[str, Any]:
    """Who wrote the file; nothing for an empty one."""
    with suppress(ValueError):
        found = json.loads(os.pread(handle, 4096, 0))
        if isinstance(found, dict) and isinstance(found.get("pid"), int):
            return found
    return {}


def _may_be_at_work(owner: Mapping[str, Any], held: bool | None) -> bool:
    """Whether the owner of a file that the kernel says nothing against may still be at work."""
    if not owner:
        return False
    if machine() == owner.get("machine"):  # the kernel knows, or else the list of processes
        return held is None and is_running(owner["pid"])
    # After a start of the machine nobody is left; of another one a lock may reach no farther.
    return platform.node() != owner.get("host")


def _is_still(path: Path, handle: int) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.stat(path), os.fstat(handle))
    return False


def _ours() -> dict[str, Any]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    node = platform.node()
    return {"pid": os.getpid(), "host": node, "machine": machine(), "since": since}


def _sentence(path: Path, owner: Mapping[str, Any]) -> str:
    who = f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
    remedy = "wait for it, or choose another folder"
    if owner.get("host") not in (None, platform.node()):
        remedy += f"; if it is no more, remove {path}"
    return f"{path.parent} is in use by {who} since {owner.get('since', '?')}; {remedy}."
