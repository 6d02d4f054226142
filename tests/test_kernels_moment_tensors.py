"""The loops of moment tensor potentials against their short form in torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

import ladera
from conftest import moment_tensor, water_like
from ladera import Graph
from ladera.kernels.moment_tensors.program import MomentProgram
from ladera.models.mtp import MTP
from ladera.potential import Prediction, differentiate, evaluate

# Squares, a function twice, one that is a factor of another, a moment that nobody needs, ranks that
# one radial function has and the other has not, and moments that are complete in another order than
# that of their numbers.
ODD = MomentProgram(
    np.array(
        [(0, 0, 0, 0), (0, 0, 0, 4), (1, 1, 1, 3), (0, 0, 1, 0), (1, 0, 2, 2), (0, 1, 0, 0)],
        dtype=np.int64,
    ),
    np.array(
        [(0, 0, 3, 8), (1, 2, 2, 7), (8, 7, 1, 6), (8, 8, 2, 6), (3, 4, 1, 9), (5, 6, 1, 10)],
        dtype=np.int64,
    ),
    np.array([0, 6, 8, 6, 9, 1], dtype=np.int64),
)


def odd(dtype: torch.dtype = torch.float64) -> MTP:
    """A potential with an odd program."""
    like = moment_tensor()
    model = MTP.with_program(like.config.model_copy(update={"program": None}), ODD)
    with torch.no_grad():
        model.radial_coefficients.copy_(torch.randn_like(model.radial_coefficients) / 50)
        model.moment_coefficients.normal_()
    return model.eval().to(dtype)


MODELS = {
    "two elements": lambda: moment_tensor(14),
    "one element": lambda: moment_tensor(16, ("O",)),
    "odd": odd,
}
WATER = water_like(23, 7.0, True, 4)  # atoms that fill no vector
OXYGEN = Atoms("O23", WATER.positions, cell=WATER.cell, pbc=True)


def batch(model: MTP) -> Graph:
    """A crystal, a molecule and an atom without neighbours."""
    crystal = WATER if "H" in model.symbols else OXYGEN
    molecule = Atoms("O3", [(0, 0, 0), (1.1, 0.3, 0), (-0.4, 1.2, 0.7)])
    graphs = [Graph.from_atoms(a, model.cutoff) for a in (crystal, molecule, Atoms("O"))]
    return Graph.batch(graphs).to(model.dtype)


def both(model: MTP, graph: Graph) -> tuple[Prediction, Prediction]:
    with torch.no_grad():
        return evaluate(model, graph), differentiate(model, graph)


@pytest.mark.parametrize("name", MODELS)
def test_energies_and_gradients(name: str) -> None:
    model = MODELS[name]()
    loops, reference = both(model, batch(model))
    for quantity in ("atomic_energies", "edge_gradients"):
        expected = getattr(reference, quantity)
        scale = expected.abs().max()
        found = getattr(loops, quantity)
        torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", MODELS)
def test_functions(name: str) -> None:
    model = MODELS[name]()
    graph = batch(model)
    expected = model.functions(graph)
    with torch.no_grad():
        found = model.functions(graph)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", MODELS)
def test_single_precision(name: str) -> None:
    """As exact as torch is in float32, up to the order of the sums."""
    model = MODELS[name]()
    graph = batch(model)
    exact, _ = both(model, graph)
    loops, reference = both(model.float(), graph.to(torch.float32))
    for quantity in ("atomic_energies", "edge_gradients"):
        expected = getattr(exact, quantity)
        error = (getattr(loops, quantity) - expected).abs().max()
        of_torch = (getattr(reference, quantity) - expected).abs().max()
        assert error <= 4 * of_torch + 1e-6 * expected.abs().max()


@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_a_loss(name: str) -> None:
    """Of energies and forces, in all parameters, as torch differentiates them twice."""
    model = MODELS[name]().train()
    graph = batch(model)
    generator = torch.Generator().manual_seed(0)
    e = torch.randn(graph.n_atoms, generator=generator, dtype=torch.float64)
    d = torch.randn(graph.n_edges, 3, generator=generator, dtype=torch.float64)
    found = []
    for prediction in (evaluate(model, graph), differentiate(model, graph)):
        energies, gradients = prediction.atomic_energies, prediction.edge_gradients
        loss = (e * energies).sum() + (d * gradients).sum() + 0.1 * gradients.square().sum()
        found.append(torch.autograd.grad(loss, list(model.parameters())))
    for loops, reference in zip(*found, strict=True):
        torch.testing.assert_close(loops, reference, rtol=1e-11, atol=1e-11)


def test_gradients_of_energies_alone() -> None:
    model = moment_tensor(12).train()
    graph = batch(model)
    energies, _ = model.energies_and_edge_gradients(graph)
    found = torch.autograd.grad(energies.square().sum(), list(model.parameters()))
    expected = torch.autograd.grad(
        model.atomic_energies(graph).square().sum(), list(model.parameters())
    )
    for loops, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(loops, reference, rtol=1e-11, atol=1e-11)


def test_threads_change_no_bit() -> None:
    model = moment_tensor(14)
    graph = Graph.from_atoms(WATER.repeat((2, 1, 1)), model.cutoff)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(both(model, graph)[0])
    torch.set_num_threads(before)
    assert torch.equal(found[0].atomic_energies, found[1].atomic_energies)
    assert torch.equal(found[0].edge_gradients, found[1].edge_gradients)


def test_pairs_beyond_the_cutoff_count_for_nothing() -> None:
    model = moment_tensor()
    near = both(model, Graph.from_atoms(WATER, model.cutoff))[0]
    far = both(model, Graph.from_atoms(WATER, model.cutoff + 0.7))[0]
    torch.testing.assert_close(far.energy, near.energy, rtol=0, atol=1e-12)
    torch.testing.assert_close(far.forces, near.forces, rtol=0, atol=1e-12)


def test_a_changed_parameter_is_noticed() -> None:
    """Every one of them, and functions that are exchanged."""
    model = moment_tensor(10)
    graph = Graph.from_atoms(WATER, model.cutoff)
    for parameter in model.parameters():
        both(model, graph)
        with torch.no_grad():
            parameter *= 1.25
        loops, reference = both(model, graph)
        torch.testing.assert_close(loops.energy, reference.energy, rtol=1e-13, atol=0)
    with torch.no_grad():
        model.scalars.copy_(model.scalars.flip(0))
    loops, reference = both(model, graph)
    torch.testing.assert_close(loops.energy, reference.energy, rtol=1e-13, atol=0)
    model.moment_coefficients = torch.nn.Parameter(torch.ones_like(model.moment_coefficients))
    loops, reference = both(model, graph)
    torch.testing.assert_close(loops.energy, reference.energy, rtol=1e-13, atol=0)


def test_files_keep_the_functions(tmp_path: Path) -> None:
    """A model that has made its tables is saved as any other."""
    model = odd()
    graph = Graph.from_atoms(WATER, model.cutoff)
    expected = both(model, graph)[0].energy
    model.save(tmp_path / "odd.ladera")
    torch.testing.assert_close(
        both(ladera.load(tmp_path / "odd.ladera"), graph)[0].energy, expected, rtol=0, atol=1e-12
    )
