"""The processes of this machine, for one work or for several."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import Any, Self, TypeVar

from ladera.interrupt import StopRequest
from ladera.processes.tasks import Results, Task
from ladera.processes.worker import Worker

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """Processes on this machine: ``count`` of them, each of which may use ``threads`` threads.

    They end with the work, but for those of a ``pool``.
    """

    count: int
    threads: int = 1
    interval: float = 1.0  # s between looks
    stopped: str = ""  # what an interruption leaves, for who reads of it
    pool: ProcessPool | None = None

    def run(self, tasks: Iterable[Task[T]], look: Callable[[], None] = lambda: None) -> Results[T]:
        """See :class:`Runner`. A process does one task after the other."""
        waiting = iter(tasks)
        busy: dict[Any, tuple[Worker, Task[T]]] = {}
        pool = self.pool or ProcessPool()
        with StopRequest() as stop, nullcontext() if self.pool else pool:
            try:
                while not stop.requested:
                    while len(busy) < self.count and (task := next(waiting, None)) is not None:
                        worker = pool.take(self.threads)
                        busy[worker.connection] = worker, task
                        worker.begin(task)
                    if not busy:
                        break
                    ready = wait(list(busy), timeout=self._until_look(busy.values()))
                    late = [key for key, (worker, _) in busy.items() if worker.is_late]
                    for connection in dict.fromkeys([*ready, *late]):
                        if connection in ready and busy[connection][0].only_begins():
                            continue
                        worker, task = busy.pop(connection)
                        try:
                            result = worker.result(ended=connection not in ready)
                        except Exception as error:
                            if task.rescue is None:
                                raise task.explain(error) from None
                            result = task.rescue(error)
                        finally:
                            pool.give_back(worker)
                        yield task, result
                    look()
            finally:
                for worker, _ in busy.values():
                    worker.ask_to_stop()
                for worker, _ in busy.values():
                    worker.end()
            if stop.requested:
                raise KeyboardInterrupt(self.stopped)

    def _until_look(self, busy: Iterable[tuple[Worker, Task[Any]]]) -> float:
        """Seconds until something may be due."""
        return max(0.0, min([self.interval, *(worker.time_left for worker, _ in busy)]))


class ProcessPool:
    """Processes of this machine that wait for tasks, to the end of a ``with``: see :class:`Pool`.

    One that has died, or was ended because its task took too long, is replaced by a new one.
    """

    def __init__(self) -> None:
        self._idle: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._idle:
            worker.dismiss()
        while self._idle:
            self._idle.pop().end()

    def runner(self, here: Processes) -> Processes:
        """See :class:`Pool`."""
        return replace(here, pool=self)

    def take(self, threads: int) -> Worker:
        """One that has nothing to do, or a new one."""
        self._idle = [worker for worker in self._idle if worker.is_alive]
        for place, worker in enumerate(self._idle):
            if worker.threads == threads:
                return self._idle.pop(place)
        return Worker(threads)

    def give_back(self, worker: Worker) -> None:
        """Keep one that has done its task."""
        if worker.is_alive:
            self._idle.append(worker)


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
