"""The study of beta-hematin: its dimer, the penalty of a packing, pieces that are made once."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.build import molecule as small
from ase.cell import Cell
from scipy.sparse.csgraph import connected_components

import ladera
from conftest import small_mace
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig

EXAMPLE = Path(__file__).parents[1] / "examples" / "beta_hematin"
sys.path.insert(0, str(EXAMPLE))

import crystal  # noqa: E402
import molecule  # noqa: E402
import packing  # noqa: E402
import penalty  # noqa: E402
import potential  # noqa: E402
import spectra  # noqa: E402
from pieces import Folder, Piece  # noqa: E402
from springs import Springs  # noqa: E402

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
    assert {path.name for path in tmp_path.glob("*.*")} == {"first.json", "costs.json"}
    Folder(tmp_path).run(pieces)
    assert made == ["first", "second", "second"]
    assert len(ase.io.read(tmp_path / "second.extxyz", index=":")) == 1
    assert set(Folder(tmp_path).record("costs")) == {"first", "second"}


def test_a_piece_that_another_process_makes_is_waited_for(tmp_path):
    """It is not made twice, and both have what it took."""
    began, go_on, made = Event(), Event(), []

    def slow(folder):
        made.append("slow")
        began.set()
        go_on.wait(10)
        return {}

    pieces = [Piece("one.json", slow), Piece("two.json", lambda folder: made.append("two"))]
    first = Thread(target=Folder(tmp_path).run, args=(pieces[:1],))
    first.start()
    began.wait(10)
    second = Thread(target=Folder(tmp_path).run, args=(pieces,))
    second.start()
    second.join(0.2)
    assert made == ["slow"]
    go_on.set()
    first.join(10)
    second.join(10)
    assert made == ["slow", "two"]
    assert set(Folder(tmp_path).record("costs")) == {"one", "two"}


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
        symbols=("O", "C", "O"),
        positions=line,
        modes=modes,
        frequencies=np.array([1300.0, 2400, 700]),
        intensities=np.array([0.0, 500, 30]),
    )
    both = spectra.stretch(found, [(1, 0), (1, 2)])
    assert both["computed"] == 2400
    assert both["share"] == pytest.approx(1 + 12.011 / (12.011 + 15.999) * 15.999 / 12.011)
    found.intensities[:] = 900, 500, 1000
    one = spectra.stretch(found, [(1, 0)])
    assert one["computed"] in (1300, 2400)  # the bend is the brightest, and no stretch
    biases = {"acid C=O": {"each": [40.0, 60.0], "mean": 50.0}}
    assert spectra.corrected({"computed": 1750.0, "kind": "acid C=O"}, biases) == 1700


def test_a_bright_double_bond_is_no_single_one():
    """The C=O has more than half of what the C-O's own mode has of the C-O, and is brighter."""
    moves = np.zeros((2, 3, 3))
    moves[0, :, 2] = -1.0, 1.1, 0.2  # C-O, the first bond
    moves[1, :, 2] = 0.3, -1.2, 0.8  # C=O
    found = SimpleNamespace(
        symbols=("O", "C", "O"),
        positions=np.array([[0, 0, -1.3], [0, 0, 0], [0, 0, 1.2]]),
        modes=moves / np.linalg.norm(moves, axis=(1, 2))[:, None, None],
        frequencies=np.array([1210.0, 1690.0]),
        intensities=np.array([20.0, 900.0]),
    )
    assert spectra.stretch(found, [(1, 0)])["computed"] == 1690
    assert spectra.stretch(found, [(1, 0)], [(1, 2)])["computed"] == 1210
    assert spectra.stretch(found, [(1, 2)], [(1, 0)])["computed"] == 1690


def test_carboxyl_groups_and_a_pair_of_acids():
    """Each haem of the dimer has a free acid and a bound propionate; two acids meet as planned."""
    groups = spectra.carboxyl_bonds(molecule.dimer())
    assert [len(groups[kind]) for kind in ("acid", "bound")] == [2, 2]
    pair = crystal.acid_pair(molecule.dimer())
    assert pair.get_chemical_formula() == "C6H12O4"
    assert crystal.hydrogen_bonds(pair) == pytest.approx([2.65, 2.65], abs=1e-6)
    bound = molecule.bonds(pair)
    assert connected_components(bound)[0] == 2
    assert (bound.sum(axis=1)[pair.numbers == 6]).min() >= 3


def test_acids_meet_across_a_lattice_vector():
    found = packing.search(molecule.dimer(), CELL, cores=16, places=2, chains=2)
    best = min(found, key=lambda each: each.ring)
    shift = crystal.acid_translation(best.atoms)
    assert tuple(np.abs(shift)) == tuple(np.abs(best.translation))
    joined = best.atoms.copy()
    joined.positions += np.array(shift) @ CELL
    assert len(crystal.acid_contacts(best.atoms + joined)) == 2


def test_springs_are_those_of_the_packing_they_were_made_of(tmp_path):
    """Forces and stress are slopes of the energy, of a cell, a supercell and the dimer alone."""
    file = tmp_path / "packing.extxyz"
    rest = packing.search(molecule.dimer(), CELL, cores=8, places=1, chains=1)[0].atoms
    ase.io.write(file, rest)
    one = rest.copy()
    one.calc = Springs([str(file)])
    one.rattle(0.02, seed=1)
    two, alone = one.repeat((1, 1, 2)), crystal.alone(one)
    for copy in (two, alone):
        copy.calc = one.calc
    assert two.get_potential_energy() == pytest.approx(2 * one.get_potential_energy())
    assert two.get_stress() == pytest.approx(one.get_stress())
    for atoms in (one, alone):
        forces, h = atoms.get_forces().copy(), 1e-5
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[5, 1] += sign * h
            moved.calc = atoms.calc
            ends.append(moved.get_potential_energy())
        assert forces[5, 1] == pytest.approx((ends[1] - ends[0]) / (2 * h), rel=1e-5, abs=1e-6)
    stress, ends = one.get_stress()[3].copy(), []
    for sign in (1, -1):
        strained = one.copy()
        strain = np.eye(3)
        strain[1, 2] = strain[2, 1] = sign * 5e-6
        strained.set_cell(one.cell.array @ strain, scale_atoms=True)
        strained.calc = one.calc
        ends.append(strained.get_potential_energy())
    assert stress == pytest.approx((ends[0] - ends[1]) / 2e-5 / one.cell.volume, rel=1e-4)


def test_work_is_estimated_by_its_units(tmp_path):
    """Of what is there nothing is to do."""
    folder = Folder(tmp_path)
    (tmp_path / "samples.json").write_text('{"step": 0.5, "label": 7.0}')
    (tmp_path / "done.json").write_text("{}")
    make = SimpleNamespace()
    pieces = [
        Piece("done.json", make, {"step": 1000}),
        Piece("labels.extxyz", make, {"label": 10, "step": 20}),
        Piece("figure.png", make),
    ]
    lines = folder.estimate(pieces)
    assert lines[1:] == ["  labels.extxyz: 80 CPU s", "  in all: 80 CPU s"]


def test_a_relaxation_that_was_cut_goes_on(tmp_path, monkeypatch):
    """To the same bytes, from the last leg that was done, whatever a kill left of the next."""
    config = LennardJonesConfig(
        species=("Ar",), cutoff=6.0, epsilon={"Ar": 0.0104}, sigma={"Ar": 3.4}
    )
    model = LennardJones(config)
    start = bulk("Ar", a=5.6, cubic=True)
    start.rattle(0.2, seed=1)
    start.set_cell(0.97 * start.cell, scale_atoms=True)
    monkeypatch.setattr(crystal, "LEG", 5)
    whole = crystal.relaxed(start, model, tmp_path / "whole", cell=True, fmax=1e-3, steps=200)
    assert whole.info["relaxed"]
    legs = sorted((tmp_path / "whole").iterdir())
    assert len(legs) > 1
    cut = tmp_path / "cut"
    cut.mkdir()
    shutil.copy2(legs[0], cut)
    (cut / "leg-01").mkdir()  # what a kill leaves of the next one
    (cut / "leg-01" / "relax.csv").write_text("step,")
    again = crystal.relaxed(start, model, cut, cell=True, fmax=1e-3, steps=200)
    assert np.array_equal(again.cell.array, whole.cell.array)
    assert [leg.read_bytes() for leg in sorted(cut.iterdir())] == [leg.read_bytes() for leg in legs]
    far = crystal.relaxed(start, model, tmp_path / "far", cell=True, fmax=1e-12, steps=4)
    assert not far.info["relaxed"]


def test_a_universal_mace_is_tuned_by_replay(tmp_path):
    """Where no universal MACE can be had, the study's branch for one runs on a small one."""
    base, new, old = (tmp_path / name for name in ("base.ladera", "new.xyz", "old.xyz"))
    small_mace().save(base)
    ice = small("H2O")
    ice.set_cell([4.0, 4.0, 4.0])
    ice.set_pbc(True)
    frames = potential.shaken(ice, 10)
    for atoms in frames:
        atoms.calc = small_mace(channels=3).calculator()
        atoms.get_stress()
    ase.io.write(new, frames)
    ase.io.write(old, frames[:4])
    found = potential.tuned(str(base), [new], old, 1, tmp_path / "tuned")
    tuned = ladera.load(tmp_path / found["model"])
    assert len(tuned.config.heads) == 2
    told = potential.errors(tuned, frames)
    assert np.isfinite(told["force_mae"])
