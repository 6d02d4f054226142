"""Trajectories with a clock: where every atom went, in even steps of a known time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ase.data import chemical_symbols

from ladera.arrays import Booleans, Floats, Integers
from ladera.errors import DataError, PropertyError, did_you_mean
from ladera.identity import hash_of_structure, sha256
from ladera.provenance import came_from
from ladera.simulation.run_folder import SimulationRun, files_of_run, trajectory_file
from ladera.units import FEMTOSECOND

if TYPE_CHECKING:
    from ase import Atoms

# A step longer than this part of the cell's height may as well have gone the other way around.
_LONGEST_STEP: Final = 0.4


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Positions of the same atoms at even times, followed through the cell's faces.

    Make one with :func:`read_trajectory` or :meth:`from_positions`.

    Attributes
    ----------
    numbers
        Atomic numbers, shape (n_atoms,).
    positions
        Unwrapped positions, Angstrom, shape (n_frames, n_atoms, 3).
    cells
        Lattice vectors in rows, Angstrom, shape (n_frames, 3, 3); zeros without a lattice.
    interval
        Time between frames, fs.
    temperature
        Temperature of the run, K, or None when nothing says it.
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
    interval: float
    temperature: float | None = None
    wrapped: bool = False
    masses: Floats | None = None
    velocities: Floats | None = None
    dipoles: Floats | None = None

    @classmethod
    def from_positions(
        cls,
        numbers: Integers,
        positions: Floats,
        cells: Floats,
        interval: float,
        temperature: float | None = None,
    ) -> Trajectory:
        """A trajectory of positions that may be wrapped; ``cells`` is (3, 3) or one per frame.

        Raises DataError for shapes that do not match, numbers that are not finite, an interval or
        temperature that is not positive, and a step too long to tell which way an atom went.
        """
        numbers, positions = np.asarray(numbers), np.asarray(positions, dtype=float)
        if positions.ndim != 3 or positions.shape[1:] != (len(numbers), 3) or len(positions) < 2:
            raise DataError(
                f"Positions of shape {positions.shape} are no trajectory of {len(numbers)} atoms; "
                "expected (n_frames, n_atoms, 3) with two frames or more."
            )
        cells = np.broadcast_to(np.asarray(cells, dtype=float), (len(positions), 3, 3))
        if not (np.isfinite(positions).all() and np.isfinite(cells).all()):
            raise DataError("The trajectory has positions or cells that are not finite numbers.")
        if not (np.isfinite(interval) and interval > 0):
            raise DataError(f"The time between frames is {interval} fs; it must be positive.")
        if temperature is not None and not (np.isfinite(temperature) and temperature > 0):
            raise DataError(f"The temperature is {temperature} K; it must be positive.")
        followed, wrapped = _unwrap(positions, cells)
        return cls(numbers, followed, cells, float(interval), temperature, wrapped)

    @property
    def hash(self) -> str:
        """The hash of what it ends with, by which the file it was read from is known."""
        return sha256(self.numbers, self.positions[-1], self.cells[-1])

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.positions)

    @property
    def volume(self) -> float:
        """Mean volume of the cell, Angstrom^3; 0 without a lattice."""
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
        """The trajectory without its first ``time`` ps. PropertyError when nothing is left."""
        first = int(np.ceil(1000 * time / self.interval - 1e-9))
        if not 0 <= first < self.n_frames - 1:
            raise PropertyError(
                f"The trajectory is {(self.n_frames - 1) * self.interval / 1000:g} ps long, so "
                f"{time:g} ps cannot be left out; give a smaller --skip."
            )
        return replace(
            self,
            positions=self.positions[first:],
            cells=self.cells[first:],
            velocities=None if self.velocities is None else self.velocities[first:],
            dipoles=None if self.dipoles is None else self.dipoles[first:],
        )


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
    if path.is_dir():
        stored, mean = _clock(path)
        if interval is not None and not np.isclose(interval, stored):
            raise DataError(
                f"{path} was written every {stored:g} fs, and --interval says {interval:g}; "
                "leave --interval out for folders of `ladera md`."
            )
        frames = _frames(trajectory_file(path), ())
        return _trajectory(path, frames, stored, mean if temperature is None else temperature)
    if interval is None:
        raise DataError(
            f"{path} does not say how much time passes between its frames; give it with "
            "--interval, in fs (the time step times the steps from frame to frame)."
        )
    return _trajectory(path, _frames(path, types), interval, temperature)


def read_frames(path: str | os.PathLike[str], *, types: Sequence[str] = ()) -> list[Atoms]:
    """The frames of a folder of ``ladera md``, or of any file ASE reads, as they are.

    ``types`` are the species of a LAMMPS dump's types. Raises DataError like
    :func:`read_trajectory`.
    """
    path = Path(path)
    frames = _frames(trajectory_file(path) if path.is_dir() else path, types)
    if frames:
        came_from(hash_of_structure(frames[-1], frames[-1].get_masses()), *files_of_run(path))
    return frames


def _frames(path: Path, types: Sequence[str]) -> list[Atoms]:
    import ase.io

    if not path.is_file():
        raise DataError(f"There is no trajectory {path}; check the path.")
    dump = any(word in path.name for word in ("lammpstrj", ".dump", "dump."))
    if dump and not types:
        raise DataError(
            f"{path} looks like a LAMMPS dump, whose atoms have types and no names; give the "
            "species of types 1, 2, 3... with --types, as in --types Li P S."
        )
    options: dict[str, Any] = (
        {"format": "lammps-dump-text", "specorder": list(types)} if dump else {}
    )
    try:
        return list(ase.io.iread(path, index=":", **options))
    except Exception as error:  # each of ASE's many readers fails in its own way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path} could not be read as a trajectory: {reason}. "
            "Give a file ASE reads, or a folder of `ladera md`."
        ) from error


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
    try:
        trajectory = Trajectory.from_positions(
            numbers,
            np.array([atoms.positions for atoms in frames]),
            np.array([atoms.cell.array * atoms.pbc[:, None] for atoms in frames]),
            interval,
            temperature,
        )
    except DataError as error:
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


def _clock(folder: Path) -> tuple[float, float]:
    """Time between frames (fs) and mean temperature (K) of a folder of ``ladera md``."""
    try:
        run = SimulationRun.read(folder)
        settings, temperatures = run.settings, run.table["temperature_k"]
        interval = float(settings["timestep"]) * int(settings["trajectory_interval"])
        ramp = settings.get("temperature_end")
    except (DataError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder} is no complete folder of `ladera md` ({error}); its settings.json and "
            "md.csv say the time step and the temperature."
        ) from error
    if ramp is not None and ramp != settings["temperature"]:
        raise DataError(
            f"{folder} was heated from {settings['temperature']:g} to {ramp:g} K; diffusion "
            "belongs to one temperature, so run one simulation for each."
        )
    return interval, float(np.mean(temperatures))


def _unwrap(positions: Floats, cells: Floats) -> tuple[Floats, bool]:
    """Positions without jumps across the cell, and whether there were any.

    Each step r(i) - r(i-1) is taken to its nearest image in the cell of frame i and the steps are
    summed, which keeps diffusion right also when the cell breathes (von Buelow, Bullerjahn and
    Hummer, J. Chem. Phys. 153, 021101 (2020)).
    """
    steps = np.diff(positions, axis=0)
    periodic = np.abs(np.linalg.det(cells)) > 1e-9
    if not periodic.all():
        return positions, False
    inverse = np.linalg.inv(cells)
    turns = np.round(steps @ inverse[1:])
    nearest = steps - turns @ cells[1:]
    lengths = np.linalg.norm(nearest, axis=2)
    heights = 1 / np.linalg.norm(inverse[1:], axis=1)  # between opposite faces, (n_frames - 1, 3)
    relative = lengths / heights.min(axis=1)[:, None]
    if turns.any() and relative.max() > _LONGEST_STEP:
        frame, atom = np.unravel_index(np.argmax(relative), relative.shape)
        raise DataError(
            f"The positions are wrapped into the cell and cannot be unwrapped: between frames "
            f"{frame} and {frame + 1} atom {atom} moves by {lengths[frame, atom]:.2f} Angstrom or "
            f"some other image of that, in a cell {heights[frame].min():.2f} Angstrom high; write "
            "frames more often, or write unwrapped positions (xu yu zu in LAMMPS)."
        )
    if not turns.any():
        return positions, False
    return np.concatenate([positions[:1], positions[0] + np.cumsum(nearest, axis=0)]), True
