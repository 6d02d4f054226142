"""The filter itself: a state, its covariance in blocks, and blocks of observations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from scipy.linalg import blas, cho_factor, cho_solve

from ladera.arrays import Floats, Integers
from ladera.errors import TrainingError
from ladera.training.optimizer_config import Kalman


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
    epoch. m observations cost one pass over P, where m updates of one would cost m.

    P may be kept in blocks on its diagonal, with what is outside of them taken as zero, while all
    blocks share A: the decoupled filter (Puskorius and Feldkamp, IEEE Trans. Neural Netw. 5, 279
    (1994)). ``blocks`` are arrays (k, s) of weight numbers, for k blocks of s weights each.
    """

    def __init__(self, blocks: Sequence[Integers], config: Kalman) -> None:
        self._config = config
        self._blocks = [(index.ravel(), _covariance(index, config.epsilon)) for index in blocks]
        self.noise = config.q0
        self.eta = config.eta
        self.fading = config.lambda_

    def step(self, rows: Floats, errors: Floats, updates_per_epoch: int) -> Floats:
        """The change of the weights (n,), for H^T ``rows`` (m, n) and ``errors`` (m,)."""
        config = self._config
        if config.memory == "standard":
            if self.eta < config.eta_max:
                self.eta *= math.exp(config.eta_tau / updates_per_epoch)
            measurement, scale = 1 / self.eta, 1.0
        else:
            measurement, scale = self.fading, 1 / self.fading
            self.fading = config.nu * self.fading + 1 - config.nu
        inner = measurement * np.eye(len(rows))
        products = []
        for index, covariance in self._blocks:
            part = np.take(rows, index, axis=1)
            products.append(covariance.times(part))
            inner += part @ products[-1]
        try:
            factor = cho_factor((inner + inner.T) / 2, lower=True)
        except (np.linalg.LinAlgError, ValueError) as error:
            raise TrainingError(
                f"The Kalman filter's {len(inner)} observations cannot be told apart ({error}); "
                "take a larger optimizer.epsilon or fewer observations in an update."
            ) from error
        weights = cho_solve(factor, errors)
        change = np.empty(rows.shape[1])
        for (index, covariance), product in zip(self._blocks, products, strict=True):
            change[index] = product @ weights
            half = blas.dtrsm(1.0, factor[0], product, side=1, lower=1, trans_a=1)  # X L^-T
            covariance.learn(half, scale, self.noise)
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
            "covariances": [covariance.tensor() for _, covariance in self._blocks],
            "noise": self.noise,
            "eta": self.eta,
            "fading": self.fading,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a stored state."""
        for (_, covariance), stored in zip(self._blocks, state["covariances"], strict=True):
            covariance.restore(stored)
        self.noise, self.eta, self.fading = state["noise"], state["eta"], state["fading"]


class _Covariance(Protocol):
    """P of some weights."""

    def times(self, rows: Floats) -> Floats:
        """X = P H (n, m) for H^T ``rows`` (m, n)."""

    def learn(self, half: Floats, scale: float, noise: float) -> None:
        """P <- scale (P - half half^T) + noise I, with ``half`` (n, m)."""

    def tensor(self) -> torch.Tensor:
        """A copy of P as it is stored."""

    def restore(self, stored: torch.Tensor) -> None:
        """Take a stored P."""


def _covariance(index: Integers, epsilon: float) -> _Covariance:
    return _One(index.shape[1], epsilon) if len(index) == 1 else _Many(index.shape, epsilon)


class _One:
    """One block, of which only the lower triangle is kept, by BLAS's symmetric routines."""

    def __init__(self, size: int, epsilon: float) -> None:
        self._values: Floats = np.eye(size, order="F") / epsilon

    def times(self, rows: Floats) -> Floats:
        # rows is (m, n) in C order: its transpose is H in BLAS's own order, and nothing is copied.
        product: Floats = blas.dsymm(1.0, self._values, rows.T, lower=1)
        return product

    def learn(self, half: Floats, scale: float, noise: float) -> None:
        self._values = blas.dsyrk(-scale, half, beta=scale, c=self._values, lower=1, overwrite_c=1)
        self._values[np.diag_indices_from(self._values)] += noise

    def tensor(self) -> torch.Tensor:
        return torch.from_numpy(self._values.T).clone()

    def restore(self, stored: torch.Tensor) -> None:
        self._values = np.array(stored.numpy().T, order="F")


class _Many:
    """Blocks of the same size, all at once."""

    def __init__(self, shape: tuple[int, ...], epsilon: float) -> None:
        count, size = shape
        self._values = torch.eye(size, dtype=torch.float64).repeat(count, 1, 1) / epsilon

    def times(self, rows: Floats) -> Floats:
        part = torch.from_numpy(rows.T.reshape(*self._values.shape[:2], -1))
        product: Floats = torch.bmm(self._values, part).flatten(0, 1).numpy()
        return product

    def learn(self, half: Floats, scale: float, noise: float) -> None:
        part = torch.from_numpy(half).reshape(*self._values.shape[:2], -1)
        self._values.baddbmm_(part, part.mT, beta=scale, alpha=-scale)
        self._values = (self._values + self._values.mT) / 2
        self._values.diagonal(dim1=1, dim2=2).add_(noise)

    def tensor(self) -> torch.Tensor:
        return self._values.clone()

    def restore(self, stored: torch.Tensor) -> None:
        self._values = stored.clone()  # in torch's own alignment: the same bits as before
