"""What an epoch is made of: the face of all ways to change parameters, and the choice of one.

Another way to train is a class with this face and a case of :func:`make_steps`; the trainer knows
none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from ladera.training.batches import Batches
from ladera.training.loss import Objective
from ladera.training.optimizer_config import Kalman, VariableProjection
from ladera.training.prepared import Prepared

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Steps(Protocol):
    """How each piece of an epoch changes the parameters of the objective's potential."""

    @property
    def learning_rate(self) -> float | None:
        """For the log; None where there is no such thing."""

    @property
    def converged(self) -> bool:
        """Whether further epochs would change nothing; never of most."""

    def of_epoch(self, epoch: int) -> Sequence[Any]:
        """The steps of an epoch, the same ones whenever they are asked for.

        The objective has the weights of that epoch by then.
        """

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


def make_steps(prepared: Prepared, batches: Batches, objective: Objective, fabric: Fabric) -> Steps:
    """Steps of the configured optimizer; ConfigError where it cannot train this potential."""
    parts = (prepared, batches, objective, fabric)
    match prepared.config.optimizer:
        case Kalman() as optimizer:
            from ladera.training.kalman.steps import KalmanSteps

            return KalmanSteps(optimizer, *parts)
        case VariableProjection() as optimizer:
            from ladera.training.variable_projection.steps import VariableProjectionSteps

            return VariableProjectionSteps(optimizer, *parts)
        case optimizer:
            from ladera.training.gradient_steps import GradientSteps

            return GradientSteps(optimizer, *parts)
