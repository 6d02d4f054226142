"""The folder of a simulation: everything in it is written and read here.

===================  =============================================================================
``md.csv``           a row of a run for every ``log_interval`` steps, see :mod:`~.rows`
``relax.csv``        a row for each step of a relaxation, see :mod:`~.rows`
``trajectory.traj``  frames with energy, forces and what else the model gives
``settings.json``    how it was made: settings, model, structure, command, versions
``restart.npz``      where a run goes on, see :mod:`ladera.simulation.restart`
``extrapolation.csv``  what was outside the training domain of the model, if anything was
``final.extxyz``     the last structure of a run; of a relaxation, ``relaxed.extxyz``
``last_good.extxyz`` the last sound structure of a run that broke off
``selected.extxyz``  structures beyond ``select_grade``, to be labelled
``stopped.extxyz``   the structure at which a run met ``stop_grade`` or ``stop_deviation``
===================  =============================================================================

A restart point remembers how far each file had come. A run that continues cuts its files there, so
that nothing the interrupted run wrote afterwards is left or written twice.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
from ase.io.trajectory import Trajectory
from pydantic import PositiveFloat, PositiveInt

from ladera import provenance, table_files
from ladera.errors import DataError, SimulationError
from ladera.extrapolation import LARGEST_GRADE
from ladera.files import read_json, require_absent, write_text_atomic
from ladera.identity import changes_of_run
from ladera.lock import locked
from ladera.schemas import Described, Record, StoredSettings
from ladera.simulation.extrapolation import ExtrapolationLog, SelectedFrames
from ladera.simulation.records import FrameFile, write_structure, writing
from ladera.simulation.rows import LogRow, RelaxRow
from ladera.table_files import TableWriter
from ladera.tables import columns_of

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Integers
    from ladera.simulation.restart import RestartPoint

Kind = Literal["md", "relax"]

_TABLES: Final[Mapping[Kind, str]] = {"md": "md.csv", "relax": "relax.csv"}
_TRAJECTORY: Final = "trajectory.traj"
_SETTINGS: Final = "settings.json"
_EXTRAPOLATION: Final = "extrapolation.csv"
_SELECTED: Final = "selected.extxyz"
_LAST: Final = {
    "md": "final.extxyz",
    "relax": "relaxed.extxyz",
    "good": "last_good.extxyz",
    "stopped": "stopped.extxyz",
}
# A run that has stopped goes on with others.
_FREE: Final = ("stop_grade", "stop_deviation", "select_grade")


# What columns are called now that an older Ladera has named otherwise.
_FORMER: Final[Mapping[tuple[Kind, str], str]] = {("relax", "energy_ev"): "potential_energy_ev"}
_ROWS: Final[Mapping[Kind, type[Any]]] = {"md": LogRow, "relax": RelaxRow}


class RunFiles(NamedTuple):
    """What a run writes as it goes, and can cut back to a restart point."""

    table: TableWriter
    frames: FrameFile
    extrapolation: ExtrapolationLog
    selected: SelectedFrames

    def write_row(self, row: LogRow) -> None:
        """Append a row to md.csv."""
        with writing(self.table.path):
            self.table.write(vars(row))

    def positions(self) -> dict[str, Any]:
        """How far they have come, all of it safely on the disk, as a restart point keeps it."""
        with writing(self.table.path):
            table = self.table.position()
        return {
            "table": table,
            "frames": self.frames.position(),
            "extrapolation": self.extrapolation.state() | self._selected(),
        }

    def _selected(self) -> dict[str, int]:
        """How far the file of selected frames has come; nothing before there is one."""
        length = self.selected.position()
        return {"selected": length} if length else {}


class RunFolder:
    """What a simulation writes, and goes on from."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.restart = self.path / "restart.npz"

    @property
    def holds_run(self) -> bool:
        """Whether there is a run that can go on."""
        return self.restart.exists()

    def require_new(self, kind: Kind) -> None:
        """Raise SimulationError when there is a run already, or what a run would replace.

        What was killed before its first step, and has no restart point, has left nothing that
        counts.
        """
        table = self.path / _TABLES[kind]
        if kind == "md" and self.holds_run:
            raise SimulationError(
                f"{self.path} holds a run already; continue it with --resume (resume=True) or "
                "choose another folder."
            )
        first = ["0"] if kind == "md" else []
        if table.exists() and table_files.last_row(table)[:1] in ([], first):
            return
        if kind == "relax" and table.exists():
            raise SimulationError(f"{self.path} holds a relaxation already; choose another folder.")
        names = (
            _SETTINGS,
            _TRAJECTORY,
            _EXTRAPOLATION,
            _SELECTED,
            *_TABLES.values(),
            *_LAST.values(),
        )
        require_absent(*(self.path / name for name in names))

    def lock(self) -> AbstractContextManager[None]:
        """Hold the folder; ConfigError when another run is at work in it."""
        return locked(self.path)

    def require_same_run(self, description: Mapping[str, Any]) -> None:
        """Refuse to continue a run with another model, structure or settings.

        ``description`` is that of :func:`ladera.identity.describe_run`. Only where it stops
        may differ, and the length if there is no temperature ramp.
        """
        path = self.path / _SETTINGS
        ramp = description["settings"]["temperature_end"] is not None
        try:
            changes = changes_of_run(
                path, description, free=_FREE if ramp else (*_FREE, "steps", "time")
            )
        except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise SimulationError(
                f"{path} is missing or damaged ({error}); start anew in another folder."
            ) from error
        if not changes:
            return
        name, before, now = changes[0]
        match name:
            case "model":
                reason = "used another model; continue it with that."
            case "structure":
                reason = (
                    "started from another structure, with another charge or with other atoms held; "
                    "continue it with that."
                )
            case _:
                reason = (
                    f"has {name} = {before}, not {now}; continue it with the same settings, or "
                    "start another run."
                )
        raise SimulationError(f"The run in {self.path} {reason}")

    def describe(self, description: Mapping[str, Any], *, resumed: bool = False) -> None:
        """Write settings.json; a run that goes on keeps how it began, and adds how it goes on."""
        path = self.path / _SETTINGS
        if resumed:
            began = read_json(path, _Description)
            here = {name: description[name] for name in provenance.how()}
            description = {**description, **{name: began.get(name) for name in here}}
            description["resumed"] = [*began.get("resumed", []), here]
        with writing(path):
            write_text_atomic(path, json.dumps(description, indent=2) + "\n")

    @contextmanager
    def open_run(self, point: RestartPoint | None) -> Iterator[RunFiles]:
        """The files of a new run, or cut back to a restart point; closed at the end."""
        rows, length, values = (
            (point.table, point.frames, point.extrapolation) if point else (None, None, None)
        )
        extrapolating = self.path / _EXTRAPOLATION
        with (
            closing(self._table("md", rows)) as table,
            closing(FrameFile(self.path / _TRAJECTORY, length)) as frames,
            closing(ExtrapolationLog(extrapolating, values)) as extrapolation,
        ):
            selected = SelectedFrames(self.path / _SELECTED, (values or {}).get("selected", 0))
            yield RunFiles(table, frames, extrapolation, selected)

    @contextmanager
    def open_relaxation(self) -> Iterator[Callable[[RelaxRow, Atoms], None]]:
        """What writes a row of relax.csv and a frame."""
        with (
            closing(self._table("relax", None)) as table,
            closing(FrameFile(self.path / _TRAJECTORY)) as frames,
        ):

            def write(row: RelaxRow, atoms: Atoms) -> None:
                with writing(table.path):
                    table.write(vars(row))
                frames.write(atoms)

            yield write

    def _table(self, kind: Kind, position: int | None) -> TableWriter:
        path = self.path / _TABLES[kind]
        with writing(path):
            return TableWriter(path, columns_of(_ROWS[kind]), position=position)

    def write_final(self, atoms: Atoms, kind: Kind = "md") -> Path:
        """Write the last structure; the file."""
        return self._write(_LAST[kind], atoms)

    def write_last_good(self, atoms: Atoms) -> Path:
        """Write the last sound structure of a run that breaks off; the file."""
        return self._write(_LAST["good"], atoms)

    def write_stopped(self, atoms: Atoms) -> Path:
        """Write the structure that a run was told to stop at; the file."""
        return self._write(_LAST["stopped"], atoms)

    def _write(self, name: str, atoms: Atoms) -> Path:
        write_structure(self.path / name, atoms)
        return self.path / name

    def table(self, kind: Kind = "md") -> table_files.Columns:
        """The columns of :class:`LogRow` or :class:`RelaxRow`; none before there is a row."""
        columns = table_files.read(self.path / _TABLES[kind])
        return {_FORMER.get((kind, name), name): values for name, values in columns.items()}

    def steps_done(self) -> int:
        """The step in the last complete row of md.csv; 0 before there is one."""
        row = table_files.last_row(self.path / _TABLES["md"])
        return int(row[0]) if row and row[0].isdecimal() else 0


# --- reading -----------------------------------------------------------------------------------


class _Settings(StoredSettings):
    """What is read of the settings of a run or of a relaxation."""

    timestep: PositiveFloat | None = None
    trajectory_interval: PositiveInt | None = None
    temperature: float | None = None
    temperature_end: float | None = None
    fmax: float | None = None
    smax: float | None = None


class _Structure(Described):
    n_atoms: PositiveInt | None = None


class _Description(Record):
    """settings.json."""

    settings: _Settings = _Settings()
    structure: _Structure = _Structure()
    resumed: tuple[Record, ...] = ()


@dataclass(frozen=True, eq=False)
class SimulationRun:
    """What ``ladera md`` or ``ladera relax`` left in a folder, finished or not."""

    folder: Path
    kind: Kind
    table: table_files.Columns  # those of LogRow or RelaxRow; older folders may lack the last ones
    description: Mapping[str, Any]  # settings.json: settings, model, structure, versions

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> SimulationRun:
        """Read a simulation; DataError when the folder holds none or a file is damaged."""
        folder = Path(folder)
        for kind, name in _TABLES.items():
            if (folder / name).exists():
                table = RunFolder(folder).table(kind)
                return cls(folder, kind, table, read_json(folder / _SETTINGS, _Description))
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise DataError(
                f"{folder} {what}; give the folder of a run of `ladera md` or `ladera relax`."
            )
        raise DataError(
            f"{folder} holds no simulation (neither {' nor '.join(_TABLES.values())}); give the "
            "folder of a run of `ladera md` or `ladera relax`."
        )

    def after(self, skip: float) -> table_files.Columns:
        """Rows of a run without the first ``skip`` ps; DataError when none is left."""
        time = self.table.get("time_fs")
        if not skip or time is None:
            return self.table
        kept = time >= 1000 * skip if skip > 0 else np.zeros(len(time), dtype=bool)
        if not kept.any():
            last = time[-1] / 1000 if len(time) else 0
            raise DataError(
                f"{self.folder} is {last:g} ps long, so {skip:g} ps cannot be left out; give a "
                "smaller --skip, of 0 or more."
            )
        return {name: values[kept] for name, values in self.table.items()}

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its settings; those of dynamics are the fields of ``MDSettings``."""
        settings: Mapping[str, Any] = self.description.get("settings", {})
        return settings

    @property
    def n_atoms(self) -> int | None:
        """Number of atoms, if settings.json says it."""
        count = self.description.get("structure", {}).get("n_atoms")
        return None if count is None else int(count)

    @property
    def timestep(self) -> float | None:
        """Time step in fs; None for a relaxation."""
        value = self.settings.get("timestep")
        return None if value is None else float(value)

    @property
    def frame_interval(self) -> int:
        """Steps between two frames of the trajectory."""
        return int(self.settings.get("trajectory_interval") or 1)

    @property
    def n_frames(self) -> int:
        """Number of frames of the trajectory; 0 when there is none."""
        if not (self.folder / _TRAJECTORY).exists():
            return 0
        with self._trajectory() as trajectory:
            return len(trajectory)

    def frames(self, indices: Integers) -> list[Atoms]:
        """Some frames of the trajectory, without reading the others.

        DataError for one that is damaged, also of numbers that are no elements.
        """
        with self._trajectory() as trajectory:
            found = [trajectory[int(index)] for index in indices]
            for atoms in found:
                atoms.get_chemical_formula()
            return found

    @contextmanager
    def _trajectory(self) -> Iterator[Any]:
        path = self.folder / _TRAJECTORY
        try:
            with Trajectory(path) as trajectory:
                yield trajectory
        except Exception as error:  # ASE raises many kinds for a damaged file
            raise DataError(
                f"{path} cannot be read ({error}); run the simulation again "
                "or take the file away to report without it."
            ) from error


def largest_grade(table: table_files.Columns) -> float:
    """The largest grade of an atom in any row of a simulation; NaN where none is known."""
    grades = table_files.column(table, LARGEST_GRADE)
    return float(np.nanmax(grades)) if len(grades) else math.nan


def trajectory_file(folder: Path) -> Path:
    """The trajectory of a simulation."""
    return folder / _TRAJECTORY


def files_of_run(path: Path) -> tuple[Path, ...]:
    """Trajectory and settings of a simulation's folder; a trajectory file as it is."""
    return (trajectory_file(path), path / _SETTINGS) if path.is_dir() else (path,)


def is_simulation(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds molecular dynamics or a relaxation."""
    return any((Path(folder) / name).exists() for name in _TABLES.values())
