"""Equation of state and elastic constants against exactly known and published values."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from hypothesis import given, settings
from hypothesis import strategies as st

from ladera import modelfile
from ladera.cli import main
from ladera.errors import DataError, PropertyError
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig
from ladera.potential import Committee
from ladera.properties import result
from ladera.properties.elasticity import elasticity
from ladera.properties.equation_of_state import birch_murnaghan, equation_of_state, vinet
from ladera.properties.standard_axes import standard_setting
from ladera.simulation.preparation import SimulationWarning
from ladera.units import GIGAPASCAL


def in_axes(stiffness: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Constants (6, 6) in other axes (rows), by the transformation of a tensor of fourth rank."""
    place = [[0, 5, 4], [5, 1, 3], [4, 3, 2]]
    tensor = stiffness[np.array(place)[:, :, None, None], np.array(place)]
    turned = np.einsum("ai,bj,ck,dl,ijkl->abcd", axes, axes, axes, axes, tensor, optimize=True)
    i, j = np.array([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]).T
    return turned[i[:, None], j[:, None], i, j]


class Stranger(Calculator):
    """A calculator of which Ladera knows nothing but what it computes."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, inner: Calculator) -> None:
        super().__init__()
        self.inner = inner

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        copy = self.atoms.copy()
        copy.calc = self.inner
        self.results = {
            "energy": copy.get_potential_energy(),
            "forces": copy.get_forces(),
            "stress": copy.get_stress(),
        }


class Elastic(Calculator):
    """A crystal whose stress is linear in the strain: sigma = C : epsilon, exactly."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, reference: Atoms, stiffness: np.ndarray) -> None:
        super().__init__()
        self.cell0, self.stiffness = reference.cell.array.copy(), stiffness * GIGAPASCAL

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        deformation = np.linalg.solve(self.cell0, self.atoms.cell.array)
        e = (deformation + deformation.T) / 2 - np.eye(3)
        voigt = np.array([e[0, 0], e[1, 1], e[2, 2], 2 * e[1, 2], 2 * e[0, 2], 2 * e[0, 1]])
        volume = abs(np.linalg.det(self.cell0))
        self.results = {
            "energy": 0.5 * volume * float(voigt @ self.stiffness @ voigt),
            "forces": np.zeros((len(self.atoms), 3)),
            "stress": self.stiffness @ voigt,
        }


def relaxed_copper(cubic: bool = False) -> Atoms:
    atoms = bulk("Cu", cubic=cubic)
    atoms.calc = EMT()
    assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-4)
    return atoms


def argon(epsilon: float = 0.0104, sigma: float = 3.4) -> LennardJones:
    return LennardJones(
        LennardJonesConfig(
            species=("Ar",), cutoff=8.5, epsilon={"Ar": epsilon}, sigma={"Ar": sigma}
        )
    )


def relaxed_argon(potential) -> Atoms:
    atoms = bulk("Ar", a=5.2)
    atoms.calc = potential.calculator()
    assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-5)
    return atoms


@pytest.mark.parametrize("cubic", [False, True])
def test_copper_of_effective_medium_theory(cubic):
    """C44 = 90 GPa by default settings; a fixed strain of 1 % or more would miss it by 9 %."""
    found = elasticity(relaxed_copper(cubic))
    assert found.stiffness[3, 3] == pytest.approx(90, abs=1)
    assert found.stiffness[0, 0] == pytest.approx(172.6, abs=0.5)
    assert found.stiffness[0, 1] == pytest.approx(115.4, abs=0.5)
    assert found.space_group == "Fm-3m (225)"
    assert found.stable
    c11, c12 = found.stiffness[0, :2]
    assert found.bulk_modulus == pytest.approx(np.full(3, (c11 + 2 * c12) / 3), rel=1e-6)
    eos = equation_of_state(relaxed_copper(cubic))
    assert eos.bulk_modulus == pytest.approx(np.full(2, found.bulk_modulus[2]), rel=2e-3)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_all_21_constants_of_a_triclinic_crystal(seed):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(6, 6))
    stiffness = 30 * (half @ half.T + 2 * np.eye(6))
    positions = rng.uniform(0, 3, (3, 3))
    cell = 4 * np.eye(3) + rng.uniform(-1, 1, (3, 3))
    atoms = Atoms("CuAgAu", positions, cell=cell, pbc=True)
    atoms.calc = Elastic(atoms, stiffness)
    found = elasticity(atoms)
    assert found.stiffness == pytest.approx(in_axes(stiffness, found.axes), rel=1e-6, abs=1e-6)
    assert found.eigenvalues.min() > 0
    # Reuss's modulus is that of a crystal squeezed on all sides.
    compliance = np.linalg.inv(found.stiffness)
    assert found.bulk_modulus[1] == pytest.approx(1 / compliance[:3, :3].sum(), rel=1e-6)


def test_symmetry_leaves_two_strains_of_a_cubic_crystal():
    atoms = relaxed_copper()
    calls = 0

    class Counting(EMT):
        def calculate(self, *args, **kwargs):
            nonlocal calls
            calls += 1
            super().calculate(*args, **kwargs)

    atoms.calc = Counting()
    elasticity(atoms)
    # The structure itself, the forces of two strains, two of two signs for each strain size.
    assert (calls - 3) % 4 == 0
    assert calls <= 3 + 4 * 6
    assert len(standard_setting(atoms).rotations) == 48


def test_isotropic_solid_has_no_anisotropy():
    k, g = 100.0, 40.0
    stiffness = np.diag([2 * g] * 3 + [g] * 3)
    stiffness[:3, :3] += k - 2 * g / 3
    atoms = Atoms("Cu", cell=[3.0, 3.1, 3.2], pbc=True)
    atoms.calc = Elastic(atoms, stiffness)
    found = elasticity(atoms)
    assert found.bulk_modulus == pytest.approx(np.full(3, k))
    assert found.shear_modulus == pytest.approx(np.full(3, g))
    assert found.universal_anisotropy == pytest.approx(0, abs=1e-6)
    assert found.poisson_ratio == pytest.approx((3 * k - 2 * g) / (6 * k + 2 * g))


def test_unstable_crystal_is_called_so():
    stiffness = np.diag([100.0, 100, 100, 50, 50, -5])
    atoms = Atoms("Cu", cell=[3.0, 3.1, 3.2], pbc=True)
    atoms.calc = Elastic(atoms, stiffness)
    found = elasticity(atoms)
    assert not found.stable
    assert ("mechanically stable (Born)", "NO") in [row[:2] for row in found.table().rows]


@pytest.mark.parametrize("form", [birch_murnaghan, vinet])
def test_forms_have_the_parameters_they_are_named_by(form):
    energy, volume, modulus, derivative = -3.0, 12.0, 0.8, 4.6
    h = 1e-3 * volume
    e = [
        float(form(np.array(volume + i * h), energy, volume, modulus, derivative))
        for i in (-2, -1, 0, 1, 2)
    ]
    second = (-e[0] + 16 * e[1] - 30 * e[2] + 16 * e[3] - e[4]) / (12 * h**2)
    third = (-e[0] + 2 * e[1] - 2 * e[3] + e[4]) / (2 * h**3)
    assert e[2] == pytest.approx(energy)
    assert volume * second == pytest.approx(modulus, rel=1e-5)
    # B' = -1 - V E''' / E''
    assert -1 - volume * third / second == pytest.approx(derivative, rel=1e-3)


def test_equation_of_state_recovers_what_it_is_given():
    class Murnaghan(Calculator):
        implemented_properties = ["energy", "forces"]  # noqa: RUF012

        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            super().calculate(atoms, properties, system_changes)
            energy = birch_murnaghan(np.array(self.atoms.cell.volume), -4215.0, 30.0, 0.5, 5.0)
            self.results = {"energy": float(energy), "forces": np.zeros((1, 3))}

    atoms = Atoms("Cu", cell=np.cbrt(30.2) * np.eye(3), pbc=True)
    atoms.calc = Murnaghan()
    found = equation_of_state(atoms)
    assert found.volume[0] == pytest.approx(30.0, rel=1e-6)
    assert found.bulk_modulus[0] == pytest.approx(0.5 / GIGAPASCAL, rel=1e-5)
    assert found.derivative[0] == pytest.approx(5.0, rel=1e-4)
    assert found.energy[0] == pytest.approx(-4215.0, abs=1e-7)
    # Vinet's form is another function: it misses by more than its own numerical noise, and says so.
    assert found.residual[1] > 100 * found.residual[0]
    assert found.bulk_modulus[1] == pytest.approx(found.bulk_modulus[0], rel=0.01)


def test_an_equation_of_state_has_the_largest_grade_of_all_volumes(tmp_path):
    class Narrow(LennardJones):
        def grade(self, graph, prediction=None):
            nearest = graph.vectors.double().norm(dim=1).min()
            return (3.7 / nearest).pow(20).expand(graph.n_atoms)

    atoms = relaxed_argon(Narrow(argon().config).requires_grad_(False))
    with pytest.warns(SimulationWarning, match="a structure that this is made of has a grade of"):
        found = equation_of_state(atoms, strain=0.2)
    nearest = np.cbrt(0.8 * np.sqrt(2) * atoms.cell.volume / len(atoms))
    assert found.largest_grade == pytest.approx((3.7 / nearest) ** 20)
    found.save(tmp_path)
    assert result.load(tmp_path).largest_grade == found.largest_grade
    assert f"grade of an atom: {found.largest_grade:.3g};" in found.domain()


@pytest.mark.parametrize("strain", [0.05, 0.1, 0.2])
def test_error_of_the_equation_of_state_holds(strain):
    """Neither form is right far from rest, where the scatter of the points says little of it."""
    atoms = relaxed_argon(argon())
    exact = elasticity(atoms).bulk_modulus[2]
    found = equation_of_state(atoms, strain=strain)
    wrong = np.abs(found.bulk_modulus - exact)
    assert (wrong < 1.2 * found.bulk_modulus_error).all()
    assert (found.bulk_modulus_error < 3 * wrong).all()


def test_bulk_modulus_of_a_soft_crystal_has_atoms_at_rest():
    """Forces below the limit are what moves the atoms of a soft crystal: 3 % of its modulus."""
    model = argon(epsilon=0.002)
    atoms = bulk("Ar", "hcp", a=3.68, c=6.1) * (1, 1, 2)
    atoms.positions[0, 2] += 0.4  # to a stacking that is not close-packed any more
    atoms.calc = model.calculator()
    del atoms[0]
    assert BFGS(FrechetCellFilter(atoms), logfile=None, alpha=2).run(fmax=1e-6, steps=3000)
    loose = equation_of_state(atoms, strain=0.01)
    tight = equation_of_state(atoms, strain=0.01, fmax=1e-7)
    assert loose.bulk_modulus[1] == pytest.approx(tight.bulk_modulus[1], rel=2e-3)


def test_committee_spreads_what_its_members_find():
    """Elastic constants are proportional to the well depth: their spread is known."""
    depths = np.array([0.0100, 0.0104, 0.0112])
    committee = Committee([argon(epsilon=float(depth)) for depth in depths])
    found = elasticity(relaxed_argon(committee))
    expected = found.stiffness[0, 0] * depths.std(ddof=1) / depths.mean()
    assert found.spread["stiffness"][0, 0] == pytest.approx(expected, rel=1e-3)
    assert math.isfinite(found.table().cells[0][0].deviation)
    assert "deviation of the members" in found.table().foot[0]
    assert not elasticity(relaxed_argon(argon())).spread
    # Atoms of other sizes: each member has its constants where its own cell is at rest.
    members = [argon(sigma=sigma) for sigma in (3.36, 3.44)]
    found = elasticity(relaxed_argon(Committee(members)))
    alone = [elasticity(relaxed_argon(member)).stiffness[0, 0] for member in members]
    assert found.spread["stiffness"][0, 0] == pytest.approx(np.std(alone, ddof=1), rel=0.02)


def test_results_survive_their_files(tmp_path):
    committee = Committee([argon(epsilon=0.01), argon(epsilon=0.0104)])
    atoms = relaxed_argon(committee)
    for name, found in (("c", elasticity(atoms)), ("e", equation_of_state(atoms))):
        found.save(tmp_path / name)
        again = result.load(tmp_path / name)
        assert again.table() == found.table()
        assert again.to_json() == found.to_json()
        contents = json.loads((tmp_path / name / "result.json").read_text())
        assert all("unit" in field for field in contents["fields"].values())
        assert (tmp_path / name / "figure.svg").read_text().startswith("<?xml")
        with (tmp_path / name / "table.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert {key: [row[key] for row in rows] for key in rows[0]}.keys() == (
            contents["tables"]["table"].keys()
        )
        assert any(head.endswith("deviation (GPa)") for head in rows[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no result"),
        ('{"kind": "horoscope"}', "no result"),
        ('{"kind": "elasticity"}', "complete"),
    ],
)
def test_damaged_result_is_refused(tmp_path, text, message):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(DataError, match=message):
        result.load(tmp_path)


def test_bad_questions_are_answered_with_the_next_step():
    unrelaxed = bulk("Cu", a=3.5)
    unrelaxed.calc = EMT()
    with pytest.raises(PropertyError, match=r"not relaxed.*--cell"):
        elasticity(unrelaxed)
    soft = relaxed_argon(argon())
    soft.set_cell(0.996 * soft.cell, scale_atoms=True)  # 0.04 GPa, far below the limit of metals
    soft.calc = Stranger(soft.calc)  # without second derivatives, which lead to rest
    with pytest.raises(PropertyError, match=r"soft.*belongs to a strain of 0\.4%.*--smax 0\.00\d"):
        elasticity(soft)
    gas = molecule("H2O")
    gas.calc = EMT()
    for compute in (elasticity, equation_of_state):
        with pytest.raises(PropertyError, match="belongs to a crystal"):
            compute(gas)
        with pytest.raises(PropertyError, match="no calculator"):
            compute(bulk("Cu"))
    far = bulk("Cu", a=4.0)
    far.calc = EMT()
    with pytest.raises(PropertyError, match=r"smallest volume.*relax the cell first"):
        equation_of_state(far)
    with pytest.raises(PropertyError, match="four parameters"):
        equation_of_state(relaxed_copper(), points=4)
    for strain in (-0.05, 0.0, 0.7, np.nan):
        with pytest.raises(PropertyError, match=r"strain is .* between 0 and 0\.5, such as 0\.05"):
            equation_of_state(relaxed_copper(), strain=strain)
    for tolerance in (0.0, -1.0):
        with pytest.raises(PropertyError, match=r"tolerance is .* a share"):
            elasticity(relaxed_copper(), tolerance=tolerance)
    with pytest.raises(PropertyError, match=r"fmax is 0 .*above zero"):
        elasticity(relaxed_copper(), fmax=0.0)

    class Stressless(EMT):
        implemented_properties = ["energy", "forces"]  # noqa: RUF012

        def get_stress(self, atoms=None):
            raise NotImplementedError

    atoms = relaxed_copper()
    atoms.calc = Stressless()
    with pytest.raises(PropertyError, match="gives no stress"):
        elasticity(atoms)


def test_commands_and_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    modelfile.save(argon(), "argon.ladera")
    relaxed_argon(argon()).write("argon.extxyz")
    for command in ("eos", "elastic"):
        with pytest.raises(SystemExit, match="0"):
            main([command, "argon.ladera", "argon.extxyz"])
    assert "GPa" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="1"):
        main(["elastic", "argon.ladera", "argon.extxyz"])
    assert "holds a result already" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["report", "elastic", "--properties", "eos", "--output", "page.html"])
    page = (tmp_path / "page.html").read_text()
    assert "Elastic constants <span>elastic</span>" in page
    assert "Birch-Murnaghan" in page
