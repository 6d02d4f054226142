"""Frames of a run as files: a trajectory that can go back to a restart point, single structures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ase.io
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.trajectory import Trajectory

from ladera.errors import DataError, SimulationError
from ladera.files import atomic_path, cut_to
from ladera.potential.calculator import PropertyUnavailableError, dependencies

if TYPE_CHECKING:
    from ase import Atoms

# An ASE trajectory is appended to but for its first bytes: the number of frames and where their
# index is (ase.io.ulm, version 3).
_TRAJECTORY_HEADER: Final = 48  # bytes


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise SimulationError for a file that cannot be written, or that a run cannot go on with."""
    try:
        yield
    except DataError as error:  # it is not what the run has left
        raise SimulationError(str(error)) from error
    except OSError as error:  # a full disk, a missing permission
        raise SimulationError(
            f"{path} could not be written: {error.strerror or error}. "
            "Make room, then go on from the last restart point with --resume."
        ) from error


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
            self._trajectory = Trajectory(path, "a" if position is not None else "w")

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
    """Write a structure, or several, as extended XYZ in one step."""
    with writing(path), atomic_path(path) as temporary:
        ase.io.write(temporary, frames, format="extxyz")
