"""Distances that the training frames have, and relaxations that go beyond them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

import ladera
from conftest import small_mace
from ladera import Graph
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.data.graphs import GraphStore
from ladera.extrapolation import FAR
from ladera.models.lennard_jones import LennardJonesConfig
from ladera.potential import ActiveSet
from ladera.potential.reach import WIDTH, Reach
from ladera.simulation.preparation import SimulationWarning
from ladera.simulation.relaxation import relax
from ladera.training.active_set import choose_active_set

CUTOFF = 4.0


def graph(atoms: Atoms) -> Graph:
    return Graph.from_atoms(atoms, CUTOFF)


def pair(distance: float) -> Atoms:
    return Atoms("OH", [[0, 0, 0], [0, 0, distance]])


def reach_of(*frames: Atoms) -> Reach:
    return Reach.of((graph(atoms) for atoms in frames), CUTOFF)


BONDED_OR_FAR = [pair(d) for d in (0.96, 1.0, 1.04, *np.arange(1.8, 3.0, 0.05))]


@pytest.mark.parametrize(
    ("before", "after", "gap"),
    [
        (1.0, 1.04, None),
        (1.0, 1.12, None),  # nearly met
        (2.0, 2.7, None),
        (1.4, 2.0, None),  # a bad start that found a good end
        (1.0, 1.4, (1.05, 1.8)),  # ended where nothing is
        (1.0, 2.0, (1.05, 1.8)),  # a bond broke
        (2.5, 0.97, (1.05, 1.8)),  # one was made
        (1.0, 0.7, (-np.inf, 0.95)),
        (2.5, 3.5, (3.0, 4.0)),
        (2.5, 5.5, (3.0, 4.0)),  # it left, through what was never met
    ],
)
def test_a_pair_ends_in_a_gap_or_comes_through(before, after, gap):
    found = reach_of(*BONDED_OR_FAR).passages(graph(pair(before)), graph(pair(after)))
    if gap is None:
        assert found == []
        return
    (passage,) = found
    assert (passage.i, passage.j) == (0, 1)
    assert (passage.before, passage.after) == pytest.approx((before, after))
    assert (passage.lower, passage.upper) == pytest.approx(gap, abs=WIDTH + 1e-9)
    words = passage.in_words(["O", "H"], CUTOFF)
    assert words.startswith(f"atoms 0 (O) and 1 (H) went from {before:.2f} to {after:.2f} Angstrom")


def test_elements_that_never_met_are_beyond_reach():
    both = Atoms("OC", [[0, 0, 0], [0, 0, 3.0]])
    nearer = Atoms("OC", [[0, 0, 0], [0, 0, 2.0]])
    (passage,) = reach_of(molecule("H2O"), molecule("CH4")).passages(graph(both), graph(nearer))
    assert "no O and C of the training frames are near" in passage.in_words(["O", "C"], CUTOFF)


def test_pairs_through_a_face_of_the_cell_are_followed():
    cell = {"cell": [10, 10, 10], "pbc": True}
    start = Atoms("OH", [[0.3, 5, 5], [9.3, 5, 5]], **cell)
    end = Atoms("OH", [[0.3, 5, 5], [8.0, 5, 5]], **cell)
    (passage,) = reach_of(*BONDED_OR_FAR).passages(graph(start), graph(end))
    assert (passage.before, passage.after) == pytest.approx((1.0, 2.3))
    assert reach_of(start, end).passages(graph(start), graph(end)) != []
    between = [Atoms("OH", [[0.3, 5, 5], [x, 5, 5]], **cell) for x in np.arange(8.0, 9.35, 0.05)]
    assert reach_of(*between).passages(graph(start), graph(end)) == []


def test_a_file_holds_it():
    known = reach_of(*BONDED_OR_FAR, molecule("CH3OH"))
    again = Reach.restored(known.stored())
    assert again is not None
    assert again.n_bins == known.n_bins
    assert {kind: row.tolist() for kind, row in again.met.items()} == {
        kind: row.tolist() for kind, row in known.met.items()
    }
    assert Reach.restored({}) is None
    with pytest.raises(RuntimeError, match="are no distances of pairs"):
        Reach.restored({**known.stored(), "met": torch.zeros(3)})


def test_a_relaxation_beyond_the_frames_is_doubted():
    """Argon that was learned as two atoms at 4.1 Angstrom, and falls to 3.8."""
    config = LennardJonesConfig(
        species=("Ar",), cutoff=8.0, epsilon={"Ar": 0.0104}, sigma={"Ar": 3.4}
    )
    model = ladera.build(config).requires_grad_(False)
    start = Atoms("Ar2", [[0, 0, 0], [0, 0, 4.1]])
    met = Reach.of([Graph.from_atoms(start, 8.0)], 8.0)
    model.active_set = ActiveSet({}, reach=met)
    with pytest.warns(SimulationWarning, match="farther than the training frames reach, for one"):
        result = relax(start, model, fmax=1e-3)
    (doubt,) = result.doubts
    assert "went from 4.10 to 3.8" in doubt
    assert "no Ar and Ar of the training frames are nearer than 4.05" in doubt


def waters(seed: int) -> Atoms:
    """Two molecules, 2.9 Angstrom apart, shaken."""
    other = molecule("H2O")
    other.translate((0.0, 0.0, 2.9))
    both = molecule("H2O") + other
    both.rattle(0.05, seed=seed)
    return both


def test_a_relaxation_to_a_minimum_that_was_made_up():
    """As a MACE of few frames of hematin (benchmarks/hematin.py): it converges, and is lost."""
    model = small_mace(zbl=True)
    model.scale[:] = 2.0
    known = Dataset.from_frames([Frame.from_atoms(waters(seed)) for seed in range(12)])
    choose_active_set(model, known, GraphStore(known, model.cutoff))
    with pytest.warns(SimulationWarning) as said:
        result = relax(waters(0), model, fmax=0.02)
    lost, beyond = (str(each.message) for each in said)
    assert result.converged
    assert result.last.largest_grade > FAR
    assert "do not trust these energies" in lost
    assert beyond in result.doubts
    assert "the training frames are between" in beyond
