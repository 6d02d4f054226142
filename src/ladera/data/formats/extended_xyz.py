"""Extended XYZ: a count, a line of ``key=value``, and a table of atoms, for each frame.

The atoms are parsed thousands at a time by numpy, more than twice as fast as ASE does, and whatever
is wrong is found with its line. (The C reader ``extxyz`` is three times faster still, but ends the
process on a damaged count, drops a frame that is cut short, takes a header it cannot read for an
empty one, and refuses NaN without a place.)
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from itertools import repeat
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ladera.arrays import Booleans, Floats, Integers
from ladera.data.dataset import Dataset
from ladera.data.formats.labels import STATE, FileLabels, LabelKeys
from ladera.data.frame import Frame
from ladera.data.text import (
    AtomTable,
    LineReader,
    TextFrame,
    batches,
    parse_tables,
    symbols_to_numbers,
    text_writer,
)
from ladera.errors import DataError
from ladera.quantities import QUANTITIES
from ladera.units import UnitSystem

_PLAIN = "species:S:1:pos:R:3"  # the columns of a file that does not say

# key=value, where either may be "quoted", and a value also bracketed; or a word by itself.
_PAIR = re.compile(
    r"""\s*(?P<key>"(?:[^"\\]|\\.)*"|[^\s="']+)
        (?:\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\{[^}]*\}|\[.*?\](?=\s|$)
                       |(?<=\s)[^\s"'=]+|(?<!\s)[^\s"']+))?
        (?=\s|$)\s*""",
    re.VERBOSE,
)


_EMPTY = re.compile(r"""\s*([^\s="']+)\s*=(?:\s|$)""")  # key= and nothing behind it

# Names under which a cell is no Lattice.
_CELLS = {"cell", "unitcell", "box", "latticevectors", "cellvectors", "celllengths", "abc"}
_FLAGS = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}


def read(path: Path, keys: LabelKeys, units: UnitSystem | None = None) -> Iterator[Frame]:
    """The frames of an extended XYZ file, compressed or not, in Angstrom and eV by default.

    Raises DataError with file and line for malformed text, and after the last frame when a key
    that was asked for is in none of them. Warns of what was not read.
    """
    labels = FileLabels(path, keys, units)
    with LineReader(path) as reader:
        for batch in batches(_text_frames(reader)):
            yield from _parse(batch, path, keys, labels)
    labels.check()
    labels.warn()


def write(dataset: Dataset, path: Path, more: Iterable[Mapping[str, Any]] = repeat({})) -> None:
    """Write an extended XYZ file (gzipped when ``path`` ends in .gz), every number exactly.

    Keys are those of LabelKeys; a label that a frame misses is left out of that frame. ``more`` are
    other numbers and texts of each frame, and arrays (n_atoms, ...) of its atoms, by their keys.
    """
    with text_writer(path) as file:
        for frame, others in zip(dataset, more, strict=False):
            _write_frame(file, frame, others)


def as_text(frame: Frame, more: Mapping[str, Any]) -> str:
    """One frame as :func:`write` writes it."""
    file = StringIO()
    _write_frame(file, frame, more)
    return file.getvalue()


def _text_frames(reader: LineReader) -> Iterator[TextFrame]:
    index = 0
    while (line := reader.line()) is not None:
        if not line.strip():
            continue
        count = _count(line, reader)
        comment = reader.line()
        if comment is None:
            raise reader.error(
                "the file ends after the number of atoms; it is cut short, so take a whole copy."
            )
        try:
            values = _structural(parse_comment(comment))
        except ValueError as error:
            raise reader.error(str(error)) from None
        first_line = reader.number + 1
        lines = reader.lines(count)
        if len(lines) < count:
            raise reader.error(
                f"the file ends after {len(lines)} of the {count} atoms of frame {index}; "
                "it is cut short, so take a whole copy."
            )
        columns = values.pop("Properties", _PLAIN)
        yield TextFrame(index, values, AtomTable(first_line, lines), columns)
        index += 1


def _count(line: str, reader: LineReader) -> int:
    try:
        count = int(line)
    except ValueError:
        raise reader.error(
            f"expected the number of atoms of the next frame, found '{line.strip()[:60]}'; "
            "check that it is an XYZ file."
        ) from None
    if count < 1:
        raise reader.error(f"a frame of {count} atoms; expected at least one.")
    return count


def parse_comment(line: str) -> dict[str, str]:
    """The keys and values of a frame's second line, as text.

    A word by itself counts as true. A line without any '=' is a free comment. Raises ValueError
    where the text is neither, and for a key that is there twice or has no value.
    """
    if "=" not in line:
        return {}
    values: dict[str, str] = {}
    position = 0
    line = line.strip()
    while position < len(line):
        match = _PAIR.match(line, position)
        if match is None and (empty := _EMPTY.match(line, position)):
            raise ValueError(f"the key '{empty[1]}' has no value; give one, or take the key out.")
        if match is None:
            raise ValueError(f"expected key=value, found '{line[position : position + 40]}'.")
        key, value = _unquote(match["key"]), match["value"]
        if key in values:
            raise ValueError(f"the key '{key}' is there twice; keep the right one.")
        values[key] = "T" if value is None else _unquote(value)
        position = match.end()
    return values


def _structural(values: dict[str, str]) -> dict[str, str]:
    """The same with Lattice, Properties and pbc spelt so; other programs write lattice or PBC.

    Raises ValueError for two of one kind, and for a cell under another name: without it a crystal
    would be an open cluster.
    """
    spelt: dict[str, str] = {}
    for key, value in values.items():
        name = {"lattice": "Lattice", "properties": "Properties", "pbc": "pbc"}.get(key.lower())
        if name in spelt:
            raise ValueError(f"{name} is there twice, as '{key}' too; keep the right one.")
        spelt[name or key] = value
    for key in values.keys() & spelt.keys() if "Lattice" not in spelt else ():
        plain = re.sub(r"[^a-z]", "", key.lower())
        close = plain in _CELLS or difflib.get_close_matches(plain, ["lattice"], cutoff=0.8)
        if close and len(values[key].split()) >= 3:
            raise ValueError(
                f"'{key}' looks like the cell, but is not read as one; write it as "
                'Lattice="ax ay az bx by bz cx cy cz".'
            )
    return spelt


def _unquote(text: str) -> str:
    if text[0] not in "\"'":
        return text
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text[1:-1])


def quote(text: str) -> str:
    """Text that :func:`parse_comment` gives back as it was, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _parse(
    batch: list[TextFrame], path: Path, keys: LabelKeys, labels: FileLabels
) -> Iterator[Frame]:
    """The frames of some texts with the same columns."""
    columns = _columns(batch[0].columns, _header_line(batch[0], path))
    atomic = {getattr(keys, quantity.name) for quantity in QUANTITIES if quantity.per_atom}
    wanted = {"pos", "species", "Z", "numbers", "masses", "mass", *STATE, *atomic}
    of_frames = keys.of_frames()
    dtype = np.dtype(
        [
            # Columns that nobody asked for are not even converted.
            (name, kind if name in wanted else "U1", (size,))
            for name, (kind, size) in columns.items()
        ]
    )
    arrays = parse_tables([text.table for text in batch], dtype, path)
    for text, rows in zip(batch, arrays, strict=True):
        where = _header_line(text, path)
        misplaced = of_frames & set(columns) - set(text.values)
        if misplaced:
            raise DataError(
                f"{where}: '{min(misplaced)}' is a column of the atoms, expected one value of the "
                "frame; put it into the line, or name the right key."
            )
        values: dict[str, Any] = dict(text.values)
        values.update({name: rows[name] if name in wanted else "" for name in columns})
        values.update({name: text.values[name] for name in of_frames & set(text.values)})
        cell, periodic = _cell(text.values, where)
        yield labels.frame(
            values,
            numbers=_atomic_numbers(rows, path, text.table),
            positions=np.ascontiguousarray(rows["pos"]),
            cell=cell,
            periodic=periodic,
            source=f"{path}, frame {text.index}",
            subset=text.values.get("subset", ""),
        )


def _header_line(text: TextFrame, path: Path) -> str:
    """Where the keys of a frame stand, for messages."""
    return f"{path}, line {text.table.first_line - 1}"


def _columns(properties: str, where: str) -> dict[str, tuple[str, int]]:
    """Name -> (numpy type, number of columns) from text such as species:S:1:pos:R:3."""
    words = properties.split(":")
    columns: dict[str, tuple[str, int]] = {}
    types = {"S": "U16", "R": "f8", "I": "i8", "L": "U1"}
    for name, kind, size in zip(words[0::3], words[1::3], words[2::3], strict=False):
        sound = size.isdecimal() and len(size) < 5 and 1 <= int(size) <= 1000
        if kind not in types or not sound or name in columns:
            break
        columns[name] = (types[kind], int(size))
    has_elements = {"species", "Z", "numbers"} & set(columns)
    if len(words) != 3 * len(columns) or columns.get("pos") != ("f8", 3) or not has_elements:
        raise DataError(
            f"{where}: Properties={properties[:100]} cannot be read; expected "
            "name:type:columns groups such as species:S:1:pos:R:3:forces:R:3, types S R I L."
        )
    return columns


def _atomic_numbers(rows: NDArray[Any], path: Path, table: AtomTable) -> Integers:
    names = rows.dtype.names or ()
    name = next(name for name in ("species", "Z", "numbers") if name in names)
    column = rows[name][:, 0]
    if column.dtype.kind == "U":
        return symbols_to_numbers(column.tolist(), path, table)
    wrong = np.flatnonzero(column != np.trunc(column))
    if len(wrong):
        raise DataError(
            f"{path}, line {table.first_line + wrong[0]}: {column[wrong[0]]} in the column "
            f"'{name}' is no atomic number; expected a whole one."
        )
    numbers: Integers = np.clip(column, -1, 1000).astype(np.int64)
    return numbers


def _cell(values: dict[str, str], where: str) -> tuple[Floats, Booleans]:
    """Cell and periodicity; a file that gives a lattice and no pbc means all three directions."""
    lattice = values.get("Lattice")
    cell = np.zeros((3, 3))
    if lattice is not None:
        words = re.split(r"[\s,\[\]{}]+", lattice.strip("[]{} "))
        try:
            cell = np.array(words, dtype=np.float64).reshape(3, 3)
        except ValueError:
            raise DataError(
                f"{where}: Lattice is '{lattice[:100]}', expected nine numbers."
            ) from None
    text = values.get("pbc")
    if text is None:  # vectors of zeros are how some programs write an open direction
        return cell, np.asarray(cell.any(axis=1))
    words = re.split(r"[\s,\[\]]+", text.strip("[] ").lower())
    if len(words) not in (1, 3) or not set(words) <= set(_FLAGS):
        raise DataError(f"{where}: pbc is '{text[:60]}', expected three of T and F, or one.")
    flags = [_FLAGS[word] for word in words]
    return cell, np.array(flags if len(flags) == 3 else 3 * flags)


def _write_frame(file: IO[Any], frame: Frame, more: Mapping[str, Any]) -> None:
    columns = [("pos:R:3", frame.positions)]
    labels: dict[str, str | None] = {}
    for quantity in QUANTITIES:
        value = getattr(frame, quantity.name)
        if value is None:
            continue
        if quantity.per_atom:
            rows = value.reshape(frame.n_atoms, -1)
            columns.append((f"{quantity.name}:R:{rows.shape[1]}", rows))
        else:
            labels[quantity.name] = _joined(value) if quantity.shape else repr(value)
    for name, value in more.items():
        if np.ndim(value):
            rows = np.reshape(value, (frame.n_atoms, -1))
            columns.append((f"{name}:R:{rows.shape[1]}", rows))
        else:
            labels[name] = quote(value) if isinstance(value, str) else repr(float(value))
    values = {
        "Lattice": _joined(frame.cell) if frame.periodic.any() or frame.cell.any() else None,
        "Properties": ":".join(["species:S:1", *(name for name, _ in columns)]),
        **labels,
        "total_charge": None if frame.total_charge is None else repr(frame.total_charge),
        "config_type": quote(frame.config_type) if frame.config_type else None,
        "head": quote(frame.head) if frame.head else None,
        "subset": quote(frame.subset) if frame.subset else None,
        "weight": repr(frame.weight) if frame.weight != 1.0 else None,
        "pbc": '"' + " ".join("T" if flag else "F" for flag in frame.periodic) + '"',
    }
    header = " ".join(f"{key}={value}" for key, value in values.items() if value is not None)
    file.write(f"{frame.n_atoms}\n{header}\n")
    table = np.hstack([column for _, column in columns]).tolist()
    for number, row in zip(frame.numbers.tolist(), table, strict=True):
        file.write(f"{chemical_symbols[number]:2s} {' '.join(map(repr, row))}\n")


def _joined(values: Floats | None) -> str | None:
    if values is None:
        return None
    return '"' + " ".join(map(repr, values.ravel().tolist())) + '"'
