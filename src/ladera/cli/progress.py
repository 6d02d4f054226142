"""The progress bar of everything that takes long."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any, Self


class ProgressBar:
    """How much is done, how fast, how long it takes yet, and a few words; only on a terminal."""

    def __init__(self, label: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.on_terminal = sys.stderr.isatty()
        self._first: tuple[float, float] | None = None  # what was done, and when
        self._progress = Progress(
            TextColumn(label),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("{task.fields[words]}"),
            console=Console(stderr=True),
            disable=not self.on_terminal,
        )
        self._task = self._progress.add_task("", total=total, speed="", words="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def rate(self, done: float) -> float | None:
        """How much of it in a second, since this was first asked; None as long as nobody knows."""
        now = monotonic()
        if self._first is None:
            self._first = (done, now)
        first, started = self._first
        return (done - first) / (now - started) if done > first and now > started else None

    def show(self, done: float, *, speed: str | None = None, words: str | None = None) -> None:
        """Move the bar; what is left out stays as it was."""
        fields: dict[str, Any] = {"speed": speed, "words": words}
        given = {name: text for name, text in fields.items() if text is not None}
        self._progress.update(self._task, completed=round(done, 2), **given)
