"""The commands ``ladera data info | check | convert | split``, run as a user does."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from data_frames import assert_same_frames, copper, water
from ladera.cli import main
from ladera.data.dataset import Dataset
from ladera.data.formats import read, write
from ladera.data.splits import Split
from ladera.units import ATOMIC


@pytest.fixture
def file(tmp_path):
    frames = [f.with_(config_type="cold" if k < 40 else "hot") for k, f in enumerate(water())]
    path = tmp_path / "water.extxyz"
    write(Dataset.from_frames(frames), path)
    return path


def run(capsys, *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out, captured.err


def test_info(capsys, file, tmp_path):
    code, out, _ = run(capsys, "data", "info", file, "--json", tmp_path / "info.json")
    assert code == 0
    assert "60 frames, 180 atoms" in out
    summary = json.loads((tmp_path / "info.json").read_text())
    assert summary["elements"] == {
        "H": {"atoms": 120, "frames": 60},
        "O": {"atoms": 60, "frames": 60},
    }
    assert summary["compositions"] == {"H2O": 60}
    assert summary["config_types"] == {"cold": 40, "hot": 20}
    assert summary["data_hash"] == read(file).hash
    forces = read(file).column("forces")
    assert summary["labels"]["forces"]["standard_deviation"] == pytest.approx(forces.std())
    assert summary["labels"]["energy"]["unit"] == "eV/atom"


def test_check_good_data(capsys, file):
    code, out, _ = run(capsys, "data", "check", file)
    assert code == 0
    assert "0 errors, 0 warnings, 0 notes" in out


def test_check_bad_data(capsys, file, tmp_path):
    frames = list(read(file))
    frames[17] = frames[17].with_(energy=float("nan"))
    write(Dataset.from_frames(frames), tmp_path / "bad.xyz")
    code, out, _ = run(
        capsys, "data", "check", tmp_path / "bad.xyz", "--json", tmp_path / "found.json"
    )
    assert code == 1
    assert "not-finite" in out
    assert "17" in out
    assert "1 error, 0 warnings" in out
    (finding,) = json.loads((tmp_path / "found.json").read_text())["findings"]
    assert (finding["severity"], finding["frame"]) == ("error", 17)


def test_convert_there_and_back(capsys, file, tmp_path):
    data, store = tmp_path / "input.data", tmp_path / "water.h5"
    assert run(capsys, "data", "convert", file, "--output", store)[0] == 0
    words = ("data", "convert", store, "--output", data, "--output-units", "bohr-hartree")
    assert run(capsys, *words)[0] == 0
    back = tmp_path / "back.extxyz"
    words = ("data", "convert", data, "--units", "bohr-hartree", "--output", back)
    assert run(capsys, *words)[0] == 0
    for original, frame in zip(read(file), read(back), strict=True):
        assert_same_frames(original, frame, tolerance=1e-12)


def test_convert_says_what_is_lost(capsys, tmp_path):
    write(Dataset.from_frames(copper(2)), tmp_path / "a.xyz")
    out = tmp_path / "input.data"
    words = ("data", "convert", tmp_path / "a.xyz", "--output", out, "--output-units")
    code, printed, _ = run(capsys, *words, "angstrom-ev")
    assert code == 0
    assert "stress" in printed


def test_keys_and_columns(capsys, file, tmp_path):
    text = file.read_text().replace("energy=", "TotEn=").replace("forces:R:3", "dft:R:3")
    (tmp_path / "other.xyz").write_text(text)
    words = ("data", "check", tmp_path / "other.xyz", "--energy-key", "TotEn", "--forces-key")
    assert run(capsys, *words, "dft")[0] == 0
    assert run(capsys, *words, "none")[0] == 0
    code, _, error = run(capsys, *words, "dtf")
    assert code == 1
    assert "did you mean 'dft'" in error
    swapped = tmp_path / "input.data"
    frames = [f.with_(charges=np.array([-75.0, -0.5, -0.5])) for f in water(20)]
    write(Dataset.from_frames(frames), swapped, units=ATOMIC)
    words = ("data", "check", swapped, "--units", "bohr-hartree")
    assert run(capsys, *words)[0] == 1
    assert run(capsys, *words, "--atom-columns", "energy charge")[0] == 0


def test_what_a_file_does_not_have_is_refused(capsys, file, tmp_path):
    stored = tmp_path / "stored.h5"
    write(Dataset.from_frames(water(3)), stored)
    for path in (file, stored):
        code, _, error = run(capsys, "data", "info", path, "--atom-columns", "energy charge")
        assert code == 1
        assert "is no input.data, whose two columns after the symbol could be meant" in error
        code, _, error = run(capsys, "data", "info", path, "--types", "O", "H")
        assert code == 1
        assert "is no file of LAMMPS or MLIP; its atoms have names, so leave --types" in error


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ((), (48, 6, 6)),
        (("--validation", "10", "--test", "0"), (50, 10, 0)),
        (("--method", "group", "--test", "hot"), (40, 0, 20)),
        (("--method", "first", "--validation", "0.25", "--test", "5"), (40, 15, 5)),
    ],
)
def test_split(capsys, file, tmp_path, options, sizes):
    path = tmp_path / "split.json"
    code, out, _ = run(capsys, "data", "split", file, "--output", path, *options)
    assert code == 0
    split = Split.load(path, read(file))
    assert (len(split.train), len(split.validation), len(split.test)) == sizes
    assert f"{sizes[0]} training" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("check", "missing.xyz"), "There is no data file missing.xyz"),
        (("split", "{}", "--output", "s.json", "--validation", "much"), "--validation is 'much'"),
        (("convert", "{}", "--output", "a.cif"), "'.cif', which Ladera does not write"),
        (("convert", "{}", "--output", "a.data"), "bohr-hartree"),
    ],
)
def test_refusals_are_one_sentence(capsys, file, words, sentence):
    code, _, error = run(capsys, "data", *(word.format(file) for word in words))
    assert code == 1
    assert sentence in error
    assert len(error.splitlines()) == 1


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from ladera.cli import main\n"
        "try: main(['data', 'check', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(' '.join({'torch', 'ase', 'numba', 'h5py'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "input.data" in done.stdout
