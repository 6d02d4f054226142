"""Archives of named arrays, NumPy's ``.npz``, without pickles; arrays too large for memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from itertools import chain
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_IN_MEMORY: Final = 2**24  # bytes of an array that is not worth a file

# The name of an array, its length, and its parts, one after the other.
InParts = tuple[str, int, Iterable[NDArray[Any]]]


def save_arrays(path: Path, arrays: Iterable[InParts]) -> None:
    """Write named arrays as ``np.savez_compressed`` does, one part in memory at a time."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, length, parts in arrays:
            parts = iter(parts)
            first = np.ascontiguousarray(next(parts))
            header = np.lib.format.header_data_from_array_1_0(first)
            header["shape"] = (length, *first.shape[1:])
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                for part in chain([first], parts):
                    file.write(np.ascontiguousarray(part, dtype=first.dtype).tobytes())


def blank(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """An array of NaN: a large one mapped from a nameless temporary file.

    What was written into that goes to the disk (:func:`ladera.data.store.release`). Without room
    for the file the array is in memory.
    """
    if 8 * prod(shape) > _IN_MEMORY:
        try:
            with TemporaryFile() as file:
                # Written, not left sparse: a disk that is full is noticed here.
                part = np.full(_IN_MEMORY // 8, np.nan)
                for start in range(0, prod(shape), len(part)):
                    file.write(part[: prod(shape) - start].tobytes())
                file.flush()
                return np.asarray(np.memmap(file, np.float64, "r+", shape=shape))
        except OSError:
            pass
    return np.full(shape, np.nan)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file by name; ValueError for one that is damaged."""
    try:
        # Opened here: numpy leaves the file open when it turns out to be cut short.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
            if strange := [name for name, array in arrays.items() if isinstance(array, bytes)]:
                raise ValueError(f"{strange[0]} is no array")
            return arrays
    except Exception as error:  # damaged archives fail in many ways: sizes, methods, passwords
        raise ValueError(str(error) or type(error).__name__) from error
