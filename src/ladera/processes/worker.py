"""A process that waits for tasks: seen from who shares out the work, and from inside."""

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ladera import progress
from ladera.interrupt import StopRequest, interrupted_by_signals
from ladera.processes.tasks import ProcessEndedError, RemoteError, TimeLimitError
from ladera.provenance import COMMAND_VARIABLE, command

if TYPE_CHECKING:
    from ladera.processes.tasks import Task

_STARTING: Final = 600.0  # s, that a task with a limit may take to begin
_LEAVING: Final = 30.0  # s, that a process without a task may take to end
_THREAD_COUNTS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_PROGRAM: Final = f"import sys; from {__name__} import serve; serve(int(sys.argv[1]))"


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
