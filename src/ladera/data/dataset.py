"""Many labelled structures in flat arrays, in memory or in a file larger than memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, overload

import h5py
import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ladera.data.frame import Frame
from ladera.errors import DataError
from ladera.files import atomic_path

FORMAT_NAME: Final = "ladera-dataset"
FORMAT_VERSION: Final = 1

_BLOCK = 4096  # frames handled at once where a whole data set may not fit in memory


@dataclass(frozen=True)
class _Column:
    """One field of all frames: how it lies in the arrays and in the file."""

    shape: tuple[int, ...]
    dtype: str
    per_atom: bool = False
    label: bool = False  # may be missing; then ``has_<name>`` says which frames have it


# Every field of Frame, in the units stated there. "S" is UTF-8 text of a fixed width.
_COLUMNS: Final = {
    "numbers": _Column((), "u1", per_atom=True),
    "positions": _Column((3,), "<f8", per_atom=True),
    "cell": _Column((3, 3), "<f8"),
    "periodic": _Column((3,), "?"),
    "energy": _Column((), "<f8", label=True),
    "forces": _Column((3,), "<f8", per_atom=True, label=True),
    "stress": _Column((3, 3), "<f8", label=True),
    "dipole": _Column((3,), "<f8", label=True),
    "charges": _Column((), "<f8", per_atom=True, label=True),
    "total_charge": _Column((), "<f8", label=True),
    "config_type": _Column((), "S"),
    "subset": _Column((), "S"),
    "weight": _Column((), "<f8"),
    "source": _Column((), "S"),
}
LABELS: Final = tuple(name for name, column in _COLUMNS.items() if column.label)

_Arrays = dict[str, NDArray[Any]]


class Dataset(Sequence[Frame]):
    """A sequence of frames; an index gives a Frame, a slice or index array a view.

    The atoms of all frames lie one after the other in flat arrays; those of frame k are
    ``offsets[k]:offsets[k + 1]``. The arrays are in memory (:meth:`from_frames`) or mapped from an
    HDF5 file (:meth:`open`), which may be larger than memory: only what is used is read. Frames
    are copies: changing one changes nothing here.
    """

    def __init__(self, arrays: _Arrays, rows: NDArray[np.int64] | None = None) -> None:
        self._arrays = arrays
        self._rows = rows  # the stored frames this view shows, in order; None for all

    @classmethod
    def from_frames(cls, frames: Iterable[Frame]) -> Dataset:
        """A data set in memory; DataError for a frame whose arrays do not fit together."""
        return cls(_stack(list(frames)))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Dataset:
        """A data set written by :meth:`save`, read as it is used.

        Raises DataError for a file that is missing, damaged, foreign or from a newer version.
        """
        return cls(_map(Path(path)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an HDF5 file in one step; DataError when that fails, say on a full disk."""
        try:
            # From version 1.10 on the file format has checksums, so that damage is noticed.
            libver = ("v110", "v110")
            with atomic_path(path) as temporary, h5py.File(temporary, "w", libver=libver) as file:
                self._write(file)
        except (OSError, RuntimeError) as error:
            raise DataError(f"The data set could not be written to {path}: {error}.") from error

    def __len__(self) -> int:
        return len(self._arrays["offsets"]) - 1 if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[Any]) -> Dataset: ...
    def __getitem__(self, index: int | slice | Sequence[int] | NDArray[Any]) -> Frame | Dataset:
        if isinstance(index, int | np.integer):
            return self._frame(int(index))
        index = index if isinstance(index, slice) else np.asarray(index)
        if isinstance(index, np.ndarray) and index.size == 0:
            index = index.astype(np.int64)
        return Dataset(self._arrays, self._all_rows[index])

    def __iter__(self) -> Iterator[Frame]:
        return (self._frame(index) for index in range(len(self)))

    def __repr__(self) -> str:
        return f"Dataset({len(self)} frames of {', '.join(self.species) or 'nothing'})"

    def has(self, label: str) -> NDArray[np.bool_]:
        """Which frames carry a label, whatever its value, (n_frames,)."""
        stored = self._arrays.get(f"has_{label}")
        if stored is None:
            return np.zeros(len(self), dtype=bool)
        return self._select(stored)

    def column(self, name: str) -> NDArray[Any]:
        """One field of all frames: (n_frames, ...), or (n_atoms_total, ...) of an atomic one.

        Shapes and units are those of Frame; text comes as an array of str. Where a label is
        missing the value is NaN: ask :meth:`has`, since a label may be NaN itself.
        """
        column = _COLUMNS[name]
        if name not in self._arrays:
            count = int(self.atom_counts.sum()) if column.per_atom else len(self)
            return np.full((count, *column.shape), np.nan)
        values = self._arrays[name]
        if column.per_atom and self._rows is not None:
            values = values[self._atom_rows]
        elif not column.per_atom:
            values = self._select(values)
        return np.char.decode(values, "utf-8", "replace") if column.dtype == "S" else values

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that at least one frame carries."""
        return tuple(label for label in LABELS if self.has(label).any())

    @cached_property
    def atom_counts(self) -> NDArray[np.int64]:
        """Number of atoms of each frame, (n_frames,)."""
        return self._select(np.diff(self._arrays["offsets"]))

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each frame's atoms begin in an atomic :meth:`column`, (n_frames + 1,)."""
        return np.concatenate([[0], np.cumsum(self.atom_counts)])

    @cached_property
    def species(self) -> tuple[str, ...]:
        """Chemical symbols, by atomic number."""
        return tuple(chemical_symbols[number] for number in np.flatnonzero(self._element_counts))

    @cached_property
    def compositions(self) -> NDArray[np.int64]:
        """Atoms of each species in each frame, (n_frames, n_species), in the order of species."""
        counts = np.zeros((len(self), 256), dtype=np.int64)
        frames = np.repeat(np.arange(len(self)), self.atom_counts)
        np.add.at(counts, (frames, self.column("numbers")), 1)
        return counts[:, self._element_counts > 0]

    @cached_property
    def hash(self) -> str:
        """SHA-256 of all that the frames hold but their source, the same in memory and on disk."""
        digest = hashlib.sha256()
        for start in range(0, len(self), _BLOCK):
            block = self[start : start + _BLOCK]
            digest.update(block.offsets.astype("<i8").tobytes())
            for name, column in _COLUMNS.items():
                if name == "source":
                    continue
                if column.label:
                    digest.update(block.has(name).tobytes())
                values = block.column(name)
                if column.dtype == "S":
                    digest.update("\0".join(values.tolist()).encode())
                else:
                    digest.update(np.ascontiguousarray(values, dtype=column.dtype).tobytes())
        return digest.hexdigest()

    @cached_property
    def _all_rows(self) -> NDArray[np.int64]:
        return np.arange(len(self)) if self._rows is None else self._rows

    @cached_property
    def _atom_rows(self) -> NDArray[np.int64]:
        """Where the atoms of this view lie in the stored arrays, (n_atoms_total,)."""
        shift = self._arrays["offsets"][self._all_rows] - self.offsets[:-1]
        return np.arange(self.offsets[-1]) + np.repeat(shift, self.atom_counts)

    @cached_property
    def _element_counts(self) -> NDArray[np.int64]:
        return np.bincount(self.column("numbers"), minlength=256)

    def _select(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self._rows is None else values[self._rows]

    def _frame(self, index: int) -> Frame:
        if not -len(self) <= index < len(self):
            raise IndexError(f"Frame {index} was asked for; the data set has {len(self)} frames.")
        arrays = self._arrays
        row = range(len(self))[index] if self._rows is None else int(self._rows[index])
        atoms = slice(arrays["offsets"][row], arrays["offsets"][row + 1])

        def label(name: str) -> Any:
            present = arrays.get(f"has_{name}")
            if present is None or not present[row]:
                return None
            return arrays[name][atoms if _COLUMNS[name].per_atom else row].copy()

        energy, total_charge = label("energy"), label("total_charge")
        return Frame(
            numbers=arrays["numbers"][atoms].astype(np.int64),
            positions=arrays["positions"][atoms].copy(),
            cell=arrays["cell"][row].copy(),
            periodic=arrays["periodic"][row].copy(),
            energy=None if energy is None else float(energy),
            forces=label("forces"),
            stress=label("stress"),
            dipole=label("dipole"),
            charges=label("charges"),
            total_charge=None if total_charge is None else float(total_charge),
            config_type=_text(arrays["config_type"][row]),
            subset=_text(arrays["subset"][row]),
            weight=float(arrays["weight"][row]),
            source=_text(arrays["source"][row]),
        )

    def _write(self, file: h5py.File) -> None:
        """Contiguous, uncompressed arrays, which :meth:`open` can map; written block by block."""
        file.attrs["format"] = FORMAT_NAME
        file.attrs["format_version"] = FORMAT_VERSION
        file["offsets"] = self.offsets.astype("<i8")
        for name, stored in self._arrays.items():
            if name == "offsets":
                continue
            column = _COLUMNS[name.removeprefix("has_")]
            per_atom = column.per_atom and not name.startswith("has_")
            count = int(self.offsets[-1]) if per_atom else len(self)
            target = file.create_dataset(name, (count, *stored.shape[1:]), stored.dtype)
            for start in range(0, len(self), _BLOCK):
                block = self[start : start + _BLOCK]
                begin = int(self.offsets[start]) if per_atom else start
                values = stored[block._atom_rows if per_atom else block._all_rows]
                target[begin : begin + len(values)] = values


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")


def _stack(frames: list[Frame]) -> _Arrays:
    """The flat arrays of some frames."""
    for frame in frames:
        _check(frame)
    counts = [frame.n_atoms for frame in frames]
    arrays: _Arrays = {"offsets": np.cumsum([0, *counts], dtype=np.int64)}
    for name, column in _COLUMNS.items():
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
    for name, column in _COLUMNS.items():
        value = getattr(frame, name)
        if value is None or column.dtype == "S":
            continue
        expected = (frame.n_atoms, *column.shape) if column.per_atom else column.shape
        if np.shape(value) != expected:
            raise DataError(f"{where}: {name} has shape {np.shape(value)}, expected {expected}.")


def _map(path: Path) -> _Arrays:
    """The arrays of a data set file, mapped read-only into memory."""
    if not path.is_file():
        raise DataError(f"There is no data set file {path}; check the path.")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT_NAME:
                raise DataError(
                    f"{path} is an HDF5 file but no Ladera data set; convert the original data "
                    "with 'ladera data convert'."
                )
            if int(file.attrs["format_version"]) > FORMAT_VERSION:
                raise DataError(
                    f"{path} has format version {file.attrs['format_version']}, this Ladera reads "
                    f"up to {FORMAT_VERSION}; upgrade Ladera."
                )
            # A damaged name may come as bytes: then it is not one that _check_arrays knows.
            arrays = {str(name): _map_array(path, file[name]) for name in file}
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise DataError(
            f"{path} is no complete Ladera data set ({error}); copy or convert it again."
        ) from error
    _check_arrays(path, arrays)
    return arrays


def _map_array(path: Path, stored: h5py.Dataset) -> NDArray[Any]:
    offset = stored.id.get_offset()
    if stored.size == 0:
        return np.zeros(stored.shape, stored.dtype)
    if offset is None:
        raise ValueError(f"its array '{stored.name}' is not contiguous")
    # A plain view: slicing np.memmap itself is several times slower.
    return np.asarray(np.memmap(path, stored.dtype, "r", offset, stored.shape))


def _check_arrays(path: Path, arrays: _Arrays) -> None:
    """Raise DataError unless all arrays are there with the type and length they should have."""
    required = {"offsets", *_COLUMNS} - set(LABELS)
    required |= {name.removeprefix("has_") for name in arrays if name.startswith("has_")}
    missing = sorted(required - set(arrays))
    if missing:
        raise DataError(f"{path} has no array '{missing[0]}'; copy or convert it again.")
    offsets = arrays["offsets"]
    sound = offsets.ndim == 1 and offsets.dtype == np.int64 and len(offsets) > 0
    if not sound or offsets[0] != 0 or (np.diff(offsets) < 1).any():
        raise DataError(f"{path}: its array 'offsets' is damaged; copy or convert it again.")
    numbers = arrays["numbers"]
    if ((numbers < 1) | (numbers >= len(chemical_symbols))).any():
        raise DataError(f"{path}: its array 'numbers' is damaged; copy or convert it again.")
    n_frames = len(offsets) - 1
    for name, values in arrays.items():
        if name == "offsets":
            continue
        column = _COLUMNS.get(name.removeprefix("has_"))
        if column is None:
            raise DataError(f"{path} has an array '{name}' that no Ladera data set has.")
        if name.startswith("has_"):
            column = _Column((), "?")
        expected = (int(offsets[-1]) if column.per_atom else n_frames, *column.shape)
        kind = values.dtype.kind == "S" if column.dtype == "S" else values.dtype == column.dtype
        if values.shape != expected or not kind:
            raise DataError(
                f"{path}: its array '{name}' has shape {values.shape} and type {values.dtype}, "
                f"expected {expected} and {column.dtype}; copy or convert it again."
            )
