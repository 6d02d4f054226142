"""The active set: rows of the largest determinant, grades by them, and the files that hold it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from torch import Tensor

import ladera
from conftest import POTENTIALS, hdnnp_generated, moment_tensor, small_mace, water_like
from ladera import Committee, Graph, Potential, modelfile
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.data.graphs import GraphStore
from ladera.errors import ModelFileError
from ladera.potential import ActiveSet, active_set, evaluate
from ladera.potential.active_set import MaxVol
from ladera.simulation.preparation import SimulationWarning
from ladera.simulation.relaxation import relax
from ladera.training.active_set import choose_active_set
from ladera.training.trainer import train
from test_4g import model as new_4g
from training_runs import argon, config, hdnnp

MODELS = {
    "hdnnp": hdnnp_generated,
    "hdnnp_4g": new_4g,
    "mace": POTENTIALS["mace"],
}


def random_rows(n: int, m: int, seed: int = 0) -> Tensor:
    return torch.randn(n, m, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def settled(rows: Tensor) -> MaxVol:
    chosen = MaxVol(rows.pow(2).mean(0).sqrt())
    while chosen.offer(rows):
        pass
    return chosen


def graded(features: Tensor, of: Tensor, block: int = 1000) -> Tensor:
    """Grades of features by the active set of others, all of one element."""
    kinds = torch.ones(len(of), dtype=torch.int64)
    chosen = ActiveSet.of(lambda: zip(kinds.split(block), of.split(block), strict=True))
    return chosen.grade(kinds.new_ones(len(features)), features)


# --- rows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_no_single_row_makes_the_determinant_larger(seed):
    rows = random_rows(14, 4, seed)
    found = settled(rows).rows
    volume = abs(float(torch.linalg.det(found)))
    for k in range(4):
        for row in rows:
            other = found.clone()
            other[k] = row
            assert abs(float(torch.linalg.det(other))) <= active_set.SWAP * volume
    best = max(abs(float(torch.linalg.det(rows[list(k)]))) for k in combinations(range(14), 4))
    assert 0.5 * best < volume <= best * (1 + 1e-12)


def test_every_swap_makes_the_determinant_larger():
    rows = random_rows(200, 6)
    chosen = MaxVol(torch.ones(6, dtype=torch.float64))
    volumes = [abs(float(torch.linalg.det(chosen.rows)))]
    for block in rows.split(5):
        swaps = chosen.offer(block)
        volumes.append(abs(float(torch.linalg.det(chosen.rows))))
        assert volumes[-1] >= volumes[-2] * active_set.SWAP**swaps * (1 - 1e-9)
        product = chosen.rows @ chosen.inverse
        torch.testing.assert_close(product, torch.eye(6, dtype=torch.float64), atol=1e-9, rtol=0)
    assert volumes[-1] > 1e15 * volumes[0]


def test_the_largest_grade_of_the_training_set_is_one_however_it_comes():
    rows = random_rows(3000, 12) @ random_rows(12, 12, 1)
    for block in (1, 17, 3000):
        grades = graded(rows, rows, block) if block > 1 else graded(rows[:50], rows[:50], 1)
        assert 0.999 / active_set.SWAP <= float(grades.max()) <= 1
    far = graded(5 * rows[:10], rows)
    torch.testing.assert_close(far, 5 * graded(rows[:10], rows))


def test_grades_do_not_depend_on_the_units_of_features():
    rows, others = random_rows(500, 6), random_rows(20, 6, 1)
    units = torch.tensor([1e-6, 1.0, 1e3, 10.0, 1e5, 1e-2], dtype=torch.float64)
    torch.testing.assert_close(graded(others * units, rows * units), graded(others, rows))


def test_what_the_data_never_spanned_is_extrapolation():
    """Rows in a plane of three dimensions: by how much another leaves it, over the tolerance."""
    plane = random_rows(2, 3)
    rows = random_rows(400, 2, 1) @ plane
    normal = torch.linalg.cross(plane[0], plane[1])
    inside, outside = rows[:10] * 0.5, rows[:10] * 0.5 + 0.1 * normal / normal.norm()
    assert float(graded(inside, rows).max()) <= 0.51
    assert float(graded(outside, rows).min()) > 10
    few = random_rows(3, 8)  # fewer atoms than features
    assert float(graded(few, few).max()) <= 1
    assert float(graded(few.mean(0, keepdim=True), few)) <= 1
    assert float(graded(random_rows(1, 8, 9), few)) > 10


def test_an_impurity_alone_in_its_cell_has_an_active_set():
    """Features that are zero in all frames, as of a pair that never met, and equal rows."""
    rows = torch.zeros(5, 4, dtype=torch.float64)
    rows[:, 0], rows[:, 1] = 1.0, 0.3
    assert float(graded(rows, rows).max()) <= 1
    other = rows[:1].clone()
    other[0, 3] = 0.02  # now it meets another
    assert float(graded(other, rows)) > 10
    assert torch.isfinite(graded(rows, 0 * rows)).all()


def test_an_element_without_a_frame_is_unknown():
    kinds, rows = torch.tensor([1, 1, 8]), random_rows(3, 2)
    chosen = ActiveSet.of(lambda: [(kinds[:2], rows[:2])])
    assert chosen.grade(kinds, rows).tolist()[2] == active_set.UNKNOWN
    assert set(chosen.stored()) == {"H"}


def test_it_is_the_same_with_any_number_of_threads():
    rows, threads = random_rows(2000, 40), torch.get_num_threads()
    kinds = torch.ones(len(rows), dtype=torch.int64)
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            chosen = ActiveSet.of(lambda: zip(kinds.split(300), rows.split(300), strict=True))
            found.append(chosen.inverses[1])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


# --- features of models --------------------------------------------------------------------------


@pytest.fixture(scope="module", params=list(MODELS))
def model(request: pytest.FixtureRequest) -> Potential:
    return MODELS[request.param]()


def frames(n: int, size: float = 6.0) -> list[Atoms]:
    return [water_like(12, size, True, seed) for seed in range(n)]


def features(model: Potential, atoms: Atoms) -> Tensor:
    with torch.no_grad():
        found = model.grade_features(Graph.from_atoms(atoms, model.cutoff))
    assert found is not None
    return found.double()


def test_features_turn_and_permute_with_the_atoms(model):
    atoms = water_like(9, 4.0, False, 1)
    expected = features(model, atoms)
    turned = atoms.copy()
    turned.rotate(40, (1, 2, 3))
    turned.translate((1.0, -2.0, 0.5))
    torch.testing.assert_close(features(model, turned), expected, atol=1e-9, rtol=1e-9)
    order = np.random.default_rng(0).permutation(len(atoms))
    torch.testing.assert_close(features(model, atoms[order]), expected[order], atol=1e-9, rtol=1e-9)


def test_features_of_a_batch_are_those_of_its_structures(model):
    several = frames(3)
    graphs = [Graph.from_atoms(atoms, model.cutoff) for atoms in several]
    with torch.no_grad():
        batch = model.grade_features(Graph.batch(graphs))
    expected = torch.cat([features(model, atoms) for atoms in several])
    torch.testing.assert_close(batch.double(), expected, atol=1e-9, rtol=1e-9)


def test_features_are_those_of_the_head_of_each_structure():
    model = small_mace(heads=("one", "two"))
    graph = Graph.from_atoms(frames(1)[0], model.cutoff)
    of_head = [replace(graph, heads=torch.tensor([k])) for k in (0, 1)]
    both = replace(Graph.batch([graph, graph]), heads=torch.tensor([1, 0]))
    with torch.no_grad():
        one, two = (model.grade_features(each) for each in of_head)
        together = model.grade_features(both)
    torch.testing.assert_close(together, torch.cat([two, one]), atol=1e-9, rtol=1e-9)
    assert not torch.allclose(one, two)


def test_energies_are_linear_in_the_features(model):
    """But for the electrostatics of 4G and the repulsion of nuclei, which are no last layer's."""
    several = frames(30)
    rows = torch.cat([features(model, atoms) for atoms in several])
    with torch.no_grad():
        graphs = [Graph.from_atoms(atoms, model.cutoff) for atoms in several]
        energies = torch.cat([_of_last_layer(model, graph) for graph in graphs])
    numbers = torch.from_numpy(np.concatenate([atoms.numbers for atoms in several]))
    for number in (1, 8):
        b, e = rows[numbers == number], energies[numbers == number]
        weights = torch.linalg.lstsq(b, (e - e.mean())[:, None], driver="gelsd").solution
        torch.testing.assert_close(b @ weights, (e - e.mean())[:, None], atol=1e-6, rtol=0)


def _of_last_layer(model: Potential, graph: Graph) -> Tensor:
    index = model.element_index(graph)
    if model.config.architecture == "hdnnp_4g":
        inputs, networks = model.energy_inputs(graph), model.atomic_networks()
        each = (
            networks[e](x[None, : networks[e].n_inputs]) for e, x in zip(index, inputs, strict=True)
        )
        return torch.cat([*each])
    energies = model.atomic_energies(graph)
    repulsion = getattr(model, "repulsion", None)
    return energies if repulsion is None else energies - model.scale[0] * repulsion(graph, index)


def test_grades_of_atoms_far_from_the_training_frames(model):
    known = Dataset.from_frames([Frame.from_atoms(atoms) for atoms in frames(20)])
    choose_active_set(model, known, GraphStore(known, model.cutoff))
    try:
        inside = [model.active_set_grade(frame.graph(model.cutoff)) for frame in known]
        assert float(torch.cat(inside).max()) <= 1 + 1e-9
        near = water_like(12, 4.0, True, 77)
        near.set_cell(0.8 * near.cell, scale_atoms=True)
        graph = Graph.from_atoms(near, model.cutoff)
        with torch.no_grad():
            grade, reasons = model.grade(graph), model.explain_grade(graph)
        assert float(model.active_set_grade(graph).max()) > 1.5
        assert {each.atom for each in reasons} == set(torch.nonzero(grade > 1)[:, 0].tolist())
        assert any("span the training data" in each.in_words for each in reasons)
        with torch.no_grad():  # what the compiled passes find on their way
            by_prediction = model.grade(graph, evaluate(model, graph))
        torch.testing.assert_close(by_prediction, grade, atol=1e-9, rtol=1e-9)
        single = in_single_precision(model)
        close = single.active_set_grade(known[0].graph(model.cutoff))
        torch.testing.assert_close(close, inside[0], atol=0.02, rtol=0.02)
    finally:
        model.active_set = None


def in_single_precision(model: Potential) -> Potential:
    copy = ladera.build(model.config)
    copy.load_stored_tensors(model.stored_tensors())
    return copy.float()


# --- files and training --------------------------------------------------------------------------


def test_a_file_holds_it_and_older_ones_load(model, tmp_path):
    model.save(tmp_path / "without.ladera")
    assert modelfile.read(tmp_path / "without.ladera")[0]["format_version"] == 2
    assert ladera.load(tmp_path / "without.ladera").active_set is None
    known = Dataset.from_frames([Frame.from_atoms(atoms) for atoms in frames(4)])
    choose_active_set(model, known, GraphStore(known, model.cutoff))
    graph = known[1].graph(model.cutoff)
    try:
        model.save(tmp_path / "with.ladera")
        loaded = ladera.load(tmp_path / "with.ladera")
        expected = model.active_set_grade(graph)
        for number, inverse in model.active_set.inverses.items():
            assert torch.equal(loaded.active_set.inverses[number], inverse)
        torch.testing.assert_close(loaded.active_set_grade(graph), expected, rtol=1e-9, atol=0)
        twice = Committee([loaded, ladera.load(tmp_path / "without.ladera")])
        twice.save(tmp_path / "committee.ladera")
        members = ladera.load(tmp_path / "committee.ladera").members
        torch.testing.assert_close(members[0].active_set_grade(graph), expected, rtol=1e-9, atol=0)
        assert members[1].active_set is None
    finally:
        model.active_set = None


def test_a_damaged_one_is_named(tmp_path):
    model = hdnnp_generated()
    model.active_set = ActiveSet({1: torch.eye(3, dtype=torch.float64)[:2]})
    model.save(tmp_path / "model.ladera")
    with pytest.raises(ModelFileError, match=r"active_set\.H is no square matrix"):
        ladera.load(tmp_path / "model.ladera")


def test_the_calculator_gives_grades_as_it_gives_forces(model):
    atoms = frames(1)[0]
    known = Dataset.from_frames([Frame.from_atoms(each) for each in frames(4)])
    by_itself = model.calculator()
    choose_active_set(model, known, GraphStore(known, model.cutoff))
    try:
        near = atoms.copy()
        near.set_cell(0.8 * near.cell, scale_atoms=True)
        near.calc = model.calculator()
        largest = near.calc.get_property("largest_grade", near)
        assert near.calc.results["largest_grade"] == largest > 1
        grades = near.calc.get_property("grade", near)
        np.testing.assert_array_equal(near.calc.results["grade"], grades)
        assert grades.shape == (12,)
        assert grades.max() == largest
        near.set_positions(near.positions)
        near.set_cell(atoms.cell, scale_atoms=True)
        assert near.calc.get_property("largest_grade", near) < largest
    finally:
        model.active_set = None
    if not model.knows_domain:  # a MACE without a set
        with pytest.raises(PropertyNotImplementedError, match="no record of its training domain"):
            by_itself.get_property("grade", atoms)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return train(config(folder, epochs=2, model=hdnnp()), folder / "run"), folder


def test_training_ends_with_the_active_set_of_its_frames(run):
    model, folder = run
    loaded = ladera.load(folder / "run")
    train_frames = argon()[np.array(model.provenance["split"]["train"])]
    grades = [loaded.active_set_grade(frame.graph(model.cutoff)) for frame in train_frames]
    assert 0.99 < float(torch.cat(grades).max()) <= 1
    again = train(config(folder, epochs=2, model=hdnnp()), folder / "again")
    for name, tensor in model.stored_tensors().items():
        assert torch.equal(again.stored_tensors()[name], tensor), name


def test_more_frames_than_memory_holds_give_the_same(run, monkeypatch):
    model, _ = run
    data = argon()
    kept = model.active_set
    train_frames = np.unique(model.provenance["split"]["train"])
    graphs = GraphStore(data, model.cutoff, memory=0)
    for of_one_atom in (0, 1, 300):  # bytes: for none, some of and all atoms
        room = of_one_atom * int(data.offsets[-1])
        monkeypatch.setattr("ladera.training.active_set.KEPT", room)
        choose_active_set(model, data, graphs, train_frames)
        assert torch.equal(model.active_set.inverses[18], kept.inverses[18])


def test_a_relaxed_energy_below_all_that_was_learned_is_said(run):
    """Argon at rest is a little below frames of 0.1 Angstrom's unrest, not 0.5 eV an atom."""
    model, _ = run
    floor = model.active_set.floor
    assert floor is not None
    lowest = min(frame.energy / frame.n_atoms for frame in argon())
    free = float(model.free_atom_energies()[0])
    assert lowest - free - 0.16 < floor < lowest - free
    deep = ladera.build(model.config)
    deep.load_stored_tensors(model.stored_tensors())
    atoms = argon()[0].to_atoms()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        relax(atoms, deep, steps=1)
    deep.energy_shift -= 0.5
    with pytest.warns(SimulationWarning, match="meV/atom below all that the training frames"):
        relax(atoms, deep, steps=1)


def test_a_moment_tensor_potential_without_active_set_knows_its_shortest_distance() -> None:
    potential = moment_tensor()
    shortest, cutoff = potential.config.min_distance, potential.cutoff
    for distance in (0.8 * shortest, shortest, 1.3 * shortest, 1.5 * cutoff):
        atoms = Atoms("OHO", [[0, 0, 0], [0, 0, distance], [0, 0, distance + 1.5 * cutoff]])
        graph = Graph.from_atoms(atoms, cutoff)
        expected = 1 + (shortest - min(distance, cutoff)) / (cutoff - shortest)
        grade = potential.grade(graph)
        assert grade.tolist() == pytest.approx([expected, expected, 0.0])
        reasons = potential.explain_grade(graph)
        assert [each.atom for each in reasons] == ([0, 1] if distance < shortest else [])
        assert all(each.grade == pytest.approx(expected) for each in reasons)
        assert all("nearest neighbour" in each.in_words for each in reasons)
