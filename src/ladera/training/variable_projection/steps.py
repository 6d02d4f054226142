"""Epochs of a training by variable projection: one step of the radial coefficients each."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor

from ladera.arrays import Integers
from ladera.errors import ConfigError
from ladera.models.mtp.model import MTP
from ladera.training.batches import Batches
from ladera.training.loss import Objective
from ladera.training.optimizer_config import VariableProjection
from ladera.training.prepared import Prepared
from ladera.training.processes import over_processes
from ladera.training.variable_projection.rows import FrameRows
from ladera.training.variable_projection.search import Search

if TYPE_CHECKING:
    from lightning_fabric import Fabric

log = logging.getLogger(__name__)

_FRAMES: Final = 8  # in one piece of an epoch, after which it can be interrupted


class VariableProjectionSteps:
    """Steps of an MTP: an epoch is one pass over all frames; see :class:`.Search`."""

    def __init__(
        self,
        optimizer: VariableProjection,
        prepared: Prepared,
        batches: Batches,
        objective: Objective,
        fabric: Fabric,
    ) -> None:
        config, whole = prepared.config, objective.potential
        potential = whole.uncorrected
        if not isinstance(potential, MTP) or (config.precision, config.device) != (
            "float64",
            "cpu",
        ):
            raise ConfigError(
                "Variable projection trains models of architecture mtp in float64 on the cpu, not "
                f"{prepared.model.architecture} in {config.precision} on {config.device}; take "
                "another optimizer, such as adam."
            )
        self._fabric, self._train = fabric, prepared.train
        rows = FrameRows(potential, whole, batches, config.loss, prepared.train)
        self.search = Search(potential, rows, optimizer)

    @property
    def learning_rate(self) -> None:
        """There is none."""

    @property
    def converged(self) -> bool:
        """Whether another step would change next to nothing."""
        return self.search.converged

    def of_epoch(self, epoch: int) -> Sequence[Integers]:
        """The frames, in pieces; the same ones in every epoch."""
        return np.array_split(self._train, -(-len(self._train) // _FRAMES))

    def take(self, frames: Integers, number: int) -> None:
        """Add some frames to the sums, and after the last ones judge the radial coefficients."""
        for frame in frames[self._fabric.global_rank :: self._fabric.world_size]:
            self.search.add(int(frame))
        if number == len(self.of_epoch(0)) - 1:
            self.search.judge(self._sums())

    def training_sums(self) -> Tensor | None:
        """Nobody kept them."""
        return None

    def averaged(self) -> AbstractContextManager[None]:
        """No parameters but the present ones."""
        return nullcontext()

    def end_epoch(self, validation_loss: float | None) -> None:
        """Go to the next radial coefficients."""
        log.debug("Condition of the linear problem: %.2g.", self.search.condition)
        self.search.go_on()

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs; all processes ask together."""
        return {"search": self.search.state(), "sums": self._sums()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a stored state."""
        self.search.restore(state["search"])
        if self._fabric.is_global_zero:
            self.search.sums = np.asfortranarray(state["sums"].numpy())

    def _sums(self) -> Tensor:
        return over_processes(self._fabric, torch.from_numpy(self.search.sums))
