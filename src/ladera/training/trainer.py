"""The training run. Interrupted anywhere, it goes on to the very same end."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor

from ladera.arrays import Integers
from ladera.data.graphs import GraphStore, room
from ladera.errors import ConfigError, TrainingError
from ladera.interrupt import StopRequest
from ladera.progress import Task
from ladera.quantities import MILLI, QUANTITIES, pretty
from ladera.table_files import TableWriter
from ladera.training import best_epoch, metrics
from ladera.training.active_set import choose_active_set
from ladera.training.batches import Batches, in_order
from ladera.training.committee import train_committee
from ladera.training.config import TrainingConfig
from ladera.training.loss import COUNT, SQUARE, Objective
from ladera.training.observer import Observer, OnEpoch, Silent, Teller, in_words
from ladera.training.preparation import prepare
from ladera.training.prepared import Prepared
from ladera.training.processes import launch, over_processes
from ladera.training.run_folder import RunFolder, read_log
from ladera.training.steps import make_steps

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from ladera.graph import Graph
    from ladera.potential import Potential

# Called with a new potential, the data and their batches.
Initialize = Callable[["Potential", Prepared, Batches], None]
_DTYPES: Final = {"float64": torch.float64, "float32": torch.float32}
_PARTS: Final = ("train", "validation")
DIVERGED: Final = 10.0  # times the loss before the first step, of the best model
FEW_FRAMES: Final = 32  # on which they are compared


def train(
    config: TrainingConfig,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    observer: Observer | None = None,
    on_epoch: OnEpoch | None = None,
) -> Potential:
    """Train a potential and return the best one.

    ``folder`` receives the files of :mod:`ladera.training.run_folder`. With ``resume`` the run in
    it goes on from its checkpoint to exactly the parameters it would have had; configuration and
    data must be the same.

    ``on_epoch`` is called with one dictionary after each epoch, for trackers of experiments: the
    names and numbers of a row of log.csv, such as ``epoch``, ``validation_loss`` and
    ``validation_force_rmse_mev_per_angstrom``; of a committee with the ``member``, epochs counted
    over all of them. An ``observer`` hears of every step besides.

    Ctrl-C and the signals of queue systems (:mod:`ladera.interrupt`) finish the step, write a
    checkpoint and raise KeyboardInterrupt.

    With ``config.committee`` several such runs, in the folders member_0, member_1, ..., make one
    committee; see :func:`ladera.training.committee.train_committee`.

    Raises ConfigError for a folder that holds another run, or in which one is at work, and for a
    configuration that does not fit the data, DataError for data that the doctor forbids,
    TrainingError when the loss or its gradient is no longer finite.
    """
    if not resume:
        RunFolder(folder).require_new()
    observer = observer or Silent(on_epoch)
    return train_prepared(prepare(config), folder, resume=resume, observer=observer)


def train_prepared(
    prepared: Prepared,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    observer: Observer | None = None,
    initialize: Initialize | None = None,
) -> Potential:
    """What :func:`train` does, of data that are read already.

    ``initialize`` may change the new potential (first weights, constants) before the first step;
    when a run goes on its parameters replace those.
    """
    prepared.require_sound_data()
    run_folder, observer = RunFolder(folder), observer or Silent()
    with run_folder.lock():
        return _train(prepared, run_folder, resume, observer, initialize)


def _train(
    prepared: Prepared,
    run_folder: RunFolder,
    resume: bool,
    observer: Observer,
    initialize: Initialize | None,
) -> Potential:
    """Train in a folder that nobody else is at work in."""
    if not resume:
        run_folder.require_new()
    if prepared.config.committee is not None:
        if initialize is not None:
            raise ConfigError(
                "A committee cannot start from given parameters; leave 'committee' out, or train "
                "by a YAML file."
            )
        return train_committee(prepared, run_folder, observer)
    stored = run_folder.stored(prepared) if resume else None
    # Whoever joins a run of several processes reads what was here before the first one writes.
    fabric = launch(prepared.config)
    return _Run(prepared, run_folder, fabric, observer, stored, initialize).complete()


class _Run:
    """The state of a run and its loop."""

    task: Task

    def __init__(
        self,
        prepared: Prepared,
        folder: RunFolder,
        fabric: Fabric,
        observer: Observer,
        stored: Mapping[str, Any] | None,
        initialize: Initialize | None,
    ) -> None:
        self.prepared, self.config = prepared, prepared.config
        self.folder, self.fabric, self.observer = folder, fabric, observer
        self.graphs = _graphs(prepared)
        self.batches = Batches(prepared.dataset, self.graphs, prepared.weights, prepared.heads)
        potential = prepared.start.potential(prepared, self.batches, stored is not None)
        self.potential = potential.to(_DTYPES[self.config.precision])
        if initialize is not None:
            initialize(self.potential, prepared, self.batches)
        if not prepared.learns_gradients:
            self.graphs = _graphs(prepared)  # those that the statistics took are in the way now
            self.batches.graphs = _graphs(prepared, self.potential.reduced)
        self.objective = Objective(self.potential, self.config.loss)
        self.steps = make_steps(prepared, self.batches, self.objective, fabric)
        self.epoch, self.batch = 0, 0  # what comes next, both from 0
        self.seconds = 0.0  # of the epoch so far
        self.best: dict[str, Any] = {"loss": None, "epoch": 0, "tensors": {}}
        self.first_loss: float | None = None  # of a few frames, before the first step
        if stored:
            self._restore(stored)
        else:
            sums = self._sums_over(self._few_frames())
            self.first_loss = float(self.objective.total(sums, sums[:, COUNT]))
            if self.config.finetune is not None and len(prepared.validation):
                self._keep(self._errors("validation", self._sums_over(prepared.validation)), 0)
        self._teller = Teller(self.config.epochs)
        self.log: TableWriter | None = None  # of the process that writes

    # --- the loop ------------------------------------------------------------------------------

    def complete(self) -> Potential:
        """Train until the end, evaluate, write the model."""
        try:
            self._open_folder()
            total = self.config.epochs
            with StopRequest() as stop, Task("epochs", total, done=self.epoch) as self.task:
                while not self._finished():
                    self._train_epoch(stop)
        finally:
            if self.log is not None:
                self.log.close()
        self._save()
        self.fabric.barrier()
        self.potential.load_state_dict(self.best["tensors"])
        self._require_converging()
        self.prepared.start.settle(self.potential)
        self.potential.eval().requires_grad_(False)
        if self.fabric.is_global_zero:
            doubt = best_epoch.doubt(
                read_log(self.folder.path), self.best["epoch"], self.config.loss_of(self.epoch - 1)
            )
            if doubt:
                warnings.warn(doubt, stacklevel=2)
            result = self.prepared.start.result(self.potential)
            graphs = self.graphs  # with their neighbour lists, as far as these are kept
            train = self.prepared.parts["train"]
            choose_active_set(
                self.potential, self.prepared.dataset, graphs, train, self.prepared.heads
            )
            self.folder.finish(
                self.prepared, self.potential, self.best, graphs=graphs, finetune=result
            )
        self.fabric.barrier()
        return self.potential

    def _require_converging(self) -> None:
        """TrainingError for a best model far worse than the first, and than guessing the mean.

        On a few frames, by the loss of the first epoch; the guess is that of training frames, for
        one frame to validate on is its own mean.
        """
        if self.first_loss is None:
            return
        self.objective.weigh(self.config.loss_of(0))
        frames = self._few_frames()
        sums = self._sums_over(frames)
        last = float(self.objective.total(sums, sums[:, COUNT]))
        if last <= DIVERGED * self.first_loss:
            return
        names, worse = [], False
        dataset = self.prepared.dataset[self.prepared.train[:FEW_FRAMES]]
        for quantity, row in zip(QUANTITIES, sums.tolist(), strict=True):
            labels = dataset.column(quantity.name)
            labels = labels / dataset.atom_counts if quantity.extensive else labels
            if row[COUNT]:
                error, guess = math.sqrt(row[SQUARE] / row[COUNT]), float(np.nanstd(labels))
                unit, worse = pretty(quantity.unit_of_errors), worse or error > guess
                names.append(
                    f"{quantity.name} {MILLI * error:.2g} {unit}, the mean of the labels "
                    f"{MILLI * guess:.2g}"
                )
        if not worse:
            return
        raise TrainingError(
            f"The training diverged: the loss of its best model is {last:.2g}, and was "
            f"{self.first_loss:.2g} before the first step (root mean square errors: "
            f"{'; '.join(names)}); no model was written. Start a new run with a lower "
            "optimizer.learning_rate."
        )

    def _few_frames(self) -> Integers:
        """Frames on which the first model and the best one are compared."""
        several = self.prepared.validation if len(self.prepared.validation) else self.prepared.train
        return several[:FEW_FRAMES]

    def _finished(self) -> bool:
        patience = self.config.early_stopping
        stale = patience is not None and self.epoch - self.best["epoch"] >= patience
        ended = self.epoch >= self.config.epochs or self.steps.converged
        return ended or (stale and self.batch == 0)

    def _train_epoch(self, stop: StopRequest) -> None:
        self.objective.weigh(self.config.loss_of(self.epoch))
        steps = self.steps.of_epoch(self.epoch)
        self.potential.train()
        started = time.perf_counter() - self.seconds
        while self.batch < len(steps):
            self.steps.take(steps[self.batch], self.batch)
            self.batch += 1
            self.seconds = time.perf_counter() - started
            self.task.done = self.epoch + self.batch / len(steps)
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
        if self.epoch == self.config.first_epoch_of_stage_two:
            self.best["loss"] = None  # of other weights, not to be compared
        with self.steps.averaged():
            train_sums = self.steps.training_sums()
            if train_sums is None:
                train_sums = self._sums_over(self.prepared.train)
            sums = self._sums_over(self.prepared.validation)
            row |= self._errors("train", train_sums) | self._errors("validation", sums)
            loss = row["validation_loss"]
            for part in _PARTS:
                value = row[f"{part}_loss"]
                if value is not None and not math.isfinite(value):
                    raise TrainingError(
                        f"The {part} loss of epoch {self.epoch + 1} is {value}; lower "
                        "optimizer.learning_rate. The last checkpoint is intact."
                    )
            best = self.best["loss"]
            if loss is None or best is None or loss < best:
                self._keep(row, self.epoch + 1)
        self.steps.end_epoch(loss)
        row["seconds"] = time.perf_counter() - started
        self.epoch, self.batch, self.seconds = self.epoch + 1, 0, 0.0
        if self.log is not None:
            self.log.write(row)
        self.task.words = in_words(row)
        if self.fabric.is_global_zero:
            self._teller.tell(row)
        self.observer.epoch(row)
        if self.epoch % self.config.checkpoint_interval == 0:
            self._save()

    def _keep(self, row: Mapping[str, Any], epoch: int) -> None:
        """The parameters as they are now, after so many epochs, for the best so far."""
        tensors = {k: v.detach().clone() for k, v in self.potential.state_dict().items()}
        self.best = {"loss": row["validation_loss"], "epoch": epoch, "tensors": tensors}

    def _sums_over(self, indices: Integers) -> Tensor:
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
        labelled = bool(sums[:, COUNT].any())
        total = float(self.objective.total(sums, sums[:, COUNT])) if labelled else None
        return {f"{part}_loss": total, **metrics.errors(part, sums)}

    # --- several processes ---------------------------------------------------------------------

    def _any_process(self, flag: bool) -> bool:
        return bool(over_processes(self.fabric, torch.tensor(float(flag))) > 0)

    # --- files ---------------------------------------------------------------------------------

    def _open_folder(self) -> None:
        """Write what is known before the first step."""
        state = self._state()
        self.fabric.barrier()
        if not self.fabric.is_global_zero:
            return
        columns = ["epoch", "seconds", "learning_rate"]
        for part in _PARTS:
            columns += [f"{part}_loss", *metrics.columns(part, self.config.loss)]
        self.log = self.folder.log(columns, self.epoch)
        if not self.folder.checkpoint.exists():
            # From here on, whatever happens, --resume has something to go on from.
            self.folder.save(self.prepared, state)
        self.folder.describe(self.prepared)

    def _save(self) -> None:
        """Write a checkpoint."""
        state = self._state()
        if self.fabric.is_global_zero:
            self.folder.save(self.prepared, state)

    def _state(self) -> dict[str, Any]:
        return {
            "potential": self.potential.state_dict(),
            "steps": self.steps.state(),
            "best": self.best,
            "epoch": self.epoch,
            "batch": self.batch,
            "seconds": self.seconds,
            "first_loss": self.first_loss,
        }

    def _restore(self, stored: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.potential.load_state_dict(stored["potential"])
        self.steps.restore(stored["steps"])
        self.best = stored["best"]
        self.epoch, self.batch, self.seconds = stored["epoch"], stored["batch"], stored["seconds"]
        self.first_loss = stored.get("first_loss")  # of a run by 0.1.0 it is not known

    def _interrupt(self) -> None:
        self._save()
        self.fabric.barrier()
        raise KeyboardInterrupt(
            f"epoch {self.epoch + 1}, {self.batch} steps into it; {self.folder.checkpoint} is "
            "written, continue with --resume"
        )


def _graphs(prepared: Prepared, reduced: Callable[[Graph], Graph] | None = None) -> GraphStore:
    """The graphs of all frames, or what a model makes of them, as many kept as may be."""
    memory = room(prepared.config.data.graph_memory)
    return GraphStore(prepared.dataset, prepared.model.cutoff, memory, reduced)
