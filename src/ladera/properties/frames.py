"""Frames of trajectory files, once each and at even steps of time, whatever the files hold."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ladera.arrays import Booleans, Floats
from ladera.data.counts import require_counts
from ladera.data.formats import lammps_dump, mlip_cfg
from ladera.errors import DataError, needs_package, reason_of
from ladera.files import closest
from ladera.identity import hash_of_structure
from ladera.provenance import came_from
from ladera.simulation.run_folder import files_of_run, trajectory_file

if TYPE_CHECKING:
    from ase import Atoms

# What programs call the time or the step of a frame in the comment of an extended XYZ file.
_CLOCKS: Final = ("time_fs", "time_ps", "timestep", "time", "step", "md_step")
_FEMTOSECONDS: Final = {"time_fs": 1.0, "time_ps": 1000.0}  # those that say their unit
_ONWARD: Final = 0.8  # of its steps: what goes back more often is no clock
_EVEN: Final = 1e-3  # of an interval
_MOVES: Final = 0.9  # of the atoms that ever move: then all of them do, in every frame


class TrajectoryWarning(UserWarning):
    """Frames of a trajectory that are left out, and why."""


def read_frames(path: str | os.PathLike[str], *, types: Sequence[str] = ()) -> list[Atoms]:
    """The frames of a folder of ``ladera md``, or of any file ASE reads, in the order of time.

    ``types`` are the species of a LAMMPS dump's types. Frames that were written again after a
    restart are left out, which a warning says (TrajectoryWarning). Raises DataError for a file
    that cannot be read or holds several runs.
    """
    path = Path(path)
    frames = _read(trajectory_file(path) if path.is_dir() else path, types)
    kept = _once(path, frames, *_clock(frames))
    if len(kept) < len(frames):
        warnings.warn(
            f"{path}: {len(frames) - len(kept)} of {len(frames)} frames were written again after "
            "a restart and are left out.",
            TrajectoryWarning,
            stacklevel=2,
        )
    if kept:
        last = frames[kept[-1]]
        came_from(hash_of_structure(last, last.get_masses()), *files_of_run(path))
    return [frames[index] for index in kept]


def even_frames(path: Path, frames: list[Atoms]) -> list[Atoms]:
    """The longest part without a gap, of frames that say their time or step.

    A warning says what is left out (TrajectoryWarning). Raises DataError where less than half of
    the frames are at one interval.
    """
    clock, times = _clock(frames)
    gaps = np.diff(times)
    if not clock or np.ptp(gaps) <= _EVEN * gaps.max():
        return frames
    values, counts = np.unique(np.round(gaps, 6), return_counts=True)
    common = values[np.argmax(counts)]
    even = np.abs(gaps - common) <= _EVEN * common
    if even.sum() < 0.5 * len(gaps):
        raise DataError(
            f"{path}: the frames are {values[0]:g} to {values[-1]:g} apart in {clock}; averages "
            "over time need frames at even intervals, so write or keep only those."
        )
    breaks = np.flatnonzero(~even)
    starts, stops = np.append(0, breaks + 1), np.append(breaks + 1, len(times))
    best = int(np.argmax(stops - starts))
    start, stop, first = int(starts[best]), int(stops[best]), breaks[0]
    warnings.warn(
        f"{path}: frames are missing, first between {clock} {times[first]:g} and "
        f"{times[first + 1]:g}; of {len(times)} frames the {stop - start} from {clock} "
        f"{times[start]:g} to {times[stop - 1]:g} are used, which have no gap.",
        TrajectoryWarning,
        stacklevel=3,
    )
    return frames[start:stop]


def stored_interval(frames: Sequence[Atoms]) -> float | None:
    """Time between even frames (fs) of a file that says it, with its unit; None for others."""
    clock, times = _clock(frames)
    if clock not in _FEMTOSECONDS:
        return None
    return float(times[-1] - times[0]) / (len(frames) - 1) * _FEMTOSECONDS[clock]


def _read(path: Path, types: Sequence[str]) -> list[Atoms]:
    import ase.io
    from ase.io.formats import filetype

    if not path.is_file():
        raise DataError(f"There is no trajectory {path}; {closest(path)}")
    if lammps_dump.is_dump(path):
        return list(lammps_dump.read(path, types))
    if mlip_cfg.is_cfg(path):
        return [frame.to_atoms() for frame in mlip_cfg.read(path, types=types)]
    if types:
        raise DataError(f"{path} is no LAMMPS dump; its atoms have names, so leave --types out.")
    try:
        # A name such as md@300.traj is a name, not ASE's word for frame 300 of md.
        kind = filetype(str(path))
        require_counts(path, kind)
        frames = list(ase.io.iread(path, ":", kind, do_not_split_by_at_sign=True))
        for atoms in frames:
            atoms.get_chemical_formula()  # IndexError for numbers of no element
        return frames
    except DataError:
        raise
    except ModuleNotFoundError as error:
        raise needs_package(path, error) from error
    except Exception as error:  # each of ASE's many readers fails in its own way
        raise DataError(
            f"{path} could not be read as a trajectory{reason_of(error)}; it is damaged or of a "
            "format that is not known here. Give a trajectory file, or a folder of `ladera md`."
        ) from error


def _clock(frames: Sequence[Atoms]) -> tuple[str, Floats]:
    """What the frames call their step or time ("" when not all say it), and its values."""
    infos = [{str(key).lower(): value for key, value in atoms.info.items()} for atoms in frames]
    for name in _CLOCKS:
        times = np.array([_number(info, name) for info in infos])
        if len(times) < 2 or not np.isfinite(times).all() or np.ptp(times) == 0:
            continue
        if name == lammps_dump.STEP or (np.diff(times) >= 0).mean() > _ONWARD:
            return name, times
    return "", np.zeros(len(frames))


def _number(info: Mapping[str, Any], name: str) -> float:
    try:
        return float(info.get(name, np.nan))
    except (TypeError, ValueError):
        return np.nan


def _once(path: Path, frames: Sequence[Atoms], clock: str, times: Floats) -> list[int]:
    """Indices of the frames without those that a restart has written again."""
    if not clock:
        return list(np.flatnonzero(~_repeats(frames)))
    kept: list[int] = []
    for index, time in enumerate(times):
        while kept and times[kept[-1]] >= time:  # the run has gone back, and on from there
            kept.pop()
        if not kept and time < times[: index + 1].max():
            raise DataError(
                f"{path}: frame {index} begins again at {clock} {time:g}, where frame 0 is at "
                f"{times[0]:g}; the file holds several runs, so give each by itself."
            )
        kept.append(index)
    return kept


def _repeats(frames: Sequence[Atoms]) -> Booleans:
    """Which frames are the one before to the last digit, where frames do not say their time.

    Dynamics moves every atom from frame to frame. Where it does not (ions on the sites of a
    lattice, atoms at rest) two equal frames are nothing special.
    """
    same = np.zeros(len(frames), dtype=bool)
    if len({len(atoms) for atoms in frames}) != 1 or len(frames) < 3:
        return same
    moved = np.array([(b.positions != a.positions).any(axis=1) for a, b in pairwise(frames)])
    moved = moved[:, moved.any(axis=0)]
    still = ~moved.any(axis=1)
    if moved.shape[1] > 1 and not still.all() and moved[~still].mean() > _MOVES:
        same[1:] = still
    return same
