"""Reading and writing labelled structures.

==============================  ==================================================================
file                            handled by
==============================  ==================================================================
``*.xyz``, ``*.extxyz``         :mod:`~ladera.data.formats.extended_xyz`
begins with ``begin``           :mod:`~ladera.data.formats.input_data` (RuNNer, n2p2)
``*.h5``, ``*.hdf5``            :class:`ladera.data.dataset.Dataset`, larger than memory
any other                       :mod:`~ladera.data.formats.ase_files`, reading only
==============================  ==================================================================

The first two may be compressed by gzip, bzip2 or xz.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ladera.data.dataset import Dataset
from ladera.data.formats import ase_files, extended_xyz, input_data
from ladera.data.formats.labels import DataWarning
from ladera.data.frame import Frame
from ladera.data.label_keys import AtomColumns, LabelKeys
from ladera.data.text import ending, is_extended_xyz, is_input_data
from ladera.errors import DataError, did_you_mean
from ladera.units import FILE_UNITS, METAL, UNIT_SYSTEMS, UnitSystem

__all__ = ["AtomColumns", "DataWarning", "LabelKeys", "read", "stream", "write"]

PathLike = str | os.PathLike[str]


def read(
    paths: PathLike | Sequence[PathLike],
    *,
    units: UnitSystem | str | None = None,
    keys: LabelKeys | None = None,
    atom_columns: AtomColumns = "charge energy",
    types: Sequence[str] = (),
) -> Dataset:
    """All frames of one or several files.

    Raises DataError, with file and line where there is one, for anything that cannot be read, for
    a file without frames, for a label key that is not in the file and for units that it is not in.
    Warns (DataWarning) of what looks like a label and was not read.

    Parameters
    ----------
    paths
        One file or several, in any of the formats of this module's table.
    units
        Units of the file, or their name in ``ladera.units.FILE_UNITS``. An ``input.data`` needs
        them said; extended XYZ is in Angstrom and eV unless told otherwise; other files know their
        own.
    keys
        Under which keys an extended XYZ (or ASE) file stores the labels.
    atom_columns
        What the two columns after the symbol hold in an ``input.data``.
    types
        Species of the types 1, 2, 3... of a LAMMPS dump.
    """
    files, units = _files(paths), _unit_system(units)
    if len(files) == 1 and _is_hdf5(files[0]):
        return _open_hdf5(files[0], units, keys or LabelKeys())
    frames = stream(files, units=units, keys=keys, atom_columns=atom_columns, types=types)
    return Dataset.from_frames(frames)


def stream(
    paths: PathLike | Sequence[PathLike],
    *,
    units: UnitSystem | str | None = None,
    keys: LabelKeys | None = None,
    atom_columns: AtomColumns = "charge energy",
    types: Sequence[str] = (),
) -> Iterator[Frame]:
    """The frames that :func:`read` gives, one after the other, for data larger than memory."""
    keys = LabelKeys() if keys is None else keys
    for file in _files(paths):
        yield from _some(_frames(file, _unit_system(units), keys, atom_columns, types), file)


def write(
    dataset: Dataset, path: PathLike, *, units: UnitSystem | str | None = None
) -> tuple[str, ...]:
    """Write a data set in the format that the file's name says, in one step.

    ``*.h5``, ``*.hdf5``, ``*.xyz`` and ``*.extxyz`` (also ``.gz``, ``.bz2``, ``.xz``) are always
    in Angstrom and eV; ``*.data`` is an ``input.data`` in ``units``. Returns what the format has
    no place for, which is not in the file. Raises DataError for an unknown ending and when writing
    fails.
    """
    path, units = Path(path), _unit_system(units)
    kind = ending(path)
    if kind != ".data" and units not in (None, METAL):
        raise DataError(f"{path} is always written in Angstrom and eV; give no other units.")
    if _is_hdf5(path):
        dataset.save(path)
    elif kind in (".xyz", ".extxyz"):
        extended_xyz.write(dataset, path)
    elif kind == ".data":
        input_data.write(dataset, path, _required(units, path, "--output-units"))
        return input_data.lost_labels(dataset)
    else:
        raise DataError(
            f"{path} has the ending '{path.suffix}', which Ladera does not write; "
            "choose .extxyz, .extxyz.gz, .data or .h5."
        )
    return ()


def _files(paths: PathLike | Sequence[PathLike]) -> list[Path]:
    files = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(p) for p in paths]
    if not files:
        raise DataError("No data file was given; name at least one.")
    return files


def _frames(
    path: Path,
    units: UnitSystem | None,
    keys: LabelKeys,
    atom_columns: AtomColumns,
    types: Sequence[str],
) -> Iterator[Frame]:
    if _is_hdf5(path):
        return iter(_open_hdf5(path, units, keys))
    if ending(path) in (".xyz", ".extxyz") or is_extended_xyz(path):
        return extended_xyz.read(path, keys, units)
    if is_input_data(path):
        return input_data.read(path, _required(units, path), atom_columns, keys)
    if not path.stat().st_size:
        return iter(())
    return ase_files.read(path, keys, units, types)


def _some(frames: Iterator[Frame], path: Path) -> Iterable[Frame]:
    """The frames, of which there must be one at least."""
    empty = True
    for frame in frames:
        empty = False
        yield frame
    if empty:
        raise DataError(f"{path} holds no structures; check that it is the right file.")


def _is_hdf5(path: Path) -> bool:
    return path.suffix.lower() in (".h5", ".hdf5")


def _open_hdf5(path: Path, units: UnitSystem | None, keys: LabelKeys) -> Dataset:
    if units not in (None, METAL):
        raise DataError(f"{path} is in Angstrom and eV already; give no other units.")
    return Dataset.open(path).without(keys.left_out(path))


def _unit_system(units: UnitSystem | str | None) -> UnitSystem | None:
    if not isinstance(units, str):
        return units
    if units not in FILE_UNITS:
        raise DataError(f"There are no units '{units}'; {did_you_mean(units, FILE_UNITS)}")
    return FILE_UNITS[units]


def _required(units: UnitSystem | None, path: Path, flag: str = "--units") -> UnitSystem:
    if units is None:
        raise DataError(
            f"{path} is an input.data file, which does not say its units; "
            f"give {flag} (data.units): {' or '.join(UNIT_SYSTEMS)}."
        )
    return units
