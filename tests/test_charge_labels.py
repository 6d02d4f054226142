"""Atomic charges as labels: read, learned, and told in every file and table."""

from __future__ import annotations

import csv
import json
import re
from typing import Any

import numpy as np
import pytest
import torch

import ladera
from ladera.cli import main
from ladera.data.dataset import Dataset
from ladera.data.formats import LabelKeys, read, write
from ladera.data.graphs import GraphStore
from ladera.errors import ConfigError
from ladera.models.hdnnp_4g import HDNNP4GConfig
from ladera.properties.card import validate
from ladera.quantities import CHARGES, QUANTITIES
from ladera.training.batches import Batches
from ladera.training.config import LossConfig, TrainingConfig
from ladera.training.evaluation import evaluate_dataset
from ladera.training.loss import COUNT, SQUARE, Objective
from ladera.training.trainer import train
from test_dipoles import MACE_SETTINGS, WATER, labelled, new_mace, new_model, settings


def charged(count: int = 60) -> Dataset:
    """Water that vibrates; hydrogen gives the more the longer its bond is."""
    frames = []
    for frame in labelled(count):
        bonds = frame.positions[1:] - frame.positions[0]
        given = 0.3 + 0.2 * (np.linalg.norm(bonds, axis=1) - 0.96)
        frames.append(frame.with_(charges=np.array([-given.sum(), *given])))
    return Dataset.from_frames(frames)


def configured(tmp_path, loss: dict[str, float], **changes: Any) -> TrainingConfig:
    write(charged(), tmp_path / "water.extxyz")
    return TrainingConfig.model_validate(settings(tmp_path, **loss) | changes)


FOURTH = {
    "model": {"architecture": "hdnnp_4g", "cutoff": 4.0, "size": "small", "hidden_layers": [8]},
    "epochs": 20,
}


@pytest.mark.parametrize(
    ("loss", "changes"),
    [
        ({"charges": 1000.0}, FOURTH),
        ({"charges": 10.0, "dipole": 1.0}, {}),
        ({"charges": 10.0, "dipole": 1.0}, MACE_SETTINGS | {"epochs": 10}),
    ],
    ids=["hdnnp_4g", "hdnnp_dipole", "mace"],
)
def test_training_learns_charges(tmp_path, loss, changes) -> None:
    potential = train(configured(tmp_path, loss, **changes), tmp_path / "run")
    with (tmp_path / "run" / "log.csv").open() as file:
        errors = [float(row["validation_charge_rmse_me"]) for row in csv.DictReader(file)]
    assert np.isfinite(errors).all()
    assert errors[-1] < 0.5 * errors[0]
    found = evaluate_dataset(potential, charged()[[0]])
    assert float(found[CHARGES].sum()) == pytest.approx(0, abs=1e-6)


@pytest.mark.filterwarnings("ignore::ladera.simulation.preparation.SimulationWarning")
def test_files_tables_report_and_card_tell_of_charges(tmp_path, capsys) -> None:
    loss = {"charges": 10.0, "dipole": 1.0}
    potential = train(configured(tmp_path, loss, epochs=2), tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "evaluation.json").read_text())["test"]
    assert stored["units"]["charges"] == "me"
    assert stored["charges"]["count"] == 3 * stored["n_frames"]
    assert set(stored["by_element"]["H"]) == {"forces", "charges"}
    arrays = np.load(tmp_path / "run" / "predictions_test.npz")
    error = 1e3 * np.abs(arrays["charges_predicted"] - arrays["charges_reference"]).mean()
    assert stored["charges"]["mae"] == pytest.approx(error)
    assert potential.provenance["errors"]["test"]["charges"] == stored["charges"]
    with pytest.raises(SystemExit, match="0"):
        main(["evaluate", str(tmp_path / "run"), str(tmp_path / "water.extxyz")])
    assert re.search(r"charges\W+me\W+\d", capsys.readouterr().out)
    page = tmp_path / "page.html"
    with pytest.raises(SystemExit, match="0"):
        main(["report", str(tmp_path / "run"), "--output", str(page)])
    text = page.read_text(encoding="utf-8")
    assert "Atomic charges of the test frames, coloured by element." in text
    assert "Charge MAE (me)" in text
    assert "Errors of the charge, predicted minus reference." in text
    validate(potential, WATER, tmp_path / "card", errors=stored, temperature=5.0, time=0.005)
    assert "errors of charges" in (tmp_path / "card" / "result.json").read_text()


def test_charges_have_a_key_of_their_own_and_a_place_in_every_store(tmp_path) -> None:
    write(charged(3), tmp_path / "water.extxyz")
    text = (tmp_path / "water.extxyz").read_text()
    (tmp_path / "other.extxyz").write_text(text.replace("charges:R:1", "hirshfeld:R:1"))
    data = Dataset.from_frames(read(tmp_path / "other.extxyz", keys=LabelKeys(charges="hirshfeld")))
    np.testing.assert_array_equal(data.column("charges"), charged(3).column("charges"))
    data.save(tmp_path / "data.h5")
    np.testing.assert_array_equal(
        Dataset.open(tmp_path / "data.h5").column("charges"), data.column("charges")
    )


@pytest.mark.parametrize("kind", ["hdnnp_4g", "hdnnp_dipole", "mace"])
def test_the_gradient_of_the_loss_of_charges_agrees_with_differences(kind) -> None:
    torch.manual_seed(0)
    fourth = HDNNP4GConfig(species=("H", "O"), cutoff=4.0, size="small")
    potential = {"hdnnp_4g": lambda: ladera.build(fourth), "hdnnp_dipole": new_model,
                 "mace": new_mace}[kind]()  # fmt: skip
    frames = list(charged(3))
    frames[1] = frames[1].with_(charges=None)
    data = Dataset.from_frames(frames)
    batch = Batches(data, GraphStore(data, 4.0)).make(np.arange(3))
    objective = Objective(potential, LossConfig(energy=0.0, forces=0.0, charges=1.0))

    def loss() -> torch.Tensor:
        return objective.total(objective(batch), batch.counts)

    sums = objective(batch)
    row = sums[QUANTITIES.index(CHARGES)].detach()
    assert float(row[COUNT]) == 6
    assert 0 < float(row[SQUARE]) < 60
    loss().backward()
    slopes = {n: p.grad for n, p in potential.named_parameters() if p.grad is not None}
    name = max(slopes, key=lambda n: float(slopes[n].abs().max()))
    place = int(slopes[name].abs().argmax())
    values, step = dict(potential.named_parameters())[name].detach().view(-1), 1e-6
    both = []
    for sign in (1, -1):
        values[place] += sign * step
        both.append(loss().item())
        values[place] -= sign * step
    slope = slopes[name].flatten()[place].item()
    assert slope == pytest.approx((both[0] - both[1]) / (2 * step), rel=1e-5)


def test_a_loss_of_charges_that_are_not_there_is_refused(tmp_path) -> None:
    model = {"model": {"architecture": "hdnnp", "cutoff": 4.0, "size": "small"}}
    with pytest.raises(
        ConfigError, match=r"loss\.charges is 1, but the hdnnp model has no charges"
    ):
        train(configured(tmp_path, {"charges": 1.0}, **model), tmp_path / "run")
    write(labelled(20), tmp_path / "water.extxyz")
    values = settings(tmp_path, charges=1.0, dipole=1.0)
    with pytest.raises(ConfigError, match=r"no training frame has a label.*data\.keys\.charges"):
        train(TrainingConfig.model_validate(values), tmp_path / "other")
