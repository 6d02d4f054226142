"""Damaged files of every kind are read or refused by a sentence: the short form of scripts/fuzz.py.

Seeded, so that a fault shows here each time or never.
"""

from __future__ import annotations

import gc
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ladera.errors import DataError, SimulationError
from ladera.simulation import restart
from ladera.simulation.run_folder import SimulationRun
from ladera.training.evaluation_files import read_errors

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import fuzz
import sound_files

FEW = ("report", "resumed")  # whose mutants take long


def test_no_reader_leaves_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where the readers go, and from where they come back
    faults = {
        reader.name: kinds
        for reader in sound_files.readers(tmp_path)
        if (kinds := fuzz.run(reader, 1 if reader.name.startswith(FEW) else 5, 14, tmp_path))
    }
    assert not faults


def test_a_fault_is_counted_and_its_file_kept(tmp_path: Path) -> None:
    """What the test above would say of a reader that leaves tracebacks, or takes too long."""
    sound = tmp_path / "numbers.txt"
    sound.write_text("1 2 3\n")

    def read(path: Path) -> list[int]:
        return [int(word) for word in path.read_text().split()]

    kinds = fuzz.run(sound_files.Reader("numbers", sound, read), 20, 0, tmp_path)
    assert kinds.total() > 5
    assert all("Error at" in kind for kind in kinds)
    assert len(list((tmp_path / "faults").iterdir())) == len(kinds)


def test_a_seed_that_is_refused_undamaged_is_no_seed(tmp_path: Path) -> None:
    from ladera.properties.experiment import read_spectrum

    wrong = tmp_path / "a.csv"
    wrong.write_text("no spectrum\n")
    with pytest.raises(DataError):
        fuzz.run(sound_files.Reader("spectrum", wrong, read_spectrum), 1, 0, tmp_path)


def simulated(folder: Path, name: str, change: object) -> None:
    """A run of a few steps, with one value in settings.json changed, by its path."""
    sound_files._simulate(folder, 4)
    path = folder / "settings.json"
    stored = json.loads(path.read_text())
    *way, last = name.split(".")
    inner = stored
    for key in way:
        inner = inner[key]
    inner[last] = change
    path.write_text(json.dumps(stored))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("settings", None),
        ("settings.timestep", "x"),
        ("settings.trajectory_interval", 0),
        ("structure.n_atoms", [4]),
        ("model.files", 3),
        ("versions", {"numpy": 2}),
    ],
)
def test_settings_of_another_form_are_named(tmp_path: Path, name: str, change: object) -> None:
    simulated(tmp_path, name, change)
    with pytest.raises(DataError, match=rf"settings.json is not what Ladera wrote \({name}"):
        SimulationRun.read(tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("step", "x", "step: "),
        ("guard", {}, "guard.rows_outside: "),
        ("frames", [1, "zz"], "non-hexadecimal"),
        ("random_state", {"bit_generator": "MT19937"}, "PCG64"),
        ("extrapolation", {"values": "x"}, "extrapolation.values: "),
    ],
)
def test_a_restart_point_of_another_form_is_named(
    tmp_path: Path, name: str, change: object, said: str
) -> None:
    sound_files._simulate(tmp_path, 4)
    point = restart.load(tmp_path / "restart.npz")
    restart.save(tmp_path / "restart.npz", replace(point, **{name: change}))
    with pytest.raises(SimulationError, match=rf"restart.npz is no complete.*{said}"):
        sound_files._simulate(tmp_path, 6, resume=True)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("positions", np.zeros((3, 3))),
        ("momenta", np.full((4, 3), np.nan)),
        ("thermostat", np.zeros((3, 3))),
        ("strain", 0.0),
    ],
)
def test_a_state_that_does_not_fit_is_named_and_nothing_is_cut(
    tmp_path: Path, name: str, array: object
) -> None:
    sound_files._simulate(tmp_path, 4)
    point = restart.load(tmp_path / "restart.npz")
    restart.save(tmp_path / "restart.npz", replace(point, state={**point.state, name: array}))
    with (tmp_path / "md.csv").open("a") as file:
        file.write("5")
    before = (tmp_path / "md.csv").read_bytes()
    with pytest.raises(SimulationError, match=rf"restart.npz is no restart .* \({name} has"):
        sound_files._simulate(tmp_path, 6, resume=True)
    assert (tmp_path / "md.csv").read_bytes() == before


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # ASE leaves damaged files open
def test_a_trajectory_of_another_kind_is_named(tmp_path: Path) -> None:
    sound_files._simulate(tmp_path, 4)
    path = tmp_path / "trajectory.traj"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(SimulationError, match=r"trajectory\.traj is damaged"):
        sound_files._simulate(tmp_path, 6, resume=True)
    gc.collect()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("test.energy.rmse", "x"),
        ("test.worst_frames.energy", 3),
        ("test.uncertainty", {"energy": 1.0}),
        ("train.n_frames", None),
    ],
)
def test_an_evaluation_of_another_form_is_named(tmp_path: Path, place: str, value: object) -> None:
    stored = json.loads((sound_files.TRAINED / "evaluation.json").read_text())
    *way, last = place.split(".")
    inner = stored
    for key in way:
        inner = inner[key]
    inner[last] = value
    (tmp_path / "evaluation.json").write_text(json.dumps(stored))
    with pytest.raises(DataError, match=rf"evaluation.json is not what Ladera wrote \({place}"):
        read_errors(tmp_path)


@pytest.mark.parametrize("key", ["data_hash", "method", "format_version", "train"])
def test_a_split_with_something_else_in_it_is_named(tmp_path: Path, key: str) -> None:
    from ladera.data.dataset import Dataset
    from ladera.data.splits import Split, random_split
    from training_runs import argon

    data: Dataset = argon(6)
    path = tmp_path / "split.json"
    random_split(data, 0.2).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: None}))
    with pytest.raises(DataError, match=rf"no split that Ladera wrote \({key}: "):
        Split.load(path, data)


@pytest.mark.parametrize("damage", ["numbers", "forces"])
def test_a_relaxation_of_other_frames_is_named(tmp_path: Path, damage: str) -> None:
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io.trajectory import Trajectory

    from ladera.report.report import write_report

    sound_files.relax(sound_files._argon(), sound_files._pairs(), folder=tmp_path)
    path = tmp_path / "trajectory.traj"
    with Trajectory(path) as file:
        frames = list(file)
    with Trajectory(path, "w") as file:
        for atoms in frames:
            energy = atoms.get_potential_energy()
            if damage == "numbers":
                atoms.numbers[0] = 3000
            atoms.calc = SinglePointCalculator(atoms, energy=energy)
            file.write(atoms)
    said = "cannot be read" if damage == "numbers" else "is not what a relaxation wrote"
    with pytest.raises(DataError, match=rf"trajectory\.traj {said}"):
        write_report(tmp_path)


@pytest.mark.filterwarnings("ignore::ladera.report.report.ReportWarning")  # of the 3D view
def test_a_force_that_nobody_asked_for(tmp_path: Path) -> None:
    from ladera.report.report import write_report

    sound_files.relax(sound_files._argon(), sound_files._pairs(), folder=tmp_path)
    path = tmp_path / "settings.json"
    stored = json.loads(path.read_text())
    stored["settings"]["fmax"] = None
    path.write_text(json.dumps(stored))
    assert "asked: below" not in write_report(tmp_path).read_text()
