"""The folder of a simulation: what is written is read, and folders of older versions are."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from argon import argon
from ladera.errors import DataError, SimulationError
from ladera.identity import describe_run
from ladera.properties.mean_squares import error_of_mean
from ladera.properties.trajectory import read_trajectory
from ladera.report.report import write_report
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.relaxation import relax
from ladera.simulation.rows import LogRow, RelaxRow
from ladera.simulation.run_folder import RunFolder, SimulationRun, is_simulation
from ladera.simulation.settings import MDSettings
from ladera.tables import columns_of

OLD = Path(__file__).parent / "data" / "runs_format_1"  # of version 0.1
FEWER = ("energy_std_ev", "max_force_std_ev_per_angstrom", "extrapolating_atoms", "largest_grade")


def crystal() -> Atoms:
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True)
    atoms.rattle(0.05, seed=1)
    return atoms


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows: list[LogRow] = []
    settings = MDSettings(
        ensemble="nve", temperature=30.0, timestep=2.0, steps=20, log_interval=5,
        trajectory_interval=10,
    )  # fmt: skip
    last = run_md(crystal(), argon(), settings, tmp_path, on_row=rows.append)
    run = SimulationRun.read(tmp_path)
    assert is_simulation(tmp_path)
    assert (run.kind, run.n_atoms, run.timestep, run.frame_interval) == ("md", 4, 2.0, 10)
    assert list(run.table) == [column.name for column in columns_of(LogRow)]
    for name in ("step", "time_fs", "temperature_k", "total_energy_ev"):
        expected = [getattr(row, name) for row in rows]
        np.testing.assert_allclose(run.table[name], expected, rtol=1e-11)
    assert np.isnan(run.table["energy_std_ev"]).all()
    assert run.n_frames == 3
    np.testing.assert_array_equal(run.frames(np.array([2]))[0].positions, last.positions)
    folder = RunFolder(tmp_path)
    assert folder.holds_run
    assert folder.steps_done() == 20
    assert run.after(0.02)["time_fs"].tolist() == [20.0, 30.0, 40.0]
    for skip in (5.0, -1.0):
        with pytest.raises(DataError, match=r"0.04 ps long, so .* ps cannot .* smaller --skip"):
            run.after(skip)


def test_a_mean_has_the_error_of_its_correlated_series() -> None:
    """x' = p x + noise: the mean of n has variance (1 + p) / (1 - p) / n times that of x."""
    generator, p, n = np.random.default_rng(1), 0.9, 20_000
    noise = generator.normal(size=(40, n))
    series = noise / np.sqrt(1 - p**2)
    for k in range(1, n):
        series[:, k] = p * series[:, k - 1] + noise[:, k]
    errors = [error_of_mean(one) for one in series]
    exact = np.sqrt((1 + p) / (1 - p) / n / (1 - p**2))
    assert np.mean(errors) == pytest.approx(exact, rel=0.05)
    assert series.mean(axis=1).std() == pytest.approx(exact, rel=0.3)
    assert np.isnan(error_of_mean(series[0, :400]))  # too short to tell
    assert np.isnan(error_of_mean(np.ones(100)))


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "md-300K"),
        ({"temperature_end": 600.0}, "md-300-600K"),
        ({"ensemble": "npt", "pressure": 1.5}, "md-300K-1.5GPa"),
        ({"ensemble": "nve", "temperature": 20.0}, "md-nve-20K"),
        ({"ensemble": "nve", "initial_velocities": "structure"}, "md-nve"),
    ],
)
def test_a_folder_is_named_by_what_is_run(settings: dict[str, Any], name: str) -> None:
    assert MDSettings(steps=10, **settings).name == name


def test_a_relaxation_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows: list[RelaxRow] = []
    relax(crystal(), argon(), folder=tmp_path, on_row=rows.append)
    run = SimulationRun.read(tmp_path)
    assert (run.kind, run.timestep, run.n_frames) == ("relax", None, len(rows))
    np.testing.assert_allclose(
        run.table["potential_energy_ev"], [row.potential_energy_ev for row in rows], rtol=1e-11
    )


@pytest.mark.filterwarnings("ignore::ladera.report.report.ReportWarning")
@pytest.mark.parametrize("name", [path.name for path in sorted(OLD.iterdir())])
def test_folders_of_version_0_1_are_read_and_reported(name: str, tmp_path: Path) -> None:
    run = SimulationRun.read(OLD / name)
    assert len(run.table["step"]) > 1
    assert run.n_frames > 1
    page = write_report(OLD / name, tmp_path / "report.html")
    assert run.settings["ensemble"] in page.read_text()


@pytest.mark.filterwarnings("ignore::ladera.report.report.ReportWarning")
def test_a_folder_without_the_newer_columns_is_read_and_goes_on(tmp_path: Path) -> None:
    settings = MDSettings(ensemble="nve", temperature=30.0, timestep=2.0, steps=20, log_interval=5)
    run_md(crystal(), argon(), settings, tmp_path / "new")
    old = tmp_path / "old"
    shutil.copytree(tmp_path / "new", old)
    with (old / "md.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in FEWER]
    with (old / "md.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    # The restart point counts the bytes of md.csv; what an older version wrote has its own count.
    from ladera.simulation import restart

    point = restart.load(old / "restart.npz")
    restart.save(
        old / "restart.npz", type(point)(**vars(point) | {"table": (old / "md.csv").stat().st_size})
    )
    longer = settings.model_copy(update={"steps": 40})
    run_md(crystal(), argon(), longer, old, resume=True)
    run_md(crystal(), argon(), longer, tmp_path / "new", resume=True)
    table, expected = SimulationRun.read(old).table, SimulationRun.read(tmp_path / "new").table
    assert list(table) == names
    np.testing.assert_array_equal(table["step"], np.arange(0, 41, 5))
    np.testing.assert_array_equal(table["total_energy_ev"], expected["total_energy_ev"])
    assert read_trajectory(old).n_frames == 3
    assert write_report(old, tmp_path / "report.html").is_file()


def test_another_run_is_refused_by_what_differs(tmp_path: Path) -> None:
    atoms, settings = crystal(), MDSettings(steps=5)
    folder = RunFolder(tmp_path)
    folder.describe(describe_run(settings.model_dump(), argon(), atoms))

    def require(**changes: object) -> None:
        changed = settings.model_copy(update=changes)
        folder.require_same_run(describe_run(changed.model_dump(), argon(), atoms))

    require(steps=50)  # longer is the same
    with pytest.raises(SimulationError, match=r"has timestep = 0\.5, not 1\.0; continue it with"):
        require(timestep=1.0)
    with pytest.raises(SimulationError, match="used another model"):
        folder.require_same_run(describe_run(settings.model_dump(), argon(0.02), atoms))
    atoms.info["total_charge"] = 1
    with pytest.raises(SimulationError, match="started from another structure"):
        require()
    (tmp_path / "settings.json").write_text("[]")
    with pytest.raises(SimulationError, match="missing or damaged"):
        require()


def test_what_holds_no_simulation_is_refused(tmp_path: Path) -> None:
    assert not is_simulation(tmp_path)
    with pytest.raises(DataError, match=r"holds no simulation \(neither md\.csv nor relax\.csv\)"):
        SimulationRun.read(tmp_path)
    (tmp_path / "md.csv").write_text("step\n0\n")
    (tmp_path / "trajectory.traj").write_text("nothing")
    with pytest.raises(DataError, match=r"trajectory\.traj cannot be read"):
        _ = SimulationRun.read(tmp_path).n_frames
