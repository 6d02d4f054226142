"""What is held: counted, kept in every ensemble, honoured or refused by name."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.constraints import (
    ExternalForce,
    FixAtoms,
    FixBondLengths,
    FixCartesian,
    FixCom,
    FixedLine,
    FixedMode,
    FixedPlane,
    FixInternals,
    FixLinearTriatomic,
    FixScaled,
    FixSubsetCom,
    FixSymmetry,
    Hookean,
    MirrorForce,
)
from ase.io.trajectory import Trajectory

from argon import argon, cluster, crystal, one_thread  # noqa: F401
from ladera.errors import PropertyError, SimulationError
from ladera.properties.energy_path import energy_path
from ladera.properties.vibrations import vibrations
from ladera.simulation.held import degrees_of_freedom, free_motions
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.relaxation import relax
from ladera.simulation.settings import MDSettings
from ladera.units import BOLTZMANN

ENSEMBLES = ("nve", "nvt-langevin", "nvt-bussi", "nvt-nose-hoover")


def held(atoms: Atoms, *constraints) -> Atoms:
    atoms.set_constraint(list(constraints))
    return atoms


def uneven() -> Atoms:
    """A cluster with masses that differ."""
    atoms = cluster()
    atoms.set_masses([40.0, 20.0, 40.0, 60.0, 40.0, 30.0, 40.0])
    return atoms


def small() -> Atoms:
    return crystal((2, 1, 1))


def skew() -> Atoms:
    """A crystal whose directions are not at right angles."""
    atoms = small()
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.2 * np.eye(3, k=1)), scale_atoms=True)
    return atoms


def symmetric() -> Atoms:
    """Two atoms that breathe against the corners of their cell, by inversion."""
    atoms = small()
    atoms.positions[[1, 6]] += [[0.1, 0.05, 0.0], [-0.1, -0.05, 0.0]]
    return held(atoms, FixSymmetry(atoms))


def rods() -> Atoms:
    """Two linear rigid molecules."""
    atoms = Atoms("Ar6", [[3.5 * i, 4.0 * j, 0.3 * j] for j in range(2) for i in range(3)])
    return held(atoms, FixLinearTriatomic([(0, 1, 2), (3, 4, 5)]))


# What is held, degrees of freedom left by projection, and motions of the whole left of these.
COUNTS = {
    "one atom of a molecule": (held(uneven(), FixAtoms([0])), 18, 3),
    "two atoms": (held(uneven(), FixAtoms([0, 1])), 15, 1),
    "three atoms": (held(uneven(), FixAtoms([0, 1, 2])), 12, 0),
    "atoms of a crystal": (held(small(), FixAtoms([0, 3])), 18, 0),
    "the same atom twice": (held(small(), FixAtoms([0]), FixCartesian([0, 1])), 18, 0),
    "directions": (held(small(), FixCartesian([0, 2], (True, False, True))), 20, 1),
    "one direction of all": (held(small(), FixCartesian(range(8), (False, False, True))), 16, 2),
    "a plane for all": (held(uneven(), FixedPlane(range(7), (0, 0, 1))), 14, 3),
    "a line": (held(small(), FixedLine([1, 2], (1, 1, 0))), 20, 1),
    "scaled directions": (held(small(), FixScaled([1, 2], (True, False, False))), 22, 2),
    "scaled atoms": (held(skew(), FixScaled([1, 2])), 18, 0),
    "the centre of mass": (held(uneven(), FixCom()), 18, 3),
    "that of a crystal": (held(small(), FixCom()), 21, 0),
    "bonds": (held(uneven(), FixBondLengths([(0, 2), (1, 3)])), 19, 6),
    "a bond and an atom": (held(uneven(), FixAtoms([1]), FixBondLengths([(0, 2)])), 17, 3),
    "a mode of equal masses": (held(small(), FixedMode(np.eye(24)[0] - np.eye(24)[3])), 23, 3),
    "a spring": (held(uneven(), Hookean(0, 2, 0.05, 3.0)), 21, 6),
    "a spring to a point": (held(uneven(), Hookean(0, (0, 0, 0), 0.05, 1.0)), 21, 3),
    "a spring to a plane": (held(uneven(), Hookean(0, (0, 0, 1, -1.5), 0.05)), 21, 3),
    "symmetry": (symmetric(), None, 0),
    "linear molecules": (rods(), 10, 6),
}


@pytest.mark.parametrize("what", COUNTS)
def test_degrees_of_freedom_are_counted(what):
    atoms, projected, free = COUNTS[what]
    assert len(free_motions(atoms)) == free
    if projected is not None:
        assert degrees_of_freedom(atoms, "nvt-langevin") == projected
        assert degrees_of_freedom(atoms, "nvt-bussi") == projected - free


@pytest.mark.parametrize("what", COUNTS)
@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_what_is_held_stays_held(tmp_path, what, ensemble):
    """Conserved energies stay, momenta obey, and a run that was stopped goes on bit for bit."""
    atoms = COUNTS[what][0]
    values = {"ensemble": ensemble, "temperature": 15.0, "timestep": 2.0, "log_interval": 10}
    settings = MDSettings(**values, steps=120, trajectory_interval=40)
    if (what, ensemble) == ("linear molecules", "nvt-langevin"):
        with pytest.raises(SimulationError, match=r"nvt-langevin cannot hold FixLinearTriatomic"):
            run_md(atoms, argon(), settings, tmp_path / "whole")
        return
    rows = []
    final = run_md(atoms, argon(), settings, tmp_path / "whole", on_row=rows.append)
    conserved = [row.conserved_energy_ev for row in rows]
    assert np.ptp(conserved) < 3e-6
    kinetic = [row.kinetic_energy_ev for row in rows]
    assert np.ptp(kinetic) > 30 * np.ptp(conserved)
    momenta = final.get_momenta()
    obeyed = momenta.copy()
    for constraint in final.constraints:
        constraint.adjust_momenta(final, obeyed)
    np.testing.assert_allclose(obeyed, momenta, atol=1e-11)
    shorter = MDSettings(**values, steps=40, trajectory_interval=40)
    run_md(atoms, argon(), shorter, tmp_path / "parts")
    run_md(atoms, argon(), settings, tmp_path / "parts", resume=True)
    for name in ("md.csv", "final.extxyz"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "parts" / name).read_text()
    with Trajectory(tmp_path / "whole" / "trajectory.traj") as frames:
        assert frames[-1].get_potential_energy() == pytest.approx(rows[-1].potential_energy_ev)
        assert len(frames[-1].constraints) == len(atoms.constraints)


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (held(uneven(), FixInternals(bonds=[[None, [0, 2]]])), "cannot hold FixInternals"),
        (held(uneven(), ExternalForce(0, 1, 0.01)), "cannot hold ExternalForce"),
        (held(uneven(), MirrorForce(0, 1)), "cannot hold MirrorForce"),
        (held(uneven(), FixSubsetCom([0, 1])), "cannot hold FixSubsetCom"),
        (held(uneven(), FixedMode(np.arange(21.0))), "FixedMode of these atoms"),
        (held(skew(), FixScaled([1], (True, False, False))), "FixScaled of these atoms"),
        (
            held(uneven(), FixAtoms([0]), FixBondLengths([(0, 2)])),
            "FixAtoms and FixBondLengths at the same time",
        ),
    ],
)
@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_what_dynamics_cannot_hold_is_refused_by_name(tmp_path, atoms, message, ensemble):
    with pytest.raises(SimulationError, match=message) as caught:
        run_md(atoms, argon(), MDSettings(ensemble=ensemble, steps=5), tmp_path / "run")
    assert "Please" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_npt_moves_all_atoms_with_the_cell(tmp_path):
    settings = MDSettings(ensemble="npt", steps=5)
    for constraint in (FixAtoms([0]), FixCom(), FixBondLengths([(0, 1)]), Hookean(0, 1, 1.0, 3.0)):
        name = type(constraint).__name__
        with pytest.raises(SimulationError, match=f"npt.* cannot hold {name}.*choose an nvt"):
            run_md(held(small(), constraint), argon(), settings, tmp_path / "run")


@pytest.mark.parametrize(
    "atoms",
    [held(crystal(1), FixAtoms([0])), held(uneven(), FixBondLengths([(0, 2), (2, 3), (3, 4)]))],
)
def test_langevin_heats_what_is_free(tmp_path, atoms):
    """Equipartition: the mean of K is that of the degrees of freedom that were counted."""
    settings = MDSettings(
        temperature=12.0,
        timestep=4.0,
        steps=3500,
        thermostat_time=150.0,
        trajectory_interval=3500,
    )
    rows = []
    final = run_md(atoms, argon(), settings, tmp_path, on_row=rows.append)
    freedom = degrees_of_freedom(atoms, "nvt-langevin")
    kinetic = np.array([row.kinetic_energy_ev for row in rows[40:]])
    assert 2 * kinetic.mean() / (freedom * BOLTZMANN) == pytest.approx(12.0, rel=0.12)
    if isinstance(atoms.constraints[0], FixAtoms):
        assert np.array_equal(final.positions[0], atoms.positions[0])
    else:
        lengths = [atoms.get_distance(a, b) for a, b in atoms.constraints[0].pairs]
        after = [final.get_distance(a, b) for a, b in atoms.constraints[0].pairs]
        np.testing.assert_allclose(after, lengths, atol=1e-9)


def test_symmetry_is_kept_in_motion(tmp_path):
    atoms = symmetric()
    settings = MDSettings(ensemble="nvt-bussi", temperature=20.0, timestep=2.0, steps=300)
    final = run_md(atoms, argon(), settings, tmp_path)
    moved = final.positions - atoms.positions
    assert abs(moved).max() > 0.02
    symmetrised = moved.copy()
    atoms.constraints[0].adjust_forces(atoms, symmetrised)
    np.testing.assert_allclose(symmetrised, moved, atol=1e-9)


def test_a_spring_is_counted_once(tmp_path):
    """Energies of rows have the spring, those in frames and files are the model's alone."""
    atoms = held(uneven(), Hookean(0, 2, 0.5, 3.0))
    rows = []
    final = run_md(
        atoms, argon(), MDSettings(ensemble="nve", steps=20), tmp_path, on_row=rows.append
    )
    assert final.get_potential_energy() == pytest.approx(rows[-1].potential_energy_ev, abs=1e-9)
    spring = final.constraints[0].adjust_potential_energy(final)
    assert spring > 1e-3
    written = ase.io.read(tmp_path / "final.extxyz")
    alone = rows[-1].potential_energy_ev - spring
    assert written.get_potential_energy(apply_constraint=False) == pytest.approx(alone, abs=1e-6)


def test_relaxation_of_a_cell_keeps_held_atoms_in_their_place_in_it():
    atoms = crystal()
    atoms.set_cell(atoms.cell.array * 1.02, scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    result = relax(held(atoms, FixAtoms([0, 5])), argon(), cell=True, fmax=0.002)
    assert result.converged
    before, after = (structure.get_scaled_positions() for structure in (atoms, result.atoms))
    np.testing.assert_allclose(after[[0, 5]], before[[0, 5]], atol=1e-9)
    assert abs(after - before).max() > 1e-3
    for constraint in (FixBondLengths([(0, 1)]), Hookean(0, 1, 1.0, 3.0), FixInternals()):
        name = type(constraint).__name__
        with pytest.raises(SimulationError, match=f"cell.* cannot hold {name}"):
            relax(held(crystal(), constraint), argon(), cell=True)


@pytest.mark.parametrize(
    "constraint",
    [
        FixCartesian([0, 1], (True, False, False)),
        FixedLine([0], (1, 0, 0)),
        FixedPlane([0], (0, 0, 1)),
        FixBondLengths([(0, 1)]),
        FixInternals(bonds=[[None, [0, 2]]]),
        FixCom(),
        Hookean(0, 2, 0.1, 3.0),
        ExternalForce(0, 1, 0.001),
    ],
)
def test_relaxation_honours_all(constraint):
    start = held(cluster(), constraint)
    start.calc = argon().calculator()
    start.set_positions(start.positions)
    result = relax(start, argon(), fmax=0.002)
    assert result.converged
    forces = result.atoms.get_forces()
    assert np.linalg.norm(forces, axis=1).max() < 0.002
    allowed = result.atoms.positions.copy()
    for each in result.atoms.constraints:
        each.adjust_positions(start, allowed)
    np.testing.assert_allclose(allowed, result.atoms.positions, atol=2e-3)


def rested() -> Atoms:
    atoms = relax(cluster(), argon(cutoff=30.0), fmax=1e-4).atoms
    atoms.calc = argon(cutoff=30.0).calculator()
    return atoms


def test_vibrations_of_what_is_free():
    """The partial Hessian, less only those motions of the whole that are still free."""
    atoms = rested()
    free = vibrations(atoms)
    assert len(free.frequencies) == 15
    assert not free.held
    for indices, left in (([0], 18 - 3), ([0, 1], 15 - 1), ([0, 1, 2], 12), ([2, 3, 4, 5], 9)):
        found = vibrations(held(atoms, FixAtoms(indices)))
        assert len(found.frequencies) == left
        assert found.held
        assert found.frequencies.min() > 5.0
        np.testing.assert_allclose(found.modes[:, indices], 0, atol=1e-12)
        assert found.tables()[1].fields[1].name == "U - E"
    plane = vibrations(held(atoms, FixedPlane(range(7), (0, 0, 1))))
    assert len(plane.frequencies) == 14 - 3
    np.testing.assert_allclose(plane.modes[:, :, 2], 0, atol=1e-12)
    kept = vibrations(held(atoms, FixCom()))
    np.testing.assert_allclose(kept.frequencies, free.frequencies, rtol=1e-9)
    assert not kept.held
    with pytest.raises(PropertyError, match="nothing vibrates"):
        vibrations(held(atoms, FixAtoms(range(7))))
    with pytest.raises(PropertyError, match="cannot hold FixBondLengths; it can hold FixAtoms"):
        vibrations(held(atoms, FixBondLengths([(0, 1)])))


def test_vibrations_of_one_atom_on_a_rigid_rest():
    """Its three frequencies follow from the 3 x 3 block of the Hessian by differences."""
    atoms = held(rested(), FixAtoms(range(1, 7)))
    found = vibrations(atoms)
    block = np.zeros((3, 3))
    for k in range(3):
        for sign in (1, -1):
            copy = atoms.copy()
            copy.calc = atoms.calc
            copy.positions[0, k] += sign * 1e-3
            block[k] -= sign * copy.get_forces()[0] / 2e-3
    eigenvalues = np.linalg.eigvalsh((block + block.T) / 2) / atoms.get_masses()[0]
    np.testing.assert_allclose(found.frequencies, 521.4709 * np.sqrt(eigenvalues), rtol=1e-4)
    cold = vibrations(atoms, temperatures=(1.0,))
    expected = atoms.get_potential_energy() + cold.zero_point_energy
    assert cold.enthalpy[0] == pytest.approx(expected, abs=1e-6)


def vacancy_ends() -> tuple[Atoms, Atoms]:
    """A vacancy before and after a neighbour's hop."""
    perfect = crystal()
    start = perfect.copy()
    del start[0]
    end = start.copy()
    hop = int(np.argmin(np.linalg.norm(start.positions - perfect.positions[0], axis=1)))
    end.positions[hop] = perfect.positions[0]
    return start, end


def test_paths_keep_what_is_held():
    fixed = 30
    start, end = vacancy_ends()
    ends = []
    for atoms in (start, end):
        held(atoms, FixAtoms([fixed]))
        atoms.calc = argon().calculator()
        ends.append(relax(atoms, argon(), fmax=0.002).atoms)
        ends[-1].calc = argon().calculator()
    found = energy_path(*ends, images=5, fmax=0.02)
    assert found.barrier > 0.01
    assert np.ptp(found.images[:, fixed], axis=0).max() < 1e-9
    loose = ends[1].copy()
    loose.set_constraint()
    with pytest.raises(
        PropertyError, match="held differently, the start by FixAtoms, the end by n"
    ):
        energy_path(ends[0], loose)
    other = held(ends[1].copy(), FixAtoms([fixed - 1]))
    with pytest.raises(PropertyError, match="held differently"):
        energy_path(ends[0], other)
    moved = ends[1].copy()
    moved.set_constraint()
    moved.positions[fixed, 0] += 0.2
    with pytest.raises(PropertyError, match=f"Atom {fixed} is held but moves by 0.2 Angstrom"):
        energy_path(ends[0], held(moved, FixAtoms([fixed])))
    bonds = FixBondLengths([(0, 1)])
    with pytest.raises(PropertyError, match="path of least energy cannot hold FixBondLengths"):
        energy_path(held(ends[0], bonds), held(ends[1], bonds))
