"""Phonons of harmonic crystals, whose dispersion is known, and of real ones."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from ladera import modelfile
from ladera.cli import main
from ladera.errors import PropertyError
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig
from ladera.properties import result
from ladera.properties.phonons import phonons
from ladera.properties.quasi_harmonic import quasi_harmonic

A, K = 3.0, 2.5  # Angstrom, eV/Angstrom^2


class SimpleCubic(Calculator):
    """Atoms on a simple cubic lattice tied to their six neighbours by springs in every direction.

    E = K/2 sum over bonds |u_i - u_j|^2, so that m omega^2 = 2 K sum_a (1 - cos q_a A)
    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012
    k = K

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        sizes = np.round(self.atoms.cell.lengths() / A).astype(int)
        sites = np.round(self.atoms.positions / A).astype(int)
        moved = self.atoms.positions - A * sites
        index = {tuple(site % sizes): i for i, site in enumerate(sites)}
        forces = np.zeros_like(moved)
        for i, site in enumerate(sites):
            for axis in range(3):
                for sign in (1, -1):
                    neighbor = site.copy()
                    neighbor[axis] += sign
                    forces[i] += self.k * (moved[index[tuple(neighbor % sizes)]] - moved[i])
        self.results = {"energy": -0.5 * float((forces * moved).sum()), "forces": forces}


class Unstable(SimpleCubic):
    k = -K


def simple_cubic(calculator=SimpleCubic) -> Atoms:
    atoms = Atoms("Cu", cell=A * np.eye(3), pbc=True)
    atoms.calc = calculator()
    return atoms


def terahertz(square):
    """sqrt(eV/Angstrom^2/amu) in THz."""
    return np.sqrt(square * units._e / 1e-20 / units._amu) / (2e12 * np.pi)


@pytest.fixture(scope="module")
def harmonic():
    return phonons(simple_cubic(), supercell=(4, 4, 4))


def test_bands_are_those_of_the_primitive_cell():
    """Face-centred copper as its primitive cell and as a cube of four atoms."""
    found = []
    for cubic, supercell in ((False, (4, 4, 4)), (True, (2, 2, 2))):
        atoms = bulk("Cu", "fcc", a=3.59, cubic=cubic)
        atoms.calc = EMT()
        found.append(phonons(atoms, supercell=supercell))
    one, four = found
    assert one.bands.shape[1] == four.bands.shape[1] == 3
    assert one.labels == four.labels
    assert four.bands.max() == pytest.approx(one.bands.max(), rel=0.01)
    assert four.zero_point_energy == pytest.approx(one.zero_point_energy, rel=0.01)
    assert four.heat_capacity[30] == pytest.approx(one.heat_capacity[30], rel=0.01)
    rows = [row[:2] for row in four.table().rows]
    assert ("primitive cell", "1 of the 4 atoms given") in rows
    assert not any(row[0] == "primitive cell" for row in one.table().rows)


def test_dispersion_of_a_harmonic_crystal(harmonic):
    mass = simple_cubic().get_masses()[0]
    exact = {"Γ": 0, "X": 1, "M": 2, "R": 3}  # axes along which neighbours move against each other
    assert set(exact) <= set(harmonic.labels)
    for tick, label in zip(harmonic.ticks, harmonic.labels, strict=True):
        if label in exact:
            bands = harmonic.bands[np.argmin(np.abs(harmonic.distances - tick))]
            expected = terahertz(4 * K * exact[label] / mass)
            assert bands == pytest.approx(np.full(3, expected), abs=2e-3)
    assert harmonic.stable
    assert harmonic.bands.max() == pytest.approx(terahertz(12 * K / mass), rel=1e-3)


def test_heat_of_a_harmonic_crystal(harmonic):
    """Three modes per atom, equipartition when hot, the mean frequency's zero point when cold."""
    grid = np.array(list(np.ndindex(30, 30, 30))) * 2 * np.pi / 30
    mass = simple_cubic().get_masses()[0]
    frequencies = terahertz(2 * K * (1 - np.cos(grid)).sum(axis=1) / mass)
    quantum = units._hplanck * 1e12 / units._e
    assert harmonic.zero_point_energy == pytest.approx(1.5 * quantum * frequencies.mean(), rel=5e-3)
    gas_constant = units.kB / units.J * units._Nav
    assert harmonic.heat_capacity[-1] == pytest.approx(3 * gas_constant, rel=0.02)
    states = np.trapezoid(harmonic.density, harmonic.frequencies)
    assert states == pytest.approx(3, rel=0.01)
    slope = np.gradient(harmonic.free_energy, harmonic.temperatures)
    assert harmonic.entropy[50] == pytest.approx(-1000 * slope[50], rel=1e-3)


def test_imaginary_modes_are_named():
    found = phonons(simple_cubic(Unstable), supercell=(2, 2, 2))
    assert not found.stable
    assert found.lowest == pytest.approx(-terahertz(12 * K / 63.546), rel=1e-3)
    row = {row[0]: row[1] for row in found.table().rows}["imaginary modes"]
    assert "THz at (0.5, 0.5, 0.5)" in row


def relaxed(atoms: Atoms) -> Atoms:
    assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-4)
    return atoms


def test_copper_of_effective_medium_theory():
    """Its own elastic constants give the slope of the acoustic bands."""
    atoms = bulk("Cu")
    atoms.calc = EMT()
    relaxed(atoms)
    found = phonons(atoms, supercell=(4, 4, 4))
    near = int(np.argmin(np.abs(found.distances - 0.2)))
    speeds = 2 * np.pi * found.bands[near] / found.distances[near]  # THz Angstrom = 100 m/s
    density = 63.546 * units._amu / (atoms.cell.volume * 1e-30)
    transverse, longitudinal = np.sqrt(89.9e9 / density), np.sqrt(172.6e9 / density)
    assert 100 * speeds[:2] == pytest.approx(np.full(2, transverse), rel=0.03)
    assert 100 * speeds[2] == pytest.approx(longitudinal, rel=0.03)
    assert found.supercell_change < 0.05


def test_expansion_of_copper():
    """Experiment: 5.0e-5 per K at 300 K; effective medium theory is softer."""
    atoms = bulk("Cu")
    atoms.calc = EMT()
    found = quasi_harmonic(relaxed(atoms), supercell=(2, 2, 2), points=6)
    room = int(np.argmin(np.abs(found.temperatures - 300)))
    assert 4e-5 < found.expansion[room] < 8e-5
    assert found.heat_capacity[room] == pytest.approx(24.5, abs=1)
    assert np.all(np.diff(found.volume) > -1e-6)


def test_bad_questions_are_answered_with_the_next_step():
    gas = molecule("H2O")
    gas.calc = EMT()
    with pytest.raises(PropertyError, match="belongs to a crystal"):
        phonons(gas)
    with pytest.raises(PropertyError, match="three numbers from 1"):
        phonons(simple_cubic(), supercell=(0, 1, 1))
    with pytest.raises(PropertyError, match="imaginary"):
        quasi_harmonic(simple_cubic(Unstable), supercell=(2, 2, 2))
    displaced = bulk("Cu", cubic=True)
    displaced.positions[0, 0] += 0.1
    displaced.calc = EMT()
    with pytest.raises(PropertyError, match="not relaxed"):
        phonons(displaced)


def test_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = LennardJonesConfig(
        species=("Ar",), cutoff=8.0, epsilon={"Ar": 0.0104}, sigma={"Ar": 3.4}
    )
    modelfile.save(LennardJones(config), "argon.ladera")
    atoms = bulk("Ar", a=5.2)
    atoms.calc = LennardJones(config).calculator()
    relaxed(atoms).write("argon.extxyz")
    with pytest.raises(SystemExit, match="0"):
        main(["phonons", "argon.ladera", "argon.extxyz", "--supercell", "3", "3", "3"])
    assert "THz" in capsys.readouterr().out
    found = result.load("phonons")
    assert 1.8 < found.bands.max() < 2.3  # argon: 2.0 THz
    assert (tmp_path / "phonons" / "figure.svg").exists()
