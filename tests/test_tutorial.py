"""The notebooks run in order without a network, and what they show is clean."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "tutorial.ipynb"
ONE_PAGE = ROOT / "examples" / "one-page.ipynb"
SEMINAR = ROOT / "examples" / "seminar.ipynb"
OPTIONAL = ("LADERA_MODELS", "HEMATIN")


def test_the_code_runs_with_what_the_package_has(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in OPTIONAL}
    command = [sys.executable, "-W", "error", str(ROOT / "scripts/run_notebook.py"), str(NOTEBOOK)]
    found = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert lines[0] == "with the embedded models only"
    slope, force = map(float, re.findall(r"-?\d+\.\d+", next(x for x in lines if "-dE/d" in x)))
    assert abs(slope - force) < 1e-3
    before, after = map(int, re.findall(r"(\d+) meV/Å", next(x for x in lines if "before" in x)))
    assert before < 100
    assert after < 100


def test_one_page_of_python_runs_again_in_the_same_folder(tmp_path: Path) -> None:
    script = str(ROOT / "scripts/run_notebook.py")
    command = [sys.executable, "-W", "error", script, str(ONE_PAGE), "--twice"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    first, second = found.stdout[: len(found.stdout) // 2], found.stdout[len(found.stdout) // 2 :]
    assert first == second  # the run and the training went on from where they had ended


def test_the_seminar_in_its_short_form(tmp_path: Path) -> None:
    pytest.importorskip("tblite", reason="tblite is not installed, which makes its labels")
    kept = {name: value for name, value in os.environ.items() if name != "LADERA_WHOLE"}
    command = [sys.executable, "-W", "error", str(ROOT / "scripts/run_notebook.py"), str(SEMINAR)]
    found = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    rounds = [int(x) for x in re.findall(r"learned, (\d+) meV/Å", found.stdout)]
    assert rounds[-1] < rounds[0]


@pytest.mark.parametrize(
    ("path", "said"),
    [(NOTEBOOK, "with the published model\n"), (SEMINAR, "the short form\n")],
    ids=["tutorial", "seminar"],
)
def test_what_is_stored_was_run_in_order_and_names_nobodys_folders(path: Path, said: str) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
    assert outputs[0]["text"] == [said]
    for cell in notebook["cells"]:
        texts = ["".join(cell["source"])]
        texts += ["".join(output.get("text", ())) for output in cell.get("outputs", ())]
        assert not re.search(r"(?<![\w.:/])/(home|work|tmp|root|Users)/", "\n".join(texts))
    for target in re.findall(r"\]\((\.\./[^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
