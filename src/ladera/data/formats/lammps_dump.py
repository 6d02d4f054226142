"""Reading LAMMPS text dumps (``dump custom``, ``dump atom``), as their manual describes them.

A dump says more than where atoms are: TIMESTEP, which directions are periodic, image flags, and,
where asked to, units and time. What it does not say, the elements of its types, is to be given.
"""

from __future__ import annotations

import lzma
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from ladera.arrays import Booleans, Floats, Integers
from ladera.data.text import LineReader, numbers_of_types, open_text
from ladera.units import FEMTOSECOND

UNFOLDED: Final = "unfolded"  # in info: the positions are known to be so
STEP: Final = "timestep"
TIME: Final = "time_fs"
_FEMTOSECONDS: Final = {"metal": 1000.0, "real": 1.0}  # in the unit of time
# Before and after x, y and z: positions, unwrapped and scaled; image flags; velocities.
_VECTORS: Final = (("", ""), ("", "u"), ("", "s"), ("", "su"), ("i", ""), ("v", ""))
_MOST_ATOMS: Final = 10**10

_Header = dict[str, Any]


def is_dump(path: Path) -> bool:
    """Whether a file begins as a LAMMPS text dump does, whatever its name."""
    try:
        with open_text(path, "rt") as file:
            return str(file.read(5)) == "ITEM:"
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return False


def read(path: Path, types: Sequence[str]) -> Iterator[Atoms]:
    """The frames of a dump, atoms in the order of their ids; ``types`` name types 1, 2, 3...

    Positions count from the corner of the cell along periodic directions, and are unfolded where
    the dump has unwrapped coordinates or image flags (``info["unfolded"]``). A last frame that is
    cut short is missing. Raises DataError, with the line, for what is no dump, for elements that
    are not known, and for units other than metal and real.
    """
    numbers_of_types(types)
    with LineReader(path) as file:
        header: _Header = {}
        ids: Integers | None = None
        while (line := file.line()) is not None:
            name = line.removeprefix("ITEM:").strip()
            if not line.startswith("ITEM:"):
                raise file.error(f"'{line.strip()[:40]}' is no part of a LAMMPS dump.")
            if not name.startswith("ATOMS"):
                _read_item(file, name, header)
                continue
            count = header.get("NUMBER OF ATOMS", 0)
            rows = file.lines(count)
            if len(rows) < count:
                if ids is None or len(ids) != count:
                    raise file.error(f"the frame has {len(rows)} of {count} atoms; it is damaged.")
                break
            atoms, found = _frame(file, _table(file, name.split()[1:], rows), header, types)
            ids = found if ids is None else ids
            if not np.array_equal(ids, found):
                raise file.error("the frame has atoms of other ids than the first; none may leave.")
            yield atoms
            header = {key: header[key] for key in ("UNITS",) if key in header}
        if "TIMESTEP" in header:
            warnings.warn(f"{path}: the last frame is cut short and left out.", stacklevel=2)


def _read_item(file: LineReader, name: str, header: _Header) -> None:
    """One item of a frame's header."""
    if name.startswith("BOX BOUNDS"):
        header["BOX"] = _box(file, name.split()[2:])
        return
    line = file.line()
    if line is None:
        return
    try:
        match name:
            case "TIMESTEP" | "NUMBER OF ATOMS":
                header[name] = int(line)
            case "TIME":
                header[name] = float(line)
            case "UNITS":
                header[name] = line.strip()
            case _:
                raise file.error(f"'ITEM: {name[:40]}' is no item of an atom dump.")
    except ValueError as error:
        raise file.error(f"{name} is '{line.strip()[:40]}', which is no number.") from error
    if not 0 <= header.get("NUMBER OF ATOMS", 0) <= _MOST_ATOMS:
        raise file.error(f"the frame says it has {line.strip()} atoms, which no file holds.")
    if header.get("UNITS", "metal") not in _FEMTOSECONDS:
        raise file.error(
            f"the dump is in units '{header['UNITS']}'; expected metal or real, whose lengths are "
            "in Angstrom. Convert it first."
        )


def _box(file: LineReader, words: list[str]) -> tuple[Floats, Floats, Booleans]:
    """Cell (3, 3), its corner (3,), and which directions are periodic, from BOX BOUNDS."""
    flags = words[-3:]
    if len(flags) < 3 or not all(set(flag) <= set("pfsm") for flag in flags):
        raise file.error(
            "BOX BOUNDS does not say which directions are periodic; write pp after it for each "
            "that is and ff for each that is not, as in 'ITEM: BOX BOUNDS pp pp ff'."
        )
    periodic = np.array([flag.startswith("p") for flag in flags])
    try:
        rows = np.array([line.split() for line in file.lines(3)], dtype=float)
        if words[:2] == ["abc", "origin"]:  # general triclinic
            return rows[:, :3], rows[:, 3], periodic
        xy, xz, yz = rows[:, 2] if rows.shape[1] == 3 else np.zeros(3)
        low = rows[:, 0] - [min(0, xy, xz, xy + xz), min(0, yz), 0]
        high = rows[:, 1] - [max(0, xy, xz, xy + xz), max(0, yz), 0]
    except (ValueError, IndexError) as error:
        raise file.error("the bounds of the box are not three rows of numbers.") from error
    lx, ly, lz = high - low
    return np.array([[lx, 0, 0], [xy, ly, 0], [xz, yz, lz]]), low, periodic


def _table(file: LineReader, columns: list[str], rows: list[str]) -> dict[str, Any]:
    """The columns of the atoms that are read, by their names."""
    vectors = {f"{kind}{axis}{end}" for kind, end in _VECTORS for axis in "xyz"}
    wanted = {"id", "type", "element", "mass"} | vectors
    kinds = {name: "U10" if name == "element" else "f8" for name in columns if name in wanted}
    try:
        table = np.loadtxt(
            rows,
            dtype=list(kinds.items()),
            usecols=[columns.index(name) for name in kinds],
            ndmin=1,
        )
    except (ValueError, IndexError) as error:
        raise file.error(f"the atoms of the frame cannot be read: {error}.") from error
    return {name: table[name] for name in kinds}


def _frame(
    file: LineReader, table: Mapping[str, Any], header: _Header, types: Sequence[str]
) -> tuple[Atoms, Integers]:
    """A frame, and the ids of its atoms in rising order (those of the rows where it has none)."""
    if not table:
        raise file.error("the dump has no column that is read, such as id, type, x, y and z.")
    count = len(next(iter(table.values())))
    ids = table["id"].astype(np.int64) if "id" in table else np.arange(count)
    order = np.argsort(ids, kind="stable")
    table = {name: column[order] for name, column in table.items()}
    if len(np.unique(ids)) < count:
        raise file.error("two atoms of the frame have the same id.")
    cell, corner, periodic = header.get("BOX", (np.zeros((3, 3)), np.zeros(3), np.zeros(3, bool)))
    positions, followed = _positions(file, table, cell, corner)
    info = {STEP: header.get("TIMESTEP"), UNFOLDED: followed}
    if "TIME" in header and "UNITS" in header:
        info[TIME] = header["TIME"] * _FEMTOSECONDS[header["UNITS"]]
    atoms = Atoms(
        _symbols(file, table, types),
        positions - corner * periodic,
        cell=cell,
        pbc=periodic,
        info=info,
        masses=table.get("mass"),
    )
    if {"vx", "vy", "vz"} <= set(table):
        speeds = np.stack([table[f"v{axis}"] for axis in "xyz"], axis=1)
        unit = _FEMTOSECONDS[header.get("UNITS", "metal")]
        atoms.set_velocities(speeds / unit / FEMTOSECOND)
    return atoms, ids[order]


def _positions(
    file: LineReader, table: Mapping[str, Any], cell: Floats, corner: Floats
) -> tuple[Floats, bool]:
    """Positions, Angstrom, unfolded if that can be; and whether they are."""
    there = [end for end in ("u", "su", "", "s") if {f"{a}{end}" for a in "xyz"} <= set(table)]
    if not there:
        raise file.error("the dump has no positions (x y z, xu yu zu, xs ys zs or xsu ysu zsu).")
    ending, followed = there[0], there[0].endswith("u")
    positions = np.stack([table[f"{axis}{ending}"] for axis in "xyz"], axis=1)
    if ending.startswith("s"):
        positions = corner + positions @ cell
    if not followed and {"ix", "iy", "iz"} <= set(table):
        flags = np.stack([table[f"i{axis}"] for axis in "xyz"], axis=1)
        return positions + flags @ cell, True
    return positions, followed


def _symbols(file: LineReader, table: Mapping[str, Any], types: Sequence[str]) -> list[str]:
    """The element of each atom: of its type, or as the dump names it."""
    if types and "type" in table:
        numbers = table["type"].astype(int)
        if numbers.min(initial=1) < 1 or numbers.max(initial=1) > len(types):
            raise file.error(
                f"an atom is of type {numbers[(numbers < 1) | (numbers > len(types))][0]}, and "
                f"--types names {len(types)} ({' '.join(types)}); name all, in their order."
            )
        return [types[number - 1] for number in numbers]
    if types or "element" not in table:
        raise file.error(
            "the dump has types and no names of elements; give the species of types 1, 2, 3... "
            "with --types, as in --types Li P S."
            if not types
            else "--types is given, and the dump has no column of types."
        )
    names = [str(name) for name in table["element"]]
    unknown = [name for name in names if name not in atomic_numbers]
    if unknown:
        raise file.error(f"'{unknown[0]}' is no element; name the types with --types instead.")
    return names
