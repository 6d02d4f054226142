"""The files of frames that a model has labelled.

=====================  =============================================================================
ending                 what is in it
=====================  =============================================================================
``.extxyz``, ``.xyz``  all that was found, under the names by which Ladera and ASE read it again;
                       also ``.gz``, ``.bz2``, ``.xz``
``.h5``                the labels, larger than memory; no deviations and no grades
``.csv``               a row for each frame, and in ``NAME_atoms.csv`` one for each atom
``.json``              all of it, and how it was made
=====================  =============================================================================

Beside a file of the others ``NAME.ENDING.provenance.json`` says how it was made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
from ase.data import chemical_symbols

from ladera.arrays import Floats
from ladera.data import formats
from ladera.data.formats import extended_xyz
from ladera.data.store import BLOCK, release
from ladera.data.text import ending
from ladera.errors import DataError
from ladera.extrapolation import GRADE, LARGEST_GRADE
from ladera.files import atomic_path, write_text_atomic
from ladera.quantities import Quantity
from ladera.table_files import TableWriter, Value

if TYPE_CHECKING:
    from ladera.labelling.labelled import Labelled

_TABLE: Final = ".csv"
_JSON: Final = ".json"
_BINARY: Final = (".h5", ".hdf5")
_TEXT: Final = (".xyz", ".extxyz", ".cfg")
_VOIGT: Final = ("xx", "yy", "zz", "yz", "xz", "xy")


def outputs(path: Path) -> tuple[Path, ...]:
    """All files that :func:`write` makes for one. DataError for an ending that is none of them."""
    kind = _kind(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file, such as {path / 'labelled.extxyz'}.")
    if kind not in (_TABLE, _JSON, *_BINARY, *_TEXT):
        raise DataError(
            f"{path} has the ending '{path.suffix}', which predictions are not written to; choose "
            ".extxyz, .extxyz.gz, .cfg, .h5, .csv or .json."
        )
    if kind == _JSON:
        return (path,)
    more = (_beside(path, "_atoms.csv"),) if kind == _TABLE else ()
    return (path, *more, path.with_name(f"{path.name}.provenance.json"))


def _kind(path: Path) -> str:
    """What the ending says; only text may be compressed."""
    return kind if (kind := ending(path)) in _TEXT else path.suffix.lower()


def _beside(path: Path, end: str) -> Path:
    """The file beside it that has another end: NAME_atoms.csv for NAME.csv."""
    name = path.stem if ending(path) == path.suffix.lower() else Path(path.stem).stem
    return path.with_name(name + end)


def write(labelled: Labelled, path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Write the frames and their labels, and how they were made, a few frames in memory at a time.

    Returns what the format has no place for. Raises DataError for an ending that is none of the
    table's, and where the file cannot be written.
    """
    path = Path(path)
    _, *others = outputs(path)
    kind = _kind(path)
    lost: tuple[str, ...] = ()
    if kind == _JSON:
        write_json(labelled, path)
        return ()
    if kind == _TABLE:
        _write_tables(labelled, path, others[0])
    elif kind in _BINARY or kind == ".cfg":
        lost = (*formats.write(labelled.frames, path), *labelled.extras)
    else:
        extended_xyz.write(labelled.frames, path, more=_more(labelled))
    text = json.dumps({"provenance": labelled.provenance}, indent=1)
    write_text_atomic(others[-1], text + "\n")
    return lost


def _more(labelled: Labelled) -> Iterator[Mapping[str, Any]]:
    """What an extended XYZ holds of each frame besides its labels."""
    model = labelled.provenance["model"]
    name = model.get("config", {}).get("calculator", model["architecture"])
    by = {"labelled_by": f"{name} {model['sha256'][:12]}"}
    for _, extras in _by_frame(labelled):
        yield {name: value for name, value in extras.items() if np.isfinite(value).all()} | by


def _by_frame(labelled: Labelled) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of each frame, and its deviations and grades."""
    extras, counts = labelled.extras, labelled.frames.atom_counts
    starts = labelled.frames.offsets
    of_frames = {f"{q.name}_std" for q in labelled.std if not q.per_atom}
    for k in range(len(counts)):
        atoms = slice(starts[k], starts[k + 1])
        yield (
            k,
            {
                name: values[k] if name in of_frames else values[atoms]
                for name, values in extras.items()
            },
        )
        if k % BLOCK == 0:
            release(extras)


# --- JSON ----------------------------------------------------------------------------------------


def write_json(labelled: Labelled, path: Path) -> None:
    """Write what :func:`write_json_to` does, in one step."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        write_json_to(labelled, file)


def write_json_to(labelled: Labelled, file: IO[str]) -> None:
    """One object: provenance, units, and ``frames``, a list with an object for each, one a line."""
    units = {q.name: q.unit for q in labelled.given}
    units |= {f"{q.name}_std": q.unit for q in labelled.std}
    head = json.dumps({"provenance": labelled.provenance, "units": units}, indent=1)
    file.write(head.removesuffix("\n}") + ',\n "frames": [')
    for k, extras in _by_frame(labelled):
        frame = labelled.frames[k]
        row: dict[str, Any] = {"frame": k, "source": frame.source, "formula": frame.formula}
        row |= {q.name: getattr(frame, q.name) for q in labelled.given} | extras
        plain = {name: _plain(value) for name, value in row.items()}
        file.write(f"{',' if k else ''}\n  {json.dumps(plain)}")
    file.write("\n ]\n}\n")


def _plain(value: Any) -> Any:
    """For JSON, which has no arrays and no NaN."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist() if np.isfinite(value).all() else None
    return value


# --- CSV -----------------------------------------------------------------------------------------


def _write_tables(labelled: Labelled, path: Path, of_atoms: Path) -> None:
    """A row for each frame, with the largest of what atoms have, and one for each atom."""
    per_frame, per_atom = _Columns(labelled, False), _Columns(labelled, True)
    first = ("frame", "source", "config_type", "formula", "n_atoms")
    with (
        atomic_path(path) as one,
        atomic_path(of_atoms) as two,
        TableWriter(one, (*first, *per_frame.names)) as frames,
        TableWriter(two, ("frame", "atom", "element", *per_atom.names)) as atoms,
    ):
        for k, extras in _by_frame(labelled):
            frame = labelled.frames[k]
            named = (k, frame.source, frame.config_type, frame.formula, frame.n_atoms)
            values = {q.name: getattr(frame, q.name) for q in labelled.given} | extras
            frames.write({**dict(zip(first, named, strict=True)), **per_frame.row(values)})
            for atom, number in enumerate(frame.numbers.tolist()):
                element = chemical_symbols[number]
                row: dict[str, Value] = {"frame": k, "atom": atom, "element": element}
                atoms.write(row | per_atom.row(values, atom))


class _Columns:
    """The columns of a table of frames, or of atoms: names with units, and their values."""

    def __init__(self, labelled: Labelled, of_atoms: bool) -> None:
        self._of_atoms = of_atoms
        existing = [q for q in labelled.given if labelled.frames.has(q.name).any()]
        quantities = [(q, q.name, q.singular) for q in existing]
        quantities += [(q, f"{q.name}_std", f"{q.singular}_std") for q in labelled.std]
        self._quantities = [each for each in quantities if each[0].per_atom or not of_atoms]
        self._graded = labelled.grade is not None
        self.names = tuple(name for each in self._quantities for name in self._names(*each))
        self.names += (self._grade,) * self._graded

    @property
    def _grade(self) -> str:
        return GRADE if self._of_atoms else LARGEST_GRADE

    def row(self, values: Mapping[str, Any], atom: int | None = None) -> dict[str, Value]:
        """The fields of a frame, or of one of its atoms; empty where there is no value."""
        row: dict[str, Value] = dict.fromkeys(self.names)
        for quantity, key, word in self._quantities:
            value = values.get(key)
            if value is None or not np.isfinite(value).all():
                continue
            numbers = self._numbers(quantity, np.asarray(value, dtype=float), atom)
            row |= zip(self._names(quantity, key, word), numbers, strict=True)
        if self._graded and np.isfinite(values[GRADE]).all():
            grade = values[GRADE]
            row[self._grade] = float(grade.max() if atom is None else grade[atom])
        return row

    def _names(self, quantity: Quantity, key: str, word: str) -> list[str]:
        unit = quantity.unit.lower().replace("/", "_per_").replace("^", "").replace("*", "_")
        word = word.replace(" ", "_")
        if quantity.per_atom and not self._of_atoms:
            return [f"largest_{word}_{unit}"]
        parts = {0: [""], 1: ["x_", "y_", "z_"], 2: [f"{part}_" for part in _VOIGT]}
        return [f"{word}_{part}{unit}" for part in parts[len(quantity.shape)]]

    def _numbers(self, quantity: Quantity, value: Floats, atom: int | None) -> list[float]:
        if quantity.per_atom and atom is None:  # the longest vector, the largest charge
            sizes = np.linalg.norm(value, axis=1) if quantity.shape else np.abs(value)
            return [float(sizes.max())]
        value = value if atom is None else value[atom]
        if quantity.shape == (3, 3):
            return [float(value["xyz".index(a), "xyz".index(b)]) for a, b in _VOIGT]
        return [float(number) for number in value.ravel()]
