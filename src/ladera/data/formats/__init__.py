"""Reading and writing labelled structures.

==============================  ==================================================================
file                            handled by
==============================  ==================================================================
``*.xyz``, ``*.extxyz``         :mod:`~ladera.data.formats.extended_xyz`
begins with ``begin``           :mod:`~ladera.data.formats.input_data` (RuNNer, n2p2)
begins with ``BEGIN_CFG``       :mod:`~ladera.data.formats.mlip_cfg` (MLIP)
``*.h5``, ``*.hdf5``            :class:`ladera.data.dataset.Dataset`, larger than memory
other ``*.h5``, ``*.npz``       :mod:`~ladera.data.formats.array_file`, reading only
any other                       :mod:`~ladera.data.formats.ase_files`, reading only
==============================  ==================================================================

The first three may be compressed by gzip, bzip2 or xz.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from ase import Atoms

from ladera.arguments import checked
from ladera.data.dataset import Dataset
from ladera.data.formats import array_file, ase_files, extended_xyz, input_data, mlip_cfg
from ladera.data.formats.labels import DataWarning
from ladera.data.frame import Frame
from ladera.data.label_keys import AtomColumns, LabelKeys
from ladera.data.store import is_foreign
from ladera.data.text import ending, is_extended_xyz, is_input_data
from ladera.errors import ArgumentError, DataError, did_you_mean, told
from ladera.progress import Task
from ladera.units import FILE_UNITS, METAL, UNIT_SYSTEMS, UnitSystem

__all__ = ["AtomColumns", "DataWarning", "LabelKeys", "read", "stream", "writable", "write"]

log = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]
# What :func:`read` takes.
DataLike = PathLike | Atoms | Frame | Sequence[PathLike] | Iterable[Atoms | Frame]

_COLUMNS: Final = "charge energy"  # what most programs write into an input.data
_XYZ: Final = (".xyz", ".extxyz")
_LARGE: Final = 2**28  # bytes of files whose frames are better not in memory


@checked
def read(
    source: DataLike,
    *,
    units: UnitSystem | str | None = None,
    keys: LabelKeys | Mapping[str, str | None] | None = None,
    atom_columns: AtomColumns = "charge energy",
    types: Sequence[str] = (),
) -> Dataset:
    """All frames of one or several files, or of structures at hand.

    Raises DataError, with file and line where there is one, for anything that cannot be read, for
    a file without frames, for a label key that is not in the file and for units that it is not in.
    Warns (DataWarning) of what looks like a label and was not read. The frames of large files are
    not held in memory, but in a temporary file that goes with the data set.

    Parameters
    ----------
    source
        One file or several, in any of the formats of this module's table; or structures, each
        ASE's Atoms with their labels (results of a calculator, arrays and info) or a Frame.
    units
        Units of the file, or their name in ``ladera.units.FILE_UNITS``. An ``input.data`` needs
        them said; extended XYZ is in Angstrom and eV unless told otherwise; other files know their
        own.
    keys
        Under which keys an extended XYZ (or ASE) file stores the labels: LabelKeys, or a
        dictionary such as ``{"energy": "REF_energy", "forces": None}``.
    atom_columns
        What the two columns after the symbol hold in an ``input.data``.
    types
        Species of the types 1, 2, 3... of a LAMMPS dump, or 0, 1, 2... of a ``.cfg`` of MLIP.
    """
    if isinstance(keys, Mapping):
        keys = _label_keys(keys)
    if (structures := _structures(source)) is not None:
        return Dataset.from_frames(_of_structures(structures, units, keys))
    files, units = _files(source), _unit_system(units)
    if len(files) == 1 and _is_hdf5(files[0]) and not is_foreign(files[0]):
        _require_its_own(files[0], atom_columns, types)
        return _open_hdf5(files[0], units, keys or LabelKeys())
    frames = stream(files, units=units, keys=keys, atom_columns=atom_columns, types=types)
    return _on_disk(frames) if sum(map(_size, files)) > _LARGE else Dataset.from_frames(frames)


def _label_keys(keys: Mapping[str, str | None]) -> LabelKeys:
    """The names of labels in a dictionary. ArgumentError for what is none."""
    known = LabelKeys.model_fields
    for name, key in keys.items():
        if name not in known:
            raise ArgumentError(f"keys of read has '{name}'; {did_you_mean(str(name), known)}")
        if not isinstance(key, str | None):
            raise ArgumentError(f"The key of '{name}' is {told(key)}; give a text, or None.")
    return LabelKeys(**keys)


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
    with Task("frames read") as task:
        for file in _files(paths):
            _require_its_own(file, atom_columns, types)
            frames = _frames(file, _unit_system(units), keys, atom_columns, types)
            for frame in _some(frames, file):
                yield frame
                task.advance(1, file.name)
            log.debug("Read %s: %d frames so far.", file, task.done)


@checked
def write(
    dataset: Dataset, path: PathLike, *, units: UnitSystem | str | None = None
) -> tuple[str, ...]:
    """Write a data set in the format that the file's name says, in one step.

    ``*.h5``, ``*.hdf5``, ``*.xyz`` and ``*.extxyz`` (also ``.gz``, ``.bz2``, ``.xz``) are always
    in Angstrom and eV, and so is ``*.cfg``, a file of MLIP; ``*.data`` is an ``input.data`` in
    ``units``. Returns what the format has
    no place for, which is not in the file. Raises DataError for an unknown ending and when writing
    fails.
    """
    path, units = Path(path), _unit_system(units)
    kind = writable(path)
    if kind != ".data" and units not in (None, METAL):
        raise DataError(f"{path} is always written in Angstrom and eV; give no other units.")
    if _is_hdf5(path):
        dataset.save(path)
    elif kind in (".xyz", ".extxyz"):
        extended_xyz.write(dataset, path)
    elif kind == ".cfg":
        return mlip_cfg.write(dataset, path)
    else:
        input_data.write(dataset, path, _required(units, path, "--output-units"))
        return input_data.lost_labels(dataset)
    return ()


def writable(path: PathLike) -> str:
    """The ending of a file that :func:`write` can write, without that of a compression.

    Raises DataError for any other: what takes long asks before.
    """
    path = Path(path)
    kind = ending(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file, such as {path / 'frames.extxyz'}.")
    if not _is_hdf5(path) and kind not in (".xyz", ".extxyz", ".cfg", ".data"):
        raise DataError(
            f"{path} has the ending '{path.suffix}', which Ladera does not write; "
            "choose .extxyz, .extxyz.gz, .cfg, .data or .h5."
        )
    return kind


def _size(path: Path) -> float:
    """Length of a file in bytes, roughly what a compressed one would have without."""
    if not path.is_file():  # which the reader says better
        return 0.0
    return path.stat().st_size * (4 if ending(path) != path.suffix.lower() else 1)


def _on_disk(frames: Iterator[Frame]) -> Dataset:
    """A data set in a file without a name: it is gone with the last who reads it."""
    with TemporaryDirectory(prefix="ladera-") as folder:
        return Dataset.store(frames, Path(folder) / "frames.h5")


def _files(paths: Any) -> list[Path]:
    given = [paths] if isinstance(paths, str | os.PathLike) else paths
    if not isinstance(given, Sequence) or not all(isinstance(p, str | os.PathLike) for p in given):
        raise ArgumentError(
            f"The data are {told(paths)}; give the path of a file, several paths, or structures: "
            "Atoms of ASE or frames, all of one kind."
        )
    if not given:
        raise DataError("No data file was given; name at least one.")
    return [Path(path) for path in given]


def _structures(source: Any) -> list[Atoms | Frame] | None:
    """Structures at hand; None of paths and anything else."""
    if isinstance(source, Atoms | Frame):
        return [source]
    if isinstance(source, str | os.PathLike) or not isinstance(source, Iterable):
        return None
    if not isinstance(source, Sequence):
        source = list(source)
    found = [each for each in source if isinstance(each, Atoms | Frame)]
    return found if found and len(found) == len(source) else None


def _of_structures(
    structures: Sequence[Atoms | Frame], units: object, keys: LabelKeys | None
) -> Iterator[Frame]:
    if units is not None:
        raise DataError("Structures of Python are in Angstrom and eV already; give no other units.")
    if all(isinstance(each, Frame) for each in structures):
        yield from (each for each in structures if isinstance(each, Frame))
        return
    atoms = [each.to_atoms() if isinstance(each, Frame) else each for each in structures]
    yield from ase_files.of_atoms(atoms, keys)


def _frames(
    path: Path,
    units: UnitSystem | None,
    keys: LabelKeys,
    atom_columns: AtomColumns,
    types: Sequence[str],
) -> Iterator[Frame]:
    if path.suffix.lower() == ".npz" or (_is_hdf5(path) and is_foreign(path)):
        return array_file.read(path, keys, units)
    if _is_hdf5(path):
        return iter(_open_hdf5(path, units, keys))
    if ending(path) in _XYZ or is_extended_xyz(path):
        return extended_xyz.read(path, keys, units)
    if is_input_data(path):
        return input_data.read(path, _required(units, path), atom_columns, keys)
    if mlip_cfg.is_cfg(path):
        _require_metal(path, units)
        return mlip_cfg.read(path, keys, types)
    if not path.stat().st_size:
        return iter(())
    return ase_files.read(path, keys, units, types)


def _require_its_own(path: Path, atom_columns: AtomColumns, types: Sequence[str]) -> None:
    """Raise DataError for what is said of a file and is nothing that such a file has."""
    if not path.is_file() or (atom_columns == _COLUMNS and not types):
        return
    arrays = path.suffix.lower() == ".npz" or _is_hdf5(path)
    columns = not arrays and is_input_data(path)
    if atom_columns != _COLUMNS and not columns:
        raise DataError(
            f"{path} is no input.data, whose two columns after the symbol could be meant; leave "
            "--atom-columns (data.atom_columns) out."
        )
    if types and (columns or arrays or is_extended_xyz(path) or ending(path) in _XYZ):
        raise DataError(
            f"{path} is no file of LAMMPS or MLIP; its atoms have names, so leave --types "
            "(data.types) out."
        )


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
    _require_metal(path, units)
    return Dataset.open(path).without(keys.left_out(path))


def _require_metal(path: Path, units: UnitSystem | None) -> None:
    if units not in (None, METAL):
        raise DataError(f"{path} is in Angstrom and eV already; give no other units.")


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
