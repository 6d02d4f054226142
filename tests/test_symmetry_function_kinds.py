"""Weighted and polynomial functions: closed forms, atoms on a line, windows, sharing, periods."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

import ladera
from conftest import FUNCTION, SPECIES, functions_beyond_n2p2, mixed_functions, water_like
from ladera import Graph
from ladera.errors import ConfigError
from ladera.kernels.symmetry_functions import cpu, ops, reference
from ladera.kernels.symmetry_functions.environment import Edges
from ladera.kernels.symmetry_functions.functions import SHAPES, SymmetryFunction
from ladera.kernels.symmetry_functions.plan import Plan, make_plan
from ladera.kernels.vector_math import arc_cosine
from ladera.models.hdnnp import HDNNPConfig

CUTOFF = 4.0
POLY2 = 6
COMPACT = {
    "poly1": lambda t: 1 - 3 * t**2 + 2 * t**3,
    "poly2": lambda t: 1 - 10 * t**3 + 15 * t**4 - 6 * t**5,
    "poly3": lambda t: 1 - 35 * t**4 + 84 * t**5 - 70 * t**6 + 20 * t**7,
    "poly4": lambda t: 1 - 126 * t**5 + 420 * t**6 - 540 * t**7 + 315 * t**8 - 70 * t**9,
    "exponential": lambda t: np.exp(1 - 1 / (1 - t**2)),
}


def angular(kind: str, /, **changes: object) -> SymmetryFunction:
    """A polynomial function of H around O whose window is centred at 180 degrees."""
    values: dict[str, object] = {
        "kind": kind,
        "center": "O",
        "neighbors": () if kind.startswith("weighted") else ("H", "H"),
        "inner": -CUTOFF,
        "cutoff": CUTOFF,
        "angle_left": 90.0,
        "angle_right": 270.0,
        "shape": "poly2",
    }
    return FUNCTION.validate_python(values | changes)


def arrays(atoms: Atoms, cutoff: float = CUTOFF) -> Edges:
    graph = Graph.from_atoms(atoms, cutoff)
    index = np.array([SPECIES.index(symbol) for symbol in atoms.symbols])
    return Edges(graph.vectors.numpy(), graph.row_pointer.numpy(), index, index[graph.neighbors])


def energy(plan: Plan, atoms: Atoms) -> float:
    """The sum of all functions of all atoms."""
    return float(cpu.values(plan, arrays(atoms)).sum())


def forces(plan: Plan, atoms: Atoms) -> np.ndarray:
    """Minus the gradient of ``energy``."""
    graph = Graph.from_atoms(atoms, CUTOFF)
    gradient = cpu.reverse(plan, arrays(atoms), np.ones((len(atoms), plan.n_functions)))
    result = np.zeros((len(atoms), 3))
    np.add.at(result, graph.centers.numpy(), gradient)
    np.add.at(result, graph.neighbors.numpy(), -gradient)
    return result


def agree_with_finite_differences(plan: Plan, atoms: Atoms, tolerance: float = 1e-7) -> None:
    step, analytic = 1e-4, forces(plan, atoms)
    for atom in range(len(atoms)):
        for axis in range(3):
            ends = []
            for sign in (-1, 1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * step
                ends.append(energy(plan, moved))
            numeric = (ends[0] - ends[1]) / (2 * step)
            assert analytic[atom, axis] == pytest.approx(numeric, abs=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_bent_molecule_by_hand(shape: str) -> None:
    """Both radial and angular windows, worked out from the formulas."""
    molecule = Atoms("OHH", [[0, 0, 0], [1, 0, 0], [0, 2, 0]])
    window = {"angle_left": 30.0, "angle_right": 170.0, "inner": -0.5, "shape": shape}
    kinds = ("polynomial_narrow", "polynomial_wide", "weighted_polynomial_narrow")
    radial = {"kind": "polynomial_radial", "center": "O", "neighbors": ("H",)}
    functions = [angular(kind, **window) for kind in kinds]
    functions.append(FUNCTION.validate_python(radial | {"inner": 0.1, "cutoff": 3, "shape": shape}))
    plain = COMPACT[shape.removesuffix("_asymmetric")]

    def radial_part(r: float, inner: float, cutoff: float) -> float:
        t = abs(r - (inner + cutoff) / 2) * 2 / (cutoff - inner)
        return float(plain(t * (2 - t) if shape.endswith("asymmetric") else t))

    one, two, third = (radial_part(r, -0.5, CUTOFF) for r in (1.0, 2.0, np.sqrt(5)))
    wide = one * two * plain(10 / 70)
    expected = [radial_part(1, 0.1, 3) + radial_part(2, 0.1, 3), wide * third, wide, wide * third]
    G = cpu.values(make_plan(SPECIES, functions, POLY2), arrays(molecule))
    np.testing.assert_allclose(G[0], expected, rtol=1e-12)


def test_weights_are_atomic_numbers() -> None:
    """A weighted function is the sum over element pairs with the weights Z_j Z_k."""
    weighted = angular("weighted_polynomial_wide", shape="poly3")
    pairs = {("H", "H"): 1.0, ("H", "O"): 8.0, ("O", "O"): 64.0}
    plain = [angular("polynomial_wide", shape="poly3", neighbors=pair) for pair in pairs]
    structure = arrays(water_like(12, 5.0, True, 3))
    whole = cpu.values(make_plan(SPECIES, [weighted], POLY2), structure)[:, 0]
    parts = cpu.values(make_plan(SPECIES, plain, POLY2), structure)
    assert whole.any()
    np.testing.assert_allclose(whole, parts @ np.array(list(pairs.values())), rtol=1e-12)


@pytest.mark.parametrize("kind", ["polynomial_narrow", "weighted_polynomial_narrow"])
def test_shapes_of_one_group_do_not_share_their_third_side(kind: str) -> None:
    """n2p2 reuses C(r_jk) of the first shape for the others with the same radii."""
    functions = [angular(kind, shape=shape, angle_left=20.0, angle_right=170.0) for shape in SHAPES]
    structure = arrays(water_like(12, 5.0, True, 4))
    together = cpu.values(make_plan(SPECIES, functions, POLY2), structure)
    for column, function in enumerate(functions):
        alone = cpu.values(make_plan(SPECIES, [function], POLY2), structure)
        assert alone.any()
        np.testing.assert_allclose(together[:, column], alone[:, 0], rtol=1e-13)
    assert np.abs(np.diff(together[together.any(1)], axis=1)).min() > 0


@pytest.mark.parametrize("tilt", [0.0, 1e-9, 1e-6, 1e-3])
@pytest.mark.parametrize("weighted", ["", "weighted_"])
@pytest.mark.parametrize("kind", ["polynomial_narrow", "polynomial_wide"])
@pytest.mark.parametrize("shape", ["poly1", "poly4_asymmetric", "exponential"])
def test_atoms_on_a_line_count(kind: str, weighted: str, shape: str, tilt: float) -> None:
    """n2p2 drops collinear triplets although a window centred at 180 degrees is 1 there."""
    axis = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    side = np.array([3.0, 0.0, -1.0]) / np.sqrt(10)
    straight = Atoms("OHH", [0 * axis, axis, -1.3 * axis + tilt * side])
    function = angular(weighted + kind, shape=shape)
    plan = make_plan(SPECIES, [function], POLY2)
    reached = [
        angular(weighted + kind, shape=shape, angle_left=a, angle_right=b)
        for a, b in ((-360.0, 360.0), (90.0, 270.0))
    ]
    G = cpu.values(make_plan(SPECIES, reached, POLY2), arrays(straight))[0]
    assert G[1] > 1e-4  # the columns are sorted by the angles: first -360, where 180 is half-way
    half_way = COMPACT[shape.removesuffix("_asymmetric")](0.5)
    np.testing.assert_allclose(G[0], G[1] * half_way, rtol=max(1e-12, 10 * tilt))
    agree_with_finite_differences(plan, straight)
    behind = Atoms("OHH", [0 * axis, axis, 2.5 * axis + tilt * side])
    at_zero = make_plan(
        SPECIES,
        [angular(weighted + kind, shape=shape, angle_left=-90.0, angle_right=90.0)],
        POLY2,
    )
    assert cpu.values(at_zero, arrays(behind))[0, 0] > 1e-4
    agree_with_finite_differences(at_zero, behind)


def test_bending_force_constant_of_a_straight_molecule() -> None:
    """The second derivative is right where the arc cosine has no first one."""
    plan = make_plan(SPECIES, [angular("polynomial_wide", shape="poly1")], POLY2)
    straight = Atoms("OHH", [[0, 0, 0], [0, 0, 1.0], [0, 0, -1.3]])
    vectors, *rest = (torch.from_numpy(array) for array in arrays(straight))
    number = ops.number_of(plan)
    hessian = torch.autograd.functional.hessian(
        lambda v: ops.values(v, *rest, number)[0].sum(), vectors
    )
    assert torch.isfinite(hessian).all()
    bend = float(hessian[0, 0, 0, 0])
    step = 1e-4
    slopes = []
    for sign in (-1, 1):
        moved = vectors.clone()
        moved[0, 0] += sign * step
        weights = torch.tensor([[1.0], [0.0], [0.0]], dtype=torch.float64)
        slopes.append(float(ops.reverse(moved, *rest, weights, number)[0, 0]))
    assert bend == pytest.approx((slopes[1] - slopes[0]) / (2 * step), rel=1e-3)
    assert bend < -1e-3


def test_a_simple_cubic_crystal_has_straight_neighbors() -> None:
    """Own periodic images on both sides: every atom sees itself at 180 degrees."""
    crystal = bulk("O", "sc", a=2.5)
    function = angular("weighted_polynomial_wide", angle_left=150.0, angle_right=210.0)
    value = cpu.values(make_plan(SPECIES, [function], POLY2), arrays(crystal, 3.0))[0, 0]
    t = 2.5 / CUTOFF
    assert value == pytest.approx(3 * 64 * COMPACT["poly2"](t) ** 2, rel=1e-12)


@pytest.mark.parametrize("cell", [2.6, 5.0])
def test_forces_of_all_kinds_against_finite_differences(cell: float) -> None:
    """Also in cells where an atom sees its own images, whose forces n2p2 leaves out."""
    plan = make_plan(SPECIES, mixed_functions(CUTOFF), POLY2)
    atoms = water_like(3, cell, True, 6)
    largest = np.abs(forces(plan, atoms)).max()
    assert largest > 0.1
    agree_with_finite_differences(plan, atoms, 2e-7 * largest)


@given(
    st.integers(0, 10_000), st.sampled_from(SHAPES), st.floats(0.0, 150.0), st.floats(20.0, 180.0)
)
@settings(max_examples=15)
def test_random_windows_against_the_reference(
    seed: int, shape: str, left: float, width: float
) -> None:
    right = min(left + width, 180.0)
    kinds = ("polynomial_narrow", "weighted_polynomial_wide")
    functions = [angular(k, shape=shape, angle_left=left, angle_right=right) for k in kinds]
    functions.append(angular("polynomial_wide", shape=shape, inner=seed % 5 - 2.0))
    plan = make_plan(SPECIES, functions, POLY2)
    structure = arrays(water_like(9, 5.0, bool(seed % 2), seed))
    tensors = [torch.from_numpy(array) for array in structure]
    vectors = tensors[0].requires_grad_()
    expected = reference.values(plan, *tensors)
    # At the edge of its window a function is the difference of numbers near one.
    scale = max(float(expected.detach().abs().max()), 0.01)
    found = cpu.values(plan, structure)
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=0, atol=1e-11 * scale)
    (gradient,) = torch.autograd.grad(expected.sum(), vectors)
    ones = np.ones(expected.shape)
    slope = cpu.reverse(plan, structure, ones)
    bound = 1e-9 * max(float(gradient.abs().max()), 0.01)
    np.testing.assert_allclose(slope, gradient.numpy(), rtol=0, atol=bound)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=50))
@settings(max_examples=50)
def test_arc_cosine_to_the_last_digits(values: list[float]) -> None:
    x = np.array(values)
    angle, sine = np.empty_like(x), np.empty_like(x)
    arc_cosine(x, angle, sine)
    np.testing.assert_allclose(angle, np.arccos(x), rtol=1e-15, atol=5e-16)
    np.testing.assert_allclose(sine, np.sqrt((1 - x) * (1 + x)), rtol=1e-14)


def crowd(n: int) -> Graph:
    """Atoms in a heap: each pair within the cutoff."""
    positions = np.random.default_rng(1).normal(size=(n, 3))
    return Graph.from_atoms(Atoms("O" + (n - 1) * "H", 0.5 * positions), CUTOFF)


def test_many_neighbors_fill_several_blocks() -> None:
    """More pairs, and more partners of one neighbour, than a block of the loops holds."""
    plan = make_plan(SPECIES, [angular("weighted_polynomial_narrow")], POLY2)
    graph, n = crowd(300), 299
    index = torch.ones(n, dtype=torch.int64).sub(1)
    alone = [graph.vectors[:n], torch.tensor([0, n]), torch.tensor([1]), index]
    vectors = alone[0].requires_grad_()
    expected = reference.values(plan, *alone)
    (gradient,) = torch.autograd.grad(expected.sum(), vectors)
    plain = Edges(*(tensor.detach().numpy() for tensor in alone))
    np.testing.assert_allclose(cpu.values(plan, plain), expected.detach().numpy(), rtol=1e-11)
    found = cpu.reverse(plan, plain, np.ones((1, 1)))
    bound = 1e-11 * float(gradient.abs().max())
    np.testing.assert_allclose(found, gradient.numpy(), rtol=0, atol=bound)


def test_the_one_pass_path_with_more_pairs_than_are_kept() -> None:
    """It finds in memory what the values have left there, or else computes it again."""
    functions = tuple(f for f in mixed_functions(CUTOFF) if f.narrow and f.center == "O")
    radial = FUNCTION.validate_python(
        {"kind": "polynomial_radial", "center": "H", "neighbors": ("H",), "inner": -CUTOFF}
        | {"cutoff": CUTOFF, "shape": "poly2"}
    )
    torch.manual_seed(1)
    config = HDNNPConfig(
        species=SPECIES, cutoff=CUTOFF, symmetry_functions=(*functions, radial), hidden_layers=(4,)
    )
    potential, graph = ladera.build(config), crowd(250)
    in_training = potential.energies_and_edge_gradients(graph)
    with torch.no_grad():
        fast = potential.energies_and_edge_gradients(graph)
    for one, other in zip(in_training, fast, strict=True):
        bound = 1e-11 * float(one.detach().abs().max())
        np.testing.assert_allclose(other.numpy(), one.detach().numpy(), rtol=0, atol=bound)


@pytest.mark.parametrize("function", mixed_functions(CUTOFF), ids=lambda f: f.kind)
def test_a_nan_stays_visible(function: SymmetryFunction) -> None:
    structure = arrays(water_like(9, 5.0, True, 1))
    nowhere = structure._replace(vectors=np.full_like(structure.vectors, np.nan))
    assert np.isnan(cpu.values(make_plan(SPECIES, [function], POLY2), nowhere)).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neighbors": ("H",)}, "2 neighbour"),
        ({"angle_left": None}, "needs angle_left and angle_right"),
        ({"angle_left": 280.0}, "ascending"),
        ({"angle_left": -10.0, "angle_right": 60.0}, "middle is 0 or"),
        ({"inner": 4.5}, "below the cutoff"),
        ({"shape": "poly5"}, "poly4_asymmetric"),
        ({"eta": 1.0}, "Extra inputs"),
        ({"kind": "weighted_polynomial_wide"}, "0 neighbour"),
        ({"kind": "polynomial_radial", "neighbors": ("H",)}, "neither angle_left"),
        ({"kind": "bispectrum"}, "bispectrum"),
    ],
)
def test_impossible_functions_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        angular("polynomial_wide", **change)


def test_zeta_below_one_is_refused_with_the_reason() -> None:
    values = {"kind": "weighted_narrow", "center": "O", "eta": 0.1, "cutoff": 4, "lambda": 1}
    with pytest.raises(ValueError, match="makes the forces infinite"):
        FUNCTION.validate_python(values | {"zeta": 0.5})


# --- kinds that n2p2 lacks ---------------------------------------------------------------------

BENT = Atoms("OHH", [[0, 0, 0], [1, 0, 0], [0, 2, 0]])


def shifted(**changes: object) -> SymmetryFunction:
    values: dict[str, object] = {
        "kind": "shifted_wide",
        "center": "O",
        "neighbors": ("H", "H"),
        "eta": 2.0,
        "shift": 1.2,
        "zeta": 6.5,
        "angle": 120.0,
        "cutoff": CUTOFF,
    }
    return FUNCTION.validate_python(values | changes)


def chebyshev(kind: str, /, **changes: object) -> SymmetryFunction:
    values = {"kind": f"chebyshev_{kind}", "center": "O", "order": 3, "cutoff": CUTOFF}
    return FUNCTION.validate_python(values | changes)


def cosine_cutoff(r: float) -> float:
    return float(0.5 * (np.cos(np.pi * r / CUTOFF) + 1))


def test_functions_beyond_n2p2_by_hand() -> None:
    weights = {"H": -2.0, "O": 1.0}
    functions = [
        shifted(),
        chebyshev("radial"),
        chebyshev("radial", weights=weights),
        chebyshev("angular", order=4, weights=weights),
    ]
    G = cpu.values(make_plan(SPECIES, functions, 1), arrays(BENT))[0]
    sides = cosine_cutoff(1.0) * cosine_cutoff(2.0)
    power = ((1 + np.cos(np.radians(90 - 120))) / 2) ** 6.5  # 0.95 cos 90 degrees is 0
    radial = sum(np.cos(3 * np.arccos(2 * r / CUTOFF - 1)) * cosine_cutoff(r) for r in (1.0, 2.0))
    expected = [2 * power * np.exp(-2 * (1.5 - 1.2) ** 2) * sides, radial, -2 * radial, 4 * sides]
    np.testing.assert_allclose(G, expected, rtol=1e-13)


@pytest.mark.parametrize("tilt", [0.0, 1e-9, 1e-3])
@pytest.mark.parametrize("angle", [0.0, 180.0])
def test_shifted_functions_of_atoms_on_a_line(angle: float, tilt: float) -> None:
    straight = Atoms("OHH", [[0, 0, 0], [1, 0, 0], [-1.3, tilt, 0]])
    plan = make_plan(SPECIES, [shifted(angle=angle)], POLY2)
    agree_with_finite_differences(plan, straight)


def test_weights_tell_the_elements_apart() -> None:
    """With the weight 1 for one element and 0 for others only that one counts."""
    structure = water_like(12, 5.0, True, 4)
    only = [chebyshev("angular", weights={"H": 1.0, "O": 0.0}), chebyshev("radial", order=7)]
    without = structure[[i for i, s in enumerate(structure.symbols) if s == "H" or i == 0]]
    found = cpu.values(make_plan(SPECIES, only[:1], POLY2), arrays(structure))[0]
    alone = Graph.from_atoms(without, CUTOFF)
    index = np.array([SPECIES.index(symbol) for symbol in without.symbols])
    near = index[alone.neighbors] == 0  # no images of the oxygen either
    assert near.sum() < len(near)
    plain = make_plan(SPECIES, [chebyshev("angular", weights={"H": 1.0, "O": 0.0})], POLY2)
    np.testing.assert_allclose(cpu.values(plain, arrays(without))[0], found, rtol=1e-12)
    both = make_plan(SPECIES, only, POLY2)  # a channel of order 7 beside one of order 0
    np.testing.assert_allclose(cpu.values(both, arrays(structure))[0, 1], found, rtol=1e-12)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        (lambda: shifted(zeta=0.5), "greater than or equal to 1"),
        (lambda: shifted(angle=181), "less than or equal to 180"),
        (lambda: shifted(neighbors=("H",)), "has 2 neighbour element"),
        (lambda: chebyshev("radial", order=33), "order = 33 is above 32"),
        (lambda: chebyshev("radial", neighbors=("H",)), "has 0 neighbour element"),
        (lambda: chebyshev("radial", weights={"Q": 1}), "'Q' is not a chemical symbol"),
    ],
)
def test_impossible_functions_beyond_n2p2(given_: object, message: str) -> None:
    assert callable(given_)
    with pytest.raises(ValueError, match=message):
        given_()


def test_a_weight_that_is_missing_is_refused() -> None:
    with pytest.raises(ConfigError, match="leave out O, which is among the species"):
        make_plan(SPECIES, [chebyshev("radial", weights={"H": 1.0})], POLY2)


@pytest.mark.parametrize("function", functions_beyond_n2p2(CUTOFF)[6:], ids=lambda f: f.kind)
def test_functions_beyond_n2p2_survive_json(function: SymmetryFunction) -> None:
    assert FUNCTION.validate_python(function.model_dump(mode="json")) == function
    assert hash(FUNCTION.validate_json(function.model_dump_json())) == hash(function)
    assert not function.in_n2p2
