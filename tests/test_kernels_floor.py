"""What all compiled loops stand on: threads, vector mathematics, cutoffs, harmonics, the cache."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ladera.kernels import harmonics
from ladera.kernels.compilation import strict
from ladera.kernels.cutoffs import cutoff_function, reference_cutoff_function
from ladera.kernels.harmonics import (
    HarmonicRow,
    fill_factors,
    fill_row,
    legendre_coefficients,
    lm,
    recurrence,
    reverse_row,
    spherical_harmonics,
    tangent_row,
)
from ladera.kernels.symmetry_functions.functions import CUTOFF_FUNCTIONS
from ladera.kernels.threads import SMALLEST_SHARE, Shares
from ladera.kernels.vector_math import exponential, sine_and_cosine_of_pi


@pytest.fixture(params=[1, 2, 3, 7])
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("n_atoms", [0, 1, SMALLEST_SHARE, 20, 101])
def test_every_atom_and_item_is_done_once(n_threads: int, n_atoms: int) -> None:
    costs = np.random.default_rng(n_atoms).integers(1, 50, n_atoms)
    shares = Shares(costs)
    atoms, items = np.zeros(n_atoms, int), np.zeros(1234, int)

    def count_in(counts: np.ndarray) -> None:
        run = shares.atoms if counts is atoms else lambda work: shares.items(work, len(items))

        def work(thread: int, start: int, stop: int) -> None:
            assert 0 <= thread < shares.count
            counts[start:stop] += 1

        run(work)

    count_in(atoms)
    count_in(items)
    assert (atoms == 1).all()
    assert (items == 1).all()
    assert shares.count <= max(1, min(n_threads, n_atoms // SMALLEST_SHARE))


def test_shares_cost_about_the_same(n_threads: int) -> None:
    costs = np.linspace(1, 100, 1000).astype(int)
    shares = Shares(costs)
    sums = [costs[start:stop].sum() for start, stop in itertools.pairwise(shares.bounds)]
    assert max(sums) - min(sums) <= 2 * costs.max()


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_in_a_thread_comes_out_when_all_are_done(failing: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    shares, done = Shares(np.ones(40, int)), threading.Event()
    torch.set_num_threads(before)

    def work(thread: int, start: int, stop: int) -> None:
        if thread == failing:
            raise ArithmeticError(f"of thread {thread}")
        time.sleep(0.05)
        done.set()

    with pytest.raises(ArithmeticError, match=f"of thread {failing}"):
        shares.atoms(work)
    assert done.is_set()


@given(st.lists(st.floats(-750, 700), min_size=1, max_size=40))
@settings(max_examples=50)
def test_exponential_is_numpys(values: list[float]) -> None:
    x = np.array(values)
    y = np.empty_like(x)
    exponential(x, y, np.empty(len(x), np.int64))
    np.testing.assert_allclose(y, np.exp(x), rtol=5e-16, atol=1e-307)


def test_exponential_at_its_ends() -> None:
    x = np.array([-np.inf, -709.0, 0.0, 1e-300, np.nan])
    y = np.empty_like(x)
    exponential(x, y, np.empty(len(x), np.int64))
    assert (y[:2] < 1e-307).all()
    assert (y[2:4] == 1.0).all()
    assert np.isnan(y[4])


def test_sine_and_cosine_are_numpys() -> None:
    for y in np.linspace(-0.5, 0.5, 1001):
        sine, cosine = sine_and_cosine_of_pi(y)
        np.testing.assert_allclose(sine, np.sin(np.pi * y), rtol=0, atol=3e-16)
        np.testing.assert_allclose(cosine, np.cos(np.pi * y), rtol=0, atol=3e-16)


def cutoff_loop(kind: int, alpha: float, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    f, df, work = (np.empty_like(r) for _ in range(3))
    cutoff_function(kind, alpha, 6.0, r, f, df, work, np.empty(len(r), np.int64))
    return f, df


@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("kind", range(len(CUTOFF_FUNCTIONS)))
def test_cutoff_functions_are_those_of_the_reference(kind: int, alpha: float) -> None:
    r = np.concatenate([np.linspace(0.1, 7.0, 400), [6.0, 6.0 - 1e-9, 1.8, 1.8 + 1e-9]])
    f, df = cutoff_loop(kind, alpha, r)
    expected = reference_cutoff_function(kind, alpha, 6.0, torch.from_numpy(r)).numpy()
    # The reference's polynomials cancel towards the cutoff.
    np.testing.assert_allclose(f, expected, rtol=0, atol=2e-13)
    # At the cutoff itself one tanh is a rounding away from zero.
    assert (f[r >= 6.0] < 1e-45).all()
    assert (np.abs(df[r >= 6.0]) < 1e-30).all()


@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("kind", range(len(CUTOFF_FUNCTIONS)))
def test_slopes_of_cutoff_functions_are_differences(kind: int, alpha: float) -> None:
    r, h = np.linspace(0.2, 5.9, 300) + 1e-4, 1e-6
    r = r[np.abs(r - 1.8) > 1e-3]  # where only the first derivative of some is continuous
    slope = (cutoff_loop(kind, alpha, r + h)[0] - cutoff_loop(kind, alpha, r - h)[0]) / (2 * h)
    np.testing.assert_allclose(cutoff_loop(kind, alpha, r)[1], slope, rtol=0, atol=1e-9)


DEGREE = 7


def directions(n: int) -> np.ndarray:
    vectors = np.random.default_rng(3).normal(size=(n, 3))
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def half(unit: np.ndarray) -> np.ndarray:
    """Y_lm, m >= 0, (2, n_lm, n), from the reference, whose axis is y and whose norm 2 l + 1."""
    turned = torch.from_numpy(unit[:, [1, 2, 0]].copy())
    Y = spherical_harmonics(turned, DEGREE).numpy()
    result = np.zeros((2, lm(DEGREE + 1, 0), len(unit)))
    for l in range(DEGREE + 1):
        for m in range(l + 1):
            result[0, lm(l, m)] = Y[:, l * l + l + m] / np.sqrt(2 * l + 1)
            if m > 0:
                result[1, lm(l, m)] = Y[:, l * l + l - m] / np.sqrt(2 * l + 1)
    return result


def row_of(unit: np.ndarray) -> HarmonicRow:
    n_lm = lm(DEGREE + 1, 0)
    row = HarmonicRow(np.zeros((2, DEGREE + 1)), np.zeros(n_lm), np.zeros((2, n_lm)))
    fill_row(DEGREE, recurrence(DEGREE), *unit, row)
    return row


def test_factors_and_rows_are_the_spherical_harmonics() -> None:
    unit = directions(11)
    n_lm = lm(DEGREE + 1, 0)
    cosine, sine, legendre = (
        np.zeros((DEGREE + 1, 11)),
        np.zeros((DEGREE + 1, 11)),
        np.zeros((n_lm, 11)),
    )
    fill_factors(DEGREE, recurrence(DEGREE), 11, unit.T.copy(), cosine, sine, legendre)
    m = np.concatenate([np.arange(l + 1) for l in range(DEGREE + 1)])
    expected = half(unit)
    np.testing.assert_allclose(legendre * cosine[m], expected[0], rtol=0, atol=2e-14)
    np.testing.assert_allclose(legendre * sine[m], expected[1], rtol=0, atol=2e-14)
    for j in range(11):
        np.testing.assert_allclose(row_of(unit[j]).harmonic, expected[:, :, j], atol=2e-14)


def test_rows_turn_derivatives_of_harmonics_into_those_of_directions() -> None:
    """Along the sphere, as the difference of the harmonics, and back with the same matrix."""
    unit, along = directions(1)[0], np.random.default_rng(5).normal(size=3)
    along -= unit * (unit @ along)
    row, table, h = row_of(unit), recurrence(DEGREE), 1e-6
    dot = np.zeros_like(row.harmonic)
    tangent_row(DEGREE, table, row, *along, dot)
    moved = [row_of(unit + sign * h * along).harmonic for sign in (1, -1)]
    np.testing.assert_allclose(dot, (moved[0] - moved[1]) / (2 * h), rtol=0, atol=1e-8)
    bar = np.random.default_rng(6).normal(size=dot.shape)
    bar[1, [lm(l, 0) for l in range(DEGREE + 1)]] = 0.0
    unit_bar = np.array(reverse_row(DEGREE, table, row, bar))
    np.testing.assert_allclose(unit_bar @ along, (bar * dot).sum(), rtol=1e-12)


def test_harmonics_multiply_to_legendre_polynomials() -> None:
    """sum_m Y_lm(u) Y_lm(v) = P_l(u.v), and the series of the power ends after zeta."""
    u, v = directions(2)
    x, zeta = u @ v, DEGREE
    products = row_of(u).harmonic * row_of(v).harmonic
    P = [products[:, lm(l, 0) : lm(l, l) + 1].sum() for l in range(DEGREE + 1)]
    expected = [np.polynomial.legendre.legval(x, np.eye(DEGREE + 1)[l]) for l in range(DEGREE + 1)]
    np.testing.assert_allclose(P, expected, rtol=0, atol=1e-14)
    for lambda_ in (1.0, -1.0, 0.5):
        power = 2.0 ** (1 - zeta) * (1 + lambda_ * x) ** zeta
        np.testing.assert_allclose(legendre_coefficients(zeta, lambda_) @ P, power, rtol=1e-12)


@strict
def _as_written(a: float, b: float, c: float) -> float:
    return (a + b) + c


def test_strict_functions_round_where_it_is_written() -> None:
    assert _as_written(1e16, -1e16, 1.0) == 1.0
    assert _as_written(1.0, 1e16, -1e16) == 0.0


def test_kernels_know_no_room_above_them() -> None:
    """Graphs, models and all else stand on the kernels; import-linter checks the layers."""
    folder = Path(harmonics.__file__).parent
    raw = [path.name for path in folder.rglob("*.py") if "njit" in path.read_text()]
    assert raw == ["compilation.py"]
