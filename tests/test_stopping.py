"""Runs that stop where a model no longer knows what it meets, and go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.io import read

import ladera
from ladera.errors import SimulationError, StoppedError
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.settings import MDSettings
from ladera.table_files import read as read_table

pytestmark = pytest.mark.filterwarnings("ignore::ladera.simulation.preparation.SimulationWarning")

HOT = {"temperature": 1500.0, "steps": 600, "log_interval": 5, "max_extrapolating": 1.0}
NEVER = {**HOT, "stop_grade": 0.0}


@pytest.fixture(scope="module")
def network() -> ladera.Potential:
    return ladera.load("ethanol-hdnnp")


@pytest.fixture(scope="module")
def committee(network: ladera.Potential) -> ladera.Potential:
    """Two members whose forces differ by a tenth."""
    other = ladera.load("ethanol-hdnnp")
    with torch.no_grad():
        other.energy_scale *= 1.1  # type: ignore[operator]
    return ladera.Committee([network, other])


def ethanol() -> Atoms:
    return molecule("CH3CH2OH")


def test_it_stops_at_the_first_row_beyond_the_grade(
    network: ladera.Potential, tmp_path: Path
) -> None:
    settings = MDSettings(**HOT, stop_grade=1.2)
    with pytest.raises(StoppedError, match=r"has the grade 1\.\d+, above stop_grade = 1.2") as stop:
        run_md(ethanol(), network, settings, tmp_path)
    assert stop.value.exit_code == 3
    frame = read(tmp_path / "stopped.extxyz")
    assert isinstance(frame, Atoms)
    assert frame.arrays["grade"].max() > 1.2
    calculator = network.calculator()
    calculator.calculate(frame)
    assert calculator.grade() == pytest.approx(frame.arrays["grade"], abs=1e-6)
    assert frame.get_forces() == pytest.approx(calculator.results["forces"], abs=1e-5)
    # No row before it was beyond: they are all in the log, with the frame's own as the last.
    steps, grades = (read_table(tmp_path / "md.csv")[name] for name in ("step", "largest_grade"))
    assert grades[:-1].max() <= 1.2
    assert grades[-1] == pytest.approx(frame.arrays["grade"].max())
    assert f"after step {int(steps[-1])} " in str(stop.value)


def test_a_run_that_stopped_goes_on_as_if_it_had_not(
    network: ladera.Potential, tmp_path: Path
) -> None:
    whole = run_md(ethanol(), network, MDSettings(**NEVER), tmp_path / "whole")
    with pytest.raises(StoppedError):
        run_md(ethanol(), network, MDSettings(**HOT, stop_grade=1.2), tmp_path / "run")
    with pytest.raises(StoppedError):  # further, at the next row that is beyond
        run_md(ethanol(), network, MDSettings(**HOT, stop_grade=1.3), tmp_path / "run", resume=True)
    last = run_md(ethanol(), network, MDSettings(**NEVER), tmp_path / "run", resume=True)
    assert np.array_equal(last.positions, whole.positions)
    one, two = (tmp_path / name / "md.csv" for name in ("whole", "run"))
    assert one.read_text() == two.read_text()


def test_it_stops_at_a_deviation(committee: ladera.Potential, tmp_path: Path) -> None:
    start = ethanol()
    start.calc = committee.calculator()
    sigma = np.linalg.norm(start.calc.get_property("forces_std", start), axis=1).max()
    settings = MDSettings(**NEVER, stop_deviation=float(2 * sigma))
    with pytest.raises(StoppedError, match=r"the force on atom \d \([HCO]\) deviates by"):
        run_md(start, committee, settings, tmp_path)
    frame = read(tmp_path / "stopped.extxyz")
    assert isinstance(frame, Atoms)
    # Two members that differ by a factor 1.1: s = 0.1 F / sqrt(2), F = mean / 1.05.
    expected = np.linalg.norm(frame.get_forces(), axis=1) * 0.1 / np.sqrt(2) / 1.05
    assert frame.arrays["force_deviation"] == pytest.approx(expected, rel=1e-4)
    assert expected.max() > 2 * sigma


def test_a_model_without_what_the_rule_looks_at(tmp_path: Path) -> None:
    mace = ladera.load("ethanol-mace")
    mace.active_set = None
    for setting, words in (
        ("stop_grade", "keeps no record of its training domain"),
        ("stop_deviation", "mace model has no deviation, so take a committee"),
    ):
        for _ in range(2):  # refused before there is a run in the folder
            with pytest.raises(SimulationError, match=words):
                run_md(ethanol(), mace, MDSettings(steps=5, **{setting: 1.0}), tmp_path)


def test_the_start_may_be_beyond(network: ladera.Potential, tmp_path: Path) -> None:
    stretched = ethanol()
    stretched.set_distance(1, 2, 1.7, fix=0)
    with pytest.raises(StoppedError, match="after step 0 "):
        run_md(stretched, network, MDSettings(**HOT, stop_grade=1.0), tmp_path)
