"""Operations of training that are loops: silu, and functions between the points of a grid."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from conftest import nequip_mixed, small_mace, small_nequip, water_like
from ladera import Graph, evaluate
from ladera.kernels.autograd import parameters_only
from ladera.kernels.interpolation import POINTS, interpolate, places
from ladera.kernels.silu import silu
from ladera.models.equivariant import grid


def test_silu_and_its_derivatives_are_those_of_torch() -> None:
    """Of three orders: Hessians as labels ask for the last."""
    x = torch.linspace(-40.0, 40.0, 60, dtype=torch.float64).view(12, 5).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: silu(x, 1.7), x)
    found, expected = (_three_orders(f, x) for f in (silu, lambda x, c: c * functional.silu(x)))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    half = torch.ones(3, dtype=torch.float16)
    assert silu(half).dtype == torch.float16


def _three_orders(f, x: Tensor) -> list[Tensor]:  # type: ignore[no-untyped-def]
    found = [f(x, 1.7)]
    for _ in range(3):
        found += torch.autograd.grad(found[-1].sin().sum(), x, create_graph=True)
    return found


def test_a_function_between_points_has_the_derivatives_of_its_polynomials() -> None:
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(12, 3, dtype=torch.float64, generator=generator).requires_grad_()
    at = (torch.rand(9, dtype=torch.float64, generator=generator) * 12 - 0.5).requires_grad_()

    def function(table: Tensor, at: Tensor) -> Tensor:
        return interpolate(table, places(at, len(table)))

    assert torch.autograd.gradcheck(function, (table, at))
    assert torch.autograd.gradgradcheck(function, (table, at))
    # Polynomials of degree 7 are themselves, everywhere.
    powers = torch.arange(POINTS)
    grid = torch.arange(12, dtype=torch.float64)[:, None] / 6 - 1
    exact = ((at[:, None] / 6 - 1) ** powers).detach()
    torch.testing.assert_close(function(grid**powers, at), exact, rtol=0, atol=1e-11)


def test_a_wave_is_as_near_as_is_said() -> None:
    step = 2 * math.pi / 64  # of the phase, from one point to the next
    at = (torch.rand(500, dtype=torch.float64) * 100 + 5).requires_grad_()
    table = torch.sin(step * torch.arange(110, dtype=torch.float64))[:, None]
    found = interpolate(table, places(at, len(table)))[:, 0]
    (slope,) = torch.autograd.grad(found.sum(), at)
    assert (found - torch.sin(step * at)).abs().max().item() < step**8 / 900
    assert (slope / step - torch.cos(step * at)).abs().max().item() < step**7 / 280


def mace_of_densities():  # type: ignore[no-untyped-def]
    """One that divides by densities, and cuts off what comes out of the radial networks."""
    return small_mace(interactions=("density", "density_residual"), apply_cutoff=False)


@pytest.mark.parametrize("make", [small_nequip, nequip_mixed, small_mace, mace_of_densities])
def test_training_on_a_grid_is_training_on_edges(make, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Energies, forces and the gradient of a loss in all parameters, to the rounding of float32."""
    potential = make().float().train()
    frames = [
        Graph.from_atoms(water_like(40, 6.0, True, seed), potential.cutoff) for seed in (1, 2)
    ]
    graph = Graph.batch(frames).to(torch.float32)
    monkeypatch.setattr(grid, "GRID_POINTS", 200)
    assert graph.n_edges > 2 * 200
    on_grid = _step(potential, graph)
    monkeypatch.setattr(grid, "GRID_POINTS", graph.n_edges)
    on_edges = _step(potential, graph)
    for found, expected in zip(on_grid, on_edges, strict=True):
        assert float((found - expected).norm()) < 1e-5 * float(expected.norm())
    assert any(bool((a != b).any()) for a, b in zip(on_grid, on_edges, strict=True))


@pytest.mark.parametrize("points", [200, 10**6])
@pytest.mark.parametrize("make", [small_nequip, nequip_mixed, small_mace, mace_of_densities])
def test_a_loss_asks_parameters_alone(make, points: int, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """What positions would get is left out; parameters get the same numbers, bit for bit."""
    potential = make().float().train()
    graph = Graph.from_atoms(water_like(40, 6.0, True, 1), potential.cutoff).to(torch.float32)
    monkeypatch.setattr(grid, "GRID_POINTS", points)
    with_positions = _step(potential, graph)
    with parameters_only():
        for one, other in zip(_step(potential, graph), with_positions, strict=True):
            assert torch.equal(one, other)


def test_within_parameters_only_positions_get_nothing() -> None:
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(12, 3, dtype=torch.float64, generator=generator).requires_grad_()
    at = (torch.rand(9, dtype=torch.float64, generator=generator) * 12).requires_grad_()
    values = interpolate(table, places(at, len(table)))
    (slopes,) = torch.autograd.grad(values.sin().sum(), at, create_graph=True)
    loss = slopes.square().sum()
    expected = torch.autograd.grad(loss, table, retain_graph=True)
    with parameters_only():
        found, nothing = torch.autograd.grad(loss, (table, at), allow_unused=True)
    torch.testing.assert_close(found, *expected)
    assert nothing is None


def test_predictions_and_double_precision_never_take_a_grid() -> None:
    many = torch.linspace(0.8, 4.0, 2000)
    assert grid.grid_of(many, 4.0, 8)[1] is not None
    assert grid.grid_of(many.double(), 4.0, 8)[1] is None
    with torch.no_grad():
        assert grid.grid_of(many, 4.0, 8)[1] is None


def _step(potential, graph: Graph) -> list[Tensor]:  # type: ignore[no-untyped-def]
    potential.zero_grad()
    prediction = evaluate(potential, graph)
    (prediction.energy.sum() / 100 + prediction.forces.square().sum()).backward()
    gradients = [each.grad.clone() for each in potential.parameters() if each.grad is not None]
    return [prediction.energy.detach(), prediction.forces.detach(), *gradients]
