"""Nudged elastic bands: a vacancy that hops, the spread of a committee, bad ends."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from ase.optimize import BFGS

from argon import argon, one_thread  # noqa: F401
from ladera.cli import main
from ladera.errors import PropertyError
from ladera.potential import Committee
from ladera.properties import result
from ladera.properties.energy_path import energy_path
from ladera.properties.structures import require_relaxed


def vacancy(calculator_of) -> tuple[Atoms, Atoms]:
    """A face-centred crystal without one atom, and the same after its neighbour's hop."""
    perfect = bulk("Ar", "fcc", a=5.26, cubic=True) * 2
    start = perfect.copy()
    del start[0]
    end = start.copy()
    hop = int(np.argmin(np.linalg.norm(start.positions - perfect.positions[0], axis=1)))
    end.positions[hop] = perfect.positions[0]
    for atoms in (start, end):
        atoms.calc = calculator_of()
        BFGS(atoms, logfile=None).run(fmax=0.002)
    return start, end


def test_a_vacancy_hops_over_a_symmetric_barrier():
    start, end = vacancy(argon(cutoff=8.0).calculator)
    found = energy_path(start, end, images=7, fmax=0.005)
    assert found.reaction_energy == pytest.approx(0, abs=1e-4)
    assert found.energies == pytest.approx(found.energies[::-1], abs=2e-3)
    assert int(np.argmax(found.energies)) == 3
    # Lennard-Jones vacancies migrate over some 4 to 6 epsilon.
    assert 3 < found.barrier / 0.0104 < 8
    assert found.residual <= 0.005
    frames, labels = found.motion()
    assert len(frames) == len(labels) == 12


def test_a_committee_has_a_spread_along_the_path(tmp_path):
    members = Committee([argon(0.0104), argon(0.0110), argon(0.0098)])
    start, end = vacancy(members.calculator)
    found = energy_path(start, end, images=5, fmax=0.01)
    # Energies of the members go with epsilon, which is spread by 5.8 %.
    assert found.spread["barrier"] == pytest.approx(0.0577 * found.barrier, rel=0.1)
    assert found.spread["energies"][0] == 0
    found.save(tmp_path)
    assert result.load(tmp_path).spread["barrier"] == pytest.approx(found.spread["barrier"])
    assert found.table().cells[0][0].deviation == found.spread["barrier"]


def test_bad_ends_are_named():
    atoms = bulk("Cu", cubic=True)
    atoms.calc = EMT()
    require_relaxed(atoms, cell=False)
    with pytest.raises(PropertyError, match="the same structure"):
        energy_path(atoms, atoms.copy())
    other = atoms.copy()
    other.numbers[0] = 47
    with pytest.raises(PropertyError, match="different atoms"):
        energy_path(atoms, other)
    wider = atoms.copy()
    wider.set_cell(4 * np.eye(3))
    with pytest.raises(PropertyError, match="different cells"):
        energy_path(atoms, wider)
    moved = atoms.copy()
    moved.positions[0] += 0.5
    with pytest.raises(PropertyError, match="not relaxed"):
        energy_path(atoms, moved)


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    argon().save("model.ladera")
    start, end = vacancy(argon().calculator)
    write("start.extxyz", start)
    write("end.extxyz", end)
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["neb", "model.ladera", "start.extxyz", "end.extxyz", "--images", "5"])
    assert "barrier" in capsys.readouterr().out
    assert (tmp_path / "neb" / "path.extxyz").is_file()
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["neb", "model.ladera", "start.extxyz"])
    assert "needs MODEL, START and END" in capsys.readouterr().err
