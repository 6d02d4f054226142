"""``ladera md`` and ``ladera relax`` as a user runs them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import warnings
from pathlib import Path

import ase.io
import pytest
from ase.build import molecule

from argon import cluster, crystal, one_thread  # noqa: F401
from ladera.cli import main
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with two models, structures, and room for results."""
    for name, epsilon in (("one", 0.0104), ("two", 0.0110)):
        config = LennardJonesConfig(
            species=("Ar",), cutoff=6.5, epsilon={"Ar": epsilon}, sigma={"Ar": 3.4}
        )
        LennardJones(config).save(tmp_path / f"{name}.ladera")
    ase.io.write(tmp_path / "crystal.cif", crystal())
    ase.io.write(tmp_path / "cluster.xyz", cluster())
    ase.io.write(tmp_path / "water.xyz", molecule("H2O"))
    (tmp_path / "empty.xyz").write_text("")
    (tmp_path / "input.data").write_text("begin\natom 0 0 0 Ar 0 0 0 0 0\nend\n")
    return tmp_path


def ladera(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "ladera", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_md_runs_refuses_and_resumes(workplace):
    words = [
        "md",
        "one.ladera",
        "two.ladera",
        "crystal.cif",
        "--temperature",
        "30",
        "--timestep",
        "5",
    ]
    done = ladera(workplace, *words, "--steps", "50", "--ensemble", "nvt-bussi")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no progress bar where there is no terminal
    assert "50 steps, 0.25 ps" in done.stdout
    assert "ns/day" in done.stdout
    assert len((workplace / "md-30K" / "md.csv").read_text().splitlines()) == 7
    again = ladera(workplace, *words, "--steps", "50", "--ensemble", "nvt-bussi")
    assert again.returncode == 1
    assert again.stderr.startswith("Error: md-30K holds a run already")
    longer = ladera(workplace, *words, "--time", "0.4", "--ensemble", "nvt-bussi", "--resume")
    assert longer.returncode == 0, longer.stderr
    assert len((workplace / "md-30K" / "md.csv").read_text().splitlines()) == 10


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("md one.ladera crystal.cif --steps 5 --temperature -5", 1, "temperature is -5 K"),
        ("md one.ladera crystal.cif --steps 5 --temperature nan", 1, "temperature is nan"),
        ("md one.ladera crystal.cif --steps 5 --timestep 40", 1, "40 fs is too long for Ar"),
        ("md one.ladera crystal.cif", 1, "The length of the run is missing"),
        ("md one.ladera cluster.xyz --steps 5 --ensemble npt", 1, "all three directions"),
        ("md one.ladera water.xyz --steps 5", 1, "Atom 0 is O, which this model does not know"),
        ("md one.ladera missing.xyz --steps 5", 1, "no structure file missing.xyz"),
        ("md one.ladera empty.xyz --steps 5", 1, "empty.xyz"),
        ("md one.ladera input.data --steps 5", 1, "input.data file, which does not say its units"),
        (
            "md one.ladera one.ladera --steps 5",
            1,
            "one.ladera is a model, where a structure file is expected",
        ),
        ("md missing.ladera crystal.cif --steps 5", 1, "no model file missing.ladera"),
        (
            "md crystal.cif crystal.cif --steps 5",
            1,
            "crystal.cif holds structures, where a model is expected",
        ),
        ("md one.ladera crystal.cif --steps 5 --resume", 1, "no restart point"),
        ("md one.ladera crystal.cif --step 5", 2, "--steps"),
        ("md one.ladera crystal.cif --steps 5 --ensemble nvt-busi", 2, "nvt-bussi"),
        ("relax one.ladera cluster.xyz --cell", 1, "all three directions"),
        ("relax one.ladera cluster.xyz --fmax 1e-9 --steps 1", 1, "of 1e-09 eV/Angstrom"),
        ("relax one.ladera water.xyz", 1, "Atom 0 is O"),
    ],
)
def test_one_sentence_and_an_exit_code(workplace, monkeypatch, capsys, line, code, message):
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    with pytest.raises(SystemExit) as end:
        main(line.split())
    captured = capsys.readouterr()
    assert end.value.code == code, captured.err
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_relax(workplace):
    result = ladera(workplace, "relax", "one.ladera", "crystal.cif", "--cell", "--fmax", "0.001")
    assert result.returncode == 0, result.stderr
    assert "Converged in" in result.stdout
    assert "GPa" in result.stdout
    assert (workplace / "relax" / "relaxed.extxyz").exists()


def test_progress_bar_on_a_terminal(workplace):
    """Speed, time left, temperature and energy are on the screen while it runs."""
    leader, follower = pty.openpty()
    words = [
        "md",
        "one.ladera",
        "crystal.cif",
        "--temperature",
        "30",
        "--timestep",
        "5",
        "--steps",
        "1500",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "ladera", *words],
        cwd=workplace,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "140"},
        stdout=subprocess.PIPE,
        stderr=follower,
    )
    os.close(follower)
    screen = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:  # the other side is closed
            break
        if not chunk:
            break
        screen += chunk
    os.close(leader)
    process.communicate(timeout=300)
    assert process.returncode == 0
    for word in (b"/1,500", b"steps/s", b"ns/day", b" K, ", b" eV", b"left"):
        assert word in screen, word
