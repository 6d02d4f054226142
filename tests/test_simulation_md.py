"""Molecular dynamics by its physics, and everything that must stop a run."""

from __future__ import annotations

import csv
import json
import os
import warnings

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.constraints import FixAtoms
from ase.io.trajectory import Trajectory

from argon import Argon, argon, cluster, crystal, one_thread  # noqa: F401
from ladera.errors import DataError, SimulationError
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig
from ladera.potential import Committee, LaderaCalculator
from ladera.simulation.held import degrees_of_freedom
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.preparation import SimulationWarning, set_velocities
from ladera.simulation.settings import MDSettings
from ladera.units import BOLTZMANN, GIGAPASCAL

ENSEMBLES = ("nve", "nvt-langevin", "nvt-bussi", "nvt-nose-hoover", "npt")
THERMOSTATS = ENSEMBLES[1:4]


def run(folder, atoms=None, potential=None, **settings) -> dict[str, np.ndarray]:
    """Run and return the columns of md.csv."""
    settings = {"temperature": 30.0, "timestep": 4.0, "steps": 200, **settings}
    run_md(
        crystal() if atoms is None else atoms,
        argon() if potential is None else potential,
        MDSettings(**settings),
        folder,
    )
    return table(folder)


def table(folder) -> dict[str, np.ndarray]:
    with (folder / "md.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}


class Holed(LennardJones):
    """Argon with what goes wrong in fitted models: not finite, or a hole, when atoms come near."""

    def __init__(self, kind: str, radius: float = 3.3) -> None:
        super().__init__(argon().config)
        self.kind, self.radius = kind, radius

    def atomic_energies(self, graph):
        energies = super().atomic_energies(graph)
        near = torch.relu(self.radius - graph.vectors.norm(dim=1))
        if self.kind == "nan" and bool((near > 0).any()):
            return energies * torch.nan
        if self.kind == "hole":
            return energies.index_add(0, graph.centers, -200.0 * near**2)
        return energies


class Bounded(Argon):
    """Argon that says which atoms have no neighbour within a radius: those it does not know."""

    def grade(self, graph, prediction=None):
        close = (graph.vectors.norm(dim=1) < 3.6).long()
        neighbors = torch.zeros(graph.n_atoms, dtype=torch.int64)
        return 1.0 + (neighbors.index_add(0, graph.centers, close) == 0)


def test_nve_conserves_energy_to_second_order(tmp_path):
    """The total energy fluctuates, does not drift, and does so with the square of the step."""
    errors = []
    for name, timestep in (("long", 6.0), ("short", 3.0)):
        columns = run(
            tmp_path / name,
            ensemble="nve",
            timestep=timestep,
            time=2.0,
            steps=None,
            log_interval=1,
        )
        energy = columns["total_energy_ev"]
        assert np.array_equal(energy, columns["conserved_energy_ev"])
        errors.append(energy.std())
        drift = abs(np.polyfit(columns["time_fs"], energy, 1)[0]) * 1000 / 32  # eV/atom/ps
        assert drift < 2e-5
    assert 3.2 < errors[0] / errors[1] < 4.8


@pytest.mark.parametrize("ensemble", ENSEMBLES[1:])
def test_conserved_energy_of_thermostats(tmp_path, ensemble):
    """It stays while the total energy does not, and better so with a shorter time step."""
    errors = []
    for name, timestep in (("long", 6.0), ("short", 3.0)):
        columns = run(tmp_path / name, ensemble=ensemble, timestep=timestep, steps=None, time=1.2)
        errors.append(np.ptp(columns["conserved_energy_ev"]))
        assert np.ptp(columns["total_energy_ev"]) > 10 * errors[-1]
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.parametrize("ensemble", THERMOSTATS)
@pytest.mark.parametrize("open_", [False, True])
def test_mean_temperature_of_thermostats(tmp_path, ensemble, open_):
    """Right for what moves: 3N - 3 in a crystal, 3N - 6 in a molecule that does not turn."""
    columns = run(
        tmp_path,
        cluster() if open_ else crystal(1),
        ensemble=ensemble,
        temperature=15.0,
        steps=4000,
        timestep=6.0,
        thermostat_time=200.0,
        trajectory_interval=4000,
    )
    kinetic = columns["kinetic_energy_ev"][40:]
    n_atoms, rotations = (7, 3 if ensemble != "nvt-langevin" else 0) if open_ else (4, 0)
    freedom = 3 * n_atoms - 3 - rotations
    mean = 2 * kinetic.mean() / (freedom * BOLTZMANN)
    assert mean == pytest.approx(15.0, rel=0.12)
    np.testing.assert_allclose(
        columns["temperature_k"][40:], 2 * kinetic / (freedom * BOLTZMANN), rtol=1e-6
    )
    expected = freedom / 2 * (BOLTZMANN * 15.0) ** 2  # variance of the canonical kinetic energy
    assert 0.6 < kinetic.var() / expected < 1.5


def test_npt_reaches_its_pressure(tmp_path):
    columns = run(
        tmp_path,
        ensemble="npt",
        temperature=40.0,
        pressure=0.05,
        steps=2500,
        timestep=6.0,
        thermostat_time=200.0,
        barostat_time=600.0,
        trajectory_interval=2500,
    )
    late = slice(80, None)
    assert columns["pressure_gpa"][late].mean() == pytest.approx(0.05, abs=0.01)
    assert columns["temperature_k"][late].mean() == pytest.approx(40.0, rel=0.1)
    assert np.ptp(columns["volume_angstrom3"]) > 1.0
    expected = crystal().get_volume()
    assert columns["volume_angstrom3"][0] == pytest.approx(expected)


@pytest.mark.parametrize("ensemble", ENSEMBLES[1:])
def test_temperature_ramp(tmp_path, ensemble):
    columns = run(
        tmp_path,
        ensemble=ensemble,
        temperature=10.0,
        temperature_end=60.0,
        steps=1500,
        timestep=6.0,
        thermostat_time=60.0,
        trajectory_interval=1500,
    )
    temperature = columns["temperature_k"]
    assert temperature[:30].mean() == pytest.approx(11.0, abs=4.0)
    assert temperature[-30:].mean() == pytest.approx(59.0, rel=0.25)


def test_langevin_can_cool_to_zero(tmp_path):
    columns = run(
        tmp_path, cluster(), temperature=10.0, temperature_end=0.0, steps=1500, timestep=6.0
    )
    assert columns["temperature_k"][-1] < 1.0


@pytest.mark.parametrize(("ensemble", "freedom"), [("nve", 15), ("nvt-langevin", 18)])
def test_initial_velocities(ensemble, freedom):
    """Of the temperature on average, the same for a seed, without drift.

    Without rotation, too, where it would stay for ever; Langevin's noise turns a molecule.
    """
    atoms, settings = cluster(), MDSettings(ensemble=ensemble, temperature=100.0, steps=1)
    temperatures = []
    for seed in range(300):
        set_velocities(atoms, settings, np.random.default_rng(seed))
        temperatures.append(2 * atoms.get_kinetic_energy() / (freedom * BOLTZMANN))
    assert np.mean(temperatures) == pytest.approx(100.0, rel=0.05)
    np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), 0, atol=1e-12)
    if ensemble == "nve":
        np.testing.assert_allclose(atoms.get_angular_momentum(), 0, atol=1e-10)
    again = cluster()
    set_velocities(again, settings, np.random.default_rng(299))
    assert np.array_equal(again.get_momenta(), atoms.get_momenta())


def test_linear_molecules_and_fixed_atoms_keep_their_freedom():
    pair = Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]])
    settings = MDSettings(ensemble="nve", temperature=50.0, steps=1)
    set_velocities(pair, settings, np.random.default_rng(0))
    momenta = pair.get_momenta()
    np.testing.assert_allclose(momenta[:, :2], 0, atol=1e-12)  # only the bond vibrates
    assert abs(momenta[0, 2]) > 0.01
    assert degrees_of_freedom(pair, "nve") == 1
    assert degrees_of_freedom(cluster(), "nve") == 15
    assert degrees_of_freedom(cluster(), "nvt-langevin") == 18
    assert degrees_of_freedom(crystal(), "nve") == 93
    slab = crystal()
    slab.set_constraint(FixAtoms([0, 1]))
    assert degrees_of_freedom(slab, "nvt-bussi") == 90


def test_fixed_atoms_stay(tmp_path):
    atoms = crystal()
    atoms.set_constraint(FixAtoms([0, 3]))
    columns = run(tmp_path, atoms, ensemble="nvt-bussi", steps=100)
    final = ase.io.read(tmp_path / "final.extxyz")
    np.testing.assert_allclose(final.positions[[0, 3]], atoms.positions[[0, 3]], atol=1e-7)
    assert abs(final.positions - atoms.positions).max() > 0.05
    assert np.ptp(columns["conserved_energy_ev"]) < 1e-3


@pytest.mark.parametrize("ensemble", ENSEMBLES[:4])
def test_open_structures_stay_where_they_are(tmp_path, ensemble):
    """The centre of mass rests, and only Langevin's noise makes a molecule turn."""
    atoms = cluster()
    atoms.set_masses([40.0, 20.0, 40.0, 60.0, 40.0, 40.0, 40.0])
    run(tmp_path, atoms, ensemble=ensemble, temperature=10.0, steps=500)
    with Trajectory(tmp_path / "trajectory.traj") as frames:
        final = frames[-1]
    final.set_masses(atoms.get_masses())
    np.testing.assert_allclose(final.get_center_of_mass(), atoms.get_center_of_mass(), atol=1e-8)
    rotates = abs(final.get_angular_momentum()).max() > 1e-8
    assert rotates == (ensemble == "nvt-langevin")
    assert not final.constraints


def test_files(tmp_path):
    """Rows, frames and structures fall on their steps and agree with one another."""
    atoms = crystal()
    settings = MDSettings(
        ensemble="nve", temperature=30.0, timestep=2.0, steps=60, trajectory_interval=30
    )
    rows = []
    final = run_md(atoms, argon(), settings, tmp_path, on_row=rows.append)
    columns = table(tmp_path)
    assert columns["step"].tolist() == [0, 10, 20, 30, 40, 50, 60]
    assert columns["time_fs"].tolist() == [0, 20, 40, 60, 80, 100, 120]
    assert [row.step for row in rows] == columns["step"].tolist()
    with Trajectory(tmp_path / "trajectory.traj") as frames:
        assert len(frames) == 3
        last = frames[-1]
    assert last.get_potential_energy() == pytest.approx(columns["potential_energy_ev"][-1])
    assert last.get_kinetic_energy() == pytest.approx(columns["kinetic_energy_ev"][-1])
    stress = last.get_stress(include_ideal_gas=True)
    assert -stress[:3].mean() / GIGAPASCAL == pytest.approx(columns["pressure_gpa"][-1])
    assert np.array_equal(last.positions, final.positions)
    written = ase.io.read(tmp_path / "final.extxyz")
    np.testing.assert_allclose(written.positions, final.positions, atol=1e-7)
    np.testing.assert_allclose(written.get_momenta(), final.get_momenta(), atol=1e-7)
    contents = json.loads((tmp_path / "settings.json").read_text())
    assert contents["settings"]["timestep"] == 2.0
    assert contents["structure"]["formula"] == "Ar32"
    assert {"ladera", "ase", "torch"} <= contents["versions"].keys()
    assert np.array_equal(atoms.positions, crystal().positions)
    assert not atoms.has("momenta")


def test_open_structure_has_no_pressure(tmp_path):
    columns = run(tmp_path, cluster(), ensemble="nve", temperature=5.0, steps=20)
    assert np.isnan(columns["pressure_gpa"]).all()
    assert np.isnan(columns["volume_angstrom3"]).all()
    assert np.isnan(columns["extrapolating_atoms"]).all()


def test_a_committee_says_how_sure_it_is(tmp_path):
    committee = Committee([argon(0.0104), argon(0.011)])
    settings = {"ensemble": "nve", "temperature": 5.0, "steps": 20}
    intervals = {"log_interval": 10, "trajectory_interval": 10}
    columns = run(tmp_path / "two", cluster(), committee, **settings, **intervals)
    frames = ase.io.read(tmp_path / "two" / "trajectory.traj", ":")
    for row in (0, -1):
        calculator = LaderaCalculator(committee)
        expected = calculator.get_property("energy_std", frames[row])
        assert columns["energy_std_ev"][row] == pytest.approx(expected, rel=1e-8)
        largest = calculator.get_property("forces_std", frames[row]).max()
        found = columns["max_force_std_ev_per_angstrom"][row]
        assert found == pytest.approx(largest, rel=1e-6)
        assert largest > 0
    columns = run(tmp_path / "one", cluster(), **settings)
    assert np.isnan(columns["energy_std_ev"]).all()
    assert np.isnan(columns["max_force_std_ev_per_angstrom"]).all()


def test_velocities_of_the_structure(tmp_path):
    first = run(tmp_path / "first", ensemble="nvt-bussi", steps=100)
    atoms = ase.io.read(tmp_path / "first" / "final.extxyz")
    second = run(
        tmp_path / "second", atoms, ensemble="nve", initial_velocities="structure", steps=20
    )
    assert second["kinetic_energy_ev"][0] == pytest.approx(first["kinetic_energy_ev"][-1], rel=1e-5)
    with pytest.raises(SimulationError, match="no velocities"):
        run(tmp_path / "third", initial_velocities="structure")
    atoms.set_momenta(np.zeros((32, 3)))
    with pytest.raises(SimulationError, match="all of these are zero"):
        run(tmp_path / "fourth", atoms, ensemble="nvt-bussi", initial_velocities="structure")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -5.0}, "temperature is -5 K; it must be zero or more"),
        ({"temperature": float("nan")}, "temperature is nan K; it must be a finite number"),
        ({"temperature": "warm"}, "temperature"),
        ({"temperature_end": float("inf")}, "temperature_end is inf"),
        ({"timestep": 0.0}, "timestep is 0 fs; it must be above zero"),
        ({"timestep": -0.5}, "timestep is -0.5"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2.5}, "steps is 2.5; it must be a whole number"),
        ({"steps": None}, "The length of the run is missing"),
        ({"time": 1.0}, "The length of the run is given twice"),
        ({"steps": None, "time": 1e-9}, "shorter than one time step"),
        ({"ensemble": "nvt"}, "ensemble is 'nvt'; "),
        ({"ensemble": "nvt-busi"}, "did you mean 'nvt-bussi'"),
        ({"ensemble": "nve", "temperature_end": 5.0}, "needs a thermostat"),
        ({"ensemble": "nvt-bussi", "temperature": 0.0}, "temperatures above 0 K"),
        ({"ensemble": "npt", "temperature_end": 0.0}, "temperatures above 0 K"),
        ({"pressure": float("nan"), "ensemble": "npt"}, "pressure is nan"),
        ({"max_extrapolating": 2.0}, "from 0 to 1"),
        ({"log_interval": 0}, "log_interval is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": True}, "seed is True; it must be a whole number"),
        ({"timestep": True}, "timestep is True; it must be a finite number"),
        ({"temprature": 5.0}, "'temprature' is no setting of a simulation; did you mean 'tempera"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(SimulationError) as caught:
        MDSettings(**{"steps": 10, **settings})
    assert message in str(caught.value)


def test_npt_needs_a_crystal(tmp_path):
    for atoms in (cluster(), crystal()):
        atoms.pbc = (True, True, False) if len(atoms) > 7 else False
        with pytest.raises(SimulationError, match="periodic in all three directions"):
            run(tmp_path, atoms, ensemble="npt")
    fixed = crystal()
    fixed.set_constraint(FixAtoms([0]))
    with pytest.raises(SimulationError, match="fixed atoms"):
        run(tmp_path, fixed, ensemble="npt")
    assert list(tmp_path.iterdir()) == []


def test_too_few_atoms_and_unknown_elements(tmp_path):
    with pytest.raises(SimulationError, match="nothing left to move"):
        run(tmp_path, Atoms("Ar"))
    with pytest.raises(DataError, match="Atom 0 is O, which this model does not know"):
        run(tmp_path, molecule("H2O"))
    with pytest.raises(DataError, match="no atoms"):
        run(tmp_path, Atoms())
    assert list(tmp_path.iterdir()) == []


def test_time_step_for_the_lightest_atom(tmp_path):
    hydrogen = LennardJones(
        LennardJonesConfig(species=("H",), cutoff=5.0, epsilon={"H": 0.003}, sigma={"H": 2.5})
    )
    atoms = Atoms("H3", [[0, 0, 0], [2.8, 0, 0], [0, 2.8, 0]])
    with pytest.warns(SimulationWarning, match=r"2 fs is too long for H .*use 1 fs or less"):
        run(tmp_path / "warned", atoms, hydrogen, timestep=2.0, temperature=5.0, steps=2)
    with pytest.raises(SimulationError, match="10 fs is too long for H"):
        run(tmp_path / "refused", atoms, hydrogen, timestep=10.0, steps=2)
    atoms.set_masses([2.014] * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(tmp_path / "heavy", atoms, hydrogen, timestep=1.4, temperature=5.0, steps=2)


@pytest.mark.parametrize(
    ("kind", "message"),
    [("nan", "energy or forces are not finite"), ("hole", "K, above 9000 K|jumped|apart")],
)
def test_explosion_leaves_the_last_good_frame(tmp_path, kind, message):
    """A model gone wrong stops the run with an error; the frame saved is sound."""
    with pytest.raises(SimulationError, match=message) as caught:
        run(tmp_path, potential=Holed(kind), ensemble="nve", temperature=900.0, steps=5000)
    good = ase.io.read(tmp_path / "last_good.extxyz")
    assert str(tmp_path / "last_good.extxyz") in str(caught.value)
    assert np.isfinite(good.positions).all()
    assert good.get_all_distances(mic=True)[np.triu_indices(32, 1)].min() > 1.06
    columns = table(tmp_path)
    assert np.isfinite(columns["total_energy_ev"]).all()
    assert columns["temperature_k"].max() < 9000.0
    assert not (tmp_path / "final.extxyz").exists()
    assert (tmp_path / "restart.npz").exists()


def test_atoms_on_top_of_each_other_are_no_start(tmp_path):
    atoms = Atoms("Ar3", [[0, 0, 0], [0.9, 0, 0], [0, 4.0, 0]])
    with pytest.raises(SimulationError, match=r"no start.*atoms 0 and 1 are only 0\.9 Angstrom"):
        run(tmp_path, atoms, temperature=5.0)


def test_temperature_limit(tmp_path):
    with pytest.raises(SimulationError, match=r"above 20 K"):
        run(tmp_path, ensemble="nvt-bussi", temperature=15.0, max_temperature=20.0, steps=2000)


def test_leaving_the_training_domain(tmp_path):
    """A warning at first; the end when too many atoms are outside for too long."""
    potential = Bounded(argon().config)
    with pytest.warns(
        SimulationWarning,
        match=r"atoms were outside the model's training domain; the farthest, in step",
    ):
        columns = run(tmp_path / "few", potential=potential, temperature=40.0, steps=200)
    assert columns["extrapolating_atoms"].max() > 0
    with (
        pytest.warns(SimulationWarning, match="training domain"),
        pytest.raises(SimulationError, match="outside the model's training domain"),
    ):
        run(
            tmp_path / "many",
            cluster().repeat(1) + Atoms("Ar4", 30.0 + 20 * np.eye(4, 3)),
            potential,
            temperature=10.0,
            max_extrapolating=0.3,
            extrapolation_patience=3,
        )
    assert (tmp_path / "many" / "last_good.extxyz").exists()
    assert len(table(tmp_path / "many")["step"]) == 3


def test_folder_of_another_run_is_refused(tmp_path):
    run(tmp_path, steps=10)
    before = (tmp_path / "md.csv").read_bytes()
    with pytest.raises(SimulationError, match="holds a run already"):
        run(tmp_path, steps=10)
    assert (tmp_path / "md.csv").read_bytes() == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_is_one_sentence(tmp_path):
    (tmp_path / "md.csv").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: .*md\.csv"):
        run(tmp_path, steps=10)
