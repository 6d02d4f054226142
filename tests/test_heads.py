"""Several levels of theory at once: a head for each, and a network that they share."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import ladera
from conftest import small_mace, water_like
from data_frames import water
from ladera import Graph, Potential, evaluate
from ladera.cli import main
from ladera.data.dataset import Dataset
from ladera.data.doctor import check
from ladera.data.formats import read, write
from ladera.data.frame import Frame
from ladera.errors import ConfigError, DataError, LaderaError
from ladera.quantities import ENERGY
from ladera.training import config_file
from ladera.training.evaluation import evaluate_dataset
from ladera.training.preparation import prepare
from ladera.training.trainer import train

FREE = {"pbe": {1: -1.0, 8: -3.0}, "scan": {1: -2.0, 8: -7.0}}  # eV


def labelled(head: str, n_frames: int, seed: int) -> list[Frame]:
    """Water and free atoms at one of two levels of theory.

    scan has twice the forces of pbe, and another zero of energy.
    """
    found = water(n_frames, seed)
    if head == "scan":
        found = [f.with_(energy=2 * f.energy, forces=2 * f.forces) for f in found]
    for number, energy in FREE[head].items():
        one = {"numbers": np.array([number]), "positions": np.zeros((1, 3))}
        found.append(found[0].with_(**one, energy=energy, forces=np.zeros((1, 3))))
    return [frame.with_(head=head) for frame in found]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("heads") / "both.extxyz"
    for name, seed in ((path, 0), (path.with_name("validation.extxyz"), 1)):
        frames = [*labelled("pbe", 12, seed), *labelled("scan", 12, seed)]
        write(Dataset.from_frames(frames), name)
    return path


def settings(path: Path, **changes: Any) -> Any:
    model = {"architecture": "mace", "cutoff": 3.0, "channels": 4, "max_l": 1, "correlation": 2}
    values = {
        "data": {
            "files": str(path),
            "validation_files": str(path.with_name("validation.extxyz")),
            "split": {"test": 0},
        },
        "model": model | {"radial_layers": [8], **changes.pop("model", {})},
        "optimizer": {"learning_rate": 0.02},
        "epochs": 12,
        "batch_size": 4,
        **changes,
    }
    return config_file.parse(values, "config.yaml")


def run_command(words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0


# --- labels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["set.extxyz", "set.h5", "set.data"])
def test_heads_of_frames_are_kept_by_every_format(name: str, tmp_path: Path) -> None:
    frames = [water(1)[0].with_(head="PBE + D3", config_type="wet"), water(2)[1]]
    units = ladera.units.METAL if name.endswith(".data") else None
    write(Dataset.from_frames(frames), tmp_path / name, units=units)
    found = read(tmp_path / name, units=units)
    assert [frame.head for frame in found] == ["PBE + D3", ""]
    assert found[0].config_type == "wet"
    assert found[0].to_atoms().info["head"] == "PBE + D3"


def test_data_sets_from_before_there_were_heads_open(tmp_path: Path) -> None:
    new, path = Dataset.from_frames(water(3)), tmp_path / "set.h5"
    new.save(path)
    with h5py.File(path, "a", libver=("v110", "v110")) as file:
        del file["head"]
        file.attrs["format_version"] = 1
    old = Dataset.open(path)
    assert [frame.head for frame in old] == [""] * 3
    assert old.hash == new.hash
    assert Dataset.from_frames(f.with_(head="a") for f in new).hash != new.hash


def test_the_doctor_does_not_compare_levels_of_theory() -> None:
    pbe = water(12)
    shifted = [frame.with_(energy=frame.energy - 500.0) for frame in pbe]
    codes = {finding.code for finding in check(Dataset.from_frames([*pbe, *shifted])).findings}
    assert {"duplicate-labels", "duplicate", "energy-outlier"} & codes
    both = [f.with_(head=head) for head, part in (("a", pbe), ("b", shifted)) for f in part]
    report = check(Dataset.from_frames(both))
    alone = check(Dataset.from_frames(pbe))
    assert {f.code for f in report.findings} == {f.code for f in alone.findings}


# --- predictions -------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"readout_layers": (5, 5), "readout_bias": True}])
def test_structures_of_a_batch_have_heads_of_their_own(changes: dict[str, Any]) -> None:
    potential = small_mace(heads=("a", "b"), **changes)
    with torch.no_grad():
        potential.reference_energies[1] += 5.0
        potential.scale[1] *= 2.0
        for parameter in potential.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    graphs = [Graph.from_atoms(water_like(n, 5.0, True, n), potential.cutoff) for n in (4, 6, 5)]
    batch = replace(Graph.batch(graphs), heads=torch.tensor([1, 0, 1]))
    assert potential.why_not_fast(batch) == "its structures have heads of their own"
    found = evaluate(potential, batch)
    for k, head in enumerate("bab"):
        mine = batch.structure_index == k
        with torch.no_grad():
            alone = evaluate(potential, graphs[k], head=head)
        assert found.energy[k].item() == pytest.approx(alone.energy.item(), rel=1e-10)
        torch.testing.assert_close(found.forces[mine], alone.forces, rtol=1e-7, atol=1e-7)
    one = replace(graphs[0], heads=torch.tensor([1]))
    again = Graph.batch([one, replace(graphs[1], heads=torch.tensor([0]))])
    assert again.heads is not None
    assert again.heads.tolist() == [1, 0]
    with pytest.raises(DataError, match="or none"):
        Graph.batch([one, graphs[1]])


# --- training ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(settings(data), folder)
    return folder


def test_each_head_learns_its_own_level_of_theory(run: Path, data: Path) -> None:
    potential = ladera.load(run)
    assert potential.config.heads == ("pbe", "scan")
    expected = [list(FREE[head].values()) for head in ("pbe", "scan")]
    assert potential.reference_energies.tolist() == expected
    log = np.genfromtxt(run / "log.csv", delimiter=",", names=True)
    assert log["train_loss"][-1] < 0.3 * log["train_loss"][0]
    # The same molecules, at both levels.
    whole = evaluate_dataset(potential, read(data)).to_json()
    assert set(whole["by_head"]) == {"pbe", "scan"}
    errors = {name: found["forces"]["rmse"] for name, found in whole["by_head"].items()}
    molecules = read(data)[np.arange(12)]
    sizes = np.sqrt(np.mean(molecules.column("forces") ** 2)) * 1e3
    other = evaluate_dataset(ladera.load(run, head="scan"), molecules).to_json()
    assert errors["pbe"] < 0.5 * sizes
    assert errors["scan"] < 0.5 * 2 * sizes
    assert other["forces"]["rmse"] > 0.7 * sizes  # scan's forces are twice as large


def test_a_model_with_heads_is_loaded_with_one(run: Path, tmp_path: Path) -> None:
    structure = water(1)[0].graph(3.0)
    energies = {}
    for head in (None, "pbe", "scan"):
        with torch.no_grad():
            energies[head] = evaluate(ladera.load(run, head=head), structure).energy.item()
    assert energies[None] == energies["pbe"]
    assert abs(energies["scan"] - energies["pbe"]) > 5.0
    with pytest.raises(ConfigError, match="has no head 'scna'; did you mean 'scan'"):
        ladera.load(run, head="scna")
    one = tmp_path / "scan.ladera"
    run_command(["import", str(run), "--head", "scan", "--output", str(one)])
    with torch.no_grad():
        assert evaluate(ladera.load(one), structure).energy.item() == energies["scan"]


def test_the_command_line_shows_errors_by_head(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command(["evaluate", str(run), str(data), "--output", str(tmp_path)])
    assert "scan" in capsys.readouterr().out
    written = json.loads((tmp_path / "evaluation.json").read_text())["test"]["by_head"]
    assert written["scan"]["energy"]["count"] == 14
    run_command(["data", "info", str(data)])
    assert "Heads: pbe (14), scan (14)" in capsys.readouterr().out


# --- what cannot be ----------------------------------------------------------------------------


def test_heads_that_do_not_fit_are_refused(data: Path, tmp_path: Path) -> None:
    def refused(sentence: str, **changes: Any) -> None:
        with pytest.raises(LaderaError, match=sentence):
            prepare(settings(data, **changes)).statistics()

    refused("head 'scan', which is not in model.heads", model={"heads": ["pbe", "scam"]})
    refused("'r2', but no training frame", model={"heads": ["pbe", "scan", "r2"]})
    refused("model.head has no meaning", model={"heads": ["pbe", "scan"], "head": "pbe"})
    refused("are of one level of theory", reference_energies={"H": -1.0, "O": -2.0})
    refused("committee: its members have one head", committee={"members": 2})
    refused("a model with a dipole has one head", model={"outputs": ["energy", "dipole"]})
    hdnnp = {"model": {"architecture": "hdnnp", "cutoff": 3.0}, "data": {"files": str(data)}}
    with pytest.raises(ConfigError, match="a hdnnp model has one for all"):
        prepare(config_file.parse(hdnnp, "config.yaml"))
    mixed = {"files": str(data), "keys": {"head": None}, "split": {"validation": 4}}
    assert prepare(settings(data, data=mixed)).heads is None

    some = [frame.with_(head="") if k == 3 else frame for k, frame in enumerate(read(data))]
    for name in ("some.extxyz", "validation.extxyz"):
        write(Dataset.from_frames(some), tmp_path / name)
    with pytest.raises(DataError, match=r"Frame 3 .* has no head, and others have pbe, scan"):
        prepare(settings(tmp_path / "some.extxyz"))


def test_frames_of_unknown_heads_are_not_evaluated(data: Path) -> None:
    potential: Potential = small_mace(heads=("pbe", "r2scan"))
    with pytest.raises(DataError, match=r"Frame 14 .* head 'scan'.* did you mean 'r2scan'"):
        evaluate_dataset(potential, read(data))
    chosen = small_mace(heads=("pbe", "r2scan"), head="pbe")
    assert np.isfinite(evaluate_dataset(chosen, read(data))[ENERGY]).all()


def test_a_fine_tuning_has_one_head(data: Path, tmp_path: Path) -> None:
    small_mace().save(tmp_path / "base.ladera")
    values = {
        "data": {"files": str(data)},
        "finetune": {"base": str(tmp_path / "base.ladera")},
    }
    with pytest.raises(ConfigError, match="A fine-tuning trains one head"):
        prepare(config_file.parse(values, "config.yaml"))


def test_fine_tuning_goes_on_with_the_head_that_predicts(data: Path, tmp_path: Path) -> None:
    """Whatever its frames are called."""
    base = small_mace(heads=("low", "high"), channels=2, correlation=1)
    base.save(tmp_path / "base.ladera")
    frames = [frame.with_(head="Default") for frame in water(8)]
    write(Dataset.from_frames(frames), tmp_path / "new.extxyz")
    values = {
        "data": {"files": str(tmp_path / "new.extxyz"), "split": {"validation": 2, "test": 1}},
        "finetune": {"base": str(tmp_path / "base.ladera")},
        "epochs": 1,
        "batch_size": 5,
    }
    tuned = train(config_file.parse(values, "config.yaml"), tmp_path / "run")
    assert tuned.config.head == "low"
    before, after = base.layers[0].readout.weights[0], tuned.layers[0].readout.weights[0]
    changed = (before - after).abs().sum(dim=0) > 0
    assert changed.tolist() == [True, False]
