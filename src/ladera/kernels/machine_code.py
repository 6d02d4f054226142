"""Machine code of compiled loops on disk: what is damaged is compiled anew, never run or feared.

A cache can only save time. Where it cannot be read or written the loops are compiled again, and one
warning says so.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from numba.core import caching

log = logging.getLogger(__name__)

_CHECKSUM = 32  # bytes of SHA-256, behind what Numba writes


class _Place(caching._SourceFileBackedLocatorMixin, caching._CacheLocator):
    """A folder below a given one, which may be read even where it cannot be written."""

    def __init__(self, folder: Path, function: Callable[..., Any], source: str) -> None:
        self._py_file, self._lineno = source, function.__code__.co_firstlineno
        self._path = str(folder / self.get_suitable_cache_subpath(source))

    def get_cache_path(self) -> str:
        return self._path


class _Places:
    """What Numba asks for the place of a function's files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def from_function(self, function: Callable[..., Any], source: str) -> _Place:
        return _Place(self._folder, function, source)


class _Implementation(caching.CompileResultCacheImpl):
    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self._locator_classes: list[Any] = [_Places(folder)]
        super().__init__(function)


class _CheckedFile(caching.IndexDataCacheFile):
    """Files whose damage is noticed: a flipped bit of machine code would be a wrong number."""

    def _dump(self, obj: Any) -> bytes:
        data: bytes = super()._dump(obj)
        return data + hashlib.sha256(data).digest()

    def _load_data(self, name: str) -> Any:
        stored = Path(self._data_path(name)).read_bytes()
        if hashlib.sha256(stored[:-_CHECKSUM]).digest() != stored[-_CHECKSUM:]:
            raise ValueError("its checksum is another")
        return super()._load_data(name)  # which reads no further than what Numba wrote


class CheckedCache(caching.FunctionCache):
    """The cache of one function in a folder."""

    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self._name, self._py_func = repr(function), function
        self._impl = _Implementation(folder, function)
        place = self._impl.locator
        self._cache_path = place.get_cache_path()
        self._cache_file = _CheckedFile(
            self._cache_path, self._impl.filename_base, place.get_source_stamp()
        )
        self.enable()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function, or nothing where there is none, or a damaged one."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # a damaged pickle fails in any way; all is compiled and written anew
            self._drop_index()
            found = None
        if found is None:
            _say_once()
            log.debug("Compiling %s.", self._name)
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function, if the disk has room for it."""
        try:
            super().save_overload(sig, data)
        except Exception as error:
            if not isinstance(error, OSError):  # a damaged index is read before it is written
                self._drop_index()
            warn_once(str(error))

    def _drop_index(self) -> None:
        try:
            self._cache_file.flush()
        except OSError as error:
            warn_once(str(error))


def usable(folder: Path) -> bool:
    """Whether there are files in a folder, or can be; it is made if it is not there."""
    try:
        if folder.is_dir() and any(folder.iterdir()):
            return True
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@cache
def _say_once() -> None:
    log.info(
        "Compiling loops, which later runs load from disk: this takes seconds to minutes, once."
    )


@cache
def warn_once(why: str) -> None:
    """Say that compiled loops are not kept."""
    warnings.warn(
        f"Compiled loops are not kept for the next command, which compiles them again ({why}); let "
        "the environment variable NUMBA_CACHE_DIR name a folder that can be written.",
        stacklevel=2,
    )


def places(name: str, beside: Path, given: str) -> list[Path]:
    """Where machine code may lie, best first; ``given`` is the folder that a user names."""
    if given:
        return [Path(given) / name]
    found = [beside / "__pycache__" / name]
    home = os.environ.get("XDG_CACHE_HOME")
    with suppress(RuntimeError):  # a user whom the system does not know has no home
        found.append((Path(home) if home else Path.home() / ".cache") / "ladera" / name)
    return found
