"""What a folder of ``ladera md`` says of its trajectory: the clock, temperatures, grades."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ladera.arrays import Floats
from ladera.errors import DataError
from ladera.extrapolation import LARGEST_GRADE
from ladera.simulation.run_folder import SimulationRun
from ladera.table_files import column


def interval_of_run(folder: Path) -> float:
    """Time between frames of a folder of ``ladera md``, fs."""
    try:
        settings = SimulationRun.read(folder).settings
        return float(settings["timestep"]) * int(settings["trajectory_interval"])
    except (DataError, ValueError, KeyError, TypeError) as error:
        raise _incomplete(folder, error) from error


def temperatures_of_run(folder: Path) -> Floats:
    """Times (fs) and temperatures (K) in the log of a folder of ``ladera md``, (n_rows, 2)."""
    try:
        run = SimulationRun.read(folder)
        settings, table = run.settings, run.table
        start, end = settings["temperature"], settings.get("temperature_end")
        times = table["step"] * float(settings["timestep"])
        log: Floats = np.stack([times, table["temperature_k"]], axis=1)
    except (DataError, ValueError, KeyError, TypeError) as error:
        raise _incomplete(folder, error) from error
    if end is not None and end != start:
        raise DataError(
            f"{folder} was heated from {start:g} to {end:g} K; diffusion "
            "belongs to one temperature, so run one simulation for each."
        )
    if not len(log):
        raise _incomplete(folder, "md.csv has no rows")
    return log


def grades_of_run(folder: Path) -> Floats | None:
    """Times (fs) and largest grades in the log of a folder of ``ladera md``, (n_rows, 2)."""
    table = SimulationRun.read(folder).table
    grades = column(table, LARGEST_GRADE)
    known = np.isfinite(grades)
    if not known.any():
        return None
    if "time_fs" not in table:
        raise _incomplete(folder, "md.csv has no times")
    rows: Floats = np.stack([table["time_fs"], grades], axis=1)
    return rows[known]


def _incomplete(folder: Path, reason: object) -> DataError:
    return DataError(
        f"{folder} is no complete folder of `ladera md` ({reason}); its settings.json and "
        "md.csv say the time step and the temperature."
    )
