"""The models that come with the package: what they promise, and a spectrum without a network."""

from __future__ import annotations

import urllib.request
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import molecule
from ase.io import write
from ase.spacegroup import crystal

import ladera
from ladera import cli, table_files
from ladera.data import formats
from ladera.errors import ModelFileError
from ladera.simulation.dispersion import D3
from ladera.training.evaluation import evaluate_dataset

NAMES = ("ethanol-mace", "ethanol-hdnnp")
EMBEDDED = files("ladera.data").joinpath("embedded")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was downloaded")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def run(*words: str) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(list(words))
    assert end.value.code == 0


@pytest.mark.parametrize("name", NAMES)
def test_errors_on_the_test_frames_are_those_of_its_own_evaluation(name: str) -> None:
    potential = ladera.load(name)
    frames = formats.read(Path(str(EMBEDDED.joinpath("ethanol.extxyz.gz"))))
    test = frames[np.flatnonzero(frames.column("subset") == "test")]
    found = evaluate_dataset(potential, test).to_json()
    stored = potential.provenance["errors"]["test"]
    assert found["n_frames"] == 100
    for quantity in ("energy", "forces", "dipole"):
        assert found[quantity]["mae"] == pytest.approx(stored[quantity]["mae"], rel=1e-6)
        assert found[quantity]["r2"] > 0.99
    assert potential.provenance["published_as"] == name


@pytest.mark.parametrize("name", NAMES)
def test_its_configuration_is_the_one_beside_it(name: str) -> None:
    """scripts/make_models.py would make the same again."""
    given = yaml.safe_load(EMBEDDED.joinpath(f"{name}.yaml").read_text())
    made = ladera.load(name).provenance["config"]
    for section in ("model", "loss", "optimizer", "schedule"):
        for key, value in given[section].items():
            assert made[section][key] == value, (section, key)
    assert made["epochs"] == given["epochs"]
    assert Path(str(EMBEDDED.joinpath(f"{name}.ladera"))).stat().st_size < 2_000_000


def test_energy_frequencies_and_spectrum_as_a_user_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write("molecule.xyz", molecule("CH3CH2OH"))
    run("info", "ethanol-mace")
    assert "mace for H, C, O" in capsys.readouterr().out
    run("relax", "ethanol-mace", "molecule.xyz", "--fmax", "0.001", "--output", "relaxed")
    run("ir", "ethanol-mace", "relaxed/relaxed.extxyz", "--output", "ir")
    from ladera.properties import result

    found = result.load("ir")
    frequencies, intensities = found.frequencies, found.intensities
    assert len(frequencies) == 21
    assert 0.3 < found.largest_grade <= 1
    assert table_files.read("relaxed/relax.csv")["largest_grade"][-1] == pytest.approx(
        found.largest_grade, rel=1e-6
    )
    assert f"Largest grade of an atom: {found.largest_grade:.3g};" in capsys.readouterr().out
    assert frequencies.min() > 100  # none imaginary: a minimum
    assert 3600 < frequencies[-1] < 4000  # O-H
    assert 2800 < frequencies[-2] < 3300  # C-H
    assert np.sort(intensities)[-3:].min() > 20


def test_the_conductor_is_a_small_student_whose_crystal_is_at_rest() -> None:
    """Li3OCl of li3ocl-mtp beside its teacher, SevenNet-0, whose lattice constant is 3.903 Å."""
    student = ladera.load("li3ocl-mtp")
    assert student.provenance["published_as"] == "li3ocl-mtp"
    assert Path(str(EMBEDDED.joinpath("li3ocl-mtp.ladera"))).stat().st_size < 200_000
    assert "/" not in student.provenance["command"]  # of nobody's folders
    sites = [(0.5, 0.5, 0), (0.5, 0.5, 0.5), (0, 0, 0)]
    cell = crystal(("Li", "O", "Cl"), sites, spacegroup=221, cellpar=[3.95] * 3 + [90] * 3)
    relaxed = ladera.relax(cell, student, cell=True, fmax=1e-4).atoms
    assert relaxed.cell.lengths() == pytest.approx(3.903, abs=0.01)
    relaxed.calc = student.calculator()
    found = ladera.elasticity(relaxed)
    assert found.stable
    assert found.bulk_modulus[2] == pytest.approx(47, abs=6)  # GPa


def test_methanol_is_at_the_level_of_ethanol() -> None:
    """B3LYP/def2-SVP, so that a model of ethanol is fine-tuned by what is new in the molecule."""
    frames = formats.read(Path(str(EMBEDDED.joinpath("methanol.extxyz.gz"))))
    parts, counts = np.unique(frames.column("subset"), return_counts=True)
    assert dict(zip(parts.tolist(), counts.tolist(), strict=True)) == {"test": 8, "train": 20}
    assert {each.formula for each in frames} == {"CH4O"}
    assert all(np.abs(each.forces.sum(axis=0)).max() < 1e-3 for each in frames)
    assert all(0.1 < np.linalg.norm(each.dipole) < 0.7 for each in frames)  # e*Angstrom


def test_dispersion_adds_to_a_model_by_name() -> None:
    pytest.importorskip("dftd3", reason="dftd3 is not installed")
    ethanol = molecule("CH3CH2OH")
    energies = []
    for calculator in (
        ladera.mace_mp("ethanol-mace"),
        D3("b3lyp"),
        ladera.mace_mp("ethanol-mace", dispersion=True, dispersion_xc="b3lyp"),
    ):
        ethanol.calc = calculator
        energies.append(ethanol.get_potential_energy())
    assert energies[2] == pytest.approx(energies[0] + energies[1], abs=1e-9)
    assert energies[1] < -0.1


def test_a_name_that_is_almost_right() -> None:
    with pytest.raises(ModelFileError, match="did you mean 'ethanol-mace'"):
        ladera.load("ethanol-mcae")
