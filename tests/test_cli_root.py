"""The root of the command line: help, typos, and what every kind of failure turns into."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ladera
from ladera import cli
from ladera.errors import DataError

COMMANDS = (
    ["demo", "data", "template", "schema", "train", "evaluate", "info", "relax", "md", "report"]
    + [f"data {name}" for name in ("info", "check", "convert", "split")]
)  # fmt: skip
HEAVY = (
    *("torch", "numba", "ase", "matplotlib", "h5py", "scipy", "lightning_fabric", "numpy"),
    "pydantic",
)


def ladera_process(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ladera", *words],
        check=False,
        stdin=subprocess.DEVNULL,
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def exit_code(*words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture
def failing_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make every command line end in the exception given."""

    def install(error: BaseException) -> None:
        def command(words: list[str]) -> int:
            raise error

        monkeypatch.setattr(cli, "app", command)

    return install


def test_help_lists_every_command_in_a_few_times_what_its_libraries_take() -> None:
    def seconds(words: list[str]) -> tuple[float, str]:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout

    python = sys.executable
    libraries = min(seconds([python, "-c", "import cyclopts, rich.console"])[0] for _ in range(2))
    used, shown = min(seconds([python, "-m", "ladera", "--help"]) for _ in range(2))
    for command in COMMANDS:
        if " " not in command:
            assert re.search(rf"\b{command}\b", shown), command
    assert used < 3 * libraries, f"{used:.2f} s, and its libraries {libraries:.2f} s"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, json; from ladera.cli import app; app('--help');"
        f"print(json.dumps([m for m in {HEAVY} if m in sys.modules]), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert json.loads(result.stderr) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(*command.split(), "--help") == 0
    assert f"Usage: ladera {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "data"])
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    exit_code(*command.split(), "--help")
    assert capsys.readouterr().out.count(f"ladera {command}") >= 2, "no example beside the usage"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out.strip() == ladera.__version__


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["trian", "config.yaml"], "train"),
        (["data", "chekc", "frames.xyz"], "check"),
        (["train", "config.yaml", "--resumee"], "--resume"),
        (["evaluate", "model.ladera", "frames.xyz", "--outptu", "x"], "--output"),
    ],
)
def test_a_typo_gets_a_suggestion(
    words: list[str], suggestion: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*words) == 2
    captured = capsys.readouterr()
    assert re.search(rf"did you mean '?{suggestion}", captured.err)
    assert len(captured.err.strip().splitlines()) == 1
    assert captured.out == ""


@pytest.mark.parametrize("words", [["trai", "config.yaml"], ["train", "config.yaml", "--resu"]])
def test_a_prefix_is_no_abbreviation(words: list[str]) -> None:
    assert exit_code(*words) == 2


def test_a_refusal_is_one_sentence(
    failing_command: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing_command(DataError("frames.xyz, line 3: no label."))
    assert exit_code("train") == 1
    assert capsys.readouterr().err == "Error: frames.xyz, line 3: no label.\n"


def test_debug_shows_the_traceback(
    failing_command: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing_command(DataError("frames.xyz, line 3: no label."))
    assert exit_code("train", "--debug") == 1
    error = capsys.readouterr().err
    assert error.startswith("Traceback")
    assert error.endswith("Error: frames.xyz, line 3: no label.\n")


def test_a_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("info", "nowhere.ladera") == 1
    error = capsys.readouterr().err
    assert "nowhere.ladera" in error
    assert len(error.strip().splitlines()) == 1


def test_a_mistake_of_ours_leaves_its_traceback_in_a_file(
    failing_command: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing_command(ZeroDivisionError("who would"))
    assert exit_code("train") == 70
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert "ZeroDivisionError: who would" in error
    found = re.search(r"(\S+-traceback\.txt)", error)
    assert found
    file = Path(found[1])
    assert file.read_text().startswith("Traceback")
    file.unlink()


def test_an_interruption_is_130(
    failing_command: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing_command(KeyboardInterrupt())
    assert exit_code("train") == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_an_interruption_that_a_library_made_another_error_of_is_130(
    failing_command: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    # Python 3.11, where a signal comes while a class is made (the importing of packaging).
    error = RuntimeError("Error calling __set_name__ on 'cached_property' instance 'message'")
    error.__cause__ = KeyboardInterrupt("by SIGTERM")
    failing_command(error)
    assert exit_code("train") == 130
    assert capsys.readouterr().err == "Interrupted: by SIGTERM.\n"


def test_a_full_disk_is_a_sentence(
    failing_command: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing_command(OSError(errno.ENOSPC, "No space left on device", "run/log.csv"))
    assert exit_code("train") == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: No space left on device (run/log.csv)")
    assert len(error.strip().splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_to_a_full_disk_fails() -> None:
    with open("/dev/full", "w") as full:
        result = ladera_process("template", stdout=full)
    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_reader_that_leaves_early_is_no_error_message() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    result = ladera_process("template", stdout=write_end)
    os.close(write_end)
    assert result.returncode == 141
    assert result.stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ["md", "m.ladera", "s.xyz", "--steps", "10.7"],
        ["phonons", "m.ladera", "s.xyz", "--supercell", "2.5", "1", "1"],
        ["vibrations", "m.ladera", "s.xyz", "--symmetry-number", "1.5"],
        ["relax", "m.ladera", "s.xyz", "--frame", "0.5"],
        ["neb", "m.ladera", "a.xyz", "b.xyz", "--frame", "0.5", "1"],
    ],
)
def test_what_must_be_whole_is_not_rounded(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*words) == cli.USAGE
    assert "expected a whole number" in capsys.readouterr().err
