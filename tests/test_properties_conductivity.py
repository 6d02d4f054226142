"""Thermal conductivity: phonons against phono3py itself, the heat flux against its definition."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from scipy.signal import lfilter

from argon import argon, crystal
from conftest import POTENTIALS, small_mace, water_like
from ladera import Graph, modelfile
from ladera.cli import main
from ladera.errors import PropertyError, SimulationError
from ladera.potential import Committee, evaluate
from ladera.potential.heat_flux import HeatFlux
from ladera.properties import result
from ladera.properties.cepstrum import cepstrum, correlations
from ladera.properties.green_kubo import green_kubo
from ladera.properties.lattice_conductivity import lattice_conductivity
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.rows import HEAT_FLUX
from ladera.simulation.run_folder import RunFolder
from ladera.simulation.settings import MDSettings
from ladera.units import FEMTOSECOND

# --- the heat flux ---------------------------------------------------------------------------


def rate_of_barycentre(potential, atoms, velocities, step=1e-3):
    """d/dt sum_i r_i e_i of an open structure in motion, by central differences in time (fs)."""
    masses = atoms.get_masses()
    forces = evaluate(potential, Graph.from_atoms(atoms, potential.cutoff)).forces.detach().numpy()
    acceleration = forces / masses[:, None] * FEMTOSECOND**2

    def barycentre(time):
        moved = atoms.copy()
        moved.positions += velocities * time + acceleration * time**2 / 2
        graph = Graph.from_atoms(moved, potential.cutoff)
        energies = evaluate(potential, graph).atomic_energies.detach().double().numpy()
        now = (velocities + acceleration * time) / FEMTOSECOND
        return moved.positions.T @ (energies + masses * (now**2).sum(axis=1) / 2)

    return (barycentre(step) - barycentre(-step)) / (2 * step)


def flux_of(potential, atoms, velocities):
    prediction = evaluate(potential, Graph.from_atoms(atoms, potential.cutoff))
    return HeatFlux(potential)(prediction, atoms.get_masses(), velocities)


FAMILIES = {
    **POTENTIALS,
    "mace of three layers": lambda: small_mace(num_interactions=3),
    "committee": lambda: Committee([small_mace(), small_mace(num_interactions=1)]),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_heat_flux_is_the_rate_of_the_energys_barycentre(family):
    potential = FAMILIES[family]().double()
    atoms = water_like(12, 6.0, False, 3)
    velocities = 0.01 * np.random.default_rng(0).normal(size=(12, 3))
    expected = rate_of_barycentre(potential, atoms, velocities)
    scale = np.abs(expected).max()
    assert flux_of(potential, atoms, velocities) == pytest.approx(expected, abs=1e-5 * scale)


@pytest.mark.parametrize("family", ["lennard_jones", "mace"])
def test_heat_flux_of_a_crystal_is_extensive_and_knows_no_origin(family):
    potential = FAMILIES[family]().double()
    atoms = water_like(12, 6.0, True, 3)
    velocities = 0.01 * np.random.default_rng(0).normal(size=(12, 3))
    found = flux_of(potential, atoms, velocities)
    twice = flux_of(potential, atoms * (1, 2, 1), np.vstack([velocities, velocities]))
    assert twice == pytest.approx(2 * found, abs=1e-9)
    moved = atoms.copy()
    moved.positions += [1.3, 2.0, -5.0]
    moved.wrap()
    assert flux_of(potential, moved, velocities) == pytest.approx(found, abs=1e-9)


def test_heat_flux_of_pairs_is_the_closed_form():
    """J = sum e_i v_i + sum over pairs (i < j) r_ij F_ij . (v_i + v_j) / 2, F_ij that on j."""
    potential, atoms = argon(cutoff=5.0), crystal(2)
    rng = np.random.default_rng(4)
    atoms.positions += 0.1 * rng.normal(size=(len(atoms), 3))
    velocities = 0.005 * rng.normal(size=(len(atoms), 3))
    energies = np.zeros(len(atoms))
    expected = np.zeros(3)
    epsilon, sigma, cut = 0.0104, 3.4, 5.0

    def pair(r):
        s = (sigma / r) ** 6
        return 4 * epsilon * s * (s - 1), -24 * epsilon / r * s * (2 * s - 1)

    at_cut, slope_at_cut = pair(cut)
    for i in range(len(atoms)):
        for j in range(i + 1, len(atoms)):
            apart = atoms.get_distance(i, j, mic=True, vector=True)
            r = np.linalg.norm(apart)
            if r < cut:
                energy, slope = pair(r)
                energies[[i, j]] += (energy - at_cut - (r - cut) * slope_at_cut) / 2
                force = -(slope - slope_at_cut) * apart / r
                expected += apart * (force @ (velocities[i] + velocities[j])) / 2
    kinetic = 0.5 * atoms.get_masses() * ((velocities / FEMTOSECOND) ** 2).sum(axis=1)
    expected += (energies + kinetic) @ velocities
    assert flux_of(potential, atoms, velocities) == pytest.approx(expected, rel=1e-9)


def test_a_model_that_sees_farther_than_it_says_is_refused():
    potential = small_mace(num_interactions=3).double()
    potential.hops = 1
    with pytest.raises(SimulationError, match=r"atom \d+ changes by .* farther than 1 edge"):
        flux_of(potential, water_like(12, 6.0, True, 3), np.zeros((12, 3)))
    potential.hops = None
    with pytest.raises(SimulationError, match="electrostatics"):
        HeatFlux(potential)


def test_zero_of_energies_changes_no_flux_of_one_element():
    potential, atoms = argon(cutoff=5.0), crystal(2)
    velocities = 0.01 * np.random.default_rng(4).normal(size=(len(atoms), 3))
    velocities -= velocities.mean(axis=0)
    prediction = evaluate(potential, Graph.from_atoms(atoms, potential.cutoff))
    one, other = (
        flux(prediction, atoms.get_masses(), velocities)
        for flux in (HeatFlux(potential), HeatFlux(potential, atoms))
    )
    assert one == pytest.approx(other, abs=1e-12)


def test_runs_write_the_flux_and_go_on_exactly(tmp_path):
    settings = {
        "ensemble": "nve",
        "temperature": 40.0,
        "timestep": 4.0,
        "log_interval": 2,
        "restart_interval": 10,
        "heat_flux": True,
    }
    for folder, steps in (("whole", [40]), ("parts", [20, 40])):
        for n in steps:
            run_md(
                crystal(2),
                argon(cutoff=5.0),
                MDSettings(steps=n, **settings),
                tmp_path / folder,
                resume=n != steps[0],
            )
    one, other = (RunFolder(tmp_path / folder).table() for folder in ("whole", "parts"))
    for name in HEAT_FLUX:
        assert len(one[name]) == 21
        assert (one[name] == other[name]).all()
        assert np.isfinite(one[name]).all()


# --- statistics ------------------------------------------------------------------------------


def relaxing(times, variances, shape, rng):
    """Processes whose correlation is sum_k v_k exp(-t / tau_k), and the exact integral of that."""
    total, integral = np.zeros(shape), 0.0
    for tau, variance in zip(times, variances, strict=True):
        factor = np.exp(-1 / tau)
        noise = rng.normal(size=(*shape[:-1], shape[-1] + 500)) * np.sqrt(variance)
        total += lfilter([np.sqrt(1 - factor**2)], [1, -factor], noise)[..., 500:]
        integral += variance * (0.5 + factor / (1 - factor))
    return total, integral


def test_errors_of_the_cepstrum_hold_what_they_promise():
    rng = np.random.default_rng(3)
    off = []
    for _ in range(100):
        series, exact = relaxing((20, 4), (1, 2), (6, 4000), rng)
        found = cepstrum(series, 1.0)
        off.append((np.log(found.integral / exact)) / (found.error / found.integral))
    off = np.array(off)
    assert abs(off.mean()) < 0.4  # of one error
    assert 0.55 < (np.abs(off) < 1).mean() < 0.82  # 0.68
    assert (np.abs(off) < 2).mean() > 0.88  # 0.95


def test_correlations_are_averages_over_time_origins():
    series = np.random.default_rng(1).normal(size=(2, 50))
    found = correlations(series, 10)
    expected = [(series[:, : 50 - lag] * series[:, lag:]).mean(axis=1) for lag in range(10)]
    assert found == pytest.approx(np.array(expected).T)


VOLUME, TEMPERATURE = 1000.0, 100.0


def write_run(folder, flux, **changes):
    """What `ladera md` leaves behind, of a flux (3, n) every 10 fs."""
    folder.mkdir(parents=True)
    columns = ["step", "time_fs", "temperature_k", "volume_angstrom3", "largest_grade", *HEAT_FLUX]
    rows = [
        f"{2 * i},{10.0 * i},{TEMPERATURE},{VOLUME},{0.9 if i else 1.2},{x:.9g},{y:.9g},{z:.9g}"
        for i, (x, y, z) in enumerate(flux.T)
    ]
    (folder / "md.csv").write_text("\n".join([",".join(columns), *rows, ""]))
    description = {
        "settings": {"ensemble": "nve", "timestep": 5.0, "log_interval": 2},
        "model": {"sha256": "m"},
        "structure": {"formula": "Ar32", "n_atoms": 32, "held_by": []},
    }
    for key, value in changes.items():
        part = "structure" if key in ("held_by", "formula") else "settings"
        description[part][key] = value
    (folder / "settings.json").write_text(json.dumps(description))
    return folder


def runs(tmp_path, n=6, length=4000, scale=(1.0, 1.0, 1.0), **changes):
    rng = np.random.default_rng(7)
    flux, exact = relaxing((20, 4), (1e-4, 2e-4), (n, 3, length), rng)
    flux *= np.array(scale)[:, None]
    folders = [write_run(tmp_path / f"{i}", each, **changes) for i, each in enumerate(flux)]
    # 1 / (V k_B T^2) integral, in W/m/K: 10 fs a step; 1.602e6 is eV/(Angstrom fs) in W/m.
    return folders, 1.602176634e6 * 10 * exact / (VOLUME * 8.617333e-5 * TEMPERATURE**2)


def test_conductivity_of_a_known_flux(tmp_path):
    folders, exact = runs(tmp_path)
    found = green_kubo(folders)
    assert found.conductivity == pytest.approx(exact, abs=3 * found.conductivity_error)
    assert found.integral == pytest.approx(exact, abs=3 * found.integral_error)
    assert found.conductivity_error < 0.15 * exact
    assert found.isotropic
    assert found.agrees
    assert found.largest_grade == 1.2
    assert found.n_blocks == 6
    assert 0.2 < found.window < 5
    assert found.table().records()["conductivity (W/m/K)"][0] == pytest.approx(found.conductivity)
    found.save(tmp_path / "result")
    assert result.load(tmp_path / "result").conductivity == found.conductivity
    assert green_kubo(folders, skip=1.0).largest_grade == 0.9


def test_axes_that_differ_are_not_taken_for_one_process(tmp_path):
    folders, exact = runs(tmp_path, scale=(1.0, 1.0, 3.0))
    found = green_kubo(folders)
    assert not found.isotropic
    assert found.along[2] == pytest.approx(9 * exact, abs=3 * found.along_error[2])
    assert found.conductivity == pytest.approx(11 / 3 * exact, abs=3 * found.conductivity_error)


def test_a_window_too_long_for_two_blocks_leaves_the_integral_without_an_error(tmp_path):
    folders, _ = runs(tmp_path, n=1, length=12000)
    found = green_kubo(folders, window=5.0)
    assert found.n_blocks == 1
    assert np.isnan(found.integral_error)
    assert any("too short for two blocks" in row[-1] for row in found.table().rows)
    found.plot()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ensemble": "nvt-langevin"}, r"ensemble nvt-langevin, whose thermostat .*--ensemble nve"),
        ({"held_by": ["FixAtoms"]}, r"atoms are held \(FixAtoms\)"),
        ({"length": 150}, r"has 150 values of the heat flux .* 200 or more"),
        ({"length": 600}, r"too short: the spectrum"),
    ],
)
def test_runs_without_a_conductivity_are_refused(tmp_path, changes, message):
    folders, _ = runs(tmp_path, **changes)
    with pytest.raises(PropertyError, match=message):
        green_kubo(folders)


def test_runs_of_several_systems_are_refused(tmp_path):
    folders, _ = runs(tmp_path / "one")
    others, _ = runs(tmp_path / "other", formula="Kr32")
    with pytest.raises(PropertyError, match=r"\(Kr32\).*\(Ar32\).*one system"):
        green_kubo([folders[0], others[0]])


def test_a_flux_written_too_seldom_is_refused(tmp_path):
    rng = np.random.default_rng(1)
    folders = [write_run(tmp_path / f"{i}", rng.normal(size=(3, 2000))) for i in range(2)]
    with pytest.raises(PropertyError, match=r"every 10 fs.*smaller --log-interval"):
        green_kubo(folders)


def test_command_runs_goes_on_and_refuses(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    modelfile.save(argon(cutoff=5.0), "argon.ladera")
    crystal(2).write("argon.extxyz")
    line = "--structure argon.extxyz --temperature 50 --runs 1 --time 0.6 --equilibration 0.1"
    words = ["thermal-conductivity", "green-kubo", "--model", "argon.ladera", *line.split()]
    with pytest.raises(SystemExit, match="1"):
        main([*words, "--timestep", "5", "--flux-interval", "5"])
    assert "121 values of the heat flux" in capsys.readouterr().err
    assert (tmp_path / "green-kubo" / "run-1" / "final.extxyz").exists()
    with pytest.raises(SystemExit, match="1"):
        main(["thermal-conductivity", "green-kubo", "nothing"])
    assert "nothing does not exist" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["thermal-conductivity", "green-kubo"])
    assert "needs folders of runs" in capsys.readouterr().err


# --- phonons ---------------------------------------------------------------------------------


def copper(a: float = 3.5948) -> Atoms:
    atoms = bulk("Cu", a=a)
    atoms.calc = EMT()
    return atoms


@pytest.fixture(scope="module")
def lattice():
    pytest.importorskip("phono3py", reason="phono3py is not installed")
    how = {"supercell": (3, 3, 3), "mesh": (9, 9, 9), "pair_cutoff": 3.0, "direct": True}
    return lattice_conductivity(copper(), temperatures=(300.0, 3000.0, 6000.0), **how)


def test_lattice_conductivity_is_that_of_phono3py_on_its_own(lattice):
    """The same displacements, forces by ASE one by one, phono3py as its manual says."""
    from phono3py import Phono3py
    from phonopy.structure.atoms import PhonopyAtoms

    atoms = copper()
    solver = Phono3py(
        PhonopyAtoms(symbols=["Cu"], cell=atoms.cell.array, scaled_positions=[[0, 0, 0]]),
        supercell_matrix=[3, 3, 3],
        primitive_matrix=np.eye(3),
    )
    solver.generate_displacements(distance=0.03, cutoff_pair_distance=3.0)
    forces = []
    for cell in solver.supercells_with_displacements:
        if cell is None:
            forces.append(np.zeros((27, 3)))
            continue
        copy = Atoms(cell.symbols, positions=cell.positions, cell=cell.cell, pbc=True)
        copy.calc = EMT()
        forces.append(copy.get_forces())
    solver.forces = np.array(forces)
    solver.produce_fc3()
    solver.symmetrize_fc3()
    solver.symmetrize_fc2()
    solver.mesh_numbers = [9, 9, 9]
    solver.init_phph_interaction()
    solver.run_thermal_conductivity(is_LBTE=True, temperatures=[300.0])
    expected = solver.thermal_conductivity
    assert lattice.tensor[0].diagonal() == pytest.approx(expected.kappa[0, 0, :3], rel=1e-5)
    simple = expected.kappa_RTA[0, 0, :3]
    assert lattice.relaxation_time_tensor[0].diagonal() == pytest.approx(simple, rel=1e-5)
    assert lattice.n_displaced == sum(c is not None for c in solver.supercells_with_displacements)


def test_heat_is_carried_less_far_when_hot(lattice):
    """Far above all frequencies the occupations are kT, so that the conductivity goes as 1 / T."""
    assert lattice.conductivity[1] / lattice.conductivity[2] == pytest.approx(2, rel=2e-3)
    assert lattice.conductivity[0] == pytest.approx(np.trace(lattice.tensor[0]) / 3)
    assert lattice.accumulated[:, -1] == pytest.approx(lattice.conductivity)
    assert (np.diff(lattice.accumulated, axis=1) >= -1e-9).all()
    lattice.plot()


def test_conductivity_of_heavier_atoms_of_one_kind_falls_with_the_root_of_the_mass(lattice):
    """The classical limit has one time scale, that of the frequencies."""
    heavy = copper()
    heavy.set_masses(4 * heavy.get_masses())
    how = {"supercell": (3, 3, 3), "mesh": (9, 9, 9), "pair_cutoff": 3.0, "direct": True}
    found = lattice_conductivity(heavy, temperatures=(6000.0,), **how)
    assert found.conductivity[0] == pytest.approx(lattice.conductivity[2] / 2, rel=5e-3)


def test_isotopes_scatter():
    pytest.importorskip("phono3py", reason="phono3py is not installed")
    how = {"supercell": (3, 3, 3), "mesh": (6, 6, 6), "pair_cutoff": 3.0, "temperatures": (50.0,)}
    pure, natural = (lattice_conductivity(copper(), isotopes=i, **how) for i in (False, True))
    assert natural.conductivity[0] < 0.99 * pure.conductivity[0]
    assert ("scattering", "three phonons, natural isotopes") in [
        row[:2] for row in natural.tables()[1].rows
    ]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"supercell": (2, 2, 2)}, r"2 x 2 x 2 repeats after 5\.08.*third derivatives cancel"),
        ({"pair_cutoff": 1.0}, r"pair cutoff is 1 Angstrom, and the nearest atoms are 2\.54"),
        ({"temperatures": (0.0,)}, "temperatures is 0 K"),
        ({"temperatures": ()}, "No temperature"),
        ({"mesh": (1, 2, 2)}, "three numbers from 2"),
        ({"mesh": (5, 6, 7)}, "has not the symmetry of the crystal"),
        ({"displacement": 1.0}, "displacement is 1"),
    ],
)
def test_lattice_questions_that_make_no_sense(how, message):
    pytest.importorskip("phono3py", reason="phono3py is not installed")
    with pytest.raises(PropertyError, match=message):
        lattice_conductivity(copper(), **{"supercell": (3, 3, 3), "pair_cutoff": 2.6, **how})


def test_isotopes_of_a_crystal_of_one_isotope_are_refused():
    atoms = copper()
    atoms.set_masses([62.93])
    with pytest.raises(PropertyError, match=r"Atom 0 has a mass of 62\.93.*natural Cu"):
        lattice_conductivity(atoms, isotopes=True)


def test_without_phono3py_the_way_there_is_said(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "phono3py", None)
    with pytest.raises(PropertyError, match=r"pip install ladera\[thermal\].*green-kubo"):
        lattice_conductivity(copper(), supercell=(3, 3, 3))
