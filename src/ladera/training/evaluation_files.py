"""The files of an evaluation: what is written after a training or by ``ladera evaluate``.

==========================  ========================================================================
``evaluation.json``         errors of each part, see :class:`PartErrors`, ``finetune``, provenance
``predictions_PART.npz``    labels and predictions, see :mod:`ladera.training.predictions`
``extrapolation_PART.csv``  values outside their training range, where there are any
==========================  ========================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ladera.arrays import Floats
from ladera.errors import DataError
from ladera.files import read_json, write_text_atomic
from ladera.quantities import QUANTITIES
from ladera.schemas import Record, Stored
from ladera.training.predictions import Predictions

if TYPE_CHECKING:
    from ladera.training.evaluation import Evaluation

PARTS: Final = ("train", "validation", "test")
EVALUATION: Final = "evaluation.json"
_FINETUNE: Final = "finetune"  # its entry beside those of the parts


@dataclass(frozen=True)
class Errors:
    """How far predictions are from their references, in the unit of the values."""

    count: int  # of values that have a label
    mae: float  # mean absolute error
    rmse: float  # root mean square error
    max: float  # largest absolute error
    r2: float | None  # 1 - sum of squared errors / sum of squares about the mean; None without any

    @classmethod
    def of(cls, reference: Floats, predicted: Floats) -> Errors | None:
        """Errors over the values that have a label; None when there are none."""
        labelled = np.isfinite(reference)
        reference, predicted = reference[labelled], predicted[labelled]
        if len(reference) == 0:
            return None
        error = predicted - reference
        spread = float(np.square(reference - reference.mean()).sum())
        return cls(
            count=len(error),
            mae=float(np.abs(error).mean()),
            rmse=float(np.sqrt(np.square(error).mean())),
            max=float(np.abs(error).max()),
            r2=1 - float(np.square(error).sum()) / spread if spread > 0 else None,
        )


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


class _Agreement(Stored):
    log_likelihood: float
    coverage_68: float
    coverage_95: float


class _Bin(Stored):
    spread: float
    error: float


class _Reliability(Stored):
    factor: float | None
    correlation: float | None
    before: _Agreement
    after: _Agreement | None
    bins: list[_Bin]


class _Part(Stored):
    energy: Errors | None = None
    forces: Errors | None = None
    stress: Errors | None = None
    dipole: Errors | None = None
    n_frames: int
    by_config_type: dict[str, dict[str, Errors | None]]
    by_element: dict[str, dict[str, Errors | None]]
    worst_frames: dict[str, list[WorstFrame]]
    uncertainty: dict[str, _Reliability | int | None] | None = None  # members: how many
    extrapolation: dict[str, Any] | None = None


class _Evaluation(Stored):
    """evaluation.json."""

    train: _Part | None = None
    validation: _Part | None = None
    test: _Part | None = None
    finetune: dict[str, Any] | None = None
    provenance: Record | None = None


def write_evaluations(
    parts: Mapping[str, Evaluation],
    folder: Path,
    *,
    provenance: Mapping[str, Any],
    finetune: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write evaluation.json and, for each part, predictions_PART.npz.

    Besides extrapolation_PART.csv where values are outside their training range. ``provenance`` is
    the record of :mod:`ladera.provenance`, an entry of that name, and ``finetune``
    what :meth:`ladera.training.start.Start.result` says, another.

    Returns :meth:`Evaluation.to_json` of each part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        part.save_predictions(_predictions(folder, name))
        if part.extrapolation is not None and part.extrapolation.n_values:
            part.extrapolation.save(folder / _extrapolation(name))
    results = {name: part.to_json() for name, part in parts.items()}
    entries = results if finetune is None else results | {_FINETUNE: dict(finetune)}
    entries = entries | {"provenance": dict(provenance)}
    write_text_atomic(folder / EVALUATION, json.dumps(entries, indent=1) + "\n")
    return results


def read_errors(folder: Path) -> dict[str, PartErrors]:
    """The errors of each part; none where there is no evaluation yet.

    Raises DataError for a file that is damaged or of another form.
    """
    path = folder / EVALUATION
    stored = read_json(path, _Evaluation)
    try:
        return {part: PartErrors.from_json(stored[part]) for part in PARTS if stored.get(part)}
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not what this Ladera writes ({error!r}); evaluate the model again."
        ) from error


def read_finetune(folder: Path) -> Mapping[str, Any]:
    """What a fine-tuning says besides; empty for any other training."""
    return read_json(folder / EVALUATION).get(_FINETUNE) or {}


def read_predictions(folder: Path) -> dict[str, Predictions]:
    """The predictions of each part that has some; DataError for a damaged file."""
    paths = {part: _predictions(folder, part) for part in PARTS}
    return {part: Predictions.read(path) for part, path in paths.items() if path.exists()}


def files_of(part: str) -> tuple[str, str, str]:
    """The names of all files that an evaluation of one part may write."""
    return EVALUATION, _predictions(Path(), part).name, _extrapolation(part)


def _extrapolation(part: str) -> str:
    return f"extrapolation_{part}.csv"


def _predictions(folder: Path, part: str) -> Path:
    return folder / f"predictions_{part}.npz"


def _errors(stored: Mapping[str, Any]) -> ErrorsOf:
    names = (quantity.name for quantity in QUANTITIES)
    return {name: Errors(**stored[name]) if stored.get(name) else None for name in names}
