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

_forces_only: ContextVar[bool] = ContextVar("forces_only", default=False)


@contextmanager
def forces_only() -> Iterator[None]:
    """Within it gradients are asked of positions alone: those of parameters are left out.

    They still arrive where such a gradient is differentiated once more, outside.
    """
    token = _forces_only.set(True)
    try:
        yield
    finally:
        _forces_only.reset(token)


def asks_parameters() -> bool:
    """Whether gradients of parameters are wanted: not within :func:`forces_only`."""
    return not _forces_only.get()


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
