"""The compiled symmetry functions against the formulas in torch, and against closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from conftest import SPECIES, functions_beyond_n2p2, mixed_functions, water_like
from ladera import Graph
from ladera.errors import ConfigError
from ladera.kernels.compilation import source_hash
from ladera.kernels.harmonics import chebyshev_coefficients, legendre_coefficients
from ladera.kernels.symmetry_functions import cpu, ops, reference
from ladera.kernels.symmetry_functions.environment import Edges
from ladera.kernels.symmetry_functions.functions import (
    CUTOFF_FUNCTIONS,
    GaussianFunction,
    SymmetryFunction,
)
from ladera.kernels.symmetry_functions.plan import Plan, make_plan
from ladera.kernels.symmetry_functions.plan_builder import uses_moments
from ladera.kernels.vector_math import exponential, logarithm

NUMBERS = torch.zeros(10, dtype=torch.int64).index_fill(0, torch.tensor([8]), 1)


def every_kind(cutoff: float) -> tuple[SymmetryFunction, ...]:
    return (*mixed_functions(cutoff), *functions_beyond_n2p2(cutoff))


def arguments(atoms: Atoms, cutoff: float) -> list[Tensor]:
    graph = Graph.from_atoms(atoms, cutoff)
    index = NUMBERS[graph.numbers]
    return [graph.vectors, graph.row_pointer, index, index[graph.neighbors]]


def arrays(tensors: list[Tensor]) -> Edges:
    return Edges(*(tensor.detach().numpy() for tensor in tensors))


def agree(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-12) -> None:
    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("kind", range(len(CUTOFF_FUNCTIONS)), ids=CUTOFF_FUNCTIONS)
def test_values_and_derivatives_against_the_reference(kind: int, alpha: float) -> None:
    plan = make_plan(SPECIES, every_kind(4.0), kind, alpha)
    structure = arguments(water_like(8, 4.5, True, kind), 4.0)
    vectors = structure[0].clone().requires_grad_()
    expected = reference.values(plan, vectors, *structure[1:])
    agree(cpu.values(plan, arrays(structure)), expected.detach().numpy())

    weights = torch.randn(expected.shape, dtype=torch.float64, generator=seeded(1))
    (gradient,) = torch.autograd.grad((expected * weights).sum(), vectors)
    agree(cpu.reverse(plan, arrays(structure), weights.numpy()), gradient.numpy())

    # The tangent is the adjoint of the reverse pass: w . (J v) = (J^T w) . v for all w and v.
    direction = torch.randn(vectors.shape, dtype=torch.float64, generator=seeded(2))
    tangent = cpu.tangent(plan, arrays(structure), direction.numpy())
    assert (tangent * weights.numpy()).sum() == pytest.approx(
        float((gradient * direction).sum()), rel=1e-10
    )


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(SPECIES, every_kind(3.5), CUTOFF_FUNCTIONS.index("poly2"))


def test_operations_are_closed_under_two_derivatives() -> None:
    one_of_each = {f.kind: f for f in every_kind(3.5) if f.center == "O"}
    plan = make_plan(SPECIES, tuple(one_of_each.values()), CUTOFF_FUNCTIONS.index("poly2"))
    vectors, *rest = arguments(water_like(4, 3.0, False, 11), 3.5)
    number = ops.number_of(plan)
    weights = torch.randn(len(rest[1]), plan.n_functions, dtype=torch.float64, generator=seeded(3))
    direction = torch.randn(vectors.shape, dtype=torch.float64, generator=seeded(4))
    weights.requires_grad_()
    direction.requires_grad_()
    vectors = vectors.clone().requires_grad_()
    options = {"eps": 1e-6, "atol": 1e-6, "rtol": 1e-5}
    assert torch.autograd.gradcheck(lambda v: ops.values(v, *rest, number), (vectors,), **options)
    assert torch.autograd.gradcheck(
        lambda v, w: ops.reverse(v, *rest, w, number), (vectors, weights), **options
    )
    assert torch.autograd.gradcheck(
        lambda v, d: ops.tangent(v, *rest, d, number), (vectors, direction), **options
    )


def test_many_threads_give_the_same_bits(plan: Plan) -> None:
    structure = arrays(arguments(water_like(30, 8.0, True, 5), 3.5))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = cpu.values(plan, structure)
        torch.set_num_threads(3)
        three = cpu.values(plan, structure)
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(one, three)


@pytest.mark.parametrize("zeta", [1, 2, 4, 16, 32])
@pytest.mark.parametrize("lambda_", [1.0, -1.0, 0.3])
def test_legendre_series_of_the_angular_part(zeta: int, lambda_: float) -> None:
    x = np.linspace(-1, 1, 41)
    series = np.polynomial.legendre.legval(x, legendre_coefficients(zeta, lambda_))
    np.testing.assert_allclose(series, 2.0 ** (1 - zeta) * (1 + lambda_ * x) ** zeta, atol=2e-14)


@pytest.mark.parametrize("order", [0, 1, 2, 7, 32])
def test_legendre_series_of_chebyshev_polynomials(order: int) -> None:
    x = np.linspace(-1, 1, 101)
    series = np.polynomial.legendre.legval(x, chebyshev_coefficients(order))
    np.testing.assert_allclose(series, np.cos(order * np.arccos(x)), rtol=0, atol=1e-13)


def test_moments_equal_triplets() -> None:
    """A zeta a hair from whole takes the triplets; the whole one takes the moments."""

    def wide(zeta: float) -> GaussianFunction:
        return GaussianFunction(
            kind="wide",
            center="O",
            neighbors=("H", "H"),
            eta=0.03,
            cutoff=4.0,
            lambda_=1.0,
            zeta=zeta,
        )

    whole, broken = wide(4.0), wide(4.0 + 1e-13)
    assert uses_moments(whole)
    assert not uses_moments(broken)
    structure = arrays(arguments(water_like(12, 5.0, True, 8), 4.0))
    one, two = (cpu.values(make_plan(SPECIES, [f], 1), structure) for f in (whole, broken))
    agree(one, two)


def test_water_molecule_by_hand() -> None:
    """G2 and G9 of an oxygen with two hydrogens at 90 degrees, worked out on paper."""
    functions = [
        GaussianFunction(kind="radial", center="O", neighbors=("H",), eta=0.5, cutoff=4.0),
        GaussianFunction(
            kind="wide",
            center="O",
            neighbors=("H", "H"),
            eta=0.0,
            cutoff=4.0,
            lambda_=1.0,
            zeta=3.0,
        ),
    ]
    molecule = Atoms("OHH", [[0, 0, 0], [1, 0, 0], [0, 2, 0]])
    G = cpu.values(make_plan(SPECIES, functions, 1), arrays(arguments(molecule, 4.0)))
    f1, f2 = (0.5 * (np.cos(np.pi * r / 4) + 1) for r in (1.0, 2.0))
    np.testing.assert_allclose(G[0], [np.exp(-0.5) * f1 + np.exp(-2) * f2, f1 * f2 / 4])
    np.testing.assert_array_equal(G[1:], 0)


@given(st.lists(st.floats(-700, 0), min_size=1, max_size=50))
@settings(max_examples=50)
def test_exponential_to_the_last_digits(values: list[float]) -> None:
    x = np.array(values)
    y = np.empty_like(x)
    exponential(x, y, np.empty(len(x), dtype=np.int64))
    np.testing.assert_allclose(y, np.exp(x), rtol=1e-15)


@given(st.lists(st.floats(min_value=1e-300, max_value=1e300), min_size=1, max_size=9))
def test_logarithm_to_the_last_digits(values: list[float]) -> None:
    x = np.array([*values, 1.0, np.nextafter(1.0, 2.0), np.sqrt(2.0), 1e-300])
    y = np.empty_like(x)
    logarithm(x, y, np.empty(len(x), np.int64))
    np.testing.assert_allclose(y, np.log(x), rtol=5e-16, atol=1e-300)


def test_a_nan_stays_visible(plan: Plan) -> None:
    structure = arrays(arguments(water_like(6, 4.0, False, 2), 3.5))
    vectors = structure.vectors.copy()
    vectors[0] = np.nan
    assert np.isnan(cpu.values(plan, structure._replace(vectors=vectors))).any()


def test_function_of_a_foreign_element_is_refused() -> None:
    function = GaussianFunction(kind="radial", center="O", neighbors=("C",), eta=1, cutoff=3)
    with pytest.raises(ConfigError, match=r"names C, which is not among the species H, O"):
        make_plan(SPECIES, [function], 1)


def test_a_function_given_twice_has_two_equal_columns() -> None:
    """n2p2 accepts that, and its networks have an input for each of them."""
    function = GaussianFunction(kind="radial", center="O", neighbors=("H",), eta=1, cutoff=3)
    structure = arrays(arguments(water_like(6, 4.0, False, 2), 3.0))
    G = cpu.values(make_plan(SPECIES, [function, function], 1), structure)
    assert G.any()
    np.testing.assert_array_equal(G[:, 0], G[:, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "wide"}, "2 neighbour"),
        ({"zeta": 2.0}, "neither lambda nor zeta"),
        ({"neighbors": ("Xx",)}, "not a chemical symbol"),
        ({"eta": -1.0}, "greater than or equal to 0"),
        ({"sigma": 1.0}, "sigma"),
    ],
)
def test_impossible_functions_are_refused(change: dict[str, object], message: str) -> None:
    good = {"kind": "radial", "center": "O", "neighbors": ("H",), "eta": 1.0, "cutoff": 3.0}
    GaussianFunction.model_validate(good)
    with pytest.raises(ValueError, match=message):
        GaussianFunction.model_validate(good | change)


def test_machine_code_is_kept_apart_for_each_version_of_the_sources(tmp_path: Path) -> None:
    """A change in one file must not leave code compiled from another one in use."""
    (tmp_path / "caller.py").write_text("import callee")
    (tmp_path / "sub").mkdir()
    callee = tmp_path / "sub" / "callee.py"
    callee.write_text("x = 1")
    before = source_hash(tmp_path)
    assert source_hash(tmp_path) == before
    callee.write_text("x = 2")
    assert source_hash(tmp_path) != before
    folder = Path(str(cpu._values.stats.cache_path))
    assert f"kernels-{source_hash(Path(cpu.__file__).parents[1])}" in folder.parts
