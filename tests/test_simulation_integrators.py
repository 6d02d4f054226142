"""The integrators against ASE's, number by number; other quick ways of a step against torch's."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.constraints import FixAtoms, FixBondLengths, FixCartesian, FixCom, Hookean
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.nose_hoover_chain import (
    IsotropicMTKBarostat,
    IsotropicMTKNPT,
    NoseHooverChainNVT,
    NoseHooverChainThermostat,
)
from ase.md.verlet import VelocityVerlet

from argon import argon, cluster, crystal, one_thread  # noqa: F401
from ladera.graph import Graph
from ladera.kernels.neighbors import closest_pair, virial
from ladera.potential import evaluate
from ladera.simulation.calculator import LaderaCalculator
from ladera.simulation.integrators import INTEGRATORS, Conditions
from ladera.simulation.integrators.nose_hoover import advance_chain
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.records import snapshot
from ladera.simulation.settings import MDSettings
from ladera.simulation.system import System
from ladera.units import BOLTZMANN

THERMAL = BOLTZMANN * 60  # eV
STEP, TAU, TAU_P, PRESSURE = 0.3, 10.0, 40.0, 1e-3  # ASE's units


def moving(atoms: Atoms | None = None) -> Atoms:
    """Warm argon, a little compressed where it has a cell, with this project's calculator."""
    atoms = crystal() if atoms is None else atoms
    rng = np.random.default_rng(3)
    if atoms.pbc.any():
        atoms.set_cell(atoms.cell.array * 0.98, scale_atoms=True)
    atoms.positions += rng.normal(size=(len(atoms), 3)) * 0.05
    atoms.set_masses(rng.uniform(20, 60, len(atoms)))
    momenta = rng.normal(size=(len(atoms), 3)) * 0.3
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    atoms.calc = LaderaCalculator(argon())
    return atoms


def ase_integrator(ensemble: str, atoms: Atoms):
    """ASE's, which takes three degrees of freedom for each atom."""
    rng, kelvin = np.random.default_rng(7), 60
    match ensemble:
        case "nve":
            return VelocityVerlet(atoms, STEP)
        case "nvt-langevin":
            return Langevin(
                atoms, STEP, temperature_K=kelvin, friction=1 / TAU, fixcm=False, rng=rng
            )
        case "nvt-bussi":
            dynamics = Bussi(atoms, STEP, temperature_K=kelvin, taut=TAU, rng=rng)
            dynamics.ndof = 3 * len(atoms)
            dynamics.target_kinetic_energy = 0.5 * THERMAL * dynamics.ndof
            return dynamics
        case "nvt-nose-hoover":
            return NoseHooverChainNVT(atoms, STEP, temperature_K=kelvin, tdamp=TAU)
    return IsotropicMTKNPT(
        atoms, STEP, temperature_K=kelvin, pressure_au=PRESSURE, tdamp=TAU, pdamp=TAU_P
    )


def assert_same_trajectory(ensemble: str, atoms: Atoms, twin: Atoms, *, rests: bool = False):
    """200 steps of ours on ``atoms`` and of ASE's on ``twin``; our state and ASE's integrator."""
    system = System(atoms, rests=rests)
    conditions = Conditions(STEP, 3 * len(atoms), THERMAL, THERMAL, TAU, TAU_P, PRESSURE)
    init, step = INTEGRATORS[ensemble]
    state, theirs = init(system, conditions), ase_integrator(ensemble, twin)
    rng = np.random.default_rng(7)
    start = atoms.positions.copy()
    for _ in range(200):
        state = step(state, system, conditions, rng)
        theirs.step()
    assert abs(atoms.positions - start).max() > 0.1
    np.testing.assert_allclose(atoms.positions, twin.positions, atol=1e-10)
    np.testing.assert_allclose(state.positions, atoms.positions, atol=0)
    np.testing.assert_allclose(state.momenta, twin.get_momenta(), atol=1e-10)
    np.testing.assert_allclose(atoms.cell.array, twin.cell.array, rtol=1e-12)
    atoms.set_momenta(state.momenta, apply_constraint=False)
    conserved = atoms.get_potential_energy() + atoms.get_kinetic_energy() + state.exchanged
    if hasattr(theirs, "get_conserved_energy"):
        assert conserved == pytest.approx(theirs.get_conserved_energy(), abs=1e-10)
    if ensemble == "nvt-bussi":
        assert state.exchanged == pytest.approx(-theirs.transferred_energy, abs=1e-10)
    return state, theirs


@pytest.mark.parametrize("ensemble", INTEGRATORS)
@pytest.mark.parametrize("structure", [crystal, cluster])
def test_trajectories_are_those_of_ase(ensemble, structure):
    if ensemble == "npt" and structure is cluster:
        pytest.skip("an open structure has no pressure")
    atoms, twin = moving(structure()), moving(structure())
    if ensemble == "nvt-langevin":
        twin.set_constraint(FixCom())
    state, theirs = assert_same_trajectory(ensemble, atoms, twin, rests=ensemble == "nvt-langevin")
    if ensemble == "npt":
        assert abs(state.strain) > 1e-3
        assert state.strain == pytest.approx(theirs._eps, abs=1e-12)
        assert state.strain_momentum == pytest.approx(theirs._p_eps, rel=1e-9)


@pytest.mark.parametrize("ensemble", ["nve", "nvt-langevin", "nvt-bussi"])
@pytest.mark.parametrize(
    "constraints",
    [
        [FixAtoms([0, 3])],
        [FixCartesian([1], (True, False, True)), FixAtoms([2])],
        [FixBondLengths([(0, 2), (1, 4)])],
        [Hookean(0, 5, 0.2, 3.0), FixCom()],
    ],
)
def test_held_trajectories_are_those_of_ase(ensemble, constraints):
    atoms, twin = moving(cluster()), moving(cluster())
    for structure in (atoms, twin):
        structure.set_constraint([constraint.copy() for constraint in constraints])
        structure.set_momenta(structure.get_momenta())
    assert_same_trajectory(ensemble, atoms, twin)


@pytest.mark.parametrize("n_chain", [1, 3])
def test_thermostat_is_that_of_ase(n_chain):
    rng = np.random.default_rng(0)
    masses = rng.uniform(1, 40, (10, 1))
    momenta = rng.normal(size=(10, 3))
    theirs = NoseHooverChainThermostat(9, masses, temperature_K=70, tdamp=30, tchain=n_chain)
    theirs._p_eta[:] = [0.5, -0.2, 0.3][:n_chain]
    chain, scale = np.array([theirs._eta, theirs._p_eta]), 1.0
    twice_kinetic = float((momenta**2 / masses).sum())
    mean, thermal = 27 * 70 * BOLTZMANN, 70 * BOLTZMANN
    expected = momenta.copy()
    for _ in range(20):
        surplus = (scale**2 * twice_kinetic, mean, thermal)
        chain, factor = advance_chain(chain, theirs._Q, surplus, 2.0)
        scale *= factor
        expected = theirs.integrate_nhc(expected, 2.0)
    np.testing.assert_allclose(scale * momenta, expected, rtol=1e-10)
    np.testing.assert_allclose(chain, [theirs._eta, theirs._p_eta], rtol=1e-10)


def test_barostat_is_that_of_ase():
    theirs = IsotropicMTKBarostat(9, temperature_K=70, pdamp=300)
    thermal = 70 * BOLTZMANN
    chain, momentum, expected = np.zeros((2, 3)), 7.0, 7.0
    for _ in range(20):
        surplus = (momentum**2 / theirs.W, thermal, thermal)
        chain, factor = advance_chain(chain, theirs._R, surplus, 5.0)
        momentum *= factor
        expected = theirs.integrate_nhc_baro(expected, 5.0)
    assert momentum == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(chain, [theirs._xi, theirs._p_xi], rtol=1e-10)


def test_centre_of_mass_is_held_as_ase_does():
    atoms, twin = moving(), moving()
    system = System(atoms, rests=True)
    twin.set_constraint(FixCom())
    moves = np.random.default_rng(1).normal(size=(len(atoms), 3))
    system.move(atoms.positions + moves)
    twin.set_positions(twin.positions + moves)
    twin.set_momenta(moves)
    momenta = system.project(moves)
    np.testing.assert_allclose(atoms.positions, twin.positions, atol=1e-12)
    np.testing.assert_allclose(momenta, twin.get_momenta(), atol=1e-12)
    np.testing.assert_allclose(momenta.sum(axis=0), 0, atol=1e-11)


OLD_RUNS = Path(__file__).parent / "data" / "runs_format_1"


@pytest.mark.parametrize("name", sorted(path.name for path in OLD_RUNS.iterdir()))
def test_runs_of_the_version_before_go_on(tmp_path, name):
    """Folders with restart files of format 1, stopped at step 30; whole.csv is what it would be.

    A new run is the same, too, but for open structures with Langevin's noise: these rotate from the
    start now, as that noise makes them.
    """
    ensemble = name
    for what in ("-ramp", "-open", "-held"):
        ensemble = ensemble.removesuffix(what)
    atoms = cluster() if name.endswith("open") else crystal((2, 1, 1))
    if name.endswith("held"):
        atoms.set_constraint(FixAtoms([0, 3]))
    settings = MDSettings(
        ensemble=ensemble,
        temperature=10.0 if name.endswith("open") else 60.0,
        temperature_end=90.0 if name.endswith("ramp") else None,
        timestep=5.0,
        steps=60,
        log_interval=5,
        trajectory_interval=20,
        restart_interval=20,
    )
    shutil.copytree(OLD_RUNS / name, tmp_path / "resumed")
    run_md(atoms, argon(), settings, tmp_path / "resumed", resume=True)
    run_md(atoms, argon(), settings, tmp_path / "new")
    turning = name == "nvt-langevin-open"
    expected = np.genfromtxt(OLD_RUNS / name / "whole.csv", delimiter=",", skip_header=1)
    for folder in ("resumed",) if turning else ("resumed", "new"):
        columns = np.genfromtxt(tmp_path / folder / "md.csv", delimiter=",", skip_header=1)
        np.testing.assert_allclose(columns[:, :9], expected[:, :9], rtol=1e-10, atol=1e-12)


def test_virial_and_closest_pair_are_those_of_torch():
    atoms = moving()
    prediction = evaluate(argon(), Graph.from_atoms(atoms, 6.5))
    graph = prediction.graph
    vectors = graph.vectors.numpy()
    np.testing.assert_allclose(
        virial(vectors, prediction.edge_gradients.numpy()), prediction.virial[0], atol=1e-12
    )
    radii = np.linspace(0.5, 2, len(atoms))
    centers, neighbors = graph.centers.numpy(), graph.neighbors.numpy()
    ratios = np.linalg.norm(vectors, axis=1) / (radii[centers] + radii[neighbors])
    pair, ratio = closest_pair(centers, neighbors, vectors, radii)
    assert ratio == pytest.approx(ratios.min())
    assert ratios[pair] == ratios.min()
    assert closest_pair(centers[:0], neighbors[:0], vectors[:0], radii) == (-1, np.inf)


def test_frames_of_a_run_know_when_they_were_changed():
    """Results are given while the structure is what it was, and not a number off."""
    frame = snapshot(moving())
    energy = frame.get_potential_energy()
    frame.info["note"] = "changes nothing"
    assert frame.get_potential_energy() == energy
    frame.positions[0, 0] += 1e-6
    with pytest.raises(PropertyNotImplementedError):
        frame.get_potential_energy()
    with pytest.raises(PropertyNotImplementedError):
        frame.get_forces()
