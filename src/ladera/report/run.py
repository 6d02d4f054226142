"""What a report is made of: the files of simulations, read and checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from ase import Atoms
from ase.io.trajectory import Trajectory
from numpy.typing import NDArray

from ladera import tables
from ladera.errors import DataError
from ladera.files import read_json

SimulationKind = Literal["md", "relax"]

_TABLES: Final[Mapping[str, SimulationKind]] = {"md.csv": "md", "relax.csv": "relax"}


@dataclass(frozen=True, eq=False)
class Simulation:
    """A folder that ``ladera md`` or ``ladera relax`` wrote."""

    folder: Path
    kind: SimulationKind
    table: tables.Columns  # md.csv or relax.csv
    settings: Mapping[str, Any]  # settings.json

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Simulation:
        """Read a simulation; DataError when the folder holds none or a file is damaged."""
        folder = Path(folder)
        for name, kind in _TABLES.items():
            if (folder / name).exists():
                table = tables.read(folder / name)
                return cls(folder, kind, table, read_json(folder / "settings.json"))
        raise DataError(f"{folder} holds no simulation (neither {' nor '.join(_TABLES)}).")

    @property
    def n_frames(self) -> int:
        """Number of frames of the trajectory; 0 when there is none."""
        path = self.folder / "trajectory.traj"
        if not path.exists():
            return 0
        try:
            with Trajectory(path) as trajectory:
                return len(trajectory)
        except Exception as error:  # ASE raises many kinds for a damaged file
            raise self._damaged(error) from error

    def frames(self, indices: NDArray[np.int64]) -> list[Atoms]:
        """Some frames of the trajectory, without reading the others."""
        try:
            with Trajectory(self.folder / "trajectory.traj") as trajectory:
                return [trajectory[int(index)] for index in indices]
        except Exception as error:
            raise self._damaged(error) from error

    @property
    def frame_interval(self) -> int:
        """Steps between two frames of the trajectory."""
        return int(self.settings.get("settings", {}).get("trajectory_interval") or 1)

    @property
    def timestep(self) -> float | None:
        """Time step in fs; None for a relaxation."""
        value = self.settings.get("settings", {}).get("timestep")
        return None if value is None else float(value)

    def _damaged(self, error: Exception) -> DataError:
        return DataError(
            f"{self.folder / 'trajectory.traj'} cannot be read ({error}); run the simulation again "
            "or take the file away to report without it."
        )


def is_simulation(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds molecular dynamics or a relaxation."""
    return any((Path(folder) / name).exists() for name in _TABLES)


def is_property(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds the result of a property."""
    return (Path(folder) / "result.json").is_file()
