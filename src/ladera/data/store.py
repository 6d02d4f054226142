"""How the fields of many frames lie in flat arrays, and these in an HDF5 file.

The arrays of the file are contiguous and uncompressed, so that they can be mapped into memory: a
frame is read by a few slices, whatever the size of the file.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ladera.data.frame import Frame
from ladera.errors import DataError
from ladera.files import atomic_path, closest
from ladera.quantities import QUANTITIES

if TYPE_CHECKING:
    from ladera.data.dataset import Dataset

FORMAT_NAME: Final = "ladera-dataset"
FORMAT_VERSION: Final = 2  # 2: heads

BLOCK: Final = 4096  # frames handled at once where a whole data set may not fit in memory

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Column:
    """One field of all frames: how it lies in the arrays and in the file."""

    shape: tuple[int, ...]
    dtype: str
    per_atom: bool = False
    label: bool = False  # may be missing; then ``has_<name>`` says which frames have it


# Every field of Frame, in the units stated there. "S" is UTF-8 text of a fixed width.
COLUMNS: Final = {
    "numbers": Column((), "u1", per_atom=True),
    "positions": Column((3,), "<f8", per_atom=True),
    "cell": Column((3, 3), "<f8"),
    "periodic": Column((3,), "?"),
    **{q.name: Column(q.shape, "<f8", q.per_atom, label=True) for q in QUANTITIES},
    "total_charge": Column((), "<f8", label=True),
    "config_type": Column((), "S"),
    "head": Column((), "S"),
    "subset": Column((), "S"),
    "weight": Column((), "<f8"),
    "source": Column((), "S"),
}
LABELS: Final = tuple(name for name, column in COLUMNS.items() if column.label)


def stack(frames: list[Frame]) -> Arrays:
    """The flat arrays of some frames."""
    for frame in frames:
        _check(frame)
    counts = [frame.n_atoms for frame in frames]
    arrays: Arrays = {"offsets": np.cumsum([0, *counts], dtype=np.int64)}
    for name, column in COLUMNS.items():
        values = [getattr(frame, name) for frame in frames]
        if column.label:
            present = np.array([value is not None for value in values], dtype=bool)
            if not present.any():
                continue
            arrays[f"has_{name}"] = present
            blanks = (
                (count, *column.shape) if column.per_atom else column.shape for count in counts
            )
            values = [
                np.full(blank, np.nan) if value is None else value
                for value, blank in zip(values, blanks, strict=True)
            ]
        if column.dtype == "S":
            arrays[name] = np.array([value.encode() for value in values] or [b""])[: len(values)]
        elif column.per_atom and values:
            arrays[name] = np.concatenate(values).astype(column.dtype)
        else:
            arrays[name] = np.array(values, dtype=column.dtype).reshape(-1, *column.shape)
    return arrays


def joined(parts: Sequence[Arrays]) -> Arrays:
    """The flat arrays of the frames of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    counts = [np.diff(part["offsets"]) for part in parts]
    arrays: Arrays = {"offsets": np.concatenate([[0], np.cumsum(np.concatenate(counts))])}
    for name in dict.fromkeys(name for part in parts for name in part if name != "offsets"):
        column = COLUMNS.get(name, Column((), "?"))  # has_<label>
        blank: Any = np.nan if column.label else False
        lengths = (int(each.sum()) if column.per_atom else len(each) for each in counts)
        arrays[name] = np.concatenate(
            [
                part[name] if name in part else np.full((length, *column.shape), blank)
                for part, length in zip(parts, lengths, strict=True)
            ]
        )
    return arrays


def _check(frame: Frame) -> None:
    """Raise DataError where a frame's arrays do not fit together or name no element."""
    where = frame.source or "A frame"
    if frame.n_atoms == 0:
        raise DataError(f"{where} has no atoms; leave it out.")
    numbers = np.asarray(frame.numbers)
    if numbers.min() < 1 or numbers.max() >= len(chemical_symbols):
        wrong = int(np.flatnonzero((numbers < 1) | (numbers >= len(chemical_symbols)))[0])
        raise DataError(
            f"{where}: atom {wrong} has the atomic number {numbers[wrong]}, which is no element; "
            f"expected 1 to {len(chemical_symbols) - 1}."
        )
    for name, column in COLUMNS.items():
        value = getattr(frame, name)
        if value is None or column.dtype == "S":
            continue
        expected = (frame.n_atoms, *column.shape) if column.per_atom else column.shape
        if np.shape(value) != expected:
            raise DataError(f"{where}: {name} has shape {np.shape(value)}, expected {expected}.")


def is_foreign(path: Path) -> bool:
    """Whether a file is HDF5, but no data set of Ladera's."""
    try:
        with h5py.File(path, "r") as file:
            return _format(file) != FORMAT_NAME
    except (OSError, LookupError, RuntimeError, TypeError, ValueError):
        return False  # missing or damaged: map_file says so


def _format(file: h5py.File) -> str:
    """What a file says of its format; empty where that is no word."""
    said = file.attrs.get("format")
    return said if isinstance(said, str) else ""


def map_file(path: Path) -> Arrays:
    """The arrays of a data set file, mapped read-only into memory."""
    if not path.is_file():
        raise DataError(f"There is no data set file {path}; {closest(path)}")
    try:
        with h5py.File(path, "r") as file:
            if _format(file) != FORMAT_NAME:
                raise DataError(
                    f"{path} is an HDF5 file but no Ladera data set, and Ladera reads no other; "
                    "write its frames as extended XYZ with the program that it is from."
                )
            if int(file.attrs["format_version"]) > FORMAT_VERSION:
                raise DataError(
                    f"{path} has format version {file.attrs['format_version']}, this Ladera reads "
                    f"up to {FORMAT_VERSION}; upgrade Ladera."
                )
            # A damaged name may come as bytes: then it is not one that _check_arrays knows.
            arrays = {str(name): _map_array(path, file, name) for name in file}
            if int(file.attrs["format_version"]) < 2 and "offsets" in arrays:
                arrays["head"] = np.zeros(len(arrays["offsets"]) - 1, dtype="S1")
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise DataError(
            f"{path} is no complete Ladera data set ({error}); copy or convert it again."
        ) from error
    _check_arrays(path, arrays)
    return arrays


def _map_array(path: Path, file: h5py.File, name: str) -> NDArray[Any]:
    """An array of the file itself: its place is one of this file, whatever a link leads to."""
    link = file.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"its array '{name}' is a link to {_target(link)}")
    stored = file[name]
    if not isinstance(stored, h5py.Dataset):
        raise ValueError(f"its '{name}' is a {type(stored).__name__.lower()}, no array")
    if stored.is_virtual or stored.external:
        raise ValueError(f"the numbers of its array '{name}' lie in other files")
    offset = stored.id.get_offset()
    if stored.size == 0:
        return np.zeros(stored.shape, stored.dtype)
    if offset is None:
        raise ValueError(f"its array '{stored.name}' is not contiguous")
    # A plain view: slicing np.memmap itself is several times slower.
    return np.asarray(np.memmap(path, stored.dtype, "r", offset, stored.shape))


def _target(link: h5py.SoftLink | h5py.ExternalLink) -> str:
    return f"{link.path} in {link.filename}" if isinstance(link, h5py.ExternalLink) else link.path


def release(arrays: Arrays) -> None:
    """Give back the memory of what was read from mapped files; read again, it comes again.

    Else a process that has been through a file holds all of it.
    """
    for values in arrays.values():
        mapped = getattr(values.base, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


def _check_arrays(path: Path, arrays: Arrays) -> None:
    """Raise DataError unless all arrays are there with the type and length they should have."""
    required = {"offsets", *COLUMNS} - set(LABELS)
    required |= {name.removeprefix("has_") for name in arrays if name.startswith("has_")}
    missing = sorted(required - set(arrays))
    if missing:
        raise DataError(f"{path} has no array '{missing[0]}'; copy or convert it again.")
    offsets = arrays["offsets"]
    sound = offsets.ndim == 1 and offsets.dtype == np.int64 and len(offsets) > 0
    if not sound or offsets[0] != 0 or (np.diff(offsets) < 1).any():
        raise DataError(f"{path}: its array 'offsets' is damaged; copy or convert it again.")
    n_frames = len(offsets) - 1
    for name, values in arrays.items():
        if name == "offsets":
            continue
        column = COLUMNS.get(name.removeprefix("has_"))
        if column is None:
            raise DataError(f"{path} has an array '{name}' that no Ladera data set has.")
        if name.startswith("has_"):
            column = Column((), "?")
        expected = (int(offsets[-1]) if column.per_atom else n_frames, *column.shape)
        kind = values.dtype.kind == "S" if column.dtype == "S" else values.dtype == column.dtype
        if values.shape != expected or not kind:
            raise DataError(
                f"{path}: its array '{name}' has shape {values.shape} and type {values.dtype}, "
                f"expected {expected} and {column.dtype}; copy or convert it again."
            )
    numbers = arrays["numbers"]
    if ((numbers < 1) | (numbers >= len(chemical_symbols))).any():
        raise DataError(f"{path}: its array 'numbers' is damaged; copy or convert it again.")


def write_file(path: str | os.PathLike[str], parts: Sequence[Dataset]) -> None:
    """Write data sets one after the other into one file, in one step, a block at a time."""
    try:
        # From version 1.10 on the file format has checksums, so that damage is noticed.
        libver = ("v110", "v110")
        with atomic_path(path) as temporary, h5py.File(temporary, "w", libver=libver) as file:
            _write(file, parts)
    except (OSError, RuntimeError) as error:
        raise DataError(f"The data set could not be written to {path}: {error}.") from error


def _write(file: h5py.File, parts: Sequence[Dataset]) -> None:
    counts = np.concatenate([np.zeros(0, dtype=np.int64), *(part.atom_counts for part in parts)])
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype("<i8")
    file.attrs["format"] = FORMAT_NAME
    file.attrs["format_version"] = FORMAT_VERSION
    file["offsets"] = offsets
    for name, column in COLUMNS.items():
        if column.label:
            present = np.concatenate([np.zeros(0, dtype=bool), *(part.has(name) for part in parts)])
            if not present.any():
                continue
            file[f"has_{name}"] = present
        count = int(offsets[-1]) if column.per_atom else len(counts)
        dtype = column.dtype
        if dtype == "S":
            dtype = f"S{max([1, *(part[:0].raw(name).dtype.itemsize for part in parts)])}"
        target = file.create_dataset(name, (count, *column.shape), dtype)
        start = 0
        for block in _blocks(parts):
            values = block.raw(name)
            target[start : start + len(values)] = values
            start += len(values)


def _blocks(parts: Sequence[Dataset]) -> Iterator[Dataset]:
    for part in parts:
        for start in range(0, len(part), BLOCK):
            yield part[start : start + BLOCK]
