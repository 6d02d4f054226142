"""What a worker of a job does: tasks, one after the other, in a process that it can end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ladera.processes import Task, Worker

_workers: Final[dict[int, Worker]] = {}  # by their threads


def perform(
    call: Callable[[], Any],
    output: Path | None,
    limit: float | None,
    threads: int,
    patience: float | None,
) -> Any:
    """The result of a call; raises its error, and what :meth:`ladera.processes.Worker.do` raises.

    The process that does it stays for the next one: what it has imported is there already.
    """
    if threads not in _workers or not _workers[threads].is_alive:
        _workers[threads] = Worker(threads)
    return _workers[threads].do(Task(call, output=output, limit=limit, patience=patience))
