"""The quick form of the study of beta-hematin: from nothing to its report, whatever kills it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import ladera

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "beta_hematin"
sys.path.insert(0, str(EXAMPLE))

import plan  # noqa: E402
import report  # noqa: E402
from study import Study  # noqa: E402

pytest.importorskip("tblite", reason="tblite is not installed, which labels two acids")
LABELS = ("labels/monomers.extxyz", "labels/pairs.extxyz", "labels/dimers.extxyz")


def started(folder: Path) -> subprocess.Popen[str]:
    """The study at work, with its processes in a group of their own."""
    command = [sys.executable, str(EXAMPLE / "study.py"), "--quick", "--output", str(folder)]
    with (folder.parent / f"{folder.name}.log").open("a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, text=True)


def killed_when(folder: Path, reached: Callable[[], bool]) -> None:
    """Start the study and end it, with all that it has started, without a warning."""
    process = started(folder)
    while not reached() and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None, "it was faster"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finished(folder: Path) -> str:
    """The report of the study that has gone on to its end, without what a machine's clock says."""
    process = started(folder)
    assert process.wait() == 0, (folder.parent / f"{folder.name}.log").read_text()[-3000:]
    parts = (folder / "report.md").read_text(encoding="utf-8").split("\n\n## ")
    varying = tuple(title.removeprefix("## ") for title in report.VARYING)
    return "\n\n## ".join(part for part in parts if not part.startswith(varying))


def told(folder: Path) -> str:
    """What the notebook prints of a finished study."""
    script, notebook = ROOT / "scripts" / "run_notebook.py", EXAMPLE / "results.ipynb"
    found = subprocess.run(
        [sys.executable, "-W", "error", str(script), str(notebook)],
        cwd=folder.parent,
        env=os.environ | {"LADERA_STUDY": str(folder)},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def copied(whole: Path, folder: Path, anew: set[str]) -> None:
    """A copy of a finished study without some pieces."""
    files = {piece.file for piece in plan.pieces(Study(("nequix-mp-1",), True, None))}
    assert anew < files
    (folder / "labels").mkdir(parents=True)
    for file in (*(files - anew), *LABELS):
        shutil.copy2(whole / file, folder / file)
    for place in whole.glob("*"):
        if (place / "result.json").exists() and f"{place.name}.json" not in anew:
            shutil.copytree(place, folder / place.name)


def test_the_quick_form_whatever_kills_it(tmp_path: Path) -> None:
    """Killed in a relaxation, in the active loop, and in dynamics, it comes to the same report."""
    whole, half = tmp_path / "whole", tmp_path / "half"
    whole.mkdir()
    killed_when(whole, lambda: any(whole.glob("held-*/leg-00")))
    text = finished(whole)
    assert "mean nothing" in text
    for title in ("In the published cell", "Errors on frames", "Infrared marks", "Elastic"):
        assert f"## {title}" in text
    assert not [file for file in whole.glob("*.json") if "skipped" in file.read_text()]
    for picture in ("structure", "errors", "elastic", "infrared", "times"):
        assert f"]({picture}.png)" in (whole / "report.md").read_text(encoding="utf-8")
        assert (whole / f"{picture}.png").stat().st_size > 10_000
    assert "the quick form: no number means anything" in told(whole)
    anew = {"own.json", "density.json", "spectrum.json", "infrared.png", "report.md"}
    copied(whole, half, anew)
    killed_when(half, lambda: any((half / "own").glob("round_*/model/log.csv")))
    killed_when(half, lambda: (half / "density" / "restart.npz").exists())
    assert finished(half) == text
    weights, again = (
        ladera.load(each / "own" / "model.ladera").state_dict() for each in (whole, half)
    )
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    for file in ("density/md.csv", "spectrum/table.csv"):
        assert (half / file).read_bytes() == (whole / file).read_bytes(), file
