"""``.cfg``, the structure file of MLIP, whose atoms have types 0, 1, 2... instead of elements.

::

    BEGIN_CFG
     Size
        2
     Supercell                           rows are vectors; none of an open structure, and fewer
        4.0 0.0 0.0                      than three where only some directions are periodic
        0.0 4.0 0.0
        0.0 0.0 4.0
     AtomData:  id type cartes_x cartes_y cartes_z fx fy fz     or direct_x...; more columns
        1 0 0.0 0.0 0.0 0.0 0.0 0.1
        2 1 2.0 0.0 0.0 0.0 0.0 -0.1
     Energy
        -7.5
     PlusStress:  xx yy zz yz xz xy      -dE/d(strain), eV; minus that under the title Stress:
        0.1 0.1 0.1 0.0 0.0 0.0
     Feature   NAME words
    END_CFG

Lengths are in Angstrom, energies in eV. AtomEye has another format with files of the same name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from ase.data import chemical_symbols

from ladera.arrays import Floats, Integers
from ladera.data.dataset import Dataset
from ladera.data.formats.labels import FileLabels, LabelKeys
from ladera.data.frame import Frame
from ladera.data.text import (
    LineReader,
    TextFrame,
    batches,
    head,
    numbers_of_types,
    parse_tables,
    text_writer,
)
from ladera.errors import DataError

_BEGIN, _END = "BEGIN_CFG", "END_CFG"
_AXES: Final = "xyz"
_VOIGT: Final = ("xx", "yy", "zz", "yz", "xz", "xy")
_TYPES: Final = "types"  # the feature in which Ladera says what the types are
_TEXTS: Final = ("config_type", "head", "subset")  # features, as Frame has them
_MOST_ATOMS: Final = 10**10
# Columns that say nothing of a structure or are no label.
_PASSED: Final = {"id", "site_en", "nbh_grades"}


def is_cfg(path: Path) -> bool:
    """Whether a file is one of MLIP's, not of AtomEye; DataError for one that cannot be read."""
    first = next((line.strip() for line in head(path) if line.strip()), "")
    return first.upper() == _BEGIN


def read(path: Path, keys: LabelKeys | None = None, types: Sequence[str] = ()) -> Iterator[Frame]:
    """The frames of a ``.cfg`` file, compressed or not.

    ``types`` are the elements of the types 0, 1, 2...; files that Ladera wrote name them. A frame
    without an energy, forces or a stress comes without that label. ``keys`` may say which labels to
    do without. Raises DataError, with file and line, for malformed text and for types without an
    element.
    """
    without = set(keys.left_out(path) if keys else ())
    labels = FileLabels(path, LabelKeys(**dict.fromkeys(without)), None)
    numbers_of_types(types)
    with LineReader(path) as reader:
        for batch in batches(_blocks(reader)):
            yield from _parse(batch, path, labels, types, with_stress="stress" not in without)
    labels.warn()


def write(dataset: Dataset, path: Path) -> tuple[str, ...]:
    """Write a ``.cfg`` file, every number exactly; returns what it has no place for.

    The types are the elements of the data set in the order of their atomic numbers, which a feature
    of every structure says.
    """
    elements = sorted({int(number) for number in dataset.column("numbers")})
    type_of = {number: type_ for type_, number in enumerate(elements)}
    named = " ".join(chemical_symbols[number] for number in elements)
    flat = False
    with text_writer(path) as file:
        for frame in dataset:
            flat |= frame.stress is not None and not frame.periodic.all()
            _write_frame(file, frame, type_of, named)
    return ("the stress of structures that are not periodic in all directions",) * flat


# --- reading -------------------------------------------------------------------------------------


@dataclass
class _Block(TextFrame):
    """One structure as text, but for its cell."""

    line: int = 0  # of its BEGIN_CFG
    size: int | None = None
    cell: list[list[float]] = field(default_factory=list)
    virial: list[float] | None = None


def _blocks(reader: LineReader) -> Iterator[_Block]:
    index = 0
    while (line := reader.line()) is not None:
        if not line.strip():
            continue
        if line.strip().upper() != _BEGIN:
            raise reader.error(f"expected {_BEGIN}, found '{line.strip()[:60]}'.")
        yield _block(reader, index)
        index += 1


def _block(reader: LineReader, index: int) -> _Block:
    block = _Block(index, line=reader.number)
    pending: str | None = None  # a line that ended a list of unknown length
    while (line := pending if pending is not None else reader.line()) is not None:
        pending = None
        words = line.split()
        match words[0].rstrip(":").upper() if words else "":
            case "":
                continue
            case "SIZE":
                block.size = _size(reader)
            case "SUPERCELL":
                pending = _read_cell(reader, block)
            case "ATOMDATA":
                _read_atoms(reader, block, words[1:])
            case "ENERGY":
                block.values["energy"] = repr(_numbers(reader, 1, "the energy")[0])
            case "PLUSSTRESS":
                block.virial = _virial(reader, words[1:], 1.0)
            case "STRESS":
                block.virial = _virial(reader, words[1:], -1.0)
            case "FEATURE":
                name, value = (*line.split(maxsplit=2)[1:], "", "")[:2]
                block.values.setdefault(name, value.strip())
            case "END_CFG":
                return _complete(reader, block)
            case _:
                raise reader.error(f"'{line.strip()[:60]}' is no part of a structure of MLIP.")
    raise reader.error(
        f"the file ends inside structure {index}, which begins on line {block.line}; it is cut "
        "short."
    )


def _size(reader: LineReader) -> int:
    line = (reader.line() or "").strip()
    size = int(line) if line.isdecimal() and len(line) < 12 else -1
    if not 0 < size < _MOST_ATOMS:
        raise reader.error(f"Size is followed by '{line[:40]}'; expected the number of atoms.")
    return size


def _read_cell(reader: LineReader, block: _Block) -> str | None:
    """The vectors that follow Supercell, up to three; returns the line after fewer."""
    block.cell = []
    while len(block.cell) < 3:
        line = reader.line()
        if line is None or line.split()[:1] == [] or line.split()[0][0].isalpha():
            return line
        block.cell.append(_floats(reader, line, 3, "a vector of the cell"))
    return None


def _read_atoms(reader: LineReader, block: _Block, columns: list[str]) -> None:
    if block.size is None:
        raise reader.error("AtomData comes before Size; the number of atoms is not known.")
    if block.table.lines:
        raise reader.error(f"structure {block.index} has AtomData twice; keep one.")
    kind = "direct" if "direct_x" in columns else "cartes"
    missing = [name for name in ("type", *_triple(f"{kind}_")) if name not in columns]
    if missing or len(set(columns)) < len(columns):
        found = " ".join(columns)[:60]
        raise reader.error(
            f"the columns of AtomData are '{found}'; expected each once, with id, type, cartes_x, "
            "cartes_y and cartes_z (or direct_x...)."
        )
    block.columns = " ".join(columns)
    block.table.first_line = reader.number + 1
    block.table.lines = reader.lines(block.size)
    for number, line in enumerate(block.table.lines):
        if line.split()[:1] == [] or line.split()[0][0].isalpha():
            raise reader.error(
                f"Size is {block.size}, and {number} atoms stand here before "
                f"'{line.strip()[:40]}'.",
                block.table.first_line + number,
            )


def _virial(reader: LineReader, names: list[str], sign: float) -> list[float]:
    """-dE/d(strain) in Voigt's order, of components in any."""
    names = names or list(_VOIGT)
    values = _numbers(reader, 6, "the six components of the stress")
    if sorted(names) != sorted(_VOIGT):
        raise reader.error(
            f"the components are '{' '.join(names)[:40]}'; expected {' '.join(_VOIGT)}.",
            reader.number - 1,
        )
    return [sign * values[names.index(name)] for name in _VOIGT]


def _numbers(reader: LineReader, count: int, what: str) -> list[float]:
    return _floats(reader, reader.line() or "", count, what)


def _floats(reader: LineReader, line: str, count: int, what: str) -> list[float]:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        values = []
    if len(values) != count:
        raise reader.error(f"expected {what}, found '{line.strip()[:60]}'.")
    return values


def _complete(reader: LineReader, block: _Block) -> _Block:
    if not block.table.lines:
        raise reader.error(f"structure {block.index}, from line {block.line} on, has no AtomData.")
    if "direct_x" in block.columns.split() and len(block.cell) < 3:
        raise reader.error(
            f"structure {block.index} has coordinates in units of its cell, and no Supercell of "
            "three vectors."
        )
    return block


def _parse(
    batch: list[_Block], path: Path, labels: FileLabels, types: Sequence[str], with_stress: bool
) -> Iterator[Frame]:
    columns = batch[0].columns.split()
    known = {"type": "i8", **dict.fromkeys([*_triple("cartes_"), *_triple("direct_")], "f8")}
    known |= dict.fromkeys(("fx", "fy", "fz", "charge"), "f8")
    dtype = np.dtype([(name, known.get(name, "U1"), (1,)) for name in columns])
    arrays = parse_tables([block.table for block in batch], dtype, path)
    unknown = dict.fromkeys(set(columns) - set(known) - _PASSED, "")
    for block, rows in zip(batch, arrays, strict=True):
        cell = np.zeros((3, 3))
        cell[: len(block.cell)] = block.cell if block.cell else 0.0
        values: dict[str, Any] = unknown | block.values
        if "fx" in columns:
            values["forces"] = _vectors(rows, ("fx", "fy", "fz"), path, block)
        if "charge" in columns:
            values["charges"] = rows["charge"]
        if block.virial is not None and block.cell and with_stress:  # molecules have no stress
            values["virial"] = np.array(block.virial)
        direct = "direct_x" in columns
        positions = _vectors(rows, _triple("direct_" if direct else "cartes_"), path, block)
        yield labels.frame(
            values,
            numbers=_elements(rows["type"][:, 0], path, block, types),
            positions=positions @ cell if direct else positions,
            cell=cell,
            periodic=np.arange(3) < len(block.cell),
            source=f"{path}, frame {block.index}",
            subset=str(values.get("subset", "")),
        )


def _triple(prefix: str) -> tuple[str, ...]:
    return tuple(prefix + axis for axis in _AXES)


def _vectors(rows: Any, names: Sequence[str], path: Path, block: _Block) -> Floats:
    if missing := [name for name in names if name not in rows.dtype.names]:
        raise DataError(
            f"{path}, line {block.table.first_line - 1}: AtomData has no column {missing[0]} "
            f"beside the others of {', '.join(names)}."
        )
    return np.concatenate([rows[name] for name in names], axis=1)


def _elements(found: Integers, path: Path, block: _Block, types: Sequence[str]) -> Integers:
    """Atomic numbers of types; DataError, with the line, where one has no element."""
    stated = block.values.get(_TYPES, "").split()
    if types and stated and list(types) != stated:
        raise DataError(
            f"{path} says that its types are {' '.join(stated)}, and not {' '.join(types)}; leave "
            "types out."
        )
    names = list(types) or stated
    if not names:
        counted = ", ".join(map(str, np.unique(found)[:6]))
        raise DataError(
            f"{path} has types ({counted} in structure {block.index}) and no elements; name those "
            "of types 0, 1, 2... in that order, such as --types Li P S (types= in Python; a "
            "training takes what `ladera data convert` made)."
        )
    numbers = np.array(numbers_of_types(names), dtype=np.int64)
    inside = (found >= 0) & (found < len(numbers))
    known = np.zeros(len(found), dtype=bool)
    known[inside] = numbers[found[inside]] > 0
    if not known.all():
        atom = int(np.argmin(known))
        raise DataError(
            f"{path}, line {block.table.first_line + atom}: type {found[atom]} has no element: "
            f"types names {len(names)}, of types 0 to {len(names) - 1} ({' '.join(names)}). Name "
            "all of them; where a file counts from 1, give X for type 0."
        )
    return numbers[found]


# --- writing -------------------------------------------------------------------------------------


def _write_frame(file: IO[str], frame: Frame, type_of: dict[int, int], named: str) -> None:
    lines = [_BEGIN, " Size", f"    {frame.n_atoms}"]
    if frame.periodic.any():
        lines += [" Supercell", *map(_row, frame.cell[frame.periodic].tolist())]
    columns = ["id", "type", *_triple("cartes_")]
    types = [type_of[number] for number in frame.numbers.tolist()]
    table = [np.arange(1, frame.n_atoms + 1), np.array(types), *frame.positions.T]
    if frame.forces is not None:
        columns += ["fx", "fy", "fz"]
        table += [*frame.forces.T]
    if frame.charges is not None:
        columns.append("charge")
        table.append(frame.charges)
    lines.append(f" AtomData:  {' '.join(columns)}")
    lines += map(_row, zip(*(column.tolist() for column in table), strict=True))
    if frame.energy is not None:
        lines += [" Energy", _row([frame.energy])]
    if frame.stress is not None and frame.periodic.all():
        virial = -frame.volume * frame.stress.ravel()[[0, 4, 8, 5, 2, 1]]
        lines += [f" PlusStress:  {' '.join(_VOIGT)}", _row(virial.tolist())]
    lines += [f" Feature   {name} {value}" for name, value in _features(frame, named).items()]
    file.write("\n".join([*lines, _END, "", ""]))


def _features(frame: Frame, named: str) -> dict[str, str]:
    """What MLIP has no place for, and Ladera's reader finds."""
    features = {_TYPES: named}
    features |= {name: " ".join(str(getattr(frame, name)).split()) for name in _TEXTS}
    if frame.dipole is not None:
        features["dipole"] = " ".join(map(repr, frame.dipole.tolist()))
    if frame.total_charge is not None:
        features["total_charge"] = repr(frame.total_charge)
    if frame.weight != 1.0:
        features["weight"] = repr(frame.weight)
    return {name: value for name, value in features.items() if value}


def _row(values: Iterable[float]) -> str:
    """Numbers with all their digits and without exponents, which not every program reads."""
    return "    " + " ".join(
        f"{value:5d}" if isinstance(value, int) else f"{np.format_float_positional(value):>21}"
        for value in values
    )
