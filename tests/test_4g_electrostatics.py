"""Coulomb interactions of Gaussian charges: known sums, and the compiled loops against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ladera.errors import ConfigError
from ladera.kernels.electrostatics import cpu, reference
from ladera.kernels.electrostatics.ewald import (
    OPEN,
    EwaldSums,
    jackson_catlow,
    kolafa_perram,
    kolafa_perram_at_cutoff,
    reciprocal_vectors,
)
from ladera.kernels.electrostatics.screening import Screening

CELL = np.array([[5.0, 0.0, 0.0], [1.0, 5.4, 0.0], [0.3, -0.6, 4.6]])
VOLUME = float(np.linalg.det(CELL))
WIDTHS = np.array([0.31, 0.66])
TIGHT = jackson_catlow(VOLUME, 1e-14)


def random_charges(
    n_atoms: int, sums: EwaldSums, screening: Screening | None = None
) -> cpu.GaussianCharges:
    generator = np.random.default_rng(n_atoms)
    positions = generator.random((n_atoms, 3)) @ CELL
    kinds = generator.integers(0, 2, n_atoms)
    return cpu.GaussianCharges(positions, CELL, kinds, WIDTHS, sums, screening)


@pytest.mark.parametrize(
    ("lattice", "charges", "madelung"),
    [  # per nearest distance; Crandall and Buhler, J. Phys. A 20, 5497 (1987)
        ("rock salt", [1, -1], 1.74756459463318219),
        ("caesium chloride", [1, -1], 1.76267477307099000),
    ],
)
def test_madelung_constants(lattice: str, charges: list[int], madelung: float) -> None:
    if lattice == "rock salt":
        cell, other = np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]]), np.array([1.0, 0, 0])
    else:
        cell = np.eye(3) * 2 / math.sqrt(3)
        other = cell.sum(0) / 2
    widths = np.array([0.05])  # point charges, to every digit
    sums = jackson_catlow(float(abs(np.linalg.det(cell))), 1e-16)
    A, S = cpu.matrices(
        cpu.GaussianCharges(
            np.array([np.zeros(3), other]), cell, np.zeros(2, np.int64), widths, sums, None
        )
    )
    q = np.array(charges, dtype=float)
    own = q @ q / (math.sqrt(math.pi) * widths[0])
    assert 0.5 * (q @ A @ q - own) == pytest.approx(-madelung, rel=1e-12)
    assert not S.any()


def test_two_gaussian_charges_in_the_open() -> None:
    positions = np.array([[0.1, 0.2, 0.3], [1.1, -0.4, 2.0]])
    distance = np.linalg.norm(positions[1] - positions[0])
    charges = cpu.GaussianCharges(positions, CELL, np.array([0, 1]), WIDTHS, OPEN, None)
    A, _ = cpu.matrices(charges)
    gamma = math.hypot(*WIDTHS)
    assert A[0, 1] == pytest.approx(math.erf(distance / math.sqrt(2) / gamma) / distance, rel=1e-14)
    assert A[1, 1] == pytest.approx(1 / (math.sqrt(math.pi) * WIDTHS[1]), rel=1e-14)


def test_the_energy_of_neutral_charges_does_not_depend_on_the_split() -> None:
    q = np.array([0.7, -0.4, -0.5, 0.3, 0.1, -0.2])
    first = random_charges(6, TIGHT)
    expected = q @ cpu.matrices(first)[0] @ q
    for other in (
        kolafa_perram(VOLUME, 6, 1e-13, 1.0, 0.66),
        kolafa_perram_at_cutoff(VOLUME, 6, 1e-13, 1.0, 9.0),
        kolafa_perram_at_cutoff(VOLUME, 6, 1e-13, 1.0, 14.0),
    ):
        assert other.width != pytest.approx(TIGHT.width, rel=0.01)
        found = q @ cpu.matrices(first._replace(sums=other))[0] @ q
        assert found == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("sums", [OPEN, TIGHT, jackson_catlow(VOLUME, 1e-4)])
@pytest.mark.parametrize("kind", [None, 1, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("outer", [3.1, 7.7])
def test_loops_against_the_reference(sums: EwaldSums, kind: int | None, outer: float) -> None:
    screening = None if kind is None else Screening(kind, 0.4, outer)
    charges = random_charges(9, sums, screening)
    A, S = cpu.matrices(charges)
    positions = torch.tensor(charges.positions, requires_grad=True)
    strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    deformation = torch.eye(3, dtype=torch.float64) + 0.5 * (strain + strain.T)
    widths = torch.from_numpy(WIDTHS[charges.kinds])
    expected_A, expected_S = reference.matrices(
        positions @ deformation, torch.from_numpy(CELL) @ deformation, widths, sums, screening
    )
    np.testing.assert_allclose(A, expected_A.detach(), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(S, expected_S.detach(), rtol=1e-11, atol=1e-13)
    p, l, q = np.random.default_rng(1).normal(size=(3, 9))
    tensors = [torch.from_numpy(x) for x in (p, l, q)]
    value = tensors[0] @ expected_A @ tensors[0] - tensors[1] @ expected_A @ tensors[1]
    value = 0.5 * (value + tensors[2] @ expected_S @ tensors[2])
    expected = torch.autograd.grad(value, (positions, strain))
    for found, other in zip(cpu.gradient(charges, p, l, q), expected, strict=True):
        scale = float(other.abs().max())
        np.testing.assert_allclose(found, other, rtol=0, atol=1e-11 * scale)


def test_more_pairs_than_fit_in_a_block() -> None:
    """A dense small cell with a long cutoff: one pair has hundreds of images."""
    sums = kolafa_perram_at_cutoff(VOLUME, 3, 1e-10, 1.0, 30.0)
    charges = random_charges(3, sums)
    A, _ = cpu.matrices(charges)
    tensors = (torch.from_numpy(x) for x in (charges.positions, CELL, WIDTHS[charges.kinds]))
    expected, _ = reference.matrices(*tensors, sums, None)
    np.testing.assert_allclose(A, expected, rtol=1e-11, atol=1e-12)


def test_reciprocal_vectors_are_half_of_a_sphere() -> None:
    n = reciprocal_vectors(CELL, 4.0)
    everything = {tuple(row) for row in n.tolist()}
    assert len(everything) == len(n) > 10
    assert not any((-a, -b, -c) in everything for a, b, c in everything)
    k = 2 * np.pi * np.array(sorted(everything)) @ np.linalg.inv(CELL).T
    assert np.linalg.norm(k, axis=1).max() < 4.0
    count = 2 * len(n) + 1
    assert count == pytest.approx(4 / 3 * np.pi * 4.0**3 * VOLUME / (2 * np.pi) ** 3, rel=0.1)


def test_truncations_solve_their_equations() -> None:
    volume, n_atoms, precision, strength = 900.0, 30, 1e-5, 0.4
    sums = kolafa_perram_at_cutoff(volume, n_atoms, precision, strength, 7.0)
    C = 2 * strength * math.sqrt(n_atoms / volume)
    real = math.exp(-(sums.real_cutoff**2) / (2 * sums.width**2)) * C / math.sqrt(7.0 / 2)
    assert real == pytest.approx(precision)
    k = sums.reciprocal_cutoff
    wave = math.exp(-((k * sums.width) ** 2) / 2) / math.sqrt(k) * math.sqrt(2) * C / sums.width
    assert wave == pytest.approx(precision)
    cheapest = kolafa_perram(volume, n_atoms, precision, strength, 0.5)
    s = cheapest.real_cutoff / (math.sqrt(2) * cheapest.width)
    assert cheapest.reciprocal_cutoff * cheapest.width == pytest.approx(math.sqrt(2) * s)
    error = precision / (2**0.75 * strength * math.sqrt(n_atoms / volume))
    assert math.exp(-(s**2)) / math.sqrt(s) == pytest.approx(error * math.sqrt(cheapest.width / 2))
    wider = kolafa_perram(volume, n_atoms, precision, strength, 5.0)
    assert wider.width == 5.0
    assert wider.real_cutoff * cheapest.width == pytest.approx(cheapest.real_cutoff * 5.0)


def test_a_precision_too_coarse_for_its_cutoff() -> None:
    with pytest.raises(ConfigError, match="too coarse"):
        kolafa_perram_at_cutoff(900.0, 30, 10.0, 0.4, 7.0)
