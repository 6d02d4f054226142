"""A model with dipoles: the contract, charges that sum up, and what training makes of labels."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from ase import Atoms
from pydantic import ValidationError

import ladera
from ladera import Committee, Graph, evaluate, loading
from ladera.cli import main
from ladera.codes import mace_torch
from ladera.data.dataset import Dataset
from ladera.data.formats import write
from ladera.data.frame import Frame
from ladera.errors import ConfigError, DataError
from ladera.models import registry
from ladera.models.hdnnp.dipole import HDNNPDipole, HDNNPDipoleConfig
from ladera.models.mace import MACE, MACEConfig
from ladera.potential import differentiate
from ladera.quantities import DIPOLE
from ladera.testing import check_contract, predict
from ladera.training.config import TrainingConfig
from ladera.training.trainer import train
from test_training_run import StopAt
from training_runs import same_bits

WATER = Atoms("OHH", [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0.1]])


def new_model(seed: int = 0) -> HDNNPDipole:
    torch.manual_seed(seed)
    return HDNNPDipole(HDNNPDipoleConfig(species=("H", "O"), cutoff=4.0, size="small")).eval()


SIZES = {"channels": 4, "max_l": 2, "correlation": 2, "num_radial": 4, "radial_layers": (8,)}


def new_mace(seed: int = 0, outputs=("energy", "dipole"), **changes) -> MACE:
    torch.manual_seed(seed)
    config = MACEConfig(species=("H", "O"), cutoff=4.0, outputs=outputs, **SIZES | changes)
    return MACE(config).eval()


MODELS = {
    "hdnnp": new_model,
    "mace": new_mace,
    "mace, scalars between layers": lambda: new_mace(hidden_l=0, readout_layers=()),
    "mace, gates": lambda: new_mace(hidden_l=2, interactions=("nonlinear_residual",) * 2),
}
models = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())


@pytest.mark.parametrize(
    ("make", "periodic"),
    [(new_model, False), (new_model, True), (new_mace, True), (MODELS["mace, gates"], False)],
)
def test_contract(make, periodic: bool) -> None:
    atoms = WATER.copy()
    if periodic:
        atoms.set_cell(5 * np.eye(3))
        atoms.pbc = True
    check_contract(make(), atoms)


@models
def test_atomic_dipoles_turn_with_the_molecule_and_charges_stay(make) -> None:
    potential = make()
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    before = predict(potential, WATER)
    for matrix in (turn, -turn):
        after = predict(potential, Atoms(WATER.symbols, WATER.positions @ matrix + 1.7))
        size = before.atomic_dipoles.abs().max().item()
        assert size > 1e-3
        expected = before.atomic_dipoles.numpy() @ matrix
        assert after.atomic_dipoles.numpy() == pytest.approx(expected, abs=1e-12)
        assert after.charges.numpy() == pytest.approx(before.charges.numpy(), abs=1e-12)


@models
def test_charges_sum_to_the_total_charge_and_moments_to_the_dipole(make) -> None:
    ion = WATER.copy()
    ion.info["total_charge"] = -1.0
    found = predict(make(), ion)
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
    mixed = Committee([members[0], ladera.build(registry.config_class("hdnnp")(
        species=("H", "O"), cutoff=4.0, size="small"))])  # fmt: skip
    assert DIPOLE not in mixed.gives


def test_mace_makes_dipoles_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    potential = new_mace()
    asked, moments = [], MACE._moments
    monkeypatch.setattr(
        MACE, "_moments", lambda *words: (asked.append(1), moments(*words))[1], raising=True
    )
    assert potential.why_not_fast() is None
    graph = Graph.from_atoms(WATER, potential.cutoff)
    with torch.no_grad():
        found = evaluate(potential, graph)
        plain = differentiate(potential, graph)
        energy_alone = new_mace(outputs=("energy",)).train()
    runs = []
    for layer in potential.layers:
        layer.register_forward_hook(lambda *_: runs.append(1))
    asked.clear()
    _ = found.forces
    assert not asked
    dipole = found.dipole.numpy()
    assert len(asked) == 1
    assert not runs  # their loops are compiled, too
    assert dipole == pytest.approx(plain.dipole.numpy(), abs=1e-12)
    assert not found.dipole.requires_grad
    assert DIPOLE not in energy_alone.gives


def test_a_model_of_dipoles_alone_says_so_when_asked_for_energies(tmp_path) -> None:
    both, alone = new_mace(), new_mace(outputs=("dipole",))
    own = both.state_dict()
    alone.load_state_dict({name: own[name] for name in alone.state_dict()})
    expected = predict(both, WATER).dipole.numpy()
    alone.save(tmp_path / "dipole.ladera")
    alone = ladera.load(tmp_path / "dipole.ladera")
    found = predict(alone, WATER)
    assert found.dipole.numpy() == pytest.approx(expected, abs=1e-13)
    for name in ("energy", "forces", "virial", "atomic_energies"):
        with pytest.raises(DataError, match="neither energies nor forces; take another"):
            getattr(found, name)
    atoms = WATER.copy()
    atoms.calc = alone.calculator()
    assert atoms.get_dipole_moment() == pytest.approx(expected[0], abs=1e-13)
    for ask in (atoms.get_potential_energy, atoms.get_forces):
        with pytest.raises(DataError, match="neither energies nor forces"):
            ask()
    assert "it has none" in alone.why_not_fast()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_l": 0}, "of which max_l: 0 knows nothing"),
        ({"heads": ("a", "b")}, "has one head, not 2"),
        ({"outputs": ("dipole", "charm")}, "outputs"),
    ],
)
def test_outputs_that_cannot_be(values, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        new_mace(**values)


def test_mace_torch_gets_no_charges(tmp_path) -> None:
    with pytest.raises(ConfigError, match="EnergyDipolesMACE, whose charges would be False"):
        mace_torch.export(new_mace(), tmp_path)


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


MACE_SETTINGS = {
    "model": {
        "architecture": "mace",
        "outputs": ["energy", "dipole"],
        "cutoff": 4.0,
        **SIZES,
        "average_neighbors": [2.0, 2.0],
    },
    "epochs": 15,
    "precision": "float32",
}


@pytest.mark.parametrize("changes", [{}, MACE_SETTINGS], ids=["hdnnp", "mace"])
def test_training_learns_energies_and_dipoles_together(tmp_path, changes) -> None:
    config = TrainingConfig.model_validate(settings(tmp_path, dipole=10.0) | changes)
    potential = train(config, tmp_path / "run")
    bonds = WATER.positions[1:]
    charge = 0.3 + 0.2 * (np.linalg.norm(bonds, axis=1) - 0.96)
    assert predict(potential, WATER).dipole[0].numpy() == pytest.approx(charge @ bonds, abs=0.03)
    found = loading.load(tmp_path / "run").provenance["errors"]["test"]["dipole"]
    assert found["r2"] > 0.97
    log = (tmp_path / "run" / "log.csv").read_text()
    assert "validation_dipole_rmse_me_angstrom" in log.splitlines()[0]


def test_an_interrupted_training_of_energies_and_dipoles_ends_the_same(tmp_path) -> None:
    values = settings(tmp_path, dipole=10.0) | MACE_SETTINGS | {"epochs": 2, "ema_decay": 0.9}
    config = TrainingConfig.model_validate(values)
    whole = train(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts", observer=StopAt(2, 4))
    assert same_bits(train(config, tmp_path / "parts", resume=True), whole)


def test_a_model_of_dipoles_alone_learns_and_its_run_has_a_report(tmp_path) -> None:
    values = settings(tmp_path) | MACE_SETTINGS | {"epochs": 4}
    values["model"] = MACE_SETTINGS["model"] | {"outputs": ["dipole"]}
    values["loss"] = {"energy": 0.0, "forces": 0.0, "dipole": 1.0}
    train(TrainingConfig.model_validate(values), tmp_path / "run")
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())["train"]
    assert found["energy"] is None
    assert found["forces"] is None
    with (tmp_path / "run" / "log.csv").open() as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0]
    page = tmp_path / "page.html"
    with pytest.raises(SystemExit, match="0"):
        main(["report", str(tmp_path / "run"), "--output", str(page)])
    text = page.read_text(encoding="utf-8")
    assert "Components of the dipole moment of the train frames" in text
    assert "Energies of the train frames" not in text
    assert "Force components of the train frames" not in text


def test_dipoles_are_not_left_to_chance(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"dipoles that nothing would train; set loss\.dipole"):
        train(TrainingConfig.model_validate(settings(tmp_path)), tmp_path / "run")
    values = settings(tmp_path, dipole=1.0)
    values["model"] = MACE_SETTINGS["model"] | {"outputs": ["dipole"]}
    with pytest.raises(ConfigError, match=r"learns from dipoles alone; set loss: \{energy: 0"):
        train(TrainingConfig.model_validate(values), tmp_path / "alone")
    values["model"] = {"architecture": "hdnnp", "cutoff": 4.0}
    with pytest.raises(ConfigError, match=r"no dipole moment; set model\.architecture: hdnnp_dip"):
        train(TrainingConfig.model_validate(values), tmp_path / "other")


def test_an_epoch_that_dipoles_choose_against_the_forces_is_told(tmp_path) -> None:
    """The more the model learns, the worse it is on dipoles to validate on that are reversed."""
    values = settings(tmp_path, dipole=1000.0)
    frames = list(labelled(20))
    reversed_ = [frame.with_(dipole=-frame.dipole) for frame in frames]
    write(Dataset.from_frames(reversed_), tmp_path / "reversed.extxyz")
    values["data"] = {
        "files": values["data"]["files"],
        "validation_files": str(tmp_path / "reversed.extxyz"),
        "split": {"validation": 0, "test": 0},
    }
    words = r"(?s)epoch \d+, whose forces.*the dipole outweighs.*lower loss\.dipole"
    with pytest.warns(UserWarning, match=words):
        train(TrainingConfig.model_validate(values), tmp_path / "run")
