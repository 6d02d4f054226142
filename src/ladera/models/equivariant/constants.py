"""Numbers that stay exact whatever the precision of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from torch import Tensor, nn


class Constants(nn.Module):
    """A module whose buffers of numbers stay in float64 when the model becomes float32.

    They may be sums of numbers that a published model has in float32: rounded once more, a model
    that goes back to float64 would be another one.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move, but do not convert, the buffers (torch's hook below ``to`` and ``float``)."""
        kept = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, tensor in kept.items():
            setattr(self, name, tensor.to(device=getattr(self, name).device))
        return self
