"""The filter itself: a state, its covariance, and blocks of observations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import blas, cho_factor, cho_solve

from ladera.errors import TrainingError
from ladera.training.config import Kalman

Floats = NDArray[np.float64]


class KalmanFilter:
    r"""Global extended Kalman filter (Singraber et al., J. Chem. Theory Comput. 15, 3075 (2019)).

    One update, of m observations at once, with the Jacobian H (n, m) of the predictions in the n
    weights and the errors xi (m,), reference minus prediction:

        X = P H,    A = H^T X + R,    K = X A^-1
        w <- w + K xi,    P <- P - K X^T + q I

    ===========  ==================================================================
    standard     R = I / eta;  before, eta <- eta exp(eta_tau') until eta_max
    fading       R = lambda I;  P <- P / lambda before q is added;
                 after, lambda <- nu lambda + 1 - nu
    both         after, q <- q exp(-q_tau') until q_min
    ===========  ==================================================================

    P starts as I / epsilon. q_tau' and eta_tau' are q_tau and eta_tau over the updates in an
    epoch. m observations cost one pass over P, where m updates of one would cost m: the work is
    3 n^2 m multiplications in BLAS's symmetric routines, and of P only the lower triangle is kept.
    """

    def __init__(self, size: int, config: Kalman) -> None:
        self._config = config
        self._covariance: Floats = np.asfortranarray(np.eye(size) / config.epsilon)
        self.noise = config.q0
        self.eta = config.eta
        self.fading = config.lambda_

    def step(self, rows: Floats, errors: Floats, updates_per_epoch: int) -> Floats:
        """The change of the weights (n,), for H^T ``rows`` (m, n) and ``errors`` (m,)."""
        config = self._config
        if config.memory == "standard":
            if self.eta < config.eta_max:
                self.eta *= math.exp(config.eta_tau / updates_per_epoch)
            measurement = 1 / self.eta
        else:
            measurement = self.fading
        # rows is (m, n) in C order: its transpose is H in BLAS's own order, and nothing is copied.
        product = blas.dsymm(1.0, self._covariance, rows.T, lower=1)  # X, (n, m)
        inner = rows @ product
        inner = (inner + inner.T) / 2
        inner[np.diag_indices_from(inner)] += measurement
        try:
            factor = cho_factor(inner, lower=True)
        except (np.linalg.LinAlgError, ValueError) as error:
            raise TrainingError(
                f"The Kalman filter's {len(inner)} observations cannot be told apart ({error}); "
                "take a larger optimizer.epsilon or fewer observations in an update."
            ) from error
        change: Floats = product @ cho_solve(factor, errors)
        half = blas.dtrsm(1.0, factor[0], product, side=1, lower=1, trans_a=1)  # X L^-T
        scale = 1.0
        if config.memory == "fading":
            scale = 1 / self.fading
            self.fading = config.nu * self.fading + 1 - config.nu
        self._covariance = blas.dsyrk(
            -scale, half, beta=scale, c=self._covariance, lower=1, overwrite_c=1
        )
        self._covariance[np.diag_indices_from(self._covariance)] += self.noise
        if self.noise > config.q_min:
            self.noise *= math.exp(-config.q_tau / updates_per_epoch)
        if not np.isfinite(change).all():
            raise TrainingError(
                "The Kalman filter's step is no longer finite; take a larger optimizer.epsilon or "
                "a smaller optimizer.eta. The last checkpoint is intact."
            )
        return change

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs."""
        return {
            "covariance": torch.from_numpy(self._covariance.T.copy()),
            "noise": self.noise,
            "eta": self.eta,
            "fading": self.fading,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a stored state."""
        self._covariance = np.asfortranarray(state["covariance"].numpy().T)
        self.noise, self.eta, self.fading = state["noise"], state["eta"], state["fading"]
