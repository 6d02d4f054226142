"""The files of a run: tables and trajectories that can go back to a restart point, and settings.

A restart point remembers how far each file had come. A run that continues cuts its files there, so
that nothing the interrupted run wrote afterwards is left or written twice.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ase
import ase.io
import numpy as np
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.trajectory import Trajectory

import ladera
from ladera.errors import SimulationError
from ladera.files import atomic_path, write_text_atomic
from ladera.potential.calculator import PropertyUnavailableError, dependencies

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.potential import Potential

# An ASE trajectory is appended to but for its first bytes: the number of frames and where their
# index is (ase.io.ulm, version 3).
_TRAJECTORY_HEADER: Final = 48  # bytes


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError (a full disk, a missing permission) into one that names the file."""
    try:
        yield
    except OSError as error:
        raise SimulationError(
            f"{path} could not be written: {error.strerror or error}. "
            "Make room, then go on from the last restart point with --resume."
        ) from error


class Table:
    """A CSV file written row by row, each in one go."""

    def __init__(self, path: Path, columns: tuple[str, ...], position: int | None = None) -> None:
        self.path = path
        self._columns = columns
        with writing(path):
            if position is not None:
                _require_length(path, position)
                os.truncate(path, position)
            self._file = path.open("wb" if position is None else "ab", buffering=0)
            if position is None:
                self._write_line(columns)

    def write(self, row: Mapping[str, float | int | str | None]) -> None:
        """Append a row; floats have twelve digits, None is an empty field."""
        with writing(self.path):
            self._write_line([_field(row[name]) for name in self._columns])

    def position(self) -> int:
        """Length of the file in bytes, all of them safely on the disk."""
        with writing(self.path):
            os.fsync(self._file.fileno())
            return self.path.stat().st_size

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write_line(self, texts: Sequence[str]) -> None:
        line = (",".join(texts) + "\n").encode()
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._file.close()
            raise


class FrameFile:
    """An ASE trajectory written frame by frame, with positions, momenta, energy and forces."""

    def __init__(self, path: Path, position: tuple[int, str] | None = None) -> None:
        self.path = path
        with writing(path):
            if position is not None:
                length, header = position
                _require_length(path, length)
                os.truncate(path, length)
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
        own: Any = self.atoms
        if dependencies(atoms) == dependencies(own):
            return []
        return list(super().check_state(atoms, tol))  # type: ignore[no-untyped-call]


def snapshot(atoms: Atoms) -> Atoms:
    """A copy of a structure that holds its results so far instead of a calculator."""
    frame: Atoms = atoms.copy()
    results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(False)}
    with suppress(PropertyUnavailableError):  # open structures have none
        results["stress"] = atoms.get_stress(apply_constraint=False)
    if "dipole" in atoms.calc.implemented_properties:
        with suppress(PropertyUnavailableError):  # nor have charges in a cell
            results["dipole"] = atoms.get_dipole_moment()
    frame.calc = _Results(frame, **results)  # type: ignore[no-untyped-call]
    return frame


def write_structure(path: Path, atoms: Atoms) -> None:
    """Write one structure as extended XYZ in one step."""
    with writing(path), atomic_path(path) as temporary:
        ase.io.write(temporary, atoms, format="extxyz")


def write_settings(folder: Path, contents: Mapping[str, Any]) -> None:
    """Write settings.json with the versions of what computes."""
    versions = {
        "ladera": ladera.__version__,
        "ase": ase.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    with writing(folder / "settings.json"):
        text = json.dumps({**contents, "versions": versions}, indent=2) + "\n"
        write_text_atomic(folder / "settings.json", text)


def describe_model(potential: Potential) -> dict[str, Any]:
    """What identifies a potential: its configuration and a hash of its parameters."""
    digest = hashlib.sha256()
    for name, tensor in potential.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    config = potential.config.model_dump(mode="json")
    digest.update(json.dumps(config, sort_keys=True).encode())
    return {
        "architecture": potential.config.architecture,
        "species": list(potential.symbols),
        "cutoff": potential.cutoff,
        "sha256": digest.hexdigest(),
    }


def describe_structure(atoms: Atoms) -> dict[str, Any]:
    """What identifies a structure: its formula and a hash of what it starts from."""
    digest = hashlib.sha256()
    for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, atoms.get_masses()):
        digest.update(np.ascontiguousarray(array).tobytes())
    return {
        "formula": atoms.get_chemical_formula(),
        "n_atoms": len(atoms),
        "periodic": atoms.pbc.tolist(),
        "sha256": digest.hexdigest(),
    }


def require_same_run(folder: Path, contents: Mapping[str, Any]) -> None:
    """Refuse to continue a run with another model, structure or settings.

    Only the length may differ, and not that of a temperature ramp.
    """
    path = folder / "settings.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        old, new = stored["settings"], contents["settings"]
        same_model = stored["model"]["sha256"] == contents["model"]["sha256"]
        same_structure = stored["structure"]["sha256"] == contents["structure"]["sha256"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SimulationError(
            f"{path} is missing or damaged ({error}); start anew in another folder."
        ) from error
    if not same_model:
        raise SimulationError(f"The run in {folder} used another model; continue it with that.")
    if not same_structure:
        raise SimulationError(
            f"The run in {folder} started from another structure; continue it with that."
        )
    if new["temperature_end"] is None:
        new = {name: value for name, value in new.items() if name not in ("steps", "time")}
    for name in new:
        if old.get(name) != new[name]:
            raise SimulationError(
                f"The run in {folder} has {name} = {old.get(name)}, not {new[name]}; continue it "
                "with the same settings, or start another run."
            )


def _field(value: float | int | str | None) -> str:
    if value is None:
        return ""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _require_length(path: Path, length: int) -> None:
    if not path.is_file() or path.stat().st_size < length:
        raise SimulationError(
            f"{path} is shorter than at the restart point or gone, so the run cannot go on; "
            "put it back or start anew in another folder."
        )
