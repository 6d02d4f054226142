"""Files of Nequix: the energies of Nequix itself, and files that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

import ladera
from cases import shared
from ladera import cli
from ladera.codes import nequix
from ladera.errors import LaderaError, ModelFileError
from ladera.models.nequip import NequIP
from ladera.recognition import recognise
from nequix_files import SETTINGS, content, write

_RANDOM = np.random.default_rng(1)
CRYSTAL = Atoms("SiOH2O", _RANDOM.normal(size=(5, 3)) * 1.5, cell=[5, 6, 7], pbc=True)
# Energy, norms of forces and stress of the small files, by nequix 0.4.5 (jax, float32).
GOLDEN: list[tuple[dict[str, Any], float, float, float]] = [
    ({}, -90.471313, 0.07333658, 0.0005911767),
    ({"index_weights": True}, -90.533752, 0.09900507, 0.0005111197),
    ({"layer_norm": False}, -90.624718, 0.2533584, 0.001889217),
]


@pytest.mark.parametrize(("changes", "energy", "forces", "stress"), GOLDEN, ids=str)
def test_small_models(
    changes: dict[str, Any], energy: float, forces: float, stress: float, tmp_path: Path
) -> None:
    potential = ladera.load(write(tmp_path / "small.nqx", **changes))
    assert isinstance(potential, NequIP)
    assert potential.dtype == torch.float32
    assert potential.symbols == ("H", "O", "Si")
    atoms = CRYSTAL.copy()
    atoms.calc = potential.calculator()
    assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-7)
    assert np.linalg.norm(atoms.get_forces()) == pytest.approx(forces, rel=1e-5)
    assert np.linalg.norm(atoms.get_stress()) == pytest.approx(stress, rel=1e-5)


@pytest.mark.parametrize("name", ["nequix-mp-1", "nequix-oam-1"])
def test_published_models(name: str) -> None:
    """Energies, forces and stress of five crystals and molecules, to the rounding of float32."""
    folder = "data/weights/nequix"
    potential = ladera.load(shared(f"{folder}/{name}.nqx"))
    stored = json.loads(shared(f"{folder}/golden_nequix_0.4.5_jax_float32.json").read_text())
    golden = [each for each in stored if each["model"] == name]
    assert len(golden) == 5
    for each in golden:
        keys = ("numbers", "positions", "cell", "pbc")
        atoms = Atoms(**{key: each[key] for key in keys})
        atoms.calc = potential.calculator()
        assert atoms.get_potential_energy() == pytest.approx(each["energy"], rel=1e-6)
        for found, wanted in (
            (atoms.get_forces(), np.array(each["forces"])),
            (atoms.get_stress(), np.array(each["stress_voigt_ase"])),
        ):
            assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_what_stands_behind_the_arrays_is_not_read(tmp_path: Path) -> None:
    for k, behind in enumerate((b"\n", b"", b"\x93NUMPY nonsense")):
        (tmp_path / f"{k}.nqx").write_bytes(content(behind=behind))
    models = [ladera.load(tmp_path / f"{k}.nqx") for k in range(3)]
    for other in models[1:]:
        for one, two in zip(models[0].parameters(), other.parameters(), strict=True):
            assert torch.equal(one, two)


def test_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = write(tmp_path / "small.nqx"), tmp_path / "small.ladera"
    with pytest.raises(SystemExit) as finished:
        cli.main(["import", str(source), "--output", str(output)])
    assert finished.value.code in (0, None)
    assert "(Nequix)" in capsys.readouterr().out
    potential = ladera.load(output)
    for one, two in zip(ladera.load(source).parameters(), potential.parameters(), strict=True):
        assert torch.equal(one, two)
    assert nequix.reads(source)
    assert not nequix.reads(output)


def wrong(**changes: Any) -> bytes:
    return content({key: changes.get(key, value) for key, value in SETTINGS.items()})


WHOLE = content()
LINE, _, ARRAYS = WHOLE.partition(b"\n")
BAD: dict[str, tuple[bytes, str]] = {
    "cut in an array": (WHOLE[: len(WHOLE) // 2], r"array \d+, .* of layer 2, .* cut short"),
    "cut in the settings": (WHOLE[:100], "cut short within its first line, the settings"),
    "no arrays": (LINE + b"\n", "array 1, the energies of atoms, is missing"),
    "empty": (b"", "does not begin with a line of JSON"),
    "a list": (b"[1]\n" + ARRAYS, "first line is not that of a Nequix model"),
    "without a key": (LINE.replace(b'"cutoff"', b'"cut_off"') + b"\n" + ARRAYS, "'cutoff'"),
    "a word for a number": (
        LINE.replace(b'"lmax": 2', b'"lmax": "two"') + b"\n" + ARRAYS,
        "'lmax'",
    ),
    "not a number": (LINE.replace(b"0.25", b"NaN") + b"\n" + ARRAYS, "'shift'"),
    "other sizes": (
        LINE.replace(b"4x0e", b"5x0e") + b"\n" + ARRAYS,
        r"array \d+, linear_2 of layer 1, has the shape \(3, 9\), .* it is \(3, 10\)",
    ),
    "unnatural parity": (LINE.replace(b"3x1o", b"3x1e") + b"\n" + ARRAYS, "'hidden_irreps'"),
    "too high": (LINE.replace(b'"lmax": 2', b'"lmax": 1') + b"\n" + ARRAYS, "'lmax'"),
    "no element": (LINE.replace(b"[1, 14", b"[1, 140") + b"\n" + ARRAYS, "'atomic_numbers'"),
    "an element twice": (LINE.replace(b"[1, 14", b"[1, 8") + b"\n" + ARRAYS, "'atomic_numbers'"),
    "half a power": (LINE.replace(b"6.0,", b"6.5,") + b"\n" + ARRAYS, "'radial_polynomial_p'"),
    "for torch": (LINE + b"\nPK\x03\x04...", "give the .nqx file"),
    "objects": (
        LINE + b"\n" + ARRAYS.replace(b"'<f4'", b"'|O8'", 1).replace(b"  \n", b"  \n"),
        "array 1, the energies of atoms, is missing or damaged",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.nqx"
    path.write_bytes(BAD[name][0])
    with pytest.raises(ModelFileError, match=BAD[name][1]) as caught:
        ladera.load(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).replace("...", "").count(". ") == 0  # one sentence


def test_a_file_cut_in_its_first_line_is_known_as_what_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`ladera info` called it a file of no format that is known."""
    path = tmp_path / "cut.nqx"
    path.write_bytes(WHOLE[:60])
    kind = recognise(path)
    assert kind is not None
    assert kind.name == "a model of Nequix"
    with pytest.raises(SystemExit, match=r"^1$"):
        cli.main(["info", str(path)])
    said = " ".join(capsys.readouterr().err.split())
    assert "is a Nequix model that was cut short within its first line" in said
    assert "of no format" not in said


def test_entries_that_are_no_numbers(tmp_path: Path) -> None:
    data = bytearray(WHOLE)
    at = WHOLE.index(b"\n", WHOLE.index(b"'shape': (5, 6)")) + 1
    data[at : at + 4] = np.float32(np.nan).tobytes()
    (tmp_path / "bad.nqx").write_bytes(data)
    with pytest.raises(ModelFileError, match="radial network of layer 1, has entries that are no"):
        ladera.load(tmp_path / "bad.nqx")
    with pytest.raises(LaderaError, match="There is no model file"):
        ladera.load(tmp_path / "missing.nqx")
