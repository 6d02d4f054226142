"""``ladera demo``, shortened: every stage runs, in order, on the embedded data."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from ladera import cli
from ladera.cli import demo

SHORTER = {
    "--output train": "--output train --set epochs=8",
    "--output relax": "--output relax --fmax 0.5",
    "--time 20": "--steps 40",
    "--time 3": "--steps 40",
}


def shorter(command: str) -> str:
    for whole, short in SHORTER.items():
        command = command.replace(whole, short)
    return command


def exit_code(folder: Path) -> int | str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # the command line prints them
        with pytest.raises(SystemExit) as end:
            cli.main(["demo", "--output", str(folder)])
    return end.value.code


def test_every_stage_runs_and_the_table_says_how_good_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = tuple(replace(stage, command=shorter(stage.command)) for stage in demo.STAGES)
    monkeypatch.setattr(demo, "STAGES", stages)
    folder = tmp_path / "demo"

    assert exit_code(folder) == 0

    shown = capsys.readouterr().out
    for stage in stages:
        assert f"$ {stage.command}" in shown
    for unit in ("meV/atom ", "meV/Å ", "meV/atom/ps", "steps/s"):
        assert unit in shown.split("ladera report")[1]
    for result in ("train/model.ladera", "nvt/md.csv", "nve/md.csv", "report.html"):
        assert (folder / result).stat().st_size > 0
    assert str(folder / "report.html") in shown


def test_a_folder_that_exists_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "results.txt"
    kept.write_text("mine")

    assert exit_code(tmp_path) == 1

    assert "choose another --output" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["results.txt"]


def test_a_stage_that_fails_ends_the_demonstration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = (
        demo.Stage("No such file", "ladera data check nothing.extxyz"),
        demo.Stage("Never reached", f"ladera data check {demo.DATA}"),
    )
    monkeypatch.setattr(demo, "STAGES", stages)

    assert exit_code(tmp_path / "demo") == 1

    captured = capsys.readouterr()
    assert "nothing.extxyz" in captured.err
    assert "Never reached" not in captured.out
