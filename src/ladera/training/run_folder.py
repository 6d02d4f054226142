"""The folder of a training run: everything in it is written and read here.

=============================  =====================================================================
``config.yaml``                the configuration, all defaults and decisions included
``check.json``                 what the doctor found in the data
``split.json``                 which frames train, validate and test
``log.csv``                    a row for each epoch
``checkpoint.safetensors``     the state to go on from, see :mod:`ladera.training.checkpoint`
``evaluation.json`` and so on  see :mod:`ladera.training.evaluation_files`
``model.ladera``               the best model; its header has the provenance. Written last
``member_K``                   such a folder for each member of a committee, with ``messages.txt``
=============================  =====================================================================
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from ladera import loading, modelfile, provenance, table_files
from ladera.data.doctor.findings import Finding
from ladera.data.splits import StoredSplit
from ladera.differences import first_difference
from ladera.errors import ConfigError, ModelFileError
from ladera.files import first_mistake, read_json, require_absent, write_text_atomic
from ladera.identity import describe_data, describe_model
from ladera.lock import locked
from ladera.quantities import QUANTITIES
from ladera.schemas import Stored
from ladera.table_files import TableWriter
from ladera.training import checkpoint, config_file, evaluation_files
from ladera.training.evaluation import evaluate_dataset
from ladera.training.evaluation_files import PARTS, PartErrors
from ladera.training.predictions import Predictions
from ladera.training.prepared import Prepared
from ladera.training.processes import is_first_process

if TYPE_CHECKING:
    from ladera.data.graphs import GraphStore
    from ladera.potential import Potential

_CONFIG: Final = "config.yaml"
_CHECK: Final = "check.json"
_SPLIT: Final = modelfile.SPLIT
_LOG: Final = "log.csv"
_CHECKPOINT: Final = "checkpoint.safetensors"


class RunFolder:
    """What a run writes, and goes on from."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.model = self.path / modelfile.MODEL
        self.checkpoint = self.path / _CHECKPOINT
        self.messages = self.path / "messages.txt"  # of a member of a committee

    def member(self, number: int) -> RunFolder:
        """That of a member of a committee, from 0."""
        return RunFolder(self.path / f"member_{number}")

    @property
    def holds_run(self) -> bool:
        """Whether there is a run to go on with; true before it writes what a new one refuses."""
        return self.checkpoint.exists() or any(self.path.glob("member_*"))

    def require_new(self) -> None:
        """Raise ConfigError when there is a run already, or anything that a run would replace."""
        if self.holds_run or (self.path / _CONFIG).exists():
            raise ConfigError(
                f"{self.path} already holds a run; continue it with --resume, or name another "
                "--output."
            )
        evaluations = (name for part in PARTS for name in evaluation_files.files_of(part))
        if self.path.is_file():
            raise ConfigError(f"{self.path} is a file; choose another --output.")
        names = (_CHECK, _SPLIT, modelfile.MODEL, *evaluations)
        log = (
            [self.path / _LOG] if table_files.last_row(self.path / _LOG) else []
        )  # else nothing is lost
        require_absent(*log, *(self.path / name for name in dict.fromkeys(names)))

    def lock(self) -> AbstractContextManager[None]:
        """Hold the folder, in the process that writes."""
        return locked(self.path) if is_first_process() else nullcontext()

    def describe(self, prepared: Prepared) -> None:
        """Write what is known before the first step: findings, split, configuration."""
        report = json.dumps(prepared.report.to_json(), indent=1) + "\n"
        write_text_atomic(self.path / _CHECK, report)
        prepared.split.save(self.path / _SPLIT)
        config_file.save(prepared.config, self.path / _CONFIG)

    def log(self, columns: Sequence[str], n_epochs: int) -> TableWriter:
        """The log, with the rows of the first epochs if there are any.

        Those of later epochs, the last perhaps by half, are of a run that was killed after its
        checkpoint and does them again.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        path, kept = self.path / _LOG, None
        if n_epochs and path.exists():
            kept = table_files.position_after(path, n_epochs)
        return TableWriter(path, columns, position=kept, digits=8)

    def save(self, prepared: Prepared, state: Mapping[str, Any]) -> None:
        """Write a checkpoint."""
        run = {
            "config": config_file.as_json(prepared.config),
            "data_hash": prepared.dataset.hash,
        }
        checkpoint.save(self.checkpoint, {**run, **state})

    def stored(self, prepared: Prepared) -> dict[str, Any]:
        """The state in the checkpoint, if it is of this configuration and these data."""
        state = checkpoint.load(self.checkpoint)
        try:
            data_hash = _State.model_validate(state).data_hash
        except ValidationError as error:
            raise ModelFileError(
                f"{self.checkpoint} is no checkpoint that Ladera wrote ({first_mistake(error)}); "
                "start again in a new folder."
            ) from error
        # A key that is newer than the run has its default there.
        stored = config_file.parse(state["config"], f"The configuration in {self.checkpoint}")
        difference = first_difference(
            config_file.as_json(stored), config_file.as_json(prepared.config)
        )
        if difference:
            key, before, now = difference
            raise ConfigError(
                f"'{key}' was {before!r} in the run in {self.path} and is {now!r} now; give it the "
                "old value to resume, or start a new run with another --output."
            )
        if data_hash != prepared.dataset.hash:
            raise ConfigError(
                f"The data have changed since the run in {self.path} began (hash {data_hash[:12]}, "
                f"now {prepared.dataset.hash[:12]}); resume with the old files, or start a new run."
            )
        return state

    def finish(
        self,
        prepared: Prepared,
        potential: Potential,
        best: Mapping[str, Any],
        *,
        graphs: GraphStore | None = None,
        finetune: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Evaluate, write errors and predictions, and the model with its provenance.

        ``best`` has the epoch of the model and its validation loss; ``graphs`` are those of all
        frames, where some are kept; ``finetune`` is what
        :meth:`ladera.training.start.Start.result` says; ``more`` goes into the
        provenance besides.
        """
        parts = {
            name: evaluate_dataset(potential, prepared.dataset[indices], indices, graphs=graphs)
            for name, indices in prepared.parts.items()
        }
        record = {
            "model": describe_model(potential),
            "data": describe_data(prepared.dataset, _files_of(prepared)),
            **provenance.how(),
        }
        results = evaluation_files.write_evaluations(
            parts, self.path, provenance=record, finetune=finetune
        )
        potential.provenance = _provenance(prepared, best, results) | record | more
        potential.save(self.model)


def _provenance(
    prepared: Prepared, best: Mapping[str, Any], results: Mapping[str, Any]
) -> dict[str, Any]:
    """What a training adds to the record of its model: settings, split and errors of each part."""
    return {
        "config": config_file.as_json(prepared.config),
        "data_hash": prepared.dataset.hash,
        "split": prepared.split.to_json(),
        "seed": prepared.config.seed,
        "epoch": best["epoch"],
        "validation_loss": best["loss"],
        "errors": {
            part: {quantity.name: summary[quantity.name] for quantity in QUANTITIES}
            for part, summary in results.items()
        },
    }


def _files_of(prepared: Prepared) -> list[str]:
    """The files that the frames came from, where they are files."""
    data = prepared.config.data
    given = [*data.files, *data.validation_files, *data.test_files]
    return [file for file in given if os.path.exists(file)]


# --- reading -----------------------------------------------------------------------------------


class _Best(Stored):
    """The best parameters so far."""

    loss: float | None
    epoch: int
    tensors: dict[str, Any]


class _State(Stored):
    """What a checkpoint holds."""

    config: dict[str, Any]
    data_hash: str
    potential: dict[str, Any]
    steps: dict[str, Any]
    best: _Best
    epoch: int
    batch: int
    seconds: float
    first_loss: float | None = None


class _Check(Stored):
    """check.json."""

    n_frames: int
    n_atoms: int
    findings: list[Finding]


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """What is in a run's folder; a part is empty when its file is not there."""

    folder: Path
    config: str  # config.yaml as it is
    log: table_files.Columns
    evaluation: Mapping[str, PartErrors]  # by part: train, validation, test
    predictions: Mapping[str, Predictions]  # by part
    check: Mapping[str, Any]  # the doctor's report
    split: Mapping[str, Any]
    model: Mapping[str, Any]  # header of model.ladera: format_version, config, provenance
    finetune: Mapping[str, Any]  # what evaluation.json says of a fine-tuning

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> TrainingRun:
        """Read a run, finished or not; DataError when a file in it is damaged."""
        folder = Path(folder)
        config, model = folder / _CONFIG, folder / modelfile.MODEL
        return cls(
            folder=folder,
            config=config.read_text(encoding="utf-8", errors="replace") if config.exists() else "",
            log=read_log(folder),
            evaluation=evaluation_files.read_errors(folder),
            predictions=evaluation_files.read_predictions(folder),
            check=read_json(folder / _CHECK, _Check),
            split=read_json(folder / _SPLIT, StoredSplit),
            model=loading.read_header(model) if model.exists() else {},
            finetune=evaluation_files.read_finetune(folder),
        )


def read_log(folder: Path) -> table_files.Columns:
    """The columns of log.csv, a value for each epoch; none where there is no log."""
    return table_files.read(folder / _LOG)


def is_training(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a training run."""
    return any((Path(folder) / name).exists() for name in (_LOG, modelfile.MODEL))
