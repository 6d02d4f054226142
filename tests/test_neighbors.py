"""The neighbour list against brute force, and its skin against fresh lists."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ladera.errors import DataError
from ladera.graph import Graph, NeighborList
from ladera.structure import Structure

CUTOFF = 4.0


def brute_force(positions, cell, periodic, cutoff, n_images=4):
    """All (i, j, shift) closer than the cutoff, by trying every image."""
    ranges = [range(-n_images, n_images + 1) if p else (0,) for p in periodic]
    found = set()
    for shift in itertools.product(*ranges):
        offset = np.asarray(shift, dtype=float) @ cell
        for i, j in itertools.product(range(len(positions)), repeat=2):
            distance = np.linalg.norm(positions[j] - positions[i] + offset)
            if 0 < distance < cutoff:
                found.add((i, j, *shift))
    return found


def random_structure(seed: int, n_atoms: int, periodic):
    rng = np.random.default_rng(seed)
    cell = 3.5 * np.eye(3) + rng.uniform(-0.6, 0.6, (3, 3))
    return rng.choice([1, 6, 8], n_atoms), rng.uniform(-2, 5, (n_atoms, 3)), cell, periodic


def assert_same(one: Graph, other: Graph) -> None:
    """Equal to the last bit, in the same order."""
    for name in ("numbers", "centers", "neighbors", "shifts", "vectors", "row_pointer"):
        assert np.array_equal(getattr(one, name).numpy(), getattr(other, name).numpy()), name


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_atoms=st.integers(1, 6),
    periodic=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_pairs_are_those_of_brute_force(seed, n_atoms, periodic):
    numbers, positions, cell, periodic = random_structure(seed, n_atoms, periodic)
    graph = Graph.of(Structure.of(numbers, positions, cell, periodic), CUTOFF)
    centers, neighbors = graph.centers.numpy(), graph.neighbors.numpy()
    shifts = graph.shifts.numpy()
    rows = np.column_stack([centers, neighbors, shifts])
    assert len(rows) == len({tuple(row) for row in rows.tolist()})
    assert {tuple(row) for row in rows.tolist()} == brute_force(positions, cell, periodic, CUTOFF)
    expected = positions[neighbors] - positions[centers] + shifts @ cell
    np.testing.assert_allclose(graph.vectors.numpy(), expected, atol=1e-12)
    order = np.column_stack([centers, numbers[neighbors], neighbors, shifts])
    assert [tuple(row) for row in order] == sorted(tuple(row) for row in order)
    pointer = graph.row_pointer.numpy()
    assert np.array_equal(np.diff(pointer), np.bincount(centers, minlength=n_atoms))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), periodic=st.sampled_from([(1, 1, 1), (1, 1, 0), (0, 0, 0)]))
def test_skin_never_misses_a_pair(seed, periodic):
    """A walk with small and large moves of atoms and cell: always the list built from nothing."""
    rng = np.random.default_rng(seed)
    numbers, positions, cell, periodic = random_structure(seed, 5, np.array(periodic, bool))
    cached = NeighborList(CUTOFF, skin=1.0)
    for _ in range(12):
        fresh = Graph.of(Structure.of(numbers, positions, cell, periodic), CUTOFF)
        assert_same(cached.build(Structure.of(numbers, positions, cell, periodic)), fresh)
        positions = positions + rng.normal(0, rng.choice([0.0, 0.05, 0.5]), positions.shape)
        if rng.random() < 0.5:
            strain = np.eye(3) + rng.normal(0, rng.choice([0.005, 0.05]), (3, 3))
            cell, positions = cell @ strain, positions @ strain


def test_skin_notices_another_structure():
    """Changed species, cell, periodicity and number of atoms, with the atoms where they were."""
    numbers, positions, cell, _ = random_structure(3, 5, True)
    cases = [
        (numbers, positions, cell, True),
        (numbers[::-1].copy(), positions, cell, True),
        (numbers, positions, 1.3 * cell, True),
        (numbers, positions, 1.3 * cell, (True, True, False)),
        (numbers, positions, 1.3 * cell, False),
        (numbers[:3], positions[:3], cell, True),
        (numbers, positions, cell, True),
    ]
    cached = NeighborList(CUTOFF, skin=1.0)
    for case in cases:
        assert_same(cached.build(Structure.of(*case)), Graph.of(Structure.of(*case), CUTOFF))


def test_candidates_are_used_again_while_that_is_safe(monkeypatch):
    """The skin saves searches: one for many small moves, also when the cell breathes."""
    import ladera.graph

    searches = 0

    def counting(*arguments):
        nonlocal searches
        searches += 1
        return find_pairs(*arguments)

    find_pairs = ladera.graph.find_pairs
    monkeypatch.setattr(ladera.graph, "find_pairs", counting)
    numbers, positions, cell, periodic = random_structure(5, 5, (True, True, True))
    cached = NeighborList(CUTOFF, skin=1.0)
    for step in range(10):
        scale = 1 + 0.002 * step
        moved = scale * positions + 0.005 * step
        cached.build(Structure.of(numbers, moved, scale * cell, periodic))
    assert searches == 1
    cached.build(Structure.of(numbers, positions + np.eye(5, 3) * 0.6, cell, periodic))
    assert searches == 2


def test_not_finite_positions_name_the_atom():
    positions = np.zeros((2, 3))
    positions[1, 2] = np.nan
    with pytest.raises(DataError, match="Atom 1"):
        NeighborList(CUTOFF, 1.0).build(Structure.of([1, 1], positions, np.eye(3), False))
    neighbor_list = NeighborList(CUTOFF, 1.0)
    neighbor_list.build(Structure.of([1, 1], [[0.0, 0, 0], [0, 0, 1]], np.eye(3), False))
    with pytest.raises(DataError, match="Atom 0"):  # with candidates that hold for atom 1
        neighbor_list.build(Structure.of([1, 1], [[np.nan, 0, 0], [0, 0, 1]], np.eye(3), False))


def test_a_cell_smaller_than_an_atom_is_refused_at_once():
    """Searching its millions of images would never end."""
    cell = np.array([[5.0, 0, 0], [0, 5.0, 0], [4.99, 0.001, 0.05]])
    with pytest.raises(DataError, match=r"only 0\.051 Angstrom high.*another unit"):
        Graph.of(Structure.of([1], [[0.0, 0, 0]], cell, [True, True, True]), CUTOFF)
    flat = Graph.of(Structure.of([1], [[0.0, 0, 0]], cell, [True, True, False]), CUTOFF)
    assert flat.n_edges == 0


@pytest.mark.parametrize("rows", [3, 300, 3000])
@pytest.mark.parametrize("periodic", [(True, True, True), (True, True, False)])
def test_a_skewed_cell_is_its_reduced_equal(rows, periodic):
    """Vectors of the same lattice, one of them long along a row of atoms: 0.0000007 A high."""
    rng = np.random.default_rng(rows)
    cell = 4.2 * np.eye(3) + rng.uniform(-0.5, 0.5, (3, 3))
    positions = rng.uniform(0, 4, (3, 3))
    skew = np.array([[1, 0, 0], [rows, 1, 0], [0, 0, 1]])
    if all(periodic):
        skew[2] = [rows, -rows, 1]
    plain = Graph.of(Structure.of([1, 6, 8], positions, cell, periodic), CUTOFF)
    skewed = Graph.of(Structure.of([1, 6, 8], positions, skew @ cell, periodic), CUTOFF)
    lengths = [np.sort(g.vectors.norm(dim=1).numpy()) for g in (plain, skewed)]
    assert lengths[1] == pytest.approx(lengths[0], abs=1e-8)
    where = skewed.positions
    images = skewed.shifts.double() @ skewed.cell[0]
    expected = where[skewed.neighbors] - where[skewed.centers] + images
    # Sums of large numbers: processors round them each in its way.
    terms = skewed.shifts.double().abs() @ skewed.cell[0].abs()
    rounding = np.finfo(float).eps * float(terms.max())
    assert skewed.vectors.numpy() == pytest.approx(expected.numpy(), abs=1e-12 + rounding)


def test_a_cutoff_over_a_million_images_is_refused_at_once():
    with pytest.raises(DataError, match=r"cutoff of 1e\+04 Angstrom reaches over .* images"):
        Graph.of(Structure.of([1], [[0.0, 0, 0]], 3.0 * np.eye(3), True), 1e4)


@pytest.mark.parametrize("periodic", [True, False])
def test_atoms_that_flew_away_are_refused(periodic):
    """Some thousand million cells away they had other neighbours, or none were told apart."""
    far = Structure.of([1, 1], [[-1.0e9, 0, 0], [1.4e9, 0.4, 0]], np.eye(3), periodic)
    with pytest.raises(DataError, match=r"is 2\.4e\+09 Angstrom long.*exploded"):
        Graph.of(far, 1.2)


def test_atoms_a_million_cells_apart_have_their_neighbors():
    far, near = (
        Graph.of(Structure.of([1, 1], [[start, 0, 0], [0, 0.4, 0]], np.eye(3), True), 1.2)
        for start in (-2.0e6, 0.0)
    )
    assert np.sort(far.vectors.norm(dim=1)) == pytest.approx(np.sort(near.vectors.norm(dim=1)))
