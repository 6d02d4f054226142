"""``ladera lammps`` and ``ladera export --to lammps`` as a user types them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ase.io
import pytest
from ase.build import molecule

from conftest import hdnnp_generated, water_like
from lammps_runs import needs_compiler, needs_lammps

pytestmark = [needs_lammps, needs_compiler]


def ladera(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ladera", *line.split()],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model and structures."""
    hdnnp_generated().save(tmp_path / "model.ladera")
    ase.io.write(tmp_path / "water.xyz", molecule("H2O"))
    ase.io.write(tmp_path / "ammonia.xyz", molecule("NH3"))
    ase.io.write(tmp_path / "crystal.extxyz", water_like(12, 6.0, True, seed=1))
    return tmp_path


def test_a_structure_runs_at_once(folder: Path):
    done = ladera(folder, "export model.ladera run --to lammps --structure crystal.extxyz")
    assert done.returncode == 0, done.stderr
    assert "ladera lammps run in.lammps -n 2" in (folder / "run" / "in.lammps").read_text()
    script = folder / "run" / "in.lammps"
    script.write_text(script.read_text().replace("300.0", "${T}"))
    done = ladera(folder / "run", "lammps run in.lammps --threads 1 --var T=10")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "velocity        all create 10 " in (script.parent / "log.lammps").read_text()
    last = done.stdout.split("Loop time")[-1]
    assert "100 steps with 12 atoms" in last
    script.write_text("pair_style nobody 1.0\n")
    done = ladera(folder / "run", "lammps run in.lammps --threads 1")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_the_plugin_is_built_once(folder: Path):
    done = ladera(folder, "lammps build")
    assert done.returncode == 0, done.stderr
    plugin = Path(done.stdout.splitlines()[-1].removeprefix("plugin load "))
    assert plugin.is_file()
    before = plugin.stat().st_mtime_ns
    assert ladera(folder, "lammps build").returncode == 0
    assert plugin.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("export model.ladera run --to lammps", "add --structure"),
        ("export model.ladera run --to n2p2 --structure water.xyz", "leave --structure out"),
        ("export model.ladera run --to lammps --structure ammonia.xyz", "Atom 0 is N"),
        ("lammps run missing.in", "There is no script missing.in"),
        ("lammps run water.xyz --var T", "write NAME=VALUE"),
        ("lammps build --lammps .", "holds no LAMMPS"),
    ],
)
def test_what_is_refused(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    sentence: str,
):
    from ladera.cli import main

    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as end:
        main(line.split())
    assert end.value.code == 1
    assert sentence in capsys.readouterr().err
    assert not (folder / "run" / "in.lammps").exists()
