"""Equivariant models by cuEquivariance: the numbers of the other ways, and first and second slopes.

Its kernels are for GPUs; on a CPU its naive method takes the same polynomials.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import torch
from ase import Atoms

from conftest import small_mace, small_nequip, water_like
from ladera import Graph, Potential
from ladera.kernels import cuequivariance
from ladera.kernels.contraction import ops as contraction
from ladera.kernels.convolution import ops as convolution
from ladera.potential import evaluate

GPU = torch.device("cuda")
STRUCTURES = (water_like(5, 3.0, False, 21), water_like(6, 4.0, True, 2), Atoms("O"))
KINDS = ("agnostic", "residual", "density", "density_residual", "nonlinear_residual")
SIZES = [
    {"num_interactions": 1, "hidden_l": 0, "correlation": 1, "channels": 1},
    {"num_interactions": 3, "hidden_l": 0, "max_l": 1, "correlation": 2},
    {"hidden_l": 1, "max_l": 0, "correlation": 2},
    {"hidden_l": 1, "max_l": 2, "correlation": 3},
    {"hidden_l": 1, "max_l": 1, "correlation": 4},
    {"hidden_l": 2, "max_l": 3, "correlation": 1},
]


def outcome(potential: Potential, atoms: tuple[Atoms, ...] = STRUCTURES) -> list[torch.Tensor]:
    """Energies, forces, virial, and the slopes of a loss of them in all parameters."""
    graph = Graph.batch([Graph.from_atoms(each, potential.cutoff) for each in atoms])
    found = evaluate(potential, graph)
    loss = sum(part.pow(2).sum() for part in (found.energy, found.forces, found.virial))
    slopes = torch.autograd.grad(loss, list(potential.parameters()), materialize_grads=True)
    return [found.atomic_energies, found.forces, found.virial, *slopes]


def compare(one: list[torch.Tensor], two: list[torch.Tensor]) -> None:
    for found, expected in zip(one, two, strict=True):
        scale = float(expected.detach().abs().max()) if expected.numel() else 0.0
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10 * scale)


@contextmanager
def by_polynomials() -> Iterator[None]:
    """Everything goes to cuEquivariance, on this CPU as well; the loops are not to be called."""
    pytest.importorskip("cuequivariance_torch", reason="pip install cuequivariance-torch")
    by_loops = convolution.by_loops

    def convolve_nothing(factors: torch.Tensor, *rest: Any) -> torch.Tensor:
        assert len(factors) == 0
        return by_loops(factors, *rest)

    with pytest.MonkeyPatch.context() as patch:
        for operation in (convolution, contraction):
            patch.setattr(operation, "serves", lambda device: True)
        patch.setattr(convolution, "by_loops", convolve_nothing)
        patch.setattr(contraction, "by_loops", None)
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer(kind: str) -> None:
    sizes = {"correlation": 2, "channels": 3, "element_products": kind != "density"}
    potential = small_mace(interactions=(kind, kind), **sizes)
    with by_polynomials():
        found = outcome(potential)
    compare(found, outcome(potential))


@pytest.mark.parametrize("sizes", SIZES)
def test_sizes(sizes: dict[str, int]) -> None:
    potential = small_mace(**sizes)
    with by_polynomials():
        found = outcome(potential)
    compare(found, outcome(potential))


@pytest.mark.parametrize("changes", [{"parity": "full"}, {"channels": 3, "max_l": 3, "layers": 2}])
def test_nequip(changes: dict[str, Any]) -> None:
    potential = small_nequip(**changes)
    with by_polynomials():
        found = outcome(potential)
    compare(found, outcome(potential))


def test_atoms_without_neighbors() -> None:
    potential = small_mace(max_l=1, correlation=2)
    free = (Atoms("O"), Atoms("H"))
    with by_polynomials():
        found = outcome(potential, free)
    compare(found, outcome(potential, free))


def test_parameters_that_were_loaded_count() -> None:
    """Polynomials are made once, but not kept when a model's coefficients become others."""
    potential = small_mace(max_l=1, correlation=2)
    state = {name: 1.25 * tensor for name, tensor in potential.state_dict().items()}
    with by_polynomials():
        before = outcome(potential)
        potential.load_state_dict(state)
        after = outcome(potential)
    assert not torch.allclose(before[0], after[0])
    compare(after, outcome(potential))


@pytest.mark.skipif(
    not (torch.cuda.is_available() and cuequivariance.serves(GPU)),
    reason="no GPU, or cuequivariance-ops-torch is not installed",
)
@pytest.mark.parametrize("sizes", SIZES)
def test_kernels(sizes: dict[str, int]) -> None:
    potential = small_mace(**sizes)
    expected = outcome(potential)
    compare([each.cpu() for each in outcome(potential.to(GPU))], expected)


@pytest.fixture
def fresh() -> Iterator[None]:
    """As if it had not been looked yet what is installed."""
    cuequivariance._installed.cache_clear()
    yield
    cuequivariance._installed.cache_clear()


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("kernels", "level", "message"),
    [
        (None, logging.INFO, "by torch alone"),
        (ModuleType("without_kernels"), logging.WARNING, "fails, cannot import name 'uniform_1d'"),
    ],
)
def test_without_kernels_torch_does_it(
    kernels: ModuleType | None,
    level: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "cuequivariance_torch", ModuleType("cuequivariance_torch"))
    monkeypatch.setitem(sys.modules, "cuequivariance_ops_torch", kernels)
    with caplog.at_level(logging.INFO, cuequivariance.__name__):
        assert not cuequivariance.serves(GPU)
        assert not cuequivariance.serves(GPU)
    (record,) = caplog.records
    assert record.levelno == level
    assert message in record.getMessage()


@pytest.mark.usefixtures("fresh")
def test_with_kernels_it_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    package, kernels = ModuleType("cuequivariance_torch"), ModuleType("cuequivariance_ops_torch")
    package.__version__ = "0.13.0"  # type: ignore[attr-defined]
    kernels.uniform_1d = None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuequivariance_torch", package)
    monkeypatch.setitem(sys.modules, "cuequivariance_ops_torch", kernels)
    with caplog.at_level(logging.INFO, cuequivariance.__name__):
        assert cuequivariance.serves(GPU)
        assert not cuequivariance.serves(torch.device("cpu"))
    assert [record.getMessage() for record in caplog.records] == [
        "GPUs compute MACE by cuEquivariance 0.13.0."
    ]
