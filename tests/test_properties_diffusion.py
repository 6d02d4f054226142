"""Diffusion: a random walk whose coefficient is known, and trajectories of ionic conductors."""

from __future__ import annotations

import gzip
import json
import math
import os
import signal
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers
from ase.io import read, write
from ase.io.cube import read_cube_data
from ase.io.trajectory import Trajectory as TrajectoryFile
from hypothesis import given, settings
from hypothesis import strategies as st

from label_engines import Here
from ladera.cli import main
from ladera.errors import DataError, PropertyError, SimulationError
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig
from ladera.properties import result
from ladera.properties.arrhenius import arrhenius
from ladera.properties.diffusion import diffusion
from ladera.properties.mean_squares import (
    mean_squared_displacements,
    origin_correlation,
    origin_variance,
)
from ladera.properties.site_density import site_density
from ladera.properties.trajectory import Trajectory, read_trajectory
from ladera.properties.van_hove import van_hove
from ladera.report import viewer
from ladera.report.report import write_report
from ladera.simulation import parallel
from ladera.simulation.settings import MDSettings
from ladera.units import BOLTZMANN

DATA = Path(__file__).parents[2] / "shared" / "data" / "ionic_conductors"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"the trajectories of ionic conductors in {DATA} are not here"
)
CELL = 20.0 * np.eye(3)
STEP, INTERVAL = 0.1, 200.0  # Angstrom of each component, fs
EXACT = STEP**2 / (2 * INTERVAL) * 0.1  # cm^2/s


def walk(seed: int, frames: int = 200, step: float = STEP, temperature: float | None = 300.0):
    """Ten lithium atoms with independent normal steps, and a sulfur atom that stands still."""
    rng = np.random.default_rng(seed)
    positions = np.zeros((frames, 11, 3))
    positions[1:, :10] = np.cumsum(rng.normal(0, step, (frames - 1, 10, 3)), axis=0)
    numbers = np.array([3] * 10 + [16])
    return Trajectory.from_positions(numbers, positions, CELL, INTERVAL, temperature)


def test_error_bars_of_200_random_walks_hold_what_they_promise():
    found = [diffusion(walk(seed), "Li") for seed in range(200)]
    value = np.array([one.coefficient for one in found])
    error = np.array([one.coefficient_error for one in found])
    off = np.abs(value - EXACT) / error
    assert 0.60 <= np.mean(off < 1) <= 0.76
    assert 0.90 <= np.mean(off < 2) <= 0.99
    assert value.mean() == pytest.approx(EXACT, abs=4 * value.std() / np.sqrt(200))
    # The errors promised are, on average, the scatter there is.
    assert np.sqrt((error**2).mean()) == pytest.approx(value.std(), rel=0.2)


@pytest.mark.parametrize(("n_groups", "size", "window"), [(1, 1, (1, 20)), (2, 5, (1, 13))])
def test_error_bars_hold_for_few_ions_and_for_ions_in_concert(n_groups, size, window):
    """Groups of ions that walk as one are one walker; few walkers do not show their scatter."""
    inside, together = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        steps = np.repeat(rng.normal(0, STEP, (199, n_groups, 3)), size, axis=1)
        positions = np.zeros((200, n_groups * size + 1, 3))
        positions[1:, :-1] = np.cumsum(steps, axis=0)
        moving = Trajectory.from_positions([3] * n_groups * size + [16], positions, CELL, INTERVAL)
        found = diffusion(moving, "Li", window=window)
        if np.isfinite(found.coefficient_error):
            inside.append(abs(found.coefficient - EXACT) / found.coefficient_error)
            together.append(abs(found.collective - size * EXACT) / found.collective_error)
    assert len(inside) > 55
    for off in (np.array(inside), np.array(together)):
        assert 0.5 <= np.mean(off < 1) <= 0.85
        assert np.mean(off < 2) >= 0.75


def test_ions_whose_sum_is_at_rest_have_no_haven_ratio():
    pair = walk(1, 200).positions[:, :1]
    positions = np.concatenate([pair, -pair, np.zeros_like(pair)], axis=1)
    found = diffusion(Trajectory.from_positions([3, 3, 16], positions, CELL, INTERVAL), "Li")
    assert found.collective == 0
    assert np.isnan(found.haven_ratio)
    assert np.isnan(found.collective_error)  # of nothing


def test_displacements_are_those_of_the_definition():
    positions = np.random.default_rng(0).normal(size=(30, 4, 3)).cumsum(axis=0) + 1000.0
    found = mean_squared_displacements(positions)
    for lag in range(1, 30):
        expected = ((positions[lag:] - positions[:-lag]) ** 2).mean(axis=(0, 1))
        assert found[lag] == pytest.approx(expected, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(n_frames=st.integers(3, 40), data=st.data())
def test_covariance_of_averages_is_the_sum_over_origins(n_frames, data):
    lags = np.unique(data.draw(st.lists(st.integers(1, n_frames - 1), min_size=2, max_size=4)))
    matrix = origin_correlation(n_frames, lags)
    for a, i in enumerate(lags):
        for b, j in enumerate(lags):
            s = np.arange(n_frames - i)[:, None]
            t = np.arange(n_frames - j)[None]
            shared = np.clip(np.minimum(s + i, t + j) - np.maximum(s, t), 0, None)
            assert matrix[a, b] == pytest.approx((shared**2).mean() / (i * j))
    assert np.diag(matrix) == pytest.approx(origin_variance(n_frames, lags))


def test_long_sums_are_thinned_without_harm():
    lags = np.arange(10, 2000, 90)
    variance = origin_variance(2000, lags)
    assert np.diag(origin_correlation(2000, lags)) == pytest.approx(variance, rel=0.01)


def test_wrapped_atoms_are_followed():
    free = walk(1)
    folded = free.positions % 20.0
    found = Trajectory.from_positions(free.numbers, folded, CELL, INTERVAL, 300.0)
    assert found.wrapped
    assert not free.wrapped
    moved = found.positions - found.positions[0]
    assert moved == pytest.approx(free.positions - free.positions[0], abs=1e-9)
    assert diffusion(found, "Li").coefficient == pytest.approx(diffusion(free, "Li").coefficient)


def test_steps_too_long_to_unwrap_are_refused():
    with pytest.raises(DataError, match=r"cannot be unwrapped: between frames.*more often"):
        walk(1, step=6.0)


def test_drift_of_the_framework_is_taken_away():
    still = walk(2)
    drift = np.linspace(0, 15, still.n_frames)[:, None, None]
    moving = Trajectory.from_positions(
        still.numbers, still.positions + drift, CELL, INTERVAL, 300.0
    )
    first, second = diffusion(still, "Li"), diffusion(moving, "Li")
    assert second.coefficient == pytest.approx(first.coefficient, rel=1e-6)
    assert second.drift == "the centre of all other atoms"


def test_arrhenius_line_finds_the_energy_it_was_made_with():
    energy, prefactor = 0.25, 1e-3
    results = []
    for seed, t in enumerate((500.0, 700.0, 1000.0)):
        d = prefactor * np.exp(-energy / (BOLTZMANN * t))
        step = np.sqrt(2 * INTERVAL * d / 0.1)
        results.append(diffusion(walk(seed, 1000, step, t), "Li"))
    found = arrhenius(results)
    assert abs(found.activation_energy - energy) < 3 * found.activation_energy_error
    assert abs(np.log(found.prefactor / prefactor)) < 3 * np.log(found.prefactor_factor)
    exact = prefactor * np.exp(-energy / (BOLTZMANN * 300))
    assert abs(np.log(found.target_coefficient / exact)) < 3 * np.log(found.target_factor)
    expected = results[0].conductivity * found.target_coefficient / results[0].coefficient
    assert found.target_conductivity == pytest.approx(expected * 500 / 300, rel=1e-9)
    with pytest.raises(PropertyError, match="two temperatures"):
        arrhenius(results[:1] * 2)


def test_a_temperature_without_diffusion_is_listed_and_left_out(tmp_path):
    """Ions that rattle at 400 K and walk at 700 and 1000 K; then one of them alone."""
    rng = np.random.default_rng(1)
    rattling = np.zeros((400, 11, 3))
    rattling[:, :10] = rng.normal(0, 0.2, (400, 10, 3))
    cold = Trajectory.from_positions([3] * 10 + [16], rattling, CELL, INTERVAL, 400.0)
    cold, *others = [
        diffusion(one, "Li") for one in (cold, walk(1, 400, 0.05, 700.0), walk(2, 400))
    ]
    hot = replace(others[1], temperature=1000.0)
    alone, found = arrhenius([others[0], hot]), arrhenius([hot, cold, others[0]])
    assert found.activation_energy == alone.activation_energy
    assert found.left_out[0, 0] == 400.0
    assert any("left out" in line for line in found.tables()[1].foot)
    one = arrhenius([cold, hot])
    one.save(tmp_path)
    reason = ("activation energy (eV)", "not computed", "one temperature makes no line")
    assert reason in result.load(tmp_path).table().rows
    with pytest.raises(PropertyError, match="target is 0"):
        arrhenius([others[0], hot], target=0.0)


def test_points_on_no_line_have_larger_errors():
    """Three coefficients whose errors are a tenth of their distance from any line."""
    three = [replace(diffusion(walk(1), "Li"), temperature=t) for t in (500.0, 700.0, 1000.0)]
    bent = [
        replace(one, coefficient=d, coefficient_error=0.01 * d)
        for one, d in zip(three, (1e-6, 4e-6, 5e-6), strict=True)
    ]
    found = arrhenius(bent)
    slopes = np.diff(np.log([1e-6, 4e-6, 5e-6])) / np.diff(-1 / np.array([500, 700, 1000.0]))
    apart = np.abs(BOLTZMANN * slopes - found.activation_energy).min()
    assert found.chi_squared > 100
    assert found.activation_energy_error > 0.5 * apart


def test_without_framework_or_temperature_nothing_is_made_up():
    alone = walk(3, temperature=None)
    found = diffusion(
        Trajectory.from_positions(alone.numbers[:10], alone.positions[:, :10], CELL, INTERVAL),
        "Li",
    )
    assert found.coefficient > 0
    assert np.isnan(found.collective)
    assert np.isnan(found.conductivity)
    table = found.table()
    reasons = {row[0]: row[1:] for row in table.rows}
    assert reasons["Haven ratio"] == ("not computed", "all atoms move: nothing to move against")
    assert reasons["conductivity, Nernst-Einstein (mS/cm)"] == (
        "not computed",
        "no temperature known",
    )
    assert np.isnan(table.records()["Haven ratio"][0])
    assert "Haven ratio: all atoms move" in table.records()["note"][0]


@needs_data
def test_lgps_has_the_numbers_of_its_reference():
    stored = np.load(DATA / "LGPS_AIMD_600K" / "lgps_600K.npz")
    positions = stored["frac0"] @ stored["lattice"] + stored["displacements"].transpose(1, 0, 2)
    numbers = np.array([atomic_numbers[symbol] for symbol in stored["species"]])
    trajectory = Trajectory.from_positions(numbers, positions, stored["lattice"], 20.0, 600.0)
    found = diffusion(trajectory, "Li")
    assert found.coefficient == pytest.approx(1.16083658794e-6, rel=1e-6)
    assert found.conductivity == pytest.approx(74.1654, rel=1e-3)
    assert 0.1 < found.coefficient_error / found.coefficient < 0.8
    assert found.framework_motion < 1.0
    assert found.window == pytest.approx([1.0, 13.3], abs=0.06)
    # Those of the reference are from a fit weighted by 1 / lag; here all lags count alike.
    assert found.collective == pytest.approx(3.86035e-6, rel=1e-5)
    assert found.haven_ratio == pytest.approx(1.160837 / 3.86035, rel=1e-5)
    assert found.collective_error > found.collective / 3


@needs_data
def test_sodium_thiophosphate_runs_through():
    fractional = np.load(DATA / "cNa3PS4_AIMD" / "cNa3PS4_trajectories.npz")["frac"]

    atoms = read(DATA / "cNa3PS4_AIMD" / "cNa3PS4.cif")
    cell = atoms.cell.array
    trajectory = Trajectory.from_positions(atoms.numbers, fractional @ cell, cell, 100.0, 800.0)
    found = diffusion(trajectory, "Na")
    assert np.isfinite(found.coefficient)
    assert found.coefficient_error > 0


@needs_data
def test_lithium_thiophosphate_dump_with_its_types(tmp_path):
    source = next((DATA / "Li3PS4_M3GNet_MD").glob("*.gz"))
    with gzip.open(source, "rt") as file:
        lines = [next(file) for _ in range(200 * 73)]
    (tmp_path / "run.lammpstrj").write_text("".join(lines))
    trajectory = read_trajectory(
        tmp_path / "run.lammpstrj", interval=100.0, types=["Li", "P", "S"], temperature=1000.0
    )
    assert trajectory.n_frames == 200
    assert np.bincount(trajectory.numbers)[[3, 15, 16]].tolist() == [24, 8, 32]
    assert trajectory.wrapped
    found = diffusion(trajectory, "Li")
    assert found.coefficient > 0
    assert any("MOLTEN" in note for _, _, note in found.table().rows)  # its cell flows
    with pytest.raises(DataError, match="--types Li P S"):
        read_trajectory(tmp_path / "run.lammpstrj", interval=100.0)


def folder(path: Path, trajectory: Trajectory, temperature: float) -> Path:
    """As `ladera md` writes it."""
    path.mkdir()
    words = {"timestep": 2.0, "trajectory_interval": 100, "temperature": temperature}
    (path / "settings.json").write_text(json.dumps({"settings": words}))
    grades = (0.5, 3.0) if temperature > 600 else ("", "")
    rows = [f"{step},{2.0 * step},{temperature},{grades[step]}\n" for step in (0, 1)]
    (path / "md.csv").write_text("step,time_fs,temperature_k,largest_grade\n" + "".join(rows))
    with TrajectoryFile(path / "trajectory.traj", "w") as file:
        for positions in trajectory.positions:
            file.write(Atoms(trajectory.numbers, positions, cell=CELL, pbc=True))
    return path


def test_command_over_two_temperatures_and_its_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "cold", walk(4, 150, 0.05), 500.0)
    folder(tmp_path / "hot", walk(5, 150), 800.0)
    with pytest.raises(SystemExit, match="0"):
        main(["diffusion", "cold", "hot", "--species", "Li", "--skip", "1"])
    assert "activation energy" in capsys.readouterr().out
    line = result.load("diffusion")
    assert line.activation_energy > 0
    cold, hot = (result.load(f"diffusion/{name}") for name in ("1-500K", "2-800K"))
    assert cold.temperature == 500.0
    assert math.isnan(cold.largest_grade)
    assert hot.largest_grade == 3.0
    assert "Largest grade of an atom: 3;" in hot.domain()
    with pytest.raises(SystemExit, match="0"):
        main(["report", "diffusion", "--output", "page.html"])
    assert "Diffusion against temperature" in (tmp_path / "page.html").read_text()
    with pytest.raises(SystemExit, match="1"):
        main(["diffusion", "cold", "--species", "Li", "--interval", "5", "--output", "b"])
    assert "written every 200 fs" in capsys.readouterr().err


def test_members_of_a_committee_give_a_spread_and_a_line_each(tmp_path):
    """Members whose steps are 10 % longer or shorter: coefficients 20 % apart, one energy."""
    found = []
    for k, temperature in enumerate((500.0, 1000.0)):
        alone = [walk(9 + k, 400, 0.06 * (k + 1) * f, temperature) for f in (0.9, 1.0, 1.1)]
        found.append(diffusion(alone[1], "Li", members=alone))
        of_members = found[-1].member_coefficients
        assert of_members[1] == found[-1].coefficient
        assert of_members / of_members[1] == pytest.approx([0.81, 1, 1.21], rel=1e-6)
        spread = found[-1].spread
        assert spread["coefficient"] == pytest.approx(np.std(of_members, ddof=1))
        assert spread["conductivity"] / found[-1].conductivity == pytest.approx(0.2, rel=0.01)
        assert found[-1].table().cells[0][0].deviation == spread["coefficient"]
    line = arrhenius(found)
    assert line.spread["activation_energy"] == pytest.approx(0, abs=1e-9)
    assert line.spread["prefactor"] / line.prefactor == pytest.approx(0.2, rel=0.01)
    assert line.spread["target_conductivity"] / line.target_conductivity == pytest.approx(
        0.2, rel=0.01
    )
    line.save(tmp_path)
    again = result.load(tmp_path)
    assert np.array_equal(again.member_coefficients, line.member_coefficients)
    # One member at rest has no logarithm: the others' line stands, and no spread is made up.
    still = [walk(9, 400, step, 500.0) for step in (0.06, 0.0)]
    hot = replace(found[1], member_coefficients=found[1].member_coefficients[:2])
    line = arrhenius([diffusion(still[0], "Li", members=still), hot])
    assert line.table().rows[0][2] == "no deviation: the ions of a member do not move"
    with pytest.raises(PropertyError, match="One member"):
        diffusion(still[0], "Li", members=still[:1])


def test_bad_questions_are_answered_with_the_next_step(tmp_path):
    with pytest.raises(PropertyError, match=r"too short for the default window.*--window"):
        diffusion(walk(0, 9), "Li")
    with pytest.raises(PropertyError, match=r"too short for the window from 1 to 90 ps"):
        diffusion(walk(0), "Li", window=(1, 90))
    with pytest.raises(PropertyError, match="No atom of the trajectory is Na"):
        diffusion(walk(0), "Na")
    with pytest.raises(PropertyError, match="smaller --skip"):
        walk(0).after(100)
    write(tmp_path / "run.xyz", [Atoms("Li"), Atoms("Li")])
    with pytest.raises(DataError, match="--interval"):
        read_trajectory(tmp_path / "run.xyz")
    write(tmp_path / "other.xyz", [Atoms("Li"), Atoms("Na")])
    with pytest.raises(DataError, match="frame 1 has other atoms"):
        read_trajectory(tmp_path / "other.xyz", interval=1.0)
    still = walk(0, step=0.0)
    with pytest.raises(PropertyError, match="cannot be told from zero"):
        arrhenius([diffusion(still, "Li")] * 2)
    with pytest.raises(PropertyError, match="--temperature"):
        arrhenius([diffusion(walk(0, temperature=None), "Li")] * 2)


def hopping(n_frames: int = 2000) -> Trajectory:
    """Twenty ions that rattle on four sites of a cell and hop between them, in a framework."""
    rng = np.random.default_rng(4)
    cell = np.diag([12.0, 10.0, 10.0])
    sites = np.cumsum(rng.random((n_frames, 20)) < 0.02, axis=0)  # a hop of 3 Angstrom along a
    positions = np.zeros((n_frames, 21, 3))
    positions[:, :20, 0] = 3.0 * sites + 0.75
    positions[:, :20] += rng.normal((0, 2.5, 2.5), 0.15, (n_frames, 20, 3))
    positions += 0.001 * np.arange(n_frames)[:, None, None]  # the cell drifts
    numbers = np.array([3] * 20 + [16])
    return Trajectory.from_positions(numbers, positions, cell, INTERVAL, 600.0)


def test_ions_that_hop_have_two_peaks_and_a_density_on_their_sites(tmp_path, monkeypatch):
    monkeypatch.setattr(viewer, "load_script", lambda: viewer.Script("const a = {};", "as if here"))
    moving = hopping()
    found = van_hove(moving, "Li")
    step = found.distances[1] - found.distances[0]
    assert (found.distribution * step).sum(axis=1) == pytest.approx(1)
    short = found.distribution[1]
    near = short[np.abs(found.distances - 0.35) < 0.4].max()
    hop = short[np.abs(found.distances - 3.0) < 0.4].max()
    between = short[np.abs(found.distances - 1.6) < 0.3].max()
    assert between < 0.2 * hop < near
    assert found.non_gaussian[0] > 1

    where = site_density(moving, "Li")
    cells = where.density.sum() * moving.volume / where.density.size
    assert cells == pytest.approx(20)
    top = np.array(np.unravel_index(np.argmax(where.density), where.density.shape))
    place = top / where.density.shape * [12.0, 10.0, 10.0]
    assert place[1:] == pytest.approx([2.5, 2.5], abs=0.4)
    assert min(abs(place[0] % 3.0 - 0.75), 3.0) < 0.4
    assert 0.001 < where.share < 0.1
    where.save(tmp_path)
    page = write_report(tmp_path).read_text()
    assert "Where the ions are" in page
    assert '"level": ' in page  # of the surface, for the viewer
    density, atoms = read_cube_data(tmp_path / "density.cube")
    assert density.shape == where.density.shape
    assert atoms.get_chemical_formula() == "S"
    with pytest.raises(PropertyError, match="framework of other atoms"):
        site_density(
            Trajectory.from_positions([3] * 20, moving.positions[:, :20], CELL, INTERVAL), "Li"
        )


def test_a_walk_in_a_gas_is_gaussian():
    found = van_hove(walk(5, frames=2000), "Li")
    assert found.non_gaussian[:2] == pytest.approx([0, 0], abs=0.05)


def test_walkers_are_anywhere_with_respect_to_each_other():
    rng = np.random.default_rng(2)
    positions = rng.random((1, 30, 3)) * 12 + np.cumsum(rng.normal(0, 0.5, (400, 30, 3)), axis=0)
    found = van_hove(Trajectory.from_positions([3] * 30, positions, 12 * np.eye(3), 100.0), "Li")
    far = found.pair_distances > 2
    assert found.pair_distances[-1] == pytest.approx(6, abs=0.1)
    assert found.distinct[0][far].mean() == pytest.approx(1, abs=0.05)
    assert found.distinct[-1][far].mean() == pytest.approx(1, abs=0.05)
    assert found.replaced[-1] == pytest.approx(29 / 12**3 * 4 / 3 * np.pi, rel=0.3)


def test_ions_that_follow_each_other_take_the_places_of_others():
    """A file of ions on a line: each hops into the site that the one before it has left."""
    rng = np.random.default_rng(1)
    hops = np.cumsum(rng.random(1000) < 0.01)
    positions = np.zeros((1000, 5, 3))
    positions[:, :4, 0] = 3.0 * (np.arange(4) + hops[:, None])  # sites 3 Angstrom apart, all full
    positions += rng.normal(0, 0.1, positions.shape)
    cell = np.diag([12.0, 9.0, 9.0])
    moving = Trajectory.from_positions([3] * 4 + [16], positions, cell, INTERVAL, 600.0)
    found = van_hove(moving, "Li")
    assert found.replaced[0] == 0
    assert found.distinct[0][found.pair_distances < 2].max() == 0
    # After so long it has forgotten which of the sites it was on: another is there in 3 of 4 cases.
    assert found.replaced[-1] == pytest.approx(0.75, abs=0.12)
    assert found.replaced[1] < 0.2
    assert found.table().rows[-1][-1] == f"{found.replaced[-1]:.2f}"


def test_the_size_of_a_cell_is_corrected_for():
    """SPC/E water of Yeh and Hummer: 0.33e-5 cm^2/s in a box of 20 Angstrom at 298 K."""
    found = diffusion(walk(1), "Li", viscosity=0.9)
    exact = 2.837297 * 1.380649e-23 * 300 / (6 * np.pi * 0.9e-3 * 20e-10) * 1e4
    assert found.infinite - found.coefficient == pytest.approx(exact, rel=1e-5)
    assert any("infinite cell" in row[0] for row in found.table().rows)
    with pytest.raises(PropertyError, match="cubic cell"):
        diffusion(hopping(), "Li", viscosity=0.9)


def argon_files(folder: Path) -> list[str]:
    """The command line's words for half a picosecond of argon."""
    for name, epsilon in (("soft", 0.0100), ("hard", 0.0108)):
        config = LennardJonesConfig(
            species=("Ar",), cutoff=6.5, epsilon={"Ar": epsilon}, sigma={"Ar": 3.4}
        )
        LennardJones(config).save(folder / f"{name}.ladera")
    write(folder / "argon.extxyz", bulk("Ar", "fcc", a=5.6, cubic=True) * 2)
    words = "diffusion --structure argon.extxyz --time 0.6 --species Ar --timestep 5"
    return f"{words} --processes 1 --window 0.05 0.5 --model".split()


def test_runs_are_made_side_by_side_and_found_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = [*argon_files(tmp_path), "soft.ladera", "--temperature", "90", "200"]
    with pytest.raises(SystemExit) as end:
        main(line)
    # In half a picosecond nothing need be resolved: then it says so, and the runs are there.
    said = capsys.readouterr()
    assert end.value.code == 0 or "longer" in said.err
    folders = [tmp_path / "diffusion" / f"md-{temperature}K" for temperature in (90, 200)]
    assert [read_trajectory(folder).n_frames for folder in folders] == [13, 13]
    done = [(folder / "trajectory.traj").read_bytes() for folder in folders]
    (tmp_path / "diffusion" / "result.json").unlink(missing_ok=True)
    monkeypatch.setattr(parallel, "opened", lambda *_: nullcontext(Here()))  # no start-up
    with pytest.raises(SystemExit):
        main(line)
    assert [(folder / "trajectory.traj").read_bytes() for folder in folders] == done
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["diffusion", "--model", "soft.ladera", "--species", "Ar", "--output", "other"])
    assert "--structure and --temperature" in capsys.readouterr().err


def test_each_member_of_a_committee_runs_by_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parallel, "opened", lambda *_: nullcontext(Here()))
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*argon_files(tmp_path), "soft.ladera", "hard.ladera", "--temperature", "90"])
    names = ["md-90K", "md-90K-member-1", "md-90K-member-2"]
    runs = [tmp_path / "diffusion" / name for name in names]
    models = {json.loads((run / "settings.json").read_text())["model"]["sha256"] for run in runs}
    assert len(models) == 3
    alone = [read_trajectory(run) for run in runs]
    expected = [diffusion(one, "Ar", window=(0.05, 0.5)).coefficient for one in alone]
    found = result.load("diffusion")
    assert found.coefficient == pytest.approx(expected[0])
    assert found.member_coefficients == pytest.approx(expected[1:])


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def test_ctrl_c_and_a_killed_process_stop_all_runs(tmp_path, monkeypatch):
    config = LennardJonesConfig(species=("Ar",), cutoff=6, epsilon={"Ar": 0.01}, sigma={"Ar": 3.4})
    LennardJones(config).save(tmp_path / "argon.ladera")
    words = bulk("Ar", a=5.3, cubic=True), [tmp_path / "argon.ladera"], [90, 200, 300]

    def interrupt(task, done):
        if done:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(parallel, "_LOOK", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(parallel.progress.Task, "show", interrupt)
        with pytest.raises(KeyboardInterrupt, match="same command goes on"):
            parallel.run_temperatures(*words, MDSettings(steps=10**7), tmp_path, processes=1)
    assert (tmp_path / "md-90K" / "restart.npz").exists()
    assert not (tmp_path / "md-200K").exists()

    monkeypatch.setattr(parallel, "partial", lambda call, piece: killed)
    with pytest.raises(SimulationError, match=r"md-90K was killed \(exit code -9\)"):
        parallel.run_temperatures(*words, MDSettings(steps=5), tmp_path, processes=1)
