"""Frames of a run as files: a trajectory that can go back to a restart point, single structures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ase.io
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import dict2constraint
from ase.io.trajectory import Trajectory

from ladera.errors import DataError, SimulationError
from ladera.files import atomic_path, cut_to
from ladera.potential.calculator import PropertyUnavailableError, dependencies

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

# An ASE trajectory is appended to but for its first bytes: the number of frames and where their
# index is (ase.io.ulm, version 3).
_TRAJECTORY_HEADER: Final = 48  # bytes

_CONSTRAINTS: Final = "ase_constraints"  # key of the comment line of an extended XYZ
_RESERVED: Final = ("Lattice", "Properties", "pbc")  # keys that mean something there


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file that cannot be written; SimulationError for one that a run cannot go on with.

    A full disk stays an OSError: who asks how long a model lives, or what it met, takes every
    SimulationError of a run for the model's.
    """
    try:
        yield
    except DataError as error:  # it is not what the run has left
        raise SimulationError(str(error)) from error
    except OSError as error:  # a full disk, a missing permission
        raise type(error)(error.errno, error.strerror or str(error), str(path)) from error


class FrameFile:
    """An ASE trajectory written frame by frame, with positions, momenta, energy and forces."""

    def __init__(self, path: Path, position: tuple[int, str] | None = None) -> None:
        self.path = path
        with writing(path):
            if position is not None:
                length, header = position
                cut_to(path, length)
                with path.open("r+b") as file:
                    file.write(bytes.fromhex(header))
            try:
                self._trajectory = Trajectory(path, "a" if position is not None else "w")
            except Exception as error:  # ASE raises many kinds for a damaged file
                if position is None:
                    raise
                raise SimulationError(
                    f"{path} is damaged ({error}), so the run cannot go on; put it back or start "
                    "anew in another folder."
                ) from error

    def write(self, atoms: Atoms) -> None:
        """Append a frame; see :func:`snapshot`."""
        with writing(self.path):
            self._trajectory.write(atoms)

    def position(self) -> tuple[int, str]:
        """Length in bytes and header of the file, all of it safely on the disk."""
        with writing(self.path), self.path.open("rb") as file:
            os.fsync(file.fileno())
            return self.path.stat().st_size, file.read(_TRAJECTORY_HEADER).hex()

    def close(self) -> None:
        """Close the file."""
        with writing(self.path):
            self._trajectory.close()


class _Results(SinglePointCalculator):
    """ASE's, which compares two structures number by number whenever it is asked for a result."""

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the results were computed."""
        computed: Any = self.atoms
        if dependencies(atoms) == dependencies(computed):
            return []
        return list(super().check_state(atoms, tol))  # type: ignore[no-untyped-call]


def snapshot(atoms: Atoms) -> Atoms:
    """A copy of a structure that holds its results so far instead of a calculator."""
    frame: Atoms = atoms.copy()
    # Without the springs of constraints, which whoever reads the frame adds again.
    results = {
        "energy": atoms.get_potential_energy(apply_constraint=False),
        "forces": atoms.get_forces(apply_constraint=False),
    }
    with suppress(PropertyUnavailableError):  # open structures have none
        results["stress"] = atoms.get_stress(apply_constraint=False)
    if "dipole" in atoms.calc.implemented_properties:
        with suppress(PropertyUnavailableError):  # nor have charges in a cell
            results["dipole"] = atoms.get_dipole_moment()
    frame.calc = _Results(frame, **results)  # type: ignore[no-untyped-call]
    return frame


def write_structure(path: Path, *frames: Atoms) -> None:
    """Write a structure, or several, as extended XYZ in one step, such that it can be read again.

    Left out is what other formats say of a structure and this one cannot: names with blanks,
    tables, objects. Constraints that extended XYZ does not know are in the comment line, where
    :func:`restore_constraints` finds them.
    """
    plain = [_plain(atoms) for atoms in frames]
    with writing(path), atomic_path(path) as temporary:
        ase.io.write(temporary, plain, format="extxyz")


def structure_as_text(
    atoms: Atoms, info: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> str:
    """A structure as extended XYZ, with more in its comment and columns, and without results."""
    bare: Atoms = atoms.copy()
    bare.info |= info
    for name, array in arrays.items():
        bare.set_array(name, array)
    text = StringIO()
    ase.io.write(text, _plain(bare), format="extxyz")
    return text.getvalue()


def _plain(atoms: Atoms) -> Atoms:
    """A copy with what extended XYZ can hold."""
    plain: Atoms = atoms.copy()
    plain.calc = atoms.calc
    results = {} if atoms.calc is None else atoms.calc.results
    plain.arrays = {
        name: array
        for name, array in plain.arrays.items()
        if name not in results and _fits_a_column(array)
    }
    plain.info = {
        key: value
        for key, value in plain.info.items()
        if isinstance(key, str) and key not in (*results, *_RESERVED) and _fits_a_line(value)
    }
    kinds = {type(constraint).__name__ for constraint in atoms.constraints}
    if not kinds <= {"FixAtoms", "FixCartesian"}:
        held = [each.todict() for each in atoms.constraints]
        for each in held:  # FixSymmetry is made of the structure itself
            each["kwargs"].pop("atoms", None)
        plain.info[_CONSTRAINTS] = f"_JSON {json.dumps(held, default=_listed)}"
        plain.set_constraint()
    return plain


def restore_constraints(atoms: Atoms, path: Path) -> None:
    """Hold again what :func:`write_structure` said is held; DataError for what it did not write."""
    stored = atoms.info.pop(_CONSTRAINTS, None)
    if stored is None:
        return
    try:
        for each in stored:
            if each["name"] == "FixSymmetry":
                each["kwargs"]["atoms"] = atoms.copy()
        atoms.set_constraint([dict2constraint(each) for each in stored])
    except Exception as error:
        raise DataError(
            f"{path}: '{_CONSTRAINTS}' holds no constraints of ASE ({error}); take it out of the "
            "file, and nothing is held."
        ) from error


def _fits_a_column(array: Any) -> bool:
    """Whether extended XYZ has a place for an array of the atoms."""
    if array.dtype.kind in "US":  # words, separated by blanks
        return array.ndim == 1 and all(word and word.split() == [word] for word in array.tolist())
    return array.ndim <= 2 and array.dtype.kind in "fib"


def _fits_a_line(value: Any) -> bool:
    """Whether a comment line has a place for a value."""
    if isinstance(value, str):
        return value.isprintable() and value.strip() != "" and '"' not in value
    numbers = np.asarray(value)
    return numbers.dtype.kind in "fib" and numbers.size > 0 and numbers.ndim <= 2


def _listed(value: Any) -> Any:
    """Arrays and NumPy's numbers for JSON."""
    return value.tolist()
