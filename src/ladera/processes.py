"""Work side by side: calls in processes of their own, whose results come as they are ready.

Who has work to share out makes a :class:`Task` of each piece and asks a :class:`Runner` for the
results. :class:`Processes` is the runner of one machine. What a task has done already it finds in
its folder, so that the same tasks, run again, go on where they were.
"""

from __future__ import annotations

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
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from ladera import progress
from ladera.interrupt import StopRequest, interrupted_by_signals
from ladera.provenance import COMMAND_VARIABLE, command

T = TypeVar("T")

_THREAD_COUNTS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_PROGRAM: Final = f"import sys; from {__name__} import serve; serve(int(sys.argv[1]))"


class ProcessEndedError(Exception):
    """A process ended in the middle of a task, without a result and without an error."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"its process ended with the exit code {exit_code}")
        self.exit_code = exit_code


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
    """

    call: Callable[[], T]
    output: Path | None = None
    explain: Callable[[Exception], Exception] = _unchanged


Results = Generator[tuple[Task[T], T], None, None]


class Runner(Protocol):
    """Does tasks somewhere."""

    def run(self, tasks: Sequence[Task[T]], look: Callable[[], None] = lambda: None) -> Results[T]:
        """Do the tasks; each with its result as they are ready, in any order.

        ``look`` is called now and then: how far unfinished tasks are stands in their folders. The
        error of a task is raised as its ``explain`` makes it. An error, Ctrl-C, SIGTERM or closing
        the generator asks the tasks that are running to stop, and waits for them.

        Raises KeyboardInterrupt when it was interrupted.
        """
        ...


@dataclass(frozen=True)
class Processes:
    """Processes on this machine: ``count`` of them, each of which may use ``threads`` threads."""

    count: int
    threads: int = 1
    interval: float = 1.0  # s between looks
    stopped: str = ""  # what an interruption leaves, for who reads of it

    def run(self, tasks: Sequence[Task[T]], look: Callable[[], None] = lambda: None) -> Results[T]:
        """See :class:`Runner`. A process does one task after the other."""
        waiting = deque(tasks)
        busy: dict[Any, tuple[_Worker, Task[T]]] = {}
        idle: list[_Worker] = []
        with StopRequest() as stop:
            try:
                while (waiting or busy) and not stop.requested:
                    while waiting and len(busy) < self.count:
                        worker = idle.pop() if idle else _Worker(self.threads)
                        busy[worker.connection] = worker, waiting[0]
                        worker.begin(waiting.popleft())
                    for connection in wait(list(busy), timeout=self.interval):
                        worker, task = busy.pop(connection)
                        idle.append(worker)
                        try:
                            result = worker.result()
                        except Exception as error:
                            raise task.explain(error) from None
                        yield task, result
                    look()
            finally:
                for worker, _ in busy.values():
                    worker.ask_to_stop()
                for worker in (*idle, *(worker for worker, _ in busy.values())):
                    worker.end()
            if stop.requested:
                raise KeyboardInterrupt(self.stopped)


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


class _Worker:
    """A process that waits for tasks."""

    def __init__(self, threads: int) -> None:
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

    def begin(self, task: Task[Any]) -> None:
        """Send it a task."""
        with suppress(ConnectionError):  # one that is dead is noticed when it has no result
            self.connection.send_bytes(pickle.dumps((task.call, task.output)))

    def result(self) -> Any:
        """What came of the task; raises its error, or ProcessEndedError."""
        try:
            error, value = pickle.loads(self.connection.recv_bytes())
        except (EOFError, ConnectionError):
            raise ProcessEndedError(self._process.wait()) from None
        if error is not None:
            raise error
        return value

    def ask_to_stop(self) -> None:
        """Let the task it is at come to a point from where it can go on."""
        self._process.terminate()

    def end(self) -> None:
        """Wait for its end, which comes when there is nothing more to do."""
        self.connection.close()
        self._process.wait()


# --- in the process ----------------------------------------------------------------------------


def serve(descriptor: int) -> None:
    """Do the tasks that come through a socket until it is closed."""
    progress.hide()  # who shared out the work watches
    threading.Thread(target=_stop_when_orphaned, args=(os.getppid(),), daemon=True).start()
    with (
        suppress(EOFError, ConnectionError, KeyboardInterrupt),  # nobody listens any more
        interrupted_by_signals(),
        Connection(descriptor) as connection,
    ):
        while True:
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


def _stop_when_orphaned(parent: int) -> None:
    """Ask the task to stop when nobody is left to take its result."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
