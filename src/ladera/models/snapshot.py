"""Noticing that the parameters of a model have changed since tables were made of them."""

from __future__ import annotations

from torch.nn import Module


class Snapshot:
    """Which tensors a model has, and how often these have changed."""

    def __init__(self, model: Module) -> None:
        self._groups = [
            group
            for module in model.modules()
            for group in (module._parameters, module._buffers)
            if group
        ]
        self._state = self._current()

    @property
    def outdated(self) -> bool:
        """Whether a parameter or buffer has changed, or has been replaced, since then."""
        return self._state != self._current()

    def _current(self) -> list[tuple[int, int]]:
        return [
            (id(tensor), tensor._version)
            for group in self._groups
            for tensor in group.values()
            if tensor is not None
        ]
