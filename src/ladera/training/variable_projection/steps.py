"""Epochs of a training by variable projection: one step of the radial coefficients each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from scipy.linalg.blas import dsyrk
from torch import Tensor

from ladera.arrays import Floats, Integers
from ladera.errors import ConfigError, TrainingError
from ladera.models.mtp.model import MTP
from ladera.training.batches import Batches
from ladera.training.loss import Objective
from ladera.training.optimizer_config import VariableProjection
from ladera.training.prepared import Prepared
from ladera.training.processes import over_processes
from ladera.training.variable_projection import least_squares
from ladera.training.variable_projection.rows import FrameRows

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_FRAMES: Final = 8  # in one piece of an epoch, after which it can be interrupted


class VariableProjectionSteps:
    """Steps of an MTP: an epoch is one pass over all frames at some radial coefficients.

    It sums the products of all columns (:mod:`.least_squares`). Their minimum over the linear
    coefficients says whether the radial ones are better than the best so far, whose sums say where
    to go next.
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
        self._config, self._fabric, self._train = optimizer, fabric, prepared.train
        self._potential = potential
        self._rows = FrameRows(potential, whole, batches, config.loss, prepared.train)
        self._n_linear = self._rows.n_linear
        self._gram = self._nothing()  # of the epoch so far, this process
        self._best: dict[str, Any] = {}  # of the best radial coefficients: gram, loss, and so on
        self._damping, self._growth = optimizer.damping, 2.0
        self._expected = 0.0  # the loss that the linear problem expects
        self.condition = math.nan
        self._done = False
        # What a pass is: the first knows no w, so that c changes nothing; a step has the w that
        # was expected, which is not quite the best one; an exact one repeats the best c with its
        # best w.
        self._pass: Literal["first", "step", "exact"] = "first"

    @property
    def learning_rate(self) -> None:
        """There is none."""

    @property
    def converged(self) -> bool:
        """Whether another step would change next to nothing."""
        return self._done

    def of_epoch(self, epoch: int) -> Sequence[Integers]:
        """The frames, in pieces; the same ones in every epoch."""
        return np.array_split(self._train, -(-len(self._train) // _FRAMES))

    def take(self, frames: Integers, number: int) -> None:
        """Add some frames to the sums, and after the last ones judge the radial coefficients."""
        rank, world = self._fabric.global_rank, self._fabric.world_size
        for frame in frames[rank::world]:
            for rows in self._rows.of(int(frame), radial=bool(self._best)):
                # BLAS counts columns first: rows of ours are columns of its.
                self._gram = dsyrk(1.0, rows.T, 1.0, self._gram, overwrite_c=True)
        if number == -(-len(self._train) // _FRAMES) - 1:
            self._judge()

    def training_sums(self) -> Tensor | None:
        """Nobody kept them."""
        return None

    def averaged(self) -> AbstractContextManager[None]:
        """No parameters but the present ones."""
        return nullcontext()

    def end_epoch(self, validation_loss: float | None) -> None:
        """Go to the next radial coefficients to try, or again to the best with the best w."""
        best = self._best
        gram, radial = best["gram"].numpy(), best["radial"].numpy().ravel()
        self._gram = self._nothing()
        if self._pass == "step":
            step = least_squares.step(gram, self._n_linear, self._config.ridge, self._damping)
            self._expected = step.loss
            if best["loss"] - step.loss > self._config.tolerance * best["loss"]:
                self._set(radial + step.change, step.weights)
                return
            self._done = best["exact"]
            self._pass = "exact"
        self._set(radial, best["weights"].numpy())

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs; all processes ask together."""
        return {
            "gram": over_processes(self._fabric, torch.from_numpy(self._gram.T)),
            "best": self._best,
            "damping": self._damping,
            "growth": self._growth,
            "expected": self._expected,
            "condition": self.condition,
            "converged": self._done,
            "pass": self._pass,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a stored state."""
        if self._fabric.is_global_zero:
            self._gram = state["gram"].numpy().T
        self._best = dict(state["best"])
        self._damping, self._growth = state["damping"], state["growth"]
        self._expected, self.condition = state["expected"], state["condition"]
        self._done, self._pass = state["converged"], state["pass"]

    def _nothing(self) -> Floats:
        return np.zeros((self._rows.n_columns, self._rows.n_columns), order="F")

    def _judge(self) -> None:
        """Compare the radial coefficients with the best ones, and keep the better."""
        upper = over_processes(self._fabric, torch.from_numpy(self._gram)).numpy()
        gram = np.triu(upper) + np.triu(upper, 1).T
        solution = least_squares.solve(gram, self._n_linear, self._config.ridge)
        if not math.isfinite(solution.loss):
            raise TrainingError(
                f"The loss is no longer finite ({solution.loss}); look at the labels, or raise "
                "optimizer.ridge. The last checkpoint is intact."
            )
        if self._pass == "step" and solution.loss >= self._best["loss"]:
            if self._best["exact"]:
                self._damp(solution.loss)
            else:
                self._pass = "exact"
        else:
            if self._pass == "step":
                self._damp(solution.loss)
            self.condition = solution.condition
            self._best = {
                "gram": torch.from_numpy(gram),
                "loss": solution.loss,
                "exact": self._pass == "exact",
                "radial": self._potential.radial_coefficients.detach().clone(),
                "weights": torch.from_numpy(solution.weights),
            }
            self._pass = "exact" if self._pass == "first" else "step"
        self._set(self._best["radial"].numpy(), self._best["weights"].numpy())

    def _damp(self, loss: float) -> None:
        """Less damping after a step that did what was expected, more after another.

        Nielsen's rule; see Madsen, Nielsen and Tingleff, Methods for non-linear least squares
        problems (2004).
        """
        gain = (self._best["loss"] - loss) / (self._best["loss"] - self._expected)
        if gain > 0:
            self._damping *= max(1 / 3, 1 - (2 * gain - 1) ** 3)
            self._growth = 2.0
        else:
            self._damping *= self._growth
            self._growth *= 2.0

    def _set(self, radial: Floats, weights: Floats) -> None:
        """Put parameters into the potential."""
        model = self._potential
        n_scalars = len(model.moment_coefficients)
        with torch.no_grad():
            model.radial_coefficients.view(-1).copy_(torch.from_numpy(np.ravel(radial)))
            model.moment_coefficients.copy_(torch.from_numpy(weights[:n_scalars]))
            model.species_energies.copy_(torch.from_numpy(weights[n_scalars:]))
