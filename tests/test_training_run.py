"""Training runs: they learn, leave what they promise, and survive whatever interrupts them."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import ladera
from ladera import loading
from ladera.cli import main
from ladera.data.dataset import Dataset
from ladera.errors import ConfigError, DataError, TrainingError
from ladera.training.run_folder import RunFolder
from ladera.training.trainer import train
from training_runs import EPSILON, SIGMA, argon, config, hdnnp, same_bits, values


class StopAt:
    """Sends this process a signal at one step of the run."""

    def __init__(self, epoch: int, batch: int, number: signal.Signals = signal.SIGINT) -> None:
        self.when = (epoch, batch)
        self.number = number

    def step(self, epoch: int, batch: int, n_batches: int) -> None:
        if (epoch, batch) == self.when:
            os.kill(os.getpid(), self.number)

    def epoch(self, row: Any) -> None:
        pass


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


# --- learning ----------------------------------------------------------------------------------


def test_training_recovers_the_parameters_behind_the_data(tmp_path: Path) -> None:
    settings = config(
        tmp_path,
        loss={"energy": 100.0, "stress": 100.0},
        optimizer={"name": "lbfgs", "max_iterations": 30},
        schedule={"name": "constant"},
        batch_size="all",
        epochs=4,
    )
    found = train(settings, tmp_path / "run")
    assert found.epsilon.item() == pytest.approx(EPSILON, rel=1e-4)
    assert found.sigma.item() == pytest.approx(SIGMA, rel=1e-5)
    errors = found.provenance["errors"]
    assert errors["test"]["energy"]["rmse"] < 0.01
    assert errors["test"]["forces"]["rmse"] < 0.1
    assert errors["test"]["stress"]["rmse"] < 0.01


@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "sgd", "learning_rate": 1e-4},
        {"name": "adagrad", "learning_rate": 3e-3},
        {"name": "rmsprop", "learning_rate": 3e-4},
        {"name": "adam", "learning_rate": 1e-3},
        {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 1e-5},
        {"name": "muon", "learning_rate": 1e-3},
        {"name": "schedule_free", "learning_rate": 1e-3},
        {"name": "lbfgs"},
    ],
    ids=lambda options: options["name"],
)
def test_every_optimizer_learns_and_resumes_bit_for_bit(
    tmp_path: Path, optimizer: dict[str, Any]
) -> None:
    changes: dict[str, Any] = {"optimizer": optimizer, "epochs": 4}
    if optimizer["name"] == "lbfgs":
        changes["batch_size"] = "all"
    if optimizer["name"] == "schedule_free":
        changes["schedule"] = {"name": "constant"}
    settings = config(tmp_path, **changes)
    whole = train(settings, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(settings, tmp_path / "parts", observer=StopAt(3, 1))
    assert same_bits(train(settings, tmp_path / "parts", resume=True), whole)
    losses = [float(row["train_loss"]) for row in rows(tmp_path / "whole")]
    assert min(losses[1:]) < losses[0]


def test_the_second_stage_has_its_own_weights_and_its_best_model(tmp_path: Path) -> None:
    second = {"start": 0.5, "energy": 0.0, "learning_rate": 1e-5}
    settings = config(tmp_path, stage_two=second, epochs=6)
    with pytest.raises(KeyboardInterrupt):
        train(settings, tmp_path / "run", observer=StopAt(5, 2))
    whole = train(settings, tmp_path / "whole")
    assert same_bits(train(settings, tmp_path / "run", resume=True), whole)
    table = rows(tmp_path / "whole")
    assert [float(row["learning_rate"]) for row in table[3:]] == [1e-5] * 3
    # In the second stage the loss is that of the forces alone, so smaller at once ...
    for row in table[3:]:
        rmse = float(row["validation_force_rmse_mev_per_angstrom"]) / 1000
        assert float(row["validation_loss"]) == pytest.approx(rmse**2, rel=1e-5)
    # ... and the model is the best of that stage, although the first one's losses are larger.
    assert whole.provenance["epoch"] > 3


def test_batches_by_atoms_learn(tmp_path: Path) -> None:
    train(config(tmp_path, batch_size={"atoms": 10}), tmp_path / "run")
    losses = [float(row["train_loss"]) for row in rows(tmp_path / "run")]
    assert min(losses[1:]) < losses[0]


@pytest.mark.parametrize("function", ["mae", "huber", "universal"])
def test_other_losses_learn(tmp_path: Path, function: str) -> None:
    settings = config(tmp_path, loss={"energy": 10.0, "function": function}, epochs=10)
    train(settings, tmp_path / "run")
    losses = [float(row["train_loss"]) for row in rows(tmp_path / "run")]
    assert min(losses[5:]) < losses[0]


def test_a_network_learns_and_its_file_gives_the_same_energies(tmp_path: Path) -> None:
    settings = config(
        tmp_path,
        model=hdnnp(),
        epochs=12,
        optimizer={"name": "adam", "learning_rate": 1e-2},
        ema_decay=0.9,
        gradient_clip=10.0,
    )
    found = train(settings, tmp_path / "run")
    log = rows(tmp_path / "run")
    name = "validation_force_rmse_mev_per_angstrom"
    assert float(log[-1][name]) < 0.6 * float(log[0][name])
    loaded = ladera.load(tmp_path / "run" / "model.ladera")
    assert same_bits(loaded, found)
    best = min(log, key=lambda row: float(row["validation_loss"]))
    assert found.provenance["epoch"] == int(best["epoch"])
    # The averaged parameters are what was validated and what is saved.
    assert found.provenance["errors"]["validation"]["forces"]["rmse"] == pytest.approx(
        float(best[name]), rel=1e-6
    )


def test_single_precision_trains_in_single_precision(tmp_path: Path) -> None:
    found = train(config(tmp_path, model=hdnnp(), precision="float32", epochs=2), tmp_path / "run")
    assert {parameter.dtype for parameter in found.parameters()} == {torch.float32}
    assert found.energy_shift.dtype == torch.float64
    assert np.isfinite(found.provenance["errors"]["test"]["forces"]["rmse"])


def test_labels_that_are_missing_here_and_there_are_left_out(tmp_path: Path) -> None:
    frames = list(argon(12))
    frames[1] = frames[1].with_(energy=None)
    frames[2] = frames[2].with_(forces=None)
    dataset = Dataset.from_frames(frames)
    settings = config(
        tmp_path,
        dataset,
        data={"files": str(tmp_path / "argon.h5"), "split": {"method": "first", "train": 8}},
        epochs=2,
    )
    dataset.save(tmp_path / "argon.h5")
    found = train(settings, tmp_path / "run")
    errors = found.provenance["errors"]["train"]
    assert errors["energy"]["count"] == 7
    assert errors["forces"]["count"] == 7 * 12
    assert rows(tmp_path / "run")[0]["validation_loss"] == ""


def test_early_stopping_ends_when_nothing_gets_better(tmp_path: Path) -> None:
    settings = config(
        tmp_path, epochs=50, early_stopping=3, optimizer={"name": "sgd", "learning_rate": 1e-30}
    )
    best = train(settings, tmp_path / "run").provenance["epoch"]
    assert len(rows(tmp_path / "run")) == best + 3


def test_config_weights_take_part(tmp_path: Path) -> None:
    settings = config(
        tmp_path, loss={"forces": 0.0, "config_weights": {"odd": 0.0, "even": 2.0}}, epochs=1
    )
    train(settings, tmp_path / "weighted")
    plain = config(tmp_path, loss={"forces": 0.0}, epochs=1)
    train(plain, tmp_path / "plain")
    first, second = (
        float(rows(tmp_path / name)[0]["train_loss"]) for name in ("weighted", "plain")
    )
    assert first != second


# --- what a run leaves -------------------------------------------------------------------------


def test_the_folder_holds_what_the_manual_says(tmp_path: Path) -> None:
    settings = config(tmp_path, loss={"stress": 1.0})
    train(settings, tmp_path / "run")
    names = {file.name for file in (tmp_path / "run").iterdir()}
    assert names == {
        "config.yaml",
        "check.json",
        "split.json",
        "log.csv",
        "checkpoint.safetensors",
        "model.ladera",
        "evaluation.json",
        "predictions_train.npz",
        "predictions_validation.npz",
        "predictions_test.npz",
    }
    log = rows(tmp_path / "run")
    assert [row["epoch"] for row in log] == ["1", "2", "3", "4", "5"]
    for column in ("seconds", "learning_rate", "train_loss", "validation_energy_mae_mev_per_atom"):
        assert float(log[0][column]) > 0
    assert float(log[0]["train_stress_rmse_mev_per_angstrom3"]) > 0
    results = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert set(results) == {"train", "validation", "test", "provenance"}
    origin = loading.read_header(tmp_path / "run" / "model.ladera")["provenance"]
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert origin["split"] == split
    assert origin["data_hash"] == split["data_hash"]
    assert {"ladera", "torch", "numpy", "python", "numba"} <= set(origin["versions"])
    assert origin["config"]["model"]["species"] == ["Ar"]
    with np.load(tmp_path / "run" / "predictions_test.npz") as arrays:
        assert arrays["frame_index"].tolist() == split["test"]


def test_the_resolved_configuration_trains_to_the_same_model(tmp_path: Path) -> None:
    from ladera.training import config_file

    first = train(config(tmp_path), tmp_path / "run")
    again = config_file.load(tmp_path / "run" / "config.yaml")
    assert same_bits(train(again, tmp_path / "again"), first)


# --- refusals ----------------------------------------------------------------------------------


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    settings = config(tmp_path, epochs=1)
    train(settings, tmp_path / "run")
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    with pytest.raises(ConfigError, match="already holds a run"):
        train(settings, tmp_path / "run")
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}


def test_what_was_stopped_while_it_began_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a full disk, say, that took the checkpoint and not the files after it."""
    settings, folder = config(tmp_path, epochs=1), RunFolder(tmp_path / "run")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    assert not folder.holds_run
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "describe", full)
        with pytest.raises(OSError, match="No space left"):
            train(settings, folder.path)
    assert folder.holds_run
    with pytest.raises(ConfigError, match="continue it with --resume"):
        train(settings, folder.path)
    again = train(settings, folder.path, resume=True)
    assert same_bits(again, train(settings, tmp_path / "whole"))


def test_nan_labels_are_refused_before_training(tmp_path: Path) -> None:
    frames = list(argon(12))
    frames[4] = frames[4].with_(energy=float("nan"))
    dataset = Dataset.from_frames(frames)
    dataset.save(tmp_path / "nan.h5")
    settings = config(tmp_path, data={"files": str(tmp_path / "nan.h5")})
    with pytest.raises(DataError, match="forbids training"):
        train(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_explodes_stops_the_run_and_names_the_frames(tmp_path: Path) -> None:
    settings = config(
        tmp_path,
        optimizer={"name": "sgd", "learning_rate": 1e9},
        schedule={"name": "constant"},
        epochs=50,
    )
    with pytest.raises(TrainingError, match=r"epoch \d+ .* on the frames \d+.*learning_rate"):
        train(settings, tmp_path / "run")
    assert not (tmp_path / "run" / "model.ladera").exists()


def test_resume_is_refused_for_another_configuration_or_other_data(tmp_path: Path) -> None:
    train(config(tmp_path, epochs=2), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"'optimizer.learning_rate' was 0.001 .* 0.002 now"):
        train(
            config(tmp_path, epochs=2, optimizer={"learning_rate": 2e-3}),
            tmp_path / "run",
            resume=True,
        )
    with pytest.raises(ConfigError, match="The data have changed"):
        train(config(tmp_path, argon(25), epochs=2), tmp_path / "run", resume=True)
    with pytest.raises(ladera.LaderaError, match="no checkpoint"):
        train(config(tmp_path, epochs=2), tmp_path / "elsewhere", resume=True)


# --- interruption ------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["lennard_jones", "hdnnp"])
def test_interrupted_anywhere_a_run_ends_the_same(tmp_path: Path, model: str) -> None:
    changes: dict[str, Any] = {"model": hdnnp()} if model == "hdnnp" else {}
    settings = config(
        tmp_path,
        ema_decay=0.9,
        schedule={"name": "plateau", "patience": 1, "warmup_epochs": 1},
        **changes,
    )
    whole = train(settings, tmp_path / "whole")
    for epoch, batch in ((1, 1), (2, 4), (3, 2), (5, 4)):
        folder = tmp_path / f"{epoch}-{batch}"
        with pytest.raises(KeyboardInterrupt, match="--resume"):
            train(settings, folder, observer=StopAt(epoch, batch, signal.SIGTERM))
        assert same_bits(train(settings, folder, resume=True), whole)
        untimed = [
            [{k: v for k, v in row.items() if k != "seconds"} for row in rows(run)]
            for run in (tmp_path / "whole", folder)
        ]
        assert untimed[0] == untimed[1]


LONG: dict[str, Any] = {"model": hdnnp(), "epochs": 40, "batch_size": 2, "ema_decay": 0.99}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> ladera.Potential:
    """The model of the long run, trained with one thread as the processes below are."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with one_thread():
        return train(config(folder, **LONG), folder / "run")


@contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill-9"])
def test_a_stopped_process_resumes_to_the_same_bits(
    tmp_path: Path, number: signal.Signals, uninterrupted: ladera.Potential
) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values(tmp_path, **LONG)))
    process = start("train", str(tmp_path / "config.yaml"), "--output", str(tmp_path / "run"))
    log = tmp_path / "run" / "log.csv"
    deadline = time.monotonic() + 300
    while not (log.exists() and log.read_text().count("\n") > 4):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL), errors
    assert not (tmp_path / "run" / "model.ladera").exists()
    assert len(rows(tmp_path / "run")) < 40
    with one_thread():
        resumed = train(config(tmp_path, **LONG), tmp_path / "run", resume=True)
    assert same_bits(resumed, uninterrupted)
    assert [row["epoch"] for row in rows(tmp_path / "run")] == [str(k + 1) for k in range(40)]


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    # Batches of 3 and 2: the processes' parts differ in size, and once one has nothing to do.
    changes: dict[str, Any] = {"model": hdnnp(), "epochs": 3, "batch_size": 3, "ema_decay": 0.9}
    data = {"data": {"files": str(tmp_path / "argon.extxyz"), "split": {"validation": 7}}}
    alone = train(config(tmp_path, **(changes | data)), tmp_path / "alone")
    nested = values(tmp_path, **(changes | data), processes=2)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(nested))
    process = start("train", str(tmp_path / "config.yaml"), "--output", str(tmp_path / "together"))
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    together = ladera.load(tmp_path / "together" / "model.ladera")
    for name, tensor in alone.state_dict().items():
        torch.testing.assert_close(together.state_dict()[name], tensor, rtol=1e-10, atol=1e-10)
    one, two = (float(rows(tmp_path / name)[-1]["train_loss"]) for name in ("alone", "together"))
    assert two == pytest.approx(one, rel=1e-7)


def start(*words: str) -> subprocess.Popen[str]:
    """The command line as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "ladera", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


# --- command line ------------------------------------------------------------------------------


def run_command(*words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_from_template_to_evaluation_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ladera.data.formats import write

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    write(argon(), "train.extxyz")
    assert run_command("template") == 0
    Path("config.yaml").write_text(capsys.readouterr().out)
    short = ["--set", "epochs=2", "--set", "model.size=small", "--set", "model.cutoff=4.5"]
    assert run_command("train", "config.yaml", "--check", *short) == 0
    assert "20 training, 2 validation and 2 test frames of Ar" in capsys.readouterr().out
    assert not Path("run").exists()
    assert run_command("train", "config.yaml", *short) == 0
    captured = capsys.readouterr()
    assert "epoch 2/2" in captured.err
    assert "run/model.ladera" in captured.out
    arguments = ["run/model.ladera", "train.extxyz", "--split", "run/split.json"]
    assert run_command("evaluate", *arguments, "--output", "judged") == 0
    printed = capsys.readouterr().out
    assert "meV/atom" in printed
    assert "Worst forces" in printed
    judged = json.loads(Path("judged/evaluation.json").read_text())
    trained = json.loads(Path("run/evaluation.json").read_text())
    for name in ("energy", "forces"):
        assert judged["test"][name] == pytest.approx(trained["test"][name])
    assert run_command("info", "run/model.ladera") == 0
    printed = capsys.readouterr().out
    assert "hdnnp for Ar" in printed
    assert trained["test"]["n_frames"] == 2
    assert run_command("schema") == 0
    assert "HDNNPConfig" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "nowhere.yaml"], "There is no configuration file nowhere.yaml"),
        (["train", "config.yaml", "--set", "epoch=3"], "did you mean 'epochs'?"),
        (["train", "config.yaml", "--set", "batch_size=99"], "batch_size is 99"),
        (["train", "config.yaml", "--check", "--set", "batch_size=99"], "batch_size is 99"),
        (["evaluate", "nowhere.ladera", "argon.extxyz"], "no model file nowhere.ladera"),
        (["info", "nowhere.ladera"], "no model file nowhere.ladera"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_1(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(yaml.safe_dump(values(tmp_path)))
    assert run_command(*words) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
