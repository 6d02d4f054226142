"""The training run. Interrupted anywhere, it goes on to the very same end."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import torch
from torch import Tensor

from ladera import modelfile
from ladera.errors import ConfigError, LaderaError, TrainingError
from ladera.files import write_text_atomic
from ladera.interrupt import StopRequest
from ladera.models import registry
from ladera.quantities import QUANTITIES
from ladera.training import checkpoint, config_file, metrics
from ladera.training.batches import GIBIBYTE, Batches, GraphStore, in_order
from ladera.training.config import TrainingConfig
from ladera.training.evaluation import evaluate_dataset, write_evaluations
from ladera.training.finetune import adapters
from ladera.training.finetune.run import Finetuning
from ladera.training.gradient_steps import GradientSteps
from ladera.training.log import EpochLog, Row
from ladera.training.loss import COUNT, Objective, require_learnable
from ladera.training.optimizer_config import Kalman
from ladera.training.preparation import Indices, Prepared, prepare
from ladera.training.processes import launch, over_processes
from ladera.training.provenance import provenance

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from ladera.potential import Potential

CHECKPOINT: Final = "checkpoint.safetensors"
MODEL: Final = modelfile.MODEL
# Called with a new potential, the data and their batches.
Initialize = Callable[["Potential", Prepared, Batches], None]
_DTYPES: Final = {"float64": torch.float64, "float32": torch.float32}


class Observer(Protocol):
    """Who wants to know how a run goes on."""

    def step(self, epoch: int, batch: int, n_batches: int) -> None:
        """A step is done: batch ``batch`` of ``n_batches`` in epoch ``epoch``, all from 1."""

    def epoch(self, row: Row) -> None:
        """An epoch is done; its row of log.csv."""


class Steps(Protocol):
    """What an epoch is made of, and how each piece of it changes the parameters."""

    @property
    def learning_rate(self) -> float | None:
        """For the log; None where there is no such thing."""

    def of_epoch(self, epoch: int) -> Sequence[Any]:
        """The steps of an epoch, the same ones whenever they are asked for."""

    def take(self, step: Any, number: int) -> None:
        """Take one of them, number ``number`` of the epoch."""

    def training_sums(self) -> Tensor | None:
        """Sums of the objective over the epoch so far; None where nobody kept them."""

    def averaged(self) -> AbstractContextManager[None]:
        """The parameters to validate and to keep, in place of the present ones."""

    def end_epoch(self, validation_loss: float | None) -> None:
        """An epoch is done."""

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs; all processes ask together."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a stored state."""


class Silent:
    """The observer who does not care."""

    def step(self, epoch: int, batch: int, n_batches: int) -> None:
        """Nothing."""

    def epoch(self, row: Row) -> None:
        """Nothing."""


def train(
    config: TrainingConfig,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    observer: Observer | None = None,
    initialize: Initialize | None = None,
) -> Potential:
    """Train a potential and return the best one.

    ``folder`` receives config.yaml, check.json (what the doctor found), split.json, log.csv (a row
    per epoch), checkpoint.safetensors, and at the end model.ladera, evaluation.json and
    predictions_PART.npz. With ``resume`` the run in it goes on from its checkpoint to exactly the
    parameters it would have had; configuration and data must be the same.

    Ctrl-C and SIGTERM finish the step, write a checkpoint and raise KeyboardInterrupt.

    ``initialize`` may change the new potential (first weights, constants) before the first step;
    when a run goes on its parameters replace those.

    With ``config.committee`` several such runs, in the folders member_0, member_1, ..., make one
    committee; see :func:`ladera.training.committee.train_committee`.

    Raises ConfigError for a folder that holds another run and a configuration that does not fit
    the data, DataError for data that the doctor forbids, TrainingError when the loss or its
    gradient is no longer finite.
    """
    folder = Path(folder)
    if config.committee is not None:
        from ladera.training.committee import train_committee  # which is made of such runs

        if initialize is not None:
            raise ConfigError(
                "A committee cannot start from given parameters; leave 'committee' out, or train "
                "by a YAML file."
            )
        return train_committee(config, folder, resume=resume, observer=observer or Silent())
    if not resume and (folder / "config.yaml").exists():
        raise ConfigError(
            f"{folder} already holds a run; continue it with --resume, or name another --output."
        )
    prepared = prepare(config)
    prepared.require_sound_data()
    stored = stored_state(folder, prepared) if resume else None
    # Whoever joins a run of several processes reads what was here before the first one writes.
    fabric = launch(prepared.config)
    run = _Run(prepared, folder, fabric, observer or Silent(), stored, initialize)
    return run.complete()


class _Run:
    """The state of a run and its loop."""

    def __init__(
        self,
        prepared: Prepared,
        folder: Path,
        fabric: Fabric,
        observer: Observer,
        stored: Mapping[str, Any] | None,
        initialize: Initialize | None,
    ) -> None:
        self.prepared, self.config = prepared, prepared.config
        self.folder, self.fabric, self.observer = folder, fabric, observer
        config = self.config
        graphs = GraphStore(
            prepared.dataset, config.model.cutoff, config.data.graph_memory * GIBIBYTE
        )
        self.batches = Batches(prepared.dataset, graphs, prepared.weights, prepared.heads)
        self.finetuning = Finetuning(prepared) if config.finetune else None
        self.potential = self._new_potential(stored)
        if initialize is not None:
            initialize(self.potential, prepared, self.batches)
        self.objective = Objective(self.potential, config.loss)
        self.steps = self._new_steps()
        self.epoch, self.batch = 0, 0  # what comes next, both from 0
        self.seconds = 0.0  # of the epoch so far
        self.best: dict[str, Any] = {"loss": None, "epoch": 0, "tensors": {}}
        if stored:
            self._restore(stored)
        parts = ("train", "validation")
        self.log = EpochLog(
            folder / "log.csv",
            ["epoch", "seconds", "learning_rate"]
            + [
                name
                for part in parts
                for name in (f"{part}_loss", *metrics.columns(part, config.loss))
            ],
        )

    # --- the loop ------------------------------------------------------------------------------

    def complete(self) -> Potential:
        """Train until the end, evaluate, write the model."""
        self._open_folder()
        with StopRequest() as stop:
            while not self._finished():
                self._train_epoch(stop)
        self._save()
        self.fabric.barrier()
        self.potential.load_state_dict(self.best["tensors"])
        adapters.merge(self.potential)
        self.potential.eval().requires_grad_(False)
        if self.fabric.is_global_zero:
            self._write_results()
        self.fabric.barrier()
        return self.potential

    def _finished(self) -> bool:
        patience = self.config.early_stopping
        stale = patience is not None and self.epoch - self.best["epoch"] >= patience
        return self.epoch >= self.config.epochs or (stale and self.batch == 0)

    def _train_epoch(self, stop: StopRequest) -> None:
        steps = self.steps.of_epoch(self.epoch)
        self.potential.train()
        started = time.perf_counter() - self.seconds
        while self.batch < len(steps):
            self.steps.take(steps[self.batch], self.batch)
            self.batch += 1
            self.seconds = time.perf_counter() - started
            self.observer.step(self.epoch + 1, self.batch, len(steps))
            if self._any_process(stop.requested):
                self._interrupt()
        self._end_epoch(started)
        if self._any_process(stop.requested):
            self._interrupt()

    def _end_epoch(self, started: float) -> None:
        """Validate, log, and keep the model if it is the best so far."""
        rate = self.steps.learning_rate
        row: dict[str, float | int | None] = {"epoch": self.epoch + 1, "learning_rate": rate}
        self.objective.weigh(self.config.loss_of(self.epoch))
        if self.epoch == self.config.first_epoch_of_stage_two:
            self.best["loss"] = None  # of other weights, not to be compared
        with self.steps.averaged():
            train_sums = self.steps.training_sums()
            if train_sums is None:
                train_sums = self._sums_over(self.prepared.train)
            sums = self._sums_over(self.prepared.validation)
            row |= self._errors("train", train_sums) | self._errors("validation", sums)
            loss = row["validation_loss"]
            for part in ("train", "validation"):
                value = row[f"{part}_loss"]
                if value is not None and not math.isfinite(value):
                    raise TrainingError(
                        f"The {part} loss of epoch {self.epoch + 1} is {value}; lower "
                        "optimizer.learning_rate. The last checkpoint is intact."
                    )
            best = self.best["loss"]
            if loss is None or best is None or loss < best:
                tensors = {k: v.detach().clone() for k, v in self.potential.state_dict().items()}
                self.best = {"loss": loss, "epoch": self.epoch + 1, "tensors": tensors}
        self.steps.end_epoch(loss)
        row["seconds"] = time.perf_counter() - started
        self.epoch, self.batch, self.seconds = self.epoch + 1, 0, 0.0
        if self.fabric.is_global_zero:
            self.log.append(row)
        self.observer.epoch(row)
        if self.epoch % self.config.checkpoint_interval == 0:
            self._save()

    def _sums_over(self, indices: Indices) -> Tensor:
        """Sums of the objective over frames, shared among the processes."""
        self.potential.eval()
        sums = torch.zeros(len(QUANTITIES), 4, dtype=torch.float64)
        rank, world = self.fabric.global_rank, self.fabric.world_size
        with torch.no_grad():
            for frames in in_order(indices[rank::world], 32):
                batch = self.batches.make(frames).to(self.fabric.device)
                sums += self.objective(batch).cpu()
        return over_processes(self.fabric, sums)

    def _errors(self, part: str, sums: Tensor) -> dict[str, float | None]:
        found = metrics.errors(part, sums)
        labelled = bool(sums[:, COUNT].any())
        total = float(self.objective.total(sums, sums[:, COUNT])) if labelled else None
        return {f"{part}_loss": total, **found}

    # --- several processes ---------------------------------------------------------------------

    def _any_process(self, flag: bool) -> bool:
        return bool(over_processes(self.fabric, torch.tensor(float(flag))) > 0)

    # --- files ---------------------------------------------------------------------------------

    def _new_potential(self, stored: Mapping[str, Any] | None) -> Potential:
        """The potential before the first step; its constants come from the training data."""
        if self.finetuning is not None:
            potential = self.finetuning.potential()
            require_learnable(potential, self.config)
            return potential.to(_DTYPES[self.config.precision])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            potential = registry.build(self.config.model)
        require_learnable(potential, self.config)
        if stored is None:
            view = [self.batches.graphs[int(k)] for k in self.prepared.train]
            potential.fit_statistics(view, self.prepared.statistics())
        return potential.to(_DTYPES[self.config.precision])

    def _new_steps(self) -> Steps:
        """What an epoch is made of, by the configured optimizer."""
        config = self.config
        parts = (self.prepared, self.batches, self.potential, self.fabric)
        if isinstance(config.optimizer, Kalman):
            from ladera.training.kalman.steps import KalmanSteps

            return KalmanSteps(config, config.optimizer, *parts)
        return GradientSteps(config, config.optimizer, *parts)

    def _open_folder(self) -> None:
        """Write what is known before the first step."""
        state = self._state()
        self.fabric.barrier()
        if not self.fabric.is_global_zero:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.start(self.epoch)
        if not (self.folder / CHECKPOINT).exists():
            # From here on, whatever happens, --resume has something to go on from.
            checkpoint.save(self.folder / CHECKPOINT, state)
        report = json.dumps(self.prepared.report.to_json(), indent=1) + "\n"
        write_text_atomic(self.folder / "check.json", report)
        self.prepared.split.save(self.folder / "split.json")
        config_file.save(self.config, self.folder / "config.yaml")

    def _save(self) -> None:
        """Write a checkpoint."""
        state = self._state()
        if self.fabric.is_global_zero:
            checkpoint.save(self.folder / CHECKPOINT, state)

    def _state(self) -> dict[str, Any]:
        return {
            "config": config_file.as_json(self.config),
            "data_hash": self.prepared.dataset.hash,
            "potential": self.potential.state_dict(),
            "steps": self.steps.state(),
            "best": self.best,
            "epoch": self.epoch,
            "batch": self.batch,
            "seconds": self.seconds,
        }

    def _restore(self, stored: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.potential.load_state_dict(stored["potential"])
        self.steps.restore(stored["steps"])
        self.best = stored["best"]
        self.epoch, self.batch, self.seconds = stored["epoch"], stored["batch"], stored["seconds"]

    def _interrupt(self) -> None:
        self._save()
        self.fabric.barrier()
        raise KeyboardInterrupt(
            f"epoch {self.epoch + 1}, {self.batch} steps into it; {self.folder / CHECKPOINT} is "
            "written, continue with --resume"
        )

    def _write_results(self) -> None:
        """evaluation.json, the predictions, and the model, which is written last."""
        parts = {
            name: evaluate_dataset(self.potential, self.prepared.dataset[indices], indices)
            for name, indices in self.prepared.parts.items()
        }
        tuned = None if self.finetuning is None else self.finetuning.result(self.potential)
        results = write_evaluations(parts, self.folder, finetune=tuned)
        self.potential.provenance = provenance(self.prepared, self.best, results)
        self.potential.save(self.folder / MODEL)


def stored_state(folder: Path, prepared: Prepared) -> dict[str, Any]:
    """The checkpoint of a run, if it is of this configuration and these data."""
    state = checkpoint.load(folder / CHECKPOINT)
    try:
        # A key that is newer than the run has its default there.
        config = config_file.parse(state["config"], f"The configuration in {folder / CHECKPOINT}")
        old = config_file.as_json(config)
        found = config_file.first_difference(old, config_file.as_json(prepared.config))
        data_hash = state["data_hash"]
    except KeyError as error:
        raise LaderaError(f"{folder / CHECKPOINT} lacks {error}; start again.") from error
    if found:
        key, old, new = found
        raise ConfigError(
            f"'{key}' was {old!r} in the run in {folder} and is {new!r} now; give it the old value "
            "to resume, or start a new run with another --output."
        )
    if data_hash != prepared.dataset.hash:
        raise ConfigError(
            f"The data have changed since the run in {folder} began (hash {data_hash[:12]}, now "
            f"{prepared.dataset.hash[:12]}); resume with the old files, or start a new run."
        )
    return state
