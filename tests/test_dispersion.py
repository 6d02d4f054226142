"""Dispersion by D3(BJ): reference numbers, derivatives, sums with other calculators."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene, molecule
from ase.calculators.emt import EMT
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.calculators.mixing import SumCalculator

from ladera.errors import ConfigError, DataError
from ladera.simulation.dispersion import D3
from ladera.units import BOHR, HARTREE

pytest.importorskip("dftd3", reason="dftd3 is not installed: pip install ladera[dispersion]")


def test_energies_and_forces_of_simple_dftd3() -> None:
    """python/dftd3/test_ase.py of simple-dftd3 1.7.0, test_ase_scand3: eV and eV/Angstrom."""
    atoms = molecule("methylenecyclopropane")
    atoms.calc = D3("SCAN")
    assert atoms.get_potential_energy() == pytest.approx(-0.03898577243903914, abs=1e-9)
    expected = {
        0: (0, 0, -6.16745949e-05),
        1: (0, 3.10643080e-04, 6.89816195e-04),
        4: (2.90862635e-04, 5.36974154e-04, 6.87685696e-04),
        8: (0, 2.75841655e-04, -1.26102764e-03),
    }
    for atom, force in expected.items():
        assert atoms.get_forces()[atom] == pytest.approx(force, abs=1e-10)


def test_far_apart_only_the_published_coefficient_is_left() -> None:
    """-E r^6 -> C6: 64.6462 Hartree Bohr^6 for Ar2 (Grimme et al., JCP 132, 154104 (2010))."""
    r = np.array([18.0, 25.0]) / BOHR
    energies = []
    for distance in r * BOHR:
        pair = Atoms("Ar2", [[0, 0, 0], [0, 0, distance]])
        pair.calc = D3("pbe")
        energies.append(pair.get_potential_energy() / HARTREE)
    products = -np.array(energies) * r**6  # C6 + s8 C8 / r^2, but for the damping
    slope = (products[0] - products[1]) / (r[0] ** -2 - r[1] ** -2)
    assert products[1] - slope * r[1] ** -2 == pytest.approx(64.6462, rel=1e-3)


@pytest.mark.parametrize("periodic", [False, True])
def test_forces_and_stress_are_derivatives(periodic: bool) -> None:
    atoms = molecule("H2O", vacuum=1.2, pbc=periodic)
    atoms.rattle(0.05, seed=2)
    atoms.calc = D3("b3lyp")
    forces = atoms.get_forces()
    assert np.abs(forces).max() > 1e-4
    # In a crystal pairs come and go at 60 Bohr.
    tolerance = 1e-5 if periodic else 1e-7
    assert forces == pytest.approx(calculate_numerical_forces(atoms, 1e-3), abs=tolerance)
    if periodic:
        stress = atoms.get_stress()
        assert np.abs(stress).max() > 1e-5
        assert stress == pytest.approx(calculate_numerical_stress(atoms, 1e-4), abs=1e-5)
    else:
        with pytest.raises(DataError, match="no stress"):
            atoms.get_stress()


def sheets(
    height: float = 5.0, c: float = 20.0, periodic: tuple[int, int, int] = (1, 1, 0)
) -> Atoms:
    """Two layers of graphene, 3.35 Angstrom apart."""
    layer = graphene(a=2.46, vacuum=0)
    atoms = layer + layer
    atoms.positions[:, 2] = np.repeat([height, height + 3.35], 2)
    atoms.set_cell([layer.cell[0], layer.cell[1], [0, 0, c]])
    atoms.pbc = periodic
    return atoms


def energy(atoms: Atoms) -> float:
    atoms.calc = D3("pbe")
    return float(atoms.get_potential_energy())


def described_otherwise() -> dict[str, Atoms]:
    """The same two sheets."""
    found = {
        "on the face": sheets(-0.001),
        "far away": sheets(300.0),
        "no third vector": sheets(c=0),
    }
    for name in ("leaning", "left-handed", "rotated", "open first"):
        found[name] = sheets()
    cell = found["leaning"].cell.array
    found["leaning"].set_cell([cell[0], cell[1] + 2 * cell[0], [3, 4, 20]])
    found["left-handed"].set_cell(cell[[1, 0, 2]])
    found["rotated"].rotate(37, (1, 2, 3), rotate_cell=True)
    found["open first"].set_cell(cell[[2, 0, 1]])
    found["open first"].pbc = (0, 1, 1)
    return found


@pytest.mark.parametrize("name", described_otherwise())
def test_a_film_has_one_energy_however_it_is_described(name: str) -> None:
    """That of a crystal whose layers are 60 Angstrom apart, beyond all pairs."""
    crystal = energy(sheets(c=60, periodic=(1, 1, 1)))
    assert energy(described_otherwise()[name]) == pytest.approx(crystal, abs=1e-10)


def test_a_wire_has_the_energy_of_wires_far_apart() -> None:
    positions, vector = [[0, 0, 0], [0.5, 1.2, 0.1]], [2.6, 0.4, 0.3]
    wires = Atoms("C2", positions, cell=[vector, [0, 60, 0], [0, 0, 60]], pbc=True)
    zero = [0.0, 0.0, 0.0]
    wire = Atoms("C2", positions, cell=[zero, vector, zero], pbc=(0, 1, 0))
    assert energy(wire) == pytest.approx(energy(wires), abs=1e-10)
    with pytest.raises(DataError, match="no stress"):
        wire.get_stress()


def test_a_leaning_film_has_the_derivatives_of_its_energy() -> None:
    atoms = sheets()
    cell = atoms.cell.array
    atoms.set_cell([cell[0], cell[1] + cell[0], [1, 2, 15]])
    atoms.rattle(0.05, seed=1)
    energy(atoms)
    assert atoms.get_forces() == pytest.approx(calculate_numerical_forces(atoms, 1e-3), abs=1e-5)
    assert atoms.get_stress() == pytest.approx(calculate_numerical_stress(atoms, 1e-4), abs=2e-6)


def test_it_adds_to_any_calculator() -> None:
    copper = bulk("Cu", cubic=True)
    copper.rattle(0.05, seed=1)
    found = {}
    for name, calculator in (
        ("emt", EMT()),
        ("d3", D3("pbe")),
        ("both", SumCalculator([EMT(), D3("pbe")])),
    ):
        copper.calc = calculator
        found[name] = (copper.get_potential_energy(), copper.get_forces(), copper.get_stress())
    for one, two, both in zip(*found.values(), strict=True):
        assert both == pytest.approx(one + two, abs=1e-12)


@pytest.mark.parametrize(
    ("functional", "hint"), [("pbee", "did you mean 'pbe'"), ("B3LPY", "did you mean 'b3lyp'")]
)
def test_an_unknown_functional(functional: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"no parameters for the functional .*{hint}"):
        D3(functional)


def test_an_element_beyond_the_tables() -> None:
    atoms = Atoms("HOg", [[0, 0, 0], [0, 0, 3]], calculator=D3())
    with pytest.raises(DataError, match="Atom 1 is Og, and D3 has parameters from H to Pu"):
        atoms.get_potential_energy()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dftd3.interface", None)
    with pytest.raises(ConfigError, match=r"not installed; 'pip install ladera\[dispersion\]'"):
        D3("pbe")
