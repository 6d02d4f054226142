"""What is shared out, who does it, and what may go wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from ladera.processes.pool import Processes

T = TypeVar("T")


class ProcessEndedError(Exception):
    """A process ended in the middle of a task, without a result and without an error."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"its process ended with the exit code {exit_code}")
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[type[ProcessEndedError], tuple[int]]:
        """To other processes, as it was made."""
        return type(self), (self.exit_code,)


class TimeLimitError(Exception):
    """A task took longer than it was given, and its process was ended."""

    def __init__(self, limit: float) -> None:
        super().__init__(f"it took longer than {limit:g} s")
        self.limit = limit

    def __reduce__(self) -> tuple[type[TimeLimitError], tuple[float]]:
        """To other processes, as it was made."""
        return type(self), (self.limit,)


class RemoteError(Exception):
    """An error of a task that could not be sent as it was: its type and message in words."""


def _unchanged(error: Exception) -> Exception:
    return error


@dataclass(frozen=True, eq=False)
class Task(Generic[T]):
    """A call to be done somewhere else.

    Attributes
    ----------
    call
        What to do: a function of a module, or a ``functools.partial`` of one with its arguments,
        which a process can be sent. SIGTERM asks it to stop: it leaves its folder so that it can
        go on, and raises KeyboardInterrupt.
    output
        File that what it prints and warns of is appended to; by default it is heard here.
    explain
        The error to raise here for one that it raised, or for a :class:`ProcessEndedError`.
    limit
        Seconds that it may take from its calling :func:`begun` on, which it has to do within ten
        minutes; then its process is ended, and it is a :class:`TimeLimitError`.
    patience
        Seconds from asking it to stop to ending its process; by default as many as it takes.
    rescue
        What comes in place of a result where there is an error. Without it the error is raised.
    """

    call: Callable[[], T]
    output: Path | None = None
    explain: Callable[[Exception], Exception] = _unchanged
    limit: float | None = None
    patience: float | None = None
    rescue: Callable[[Exception], T] | None = None


Results = Generator[tuple[Task[T], T], None, None]


@runtime_checkable
class Runner(Protocol):
    """Does tasks somewhere."""

    def run(self, tasks: Iterable[Task[T]], look: Callable[[], None] = lambda: None) -> Results[T]:
        """Do the tasks; each with its result as they are ready, in any order.

        They are taken one by one, when somebody is free to begin one. ``look`` is called now and
        then: how far unfinished tasks are stands in their folders. The error of a task is raised as
        its ``explain`` makes it. An error, Ctrl-C, SIGTERM or closing the generator asks the tasks
        that are running to stop, and waits for them.

        Raises KeyboardInterrupt when it was interrupted.
        """
        ...


@runtime_checkable
class Pool(Protocol):
    """Processes or jobs that stay from one work to the next."""

    def runner(self, here: Processes) -> Runner:
        """Who does tasks with them, and otherwise as ``here`` does."""
        ...


def run_all(
    runner: Runner, tasks: Sequence[Task[T]], look: Callable[[], None] = lambda: None
) -> list[T]:
    """The results of all tasks, in their order; what :meth:`Runner.run` raises."""
    with closing(runner.run(tasks, look)) as results:
        ready = dict(results)
    return [ready[task] for task in tasks]
