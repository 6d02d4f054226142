"""Who hears how a training goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final, Protocol

from ladera.quantities import ENERGY, QUANTITIES, pretty
from ladera.training.processes import is_first_process

log = logging.getLogger(__name__)

Row = Mapping[str, float | int | None]  # of log.csv; None is an empty field
OnEpoch = Callable[[dict[str, float | int]], object]

_SECONDS_BETWEEN_LINES: Final = 10.0
_SHOWN_IN_FULL: Final = 1e6


def in_words(row: Row) -> str:
    """Errors of an epoch: on the validation frames, or else on the training frames."""
    part = "train" if row["validation_loss"] is None else "validation"
    shown = []
    for quantity in QUANTITIES:
        error = row.get(quantity.column(part, "rmse"))
        if error is not None and (quantity.basic or not quantity.derivative):
            digits = 2 if quantity == ENERGY else 1
            number = f"{error:.{digits}f}" if error < _SHOWN_IN_FULL else f"{error:.3g}"
            shown.append(f"{number} {pretty(quantity.unit_of_errors)}")
    return f"{part} RMSE {', '.join(shown)}"


class Teller:
    """Writes lines on epochs to the log: one every ten seconds and the last, the others with -v."""

    def __init__(self, epochs: int) -> None:
        self._epochs, self._next = epochs, 0.0

    def tell(self, row: Row) -> None:
        """Write the line of an epoch."""
        due = row["epoch"] == self._epochs or monotonic() >= self._next
        if due:
            self._next = monotonic() + _SECONDS_BETWEEN_LINES
        words = (
            f"epoch {row['epoch']}/{self._epochs}  {in_words(row)}  {row['seconds']:.2f} s/epoch"
        )
        log.log(logging.INFO if due else logging.DEBUG, words)


class Observer(Protocol):
    """Who wants to know how a run goes on."""

    def step(self, epoch: int, batch: int, n_batches: int) -> None:
        """A step is done: batch ``batch`` of ``n_batches`` in epoch ``epoch``, all from 1."""

    def epoch(self, row: Row) -> None:
        """An epoch is done; its row of log.csv."""


class Silent:
    """The observer who does not care, but for a function that is called with every epoch.

    It is called with the row of log.csv as one dictionary, without its empty fields, in the first
    of several processes alone.
    """

    def __init__(self, on_epoch: OnEpoch | None = None) -> None:
        self._on_epoch = on_epoch if is_first_process() else None

    def step(self, epoch: int, batch: int, n_batches: int) -> None:
        """Nothing."""

    def epoch(self, row: Row) -> None:
        """Call the function."""
        if self._on_epoch is not None:
            self._on_epoch({name: value for name, value in row.items() if value is not None})
