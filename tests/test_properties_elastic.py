"""Elastic constants: exact ones against relaxed strains, standard axes, kinks, errors that fail."""

from __future__ import annotations

import re

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.spacegroup import crystal
from scipy.spatial.transform import Rotation

import ladera
from cases import case, shared
from conftest import small_mace
from ladera.cli import main
from ladera.curvature import strain_derivatives
from ladera.errors import PropertyError
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig
from ladera.properties import harmonic
from ladera.properties.elasticity import elasticity
from ladera.properties.equation_of_state import equation_of_state
from ladera.properties.phonons import phonons
from ladera.properties.quasi_harmonic import quasi_harmonic
from ladera.properties.standard_axes import KELVIN
from ladera.properties.strain_response import by_relaxation
from ladera.properties.young import extremes, young_modulus
from ladera.units import GIGAPASCAL
from test_properties_crystals import Elastic, Stranger, in_axes


def lennard_jones(cutoff: float = 8.0, **sizes: float) -> LennardJones:
    sizes = sizes or {"Ar": 3.4}
    return LennardJones(
        LennardJonesConfig(
            species=tuple(sizes),
            cutoff=cutoff,
            epsilon=dict.fromkeys(sizes, 0.0104),
            sigma=sizes,
        )
    )


def relaxed(atoms: Atoms, calculator, fmax: float = 1e-7) -> Atoms:
    atoms.calc = calculator
    assert BFGS(FrechetCellFilter(atoms), logfile=None, alpha=5).run(fmax=fmax, steps=2000)
    return atoms


def disordered() -> tuple[Atoms, LennardJones]:
    """Five atoms of two sizes, in no order at all and soft: 15 - 3 ways to answer a strain."""
    model = lennard_jones(Ar=3.4, Ne=2.8)
    cell = [[3.654, 0.645, -0.327], [0.741, 6.287, -0.535], [-1.191, -0.465, 6.991]]
    atoms = Atoms("Ar3Ne2", cell=cell, pbc=True)  # near a minimum
    atoms.set_scaled_positions(
        [
            [0.721, 0.934, 0.895],
            [0.553, 0.507, 0.134],
            [0.386, 0.08, 0.373],
            [0.177, 0.661, 0.536],
            [0.93, 0.353, 0.733],
        ]
    )
    return relaxed(atoms, model.calculator()), model


def relaxed_slope(atoms: Atoms, column: int, size: float = 1e-4) -> np.ndarray:
    """Slope (6,) of the stress by one Voigt strain of the file's axes, atoms hard at rest, GPa."""
    i, j = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)][column]
    strain = np.zeros((3, 3))
    strain[i, j] += 0.5
    strain[j, i] += 0.5
    stresses = []
    for sign in (1, -1):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + sign * size * strain), scale_atoms=True)
        strained.calc = atoms.calc
        assert BFGS(strained, logfile=None, alpha=2).run(fmax=1e-8, steps=3000)
        stresses.append(strained.get_stress())
    return (stresses[0] - stresses[1]) / (2 * size) / GIGAPASCAL


@pytest.fixture(scope="module")
def soft():
    atoms, model = disordered()
    file = np.array([relaxed_slope(atoms, column) for column in range(6)]).T
    return atoms, model, file


def test_second_derivatives_are_what_relaxed_strains_give(soft):
    """Of a soft crystal whose atoms answer every strain; it has 13 constants."""
    atoms, _, file = soft
    before = atoms.positions.copy()
    found = elasticity(atoms)
    assert found.stiffness == pytest.approx(in_axes(file, found.axes), abs=1e-3)
    assert found.strain_error < 1e-3
    assert not found.kink
    assert len(found.independent) == 13
    assert np.array_equal(atoms.positions, before)


def test_a_hessian_of_differences_gives_the_same(soft):
    """For models whose forces are compiled and whose second derivatives are slow."""
    atoms, _, _ = soft
    exact, found = elasticity(atoms), elasticity(atoms, step=0.002)
    assert found.stiffness == pytest.approx(exact.stiffness, abs=1e-3)
    assert found.stiffness != pytest.approx(exact.stiffness, abs=1e-12)
    assert "central differences, 0.002" in found.origin
    with pytest.raises(PropertyError, match="step is 0 Angstrom"):
        elasticity(atoms, step=0)


def test_a_step_for_a_calculator_without_a_hessian_is_refused():
    """It would not be used, and the constants would not be those that were asked for."""
    atoms = bulk("Cu", a=3.58978)
    atoms.calc = EMT()
    with pytest.raises(PropertyError, match=r"step is 0\.005 Angstrom.*leave it out"):
        elasticity(atoms, step=0.005)


def test_error_of_relaxed_strains_holds(soft):
    """A force that stays the same, or 0.1 eV/A to begin with, would leave the ions clamped."""
    atoms, model, file = soft
    other = atoms.copy()
    other.calc = Stranger(model.calculator())
    found = elasticity(other, fmax=0.1)
    wrong = np.abs(found.stiffness - in_axes(file, found.axes)).max()
    assert wrong <= found.strain_error
    assert found.strain_error < 0.01 * found.stiffness.max()
    assert "relaxations" in found.origin
    # What the strain does to clamped ions is far off: the answer of the atoms matters here.
    strains = [np.diag([0, 0, 1.0])]
    coarse = by_relaxation(other, strains, tolerance=10.0, fmax=0.1)
    assert coarse.error > 1e-3


def test_a_structure_a_little_off_rest_is_brought_there(soft, monkeypatch):
    """0.02 eV/A counts as relaxed, and in a soft crystal that may be far away.

    One Hessian leads there, and one is taken there: of a large crystal it takes minutes.
    """
    atoms, _, file = soft
    hessians = []
    original = harmonic.model_hessian
    counted = lambda *given: hessians.append(1) or original(*given)  # noqa: E731
    monkeypatch.setattr(harmonic, "model_hessian", counted)
    shaken = atoms.copy()
    shaken.rattle(0.01, seed=1)
    shaken.calc = atoms.calc
    assert 2e-3 < np.linalg.norm(shaken.get_forces(), axis=1).max() < 0.02
    found = elasticity(shaken)
    assert found.stiffness == pytest.approx(in_axes(file, found.axes), abs=0.02)
    assert len(hessians) == 2


@pytest.mark.parametrize("size", [1e-6, 1e-5, 1e-4])
def test_a_symmetry_that_is_off_by_a_little_makes_no_strain_of_another(soft, size):
    """As files and relaxations have it: images of five strains, or of one, seemed to hold all."""

    def off(atoms: Atoms) -> Atoms:
        other, draw = atoms.copy(), np.random.default_rng(1).normal(size=(3, 3))
        other.set_cell(atoms.cell.array @ (np.eye(3) + size * draw), scale_atoms=True)
        other.calc = atoms.calc
        return other

    atoms, _, file = soft
    found = elasticity(off(atoms))
    assert len(found.independent) == 13
    assert found.stiffness == pytest.approx(in_axes(file, found.axes), abs=100 * size + 1e-3)
    cubic = relaxed(bulk("Ar", a=5.2), lennard_jones().calculator())
    exact, found = elasticity(cubic).stiffness, elasticity(off(cubic)).stiffness
    assert found == pytest.approx(exact, abs=100 * size)  # C44 was six times too large


@pytest.mark.parametrize("size", [0.001, 0.0015, 0.0018, 0.0021, 0.01])
def test_a_soft_cell_a_little_off_rest_is_brought_there(soft, size):
    """Little stress belongs to much strain: no relaxation finds the end of such a valley soon."""
    atoms, _, file = soft
    strained, twist = atoms.copy(), np.array([[0.4, 0.5, 0.0], [0.5, -1.0, 0.2], [0.0, 0.2, 0.6]])
    strained.set_cell(atoms.cell.array @ (np.eye(3) + size * twist), scale_atoms=True)
    strained.calc = atoms.calc
    assert BFGS(strained, logfile=None, alpha=2).run(fmax=1e-3, steps=2000)
    cell = strained.cell.array.copy()
    found = elasticity(strained)
    np.testing.assert_array_equal(strained.cell.array, cell)
    if size < 0.005:  # the same limit in all axes: none is too far for one and too near for another
        assert ("came to rest" in found.origin) == (size * np.linalg.norm(twist, 2) > 0.002)
        assert found.stiffness == pytest.approx(in_axes(file, found.axes), rel=0.05, abs=0.1)
    else:
        assert "; the cell came to rest by a strain of 1." in found.origin
        assert found.stiffness == pytest.approx(in_axes(file, found.axes), abs=0.02)
        assert found.strain_error < 0.02


def test_strain_derivatives_of_a_network_of_messages():
    """Against differences, in a random structure under stress: slope of stress, coupling."""
    model = small_mace()
    atoms = Atoms(
        "OHH", [[0, 0, 0], [1, 0.2, 0.1], [2.1, 1.4, 0.3]], cell=3.1 * np.eye(3), pbc=True
    )
    coupling, clamped = strain_derivatives(model, atoms)
    atoms.calc = model.calculator()
    volume, h = atoms.cell.volume, 1e-4
    strain = np.array([[0.2, 0.5, 0.0], [0.5, -0.3, 0.1], [0.0, 0.1, 0.4]])
    virials, forces = [], []
    for sign in (1, -1):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + sign * h * strain), scale_atoms=True)
        strained.calc = atoms.calc
        virials.append(strained.get_stress(voigt=False) * strained.cell.volume)
        # Forces on displacements that the strain takes along
        forces.append(strained.get_forces() @ (np.eye(3) + sign * h * strain))
    assert (virials[0] - virials[1]) / (2 * h) == pytest.approx(
        np.einsum("ijkl,kl->ij", clamped, strain), abs=1e-5 * volume
    )
    slope = -(forces[0] - forces[1]).ravel() / (2 * h)
    assert slope == pytest.approx(np.einsum("xij,ij->x", coupling, strain), abs=1e-5)


def cubic(c11, c12, c44):
    return pattern(c11, c12, c12, 0, 0, 0, c11, c12, 0, 0, 0, c11, 0, 0, 0, c44, 0, 0, c44, 0, c44)


def pattern(*upper: float) -> np.ndarray:
    """A symmetric matrix (6, 6) by its upper triangle."""
    matrix = np.zeros((6, 6))
    matrix[np.triu_indices(6)] = upper
    return matrix + np.triu(matrix, 1).T


def axial(c11, c12, c13, c33, c44, c66=None, *, c14=0.0, c15=0.0, c16=0.0) -> np.ndarray:
    """Of a crystal with a threefold, fourfold or sixfold z axis (Nye, table 9)."""
    c66 = (c11 - c12) / 2 if c66 is None else c66
    matrix = np.zeros((6, 6))
    matrix[:3, :3] = [[c11, c12, c13], [c12, c11, c13], [c13, c13, c33]]
    matrix[3:, 3:] = np.diag([c44, c44, c66])
    for row, column, value in [(0, 3, c14), (1, 3, -c14), (4, 5, c14), (0, 4, c15), (1, 4, -c15)]:
        matrix[row, column] = matrix[column, row] = value
    matrix[3, 5] = matrix[5, 3] = -c15
    for row, sign in ((0, 1), (1, -1)):
        matrix[row, 5] = matrix[5, row] = sign * c16
    return matrix


def quartz(x: float) -> Atoms:
    oxygen = (0.4135, 0.2669, 0.1191 if x < 0.5 else 0.2142)
    return crystal("SiO", [(x, 0, 0), oxygen], spacegroup=152, cellpar=[4.9, 4.9, 5.4, 90, 90, 120])


def triclinic() -> Atoms:
    """c < a < b, all angles but gamma obtuse; z along c, y across a and c."""
    lengths, angles = np.array([4.0, 4.6, 3.3]), np.radians([95, 99, 86])
    a = lengths[0] * np.array([np.sin(angles[1]), 0, np.cos(angles[1])])
    c = np.array([0, 0, lengths[2]])
    b3 = np.cos(angles[0])
    b1 = (np.cos(angles[2]) - b3 * np.cos(angles[1])) / np.sin(angles[1])
    b = lengths[1] * np.array([b1, np.sqrt(1 - b1**2 - b3**2), b3])
    return Atoms("CuAg", [[0, 0, 0], 0.4 * a + 0.3 * b + 0.2 * c], cell=[a, b, c], pbc=True)


RNG = np.random.default_rng(0)
GENERAL = (lambda half: 20 * (half @ half.T + 3 * np.eye(6)))(RNG.normal(size=(6, 6)))
NO_SHEAR = (
    GENERAL
    * np.kron(np.eye(2), np.ones((3, 3)))
    * np.where(np.eye(6) > 0, 1, np.kron([[1, 0], [0, 0]], np.ones((3, 3))))
)
TWOFOLD_Y = GENERAL * np.outer(*[[1, 1, 1, -1, 1, -1]] * 2).clip(0)
AXES = {
    # structure in the orientation of the literature, constants in standard axes
    "fcc": (lambda: bulk("Cu", cubic=True), cubic(3.6, 2.0, 2.0), 3),
    "hcp": (lambda: bulk("Mg"), axial(59, 26, 21, 62, 16), 5),
    "quartz": (lambda: quartz(0.47), axial(86.8, 7.0, 19.1, 105.8, 58.2, c14=-18.0), 6),
    "corundum": (
        lambda: crystal(
            ["Al", "O"], [(0, 0, 0.352), (0.306, 0, 0.25)], spacegroup=167,
            cellpar=[4.76, 4.76, 12.99, 90, 90, 120],
        ),
        axial(497, 163, 116, 501, 147, c14=22.0), 6,
    ),
    "dolomite": (
        lambda: crystal(
            ["Ca", "Mg", "O"], [(0, 0, 0), (0, 0, 0.5), (0.25, 0.99, 0.245)], spacegroup=148,
            cellpar=[4.8, 4.8, 16.0, 90, 90, 120],
        ),
        axial(205, 71, 57, 113, 40, c14=-19.5, c15=13.7), 7,
    ),
    "scheelite": (
        lambda: crystal(
            ["Ca", "W", "O"], [(0, 0.25, 0.625), (0, 0.25, 0.125), (0.15, 0.009, 0.21)],
            spacegroup="I 41/a", setting=2, cellpar=[5.24, 5.24, 11.4, 90, 90, 90],
        ),
        axial(144, 65, 46, 126, 37, 45, c16=17), 7,
    ),
    "rutile": (
        lambda: crystal(
            ["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136,
            cellpar=[4.6, 4.6, 2.96, 90, 90, 90],
        ),
        axial(268, 175, 147, 484, 124, 190), 6,
    ),
    "orthorhombic": (lambda: Atoms("Cu", cell=[4, 5, 3], pbc=True), NO_SHEAR, 9),
    "polar": (
        lambda: crystal(
            ["Cu", "Ag", "Au"], [(0, 0, 0), (0.5, 0.5, 0.3), (0, 0.5, 0.4)], spacegroup=25,
            cellpar=[3, 4, 5, 90, 90, 90],
        ),
        NO_SHEAR, 9,
    ),
    "triclinic": (triclinic, GENERAL, 21),
}  # fmt: skip


@pytest.mark.parametrize("name", AXES)
def test_constants_stand_in_standard_axes(name):
    """Whatever the orientation of the file, its choice of vectors, its hand."""
    make, stiffness, count = AXES[name]
    reference = make()
    scale = np.abs(stiffness).max()
    recut = [np.eye(3), [[0, 1, 0], [0, 0, 1], [1, 0, 0]], [[1, 0, 0], [1, 1, 0], [0, 1, 1]]]
    hands = (1, 1, -1)
    for seed, (cut, hand) in enumerate(zip(recut, hands, strict=True)):
        turn = hand * Rotation.random(random_state=seed).as_matrix() if seed else np.eye(3)
        atoms = reference.copy()
        atoms.set_cell(reference.cell.array @ turn.T, scale_atoms=True)
        atoms.set_cell(np.array(cut) @ atoms.cell.array)
        atoms.wrap()
        atoms.calc = Elastic(atoms, in_axes(stiffness, turn))
        found = elasticity(atoms)
        assert found.stiffness == pytest.approx(stiffness, abs=1e-5 * scale), seed
        assert len(found.independent) == count
        assert found.axes @ found.axes.T == pytest.approx(np.eye(3), abs=1e-9)
        assert np.linalg.det(found.axes) == pytest.approx(1)
        rows = {row[0] for row in found.table().rows}
        assert ("x in the file's axes" in rows) == (not np.allclose(found.axes, np.eye(3)))


def test_the_other_sense_of_quartz_is_turned_round():
    """The cell with Si at 0.53 is turned by 180 degrees about c: C14 is the literature's."""
    atoms = quartz(0.53)
    atoms.calc = Elastic(atoms, axial(86.8, 7.0, 19.1, 105.8, 58.2, c14=18.0))
    found = elasticity(atoms)
    assert found.stiffness[0, 3] == pytest.approx(-18.0, abs=1e-3)
    assert "C14 < 0" in found.about


@pytest.mark.parametrize("beta", [100.0, 80.0])
def test_monoclinic_axes(beta):
    """y along the twofold axis, z along the shorter vector of the plane, a obtuse to it."""
    angle = np.radians(100)
    a, c = 5.0 * np.array([np.sin(angle), 0, np.cos(angle)]), np.array([0, 0, 4.0])
    reference = Atoms("CuAg", [[0, 0, 0], 0.2 * a + 0.3 * c], cell=[a, [0, 3.5, 0], c], pbc=True)
    for cut in (np.eye(3), [[1, 0, 1], [0, 1, 0], [0, 0, 1]], [[0, 0, -1], [0, 1, 0], [1, 0, 0]]):
        atoms = reference.copy()
        atoms.set_cell(np.array(cut) @ atoms.cell.array)
        if beta < 90:
            atoms.rotate(180, "z", rotate_cell=True)
        turn = np.diag([-1.0, -1, 1]) if beta < 90 else np.eye(3)
        atoms.calc = Elastic(atoms, in_axes(TWOFOLD_Y, turn))
        found = elasticity(atoms)
        assert found.space_group == "Pm (6)"
        assert found.stiffness == pytest.approx(TWOFOLD_Y, abs=1e-3)


def test_primitive_argon_is_the_cube(tmp_path):
    """A CIF has no axes of its own; a primitive cell comes from it in others than the cube's."""
    model = lennard_jones()
    cube = relaxed(bulk("Ar", a=5.2, cubic=True), model.calculator())
    expected = [relaxed_slope(cube, column)[[0, 1, 3]] for column in (0, 3)]
    primitive = bulk("Ar", a=cube.cell.array[0, 0])
    ase.io.write(tmp_path / "argon.cif", primitive)
    atoms = ase.io.read(tmp_path / "argon.cif")
    atoms.calc = model.calculator()
    found = elasticity(atoms)
    assert found.independent == ("C11", "C12", "C44")
    assert found.stiffness[0, :2] == pytest.approx(expected[0][:2], rel=1e-4)
    assert found.stiffness[3, 3] == pytest.approx(expected[1][2], rel=1e-4)
    assert [row[0] for row in found.table().rows][:4] == [
        "C11 (GPa)",
        "C12 (GPa)",
        "C44 (GPa)",
        "bulk modulus, Voigt (GPa)",
    ]


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("beyond", [1e-4, -1e-4])
def test_a_kink_is_said(foreign, beyond):
    """The second shell stands at the cutoff, where this potential's curvature jumps."""
    atoms = bulk("Ar", a=5.2)
    for _ in range(3):
        model = lennard_jones(cutoff=atoms.cell.lengths()[0] * np.sqrt(2) * (1 + beyond))
        atoms = relaxed(bulk("Ar", a=atoms.cell.lengths()[0] * np.sqrt(2)), model.calculator())
    atoms.calc = Stranger(model.calculator()) if foreign else model.calculator()
    found = elasticity(atoms)
    # Which of those that symmetry makes equal is a matter of rounding.
    assert re.match("C[123][123] at strains of", found.kink)
    plus, minus = found.kink_slopes
    assert abs(plus - minus) > 0.03 * found.stiffness[0, 0]
    assert any(row[0].startswith(f"NOT SMOOTH: {found.kink}") for row in found.table().rows)
    if not foreign:  # exact on the side the shell is on
        side = relaxed_slope(atoms, 0, size=2e-5)[0]
        assert found.stiffness[0, 0] == pytest.approx(side, rel=1e-3)


def test_a_saddle_is_not_called_stable():
    """A mode that leads away makes the crystal unstable, even if no strain pulls at it."""
    model = lennard_jones(Ar=3.4)
    atoms = relaxed(bulk("Ar", "sc", a=3.6) * (2, 1, 1), model.calculator())
    found = elasticity(atoms)
    assert found.unstable_modes > 0
    assert not found.stable


@pytest.mark.parametrize("compute", [elasticity, equation_of_state, phonons, quasi_harmonic])
def test_held_atoms_are_refused(compute):
    atoms = bulk("Cu")
    atoms.set_constraint(FixAtoms([0]))
    atoms.calc = EMT()
    with pytest.raises(PropertyError, match=r"all atoms move.*FixAtoms.*move_mask"):
        compute(atoms)


# --- the cases of other people -----------------------------------------------------------------


def test_case_silicon(tmp_path):
    atoms = ase.io.read(case("physics", "si.extxyz"))
    atoms.calc = ladera.load(case("physics", "Si.ladera")).calculator()
    found = elasticity(atoms)
    slope = relaxed_slope(atoms, 0, size=1e-4)[0]
    assert found.stiffness[0, 0] == pytest.approx(slope, rel=1e-4)
    assert found.kink.startswith("C11")
    assert sorted(found.kink_slopes) == pytest.approx([81, 142], abs=1)
    assert found.stiffness[3, 3] == pytest.approx(54.5, abs=0.1)


def test_case_silicon_held(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = [
        "elastic",
        str(case("physics", "Si.ladera")),
        str(case("physics", "si_fixed.extxyz")),
    ]
    with pytest.raises(SystemExit, match="1"):
        main(command)
    assert "FixAtoms" in capsys.readouterr().err


@pytest.mark.slow
def test_case_acetylene():
    model = shared("data/weights/mace_spice/MACE_SPICE.model")
    atoms = ase.io.read(case("physics", "acetylene.extxyz"))
    atoms.calc = ladera.load(model).double().calculator()
    found = elasticity(atoms)
    assert found.stiffness[3, 3] == pytest.approx(7.88, abs=0.01)
    assert found.strain_error < 1e-3


# --- directions --------------------------------------------------------------------------------


def test_extremes_are_those_of_all_directions():
    """Of a crystal without symmetry, against twenty thousand directions by chance."""
    compliance = np.linalg.inv(GENERAL * np.outer(KELVIN, KELVIN))
    directions = np.random.default_rng(0).normal(size=(20_000, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    young = young_modulus(compliance, directions)
    least, most = extremes(compliance)
    assert least.modulus == pytest.approx(young.min(), rel=1e-3)
    assert most.modulus == pytest.approx(young.max(), rel=1e-3)
    for found, nearest in ((least, young.argmin()), (most, young.argmax())):
        assert abs(found.direction @ directions[nearest]) > 0.999
        assert young_modulus(compliance, found.direction[None])[0] == pytest.approx(found.modulus)


def test_a_triclinic_crystal_has_a_map_with_its_lattice():
    """The planes of its axes mean nothing; c is the pole, and a and b are marked where they are."""
    atoms = triclinic()
    atoms.calc = Elastic(atoms, GENERAL)
    found = elasticity(atoms)
    assert found.lattice[2] == pytest.approx([0, 0, 3.3], abs=1e-9)
    assert np.linalg.norm(found.lattice, axis=1) == pytest.approx([4.0, 4.6, 3.3])
    panel = found.plot().axes[0]
    names = {text.get_text(): text.xy for text in panel.texts if hasattr(text, "xy")}
    assert set(names) == {"a", "b", "c", "least", "most"}
    assert names["c"] == pytest.approx((0, 0), abs=1e-6)
    rows = dict(row[:2] for row in found.table().rows)
    assert float(rows["least Young's modulus (GPa)"].split()[0]) == pytest.approx(
        extremes(np.linalg.inv(found.stiffness * np.outer(KELVIN, KELVIN)))[0].modulus, abs=0.01
    )
