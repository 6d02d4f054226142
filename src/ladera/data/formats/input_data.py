"""``input.data``, the structure file of RuNNer and n2p2.

::

    begin [set=train|set=test]
    comment <free text>
    lattice ax ay az                       none (an open structure) or three
    atom x y z El charge energy fx fy fz   one for each atom
    energy E
    charge Q
    end

The file does not say its units; RuNNer's habit is Bohr and Hartree, many others' is Angstrom and
eV. The atomic energy is not used by anyone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from ladera.data.dataset import Dataset
from ladera.data.formats.extended_xyz import parse_comment, quote
from ladera.data.formats.labels import FileLabels, LabelKeys
from ladera.data.frame import Frame
from ladera.data.label_keys import AtomColumns
from ladera.data.text import (
    LineReader,
    TextFrame,
    batches,
    parse_tables,
    symbols_to_numbers,
    text_writer,
)
from ladera.errors import DataError
from ladera.units import UnitSystem

# What the two columns after the symbol hold: RuNNer's order, or the other one.

_KEYWORDS = ("begin", "comment", "lattice", "atom", "energy", "charge", "end")
_LOST = ("stress", "dipole")  # what the format has no place for
_GROUPS = ("config_type", "head")  # what goes into the comment


def read(
    path: Path,
    units: UnitSystem,
    atom_columns: AtomColumns = "charge energy",
    keys: LabelKeys | None = None,
) -> Iterator[Frame]:
    """The frames of an ``input.data`` file, compressed or not.

    Charges that are zero on every atom of a frame count as missing: the format cannot leave them
    out. ``keys`` may say which labels to do without. Raises DataError with file and line for
    malformed text.
    """
    without = dict.fromkeys(keys.left_out(path) if keys else ())
    labels = FileLabels(path, LabelKeys(**{"total_charge": "charge"} | without), units)
    with LineReader(path) as reader:
        for batch in batches(_blocks(reader)):
            yield from _parse(batch, path, labels, atom_columns)
    labels.warn()


def write(dataset: Dataset, path: Path, units: UnitSystem) -> None:
    """Write an ``input.data`` file in the given units.

    Raises DataError for a frame without energy or forces and for one periodic in only one or two
    directions: the format has no way to say so. Stress and dipole are left out.
    """
    with text_writer(path) as file:
        for index, frame in enumerate(dataset):
            file.write(_block_text(frame, units, f"Frame {index}"))


def lost_labels(dataset: Dataset) -> tuple[str, ...]:
    """What of a data set this format cannot hold."""
    lost = [label for label in dataset.labels if label in _LOST]
    if (dataset.column("weight") != 1).any():
        lost.append("weight")
    parts = set(dataset.column("subset").tolist()) - {"", "train", "test"}
    lost += [f"subset {part}" for part in sorted(parts)]
    charges = np.abs(dataset.column("charges"))
    largest = np.maximum.reduceat(np.append(charges, 0.0), dataset.offsets[:-1])
    if (dataset.has("charges") & (largest == 0)).any():
        lost.append("charges that are all zero")
    return tuple(lost)


@dataclass
class _Block(TextFrame):
    """One structure as text, but for its cell."""

    subset: str = ""
    lattice: list[list[float]] = field(default_factory=list)


def _blocks(reader: LineReader) -> Iterator[_Block]:
    index = 0
    while (line := reader.line()) is not None:
        words = line.split()
        if not words or words[0][0] in "#!" or (index == 0 and words[0] not in _KEYWORDS):
            continue  # what stands before the first structure is free text
        if words[0] != "begin":
            raise reader.error(f"expected 'begin', found '{line.strip()[:60]}'.")
        yield _block(reader, index, words[1:])
        index += 1


def _block(reader: LineReader, index: int, options: list[str]) -> _Block:
    block = _Block(index, subset=_subset(reader, options))
    begin = reader.number
    while (line := reader.line()) is not None:
        words = line.split(maxsplit=1)
        keyword = words[0] if words else ""
        if keyword[:1] in ("#", "!"):
            continue
        if keyword == "atom":
            if not block.table.lines:
                block.table.first_line = reader.number
            elif reader.number != block.table.first_line + len(block.table.lines):
                raise reader.error("the atoms of a structure must follow one another.")
            block.table.lines.append(line)
        elif keyword == "lattice":
            block.lattice.append(_floats(reader, line, 3))
        elif keyword in ("energy", "charge"):
            if keyword in block.values:
                raise reader.error(f"structure {index} has a second {keyword}; keep one.")
            block.values[keyword] = repr(_floats(reader, line, 1)[0])
        elif keyword == "comment":
            block.values |= _groups(words[1].strip() if len(words) > 1 else "")
        elif keyword == "end":
            _check(reader, block)
            return block
        else:
            raise reader.error(
                f"expected one of {', '.join(_KEYWORDS)}, found '{line.strip()[:60]}'."
            )
    raise reader.error(
        f"the file ends inside structure {index}, which begins on line {begin}; it is cut short."
    )


def _subset(reader: LineReader, options: list[str]) -> str:
    for option in options:
        if option not in ("set=train", "set=test"):
            raise reader.error(f"expected set=train or set=test after 'begin', found '{option}'.")
    return options[-1].removeprefix("set=") if options else ""


def _floats(reader: LineReader, line: str, count: int) -> list[float]:
    words = line.split()[1:]
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != count:
        raise reader.error(f"expected {count} number{'s' * (count > 1)} in '{line.strip()[:60]}'.")
    return values


def _check(reader: LineReader, block: _Block) -> None:
    if len(block.lattice) not in (0, 3):
        raise reader.error(
            f"structure {block.index} has {len(block.lattice)} lattice lines, "
            "expected none or three."
        )
    if not block.table.lines:
        raise reader.error(f"structure {block.index} has no atoms.")


def _parse(
    batch: list[_Block], path: Path, labels: FileLabels, atom_columns: AtomColumns
) -> Iterator[Frame]:
    first, second = atom_columns.split()
    dtype = np.dtype(
        [
            ("keyword", "U4", (1,)),
            ("position", "f8", (3,)),
            ("symbol", "U16", (1,)),
            (first, "f8", (1,)),
            (second, "f8", (1,)),
            ("force", "f8", (3,)),
        ]
    )
    arrays = parse_tables([block.table for block in batch], dtype, path, extra_columns=True)
    for block, rows in zip(batch, arrays, strict=True):
        values: dict[str, Any] = block.values | {"forces": rows["force"]}
        if rows["charge"].any():
            values["charges"] = rows["charge"]
        periodic = bool(block.lattice)
        yield labels.frame(
            values,
            numbers=symbols_to_numbers(rows["symbol"][:, 0].tolist(), path, block.table),
            positions=np.ascontiguousarray(rows["position"]),
            cell=np.array(block.lattice) if periodic else np.zeros((3, 3)),
            periodic=np.full(3, periodic),
            source=f"{path}, frame {block.index}",
            subset=block.subset,
        )


def _groups(comment: str) -> dict[str, str]:
    """The config_type and the head that :func:`write` puts into the comment, and units."""
    try:
        values = parse_comment(comment)
    except ValueError:
        return {}
    return {k: v for k, v in values.items() if k in _GROUPS or "unit" in k.lower()}


def _block_text(frame: Frame, units: UnitSystem, where: str) -> str:
    where = f"{where} ({frame.source})" if frame.source else where
    if frame.energy is None or frame.forces is None:
        missing = "energy" if frame.energy is None else "forces"
        raise DataError(
            f"{where} has no {missing}, which input.data cannot leave out; "
            "select the frames that have it, or write extended XYZ."
        )
    if frame.periodic.any() and not frame.periodic.all():
        raise DataError(
            f"{where} is periodic in some directions only, which input.data cannot say; "
            "write extended XYZ."
        )
    lines = ["begin" + (f" set={frame.subset}" if frame.subset in ("train", "test") else "")]
    groups = [f"{name}={quote(value)}" for name in _GROUPS if (value := getattr(frame, name)) != ""]
    if groups:
        lines.append(f"comment {' '.join(groups)}")
    if frame.periodic.all():
        lines += [_line("lattice", row) for row in (frame.cell / units.length).tolist()]
    charges = np.zeros(frame.n_atoms) if frame.charges is None else frame.charges
    for number, position, charge, force in zip(
        frame.numbers.tolist(),
        (frame.positions / units.length).tolist(),
        charges.tolist(),
        (frame.forces / units.force).tolist(),
        strict=True,
    ):
        symbol = chemical_symbols[number]
        lines.append(f"{_line('atom', position)} {symbol:2s} {_line('', [charge, 0.0, *force])}")
    lines.append(_line("energy", [frame.energy / units.energy]))
    if frame.total_charge is not None:
        lines.append(_line("charge", [frame.total_charge]))
    return "\n".join([*lines, "end", ""])


def _line(keyword: str, values: list[float]) -> str:
    return " ".join([keyword, *(f"{value:24.16E}" for value in values)]).strip()
