"""Nudged elastic bands: a vacancy that hops, the spread of a committee, bad ends."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from ase.optimize import BFGS

from argon import argon, one_thread  # noqa: F401
from ladera.cli import main
from ladera.errors import PropertyError
from ladera.graph import Graph
from ladera.potential import Committee
from ladera.potential.active_set import ActiveSet
from ladera.potential.reach import Reach
from ladera.properties import result
from ladera.properties.energy_path import energy_path
from ladera.properties.structures import require_relaxed
from ladera.simulation.preparation import SimulationWarning


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


def test_a_path_beyond_the_training_frames_is_doubted(tmp_path, monkeypatch):
    """Frames of both ends say nothing about the neighbours that the atom passes between."""
    model = argon(cutoff=8.0)
    monkeypatch.setattr(type(model), "free_atom_energies", lambda self: torch.zeros(1))
    start, end = vacancy(model.calculator)
    end.positions[0] += end.cell[0]  # another image of the cell
    met = [Graph.from_atoms(atoms, 8.0) for atoms in (start, end)]
    model.active_set = ActiveSet({}, reach=Reach.of(met, 8.0), floor=-0.01)
    with pytest.warns(SimulationWarning) as said:
        found = energy_path(start, end, images=5, fmax=0.02)
    low, far = found.doubts
    assert [str(each.message) for each in said] == [low, far]
    assert {each.filename for each in said} == {__file__}
    assert low.startswith("Image ")
    assert "meV/atom below all that the training frames, cooled down, could have" in low
    assert far.startswith("The path goes farther than the training frames reach, at image 2 for")
    assert "no Ar and Ar of the training frames are" in far
    found.save(tmp_path)
    assert result.load(tmp_path).doubts == found.doubts
    some = found.images
    between = [a + x * (b - a) for a, b in pairwise(some) for x in np.arange(0, 1.01, 0.1)]
    frames = [Atoms(start.symbols, places, cell=start.cell, pbc=True) for places in between]
    met = [Graph.from_atoms(frame, 8.0) for frame in frames]
    model.active_set = ActiveSet({}, reach=Reach.of(met, 8.0), floor=-10.0)
    assert energy_path(start, end, images=5, fmax=0.02).doubts == ()


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
