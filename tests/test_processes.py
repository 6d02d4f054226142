"""Tasks in processes side by side: results, errors, progress, and how they are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ladera.errors import SimulationError
from ladera.files import is_running
from ladera.interrupt import StopRequest
from ladera.processes import (
    ProcessEndedError,
    Processes,
    ProcessPool,
    RemoteError,
    Task,
    TimeLimitError,
    begun,
    run_all,
    run_command,
)


class StubbornError(Exception):
    """One that cannot be made again from what pickle keeps of it."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} is not {other}")


def square(number: int) -> int:
    return number**2


def fail(error: Exception) -> None:
    raise error


def fail_stubbornly() -> None:
    raise StubbornError(1, 2)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    os.write(1, f"{word}, past Python\n".encode())
    warnings.warn(f"beware of {word}", UserWarning, stacklevel=1)


def threads() -> str | None:
    return os.environ["NUMBA_NUM_THREADS"]


def work_until_stopped(folder: Path, seconds: float = 300) -> None:
    (folder / "begun").touch()
    end = time.monotonic() + seconds
    with StopRequest() as stop:
        while not stop.requested:
            assert time.monotonic() < end
            time.sleep(0.01)
    (folder / "stopped").touch()
    raise KeyboardInterrupt


def test_results_come_in_the_order_of_the_tasks() -> None:
    looks = []
    runner = Processes(2, threads=3)
    tasks = [Task(partial(square, number)) for number in range(5)]
    assert run_all(runner, tasks, lambda: looks.append(1)) == [0, 1, 4, 9, 16]
    assert looks
    assert run_all(runner, [Task(threads)]) == ["3"]
    assert run_all(runner, []) == []


def test_an_error_is_raised_here_and_can_be_explained() -> None:
    with pytest.raises(SimulationError, match="too hot") as error:
        run_all(Processes(1), [Task(partial(fail, SimulationError("too hot")))])
    assert "in fail" in error.value.__notes__[0]
    explained = Task(
        partial(fail, SimulationError("too hot")), explain=lambda e: ValueError(f"Run 3: {e}")
    )
    with pytest.raises(ValueError, match="Run 3: too hot"):
        run_all(Processes(1), [explained])


def test_an_error_that_cannot_be_sent_is_told_in_words() -> None:
    with pytest.raises(RemoteError, match="StubbornError: 1 is not 2"):
        run_all(Processes(1), [Task(fail_stubbornly)])


def test_a_result_that_cannot_be_sent_is_an_error() -> None:
    with pytest.raises(Exception, match="pickle"):
        run_all(Processes(1), [Task(partial(getattr, sys, "stdout"))])


def test_a_killed_process_is_named_with_its_exit_code() -> None:
    with pytest.raises(ProcessEndedError, match="exit code -9"):
        run_all(Processes(1), [Task(die)])


def test_what_a_task_says_goes_into_its_file(tmp_path: Path) -> None:
    tasks = [Task(partial(say, word), output=tmp_path / word) for word in ("one", "two")]
    run_all(Processes(1), tasks)
    for word in ("one", "two"):
        said = (tmp_path / word).read_text()
        assert f"{word}, past Python\n" in said
        assert f"UserWarning: beware of {word}" in said


def test_an_error_stops_the_others(tmp_path: Path) -> None:
    def explain(error: Exception) -> Exception:
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        return error

    tasks: list[Task[None]] = [
        Task(partial(work_until_stopped, tmp_path)),
        Task(partial(fail, SimulationError("no")), explain=explain),
    ]
    with pytest.raises(SimulationError, match="no"):
        run_all(Processes(2), tasks)
    assert (tmp_path / "stopped").exists()


def test_ctrl_c_stops_all_and_says_what_is_left(tmp_path: Path) -> None:
    def look() -> None:
        if (tmp_path / "begun").exists():
            signal.raise_signal(signal.SIGINT)

    runner = Processes(1, interval=0.05, stopped="all is well")
    tasks: list[Task[None]] = [Task(partial(work_until_stopped, tmp_path)), Task(die)]
    with pytest.raises(KeyboardInterrupt, match="all is well"):
        run_all(runner, tasks, look)
    assert (tmp_path / "stopped").exists()


def test_a_command_says_how_it_ended(tmp_path: Path) -> None:
    program = "import sys; print('so far'); sys.exit(3)"
    assert run_command([sys.executable, "-c", program]) == (3, "so far\n")


def hang(folder: Path) -> None:
    """Sleep, with a child that would outlive its parent, and hear nothing."""
    begun()
    child = subprocess.Popen(["sleep", "600"])
    (folder / "child").write_text(str(child.pid))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def test_a_task_beyond_its_limit_is_ended_with_its_programs(tmp_path: Path) -> None:
    late = Task(partial(hang, tmp_path), limit=3.0)
    with pytest.raises(TimeLimitError, match="longer than 3 s"):
        run_all(Processes(1), [late])
    child = int((tmp_path / "child").read_text())
    while is_running(child):  # until its parent's parent has noticed
        time.sleep(0.05)


def test_what_fails_is_rescued_and_the_others_go_on(tmp_path: Path) -> None:
    begun = []

    def tasks() -> Iterator[Task[int | str]]:
        for number in range(4):
            begun.append(number)
            bad = partial(fail, ValueError("odd")) if number == 1 else partial(square, number)
            yield Task(die if number == 2 else bad, rescue=str)

    found = []
    for _, result in Processes(1).run(tasks()):
        found.append(result)
        assert len(begun) <= len(found) + 1  # no task is made before it can begin
    assert found == [0, "odd", "its process ended with the exit code -9", 9]


def test_a_pool_keeps_its_processes_and_replaces_those_that_are_gone(tmp_path: Path) -> None:
    with ProcessPool() as pool:
        runner = pool.runner(Processes(1))
        (first,) = run_all(runner, [Task(os.getpid)])
        with pytest.raises(SimulationError, match="no"):
            run_all(runner, [Task(partial(fail, SimulationError("no")))])
        assert run_all(runner, [Task(os.getpid), Task(threads)]) == [first, "1"]
        os.kill(first, signal.SIGKILL)  # while it has nothing to do
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        (second,) = run_all(runner, [Task(os.getpid)])
        late = Task(partial(hang, tmp_path), limit=0.5, rescue=lambda error: error)
        (error,) = run_all(runner, [late])
        assert isinstance(error, TimeLimitError)
        (third,) = run_all(runner, [Task(os.getpid)])
        assert len({first, second, third}) == 3
        assert run_all(pool.runner(Processes(1, threads=2)), [Task(threads)]) == ["2"]
        assert is_running(third)
    assert not is_running(third)


def test_one_that_does_not_stop_is_not_waited_for(tmp_path: Path) -> None:
    runner = Processes(2)
    tasks = [
        Task(partial(hang, tmp_path), patience=0.2),
        Task(partial(_fail_after, tmp_path / "child")),
    ]
    began = time.monotonic()
    with pytest.raises(ValueError, match="no"):
        run_all(runner, tasks)
    assert time.monotonic() - began < 500  # it sleeps for 600


def _fail_after(path: Path) -> None:
    while not path.exists():
        time.sleep(0.05)
    raise ValueError("no")
