"""Each loop of the compiled MACE against NumPy or torch, on atoms with 0 to 11 neighbours.

Sums over neighbours take four edges at a time, products of matrices four rows: the numbers here
leave some over.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from ladera.arrays import Floats
from ladera.kernels import channels, harmonics
from ladera.kernels import edges as edge_loops
from ladera.kernels.mace import density, first_layer, gates, lanes, messages, products
from ladera.kernels.mace.inference import arrange
from ladera.kernels.mace.layers import Features, Memory, Run
from ladera.kernels.mace.layout import Atoms, Rows, blocks, clear, layout, span
from ladera.kernels.mace.linear import Linear, multiply
from ladera.kernels.mace.monomials import find_monomials
from ladera.kernels.mace.prepared import KEPT, Preparation
from ladera.kernels.mace.radial import values_and_slopes, values_times
from ladera.kernels.mace.tables import Contraction, Layer, Model, Path, Readout
from ladera.kernels.splines import ROWS, make_knots, sites, tabulate
from ladera.kernels.threads import Shares

CUTOFF, DEGREE, CHANNELS = 4.0, 2, 5
NEIGHBORS = (4, 0, 11, 3, 6)
ELEMENTS = np.array([0, 0, 1, 1, 1])
N_ATOMS, N_LM = len(ELEMENTS), (DEGREE + 1) ** 2
KNOTS = make_knots((0.0, CUTOFF), (256,))


class Surroundings(NamedTuple):
    """Atoms, their edges, and what torch knows of the edges."""

    atoms: Atoms
    edges: edge_loops.Edges
    bars: edge_loops.EdgeGradients
    distances: Tensor  # (n_edges,)
    harmonics: Tensor  # (n_edges, n_lm)
    centers: Tensor  # (n_edges,)


@pytest.fixture
def around(generator: np.random.Generator) -> Surroundings:
    """Edges to random atoms in random directions."""
    n_edges = sum(NEIGHBORS)
    stops = np.cumsum(NEIGHBORS)
    rows = np.stack([stops - NEIGHBORS, stops], axis=1)
    senders = generator.integers(0, N_ATOMS, n_edges)
    vectors = generator.normal(size=(n_edges, 3))
    vectors *= generator.uniform(0.8, CUTOFF, n_edges)[:, None] / np.linalg.norm(
        vectors, axis=1, keepdims=True
    )
    edges = edge_loops.make_edges(n_edges, DEGREE, np.dtype(np.float64))
    scratch, t = (
        np.zeros((harmonics.FORWARD_ROWS, edge_loops.BLOCK)),
        np.zeros((2, edge_loops.BLOCK)),
    )
    N = harmonics.norms(DEGREE)
    edge_loops.fill_all(0, n_edges, vectors, KNOTS, N, edges, t, scratch)
    centers = np.repeat(np.arange(N_ATOMS), NEIGHBORS)
    pairs = KNOTS.size * ((ELEMENTS[centers] + ELEMENTS[senders]) % 2)
    return Surroundings(
        Atoms(ELEMENTS, rows, senders, pairs),
        edges,
        edge_loops.EdgeGradients(np.zeros(n_edges), np.zeros((N_LM, n_edges))),
        leaf(edges.distance),
        leaf(edges.harmonics.T),
        torch.from_numpy(centers),
    )


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(7)


def leaf(values: Floats) -> Tensor:
    return torch.from_numpy(values.copy()).requires_grad_()


def radial(r: Tensor, pair: Tensor, n: int) -> Tensor:
    """n functions (n_edges, n) that end with three derivatives, other ones for each pair."""
    k = torch.arange(1, n + 1)
    envelope = torch.where(r < CUTOFF, 1 - r / CUTOFF, 0) ** 4
    return torch.sin(0.3 * k * (r + 0.5 * pair)[:, None]) * envelope[:, None]


def table(n_functions: int, n_paths: int = 1) -> Floats:
    """Splines of both pairs."""
    r = torch.from_numpy(sites(KNOTS))
    values = [radial(r, torch.tensor(pair), n_functions).numpy() for pair in (0, 1)]
    return np.concatenate([tabulate(each, KNOTS, n_paths) for each in values])


def radial_of(around: Surroundings, n: int) -> Tensor:
    """Of every edge."""
    return radial(around.distances, torch.from_numpy(around.atoms.pairs // KNOTS.size), n)


def gathered(rows: Rows, n_channels: int) -> Floats:
    """(n_atoms, rows, channels)."""
    count = len(rows.places)
    place = span.py_func  # type: ignore[attr-defined]  # loops alone may call what Numba makes of it
    found = [
        rows.flat[place(rows, k, N_ATOMS, i, n_channels)]
        for i in range(N_ATOMS)
        for k in range(count)
    ]
    return np.array(found).reshape(N_ATOMS, count, n_channels)


def some_rows(generator: np.random.Generator, columns: tuple[int, ...], n_channels: int) -> Rows:
    places = layout(columns)
    return Rows(generator.normal(size=N_ATOMS * len(places) * n_channels), places)


def summed(values: Tensor, around: Surroundings) -> Tensor:
    """Over the edges of each centre."""
    return values.new_zeros(N_ATOMS, *values.shape[1:]).index_add(0, around.centers, values)


def test_layout_is_that_of_the_matrices(generator: np.random.Generator) -> None:
    """Row (l, m, column) of an atom, and the product of matrices that sees all atoms."""
    columns = (2, 1, 3)
    rows = some_rows(generator, columns, CHANNELS)
    matrices = blocks(rows.flat, columns, N_ATOMS, CHANNELS)
    parts = [
        matrix.reshape(N_ATOMS, (2 * l + 1) * count, CHANNELS)
        for l, (matrix, count) in enumerate(zip(matrices, columns, strict=True))
    ]
    assert np.array_equal(gathered(rows, CHANNELS), np.concatenate(parts, axis=1))
    before = gathered(rows, CHANNELS)
    clear(rows, N_ATOMS, 3, CHANNELS)
    before[3] = 0
    assert np.array_equal(gathered(rows, CHANNELS), before)


@pytest.mark.parametrize("shape", [(8, 8, 3), (7, 5, 4), (3, 2, 6), (0, 4, 2)])
@pytest.mark.parametrize("add", [False, True])
def test_products_of_matrices(
    shape: tuple[int, int, int], add: bool, generator: np.random.Generator
) -> None:
    n, k, m = shape
    source, matrix = generator.normal(size=(n, k)), generator.normal(size=(k, m))
    target = generator.normal(size=(n, m))
    expected = source @ matrix + add * target
    multiply(source, matrix, target, add)
    assert target == pytest.approx(expected)


def test_rows_of_channels(generator: np.random.Generator) -> None:
    out, x, y, z = generator.normal(size=(4, CHANNELS))
    expected = out + 2.5 * x + x * y + x * y * z
    channels.add_scaled(out, x, 2.5)
    channels.add_product(out, x, y)
    channels.add3(out, x, y, z)
    assert out == pytest.approx(expected)
    assert channels.dot(x, y) == pytest.approx(x @ y)


def test_radial_functions_of_a_path(around: Surroundings, generator: np.random.Generator) -> None:
    n_paths, splines = 3, table(3 * CHANNELS, n_paths=3)
    expected = radial_of(around, n_paths * CHANNELS)
    (slopes,) = torch.autograd.grad(expected[:, CHANNELS : 2 * CHANNELS].sum(), around.distances)
    x = generator.normal(size=CHANNELS)
    for e, pair in enumerate(around.atoms.pairs):
        w, slope, f, again = np.empty((4, CHANNELS))
        values_and_slopes(around.edges, e, splines, pair, n_paths, 1, w, slope)
        values_times(around.edges, e, splines, pair, n_paths, 1, x, again, f)
        assert w == pytest.approx(expected[e, CHANNELS : 2 * CHANNELS].detach().numpy(), abs=1e-10)
        assert again == pytest.approx(w, abs=1e-14)
        assert f == pytest.approx(w * x, abs=1e-14)
        assert slope.sum() == pytest.approx(float(slopes[e]), abs=1e-8)


def test_density(around: Surroundings, generator: np.random.Generator) -> None:
    least, splines = 1.5, table(1)
    expected = 1 / (least + summed(radial_of(around, 1), around)[:, 0])
    inverse = np.zeros(N_ATOMS)
    density.forward(0, 2, around.atoms, around.edges, splines, least, inverse)
    density.forward(2, N_ATOMS, around.atoms, around.edges, splines, least, inverse)
    assert inverse == pytest.approx(expected.detach().numpy(), abs=1e-10)
    bar = generator.normal(size=N_ATOMS)
    total = (torch.from_numpy(bar) * summed(radial_of(around, 1), around)[:, 0]).sum()
    (slopes,) = torch.autograd.grad(total, around.distances)
    distance_bar = around.bars.distance
    density.reverse(0, 2, around.atoms, around.edges, splines, bar[:2], distance_bar)
    density.reverse(2, N_ATOMS, around.atoms, around.edges, splines, bar[2:], distance_bar)
    assert distance_bar == pytest.approx(slopes.numpy(), abs=1e-8)


def test_sums_of_the_first_layer(around: Surroundings, generator: np.random.Generator) -> None:
    n_elements, splines = 2, table(CHANNELS)
    S = some_rows(generator, (n_elements,) * (DEGREE + 1), CHANNELS)
    S_bar = some_rows(generator, (n_elements,) * (DEGREE + 1), CHANNELS)
    of_sender = torch.nn.functional.one_hot(
        torch.from_numpy(ELEMENTS[around.atoms.senders]), n_elements
    ).double()
    each = torch.einsum("eo,ez,ek->eozk", around.harmonics, of_sender, radial_of(around, CHANNELS))
    expected = summed(each, around).reshape(N_ATOMS, -1, CHANNELS)
    b = np.zeros((5, CHANNELS))
    for start, stop in ((0, 3), (3, N_ATOMS)):
        first_layer.forward(start, stop, around.atoms, around.edges, splines, S, b)
        first_layer.reverse(start, stop, around.atoms, around.edges, splines, S_bar, around.bars, b)
    assert gathered(S, CHANNELS) == pytest.approx(expected.detach().numpy(), abs=1e-9)
    total = (expected * torch.from_numpy(gathered(S_bar, CHANNELS))).sum()
    compare_bars(around, total)


def compare_bars(around: Surroundings, total: Tensor) -> None:
    """The gradients in distances and harmonics are those of a total."""
    slopes, of_harmonics = torch.autograd.grad(
        total, [around.distances, around.harmonics], retain_graph=True
    )
    assert around.bars.distance == pytest.approx(slopes.numpy(), abs=1e-7)
    assert around.bars.harmonics == pytest.approx(of_harmonics.numpy().T, abs=1e-9)


PATHS = [(0, 0, 0), (1, 1, 0), (0, 1, 1), (1, 0, 1), (1, 2, 1), (1, 1, 2)]


def test_messages(around: Surroundings, generator: np.random.Generator) -> None:
    """With couplings of every kind, some of which have an odd number of terms, some have none."""
    paths = []
    for l1, l2, l3 in PATHS:
        coupling = generator.normal(size=(2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
        coupling[generator.uniform(size=coupling.shape) < 0.4] = 0
        paths.append(Path(l1, l2, l3, coupling))
    splines = table(len(paths) * CHANNELS, len(paths))
    plan = messages.couple(paths, splines)
    columns = tuple(sum(path.l3 == l for path in paths) for l in range(DEGREE + 1))
    x = some_rows(generator, (1, 1), CHANNELS)
    x_bar = Rows(np.zeros_like(x.flat), x.places)
    M, M_bar = (some_rows(generator, columns, CHANNELS) for _ in range(2))
    scratch = messages.make_scratch(plan, max(NEIGHBORS))
    atoms, edges = around.atoms, around.edges
    for start, stop in ((0, 2), (2, N_ATOMS)):
        messages.forward(start, stop, atoms, edges, plan, x, M, scratch)
        messages.reverse(start, stop, atoms, edges, plan, x, x_bar, M_bar, around.bars, scratch)

    sent = leaf(gathered(x, CHANNELS))
    weights = radial_of(around, len(paths) * CHANNELS).reshape(-1, len(paths), CHANNELS)
    by_degree: list[list[Tensor]] = [[] for _ in columns]
    for p, path in enumerate(paths):
        source = sent[:, path.l1**2 : (path.l1 + 1) ** 2][torch.from_numpy(atoms.senders)]
        Y = around.harmonics[:, path.l2**2 : (path.l2 + 1) ** 2]
        C = torch.from_numpy(path.coupling)
        each = torch.einsum("eac,eb,abm,ec->emc", source, Y, C, weights[:, p])
        by_degree[path.l3].append(summed(each, around))
    parts = [torch.stack(each, dim=2).flatten(1, 2) for each in by_degree]  # (m, path)
    expected = torch.cat(parts, dim=1)
    assert gathered(M, CHANNELS) == pytest.approx(expected.detach().numpy(), abs=1e-9)
    total = (expected * torch.from_numpy(gathered(M_bar, CHANNELS))).sum()
    compare_bars(around, total)
    (of_sent,) = torch.autograd.grad(total, sent)
    assert gathered(x_bar, CHANNELS) == pytest.approx(of_sent.numpy(), abs=1e-9)


def test_four_edges_at_a_time(generator: np.random.Generator) -> None:
    f, n = generator.normal(size=(lanes.LANES, CHANNELS)), lanes.LANES
    one, two, bar, other = generator.normal(size=(4, CHANNELS))
    Z, Y, Z_bar, Y_bar, alone = generator.normal(size=(5, n))
    expected = one + 2 * (Z @ f), two + Y @ f
    lanes.add(one, Z, f)
    lanes.add_two(one, two, Z, Y, f)
    assert one == pytest.approx(expected[0])
    assert two == pytest.approx(expected[1])
    f_bar = np.zeros((n, CHANNELS))
    lanes.add_two_reverse(bar, other, Z, Y, Z_bar, Y_bar, f, f_bar)
    lanes.add_reverse(bar, Z, alone, f, f_bar)
    assert f_bar == pytest.approx(2 * np.outer(Z, bar) + np.outer(Y, other))
    assert Z_bar == pytest.approx(f @ bar)
    assert alone == pytest.approx(Z_bar)
    assert Y_bar == pytest.approx(f @ other)


def test_products_over_monomials(around: Surroundings, generator: np.random.Generator) -> None:
    """Terms share prefixes and components; weights are of elements or of all."""
    n_couplings, A = 3, some_rows(generator, (1,) * (DEGREE + 1), CHANNELS)
    degrees = []
    for l, n_elements in ((0, 2), (1, 1)):
        contractions = []
        for order in (1, 2, 3):
            factors = np.sort(generator.integers(0, N_LM, (6, order)), axis=1)
            factors[-1] = N_LM - 1  # the last monomial of all is a long one
            contractions.append(
                Contraction(
                    component=generator.integers(0, 2 * l + 1, len(factors)),
                    factors=factors,
                    matrix=generator.normal(size=(len(factors), n_couplings)),
                    weights=generator.normal(size=(n_elements, n_couplings, CHANNELS)),
                )
            )
        degrees.append(tuple(contractions))
    monomials = find_monomials(degrees)
    coefficients = np.stack([monomials.coefficients(element) for element in (0, 1)])
    B, B_bar = (some_rows(generator, (1, 1), CHANNELS) for _ in range(2))
    A_bar = some_rows(generator, (1,) * (DEGREE + 1), CHANNELS)
    order = int(monomials.nodes.order.max()) + 1
    values, bars = np.zeros((2, order, CHANNELS))
    scratch = products.Scratch(values, bars, np.zeros(order, np.int64))
    for start, stop in ((0, 2), (2, N_ATOMS)):
        plan = (around.atoms, monomials.nodes, coefficients)
        products.forward(start, stop, *plan, A, B, values)
        products.reverse(start, stop, *plan, A, A_bar, B_bar, scratch)

    features = leaf(gathered(A, CHANNELS))
    expected = torch.zeros(N_ATOMS, 4, CHANNELS, dtype=torch.float64)
    for l, contractions_of_l in enumerate(degrees):
        for each in contractions_of_l:
            weights = each.weights[ELEMENTS] if len(each.weights) > 1 else each.weights
            w = torch.from_numpy(np.einsum("tk,zkc->ztc", each.matrix, weights))
            term = w * features[:, torch.from_numpy(each.factors)].prod(dim=2)
            expected = expected.index_add(1, torch.from_numpy(l * l + each.component), term)
    assert gathered(B, CHANNELS) == pytest.approx(expected.detach().numpy(), abs=1e-12)
    total = (expected * torch.from_numpy(gathered(B_bar, CHANNELS))).sum()
    (slopes,) = torch.autograd.grad(total, features)
    assert gathered(A_bar, CHANNELS) == pytest.approx(slopes.numpy(), abs=1e-11)


def test_gates(generator: np.random.Generator) -> None:
    shapes = [(N_ATOMS, 3 * CHANNELS), (3 * N_ATOMS, CHANNELS), (5 * N_ATOMS, CHANNELS)]
    message = [leaf(generator.normal(size=shape)) for shape in shapes]
    first, *opened = message[0].split(CHANNELS, dim=1)  # type: ignore[no-untyped-call]
    expected = [torch.nn.functional.silu(first)]
    for part, gate in zip(message[1:], opened, strict=True):
        product = part.view(N_ATOMS, -1, CHANNELS) * torch.sigmoid(gate)[:, None]
        expected.append(product.view(-1, CHANNELS))
    arrays = [part.detach().numpy() for part in message]
    gated = [np.empty(each.shape) for each in expected]
    gates.forward(arrays, gated)
    bars = [generator.normal(size=each.shape) for each in gated]
    found = [np.empty(shape) for shape in shapes]
    gates.reverse(arrays, bars, found)
    total = sum((x * torch.from_numpy(bar)).sum() for x, bar in zip(expected, bars, strict=True))
    for one, two in zip(gated, expected, strict=True):
        assert one == pytest.approx(two.detach().numpy(), abs=1e-14)
    for bar, slope in zip(found, torch.autograd.grad(total, message), strict=True):
        assert bar == pytest.approx(slope.numpy(), abs=1e-13)


def test_features_times_matrices_of_elements(
    around: Surroundings, generator: np.random.Generator
) -> None:
    """One matrix for all, or one for each element, of the atoms of a range alone."""
    run = Run(
        atoms=around.atoms,
        ghosts=None,
        starts=[0, 2, N_ATOMS],
        channels=CHANNELS,
        degree=1,
        shares=Shares(np.ones(N_ATOMS, np.int64)),
        edges=around.edges,
        bars=around.bars,
        memory=Memory(np.dtype(np.float64)),
    )
    assert run.most_neighbors(0, 2) == 4
    assert run.most_neighbors(0, N_ATOMS) == 11
    source: Features = run.features("source", (1, 1), CHANNELS)
    target = run.features("target", (1, 1), 3)
    source.rows.flat[:] = generator.normal(size=source.rows.flat.size)
    matrices = [
        list(generator.normal(size=(1, CHANNELS, 3))),
        list(generator.normal(size=(2, CHANNELS, 3))),
    ]
    source.times(Linear(matrices), target, 1, 4)
    before, after = gathered(source.rows, CHANNELS), gathered(target.rows, 3)
    expected = np.zeros((N_ATOMS, 4, 3))
    expected[1:4, :1] = before[1:4, :1] @ matrices[0][0]
    for i in range(1, 4):
        expected[i, 1:] = before[i, 1:] @ matrices[1][ELEMENTS[i]]
    assert after == pytest.approx(expected)
    source.times(Linear(matrices), target, 1, 4, add=True)
    assert gathered(target.rows, 3) == pytest.approx(2 * expected)


def tiny_model(generator: np.random.Generator) -> Model:
    """Scalars of one path, whose radial functions know both elements."""

    def functions(distances: Floats, receiver: int, sender: int) -> Floats:
        found = radial(torch.from_numpy(distances), torch.tensor(receiver + 2.0 * sender), CHANNELS)
        return found.numpy()

    square = generator.normal(size=(1, CHANNELS, CHANNELS))
    contraction = Contraction(
        np.zeros(1, np.int64),
        np.zeros((1, 1), np.int64),
        np.ones((1, 1)),
        np.ones((3, 1, CHANNELS)),
    )
    layer = Layer(
        paths=(Path(0, 0, 0, np.ones((1, 1, 1))),),
        radial=functions,
        up=(square[0],),
        mix=(square[0],),
        mix_element=None,
        skip=(square,),
        density=None,
        contractions=((contraction,),),
        out=(square[0],),
    )
    return Model(
        cutoff=CUTOFF,
        degree=0,
        embedding=generator.normal(size=(3, CHANNELS)),
        layers=(layer, layer),
        readouts=(np.ones(CHANNELS),),
        last_readout=Readout((np.ones((CHANNELS, 1)),), (), "silu", 1.0),
        reference_energies=np.arange(3.0),
        scale=1.0,
        pairs="ordered",
    )


def test_what_is_prepared_for_elements(generator: np.random.Generator) -> None:
    """Tables have the splines of the pairs that there are, at the places that edges look at."""
    model = tiny_model(generator)
    preparation = Preparation(model, torch.float64)
    prepared = preparation.of((0, 2))
    assert prepared.constants.tolist() == [0.0, 2.0]
    knots = prepared.knots
    for a, receiver in enumerate(prepared.present):
        for b, sender in enumerate(prepared.present):
            first = ROWS * prepared.pair_base[a, b]
            expected = tabulate(model.layers[1].radial(sites(knots), receiver, sender), knots)
            rows = prepared.sums[1].table[first : first + ROWS * knots.size]
            assert rows == pytest.approx(expected, abs=1e-14)
    assert prepared.sums[0].couplings is None
    assert preparation.of((0, 2)) is prepared
    for present in ((0,), (1,), (2,), (0, 1))[:KEPT]:
        preparation.of(present)
    assert preparation.of((0, 2)) is not prepared


def test_atoms_in_the_order_of_elements(generator: np.random.Generator) -> None:
    """Each keeps its edges; neighbours are counted anew, pairs are of receiver and sender."""
    prepared = Preparation(tiny_model(generator), torch.float64).of((0, 2))
    elements, neighbors = np.array([1, 0, 1]), np.array([1, 2, 0, 0, 1])
    order = np.argsort(elements, kind="stable")
    atoms = arrange(elements, order, np.array([0, 2, 3, 5]), neighbors, prepared)
    assert atoms.elements.tolist() == [0, 1, 1]
    assert atoms.rows.tolist() == [[2, 3], [0, 2], [3, 5]]
    assert atoms.senders.tolist() == [0, 2, 1, 1, 0]
    pairs = [(1, 0), (1, 1), (0, 1), (1, 1), (1, 0)]
    assert atoms.pairs.tolist() == [prepared.pair_base[pair] for pair in pairs]
