"""The compiled loops of MACE against torch, piece by piece and as a whole."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from ladera import Graph
from ladera.kernels import edges as edge_loops
from ladera.kernels import harmonics
from ladera.kernels.harmonics import spherical_harmonics
from ladera.kernels.splines import ROWS, TERMS, choose_knots, make_knots, sites, tabulate
from ladera.models.mace import MACE, MACEConfig
from ladera.potential import Potential, Prediction, evaluate
from ladera.training.finetune import adapters

CUTOFF = 3.5
GATES = ("nonlinear_residual", "nonlinear_residual")
KINDS: dict[str, dict[str, Any]] = {
    "scalars": {"hidden_l": 0, "max_l": 3},
    "agnostic": {"channels": 5},
    "residual": {"interactions": ("residual", "residual"), "gate": "tanh"},
    "density": {
        "interactions": ("density", "density_residual"),
        "transform": "agnesi",
        "zbl": True,
    },
    "wide messages": {"edge_channels": (3, 7), "edge_l": 0, "element_products": False},
    "tensors": {"hidden_l": 2, "correlation": 2, "apply_cutoff": False, "transform": "soft"},
    "three layers": {"num_interactions": 3, "correlation": 2, "readout_layers": (6, 3)},
    "one layer": {"num_interactions": 1, "correlation": 4, "max_l": 1, "gate": "abs"},
    "gates": {"interactions": GATES, "apply_cutoff": False, "readout_layers": (6, 6)},
    "gates and wide messages": {
        "interactions": (*GATES, "nonlinear_residual"),
        "num_interactions": 3,
        "apply_cutoff": False,
        "edge_channels": (6, 3, 5),
        "edge_l": 0,
        "hidden_l": 2,
        "correlation": 2,
    },
    "gates and densities": {
        "interactions": ("density", "nonlinear_residual"),
        "apply_cutoff": False,
        "transform": "agnesi",
        "zbl": True,
    },
    "heads": {"heads": ("low", "high"), "head": "high", "readout_bias": True, "basis": "gaussian"},
}


def mace(**changes: Any) -> MACE:
    """A small model of random weights in which nothing is left at zero or one."""
    sizes = {"channels": 4, "max_l": 2, "num_radial": 5, "radial_layers": (8, 8)}
    torch.manual_seed(1)
    potential = MACE(MACEConfig(species=("H", "O", "Si"), cutoff=CUTOFF, **sizes | changes))
    with torch.no_grad():
        for name, parameter in potential.named_parameters():
            if "biases" in name:
                parameter.normal_()
            if name.endswith(".beta"):
                parameter.fill_(5.0)
        potential.average_neighbors.copy_(torch.linspace(3, 4, len(potential.layers)))
        potential.scale.copy_(torch.linspace(0.7, 1.3, len(potential.scale)))
        potential.shift.fill_(0.2)
        potential.reference_energies.copy_(torch.arange(3.0))
    return potential


def structure(symbols: str = "SiO2H3OSi", box: float = 5.0, seed: int = 0) -> Atoms:
    """Atoms at least 0.9 Angstrom apart in a box."""
    generator = np.random.default_rng(seed)
    atoms = Atoms(symbols, cell=[box] * 3, pbc=True)
    atoms.positions = generator.uniform(0, box, (len(atoms), 3))
    for _ in range(200):
        vectors = atoms.get_all_distances(mic=True, vector=True)
        distances = np.linalg.norm(vectors, axis=2)
        near = (distances < 1.1) & (distances > 0)
        atoms.positions -= 0.1 * (vectors * near[:, :, None]).sum(1)
    return atoms


def fast(potential: MACE, graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies and edge gradients by the compiled loops."""
    assert potential.why_not_fast(graph) is None
    with torch.no_grad():
        return potential.energies_and_edge_gradients(graph)


def by_torch(potential: MACE, graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
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
    potential = mace(**KINDS[kind])
    graph = Graph.from_atoms(structure(), CUTOFF)
    expected_energies, expected = by_torch(potential, graph)
    energies, gradients = fast(potential, graph)
    scale = float(expected.abs().max())
    torch.testing.assert_close(energies, expected_energies, rtol=0, atol=1e-9)
    torch.testing.assert_close(gradients, expected, rtol=0, atol=1e-8 * scale)


def test_float32() -> None:
    potential = mace()
    graph = Graph.from_atoms(structure(), CUTOFF)
    energies, gradients = fast(potential, graph)
    found = fast(potential.float(), graph.to(torch.float32))
    assert found[0].dtype == torch.float64
    assert found[1].dtype == torch.float32
    torch.testing.assert_close(found[0], energies, rtol=0, atol=1e-5)
    torch.testing.assert_close(found[1].double(), gradients, rtol=0, atol=1e-5)


def test_batches_and_elements_that_are_absent() -> None:
    """A batch is its structures; water alone needs no tables of silicon."""
    potential = mace()
    atoms = [structure(), structure("H2O", 8.0), Atoms("Si"), structure("OH2OH2", 4.5, seed=3)]
    graphs = [Graph.from_atoms(each, CUTOFF) for each in atoms]
    energies, gradients = fast(potential, Graph.batch(graphs))
    apart = [fast(potential, graph) for graph in graphs]
    torch.testing.assert_close(energies, torch.cat([each[0] for each in apart]))
    torch.testing.assert_close(gradients, torch.cat([each[1] for each in apart]))
    alone = fast(potential, graphs[1])[0]
    torch.testing.assert_close(alone, by_torch(potential, graphs[1])[0])


def test_edges_beyond_the_cutoff_count_nothing() -> None:
    potential = mace(interactions=("density", "residual"))
    wide = Graph.from_atoms(structure(), CUTOFF + 0.8)
    energies, gradients = fast(potential, wide)
    beyond = wide.vectors.norm(dim=1) >= CUTOFF
    narrow = fast(potential, Graph.from_atoms(structure(), CUTOFF))
    assert bool(beyond.any())
    assert float(gradients[beyond].abs().max()) == 0.0
    torch.testing.assert_close(energies, narrow[0], rtol=0, atol=1e-12)


@pytest.mark.usefixtures("two_threads")
def test_threads() -> None:
    """The same bits in every run; those of one thread but for the order of a sum."""
    potential = mace()
    graph = Graph.from_atoms(structure("SiO4H12O3Si2H8"), CUTOFF)
    one, two = fast(potential, graph), fast(potential, graph)
    torch.set_num_threads(1)
    single = fast(potential, graph)
    for a, b, c in zip(one, two, single, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, c, rtol=1e-12, atol=1e-12)


def test_tables_follow_the_parameters() -> None:
    potential = mace()
    graph = Graph.from_atoms(structure(), CUTOFF)
    before, _ = fast(potential, graph)
    with torch.no_grad():
        potential.embedding.mul_(1.1)
    after, _ = fast(potential, graph)
    expected, _ = by_torch(potential, graph)
    assert float((after - before).abs().max()) > 1e-4
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-9)


def test_tables_follow_corrections_of_low_rank() -> None:
    potential = mace()
    graph = Graph.from_atoms(structure(), CUTOFF)
    before, _ = fast(potential, graph)
    adapters.add_low_rank(potential, 1)
    with torch.no_grad():
        for parameter in potential.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    during, _ = fast(potential, graph)
    torch.testing.assert_close(during, by_torch(potential, graph)[0], rtol=0, atol=1e-9)
    adapters.merge(potential)
    after, _ = fast(potential, graph)
    torch.testing.assert_close(after, during, rtol=0, atol=1e-9)
    assert float((after - before).abs().max()) > 1e-4


@pytest.mark.parametrize("kind", ["scalars", "three layers", "one layer"])
def test_descriptors(kind: str) -> None:
    potential = mace(**KINDS[kind])
    graph = Graph.from_atoms(structure(), CUTOFF)
    expected = potential.descriptors(graph).detach()
    with torch.no_grad():
        found = potential.descriptors(graph)
    assert found.shape == (graph.n_atoms, len(potential.layers) * potential.config.channels)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_a_copy_makes_its_own_tables() -> None:
    potential = mace()
    graph = Graph.from_atoms(structure(), CUTOFF)
    expected = fast(potential, graph)
    other = pickle.loads(pickle.dumps(deepcopy(potential)))
    with torch.no_grad():
        potential.embedding.zero_()
    torch.testing.assert_close(fast(other, graph), expected)


def test_what_has_no_loops_says_so_and_works() -> None:
    potential = mace(interactions=GATES, correlation=2)
    graph = Graph.from_atoms(structure(), CUTOFF)
    assert "apply_cutoff: true do not end smoothly" in str(potential.why_not_fast(graph))
    with torch.no_grad():
        found = evaluate(potential, graph)
    torch.testing.assert_close(found.edge_gradients, by_torch(potential, graph)[1])


@pytest.mark.parametrize("kinks", [(), (3.9,)])
def test_splines(kinks: tuple[float, ...]) -> None:
    """The error falls with the eighth power of the spacing, also of what has a kink."""

    def radial(r: np.ndarray) -> np.ndarray:
        cut = np.where(r < 5, 1 - r / 5, 0) ** 3
        bent = sum(np.maximum(r - at, 0) ** 2 for at in kinks)
        return np.stack([np.sin(4 * r), np.exp(-r) + bent], axis=1) * cut[:, None]

    coarse, fine = (choose_knots([radial], 5.0, error, kinks).intervals for error in (1e-6, 1e-11))
    assert coarse.sum() < fine.sum() <= 6 * coarse.sum()
    knots, step = choose_knots([radial], 5.0, 1e-11, kinks), 1e-5
    table = tabulate(radial(sites(knots)), knots)
    vectors = np.array([[0.0, 0.0, 1.2345], [0.3, -4.0, 1.0], [0.0, 4.999, 0.0], [4.0, 4.0, 1.0]])
    edges, t = edge_loops.make_edges(4, 1, np.dtype(np.float64)), np.zeros((2, 4))
    edge_loops.fill_edges(0, 4, vectors, knots, edges, t)
    places = ROWS * np.arange(TERMS) + (np.arange(TERMS) > 0)
    rows = table[ROWS * edges.knot[:, None] + places]
    r = np.linalg.norm(vectors, axis=1)
    values = np.einsum("ke,ekf->ef", edges.basis, rows)
    slopes = np.einsum("ke,ekf->ef", edges.slope, rows)
    assert values == pytest.approx(radial(r), abs=1e-10)
    assert slopes == pytest.approx((radial(r + step) - radial(r - step)) / (2 * step), abs=1e-7)
    assert not values[-1].any()
    assert not slopes[-1].any()


def test_harmonics_and_their_gradients() -> None:
    degree, n = 4, 300  # more than one block
    vectors = torch.from_numpy(np.random.default_rng(2).normal(size=(n, 3))).requires_grad_()
    bars = np.random.default_rng(3).normal(size=((degree + 1) ** 2, n))
    distance_bar = np.random.default_rng(4).normal(size=n)
    expected_harmonics = spherical_harmonics(-vectors, degree)
    total = (expected_harmonics.T * torch.from_numpy(bars)).sum()
    total = total + (vectors.norm(dim=1) * torch.from_numpy(distance_bar)).sum()
    (expected,) = torch.autograd.grad(total, vectors)
    N, edges = harmonics.norms(degree), edge_loops.make_edges(n, degree, np.dtype(np.float64))
    rows, gradients = np.zeros((10, edge_loops.BLOCK)), np.zeros((n, 3))
    edge_bars = edge_loops.EdgeGradients(distance_bar, bars)
    points = vectors.detach().numpy()
    knots, t = make_knots((0.0, 1.0), (10,)), np.zeros((2, edge_loops.BLOCK))
    edge_loops.fill_all(0, n, points, knots, N, edges, t, rows)
    edge_loops.edge_gradients(0, n, N, edges, edge_bars, rows, gradients)
    assert edges.harmonics == pytest.approx(expected_harmonics.detach().numpy().T, abs=1e-12)
    assert gradients == pytest.approx(expected.numpy(), abs=1e-10)


def test_forces_of_the_calculator_use_the_loops() -> None:
    """Between two structures of other elements, and back."""
    potential = mace(zbl=True)
    atoms, water = structure(), structure("H2O", 8.0)
    for each in (atoms, water, atoms):
        each.calc = potential.calculator()
        graph = Graph.from_atoms(each, CUTOFF)
        expected = Prediction(graph, *by_torch(potential, graph)).forces
        assert each.get_forces() == pytest.approx(expected.numpy(), abs=1e-8)
