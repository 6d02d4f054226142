"""Raman spectra by Placzek's theory: closed forms, symmetry, two ways to a polarisability."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from argon import argon
from ladera.cli import main
from ladera.codes.calculators import of_calculator
from ladera.errors import PropertyError
from ladera.properties import result
from ladera.properties.polarizability import Polarizability
from ladera.properties.raman import raman

VOLUME = 14.399645  # Angstrom^3 of one e^2 Angstrom^2/eV: e^2 / (4 pi epsilon_0) in eV Angstrom


class Bonds(Calculator):
    """Springs between all atoms, and of each bond along u a polarisability

        A [a (1 + s (r - r_0)) 1 + b (1 + t (r - r_0)) (u u - 1/3)]         e^2 Angstrom^2/eV

    The rest lengths are those of the structure it is made with. In a field the dipole is alpha . F.
    """

    implemented_properties = ("energy", "forces", "dipole", "polarizability")
    default_parameters = {"electric_field": None}  # noqa: RUF012

    def __init__(self, atoms, bonds=None, k=20.0, a=0.1, s=0.5, b=0.1, t=0.9):
        super().__init__()
        n = len(atoms)
        self.pairs = [(i, j) for i in range(n) for j in range(i)]
        self.bonds = bonds or self.pairs
        self.rest = {pair: atoms.get_distance(*pair) for pair in self.pairs}
        self.k, self.a, self.s, self.b, self.t = k, a, s, b, t

    def tensor(self, atoms):
        total = np.zeros((3, 3))
        for i, j in self.bonds:
            apart = atoms.positions[j] - atoms.positions[i]
            r = np.linalg.norm(apart)
            change, u = r - self.rest[i, j], apart / r
            total += self.a * (1 + self.s * change) * np.eye(3)
            total += self.b * (1 + self.t * change) * (np.outer(u, u) - np.eye(3) / 3)
        return total

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        energy, forces = 0.0, np.zeros((len(atoms), 3))
        for i, j in self.pairs:
            apart = atoms.positions[j] - atoms.positions[i]
            r = np.linalg.norm(apart)
            change = r - self.rest[i, j]
            energy += self.k * change**2 / 2
            forces[i] += self.k * change * apart / r
            forces[j] -= self.k * change * apart / r
        field = self.parameters["electric_field"]
        alpha = self.tensor(atoms)
        dipole = np.zeros(3) if field is None else alpha @ np.asarray(field)
        self.results = {
            "energy": energy,
            "forces": forces,
            "dipole": dipole,
            "polarizability": alpha,
        }


class InFields(Bonds):
    """The same, known by its dipole in a field."""

    implemented_properties = ("energy", "forces", "dipole")


def diatomic(kind=Bonds, **options):
    atoms = Atoms("N2", [[0, 0, 0], [0.3, 0.5, 0.95]])
    atoms.calc = kind(atoms, **options)
    return atoms


def test_a_diatomic_is_the_closed_form():
    """One mode, d alpha / d Q = (d alpha / d r) / sqrt(mu); k, mu and the laser say the rest."""
    found = raman(diatomic(), laser=488.0, temperature=300.0)
    mass = 14.007 / 2
    wavenumber = np.sqrt(20.0 * units._e / 1e-20 / (mass * units._amu)) / (
        2 * np.pi * units._c * 100
    )
    assert found.frequencies == pytest.approx([wavenumber], rel=1e-5)
    mean, anisotropy = VOLUME * 0.1 * 0.5, VOLUME * 0.1 * 0.9  # d/dr of tr/3 and of par - perp
    isotropic, other = mean**2 / mass, anisotropy**2 / mass
    assert found.activities == pytest.approx([45 * isotropic + 7 * other], rel=1e-4)
    ratio = 3 * other / (45 * isotropic + 4 * other)
    assert found.depolarization == pytest.approx([ratio], rel=1e-4)
    # Neugebauer et al. (2002), eq. 12: pi^2 / epsilon_0^2 with the polarisability in C m^2/V.
    to_si = (4 * np.pi * units._eps0) ** 2 * 1e-40 / units._amu
    inverse, thermal = 100 * (1e7 / 488 - wavenumber), units._hplanck * units._c * 100 * wavenumber
    expected = (
        np.pi**2
        / units._eps0**2
        * inverse**4
        * units._hplanck
        / (8 * np.pi**2 * units._c * 100 * wavenumber)
        * (45 * isotropic + 7 * other)
        * to_si
        / 45
        / (1 - np.exp(-thermal / (units._k * 300)))
    )
    assert found.cross_sections == pytest.approx([expected * 1e4 / 1e-30], rel=1e-4)
    area = found.scattering.sum() * (found.wavenumbers[1] - found.wavenumbers[0])
    assert area == pytest.approx(found.cross_sections[0], rel=0.03)
    assert np.sort(np.linalg.eigvalsh(found.polarizability)) == pytest.approx(
        VOLUME * np.array([0.1 - 0.1 / 3, 0.1 - 0.1 / 3, 0.1 + 0.2 / 3])
    )


def test_dipoles_in_a_field_say_the_same():
    one, other = raman(diatomic()), raman(diatomic(InFields))
    assert other.activities == pytest.approx(one.activities, rel=1e-6)
    assert other.polarizability == pytest.approx(one.polarizability, rel=1e-6)
    assert (one.source, other.source) == ("the calculator's own", "dipoles in fields of 0.05 V/Å")


def test_a_field_that_is_there_already_stays():
    atoms = diatomic(InFields)
    atoms.calc.set(electric_field=[0.0, 0.0, 0.1])
    expected = VOLUME * atoms.calc.tensor(atoms)
    assert Polarizability(atoms)(atoms) == pytest.approx(expected, rel=1e-6)
    assert list(atoms.calc.parameters["electric_field"]) == [0.0, 0.0, 0.1]


@pytest.mark.parametrize("name", ["CO2", "C6H6"])
def test_what_has_a_centre_of_inversion_scatters_only_in_even_modes(name):
    """Mutual exclusion: a mode that is odd under inversion changes no polarisability to first
    order; of carbon dioxide one mode is even, of benzene twelve (2 a1g, a2g, 2 b2g... e1g, 4 e2g).
    """
    atoms = molecule(name)
    near = [(i, j) for i in range(len(atoms)) for j in range(i) if atoms.get_distance(i, j) < 1.6]
    atoms.calc = Bonds(atoms, bonds=near)
    found = raman(atoms)
    centred = atoms.positions - atoms.positions.mean(axis=0)
    image = np.array([np.linalg.norm(centred + x, axis=1).argmin() for x in centred])
    parity = -(found.modes * found.modes[:, image]).sum(axis=(1, 2))
    even, odd = found.activities[parity > 0.5], found.activities[parity < -0.5]
    assert len(even) + len(odd) == len(found.activities)
    assert len(odd) >= 3
    assert odd.max() < 1e-6 * even.max()


def test_modes_of_lower_symmetry_are_depolarised_to_three_quarters():
    """Methane: of a tetrahedron only the breathing mode keeps the polarisation, rho = 0."""
    atoms = molecule("CH4")
    atoms.calc = Bonds(atoms, bonds=[(i, 0) for i in range(1, 5)])
    found = raman(atoms)
    active = found.activities > 1e-6 * found.activities.max()
    ratios = np.sort(found.depolarization[active])
    assert ratios[0] == pytest.approx(0, abs=1e-5)
    assert ratios[1:] == pytest.approx(np.full(len(ratios) - 1, 0.75), abs=1e-5)
    assert active.sum() == 9  # a1, e and twice t2


def test_activities_do_not_depend_on_the_orientation():
    atoms = molecule("H2O")
    turned = atoms.copy()
    turned.rotate(77, (1, 2, 3))
    for each in (atoms, turned):
        each.calc = Bonds(each, bonds=[(1, 0), (2, 0)])
    assert raman(turned).activities == pytest.approx(raman(atoms).activities, rel=5e-4)  # the step


def test_command_and_result(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    atoms = diatomic()
    atoms.calc = of_calculator(atoms.calc).calculator()  # as the command line has it
    found = raman(atoms)
    found.save("raman")
    again = result.load("raman")
    assert again.activities == pytest.approx(found.activities)
    assert again.table().rows[0][3] == f"{found.depolarization[0]:.3f}"
    assert again.tables()[1].rows[0][1].startswith("1.44")
    diatomic().write("n2.xyz")
    with pytest.raises(SystemExit, match="1"):
        main(["raman", "--calculator", "ase.calculators.emt:EMT", "n2.xyz", "--output", "no"])
    assert "gives no polarisability and takes no electric_field" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"laser": 0.0}, "laser is 0 nm"),
        ({"laser": 1e6}, r"laser of 1e\+06 nm has 10 cm\^-1, and a mode has"),
        ({"temperature": -1.0}, "temperature is -1 K"),
        ({"width": 0.0}, "width is 0"),
        ({"step": -0.01}, "step is -0.01"),
    ],
)
def test_questions_that_make_no_sense(how, message):
    with pytest.raises(PropertyError, match=message):
        raman(diatomic(), **how)


def test_models_and_crystals_are_told_what_there_is():
    atoms = Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]])
    atoms.calc = argon().calculator()
    with pytest.raises(PropertyError, match=r"no polarisability.*tblite\.ase:TBLite.*ladera ir"):
        raman(atoms)
    crystal = Atoms("Cu", cell=[3, 3, 3], pbc=True)
    crystal.calc = EMT()
    with pytest.raises(PropertyError, match="belongs to a molecule"):
        raman(crystal)


def test_a_polarizability_of_another_shape_is_refused():
    class Odd(Bonds):
        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            self.results["polarizability"] = np.ones(6)

    with pytest.raises(PropertyError, match=r"shape \(6,\).*\(3, 3\)"):
        raman(diatomic(Odd))
