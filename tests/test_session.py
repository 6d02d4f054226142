"""Words that go with every command: --json, --quiet, -v, wherever they stand on the line."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase.build import bulk, molecule

import training_runs
from ladera import cli
from ladera.cli.session import Session, answer, strict
from ladera.data.formats import write
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig

# One line of each command, in an order in which each finds what it needs.
CASES = (
    "data info frames.extxyz",
    "data check frames.extxyz",
    "data convert frames.extxyz --output frames.h5",
    "data split frames.extxyz --output split.json",
    "data filter frames.extxyz --output kept.extxyz --max-force 1000eV/A",
    "data generate cell.extxyz --output made.extxyz --rattle 0.05 --number 2",
    "template",
    "schema",
    "train config.yaml --check",
    "train config.yaml --output run",
    "finetune run frames.extxyz --epochs 1 --output finetuned",
    "evaluate run frames.extxyz",
    "predict run frames.extxyz",
    "predict run frames.extxyz --output labelled.extxyz",
    "data select run frames.extxyz --number 2 --output chosen.extxyz",
    "info run",
    "info mace-mp-small",
    "committee run finetuned --data frames.extxyz --output committee.ladera",
    "functions select config.yaml --set model.selection.number=4",
    "functions report run frames.extxyz --output functions",
    "export run exported --to n2p2",
    "import exported --units bohr-hartree --output imported.ladera",
    "relax argon.ladera cell.extxyz --cell --fmax 0.0001",
    "label cell.extxyz --engine argon.ladera --output label.extxyz",
    "eos argon.ladera relax/relaxed.extxyz --points 6",
    "elastic argon.ladera relax/relaxed.extxyz",
    "phonons argon.ladera relax/relaxed.extxyz --supercell 2 2 2",
    "vacancy argon.ladera relax/relaxed.extxyz --heights 8 9",
    "surface argon.ladera relax/relaxed.extxyz --facets 111 --thickness 5",
    "md argon.ladera large.extxyz --temperature 40 --ensemble nvt-bussi --timestep 2 --steps 400 "
    "--trajectory-interval 10 --output md",
    "structure md",
    "spectrum md --resolution 200",
    "diffusion md --species Ar --window 0.05 0.2",
    "relax argon.ladera pair.extxyz --fmax 0.0001 --output pair",
    "vibrations argon.ladera pair/relaxed.extxyz",
    "report md",
    "cite md",
    "check argon.ladera large.extxyz",
)
# Commands that are tried elsewhere, and why.
ELSEWHERE = {
    "demo": "takes minutes: tests/test_demo.py",
    "expansion": "ends as phonons does",
    "ir": "needs dipoles; ends as vibrations does",
    "raman": "needs a calculator with a polarisability; ends as vibrations does",
    "thermal-conductivity green-kubo": "needs long runs: tests/test_properties_conductivity.py",
    "thermal-conductivity lattice": "takes long: tests/test_properties_conductivity.py",
    "ipi input": "tests/test_ipi.py",
    "ipi client": "needs a server: tests/test_ipi.py",
    "neb": "ends as vibrations does",
    "scan": "ends as vibrations does",
    "draw": "needs a model with networks: tests/test_draw.py",
    "validate": "takes long: tests/test_properties_validation.py",
    "compile": "tests/test_precompile.py",
    "grade": "needs a model with a last layer: tests/test_cli_grade.py",
    "active": "takes long: tests/test_active_report.py",
    "distill": "takes long: tests/test_distillation.py",
    "lammps build": "needs LAMMPS: tests/test_lammps_cli.py",
    "lammps run": "needs LAMMPS: tests/test_lammps_cli.py",
    "prune": "needs a moment tensor potential: tests/test_mtp_training.py",
}


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out, captured.err


def no_constant(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


def document(text: str) -> dict[str, Any]:
    """The one document in a text, which is strict JSON."""
    found: dict[str, Any] = json.loads(text, parse_constant=no_constant)
    return found


def names() -> set[str]:
    """All commands there are."""
    plain = {
        command[0].rpartition(":")[2] if isinstance(command, tuple) else command.__name__.strip("_")
        for command in cli.COMMANDS
    }
    return plain | {
        f"{group} {each.__name__.strip('_').replace('_', '-')}"
        for group, _, all_ in cli.GROUPS
        for each in all_
    }


def inputs() -> None:
    """Files for all of the commands, in this folder."""
    here = Path()
    settings = training_runs.values(here, epochs=2)
    settings["model"] = training_runs.hdnnp()
    Path("config.yaml").write_text(yaml.safe_dump(settings))
    write(training_runs.argon(), "frames.extxyz")
    config = LennardJonesConfig(
        species=("Ar",), cutoff=7.0, epsilon={"Ar": 0.0104}, sigma={"Ar": 3.4}
    )
    LennardJones(config).save("argon.ladera")
    bulk("Ar", a=5.3).write("cell.extxyz")
    (bulk("Ar", a=5.3, cubic=True) * (3, 3, 3)).write("large.extxyz")
    pair = bulk("Ar", a=5.3, cubic=True)[:2]
    pair.pbc, pair.cell = False, None
    pair.write("pair.extxyz")


@pytest.mark.filterwarnings("ignore")
def test_every_command_gives_its_result_as_one_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs()
    for line in CASES:
        code, out, err = run(capsys, *line.split(), "--json", "-")
        assert code == 0, (line, err)
        found = document(out)
        assert found, line
        assert "error" not in found
        assert all(os.path.exists(file) for file in found.get("files", ())), line
        if "fields" in found:
            assert found["provenance"]["versions"]["ladera"], line
            assert all({"value", "unit"} == set(each) for each in found["fields"].values()), line
        if line.startswith(("relax", "md", "eos", "diffusion", "vibrations")):
            assert "model" in found["provenance"] or "data" in found["provenance"], line
    tried = {name for name in names() if any(f"{c} ".startswith(f"{name} ") for c in CASES)}
    assert names() - tried == set(ELSEWHERE), "a command without a document, or a reason"


def test_the_document_of_a_property_is_its_result_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs()
    line = ["--json", "eos.json", "-q", "eos", "argon.ladera", "cell.extxyz", "--points", "6"]
    code, out, err = run(capsys, *line)
    assert code == 0
    assert err == ""
    assert "Equation of state" in out, "words stay where they were"
    found, stored = (
        document(Path("eos.json").read_text()),
        document(Path("eos/result.json").read_text()),
    )
    assert found.pop("files") == ["eos/result.json", "eos/table.csv", "eos/figure.svg"]
    assert found == stored
    code, _, err = run(capsys, *line, "--output", "again")
    assert code == 1
    assert err == ("Error: eos.json exists already; remove it or name another file with --json.\n")
    assert not Path("again").exists()


@pytest.mark.parametrize(
    ("line", "code", "begin"),
    [
        ("info nowhere.ladera --json -", 1, "There is no"),
        ("--json - trian", 2, "'trian' is no command"),
        ("info --json", 1, "--json is followed by nothing"),
        ("info nowhere.ladera --json --quiet", 1, "--json is followed by '--quiet'"),
    ],
)
def test_a_failure_is_a_sentence_and_a_document(
    line: str, code: int, begin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out, err = run(capsys, *line.split())
    assert found == code
    assert err.startswith(f"Error: {begin}")
    assert len(err.splitlines()) == 1
    if "--json -" in line and "--quiet" not in line:
        told = document(out)
        assert told["exit_code"] == code
        assert f"Error: {told['error']}\n" == err


def test_what_was_found_before_a_failure_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs()
    words = [
        "relax",
        "argon.ladera",
        "pair.extxyz",
        "--steps",
        "1",
        "--fmax",
        "1e-9",
        "--json",
        "-",
    ]
    code, out, _ = run(capsys, *words)
    told = document(out)
    assert code == told["exit_code"] == 1
    assert "Not converged" in told["error"]
    assert told["fields"]["converged"] == {"value": False, "unit": ""}


def test_strict_json_has_no_constants() -> None:
    value = {"a": np.array([1.0, np.nan]), "b": (math.inf, np.int64(3)), 1: Path("x"), "d": {1}}
    assert strict(value) == {"a": [1.0, None], "b": [None, 3], "1": "x", "d": [1]}


def test_words_are_taken_wherever_they_stand() -> None:
    line = Session.of(["-v", "relax", "--json=x.json", "m", "--quiet", "s", "--debug"])
    assert line.words == ["relax", "m", "s"]
    assert (line.verbose, line.quiet, line.debug, line.json) == (True, True, True, "x.json")
    assert Session.of(["info", "--", "--json"]).words == ["info", "--", "--json"]


def test_notices_are_those_of_the_logger(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logging.getLogger("ladera.test")

    def command(words: list[str]) -> int:
        log.debug("details")
        log.info("notice")
        log.warning("warning")
        sys.stdout.write("answer\n")
        sys.stderr.write("talk\n")
        return 0

    monkeypatch.setattr(cli, "app", command)
    for flag, heard in (
        ((), "notice\nwarning\ntalk\n"),
        (("-q",), "warning\ntalk\n"),
        (("--verbose",), "details\nnotice\nwarning\ntalk\n"),
    ):
        assert run(capsys, "x", *flag) == (0, "answer\n", heard)


def test_python_hears_notices_only_when_it_asks(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="ladera"):
        import ladera

        ladera.load("ethanol-hdnnp")
    assert any("ethanol-hdnnp" in record.getMessage() for record in caplog.records)


def test_help_names_the_words_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ((), ("relax",), ("data",), ("data", "info")):
        _, out, _ = run(capsys, *words, "--help")
        for flag in ("--json", "--quiet", "-v", "--debug"):
            assert flag in out, words


def test_an_answer_replaces_the_one_before() -> None:
    answer({"a": 1})
    answer({"b": 2}, [Path("x")])
    from ladera.cli import session

    assert session._answers == {"b": 2, "files": ["x"]}


_LOUD = """
import os
from ase.calculators.emt import EMT

class Loud(EMT):
    def calculate(self, *args, **kwargs):
        os.write(1, b"total energy: a table of a library in another language\\n")
        super().calculate(*args, **kwargs)
"""


def test_what_a_library_prints_past_python_is_no_part_of_the_document(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(_LOUD)
    molecule("CO").write(tmp_path / "co.xyz")
    words = ["predict", "co.xyz", "--calculator", "loud:Loud", "--json", "-"]
    done = subprocess.run(
        [sys.executable, "-m", "ladera", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(json.loads(done.stdout)["frames"]) == 1
    assert "of a library in another language" in done.stderr
