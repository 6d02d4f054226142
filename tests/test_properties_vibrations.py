"""Vibrations of molecules whose frequencies and intensities are known exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.optimize import BFGS

import ladera
from ladera import modelfile
from ladera.cli import main
from ladera.errors import PropertyError
from ladera.models.hdnnp import HDNNPConfig
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig
from ladera.potential import Committee
from ladera.properties import result
from ladera.properties.displacements import derivatives
from ladera.properties.vibrations import vibrations
from ladera.report import viewer

K, BEND = 80.0, 4.0  # eV/Angstrom^2
LENGTH = 1.16  # Angstrom
CHARGES = np.array([-0.3, 0.6, -0.3])  # e


class CarbonDioxide(Calculator):
    """O-C-O with harmonic bonds, a harmonic bend and fixed charges.

    E = K/2 sum (d_i - LENGTH)^2 + BEND/2 |r_1 + r_3 - 2 r_2|^2 across the axis
    """

    implemented_properties = ["energy", "forces", "dipole"]  # noqa: RUF012
    bend = BEND

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        r = self.atoms.positions
        forces, energy = np.zeros((3, 3)), 0.0
        for i, j in ((0, 1), (1, 2)):
            bond = r[j] - r[i]
            d = np.linalg.norm(bond)
            energy += K / 2 * (d - LENGTH) ** 2
            pull = K * (d - LENGTH) * bond / d
            forces[i] += pull
            forces[j] -= pull
        buckle = (r[0] + r[2] - 2 * r[1]) * [1, 1, 0]
        energy += self.bend / 2 * buckle @ buckle
        forces -= self.bend * np.outer([1, -2, 1], buckle)
        self.results = {"energy": energy, "forces": forces, "dipole": CHARGES @ r}


class Unstable(CarbonDioxide):
    implemented_properties = ["energy", "forces"]  # noqa: RUF012
    bend = -BEND

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        del self.results["dipole"]


def carbon_dioxide(calculator=CarbonDioxide) -> Atoms:
    atoms = Atoms("OCO", [[0, 0, -LENGTH], [0, 0, 0], [0, 0, LENGTH]])
    atoms.calc = calculator()
    return atoms


def wavenumber(square: float) -> float:
    """sqrt(eV/Angstrom^2/amu) in cm^-1."""
    return float(np.sqrt(square * units._e / 1e-20 / units._amu) / (2e2 * np.pi * units._c))


def test_linear_molecule_has_its_exact_frequencies_and_intensities():
    found = vibrations(carbon_dioxide(), infrared=True, symmetry_number=2)
    oxygen, carbon = 15.999, 12.011
    reduced = 2 * oxygen * carbon / (2 * oxygen + carbon)  # carbon against both oxygens
    bend, symmetric, antisymmetric = (
        wavenumber(4 * BEND / reduced),
        wavenumber(K / oxygen),
        wavenumber(K / oxygen * (1 + 2 * oxygen / carbon)),
    )
    assert found.frequencies == pytest.approx([bend, bend, symmetric, antisymmetric], rel=1e-4)
    assert not len(found.imaginary)
    assert found.plot().axes[0].get_xlim()[0] == 0
    # The dipole changes by 0.6 e times how far carbon moves against the oxygens.
    strong = 974.88 * 0.6**2 / reduced
    assert found.intensities == pytest.approx([strong, strong, 0, strong], rel=1e-4, abs=1e-6)
    assert found.reduced_masses[2] == pytest.approx(oxygen, rel=1e-6)
    assert found.zero_point_energy == pytest.approx(
        0.5 * units.invcm * found.frequencies.sum(), rel=1e-9
    )
    # At high temperature each mode has k_B T, beside translation, rotation and pressure.
    hot = vibrations(carbon_dioxide(), temperatures=(20_000.0,))
    assert hot.enthalpy[0] == pytest.approx((2.5 + 1 + 4) * units.kB * 20_000, rel=0.01)
    assert hot.free_energy[0] == pytest.approx(hot.enthalpy[0] - 20_000 * hot.entropy[0])


def test_imaginary_mode_is_named():
    found = vibrations(carbon_dioxide(Unstable))
    assert len(found.imaginary) == 2
    assert "1, 2: frequency: imaginary" in found.table().foot
    assert len(found.intensities) == 0
    frames, labels = found.motion()
    assert len(frames) == len(labels) == 12 * 4
    assert "imaginary" in labels[0]
    assert found.plot().axes[0].get_xlim()[0] < found.frequencies[0] < 0


def test_turning_a_molecule_changes_nothing():
    atoms = molecule("H2O")
    atoms.calc = EMT()
    BFGS(atoms, logfile=None).run(fmax=1e-5)
    before = vibrations(atoms)
    atoms.rotate(37, (1, 2, 3))
    atoms.positions += 5.0
    after = vibrations(atoms)
    assert after.frequencies == pytest.approx(before.frequencies, abs=1.0)
    assert len(after.frequencies) == 3


def argon(epsilon: float = 0.0104, sigma: float = 3.4) -> LennardJones:
    config = LennardJonesConfig(
        species=("Ar",), cutoff=12.0, epsilon={"Ar": epsilon}, sigma={"Ar": sigma}
    )
    return LennardJones(config)


def relaxed_dimer(potential) -> Atoms:
    atoms = Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]])
    atoms.calc = potential.calculator()
    BFGS(atoms, logfile=None).run(fmax=1e-7)
    return atoms


def test_batches_of_a_model_and_the_spread_of_a_committee():
    """omega^2 = 57.15 epsilon / sigma^2 / mu for Lennard-Jones, but for its cutoff."""
    single = vibrations(relaxed_dimer(argon()), step=0.001)
    mu = 39.948 / 2
    exact = wavenumber(72 / 2 ** (1 / 3) * 0.0104 / 3.4**2 / mu)
    assert single.frequencies == pytest.approx([exact], rel=2e-3)
    depths = np.array([0.0100, 0.0104, 0.0110])
    committee = Committee([argon(float(depth)) for depth in depths])
    found = vibrations(relaxed_dimer(committee), step=0.001)
    roots = np.sqrt(depths / depths.mean())
    expected = found.frequencies[0] * roots.std(ddof=1)
    assert found.spread["frequencies"][0] == pytest.approx(expected, rel=1e-3)
    assert found.table().cells[0][1].deviation == pytest.approx(expected, rel=1e-3)


def test_each_member_vibrates_about_its_own_minimum():
    """Bonds 3 % apart: at the mean's minimum no member is at rest."""
    members = [argon(sigma=sigma) for sigma in (3.35, 3.45)]
    found = vibrations(relaxed_dimer(Committee(members)))
    alone = [vibrations(relaxed_dimer(member)).frequencies[0] for member in members]
    assert found.spread["frequencies"][0] == pytest.approx(np.std(alone, ddof=1), rel=0.15)


def test_a_models_own_derivatives_are_taken_unless_a_step_is_given():
    atoms = relaxed_dimer(argon())
    exact = vibrations(atoms)
    assert exact.derivatives == "derivatives of the model"
    assert exact.tables()[-1].rows[-1] == ("Hessian", "derivatives of the model")
    assert exact.asymmetry < 1e-12
    near, far = (vibrations(atoms, step=step) for step in (0.005, 0.01))
    assert near.derivatives == "central differences, 0.005 Å"
    limit = (4 * near.frequencies - far.frequencies) / 3
    assert exact.frequencies == pytest.approx(limit, rel=1e-6)
    assert abs(near.frequencies - exact.frequencies) > 1e-5 * exact.frequencies
    assert vibrations(carbon_dioxide()).derivatives == "central differences, 0.005 Å"
    with pytest.raises(PropertyError, match="above zero"):
        vibrations(atoms, step=0.0)


def test_bad_questions_are_answered_with_the_next_step():
    crystal = bulk("Cu")
    crystal.calc = EMT()
    with pytest.raises(PropertyError, match="for a crystal there is `ladera phonons`"):
        vibrations(crystal)
    stretched = carbon_dioxide()
    stretched.positions[0, 2] -= 0.1
    with pytest.raises(PropertyError, match=r"not relaxed.*ladera relax"):
        vibrations(stretched)
    with pytest.raises(PropertyError, match=r"no dipole.*ladera vibrations"):
        vibrations(carbon_dioxide(Unstable), infrared=True)
    atom = Atoms("Cu")
    atom.calc = EMT()
    with pytest.raises(PropertyError, match="One atom"):
        vibrations(atom)


def test_command_and_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(viewer, "load_script", lambda: viewer.Script("const a = {};", "as if here"))
    modelfile.save(argon(), "argon.ladera")
    relaxed_dimer(argon()).write("dimer.extxyz")
    with pytest.raises(SystemExit, match="0"):
        main(["vibrations", "argon.ladera", "dimer.extxyz", "--symmetry-number", "2"])
    assert "derivatives of the model" in capsys.readouterr().out
    assert result.load("vibrations").table().rows
    with pytest.raises(SystemExit, match="0"):
        main(["vibrations", "argon.ladera", "dimer.extxyz", "--step", "0.01", "--output", "steps"])
    assert "differences, 0.01" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["report", "vibrations", "--output", "page.html"])
    page = (tmp_path / "page.html").read_text()
    assert "<h2>Vibrations <span>vibrations</span></h2>" in page
    assert "mode 1, " in page


def test_networks_take_differences_that_agree_with_their_exact_hessian():
    torch.manual_seed(3)
    config = HDNNPConfig(species=("H", "O"), cutoff=3.0, size="small", hidden_layers=(4,))
    atoms = molecule("H2O")
    atoms.calc = ladera.build(config).calculator()
    found = derivatives(atoms, None)
    assert found.origin == "differences extrapolated to no step"
    exact = ladera.hessian(atoms.calc.potential, atoms)
    assert found.hessian == pytest.approx(exact, abs=2e-6 * abs(exact).max())
    single = derivatives(atoms, 0.005).hessian
    assert abs(single - exact).max() > 10 * abs(found.hessian - exact).max()


def test_modes_are_matched_by_what_moves():
    """Two members whose bend and stretch change places: each is compared with its like."""

    def found(bend):
        calculator = CarbonDioxide()
        calculator.bend = bend
        atoms = carbon_dioxide()
        atoms.calc = calculator
        return vibrations(atoms, infrared=True)

    soft, stiff = found(BEND), found(8 * BEND)  # the bends go above the symmetric stretch
    assert soft.frequencies[2] == pytest.approx(stiff.frequencies[0], rel=1e-4)
    matched = soft.in_this_order(stiff)
    assert matched.frequencies[2:] == pytest.approx(soft.frequencies[2:], rel=1e-4)
    assert matched.frequencies[:2] == pytest.approx(np.sqrt(8) * soft.frequencies[:2], rel=1e-4)
    assert matched.intensities == pytest.approx(soft.intensities, rel=1e-3, abs=1e-6)
