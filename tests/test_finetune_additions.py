"""Fine-tuning on what the base has not met: new elements, and dipoles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.data import covalent_radii

import ladera
from conftest import SPECIES, mace_mixed, small_mace, small_nequip, water_like
from data_frames import water
from ladera import Graph, Potential, evaluate
from ladera.cli import main
from ladera.data.dataset import Dataset
from ladera.data.formats import write
from ladera.data.frame import Frame
from ladera.errors import ConfigError, LaderaError
from ladera.models.corrected import corrected
from ladera.models.hdnnp import HDNNPConfig
from ladera.models.mtp import MTPConfig
from ladera.potential import TrainingStatistics
from ladera.quantities import DIPOLE
from ladera.training import config_file
from ladera.training.finetune import reference
from ladera.training.finetune.addition import relatives
from ladera.training.finetune.base import labelled
from ladera.training.trainer import train

ATOMS = water_like(8, 5.0, True, 1)
SHIFT = -100.0  # eV, by which the energy of a sulphur atom differs from that of oxygen


def predicted(potential: Potential) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        found = evaluate(potential, Graph.from_atoms(ATOMS, potential.cutoff))
    return found.energy, found.forces


def fitted(config: Any) -> Potential:
    torch.manual_seed(3)
    potential = ladera.build(config)
    statistics = TrainingStatistics({"H": -1.0, "O": -5.0}, -2.0, 1.0)
    potential.fit_statistics([frame.graph(4.0) for frame in water(10)], statistics)
    return potential.eval()


def mtp() -> Potential:
    potential = fitted(MTPConfig(species=SPECIES, cutoff=4.0, level=6))
    with torch.no_grad():
        potential.get_parameter("moment_coefficients").normal_()
    return potential


def hdnnp() -> Potential:
    return fitted(HDNNPConfig(species=SPECIES, cutoff=4.0, size="small", hidden_layers=(6, 5)))


def of_sulphur(potential: Potential) -> list[Frame]:
    """Frames with S in the place of O, labelled as if it were O but for its E0."""
    frames = labelled(potential, Dataset.from_frames(water(8, seed=2)))
    sulphur = np.array([16, 1, 1])
    return [
        frame.with_(numbers=sulphur, energy=frame.energy + SHIFT, source=f"s.xyz, frame {k}")
        for k, frame in enumerate(frames)
        if frame.energy is not None
    ]


# --- elements ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        mace_mixed,
        lambda: small_mace(interactions=("agnostic", "nonlinear_residual"), heads=("a", "b")),
        small_nequip,
        mtp,
        lambda: corrected(small_nequip(), zbl=True),
    ],
)
def test_an_extended_model_says_the_same_of_old_elements(make: Any) -> None:
    base = make()
    larger = base.with_elements({"C": "O", "Fe": "H"})
    assert larger.symbols == ("H", "C", "O", "Fe")
    before, after = predicted(base), predicted(larger)
    assert after[0] == pytest.approx(before[0], rel=1e-14)
    assert torch.allclose(after[1], before[1], atol=1e-11)
    for name, buffer in larger.named_buffers():
        if name == "transform.radii":
            assert float(buffer[3]) == pytest.approx(covalent_radii[26])
        if name.endswith("repulsion.numbers"):
            assert buffer.tolist() == [1, 6, 8, 26]
    # A new element is another one from the first step on.
    assert larger.free_atom_energies() is not None


def test_an_element_begins_as_the_one_that_fits_the_frames() -> None:
    base = small_mace()
    frames = Dataset.from_frames(of_sulphur(base))
    assert relatives(base, frames, ["S"]) == {"S": "O"}
    plain = Dataset.from_frames(frame.with_(forces=None) for frame in frames)
    assert relatives(base, plain, ["S"]) == {"S": "O"}


def test_reference_energies_of_new_elements() -> None:
    base = small_mace()
    frames = of_sulphur(base)
    larger = base.with_elements({"S": "O"})
    old = dict(zip(larger.symbols, larger.free_atom_energies().tolist(), strict=True))
    data = Dataset.from_frames(frames)
    said = data.column("energy") - SHIFT
    assert reference.of_new(data, said, old, ("S",)) == {"S": pytest.approx(old["S"] + SHIFT)}
    alone = {"numbers": np.array([16]), "positions": np.zeros((1, 3)), "forces": np.zeros((1, 3))}
    free = Dataset.from_frames([*frames, frames[0].with_(**alone, energy=-2000.0)])
    with_free = np.append(said, old["S"])
    assert reference.of_new(free, with_free, old, ("S",)) == {"S": -2000.0}
    own = old | {"S": old["S"] + SHIFT}
    given = reference.estimate({"S": own["S"]}, data, data.column("energy"), own, ("S",))
    assert (given.method, given.new["H"], given.error_new) == ("given", old["H"], 0.0)


@pytest.mark.parametrize("method", ["naive", "frozen"])
def test_the_command_adds_an_element(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = small_mace()
    base.save(tmp_path / "base.ladera")
    # Forces that the base has to learn.
    frames = [f.with_(forces=1.5 * f.forces) for f in of_sulphur(base) if f.forces is not None]
    write(Dataset.from_frames(frames), tmp_path / "new.extxyz")
    words = ["finetune", str(tmp_path / "base.ladera"), str(tmp_path / "new.extxyz")]
    words += ["--method", method, "--epochs", "2", "--output", str(tmp_path / "run")]
    words += ["--set", "loss.energy=0.01"]
    with pytest.raises(SystemExit) as left:
        main(words)
    out = capsys.readouterr().out
    assert left.value.code == 0, out
    assert "Added to the base: S, which began as O." in out
    tuned = ladera.load(tmp_path / "run")
    assert tuned.symbols == ("H", "O", "S")
    said = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert said["finetune"]["added"] == {"elements": {"S": "O"}, "outputs": []}
    assert said["train"]["energy"]["rmse"] < 200  # meV/atom; E0 of S was fitted
    before, after = predicted(base), predicted(tuned)
    kept = torch.allclose(after[1], before[1], atol=1e-11)
    assert kept == (method == "frozen")
    if kept:
        assert after[0] == pytest.approx(before[0], rel=1e-14)
        embedding = tuned.get_parameter("embedding")
        assert not torch.equal(embedding[1], embedding[2])


# --- dipoles -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [small_mace, lambda: small_mace(hidden_l=0), hdnnp])
def test_a_model_that_is_given_dipoles_keeps_its_energies(make: Any) -> None:
    base = make()
    larger = base.with_dipole()
    before, after = predicted(base), predicted(larger)
    assert torch.equal(after[0], before[0])
    assert torch.equal(after[1], before[1])
    with torch.no_grad():
        graph = Graph.from_atoms(water_like(4, 5.0, False, 1), base.cutoff)
        assert not evaluate(larger, graph)[DIPOLE].any()


def test_dipoles_alone_are_learned_and_energies_stay(tmp_path: Path) -> None:
    small_mace().save(tmp_path / "base.ladera")
    q = np.array([-0.8, 0.4, 0.4])
    frames = [
        frame.with_(energy=None, forces=None, dipole=q @ frame.positions) for frame in water(12)
    ]
    write(Dataset.from_frames(frames), tmp_path / "new.extxyz")
    values = {
        "data": {
            "files": str(tmp_path / "new.extxyz"),
            "keys": {"energy": None, "forces": None},
            "split": {"validation": 2, "test": 0},
        },
        "finetune": {"base": str(tmp_path / "base.ladera"), "method": "frozen", "charges": False},
        "loss": {"energy": 0, "forces": 0, "dipole": 1},
        "optimizer": {"learning_rate": 0.2},
        "epochs": 15,
        "batch_size": 2,
    }
    tuned = train(config_file.parse(values, "x"), tmp_path / "run")
    assert torch.equal(predicted(tuned)[0], predicted(small_mace())[0])
    log = np.genfromtxt(tmp_path / "run/log.csv", delimiter=",", names=True)
    assert log["train_loss"][-1] < 0.3 * log["train_loss"][0]
    said = json.loads((tmp_path / "run/evaluation.json").read_text())["finetune"]
    assert said["added"]["outputs"] == ["dipole"]
    assert said["reference_energies"] is None
    assert 0 < said["n_trainable"] < said["n_parameters"]


# --- what cannot be ----------------------------------------------------------------------------

BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "element of an hdnnp": (hdnnp, {}, "cannot be given an element: this one is for H, O, not"),
    "dipole of an mtp": (mtp, {"loss": {"dipole": 1}}, "a mtp model cannot be given dipoles"),
    "dipole of heads": (
        lambda: small_mace(heads=("a", "b")),
        {"loss": {"dipole": 1}},
        "The base has several heads, and such a MACE cannot be given dipoles",
    ),
    "charges of an hdnnp": (
        hdnnp,
        {"loss": {"dipole": 1}, "finetune": {"charges": False}},
        "The dipoles of an hdnnp are of charges",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_added_is_refused(name: str, tmp_path: Path) -> None:
    make, changes, message = BAD[name]
    make().save(tmp_path / "base.ladera")
    frames = water(6)
    if "element" in name:
        frames = [frame.with_(numbers=np.array([16, 1, 1])) for frame in frames]
    frames = [frame.with_(dipole=np.ones(3)) for frame in frames]
    write(Dataset.from_frames(frames), tmp_path / "new.extxyz")
    finetune = {"base": str(tmp_path / "base.ladera")} | changes.get("finetune", {})
    data = {"files": str(tmp_path / "new.extxyz"), "split": {"validation": 1, "test": 0}}
    values = {"data": data, "epochs": 1, "batch_size": 2, **changes, "finetune": finetune}
    with pytest.raises(LaderaError, match=message) as caught:
        train(config_file.parse(values, "x"), tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_an_element_of_validation_frames_alone(tmp_path: Path) -> None:
    base = small_mace()
    base.save(tmp_path / "base.ladera")
    write(Dataset.from_frames(water(6)), tmp_path / "new.extxyz")
    write(Dataset.from_frames(of_sulphur(base)), tmp_path / "other.extxyz")
    values = {
        "data": {
            "files": str(tmp_path / "new.extxyz"),
            "validation_files": str(tmp_path / "other.extxyz"),
        },
        "finetune": {"base": str(tmp_path / "base.ladera")},
        "batch_size": 2,
    }
    with pytest.raises(ConfigError, match=r"contain S, but .* and of the training frames"):
        train(config_file.parse(values, "x"), tmp_path / "run")
