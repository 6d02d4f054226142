"""Scripts that were written for mace-torch's calculator: its arguments, its results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

import ladera
from ladera import MACECalculator
from ladera.errors import ArgumentError, ConfigError
from ladera.potential import PropertyUnavailableError
from test_mace_torch import MODELS, PARITY, WEIGHTS, needs_shared, relative


@pytest.fixture(scope="module")
def ethanol() -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05)
    return atoms


@pytest.fixture(scope="module")
def members() -> list[ladera.Potential]:
    """Ethanol's model, and the same with another last layer."""
    one, other = ladera.load("ethanol-mace"), ladera.load("ethanol-mace")
    with torch.no_grad():
        next(p for name, p in other.named_parameters() if "readout" in name).mul_(1.1)
    return [one, other]


@needs_shared
@pytest.mark.parametrize("name", MODELS)
def test_descriptors_are_those_of_mace_torch(name: str) -> None:
    """All features in the order of e3nn, and the invariant ones among them."""
    expected = np.load(PARITY / f"{name}.npz")
    for key in json.loads((PARITY / f"{name}.json").read_text())["structures"]:
        of = {k: expected[f"{key}/{k}"] for k in ("atomic_numbers", "positions", "cell", "pbc")}
        atoms = Atoms(of["atomic_numbers"], of["positions"], cell=of["cell"], pbc=of["pbc"])
        head = key.partition("@")[2] or None
        calculator = MACECalculator(
            model_paths=str(PARITY / (name + MODELS[name])), default_dtype="float64", head=head
        )
        features = expected[f"{key}/node_feats"]
        found = calculator.get_descriptors(atoms, invariants_only=False)
        assert found.shape == features.shape  # type: ignore[union-attr]
        assert relative(found, features) < 1e-9
        config = calculator.models[0].config
        channels, width = config.channels, (config.hidden_l + 1) ** 2  # type: ignore[attr-defined]
        layers = (features.shape[1] - channels) // (channels * width) + 1
        starts = [layer * channels * width for layer in range(layers)]
        invariant = np.hstack([features[:, at : at + channels] for at in starts])
        assert relative(calculator.get_descriptors(atoms), invariant) < 1e-9
        first = calculator.get_descriptors(atoms, num_layers=1)
        assert relative(first, invariant[:, :channels]) < 1e-9


@needs_shared
def test_node_energies_are_those_of_mace_torch() -> None:
    golden = WEIGHTS / "mace_spice/golden_mace_torch_0.3.16_float64.json"
    calculator = MACECalculator(
        str(WEIGHTS / "mace_spice/MACE_SPICE.model"), None, "cpu", "float64"
    )
    for frame in json.loads(golden.read_text())[:2]:
        atoms = Atoms(frame["numbers"], frame["positions"], calculator=calculator)
        assert atoms.get_potential_energy() == pytest.approx(frame["energy"], rel=1e-10)
        assert np.abs(calculator.results["node_energy"] - frame["node_energy"]).max() < 1e-9


def test_a_committee_has_the_results_of_mace_torch(
    ethanol: Atoms, members: list[ladera.Potential], tmp_path: Path
) -> None:
    for number, member in enumerate(members):
        member.save(tmp_path / f"mace_{number}.ladera")
    calculator = MACECalculator(model_paths=str(tmp_path / "mace_*.ladera"), device="cpu")
    atoms = ethanol.copy()
    atoms.calc = calculator
    energy = atoms.get_potential_energy()
    each = [ladera.evaluate(member, ethanol) for member in members]
    energies = np.array([prediction.energy.item() for prediction in each])
    forces = np.array([prediction.forces.numpy() for prediction in each])
    results = calculator.results
    assert energy == pytest.approx(energies.mean())
    assert np.abs(energies[0] - energies[1]) > 1e-3
    np.testing.assert_allclose(results["energy_comm"], energies)
    assert results["energy_var"] == pytest.approx(energies.var())
    np.testing.assert_allclose(results["forces_comm"], forces, atol=1e-12)
    np.testing.assert_allclose(results["forces_var"], forces.var(axis=0), atol=1e-12)
    dipoles = np.array([prediction.dipole[0].numpy() for prediction in each])
    np.testing.assert_allclose(results["dipole_comm"], dipoles, atol=1e-12)
    assert results["free_energy"] == energy
    assert results["energies"].sum() == pytest.approx(energy)
    assert "stress" not in results  # of a molecule
    assert "stress_var" not in results
    assert calculator.get_property("energy_var", atoms) == results["energy_var"]
    assert calculator.num_models == 2
    assert [each.shape for each in calculator.get_descriptors(atoms)] == [(9, 64), (9, 64)]


def test_a_crystal_has_a_stress_of_each_model(members: list[ladera.Potential]) -> None:
    atoms = molecule("CH3OH", vacuum=2.5)
    atoms.pbc = True
    atoms.calc = MACECalculator(models=members)
    atoms.get_forces()
    each = [ladera.evaluate(member, atoms).stress[0].numpy() for member in members]
    voigt = np.array([stress.ravel()[[0, 4, 8, 5, 2, 1]] for stress in each])
    np.testing.assert_allclose(atoms.calc.results["stress_comm"], voigt, atol=1e-15)
    np.testing.assert_allclose(atoms.calc.results["stress_var"], voigt.var(axis=0), atol=1e-15)
    np.testing.assert_allclose(atoms.calc.results["stress"], voigt.mean(axis=0), atol=1e-15)


def test_the_hessian_is_that_of_the_energy(ethanol: Atoms) -> None:
    calculator = MACECalculator("ethanol-mace")
    found = calculator.get_hessian(ethanol)
    assert found.shape == (27, 9, 3)  # type: ignore[union-attr]
    step, moved = 1e-4, []
    for sign in (1, -1):
        atoms = ethanol.copy()
        atoms.positions[4, 1] += sign * step
        atoms.calc = calculator
        moved.append(atoms.get_forces())
    slope = (moved[1] - moved[0]) / (2 * step)
    np.testing.assert_allclose(found[3 * 4 + 1], slope, atol=1e-4)  # type: ignore[index]


def test_what_is_not_there_is_refused(ethanol: Atoms) -> None:
    kept = MACECalculator(
        model_path="ethanol-mace",
        default_dtype="float32",
        enable_cueq=True,
        compile_mode=None,
        model_type="EnergyDipoleMACE",
        charges_key="Qs",
        compute_stress=False,
    )
    assert kept.potential.dtype == torch.float32
    assert kept.r_max == 4.5
    with pytest.raises(PropertyUnavailableError):
        kept.get_property("stress", ethanol)
    refused = {"compile_mode": "default", "enable_oeq": True, "length_units_to_A": 0.529}
    for name, value in refused.items():
        with pytest.raises(ArgumentError, match=f"{name} of MACECalculator is .* for mace-torch"):
            MACECalculator("ethanol-mace", **{name: value})
    with pytest.raises(ArgumentError, match="models of MACECalculator is 'cuda'"):
        MACECalculator(models="cuda")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="has no head 'pbe'"):
        MACECalculator("ethanol-mace", head="pbe")
