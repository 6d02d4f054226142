"""What labels do in a training: reference energies, stresses in other units, labels left out."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from cases import case
from ladera.cli import main
from ladera.data import doctor, splits
from ladera.data.dataset import Dataset
from ladera.data.formats import read, write
from ladera.data.frame import Frame
from ladera.data.summary import summarize
from ladera.errors import DataError
from ladera.training import config_file
from ladera.training.config_file import parse
from ladera.training.preparation import prepare
from ladera.units import GIGAPASCAL

FREE = {"Au": -16.2, "Cu": -6.49}
MODEL = {"architecture": "hdnnp", "cutoff": 4.0, "size": "small", "hidden_layers": [3]}


def labelled(atoms: Atoms, **fields: Any) -> Frame:
    """With the labels of ASE's EMT."""
    atoms.calc = EMT()
    labels: dict[str, Any] = {
        "energy": float(atoms.get_potential_energy()),
        "forces": atoms.get_forces(),
        "stress": atoms.get_stress(voigt=False) if atoms.pbc.all() else None,
    }
    return Frame(
        atoms.numbers.astype(np.int64), atoms.positions, atoms.cell.array, atoms.pbc,
        **(labels | fields),
    )  # fmt: skip


def strained(n_frames: int = 12, shapes: bool = False) -> list[Frame]:
    """Copper in strained cells; with ``shapes`` no two of them hold as many atoms."""
    generator, frames = np.random.default_rng(3), []
    for k in range(n_frames):
        atoms = bulk("Cu", cubic=True).repeat((1 + k if shapes else 2, 1, 1))
        strain = 0.04 * generator.standard_normal((3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
        atoms.positions += 0.03 * generator.standard_normal(atoms.positions.shape)
        frames.append(labelled(atoms))
    return frames


def alloys(**fields: Any) -> list[Frame]:
    """Cells of copper and gold whose energies no two E0 explain, and one free atom of each."""
    generator, frames = np.random.default_rng(1), []
    for k in range(16):
        atoms = bulk("Cu", cubic=True, a=3.8)
        atoms.numbers[: k % 4] = 79
        atoms.positions += 0.05 * generator.standard_normal(atoms.positions.shape)
        frames.append(labelled(atoms, stress=None))
    box, periodic = np.eye(3) * 20, np.ones(3, bool)
    for number, symbol in ((79, "Au"), (29, "Cu")):
        energy = FREE[symbol]
        free = Frame(np.array([number]), np.zeros((1, 3)), box, periodic, energy=energy)
        frames.insert(5, free.with_(forces=np.zeros((1, 3)), **fields))
    return frames


def config(folder: Path, frames: list[Frame] | Path, split: dict[str, Any], **sections: Any) -> Any:
    path = frames if isinstance(frames, Path) else folder / "a.extxyz"
    if not isinstance(frames, Path):
        write(Dataset.from_frames(frames), path)
    values = {"data": {"files": str(path), "split": split}, "model": MODEL, "batch_size": 4}
    return parse(values | sections, "the test")


# The parts of the last two hold no free atom to train on.
SPLITS = [
    *({"method": "random", "seed": seed} for seed in range(3)),
    {"method": "first", "train": 5, "validation": 4},
    {"method": "file"},
]


@pytest.mark.parametrize("fields", [{}, {"config_type": "Isolated_Atom"}])
@pytest.mark.parametrize("split", SPLITS)
def test_energies_of_free_atoms_are_those_of_the_file_whatever_the_split(tmp_path, split, fields):
    frames = alloys(subset="test", **fields)
    prepared = prepare(config(tmp_path, frames, split))
    assert prepared.statistics().reference_energies == FREE
    for part in (prepared.train, prepared.validation, prepared.test):
        assert not {5, 6} & set(part.tolist())


def test_free_atoms_that_contradict_are_named_as_the_file_counts(tmp_path):
    frames = [*alloys(), alloys()[5].with_(energy=-5.0)]
    prepared = prepare(config(tmp_path, frames, {"method": "random", "seed": 1}))
    with pytest.raises(DataError, match=r"a.extxyz, frame 5 and .*a.extxyz, frame 18 are both"):
        prepared.statistics()


def test_free_atoms_of_some_elements_only_are_said_to_be_of_no_use(tmp_path):
    frames = alloys()
    del frames[5]
    prepared = prepare(config(tmp_path, frames, {"method": "random"}))
    with pytest.warns(UserWarning, match="a free atom of Au among the frames, but none of Cu"):
        prepared.statistics()


def test_free_atoms_do_not_count_in_the_means():
    dataset = Dataset.from_frames(alloys())
    bound = [k for k in range(len(dataset)) if k not in (5, 6)]
    summary = summarize(dataset)
    per_atom = dataset.column("energy")[bound] / dataset.atom_counts[bound]
    assert summary["free_atoms"] == {"Cu": 1, "Au": 1}
    assert summary["labels"]["energy"]["mean"] == pytest.approx(per_atom.mean())
    assert summary["labels"]["forces"]["frames"] == 16
    assert summarize(dataset[[5, 6]])["labels"] == {}


# --- stresses -------------------------------------------------------------------------------------

UNITS = {"kbar": GIGAPASCAL / 10, "GPa": GIGAPASCAL}


def stress_findings(frames: list[Frame]) -> list[doctor.Finding]:
    found = doctor.check(Dataset.from_frames(frames)).findings
    return [finding for finding in found if finding.code == "stress-unit"]


@pytest.mark.parametrize(("unit", "sign"), list(itertools.product(UNITS, (1, -1))))
def test_stress_in_other_units_of_alike_cells(unit, sign):
    frames = [f.with_(stress=f.stress * sign / UNITS[unit]) for f in strained()]
    (finding,) = stress_findings(frames)
    assert finding.severity == "error"
    assert f"Probable: {unit}" in finding.message
    assert f"multiply it by {sign * UNITS[unit]:.6g}." in finding.message


@pytest.mark.parametrize("unit", UNITS)
def test_stress_in_other_units_of_cells_that_no_two_are_alike(unit):
    generator = np.random.default_rng(0)
    frames = []
    for symbol in ("Cu", "Ag", "Au", "Ni", "Pd", "Pt", "Al"):  # one composition each
        atoms = bulk(symbol, cubic=True)
        atoms.set_cell(atoms.cell.array * (0.95 + 0.02 * generator.random()), scale_atoms=True)
        frame = labelled(atoms)
        frames.append(frame.with_(stress=frame.stress / UNITS[unit]))
    (finding,) = stress_findings(frames)
    assert finding.severity == "error"
    assert f"{unit} (multiply by {UNITS[unit]:.6g})" in finding.message


def test_stress_of_the_other_sign_and_of_the_right_one():
    for frames in (strained(), strained(shapes=True)):
        assert not stress_findings(frames)
        (finding,) = stress_findings([f.with_(stress=-f.stress) for f in frames])
        assert "positive in compression" in finding.message


def test_stress_of_hot_frames_that_are_larger_and_under_pressure():
    generator, frames = np.random.default_rng(5), []
    for hot in (0, 1):
        for _ in range(8):
            atoms = bulk("Cu", cubic=True).repeat(2)
            stretch = 1 + 0.008 * hot + 0.001 * generator.standard_normal()
            atoms.set_cell(atoms.cell.array * stretch, scale_atoms=True)
            atoms.positions += 0.25 * hot * generator.standard_normal(atoms.positions.shape)
            frames.append(labelled(atoms))
    assert max(np.trace(frame.stress) for frame in frames[8:]) < 0
    assert not stress_findings(frames)


# --- other labels ---------------------------------------------------------------------------------


def test_one_energy_on_frames_of_unlike_compositions():
    frames = [frame.with_(energy=-7.25) for frame in strained(4, shapes=True)]
    codes = {finding.code: finding for finding in doctor.check(Dataset.from_frames(frames)).errors}
    assert "-7.250000" in codes["stale-energy"].message
    alike = [*strained(8), *(frame.with_(energy=-7.25) for frame in strained(8)[:4])]
    found = doctor.check(Dataset.from_frames(alike)).findings
    assert "stale-energy" in {finding.code for finding in found}
    sound = doctor.check(Dataset.from_frames(strained())).findings
    assert "stale-energy" not in {finding.code for finding in sound}


def test_labels_that_the_loss_leaves_out_are_said(tmp_path):
    frames = strained()
    prepared = prepare(config(tmp_path, frames, {"method": "random"}))
    assert prepared.unlearned == ["stress"]
    staged = config(tmp_path, frames, {"method": "random"}, stage_two={"stress": 1.0})
    assert prepare(staged).unlearned == []


def test_train_check_says_what_is_not_trained_on(tmp_path, capsys):
    config(tmp_path, strained(), {})
    file = tmp_path / "config.yaml"
    file.write_text(
        f"data: {{files: {tmp_path / 'a.extxyz'}, keys: {{virial: none, dipole: none}}}}\n"
        "model: {architecture: hdnnp, cutoff: 4.0, size: small, hidden_layers: [3]}\n"
    )
    with pytest.raises(SystemExit) as left:
        main(["train", str(file), "--check"])
    assert not left.value.code
    assert "not trained on: loss.stress = 0" in capsys.readouterr().out


def test_a_stress_without_a_volume_is_refused_before_training(tmp_path):
    frames = strained()
    cluster = labelled(Atoms("Cu2", [[0, 0, 0], [0, 0, 2.4]]), stress=np.eye(3))
    path = tmp_path / "a.h5"
    Dataset.from_frames([*frames, cluster.with_(source="b.xyz, frame 3")]).save(path)
    for weight in (0.0, 1.0):
        wish = config(tmp_path, path, {"method": "random"}, loss={"stress": weight})
        with pytest.raises(DataError, match=r"b.xyz, frame 3 has a stress but no volume"):
            prepare(wish)
    off = config_file.as_json(wish) | {"loss": {}}
    off["data"]["keys"] = {"stress": "none"}
    assert not prepare(config_file.parse(off, "the test")).dataset.has("stress").any()


def test_dipoles_in_cells_are_refused_before_a_model_of_charges_trains(tmp_path, capsys):
    frames = [frame.with_(dipole=np.ones(3), stress=None) for frame in strained()]
    write(Dataset.from_frames(frames), tmp_path / "a.extxyz")
    file = tmp_path / "config.yaml"
    file.write_text(
        f"data: {{files: {tmp_path / 'a.extxyz'}}}\nloss: {{dipole: 1}}\n"
        "model: {architecture: hdnnp_dipole, cutoff: 4.0, size: small, hidden_layers: [3]}\n"
    )
    with pytest.raises(SystemExit) as left:
        main(["train", str(file), "--check"])
    assert left.value.code == 1
    assert "frame 0 is periodic and has a dipole" in capsys.readouterr().err


def test_a_fraction_that_comes_to_no_frame_is_said():
    dataset = Dataset.from_frames(strained(4))
    with pytest.warns(
        UserWarning, match=r"validation part is 0.1 of 4 frames, which comes to none"
    ):
        splits.random_split(dataset, 0.1, 0)
    for part in (float("inf"), float("nan")):
        with pytest.raises(DataError, match="give a fraction below 1 or a number of frames"):
            splits.random_split(dataset, part, 0)


# --- the files themselves -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["box_named.xyz", "box_plain.xyz"])
@pytest.mark.parametrize(
    "split", [{"method": "random", "seed": 7}, {"method": "first", "train": 8}]
)
def test_cases_of_free_atoms_in_a_box(tmp_path, name, split):
    prepared = prepare(config(tmp_path, case("formats", name), split))
    energies = prepared.statistics().reference_energies
    assert energies == pytest.approx({"Cu": -6.49, "Au": -16.20}, abs=0.01)


def test_cases_of_stresses(tmp_path):
    (finding,) = stress_findings(list(read(case("formats", "strained_kbar.xyz"))))
    assert finding.severity == "error"
    assert "kbar" in finding.message
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wish = {"loss": {"stress": 1.0}, "batch_size": 2}
        prepared = prepare(config(tmp_path, case("formats", "stress_open.xyz"), {}, **wish))
    assert prepared.dataset.has("stress").sum() == 10
