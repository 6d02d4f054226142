"""The study of beta-hematin: its dimer, the penalty of a packing, pieces that are made once."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.build import molecule as small
from ase.cell import Cell

from ladera.models.lennard_jones import LennardJones, LennardJonesConfig

EXAMPLE = Path(__file__).parents[1] / "examples" / "beta_hematin"
sys.path.insert(0, str(EXAMPLE))

import crystal  # noqa: E402
import molecule  # noqa: E402
import packing  # noqa: E402
import penalty  # noqa: E402
import spectra  # noqa: E402
from pieces import Folder, Piece  # noqa: E402

CELL = np.array(Cell.fromcellpar(crystal.PUBLISHED))


def test_side_chains_and_both_isomers():
    """Three bonds of the acid, two vinyls, four methyls; two exchanges bring the isomer back."""
    dimer, other = molecule.dimer(), molecule.dimer("d")
    groups = [torsion.group for torsion in molecule.torsions(dimer)]
    assert sorted(groups) == ["acid"] * 3 + ["methyl"] * 4 + ["vinyl"] * 2
    assert other.get_chemical_formula() == dimer.get_chemical_formula()
    assert np.allclose(other.positions[:74], -other.positions[74:])
    assert molecule.bonds(other).sum() == molecule.bonds(dimer).sum()
    back = molecule.other_isomer(other)
    assert np.abs(back.positions - dimer.positions).max() < 0.05
    assert ring_of_vinyl(dimer) != ring_of_vinyl(other)


def ring_of_vinyl(dimer) -> list[float]:
    """From the free acid's carbon to the vinyls' first, in bonds: other in the other isomer."""
    bonds = molecule.distances_in_bonds(dimer)
    tips = [t.tip for t in molecule.torsions(dimer) if t.group == "vinyl"]
    return sorted(bonds[molecule.acid(dimer).carbon, tip] for tip in tips)


def test_slopes_of_the_penalty():
    """Against differences, turned by chance, with an acid that is far from its image."""
    problem = penalty.Problem.of(molecule.dimer(), CELL)
    centre = np.array([1, 0, -1]) @ CELL / 2
    x, h = np.random.default_rng(0).normal(size=13), 1e-6
    parts, slopes = problem.parts(centre, x)
    assert (parts > 0).all()
    for k, step in enumerate(h * np.eye(13)):
        up, down = (problem.parts(centre, x + sign * step)[0].sum() for sign in (1, -1))
        assert slopes[k] == pytest.approx((up - down) / (2 * h), rel=1e-5, abs=1e-3)


def test_the_clash_is_that_of_all_images():
    """Counted atom by atom over the cells around, those of one rigid molecule left out."""
    problem = penalty.Problem.of(molecule.dimer(), CELL, core=True)
    x = np.random.default_rng(1).normal(size=4)
    crystal_ = problem.placed(x)
    contacts = np.tile(problem.numbers.contacts, (2, 2))
    total = 0.0
    for shift in np.ndindex(7, 7, 7):
        shift = np.array(shift) - 3
        if not shift.any():
            continue
        apart = crystal_.positions[:, None] - crystal_.positions - shift @ CELL
        gap = np.maximum(contacts - np.linalg.norm(apart, axis=2), 0)
        total += float((gap**2).sum()) / 2
    assert total > 10
    assert problem.parts(np.full(3, np.nan), x)[0][0] == pytest.approx(total)


def test_a_small_search_joins_the_acids():
    """What it keeps is whole, centrosymmetric, and has each acid opposite to another one."""
    found = packing.search(molecule.dimer(), CELL, cores=16, places=2, chains=2)
    assert [each.penalty for each in found] == sorted(each.penalty for each in found)
    best = min(found, key=lambda each: each.ring)
    assert np.allclose(best.atoms.positions[:74], -best.atoms.positions[74:])
    assert best.ring < 0.3
    again = packing.search(molecule.dimer(), CELL, cores=16, places=2, chains=2)
    assert [each.penalty for each in again] == [each.penalty for each in found]


def test_pieces_are_made_once_and_whole(tmp_path):
    """A piece that fails leaves nothing; one that is there is not made again."""
    made = []

    def first(folder: Folder) -> dict[str, int]:
        made.append("first")
        return {"one": 1}

    def second(folder: Folder) -> list:
        made.append("second")
        if made.count("second") == 1:
            raise KeyboardInterrupt
        return [small("H2O")] * folder.record("first")["one"]

    pieces = [Piece("first.json", first), Piece("second.extxyz", second)]
    with pytest.raises(KeyboardInterrupt):
        Folder(tmp_path).run(pieces)
    assert [path.name for path in tmp_path.iterdir()] == ["first.json"]
    Folder(tmp_path).run(pieces)
    assert made == ["first", "second", "second"]
    assert len(ase.io.read(tmp_path / "second.extxyz", index=":")) == 1


def test_which_mode_is_a_stretch():
    """Of C-O and C=O that vibrate in phase and against each other the brighter one is taken."""
    masses = np.array([15.999, 12.011, 15.999])
    line = np.array([[0, 0, -1.2], [0, 0, 0], [0, 0, 1.2]])
    moves = np.zeros((3, 3, 3))
    moves[0, :, 2] = 1, 0, -1  # symmetric
    moves[1, :, 2] = 1, -2 * masses[0] / masses[1], 1  # asymmetric
    moves[2, :, 0] = 1, -2 * masses[0] / masses[1], 1  # a bend
    modes = moves / np.linalg.norm(moves, axis=(1, 2))[:, None, None]
    found = SimpleNamespace(
        symbols=("O", "C", "O"), positions=line, modes=modes, intensities=np.array([0.0, 500, 30])
    )
    both, share = spectra.stretch(found, [(1, 0), (1, 2)])
    assert both == 1
    assert share == pytest.approx(1 + 12.011 / (12.011 + 15.999) * 15.999 / 12.011)
    found.intensities[:] = 900, 500, 1000
    assert spectra.stretch(found, [(1, 0)])[0] in (0, 1)


def test_a_relaxation_that_was_cut_goes_on(tmp_path):
    """From the last whole frame of the last attempt that has one, whatever a kill left of it."""
    config = LennardJonesConfig(
        species=("Ar",), cutoff=6.0, epsilon={"Ar": 0.0104}, sigma={"Ar": 3.4}
    )
    model = LennardJones(config)
    start = bulk("Ar", a=5.6)
    crystal.relaxed(start, model, tmp_path, cell=True, fmax=1e-3, steps=3)
    half = ase.io.read(tmp_path / "attempt-00" / "trajectory.traj", index=-1)
    cut = tmp_path / "attempt-01"
    cut.mkdir()
    whole = (tmp_path / "attempt-00" / "trajectory.traj").read_bytes()
    (cut / "trajectory.traj").write_bytes(whole[:100])
    crystal.relaxed(start, model, tmp_path, cell=True, fmax=1e-3, steps=1)
    first = ase.io.read(tmp_path / "attempt-02" / "trajectory.traj", index=0)
    assert first.cell.volume == pytest.approx(half.cell.volume)
    assert first.cell.volume != pytest.approx(start.cell.volume)
