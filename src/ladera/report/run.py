"""What a report is made of: the files of a training run and of simulations, read and checked."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from ase import Atoms
from ase.io.trajectory import Trajectory
from numpy.typing import NDArray

from ladera import loading
from ladera.errors import DataError
from ladera.quantities import QUANTITIES
from ladera.report.predictions import Errors, FloatArray, Predictions

Table = Mapping[str, FloatArray]  # column name -> values, NaN where a field is empty
SimulationKind = Literal["md", "relax"]

PARTS: Final = ("train", "validation", "test")
_TABLES: Final[Mapping[str, SimulationKind]] = {"md.csv": "md", "relax.csv": "relax"}


ErrorsOf = Mapping[str, Errors | None]  # by the name of the quantity, in its unit of errors


@dataclass(frozen=True)
class WorstFrame:
    """A frame the model does badly on."""

    frame: int  # number in the data set
    source: str  # where it came from
    config_type: str
    error: float  # meV/atom, or meV/Angstrom of the worst atom's force
    atom: int | None = None  # that atom


@dataclass(frozen=True)
class PartErrors:
    """What evaluation.json says of one part of the data."""

    n_frames: int
    total: ErrorsOf
    by_config_type: Mapping[str, ErrorsOf]
    by_element: Mapping[str, ErrorsOf]  # of what atoms have
    worst: Mapping[str, Sequence[WorstFrame]]  # by energy and by forces
    uncertainty: Mapping[str, Any] | None = None  # of a committee; see training.uncertainty
    extrapolation: Mapping[str, Any] | None = None  # of a model that knows its training domain

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> PartErrors:
        """Read an entry; KeyError or TypeError for one that has another form."""
        return cls(
            n_frames=stored["n_frames"],
            total=_errors(stored),
            by_config_type={k: _errors(v) for k, v in stored["by_config_type"].items()},
            by_element={k: _errors(v) for k, v in stored["by_element"].items()},
            worst={k: [WorstFrame(**w) for w in v] for k, v in stored["worst_frames"].items()},
            uncertainty=stored.get("uncertainty"),
            extrapolation=stored.get("extrapolation"),
        )


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """A folder that ``ladera train`` wrote; a part is empty when its file is not there."""

    folder: Path
    config: str  # config.yaml as it is
    log: Table  # log.csv
    evaluation: Mapping[str, PartErrors]  # evaluation.json, by part: train, validation, test
    predictions: Mapping[str, Predictions]  # by part
    check: Mapping[str, Any]  # check.json, the doctor's report
    split: Mapping[str, Any]  # split.json
    model: Mapping[str, Any]  # header of model.ladera: format_version, config, provenance
    finetune: Mapping[str, Any]  # what evaluation.json says of a fine-tuning

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> TrainingRun:
        """Read a run, finished or not; DataError when a file in it is damaged."""
        folder = Path(folder)
        model = folder / "model.ladera"
        config = folder / "config.yaml"
        predictions = {part: folder / f"predictions_{part}.npz" for part in PARTS}
        return cls(
            folder=folder,
            config=config.read_text(encoding="utf-8", errors="replace") if config.exists() else "",
            log=read_table(folder / "log.csv"),
            evaluation=_read_evaluation(folder / "evaluation.json"),
            predictions={
                part: Predictions.read(path) for part, path in predictions.items() if path.exists()
            },
            check=_read_json(folder / "check.json"),
            split=_read_json(folder / "split.json"),
            model=loading.read_header(model) if model.exists() else {},
            finetune=_read_json(folder / "evaluation.json").get("finetune") or {},
        )


@dataclass(frozen=True, eq=False)
class Simulation:
    """A folder that ``ladera md`` or ``ladera relax`` wrote."""

    folder: Path
    kind: SimulationKind
    table: Table  # md.csv or relax.csv
    settings: Mapping[str, Any]  # settings.json

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Simulation:
        """Read a simulation; DataError when the folder holds none or a file is damaged."""
        folder = Path(folder)
        for name, kind in _TABLES.items():
            if (folder / name).exists():
                table = read_table(folder / name)
                return cls(folder, kind, table, _read_json(folder / "settings.json"))
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


def is_training(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a training run."""
    return any((Path(folder) / name).exists() for name in ("log.csv", "model.ladera"))


def is_simulation(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds molecular dynamics or a relaxation."""
    return any((Path(folder) / name).exists() for name in _TABLES)


def is_property(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds the result of a property."""
    return (Path(folder) / "result.json").is_file()


def read_table(path: Path) -> Table:
    """Columns of a CSV file of numbers; empty when there is no such file.

    A last line that was cut short, as a run in progress or a kill leaves it, is left out. Raises
    DataError for anything else that is not a number.
    """
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    complete = [line for line in lines if line.endswith("\n")]
    header, *rows = [row for row in csv.reader(complete) if row] or [[]]
    columns: dict[str, list[float]] = {name: [] for name in header}
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise DataError(f"{path}, line {line}: {len(row)} fields, expected {len(header)}.")
        for name, text in zip(header, row, strict=True):
            try:
                columns[name].append(float(text) if text.strip() else float("nan"))
            except ValueError:
                raise DataError(
                    f"{path}, line {line}: '{text}' in column {name} is not a number."
                ) from None
    return {name: np.array(values) for name, values in columns.items()}


def column(table: Table, name: str) -> FloatArray:
    """A column of a table; empty where there is none, or no number in it."""
    values = table.get(name, np.empty(0))
    return values if np.isfinite(values).any() else np.empty(0)


def _errors(stored: Mapping[str, Any]) -> ErrorsOf:
    names = (quantity.name for quantity in QUANTITIES)
    return {name: Errors(**stored[name]) if stored.get(name) else None for name in names}


def _read_evaluation(path: Path) -> dict[str, PartErrors]:
    stored = _read_json(path)
    try:
        return {part: PartErrors.from_json(stored[part]) for part in PARTS if part in stored}
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not what this Ladera writes ({error!r}); evaluate the model again."
        ) from error


def _read_json(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is no complete JSON file ({error}); run the command that wrote it again, or "
            "take it away to report without it."
        ) from error
    if not isinstance(contents, dict):
        raise DataError(f"{path} holds a {type(contents).__name__}, expected a JSON object.")
    return contents
