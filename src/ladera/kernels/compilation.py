"""Compiling loops with Numba, and where their machine code is kept between runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import config as numba_config

from ladera.kernels import machine_code

F = TypeVar("F", bound=Callable[..., Any])

_SETTINGS: Any = numba_config  # filled at run time, so that no type checker knows its names

# Where no loop allocates memory, Numba need not count references to slices: that would cost more
# than the arithmetic of a small molecule, and most of the compile time.
_NO_MEMORY: dict[str, Any] = {"_nrt": False}


def simd(function: F) -> F:
    """Compile a loop; sums may run in several SIMD lanes, NaN and infinity keep their meaning."""
    return _compile(function, {"reassoc", "contract", "arcp", "nsz"}, **_NO_MEMORY)


def inlined(function: F) -> F:
    """As ``simd``, for a short loop within loops: its code goes where it is called."""
    fastmath = {"reassoc", "contract", "arcp", "nsz"}
    return _compile(function, fastmath, forceinline=True, **_NO_MEMORY)


def exact(function: F) -> F:
    """Compile a loop whose arithmetic must not be reassociated, such as argument reduction."""
    return _compile(function, {"contract"}, **_NO_MEMORY)


def strict(function: F) -> F:
    """Compile a function that may allocate, with every rounding where it is written.

    A division by zero gives infinity or NaN.
    """
    return _compile(function, False, error_model="numpy")


def _compile(function: F, fastmath: set[str] | bool, **options: Any) -> F:
    compiled: Any = numba.njit(nogil=True, fastmath=fastmath, **options)(function)
    folder = _cache_folder()
    if folder is not None:
        compiled._cache = machine_code.CheckedCache(folder, function)
    kept: F = compiled
    return kept


@cache
def _cache_folder() -> Path | None:
    """Where these very kernels keep their machine code; None where nothing can be written.

    Numba notices a change in the file of a function, but not in those of the functions it calls,
    and would go on with the old code. So the folder is named by all sources together. It lies
    beside them, or in the user's cache where that is not allowed.
    """
    here = Path(__file__).parent
    folders = machine_code.places(f"kernels-{source_hash(here)}", here, _SETTINGS.CACHE_DIR)
    for folder in folders:
        if machine_code.usable(folder):
            return folder
    machine_code.warn_once(f"{' and '.join(map(str, folders))} cannot be written")
    return None


def source_hash(folder: Path) -> str:
    """Hash of the names and contents of all Python files below a folder."""
    digest = hashlib.sha256()
    for source in sorted(folder.rglob("*.py")):
        digest.update(str(source.relative_to(folder)).encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]
