"""`ladera grade`: a model from elsewhere learns where it is lost, and everything says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write

import ladera
from ladera.cli import main
from ladera.simulation.preparation import SimulationWarning


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def ethanols(n: int) -> list[Atoms]:
    found = []
    for seed in range(n):
        atoms = molecule("CH3CH2OH")
        atoms.rattle(0.05, seed=seed)
        found.append(atoms)
    return found


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graded")
    write(folder / "frames.extxyz", ethanols(40))
    elsewhere = ladera.load("ethanol-mace")
    elsewhere.active_set = None
    elsewhere.save(folder / "bare.ladera")
    files = (folder / name for name in ("bare.ladera", "frames.extxyz"))
    assert command("grade", *files, "--output", folder / "g.ladera") == 0
    return folder / "g.ladera"


def test_the_model_is_the_same_but_for_its_grades(graded, capsys):
    bare = graded.parent / "bare.ladera"
    before, after = ladera.load(bare), ladera.load(graded)
    frames = ethanols(3)
    one, two = (ladera.predict(model, frames) for model in (before, after))
    np.testing.assert_array_equal(one["energy"], two["energy"])
    assert one.grade is None
    assert two.grade is not None
    assert two.grade.max() <= 1
    assert command("info", graded) == 0
    assert "Knows when it is lost: yes" in capsys.readouterr().out
    assert command("info", bare) == 0
    assert "Knows when it is lost: no; 'ladera grade' adds" in capsys.readouterr().out


def test_a_relaxation_into_the_unknown_warns(graded):
    torn = molecule("CH3CH2OH")
    torn.positions[2] += (0.0, 2.5, 2.5)  # the hydroxyl's oxygen and what hangs on it stay behind
    with pytest.warns(SimulationWarning) as said:
        ladera.relax(torn, graded, steps=2)
    lost, beyond = (str(each.message) for each in said)
    assert "span the training data" in lost
    assert "far outside" in lost
    assert "no C and O of the training frames are farther apart than" in beyond


def test_a_file_that_is_there_is_kept_and_a_foreign_calculator_refused(graded, tmp_path, capsys):
    frames, before = graded.parent / "frames.extxyz", graded.read_bytes()
    assert command("grade", "ethanol-mace", frames, "--output", graded) == 1
    assert graded.read_bytes() == before
    foreign = ("grade", "ase.calculators.emt:EMT", frames, "--output", tmp_path / "emt.ladera")
    assert command(*foreign) == 1
    assert "has no last layer" in capsys.readouterr().err
