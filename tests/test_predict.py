"""``ladera predict`` and ``ladera.predict``: structures of any number and kind, labelled."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

import ladera
from conftest import hdnnp_generated, lennard_jones, small_mace, water_like
from ladera import Graph
from ladera.cli import main
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.errors import ConfigError, DataError
from ladera.labelling import asking
from ladera.labelling.asking import batches
from ladera.potential import Calibration, Committee, Potential
from ladera.quantities import ENERGY, FORCES, QUANTITIES
from ladera.structure import StructureWarning


def mixed() -> list[Atoms]:
    """Molecules, a slab and crystals of very different sizes, in no order."""
    cells = [(3, 9.0, False), (24, 7.0, True), (1, 9.0, False), (60, 9.0, (True, True, False))]
    structures = [water_like(n, size, pbc, n) for n, size, pbc in cells]
    return [*structures, molecule("H2O"), water_like(12, 6.0, True, 3), *[molecule("H2")] * 3]


@pytest.fixture(scope="module")
def committee() -> Potential:
    """Two networks that differ, calibrated."""
    one, other = hdnnp_generated(), hdnnp_generated()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter *= 0.9
    return Committee([one, other], Calibration(energy=2.0, forces=3.0, largest_force_std=0.5))


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0)


# --- the same as one structure after the other ---------------------------------------------------


@pytest.mark.parametrize("make", [lennard_jones, hdnnp_generated, small_mace, EMT])
def test_batches_say_what_the_calculator_says_of_each(make) -> None:
    model, structures = make(), mixed()
    if isinstance(model, EMT):
        structures = structures[:3]
    found = ladera.predict(model, structures)
    calculator = ladera.loading.as_potential(model).calculator()
    for atoms, frame in zip(structures, found, strict=True):
        atoms.calc = calculator
        assert frame.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
        np.testing.assert_allclose(frame.forces, atoms.get_forces(), atol=1e-8)
        if atoms.cell.rank == 3 and atoms.pbc.any():
            np.testing.assert_allclose(frame.stress, atoms.get_stress(voigt=False), atol=1e-9)
        else:
            assert frame.stress is None
    assert [len(each.numbers) for each in found] == [len(atoms) for atoms in structures]
    assert found["forces"].shape == (sum(map(len, structures)), 3)


def test_a_committee_gives_its_deviations_and_the_grade(committee: Potential) -> None:
    structures = mixed()
    found = ladera.predict(committee, structures)
    graph = Graph.of_all([Frame.from_atoms(each).structure for each in structures], 4.5)
    with torch.no_grad():
        energies = [ladera.evaluate(m, graph).energy.numpy() for m in committee.members]
        forces = [ladera.evaluate(m, graph).forces.numpy() for m in committee.members]
    np.testing.assert_allclose(found.std[ENERGY], 2 * np.std(energies, axis=0, ddof=1))
    std = 3 * np.std(forces, axis=0, ddof=1)
    np.testing.assert_allclose(found["forces_std"], std, atol=1e-12)
    assert found.grade is not None
    assert (found.grade >= np.linalg.norm(std, axis=1) / 0.5 - 1e-9).all()


def test_dipoles_and_charges_are_those_of_the_slow_way() -> None:
    model = small_mace(outputs=("energy", "dipole"), hidden_l=1)
    structures = [molecule("H2O"), water_like(9, 8.0, False, 4)]
    found = ladera.predict(model, structures)
    for k, atoms in enumerate(structures):
        graph = Graph.from_atoms(atoms, model.cutoff)
        slow = ladera.evaluate(model, graph)  # torch records gradients: no compiled loops
        np.testing.assert_allclose(found.frames[k].dipole, slow.dipole[0].detach(), atol=1e-10)
        np.testing.assert_allclose(found.frames[k].charges, slow.charges.detach(), atol=1e-10)


def test_batches_are_filled_by_atoms_and_edges_not_by_frames() -> None:
    dataset = Dataset.from_frames(Frame.from_atoms(atoms) for atoms in mixed() * 40)
    every = np.arange(len(dataset))
    found = list(batches(dataset, every, 4.5))
    assert np.concatenate(found).tolist() == every.tolist()
    counts = [dataset.atom_counts[frames].sum() for frames in found]
    edges = [
        Graph.of_all([dataset[int(k)].structure for k in frames], 4.5).n_edges for frames in found
    ]
    assert max(counts) <= asking._ATOMS
    assert max(edges) <= 1.3 * asking._EDGES  # an estimate
    assert len(found) < len(dataset) / 5
    large = Dataset.from_frames([Frame.from_atoms(water_like(40, 8.0, True, 1))] * 3)
    assert [len(b) for b in batches(large, np.arange(3), 60.0)] == [1, 1, 1]


# --- what there is not ---------------------------------------------------------------------------


def test_what_the_model_lacks_is_said_with_the_remedy() -> None:
    with pytest.raises(
        ConfigError, match="hdnnp model gives no dipole moment: it gives energy, fo"
    ):
        ladera.predict(hdnnp_generated(), molecule("H2O"), quantities=["dipole"])
    with pytest.raises(ConfigError, match="no quantity 'force'; did you mean 'forces'"):
        ladera.predict(hdnnp_generated(), molecule("H2O"), quantities=["force"])
    found = ladera.predict(lennard_jones(), molecule("H2O"), quantities=[FORCES])
    assert found.frames.labels == ("forces",)
    assert found.given == (FORCES,)
    with pytest.raises(ConfigError, match="no 'energy' here; choose one of: forces"):
        found["energy"]


def test_an_unknown_element_is_named_with_frame_and_atom() -> None:
    with pytest.raises(DataError, match=r"Frame 1 \(\), atom 2 is Au, which this model does not"):
        ladera.predict(lennard_jones(), [molecule("H2O"), Atoms("OHAu", np.eye(3) * 2)])


def test_an_unsound_structure_has_no_labels_and_the_others_have(committee: Potential) -> None:
    twice = Atoms("OHH", [[0, 0, 0], [0, 0, 0], [1, 0, 0]])
    with pytest.warns(StructureWarning, match="Frame 1 .* in one place"):
        found = ladera.predict(committee, [molecule("H2O"), twice, molecule("H2")])
    assert found.frames.has("energy").tolist() == [True, False, True]
    assert found.absent()[0].startswith("Frame 1 has no energy. So in 1 of 3 frames")
    assert np.isnan(found.grade[3:6]).all()
    with pytest.raises(DataError, match=r"Frame 0 .* in one place"):
        ladera.predict(committee, twice)


def test_a_charge_that_the_model_does_not_know_is_said() -> None:
    ion = molecule("OH")
    ion.info["total_charge"] = -1
    with pytest.warns(StructureWarning, match="1 of 2 frames have a total charge"):
        ladera.predict(lennard_jones(), [molecule("H2O"), ion])


@pytest.mark.parametrize("structure", [3, None, [3], {"a": 1}])
def test_what_is_no_structure_is_said(structure) -> None:
    with pytest.raises(DataError, match="Structures are"):
        ladera.predict(lennard_jones(), structure)


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.extxyz", "a.xyz.gz", "a.h5"])
def test_a_file_is_read_again_by_ladera_and_ase(
    name: str, committee: Potential, tmp_path: Path
) -> None:
    found = ladera.predict(committee, mixed())
    lost = found.save(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = formats.read(tmp_path / name)
    for quantity in QUANTITIES:
        np.testing.assert_array_equal(
            again.column(quantity.name), found.frames.column(quantity.name)
        )
    record = json.loads((tmp_path / f"{name}.provenance.json").read_text())["provenance"]
    assert record["model"]["architecture"] == "committee"
    assert record["data"]["frames"] == len(found)
    if name == "a.h5":
        assert lost == ("energy_std", "forces_std", "grade")
        return
    starts = found.frames.offsets
    for k, atoms in enumerate(ase.io.read(tmp_path / name, ":")):
        part = slice(starts[k], starts[k + 1])
        assert atoms.get_potential_energy() == found["energy"][k]
        np.testing.assert_array_equal(atoms.get_forces(), found["forces"][part])
        np.testing.assert_array_equal(atoms.arrays["forces_std"], found["forces_std"][part])
        np.testing.assert_array_equal(np.ravel(atoms.arrays["grade"]), found["grade"][part])
        assert atoms.info["energy_std"] == found["energy_std"][k]
        assert atoms.info["labelled_by"] == f"committee {record['model']['sha256'][:12]}"


def test_tables_have_a_row_for_each_frame_and_each_atom(
    committee: Potential, tmp_path: Path
) -> None:
    found = ladera.predict(committee, mixed())
    found.save(tmp_path / "a.csv")
    frames, atoms = (
        list(csv.DictReader((tmp_path / name).read_text().splitlines()))
        for name in ("a.csv", "a_atoms.csv")
    )
    assert len(frames) == len(found)
    assert len(atoms) == found.frames.offsets[-1]
    assert float(frames[1]["energy_ev"]) == pytest.approx(found["energy"][1])
    assert float(frames[1]["stress_xy_ev_per_angstrom3"]) == pytest.approx(found["stress"][1][0, 1])
    assert frames[0]["stress_xy_ev_per_angstrom3"] == ""
    largest = np.linalg.norm(found["forces"][:3], axis=1).max()
    assert float(frames[0]["largest_force_ev_per_angstrom"]) == pytest.approx(largest)
    assert float(atoms[2]["force_y_ev_per_angstrom"]) == pytest.approx(found["forces"][2, 1])
    assert float(atoms[2]["grade"]) == pytest.approx(found.grade[2])
    assert atoms[3]["frame"] == "1"
    assert not any(name.startswith(("dipole", "charge")) for name in [*frames[0], *atoms[0]])


def test_json_holds_everything(committee: Potential, tmp_path: Path) -> None:
    found = ladera.predict(committee, mixed())
    found.save(tmp_path / "a.json")
    stored = json.loads((tmp_path / "a.json").read_text())
    assert stored["units"]["forces_std"] == "eV/Angstrom"
    assert stored["provenance"]["model"]["sha256"]
    assert [row["frame"] for row in stored["frames"]] == list(range(len(found)))
    assert stored["frames"][0]["stress"] is None
    for k, (row, frame) in enumerate(zip(stored["frames"], found, strict=True)):
        assert row["energy"] == frame.energy
        assert row["forces"] == frame.forces.tolist()
        assert row["energy_std"] == found["energy_std"][k]


# --- the command ---------------------------------------------------------------------------------


def test_labels_of_the_files_are_neither_read_nor_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m.ladera"
    lennard_jones().save(model)
    frame = Frame.from_atoms(molecule("H2O")).with_(dipole=np.ones(3), charges=np.ones(3))
    formats.write(Dataset.from_frames([frame]), tmp_path / "in.extxyz")
    text = (tmp_path / "in.extxyz").read_text().replace("dipole=", "REF_energy=-3 dipole=")
    (tmp_path / "in.extxyz").write_text(text)
    out, also = tmp_path / "out.extxyz", tmp_path / "out.json"
    assert run("predict", model, tmp_path / "in.extxyz", "--output", out, "--json", also) == 0
    said = capsys.readouterr()
    assert "not read" not in said.err
    assert "gives no dipole moment, no charges, no grade" in said.out
    assert "Frame 0 has no stress: it is not periodic" in said.out
    dataset = formats.read(out)
    assert dataset.labels == ("energy", "forces")
    assert json.loads(also.read_text())["provenance"]["data"]["files"][0]["path"].endswith(
        ".extxyz"
    )
    before = out.read_bytes()
    assert run("predict", model, tmp_path / "in.extxyz", "--output", out) == 1
    assert "out.extxyz exists already" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_a_trajectory_and_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crystals = [bulk("Cu", cubic=True) for _ in range(3)]
    for k, atoms in enumerate(crystals):
        atoms.rattle(0.1, seed=k)
    ase.io.write(tmp_path / "t.traj", crystals)
    flags = ("--calculator", "ase.calculators.emt:EMT", "--json", "-", "--quantities", "energy")
    assert run("predict", tmp_path / "t.traj", *flags) == 0
    stored = json.loads(capsys.readouterr().out)
    for atoms, row in zip(crystals, stored["frames"], strict=True):
        atoms.calc = EMT()
        assert row["energy"] == pytest.approx(atoms.get_potential_energy())
        assert "forces" not in row
    assert stored["provenance"]["model"]["config"]["calculator"] == "ase.calculators.emt:EMT"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--output", "a.foo"], "a.foo has the ending '.foo', which predictions are not written"),
        (["--output", "a.csv.gz"], "a.csv.gz has the ending '.gz', which predictions are not"),
        (["--quantities", "dipole"], "lennard_jones model gives no dipole moment"),
        (["--output", "no/such/folder/a.h5", "--types", "Cu"], "give no types"),
    ],
)
def test_refusals_come_before_any_work(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    lennard_jones().save("m.ladera")
    ase.io.write("w.traj", molecule("H2O"))
    assert run("predict", "m.ladera", "w.traj", *words) == 1
    assert sentence in capsys.readouterr().err


# --- more frames than memory ---------------------------------------------------------------------


def test_large_files_are_not_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "_LARGE", 1000)
    structures = [water_like(30, 9.0, False, seed) for seed in range(4)] * 30
    ase.io.write(tmp_path / "many.extxyz", structures)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    found = ladera.predict(lennard_jones(), tmp_path / "many.extxyz")
    assert not list((tmp_path / "tmp").iterdir())  # it has no name, and is read all the same
    monkeypatch.undo()
    again = ladera.predict(lennard_jones(), tmp_path / "many.extxyz")
    np.testing.assert_array_equal(found["energy"], again["energy"])
    np.testing.assert_array_equal(found["forces"], again["forces"])
    assert found.frames[119].source.endswith("many.extxyz, frame 119")


def test_a_view_of_a_data_set_is_labelled_in_its_order() -> None:
    dataset = Dataset.from_frames(Frame.from_atoms(atoms) for atoms in mixed())
    whole, some = (ladera.predict(lennard_jones(), d) for d in (dataset, dataset[[5, 1, 3]]))
    assert some["energy"].tolist() == pytest.approx(whole["energy"][[5, 1, 3]].tolist())
    assert [frame.formula for frame in some] == [dataset[k].formula for k in (5, 1, 3)]


# --- what others have met ------------------------------------------------------------------------


def test_each_frame_is_predicted_by_its_own_head(tmp_path: Path) -> None:
    """The head of a frame had no effect: github.com/ACEsuit/mace/issues/1371."""
    model = small_mace(heads=("pbe", "scan"))
    with torch.no_grad():
        model.shift[1] += 1.0
    for name in ("pbe", "scan", "pbe"):
        atoms = molecule("H2O")
        atoms.info["head"] = name
        ase.io.write(tmp_path / "f.extxyz", atoms, append=True)
    found = ladera.predict(model, tmp_path / "f.extxyz")
    one, other, again = found["energy"]
    assert one == pytest.approx(again, abs=1e-12)
    assert other != pytest.approx(one, abs=0.1)
    graph = Graph.from_atoms(molecule("H2O"), model.cutoff)
    assert other == pytest.approx(ladera.evaluate(model, graph, head="scan").energy.item())


def test_labels_of_several_kinds_in_a_file_are_passed_over(tmp_path: Path) -> None:
    """Forces of two kinds, a stress of nine numbers and of six: ACEsuit/mace/issues/994."""
    (tmp_path / "f.extxyz").write_text(
        '2\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:forces:R:3:dft_forces:R:3 '
        'energy=-5332.1 stress="-251 13 73 13 -229 -11 73 -11 55" free_energy=-5332.09 '
        'config_type=Bulk dft_energy=-5332.09 dft_stress="-251 -229 55 -11 73 13" pbc="T T T"\n'
        "O 0 0 0 1 2 3 4 5 6\nH 1 0 0 1 2 3 4 5 6\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ladera.predict(lennard_jones(), tmp_path / "f.extxyz")
    assert found.frames[0].config_type == "Bulk"
    assert abs(found["energy"][0]) < 100  # the model's, not the file's
    found.save(tmp_path / "out.extxyz")
    atoms = ase.io.read(tmp_path / "out.extxyz")
    np.testing.assert_allclose(atoms.get_stress(voigt=False), found["stress"][0])
