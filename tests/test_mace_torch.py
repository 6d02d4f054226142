"""Models of mace-torch: the same energies from their files, and the way back."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.optimize import BFGS
from safetensors.torch import load_file, save_file

import ladera
from conftest import lennard_jones, water_like
from ladera import Graph, Potential, Prediction, evaluate
from ladera.cli import main
from ladera.codes import mace_torch
from ladera.codes.mace_torch import to_model, writing
from ladera.codes.published import registry, store
from ladera.errors import ConfigError, DataError, ModelFileError
from ladera.models.mace import MACE, MACEConfig
from ladera.models.mace.couplings import symmetrized
from ladera.properties.vibrations import vibrations

SHARED = Path(__file__).parents[2] / "shared" / "data"
PARITY, WEIGHTS = SHARED / "mace_parity", SHARED / "weights"
needs_shared = pytest.mark.skipif(
    not (PARITY.is_dir() and WEIGHTS.is_dir()),
    reason="needs ../shared/data/mace_parity and weights, which are not in the repository",
)
MODELS = {
    "m1_L0_residual": ".model",
    "m2_L1": ".safetensors",
    "m3_density_zbl_agnesi": ".safetensors",
    "m4_bonus_nonlinear_multihead": ".safetensors",
}


def predict(potential: Potential, atoms: Atoms) -> Prediction:
    with torch.no_grad():
        return evaluate(potential, Graph.from_atoms(atoms, potential.cutoff))


def relative(found: Any, expected: Any, least: float = 1e-3) -> float:
    """Largest difference over the largest value, or over ``least`` where all are smaller."""
    expected = np.asarray(expected)
    return float(np.abs(np.asarray(found) - expected).max() / max(np.abs(expected).max(), least))


# --- parity with mace-torch --------------------------------------------------------------------


@cache
def loaded(path: Path, head: str | None = None) -> Potential:
    return ladera.load(path, head=head)


@needs_shared
@pytest.mark.parametrize("name", MODELS)
def test_parity_of_every_kind_of_model(name: str) -> None:
    expected = np.load(PARITY / f"{name}.npz")
    for key in json.loads((PARITY / f"{name}.json").read_text())["structures"]:
        of = {k: expected[f"{key}/{k}"] for k in ("atomic_numbers", "positions", "cell", "pbc")}
        atoms = Atoms(of["atomic_numbers"], of["positions"], cell=of["cell"], pbc=of["pbc"])
        head = key.partition("@")[2] or None
        double = loaded(PARITY / (name + MODELS[name]), head)
        check = [(double, 1e-10)]
        if key.startswith("cubic24"):
            check.append((ladera.load(PARITY / (name + MODELS[name]), head=head).float(), 2e-5))
        for potential, tolerance in check:
            found = predict(potential, atoms)
            assert relative(found.energy, expected[f"{key}/energy"]) < tolerance
            assert relative(found.atomic_energies, expected[f"{key}/node_energy"]) < tolerance
            assert relative(found.forces, expected[f"{key}/forces"], 1.0) < tolerance
            virial = expected[f"{key}/virial_dE_deps"]
            assert relative(found.virial[0], virial, 1.0) < tolerance or not atoms.pbc.all()
            if f"{key}/stress" in expected:
                stress = expected[f"{key}/stress"]
                assert relative(found.stress[0], stress) < tolerance


@needs_shared
@pytest.mark.parametrize(
    ("model", "golden"),
    [
        ("mace_spice/MACE_SPICE.model", "mace_spice/golden_mace_torch_0.3.16_float64.json"),
        (
            "mace_solvents_xtb/mace01.model",
            "mace_solvents_xtb/golden_mace01_mace_torch_0.3.16_float64.json",
        ),
    ],
)
def test_parity_of_published_weights(model: str, golden: str) -> None:
    double, single = ladera.load(WEIGHTS / model).double(), ladera.load(WEIGHTS / model).float()
    assert isinstance(double, MACE)
    for frame in json.loads((WEIGHTS / golden).read_text()):
        atoms = Atoms(frame["numbers"], frame["positions"])
        for potential, tolerance in ((double, 1e-10), (single, 3e-5)):
            found = predict(potential, atoms)
            assert found.energy.item() == pytest.approx(frame["energy"], rel=tolerance)
            assert relative(found.forces, frame["forces"]) < tolerance
        references = double.reference_energies[0][double.element_index(found.graph)]
        interaction = predict(double, atoms).atomic_energies - references
        # These node energies are without the reference energies, which are large.
        assert np.abs(interaction.numpy() - frame["node_energy"]).max() < 1e-9


@needs_shared
def test_the_second_model_of_the_solvents_loads() -> None:
    found = ladera.load(WEIGHTS / "mace_solvents_xtb" / "mace01_swa.model")
    assert found.symbols == ("H", "C", "O")
    assert found.provenance["imported_from"] == "mace-torch"
    assert found.dtype == torch.float64


@needs_shared
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("H2O", [1578, 3851, 3912]),
        ("CH4", [1319] * 3 + [1505] * 2 + [3034] + [3162] * 3),
        ("NH3", [1077, 1634, 1634, 3581, 3658, 3658]),
    ],
)
def test_frequencies_of_the_published_model(name: str, expected: list[int]) -> None:
    """With the displacement by which they were published."""
    atoms = molecule(name)
    atoms.calc = ladera.load(WEIGHTS / "mace_spice" / "MACE_SPICE.model").double().calculator()
    BFGS(atoms, logfile=None).run(fmax=1e-4, steps=200)
    far, near = (vibrations(atoms, step=step).frequencies for step in (0.01, 0.005))
    assert far == pytest.approx(expected, abs=1.0)
    # Differences are off by the square of the step; without it they are what the Hessian gives.
    assert vibrations(atoms).frequencies == pytest.approx((4 * near - far) / 3, abs=0.02)


@needs_shared
def test_by_name_from_the_users_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(WEIGHTS / "mace_spice"))
    potential = ladera.load("mace-spice")
    assert potential.provenance["licence"] == "MIT"
    assert potential.symbols == tuple(
        sorted(registry.find("mace-spice").elements, key=potential.symbols.index)
    )
    calculator = ladera.mace_off("spice")
    assert calculator.potential.dtype == torch.float64
    single = ladera.mace_off(WEIGHTS / "mace_spice" / "MACE_SPICE.model", default_dtype="float32")
    assert single.potential.dtype == torch.float32
    water = molecule("H2O", calculator=calculator)
    assert water.get_potential_energy() == pytest.approx(-2081.44, abs=0.5)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["import", "mace-spice", "--output", "spice.ladera"])
    assert left.value.code == 0
    assert "mace for H, Li" in capsys.readouterr().out
    again = ladera.load("spice.ladera")
    assert float(predict(again, water).energy) == float(predict(potential, water).energy)


# --- the way out and back ----------------------------------------------------------------------


CONFIGS: dict[str, dict[str, Any]] = {
    "default": {},
    "scalars": {"hidden_l": 0, "num_interactions": 1, "readout_layers": ()},
    "three layers": {"num_interactions": 3, "max_l": 1, "correlation": 2},
    "density": {
        "interactions": ("density", "density_residual"),
        "basis": "gaussian",
        "transform": "soft",
        "zbl": True,
    },
    "heads": {
        "interactions": ("nonlinear_residual", "nonlinear_residual"),
        "heads": ("cheap", "dear"),
        "head": "dear",
        "readout_layers": (8, 8),
        "readout_bias": True,
        "edge_channels": (4, 3),
        "element_products": False,
        "apply_cutoff": False,
    },
    "chebyshev": {"basis": "chebyshev", "transform": "agnesi", "gate": "tanh", "max_l": 2},
}


def random_model(**values: Any) -> MACE:
    torch.manual_seed(1)
    config = {"channels": 4, "max_l": 2, "correlation": 2, "radial_layers": (8,)} | values
    potential = MACE(MACEConfig(species=("H", "O"), cutoff=4.0, **config))
    with torch.no_grad():
        for parameter in potential.parameters():
            parameter.add_(0.1 * torch.rand_like(parameter))
        potential.reference_energies.add_(torch.rand_like(potential.reference_energies))
        potential.scale.mul_(1.3)
        potential.shift.add_(0.2)
        potential.average_neighbors.fill_(7.5)
    return potential


@pytest.mark.parametrize("name", CONFIGS)
def test_exported_and_loaded_again(name: str, tmp_path: Path) -> None:
    potential = random_model(**CONFIGS[name])
    state, settings, program = mace_torch.export(potential, tmp_path)
    assert (settings.name, program.name) == ("model.json", "to_model.py")
    again = ladera.load(state, head=potential.config.head)
    atoms = water_like(6, 5.0, True, 3)
    found, expected = predict(again, atoms), predict(potential, atoms)
    assert relative(found.atomic_energies, expected.atomic_energies) < 1e-12
    assert relative(found.forces, expected.forces) < 1e-10


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A state dict and its settings, to be changed."""
    mace_torch.export(random_model(), tmp_path)
    return tmp_path / "model.safetensors"


def settings_of(state: Path, **changes: Any) -> None:
    path = state.with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_state_dict_of_torch_and_settings_in_yaml(exported: Path, tmp_path: Path) -> None:
    state = {"model": load_file(exported), "epoch": 3}
    torch.save(state, tmp_path / "run.pt")
    settings = json.loads(exported.with_suffix(".json").read_text())
    (tmp_path / "run.yaml").write_text(f"avg_num_neighbors: {settings['avg_num_neighbors']}\n")
    atoms = water_like(6, 5.0, True, 3)
    one, other = ladera.load(exported), ladera.load(tmp_path / "run.pt")
    assert torch.equal(predict(one, atoms).forces, predict(other, atoms).forces)


def test_couplings_of_another_basis_are_translated(exported: Path) -> None:
    """As cuequivariance writes them: fewer couplings that span the same products."""
    tensors, model = load_file(exported), random_model()
    key = "products.1.symmetric_contractions.contractions.0."
    U = tensors[key + "U_matrix_2"].double()
    matrix = symmetrized(U.numpy()[None]).matrix
    rank = int(np.linalg.matrix_rank(matrix, tol=1e-9))
    change = torch.randn(U.shape[-1], rank, dtype=torch.float64)
    weight = torch.randn(2, rank, 4, dtype=torch.float64)
    save_file(tensors | {key + "U_matrix_2": U @ change, key + "weights_max": weight}, exported)
    with torch.no_grad():
        own = model.state_dict()["layers.1.product.weights.0.1"]
        own.copy_(torch.einsum("kq,zqc->zkc", change, weight))
    atoms = water_like(6, 5.0, True, 3)
    expected = predict(model, atoms).forces
    assert relative(predict(ladera.load(exported), atoms).forces, expected) < 1e-10
    save_file(tensors | {key + "U_matrix_2": torch.rand_like(U)}, exported)
    with pytest.raises(ModelFileError, match=r"U_matrix_2 couples features in a way"):
        ladera.load(exported)


def test_command_line_there_and_back(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = exported.parent
    for words, code in (
        (["import", str(exported), "--output", str(folder / "a.ladera")], 0),
        (["export", str(folder / "a.ladera"), str(folder / "out"), "--to", "mace"], 0),
        (["export", str(folder / "a.ladera"), str(folder / "out"), "--to", "mace"], 1),
        (["import", str(exported), "--units", "bohr-hartree"], 1),
    ):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == code
    assert "Error" in capsys.readouterr().err
    found, expected = (load_file(each) for each in (folder / "out/model.safetensors", exported))
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in found)


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0
    return capsys.readouterr().out


def test_info_of_models_of_mace_torch(
    exported: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Imported from mace-torch" in said(["info", str(exported)], capsys)
    ladera.load(exported).save(exported.with_suffix(".ladera"))
    shown = said(["info", str(exported.with_suffix(".ladera"))], capsys)
    assert "Imported from mace-torch" in shown
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(exported.parent / "none"))
    shown = said(["info", "mace-mpa-0"], capsys)
    for words in ("Licence: MIT", "Origin: https://", "SHA-256: 75428afe", "Not here yet"):
        assert words in shown
    assert not (exported.parent / "none").exists()


def test_a_model_file_of_mace_torch_is_made_by_mace_torch(
    exported: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = exported.parent / "a.ladera", exported.parent / "theirs.model"
    ladera.load(exported).save(ours)
    words = ["export", str(ours), str(theirs), "--to", "mace"]
    monkeypatch.setattr(writing, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        main(words)
    assert "the to_model.py in it makes the .model" in capsys.readouterr().err
    assert not theirs.exists()
    found, expected = to_model._tensors(exported), load_file(exported)
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in found)
    # What mace-torch makes is what is written: here a stand-in for it.
    monkeypatch.setattr(writing, "find_spec", lambda name: "somewhere")
    monkeypatch.setattr(to_model, "make", lambda folder: sorted(p.name for p in folder.iterdir()))
    with pytest.raises(SystemExit):
        main(words)
    assert torch.load(theirs) == ["model.json", "model.safetensors", "to_model.py"]


# --- bad input ---------------------------------------------------------------------------------


def _drop(state: Path, name: str) -> None:
    tensors = load_file(state)
    del tensors[name]
    save_file(tensors, state)


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "block": (
        lambda p: settings_of(p, interaction_cls="RealAgnosticAttResidualInteractionBlock"),
        "RealAgnosticAttResidualInteractionBlock is not one that Ladera has",
    ),
    "readout": (lambda p: settings_of(p, readout_cls="LinearDipoleReadoutBlock"), "LinearDipole"),
    "model": (lambda p: settings_of(p, model="MACELES"), "model: "),
    "contradiction": (
        lambda p: settings_of(p, max_ell=3),
        "max_ell is said to be 3, but the tensors are those of 2",
    ),
    "odd": (lambda p: settings_of(p, use_so3=True), "use_so3"),
    "neighbors": (lambda p: p.with_suffix(".json").unlink(), "avg_num_neighbors"),
    "json": (lambda p: p.with_suffix(".json").write_text("[1"), "cannot be read"),
    "parameter": (
        lambda p: save_file(load_file(p) | {"joint_embedding.weight": torch.ones(2)}, p),
        "joint_embedding.weight, of a part Ladera does not have",
    ),
    "missing": (lambda p: _drop(p, "products.0.linear.weight"), "lacks the parameter"),
    "no mace": (lambda p: _drop(p, "atomic_energies_fn.atomic_energies"), "not those of a MACE"),
    "elements": (lambda p: _drop(p, "atomic_numbers"), ""),
    "size": (
        lambda p: save_file(load_file(p) | {"interactions.0.linear_up.weight": torch.ones(3)}, p),
        "has 3 numbers instead of 16",
    ),
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:5000]), "model.safetensors"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_checkpoint_gets_one_sentence(name: str, exported: Path) -> None:
    damage, message = BAD[name]
    if name == "elements":  # they stand in the settings too
        settings_of(exported, atomic_numbers=[8, 1])
        message = "not in ascending order"
    damage(exported)
    with pytest.raises(ModelFileError) as caught:
        ladera.load(exported)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_heads_and_species_that_do_not_exist(tmp_path: Path) -> None:
    potential = random_model(**CONFIGS["heads"])
    state, *_ = mace_torch.export(potential, tmp_path)
    with pytest.raises(ModelFileError, match="no head 'deer'; did you mean 'dear'"):
        ladera.load(state, head="deer")
    potential.save(tmp_path / "a.ladera")
    with pytest.raises(ConfigError, match="no head 'deer'; did you mean 'dear'"):
        ladera.load(tmp_path / "a.ladera", head="deer")
    atoms = water_like(6, 5.0, True, 3)
    energies = {
        head: float(predict(ladera.load(tmp_path / "a.ladera", head=head), atoms).energy)
        for head in ("cheap", "dear")
    }
    assert energies["cheap"] != energies["dear"]
    with pytest.raises(DataError, match="Atom 0 is C, which this model does not know"):
        predict(potential, molecule("CH4"))
    assert predict(potential, atoms).energy.item() == energies["dear"]


def test_names_of_published_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFileError, match="did you mean 'mace-mp-small'"):
        ladera.load("mace-mp-smal")
    with pytest.raises(ModelFileError, match="no model file"):
        ladera.load("mace.ladera")
    with pytest.raises(ModelFileError, match="did you mean 'medium'"):
        ladera.mace_mp("medum")
    with pytest.raises(ConfigError, match="There is no device 'cudo'; give cpu, cuda"):
        ladera.mace_mp("small", device="cudo")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="There is no device 'cuda:0'"):
            ladera.mace_off("small", device="cuda:0")
    assert not list(tmp_path.iterdir())


def test_what_mace_torch_cannot_be(tmp_path: Path) -> None:
    for values in (
        {"readout_layers": (4, 5)},
        {"interactions": ("agnostic", "residual", "density_residual"), "num_interactions": 3},
        {"readout_layers": (4,), "readout_bias": True},
    ):
        with pytest.raises(ConfigError, match="mace-torch has"):
            mace_torch.export(random_model(**values), tmp_path / "out")
    with pytest.raises(ConfigError, match="no lennard_jones models"):
        mace_torch.export(lennard_jones(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
