"""Phonons of harmonic crystals, whose dispersion is known, and of real ones."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

import ladera
from cases import case
from ladera import modelfile
from ladera.cli import main
from ladera.errors import PropertyError
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig
from ladera.properties import result
from ladera.properties.phonons import phonons
from ladera.properties.quasi_harmonic import quasi_harmonic
from ladera.properties.supercells import supercell_of

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
    row = {row[0]: row[1:] for row in found.table().rows}["lowest frequency (THz)"]
    assert row == (f"{found.lowest:.3f}", "IMAGINARY, at (0.5, 0.5, 0.5)")


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


def test_expansion_of_argon_has_rows_though_it_ends_early():
    """Its volumes end below 100 K: the table shows what there is, and why it ends."""
    config = LennardJonesConfig(
        species=("Ar",), cutoff=8.0, epsilon={"Ar": 0.0104}, sigma={"Ar": 3.4}
    )
    atoms = bulk("Ar", a=5.2)
    atoms.calc = LennardJones(config).calculator()
    found = quasi_harmonic(relaxed(atoms), supercell=(2, 2, 2))
    assert found.temperatures[-1] < 100
    table = found.table()
    assert [float(row[0]) for row in table.rows] == [10, 20, 30]
    assert table.records()["T (K)"] == found.temperatures.tolist()
    assert table.foot[-1].startswith(f"Above {found.temperatures[-1]:g} K")
    assert "a larger strain" in table.foot[-1]
    with pytest.raises(PropertyError, match=r"strain is -0\.1"):
        quasi_harmonic(atoms, strain=-0.1)
    atoms.set_cell(1.05 * atoms.cell, scale_atoms=True)
    with pytest.raises(PropertyError, match=r"lowest at .* already at 0 K.*relax the cell"):
        quasi_harmonic(atoms, supercell=(2, 2, 2), strain=0.02)


def directly(atoms: Atoms, cells: int, q: list[list[float]]) -> np.ndarray:
    """Frequencies (THz) at wave vectors by a dynamical matrix made here, without symmetry.

    D_ab(q) = sum_R Phi_ab(R) exp(2 pi i q R) / sqrt(m_a m_b), of a supercell whose images within
    half of it count once.
    """
    large = atoms.repeat(cells)
    n, h = len(atoms), 0.01
    phi = np.empty((n, 3, len(large), 3))
    for a in range(n):
        for x in range(3):
            forces = []
            for sign in (1, -1):
                moved = large.copy()
                moved.positions[a, x] += sign * h
                moved.calc = atoms.calc
                forces.append(moved.get_forces())
            phi[a, x] = (forces[1] - forces[0]) / (2 * h)
    places = np.array(list(np.ndindex(cells, cells, cells)))
    images = np.array(list(np.ndindex(3, 3, 3))) - 1
    masses = np.tile(large.get_masses()[:n], 1)
    found = []
    for wave in np.array(q, dtype=float):
        d = np.zeros((n, 3, n, 3), dtype=complex)
        for cell, place in enumerate(places):
            for b in range(n):
                for a in range(n):
                    # The nearest images share the force constant.
                    shifts = place + cells * images
                    vectors = shifts @ atoms.cell.array + atoms.positions[b] - atoms.positions[a]
                    lengths = np.linalg.norm(vectors, axis=1)
                    near = np.abs(lengths - lengths.min()) < 1e-4
                    phase = np.exp(2j * np.pi * (shifts[near] @ wave)).mean()
                    d[a, :, b] += phi[a, :, n * cell + b] * phase / np.sqrt(masses[a] * masses[b])
        values = np.linalg.eigvalsh(d.reshape(3 * n, 3 * n))
        found.append(np.sign(values) * terahertz(np.abs(values)))
    return np.array(found)


def copper_cube() -> Atoms:
    atoms = bulk("Cu", a=3.59, cubic=True)
    atoms.calc = EMT()
    return atoms


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 2, 3, 0)])
def test_heavy_atoms_stay_heavy(order):
    """An ordered crystal of isotopes has its own primitive cell, whatever comes first."""
    atoms = copper_cube()[list(order)]
    masses = np.full(4, 63.546)
    masses[order.index(0)] = 200.0
    atoms.set_masses(masses)
    atoms.calc = EMT()
    found = phonons(atoms, supercell=(2, 2, 2))
    assert found.n_atoms == 4
    expected = directly(atoms, 2, [[0, 0, 0]])[0]
    gamma = found.bands[int(np.argmin(np.abs(found.distances - found.ticks[0])))]
    assert np.sort(gamma) == pytest.approx(np.sort(expected), abs=0.02)


def test_isotopes_lower_the_symmetry_of_the_heat():
    """Layers of heavy atoms are tetragonal: a cube's wave vectors would weigh others' modes."""
    atoms = copper_cube()
    atoms.set_masses(np.where(atoms.positions[:, 2] < 1, 200.0, 63.546))
    found = phonons(atoms, supercell=(2, 2, 2))
    assert found.n_atoms == 2
    grid = [[(i + 0.5) / 3 for i in ijk] for ijk in np.ndindex(3, 3, 3)]
    quantum = units._hplanck * 1e12 / units._e
    expected = 0.5 * quantum * directly(atoms, 2, grid).clip(0).sum(axis=1).mean() / 4
    assert found.zero_point_energy / 2 == pytest.approx(expected, rel=0.005)


def test_labels_go_with_the_atoms_into_the_supercell():
    seen = []

    class Looking(EMT):
        def calculate(self, atoms=None, *args, **kwargs):
            seen.append((atoms.get_initial_charges(), atoms.info.get("total_charge")))
            super().calculate(atoms, *args, **kwargs)

    atoms = bulk("Cu", a=3.59)
    atoms.set_initial_charges([0.5])
    atoms.info["total_charge"] = 0.5
    atoms.calc = Looking()
    phonons(atoms, supercell=(2, 1, 1))
    assert any(
        len(charges) == 2 and (charges == 0.5).all() and total == 1.0 for charges, total in seen
    )


@pytest.mark.parametrize(
    "vectors",
    [
        [[0, 1, 0], [1, 0, 0], [0, 0, 1]],  # left-handed
        [[-1, 0, 0], [0, -1, 0], [0, 0, -1]],
        [[1, 0, 0], [9, 1, 0], [0, 9, 1]],  # skewed: 0.03 A high
    ],
)
def test_other_vectors_of_the_lattice_answer_the_same(vectors):
    plain = phonons(bulk_copper := copper_cube(), supercell=(2, 2, 2))
    atoms = bulk_copper.copy()
    atoms.set_cell(np.array(vectors, dtype=float) @ atoms.cell.array)
    atoms.calc = EMT()
    found = phonons(atoms, supercell=(2, 2, 2))
    assert found.n_atoms == 1
    assert found.bands.max() == pytest.approx(plain.bands.max(), abs=0.02)
    assert found.zero_point_energy == pytest.approx(plain.zero_point_energy, rel=1e-3)


def test_supercell_of_a_skewed_cell_is_that_of_the_reduced_one():
    atoms = copper_cube()
    skewed = atoms.copy()
    skewed.set_cell(np.array([[1, 0, 0], [9, 1, 0], [0, 9, 1]]) @ atoms.cell.array)
    cell, size = supercell_of(skewed, None)
    assert size.tolist() == [4, 4, 4]
    assert np.sort(cell.cell.lengths()) == pytest.approx(atoms.cell.lengths())


def test_supercell_without_a_smaller_one_says_so():
    found = phonons(copper_cube(), supercell=(1, 1, 1))
    row = {row[0]: row[1:] for row in found.table().rows}["change from the next smaller one (THz)"]
    assert row == ("not computed", "there is no smaller one: take two cells or more")
    found = phonons(copper_cube(), supercell=(1, 2, 2))
    row = {row[0]: row[1:] for row in found.table().rows}["change from the next smaller one (THz)"]
    assert float(row[0]) > 0
    assert row[1] == "along vector 1 not looked at"


def test_a_sheet_is_told_what_there_is():
    sheet = Atoms("Cu", cell=[2.5, 2.5, 15], pbc=(True, True, False))
    sheet.calc = EMT()
    with pytest.raises(PropertyError, match=r"periodic along a and b alone.*pbc=\"T T T\".*vacuum"):
        phonons(sheet)


@pytest.mark.parametrize("displacement", [0.0, -0.01, np.nan, 1.0])
def test_a_displacement_that_makes_no_sense_is_refused(displacement):
    with pytest.raises(PropertyError, match="displacement is"):
        phonons(simple_cubic(), supercell=(2, 2, 2), displacement=displacement)


def test_cases_of_copper():
    """Zero point and modes by phonopy directly, of the cases' README."""
    model = ladera.load(case("physics", "Cu.ladera"))
    heavy = ase.io.read(case("physics", "cu4_heavy_first.extxyz"))
    heavy.calc = model.calculator()
    found = phonons(heavy, supercell=(2, 2, 2))
    assert found.zero_point_energy / 4 == pytest.approx(0.02657, abs=1e-5)
    points = found.tables()[1].cells
    assert [row[1] for row in points if row[0] == "Γ"] == [0.0, 3.701, 4.994, 6.390]
    assert sum(row[2] for row in points if row[0] == "Γ") == 12
    left = ase.io.read(case("physics", "cu4_left.extxyz"))
    left.calc = model.calculator()
    right = left.copy()
    right.set_cell(left.cell.array[[1, 0, 2]])
    right.calc = left.calc
    one, other = (phonons(atoms, supercell=(2, 2, 2)) for atoms in (left, right))
    assert one.zero_point_energy == pytest.approx(other.zero_point_energy, rel=1e-6)
    assert one.bands.max() == pytest.approx(other.bands.max(), rel=1e-5)


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


def test_a_supercell_of_one_atom_has_no_phonons():
    atoms = bulk("Cu", "fcc", a=3.58)
    atoms.calc = EMT()
    with pytest.raises(PropertyError, match="The supercell has one atom"):
        phonons(atoms, supercell=(1, 1, 1))


@pytest.mark.parametrize("beyond", [1e-4, -1e-4, 0.5])
def test_a_kink_is_said(beyond):
    """The second shell stands at the cutoff, where this potential's curvature jumps; or not."""
    a = 5.4
    settings = {"species": ("Ar",), "epsilon": {"Ar": 0.0104}, "sigma": {"Ar": 3.4}}
    atoms = bulk("Ar", a=a)
    atoms.calc = LennardJones(LennardJonesConfig(cutoff=a + beyond, **settings)).calculator()
    found = phonons(atoms, supercell=3)
    rows = [float(row[1]) for row in found.table().rows if "NOT SMOOTH" in row[0]]
    assert len(rows) == (2 if beyond < 0.1 else 0)
    if rows:  # of one pair, moved at an angle: what its second derivative is there, or less
        second = 4 * 0.0104 * (156 * 3.4**12 / a**14 - 42 * 3.4**6 / a**8)
        assert 0.5 < abs(rows[0] - rows[1]) / abs(second) < 1.01
