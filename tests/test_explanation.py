"""What a MACE computes on its way: parts add up to the energy, and turn as they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from scipy.spatial.transform import Rotation

import ladera
from ladera.errors import DataError
from ladera.models.mace import MACE, MACEConfig
from ladera.report.equivariance_figure import equivariance_figure, wigner_matrix

ROTATION = Rotation.from_euler("zyx", [40, 60, 20], degrees=True).as_matrix()


def build(**keys: object) -> MACE:
    settings = {"species": ("H", "C", "O"), "cutoff": 3.5, "channels": 4, "radial_layers": (8,)}
    torch.manual_seed(2)
    model = ladera.build(MACEConfig(**{**settings, "max_l": 2, "hidden_l": 1, **keys}))
    assert isinstance(model, MACE)
    with torch.no_grad():
        model.reference_energies.copy_(torch.tensor([-13.6, -1030.0, -2040.0]))
        model.scale.fill_(0.7)
        model.shift.fill_(0.1)
    return model


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"zbl": True},
        {"num_interactions": 3, "interactions": ("density_residual",) * 3},
        {"interactions": ("nonlinear_residual",) * 2},
        {"outputs": ("energy", "dipole")},
    ],
)
def test_the_energies_of_layers_and_the_references_are_the_energy(keys: dict[str, object]) -> None:
    model, atoms = build(**keys), molecule("CH3CH2OH")
    found = model.explain(atoms)
    with torch.no_grad():
        expected = ladera.evaluate(model, atoms).atomic_energies
    assert len(found.layers) == model.config.num_interactions
    assert torch.allclose(found.energies, expected, rtol=1e-12)
    assert (float(found.repulsion.sum()) > 0) == bool(keys.get("zbl"))
    assert not found.energies.requires_grad


@pytest.mark.parametrize("mirror", [1, -1])
def test_arrays_turn_by_wigner_matrices_and_invariants_do_not(mirror: int) -> None:
    model, atoms = build(hidden_l=2), molecule("CH3CH2OH")
    rotation, turned = mirror * ROTATION, atoms.copy()
    turned.positions = atoms.positions @ rotation.T
    for before, after in zip(
        model.explain(atoms).layers, model.explain(turned).layers, strict=True
    ):
        kinds = {
            "one_particle": before.one_particle_irreps,
            **dict.fromkeys(("products", "messages", "features"), before.irreps),
        }
        for name, irreps in kinds.items():
            D = torch.from_numpy(wigner_matrix(irreps, rotation))
            one, two = getattr(before, name), getattr(after, name)
            assert torch.allclose(two, D @ one, atol=1e-10), name
            assert torch.allclose(two[:, 0], one[:, 0], atol=1e-10), name
        assert torch.allclose(after.energies, before.energies, atol=1e-10)


def test_a_free_atom_hears_nothing() -> None:
    found = build().explain(Atoms("O"))
    assert all(float(layer.one_particle.abs().max()) == 0 for layer in found.layers)


def test_a_model_of_dipoles_alone_has_no_energies_to_explain() -> None:
    with pytest.raises(DataError, match="predicts dipole moments"):
        build(outputs=("dipole",)).explain(molecule("H2O"))


def test_the_figure_shows_the_same_array_twice() -> None:
    figure = equivariance_figure(build(), molecule("H2O"), ROTATION, atom=0)
    matrix, before, turned, after = (
        np.asarray(panel.images[0].get_array()) for panel in figure.axes[:4]
    )
    assert matrix @ matrix.T == pytest.approx(np.eye(9), abs=1e-10)
    assert turned == pytest.approx(after, abs=1e-10)
    assert np.abs(after - before).max() > 1e-3
