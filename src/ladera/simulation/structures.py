"""Reading the structure that a command starts from, and what may be said of it by its file."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Final, TypeAlias

import ase.io
import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.collections import g2
from ase.data import atomic_numbers, chemical_symbols
from ase.io.formats import filetype, ioformats

from ladera.data.counts import require_counts
from ladera.data.formats import LabelKeys, extended_xyz
from ladera.data.frame import Frame
from ladera.data.text import is_input_data
from ladera.errors import (
    ArgumentError,
    DataError,
    did_you_mean,
    needs_package,
    reason_of,
    told,
)
from ladera.graph import Graph
from ladera.identity import hash_of_structure
from ladera.inputs import require_structure
from ladera.potential import Potential
from ladera.provenance import came_from
from ladera.simulation.records import restore_constraints
from ladera.structure import StructureWarning

# What :func:`as_atoms` takes.
StructureLike: TypeAlias = Atoms | Frame | str | os.PathLike[str]

log = logging.getLogger(__name__)

_ISOTOPES: Final = {"D": 2.014101778, "T": 3.016049281}  # amu, of hydrogen (AME 2020)
_DEUTERON: Final = 2.01355  # amu, what ASE's reader of CIF gives deuterium
_HYDROGEN: Final = re.compile(r"\d*[HDT]([ABGDEZHXNOC'*\d]|$)")  # names in PDB files
_CONTACT: Final = 0.1  # Angstrom, within which atoms are looked at for being in one place
_FULL: Final = 0.999  # of a site


def read_structure(path: str | os.PathLike[str], frame: int | None = None) -> Atoms:
    """A structure of any file that ASE reads: number ``frame``, or the last one.

    Frames count from 0, and backwards from -1. Without a ``frame`` free atoms, which data sets hold
    for their energies, are passed over where the file has larger structures, and a warning
    (StructureWarning) says which one of several was taken. Deuterium and tritium, D and T, are
    hydrogen of their masses.

    Raises DataError for a file that is missing, cannot be read or holds no such structure, for
    sites that are not full or have several elements, and for an ``input.data`` of RuNNer or n2p2,
    whose units nobody knows.
    """
    path = _readable(path)
    return _sound(_last(path) if frame is None else _numbered(path, frame), path)


def read_structures(path: str | os.PathLike[str]) -> list[Atoms]:
    """All structures of a file; see :func:`read_structure`."""
    path = _readable(path)
    return [_sound(atoms, path) for atoms in _frames(path, slice(None))]


def _readable(path: str | os.PathLike[str]) -> Path:
    """DataError for what is no file with structures."""
    path = Path(path)
    require_structure(path)
    if is_input_data(path):
        raise DataError(
            f"{path} is an input.data file, which does not say its units; say them in "
            f"ladera data convert {path} --units bohr-hartree --output {path.stem}.extxyz "
            "and give that file."
        )
    return path


def _sound(atoms: Atoms, path: Path) -> Atoms:
    """A structure of a file, with what its readers leave to us; DataError where it is none."""
    if len(atoms) == 0:
        raise DataError(f"{path} holds no atoms; give a file with a structure.")
    _require_no_dummies(atoms, path)
    _name_isotopes(atoms)
    _require_full_sites(atoms, path)
    restore_constraints(atoms, path)
    _require_sound(atoms, path)
    came_from(hash_of_structure(atoms, atoms.get_masses()), path)
    log.debug("Read %s: %s, %d atoms.", path, atoms.get_chemical_formula(), len(atoms))
    return atoms


def _require_sound(atoms: Atoms, path: Path) -> None:
    """DataError, with the file, for positions, a cell or contacts that no model can take."""
    try:
        Graph.from_atoms(atoms, _CONTACT)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def as_atoms(structure: object) -> Atoms:
    """The structure that somebody means: ASE's Atoms as they are, a Frame, a path or a name.

    Of a :class:`ladera.simulation.relaxation.Relaxation` the last structure.

    A name is one of ASE's molecules of the G2 set, such as "H2O" or "CH3CH2OH". A frame's atoms
    carry its labels. Raises what :func:`read_structure` raises, and ArgumentError for what is none
    of these.
    """
    if isinstance(structure, Atoms):
        return structure
    if isinstance(structure, Frame):
        return structure.to_atoms()
    held = getattr(structure, "atoms", None)  # of a relaxation
    if isinstance(held, Atoms) and not hasattr(structure, "get_property"):
        return held
    if isinstance(structure, Potential) or hasattr(structure, "get_property"):
        raise ArgumentError(
            f"The structure is {told(structure)}, a model; have model and structure been swapped?"
        )
    if not isinstance(structure, (str, os.PathLike)):
        raise ArgumentError(
            f"The structure is {told(structure)}; give ASE's Atoms, a Frame, a path, or the name "
            'of a molecule such as "CH3CH2OH": one structure at a time.'
        )
    name = str(structure)
    if not Path(structure).exists() and re.fullmatch(r"\w+", name):
        if name not in g2.names:
            hint = did_you_mean(name, g2.names) if _near(name) else "check the path."
            raise DataError(f"There is no file and no molecule '{name}'; {hint}")
        found: Atoms = molecule(name)
        return found
    return read_structure(structure)


def _near(name: str) -> bool:
    return bool(get_close_matches(name, g2.names, n=1, cutoff=0.6))


def _last(path: Path) -> Atoms:
    """The last structure that is not a free atom among larger ones."""
    frames = _frames(path, slice(-2, None))
    if not frames:
        raise DataError(f"{path} holds no atoms; give a file with a structure.")
    if len(frames) == 1:
        return frames[0]
    number, which = -1, "the last one was"
    if len(frames[-1]) == 1:  # a free atom, of a data set or of a run of one
        frames = _frames(path, slice(None))
        larger = [k for k, each in enumerate(frames) if len(each) > 1]
        if larger and larger[-1] != len(frames) - 1:
            number, which = larger[-1], f"frame {larger[-1]}, the last that is no free atom, was"
    warnings.warn(
        f"{path} holds several structures; {which} taken. Choose another with --frame: 0 is the "
        "first, -1 the last.",
        StructureWarning,
        stacklevel=3,
    )
    return frames[number]


def _numbered(path: Path, frame: int) -> Atoms:
    stop = frame + 1 or None
    found = _frames(path, slice(frame, stop))
    if len(found) != 1:
        count = len(_frames(path, slice(None)))
        range_ = (
            f"give --frame 0 to {count - 1}, or -1 for the last"
            if count > 1
            else "leave --frame out"
        )
        raise DataError(
            f"{path} has no frame {frame}: it holds {count} structure{'s' if count != 1 else ''}; "
            f"{range_}."
        )
    return found[0]


def _frames(path: Path, index: slice) -> list[Atoms]:
    """Some structures of a file, with D and T as elements 119 and 120."""
    try:
        with _isotopes_are_elements():
            kind = filetype(str(path))
            require_counts(path, kind)
            single = ioformats[kind].single  # its reader knows no index
            of_file = slice(-1, None) if single else index
            found = ase.io.read(str(path), of_file, kind, do_not_split_by_at_sign=True)
    except DataError:
        raise
    except ModuleNotFoundError as error:
        raise needs_package(path, error) from error
    except Exception as error:  # each of ASE's many readers fails in its own way
        _name_line(path)
        raise DataError(
            f"{path} could not be read as a structure{reason_of(error)}; it is damaged or of a "
            "format that is not known here. Give one such as extended XYZ, CIF or POSCAR."
        ) from error
    return list(found)[index] if single else list(found)


def _name_line(path: Path) -> None:
    """Raise DataError with the line where an XYZ file is wrong; its reader here counts lines."""
    if path.suffix.lower() in (".xyz", ".extxyz"):
        for _ in extended_xyz.read(path, LabelKeys(energy=None, forces=None), None):
            pass


@contextmanager
def _isotopes_are_elements() -> Iterator[None]:
    """Let all of ASE's readers, each with a way of its own to elements, know D and T."""
    first = len(chemical_symbols)
    try:
        for number, symbol in enumerate(_ISOTOPES, start=first):
            chemical_symbols.append(symbol)
            atomic_numbers[symbol] = number
        yield
    finally:
        del chemical_symbols[first:]
        for symbol in _ISOTOPES:
            atomic_numbers.pop(symbol, None)


def _require_no_dummies(atoms: Atoms, path: Path) -> None:
    """Refuse what a PDB file has by a name that begins with D or T and is no hydrogen's: DUM."""
    names = atoms.arrays.get("atomtypes", np.zeros(0, str))
    for atom, (name, number) in enumerate(zip(names, atoms.numbers, strict=False)):
        if number >= len(chemical_symbols) and not _HYDROGEN.match(str(name)):
            raise DataError(
                f"{path}: atom {atom} is called '{name}', which is a place and no atom, or an "
                "unknown element; take it out, or write its element in columns 77 and 78."
            )


def _name_isotopes(atoms: Atoms) -> None:
    """Make hydrogen of elements 119 and 120, and give it its mass."""
    numbers, first = atoms.numbers, len(chemical_symbols)
    by_number = {first + k: mass for k, mass in enumerate(_ISOTOPES.values())}
    isotopes = {i: by_number[int(z)] for i, z in enumerate(numbers) if int(z) in by_number}
    if atoms.has("masses"):
        by_cif = (numbers == 1) & np.isclose(atoms.get_masses(), _DEUTERON, atol=1e-5)
        isotopes |= dict.fromkeys(np.flatnonzero(by_cif).tolist(), _ISOTOPES["D"])
    if not isotopes:
        return
    numbers[[i for i in isotopes if numbers[i] in by_number]] = 1
    masses = atoms.get_masses()
    masses[list(isotopes)] = list(isotopes.values())
    atoms.set_masses(masses)


def _require_full_sites(atoms: Atoms, path: Path) -> None:
    """Refuse sites that are not full or that elements share, wherever ASE's readers put that."""
    kinds = atoms.arrays.get("spacegroup_kinds", np.arange(len(atoms)))
    sites = atoms.info.get("occupancy")
    if isinstance(sites, dict):
        shares = [sites.get(str(kind), sites.get(kind)) for kind in kinds.tolist()]
    else:
        column = atoms.arrays.get("occupancy", atoms.arrays.get("occupancies"))
        values = np.ones(len(atoms)) if column is None or column.ndim != 1 else column
        # Programs that do not know occupancies write zeros.
        shares = [{s: v or 1.0} for s, v in zip(atoms.symbols, values.tolist(), strict=True)]
    for atom, share in enumerate(shares):
        if not isinstance(share, dict):
            continue
        try:
            full = len(share) == 1 and min(map(float, share.values())) >= _FULL
            what = ", ".join(f"{symbol} {float(value):g}" for symbol, value in share.items())
        except (TypeError, ValueError):
            full, what = False, f"'{share}'"[:80]
        if full:
            continue
        raise DataError(
            f"{path}: the site of atom {atom}, at {np.round(atoms.positions[atom], 3).tolist()}, "
            f"is occupied by {what}; a simulation needs one whole atom on each site, so give an "
            "ordered structure, such as a supercell with the atoms distributed."
        )
