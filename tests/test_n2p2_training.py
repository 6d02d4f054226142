"""Training as an ``input.nn`` and an ``input.data`` say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ladera
from conftest import SPECIES, fitted, water_like
from ladera.codes.n2p2 import scaling
from ladera.codes.n2p2.settings import SettingsWarning
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.errors import ConfigError, DataError, ModelFileError
from ladera.jobs.n2p2 import outputs, training
from ladera.models.hdnnp import HDNNP, HDNNPConfig
from ladera.testing import predict
from ladera.units import ATOMIC

SHARED = Path(__file__).parents[2] / "shared" / "data" / "n2p2"

SETTINGS = """\
# Length unit: Bohr
# Energy unit: Ha
number_of_elements 2
elements O H
atom_energy H -0.5
atom_energy O -75.0
cutoff_type 6
scale_symmetry_functions
center_symmetry_functions
global_hidden_layers_short 1
global_nodes_short 4
global_activation_short t l
epochs 3
random_seed 7
test_fraction 0.25
use_short_forces
updater_type 0
gradient_type 1
gradient_adam_eta 1.0E-3
task_batch_size_energy 3
force_weight 2.0
short_force_fraction 0.1
symfunction_short H 2 H 0.1 0.0 7.0
symfunction_short H 2 O 0.1 0.0 7.0
symfunction_short O 2 H 0.1 0.0 7.0
symfunction_short O 9 H H 0.01 1 1 7.0
"""


def frames(count: int = 12) -> Dataset:
    """Water-like structures, labelled by a network, with the energies of atoms in Hartree."""
    truth = fitted(HDNNPConfig(species=SPECIES, cutoff=4.0, size="small"))
    assert isinstance(truth, HDNNP)
    truth.reference_energies.copy_(torch.tensor([-0.5, -75.0]) * ATOMIC.energy)
    found = []
    for seed in range(count):
        atoms = water_like(8, 5.0, True, seed)
        atoms.set_cell(0.6 * atoms.cell, scale_atoms=True)
        prediction = predict(truth, atoms)
        found.append(
            Frame(
                numbers=atoms.numbers,
                positions=atoms.positions,
                cell=atoms.cell.array,
                periodic=atoms.pbc,
                energy=prediction.energy.item(),
                forces=prediction.forces.numpy(),
            )
        )
    return Dataset.from_frames(found)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return frames()


@pytest.fixture
def folder(tmp_path: Path, dataset: Dataset) -> Path:
    path = tmp_path / "nnp"
    path.mkdir()
    (path / "input.nn").write_text(SETTINGS, encoding="utf-8")
    formats.write(dataset, path / "input.data", units=ATOMIC)
    return path


def change(folder: Path, old: str, new: str) -> None:
    path = folder / "input.nn"
    before = path.read_text(encoding="utf-8")
    after = re.sub(old, new, before, flags=re.MULTILINE)
    assert after != before
    path.write_text(after, encoding="utf-8")


def add(folder: Path, *lines: str) -> None:
    change(folder, r"\A", "\n".join([*lines, ""]))


def train(folder: Path, output: Path, **options: Any) -> HDNNP:
    potential = training.read_training(folder).train(output, **options)
    assert isinstance(potential, HDNNP)
    return potential


def curve(run: Path) -> dict[str, Any]:
    return outputs.read_learning_curve(run / "learning-curve.out")


def test_a_run_leaves_the_files_of_both_codes(folder: Path, tmp_path: Path) -> None:
    add(folder, "write_weights_epoch 2 1")
    run = tmp_path / "run"
    potential = train(folder, run)
    names = {path.name for path in run.iterdir()}
    weights = {f"weights.{z:03d}.{e:06d}.out" for z in (1, 8) for e in (0, 1, 2)}
    own = {"model.ladera", "log.csv", "config.yaml", "split.json", "evaluation.json"}
    assert names >= own | weights | {"function.data", "learning-curve.out"}
    assert not any("000003" in name for name in names)
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("input.nn", "scaling.data", "weights.001.data", "weights.008.data"):
        (copy / name).write_bytes((run / name).read_bytes())
    atoms = water_like(8, 5.0, True, 3)
    expected = predict(potential, atoms).energy
    torch.testing.assert_close(
        predict(ladera.load(copy), atoms).energy, expected, rtol=1e-13, atol=0
    )
    assert "force_weight 2.0" in (copy / "input.nn").read_text(encoding="utf-8")


def test_the_learning_curve_has_the_errors_of_each_epoch(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(folder, run)
    table = curve(run)
    assert table["epoch"].tolist() == [0, 1, 2, 3]
    evaluation = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    best = int(np.argmin([row["validation_loss"] for row in log_rows(run)])) + 1
    for part, name in (("train", "train"), ("validation", "test")):
        energy, force = evaluation[part]["energy"], evaluation[part]["forces"]
        for kind in ("rmse", "mae"):
            per_atom = table[f"{kind.upper()}pa_E{name}_pu"][best] * ATOMIC.energy * 1e3
            assert per_atom == pytest.approx(energy[kind], rel=1e-6)
            total = table[f"{kind.upper()}_E{name}_pu"][best] * ATOMIC.energy * 1e3
            assert total == pytest.approx(8 * energy[kind], rel=1e-6)  # 8 atoms in each frame
            component = table[f"{kind.upper()}_F{name}_pu"][best] * ATOMIC.force * 1e3
            assert component == pytest.approx(force[kind], rel=1e-6)


def log_rows(run: Path) -> list[dict[str, float]]:
    lines = (run / "log.csv").read_text(encoding="utf-8").splitlines()
    names = lines[0].split(",")
    return [
        {k: float(v) for k, v in zip(names, line.split(","), strict=True) if v}
        for line in lines[1:]
    ]


def test_a_resumed_run_is_the_same(folder: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    class Impatient:
        def step(self, epoch: int, batch: int, n_batches: int) -> None:
            pass

        def epoch(self, row: Any) -> None:
            if row["epoch"] == 2:
                raise Stop

    job = training.read_training(folder, overrides=["checkpoint_interval=1"])
    job.train(tmp_path / "whole")
    with pytest.raises(Stop):
        job.train(tmp_path / "run", observer=Impatient())
    job.train(tmp_path / "run", resume=True)
    for name in ("learning-curve.out", "weights.001.data", "weights.008.data", "scaling.data"):
        assert (tmp_path / "run" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_function_data_in_the_order_of_the_frames(
    folder: Path, tmp_path: Path, dataset: Dataset
) -> None:
    potential = train(folder, tmp_path / "run")
    lines = (tmp_path / "run" / "function.data").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 12 * (1 + 8 + 1)
    block = lines[10:20]
    assert block[0].split() == ["8"]
    graph = dataset[1].graph(potential.cutoff)
    for line, number, expected in zip(
        block[1:9], dataset[1].numbers, potential.symmetry_functions(graph), strict=True
    ):
        words = line.split()
        assert int(words[0]) == number
        assert [float(w) for w in words[1:]] == pytest.approx(expected[:2].tolist(), abs=1e-10)
    energy = (dataset[1].energy or 0.0) / 8 / ATOMIC.energy
    assert [float(w) for w in block[9].split()] == pytest.approx([0, energy, energy, 0], abs=1e-9)


def test_old_weights_and_scaling_are_taken(folder: Path, tmp_path: Path) -> None:
    first = train(folder, tmp_path / "first")
    for name in ("scaling.data", "weights.001.data", "weights.008.data"):
        (folder / name).write_bytes((tmp_path / "first" / name).read_bytes())
    add(folder, "use_old_weights_short")
    change(folder, "random_seed 7", "random_seed 7\nweights_min -9")
    train(folder, tmp_path / "second")
    again = curve(tmp_path / "second")["RMSE_Ftrain_pu"][0]
    best = int(first.provenance["epoch"])
    assert again == pytest.approx(curve(tmp_path / "first")["RMSE_Ftrain_pu"][best], rel=1e-12)


def test_scaling_of_the_folder_is_used(folder: Path, tmp_path: Path) -> None:
    train(folder, tmp_path / "first")
    rows = [row.words for row in scaling.tables.read(tmp_path / "first" / "scaling.data")]
    text = [" ".join([*row[:3], "99.0", *row[4:]]) for row in rows]
    (folder / "scaling.data").write_text("\n".join(text), encoding="utf-8")
    potential = train(folder, tmp_path / "second")
    assert potential.maximum[0].tolist()[:2] == [99.0, 99.0]
    (folder / "scaling.data").write_text("\n".join(text[:-1]), encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"3 rows, but input\.nn has 4 symmetry functions"):
        train(folder, tmp_path / "third")


@pytest.mark.parametrize("mode", ["ref", "force", "stats-only", "given"])
def test_normalization(folder: Path, tmp_path: Path, dataset: Dataset, mode: str) -> None:
    given = ("mean_energy -1.5", "conv_energy 10.0", "conv_length 2.0")
    if mode in ("given", "stats-only"):
        add(folder, *given)
    if mode != "given":
        add(folder, f"normalize_data_set {mode}")
    potential = train(folder, tmp_path / "run")
    shift = potential.energy_shift.item() / ATOMIC.energy
    conv_energy = ATOMIC.energy / potential.energy_scale.item()
    table = curve(tmp_path / "run")
    factor = table["RMSE_Etrain_iu"] / table["RMSE_Etrain_pu"]
    assert factor == pytest.approx(conv_energy, rel=1e-6)
    conv_length = conv_energy / (table["RMSE_Ftrain_iu"] / table["RMSE_Ftrain_pu"])[0]
    if mode in ("given", "stats-only"):
        assert (shift, conv_energy, conv_length) == pytest.approx((-1.5, 10.0, 2.0))
        return
    counts = np.array([[np.sum(f.numbers == z) for z in (1, 8)] for f in dataset])
    free = counts @ np.array([-0.5, -75.0])
    energies = (dataset.column("energy") / ATOMIC.energy - free) / 8
    forces = dataset.column("forces") / ATOMIC.force
    assert shift == pytest.approx(energies.mean())
    if mode == "ref":
        assert conv_energy == pytest.approx(1 / energies.std(ddof=1))
        assert conv_length == pytest.approx(forces.std(ddof=1) / energies.std(ddof=1))
    else:
        assert conv_energy * forces.std(ddof=1) == pytest.approx(conv_length)


def test_first_weights(folder: Path, tmp_path: Path) -> None:
    def first(*lines: str) -> list[Any]:
        path = tmp_path / f"nnp{len(list(tmp_path.iterdir()))}"
        path.mkdir()
        for name in ("input.nn", "input.data"):
            (path / name).write_bytes((folder / name).read_bytes())
        add(path, "write_weights_epoch 9", "weights_min -2", "weights_max 1", *lines)
        train(path, path / "run")
        file = path / "run" / "weights.001.000000.out"
        values = outputs.tables.read(file)
        return [float(row.words[0]) for row in values]

    plain = first()
    assert len(plain) == 2 * 4 + 4 + 4 + 1
    assert plain[8:12] == [0.0] * 4
    assert plain[16] == 0.0
    assert np.abs(plain[:8]).max() <= 2 * np.sqrt(6 / (2 + 4))
    assert min(plain) < -1
    assert max(plain) <= 1
    assert first() == plain
    assert first("gradient_eta 1") == plain
    widrow = np.array(first("nguyen_widrow_weights_short"))
    norms = np.linalg.norm(widrow[:8].reshape(2, 4), axis=0)
    assert norms == pytest.approx(2 * 0.7 * 4 ** (1 / 2))
    assert np.abs(widrow[8:12]).min() > 0


def test_structures_may_say_their_set(folder: Path, tmp_path: Path) -> None:
    path = folder / "input.data"
    blocks = path.read_text(encoding="utf-8").split("begin")
    text = "begin set=test".join([*"begin set=train".join(blocks[:-1]).split("\0"), blocks[-1]])
    path.write_text(text, encoding="utf-8")
    change(folder, "test_fraction 0.25", "test_fraction 0.0")
    train(folder, tmp_path / "run")
    split = json.loads((tmp_path / "run" / "split.json").read_text(encoding="utf-8"))
    assert split["test"] == [11]
    assert split["train"] == list(range(11))
    assert np.isfinite(curve(tmp_path / "run")["RMSE_Etest_pu"]).all()


def test_energies_alone(folder: Path, tmp_path: Path) -> None:
    change(folder, "^use_short_forces\n", "")
    change(folder, "^task_batch_size_energy 3", "task_batch_size_energy 0")
    change(folder, "^gradient_type 1", "gradient_type 0\ngradient_eta 1e-3")
    job = training.read_training(folder)
    assert (job.config.loss.forces, job.config.batch_size) == (0.0, "all")
    assert (job.config.optimizer.name, job.config.optimizer.learning_rate) == ("sgd", 1e-3)
    # A step of 1e-3 along the sum over 12 frames of (E - E_ref)^2 / 2, in Hartree.
    assert job.config.loss.energy == pytest.approx(0.5 * (8 / ATOMIC.energy) ** 2 * 12)
    job.train(tmp_path / "run")
    assert "RMSE_Ftrain_pu" not in curve(tmp_path / "run")


def test_what_is_not_honoured_is_named(folder: Path) -> None:
    add(folder, "write_trainlog", "main_error_metric RMSE", "charge_fraction 1", "no_such_keyword")
    with pytest.warns(SettingsWarning) as caught:
        training.read_training(folder)
    messages = [str(warning.message) for warning in caught]
    for keyword in ("write_trainlog", "main_error_metric", "charge_fraction"):
        assert any(f"'{keyword}' is not honoured: " in message for message in messages)
    assert any("'no_such_keyword' is unknown and has no effect" in m for m in messages)
    assert len(messages) == 4


def test_constant_functions_are_named_and_harmless(folder: Path, tmp_path: Path) -> None:
    add(folder, "symfunction_short O 2 O 4.0 0.0 0.5")
    with pytest.warns(SettingsWarning, match=r"radial with O, cutoff 0\.26.* of O constant"):
        potential = train(folder, tmp_path / "run")
    atoms = water_like(8, 5.0, True, 3)
    assert np.isfinite(predict(potential, atoms).energy.item())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("test_fraction 0.25", "test_fraction 1.5", "test_fraction is 1.5; expected"),
        ("epochs 3", "epochs 0", "epochs is 0; expected 1 at least"),
        ("epochs 3", "epoch 3", "no 'epoch'; did you mean 'epochs'"),
        ("epochs 3", "", "'epochs' is missing"),
        ("updater_type 0", "updater_type 2", r"'updater_type' is 2; choose 0 \(gradient descent"),
        ("gradient_type 1", "gradient_type 3", "'gradient_type' is 3"),
        ("gradient_type 1", "gradient_type 0", "'gradient_eta' is missing"),
        ("short_force_fraction 0.1", "short_force_fraction 0", "is 0; expected more than 0"),
        ("force_weight 2.0", "force_weight x", "'force_weight' has 'x', expected a number"),
        ("force_weight 2.0", "force_weigth 2.0", "did you mean 'force_weight'"),
        ("random_seed 7", "force_energy_ratio 99", "asks for .* times the force components"),
        ("random_seed 7", "nnp_type 4", "4G potentials can be evaluated, but not trained"),
        ("random_seed 7", "random_seed 7\nweights_min 3", "weights_min is 3, which is not below"),
        ("random_seed 7", "normalize_data_set all", "normalize_data_set is 'all'; choose ref"),
    ],
)
def test_settings_that_are_refused(
    folder: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    change(folder, f"^{old}", new)
    with pytest.raises(ConfigError, match=message):
        train(folder, tmp_path / "run")


def test_data_that_are_missing(folder: Path, tmp_path: Path) -> None:
    (folder / "input.data").unlink()
    with pytest.raises(DataError, match=r"There is no .*input\.data; a training needs"):
        training.read_training(folder)


def test_the_folder_itself_is_no_place_for_the_run(folder: Path) -> None:
    with pytest.raises(ConfigError, match="would overwrite files of"):
        train(folder, folder)
