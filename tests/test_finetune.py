"""Fine-tuning: what may change, what must not, what is forgotten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ladera
from conftest import SPECIES, small_mace, water_like
from data_frames import water
from ladera import Graph, Potential, evaluate, loading
from ladera.cli import main
from ladera.cli.finetune import _config
from ladera.data.dataset import Dataset
from ladera.data.formats import read, write
from ladera.errors import ConfigError, DataError, LaderaError
from ladera.models.hdnnp import HDNNPConfig
from ladera.models.lennard_jones import LennardJonesConfig
from ladera.models.mace import MACE
from ladera.models.mtp import MTPConfig
from ladera.potential import TrainingStatistics
from ladera.sampling.selection import farthest_points
from ladera.training import config_file
from ladera.training.config import TrainingConfig
from ladera.training.finetune import adapters, reference
from ladera.training.finetune.base import labelled
from ladera.training.trainer import train

ATOMS = [water_like(6, 5.0, True, seed) for seed in range(3)]
FREE = {"H": -1.0, "O": -5.0}  # eV, of the new data


def energies(potential: Potential, head: str | None = None) -> torch.Tensor:
    with torch.no_grad():
        graph = Graph.batch([Graph.from_atoms(atoms, potential.cutoff) for atoms in ATOMS])
        return evaluate(potential, graph, head=head).energy


def hdnnp() -> Potential:
    torch.manual_seed(3)
    config = HDNNPConfig(species=SPECIES, cutoff=4.0, size="small", hidden_layers=(6, 5))
    potential = ladera.build(config)
    frames = [frame.graph(4.0) for frame in water(10)]
    potential.fit_statistics(frames, TrainingStatistics(FREE, -2.0, 1.0))
    return potential.eval()


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models to start from, new frames, and frames to replay."""
    folder = tmp_path_factory.mktemp("bases")
    small_mace().save(folder / "mace.ladera")
    hdnnp().save(folder / "hdnnp.ladera")
    write(Dataset.from_frames(water(14)), folder / "new.extxyz")
    write(Dataset.from_frames(water(8, seed=5)), folder / "old.extxyz")
    return folder


def settings(bases: Path, model: str = "mace", **changes: Any) -> TrainingConfig:
    finetune = {"base": str(bases / f"{model}.ladera"), **changes.pop("finetune", {})}
    values = {
        # Without validation frames the last epoch counts, better than the base or not.
        "data": {"files": str(bases / "new.extxyz"), "split": {"validation": 0, "test": 2}},
        "finetune": finetune,
        "optimizer": {"learning_rate": 3e-3},
        "loss": {"energy": 1.0},
        "epochs": 3,
        "batch_size": 4,
        **changes,
    }
    return config_file.parse(values, "config.yaml")


def evaluation(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    return found


# --- what may change ---------------------------------------------------------------------------


def test_naive_learns_and_keeps_the_kind_of_model(bases: Path, tmp_path: Path) -> None:
    tuned = train(settings(bases), tmp_path)
    base = ladera.load(bases / "mace.ladera")
    assert tuned.config == base.config
    again = ladera.load(tmp_path)
    assert torch.equal(energies(again), energies(tuned))
    log = np.genfromtxt(tmp_path / "log.csv", delimiter=",", names=True)
    assert log["train_loss"][-1] < log["train_loss"][0]
    said = evaluation(tmp_path)["finetune"]
    assert said["n_trainable"] == said["n_parameters"]
    assert said["reference_energies"]["method"] == "least_squares"
    assert said["forgetting"] is None


def test_a_base_that_is_right_already_stays_as_it_is(bases: Path, tmp_path: Path) -> None:
    """No epoch is better than what it begins as, which counts as epoch 0."""
    write(labelled(hdnnp(), read(str(bases / "new.extxyz"))), tmp_path / "right.extxyz")
    data = {"files": str(tmp_path / "right.extxyz"), "split": {"validation": 1, "test": 0}}
    tuned = train(settings(bases, "hdnnp", data=data, epochs=1), tmp_path / "run")
    assert tuned.provenance["epoch"] == 0
    assert energies(ladera.load(tmp_path / "run")) == pytest.approx(energies(hdnnp()), rel=1e-12)


def test_frozen_parameters_keep_every_bit(bases: Path, tmp_path: Path) -> None:
    tuned = train(settings(bases, finetune={"method": "frozen"}), tmp_path)
    before = dict(ladera.load(bases / "mace.ladera").named_parameters())
    changed = {n for n, p in tuned.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {n for n in before if n.startswith("layers.1.") or ".readout." in n}
    said = evaluation(tmp_path)["finetune"]
    assert said["n_trainable"] == sum(before[name].numel() for name in changed)


def test_frozen_hdnnp_changes_its_last_two_layers(bases: Path, tmp_path: Path) -> None:
    tuned = train(settings(bases, "hdnnp", finetune={"method": "frozen"}), tmp_path)
    before = dict(ladera.load(bases / "hdnnp.ladera").named_parameters())
    changed = {n for n, p in tuned.named_parameters() if not torch.equal(p, before[n])}
    assert {n.split(".", 2)[2].rpartition(".")[0] for n in changed} == {"hidden.1", "output"}


def test_frozen_mtp_changes_what_its_energy_is_linear_in(bases: Path, tmp_path: Path) -> None:
    mtp = ladera.build(MTPConfig(species=SPECIES, cutoff=4.0, level=6))
    mtp.fit_statistics(
        [frame.graph(4.0) for frame in water(10)], TrainingStatistics(FREE, -2.0, 1.0)
    )
    mtp.save(bases / "mtp.ladera")
    tuned = train(settings(bases, "mtp", finetune={"method": "frozen"}), tmp_path)
    before = dict(ladera.load(bases / "mtp.ladera").named_parameters())
    changed = {n for n, p in tuned.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {"moment_coefficients", "species_energies"}
    # The command takes the rate that suits the base: Adam's 1e-3 undoes an MTP in some epochs.
    for name, rate in (("mtp", 1e-4), ("hdnnp", 1e-3)):
        asked = _config(str(bases / f"{name}.ladera"), [Path("x")], "naive", None, 1, ())
        assert asked.optimizer.learning_rate == rate


def test_corrections_of_low_rank_are_merged(bases: Path, tmp_path: Path) -> None:
    tuned = train(settings(bases, finetune={"method": "lora", "rank": 2}), tmp_path)
    before = dict(ladera.load(bases / "mace.ladera").named_parameters())
    assert {n for n, _ in tuned.named_parameters()} == set(before)
    assert not any(nn.utils.parametrize.is_parametrized(m) for m in tuned.modules())
    ranks = []
    for name, parameter in tuned.named_parameters():
        if parameter.ndim < 2:
            assert torch.equal(parameter, before[name])
        elif min(parameter.shape[-2:]) > 2:
            ranks.append(int(torch.linalg.matrix_rank(parameter - before[name], rtol=1e-9).max()))
    assert max(ranks) == 2
    assert torch.equal(energies(ladera.load(tmp_path)), energies(tuned))


@pytest.mark.parametrize("make", [small_mace, hdnnp])
def test_low_rank_begins_as_the_base(make: Any) -> None:
    potential = make()
    before = energies(potential)
    n = adapters.add_low_rank(potential, 2)
    assert 0 < n < sum(p.numel() for p in make().parameters())
    assert energies(potential) == pytest.approx(before, rel=1e-12)
    adapters.merge(potential)
    assert energies(potential) == pytest.approx(before, rel=1e-12)
    assert set(potential.state_dict()) == set(make().state_dict())


# --- two heads ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"heads": ("a", "b"), "head": "b", "readout_layers": (5, 5), "readout_bias": True},
    ],
)
def test_a_new_head_begins_as_that_of_the_base(changes: dict[str, Any]) -> None:
    base = small_mace(**changes)
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    larger = base.with_head("new")
    assert larger.config.heads == (*base.config.heads, "new")
    for head in (*base.config.heads, "new"):
        same = head if head in base.config.heads else None
        assert energies(larger, head) == pytest.approx(energies(base, same), rel=1e-10)
    with pytest.raises(ConfigError, match="has a head 'new' already"):
        larger.with_head("new")


def test_replay_forgets_less(bases: Path, tmp_path: Path) -> None:
    old = {"files": str(bases / "old.extxyz"), "labels": "base"}
    # Without validation frames the last epoch counts, so that both are as far.
    data = {"files": str(bases / "new.extxyz"), "split": {"validation": 0, "test": 2}}
    shared: dict[str, Any] = {"data": data, "epochs": 12}
    train(settings(bases, finetune={"replay": old}, **shared), tmp_path / "naive")
    replay = {"method": "replay", "replay": old | {"frames": 5, "weight": 5.0}}
    tuned = train(settings(bases, finetune=replay, **shared), tmp_path / "replay")
    assert isinstance(tuned, MACE)
    assert tuned.config.heads == ("default", "finetuned")
    found = {name: evaluation(tmp_path / name)["finetune"] for name in ("naive", "replay")}
    for said, n_frames in ((found["naive"], 8), (found["replay"], 3)):
        forgetting = said["forgetting"]
        assert (forgetting["n_frames"], forgetting["n_trained_on"]) == (n_frames, 0)
        assert forgetting["before"]["forces"]["rmse"] == pytest.approx(0.0, abs=1e-6)
    after = {k: v["forgetting"]["after"]["forces"]["rmse"] for k, v in found.items()}
    assert after["replay"] < 0.7 * after["naive"]
    # The base's head is the base's for good: its reference energies do not change.
    base = ladera.load(bases / "mace.ladera")
    assert torch.equal(tuned.reference_energies[0], base.reference_energies[0])
    assert not torch.equal(tuned.reference_energies[1], base.reference_energies[0])


def test_farthest_points() -> None:
    line = np.array([[0.0], [1.0], [2.0], [9.0], [10.0]])
    none = np.empty((0, 1))
    assert farthest_points(line, none, 2).indices.tolist() == [2, 4]  # near the mean, then the end
    assert farthest_points(line, none, 2).radii.tolist() == [8, 2]
    assert farthest_points(line, none, 2, first=4).indices.tolist() == [4, 0]
    assert farthest_points(line, np.array([[10.0]]), 1).indices.tolist() == [0]
    assert sorted(farthest_points(line, np.array([[10.0], [0.0]]), 2).indices) == [1, 2]
    assert sorted(farthest_points(line, none, 9).indices) == [0, 1, 2, 3, 4]
    assert len(set(farthest_points(np.zeros((4, 1)), np.zeros((1, 1)), 3).indices)) == 3
    near = farthest_points(line, none, distance=2.5)
    assert near.indices.tolist() == [2, 4]
    assert near.radii[-1] <= 2.5
    assert len(farthest_points(line, line, distance=0.1).indices) == 0


# --- reference energies ------------------------------------------------------------------------


def frames(free_atoms: bool = False) -> Dataset:
    found = water(6)
    if free_atoms:
        for number, energy in ((1, FREE["H"]), (8, FREE["O"])):
            found.append(
                found[0].with_(
                    numbers=np.array([number]),
                    positions=np.zeros((1, 3)),
                    energy=energy,
                    forces=np.zeros((1, 3)),
                )
            )
    return Dataset.from_frames(found)


def test_reference_energies_are_estimated() -> None:
    data = frames(free_atoms=True)
    base = {"H": -13.0, "O": -2000.0, "Au": 1.0}
    # A base that is right but for the energies of its atoms.
    predicted = data.column("energy") + data.compositions @ np.array([-12.0, -1995.0])
    for wish, method in (("automatic", "isolated_atoms"), (FREE, "given")):
        found = reference.estimate(wish, data, predicted, base)
        assert found.method == method
        assert found.error_fitted < 1e-9 < 100 < found.error_base
        assert set(found.new) == {"H", "O"}
    with pytest.warns(UserWarning, match=r"\(base\) the base is off by"):
        assert reference.estimate("base", data, predicted, base).new == {"H": -13.0, "O": -2000.0}
    assert reference.estimate("automatic", data, predicted, base).new == pytest.approx(FREE)
    fitted = reference.estimate("automatic", frames(), predicted[:6], base)
    assert fitted.method == "least_squares"
    assert fitted.error_new < 1e-9
    # All water: the two changes are not told apart, and the smallest ones are taken.
    change = [fitted.new[s] - base[s] for s in ("H", "O")]
    assert change[0] == pytest.approx(2 * change[1])


def test_reference_energies_that_do_not_go_with_the_base_are_named() -> None:
    data = frames(free_atoms=True)
    predicted = data.column("energy") + 3.0
    with pytest.warns(UserWarning, match="reference_energies: least_squares to begin closer"):
        reference.estimate("isolated_atoms", data, predicted, FREE)
    # Where nobody has asked for them, they are left for what keeps the base where it is.
    with pytest.warns(UserWarning, match=r"\(isolated_atoms\) .* fitted ones are taken"):
        found = reference.estimate("automatic", data, predicted, FREE)
    assert (found.method, found.error_new) == ("least_squares", found.error_fitted)
    with pytest.raises(DataError, match="no free atom"):
        reference.estimate("isolated_atoms", frames(), predicted[:6], FREE)


def test_a_model_without_reference_energies(tmp_path: Path, bases: Path) -> None:
    truth = LennardJonesConfig(
        species=SPECIES, cutoff=4.0, epsilon={"H": 0.3, "O": 0.6}, sigma={"H": 1.2, "O": 1.6}
    )
    ladera.build(truth).save(bases / "lj.ladera")
    train(settings(bases, "lj"), tmp_path / "run")
    assert evaluation(tmp_path / "run")["finetune"]["reference_energies"] is None
    with pytest.raises(ConfigError, match="say which parameters"):
        train(settings(bases, "lj", finetune={"method": "frozen"}), tmp_path / "frozen")
    with pytest.raises(ConfigError, match=r"No parameter .* is a matrix"):
        train(settings(bases, "lj", finetune={"method": "lora"}), tmp_path / "lora")


# --- runs --------------------------------------------------------------------------------------


class StopAfter:
    """An observer who interrupts a run."""

    def __init__(self, epoch: int) -> None:
        self.last = epoch

    def step(self, epoch: int, batch: int, n_batches: int) -> None:
        """Nothing."""

    def epoch(self, row: Any) -> None:
        if row["epoch"] == self.last:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "finetune",
    [
        {"method": "lora", "rank": 2},
        {"method": "replay", "replay": {"files": "old.extxyz", "frames": 4}},
    ],
)
def test_resumed_to_the_same_bits(
    finetune: dict[str, Any], bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bases)
    config = settings(bases, finetune=finetune, checkpoint_interval=1)
    whole = train(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts", observer=StopAfter(2))
    stored = config_file.load(tmp_path / "parts" / "config.yaml")
    resumed = train(stored, tmp_path / "parts", resume=True)
    assert torch.equal(energies(resumed), energies(whole))


def test_a_configuration_is_only_read_and_the_base_loaded_once(
    bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = loading.load

    def counted(path: Any, **options: Any) -> Potential:
        loaded.append(Path(path).name)
        return load(path, **options)

    monkeypatch.setattr(loading, "load", counted)
    replay = {"files": str(bases / "old.extxyz"), "labels": "base", "frames": 3}
    config = settings(bases, finetune={"method": "replay", "replay": replay}, epochs=1)
    assert loaded == []
    train(config, tmp_path / "run")
    assert loaded == ["mace.ladera"]
    words = ["finetune", str(bases / "mace.ladera"), str(bases / "new.extxyz"), "--epochs", "1"]
    with pytest.raises(SystemExit) as left:
        main([*words, "--output", str(tmp_path / "again")])
    assert (left.value.code, loaded) == (0, ["mace.ladera"] * 2)
    stored = config_file.load(tmp_path / "again" / "config.yaml")
    assert stored.precision == "float64"
    assert stored.model == load(bases / "mace.ladera").config


def test_command_line(bases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["finetune", str(bases / "mace.ladera"), str(bases / "new.extxyz")]
    words += ["--replay", str(bases / "old.extxyz"), "--epochs", "2", "--output", str(tmp_path)]
    with pytest.raises(SystemExit) as left:
        main([*words, "--set", "finetune.replay.labels=base"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert "parameters could change" in out
    assert "RMSE on 8 replay frames, before → after: energy 0.0 →" in out
    for more, message in (
        (["finetune", str(bases / "mace.ladera")], "needs DATA"),
        (["finetune", "mace-mp-smal", "x"], "did you mean 'mace-mp-small'"),
        ([*words, "--set", "finetune.rank=3"], "finetune.rank"),
    ):
        with pytest.raises(SystemExit) as left:
            main(more)
        assert left.value.code == (2 if len(more) == 2 else 1)
        assert message in capsys.readouterr().err


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown parameter": (
        {"finetune": {"method": "frozen", "trainable": "layer.1"}},
        "no parameter of the base begins with 'layer.1'; did you mean 'layers.1'",
    ),
    "head of an hdnnp": (
        {"model": "hdnnp", "finetune": {"method": "replay", "replay": {"files": "old.extxyz"}}},
        "the base is a hdnnp model; take naive or frozen",
    ),
    "unlabelled replay": (
        {"finetune": {"replay": {"files": "plain.extxyz"}}},
        "finetune.replay.labels: base",
    ),
    "replay of other elements": (
        {"finetune": {"replay": {"files": "carbon.extxyz"}}},
        "atom 0 is C, which this model does not know",
    ),
    "committee": ({"committee": {"members": 2}}, "makes no use of committee"),
    "shift": ({"energy_shift": "none"}, "makes no use of energy_shift: none"),
    "kalman": ({"optimizer": {"name": "kalman"}}, "makes no use of optimizer.name: kalman"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_sentence(
    name: str, bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bases)
    changes, message = BAD[name]
    bare = [f.with_(energy=None, forces=None) for f in water(3)]
    write(Dataset.from_frames(bare), bases / "plain.extxyz")
    carbon = [f.with_(numbers=np.array([6, 1, 1])) for f in water(3)]
    write(Dataset.from_frames(carbon), bases / "carbon.extxyz")
    with pytest.raises(LaderaError) as caught:
        train(settings(bases, **changes), tmp_path / "run")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_base_that_is_a_committee_or_another_model(bases: Path, tmp_path: Path) -> None:
    members = ladera.Committee([hdnnp(), hdnnp()])
    members.save(bases / "committee.ladera")
    with pytest.raises(LaderaError):
        train(settings(bases, "committee"), tmp_path / "run")
    other = hdnnp().config.model_dump(mode="json", by_alias=True)
    with pytest.raises(ConfigError, match="not that of the base"):
        train(_with_model(bases, other), tmp_path / "other")


def _with_model(bases: Path, model: dict[str, Any]) -> TrainingConfig:
    values = config_file.as_json(settings(bases))
    return config_file.parse(values | {"model": model}, "config.yaml")


def test_the_report_shows_what_was_forgotten(bases: Path, tmp_path: Path) -> None:
    replay = {"files": str(bases / "old.extxyz"), "labels": "base"}
    train(settings(bases, epochs=1, finetune={"replay": replay}), tmp_path / "run")
    with pytest.raises(SystemExit) as left:
        main(["report", str(tmp_path / "run"), "--output", str(tmp_path / "r.html")])
    assert left.value.code == 0
    page = (tmp_path / "r.html").read_text()
    section = page[page.index('<section id="finetune">') :].partition("</section>")[0]
    after = evaluation(tmp_path / "run")["finetune"]["forgetting"]["after"]
    for words in ("Forgetting", "what the base says", "Reference energies", "-2041.8"):
        assert words in section
    assert f"{after['forces']['rmse']:.3g}" in section


def test_check_refuses_what_the_training_would(bases, tmp_path, capsys):
    file, frames = tmp_path / "tune.yaml", tmp_path / "dipoles.extxyz"
    old = read(bases / "new.extxyz")
    write(Dataset.from_frames(frame.with_(dipole=np.ones(3)) for frame in old), frames)
    data = {"files": str(frames), "split": {"validation": 4, "test": 2}}
    write(Dataset.from_frames(water(6)), tmp_path / "replayed.extxyz")
    replay = {"method": "replay", "replay": {"files": str(tmp_path / "replayed.extxyz")}}
    config_file.save(settings(bases, data=data, loss={"dipole": 1.0}, finetune=replay), file)
    with pytest.raises(SystemExit) as left:
        main(["train", str(file), "--check"])
    assert left.value.code == 1
    assert "one with a dipole has a single one" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="one with a dipole has a single one"):
        train(config_file.load(file), tmp_path / "run")
