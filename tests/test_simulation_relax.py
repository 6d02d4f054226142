"""Relaxation of atoms and cells."""

from __future__ import annotations

import csv
import json

import ase.io
import numpy as np
import pytest
import scipy.linalg
import spglib
import torch
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms
from ase.io.trajectory import Trajectory

from argon import Argon, argon, cluster, crystal, one_thread  # noqa: F401
from ladera.errors import ArgumentError, DataError, SimulationError
from ladera.graph import Graph
from ladera.models.lennard_jones import LennardJones
from ladera.potential import evaluate
from ladera.simulation.comparison import space_group
from ladera.simulation.preparation import SimulationWarning
from ladera.simulation.relaxation import relax
from ladera.simulation.rest import _logarithm


def test_hand_written_argon_is_lennard_jones():
    """The model of these tests against the automatic gradient of the real one."""
    atoms = crystal()
    atoms.rattle(0.2, seed=1)
    graph = Graph.from_atoms(atoms, 6.5)
    with torch.no_grad():
        fast = evaluate(argon(), graph)
        slow = evaluate(LennardJones(argon().config), graph)
    torch.testing.assert_close(fast.atomic_energies, slow.atomic_energies)
    torch.testing.assert_close(fast.edge_gradients, slow.edge_gradients)


@pytest.mark.parametrize("optimizer", ["lbfgs", "bfgs", "fire"])
def test_pair_finds_its_minimum(optimizer):
    """The shifted-force pair is at rest where its force vanishes, and no other structure moves."""
    atoms = Atoms("Ar2", [[0, 0, 0], [0.1, 0.2, 4.1]])
    before = atoms.positions.copy()
    result = relax(atoms, argon(), fmax=1e-6, steps=500, optimizer=optimizer)
    assert result.converged
    distances = np.linspace(3.6, 4.0, 40001)
    potential = argon()
    slopes = [_slope(potential, distance) for distance in (distances[0], distances[-1])]
    assert slopes[0] < 0 < slopes[1]
    distance = result.atoms.get_distance(0, 1)
    assert abs(_slope(potential, distance)) < 2e-6
    assert result.last.max_stress_gpa is None
    assert result.atoms.get_potential_energy() == result.last.potential_energy_ev
    assert np.array_equal(atoms.positions, before)


def _slope(potential, distance: float) -> float:
    graph = Graph.from_atoms(Atoms("Ar2", [[0, 0, 0], [0, 0, distance]]), potential.cutoff)
    with torch.no_grad():
        return -float(evaluate(potential, graph).forces[1, 2])


def test_cell_relaxes_to_zero_stress():
    """A sheared, strained, rattled crystal comes back to the cubic one."""
    atoms = crystal((2, 2, 2))
    strain = np.array([[0.04, 0.03, 0], [0, -0.03, 0.02], [0, 0, 0.02]])
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.rattle(0.05, seed=2)
    result = relax(atoms, argon(), fmax=1e-4, cell=True)
    assert result.converged
    assert abs(result.atoms.get_stress()).max() < 1e-5
    reference = relax(crystal((2, 2, 2)), argon(), fmax=1e-4, cell=True)
    assert result.last.potential_energy_ev == pytest.approx(
        reference.last.potential_energy_ev, abs=1e-5
    )
    assert result.last.volume_angstrom3 == pytest.approx(reference.last.volume_angstrom3, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["lbfgs", "bfgs", "fire"])
def test_a_soft_cell_is_not_relaxed_while_stress_is_left(optimizer):
    """It starts with 0.02 GPa, less than 0.01 eV for each atom: 0.3 % too short."""
    atoms = crystal()
    atoms.set_cell(0.997 * relax(atoms, argon(), fmax=1e-5, cell=True).atoms.cell, scale_atoms=True)
    found = relax(atoms, argon(), cell=True, optimizer=optimizer)
    assert found.converged
    assert found.last.max_stress_gpa < 0.01
    assert "stress" in repr(found)
    loose = relax(atoms, argon(), cell=True, smax=0.1, optimizer=optimizer)
    assert loose.converged
    assert loose.last.step == 0
    assert 0.01 < loose.last.max_stress_gpa < 0.04
    stopped = relax(atoms, argon(), cell=True, smax=1e-5, steps=1, optimizer=optimizer)
    assert not stopped.converged
    assert "of 1e-05 GPa" in stopped.left


def test_stress_that_the_symmetry_forbids_is_not_waited_for():
    """A model that is not quite symmetric has some, which no step may follow."""

    class Lopsided(Argon):
        def energies_and_edge_gradients(self, graph):
            energies, gradients = super().energies_and_edge_gradients(graph)
            return energies, gradients + 1e-3 * graph.vectors * torch.tensor([1.0, -1.0, 0.0])

    model = Lopsided(argon().config).requires_grad_(False)
    found = relax(crystal(), model, cell=True, symmetry=True, fmax=0.01, steps=200)
    assert found.converged
    assert found.last.max_stress_gpa < 0.01
    assert not relax(crystal(), model, cell=True, fmax=0.01, steps=30).converged


def test_the_cell_of_many_atoms_relaxes():
    """ASE scales the cell by their number: its logarithm, a series that was cut, moved the cell."""
    atoms = crystal((6, 6, 6))  # 864 atoms
    atoms.set_cell(1.02 * atoms.cell.array, scale_atoms=True)
    result = relax(atoms, argon(), fmax=1e-4, steps=60, cell=True)
    assert result.converged
    small = relax(crystal(), argon(), fmax=1e-4, cell=True)
    assert result.last.volume_angstrom3 / len(atoms) == pytest.approx(
        small.last.volume_angstrom3 / len(small.atoms), rel=1e-3
    )


def test_a_cell_beyond_all_measure_is_refused():
    """The logarithm of a deformation, of any multiple of it, or a sentence."""
    deformation = np.array([[1.3, 0.2, -0.1], [0.0, 0.8, 0.3], [0.1, 0.0, 1.1]])
    for factor in (1.0, 133.0, 5000.0):
        np.testing.assert_allclose(
            _logarithm(factor * deformation),
            scipy.linalg.logm(deformation) + np.log(factor) * np.eye(3),
            atol=1e-13,
        )
    for far in (np.diag([1.0, 1.0, -1.0]), np.diag([1e6, 1.0, 1.0])):
        with pytest.raises(SimulationError, match="turned inside out"):
            _logarithm(far)


def test_nothing_is_printed_of_the_logarithm_of_a_cell(monkeypatch, capsys):
    """By SciPy, of its last digits: whichever release of ASE would ask it."""

    def asked(*args, **kwargs):
        raise AssertionError("SciPy was asked")

    monkeypatch.setattr("scipy.linalg.logm", asked)
    assert relax(crystal(), argon(), cell=True).converged
    assert capsys.readouterr().out == ""


def test_without_cell_the_cell_stays():
    atoms = crystal()
    atoms.rattle(0.1, seed=3)
    result = relax(atoms, argon(), fmax=1e-3)
    assert result.converged
    assert np.array_equal(result.atoms.cell.array, atoms.cell.array)


def test_fixed_atoms_stay():
    atoms = cluster()
    atoms.set_constraint(FixAtoms([0, 2]))
    result = relax(atoms, argon(), fmax=1e-3)
    assert result.converged
    assert np.array_equal(result.atoms.positions[[0, 2]], atoms.positions[[0, 2]])
    assert not np.array_equal(result.atoms.positions[1], atoms.positions[1])


def test_files(tmp_path):
    atoms = cluster()
    rows = []
    result = relax(atoms, argon(), fmax=1e-3, folder=tmp_path, on_row=rows.append)
    with (tmp_path / "relax.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [int(row["step"]) for row in table] == list(range(len(rows)))
    assert float(table[-1]["max_force_ev_per_angstrom"]) < 1e-3
    assert table[0]["max_stress_gpa"] == table[0]["volume_angstrom3"] == ""
    with Trajectory(tmp_path / "trajectory.traj") as frames:
        assert len(frames) == len(rows)
        assert np.array_equal(frames[0].positions, atoms.positions)
        assert frames[-1].get_potential_energy() == result.last.potential_energy_ev
    relaxed = ase.io.read(tmp_path / "relaxed.extxyz")
    np.testing.assert_allclose(relaxed.positions, result.atoms.positions, atol=1e-7)
    contents = json.loads((tmp_path / "settings.json").read_text())
    assert contents["settings"] == {
        "fmax": 1e-3,
        "smax": None,
        "steps": 1000,
        "cell": False,
        "symmetry": False,
        "optimizer": "lbfgs",
    }
    with pytest.raises(SimulationError, match="holds a relaxation already"):
        relax(atoms, argon(), folder=tmp_path)


def test_not_converged_is_said_and_kept(tmp_path):
    result = relax(cluster(), argon(), fmax=1e-8, steps=2, folder=tmp_path)
    assert not result.converged
    assert result.last.step == 2
    assert (tmp_path / "relaxed.extxyz").exists()


def test_refusals():
    slab = crystal()
    slab.pbc = (True, True, False)
    cases = [
        (cluster(), {"cell": True}, SimulationError, "periodic in all three directions"),
        (slab, {"cell": True}, SimulationError, "periodic in all three directions"),
        (cluster(), {"fmax": 0.0}, SimulationError, "fmax is 0 eV"),
        (cluster(), {"fmax": float("nan")}, SimulationError, "fmax is nan"),
        (crystal(), {"cell": True, "smax": 0.0}, SimulationError, "smax is 0 GPa"),
        (crystal(), {"smax": 0.1}, SimulationError, "smax limits|smax in Python"),
        (cluster(), {"steps": 0}, SimulationError, "steps is 0"),
        (cluster(), {"optimizer": "lbgfs"}, ArgumentError, "did you mean 'lbfgs'"),
        (Atoms("H2", [[0, 0, 0], [0, 0, 1]]), {}, DataError, "Atom 0 is H"),
        (Atoms(), {}, DataError, "no atoms"),
    ]
    for atoms, options, kind, message in cases:
        with pytest.raises(kind, match=message):
            relax(atoms, argon(), **options)


class Attractive(Argon):
    """A fitted model's typical failure: nothing keeps the atoms apart."""

    def energies_and_edge_gradients(self, graph):
        energies, gradients = super().energies_and_edge_gradients(graph)
        return -energies, -gradients


class Broken(Argon):
    """Not finite once atoms have moved closer."""

    def energies_and_edge_gradients(self, graph):
        energies, gradients = super().energies_and_edge_gradients(graph)
        bad = float("nan") if bool((graph.vectors.norm(dim=1) < 3.7).any()) else 1.0
        return bad * energies, gradients


def test_collapse_and_nonsense_are_errors(tmp_path):
    near = Atoms("Ar2", [[0, 0, 0], [0, 0, 1.2]])
    attractive = Attractive(argon().config).requires_grad_(False)
    with pytest.raises(SimulationError, match="collapsed: atoms 0 and 1"):
        relax(near, attractive, fmax=1e-3, steps=1)
    apart = Atoms("Ar3", [[0, 0, 0], [4.3, 0, 0], [2.1, 3.7, 0]])
    broken = Broken(argon().config).requires_grad_(False)
    relax(apart, broken, fmax=0.05)
    with pytest.raises(SimulationError, match="had to stop: energy or forces are not finite"):
        relax(Atoms("Ar2", [[0, 0, 0], [0, 0, 3.5]]), broken, folder=tmp_path)


def test_leaving_the_training_domain_is_said():
    class Bounded(Argon):
        def grade(self, graph, prediction=None):
            return torch.full((graph.n_atoms,), 1.5)

    with pytest.warns(SimulationWarning, match="7 of 7 atoms of the relaxed structure"):
        result = relax(cluster(), Bounded(argon().config).requires_grad_(False))
    assert (result.last.extrapolating_atoms, result.last.largest_grade) == (7, 1.5)


def test_symmetry_is_kept_and_what_changed_is_tabled():
    """Body-centred argon slides down to close packing (Bain's path) unless it must stay cubic."""
    atoms = bulk("Ar", "bcc", a=4.2, cubic=True)
    atoms.set_cell(atoms.cell.array @ np.diag([1.0, 1.0, 1.001]), scale_atoms=True)
    held = relax(atoms, argon(), fmax=1e-4, cell=True, symmetry=True)
    free = relax(atoms, argon(), fmax=1e-5, cell=True)
    rows = {row[0]: row[1:] for row in held.table()}
    assert rows["space group"] == ("Im-3m (229)", "Im-3m (229)", "kept")
    assert {row[0]: row[1:] for row in free.table()}["space group"][1:] == (
        "Fm-3m (225)",
        "changed",
    )
    assert free.last.potential_energy_ev < held.last.potential_energy_ev - 1e-3
    assert held.converged
    assert not held.atoms.constraints
    _, after, change = rows["volume (Å³ per atom)"]
    assert float(after) == pytest.approx(held.atoms.cell.volume / len(atoms), abs=1e-4)
    assert change.endswith("%)")


def test_bonds_of_a_molecule_are_tabled():
    start = Atoms("Ar2", [[0, 0, 0], [0, 0, 2.3]])
    found = relax(start, argon(sigma=2.0), fmax=1e-4)
    rows = {row[0]: row[1:] for row in found.table()}
    before, after, _ = rows["Ar-Ar bond (Å), mean of 1"]
    assert float(before) == 2.3
    assert float(after) == pytest.approx(found.atoms.get_distance(0, 1), abs=1e-4)
    assert "space group" not in rows
    with pytest.raises(SimulationError, match="needs a structure that is periodic in all three"):
        relax(start, argon(), symmetry=True)


@pytest.mark.parametrize("raises", [False, True])
def test_space_group_whatever_phonopy_has_told_spglib(
    raises: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spglib.error, "OLD_ERROR_HANDLING", not raises)
    copper = bulk("Cu", cubic=True)
    assert space_group(copper) == "Fm-3m (225)"
    copper.positions[1] = copper.positions[0]
    assert space_group(copper) == "none found"
