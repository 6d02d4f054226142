"""D3 and the repulsion of nuclei added to models: numbers, derivatives, what goes along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

import ladera
from conftest import lennard_jones, water_like
from ladera import Graph
from ladera.curvature import hessian, strain_derivatives
from ladera.errors import ConfigError, LaderaError
from ladera.identity import describe_model, hash_of_model
from ladera.models.corrected import Corrected, corrected
from ladera.models.lennard_jones import LennardJonesConfig
from ladera.models.repelled import REACH
from ladera.potential import Committee, differentiate, evaluate
from ladera.simulation.dispersion import D3
from ladera.simulation.published import mace_mp


@pytest.fixture(autouse=True)
def _needs_dftd3(request: pytest.FixtureRequest) -> None:
    if "dispersion" in request.node.name:
        pytest.importorskip("dftd3", reason="not installed: pip install ladera[dispersion]")


def nothing(*species: str, cutoff: float = 3.0) -> ladera.Potential:
    """A model of no interaction at all."""
    zeros = dict.fromkeys(species, 1e-30)
    return ladera.build(
        LennardJonesConfig(
            species=species, cutoff=cutoff, epsilon=zeros, sigma=dict.fromkeys(species, 0.1)
        )
    )


@pytest.mark.parametrize("method", ["pbe", "pbe:zero"])
@pytest.mark.parametrize("periodic", [False, True])
def test_dispersion_is_that_of_simple_dftd3(method: str, periodic: bool) -> None:
    """Asked directly, beside the model's own."""
    from dftd3.interface import DispersionModel, RationalDampingParam, ZeroDampingParam

    from ladera.units import BOHR, HARTREE

    atoms = water_like(9, 5.0, pbc=periodic, seed=3)
    plain, with_d3 = lennard_jones(), corrected(lennard_jones(), method)
    damping = (RationalDampingParam if method == "pbe" else ZeroDampingParam)(method="pbe")
    lattice: dict[str, Any] = (
        {"lattice": atoms.cell.array / BOHR, "periodic": atoms.pbc} if periodic else {}
    )
    direct = DispersionModel(atoms.numbers, atoms.positions / BOHR, **lattice)
    found = direct.get_dispersion(damping, grad=True)
    results = []
    for model in (plain, with_d3):
        atoms.calc = model.calculator()
        stress = atoms.get_stress(voigt=False) * atoms.get_volume() if periodic else 0
        results.append((atoms.get_potential_energy(), atoms.get_forces(), stress))
    energy, forces, virial = (b - a for a, b in zip(*results, strict=True))
    assert energy == pytest.approx(found["energy"] * HARTREE, abs=1e-10)
    assert forces == pytest.approx(-found["gradient"] * HARTREE / BOHR, abs=1e-10)
    if periodic:
        assert virial == pytest.approx(found["virial"] * HARTREE, abs=1e-10)
    assert atoms.calc.get_property("energies").sum() == pytest.approx(results[1][0], abs=1e-10)


def test_dispersion_and_repulsion_have_the_derivatives_of_their_energy() -> None:
    atoms = water_like(6, 5.0, pbc=(True, True, True), seed=3)
    atoms.set_distance(0, 1, 0.5)  # well inside the repulsion
    model = corrected(lennard_jones(), "pbe", zbl=True)
    atoms.calc = model.calculator()
    assert np.abs(atoms.get_forces()).max() > 10
    scale = np.abs(atoms.get_forces()).max()
    numerical = calculate_numerical_forces(atoms, 1e-4)
    assert atoms.get_forces() == pytest.approx(numerical, abs=1e-6 * scale)
    numerical = calculate_numerical_stress(atoms, 1e-5)
    assert atoms.get_stress() == pytest.approx(numerical, abs=1e-5 * np.abs(numerical).max())
    graph = Graph.batch([Graph.from_atoms(atoms, model.cutoff)] * 2)
    with torch.no_grad():
        one, two = evaluate(model, graph), differentiate(model, graph)
    for name in ("energy", "forces", "virial"):
        left, right = getattr(one, name).numpy(), getattr(two, name).numpy()
        assert left == pytest.approx(right, rel=1e-10, abs=1e-9), name


def test_dispersion_has_second_derivatives() -> None:
    """By positions and by strains: central differences of its own forces and stress."""
    atoms = water_like(6, 5.0, pbc=True, seed=3)
    model, plain = corrected(lennard_jones(), "pbe"), lennard_jones()
    found = hessian(model, atoms) - hessian(plain, atoms)
    atoms.calc, h = D3("pbe"), 1e-3
    column = np.zeros((2, len(atoms), 3))
    for k, sign in enumerate((1, -1)):
        moved = atoms.copy()
        moved.positions[2, 1] += sign * h
        moved.calc = atoms.calc
        column[k] = moved.get_forces()
    expected = -(column[0] - column[1]).ravel() / (2 * h)
    assert np.abs(expected).max() > 2e-3
    assert found[:, 7] == pytest.approx(expected, abs=2e-5)
    both = (strain_derivatives(model, atoms), strain_derivatives(plain, atoms))
    coupling, by_strain = (a - b for a, b in zip(*both, strict=True))
    virials = []
    for sign in (1, -1):
        strained = atoms.copy()
        deformation = np.eye(3)
        deformation[0, 1] = deformation[1, 0] = sign * h / 2
        strained.set_cell(strained.cell.array @ deformation, scale_atoms=True)
        strained.calc = atoms.calc
        virials.append(strained.get_stress(voigt=False) * strained.get_volume())
    expected = (virials[0] - virials[1]) / (2 * h)
    assert by_strain[..., 0, 1] == pytest.approx(expected, abs=2e-3 * np.abs(expected).max())
    # A rigid shift strains nothing.
    assert coupling.reshape(-1, 3, 3, 3).sum(0) == pytest.approx(0, abs=2e-4)


@pytest.mark.parametrize("pair", ["H2", "N2", "CO", "TiO", "U2"])
def test_the_repulsion_is_the_published_one_and_ends_before_bonds(pair: str) -> None:
    """Ziegler, Biersack and Littmark (1985), with the constants as LAMMPS has them."""
    from ase.data import covalent_radii

    atoms = Atoms(pair, [[0, 0, 0], [0, 0, 0.05]])
    model = corrected(nothing(*sorted(set(atoms.get_chemical_symbols()))), zbl=True)
    one, two = atoms.numbers
    end = REACH * (covalent_radii[one] + covalent_radii[two])
    for r in (1e-3, 0.05, 0.999 * end, end, 1.2):
        atoms.positions[1, 2] = r
        x, u = r / (0.46850 / (one**0.23 + two**0.23)), min(r / end, 1.0)
        phi = np.dot(
            [0.18175, 0.50986, 0.28022, 0.02817],
            np.exp(-x * np.r_[3.1998, 0.94229, 0.4029, 0.20162]),
        )
        expected = 14.399645 * one * two / r * phi * (1 - 28 * u**6 + 48 * u**7 - 21 * u**8)
        atoms.calc = model.calculator()
        assert atoms.get_potential_energy() == pytest.approx(expected, rel=2e-5, abs=1e-9)
        numerical = calculate_numerical_forces(atoms, 1e-5 * r)
        assert atoms.get_forces() == pytest.approx(numerical, rel=1e-4, abs=1e-6)


def test_bonds_keep_their_energy_to_the_last_digit() -> None:
    plain = ladera.load("ethanol-mace")
    for model in (plain, corrected(plain, zbl=True)):
        atoms = molecule("CH3CH2OH")
        atoms.calc = model.calculator()
        energy = atoms.get_potential_energy()
        if model is plain:
            expected = energy
    assert energy == expected


def test_dispersion_goes_along_with_a_committee(tmp_path: Path) -> None:
    members = [lennard_jones(), lennard_jones()]
    with torch.no_grad():
        members[1].epsilon *= 1.2  # type: ignore[operator]
    model = corrected(Committee(members), "pbe", zbl=True)
    atoms = water_like(6, 5.0, pbc=True, seed=3)
    atoms.calc = model.calculator()
    plain = Committee(members).calculator()
    assert atoms.calc.get_property("energy_std", atoms) == pytest.approx(
        plain.get_property("energy_std", atoms), rel=1e-9
    )
    alone = corrected(members[1], "pbe", zbl=True).calculator()
    member = float(atoms.calc.prediction.members[1].energy)
    assert member == pytest.approx(alone.get_potential_energy(atoms), abs=1e-9)
    assert isinstance(model.members[1], Corrected)

    model.save(tmp_path / "sum.ladera")
    loaded = ladera.load(tmp_path / "sum.ladera")
    assert hash_of_model(loaded) == hash_of_model(model)
    assert loaded.calculator().get_potential_energy(atoms) == atoms.get_potential_energy()
    described = describe_model(loaded)
    assert described["dispersion"] == "pbe:bj"
    assert described["zbl"] is True
    assert described["architecture"] == "committee"


def test_the_precision_of_the_model_stays(tmp_path: Path) -> None:
    model = corrected(ladera.load("ethanol-mace").float(), zbl=True)
    model.save(tmp_path / "sum.ladera")
    loaded = ladera.load(tmp_path / "sum.ladera")
    assert loaded.uncorrected.dtype == torch.float32
    assert np.isfinite(loaded.calculator().get_potential_energy(molecule("CH3CH2OH")))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda p: corrected(corrected(p, "pbe"), "pbe"), "has D3 dispersion already .pbe:bj."),
        (lambda p: corrected(corrected(p, zbl=True), zbl=True), "has the repulsion of nuclei"),
        (lambda p: corrected(p, "pbe:nought"), "no damping 'nought' .of 'pbe:nought'.; choose one"),
        (lambda p: corrected(p, "pbee"), "did you mean 'pbe'"),
        (lambda p: mace_mp(dispersion="False"), "dispersion of mace_mp is 'False'; give True"),
    ],
)
def test_what_cannot_be_added_with_dispersion(make: Any, sentence: str) -> None:
    with pytest.raises(LaderaError, match=sentence):
        make(lennard_jones())


def test_a_published_model_that_has_learned_dispersion() -> None:
    model = lennard_jones()
    model.provenance |= {"published_as": "mace-off-small", "dispersion": "D3(BJ)"}
    with pytest.raises(ConfigError, match=r"have dispersion in them \(D3\(BJ\)\)"):
        corrected(model, "wb97m")


def test_configurations_without_repulsion_are_as_they_were() -> None:
    """Else every older model would be another one."""
    assert "zbl" not in lennard_jones().config.model_dump(mode="json")


def test_a_model_may_learn_what_the_repulsion_leaves() -> None:
    config = LennardJonesConfig(
        species=("Ar",), cutoff=5.0, epsilon={"Ar": 0.01}, sigma={"Ar": 3.4}, zbl=True
    )
    model = ladera.build(config)
    assert isinstance(model, Corrected)
    crystal = bulk("Ar", a=1.9)
    plain = ladera.build(config.model_copy(update={"zbl": False}))
    repulsion = corrected(nothing("Ar", cutoff=5.0), zbl=True).calculator()
    energy = model.calculator().get_potential_energy(crystal)
    expected = plain.calculator().get_potential_energy(crystal)
    assert energy == pytest.approx(expected + repulsion.get_potential_energy(crystal), rel=1e-9)
    assert repulsion.get_potential_energy(crystal) > 1
    with pytest.raises(ValueError, match="beyond the cutoff 1; raise the cutoff"):
        LennardJonesConfig(
            species=("Ar",), cutoff=1.0, epsilon={"Ar": 1.0}, sigma={"Ar": 1.0}, zbl=True
        )


def test_the_kalman_filter_learns_what_the_repulsion_leaves() -> None:
    """Of labels that are the repulsion and nothing else, nothing is left."""
    from types import SimpleNamespace

    from ladera.models.hdnnp import HDNNP, HDNNPConfig
    from ladera.training.kalman.frames import FrameStore

    config = HDNNPConfig(species=("Ar",), cutoff=4.0, size="small", scaling="scale", zbl=True)
    model = ladera.build(config)
    assert isinstance(model, Corrected)
    assert isinstance(model.base, HDNNP)
    model.base.energy_scale.fill_(2.0)
    crystal = bulk("Ar", a=1.95, cubic=True)
    crystal.rattle(0.02, seed=0)
    crystal.calc = corrected(nothing("Ar"), zbl=True).calculator()
    labels = SimpleNamespace(
        energy=crystal.get_potential_energy(), forces=crystal.get_forces(), n_atoms=4
    )
    assert labels.energy > 1
    assert np.abs(labels.forces).max() > 0.1
    batches: Any = SimpleNamespace(dataset=[labels], graphs=[Graph.from_atoms(crystal, 4.0)])
    inputs = FrameStore(model.base, model, batches, forces=True, memory=1.0)[0]
    assert inputs.energy == pytest.approx(0, abs=1e-9)
    assert inputs.forces.numpy() == pytest.approx(0, abs=1e-9)
    plain = FrameStore(model.base, model.base, batches, forces=True, memory=1.0)[0]
    assert plain.energy == pytest.approx(labels.energy / 2)


def test_the_command_line_adds_dispersion(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    import json

    from ase.io import write

    from ladera.cli import main

    monkeypatch.chdir(tmp_path)
    write("copper.extxyz", bulk("Cu", cubic=True))
    emt = ["--calculator", "ase.calculators.emt:EMT", "copper.extxyz"]
    for words, code in (
        (["relax", *emt, "--dispersion", "pbe", "--zbl", "--fmax", "0.1"], 0),
        (["md", *emt, "--dispersion", "pbe:zero", "--steps", "3", "--output", "md"], 0),
        (["md", *emt, "--steps", "3", "--output", "md", "--resume"], 1),
        (["eos", *emt, "--dispersion", "pbf"], 1),
    ):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == code, capsys.readouterr().err
    error = capsys.readouterr().err
    assert "used another model" in error  # without its dispersion
    assert "D3(BJ) has no parameters for the functional 'pbf'; did you mean 'pbe'?" in error
    record = json.loads((tmp_path / "relax" / "settings.json").read_text())["model"]
    assert record["dispersion"] == "pbe:bj"
    assert record["zbl"] is True
