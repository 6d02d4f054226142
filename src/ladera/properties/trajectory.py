"""Trajectories with a clock: where every atom went, in even steps of a known time."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import chemical_symbols

from ladera import display
from ladera.arguments import checked
from ladera.arrays import Booleans, Floats, Integers
from ladera.data.formats.lammps_dump import UNFOLDED
from ladera.errors import DataError, PropertyError, did_you_mean, told
from ladera.identity import sha256
from ladera.properties.frames import even_frames, read_frames, stored_interval
from ladera.properties.run_log import grades_of_run, interval_of_run, temperatures_of_run
from ladera.properties.unfolding import unfold
from ladera.provenance import came_from
from ladera.simulation.run_folder import files_of_run
from ladera.structure import directions
from ladera.units import FEMTOSECOND

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Positions of the same atoms at even times, followed through the cell's faces.

    Make one with :func:`read_trajectory` or :meth:`from_positions`. Raises DataError, naming what,
    for shapes that do not fit, numbers that are not finite, and an interval or a temperature that
    is not positive.

    Attributes
    ----------
    numbers
        Atomic numbers, shape (n_atoms,).
    positions
        Unwrapped positions, Angstrom, shape (n_frames, n_atoms, 3).
    cells
        Lattice vectors in rows, Angstrom, shape (n_frames, 3, 3); zeros in open directions.
    interval
        Time between frames, fs.
    temperature
        Temperature of the run, K, or None when nothing says it.
    log
        Times since the first frame (fs) and temperatures (K) of which ``temperature`` is the mean,
        shape (n_rows, 2), where the run has kept them.
    grades
        Such times and the largest grade of an atom (:meth:`ladera.Potential.grade`), shape
        (n_rows, 2), where the run has kept them.
    wrapped
        Whether atoms had been folded back into the cell and were followed by minimum image.
    masses
        Masses of the atoms, amu, shape (n_atoms,); those of the elements when None.
    velocities
        Velocities, Angstrom/fs, shape (n_frames, n_atoms, 3), or None where they were not kept.
    dipoles
        Dipole moments, e*Angstrom, shape (n_frames, 3), or None.
    """

    numbers: Integers
    positions: Floats
    cells: Floats
    interval: float = float("nan")
    temperature: float | None = None
    wrapped: bool = False
    masses: Floats | None = None
    velocities: Floats | None = None
    dipoles: Floats | None = None
    log: Floats | None = None
    grades: Floats | None = None

    def __post_init__(self) -> None:
        """Arrays of what NumPy takes for such, all of shapes that fit."""
        numbers = _array("numbers", self.numbers, None)
        positions, cells = (_array(name, getattr(self, name)) for name in ("positions", "cells"))
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not len(numbers):
            raise DataError(
                f"The numbers {str(self.numbers)[:40]} are no atomic numbers; give one for each "
                "atom, as [3, 16]."
            )
        if positions.ndim != 3 or positions.shape[1:] != (len(numbers), 3) or len(positions) < 2:
            raise DataError(
                f"Positions of shape {positions.shape} are no trajectory of {len(numbers)} atoms; "
                "expected (n_frames, n_atoms, 3) with two frames or more."
            )
        n_frames = len(positions)
        if cells.shape not in ((3, 3), (n_frames, 3, 3)):
            raise DataError(
                f"Cells of shape {cells.shape} do not fit {n_frames} frames; expected (3, 3), or "
                "(n_frames, 3, 3)."
            )
        object.__setattr__(self, "numbers", numbers)
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "cells", np.broadcast_to(cells, (n_frames, 3, 3)))
        shapes = {"velocities": positions.shape, "dipoles": (n_frames, 3), "masses": numbers.shape}
        for name in ("positions", "cells", *shapes):
            value = getattr(self, name)
            if value is None:
                continue
            array = _array(name, value)
            object.__setattr__(self, name, array)
            if array.shape != shapes.get(name, array.shape):
                raise DataError(
                    f"The {name} of the trajectory have shape {array.shape}, expected "
                    f"{shapes[name]} as its positions have {positions.shape}."
                )
            if not np.isfinite(array).all():
                raise DataError(f"The trajectory has {name} that are not finite numbers.")
        if not _positive(self.interval):
            what = "it must be a number of fs above zero, the time from one frame to the next"
            given = told(self.interval) if self.interval == self.interval else "not given"
            raise DataError.of("interval", given, what)
        if self.temperature is not None and not _positive(self.temperature):
            what = "it must be a number of K above zero"
            raise DataError.of("temperature", told(self.temperature), what)

    @classmethod
    def from_positions(
        cls,
        numbers: Integers,
        positions: Floats,
        cells: Floats,
        interval: float,
        temperature: float | None = None,
        *,
        whole: bool = False,
    ) -> Trajectory:
        """A trajectory of positions that may be wrapped; ``cells`` is (3, 3) or one per frame.

        Cells have zero vectors in open directions; ``whole`` positions are known to be unwrapped.
        Raises DataError as the class does, and as :func:`ladera.properties.unfolding.unfold`, such
        as for a step too long to tell which way an atom went.
        """
        given = cls(numbers, positions, cells, interval, temperature)
        followed, cells, wrapped = unfold(given.positions, given.cells, whole=whole)
        return replace(given, positions=followed, cells=cells, wrapped=wrapped)

    def __repr__(self) -> str:
        """Frames, atoms, times, and what is known besides the positions."""
        elements = ", ".join(chemical_symbols[number] for number in np.unique(self.numbers))
        length = (self.n_frames - 1) * self.interval / 1000
        known = [name for name in ("velocities", "dipoles") if getattr(self, name) is not None]
        return display.lines(
            "Trajectory",
            [
                f"{self.n_frames} frames of {len(self.numbers)} atoms of {elements}",
                f"every {self.interval:g} fs, {length:g} ps",
                "" if self.temperature is None else f"{self.temperature:.4g} K",
                f"with {' and '.join(known)}" if known else "",
            ],
        )

    @property
    def hash(self) -> str:
        """The hash of what it ends with, by which the file it was read from is known."""
        return sha256(self.numbers, self.positions[-1], self.cells[-1])

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.positions)

    @property
    def largest_grade(self) -> float:
        """Of an atom in the run, 1 at the edge of the training data; NaN where it is not known."""
        return math.nan if self.grades is None else float(self.grades[:, 1].max())

    @property
    def volume(self) -> float:
        """Mean volume of the cell, Angstrom^3; 0 with an open direction."""
        return float(np.abs(np.linalg.det(self.cells)).mean())

    def mobile(self, species: str) -> Booleans:
        """Which atoms are of ``species``, shape (n_atoms,). PropertyError when none is."""
        symbols = np.array(chemical_symbols)[self.numbers]
        mask: Booleans = symbols == species
        if not mask.any():
            raise PropertyError(
                f"No atom of the trajectory is {species}; "
                f"{did_you_mean(species, np.unique(symbols).tolist())}"
            )
        return mask

    def without_drift(self, species: str) -> Floats:
        """Positions (n_frames, n_species, 3) of a species relative to the other atoms' mean.

        The framework, which is every atom of another species (each counted alike), stays where it
        is; when all atoms are mobile their own centre does.
        """
        mask = self.mobile(species)
        framework = ~mask if not mask.all() else mask
        moved: Floats = self.positions[:, mask] - self.positions[:, framework].mean(
            axis=1, keepdims=True
        )
        return moved

    def after(self, time: float) -> Trajectory:
        """The trajectory without its first ``time`` ps, its temperature without them as well.

        Raises PropertyError when nothing is left.
        """
        _require_skip(time)
        first = int(np.ceil(1000 * time / self.interval - 1e-9)) if np.isfinite(time) else -1
        if not 0 <= first < self.n_frames - 1:
            raise PropertyError(
                f"The trajectory is {(self.n_frames - 1) * self.interval / 1000:g} ps long, so "
                f"{time:g} ps cannot be left out; give a smaller --skip, of 0 or more."
            )
        begin = first * self.interval
        log, temperature = _since(self.log, begin), self.temperature
        if log is not None:
            temperature = float(log[:, 1].mean())
        return replace(
            self,
            positions=self.positions[first:],
            cells=self.cells[first:],
            velocities=None if self.velocities is None else self.velocities[first:],
            dipoles=None if self.dipoles is None else self.dipoles[first:],
            temperature=temperature,
            log=log,
            grades=_since(self.grades, begin),
        )


def _since(rows: Floats | None, time: float) -> Floats | None:
    """The rows (n_rows, 2) of a log from a time on (fs), which becomes 0; at least the last."""
    if rows is None:
        return None
    since = rows - [time, 0]
    return since[since[:, 0] >= -1e-6] if since[-1, 0] >= 0 else since[-1:]


@checked
def read_trajectory(
    path: str | os.PathLike[str],
    *,
    interval: float | None = None,
    temperature: float | None = None,
    types: Sequence[str] = (),
) -> Trajectory:
    """The trajectory in a folder of ``ladera md``, or in any file ASE reads.

    A folder knows its time step and its temperature (the mean of md.csv). A file does not:
    ``interval`` (fs between frames) is then needed, and ``temperature`` (K) for what depends on
    it. ``types`` are the species of a LAMMPS dump's types 1, 2, 3...

    Raises DataError for what is missing, unreadable, contradictory, or not one trajectory.
    """
    path = Path(path)
    frames = even_frames(path, read_frames(path, types=types))
    stored = interval_between(path, frames, interval)
    log = temperatures_of_run(path) if path.is_dir() and temperature is None else None
    if log is not None:
        temperature = float(log[:, 1].mean())
    grades = grades_of_run(path) if path.is_dir() else None
    return replace(_trajectory(path, frames, stored, temperature), log=log, grades=grades)


def frames_after(
    path: str | os.PathLike[str],
    skip: float,
    *,
    interval: float | None = None,
    types: Sequence[str] = (),
) -> list[Atoms]:
    """The frames of :func:`read_frames` without the first ``skip`` ps.

    ``interval`` (fs between frames) is needed for files only, and with a ``skip``. Raises
    PropertyError when nothing is left.
    """
    path = Path(path)
    frames = read_frames(path, types=types)
    _require_skip(skip)
    if skip == 0 and interval is None:
        return frames
    frames = even_frames(path, frames)
    time = interval_between(path, frames, interval) / 1000
    first = int(np.ceil(skip / time - 1e-9)) if np.isfinite(skip) and time > 0 else -1
    if not 0 <= first < len(frames):
        raise PropertyError(
            f"{path} has {len(frames)} frames, {time:g} ps apart, so {skip:g} ps cannot be left "
            "out; give a smaller --skip, of 0 or more."
        )
    return frames[first:]


def _require_skip(time: float) -> None:
    if not (np.isfinite(time) and time >= 0):
        raise PropertyError.of("skip", f"{time:g} ps", "it must be zero or more")


def interval_between(path: Path, frames: Sequence[Atoms], interval: float | None) -> float:
    """Time between the frames of a file or folder, fs: as it says, or as ``interval`` does.

    Raises DataError when nothing says it, and when the two contradict each other.
    """
    stored = interval_of_run(path) if path.is_dir() else stored_interval(frames)
    if interval is not None and stored is not None and not np.isclose(interval, stored):
        raise DataError(
            f"{path} was written every {stored:g} fs, and --interval says {interval:g}; "
            "leave --interval out."
        )
    time = stored if interval is None else interval
    if time is None:
        raise DataError(
            f"{path} does not say how much time passes between its frames; give it with "
            "--interval (interval=), in fs: the time step times the steps from frame to frame."
        )
    return time


def _trajectory(
    path: Path, frames: list[Atoms], interval: float, temperature: float | None
) -> Trajectory:
    if len(frames) < 2:
        raise DataError(f"{path} holds {len(frames)} frame(s); a trajectory has two or more.")
    numbers = frames[0].numbers
    for index, atoms in enumerate(frames):
        if not np.array_equal(atoms.numbers, numbers):
            raise DataError(
                f"{path}: frame {index} has other atoms than frame 0, or the same in another "
                "order; a trajectory follows the same atoms throughout."
            )
        lost = atoms.pbc & ~atoms.cell.array.any(axis=1)
        if lost.any():
            raise DataError(
                f"{path}: frame {index} is periodic {directions(atoms.pbc)} and has no lattice "
                f"vector {'abc'[int(np.argmax(lost))]}; give the cell, or what is periodic, anew."
            )
    try:
        trajectory = Trajectory.from_positions(
            numbers,
            np.array([atoms.positions for atoms in frames]),
            np.array([atoms.cell.array * atoms.pbc[:, None] for atoms in frames]),
            interval,
            temperature,
            whole=all(atoms.info.get(UNFOLDED, False) for atoms in frames),
        )
    except DataError as error:
        if error.argument is not None:  # no fault of the file
            raise
        raise DataError(f"{path}: {error}") from error
    velocities = np.array([atoms.get_velocities() for atoms in frames]) * FEMTOSECOND
    dipoles = [atoms.calc.results.get("dipole") for atoms in frames if atoms.calc is not None]
    known = len(dipoles) == len(frames) and all(dipole is not None for dipole in dipoles)
    came_from(trajectory.hash, *files_of_run(path))
    return replace(
        trajectory,
        masses=frames[0].get_masses(),
        velocities=velocities if velocities[1:].any(axis=(1, 2)).all() else None,
        dipoles=np.array(dipoles) if known else None,
    )


def _array(name: str, value: object, kind: type | None = float) -> Any:
    try:
        return np.asarray(value, dtype=kind)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The {name} of the trajectory are no array of numbers: {error}."
        ) from error


def _positive(value: object) -> bool:
    return isinstance(value, int | float | np.number) and bool(np.isfinite(value) and value > 0)
