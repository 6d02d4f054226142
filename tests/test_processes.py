"""Tasks in processes side by side: results, errors, progress, and how they are stopped."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import pytest

from ladera.errors import SimulationError
from ladera.interrupt import StopRequest
from ladera.processes import (
    ProcessEndedError,
    Processes,
    RemoteError,
    Task,
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


def work_until_stopped(folder: Path, seconds: float = 60) -> None:
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
