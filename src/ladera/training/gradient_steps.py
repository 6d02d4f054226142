"""Epochs of a training by gradients: batches of frames, and one step of torch's optimiser each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ladera.arrays import Integers
from ladera.errors import ConfigError, TrainingError
from ladera.kernels.autograd import parameters_only
from ladera.potential import Potential
from ladera.quantities import QUANTITIES
from ladera.training.batches import Batch, Batches, filled, interleaved, shuffled
from ladera.training.config import AtomsPerBatch, TrainingConfig
from ladera.training.loss import Objective, padded
from ladera.training.optimizer_config import GradientOptimizer, ScheduleFree
from ladera.training.optimizers import (
    LearningRate,
    OptimizersAverage,
    ParameterAverage,
    make_optimizer,
)
from ladera.training.prepared import Prepared
from ladera.training.processes import over_processes, threads_worth

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class GradientSteps:
    """Steps along the gradient of the loss, shared among the processes of a run."""

    def __init__(
        self,
        optimizer: GradientOptimizer,
        prepared: Prepared,
        batches: Batches,
        objective: Objective,
        fabric: Fabric,
    ) -> None:
        config, potential = prepared.config, objective.potential
        self._config, self._prepared, self._batches = config, prepared, batches
        self._objective, self._fabric = objective, fabric
        self._replayed = prepared.replayed
        self._parameters = [p for p in potential.parameters() if p.requires_grad]
        for parameter in self._parameters:
            parameter.grad = torch.zeros_like(parameter)
        plain = make_optimizer(optimizer, potential)
        self._module, self._optimizer = fabric.setup(objective, plain)
        self._rate = LearningRate(config.schedule, config.epochs, optimizer.learning_rate)
        self._average = _average(config, potential, plain)
        # Of the epoch so far, this process.
        self._sums = torch.zeros(len(QUANTITIES), 4, dtype=torch.float64)
        self._epoch, self._steps = 0, 1

    @property
    def learning_rate(self) -> float:
        """That of the last step."""
        rate: float = self._optimizer.param_groups[0]["lr"]
        return rate

    @property
    def converged(self) -> bool:
        """It cannot tell."""
        return False

    def of_epoch(self, epoch: int) -> Sequence[Integers]:
        """The batches of an epoch; they depend on nothing but the seed and its number."""
        batches = self._shuffled(self._prepared.train, epoch)
        if len(self._replayed):
            batches = interleaved(batches, self._shuffled(self._replayed, epoch))
        self._epoch, self._steps = epoch, len(batches)
        return batches

    def _shuffled(self, frames: Integers, epoch: int) -> list[Integers]:
        size, seed = self._config.batch_size, self._config.seed
        if isinstance(size, AtomsPerBatch):
            counts = self._prepared.dataset.atom_counts[frames]
            return filled(frames, counts, size.atoms, seed, epoch)
        return shuffled(frames, self._prepared.batch_size, seed, epoch)

    def take(self, frames: Integers, number: int) -> None:
        """Step ``number`` of the epoch: follow the gradient of this process's part of a batch."""
        rate = self._rate_at(self._epoch + number / self._steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        batch = self._share(frames)
        counts = over_processes(self._fabric, batch.counts)
        first: list[Tensor] = []

        def closure() -> Tensor:
            self._optimizer.zero_grad(set_to_none=False)  # no gradient is a gradient of zero
            sums = self._module(batch)
            loss = self._fabric.world_size * self._objective.total(sums, counts)
            if self._fabric.world_size > 1:
                # DDP takes the mean of the processes, we want their sum; and it wants a gradient
                # of every parameter, also of elements that no process has in this batch.
                idle = sum((p.sum() for p in self._parameters), sums.new_zeros(()))
                loss = loss + 0.0 * idle
            with parameters_only():
                self._fabric.backward(loss)
            self._check_gradient(loss, batch)
            first.append(sums.detach())
            return loss

        try:
            with threads_worth(self._objective.potential, batch.graph.n_atoms):
                self._optimizer.step(closure)
        except NotImplementedError as error:
            raise ConfigError(
                f"The {self._prepared.model.architecture} model cannot be trained on the device "
                f"{self._config.device} ({str(error).splitlines()[0]}); set device: cpu."
            ) from error
        if self._average:
            self._average.update()
        if frames[0] not in self._replayed:
            self._sums += first[0].cpu()

    def _rate_at(self, time: float) -> float:
        second = self._config.stage_two
        if second and second.learning_rate and self._epoch >= self._config.first_epoch_of_stage_two:
            return second.learning_rate
        return self._rate.at(time, 1 / self._steps)

    def training_sums(self) -> Tensor:
        """Sums of :class:`Objective` over the steps since the epoch began, all processes."""
        return over_processes(self._fabric, self._sums)

    def averaged(self) -> AbstractContextManager[None]:
        """The running mean of the parameters in their place, if there is one."""
        return self._average.applied() if self._average else nullcontext()

    def end_epoch(self, validation_loss: float | None) -> None:
        """Take note of an epoch's end."""
        self._rate.update(validation_loss)
        self._sums = torch.zeros_like(self._sums)

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs; all processes must ask."""
        return {
            "optimizer": self._optimizer.state_dict(),
            "rate": self._rate.state,
            "average": self._average.state() if self._average else None,
            "sums": self.training_sums(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a stored state."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._rate.state = state["rate"]
        if self._average:
            self._average.restore(state["average"])
        if self._fabric.is_global_zero:
            self._sums = padded(state["sums"])

    def _check_gradient(self, loss: Tensor, batch: Batch) -> None:
        """Clip the gradient; stop when it, or the loss, is not finite."""
        if self._config.gradient_clip_value is not None:
            torch.nn.utils.clip_grad_value_(self._parameters, self._config.gradient_clip_value)
        limit = self._config.gradient_clip
        norm = torch.nn.utils.clip_grad_norm_(
            self._parameters, math.inf if limit is None else limit
        )
        if not bool(torch.isfinite(norm + loss.detach())):
            raise TrainingError(
                f"The loss or its gradient is no longer finite in epoch {self._epoch + 1} "
                f"(loss {float(loss.detach()):g}, gradient {float(norm):g}) on the frames "
                f"{', '.join(map(str, batch.frames.tolist()))}; lower optimizer.learning_rate, set "
                "gradient_clip, or look at these frames. The last checkpoint is intact."
            )

    def _share(self, frames: Integers) -> Batch:
        """This process's part of a batch; a structure without labels where there is none left."""
        mine = frames[self._fabric.global_rank :: self._fabric.world_size]
        if len(mine):
            batch = self._batches.make(mine)
        else:
            batch = self._batches.make(frames[:1]).without_labels()
        return batch.to(self._fabric.device)


def _average(
    config: TrainingConfig, potential: Potential, optimizer: Any
) -> ParameterAverage | OptimizersAverage | None:
    """The mean of the parameters over the steps, if the run keeps one."""
    if isinstance(config.optimizer, ScheduleFree):
        trained = [p for p in potential.parameters() if p.requires_grad]
        return OptimizersAverage(trained, optimizer)
    if config.ema_decay is not None:
        return ParameterAverage(potential.parameters(), config.ema_decay)
    return None
