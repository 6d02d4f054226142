"""What was computed before an interruption is found again, and nothing of another model is."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from ase.optimize import LBFGS

from argon import argon, cluster, one_thread  # noqa: F401
from ladera import curvature, modelfile
from ladera.cli import main
from ladera.models.lennard_jones import LennardJones
from ladera.potential import Committee
from ladera.properties import memory, result
from ladera.properties.elasticity import elasticity
from ladera.properties.memory import RememberingCalculator
from ladera.properties.phonons import phonons
from ladera.properties.vibrations import vibrations


class Counting(LennardJones):
    """Argon that counts how often it is asked, and is interrupted when it has been too often."""

    calls = 0
    limit = 10**9

    def energies_and_edge_gradients(self, graph):
        Counting.calls += 1
        if Counting.calls > Counting.limit:
            raise KeyboardInterrupt
        return super().energies_and_edge_gradients(graph)


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(memory, "WORTH_KEEPING", 0.0)
    monkeypatch.setattr(Counting, "calls", 0)
    monkeypatch.setattr(Counting, "limit", 10**9)
    return Counting(argon().config).requires_grad_(False)


def relaxed(potential, folder):
    atoms = bulk("Ar", "fcc", a=5.382989)  # where this argon has no stress
    atoms.calc = RememberingCalculator(potential, folder)
    return atoms


def elastic(atoms):
    return elasticity(atoms)


def wave(atoms):
    return phonons(atoms, supercell=(2, 2, 2))


@pytest.mark.parametrize(("compute", "field"), [(elastic, "stiffness"), (wave, "bands")])
def test_an_interrupted_property_goes_on(model, tmp_path, monkeypatch, compute, field):
    expected = compute(relaxed(model, tmp_path / "whole"))
    needed = Counting.calls
    assert needed >= 3
    monkeypatch.setattr(Counting, "calls", 0)
    monkeypatch.setattr(Counting, "limit", needed // 2)
    with pytest.raises(KeyboardInterrupt):
        compute(relaxed(model, tmp_path / "part"))
    monkeypatch.setattr(Counting, "limit", 10**9)
    found = compute(relaxed(model, tmp_path / "part"))
    assert Counting.calls == needed + 1  # the one that was interrupted twice
    assert np.array_equal(getattr(found, field), getattr(expected, field))


def test_other_models_and_members_are_not_mixed_up(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "WORTH_KEEPING", 0.0)
    soft, hard = argon(epsilon=0.01), argon(epsilon=0.02)
    assert (
        relaxed(hard, tmp_path).get_potential_energy()
        == 2 * relaxed(soft, tmp_path).get_potential_energy()
    )
    both = elasticity(relaxed(Committee([soft, hard]), tmp_path))
    again = elasticity(relaxed(Committee([soft, hard]), tmp_path))
    assert np.array_equal(both.stiffness, again.stiffness)
    assert np.array_equal(both.spread["stiffness"], again.spread["stiffness"])
    assert both.spread["stiffness"][0, 0] > 0.1 * both.stiffness[0, 0]


def test_a_finished_result_keeps_no_evaluations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "WORTH_KEEPING", 0.0)
    modelfile.save(argon(), "argon.ladera")
    write("argon.extxyz", bulk("Ar", "fcc", a=5.382989))
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["eos", "argon.ladera", "argon.extxyz"])
    assert result.load("eos").kind == "equation_of_state"
    assert not (tmp_path / "eos" / "evaluations").exists()


def test_an_interrupted_hessian_goes_on(tmp_path, monkeypatch):
    """Its columns are made in blocks; here three at a time."""
    monkeypatch.setattr(memory, "WORTH_KEEPING", 0.0)
    monkeypatch.setattr(curvature, "_block", lambda *arguments: 3)
    made, real = [], curvature.HessianBlocks.columns

    def columns(blocks, first, end):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(first)
        return real(blocks, first, end)

    def found(folder):
        atoms = cluster(3)
        atoms.calc = argon().calculator()
        LBFGS(atoms, logfile=None).run(fmax=1e-4)
        atoms.calc = RememberingCalculator(argon(), tmp_path / folder)
        return vibrations(atoms)

    expected = found("whole")
    monkeypatch.setattr(curvature.HessianBlocks, "columns", columns)
    with pytest.raises(KeyboardInterrupt):
        found("part")
    assert made == [0, 3]
    made.clear()
    assert np.array_equal(found("part").frequencies, expected.frequencies)
    assert made == [6]  # nothing was made twice


def test_what_was_asked_belongs_to_what_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "WORTH_KEEPING", 0.0)
    first, second = (relaxed(argon(), tmp_path) for _ in range(2))
    first.get_forces()  # without the energies of the atoms
    assert second.calc.get_property("energies", second) == pytest.approx(
        [first.get_potential_energy()]
    )


def test_what_is_damaged_is_computed_again(model, tmp_path):
    atoms = cluster()
    atoms.calc = RememberingCalculator(model, tmp_path)
    expected = atoms.get_forces()
    (file,) = tmp_path.iterdir()
    sound = file.read_bytes()
    renamed = sound.replace(b"forces.npy", b"forced.npy")  # a checksum covers no names
    for damaged in (b"", sound[: len(sound) // 2], b"x" + sound[1:], renamed):
        file.write_bytes(damaged)
        atoms.calc = RememberingCalculator(model, tmp_path)
        np.testing.assert_array_equal(atoms.get_forces(), expected)
        assert file.read_bytes()[:2] == b"PK"
