"""What a training, an evaluation and a suggestion say when something is not as it seems."""

from __future__ import annotations

import base64
import gc
import pickle
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from scipy.linalg import expm

from argon import argon as lennard_jones
from argon import crystal
from conftest import hdnnp_generated, small_mace, water_like
from ladera import Graph, cli, evaluate
from ladera.codes.published import registry
from ladera.errors import ConfigError, DataError, ModelFileError, TrainingError
from ladera.models.hdnnp.dipole import HDNNPDipole, HDNNPDipoleConfig
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.relaxation import relax
from ladera.simulation.rest import _logarithm
from ladera.simulation.settings import MDSettings
from ladera.training.trainer import train
from training_runs import config as configuration


def test_a_cutoff_that_no_neighbour_is_within_is_refused(tmp_path: Path) -> None:
    """Crystals in nanometres, or a cutoff in them: it ended with constant energies, silently."""
    config = configuration(tmp_path)
    assert config.model is not None
    short = config.model.model_copy(update={"cutoff": 2.0})
    with pytest.raises(ConfigError, match=r"model.cutoff is 2 Angstrom, and no atom .* data.units"):
        train(config.model_copy(update={"model": short}), tmp_path / "run")


@pytest.mark.filterwarnings("ignore")
def test_a_training_that_diverged_ends_with_an_error(tmp_path: Path) -> None:
    """Guessing the mean of the labels is named beside it; there is no model to be mistaken."""
    config = configuration(tmp_path, optimizer={"name": "adam", "learning_rate": 1e4}, epochs=2)
    with pytest.raises(TrainingError, match=r"diverged.*energy .* meV/atom, the mean .*learning_"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run/model.ladera").exists()


@pytest.mark.parametrize("name", ["trajectory.traj", "frames.extxyz"])
def test_a_models_own_labels_are_no_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    model = lennard_jones()
    model.save("argon.ladera")
    settings = MDSettings(ensemble="nve", temperature=20.0, timestep=5.0, steps=4)
    atoms = crystal(1)
    atoms.rattle(0.05, seed=1)
    run_md(atoms, model, settings, tmp_path / "md")
    frames = ase.io.read("md/trajectory.traj", ":")
    if name == "frames.extxyz":
        ase.io.write(name, frames)  # eight decimals
    file = "md/trajectory.traj" if name == "trajectory.traj" else name
    with pytest.raises(SystemExit, match="1"):
        cli.main(["evaluate", "argon.ladera", file])
    assert "are this model's own predictions" in " ".join(capsys.readouterr().err.split())
    lennard_jones(epsilon=0.0105).save("other.ladera")
    with pytest.raises(SystemExit, match="0"):
        cli.main(["evaluate", "other.ladera", file])


@pytest.mark.parametrize("make", [hdnnp_generated, small_mace, lennard_jones])
def test_a_graph_of_a_shorter_cutoff_is_refused(make) -> None:
    model = make()
    atoms = crystal(1) if "Ar" in model.symbols else water_like(6, 6.0, True, 1)
    short = Graph.from_atoms(atoms, model.cutoff - 0.5)
    long = Graph.from_atoms(atoms, model.cutoff + 0.5)
    assert Graph.batch([short, long]).cutoff == short.cutoff
    with pytest.raises(DataError, match=r"pairs up to .* make it with the model's cutoff"):
        evaluate(model, short)
    assert short.to(torch.float32).cutoff == short.cutoff
    expected = evaluate(model, Graph.from_atoms(atoms, model.cutoff)).energy
    torch.testing.assert_close(evaluate(model, long).energy, expected, rtol=1e-12, atol=0)


def test_functions_without_a_range_put_no_training_atom_outside() -> None:
    """Their values vary by rounding; a neighbour that no training frame had still counts."""
    model = hdnnp_generated()
    frames = [Graph.from_atoms(water_like(12, 6.0, True, seed), model.cutoff) for seed in range(4)]
    low, high = model.minimum.clone(), model.maximum.clone()
    model.minimum[:, 0] = model.maximum[:, 0] = (low[:, 0] + high[:, 0]) / 2
    spread = float((high - low)[:, 0].max()) / 2
    assert spread > 0.01
    assert any(bool((model.grade(frame) > 1).any()) for frame in frames)  # it does vary
    quiet = hdnnp_generated()
    middle = [G[:, 0] for G in map(quiet.symmetry_functions, frames)]
    index = [quiet.element_index(frame) for frame in frames]
    for element in range(2):
        values = torch.cat([G[i == element] for G, i in zip(middle, index, strict=True)])
        quiet.minimum[element, 0] = quiet.maximum[element, 0] = values[0]
    for frame, G, i in zip(frames, middle, index, strict=True):
        moved = (G - quiet.minimum[i, 0]).abs()
        assert torch.equal(quiet.grade(frame) > 1, moved > 0.01)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mace-off23-small", "mace-off-small"),
        ("MACE-OFF23_medium", "mace-off-medium"),
        ("mace-mp-0-small", "mace-mp-small"),
        ("mace-mpa-0-medium", "mace-mpa-0"),
        ("mace-omat-0-medium", "mace-omat-0"),
        ("MACE-MATPES-PBE-0", "mace-matpes-pbe-0"),
        ("mh-1", "mace-mh-1"),
        ("small-0b2", "mace-mp-0b2-small"),
        ("medium-mpa-0", "mace-mpa-0"),
    ],
)
def test_models_are_known_by_the_names_of_others(name: str, expected: str) -> None:
    assert registry.is_name(name)
    assert registry.find(name).name == expected


@pytest.mark.parametrize("name", ["mace-mp-0", "MACE-MP-0", "mace-mp-0a", "mace_mp_0"])
def test_a_name_of_several_models_names_them(name: str) -> None:
    with pytest.raises(ModelFileError, match="mace-mp-small, mace-mp-medium, mace-mp-large"):
        registry.find(name)
    with pytest.raises(ModelFileError, match="choose one of: mace-off-small"):
        registry.find("mace-off23")


def test_the_logarithm_of_a_deformation() -> None:
    generator = np.random.default_rng(0)
    for size in (1e-9, 1e-3, 0.1, 0.4):
        strain = size * generator.standard_normal((3, 3))
        np.testing.assert_allclose(_logarithm(expm(strain)), strain, atol=1e-13)
    shear = np.array([[1.0, 0.5, 0.2], [0, 1, 0.3], [0, 0, 1]])  # has no basis of eigenvectors
    np.testing.assert_allclose(expm(_logarithm(shear)), shear, atol=1e-13)


def test_a_cell_relaxes_without_a_word_about_logarithms() -> None:
    atoms = crystal(1)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.02 * np.ones((3, 3))), scale_atoms=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert relax(atoms, lennard_jones(), fmax=1e-4, cell=True, steps=300).converged


def test_copies_in_other_processes_and_threads() -> None:
    """A used model with dipoles, sent where another is at work, keeps its own functions."""
    atoms = water_like(6, 4.0, False, 1)
    models = [dipole_model(seed, size) for seed, size in ((0, "small"), (1, "medium"))]
    calculators = [model.calculator() for model in models]
    expected = [calculator.get_property("dipole", atoms) for calculator in calculators]
    sent = [pickle.dumps(calculator) for calculator in calculators]
    code = (
        "import pickle, sys, base64\n"
        "from ase.io import read\n"
        "for word in sys.argv[2:]:\n"
        "    calculator = pickle.loads(base64.b64decode(word))\n"
        "    calculator.reset()\n"
        "    print(*calculator.get_property('dipole', read(sys.argv[1])))\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/atoms.traj"
        ase.io.write(path, atoms)
        words = [base64.b64encode(each).decode() for each in reversed(sent)]
        files = [Path(folder) / f"{k}" for k in range(2)]
        for file, word in zip(files, words, strict=True):
            file.write_text(word)
        code = code.replace("sys.argv[2:]", "[open(f).read() for f in sys.argv[2:]]")
        done = subprocess.run(
            [sys.executable, "-c", code, path, *map(str, files)],
            capture_output=True,
            text=True,
            check=True,
        )
    said = [[float(word) for word in line.split()] for line in done.stdout.splitlines()]
    np.testing.assert_allclose(said[::-1], expected, rtol=1e-12)
    with ThreadPoolExecutor(4) as pool:
        jobs = [k % 2 for k in range(16)]
        found = pool.map(lambda k: models[k].calculator().get_property("dipole", atoms), jobs)
        for k, dipole in zip(jobs, found, strict=True):
            np.testing.assert_allclose(dipole, expected[k], rtol=1e-12)


def dipole_model(seed: int, size: str) -> HDNNPDipole:
    torch.manual_seed(seed)
    return HDNNPDipole(HDNNPDipoleConfig(species=("H", "O"), cutoff=4.0, size=size)).eval()


def test_the_gradient_outlives_its_model() -> None:
    atoms = water_like(6, 4.0, False, 1)
    model = dipole_model(0, "small")
    graph = Graph.from_atoms(atoms, model.cutoff)
    vectors = graph.vectors.clone().requires_grad_()
    values = model.symmetry_functions(replace(graph, vectors=vectors))
    expected = torch.autograd.grad(values.sum(), vectors, retain_graph=True)[0]
    del model
    gc.collect()
    torch.testing.assert_close(torch.autograd.grad(values.sum(), vectors)[0], expected)
