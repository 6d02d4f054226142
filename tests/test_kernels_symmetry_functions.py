"""Each module of the symmetry functions' loops by itself, against a few lines of NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from ladera.kernels.activations import ACTIVATION_NUMBERS
from ladera.kernels.atomic_networks import energies_and_gradients, pack_networks
from ladera.kernels.harmonics import lm
from ladera.kernels.symmetry_functions import blocks, cpu, environment, factors, moments, pairs
from ladera.kernels.symmetry_functions.environment import (
    FEW,
    Derivatives,
    Edges,
    Workspace,
    make_memory,
    return_memory,
    take_memory,
)
from ladera.kernels.symmetry_functions.functions import GaussianFunction
from ladera.kernels.symmetry_functions.plan import Plan, make_plan
from ladera.kernels.symmetry_functions.plan_arrays import NARROW
from ladera.kernels.symmetry_functions.triplets import triplet_values

CUTOFF, COSINE = 4.0, 1
ETA, ZETA = 0.2, 3
MANY = FEW + 8  # neighbours: the loops over neighbours instead of those over l and m


def function(kind: str, *neighbors: str, **parameters: float) -> GaussianFunction:
    return GaussianFunction(
        kind=kind, center="O", neighbors=neighbors, eta=ETA, cutoff=CUTOFF, **parameters
    )


@pytest.fixture
def plan() -> Plan:
    """A radial function of each element, wide and narrow ones of each pair."""
    angular = {"lambda_": 1.0, "zeta": float(ZETA)}
    elements = list(itertools.combinations_with_replacement("HO", 2))
    return make_plan(
        ("H", "O"),
        [
            *(function("radial", element) for element in "HO"),
            *(function("wide", *both, **angular) for both in elements),
            *(function("narrow", *both, **angular) for both in elements),
        ],
        COSINE,
    )


def one_atom(n: int) -> Edges:
    """An O with n neighbours, H and then O."""
    vectors = np.random.default_rng(n).normal(size=(n, 3)) * 1.5
    elements = np.sort(np.arange(n) % 2)
    return Edges(vectors, np.array([0, n]), np.array([1]), elements)


def prepared(plan: Plan, n: int) -> tuple[Edges, Workspace, Derivatives]:
    edges = one_atom(n)
    workspace, derivatives = make_memory(plan, n)
    environment.prepare(plan.arrays, 0, edges, workspace)
    return edges, workspace, derivatives


def radial(r: np.ndarray) -> np.ndarray:
    return np.exp(-ETA * r * r) * np.where(r < CUTOFF, 0.5 + 0.5 * np.cos(np.pi * r / CUTOFF), 0)


def slope(r: np.ndarray) -> np.ndarray:
    return (radial(r + 1e-6) - radial(r - 1e-6)) / 2e-6


def of_element(edges: Edges, workspace: Workspace, element: int) -> slice:
    start, stop = workspace.starts[element], workspace.starts[element + 1]
    assert (edges.neighbor_elements[start:stop] == element).all()
    return slice(start, stop)


@pytest.mark.parametrize("n", [7, MANY])
def test_environment(plan: Plan, n: int) -> None:
    edges, workspace, _ = prepared(plan, n)
    r = np.linalg.norm(edges.vectors, axis=1)
    np.testing.assert_allclose(workspace.distance, r, rtol=1e-15)
    np.testing.assert_allclose(workspace.unit.T, edges.vectors / r[:, None], rtol=1e-15)
    assert workspace.starts[-1] == n
    for element in range(2):
        of = of_element(edges, workspace, element)
        np.testing.assert_allclose(workspace.g[0, of], radial(r[of]), rtol=0, atol=1e-15)
        np.testing.assert_allclose(workspace.slope[0, of], slope(r[of]), rtol=0, atol=1e-8)


def test_the_gradient_of_an_environment_is_the_transpose_of_its_tangent(plan: Plan) -> None:
    edges, workspace, dot = prepared(plan, 7)
    v, arrays = np.random.default_rng(0).normal(size=(7, 3)), plan.arrays
    environment.spread_tangent(arrays, 0, edges, v, workspace, dot)
    bar = make_memory(plan, 7)[1]
    environment.clear(arrays, 1, 7, bar)
    for one in (bar.unit, bar.g[:1], bar.edge):
        one[:] = np.random.default_rng(1).normal(size=one.shape)
    gradient = np.zeros((7, 3))
    environment.collect_gradient(arrays, 0, edges, workspace, bar, gradient)
    products = (bar.unit * dot.unit).sum() + (bar.g[0] * dot.g[0]).sum()
    products += (bar.edge * dot.edge).sum()
    np.testing.assert_allclose((gradient * v).sum(), products, rtol=1e-12)


@pytest.mark.parametrize("n", [7, MANY])
def test_moments(plan: Plan, n: int) -> None:
    """sum_m A_lm B_lm = sum_jk g_j g_k P_l(u_j.u_k), whichever loops made them."""
    edges, workspace, _ = prepared(plan, n)
    moments.accumulate_moments(plan.arrays, 1, workspace)
    u, g = workspace.unit.T, workspace.g[0]
    A = workspace.moments  # (n_slots, 2, n_lm)
    parts = [of_element(edges, workspace, element) for element in range(2)]
    for (a, one), (b, two) in itertools.product(enumerate(parts), repeat=2):
        x = u[one] @ u[two].T
        for l in range(ZETA + 1):
            P = np.polynomial.legendre.legval(x, np.eye(l + 1)[l])
            rows = slice(lm(l, 0), lm(l, l) + 1)
            product = (A[a, :, rows] * A[b, :, rows]).sum()
            np.testing.assert_allclose(product, g[one] @ P @ g[two], rtol=1e-12)
    for element, part in enumerate(parts):
        np.testing.assert_allclose(workspace.squares[element], (g[part] ** 2).sum(), rtol=1e-14)


@pytest.mark.parametrize("n", [7, MANY])
def test_derivatives_of_wide_functions(plan: Plan, n: int) -> None:
    """The tangent is a difference, and the reverse pass its transpose."""
    edges, workspace, dot = prepared(plan, n)
    arrays, v = plan.arrays, np.random.default_rng(2).normal(size=(n, 3))

    def wide(vectors: np.ndarray) -> np.ndarray:
        memory = make_memory(plan, n)[0]
        environment.prepare(arrays, 0, edges._replace(vectors=vectors), memory)
        moments.accumulate_moments(arrays, 1, memory)
        G = np.zeros(plan.n_functions)
        moments.wide_values(arrays, 1, memory, G)
        return G

    moments.accumulate_moments(arrays, 1, workspace)
    environment.spread_tangent(arrays, 0, edges, v, workspace, dot)
    G_dot = np.zeros(plan.n_functions)
    moments.wide_tangent(arrays, 1, workspace, dot, G_dot)
    h = 1e-6
    difference = (wide(edges.vectors + h * v) - wide(edges.vectors - h * v)) / (2 * h)
    np.testing.assert_allclose(G_dot, difference, rtol=0, atol=1e-7 * np.abs(difference).max())
    bar, G_bar = make_memory(plan, n)[1], np.random.default_rng(3).normal(size=plan.n_functions)
    environment.clear(arrays, 1, n, bar)
    moments.wide_reverse(arrays, 1, workspace, bar, G_bar)
    gradient = np.zeros((n, 3))
    environment.collect_gradient(arrays, 0, edges, workspace, bar, gradient)
    np.testing.assert_allclose((gradient * v).sum(), G_bar @ G_dot, rtol=1e-11)


def expected_pairs(edges: Edges, elements: Sequence[int], narrow: bool) -> set[tuple[int, int]]:
    r = np.linalg.norm(edges.vectors, axis=1)
    chosen = set()
    for j, k in itertools.combinations(range(len(r)), 2):
        r_jk = np.linalg.norm(edges.vectors[j] - edges.vectors[k])
        fits = sorted(edges.neighbor_elements[[j, k]].tolist()) == sorted(elements)
        if fits and max(r[j], r[k], r_jk if narrow else 0.0) < CUTOFF:
            chosen.add((j, k))
    return chosen


@pytest.mark.parametrize("n", [5, 40])  # one block, and several
def test_pairs_and_blocks(plan: Plan, n: int) -> None:
    """All pairs that a group can see, once, with their geometry, angle and radial part."""
    edges, workspace, _ = prepared(plan, n)
    arrays, memory, r = plan.arrays, workspace.pairs, np.linalg.norm(edges.vectors, axis=1)
    groups = arrays.triplets
    for group in range(groups.start[1], groups.start[2]):
        elements = groups.first_element[group], groups.second_element[group]
        blocks.begin_group(arrays, 1, group, workspace.starts, memory)
        chosen: set[tuple[int, int]] = set()
        while True:
            block, count = blocks.next_block(arrays, 1, group, memory)
            if count == 0:
                break
            j, k = memory.partners[block, :, :count]
            chosen.update(zip(np.minimum(j, k).tolist(), np.maximum(j, k).tolist(), strict=True))
            r_jk = np.linalg.norm(edges.vectors[j] - edges.vectors[k], axis=1)
            cosine = (edges.vectors[j] * edges.vectors[k]).sum(1) / (r[j] * r[k])
            geometry = memory.geometry[block, :, :count]
            np.testing.assert_allclose(geometry[pairs.COSINE], cosine, rtol=0, atol=1e-13)
            np.testing.assert_allclose(geometry[pairs.R_JK], r_jk, rtol=1e-13)
            angle = memory.angles[block, 0, 0, :count]
            np.testing.assert_allclose(angle, (1 + cosine) ** ZETA, rtol=0, atol=1e-12)
            term = memory.terms[block, 0, pairs.RADIAL, :count]
            product = radial(r[j]) * radial(r[k]) * radial(r_jk)
            np.testing.assert_allclose(term, product, rtol=0, atol=1e-14)
        assert chosen == expected_pairs(edges, elements, groups.form[group] == NARROW)


def test_triplets(plan: Plan) -> None:
    edges, workspace, _ = prepared(plan, 9)
    G = np.zeros(plan.n_functions)
    triplet_values(plan.arrays, 1, workspace, G)
    u, r = workspace.unit.T, workspace.distance
    for column, f in enumerate(plan.functions[1]):
        if f.kind == "narrow":
            elements = [plan.species.index(symbol) for symbol in f.neighbors]
            total = sum(
                (1 + u[j] @ u[k]) ** ZETA
                * radial(r[j])
                * radial(r[k])
                * radial(np.linalg.norm(edges.vectors[j] - edges.vectors[k]))
                for j, k in expected_pairs(edges, elements, narrow=True)
            )
            np.testing.assert_allclose(G[column], 2.0 ** (1 - ZETA) * total, rtol=1e-11)
        else:
            assert G[column] == 0.0


def scratch(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.empty(n), np.empty(n, np.int64)


def test_gaussians() -> None:
    r = np.linspace(0.5, 3.0, 37)
    f, df, g, dg = np.cos(r), -np.sin(r), np.empty(37), np.empty(37)
    for eta, shift in ((0.0, 1.0), (0.7, 0.0), (0.7, 1.2)):
        factors.gaussian(eta, shift, r, f, df, g, dg, *scratch(37))
        decay = np.exp(-eta * (r - shift) ** 2)
        np.testing.assert_allclose(g, decay * f, rtol=1e-14)
        expected = decay * (df - 2 * eta * (r - shift) * f)
        np.testing.assert_allclose(dg, expected, rtol=0, atol=1e-15)
        rs = np.stack([r, r + 0.1, r + 0.3])
        factors.damp(eta, shift, 3.0, rs.sum(0), (rs**2).sum(0), f, g, *scratch(37))
        np.testing.assert_allclose(
            g, f * np.exp(-eta * ((rs - shift) ** 2).sum(0)), rtol=0, atol=1e-14
        )


@pytest.mark.parametrize("zeta", [1.0, 2.0, 5.0, 16.0, 0.5, 2.7])
@pytest.mark.parametrize("lambda_", [1.0, -1.0, 1.5])
def test_powers(lambda_: float, zeta: float) -> None:
    x = np.linspace(-1, 1, 41)
    value, rise = np.empty(41), np.empty(41)
    factors.powers(lambda_, zeta, x, value, rise, *scratch(41))
    base = np.maximum(1 + lambda_ * x, 0.0)
    np.testing.assert_allclose(value, base**zeta, rtol=1e-13)
    inside = base > 0.0
    expected = zeta * lambda_ * base[inside] ** (zeta - 1)
    np.testing.assert_allclose(rise[inside], expected, rtol=1e-13)
    assert (rise[~inside] == 0.0).all()


@pytest.mark.parametrize("zeta", [1.0, 2.0, 32.0, 14.1])
@pytest.mark.parametrize("angle", [0.0, 1.1, np.pi])
def test_shifted_powers(angle: float, zeta: float) -> None:
    x = np.linspace(-1, 1, 41)
    value, rise = np.empty(41), np.empty(41)
    factors.shifted_powers(angle, zeta, x, value, rise, *scratch(41))
    theta = np.arccos(0.95 * x)
    base = 1 + np.cos(theta - angle)
    np.testing.assert_allclose(value, base**zeta, rtol=1e-13)
    expected = zeta * base ** (zeta - 1) * 0.95 * np.sin(theta - angle) / np.sin(theta)
    np.testing.assert_allclose(rise, expected, rtol=1e-12, atol=1e-12)


def test_chebyshev() -> None:
    r = np.linspace(0.4, 3.9, 23)
    f, df = np.cos(r), -np.sin(r)
    g, slope = np.empty((8, 23)), np.empty((8, 23))
    for order in range(7):
        factors.chebyshev(order, order + 1, 4.0, r, f, df, g, slope)
        basis = np.polynomial.Chebyshev.basis(order, domain=[0.0, 4.0])
        np.testing.assert_allclose(g[order + 1], basis(r) * f, rtol=0, atol=1e-13)
        expected = basis.deriv()(r) * f + basis(r) * df
        np.testing.assert_allclose(slope[order + 1], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", range(9))
def test_compact_functions(shape: int) -> None:
    x, h = np.linspace(0.0, 4.0, 83), 1e-6

    def window(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, rise = np.empty_like(x), np.empty_like(x)
        factors.compact_function(shape, 0.5, 3.5, x, value, rise, *scratch(len(x)))
        return value, rise

    value, rise = window(x)
    assert (value[(x <= 0.5) | (x >= 3.5)] == 0.0).all()
    np.testing.assert_allclose(window(np.array([2.0]))[0], 1.0, rtol=1e-15)
    np.testing.assert_allclose(value, value[::-1], rtol=0, atol=1e-14)
    difference = (window(x + h)[0] - window(x - h)[0]) / (2 * h)
    np.testing.assert_allclose(rise, difference, rtol=0, atol=2e-5)


def test_tables_of_a_plan_have_the_types_they_declare(plan: Plan) -> None:
    """Also where they are empty, for the loops are compiled for one type."""
    small = make_plan(("H", "O"), [function("radial", "H")], COSINE)
    for table, other in zip(plan.arrays, small.arrays, strict=True):
        if isinstance(table, tuple):
            for one, two in zip(table, other, strict=True):
                assert (one.dtype, one.ndim) == (two.dtype, two.ndim)
    assert plan.arrays.channels.eta.tolist() == [ETA, ETA]
    assert plan.arrays.channels.start.tolist() == [0, 0, 0, 1, 2]
    assert plan.arrays.triplets.form.dtype == np.int64
    assert small.arrays.wide_functions.coefficients.shape == (0, 1)


def test_memory_is_kept_for_the_next_call(plan: Plan) -> None:
    first = take_memory(plan, 20)
    other = take_memory(plan, 5)
    assert other[0].distance is not first[0].distance
    return_memory(plan, first)
    again = take_memory(plan, 22)  # there is some room for more
    assert again[0].distance is first[0].distance
    return_memory(plan, again)
    assert len(take_memory(plan, 1000)[0].distance) >= 1000


def test_memory_holds_nothing_back(plan: Plan) -> None:
    """A call gives the same whatever the memory was used for."""
    edges = one_atom(9)
    fresh = cpu.values(plan, edges)
    for vectors in (np.full((9, 3), np.nan), one_atom(9).vectors[::-1].copy()):
        cpu.values(plan, edges._replace(vectors=vectors))
        cpu.reverse(plan, edges._replace(vectors=vectors), np.ones_like(fresh))
        assert (cpu.values(plan, edges) == fresh).all()


def test_atomic_networks(plan: Plan) -> None:
    """Energies of a network in NumPy, and the gradient of the symmetry functions behind it."""
    generator, edges = np.random.default_rng(4), one_atom(9)
    sizes = (plan.n_functions, 5, 1)
    network = [
        (generator.normal(size=(n_out, n_in)), generator.normal(size=n_out))
        for n_in, n_out in itertools.pairwise(sizes)
    ]
    kinds = [ACTIVATION_NUMBERS["tanh"], ACTIVATION_NUMBERS["linear"]]
    offset, factor = generator.normal(size=(2, 2, plan.n_functions))
    constants = np.array([0.3, -0.7])
    packed = pack_networks([network] * 2, [kinds] * 2, offset, factor, 0.1, constants, 2.5)
    energies, gradients, last = energies_and_gradients(plan, packed, edges, n_nodes=6)
    (W1, b1), (W2, b2) = network
    hidden = np.tanh(W1 @ ((cpu.values(plan, edges)[0] - offset[1]) * factor[1] + 0.1) + b1)
    np.testing.assert_allclose(energies, [2.5 * (W2 @ hidden + b2)[0] - 0.7], rtol=1e-13)
    np.testing.assert_allclose(last, [[*hidden, 0.0]], rtol=1e-12)
    G_bar = 2.5 * ((W2[0] * (1 - hidden**2)) @ W1) * factor[1]
    expected = cpu.reverse(plan, edges, G_bar[None])
    np.testing.assert_allclose(gradients, expected, rtol=0, atol=1e-13 * np.abs(expected).max())
