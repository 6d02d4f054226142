"""Any model and any structure, however they are named: calculators, devices, precisions, Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.io import read, write
from ase.optimize import BFGS

import ladera
from ladera.cli import main
from ladera.codes.calculators import CalculatorPotential, of_calculator
from ladera.data.frame import Frame
from ladera.errors import ArgumentError, ConfigError, ModelFileError, SimulationError
from ladera.graph import Graph
from ladera.loading import ModelSource, as_potential
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig
from ladera.potential import Committee, LaderaCalculator, PropertyUnavailableError
from ladera.potential.placement import placed
from ladera.properties.elasticity import elasticity
from ladera.properties.vibrations import vibrations
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.relaxation import relax
from ladera.simulation.structures import as_atoms

EMT_NAME = "ase.calculators.emt:EMT"


def argon() -> LennardJones:
    return LennardJones(
        LennardJonesConfig(species=("Ar",), cutoff=6.0, epsilon={"Ar": 0.0104}, sigma={"Ar": 3.4})
    )


def copper(seed: int = 0) -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=seed)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.01 * np.arange(9).reshape(3, 3)), True)
    return atoms


class Ions(Calculator):
    """Two charges on springs, with a dipole, for molecules only: what EMT does not have."""

    implemented_properties = ("energy", "forces", "charges", "dipole", "free_energy")

    def __init__(self, charge: float = 0.5, entropy: float = 0.0) -> None:
        super().__init__()
        self.charge, self.entropy = charge, entropy

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        r = atoms.positions[1] - atoms.positions[0]
        length = np.linalg.norm(r)
        force = 5.0 * (length - 2.4) * r / length
        q = np.array([self.charge, -self.charge])
        self.results = {
            "energy": 2.5 * (length - 2.4) ** 2 + self.entropy,
            "free_energy": 2.5 * (length - 2.4) ** 2,
            "forces": np.array([force, -force]),
            "charges": q,
            "dipole": q @ atoms.positions + np.array([0, 0, 0.1]),
        }


# --- an ASE calculator as a potential -------------------------------------------------------------


@pytest.mark.parametrize("make", [copper, lambda: molecule("H2O")], ids=["crystal", "molecule"])
def test_a_calculator_says_the_same_as_a_potential(make):
    atoms, again = make(), make()
    atoms.calc, again.calc = EMT(), ladera.load(EMT_NAME).calculator()
    assert again.get_potential_energy() == atoms.get_potential_energy()
    np.testing.assert_array_equal(again.get_forces(), atoms.get_forces())
    np.testing.assert_allclose(again.get_potential_energies(), atoms.get_potential_energies())
    if atoms.pbc.all():
        np.testing.assert_allclose(again.get_stress(), atoms.get_stress(), atol=1e-15)
    else:
        with pytest.raises(PropertyUnavailableError):
            again.get_stress()


def test_batches_and_committees_of_calculators():
    potential = ladera.load(EMT_NAME)
    structures = [copper(k) for k in range(3)]
    batch = Graph.batch([Graph.from_atoms(each, potential.cutoff) for each in structures])
    together = ladera.evaluate(potential, batch)
    for k, atoms in enumerate(structures):
        alone = ladera.evaluate(potential, atoms)
        assert together.energy[k] == alone.energy[0]
        np.testing.assert_array_equal(together.stress[k], alone.stress[0])
    pair = Committee([potential, of_calculator(EMT(asap_cutoff=True))])
    spread = pair.calculator().get_property("forces_std", copper())
    assert spread.max() > 0


def test_charges_dipole_and_the_energy_of_the_forces():
    atoms = Atoms("NaCl", [[0, 0, 0], [0, 0, 2.8]])
    calculator = LaderaCalculator(Ions(entropy=-0.3))
    atoms.calc = calculator
    assert atoms.get_potential_energy() == pytest.approx(2.5 * 0.4**2)
    np.testing.assert_allclose(atoms.get_dipole_moment(), [0, 0, -0.5 * 2.8 + 0.1])
    np.testing.assert_allclose(atoms.get_charges(), [0.5, -0.5])
    with pytest.raises(PropertyUnavailableError, match="no energies of single atoms"):
        atoms.get_potential_energies()
    relaxed = relax(atoms, Ions(), fmax=1e-6).atoms
    assert relaxed.get_distance(0, 1) == pytest.approx(2.4)
    relaxed.calc = LaderaCalculator(Ions())
    (stretch,) = vibrations(relaxed).frequencies[-1:]
    mass = np.prod(relaxed.get_masses()) / relaxed.get_masses().sum()
    # sqrt(k / m) / (2 pi c), with 1 eV/(Angstrom^2 amu) in SI units
    exact = np.sqrt(5.0 * 1.602176634e-19 * 1e20 / (mass * 1.66053906892e-27))
    assert stretch == pytest.approx(exact / (2 * np.pi * 2.99792458e10), rel=1e-5)


def test_two_calculators_are_told_apart(tmp_path):
    def hash_of(potential):
        from ladera.identity import hash_of_model

        return hash_of_model(potential)

    one = ladera.load(EMT_NAME)
    assert hash_of(one) == hash_of(ladera.load(EMT_NAME))
    assert hash_of(one) != hash_of(ladera.load(EMT_NAME, options={"asap_cutoff": True}))
    module = tmp_path / "my_calculator.py"
    module.write_text("from ase.calculators.emt import EMT\nclass Mine(EMT):\n    pass\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        before = hash_of(ladera.load("my_calculator:Mine"))
        module.write_text(module.read_text() + "# changed\n")
        assert hash_of(ladera.load("my_calculator:Mine")) != before


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("ase.calculators.emt:EMTT", None, "has no 'EMTT'; did you mean 'EMT'"),
        ("ase.calculators.nowhere:EMT", None, "could not be imported"),
        ("ase.build:bulk", {"name": "Cu"}, "no ASE calculator but Atoms"),
        ("ase.build:bulk", {"nome": "Cu"}, "could not be made with the options given .nome."),
    ],
)
def test_calculators_that_do_not_exist(name, options, words):
    with pytest.raises(ConfigError, match=words):
        ladera.load(name, options=options)


def test_what_a_calculator_cannot_do_is_said(tmp_path):
    potential = ladera.load(EMT_NAME)
    assert isinstance(potential, CalculatorPotential)
    with pytest.raises(ModelFileError, match="code and not parameters"):
        potential.save(tmp_path / "emt.ladera")
    with pytest.raises(ModelFileError, match="code and not parameters"):
        Committee([potential, ladera.load(EMT_NAME)]).save(tmp_path / "emt.ladera")
    with pytest.raises(ConfigError, match="cannot be differentiated twice"):
        ladera.hessian(potential, copper())
    with pytest.raises(SimulationError, match=r"failed to give the energy of Fe2: .*Fe"):
        ladera.evaluate(potential, bulk("Fe", cubic=True))
    with pytest.raises(ConfigError, match="its own precision"):
        placed(potential, None, "float32")
    with pytest.raises(ConfigError, match="takes no options"):
        ladera.load("ethanol-mace", options={"a": 1})
    assert potential.grade(Graph.from_atoms(copper(), potential.cutoff)) is None


def test_elastic_constants_of_a_calculator_are_those_of_the_calculator_itself():
    atoms = bulk("Cu", a=3.5896)
    direct, wrapped = atoms.copy(), atoms.copy()
    direct.calc, wrapped.calc = EMT(), LaderaCalculator(EMT())
    np.testing.assert_allclose(
        elasticity(wrapped).stiffness, elasticity(direct).stiffness, atol=0.05
    )


# --- device and precision ------------------------------------------------------------------------


def test_precision_of_a_loaded_model(tmp_path):
    argon().save(tmp_path / "argon.ladera")
    atoms = bulk("Ar", cubic=True)
    double = ladera.load(tmp_path / "argon.ladera")
    single = ladera.load(tmp_path / "argon.ladera", dtype="float32", device="cpu")
    assert (double.dtype, single.dtype) == (torch.float64, torch.float32)
    exact = float(ladera.evaluate(double, atoms).energy)
    assert float(ladera.evaluate(single, atoms).energy) == pytest.approx(exact, rel=1e-6)
    assert ladera.load(tmp_path / "argon.ladera", dtype=torch.float32).dtype == torch.float32
    assert argon().calculator(dtype="float32").potential.dtype == torch.float32
    with pytest.raises(ConfigError, match="did you mean 'float32'"):
        placed(double, None, "float3")


def test_devices_that_are_not_there():
    for name in ("gpu", "mps", "cuda:99", "cuda" if not torch.cuda.is_available() else "cuda:98"):
        with pytest.raises(ConfigError, match=f"'{name}'"):
            placed(argon(), name, None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_on_a_gpu_says_the_same(tmp_path):
    atoms = ladera.simulation.structures.as_atoms("CH3CH2OH")
    here = ladera.evaluate("ethanol-mace", atoms)
    there = ladera.evaluate(ladera.load("ethanol-mace", device="cuda"), atoms)
    np.testing.assert_allclose(there.forces.cpu(), here.forces, atol=1e-4)


# --- what Python is handed ------------------------------------------------------------------------


def test_structures_and_models_however_they_are_named(tmp_path):
    atoms = bulk("Ar", cubic=True)
    write(tmp_path / "argon.extxyz", atoms)
    argon().save(tmp_path / "argon.ladera")
    frame = Frame(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    expected = float(ladera.evaluate(argon(), atoms).energy)
    for model in (argon(), tmp_path / "argon.ladera", argon().calculator(), [argon()]):
        for structure in (atoms, frame, tmp_path / "argon.extxyz", str(tmp_path / "argon.extxyz")):
            found = ladera.evaluate(model, structure)
            assert float(found.energy) == pytest.approx(expected, rel=1e-7)
            assert found.forces.numpy().shape == (4, 3)
    assert ladera.hessian(tmp_path / "argon.ladera", frame).shape == (12, 12)
    assert relax(frame, tmp_path / "argon.ladera").converged
    settings = {"steps": 2, "timestep": 1.0}
    assert len(run_md(tmp_path / "argon.extxyz", argon(), settings, tmp_path / "md")) == 4
    assert as_atoms("H2O").get_chemical_formula() == "H2O"


def test_swapped_and_wrong_kinds():
    with pytest.raises(ConfigError, match="give the model first"):
        ladera.evaluate(bulk("Ar"), argon())
    with pytest.raises(ArgumentError, match="The model is 3; give a potential"):
        as_potential(3)
    with pytest.raises(ConfigError, match="empty sequence"):
        as_potential([])
    with pytest.raises(ArgumentError, match="The structure is a list of 2, the first 1"):
        as_atoms([1, 2])
    with pytest.raises(ConfigError, match="save it first"):
        ModelSource.of([argon()])


# --- the command line -----------------------------------------------------------------------------


def ran(*words: str) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert not left.value.code


def test_a_calculator_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("cu.extxyz", copper())
    Path("options.yaml").write_text("asap_cutoff: true\n")
    flags = ("--calculator", EMT_NAME, "--calculator-options", "options.yaml")
    ran("relax", "cu.extxyz", *flags, "--fmax", "0.001")
    atoms = copper()
    atoms.calc = EMT(asap_cutoff=True)
    BFGS(atoms, logfile=None).run(fmax=1e-4)
    last = read("relax/relaxed.extxyz")
    assert last.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
    model = json.loads(Path("relax/settings.json").read_text())["model"]
    assert model["architecture"] == "calculator"
    ran("md", f"--calculator={EMT_NAME}", "cu.extxyz", "--steps", "2", "--output", "md")
    ran("relax", EMT_NAME, "cu.extxyz", "--output", "again")
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(("relax", EMT_NAME, "cu.extxyz", "--calculator-options", "options.yaml"))
    assert left.value.code == 1
    assert "name a calculator with --calculator" in capsys.readouterr().err
