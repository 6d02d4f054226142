"""Committees: one file, calibrated uncertainties, members trained side by side."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import ladera
from ladera import Committee, Graph, evaluate
from ladera.cli import main
from ladera.errors import ConfigError, DataError, ModelFileError
from ladera.models.lennard_jones import LennardJonesConfig
from ladera.potential.committee import Calibration, coverage_factor
from ladera.potential.evaluation import differentiate
from ladera.quantities import ENERGY, FORCES
from ladera.training import config_file
from ladera.training.committee import calibrate
from ladera.training.trainer import train
from ladera.training.uncertainty import fit_factor, reliability
from training_runs import argon, config, hdnnp, same_bits, values


def lennard_jones(epsilon: float = 0.0104, sigma: float = 3.4) -> ladera.Potential:
    settings = LennardJonesConfig(
        species=("Ar",), cutoff=6.0, epsilon={"Ar": epsilon}, sigma={"Ar": sigma}
    )
    return ladera.build(settings).eval()


def graph(potential: ladera.Potential) -> Graph:
    return argon(1)[0].graph(potential.cutoff)


# --- the model ---------------------------------------------------------------------------------


def test_one_file_holds_all_members_and_their_calibration(tmp_path):
    members = [lennard_jones(), lennard_jones(0.011).float(), lennard_jones(sigma=3.45)]
    committee = Committee(members, Calibration(energy=2.0, forces=3.0, n_energies=5, n_forces=60))
    committee.save(tmp_path / "committee.ladera")
    again = ladera.load(tmp_path / "committee.ladera")
    assert isinstance(again, Committee)
    assert [m.dtype for m in again.members] == [torch.float64, torch.float32, torch.float64]
    assert again.config == committee.config
    assert same_bits(again, committee)
    with torch.no_grad():
        one, other = (evaluate(c, graph(committee)) for c in (committee, again))
    assert torch.equal(one.energy, other.energy)
    assert torch.equal(one.std[FORCES], other.std[FORCES])


def test_the_spread_is_multiplied_with_the_calibration():
    members = [lennard_jones(), lennard_jones(0.011), lennard_jones(sigma=3.45)]
    plain = Committee(members)
    calibrated = plain.calibrated(Calibration(energy=2.0, forces=3.0))
    with torch.no_grad():
        singles = [evaluate(member, graph(plain)) for member in members]
        one, other = (evaluate(c, graph(plain)) for c in (plain, calibrated))
    spread = np.std([p.forces.numpy() for p in singles], axis=0, ddof=1)
    np.testing.assert_allclose(one.std[FORCES].numpy(), spread, atol=1e-15)
    np.testing.assert_allclose(other.std[FORCES].numpy(), 3 * spread, atol=1e-15)
    assert float(other.std[ENERGY]) == pytest.approx(2 * float(one.std[ENERGY]))
    atoms = argon(1)[0].to_atoms()
    atoms.calc = calibrated.calculator()
    found = atoms.calc.get_property("forces_std", atoms)
    np.testing.assert_allclose(found, 3 * spread, atol=1e-14)


def test_a_prediction_without_members_does_not_change_the_grade():
    calibration = Calibration(energy=2.0, forces=3.0, largest_force_std=0.01)
    committee = Committee([lennard_jones(), lennard_jones(0.011)], calibration)
    with torch.no_grad():
        grade = committee.grade(graph(committee))
        again = committee.grade(graph(committee), differentiate(committee, graph(committee)))
    assert grade is not None
    torch.testing.assert_close(again, grade)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_members_are_refused(count):
    with pytest.raises(ConfigError, match=f"two or more members, and here is {count}"):
        Committee([lennard_jones()] * count)


# --- calibration -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_members", [2, 3, 4, 8, 32])
@pytest.mark.parametrize("extra", [0.0, 2.0])
def test_a_known_factor_is_recovered(n_members, extra):
    """Members are truth plus Gaussian noise of size sigma; all share an error of extra * sigma.

    The error of their mean has the variance (1 / M + extra^2) sigma^2.
    """
    generator = np.random.default_rng(n_members)
    sigma = np.exp(generator.normal(size=20_000))
    noise = sigma * generator.normal(size=(n_members, len(sigma)))
    errors = noise.mean(0) + extra * sigma * generator.normal(size=len(sigma))
    spreads = noise.std(0, ddof=1)
    expected = np.sqrt(1 / n_members + extra**2)
    assert fit_factor(errors, spreads, n_members) == pytest.approx(expected, rel=0.05)
    found = reliability(errors, spreads, n_members, expected)
    assert found["after"]["coverage_68"] == pytest.approx(0.68, abs=0.015)
    assert found["after"]["coverage_95"] == pytest.approx(0.95, abs=0.01)
    assert found["after"]["log_likelihood"] > found["before"]["log_likelihood"]
    assert found["correlation"] > 0.1
    assert sum(group["count"] for group in found["bins"]) == 20_000


def test_many_members_have_the_factor_of_musil():
    generator = np.random.default_rng(0)
    spreads = np.exp(generator.normal(size=5000))
    errors = 1.7 * spreads * generator.normal(size=5000)
    gaussian = np.sqrt(np.mean((errors / spreads) ** 2))
    assert fit_factor(errors, spreads, 10_000) == pytest.approx(gaussian, rel=1e-3)


def test_what_says_nothing_does_not_count():
    generator = np.random.default_rng(0)
    spreads = np.exp(generator.normal(size=50))
    errors = spreads * generator.normal(size=50)
    alone = fit_factor(errors, spreads, 4)
    with_holes = fit_factor(np.append(errors, [np.nan, 1.0]), np.append(spreads, [1.0, 1e-12]), 4)
    assert with_holes == pytest.approx(alone)
    assert reliability(np.full(3, np.nan), np.ones(3), 4, 1.0) is None


def test_intervals_are_wider_for_few_members():
    factors = [coverage_factor(0.6827, n) for n in (2, 4, 10, 10_000)]
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] == pytest.approx(1.0, abs=1e-3)
    assert coverage_factor(0.95, 4) == pytest.approx(3.182, abs=1e-3)  # of every table of t


def test_calibration_needs_labels_and_a_spread():
    frames = [frame.with_(energy=None, forces=None) for frame in argon(3)]
    committee = Committee([lennard_jones(), lennard_jones(0.011)])
    unlabelled = ladera.Dataset.from_frames(frames)
    with pytest.raises(DataError, match="none of these has an energy or forces"):
        calibrate(committee, unlabelled)
    twins = Committee([lennard_jones(0.012), lennard_jones(0.012)])
    with pytest.raises(DataError, match="are its members the same model"):
        calibrate(twins, argon(3))


# --- training ----------------------------------------------------------------------------------


def settings(tmp_path, **changes):
    section = {"members": 2, **changes.pop("committee", {})}
    model = changes.pop("model", hdnnp())
    return values(tmp_path, epochs=3, model=model, committee=section, **changes)


@pytest.mark.slow
def test_members_are_runs_of_their_own_and_make_one_model(tmp_path, capsys):
    written = settings(tmp_path)
    run = tmp_path / "run"
    heard: list[dict[str, float | int]] = []
    committee = train(config_file.parse(written, "config.yaml"), run, on_epoch=heard.append)
    assert isinstance(committee, Committee)
    epochs = len(heard)
    assert [row["epoch"] for row in heard] == list(range(1, epochs + 1))
    assert {row["member"] for row in heard} == set(range(len(committee.members)))
    alone = train(
        config_file.parse({**written, "committee": None}, "config.yaml"), tmp_path / "one"
    )
    again = ladera.load(run)
    assert same_bits(again, committee)
    assert same_bits(again.members[0], alone)
    assert not same_bits(again.members[0], again.members[1])
    assert committee.config.calibration.forces > 0
    seeds = [member["seed"] for member in again.provenance["members"]]
    assert len(set(seeds)) == 2
    splits = {(run / f"member_{k}" / "split.json").read_text() for k in range(2)}
    assert splits == {(run / "split.json").read_text()}
    results = json.loads((run / "evaluation.json").read_text())
    assert results["test"]["uncertainty"]["forces"]["after"]["coverage_95"] > 0.5
    stored = np.load(run / "predictions_test.npz")
    assert (stored["forces_std"] > 0).all()

    for words in (
        ["evaluate", str(run), str(tmp_path / "argon.extxyz")],
        ["info", str(run)],
        ["relax", str(run), f"{tmp_path}/argon.extxyz", "--frame=-1", f"--output={tmp_path}/relax"],
        ["report", str(run)],
    ):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 0, words
    said = capsys.readouterr().out
    assert "Uncertainty of 2 members" in said
    assert "Uncertainty" in (run / "report.html").read_text()

    with pytest.raises(ConfigError, match="already holds a run"):
        train(config_file.parse(written, "config.yaml"), run)
    written["optimizer"] = {"name": "adam", "learning_rate": 5e-4}
    with pytest.raises(ConfigError, match=r"optimizer\.learning_rate"):
        train(config_file.parse(written, "config.yaml"), run, resume=True)


@pytest.mark.slow
def test_an_interrupted_committee_goes_on_to_the_same_end(tmp_path):
    written = settings(
        tmp_path,
        data={
            "files": str(tmp_path / "argon.extxyz"),
            "split": {"validation": 4, "test": 4},
            "resample": "bootstrap",
        },
    )
    written |= {"epochs": 15, "model": hdnnp(), "checkpoint_interval": 5}
    path = tmp_path / "config.yaml"
    config_file.save(config_file.parse(written, "c"), path)
    run = tmp_path / "run"
    words = [sys.executable, "-m", "ladera", "train", str(path), "--output", str(run)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    log = run / "member_0" / "log.csv"
    deadline = time.monotonic() + 300
    while not log.exists() or log.read_text().count("\n") < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert "--resume" in said
    assert not (run / "model.ladera").exists()
    with pytest.raises(ModelFileError, match="has not come to its end"):
        ladera.load(run)
    again = train(config_file.parse(written, "c"), run, resume=True)
    for number, member in enumerate(again.members):
        seed = again.provenance["members"][number]["seed"]
        alone = {**written, "committee": None, "seed": seed}
        whole = train(config_file.parse(alone, "c"), tmp_path / f"alone_{number}")
        assert same_bits(member, whole)


@pytest.mark.slow
def test_a_member_that_fails_is_named(tmp_path):
    one_by_one = {"parallel": 1}
    written = settings(
        tmp_path, committee=one_by_one, optimizer={"name": "sgd", "learning_rate": 1e300}
    )
    with pytest.raises(ladera.LaderaError, match=r"Member \d of the committee: .*finite"):
        train(config_file.parse(written, "c"), tmp_path / "run")


def test_bad_settings_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"'committee\.members' is 1; it should be greater"):
        config(tmp_path, committee={"members": 1})
    written = settings(tmp_path)
    written["data"]["split"] = {"validation": 0, "test": 4}
    with pytest.raises(ConfigError, match="calibrated on validation frames"):
        train(config_file.parse(written, "c"), tmp_path / "run")


def test_command_makes_a_committee_of_models(tmp_path, capsys):
    argon(8)
    values(tmp_path)
    for name, epsilon in (("one", 0.0100), ("two", 0.0108), ("three", 0.0103)):
        lennard_jones(epsilon).save(tmp_path / f"{name}.ladera")
    models = [str(tmp_path / f"{name}.ladera") for name in ("one", "two", "three")]
    data, output = str(tmp_path / "argon.extxyz"), tmp_path / "committee.ladera"
    with pytest.raises(SystemExit) as end:
        main(["committee", *models, "--data", data, "--output", str(output)])
    assert end.value.code == 0
    assert "3 members, calibrated on 24 frames" in capsys.readouterr().out
    assert ladera.load(output).config.calibration.n_energies == 24
    with pytest.raises(SystemExit) as end:
        main(["committee", models[0], "--data", data, "--output", str(tmp_path / "one")])
    assert end.value.code == 1
    assert "two or more members, and here is 1" in capsys.readouterr().err


def test_info_says_what_a_committee_is_made_of(tmp_path, capsys):
    members = [lennard_jones(), lennard_jones(0.011)]
    Committee(members, Calibration(energy=2.0, forces=3.0)).save(tmp_path / "c.ladera")
    with pytest.raises(SystemExit) as end:
        main(["info", str(tmp_path / "c.ladera")])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "committee for Ar" in said
    assert "factors: energy 2.000, forces 3.000" in said
    assert "Made of 2 models." in said
