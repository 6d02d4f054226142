"""Work side by side: calls in processes of their own, whose results come as they are ready.

Who has work to share out makes a :class:`Task` of each piece and asks a :class:`Runner` for the
results. :class:`Processes` is the runner of one machine; who has several works one after the other
keeps its processes in a :class:`ProcessPool` meanwhile. What a task has done already it finds in
its folder, so that the same tasks, run again, go on where they were. A piece that fails ends the
work, unless its task says what to put in the place of its result.
"""

from __future__ import annotations

import math
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final, Generic, Protocol, Self, TypeVar, runtime_checkable

from ladera import progress
from ladera.interrupt import StopRequest, interrupted_by_signals
from ladera.provenance import COMMAND_VARIABLE, command

T = TypeVar("T")

_STARTING: Final = 600.0  # s, that a task with a limit may take to begin
_LEAVING: Final = 30.0  # s, that a process without a task may take to end
_THREAD_COUNTS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_PROGRAM: Final = f"import sys; from {__name__} import serve; serve(int(sys.argv[1]))"


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


def run_all(
    runner: Runner, tasks: Sequence[Task[T]], look: Callable[[], None] = lambda: None
) -> list[T]:
    """The results of all tasks, in their order; what :meth:`Runner.run` raises."""
    with closing(runner.run(tasks, look)) as results:
        ready = dict(results)
    return [ready[task] for task in tasks]


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Worker:
    """A process that waits for tasks."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        here, there = socket.socketpair()
        environment = os.environ | dict.fromkeys(_THREAD_COUNTS, str(threads))
        environment[COMMAND_VARIABLE] = command()
        environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
        with there:
            # A session of its own: Ctrl-C is for us, who then ask every task to stop.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, str(there.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[there.fileno()],
                env=environment,
                start_new_session=True,
            )
        self.connection: Connection[Any, Any] = Connection(here.detach())
        self._task: Task[Any] | None = None  # it is at
        self._end = math.inf  # of its time
        self._message = b""  # that has come from it

    def do(self, task: Task[Any]) -> Any:
        """The result of a task, when it is ready; its error as :meth:`result` raises it."""
        self.begin(task)
        while self.connection.poll(None if task.limit is None else max(0.0, self.time_left)):
            if not self.only_begins():
                return self.result()
        return self.result(ended=True)

    def begin(self, task: Task[Any]) -> None:
        """Send it a task."""
        self._task = task
        self._end = math.inf if task.limit is None else time.monotonic() + _STARTING
        with suppress(ConnectionError):  # one that is dead is noticed when it has no result
            self.connection.send_bytes(pickle.dumps(task.patience))
            self.connection.send_bytes(pickle.dumps((task.call, task.output)))

    @property
    def time_left(self) -> float:
        """Seconds of the limit of its task."""
        return self._end - time.monotonic()

    @property
    def is_late(self) -> bool:
        """Whether its task has taken longer than its limit."""
        return self.time_left < 0

    @property
    def is_alive(self) -> bool:
        """Whether it can do another task."""
        return self._process.poll() is None

    def only_begins(self) -> bool:
        """Take what it has sent; whether that is only that its task begins now."""
        with suppress(EOFError, ConnectionError):  # then there is no result
            self._message = self.connection.recv_bytes()
        if self._message != _BEGUN:
            return False
        limit = self._task.limit if self._task is not None else None
        self._end = math.inf if limit is None else time.monotonic() + limit
        self._message = b""
        return True

    def result(self, ended: bool = False) -> Any:
        """What came of the task; raises its error, or ProcessEndedError.

        Of one that is to be ``ended`` because it is late, TimeLimitError.
        """
        if ended and self._task is not None:
            self._kill()
            raise TimeLimitError(self._task.limit or _STARTING)
        message, self._message = self._message, b""
        self._task, self._end = None, math.inf
        if not message:
            raise ProcessEndedError(self._process.wait())
        error, value = pickle.loads(message)
        if error is not None:
            raise error
        return value

    def ask_to_stop(self) -> None:
        """Let the task it is at come to a point from where it can go on."""
        self._process.terminate()

    def dismiss(self) -> None:
        """Let it end when there is nothing more to do."""
        self.connection.close()

    def end(self) -> None:
        """Wait for its end, as long as there is patience."""
        self.dismiss()
        try:
            self._process.wait(_LEAVING if self._task is None else self._task.patience)
        except subprocess.TimeoutExpired:
            self._kill()

    def _kill(self) -> None:
        """End it at once, and the programs that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.connection.close()


# --- in the process ----------------------------------------------------------------------------

_BEGUN: Final = b"begun"
_watched: Final[list[Connection[Any, Any]]] = []  # the one there is, to who shared out the work


def begun() -> None:
    """Say that what the time limit of a task is for begins now: what it needs has been loaded."""
    for connection in _watched:
        connection.send_bytes(_BEGUN)


def serve(descriptor: int) -> None:
    """Do the tasks that come through a socket until it is closed.

    Without a parent the task is asked to stop, and ended when its patience is.
    """
    progress.hide()  # who shared out the work watches
    patience: list[float | None] = [None]  # of the task that it is at
    watch = threading.Thread(target=_stop_when_orphaned, args=(os.getppid(), patience), daemon=True)
    watch.start()
    with (
        suppress(EOFError, ConnectionError, KeyboardInterrupt),  # nobody listens any more
        interrupted_by_signals(),
        Connection(descriptor) as connection,
    ):
        _watched[:] = [connection]
        while True:
            patience[0] = pickle.loads(connection.recv_bytes())
            call, output = pickle.loads(connection.recv_bytes())
            try:
                # A new context: what was warned of in one task is warned of in the next again.
                with _writing_to(output), warnings.catch_warnings():
                    answer = pickle.dumps((None, call()))
            except Exception as error:
                answer = pickle.dumps((_portable(error), None))
            connection.send_bytes(answer)


def run_command(arguments: Sequence[str]) -> tuple[int, str]:
    """Exit code and standard output of a command that stops, when asked to, by SIGTERM.

    For a task whose work needs a program of its own. Raises KeyboardInterrupt when it was stopped.
    """
    with (
        StopRequest() as stop,
        subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        while True:
            try:
                said, _ = process.communicate(timeout=0.1)
            except subprocess.TimeoutExpired:
                if stop.requested:
                    process.terminate()
            else:
                break
    if stop.requested:
        raise KeyboardInterrupt
    return process.returncode, said


@contextmanager
def _writing_to(path: Path | None) -> Iterator[None]:
    """Append what is printed, by whatever language, to a file."""
    if path is None:
        yield
        return
    before = [os.dup(stream) for stream in (1, 2)]
    try:
        with path.open("ab") as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, copy in zip((1, 2), before, strict=True):
            os.dup2(copy, stream)
            os.close(copy)


def _portable(error: Exception) -> Exception:
    """The error if it survives being sent, or one that says the same in words."""
    where = "".join(traceback.format_exception(error))
    try:
        sent = pickle.loads(pickle.dumps(error))
        if type(sent) is not type(error) or str(sent) != str(error):
            raise TypeError("it comes out as another")
    except Exception:  # whatever its own methods may raise
        error = RemoteError(f"{type(error).__name__}: {error}")
    error.add_note(f"In another process:\n{where}")
    return error


def _stop_when_orphaned(parent: int, patience: Sequence[float | None]) -> None:
    """Ask the task to stop when nobody is left to take its result."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
    if patience[0] is not None:  # one that hangs does not hear it
        time.sleep(patience[0])
        os.killpg(0, signal.SIGKILL)
