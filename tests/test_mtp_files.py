"""Moment tensor potentials in `.mtp` files: the way out and back, and files that are wrong."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import torch
from ase import Atoms

import ladera
from cases import shared
from conftest import moment_tensor, water_like
from ladera.citing import works
from ladera.cli import main
from ladera.codes import mtp
from ladera.codes.mtp.parsing import first_fault
from ladera.data.formats import read
from ladera.errors import ConfigError, ModelFileError
from ladera.models.mtp import MTP
from ladera.models.mtp.generation import program_of_level
from ladera.models.mtp.graphs import scalars
from ladera.testing import predict
from ladera.training.evaluation import evaluate_dataset

WATER = water_like(9, 5.5, True, 2)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of two types, without the names that Ladera gives them."""
    (path,) = mtp.export(moment_tensor(), tmp_path / "fitted.mtp")
    path.write_text(path.read_text().replace("types H O", ""))
    return path


def changed(path: Path, before: str, after: str) -> Path:
    """The file with a part of its text replaced, once."""
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    return path


def assert_same(one: MTP, other: MTP, atoms: Atoms = WATER) -> None:
    ours, theirs = predict(one, atoms), predict(other, atoms)
    torch.testing.assert_close(ours.energy, theirs.energy, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.forces, theirs.forces, rtol=0, atol=1e-12)


def test_radial_functions_that_no_moment_has_are_left_out(file: Path) -> None:
    lines = file.read_text().replace("_funcs_count = 2", "_funcs_count = 3").splitlines()
    last = [k for k, line in enumerate(lines) if line.startswith("\t\t\t{")][1::2]
    for k in reversed(last):
        lines.insert(k + 1, "\t\t\t{1, 2, 3, 4, 5}")
    file.write_text("\n".join(lines) + "\n")
    assert_same(mtp.load(file, types=("H", "O")), moment_tensor())


def test_the_way_out_and_back(tmp_path: Path) -> None:
    model = moment_tensor()
    first, second = tmp_path / "a.mtp", tmp_path / "b.mtp"
    mtp.export(model, first)
    again = ladera.load(first)
    assert again.symbols == ("H", "O")
    assert isinstance(again, MTP)
    assert_same(model, again)
    mtp.export(again, second)
    assert first.read_text() == second.read_text()
    assert again.config.level == model.config.level
    assert again.provenance["types"] == ["H", "O"]


def test_the_types_are_in_the_order_of_the_file(file: Path) -> None:
    """The first type is the heavier element: a model has its elements in their own order."""
    swapped = ladera.load(file, types=("O", "H"))
    assert swapped.symbols == ("H", "O")
    exchanged = WATER.copy()
    exchanged.numbers = 9 - exchanged.numbers
    one = predict(ladera.load(file, types=("H", "O")), WATER).energy
    torch.testing.assert_close(one, predict(swapped, exchanged).energy, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(" = ", "="),
        lambda text: text.replace("}, {", "},\n{"),
        lambda text: text.replace("scaling = 1.0\n", "").replace(
            "RBChebyshev", "RBChebyshev\n\tscaling = 1"
        ),
        lambda text: re.sub(r"(0|1)-(0|1)\n", lambda m: f"{7 * int(m[1])}-{7 * int(m[2])}\n", text),
    ],
    ids=["windows", "no spaces", "lists over lines", "scaling of the functions", "other labels"],
)
def test_files_that_look_otherwise(file: Path, rewrite: object) -> None:
    known = ladera.load(file, types=("H", "O"))
    file.write_bytes(rewrite(file.read_text()).encode())  # type: ignore[operator]
    assert_same(known, ladera.load(file, types=("H", "O")))  # type: ignore[arg-type]


def test_all_radial_functions_are_scaled(file: Path) -> None:
    known = ladera.load(file, types=("H", "O"))
    doubled = ladera.load(changed(file, "scaling = 1.0", "scaling = 2.0"), types=("H", "O"))
    changed(file, "RBChebyshev", "RBChebyshev\n\tscaling = 0.5")
    assert_same(known, ladera.load(file, types=("H", "O")))  # type: ignore[arg-type]
    ratio = doubled.radial_coefficients / known.radial_coefficients
    torch.testing.assert_close(ratio, torch.full_like(ratio, 2.0))


def test_an_active_set_is_left_aside(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = ladera.load(file, types=("H", "O"))
    with file.open("ab") as end:
        end.write(b"\n#MVS_v1.1\nenergy_weight 1.0\n#\x00\xff{{{ = \x80")
    with caplog.at_level(logging.INFO, "ladera"):
        again = ladera.load(file, types=("H", "O"))
    assert "active set, is not read" in caplog.text
    assert_same(known, again)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("version = 1.1.0", "version = 2.0", r"line 2: it has version '2.0'"),
        ("RBChebyshev", "RBChebyshev_repuls", r"line 7: .*type 'RBChebyshev_repuls', and Ladera"),
        ("\tradial_funcs", "magnetic_basis_type = B\n\tradial_funcs", r"line 11: 'magnetic_basis"),
        ("species_count = 2", "species_count = 3", "ask for 27"),
        ("species_count = 2", "species_count = 2 # two", "line 5: expected a whole number"),
        ("species_count", "species_cuont", "line 5: .* did you mean 'species_count'"),
        ("max_dist", "min_dist", "'min_dist' stands a second time, first on line 8"),
        ("min_dist = 0.5", "min_dist = 9", "expected 0 < min_dist < max_dist"),
        ("_size = 5", "_size = 6", "line 14: 5 coefficients stand here"),
        ("_funcs_count = 2", "_funcs_count = 1", "have 2 radial functions, and radial_funcs_count"),
        ("_funcs_count = 2", "_funcs_count = 3", "radial_funcs_count 3 ask for 16"),
        ("0-1", "1-0", "line 12: .*not in order"),
        ("basic_count = 11", "basic_count = 12", "has 11 entries, and alpha_index_basic_count"),
        ("{0, 1, 0, 0}", "{0, 1, 0}", "expected rows of four numbers"),
        ("{0, 1, 0, 0}", "{0, 99, 0, 0}", "no moment of a level up to 28"),
        ("{0, 1, 0, 0}", "{0, x, 0, 0}", "expected a whole number, found 'x'"),
        ("times = {{0", "times = {{99", "names moment 99"),
        ("times = {{0", "times = {{12", "uses moment 12 before it is complete"),
        ("alpha_scalar_moments = 9", "alpha_scalar_moments = 8", "has 9 entries"),
        ("mapping = {0", "mapping = {18", "moment 18 is made by no product"),
        ("moment_coeffs = {", "moment_coeffs = {1.0, ", "moment_coeffs has 10 entries"),
        ("moment_coeffs = {", "moment_coeffs = {nan, ", "expected a number, found 'nan'"),
        ("species_coeffs", "# species_coeffs", "is no line of an .mtp file"),
        ("MTP\n", "MTP4\n", "is a text and no model"),
    ],
)
def test_wrong_files(file: Path, before: str, after: str, message: str) -> None:
    changed(file, before, after)
    with pytest.raises(ModelFileError, match=message) as raised:
        ladera.load(file, types=("H", "O"))
    assert str(file) in str(raised.value)


def test_files_that_are_cut_short(file: Path) -> None:
    text = file.read_bytes()
    for length in range(5, len(text) - 2, 97):
        file.write_bytes(text[:length])
        with pytest.raises(ModelFileError, match=r"fitted\.mtp"):
            ladera.load(file, types=("H", "O"))


def test_a_file_that_was_never_trained(file: Path) -> None:
    text = re.sub(r"\tradial_coeffs\n(\t\t.*\n)*|(species|moment)_coeffs.*\n", "", file.read_text())
    file.write_text(text)
    with pytest.raises(ModelFileError, match=r"never trained: .*architecture: mtp, level: 8"):
        ladera.load(file, types=("H", "O"))
    assert mtp.described(file)["trained"] == "no"


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ((), r"numbers its 2 types \(0, 1\) .*ladera import .*fitted.mtp --types Li P --output"),
        (("O",), r"has 2 types, and types names 1 \(O\)"),
        (("O", "Hx"), "'Hx' is no element"),
        (("O", "O"), "would be the same element"),
    ],
)
def test_types_are_asked_for(file: Path, types: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ladera.load(file, types=types)


def test_types_against_those_that_the_file_names(tmp_path: Path) -> None:
    mtp.export(moment_tensor(), tmp_path / "a.mtp")
    with pytest.raises(ConfigError, match="says that its types are H O, and not O H"):
        ladera.load(tmp_path / "a.mtp", types=("O", "H"))
    ladera.modelfile.save(moment_tensor(), tmp_path / "a.ladera")
    with pytest.raises(ConfigError, match="names its elements itself; give no types"):
        ladera.load(tmp_path / "a.ladera", types=("H", "O"))


def test_what_no_file_has_a_place_for(tmp_path: Path) -> None:
    ladera.modelfile.save(moment_tensor(), tmp_path / "a.ladera")
    with pytest.raises(ConfigError, match=r"no place for .*\(zbl\)"):
        mtp.export(ladera.load(tmp_path / "a.ladera", zbl=True), tmp_path / "a.mtp")


@pytest.mark.parametrize("level", [2, 8, 12, 16])
def test_generated_programs_are_in_order(level: int) -> None:
    program = program_of_level(level)
    n_basic = len(program.basic)
    assert not first_fault(n_basic, program.n_moments, program.products.tolist())


@pytest.mark.parametrize(
    ("name", "types"),
    [(f"mlearn_potentials/{symbol}/mtp/fitted.mtp", (symbol,)) for symbol in ("Li", "Ni", "Si")]
    + [
        ("ionic_conductors/mtp_potentials/Li3YCl6/fitted.mtp.PBE.PBE", ("Li", "Y", "Cl")),
        (
            "ionic_conductors/mtp_potentials/Li0.33La0.56TiO3/fitted.mtp.PBE.PBE",
            ("Li", "La", "Ti", "O"),
        ),
    ],
)
def test_published_potentials(name: str, types: tuple[str, ...]) -> None:
    potential = ladera.load(shared(f"data/{name}"), types=types)
    assert set(potential.symbols) == set(types)
    assert isinstance(potential, MTP)
    assert len(potential.program.scalars) == len(scalars(potential.config.level))


@pytest.mark.parametrize(
    ("symbol", "energy", "forces"), [("Li", 0.66, 13.2), ("Ni", 0.75, 26.9)], ids=["Li", "Ni"]
)
def test_errors_of_published_potentials(symbol: str, energy: float, forces: float) -> None:
    """On the test frames of Zuo et al. (2020), as another program has them (meV)."""
    frames = read(shared(f"data/mlearn/{symbol}_test.extxyz.gz"))
    potential = ladera.load(
        shared(f"data/mlearn_potentials/{symbol}/mtp/fitted.mtp"), types=(symbol,)
    )
    found = evaluate_dataset(potential, frames).to_json()
    assert found["energy"]["rmse"] == pytest.approx(energy, rel=0.01)
    assert found["forces"]["rmse"] == pytest.approx(forces, rel=0.01)


@pytest.mark.parametrize("name", ["cubic/16", "multi/10", "molecules/291/10"])
def test_numbers_of_mlip(name: str) -> None:
    """What the MLIP code itself computed, printed with six decimals in forces."""
    symbols = ("O", "C", "H")  # not in the order of their numbers, which is the model's
    folder = shared(f"data/mtp_golden/{name}/pot.mtp").parent
    (outputs,) = folder.glob("out.cfg*")
    types = symbols[: int(mtp.described(folder / "pot.mtp")["types"].split(",")[0])]
    potential = ladera.load(folder / "pot.mtp", types=types)
    for frame in read(outputs, types=types)[:3]:
        found = predict(potential, frame.to_atoms())
        assert float(found.energy) == pytest.approx(frame.energy, abs=1e-11)
        expected = torch.from_numpy(frame.forces)
        torch.testing.assert_close(found.forces.detach(), expected, rtol=0, atol=5.1e-7)
        if frame.stress is not None:
            volume_stress = frame.volume * (found.stress.detach()[0].numpy() - frame.stress)
            assert abs(volume_stress).max() < 5.1e-6


def test_what_a_file_says_of_itself(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a word on its elements; and how it becomes a model."""
    model, out = str(tmp_path / "model.ladera"), str(tmp_path / "out.mtp")
    said = [
        _run(capsys, *words)
        for words in (
            ("info", str(file)),
            ("import", str(file), "--types", "O", "H", "--output", model),
            ("export", model, out, "--to", "mtp"),
        )
    ]
    assert "Types: 2, whose elements it does not say" in said[0]
    assert "Level: 8, 9 functions" in said[0]
    assert "0 H, 1 O (from 1 on in LAMMPS)" in said[2]
    assert {"shapeev2016", "novikov2021"} <= {work.key for work in works(str(file))[0]}
    assert_same(ladera.load(model), ladera.load(out))  # type: ignore[arg-type]


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    said = capsys.readouterr()
    assert not stop.value.code, said.err
    return said.out
