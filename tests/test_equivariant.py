"""Spherical harmonics, Clebsch-Gordan coefficients and radial functions."""

from __future__ import annotations

from itertools import product
from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ladera.kernels.harmonics import spherical_harmonics
from ladera.models.equivariant.clebsch_gordan import clebsch_gordan
from ladera.models.equivariant.irreps import Irrep, natural, paths, wigner_d
from ladera.models.equivariant.radial import BASES, TRANSFORMS, smooth_cutoff

Floats = NDArray[np.float64]


def rotation(seed: int) -> Floats:
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return q * np.sign(np.linalg.det(q))


def directions(n: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(5).normal(size=(n, 3)))


def test_harmonics_are_the_polynomials_of_the_books() -> None:
    vectors = directions(9)
    x, y, z = (vectors / vectors.norm(dim=1, keepdim=True)).T
    two = [sqrt(3) * x * z, sqrt(3) * x * y, y**2 - (x**2 + z**2) / 2, sqrt(3) * y * z]
    two.append(sqrt(3) / 2 * (z**2 - x**2))
    three = [
        sqrt(5 / 6) * (two[0] * z + two[4] * x),
        sqrt(5) * two[0] * y,
        sqrt(3 / 8) * (4 * y**2 - x**2 - z**2) * x,
        y * (2 * y**2 - 3 * x**2 - 3 * z**2) / 2,
        sqrt(3 / 8) * z * (4 * y**2 - x**2 - z**2),
        sqrt(5) * two[4] * y,
        sqrt(5 / 6) * (two[4] * z - two[0] * x),
    ]
    rows = [torch.ones_like(x), *(sqrt(3) * each for each in (x, y, z))]
    rows += [sqrt(5) * each for each in two] + [sqrt(7) * each for each in three]
    torch.testing.assert_close(spherical_harmonics(vectors, 3), torch.stack(rows, dim=1))


def test_harmonics_of_high_degree_have_their_norm_even_at_the_poles() -> None:
    vectors = torch.cat([directions(5), torch.eye(3).double(), -torch.eye(3).double()])
    found = spherical_harmonics(vectors, 12)
    for l in range(13):
        squares = found[:, l**2 : (l + 1) ** 2].pow(2).sum(1)
        torch.testing.assert_close(squares, torch.full_like(squares, 2 * l + 1))


@pytest.mark.parametrize("l", range(5))
def test_harmonics_turn_with_wigner_d(l: int) -> None:
    first, second = rotation(1), rotation(2)
    irrep = Irrep(l, (-1) ** l)
    d1, d2 = wigner_d(irrep, first), wigner_d(irrep, second)
    np.testing.assert_allclose(d1 @ d1.T, np.eye(2 * l + 1), atol=1e-11)
    np.testing.assert_allclose(wigner_d(irrep, first @ second), d1 @ d2, atol=1e-11)
    inversion = wigner_d(irrep, -np.eye(3))
    np.testing.assert_allclose(inversion, (-1) ** l * np.eye(2 * l + 1), atol=1e-11)


@pytest.mark.parametrize("triple", [t for t in product(range(4), repeat=3) if sum(t) < 9])
def test_clebsch_gordan_coefficients_commute_with_rotations(triple: tuple[int, int, int]) -> None:
    tensor = clebsch_gordan(*triple)
    if not abs(triple[0] - triple[1]) <= triple[2] <= triple[0] + triple[1]:
        assert not tensor.any()
        return
    assert np.linalg.norm(tensor) == pytest.approx(1.0)
    matrices = [wigner_d(Irrep(l, 1), rotation(3)) for l in triple]
    turned = np.einsum("abc,ia,jb,kc->ijk", tensor, *matrices)
    np.testing.assert_allclose(turned, tensor, atol=1e-11)


def test_clebsch_gordan_signs_of_published_models() -> None:
    """e3nn 0.4.4 has x cross y for l = 1, and the other sign for some of odd l1 + l2 + l3."""
    cross = clebsch_gordan(1, 1, 1) * sqrt(6)
    np.testing.assert_allclose(np.cross([1, 0, 0], [0, 1, 0]), cross[0, 1], atol=1e-12)
    swapped = clebsch_gordan(2, 1, 2).transpose(1, 0, 2)
    np.testing.assert_allclose(clebsch_gordan(1, 2, 2), swapped * -1, atol=1e-12)


def test_paths_conserve_parity() -> None:
    found = paths(natural(1), natural(3), natural(3))
    assert [sum(path.out == l for path in found) for l in range(4)] == [2, 3, 3, 2]


@given(st.integers(1, 8))
def test_cutoff_and_its_slope_end_in_zero(power: int) -> None:
    u = torch.tensor([0.0, 1.0 - 1e-6, 1.0, 1.2], dtype=torch.float64, requires_grad=True)
    values = smooth_cutoff(u, power)
    (slopes,) = torch.autograd.grad(values.sum(), u)
    assert values[0] == 1.0
    assert values[1:].abs().max() < 1e-12
    assert slopes[1:].abs().max() < 1e-7


@pytest.mark.parametrize("name", list(BASES))
def test_bases_can_be_differentiated_twice(name: str) -> None:
    basis = BASES[name](5.0, 6)
    x = torch.linspace(0.5, 4.9, 12, dtype=torch.float64, requires_grad=True)
    assert basis(x).shape == (12, 6)
    assert torch.autograd.gradcheck(basis, x)
    assert torch.autograd.gradgradcheck(basis, x)


@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_transforms_know_the_elements(name: str) -> None:
    transform = TRANSFORMS[name]([1, 8])
    r = torch.linspace(0.7, 4.9, 8, dtype=torch.float64, requires_grad=True)
    zeros, ones = torch.zeros(8, dtype=torch.int64), torch.ones(8, dtype=torch.int64)
    assert torch.autograd.gradcheck(lambda r: transform(r, zeros, ones), r)
    torch.testing.assert_close(transform(r, zeros, ones), transform(r, ones, zeros))
    assert not torch.allclose(transform(r, zeros, zeros), transform(r, ones, ones))
