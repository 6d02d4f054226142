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
STUDENTS = ROOT / "examples" / "students.ipynb"
OPTIONAL = ("LADERA_MODELS", "LADERA_WHOLE", "HEMATIN")


def printed_by(notebook: Path, folder: Path, *words: str) -> str:
    """What a notebook prints where no model can be had but those of the package."""
    kept = {name: value for name, value in os.environ.items() if name not in OPTIONAL}
    nowhere = {"XDG_CACHE_HOME": str(folder / "cache"), "PIP_NO_INDEX": "1"}
    command = [sys.executable, "-W", "error", str(ROOT / "scripts/run_notebook.py"), str(notebook)]
    found = subprocess.run(
        [*command, *words], cwd=folder, env=kept | nowhere, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def before_and_after(text: str) -> tuple[int, int]:
    """Errors of forces that a fine-tuning began and ended with, meV/Å."""
    line = next(each for each in text.splitlines() if "before" in each and "after" in each)
    before, after = map(int, re.findall(r"(\d+) meV/Å", line))
    return before, after


def halves(text: str) -> tuple[list[str], list[str]]:
    """The lines of the first and of the second run, without those that tell a time."""
    lines = [each for each in text.splitlines() if not re.search(r"\d m?s\b", each)]
    assert len(lines) % 2 == 0
    return lines[: len(lines) // 2], lines[len(lines) // 2 :]


def test_the_tutorial_runs_twice_with_what_the_package_has(tmp_path: Path) -> None:
    first, second = halves(printed_by(NOTEBOOK, tmp_path, "--twice"))
    assert first == second  # what was trained is read
    assert first[0] == "with the embedded models only"
    slope, force = map(float, re.findall(r"-?\d+\.\d+", next(x for x in first if "-dE/d" in x)))
    assert abs(slope - force) < 1e-3
    before, after = before_and_after("\n".join(first))
    assert after < 0.6 * before  # the first fine-tuning that a reader sees is worth it


def test_the_students_notebook_runs_twice_without_a_network(tmp_path: Path) -> None:
    first, second = halves(printed_by(STUDENTS, tmp_path, "--twice"))
    assert first == second
    before, after = before_and_after("\n".join(first))
    assert after < 0.6 * before
    assert any(each.startswith("Without it, no silicon: sevennet-0 is not in") for each in first)
    bulk = next(each for each in first if each.startswith("bulk modulus"))
    assert 40 < int(re.findall(r"\d+", bulk)[0]) < 65  # GPa, of Li3OCl


def test_one_page_of_python_runs_again_in_the_same_folder(tmp_path: Path) -> None:
    first, second = halves(printed_by(ONE_PAGE, tmp_path, "--twice"))
    assert first == second  # the run and the training went on from where they had ended


def test_the_seminar_in_its_short_form(tmp_path: Path) -> None:
    pytest.importorskip("tblite", reason="tblite is not installed, which makes its labels")
    text = printed_by(SEMINAR, tmp_path)
    rounds = [int(x) for x in re.findall(r"learned, (\d+) meV/Å", text)]
    assert rounds[-1] < rounds[0]
    assert "Without a universal model this section is left out: sevennet-0 is not in" in text
    assert len(re.findall(r"K: D = \(.* cm²/s, conductivity", text)) == 2


@pytest.mark.parametrize(
    "path", [NOTEBOOK, ONE_PAGE, SEMINAR, STUDENTS], ids=lambda path: path.stem
)
def test_words_are_no_headings(path: Path) -> None:
    """A cell of words whose lines all begin with # was a comment once, and shows as headings."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        lines = [line for line in "".join(cell["source"]).splitlines() if line.strip()]
        if cell["cell_type"] == "markdown":
            assert sum(line.startswith("#") for line in lines) <= 2, lines[0]
            assert not any(line == "#" or line.startswith("# #") for line in lines), lines[0]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (NOTEBOOK, "with the published model\n"),
        (SEMINAR, "the whole seminar\n"),
        (STUDENTS, "-4215.6685 eV, relaxed -4215.6822 eV\n"),
    ],
    ids=["tutorial", "seminar", "students"],
)
def test_what_is_stored_was_run_in_order_and_names_nobodys_folders(path: Path, said: str) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert outputs[0]["text"][0] == said
    for cell in notebook["cells"]:
        texts = ["".join(cell["source"])]
        texts += ["".join(output.get("text", ())) for output in cell.get("outputs", ())]
        assert not re.search(r"(?<![\w.:/])/(home|work|tmp|root|Users)/", "\n".join(texts))
    for target in re.findall(r"\]\((\.\./[^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
