"""Tasks by the jobs of a queue: a real Slurm where it can start, and Parsl on this machine."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read, write

import slurm as queue
from active_engines import TETRAHEDRON, active_settings, morse
from label_engines import Here
from ladera.active import config as active
from ladera.active import learn
from ladera.active.exploration import plans, starts_of, walk_all
from ladera.active.walker import Walker
from ladera.data.frame import Frame
from ladera.errors import ConfigError
from ladera.executors import as_executor, opened, running
from ladera.executors.config import ParslFile, Slurm
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig
from ladera.processes import ProcessEndedError, Processes, Task, TimeLimitError, begun, run_all
from ladera.simulation.parallel import run_temperatures
from ladera.simulation.settings import MDSettings
from ladera.training.trainer import train
from training_runs import config, hdnnp, same_bits

pytest.importorskip("parsl")
from parsl.jobs.states import JobState, JobStatus
from parsl.providers import PBSProProvider, SlurmProvider

pytestmark = [  # Parsl leaves sockets open when it looks for the addresses of this machine
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
HERE = Processes(1, interval=0.2, stopped="it goes on later")
LOCAL = """\
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

provider = LocalProvider(max_blocks=1, worker_init="export PYTHONPATH={modules}")
config = Config(
    [HighThroughputExecutor(max_workers_per_node=2, provider=provider)],
    run_dir="{folder}",
    strategy_period=0.5,
    initialize_logging=False,
)
"""


def results(executor: Any, tasks: list[Task[Any]], folder: Path) -> list[Any]:
    with opened(executor, folder / "jobs") as pool:
        return run_all(pool.runner(HERE), tasks)


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "does not say which executor; begin with a line such as executor: slurm"),
        ({"executor": "slrum"}, "did you mean 'slurm'?"),
        ({"executor": "slurm", "partition": "x"}, "'partition' is no key of this executor"),
        ({"executor": "slurm", "time": "2h"}, "time: expected HH:MM:SS"),
        ({"executor": "slurm", "workers": 0}, "workers"),
        ({"executor": "slurm", "jobs": True}, "jobs"),
        ({"executor": "parsl"}, "the key 'file' is missing"),
        ({"executor": "parsl", "file": "nowhere.py"}, "no configuration file of Parsl nowhere.py"),
    ],
)
def test_settings_that_cannot_be_used(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        as_executor(values)


def test_a_queue_without_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="there is no command qsub here"):
        as_executor("pbs")


def test_a_yaml_file_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("executor: slurm\njobs: 2\nthread: 4\n")
    with pytest.raises(ConfigError, match=r"cluster.yaml, line 3: 'thread' is no key.*threads"):
        as_executor(path)


def test_without_parsl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "parsl", None)
    (tmp_path / "parsl.py").write_text("")
    with pytest.raises(ConfigError, match=r"pip install 'ladera\[parsl\]'"):
        results(tmp_path / "parsl.py", [], tmp_path)


def test_a_file_without_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("config = 1\n")
    with pytest.raises(ConfigError, match="has no config of Parsl"):
        results(tmp_path / "empty.py", [Task(partial(math.sqrt, 4.0))], tmp_path)


# --- tasks ---------------------------------------------------------------------------------------


def late() -> None:
    begun()
    time.sleep(600)


def leave(code: int) -> None:
    os._exit(code)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with queue.cluster(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the queue often, and miss a job soon."""
    monkeypatch.setattr(running, "_PERIOD", 0.5)
    monkeypatch.setattr(running, "_SILENCE", 15)
    for provider in (SlurmProvider, PBSProProvider):
        monkeypatch.setattr(provider, "status_polling_interval", 1)


@pytest.fixture(params=["slurm", "parsl"])
def executor(request: pytest.FixtureRequest, tmp_path: Path, quick: None) -> Any:
    if request.param == "slurm":
        request.getfixturevalue("cluster")
        return Slurm(workers=2)
    path = tmp_path / "local.py"
    path.write_text(LOCAL.format(folder=tmp_path / "parsl", modules=os.pathsep.join(sys.path)))
    return ParslFile(file=path)


def test_results_errors_ended_processes_and_time_limits(executor: Any, tmp_path: Path) -> None:
    errors: list[Exception] = []
    tasks: list[Task[Any]] = [Task(partial(math.sqrt, float(k))) for k in range(5)]
    tasks += [
        Task(partial(math.sqrt, -1.0), rescue=errors.append),
        Task(partial(leave, 3), rescue=errors.append),
        Task(late, limit=0.5, rescue=errors.append),
        Task(partial(print, "heard"), output=tmp_path / "said.txt"),
    ]
    found = results(executor, tasks, tmp_path)
    assert found[:5] == [math.sqrt(k) for k in range(5)]
    kinds = {type(error): error for error in errors}
    assert kinds.keys() == {ValueError, ProcessEndedError, TimeLimitError}
    assert kinds[ProcessEndedError].exit_code == 3  # type: ignore[attr-defined]
    assert (tmp_path / "said.txt").read_text() == "heard\n"


def test_an_error_ends_the_work_and_its_jobs(executor: Any, tmp_path: Path) -> None:
    def explain(error: Exception) -> Exception:
        return ConfigError(f"It was {error}.")

    tasks = [Task(partial(math.sqrt, -1.0), explain=explain)]
    with pytest.raises(ConfigError, match=r"It was .*"):
        results(executor, tasks, tmp_path)
    if isinstance(executor, Slurm):
        eventually(lambda: not queue.jobs())


# --- what happens to jobs ------------------------------------------------------------------------


@pytest.mark.usefixtures("cluster", "quick")
def test_a_job_that_is_killed_is_replaced(tmp_path: Path) -> None:
    tasks = [Task(partial(wait_to_be_killed, tmp_path / "begun")), Task(partial(math.sqrt, 1.0))]

    def kill() -> None:
        eventually(lambda: (tmp_path / "begun").exists())
        subprocess.run(["scancel", "--signal=KILL", "--full", *queue.jobs()], check=True)

    killer = threading.Thread(target=kill)
    killer.start()
    found = results(Slurm(), tasks, tmp_path)
    killer.join()
    assert found == [1.0, 1.0]
    assert len((tmp_path / "begun").read_text().splitlines()) == 2


def wait_to_be_killed(path: Path) -> float:
    """The first time; the second time it is there at once."""
    again = path.exists()
    with path.open("a") as file:
        file.write(f"{time.time()}\n")
    if not again:
        time.sleep(600)
    return 1.0


@pytest.mark.usefixtures("cluster", "quick")
def test_jobs_that_end_before_they_did_anything(tmp_path: Path) -> None:
    broken = Slurm(setup="echo there is no such module >&2; exit 1")
    with pytest.raises(ConfigError, match=r"there is no such module"):
        results(broken, [Task(partial(math.sqrt, 4.0))], tmp_path)


@pytest.mark.usefixtures("cluster", "quick")
def test_a_queue_that_takes_no_job(tmp_path: Path) -> None:
    wrong = Slurm(queue="nowhere")
    with pytest.raises(ConfigError, match="Invalid partition"):
        results(wrong, [Task(partial(math.sqrt, 4.0))], tmp_path)


def eventually(holds: Callable[[], bool], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


@pytest.mark.parametrize(("connected", "given_up"), [([], True), (["0"], False)])
def test_a_node_that_is_lost_ends_the_work_only_if_no_job_did_any(
    connected: list[str], given_up: bool
) -> None:
    class Executor:
        provider = SlurmProvider(init_blocks=0)
        failed = False

        def connected_blocks(self) -> list[str]:
            return connected

        def set_bad_state_and_fail_all(self, error: Exception) -> None:
            self.failed = True

    executor = Executor()
    running._give_up(executor, {"0": JobStatus(JobState.FAILED)})
    assert executor.failed is given_up


# --- a queue that is none ------------------------------------------------------------------------

QSUB = """\
#!/bin/sh
for script; do :; done
grep '^#PBS' "$script" > {folder}/head
(cd / && setsid sh "$script" > {folder}/said 2>&1 &)
echo 17.nowhere
"""
QSTAT = """\
#!/bin/sh
echo '{{"Jobs": {{"17.nowhere": {{"job_state": "R"}}}}}}'
"""


@pytest.mark.usefixtures("quick")
def test_jobs_of_pbs_by_commands_that_stand_in_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("qsub", QSUB), ("qstat", QSTAT), ("qdel", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text.format(folder=tmp_path))
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    pbs = as_executor(
        {"executor": "pbs", "threads": 2, "workers": 3, "queue": "long", "options": ["-l mem=1gb"]}
    )
    assert results(pbs, [Task(os.getcwd)], tmp_path) == [os.getcwd()]
    head = (tmp_path / "head").read_text()
    assert "walltime=01:00:00" in head
    assert "select=1:ncpus=6" in head
    assert "-l mem=1gb" in head


# --- who asks for it -----------------------------------------------------------------------------


@pytest.mark.usefixtures("cluster")
def test_labels_by_jobs_are_those_of_this_machine_and_survive_a_kill(tmp_path: Path) -> None:
    pytest.importorskip("tblite")
    generator = np.random.default_rng(0)
    frames = [molecule("H2O") for _ in range(6)]
    for atoms in frames:
        atoms.positions += generator.normal(scale=0.05, size=(3, 3))
    write(tmp_path / "frames.extxyz", frames)
    (tmp_path / "cluster.yaml").write_text("executor: slurm\n")
    command = [sys.executable, "-m", "ladera", "label", "frames.extxyz", "--engine", "tblite"]
    subprocess.run([*command, "--output", "here.extxyz"], cwd=tmp_path, check=True)
    command += ["--executor", "cluster.yaml", "--output", "there.extxyz"]
    with subprocess.Popen(command, cwd=tmp_path) as process:
        eventually(lambda: (tmp_path / "there.extxyz").is_file())
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    eventually(lambda: not any(child.is_running() for child in children))
    subprocess.run(command, cwd=tmp_path, check=True)
    here, there = (read(tmp_path / f"{name}.extxyz", ":") for name in ("here", "there"))
    energies = [sorted(atoms.get_potential_energy() for atoms in part) for part in (here, there)]
    assert len(there) == len(frames)
    assert energies[0] == pytest.approx(energies[1], rel=1e-12)


@pytest.mark.usefixtures("cluster", "quick")
def test_an_active_learning_survives_the_loss_of_a_node(tmp_path: Path) -> None:
    """In the middle of a label; all rounds are done by the jobs that were submitted once."""
    settings = active_settings(tmp_path, morse(tmp_path, kills=True), stop={"rounds": 1})
    done = learn(settings | {"executor": "slurm"}, tmp_path / "there")
    assert (tmp_path / "killed").exists()
    notes = (tmp_path / "notes").read_text().split()
    labelled = sum(each.labelled for each in done.rounds)
    assert len(notes) == labelled + 1  # the one whose node was lost
    assert not sum(each.failed for each in done.rounds)
    assert len(list((tmp_path / "there/jobs").glob("*/submit_scripts/*.stdout"))) == 2
    (tmp_path / "notes").unlink()
    here = learn(settings, tmp_path / "here", executor=Here())
    assert done.rounds[1].judged == here.rounds[1].judged


@pytest.fixture
def local(tmp_path: Path, quick: None) -> str:
    path = tmp_path / "local.py"
    modules = os.pathsep.join(sys.path)
    path.write_text(LOCAL.format(folder=tmp_path / "parsl", modules=modules))
    return str(path)


def test_a_committee_trained_by_jobs_is_that_of_this_machine(tmp_path: Path, local: str) -> None:
    found = []
    for name, section in (("here", {}), ("there", {"executor": local})):
        folder = tmp_path / name
        folder.mkdir()
        chosen = config(folder, epochs=1, model=hdnnp(), committee={"members": 2, **section})
        found.append(train(chosen, folder / "run"))
    assert same_bits(*found)


def test_temperatures_by_jobs_are_those_of_this_machine(tmp_path: Path, local: str) -> None:
    model = tmp_path / "argon.ladera"
    pair = LennardJonesConfig(species=("Ar",), cutoff=6, epsilon={"Ar": 0.01}, sigma={"Ar": 3.4})
    LennardJones(pair).save(model)
    atoms = bulk("Ar", a=5.3, cubic=True)
    settings = MDSettings(steps=20, trajectory_interval=10)
    frames = []
    for name, executor in (("here", None), ("there", local)):
        runs = run_temperatures(
            atoms, model, [20.0, 40.0], settings, tmp_path / name, executor=executor
        )
        frames.append([read(run.mean / "trajectory.traj", -1).positions for run in runs])
    np.testing.assert_array_equal(*frames)


def test_the_walks_of_an_active_learning_by_jobs_are_those_of_this_machine(
    tmp_path: Path, local: str
) -> None:
    asked = active.parse(active_settings(tmp_path), "it")
    walker, frame = Walker.of(morse(tmp_path)), Frame.from_atoms(Atoms("Cu4", TETRAHEDRON))
    found = []
    for name, executor in (("here", None), ("there", local)):
        folder = tmp_path / name
        walks = plans(asked, starts_of(asked, [frame]), walker, folder, 0, None)
        with opened(executor, folder / "jobs") as pool:
            ended = walk_all(walks, 1, pool)
        found.append([ended, [each.frame.positions for walk in walks for each in walk.met()]])
    (one, positions), (other, same) = found
    assert one == other
    np.testing.assert_array_equal(positions, same)
