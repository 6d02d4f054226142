"""Reading and writing labelled structures.

==============================  ==================================================================
file                            handled by
==============================  ==================================================================
``*.xyz``, ``*.extxyz``         :mod:`~ladera.data.formats.extended_xyz`, also gzipped
begins with ``begin``           :mod:`~ladera.data.formats.input_data` (RuNNer, n2p2), also gzipped
``*.h5``, ``*.hdf5``            :class:`ladera.data.dataset.Dataset`, larger than memory
any other                       :mod:`~ladera.data.formats.ase_files`, reading only
==============================  ==================================================================
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ladera.data.dataset import Dataset
from ladera.data.formats import ase_files, extended_xyz, input_data
from ladera.data.formats.input_data import AtomColumns
from ladera.data.formats.labels import LabelKeys
from ladera.data.frame import Frame
from ladera.data.text import is_input_data
from ladera.errors import DataError
from ladera.units import METAL, UNIT_SYSTEMS, UnitSystem

__all__ = ["AtomColumns", "LabelKeys", "read", "stream", "write"]

PathLike = str | os.PathLike[str]


def read(
    paths: PathLike | Sequence[PathLike],
    *,
    units: UnitSystem | None = None,
    keys: LabelKeys | None = None,
    atom_columns: AtomColumns = "charge energy",
) -> Dataset:
    """All frames of one or several files.

    Raises DataError, with file and line where there is one, for anything that cannot be read, for
    a file without frames and for a label key that is not in the file.

    Parameters
    ----------
    paths
        One file or several, in any of the formats of this module's table.
    units
        Units of the file. An ``input.data`` needs them said; extended XYZ is in Angstrom and eV
        unless told otherwise; other files know their own.
    keys
        Under which keys an extended XYZ (or ASE) file stores the labels.
    atom_columns
        What the two columns after the symbol hold in an ``input.data``.
    """
    files = _files(paths)
    if len(files) == 1 and _is_hdf5(files[0]):
        return _open_hdf5(files[0], units)
    return Dataset.from_frames(stream(files, units=units, keys=keys, atom_columns=atom_columns))


def stream(
    paths: PathLike | Sequence[PathLike],
    *,
    units: UnitSystem | None = None,
    keys: LabelKeys | None = None,
    atom_columns: AtomColumns = "charge energy",
) -> Iterator[Frame]:
    """The frames that :func:`read` gives, one after the other, for data larger than memory."""
    keys = LabelKeys() if keys is None else keys
    for file in _files(paths):
        yield from _some(_frames(file, units, keys, atom_columns), file)


def write(dataset: Dataset, path: PathLike, *, units: UnitSystem | None = None) -> tuple[str, ...]:
    """Write a data set in the format that the file's name says, in one step.

    ``*.h5``, ``*.hdf5``, ``*.xyz`` and ``*.extxyz`` (also ``.gz``) are always in Angstrom and eV;
    ``*.data`` is an ``input.data`` in ``units``. Returns the labels that the format has no place
    for, which are not in the file. Raises DataError for an unknown ending and when writing fails.
    """
    path = Path(path)
    ending = _ending(path)
    if ending != ".data" and units not in (None, METAL):
        raise DataError(f"{path} is always written in Angstrom and eV; give no other units.")
    if ending in (".h5", ".hdf5"):
        dataset.save(path)
    elif ending in (".xyz", ".extxyz"):
        extended_xyz.write(dataset, path)
    elif ending == ".data":
        input_data.write(dataset, path, _required(units, path))
        return input_data.lost_labels(dataset)
    else:
        raise DataError(
            f"{path} has the ending '{ending}', which Ladera does not write; "
            "choose .extxyz, .extxyz.gz, .data or .h5."
        )
    return ()


def _files(paths: PathLike | Sequence[PathLike]) -> list[Path]:
    files = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(p) for p in paths]
    if not files:
        raise DataError("No data file was given; name at least one.")
    return files


def _frames(
    path: Path, units: UnitSystem | None, keys: LabelKeys, atom_columns: AtomColumns
) -> Iterator[Frame]:
    if _is_hdf5(path):
        return iter(_open_hdf5(path, units))
    if _ending(path) in (".xyz", ".extxyz"):
        return extended_xyz.read(path, keys, units or METAL)
    if is_input_data(path):
        return input_data.read(path, _required(units, path), atom_columns)
    if not path.stat().st_size:
        return iter(())
    if units not in (None, METAL):
        raise DataError(f"{path} is converted to Angstrom and eV by ASE; give no other units.")
    return ase_files.read(path, keys)


def _some(frames: Iterator[Frame], path: Path) -> Iterable[Frame]:
    """The frames, of which there must be one at least."""
    empty = True
    for frame in frames:
        empty = False
        yield frame
    if empty:
        raise DataError(f"{path} holds no structures; check that it is the right file.")


def _ending(path: Path) -> str:
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def _is_hdf5(path: Path) -> bool:
    return path.suffix in (".h5", ".hdf5")


def _open_hdf5(path: Path, units: UnitSystem | None) -> Dataset:
    if units not in (None, METAL):
        raise DataError(f"{path} is in Angstrom and eV already; give no other units.")
    return Dataset.open(path)


def _required(units: UnitSystem | None, path: Path) -> UnitSystem:
    if units is None:
        raise DataError(
            f"{path} is an input.data file, which does not say its units; "
            f"give them: {' or '.join(UNIT_SYSTEMS)}."
        )
    return units
