"""What a report is made of: the files of a training run, read and checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from ladera import loading, tables
from ladera.errors import DataError
from ladera.files import read_json
from ladera.report.predictions import Errors, Predictions, Quantity

PARTS: Final = ("train", "validation", "test")


ErrorsOf = Mapping[Quantity, Errors | None]  # in meV/atom, meV/Angstrom and meV/Angstrom^3


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
    by_element: Mapping[str, ErrorsOf]  # of the forces only
    worst: Mapping[Quantity, Sequence[WorstFrame]]  # by energy and by forces
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
    log: tables.Columns  # log.csv
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
            log=tables.read(folder / "log.csv"),
            evaluation=_read_evaluation(folder / "evaluation.json"),
            predictions={
                part: Predictions.read(path) for part, path in predictions.items() if path.exists()
            },
            check=read_json(folder / "check.json"),
            split=read_json(folder / "split.json"),
            model=loading.read_header(model) if model.exists() else {},
            finetune=read_json(folder / "evaluation.json").get("finetune") or {},
        )


def is_training(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a training run."""
    return any((Path(folder) / name).exists() for name in ("log.csv", "model.ladera"))


def _errors(stored: Mapping[str, Any]) -> ErrorsOf:
    return {q: Errors(**stored[q]) if stored.get(q) else None for q in get_args(Quantity)}


def _read_evaluation(path: Path) -> dict[str, PartErrors]:
    stored = read_json(path)
    try:
        return {part: PartErrors.from_json(stored[part]) for part in PARTS if part in stored}
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not what this Ladera writes ({error!r}); evaluate the model again."
        ) from error
