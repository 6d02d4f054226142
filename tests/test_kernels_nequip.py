"""The compiled loops of NequIP against torch: the plan's equations, then energies and gradients."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

from conftest import small_nequip, water_like
from ladera import Graph
from ladera.kernels.lanes import lanes_of, rows_of_lanes
from ladera.kernels.nequip import reference
from ladera.kernels.nequip.panels import Layout, Matrix, Part, multiply, pack
from ladera.kernels.threads import chunks
from ladera.models.nequip import NequIP
from ladera.models.nequip.fast import make_tables
from ladera.potential import Potential

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"channels": (9, 3, 2)},  # more channels than a vector has lanes
    "one layer": {"layers": 1, "connections": ("linear",), "embedding_channels": 3},
    "both parities": {"parity": "full", "channels": (3, 2, 2), "biases": True},
    "no parity": {"parity": "none", "cutoff_start": 3.1, "train_basis": True},
    "norm": {"layer_norm": True, "connections": ("linear",) * 3, "readout_layers": (6, 4)},
    "solid": {"solid_harmonics": True, "connections": ("none",) * 3, "layer_norm": True},
    "l to 4": {"channels": 2, "max_l": 4, "layers": 2},
}


def nequip(**changes: Any) -> NequIP:
    """A small model of random weights in which nothing is left at zero or one."""
    potential = small_nequip(**changes)
    assert isinstance(potential, NequIP)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in potential.named_parameters():
            if "bias" in name or ".norm." in name:
                parameter.normal_(generator=generator)
        potential.scale.copy_(torch.tensor([100.0, 200.0]))
        potential.average_neighbors.mul_(torch.tensor([1.0, 1.5]))
    return potential


def structure(n_atoms: int = 9, seed: int = 2) -> Graph:
    return Graph.from_atoms(water_like(n_atoms, 5.0, True, seed), 4.0)


def fast(potential: NequIP, graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies and edge gradients by the compiled loops."""
    assert potential.why_not_fast(graph) is None
    with torch.no_grad():
        return potential.energies_and_edge_gradients(graph)


def by_torch(potential: NequIP, graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
    """The same by automatic differentiation."""
    energies, gradients = Potential.energies_and_edge_gradients(potential, graph)
    return energies.detach(), gradients.detach()


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", KINDS)
def test_energies_and_gradients_are_those_of_torch(kind: str) -> None:
    potential, graph = nequip(**KINDS[kind]), structure()
    expected, slope = by_torch(potential, graph)
    energies, gradients = fast(potential, graph)
    scale = float(slope.abs().max())
    torch.testing.assert_close(energies, expected, rtol=0, atol=1e-9 * scale)
    torch.testing.assert_close(gradients, slope, rtol=0, atol=1e-8 * scale)
    with torch.no_grad():
        found = potential.descriptors(graph)
    torch.testing.assert_close(found, potential.descriptors(graph).detach(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["both parities", "no parity", "norm", "solid"])
def test_the_plan_says_what_the_model_is(kind: str) -> None:
    """Its equations, in torch, with the radial functions themselves, give the same energies."""
    potential, graph = nequip(**KINDS[kind]), structure()
    plan, species = make_tables(potential), potential.element_index(graph)
    distances = graph.vectors.norm(dim=1).numpy()
    radial = [torch.from_numpy(layer.radial(distances, 0, 0)) for layer in plan.layers]
    edges = torch.stack([graph.centers, graph.neighbors])
    found = reference.energies(plan, radial, graph.vectors, species, edges)
    torch.testing.assert_close(found, potential.atomic_energies(graph).detach())


def test_float32() -> None:
    potential, graph = nequip(layer_norm=True), structure()
    energies, gradients = fast(potential, graph)
    found = fast(potential.float(), graph.to(torch.float32))
    scale = float(gradients.abs().max())
    assert found[0].dtype == torch.float64
    assert found[1].dtype == torch.float32
    torch.testing.assert_close(found[0], energies, rtol=0, atol=1e-5 * scale)
    torch.testing.assert_close(found[1].double(), gradients, rtol=0, atol=1e-5 * scale)


def test_batches_and_elements_that_are_absent() -> None:
    """A batch is its structures; an atom on its own has no edges."""
    potential = nequip(connections=("species",) * 3)
    water = water_like(6, 4.5, True, 3)
    atoms = [water, water_like(3, 6.0, False, 1), water[:1]]
    atoms[2].pbc = False
    graphs = [Graph.from_atoms(each, potential.cutoff) for each in atoms]
    assert graphs[2].n_edges == 0
    energies, gradients = fast(potential, Graph.batch(graphs))
    apart = [fast(potential, graph) for graph in graphs]
    torch.testing.assert_close(energies, torch.cat([each[0] for each in apart]))
    torch.testing.assert_close(gradients, torch.cat([each[1] for each in apart]))
    torch.testing.assert_close(apart[1][0], by_torch(potential, graphs[1])[0])


def test_edges_beyond_the_cutoff_count_nothing() -> None:
    potential = nequip()
    atoms = water_like(9, 5.0, True, 2)
    wide = Graph.from_atoms(atoms, potential.cutoff + 0.8)
    energies, gradients = fast(potential, wide)
    beyond = wide.vectors.norm(dim=1) >= potential.cutoff
    assert bool(beyond.any())
    assert not gradients[beyond].any()
    narrow = fast(potential, Graph.from_atoms(atoms, potential.cutoff))
    torch.testing.assert_close(energies, narrow[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(gradients[~beyond], narrow[1], rtol=0, atol=1e-11)


@pytest.mark.usefixtures("two_threads")
def test_the_number_of_threads_changes_no_bit() -> None:
    """Sums over neighbours are made for chunks of atoms, here two, whoever computes them."""
    potential = nequip(layer_norm=True)
    graph = Graph.from_atoms(water_like(70, 9.0, True, 4), potential.cutoff)
    assert len(chunks(np.ones(70, np.int64))) == 2
    two = fast(potential, graph)
    torch.set_num_threads(1)
    one = fast(potential, graph)
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])


def test_structures_of_other_sizes_leave_nothing_behind() -> None:
    """Memory is kept between evaluations; what lies in it must not matter."""
    potential, graph = nequip(layer_norm=True), structure()
    first = fast(potential, graph)
    for n_atoms in (14, 2):
        fast(potential, structure(n_atoms, seed=5))
    again = fast(potential, graph)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


def test_tables_follow_the_parameters_and_copies_make_their_own() -> None:
    potential, graph = nequip(), structure()
    before, _ = fast(potential, graph)
    other = pickle.loads(pickle.dumps(deepcopy(potential)))
    with torch.no_grad():
        potential.embedding.mul_(1.1)
    after, _ = fast(potential, graph)
    assert float((after - before).abs().max()) > 1e-4
    torch.testing.assert_close(after, by_torch(potential, graph)[0])
    torch.testing.assert_close(fast(other, graph)[0], before)


def test_what_has_no_loops_says_so() -> None:
    assert "up to l = 4" in str(nequip(max_l=5, layers=1).why_not_fast())


@pytest.mark.parametrize("transposed", [False, True])
def test_matrices_between_panels(transposed: bool) -> None:
    """Of blocks with other degrees and more channels than lanes, on all numbers of atoms."""
    generator, dtype = np.random.default_rng(1), np.dtype(np.float64)
    lanes, n_atoms = lanes_of(dtype), 11
    source, target = Layout(((0, 11), (1, 6)), lanes), Layout(((1, 3), (0, 10)), lanes)
    parts = [generator.normal(size=(11, 10))], [generator.normal(size=(6, 3))]
    matrices = [Matrix(0, 1, parts[0]), Matrix(1, 0, parts[1])]
    linear = pack(matrices, source, target, dtype, transposed)
    if transposed:
        source, target = target, source
        matrices = [Matrix(m.target, m.source, [m.parts[0].T]) for m in matrices]
    tables = [rows_of_lanes(n_atoms * each.rows, dtype) for each in (source, target)]
    tables[0][:] = generator.normal(size=tables[0].shape)
    multiply(linear, Part(tables[0], n_atoms, 0), Part(tables[1], n_atoms, 0), n_atoms, False)
    multiply(linear, Part(tables[0], n_atoms, 3), Part(tables[1], n_atoms, 3), 4, True)
    for matrix in matrices:
        values = [
            _block(table, layout, irrep, n_atoms)
            for table, layout, irrep in zip(
                tables, (source, target), (matrix.source, matrix.target), strict=True
            )
        ]
        expected = values[0] @ matrix.parts[0]
        expected[3:7] *= 2
        assert values[1] == pytest.approx(expected)


def _block(table: np.ndarray, layout: Layout, irrep: int, n_atoms: int) -> np.ndarray:
    """(n_atoms, 2 l + 1, channels)."""
    panels, (_, channels) = layout.of(irrep), layout.sizes[irrep]
    rows = [
        table[n_atoms * before : n_atoms * (before + width)].reshape(n_atoms, width, -1)
        for before, width in zip(layout.before[panels], layout.width[panels], strict=True)
    ]
    return np.concatenate(rows, axis=2)[:, :, :channels]
