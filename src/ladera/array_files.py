"""Archives of named arrays, NumPy's ``.npz``, without pickles."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def save_arrays(path: Path, arrays: Iterable[tuple[str, NDArray[Any]]]) -> None:
    """Write named arrays as ``np.savez_compressed`` does, only one of them in memory at a time."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(values), allow_pickle=False)


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
