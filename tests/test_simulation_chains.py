"""The quick ways through a step of molecular dynamics against ASE's and torch's own."""

from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.calculator import PropertyNotImplementedError
from ase.constraints import FixCom
from ase.md.nose_hoover_chain import (
    IsotropicMTKBarostat,
    IsotropicMTKNPT,
    NoseHooverChainNVT,
    NoseHooverChainThermostat,
)
from ladera.simulation.chains import Barostat, IsotropicNPT, Thermostat

from argon import argon, crystal, one_thread  # noqa: F401
from ladera.graph import Graph
from ladera.neighbors import closest_pair, virial
from ladera.potential import evaluate
from ladera.simulation.calculator import LaderaCalculator
from ladera.simulation.integrators import INTEGRATORS
from ladera.simulation.records import snapshot
from ladera.simulation.settings import MDSettings


def moving_crystal():
    """Warm argon, a little compressed, with this project's calculator."""
    atoms = crystal()
    rng = np.random.default_rng(3)
    atoms.set_cell(atoms.cell.array * 0.98, scale_atoms=True)
    atoms.rattle(0.05, rng=rng)
    atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * 0.3)
    atoms.calc = LaderaCalculator(argon())
    return atoms


def assert_same_state(one, other, names):
    for name in names:
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name), rtol=1e-10, err_msg=name
        )


@pytest.mark.parametrize("n_chain", [1, 3])
def test_thermostat_is_that_of_ase(n_chain):
    rng = np.random.default_rng(0)
    masses = rng.uniform(1, 40, (10, 1))
    momenta = [rng.normal(size=(10, 3))] * 2
    chains = [
        kind(num_atoms_global=9, masses=masses, temperature_K=70, tdamp=30, tchain=n_chain)
        for kind in (NoseHooverChainThermostat, Thermostat)
    ]
    for chain in chains:
        chain._p_eta[:] = [0.5, -0.2, 0.3][:n_chain]
    for _ in range(20):
        momenta = [c.integrate_nhc(p.copy(), 2.0) for c, p in zip(chains, momenta, strict=True)]
    np.testing.assert_allclose(momenta[1], momenta[0], rtol=1e-10)
    assert_same_state(*chains, ("_eta", "_p_eta"))


def test_barostat_is_that_of_ase():
    chains = [
        kind(num_atoms_global=9, temperature_K=70, pdamp=300)
        for kind in (IsotropicMTKBarostat, Barostat)
    ]
    momentum = [7.0, 7.0]
    for _ in range(20):
        momentum = [
            chain.integrate_nhc_baro(p, 5.0) for chain, p in zip(chains, momentum, strict=True)
        ]
    assert momentum[1] == pytest.approx(momentum[0], rel=1e-10)
    assert_same_state(*chains, ("_xi", "_p_xi"))


def test_npt_is_that_of_ase():
    """Twenty steps of the same equations, chains and all, from the same start."""
    runs = []
    for kind, thermostat, barostat in (
        (IsotropicMTKNPT, NoseHooverChainThermostat, IsotropicMTKBarostat),
        (IsotropicNPT, Thermostat, Barostat),
    ):
        atoms = moving_crystal()
        run = kind(atoms, 0.3, temperature_K=60, pressure_au=1e-3, tdamp=10, pdamp=40)
        run._thermostat = thermostat(len(atoms), run.masses, 60, 10)
        run._barostat = barostat(len(atoms), 60, 40)
        for _ in range(20):
            run.step()
        runs.append(run)
    one, other = runs
    assert abs(one._eps) > 1e-4
    assert_same_state(one, other, ("_q", "_p", "_eps", "_p_eps"))
    np.testing.assert_allclose(other.atoms.positions, other._q)
    np.testing.assert_allclose(other.atoms.cell.array, one.atoms.cell.array, rtol=1e-12)
    assert other.get_conserved_energy() == pytest.approx(one.get_conserved_energy(), rel=1e-10)


def test_nose_hoover_is_that_of_ase():
    settings = MDSettings(
        ensemble="nvt-nose-hoover", temperature=60, timestep=3, steps=1, thermostat_time=50
    )
    atoms, twin = moving_crystal(), moving_crystal()
    ours = INTEGRATORS["nvt-nose-hoover"](atoms, settings, np.random.default_rng(), 3 * len(atoms))
    theirs = NoseHooverChainNVT(
        twin, ours.dynamics.dt, temperature_K=60, tdamp=ours.dynamics._thermostat._tdamp
    )
    for _ in range(20):
        ours.step()
        theirs.step()
    np.testing.assert_allclose(atoms.positions, twin.positions, atol=1e-10)
    assert ours.conserved_energy() == pytest.approx(theirs.get_conserved_energy(), rel=1e-10)


def test_centre_of_mass_is_held_as_ase_does():
    atoms, twin = moving_crystal(), moving_crystal()
    for structure in (atoms, twin):
        structure.set_masses(np.linspace(1, 40, len(structure)))
    settings = MDSettings(ensemble="nvt-langevin", timestep=1, steps=1)
    INTEGRATORS["nvt-langevin"](atoms, settings, np.random.default_rng(), 3)
    twin.set_constraint(FixCom())
    moves = np.random.default_rng(1).normal(size=(len(atoms), 3))
    for structure in (atoms, twin):
        structure.set_positions(structure.positions + moves)
        structure.set_momenta(moves)
    np.testing.assert_allclose(atoms.positions, twin.positions, atol=1e-12)
    np.testing.assert_allclose(atoms.get_momenta(), twin.get_momenta(), atol=1e-12)
    np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), 0, atol=1e-11)


def test_virial_and_closest_pair_are_those_of_torch():
    atoms = moving_crystal()
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
    frame = snapshot(moving_crystal())
    energy = frame.get_potential_energy()
    frame.info["note"] = "changes nothing"
    assert frame.get_potential_energy() == energy
    frame.positions[0, 0] += 1e-6
    with pytest.raises(PropertyNotImplementedError):
        frame.get_potential_energy()
    with pytest.raises(PropertyNotImplementedError):
        frame.get_forces()
