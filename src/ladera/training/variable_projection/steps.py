"""Epochs of a training by variable projection: one step of the radial coefficients each."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
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
# A training begins with one frame of so many, and takes as many steps in an epoch, where their
# labels are so many times the numbers to find; for at most this part of the epochs.
_ONE_OF: Final = 4
_ENOUGH: Final = 10
_BEGINNING: Final = 0.25


class VariableProjectionSteps:
    """Steps of an MTP: an epoch is one pass over all frames; see :class:`.Search`.

    In the first epochs it is several passes over some of them, each a step: a few frames say well
    enough which way the radial functions have to go.
    """

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
        self._fabric, self._train, self._n_epochs = fabric, prepared.train, config.epochs
        generator, n_few = np.random.default_rng(config.seed), len(self._train) // _ONE_OF
        self._few = np.sort(generator.choice(self._train, n_few, replace=False))
        self._rows = partial(FrameRows, potential, whole, batches, config.loss)
        rows = self._rows(self._few)
        self._n_begun = 0
        self._begins = config.epochs > 1 and rows.n_labels >= _ENOUGH * rows.n_columns
        self.search = Search(
            potential, rows if self._begins else self._rows(self._train), optimizer
        )

    @property
    def learning_rate(self) -> None:
        """There is none."""

    @property
    def converged(self) -> bool:
        """Whether another step would change next to nothing."""
        return self.search.converged and not self._begins

    def of_epoch(self, epoch: int) -> Sequence[Integers]:
        """The frames, in pieces; the same ones in every epoch, but for the first."""
        return self._pass() * (_ONE_OF if self._begins else 1)

    def _pass(self) -> list[Integers]:
        frames = self._few if self._begins else self._train
        return np.array_split(frames, -(-len(frames) // _FRAMES))

    def take(self, frames: Integers, number: int) -> None:
        """Add some frames to the sums, and after the last ones judge the radial coefficients."""
        n_pieces = len(self._pass())
        if number and number % n_pieces == 0:
            self.search.go_on()
        for frame in frames[self._fabric.global_rank :: self._fabric.world_size]:
            self.search.add(int(frame))
        if (number + 1) % n_pieces == 0:
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
        self._n_begun += self._begins
        enough = self._n_begun >= max(1, int(_BEGINNING * self._n_epochs))
        if self._begins and (enough or self.search.converged):
            self._begins = False
            self.search.widen(self._rows(self._train))
        else:
            self.search.go_on()

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs; all processes ask together."""
        begun = {"begins": self._begins, "begun": self._n_begun}
        return {"search": self.search.state(), "sums": self._sums(), **begun}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a stored state."""
        begins = state.get("begins", False)  # checkpoints had nothing of it at first
        if self._begins and not begins:
            self.search.widen(self._rows(self._train))
        self._begins, self._n_begun = begins, state.get("begun", 0)
        self.search.restore(state["search"])
        if self._fabric.is_global_zero:
            self.search.sums = np.asfortranarray(state["sums"].numpy())

    def _sums(self) -> Tensor:
        return over_processes(self._fabric, torch.from_numpy(self.search.sums))
