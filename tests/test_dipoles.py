"""A model with dipoles: the contract, charges that sum up, and what training makes of labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms

import ladera
from ladera import modelfile
from ladera.data.dataset import Dataset
from ladera.data.formats import write
from ladera.data.frame import Frame
from ladera.errors import ConfigError, DataError
from ladera.models.committee import Committee
from ladera.models.hdnnp.dipole import HDNNPDipole, HDNNPDipoleConfig
from ladera.testing import check_contract, predict
from ladera.training.config import TrainingConfig
from ladera.training.trainer import train

WATER = Atoms("OHH", [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0.1]])


def new_model(seed: int = 0) -> HDNNPDipole:
    torch.manual_seed(seed)
    return HDNNPDipole(HDNNPDipoleConfig(species=("H", "O"), cutoff=4.0, size="small")).eval()


@pytest.mark.parametrize("periodic", [False, True])
def test_contract(periodic: bool) -> None:
    atoms = WATER.copy()
    if periodic:
        atoms.set_cell(5 * np.eye(3))
        atoms.pbc = True
    check_contract(new_model(), atoms)


def test_charges_sum_to_the_total_charge_and_moments_to_the_dipole() -> None:
    ion = WATER.copy()
    ion.info["total_charge"] = -1.0
    found = predict(new_model(), ion)
    assert float(found.charges.sum()) == pytest.approx(-1, abs=1e-12)
    expected = found.charges.numpy() @ ion.positions + found.atomic_dipoles.numpy().sum(0)
    assert found.dipole[0].numpy() == pytest.approx(expected, abs=1e-12)


def test_a_cell_has_no_moment_of_charges() -> None:
    box = WATER.copy()
    box.set_cell(5 * np.eye(3))
    box.pbc = True
    with pytest.raises(DataError, match="periodic: its dipole moment depends"):
        _ = predict(new_model(), box).dipole


def test_a_committee_has_the_mean_of_its_members() -> None:
    members = [new_model(0), new_model(1)]
    mean = np.mean([predict(m, WATER).dipole.numpy() for m in members], axis=0)
    committee = Committee(members)
    assert predict(committee, WATER).dipole.numpy() == pytest.approx(mean)
    assert committee.calculator().get_property("dipole", WATER) == pytest.approx(mean[0])
    mixed = Committee([members[0], ladera.build(modelfile.config_class("hdnnp")(
        species=("H", "O"), cutoff=4.0, size="small"))])  # fmt: skip
    assert not mixed.has_dipole


def labelled(count: int) -> Dataset:
    """Water that vibrates, with springs for an energy and with the moments of moving charges."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(count):
        atoms = WATER.copy()
        atoms.rattle(0.06, rng=rng)
        bonds = atoms.positions[1:] - atoms.positions[0]
        lengths = np.linalg.norm(bonds, axis=1)
        energy = 10 * ((lengths - 0.96) ** 2).sum()
        pulls = -20 * ((lengths - 0.96) / lengths)[:, None] * bonds
        charge = 0.3 + 0.2 * (lengths - 0.96)
        frames.append(
            Frame(
                atoms.numbers,
                atoms.positions,
                np.zeros((3, 3)),
                np.zeros(3, dtype=bool),
                energy=float(energy),
                forces=np.vstack([-pulls.sum(0), pulls]),
                dipole=charge @ bonds,
            )
        )
    return Dataset.from_frames(frames)


def settings(tmp_path, **loss) -> dict:
    path = tmp_path / "water.extxyz"
    if not path.exists():
        write(labelled(120), path)
    return {
        "data": {"files": str(path), "split": {"validation": 0.1, "test": 0.1}},
        "reference_energies": {"H": 0.0, "O": 0.0},
        "model": {
            "architecture": "hdnnp_dipole",
            "cutoff": 4.0,
            "size": "small",
            "hidden_layers": [8],
            "dipole_layers": [10],
        },
        "loss": loss,
        "epochs": 20,
        "optimizer": {"learning_rate": 2e-2},
    }


def test_training_learns_energies_and_dipoles_together(tmp_path) -> None:
    config = TrainingConfig.model_validate(settings(tmp_path, dipole=10.0))
    potential = train(config, tmp_path / "run")
    bonds = WATER.positions[1:]
    charge = 0.3 + 0.2 * (np.linalg.norm(bonds, axis=1) - 0.96)
    assert predict(potential, WATER).dipole[0].numpy() == pytest.approx(charge @ bonds, abs=0.03)
    found = modelfile.load(tmp_path / "run").provenance["errors"]["test"]["dipole"]
    assert found["r2"] > 0.97
    log = (tmp_path / "run" / "log.csv").read_text()
    assert "validation_dipole_rmse_me_angstrom" in log.splitlines()[0]


def test_dipoles_are_not_left_to_chance(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"dipoles that nothing would train; set loss\.dipole"):
        train(TrainingConfig.model_validate(settings(tmp_path)), tmp_path / "run")
    values = settings(tmp_path, dipole=1.0)
    values["model"] = {"architecture": "hdnnp", "cutoff": 4.0}
    with pytest.raises(ConfigError, match=r"no dipole moment; set model\.architecture: hdnnp_dip"):
        train(TrainingConfig.model_validate(values), tmp_path / "other")
