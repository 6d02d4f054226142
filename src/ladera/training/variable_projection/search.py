"""The search for the best radial coefficients of a moment tensor potential, pass by pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import scipy.linalg
import torch
from scipy.linalg.blas import dsyrk
from torch import Tensor

from ladera.arrays import Floats
from ladera.errors import TrainingError
from ladera.models.mtp.model import MTP
from ladera.training.optimizer_config import VariableProjection
from ladera.training.variable_projection import least_squares, low_rank
from ladera.training.variable_projection.rows import FrameRows


class Search:
    """A pass over all frames sums the products of all columns (:mod:`.least_squares`).

    Their minimum over the linear coefficients says whether the radial ones are better than the best
    so far, whose sums say where to go next. The ridge pulls the linear coefficients ``towards``
    (n_linear,) others, by default zero.
    """

    def __init__(
        self,
        potential: MTP,
        rows: FrameRows,
        optimizer: VariableProjection,
        towards: Floats | None = None,
    ) -> None:
        self._potential, self._rows, self._config = potential, rows, optimizer
        self._towards = np.zeros(rows.n_linear) if towards is None else towards
        self.sums = self._nothing()  # of this pass so far: the upper triangle, columns first
        self._best: dict[str, Any] = {}  # of the best radial coefficients: gram, loss, and so on
        self._damping, self._growth = optimizer.damping, 2.0
        self._expected = 0.0  # the loss that the linear problem expects
        self.converged = False  # whether another step would change next to nothing
        # What a pass is: the first knows no w, so that c changes nothing; a step has the w that
        # was expected, which is not quite the best one; an exact one repeats the best c with its
        # best w; that of other frames knows one of before.
        self._pass: Literal["first", "step", "exact", "others"] = "first"
        if optimizer.radial_rank is not None:
            radial = potential.radial_coefficients.detach()
            radial.copy_(
                torch.from_numpy(low_rank.truncated(radial.numpy(), optimizer.radial_rank))
            )

    @property
    def loss(self) -> float:
        """The lowest so far."""
        return float(self._best["loss"])

    @property
    def condition(self) -> float:
        """Largest over smallest eigenvalue of the linear problem at the best coefficients."""
        return float(self._best["condition"]) if self._best else math.nan

    @property
    def gram(self) -> Floats:
        """Sums of products of all columns at the best coefficients."""
        gram: Floats = self._best["gram"].numpy()
        return gram

    def add(self, frame: int) -> None:
        """Add a frame to the sums."""
        for rows in self._rows.of(frame, radial=self._pass != "first"):
            # BLAS counts columns first: rows of ours are columns of its.
            self.sums = dsyrk(1.0, rows.T, 1.0, self.sums, overwrite_c=True)

    def judge(self, sums: Tensor) -> None:
        """Compare the radial coefficients with the best ones, and keep the better.

        ``sums`` are those of all frames. Raises TrainingError for a loss that is not finite.
        """
        upper = np.triu(sums.numpy())
        gram = upper + np.triu(upper, 1).T
        finite = bool(np.isfinite(gram).all())
        if not finite and self._pass != "step":
            raise TrainingError(
                "The loss is no longer finite; look at the labels, or raise optimizer.ridge. The "
                "last checkpoint is intact."
            )
        solution = least_squares.solve(
            gram if finite else self.gram, self._config.ridge, self._towards
        )
        if not finite:  # a step that was far too long
            solution = solution._replace(loss=math.inf)
        if self._pass == "step" and solution.loss >= self._best["loss"]:
            if self._best["exact"]:
                self._damp(solution.loss)
            else:
                self._pass = "exact"
        else:
            if self._pass == "step":
                self._damp(solution.loss)
            self._best = {
                "gram": torch.from_numpy(gram),
                "loss": solution.loss,
                "condition": solution.condition,
                "exact": self._pass == "exact",
                "radial": self._potential.radial_coefficients.detach().clone(),
                "weights": torch.from_numpy(solution.weights),
            }
            self._pass = "exact" if self._pass == "first" else "step"
        self._set(self._best["radial"].numpy(), self._best["weights"].numpy())

    def go_on(self) -> None:
        """Go to the next radial coefficients to try, or again to the best with the best w."""
        best = self._best
        gram, radial = best["gram"].numpy(), best["radial"].numpy()
        self.sums = self._nothing()
        if self._pass == "step":
            directions = self._directions(radial)
            if directions is not None:
                gram = directions.T @ gram @ directions
            step = least_squares.step(gram, self._config.ridge, self._towards, self._damping)
            self._expected = step.loss
            if best["loss"] - step.loss > self._config.tolerance * best["loss"]:
                self._set(self._moved(radial, step.change), step.weights)
                return
            self.converged = best["exact"]
            self._pass = "exact"
        self._set(radial, best["weights"].numpy())

    def widen(self, rows: FrameRows) -> None:
        """Go on with the rows of other frames, whose losses are not to be compared."""
        if self._best:
            self._set(self._best["radial"].numpy(), self._best["weights"].numpy())
            self._pass = "others"
        self._rows, self._best, self.converged = rows, {}, False
        self.sums = self._nothing()

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs besides the sums."""
        return {
            "best": self._best,
            "damping": self._damping,
            "growth": self._growth,
            "expected": self._expected,
            "converged": self.converged,
            "pass": self._pass,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a stored state."""
        self._best, self._expected = dict(state["best"]), state["expected"]
        self._damping, self._growth = state["damping"], state["growth"]
        self.converged, self._pass = state["converged"], state["pass"]

    def _directions(self, radial: Floats) -> Floats | None:
        """What the columns change with, where that is not the radial coefficients themselves."""
        if self._config.radial_rank is None:
            return None
        along = low_rank.tangent(radial, self._config.radial_rank)
        parts: list[Floats] = [np.eye(len(self._towards)), along, np.eye(1)]
        return np.asarray(scipy.linalg.block_diag(*parts))

    def _moved(self, radial: Floats, change: Floats) -> Floats:
        """The radial coefficients after a step."""
        if self._config.radial_rank is None:
            return radial + change.reshape(radial.shape)
        return low_rank.moved(radial, self._config.radial_rank, change)

    def _nothing(self) -> Floats:
        return np.zeros((self._rows.n_columns, self._rows.n_columns), order="F")

    def _damp(self, loss: float) -> None:
        """Less damping after a step that did what was expected, more after another.

        Nielsen's rule; see Madsen, Nielsen and Tingleff, Methods for non-linear least squares
        problems (2004); but down to a tenth, not a third: with many functions, which explain most
        of what c does, the best damping is 10^-8.
        """
        gain = (self._best["loss"] - loss) / (self._best["loss"] - self._expected)
        if gain > 0:
            self._damping *= max(0.1, 1 - (2 * gain - 1) ** 3)
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
