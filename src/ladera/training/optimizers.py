"""Torch's optimisers by name, the learning rate over time, and the mean of the parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ladera.potential import Potential
from ladera.training import muon
from ladera.training.optimizer_config import (
    LBFGS,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Constant,
    Cosine,
    Exponential,
    GradientOptimizer,
    Muon,
    Plateau,
    RMSprop,
    ScheduleConfig,
    ScheduleFree,
)


def make_optimizer(config: GradientOptimizer, potential: Potential) -> Optimizer:
    """The optimiser a configuration describes, of the parameters that may change.

    Those of which the potential says that they are not to decay are a group of their own.
    """
    named = [(name, p) for name, p in potential.named_parameters() if p.requires_grad]
    decaying = [p for name, p in named if potential.decays(name)]
    others = [p for name, p in named if not potential.decays(name)]
    parameters: Any = decaying + others
    if decaying and others and not isinstance(config, LBFGS):
        parameters = [{"params": decaying}, {"params": others, "weight_decay": 0.0}]
    return _optimizer(config, parameters)


def _optimizer(config: GradientOptimizer, parameters: Any) -> Optimizer:
    rate = config.learning_rate
    match config:
        case SGD(momentum=momentum, weight_decay=decay):
            return torch.optim.SGD(parameters, rate, momentum, weight_decay=decay, foreach=True)
        case Adagrad(initial_accumulator=start, epsilon=eps, weight_decay=decay):
            return torch.optim.Adagrad(
                parameters,
                rate,
                weight_decay=decay,
                initial_accumulator_value=start,
                eps=eps,
                foreach=True,
            )
        case RMSprop(alpha=alpha, momentum=momentum, epsilon=eps, weight_decay=decay):
            return torch.optim.RMSprop(
                parameters, rate, alpha, eps, momentum=momentum, weight_decay=decay, foreach=True
            )
        case Adam(betas=betas, epsilon=eps, weight_decay=decay):
            return torch.optim.Adam(parameters, rate, betas, eps, decay, foreach=True)
        case AdamW(betas=betas, epsilon=eps, weight_decay=decay):
            return torch.optim.AdamW(parameters, rate, betas, eps, decay, foreach=True)
        case Muon(momentum=momentum, betas=betas, weight_decay=decay):
            return muon.Muon(parameters, rate, momentum, betas, decay)
        case ScheduleFree(betas=betas, weight_decay=decay):
            from schedulefree import AdamWScheduleFree  # a tenth of a second, for few runs

            optimizer: Optimizer = AdamWScheduleFree(parameters, rate, betas, weight_decay=decay)
            return optimizer
        case LBFGS(max_iterations=iterations, history=history):
            return torch.optim.LBFGS(
                parameters,
                rate,
                max_iter=iterations,
                history_size=history,
                line_search_fn="strong_wolfe",
            )


class LearningRate:
    r"""The learning rate at time t (epochs, with a fraction), as a factor on the first one.

    ==============  =====================================================================
    constant        1
    exponential     f^(t / T)                               f = final_factor, T = epochs
    cosine          f + (1 - f) (1 + cos(pi t / T)) / 2
    plateau         falls by ``factor`` after ``patience`` epochs without a better loss
    ==============  =====================================================================

    times (t + one step) / warmup_epochs, while that is below 1.
    """

    def __init__(self, config: ScheduleConfig, epochs: int, base: float) -> None:
        self._config = config
        self._epochs = epochs
        self._base = base
        self.state: dict[str, Any] = {"factor": 1.0, "best": None, "waited": 0}  # of the plateau

    def at(self, time: float, step: float) -> float:
        """Learning rate of the step from ``time`` to ``time + step``."""
        match self._config:
            case Constant():
                factor = 1.0
            case Exponential(final_factor=final):
                factor = final ** (time / self._epochs)
            case Cosine(final_factor=final):
                wave = 0.5 * (1 + math.cos(math.pi * time / self._epochs))
                factor = final + (1 - final) * wave
            case Plateau():
                factor = self.state["factor"]
        warmup = self._config.warmup_epochs
        rise = min(1.0, (time + step) / warmup) if warmup else 1.0
        return self._base * factor * rise

    def update(self, loss: float | None) -> None:
        """Take note of an epoch's validation loss."""
        config, state = self._config, self.state
        if not isinstance(config, Plateau) or loss is None:
            return
        if state["best"] is None or loss < state["best"]:
            state.update(best=loss, waited=0)
            return
        state["waited"] += 1
        if state["waited"] >= config.patience:
            factor = max(config.minimum_factor, state["factor"] * config.factor)
            state.update(factor=factor, waited=0)


class ParameterAverage:
    r"""Exponential moving average of parameters p after n steps.

        m <- m + (1 - d_n) (p - m),    d_n = min(decay, (1 + n) / (10 + n))

    so that the first parameters are soon forgotten.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self._parameters: list[Tensor] = list(parameters)
        self._decay = decay
        self.steps = 0
        self.means: list[Tensor] = [p.detach().clone() for p in self._parameters]

    def update(self) -> None:
        """Take the present parameters into the mean."""
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(self.means, self._parameters, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the means in the parameters' place for a while."""
        present = [p.detach().clone() for p in self._parameters]
        self._set(self.means)
        try:
            yield
        finally:
            self._set(present)

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs."""
        return {"steps": self.steps, "means": self.means}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a stored state."""
        self.steps = state["steps"]
        for mean, stored in zip(self.means, state["means"], strict=True):
            mean.copy_(stored)

    def _set(self, values: Iterable[Tensor]) -> None:
        _copy(values, self._parameters)


class OptimizersAverage:
    """The mean that a schedule-free optimiser keeps, behind the face of ParameterAverage."""

    def __init__(self, parameters: Iterable[nn.Parameter], optimizer: Any) -> None:
        self._parameters: list[Tensor] = list(parameters)
        self._optimizer = optimizer
        optimizer.train()

    def update(self) -> None:
        """Nothing: the optimiser does it."""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the mean in the parameters' place for a while."""
        present = [p.detach().clone() for p in self._parameters]
        self._optimizer.eval()
        try:
            yield
        finally:
            self._optimizer.train()  # which is right but for rounding
            _copy(present, self._parameters)

    def state(self) -> dict[str, Any]:
        """Nothing beside the optimiser's own state."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing; see :meth:`state`."""


def _copy(values: Iterable[Tensor], parameters: Iterable[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)
