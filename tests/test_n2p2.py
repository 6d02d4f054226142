"""Folders of n2p2 and RuNNer: what is read, what is refused, and the way back."""

from __future__ import annotations

import os
import re
import subprocess
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ladera
from conftest import (
    SPECIES,
    fitted,
    functions_beyond_n2p2,
    lennard_jones,
    mixed_functions,
    water_like,
)
from ladera.cli import main
from ladera.codes import n2p2
from ladera.codes.n2p2 import weights
from ladera.codes.n2p2.settings import Line, Settings, SettingsWarning
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.errors import ConfigError, LaderaError, ModelFileError
from ladera.kernels.symmetry_functions.functions import GaussianFunction, PolynomialFunction
from ladera.models.hdnnp import HDNNP, HDNNPConfig
from ladera.testing import predict
from ladera.units import ATOMIC, METAL, UNIT_SYSTEMS

ATOMS = water_like(8, 5.0, True, 1)
# Those of one shape: n2p2 confuses narrow polynomial functions that differ in nothing else.
FUNCTIONS = [
    f for f in mixed_functions(4.0) if not isinstance(f, PolynomialFunction) or f.shape != "poly4"
]
N2P2 = os.environ.get("LADERA_BENCH_N2P2")


def hdnnp(**values: Any) -> HDNNP:
    """A potential with random weights and biases."""
    config: dict[str, Any] = {
        "symmetry_functions": FUNCTIONS,
        "hidden_layers": (5, 4),
        "activation": "tanh",
        "scaling": "scale_center",
    }
    potential = fitted(HDNNPConfig(species=SPECIES, cutoff=4.0, **config | values))
    assert isinstance(potential, HDNNP)
    with torch.no_grad():
        for parameter in potential.parameters():
            parameter.add_(0.1 * torch.rand_like(parameter))
    return potential


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that can be read, to be damaged."""
    n2p2.export(hdnnp(), tmp_path / "nnp")
    return tmp_path / "nnp"


def edit(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before
    path.write_text(after, encoding="utf-8")


def add(folder: Path, *lines: str) -> None:
    edit(folder / "input.nn", lambda text: "\n".join([*lines, text]))


def replace(folder: Path, old: str, new: str) -> None:
    edit(folder / "input.nn", lambda text: re.sub(old, new, text, count=1, flags=re.MULTILINE))


def energy(path: Path, **options: Any) -> float:
    return predict(ladera.load(path, **options), ATOMS).energy.item()


# --- there and back ----------------------------------------------------------------------------


VARIANTS: dict[str, dict[str, Any]] = {
    "none": {"scaling": "none"},
    "scale": {"scaling": "scale", "scale_range": (-1.0, 1.5), "cutoff_function": "cosine"},
    "center": {"scaling": "center", "cutoff_function": "poly3", "cutoff_alpha": 0.2},
    "sigma": {"scaling": "sigma", "activation": "softplus", "cutoff_function": "tanh3"},
    "output": {"activation": ("gaussian", "tanh", "logistic")},
    "divided": {"normalize_nodes": True, "activation": ("relu", "cosine")},
    "widths": {"hidden_layers": {"H": (3, 6), "O": (5, 4)}},
    "divided_widths": {"hidden_layers": {"H": (3, 6), "O": (5, 4)}, "normalize_nodes": True},
    "own_activation": {"activation": {"H": ("exponential", "tanh"), "O": "reversed_logistic"}},
}


@pytest.mark.parametrize("units", UNIT_SYSTEMS)
@pytest.mark.parametrize("name", VARIANTS)
def test_export_and_load_give_the_same_energies(name: str, units: str, tmp_path: Path) -> None:
    potential = hdnnp(**VARIANTS[name])
    files = n2p2.export(potential, tmp_path, UNIT_SYSTEMS[units])
    assert {file.name for file in files} == {path.name for path in tmp_path.iterdir()}
    again = ladera.load(tmp_path)
    assert again.provenance["units"] == units
    before, after = predict(potential, ATOMS), predict(again, ATOMS)
    torch.testing.assert_close(after.atomic_energies, before.atomic_energies, rtol=1e-13, atol=0)
    torch.testing.assert_close(after.forces, before.forces, rtol=1e-10, atol=1e-11)


@pytest.mark.skipif(N2P2 is None, reason="LADERA_BENCH_N2P2 does not say where n2p2 is built")
@pytest.mark.parametrize("name", VARIANTS)
def test_n2p2_itself_computes_the_same(name: str, tmp_path: Path) -> None:
    potential = hdnnp(**VARIANTS[name])
    n2p2.export(potential, tmp_path)
    atoms = water_like(30, 8.0, False, 1)
    prediction = predict(potential, atoms)
    frame = Frame(
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=np.zeros((3, 3)),
        periodic=np.zeros(3, dtype=bool),
        energy=0.0,
        forces=np.zeros((len(atoms), 3)),
    )
    formats.write(Dataset.from_frames([frame]), tmp_path / "input.data", units=ATOMIC)
    program = Path(str(N2P2)) / "bin" / "nnp-predict"
    subprocess.run([program, "0"], cwd=tmp_path, check=True, capture_output=True)
    energy = float(np.loadtxt(tmp_path / "energy.out")[3])
    assert energy == pytest.approx(prediction.energy.item() / ATOMIC.energy, rel=1e-13)
    forces = np.loadtxt(tmp_path / "nnforces.out")[:, -3:]
    np.testing.assert_allclose(forces, prediction.forces.numpy() / ATOMIC.force, atol=1e-9)


@pytest.mark.parametrize("units", UNIT_SYSTEMS)
def test_the_lines_for_lammps_fit_the_folder(units: str, tmp_path: Path) -> None:
    """With LAMMPS's metal units; benchmarks/lammps_hdnnp.py runs them."""
    potential, system = hdnnp(), UNIT_SYSTEMS[units]
    n2p2.export(potential, tmp_path, system)
    text = (tmp_path / "input.nn").read_text()
    style = re.search(r"# +pair_style hdnnp (\S+) dir DIR .*cflength (\S+) cfenergy (\S+)\n", text)
    assert style is not None
    cutoff, length, energy = (float(word) for word in style.groups())
    assert potential.cutoff < cutoff < 1.001 * potential.cutoff
    assert length * system.length == pytest.approx(1, rel=1e-15)
    assert energy * system.energy == pytest.approx(1, rel=1e-15)
    assert f"pair_coeff * * {' '.join(potential.symbols)} " in text


def test_a_second_round_trip_changes_nothing(folder: Path, tmp_path: Path) -> None:
    n2p2.export(ladera.load(folder), tmp_path / "second")
    n2p2.export(ladera.load(tmp_path / "second"), tmp_path / "third")
    for path in (tmp_path / "second").iterdir():
        assert (tmp_path / "third" / path.name).read_text() == path.read_text()


def test_numbers_of_the_file_are_written_as_they_were(folder: Path) -> None:
    line = "symfunction_short H 2 O 0.123 1.1 7.4"
    add(folder, line)
    edit(
        folder / "input.nn",
        lambda text: re.sub(r"(?m)^symfunction_short H (?!.*0\.123).*", "", text),
    )
    found = n2p2.reading.read_settings(folder)
    (function,) = n2p2.symmetry_functions.read(found, ATOMIC)["H"]
    assert n2p2.symmetry_functions.write(function, ATOMIC).split() == line.split()


@pytest.mark.parametrize("normalize", [False, True])
def test_principal_components_go_into_the_first_weights(tmp_path: Path, normalize: bool) -> None:
    potential = hdnnp(scaling="principal", components={"H": 6, "O": 4}, normalize_nodes=normalize)
    n2p2.export(potential, tmp_path / "nnp")
    read = ladera.load(tmp_path / "nnp")
    assert read.config.scaling == "center"
    expected, found = predict(potential, ATOMS), predict(read, ATOMS)
    assert found.energy.item() == pytest.approx(expected.energy.item(), rel=1e-13)
    torch.testing.assert_close(found.forces, expected.forces, rtol=1e-10, atol=1e-12)


def test_a_scaled_tanh_is_written_as_a_plain_one(tmp_path: Path) -> None:
    potential = hdnnp(activation={"H": ("tanh_scaled", "softplus"), "O": "tanh_scaled"})
    n2p2.export(potential, tmp_path / "nnp")
    assert "tanh_scaled" in str(potential.config.activation)
    expected = predict(potential, ATOMS).energy.item()
    assert energy(tmp_path / "nnp") == pytest.approx(expected, rel=1e-13)


def test_constant_functions_of_a_model_do_not_divide_by_zero(tmp_path: Path) -> None:
    for scaling in ("scale", "scale_center", "sigma"):
        potential = hdnnp(scaling=scaling)
        potential.maximum[0, 2] = potential.minimum[0, 2] = potential.mean[0, 2]
        potential.deviation[0, 2] = 0.0
        n2p2.export(potential, tmp_path / scaling)
        expected = predict(potential, ATOMS).energy.item()
        assert energy(tmp_path / scaling) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"symmetry_functions": functions_beyond_n2p2(4.0)},
            "kind chebyshev_angular and chebyshev_radial and shifted_wide, which n2p2 does not",
        ),
        ({"activation": "tanh_twist"}, "has the activation tanh_twist, which n2p2 does not"),
        ({"hidden_layers": {"H": (3,), "O": (4, 4)}}, r"different numbers of hidden layers \(1, 2"),
        (
            {"activation": {"H": ("tanh", "tanh", "tanh"), "O": "tanh"}},
            r"different output activations \(linear, tanh\)",
        ),
    ],
)
def test_what_n2p2_cannot_express_is_refused(
    values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        n2p2.export(hdnnp(**values), tmp_path / "nnp")
    assert not (tmp_path / "nnp").exists()


def test_what_n2p2_computes_wrongly_is_named(tmp_path: Path) -> None:
    potential = hdnnp(symmetry_functions=mixed_functions(4.0))
    with pytest.warns(SettingsWarning, match="n2p2 confuses narrow polynomial functions") as caught:
        n2p2.export(potential, tmp_path)
    assert "of H and O that differ in their shape" in str(caught[0].message)
    before, after = predict(potential, ATOMS), predict(ladera.load(tmp_path), ATOMS)
    torch.testing.assert_close(after.energy, before.energy, rtol=1e-13, atol=0)


def test_only_networks_on_symmetry_functions_are_exported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="architecture lennard_jones cannot be written for n2p2"):
        n2p2.export(lennard_jones(), tmp_path)


@given(data=st.data(), units=st.sampled_from(sorted(UNIT_SYSTEMS)))
@settings(max_examples=60, deadline=None)
def test_every_function_survives_its_line(data: st.DataObject, units: str) -> None:
    system = UNIT_SYSTEMS[units]
    function = data.draw(st.sampled_from(mixed_functions(4.0)))
    scale = data.draw(st.floats(0.1, 10.0))
    lengths = {"cutoff", "shift", "inner"} & set(type(function).model_fields)
    changed = {name: getattr(function, name) * scale for name in lengths}
    if isinstance(function, GaussianFunction):
        changed["eta"] = data.draw(st.floats(0.0, 50.0))
    function = function.model_copy(update=changed)
    text = "elements O H\n" + n2p2.symmetry_functions.write(function, system)
    for center in SPECIES:
        if center != function.center:
            text += f"\nsymfunction_short {center} 2 H 1 0 6"
    lines = [Line(w[0], tuple(w[1:]), 1) for w in map(str.split, text.splitlines())]
    found = n2p2.symmetry_functions.read(Settings(Path("input.nn"), lines), system)
    (again,) = found[function.center]
    assert again.model_dump(exclude=set(changed)) == function.model_dump(exclude=set(changed))
    for name in changed:  # the last bit may be lost, for not every number has a neighbour in Bohr
        assert getattr(again, name) == pytest.approx(getattr(function, name), rel=4e-16)


@given(
    name=st.sampled_from(["input.nn", "scaling.data", "weights.001.data"]),
    cut=st.floats(0, 1),
    junk=st.text(max_size=40),
)
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_in_the_files_gives_a_sentence(
    folder: Path, name: str, cut: float, junk: str
) -> None:
    path = folder / name
    before = path.read_bytes()
    place = int(cut * len(before))
    path.write_bytes(before[:place] + junk.encode("utf-8", "replace") + before[place + 7 :])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SettingsWarning)
            energy(folder, units="bohr-hartree")
        sentence = ""
    except LaderaError as error:
        sentence = str(error)
    finally:
        path.write_bytes(before)
    assert len(sentence.splitlines()) <= 1


# --- spellings ---------------------------------------------------------------------------------


def test_aliases_comments_and_tabs(folder: Path) -> None:
    before = energy(folder)
    replace(folder, r"^elements", "! a comment\n\r\nnnp_gen 2 # 2G\nelements\t")
    edit(folder / "input.nn", lambda text: text.replace("symfunction_short", "symfunction\t"))
    assert energy(folder) == before


def test_elements_are_sorted_by_atomic_number(folder: Path) -> None:
    before = energy(folder)
    replace(folder, r"^elements H O", "elements O H")
    assert energy(folder) == before


def test_normalization_and_offsets_shift_and_scale(folder: Path) -> None:
    potential = hdnnp()
    replace(folder, r"^mean_energy.*", "mean_energy -0.75")
    replace(folder, r"^conv_energy.*", "conv_energy 4.0")
    replace(folder, r"^conv_length.*", "conv_length 123.0")
    replace(folder, r"^atom_energy O.*", "atom_energy O -2.5d0")
    replace(folder, r"^atom_energy H.*", "")
    found = predict(ladera.load(folder), ATOMS).atomic_energies / ATOMIC.energy
    constants = (potential.reference_energies + potential.energy_shift)[
        potential.element_index(predict(potential, ATOMS).graph)
    ]
    network = (predict(potential, ATOMS).atomic_energies - constants) / potential.energy_scale
    offset = torch.where(torch.from_numpy(ATOMS.numbers) == 8, -2.5, 0.0).double()
    torch.testing.assert_close(found, network / 4.0 - 0.75 + offset, rtol=1e-12, atol=1e-12)


def rewrite_weights(folder: Path, symbol: str, sizes: tuple[int, ...]) -> None:
    generator = np.random.default_rng(5)
    layers = [
        (generator.normal(size=(n_out, n_in)), generator.normal(size=n_out))
        for n_in, n_out in pairwise(sizes)
    ]
    weights.write(folder / weights.file_name(symbol), layers)


@pytest.mark.parametrize(
    ("lines", "hidden"),
    [
        (["element_nodes_short O 3 2"], (3, 2)),  # what the words mean
        (["element_nodes_short O 3 2"], (3, 4)),  # what n2p2 makes of them
        (["element_nodes_short O 2 3"], (5, 3)),  # RuNNer, n2p2 up to 2.3
        (["element_nodes_short O 2 3"], (2, 3)),
        (["element_nodes_short O 2 3"], (2, 4)),
        (["element_nodes_short O 1 6", "element_nodes_short O 2 7"], (6, 7)),
        (["element_hidden_layers_short O 1", "element_nodes_short O 1 9"], (9,)),
        (["element_hidden_layers_short O 3", "element_nodes_short O 4 3 2"], (4, 3, 2)),
    ],
)
def test_nodes_of_one_element_are_read_as_its_weights_say(
    folder: Path, lines: list[str], hidden: tuple[int, ...]
) -> None:
    add(folder, *lines)
    count = sum(line.startswith("symfunction_short O") for line in lines_of(folder))
    rewrite_weights(folder, "O", (count, *hidden, 1))
    if len(hidden) != 2:
        add(folder, f"element_activation_short O {'t ' * len(hidden)}l")
    config = ladera.load(folder).config
    assert isinstance(config, HDNNPConfig)
    assert config.network("O").hidden_layers == hidden
    assert config.network("H").hidden_layers == (5, 4)


def lines_of(folder: Path) -> list[str]:
    return (folder / "input.nn").read_text(encoding="utf-8").splitlines()


def test_activations_of_one_element(folder: Path) -> None:
    add(folder, "element_activation_short O g s l")
    assert ladera.load(folder).config.network("O").activations == ("gaussian", "logistic", "linear")
    replace(folder, "^element_activation_short.*", "element_activation_short O 2 s")
    assert ladera.load(folder).config.network("O").activations == ("tanh", "logistic", "linear")
    replace(folder, "^element_activation_short.*", "element_activation_short O g s t")
    with pytest.warns(SettingsWarning, match="output of O keeps the activation 'l', as in n2p2"):
        shape = ladera.load(folder).config.network("O")
    assert shape.activations == ("gaussian", "logistic", "linear")


def test_a_function_that_stands_twice_counts_once(folder: Path) -> None:
    before = energy(folder)
    function = next(line for line in lines_of(folder) if line.startswith("symfunction_short H"))
    add(folder, function)
    rows = (folder / "scaling.data").read_text(encoding="utf-8").splitlines()
    first = next(i for i, row in enumerate(rows) if not row.startswith("#"))
    own = [row.split()[2:] for row in rows[first:] if row.split()[0] == "1"]
    new = [own[0], *own]
    text = [f"1 {k} {' '.join(words)}" for k, words in enumerate(new, start=1)]
    rows[first : first + len(own)] = text
    (folder / "scaling.data").write_text("\n".join(rows), encoding="utf-8")
    path = folder / weights.file_name("H")
    values = weights.read(path)
    old = weights.as_layers(path, values, (len(own), 5, 4, 1))
    doubled = np.concatenate([old[0][0][:, :1] / 2, old[0][0]], axis=1)
    doubled[:, 1] /= 2
    weights.write(path, [(doubled, old[0][1]), *old[1:]])
    with pytest.warns(SettingsWarning, match="H has 1 symmetry functions twice"):
        assert energy(folder) == pytest.approx(before, rel=1e-13)


def test_sigma_scaling_counts_only_alone(folder: Path) -> None:
    before = energy(folder)
    add(folder, "scale_symmetry_functions_sigma")
    with pytest.warns(SettingsWarning, match="has no effect beside 'scale_symmetry_functions'"):
        assert energy(folder) == before


def test_old_scaling_files_have_no_sigma(folder: Path) -> None:
    before = energy(folder)
    edit(
        folder / "scaling.data",
        lambda text: re.sub(r"(?m)^(\s*\d+\s+\d+(?:\s+\S+){3})\s+\S+$", r"\1", text) + "0.0 0.0\n",
    )
    assert energy(folder) == before
    replace(folder, "^scale_symmetry_functions$", "")
    replace(folder, "^center_symmetry_functions$", "scale_symmetry_functions_sigma")
    with pytest.raises(ModelFileError, match="no column sigma"):
        ladera.load(folder)


# --- bad input ---------------------------------------------------------------------------------


def refused(folder: Path, message: str, kind: type[LaderaError] = ConfigError) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SettingsWarning)
        with pytest.raises(kind, match=message):
            ladera.load(folder)


def test_units_must_be_said(folder: Path) -> None:
    replace(folder, "# Length unit : Bohr", "")
    refused(folder, r"does not say its units; give units='bohr-hartree' or.*`ladera import`")
    assert ladera.load(folder, units="bohr-hartree").provenance["units"] == "bohr-hartree"
    with pytest.raises(ConfigError, match="There are no units 'bohr'"):
        ladera.load(folder, units="bohr")
    with pytest.raises(ConfigError, match="give no units"):
        ladera.load(folder / "input.nn", units="bohr-hartree")
    with pytest.raises(ConfigError, match="There is no folder gone; units are those of a folder"):
        ladera.load("gone", units="bohr-hartree")


def test_a_file_is_no_folder_to_export_to(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, taken = tmp_path / "model.ladera", tmp_path / "taken"
    ladera.load(folder).save(model)
    taken.write_text("mine")
    with pytest.raises(SystemExit) as end:
        main(["export", str(model), str(taken), "--to", "n2p2"])
    assert end.value.code == 1
    assert "taken is a file; name a folder for the files of n2p2." in capsys.readouterr().err
    assert taken.read_text() == "mine"


@pytest.mark.parametrize("change", ["short", "long", "word", "nan", "gone"])
def test_damaged_weights(folder: Path, change: str) -> None:
    path = folder / "weights.008.data"
    lines = path.read_text(encoding="utf-8").splitlines()
    if change == "gone":
        path.unlink()
    else:
        new = {
            "short": lines[:-3],
            "long": [*lines, lines[-1]],
            "word": [*lines[:-1], "one b 1 1"],
            "nan": [*lines[:-1], "nan b 1 1"],
        }[change]
        path.write_text("\n".join(new), encoding="utf-8")
    expected = {
        "short": r"weights\.008\.data is too short: it has \d+ values, but a network \d+-5-4-1 has",
        "long": r"weights\.008\.data is too long",
        "word": r"weights\.008\.data, line \d+: expected a number, found 'one'",
        "nan": r"weights\.008\.data, line \d+: expected a number, found 'nan'",
        "gone": r"weights\.008\.data cannot be read \(No such file",
    }[change]
    refused(folder, expected, ModelFileError)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], r"scaling\.data has \d+ rows, but input\.nn has \d+ symmetry"),
        (lambda rows: [*rows, rows[-1]], "it belongs to another set of functions"),
        (lambda rows: [*rows[:-2], rows[-1], rows[-2]], r"line \d+: it is of element 2, function"),
        (lambda rows: [*rows[:-1], "2 9 0 nan 0 1"], "expected a number, found 'nan'"),
        (lambda rows: [*rows[:-1], " ".join(rows[-1].split()[:4])], "expected 5 numbers"),
        (
            lambda rows: [*rows[:-1], " ".join([*rows[-1].split()[:2], "2.0 1.0 1.5 0.1"])],
            "its minimum 2 is above its maximum 1",
        ),
    ],
)
def test_scaling_of_another_set_of_functions(
    folder: Path, change: Callable[[list[str]], list[str]], message: str
) -> None:
    edit(folder / "scaling.data", lambda text: "\n".join(change(text.splitlines())))
    refused(folder, message, ModelFileError)


@pytest.mark.parametrize("mode", ["scale", "sigma"])
def test_a_constant_function_is_named(folder: Path, mode: str) -> None:
    if mode == "sigma":
        replace(folder, "^scale_symmetry_functions$", "")
        replace(folder, "^center_symmetry_functions$", "scale_symmetry_functions_sigma")
    edit(
        folder / "scaling.data",
        lambda text: re.sub(r"(?m)^ +1 +2 .*", "1 2 0.5 0.5 0.5 0.0", text),
    )
    refused(folder, r"function 2 of H \(radial with \w, cutoff .* is constant", ModelFileError)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("symfuncton_short H 2 H 1 0 6", "no 'symfuncton_short'; did you mean 'symfunction_short'"),
        ("scale_symetry_functions", "did you mean 'scale_symmetry_functions'"),
        ("Cutoff_type 2", "did you mean 'cutoff_type'"),
        ("elements H O", "line [0-9]+: 'elements' stands on line [0-9]+ already"),
        ("symfunction H 2 H 1 0 6", r"stands on line [0-9]+ \(as 'symfunction'\) already"),
        ("atom_energy O 1.0", "'atom_energy' is given twice for O"),
        ("atom_energy C 1.0", "names the element 'C'"),
        ("cutoff_alpha 0.5", "RuNNer's alone: write it as second number of 'cutoff_type'"),
        ("use_electrostatics", "fixed charges are not supported"),
        ("symfunction_short H 4 H 1 0 6", "no symmetry function type 4; n2p2 has 2, 3, 9"),
        ("symfunction_short H 2 H 1 0", "type 2 takes 'e1 eta shift cutoff' after the type"),
        ("symfunction_short H 3 H H 1 1 1 6 0 0", "found 8"),
        ("symfunction_short H 2 C 1 0 6", "names the element 'C'; choose one of: H, O"),
        ("symfunction_short H 2 H x 0 6", "'symfunction_short' has 'x', expected a number"),
        ("symfunction_short H 2 H -1 0 6", "impossible symmetry function .*eta"),
        ("symfunction_short H 3 H H 1 1 0.5 6", "zeta = 0.5 is below 1"),
        ("symfunction_short H 20 H 0 6 p9", "no shape 'p9'; choose one of e, p1"),
        ("symfunction_short", "names the element ''"),
        ("nnp_type 3G", "no potential of type '3G'"),
        ("nnp_type Q-HDNNP", "no potential of type 'Q-HDNNP'"),
        ("conv_charge 1.0\nmean_energy 1", "'mean_energy' stands on line"),
        ("element_nodes_short O 1 2 3", "does not fit the 2 hidden layers of O"),
        ("element_nodes_short O 1 3\nelement_nodes_short O 1 4", "gives a layer of O twice"),
        ("element_activation_short O t", "does not fit the 2 hidden layers of O"),
        ("element_activation_short O q t l", "no activation 'q'"),
        ("element_hidden_layers_short O 0", "0 hidden layers are too few"),
    ],
)
def test_lines_that_are_refused(folder: Path, line: str, message: str) -> None:
    add(folder, *line.split("\n"))
    refused(folder, message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"^elements H O", "elements H Ox", "'Ox' is not a chemical symbol"),
        (r"^elements H O", "elements H O H", "an element stands twice"),
        (r"^elements H O", "", "'elements' is missing"),
        (r"^elements H O", "elements", "'elements' has no value"),
        (r"^number_of_elements 2", "number_of_elements 3", "number_of_elements is 3"),
        (r"^cutoff_type.*", "cutoff_type 9", "no cutoff_type 9; n2p2 has 0 to 8"),
        (r"^cutoff_type.*", "cutoff_type 1 1.0", "alpha is 1; expected"),
        (r"^cutoff_type.*", "cutoff_type 1.5", "expected a whole number"),
        (r"^cutoff_type.*", "", "'cutoff_type' is missing"),
        (r"^conv_energy.*", "", "the normalisation lacks conv_energy"),
        (r"^conv_energy.*", "conv_energy 0", "'conv_energy' is 0; expected more than 0"),
        (r"^global_nodes_short.*", "global_nodes_short 5", "has 1 entries, but"),
        (r"^global_nodes_short.*", "", "does not give the nodes of every hidden layer"),
        (r"^global_activation_short.*", "", "an activation is missing"),
        (r"^global_activation_short.*", "global_activation_short t t q", "no activation 'q'"),
        (r"^global_hidden_layers_short.*", "", "'global_hidden_layers_short' is missing"),
        (r"^scale_max_short.*", "scale_max_short 0.0", "must have two different values"),
        (r"(?s)^symfunction_short O.*", "", "O has no symmetry functions"),
        (r"(?s).*", "# nothing", "has no keywords"),
    ],
)
def test_settings_that_are_refused(folder: Path, old: str, new: str, message: str) -> None:
    replace(folder, old, new)
    refused(folder, message)


def test_unknown_keywords_that_do_no_harm_are_named(folder: Path) -> None:
    before = energy(folder)
    add(folder, "use_short_nn", "bond_threshold 0.4")
    with pytest.warns(SettingsWarning) as caught:
        assert energy(folder) == before
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 2
    assert "line 1: 'use_short_nn' is unknown and has no effect" in messages[0]


def test_folders_that_are_none(tmp_path: Path) -> None:
    refused(tmp_path, r"is a folder without input\.nn; check the path")
    (tmp_path / "model.ladera").touch()
    with pytest.raises(ConfigError, match=r"did you mean .*model\.ladera\?"):
        n2p2.load(tmp_path)


# --- command line ------------------------------------------------------------------------------


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0)


def test_import_and_export(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = tmp_path / "model.ladera", tmp_path / "out"
    assert run("import", folder, "--output", model) == 0
    assert "hdnnp for H, O" in capsys.readouterr().out
    assert energy(model) == energy(folder)
    assert run("info", model) == 0
    assert "Imported from n2p2" in capsys.readouterr().out
    assert run("export", model, out, "--to", "n2p2", "--units", "angstrom-ev") == 0
    assert ladera.load(out).provenance["units"] == METAL.name
    assert energy(out) == pytest.approx(energy(folder), rel=1e-13)


def test_nothing_is_overwritten(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.ladera"
    model.touch()
    assert run("import", folder, "--output", model) == 1
    assert "exists already; remove it or choose another --output" in capsys.readouterr().err
    assert run("export", folder, folder, "--to", "n2p2") == 1
    assert "input.nn exists already" in capsys.readouterr().err
