"""The contract of `ladera.testing` on every model and every kind of structure."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from ase import Atoms

from conftest import SPECIES, hdnnp_mixed, lennard_jones, water_like
from ladera import Graph, Potential
from ladera.errors import DataError
from ladera.potential import evaluate
from ladera.testing import (
    check_contract,
    check_cutoff,
    check_forces,
    check_isolated_atom,
    predict,
)

STRUCTURES = {
    "molecule": water_like(7, 4.0, False, 1),
    "crystal": water_like(9, 5.5, True, 2),
    "cell_smaller_than_cutoff": water_like(3, 2.6, True, 3),
    "slab": water_like(6, 4.0, (True, True, False), 4),
    "wire": water_like(4, 3.2, (False, True, False), 5),
    "own_images_only": Atoms("O", [[0.3, 0.1, 0.2]], cell=[2.4, 2.7, 3.1], pbc=True),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_contract(potential: Potential, name: str) -> None:
    check_contract(potential, STRUCTURES[name])


@pytest.mark.parametrize("symbol", SPECIES)
def test_isolated_atom(potential: Potential, symbol: str) -> None:
    check_isolated_atom(potential, symbol)


@pytest.mark.parametrize("pair", list(product(SPECIES, SPECIES)))
def test_smooth_at_the_cutoff(potential: Potential, pair: tuple[str, str]) -> None:
    check_cutoff(potential, pair)


def test_parameter_gradients_of_forces(potential: Potential) -> None:
    """Training on forces: the gradient of a force loss against finite differences."""
    graph = Graph.from_atoms(STRUCTURES["crystal"], potential.cutoff)

    def loss() -> torch.Tensor:
        prediction = evaluate(potential, graph)
        forces, virial = prediction.forces.pow(2).sum(), prediction.virial.pow(2).sum()
        return prediction.energy.sum() + forces + virial

    parameters = list(potential.parameters())
    gradients = torch.autograd.grad(loss(), parameters)
    assert any(bool(g.abs().max() > 0) for g in gradients)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        flat, place = parameter.detach().view(-1), int(gradient.abs().argmax())
        step, values = 1e-5 * max(1.0, abs(float(flat[place]))), []
        for sign in (1, -1):
            flat[place] += sign * step
            values.append(loss().item())
            flat[place] -= sign * step
        expected = (values[0] - values[1]) / (2 * step)
        assert float(gradient.view(-1)[place]) == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_open_system_has_no_stress_but_a_virial(potential: Potential) -> None:
    prediction = predict(potential, STRUCTURES["molecule"])
    assert prediction.virial.abs().max() > 0
    with pytest.raises(DataError, match="not periodic"):
        _ = prediction.stress


def test_partly_periodic_without_volume_has_no_stress(potential: Potential) -> None:
    wire = Atoms("OH", [[0, 0, 0], [0, 1.2, 0.4]], cell=[0, 3.2, 0], pbc=(False, True, False))
    prediction = predict(potential, wire)
    assert torch.isfinite(prediction.virial).all()
    with pytest.raises(DataError, match="no volume"):
        _ = prediction.stress


def test_unknown_species_names_the_atom(potential: Potential) -> None:
    with pytest.raises(DataError, match=r"Atom 1 is C.*H, O"):
        predict(potential, Atoms("HC", [[0, 0, 0], [0, 0, 1]]))


def test_energy_without_gradients_has_no_forces(potential: Potential) -> None:
    graph = Graph.from_atoms(STRUCTURES["molecule"], potential.cutoff)
    with torch.no_grad():
        prediction = evaluate(potential, graph, gradients=False)
        full = evaluate(potential, graph)
    assert prediction.energy.item() == pytest.approx(full.energy.item(), rel=1e-12)
    with pytest.raises(DataError, match="gradients=True"):
        _ = prediction.forces


def test_the_contract_catches_a_wrong_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks themselves can fail: a force that forgets the reaction is noticed."""
    potential = lennard_jones()
    right = potential.energies_and_edge_gradients

    def wrong(graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
        energies, gradients = right(graph)
        own_image = graph.centers == graph.neighbors
        return energies, torch.where(own_image[:, None], torch.zeros_like(gradients), gradients)

    monkeypatch.setattr(potential, "energies_and_edge_gradients", wrong)
    check_forces(potential, STRUCTURES["molecule"])
    with pytest.raises(AssertionError, match=r"fast path|virial|forces|stress|Hessian"):
        check_contract(potential, STRUCTURES["own_images_only"])


def test_committee_is_the_mean_of_its_members() -> None:
    from ladera import Committee

    atoms = STRUCTURES["crystal"]
    one, two = hdnnp_mixed(), hdnnp_mixed()
    with torch.no_grad():
        for parameter in two.parameters():
            parameter.mul_(1.1)
    committee = Committee([one, two])
    mean = predict(committee, atoms)
    singles = [predict(member, atoms) for member in (one, two)]
    assert mean.energy.item() == pytest.approx(sum(p.energy.item() for p in singles) / 2)
    torch.testing.assert_close(mean.forces, (singles[0].forces + singles[1].forces) / 2)
    check_forces(committee, STRUCTURES["molecule"])


def test_committee_of_different_species_is_refused() -> None:
    import ladera
    from ladera.errors import ConfigError
    from ladera.models.lennard_jones import LennardJonesConfig

    helium = ladera.build(
        LennardJonesConfig(species=("He",), cutoff=5, epsilon={"He": 1e-3}, sigma={"He": 2.6})
    )
    with pytest.raises(ConfigError, match="same species"):
        ladera.Committee([lennard_jones(), helium])
