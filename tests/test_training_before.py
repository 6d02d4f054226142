"""Run folders that the version before left: they go on, and the report reads them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import ladera
from ladera.cli import main
from ladera.training import config_file
from ladera.training.trainer import train

BEFORE = Path(__file__).parent / "data" / "training_0_1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the runs; the paths in them are from where they were made."""
    shutil.copytree(BEFORE, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", ["gradients", "kalman", "finetune"])
def test_an_interrupted_run_of_the_version_before_goes_on(folder: Path, kind: str) -> None:
    stopped = folder / f"{kind}-stopped"
    config = config_file.load(stopped / "config.yaml")
    found = train(config, stopped, resume=True).state_dict()
    expected = ladera.load(folder / f"{kind}-whole").state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():  # on another processor to rounding
        assert torch.allclose(found[name], tensor, rtol=1e-7, atol=1e-9), name
    logs = [
        [line.split(",")[3:] for line in (run / "log.csv").read_text().splitlines()]
        for run in (stopped, folder / f"{kind}-whole")
    ]
    assert len(logs[0]) == len(logs[1]) == 5
    for row, row_before in zip(logs[0][1:], logs[1][1:], strict=True):
        assert [float(x) for x in row] == pytest.approx([float(x) for x in row_before], rel=1e-5)


@pytest.mark.parametrize("run", ["gradients-whole", "finetune-whole", "gradients-stopped"])
def test_the_report_reads_a_run_of_the_version_before(folder: Path, run: str) -> None:
    with pytest.raises(SystemExit) as left:
        main(["report", run, "--output", "report.html"])
    assert left.value.code == 0
    page = (folder / "report.html").read_text()
    assert "Energy MAE" in page
    assert ("Forgetting" in page) == (run == "finetune-whole")
