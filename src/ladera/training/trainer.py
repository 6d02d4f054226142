"""The training run. Interrupted anywhere, it goes on to the very same end."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import torch
from torch import Tensor

from ladera import modelfile
from ladera.errors import ConfigError, LaderaError, TrainingError
from ladera.files import write_text_atomic
from ladera.interrupt import StopRequest
from ladera.training import checkpoint, config_file, metrics
from ladera.training.batches import GIBIBYTE, Batch, Batches, GraphStore, in_order, shuffled
from ladera.training.config import TrainingConfig
from ladera.training.evaluation import evaluate_dataset, write_evaluations
from ladera.training.log import EpochLog, Row
from ladera.training.loss import COUNT, Objective
from ladera.training.optimizers import LearningRate, ParameterAverage, make_optimizer
from ladera.training.preparation import Prepared, prepare
from ladera.training.processes import launch
from ladera.training.provenance import provenance

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from ladera.potential import Potential

CHECKPOINT: Final = "checkpoint.safetensors"
MODEL: Final = "model.ladera"
# Called with a new potential, the data and their batches.
Initialize = Callable[["Potential", Prepared, Batches], None]
_DTYPES: Final = {"float64": torch.float64, "float32": torch.float32}


class Observer(Protocol):
    """Who wants to know how a run goes on."""

    def step(self, epoch: int, batch: int, n_batches: int) -> None:
        """A step is done: batch ``batch`` of ``n_batches`` in epoch ``epoch``, all from 1."""

    def epoch(self, row: Row) -> None:
        """An epoch is done; its row of log.csv."""


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

    Raises ConfigError for a folder that holds another run and a configuration that does not fit
    the data, DataError for data that the doctor forbids, TrainingError when the loss or its
    gradient is no longer finite.
    """
    folder = Path(folder)
    if not resume and (folder / "config.yaml").exists():
        raise ConfigError(
            f"{folder} already holds a run; continue it with --resume, or name another --output."
        )
    prepared = prepare(config)
    prepared.require_sound_data()
    stored = _stored_state(folder, prepared) if resume else None
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
        self.batches = Batches(prepared.dataset, graphs, prepared.weights)
        self.potential = self._new_potential(stored)
        if initialize is not None:
            initialize(self.potential, prepared, self.batches)
        self.objective = Objective(self.potential, config.loss)
        optimizer = make_optimizer(config.optimizer, self.potential.parameters())
        self.module, self.optimizer = fabric.setup(self.objective, optimizer)
        self.rate = LearningRate(config.schedule, config.epochs, config.optimizer.learning_rate)
        self.average = (
            ParameterAverage(self.potential.parameters(), config.ema_decay)
            if config.ema_decay is not None
            else None
        )
        self.epoch, self.batch = 0, 0  # what comes next, both from 0
        self.seconds = 0.0  # of the epoch so far
        self.sums = torch.zeros(3, 4, dtype=torch.float64)  # of the epoch so far, this process
        self.best: dict[str, Any] = {"loss": None, "epoch": 0, "tensors": {}}
        if stored:
            self._restore(stored)
        stress = config.loss.stress > 0
        parts = ("train", "validation")
        self.log = EpochLog(
            folder / "log.csv",
            ["epoch", "seconds", "learning_rate"]
            + [name for part in parts for name in (f"{part}_loss", *metrics.columns(part, stress))],
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
        config = self.config
        batches = shuffled(self.prepared.train, self.prepared.batch_size, config.seed, self.epoch)
        self.potential.train()
        started = time.perf_counter() - self.seconds
        while self.batch < len(batches):
            frames = batches[self.batch]
            time_in_epochs = self.epoch + self.batch / len(batches)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate.at(time_in_epochs, 1 / len(batches))
            self._step(self._share(frames))
            self.batch += 1
            self.seconds = time.perf_counter() - started
            self.observer.step(self.epoch + 1, self.batch, len(batches))
            if self._any_process(stop.requested):
                self._interrupt()
        self._end_epoch(started)
        if self._any_process(stop.requested):
            self._interrupt()

    def _step(self, batch: Batch) -> None:
        """One step of the optimiser, on this process's part of a batch."""
        counts = self._over_processes(batch.counts)
        first: list[Tensor] = []

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            sums = self.module(batch)
            # Every parameter takes part, also those of elements that are not in this batch, so
            # that all processes agree on the gradients there are. DDP takes their mean, we want
            # their sum.
            idle = sum((p.sum() for p in self.potential.parameters()), sums.new_zeros(()))
            loss = self.fabric.world_size * self.objective.total(sums, counts) + 0.0 * idle
            self.fabric.backward(loss)
            self._check_gradient(loss, batch)
            first.append(sums.detach())
            return loss

        try:
            self.optimizer.step(closure)
        except NotImplementedError as error:
            raise ConfigError(
                f"The {self.config.model.architecture} model cannot be trained on the device "
                f"{self.config.device} ({str(error).splitlines()[0]}); set device: cpu."
            ) from error
        if self.average:
            self.average.update()
        self.sums += first[0].cpu()

    def _check_gradient(self, loss: Tensor, batch: Batch) -> None:
        """Clip the gradient; stop when it, or the loss, is not finite."""
        limit = self.config.gradient_clip
        norm = torch.nn.utils.clip_grad_norm_(
            self.potential.parameters(), math.inf if limit is None else limit
        )
        if not bool(torch.isfinite(norm + loss.detach())):
            raise TrainingError(
                f"The loss or its gradient is no longer finite in epoch {self.epoch + 1} "
                f"(loss {float(loss.detach()):g}, gradient {float(norm):g}) on the frames "
                f"{', '.join(map(str, batch.frames.tolist()))}; lower optimizer.learning_rate, set "
                "gradient_clip, or look at these frames. The last checkpoint is intact."
            )

    def _end_epoch(self, started: float) -> None:
        """Validate, log, and keep the model if it is the best so far."""
        train_sums = self._over_processes(self.sums)
        rate = self.optimizer.param_groups[0]["lr"]
        row: dict[str, float | int | None] = {"epoch": self.epoch + 1, "learning_rate": rate}
        with self.average.applied() if self.average else nullcontext():
            sums = self._validate()
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
        self.rate.update(loss)
        row["seconds"] = time.perf_counter() - started
        self.epoch, self.batch, self.seconds = self.epoch + 1, 0, 0.0
        self.sums = torch.zeros_like(self.sums)
        if self.fabric.is_global_zero:
            self.log.append(row)
        self.observer.epoch(row)
        if self.epoch % self.config.checkpoint_interval == 0:
            self._save()

    def _validate(self) -> Tensor:
        """Sums over the validation frames, shared among the processes."""
        self.potential.eval()
        sums = torch.zeros_like(self.sums)
        rank, world = self.fabric.global_rank, self.fabric.world_size
        with torch.no_grad():
            for frames in in_order(self.prepared.validation[rank::world], 32):
                batch = self.batches.make(frames).to(self.fabric.device)
                sums += self.objective(batch).cpu()
        return self._over_processes(sums)

    def _errors(self, part: str, sums: Tensor) -> dict[str, float | None]:
        found = metrics.errors(part, sums)
        labelled = bool(sums[:, COUNT].any())
        total = float(self.objective.total(sums, sums[:, COUNT])) if labelled else None
        return {f"{part}_loss": total, **found}

    # --- several processes ---------------------------------------------------------------------

    def _share(self, frames: Any) -> Batch:
        """This process's part of a batch; a structure without labels where there is none left."""
        mine = frames[self.fabric.global_rank :: self.fabric.world_size]
        batch = self.batches.make(mine) if len(mine) else self._idle_batch(frames)
        return batch.to(self.fabric.device)

    def _idle_batch(self, frames: Any) -> Batch:
        return self.batches.make(frames[:1]).without_labels()

    def _over_processes(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.fabric.world_size == 1:
            return values
        total = values.to(self.fabric.device, copy=True)
        self.fabric.all_reduce(total, reduce_op="sum")  # in place
        return total.to(values.device)

    def _any_process(self, flag: bool) -> bool:
        return bool(self._over_processes(torch.tensor(float(flag))) > 0)

    # --- files ---------------------------------------------------------------------------------

    def _new_potential(self, stored: Mapping[str, Any] | None) -> Potential:
        """The potential before the first step; its constants come from the training data."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            potential = modelfile.build(self.config.model)
        if stored is None:
            view = [self.batches.graphs[int(k)] for k in self.prepared.train]
            potential.fit_statistics(view, self.prepared.statistics())
        return potential.to(_DTYPES[self.config.precision])

    def _open_folder(self) -> None:
        """Write what is known before the first step."""
        self.fabric.barrier()
        if not self.fabric.is_global_zero:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.start(self.epoch)
        if not (self.folder / CHECKPOINT).exists():
            # From here on, whatever happens, --resume has something to go on from.
            checkpoint.save(self.folder / CHECKPOINT, self._state(self.sums))
        report = json.dumps(self.prepared.report.to_json(), indent=1) + "\n"
        write_text_atomic(self.folder / "check.json", report)
        self.prepared.split.save(self.folder / "split.json")
        config_file.save(self.config, self.folder / "config.yaml")

    def _save(self) -> None:
        """Write a checkpoint."""
        sums = self._over_processes(self.sums)
        if self.fabric.is_global_zero:
            checkpoint.save(self.folder / CHECKPOINT, self._state(sums))

    def _state(self, sums: Tensor) -> dict[str, Any]:
        return {
            "config": config_file.as_json(self.config),
            "data_hash": self.prepared.dataset.hash,
            "potential": self.potential.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rate": self.rate.state,
            "average": self.average.state() if self.average else None,
            "best": self.best,
            "epoch": self.epoch,
            "batch": self.batch,
            "seconds": self.seconds,
            "sums": sums,
        }

    def _restore(self, stored: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.potential.load_state_dict(stored["potential"])
        self.optimizer.load_state_dict(stored["optimizer"])
        self.rate.state = stored["rate"]
        if self.average:
            self.average.restore(stored["average"])
        self.best = stored["best"]
        self.epoch, self.batch, self.seconds = stored["epoch"], stored["batch"], stored["seconds"]
        if self.fabric.is_global_zero:
            self.sums = stored["sums"]

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
        results = write_evaluations(parts, self.folder)
        self.potential.provenance = provenance(self.prepared, self.best, results)
        self.potential.save(self.folder / MODEL)


def _stored_state(folder: Path, prepared: Prepared) -> dict[str, Any]:
    """The checkpoint of a run, if it is of this configuration and these data."""
    state = checkpoint.load(folder / CHECKPOINT)
    try:
        found = config_file.first_difference(state["config"], config_file.as_json(prepared.config))
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
