"""Activation functions of atomic networks: one table for torch and for the compiled loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ladera.kernels.compilation import exact

# a tanh(b x) + c x, the "hyperbolic tangent with linear twist": about 1 at 1 and -1 at -1, and the
# linear part keeps a slope where the tanh is saturated (LeCun et al., "Efficient BackProp", in
# Neural Networks: Tricks of the Trade, Springer 1998). The constants are those of aenet, where the
# name is from (Artrith and Urban, Comput. Mater. Sci. 114, 135 (2016)); the thesis's program has a
# weaker twist, and none at all in its plain hyperbolic tangent.
TWIST_TANH: Final = 1.7159
TWIST_INNER: Final = 2.0 / 3.0
TWIST_LINEAR: Final = 0.1
WEAK_TWIST_LINEAR: Final = 0.001


def _twisted(linear: float) -> Callable[[Tensor], Tensor]:
    return lambda x: TWIST_TANH * torch.tanh(TWIST_INNER * x) + linear * x


# CELU(x) = max(x, 0) + min(a (exp(x/a) - 1), 0) with the a of ANI (Barron, arXiv:1704.07483).
CELU_ALPHA: Final = 0.1

ACTIVATIONS: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "linear": lambda x: x,
    "tanh": torch.tanh,
    "logistic": torch.sigmoid,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "relu": torch.relu,
    "gaussian": lambda x: torch.exp(-0.5 * x * x),
    "cosine": torch.cos,
    "reversed_logistic": lambda x: torch.sigmoid(-x),
    "exponential": lambda x: torch.exp(-x),
    "harmonic": lambda x: x * x,
    "tanh_twist": _twisted(TWIST_LINEAR),
    "tanh_weak_twist": _twisted(WEAK_TWIST_LINEAR),
    "tanh_scaled": _twisted(0.0),
    "leaky_relu": lambda x: torch.where(x < 0, 0.1 * x, x),
    # Not torch's own, whose derivative knows its constant in single precision only.
    "celu": lambda x: torch.where(x > 0, x, CELU_ALPHA * torch.expm1(x.clamp(max=0) / CELU_ALPHA)),
}
ACTIVATION_NUMBERS: Final = {name: number for number, name in enumerate(ACTIVATIONS)}


@exact
def activate(kind: int, x: float) -> tuple[float, float]:
    """Value and slope of activation number ``kind`` at x."""
    if kind == 0:
        return x, 1.0
    if kind == 1:
        t = np.tanh(x)
        return t, 1.0 - t * t
    if kind == 2:
        s = 1.0 / (1.0 + np.exp(-x))
        return s, s * (1.0 - s)
    if kind == 3:
        return max(x, 0.0) + np.log1p(np.exp(-abs(x))), 1.0 / (1.0 + np.exp(-x))
    if kind == 4:
        return max(x, 0.0), 1.0 if x > 0.0 else 0.0
    if kind == 5:
        g = np.exp(-0.5 * x * x)
        return g, -x * g
    if kind == 6:
        return np.cos(x), -np.sin(x)
    if kind == 7:
        s = 1.0 / (1.0 + np.exp(x))
        return s, -s * (1.0 - s)
    if kind == 8:
        e = np.exp(-x)
        return e, -e
    if kind == 9:
        return x * x, 2.0 * x
    if kind == 13:
        return (0.1 * x, 0.1) if x < 0.0 else (x, 1.0)
    if kind == 14:
        if x > 0.0:
            return x, 1.0
        e = np.exp(x / CELU_ALPHA)
        return CELU_ALPHA * np.expm1(x / CELU_ALPHA), e
    linear = TWIST_LINEAR if kind == 10 else (WEAK_TWIST_LINEAR if kind == 11 else 0.0)
    t = np.tanh(TWIST_INNER * x)
    return TWIST_TANH * t + linear * x, TWIST_TANH * TWIST_INNER * (1.0 - t * t) + linear
