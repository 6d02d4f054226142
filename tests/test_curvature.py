"""Second derivatives of every model against differences of its forces, and what they must obey."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms

import ladera
from conftest import (
    SPECIES,
    fitted,
    hdnnp_mixed,
    lennard_jones,
    mace_mixed,
    mixed_functions,
    small_mace,
    water_like,
)
from ladera import Committee, Graph, Potential, evaluate
from ladera import curvature as module
from ladera.curvature import dipole_derivatives, hessian
from ladera.errors import ConfigError, DataError
from ladera.models.hdnnp.dipole import HDNNPDipoleConfig
from ladera.models.hdnnp_4g import HDNNP4GConfig
from ladera.potential import PotentialConfig
from ladera.quantities import DIPOLE

STEP = 1e-4  # Angstrom; four points, so that what the differences leave out is below rounding


FUNCTIONS = mixed_functions(4.5)[::9]  # a few of many kinds: all of them are tested once


def with_dipole() -> Potential:
    return fitted(HDNNPDipoleConfig(species=SPECIES, cutoff=4.5, symmetry_functions=FUNCTIONS))


def with_charges() -> Potential:
    return fitted(HDNNP4GConfig(species=SPECIES, cutoff=4.5, symmetry_functions=FUNCTIONS))


def committee() -> Potential:
    return Committee([lennard_jones(), small_mace()])


MODELS: dict[str, Callable[[], Potential]] = {
    "lennard_jones": lennard_jones,
    "hdnnp_dipole": with_dipole,
    "hdnnp_4g": with_charges,
    "mace": small_mace,
    "mace_mixed": mace_mixed,
    "mace_nonlinear": lambda: small_mace(
        interactions=("nonlinear_residual",) * 2, channels=2, max_l=1, correlation=2
    ),
    "committee": committee,
}
STRUCTURES = {
    "molecule": water_like(5, 4.0, False, 1),
    "crystal": water_like(6, 4.5, True, 2),
    "cell_smaller_than_cutoff": water_like(3, 2.6, True, 3),
    "slab": water_like(5, 4.0, (True, True, False), 4),
}


def predicted(potential: Potential, atoms: Atoms, coordinate: int, step: float) -> np.ndarray:
    """Gradient of the energy, and dipole if there is one, with one coordinate moved."""
    moved = atoms.copy()
    moved.positions.reshape(-1)[coordinate] += step
    with torch.no_grad():
        prediction = evaluate(potential, Graph.from_atoms(moved, potential.cutoff))
    parts = [-prediction.forces.numpy().ravel()]
    if DIPOLE in potential.gives and not atoms.pbc.any():
        parts.append(prediction.dipole[0].numpy())
    return np.concatenate(parts)


def differences(potential: Potential, atoms: Atoms) -> np.ndarray:
    """Rows d/dx of the gradient and the dipole."""
    rows = []
    for i in range(3 * len(atoms)):
        near, far = (
            predicted(potential, atoms, i, s) - predicted(potential, atoms, i, -s)
            for s in (STEP, 2 * STEP)
        )
        rows.append((8 * near - far) / (12 * STEP))
    return np.array(rows)


CASES = [(model, structure) for model in MODELS for structure in STRUCTURES]
CASES.remove(("hdnnp_4g", "slab"))  # has no electrostatics
CASES.remove(("hdnnp_4g", "crystal"))  # slow, and the smaller cell is one as well
CASES.remove(("hdnnp_dipole", "crystal"))
CASES.remove(("mace_nonlinear", "crystal"))
CASES.remove(("mace_nonlinear", "slab"))


@pytest.mark.parametrize(("model", "structure"), CASES)
def test_derivatives_of_every_model(model: str, structure: str) -> None:
    potential, atoms = MODELS[model](), STRUCTURES[structure]
    size = 3 * len(atoms)
    found, expected = hessian(potential, atoms), differences(potential, atoms)
    scale = np.abs(found).max()
    assert scale > 0.01
    assert np.abs(found - expected[:, :size]).max() < 1e-6 * scale
    assert np.abs(found - found.T).max() < 1e-11 * scale
    assert np.abs(found.reshape(size, -1, 3).sum(1)).max() < 1e-11 * scale  # all atoms moved alike
    if DIPOLE in potential.gives and not atoms.pbc.any():
        slopes = dipole_derivatives(potential, atoms)
        assert np.abs(slopes).max() > 0.01
        assert np.abs(slopes - expected[:, size:]).max() < 1e-7
        assert np.abs(slopes.reshape(-1, 3, 3).sum(0)).max() < 1e-12  # neutral


def test_every_kind_of_symmetry_function() -> None:
    potential, atoms = hdnnp_mixed(), water_like(3, 4.0, False, 6)
    found = hessian(potential, atoms)
    assert np.abs(found - differences(potential, atoms)).max() < 1e-6 * np.abs(found).max()


def test_memory_decides_the_columns_of_a_pass_and_no_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    potential, atoms = small_mace(), STRUCTURES["molecule"]
    counts = []
    batch = Graph.batch

    def counted(graphs: list[Graph]) -> Graph:
        counts.append(len(graphs))
        return batch(graphs)

    monkeypatch.setattr(module.Graph, "batch", counted)
    whole = hessian(potential, atoms)
    assert counts == [1, 15]
    counts.clear()
    by_column = hessian(potential, atoms, memory=1e-9)
    assert counts == [1, 1]
    counts.clear()
    one = module._SavedBytes()
    with one:
        module._Copies(*module._prepared(potential, atoms), 1)
    some = hessian(potential, atoms, memory=1e-9 * module._PEAK * 6.5 * one.bytes)
    assert counts[-1] == 5  # three passes of five, not six, six and three
    assert np.abs(whole - by_column).max() < 1e-11 * np.abs(whole).max()
    assert np.abs(whole - some).max() < 1e-11 * np.abs(whole).max()


def test_second_derivatives_of_a_single_precision_model_are_those_of_its_parameters() -> None:
    potential = small_mace().float()
    double = small_mace().float().double()
    atoms = STRUCTURES["molecule"]
    assert np.array_equal(hessian(potential, atoms), hessian(double, atoms))
    assert potential.dtype == torch.float32
    assert all(parameter.requires_grad for parameter in potential.parameters())


def test_atoms_that_feel_nothing_have_no_curvature() -> None:
    for potential in (lennard_jones(), small_mace()):
        assert not hessian(potential, Atoms("O")).any()
        own_images = Atoms("O", [[0.3, 0.1, 0.2]], cell=[2.4, 2.7, 3.1], pbc=True)
        assert np.abs(hessian(potential, own_images)).max() < 1e-10


class Once(torch.autograd.Function):
    """A square whose slope cannot be differentiated."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        return 2 * grad * ctx.saved_tensors[0]


class OnceDifferentiable(Potential):
    def atomic_energies(self, graph):
        squares = Once.apply(graph.vectors).sum(1)
        return squares.new_zeros(graph.n_atoms).index_add(0, graph.centers, squares)


def test_what_has_no_hessian_is_said_in_one_sentence() -> None:
    once = OnceDifferentiable(PotentialConfig(architecture="once", species=SPECIES, cutoff=3.0))
    with pytest.raises(ConfigError, match=r"The once model has no Hessian.*central differences"):
        hessian(once, STRUCTURES["molecule"])
    graph = Graph.from_atoms(STRUCTURES["molecule"], 4.5)
    with pytest.raises(DataError, match="this graph has 2"):
        hessian(lennard_jones(), Graph.batch([graph, graph]))
    with pytest.raises(ConfigError, match="above zero"):
        ladera.hessian(lennard_jones(), graph, memory=0)
    with pytest.raises(DataError, match="Atom 0 is C"):
        hessian(lennard_jones(), Atoms("CO", [[0, 0, 0], [0, 0, 1.1]]))
    with pytest.raises(DataError, match="no dipole moment"):
        dipole_derivatives(lennard_jones(), graph)
