"""What every run and result has in common: its record, its folder, its end, its outputs."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import importlib
import inspect
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FunctionType, ModuleType

import ase.io
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from argon import argon
from ladera import cli, files, lock
from ladera.errors import ConfigError
from ladera.interrupt import StopRequest, interrupted_by_signals
from ladera.properties.result import KINDS, Result, load
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.settings import MDSettings

no_viewer = pytest.mark.filterwarnings("ignore::ladera.report.report.ReportWarning")


def ladera(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    assert isinstance(end.value.code, int)
    return end.value.code


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, a structure and labelled frames; the tests' own."""
    monkeypatch.chdir(tmp_path)
    potential = argon()
    potential.save(tmp_path / "argon.ladera")
    crystal = bulk("Ar", "fcc", a=5.4, cubic=True)
    crystal.write(tmp_path / "argon.xyz")
    frames = []
    for seed in range(3):
        frame = crystal.copy()
        frame.rattle(0.1, seed=seed)
        frame.calc = potential.calculator()
        energy, forces = frame.get_potential_energy() + 0.01, 1.01 * frame.get_forces()
        frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces)
        frames.append(frame)
    ase.io.write(tmp_path / "frames.extxyz", frames)
    return tmp_path


# --- the record ----------------------------------------------------------------------------------


@no_viewer
def test_a_result_says_how_it_was_made(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ladera("eos", "argon.ladera", "argon.xyz", "--points", 7) == 0
    record = json.loads((place / "eos" / "result.json").read_text())["provenance"]
    assert record["settings"] == {"strain": 0.05, "points": 7, "fmax": 1e-3}
    assert record["model"]["files"] == [
        {"path": "argon.ladera", "sha256": sha256(place / "argon.ladera")}
    ]
    assert record["structure"]["files"] == [
        {"path": "argon.xyz", "sha256": sha256(place / "argon.xyz")}
    ]
    assert {"ladera", "python", "numpy", "torch", "numba", "ase"} <= record["versions"].keys()
    assert record["machine"]["host"] == platform.node()
    assert record["command"]
    assert record["date"].startswith("20")
    assert load(place / "eos").provenance == record
    assert ladera("report", "eos") == 0
    page = (place / "eos" / "report.html").read_text()
    assert "How this was made" in page
    assert sha256(place / "argon.xyz") in page
    assert ladera("report", "eos") == 0  # a page of ours is made anew
    assert "Wrote" in capsys.readouterr().out


def test_no_property_is_without_a_record() -> None:
    """Every function that makes a result of a kind that is saved."""
    missing = []
    for module_name, class_name in KINDS.values():
        module = importlib.import_module(module_name)
        makers = [
            function
            for name, function in vars(module).items()
            if inspect.isfunction(function)
            and not name.startswith("_")
            and function.__module__ == module_name
            and inspect.signature(function).return_annotation == class_name
        ]
        kind = getattr(module, class_name)
        assert issubclass(kind, Result)
        missing += [class_name for maker in makers if not _is_recorded(module, maker)]
        assert makers or class_name == "Card", class_name
    assert missing == []


def _is_recorded(module: ModuleType, maker: FunctionType) -> bool:
    """Itself, or the part of it that has made something of its arguments."""
    part = getattr(module, f"_{maker.__name__}", None)
    return "recorded" in _wrappers(maker) | _wrappers(part)


def _wrappers(function: object) -> set[str]:
    found: set[str] = set()
    while function is not None:
        code = getattr(function, "__code__", None)
        found.add("recorded" if code is not None and "recorded.py" in code.co_filename else "")
        function = getattr(function, "__wrapped__", None)
    return found


@no_viewer
def test_evaluations_and_dynamics_have_the_same_record(place: Path) -> None:
    assert ladera("evaluate", "argon.ladera", "frames.extxyz", "--output", "ev") == 0
    evaluation = json.loads((place / "ev" / "evaluation.json").read_text())["provenance"]
    words = ("md", "argon.ladera", "argon.xyz", "--ensemble", "nve", "--temperature", 20)
    assert ladera(*words, "--steps", 5) == 0
    dynamics = json.loads((place / "md-nve-20K" / "settings.json").read_text())
    assert evaluation["model"] == dynamics["model"]
    assert evaluation["data"]["files"][0]["sha256"] == sha256(place / "frames.extxyz")
    assert dynamics["structure"]["files"][0]["path"] == "argon.xyz"
    assert ladera(*words, "--steps", 9, "--resume") == 0
    again = json.loads((place / "md-nve-20K" / "settings.json").read_text())
    assert again["settings"]["steps"] == 9
    assert again["date"] == dynamics["date"]
    assert len(again["resumed"]) == 1
    assert ladera("report", "md-nve-20K") == 0
    assert "How this was made" in (place / "md-nve-20K" / "report.html").read_text()


# --- one run a folder ----------------------------------------------------------------------------

HOLD = """
import sys, time
from ladera.lock import locked
with locked(sys.argv[1]):
    print(flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        words = f"in use by process {other.pid} on {platform.node()}"
        with pytest.raises(ConfigError, match=words), lock.locked(tmp_path):
            pass
        run = (
            bulk("Ar", a=5.3, cubic=True),
            argon(),
            MDSettings(ensemble="nve", temperature=1, steps=1),
        )
        with pytest.raises(ConfigError, match=words):
            run_md(*run, tmp_path)
        other.kill()
    assert (tmp_path / lock.LOCK).exists()
    with lock.locked(tmp_path):  # of a process that is no more
        assert json.loads((tmp_path / lock.LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / lock.LOCK).exists()
    with pytest.raises(ZeroDivisionError), lock.locked(tmp_path / "new" / "one"):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("owner", "taken_over"),
    [
        ({"pid": 1, "host": "elsewhere", "machine": "x"}, False),  # alive or not: who knows
        ({"pid": 1, "host": platform.node(), "machine": "x"}, True),  # before the last start
        ({"pid": os.getpid(), "host": platform.node(), "machine": files.machine()}, True),
        ({"pid": "?"}, True),
        (None, True),
    ],
)
def test_locks_that_were_left(tmp_path: Path, owner: object, taken_over: bool) -> None:
    path = tmp_path / lock.LOCK
    path.write_text("" if owner is None else json.dumps(owner))
    if taken_over:
        with lock.locked(tmp_path):
            pass
        assert not path.exists()
    else:
        with pytest.raises(ConfigError, match=f"if it is no more, remove {path}"):
            lock.locked(tmp_path).__enter__()
        assert path.exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
@pytest.mark.parametrize(
    ("pid", "host", "taken_over"),
    [(os.getppid(), platform.node(), False), (1, "elsewhere", False), (None, "", True)],
)
def test_where_the_file_system_has_no_locks_the_file_has_to_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    pid: int | None,
    host: str,
    taken_over: bool,
) -> None:
    """As on NFS without its lock daemon."""

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    if pid is None:  # one that has ended
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        pid, host = ended.pid, platform.node()
    path = tmp_path / lock.LOCK
    path.write_text(json.dumps({"pid": pid, "host": host, "machine": files.machine()}))
    if taken_over:
        with lock.locked(tmp_path):
            assert json.loads(path.read_text())["pid"] == os.getpid()
            with pytest.raises(ConfigError, match="is in use by process"):
                lock.locked(tmp_path).__enter__()
        assert not path.exists()
        return
    if host == "elsewhere":
        path.write_text(json.dumps({"pid": pid, "host": host, "machine": "x"}))
    with pytest.raises(ConfigError, match=f"is in use by process {pid} on {host}"):
        lock.locked(tmp_path).__enter__()
    assert path.exists()


def test_temporary_files_of_the_dead_are_swept(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mine = files.temporary_prefix("x")
    dead = mine.replace(f"-{os.getpid()}-", f"-{gone.pid}-")
    other = dead.replace(dead.split("-")[1], "0" * 8)
    for name in (f"{mine}1.npz", f"{dead}2.npz", f"{other}3.npz", f"{other}4.npz", ".ladera-notes"):
        (tmp_path / name).touch()
    os.utime(tmp_path / f"{other}4.npz", (time.time() - 1e6,) * 2)
    (tmp_path / f"{dead}folder").mkdir()
    files.write_text_atomic(tmp_path / "new.txt", "new")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"{mine}1.npz", f"{other}3.npz", ".ladera-notes", "new.txt"}


# --- how runs end --------------------------------------------------------------------------------

QUEUE = [signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1, signal.SIGUSR2]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1])
def test_what_queues_send_leaves_a_restart_point(tmp_path: Path, number: signal.Signals) -> None:
    settings = MDSettings(ensemble="nvt-langevin", temperature=20, steps=12, log_interval=1)
    run = bulk("Ar", a=5.3, cubic=True), argon(), settings
    given = signal.signal(number, signal.SIG_DFL)  # also where the tests were begun by nohup

    def send(row: object) -> None:
        if getattr(row, "step", 0) == 5:
            signal.raise_signal(number)
            signal.raise_signal(number)  # queue systems repeat themselves

    try:
        with pytest.raises(KeyboardInterrupt, match="stopped after step 5"):
            run_md(*run, tmp_path / "parts", on_row=send)
    finally:
        signal.signal(number, given)
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {
        "md.csv",
        "trajectory.traj",
        "restart.npz",
        "settings.json",
    }
    run_md(*run, tmp_path / "parts", resume=True)
    run_md(*run, tmp_path / "whole")
    for name in ("md.csv", "final.extxyz"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("number", QUEUE)
def test_a_signal_is_an_interruption_once(number: signal.Signals) -> None:
    given = signal.signal(number, signal.SIG_DFL)  # also where the tests were begun by nohup
    try:
        _interrupts_once(number)
    finally:
        signal.signal(number, given)


def _interrupts_once(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with interrupted_by_signals():
        with pytest.raises(KeyboardInterrupt, match=f"by {number.name}"):
            signal.raise_signal(number)
        signal.raise_signal(number)  # all is being put away
    with interrupted_by_signals():
        with StopRequest() as stop:
            signal.raise_signal(number)
        assert stop.requested
        signal.raise_signal(number)
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interruption_within_a_callback_of_c_is_not_lost(number: signal.Signals) -> None:
    def ask() -> None:  # Python can only ignore what it raises
        os.kill(os.getpid(), number)
        time.sleep(10)

    def run() -> None:
        with interrupted_by_signals():
            ctypes.CFUNCTYPE(None)(ask)()
            time.sleep(300)

    # Programs that a shell starts in the background ignore Ctrl-C, and so would these tests there.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    said = "by SIGTERM" if number == signal.SIGTERM else ""
    try:
        with pytest.raises(KeyboardInterrupt, match=f"^{said}$"):
            run()
    finally:
        signal.signal(signal.SIGINT, before)


def test_nohup_is_heard() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupted_by_signals(), StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
        assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


# --- nothing is replaced -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("data", "convert", "frames.extxyz", "--output", "there.extxyz"),
        ("data", "convert", "frames.extxyz", "--output", "frames.extxyz"),
        ("data", "split", "frames.extxyz", "--output", "there"),
        ("data", "info", "frames.extxyz", "--json", "there"),
        ("data", "check", "frames.extxyz", "--json", "frames.extxyz"),
        ("functions", "select", "there", "--output", "there"),
        ("import", "argon.ladera", "--head", "pbe", "--output", "argon.ladera"),
        ("committee", "argon.ladera", "--data", "frames.extxyz", "--output", "argon.ladera"),
        ("report", "md", "--output", "there"),
        ("export", "argon.ladera", "folder", "--to", "n2p2"),
        ("export", "argon.ladera", "folder", "--to", "mace"),
        ("evaluate", "argon.ladera", "frames.extxyz", "--output", "folder"),
        ("functions", "report", "argon.ladera", "frames.extxyz", "--output", "folder"),
        ("eos", "argon.ladera", "argon.xyz", "--output", "folder"),
        ("neb", "argon.ladera", "argon.xyz", "argon.xyz", "--output", "folder"),
        ("relax", "argon.ladera", "argon.xyz", "--output", "folder"),
        (
            "md",
            "argon.ladera",
            "argon.xyz",
            "--ensemble",
            "nve",
            "--steps",
            1,
            "--output",
            "folder",
        ),
    ],
    ids=lambda words: "-".join(words[:2]),
)
def test_what_is_there_stays(
    place: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("there", "there.extxyz"):
        (place / name).write_text("mine")
    (place / "md").mkdir()
    (place / "md" / "md.csv").write_text("step\n")
    (place / "folder").mkdir()
    for name in (
        "weights.018.data",
        "model.json",
        "predictions_test.npz",
        "functions.svg",
        "table.csv",
        "trajectory.traj",
    ):
        (place / "folder" / name).write_text("mine")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert ladera(*words) == 1
    error = capsys.readouterr().err
    other = "name another file with --json." if "--json" in words else "choose another --output."
    assert f"exists already; remove it or {other}" in error
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_an_output_that_cannot_be_made_is_refused_at_once(place: Path) -> None:
    (place / "file").touch()
    with pytest.raises(ConfigError, match="is a file; choose another"):
        files.require_absent(place / "file" / "below" / "out.extxyz")


# --- streams -------------------------------------------------------------------------------------

EVALUATE = ["evaluate", "argon.ladera", "frames.extxyz", "--output"]


@pytest.mark.parametrize(
    ("shell", "code"),
    [
        ("{} >&-", 0),
        ("{} 2>&-", 0),
        ("{} <&- >&- 2>&-", 0),
        ("PYTHONIOENCODING=ascii {}", 0),
        ("{} > /dev/full", 1),
        ("{} 2> /dev/full", 0),
        ("{} | true; exit ${{PIPESTATUS[0]}}", 141),
        ("{} 2>&1 >out | true; exit ${{PIPESTATUS[0]}}", 0),
    ],
)
def test_the_work_is_done_whoever_listens(place: Path, shell: str, code: int) -> None:
    command = " ".join([sys.executable, "-m", "ladera", *EVALUATE, "ev"])
    done = subprocess.run(["bash", "-c", shell.format(command)], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    found = json.loads((place / "ev" / "evaluation.json").read_text())
    assert found["test"]["n_frames"] == 3
    assert (place / "ev" / "predictions_test.npz").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("evaluate argon.ladera frames.extxyz --output ev", "ev/"),
        ("report md", "md/report.html"),
        ("data convert frames.extxyz --output new.extxyz", "new.extxyz"),
        ("relax argon.ladera argon.xyz --output re", "re/"),
    ],
)
def test_a_full_disk_is_a_sentence_with_the_file(place: Path, words: str, named: str) -> None:
    (place / "md").mkdir()
    (place / "md" / "md.csv").write_text("step\n0\n")
    limited = f"ulimit -f 1; exec {sys.executable} -m ladera {words} 2>&1 | cat"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True)
    assert "File too large" in done.stdout
    assert named in done.stdout
    assert "Traceback" not in done.stdout
    hidden = [path for path in place.rglob(".*") if path.is_file()]
    assert hidden == []


def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file is a file; choose another --output"):
        lock.locked(tmp_path / "file").__enter__()


def test_atoms_without_a_file_have_a_record_too(tmp_path: Path) -> None:
    from ladera.properties.equation_of_state import equation_of_state

    atoms: Atoms = bulk("Ar", a=5.4)
    atoms.calc = argon().calculator()
    record = equation_of_state(atoms).provenance
    assert record["structure"]["formula"] == "Ar"
    assert record["structure"]["files"] == []
