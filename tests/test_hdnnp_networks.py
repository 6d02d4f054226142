"""Networks of an HDNNP that differ between elements, and model files of earlier days."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

import ladera
from conftest import SPECIES, fitted, mixed_functions, water_like
from ladera.graph import Graph
from ladera.models.hdnnp import HDNNP, HDNNPConfig
from ladera.testing import check_fast_path, check_forces, predict

OLD = Path(__file__).parent / "data" / "hdnnp_format_1.ladera"


def config(**values: Any) -> HDNNPConfig:
    return HDNNPConfig(
        species=SPECIES, cutoff=4.0, symmetry_functions=mixed_functions(4.0), **values
    )


SHAPES: dict[str, dict[str, Any]] = {
    "layers": {"hidden_layers": {"H": (5,), "O": (7, 4, 3)}},
    "activations": {"hidden_layers": (6, 4), "activation": ("softplus", "gaussian", "tanh")},
    "each": {
        "hidden_layers": {"H": (5,), "O": (4, 3)},
        "activation": {"H": ("cosine", "tanh"), "O": ("reversed_logistic", "harmonic")},
    },
    "normalized": {"hidden_layers": (5, 4), "normalize_nodes": True, "activation": "tanh"},
    "reversed": {"hidden_layers": (5, 4), "scale_range": (1.0, -1.0)},
}


@pytest.mark.parametrize("name", SHAPES)
def test_both_paths_agree(name: str, tmp_path: Path) -> None:
    potential = fitted(config(**SHAPES[name]))
    atoms = water_like(8, 5.0, True, 1)
    check_fast_path(potential, atoms)
    check_forces(potential, atoms)
    potential.save(tmp_path / "model.ladera")
    again = ladera.load(tmp_path / "model.ladera")
    assert torch.equal(predict(again, atoms).energy, predict(potential, atoms).energy)


@pytest.mark.parametrize("name", SHAPES)
def test_training_derivatives_agree_with_automatic_ones(name: str) -> None:
    potential = fitted(config(**SHAPES[name]))
    frozen, *weights = [p for net in potential.networks for p in net.parameters()]
    frozen.requires_grad_(False)
    graph = Graph.from_atoms(water_like(8, 5.0, True, 1), potential.cutoff)
    torch.manual_seed(0)
    p, q = torch.randn(graph.n_atoms).double(), torch.randn(graph.n_edges, 3).double()
    vectors = graph.vectors.clone().requires_grad_()
    energies = potential.atomic_energies(replace(graph, vectors=vectors))
    (edges,) = torch.autograd.grad(energies.sum(), vectors, create_graph=True)
    closed_energies, closed_edges = potential.energies_and_edge_gradients(graph)
    torch.testing.assert_close(closed_energies, energies, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(closed_edges, edges, rtol=1e-10, atol=1e-10)

    def derivatives(energies: Tensor, edges: Tensor, a: float, b: float) -> list[Tensor]:
        loss = a * (p * energies).sum() + b * (q * edges).sum()
        found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        return [torch.zeros(1) if f is None else f for f in found]

    for a, b in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0)):
        expected = derivatives(energies, edges, a, b)
        found = derivatives(closed_energies, closed_edges, a, b)
        assert max(float(f.abs().max()) for f in expected) > 1e-3
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other.double().expand_as(one), rtol=1e-9, atol=1e-9)


def test_normalized_nodes_divide_weights_and_biases() -> None:
    plain = fitted(config(hidden_layers=(5, 4)))
    divided = fitted(config(hidden_layers=(5, 4), normalize_nodes=True))
    assert isinstance(plain, HDNNP)
    with torch.no_grad():
        for network, source in zip(plain.networks, divided.networks, strict=True):
            for layer, other in zip(network.layers(), source.layers(), strict=True):
                other.bias.uniform_(-1, 1)
                layer.weight.copy_(other.weight / other.in_features)
                layer.bias.copy_(other.bias / other.in_features)
    atoms = water_like(8, 5.0, True, 1)
    expected = predict(plain, atoms).energy
    torch.testing.assert_close(predict(divided, atoms).energy, expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_layers": {"H": (4,)}}, "no entry for O"),
        ({"activation": {"O": "tanh"}}, "no entry for H"),
        ({"hidden_layers": (4, 4), "activation": ("tanh",)}, "1 entries for 2 hidden layers"),
        ({"activation": "tan"}, "tanh"),
        ({"hidden_layers": ()}, "hidden_layers"),
        ({"scale_range": (1.0, 1.0)}, "two different values"),
    ],
)
def test_impossible_networks_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**values)


def test_a_file_written_before_elements_had_their_own_networks() -> None:
    prediction = predict(ladera.load(OLD), water_like(6, 5.0, True, 1))
    assert prediction.energy.item() == pytest.approx(-4146.194228516987, rel=1e-14)
    expected = [0.5599745098325081, 0.8515902974125097, -0.7577095743175839]
    assert prediction.forces[0].tolist() == pytest.approx(expected, rel=1e-10)
