"""Every file that ASE reads: its labels are what ASE's calculator results, info and arrays hold.

Where ASE makes up what a file does not say (elements of LAMMPS's types, the energy of a dump) or
takes units for granted, this module puts it right or asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import ase.db
import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.formats import UnknownFileTypeError, filetype

from ladera.data.counts import require_counts
from ladera.data.formats import outputs
from ladera.data.formats.labels import AT_ZERO_BROADENING, FileLabels
from ladera.data.frame import Frame
from ladera.data.label_keys import LabelKeys
from ladera.data.text import LineReader
from ladera.errors import DataError, needs_package, reason_of
from ladera.units import HARTREE, METAL, UnitSystem

_DATABASES: Final = ("db", "json", "postgresql", "mysql", "mariadb", "aselmdb")
_LAMMPS: Final = ("lammps-dump-text", "lammps-dump-binary", "lammps-data")
_OBJECTS: Final = (".lmdb", ".pt", ".pth", ".pkl", ".pickle")
# Formats whose numbers are in Angstrom and eV already, so that saying so is true.
_METAL: Final = ("traj", "bundletrajectory", "xsf", "xyz", "vasp", "cif", *_DATABASES)


def read(
    path: Path, keys: LabelKeys, units: UnitSystem | None = None, types: Sequence[str] = ()
) -> Iterator[Frame]:
    """The frames of any file that ASE knows, in the units ASE converts them to (eV, Angstrom).

    ``types`` are the species of LAMMPS's types 1, 2, 3... Raises DataError when ASE cannot read
    the file, when a label that was asked for is in no frame, and for units that are not ASE's.
    Of a program's output what is no label is left out with a warning.
    """
    format_ = _format(path)
    if format_ == "runnerdata":  # ASE would take it for Bohr and Hartree, whatever the user said
        raise DataError(
            f"{path} looks like an input.data, but no structure of it begins with 'begin' on a "
            "line of its own; correct it."
        )
    if types and format_ not in _LAMMPS:
        raise DataError(f"{path} is no file of LAMMPS; its atoms have names, give no types.")
    known = units == METAL and format_.startswith(_METAL)
    if units is not None and not known:
        raise DataError(
            f"{path} is read by ASE as '{format_}', which knows its units and converts them to "
            "Angstrom and eV; give no other units."
        )
    labels = FileLabels(path, keys, METAL)
    if format_ in outputs.PROGRAMS:
        wanted = [name for name in ("energy", "forces") if getattr(keys, name) == name]
        structures = outputs.read(path, format_, wanted)
    else:
        structures = enumerate(_structures(path, format_, units, types))
    for index, atoms in structures:
        yield _frame(atoms, labels, keys, f"{path}, frame {index}")
    labels.check()
    labels.warn()


def of_atoms(structures: Iterable[Atoms], named: LabelKeys | None) -> Iterator[Frame]:
    """Frames of structures at hand, with the labels that :func:`read` would find in their file.

    Results of a calculator count where it has them already, of the structure as it is now. Keys
    that are ``named`` must be there.
    """
    keys = named or LabelKeys()
    labels = FileLabels(Path("structures"), keys, METAL)
    for index, atoms in enumerate(structures):
        source = f"structure {index}"
        if atoms.calc is not None and atoms.calc.check_state(atoms):
            atoms = atoms.copy()  # without results, which are of another structure
        yield _frame(atoms, labels, keys, source)
    if named is not None:
        labels.check()
    labels.warn()


def _frame(atoms: Atoms, labels: FileLabels, keys: LabelKeys, source: str) -> Frame:
    return labels.frame(
        _values(atoms, keys, source),
        numbers=atoms.numbers.astype(np.int64),
        positions=np.array(atoms.positions, dtype=np.float64),
        cell=np.array(atoms.cell.array, dtype=np.float64),
        periodic=np.array(atoms.pbc, dtype=bool),
        source=source,
        subset=str(atoms.info.get("subset", "")),
    )


def _format(path: Path) -> str:
    known = outputs.kind(path)
    if known is not None:
        return known
    try:
        format_ = str(filetype(str(path), read=True))
    except Exception as error:
        raise _unreadable(path, error) from error
    if format_ in outputs.TOLD:  # only by its name
        raise _unreadable(path, UnknownFileTypeError())
    return format_


def _unreadable(path: Path, error: Exception) -> DataError:
    if path.suffix.lower() in _OBJECTS:
        return DataError(
            f"{path} holds Python objects, which only running code could read, and Ladera never "
            "does; write its frames as extended XYZ, or as an .aselmdb of fairchem, with the "
            "program that it is from."
        )
    if isinstance(error, ModuleNotFoundError):
        return needs_package(path, error)
    return DataError(
        f"{path} could not be read as data{reason_of(error)}; it is damaged or of a format that is "
        "not known here. Give extended XYZ, HDF5 of Ladera, or an output or trajectory of a code."
    )


def _structures(
    path: Path, format_: str, units: UnitSystem | None, types: Sequence[str]
) -> Iterator[Atoms]:
    require_counts(path, format_)
    options = _lammps_options(path, format_, types) if format_ in _LAMMPS else {}
    in_ev = format_ == "xsf" and (units is not None or _is_from_aenet(path))
    try:
        if format_ in _DATABASES:
            yield from _rows(path)
            return
        # ASE would take what follows an @ in a file's name for frame numbers.
        for atoms in ase.io.iread(str(path), ":", format_, do_not_split_by_at_sign=True, **options):
            if format_.startswith("lammps") and atoms.calc is not None:
                atoms.calc.results.pop("energy", None)  # made up: a dump has none
            if in_ev:
                _take_as_written(atoms, path)
            yield atoms
    except DataError:
        raise
    except Exception as error:  # a reader of ASE can raise anything on a file that is not its own
        raise _unreadable(path, error) from error


def _rows(path: Path) -> Iterator[Atoms]:
    """The rows of a database, with what the user stored beside them in ``info``."""
    with ase.db.connect(str(path), serial=True) as database:
        for row in database.select():
            atoms = row.toatoms()
            atoms.info = dict(row.data) | dict(row.key_value_pairs) | atoms.info
            yield atoms


def _lammps_options(path: Path, format_: str, types: Sequence[str]) -> dict[str, Any]:
    """The species of the types and the units, which ASE takes for H, He, ... and metal."""
    words = {} if format_ == "lammps-dump-binary" else _lammps_words(path)
    named = {"element", "mass", "Masses"} & set(words)
    if types and named & {"element", "mass"}:
        raise DataError(f"{path} says itself which elements its atoms are; give no types.")
    if not types and not named:
        raise DataError(
            f"{path} has atoms of types without names; give the species of types 1, 2, 3... with "
            "--types, as in --types Cu Au (formats.read(..., types=...))."
        )
    if format_ == "lammps-data":
        from ase.data import atomic_numbers

        numbers = {k: atomic_numbers[symbol] for k, symbol in enumerate(types, 1)}
        return {"Z_of_type": numbers} if types else {}
    units = {"units": words["UNITS"]} if words.get("UNITS") else {}
    return ({"specorder": list(types)} if types else {}) | units


def _lammps_words(path: Path) -> dict[str, str]:
    """The columns of a dump and its units, or the sections of a data file: what names atoms."""
    words: dict[str, str] = {}
    with LineReader(path) as reader:
        while (line := reader.line()) is not None:
            if line.startswith("ITEM: UNITS"):
                words["UNITS"] = (reader.line() or "").strip()
            elif line.startswith("ITEM: ATOMS"):
                return words | dict.fromkeys(line.split()[2:], "")
            elif line.startswith("Masses"):
                words["Masses"] = ""
    return words


def _is_from_aenet(path: Path) -> bool:
    """Whether an XSF is aenet's, which begins with the energy and has forces in eV/Angstrom."""
    return _aenet_energy(path) is not None


def _aenet_energy(path: Path) -> float | None:
    with LineReader(path) as reader:
        for line in reader.lines(20):
            match = re.match(r"\s*#\s*total energy\s*=\s*(\S+)\s*(ev)?", line, re.IGNORECASE)
            if match:
                try:
                    return float(match[1])
                except ValueError:
                    raise reader.error(f"the energy '{match[1]}' is no number.") from None
    return None


def _take_as_written(atoms: Atoms, path: Path) -> None:
    """The numbers of an XSF in eV: ASE takes the forces for Hartree/Angstrom."""
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    if "forces" in results:
        results["forces"] = results["forces"] / HARTREE
    energy = _aenet_energy(path)
    if energy is not None:
        results["energy"] = energy
    atoms.calc = SinglePointCalculator(atoms, **results)


def _values(atoms: Atoms, keys: LabelKeys, source: str) -> dict[str, Any]:
    """Everything by its name: results of a calculation, arrays and info.

    Raises DataError for a label that is there twice, with two values.
    """
    values: dict[str, Any] = {k: v for k, v in atoms.info.items() if isinstance(k, str)}
    results = {} if atoms.calc is None else atoms.calc.results
    layers = (atoms.arrays, {k: v for k, v in results.items() if v is not None})
    for layer in layers:
        for name in keys.names() & values.keys() & layer.keys():
            _require_same(name, values[name], layer[name], source)
        values.update(layer)
    if "free_energy" in results and "energy" not in keys.model_fields_set:
        values[AT_ZERO_BROADENING] = values.get("energy")
        values["energy"] = results["free_energy"]  # whose derivatives the forces are
    return values


def _require_same(name: str, one: Any, other: Any, source: str) -> None:
    try:
        first, second = (np.asarray(value, dtype=np.float64).ravel() for value in (one, other))
    except (TypeError, ValueError):
        return
    if first.size == second.size and not np.allclose(first, second, 1e-6, 1e-8, equal_nan=True):
        raise DataError(
            f"{source}: '{name}' is there twice with two values (stored beside the structure and "
            "in its calculation); keep the right one."
        )
