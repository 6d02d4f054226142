"""Many labelled structures in flat arrays, in memory or in a file larger than memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, overload

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ladera import display
from ladera.data.frame import Frame
from ladera.data.store import (
    BLOCK,
    COLUMNS,
    LABELS,
    Arrays,
    joined,
    map_file,
    release,
    stack,
    write_file,
)
from ladera.errors import ArgumentError, did_you_mean, told
from ladera.files import sweep, temporary_prefix
from ladera.structure import Structure

_READ_AT_ONCE: Final = 256  # frames: each may map half a megabyte of a file, all around it


class Dataset(Sequence[Frame]):
    """A sequence of frames; an index gives a Frame, a slice or index array a view.

    The atoms of all frames lie one after the other in flat arrays; those of frame k are
    ``offsets[k]:offsets[k + 1]``. The arrays are in memory (:meth:`from_frames`) or mapped from an
    HDF5 file (:meth:`open`), which may be larger than memory: only what is used is read. Frames
    are copies: changing one changes nothing here.
    """

    def __init__(self, arrays: Arrays, rows: NDArray[np.int64] | None = None) -> None:
        self._arrays = arrays
        self._rows = rows  # the stored frames this view shows, in order; None for all
        self._frames_read = 0

    @classmethod
    def from_frames(cls, frames: Iterable[Frame]) -> Dataset:
        """A data set in memory; DataError for a frame whose arrays do not fit together."""
        frames = iter(frames)
        blocks = iter(lambda: list(islice(frames, BLOCK)), [])
        return cls(joined([stack(block) for block in blocks] or [stack([])]))

    @classmethod
    def store(cls, frames: Iterable[Frame], path: str | os.PathLike[str]) -> Dataset:
        """Write frames to an HDF5 file, one after the other, and open it.

        Only a few thousand frames are held in memory; as much disk space again is needed while
        writing, in the folder of ``path``. Raises DataError as :meth:`from_frames` and
        :meth:`save` do.
        """
        frames = iter(frames)
        folder = Path(path).absolute().parent
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        with TemporaryDirectory(prefix=temporary_prefix(), dir=folder) as temporary:
            parts: list[Dataset] = []
            while block := list(islice(frames, BLOCK)):
                part = Path(temporary) / f"{len(parts)}.h5"
                cls.from_frames(block).save(part)
                parts.append(cls.open(part))
            write_file(path, parts)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Dataset:
        """A data set written by :meth:`save`, read as it is used.

        Raises DataError for a file that is missing, damaged, foreign or from a newer version.
        """
        return cls(map_file(Path(path)))

    def place(self, index: int) -> str:
        """A frame for messages: where it came from, else its number in this data set."""
        return self[index].source or f"Frame {index}"

    def without(self, names: Iterable[str]) -> Dataset:
        """The same frames without some labels, groups, heads or weights."""
        arrays = dict(self._arrays)
        for name in names:
            if COLUMNS.get(name, COLUMNS["source"]).label:
                arrays.pop(name, None)
                arrays.pop(f"has_{name}", None)
            elif name in arrays:
                stored = arrays[name]
                blank = np.ones_like(stored) if name == "weight" else np.zeros(len(stored), "S1")
                arrays[name] = blank
        return Dataset(arrays, self._rows)

    def labelled(
        self, labels: Mapping[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]
    ) -> Dataset:
        """The same frames with these labels and no others but the total charge.

        By name: values, shaped as those of :meth:`column`, and which frames have one (n_frames,).
        """
        kept = [n for n, column in COLUMNS.items() if not column.label or n == "total_charge"]
        arrays: Arrays = {"offsets": self.offsets}
        arrays |= {name: self.raw(name) for name in kept if name in self._arrays}
        present = {"total_charge": self.has("total_charge")}
        for name, (values, known) in labels.items():
            arrays[name], present[name] = values, known
        for name, known in present.items():
            if known.any():
                arrays[f"has_{name}"] = known
            else:
                arrays.pop(name, None)
        return Dataset(arrays)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an HDF5 file in one step; DataError when that fails, say on a full disk."""
        write_file(path, [self])

    def __len__(self) -> int:
        return len(self._arrays["offsets"]) - 1 if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[Any]) -> Dataset: ...
    def __getitem__(self, index: int | slice | Sequence[int] | NDArray[Any]) -> Frame | Dataset:
        if isinstance(index, int | np.integer):
            return self._frame(int(index))
        if not isinstance(index, slice):
            index = self._rows_asked_for(index)
        return Dataset(self._arrays, self._all_rows[index])

    def _rows_asked_for(self, index: Any) -> NDArray[Any]:
        """Numbers or truths that are an index of this data set."""
        rows = np.asarray(index) if not isinstance(index, str) else np.array(index)
        if rows.size == 0 and rows.ndim == 1:
            return rows.astype(np.int64)
        if rows.dtype.kind not in "iub" or rows.ndim != 1:
            raise ArgumentError(
                "Frames of a data set are asked for by a number, a slice, or an array of numbers "
                f"or of truths, not by {told(index)}; a column is dataset.column('energy')."
            )
        n = len(self)
        if rows.dtype.kind == "b" and len(rows) != n:
            raise IndexError(
                f"The truths are {len(rows)} and the frames of the data set {n}; give one for each."
            )
        if rows.dtype.kind != "b" and not (-n <= rows.min() and rows.max() < n):
            worst = rows.max() if rows.max() >= n else rows.min()
            raise IndexError(f"Frame {worst} was asked for; the data set has {n} frames.")
        return rows

    def blocks(self) -> Iterator[Dataset]:
        """The frames in views of a few thousand each: what is made of one is small."""
        rows = self._all_rows
        for start in range(0, len(self), BLOCK):
            yield Dataset(self._arrays, rows[start : start + BLOCK])
            self.release()

    def release(self) -> None:
        """Give back the memory of what was read from a file; read again, it comes again."""
        release(self._arrays)

    def count_read(self, n_frames: int) -> None:
        """So many frames were read, perhaps by a view: now and then it is time to release."""
        self._frames_read += n_frames
        if self._frames_read >= _READ_AT_ONCE:
            self._frames_read = 0
            self.release()

    def of_frames(self, function: Callable[[Dataset], NDArray[Any]]) -> NDArray[Any]:
        """What a function says of each frame of a view, (n_frames, ...), asked block by block."""
        parts = [function(block) for block in self.blocks()]
        return np.concatenate(parts) if parts else function(self)

    def __iter__(self) -> Iterator[Frame]:
        return (self._frame(index) for index in range(len(self)))

    def __repr__(self) -> str:
        frames = display.count(len(self), "frame")
        what = f"{frames} of {', '.join(self.symbols) or 'nothing'}"
        return display.lines("Dataset", [what, ", ".join(self.labels) or "no labels"])

    def _repr_html_(self) -> str:
        counts, total = self.atom_counts, len(self)
        rows = [("frames", f"{total:,}"), ("elements", ", ".join(self.symbols) or "none")]
        if total:
            few, many = counts.min(), counts.max()
            rows.append(("atoms of a frame", f"{few}" if few == many else f"{few} to {many}"))
        rows += [
            (name, f"{int(self.has(name).sum()):,} of {total:,} frames") for name in self.labels
        ]
        return display.table(("", ""), rows, "Data set")

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
        values = self.raw(name)
        return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values

    def raw(self, name: str) -> NDArray[Any]:
        """A :meth:`column` as it is stored: text in UTF-8."""
        if name not in COLUMNS:
            hint = did_you_mean(str(name), COLUMNS)
            raise ArgumentError(f"A data set has no column {told(name)}; {hint}")
        column = COLUMNS[name]
        if name not in self._arrays:
            count = int(self.atom_counts.sum()) if column.per_atom else len(self)
            return np.full((count, *column.shape), np.nan)
        values = self._arrays[name]
        if not column.per_atom:
            return self._select(values)
        return values if self._rows is None else values[self._atom_rows]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that at least one frame carries."""
        return tuple(label for label in LABELS if self.has(label).any())

    @cached_property
    def atom_counts(self) -> NDArray[np.int64]:
        """Number of atoms of each frame, (n_frames,)."""
        offsets = self._arrays["offsets"]
        if self._rows is None:
            return np.diff(offsets)
        return np.asarray(offsets[self._rows + 1] - offsets[self._rows])

    @property
    def structures(self) -> list[Structure]:
        """The structure of each frame, without its labels; uncharged where no charge is given."""
        numbers, ends = self.column("numbers").astype(np.int64), self.offsets.tolist()
        charges = np.where(self.has("total_charge"), self.column("total_charge"), 0.0).tolist()
        of_frames = zip(self.column("cell"), self.column("periodic"), charges, strict=True)
        atoms = [slice(*pair) for pair in pairwise(ends)]
        positions = self.column("positions")
        return [
            Structure(numbers[part], positions[part], *each)
            for part, each in zip(atoms, of_frames, strict=True)
        ]

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each frame's atoms begin in an atomic :meth:`column`, (n_frames + 1,)."""
        return np.concatenate([[0], np.cumsum(self.atom_counts)])

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbols, by atomic number."""
        return tuple(chemical_symbols[number] for number in np.flatnonzero(self._element_counts))

    @cached_property
    def compositions(self) -> NDArray[np.int64]:
        """Atoms of each element in each frame, (n_frames, n_elements), as ``symbols`` are."""
        present = np.flatnonzero(self._element_counts)
        places = np.zeros(256, dtype=np.int64)
        places[present] = np.arange(len(present))

        def counts(view: Dataset) -> NDArray[np.int64]:
            frames = np.repeat(np.arange(len(view)), view.atom_counts)
            cells = frames * len(present) + places[view.column("numbers")]
            size = len(view) * len(present)
            return np.bincount(cells, minlength=size).reshape(len(view), len(present))

        return self.of_frames(counts)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of all that the frames hold but their source, the same in memory and on disk."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block.offsets.astype("<i8").tobytes())
            for name, column in COLUMNS.items():
                if name == "source":
                    continue
                if name == "head" and not block.raw(name).any():
                    continue  # the hash of data without heads is older than heads are
                if column.label:
                    digest.update(block.has(name).tobytes())
                values = block.raw(name)
                if column.dtype == "S":
                    digest.update(b"\0".join(values.tolist()))
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
        counts = np.zeros(256, dtype=np.int64)
        for block in self.blocks():
            counts += np.bincount(block.column("numbers"), minlength=256)
        return counts

    def _select(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self._rows is None else values[self._rows]

    def _frame(self, index: int) -> Frame:
        if not -len(self) <= index < len(self):
            raise IndexError(f"Frame {index} was asked for; the data set has {len(self)} frames.")
        arrays = self._arrays
        self.count_read(1)
        row = range(len(self))[index] if self._rows is None else int(self._rows[index])
        atoms = slice(arrays["offsets"][row], arrays["offsets"][row + 1])

        def label(name: str) -> Any:
            present = arrays.get(f"has_{name}")
            if present is None or not present[row]:
                return None
            value = arrays[name][atoms if COLUMNS[name].per_atom else row]
            return value.copy() if value.ndim else float(value)

        labels = {name: label(name) for name in LABELS}
        return Frame(
            numbers=arrays["numbers"][atoms].astype(np.int64),
            positions=arrays["positions"][atoms].copy(),
            cell=arrays["cell"][row].copy(),
            periodic=arrays["periodic"][row].copy(),
            **labels,
            config_type=_text(arrays["config_type"][row]),
            head=_text(arrays["head"][row]),
            subset=_text(arrays["subset"][row]),
            weight=float(arrays["weight"][row]),
            source=_text(arrays["source"][row]),
        )


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")
