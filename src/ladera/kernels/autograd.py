"""What torch operations made of loops share.

Forces are first derivatives, and learning from them takes second ones. Both come from loops over
edges and terms that store no tensor per edge and component, where automatic differentiation would.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from torch import Tensor

from ladera.arrays import Reals

_only: ContextVar[str | None] = ContextVar("only", default=None)


@contextmanager
def forces_only() -> Iterator[None]:
    """Within it gradients are asked of positions alone: those of parameters are left out.

    They still arrive where such a gradient is differentiated once more, outside.
    """
    with _asking("positions"):
        yield


@contextmanager
def parameters_only() -> Iterator[None]:
    """Within it gradients are asked of parameters alone, as those of a loss are.

    A loss of forces depends on positions too, and a backward pass of torch would go there: an
    operation of ours cannot see for which of its inputs the pass was begun.
    """
    with _asking("parameters"):
        yield


@contextmanager
def _asking(what: str) -> Iterator[None]:
    token = _only.set(what)
    try:
        yield
    finally:
        _only.reset(token)


def asks_parameters() -> bool:
    """Whether gradients of parameters are wanted: not within :func:`forces_only`."""
    return _only.get() != "positions"


def asks_positions() -> bool:
    """Whether gradients of positions are wanted: not within :func:`parameters_only`."""
    return _only.get() != "parameters"


def zeros(like: Tensor) -> Tensor:
    """Zeros of the same shape, contiguous."""
    return torch.zeros(like.shape, dtype=like.dtype)


def empty(like: Tensor) -> Tensor:
    """The same shape, contiguous, with anything in it, for what a loop sets."""
    return torch.empty(like.shape, dtype=like.dtype)


def unused(like: Tensor) -> Tensor:
    """What stands for an array that a loop does not look at."""
    return torch.zeros(1, *like.shape[1:], dtype=like.dtype)


def scratch(rows: int, like: Tensor) -> Reals:
    """Rows of channels, with anything in them."""
    found: Reals = torch.empty(rows, like.shape[2], dtype=like.dtype).numpy()
    return found


def arrays(*tensors: Tensor) -> list[Reals]:
    """The numbers of tensors; what a loop writes to is contiguous, and no copy."""
    return [np.asarray(tensor.detach().contiguous()) for tensor in tensors]
