"""A run that was stopped, however, goes on to exactly the trajectory it would have had."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io.trajectory import Trajectory

from argon import argon, one_thread  # noqa: F401
from argon import crystal as argon_crystal
from ladera.errors import SimulationError
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.settings import MDSettings

ENSEMBLES = ("nve", "nvt-langevin", "nvt-bussi", "nvt-nose-hoover", "npt")


def crystal() -> Atoms:
    return argon_crystal((2, 2, 1))


def settings(**changes) -> MDSettings:
    values = {
        "ensemble": "nvt-langevin",
        "temperature": 60.0,
        "timestep": 5.0,
        "steps": 120,
        "log_interval": 5,
        "trajectory_interval": 5,
        "restart_interval": 50,
    }
    return MDSettings(**{**values, **changes})


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


def interrupted_run(folder, chosen: MDSettings, last_row: int) -> None:
    """A run that ends without warning while it handles a row of the log."""

    def fall(row) -> None:
        if row.step >= last_row:
            raise Killed

    with pytest.raises(Killed):
        run_md(crystal(), argon(), chosen, folder, on_row=fall)


def frames(folder: Path) -> list[dict[str, np.ndarray]]:
    with Trajectory(folder / "trajectory.traj") as trajectory:
        return [
            {
                "positions": atoms.positions,
                "momenta": atoms.get_momenta(),
                "cell": atoms.cell.array,
                "forces": atoms.get_forces(apply_constraint=False),
                "energy": np.array(atoms.get_potential_energy()),
            }
            for atoms in trajectory
        ]


def assert_same_run(one: Path, other: Path) -> None:
    """Log, trajectory and end are equal to the last bit."""
    assert (one / "md.csv").read_text() == (other / "md.csv").read_text()
    assert (one / "final.extxyz").read_text() == (other / "final.extxyz").read_text()
    first, second = frames(one), frames(other)
    assert len(first) == len(second)
    for frame, twin in zip(first, second, strict=True):
        for name, array in frame.items():
            assert np.array_equal(array, twin[name]), name


@pytest.mark.parametrize("ensemble", ENSEMBLES)
@pytest.mark.parametrize("ramp", [False, True])
def test_bit_for_bit(tmp_path, ensemble, ramp):
    if ramp and ensemble == "nve":
        pytest.skip("nve has no temperature to ramp")
    chosen = settings(ensemble=ensemble, temperature_end=90.0 if ramp else None)
    run_md(crystal(), argon(), chosen, tmp_path / "whole")
    interrupted_run(tmp_path / "parts", chosen, last_row=85)  # 35 steps after the restart point
    assert len(frames(tmp_path / "parts")) > 11
    run_md(crystal(), argon(), chosen, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_many_interruptions_and_a_long_index(tmp_path):
    """More frames than the first index of an ASE trajectory holds, cut in several places."""
    chosen = settings(ensemble="nvt-bussi", log_interval=1, trajectory_interval=1)
    run_md(crystal(), argon(), chosen, tmp_path / "whole")
    interrupted_run(tmp_path / "parts", chosen, last_row=20)
    for last in (30, 49, 60, 110):

        def fall(row, last=last) -> None:
            if row.step >= last:
                raise Killed

        with pytest.raises(Killed):
            run_md(crystal(), argon(), chosen, tmp_path / "parts", resume=True, on_row=fall)
    run_md(crystal(), argon(), chosen, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_open_structures_with_our_constraint(tmp_path):
    atoms = Atoms("Ar3", [[0, 0, 0], [3.8, 0, 0], [1.9, 3.3, 0]])
    chosen = settings(temperature=10.0)

    def fall(row) -> None:
        if row.step >= 70:
            raise Killed

    run_md(atoms, argon(), chosen, tmp_path / "whole")
    with pytest.raises(Killed):
        run_md(atoms, argon(), chosen, tmp_path / "parts", on_row=fall)
    run_md(atoms, argon(), chosen, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_finished_run_can_be_made_longer(tmp_path):
    run_md(crystal(), argon(), settings(), tmp_path / "whole")
    run_md(crystal(), argon(), settings(steps=60), tmp_path / "parts")
    run_md(crystal(), argon(), settings(steps=60), tmp_path / "parts", resume=True)
    run_md(crystal(), argon(), settings(steps=120), tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    with pytest.raises(SimulationError, match="at step 120 already"):
        run_md(crystal(), argon(), settings(steps=60), tmp_path / "parts", resume=True)


def test_only_the_same_run_is_continued(tmp_path):
    interrupted_run(tmp_path, settings(), last_row=60)
    other = crystal()
    other.positions[0] += 0.01
    refusals = [
        (crystal(), argon(), settings(timestep=4.0), "has timestep = 5.0, not 4.0"),
        (crystal(), argon(), settings(ensemble="nve"), "has ensemble = nvt-langevin, not nve"),
        (crystal(), argon(), settings(seed=1), "has seed = 0, not 1"),
        (crystal(), argon(0.0105), settings(), "another model"),
        (other, argon(), settings(), "another structure"),
    ]
    for atoms, potential, chosen, message in refusals:
        with pytest.raises(SimulationError, match=message):
            run_md(atoms, potential, chosen, tmp_path, resume=True)
    ramp = tmp_path / "ramp"
    interrupted_run(ramp, settings(temperature_end=90.0), last_row=60)
    with pytest.raises(SimulationError, match="has steps = 120, not 200"):
        run_md(crystal(), argon(), settings(temperature_end=90.0, steps=200), ramp, resume=True)
    run_md(crystal(), argon(), settings(), tmp_path, resume=True)  # and no refusal broke it


def test_nothing_to_resume(tmp_path):
    with pytest.raises(SimulationError, match="no restart point"):
        run_md(crystal(), argon(), settings(), tmp_path, resume=True)


@pytest.mark.parametrize("name", ["restart.npz", "settings.json", "md.csv", "trajectory.traj"])
def test_damaged_files_are_named(tmp_path, name):
    interrupted_run(tmp_path, settings(), last_row=60)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    with pytest.raises(SimulationError, match=name):
        run_md(crystal(), argon(), settings(), tmp_path, resume=True)


def test_restart_file_is_no_pickle_and_knows_its_version(tmp_path):
    interrupted_run(tmp_path, settings(), last_row=60)
    path = tmp_path / "restart.npz"
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    text = json.loads(str(arrays.pop("text")))
    text["version"] = 99
    with path.open("wb") as file:
        np.savez(file, text=np.array(json.dumps(text)), **arrays)
    with pytest.raises(SimulationError, match="format version 99"):
        run_md(crystal(), argon(), settings(), tmp_path, resume=True)


SCRIPT = """
import sys, torch
from test_simulation_restart import argon, crystal, settings
from ladera.simulation.molecular_dynamics import run_md
torch.set_num_threads(1)
run_md(crystal(), argon(), settings(ensemble="nvt-bussi", steps={steps}), sys.argv[1],
       resume=bool(sys.argv[2:]))
"""


def start(folder: Path, steps: int, *words: str) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    script = SCRIPT.format(steps=steps)
    return subprocess.Popen(
        [sys.executable, "-c", script, str(folder), *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def wait_for_step(folder: Path, step: int) -> None:
    path = folder / "md.csv"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if path.exists():
            lines = path.read_text().splitlines()
            if len(lines) > 2 and int(lines[-1].split(",")[0] or 0) >= step:
                return
        time.sleep(0.02)
    raise AssertionError("the run did not get anywhere")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killed_process(tmp_path, how):
    """kill -9 leaves the last restart point; Ctrl-C and SIGTERM make one first."""
    steps = 3000
    process = start(tmp_path / "parts", steps)
    wait_for_step(tmp_path / "parts", 120)
    process.send_signal(how)
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert not (tmp_path / "parts" / "final.extxyz").exists()
    if how != signal.SIGKILL:
        assert b"KeyboardInterrupt: stopped after step" in output
        with np.load(tmp_path / "parts" / "restart.npz") as archive:
            step = json.loads(str(archive["text"]))["step"]
        with (tmp_path / "parts" / "md.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert step - int(rows[-1]["step"]) < 5
    stopped = (tmp_path / "parts" / "md.csv").read_text().splitlines()
    chosen = settings(ensemble="nvt-bussi", steps=int(stopped[-1].split(",")[0] or 0) + 100)
    run_md(crystal(), argon(), chosen, tmp_path / "parts", resume=True)
    run_md(crystal(), argon(), chosen, tmp_path / "whole")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_full_disk_leaves_the_last_restart_point(tmp_path, monkeypatch):
    """A restart point that cannot be written keeps the old one, and the run can go on."""
    chosen = settings()
    run_md(crystal(), argon(), chosen, tmp_path / "whole")
    original, calls = np.savez, 0

    def full(*arguments, **keywords):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(28, "No space left on device")
        original(*arguments, **keywords)

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match=r"No space left on device: .*restart\.npz"):
        run_md(crystal(), argon(), chosen, tmp_path / "parts")
    monkeypatch.undo()
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [
        "md.csv",
        "restart.npz",
        "settings.json",
        "trajectory.traj",
    ]
    run_md(crystal(), argon(), chosen, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
