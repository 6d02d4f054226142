"""Who hears how a training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Row = Mapping[str, float | int | None]  # of log.csv; None is an empty field


class Observer(Protocol):
    """Who wants to know how a run goes on."""

    def step(self, epoch: int, batch: int, n_batches: int) -> None:
        """A step is done: batch ``batch`` of ``n_batches`` in epoch ``epoch``, all from 1."""

    def epoch(self, row: Row) -> None:
        """An epoch is done; its row of log.csv."""


class Silent:
    """The observer who does not care."""

    def step(self, epoch: int, batch: int, n_batches: int) -> None:
        """Nothing."""

    def epoch(self, row: Row) -> None:
        """Nothing."""
