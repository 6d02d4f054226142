"""The memory of this machine: how much there is for a process, and how much a piece of work took.

A process may have less than the machine: control groups (containers, batch systems) and limits of
the shell (``ulimit``) count as well. What work takes is measured on Linux alone; elsewhere nothing
is known of it, and nothing is forecast.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import torch

from ladera.errors import TooLargeError

GIBIBYTE: Final = 2**30
SHARE: Final = 0.8  # of the free memory that one piece of work may have; the rest is for errors
_CGROUPS: Final = Path("/sys/fs/cgroup")
_PROCESS: Final = Path("/proc/self")
# Limit, use, and the part of the use that is given back when asked for, by the two versions.
_FILES: Final = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
_NO_LIMIT: Final = 2**60  # bytes; version 1 has a number for it


class Memory(NamedTuple):
    """Of this process: what there is in all, and what it can still have; bytes."""

    total: float
    free: float


def memory(device: torch.device | None = None) -> Memory:
    """That of the machine, or of a GPU; the smallest of all limits."""
    if device is not None and device.type == "cuda":
        free, there = torch.cuda.mem_get_info(device)
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return Memory(float(there), float(free + kept))
    total = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    found = [Memory(total, _number(Path("/proc/meminfo"), "MemAvailable:") or total)]
    found += [*_control_groups(_PROCESS / "cgroup", _CGROUPS), *_limits()]
    return Memory(min(each.total for each in found), max(0.0, min(each.free for each in found)))


def require_memory(needed: float, what: str, remedy: str) -> None:
    """Raise TooLargeError where ``needed`` bytes cannot be had.

    ``what`` needs them, as in "The Hessian of 9,000 atoms"; ``remedy`` is what to do instead.
    """
    there = memory()
    if needed > SHARE * there.free:
        raise TooLargeError(f"{what} needs {in_words(needed, there)}; {remedy}.")


def in_words(needed: float, there: Memory) -> str:
    """Such as "31 GiB of memory, and of the machine's 24 GiB 21 GiB are free"."""
    total, free = size_in_words(there.total), size_in_words(there.free)
    return f"{size_in_words(needed)} of memory, and of the {total} here {free} are free"


def size_in_words(size: float) -> str:
    """Bytes in GiB, or MiB where there are few."""
    number, unit = (size / GIBIBYTE, "GiB") if size > 0.1 * GIBIBYTE else (size / 2**20, "MiB")
    return f"{number:.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"


class Growth:
    """Measures by how much memory grew inside a ``with``: ``bytes`` at the peak; None if unknown.

    What was freed before is given back to the system first, or it would be used again unseen. All
    threads count.
    """

    bytes: float | None = None

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device if device is not None and device.type == "cuda" else None
        self._before: float | None = None

    def __enter__(self) -> Self:
        gc.collect()
        if self._device is not None:
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
            return self
        with suppress(OSError, AttributeError):  # no library of GNU's
            ctypes.CDLL(None).malloc_trim(0)
        with suppress(OSError):  # no Linux, or a file that may not be written
            (_PROCESS / "clear_refs").write_text("5")  # the peak begins anew
            self._before = _number(_PROCESS / "status", "VmRSS:")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is None:
            return
        if self._device is not None:
            self.bytes = torch.cuda.max_memory_allocated(self._device) - self._before
        elif (peak := _number(_PROCESS / "status", "VmHWM:")) is not None:
            self.bytes = max(0.0, peak - self._before)


def _control_groups(said: Path, root: Path) -> Iterator[Memory]:
    """The limits of the groups that the process is in, and of those around them."""
    with suppress(OSError):
        for line in said.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            top = root / "memory" if controllers else root
            inner = top / path.lstrip("/")
            # Inside a container the path may be that of the outside: then only the top is there.
            around = [inner, *inner.parents]
            for folder in around[: around.index(top) + 1]:
                yield from _group(folder)


def _group(folder: Path) -> Iterator[Memory]:
    for limit, use, returned in _FILES:
        with suppress(OSError, ValueError):  # not there, or "max"
            size = float((folder / limit).read_text())
            used = float((folder / use).read_text())
            if size < _NO_LIMIT:
                spare = _number(folder / "memory.stat", returned, unit=1) or 0.0
                yield Memory(size, size - used + spare)


def _limits() -> Iterator[Memory]:
    """Those of the shell, on addresses and on data."""
    with suppress(ImportError):  # Windows
        import resource

        for limit, used in ((resource.RLIMIT_AS, "VmSize:"), (resource.RLIMIT_DATA, "VmData:")):
            size = resource.getrlimit(limit)[0]
            has = _number(_PROCESS / "status", used)
            if size != resource.RLIM_INFINITY and has is not None:
                yield Memory(float(size), size - has)


def _number(path: Path, name: str, unit: int = 1024) -> float | None:
    """The number after a name in a file, in bytes; None where there is none."""
    with suppress(OSError):
        for line in path.read_text().splitlines():
            words = line.split()
            if words and words[0] == name:
                return float(unit * int(words[1]))
    return None
