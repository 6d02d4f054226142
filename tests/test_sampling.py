"""Frames are left out for a reason, chosen far apart, and made as they say."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.data import covalent_radii

from ladera.cli import main
from ladera.data import doctor, formats
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.errors import ConfigError, DataError
from ladera.loading import load
from ladera.potential import Committee
from ladera.sampling.filtering import Conditions, filter_frames
from ladera.sampling.generation import (
    Recipe,
    closest_contact,
    contacts,
    dimers,
    generate,
    rattled,
    strained,
    supercell,
    without_atoms,
)
from ladera.sampling.selection import farthest_points, fingerprints, scores

DATA = Path(__file__).parent.parent / "src/ladera/data/embedded/ethanol.extxyz.gz"


def frame_of(atoms, **labels) -> Frame:
    return Frame(
        numbers=atoms.numbers.astype(np.int64),
        positions=atoms.positions.astype(float),
        cell=np.array(atoms.cell.array),
        periodic=np.array(atoms.pbc),
        **labels,
    )


SALT = frame_of(bulk("NaCl", "rocksalt", 5.64, cubic=True), energy=-1.0, source="salt")
WATER = frame_of(molecule("H2O"), energy=-14.0)


def shares(frame: Frame) -> float:
    """The least distance over the sum of radii, from ASE's distances."""
    distances = frame.to_atoms().get_all_distances(mic=bool(frame.periodic.any()))
    radii = covalent_radii[frame.numbers]
    np.fill_diagonal(distances, np.inf)
    return float((distances / (radii[:, None] + radii)).min())


# --- generation --------------------------------------------------------------------------------


def test_a_rattle_is_gaussian_and_keeps_its_distance() -> None:
    big = supercell(SALT, (3, 3, 3))
    small = rattled(big, 0.05, np.random.default_rng(0))
    moves = small.positions - big.positions
    assert moves.std() == pytest.approx(0.05, rel=0.05)
    assert abs(moves.mean()) < 0.005
    assert (small.energy, small.config_type) == (None, "supercell-3x3x3+rattle-0.05")
    wild = rattled(big, 0.5, np.random.default_rng(0), closest=0.75)
    assert 0.75 <= closest_contact(wild)[0] == pytest.approx(shares(wild))
    with pytest.raises(DataError, match=r"rattled by 5 Angstrom always has atoms closer than 0.70"):
        rattled(big, 5.0, np.random.default_rng(0))


def test_a_strain_is_symmetric_and_takes_the_atoms_along() -> None:
    new = strained(SALT, 0.04, np.random.default_rng(1))
    deformation = np.linalg.solve(SALT.cell, new.cell) - np.eye(3)
    np.testing.assert_allclose(deformation, deformation.T, atol=1e-12)
    assert 0.005 < np.abs(deformation).max() <= 0.04
    np.testing.assert_allclose(
        np.linalg.solve(new.cell.T, new.positions.T),
        np.linalg.solve(SALT.cell.T, SALT.positions.T),
        atol=1e-12,
    )
    with pytest.raises(DataError, match="not periodic in all directions"):
        strained(WATER, 0.04, np.random.default_rng(1))


def test_supercells_and_vacancies() -> None:
    new, atoms = supercell(SALT, (2, 1, 3)), SALT.to_atoms().repeat((2, 1, 3))
    np.testing.assert_allclose(new.cell, atoms.cell.array)
    order = [np.lexsort(np.round(each, 6).T) for each in (new.positions, atoms.positions)]
    np.testing.assert_allclose(new.positions[order[0]], atoms.positions[order[1]], atol=1e-12)
    np.testing.assert_array_equal(new.numbers[order[0]], atoms.numbers[order[1]])
    holes = without_atoms(new, 2, np.random.default_rng(0))
    assert holes.n_atoms == new.n_atoms - 2
    assert holes.config_type == "supercell-2x1x3+vacancy-2"
    with pytest.raises(DataError, match="3 atoms, of which 3 cannot be taken out"):
        without_atoms(WATER, 3, np.random.default_rng(0))
    with pytest.raises(DataError, match="open along cell vector 1"):
        supercell(WATER, (2, 1, 1))


def test_dimers_of_all_pairs_from_contact_to_the_cutoff() -> None:
    frames = dimers(["O", "H"], 5.0, points=7)
    names = [frame.config_type for frame in frames]
    assert names[:2] == ["IsolatedAtom"] * 2
    assert {name: names.count(name) for name in names[2:]} == {
        "dimer-H-H": 7,
        "dimer-H-O": 7,
        "dimer-O-O": 7,
    }
    curve = [f.positions[1, 2] for f in frames if f.config_type == "dimer-H-O"]
    assert curve[0] == pytest.approx(0.7 * (covalent_radii[1] + covalent_radii[8]))
    assert curve[-1] == pytest.approx(5.0)
    assert (np.diff(curve, 2) > 0).all()  # finer where it is steep
    with pytest.raises(
        ConfigError, match=r"cutoff is 0.5 Angstrom; the curve of .* give a longer one"
    ):
        dimers(["O"], 0.5)


def test_contacts_push_two_atoms_together() -> None:
    frames = contacts(SALT, points=4)
    assert {f.config_type for f in frames} == {"contact-Na-Na", "contact-Na-Cl", "contact-Cl-Cl"}
    curve = [frame for frame in frames if frame.config_type == "contact-Na-Cl"]
    least = [shares(frame) for frame in curve]
    assert np.diff(least) == pytest.approx(np.diff(least)[0])
    assert least[-1] == pytest.approx(0.7)
    moves = np.linalg.norm(curve[-1].positions - SALT.positions, axis=1)
    assert (moves > 0).sum() == 2
    for frame in frames:
        assert closest_contact(frame)[0] >= 0.7 - 1e-9


def test_a_recipe_is_the_same_by_its_seed_and_whatever_comes_before() -> None:
    recipe = Recipe(rattle=0.05, strain=0.02, vacancies=1, number=2, seed=5)
    one, other = (list(generate(frames, recipe)) for frames in ([SALT], [SALT, SALT]))
    np.testing.assert_array_equal(one[1].positions, other[1].positions)
    assert not np.allclose(other[0].positions, other[2].positions)
    assert one[0].config_type == "vacancy-1+strain-0.02+rattle-0.05"
    with pytest.raises(ConfigError, match="Nothing was asked for"):
        list(generate([SALT], Recipe()))


# --- selection ---------------------------------------------------------------------------------


def test_the_chosen_are_far_apart_and_the_radius_is_what_it_says() -> None:
    points = np.random.default_rng(0).standard_normal((300, 5))
    found = farthest_points(points, np.empty((0, 5)), 20)
    distances = np.linalg.norm(points[:, None] - points[found.indices], axis=2)
    for k in range(20):
        assert found.radii[k] == pytest.approx(distances[:, : k + 1].min(1).max())
    pairs = [np.linalg.norm(points[a] - points[b]) for a, b in combinations(found.indices, 2)]
    assert min(pairs) >= found.radii[-1]
    again = farthest_points(points, np.empty((0, 5)), distance=found.radii[9])
    np.testing.assert_array_equal(again.indices, found.indices[:10])


@pytest.fixture(scope="module")
def ethanol() -> Dataset:
    return formats.read(DATA)[:40]


@pytest.mark.parametrize("name", ["ethanol-mace", "ethanol-hdnnp"])
def test_fingerprints_know_no_turns_and_no_order(name: str, ethanol: Dataset) -> None:
    potential, frame = load(name), ethanol[3]
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    order = np.argsort(frame.numbers, kind="stable")[::-1]
    turned = frame.with_(
        numbers=frame.numbers[order], positions=frame.positions[order] @ turn, forces=None
    )
    points = fingerprints(potential, Dataset.from_frames([frame, turned, ethanol[4]]), (1, 6, 8))
    np.testing.assert_allclose(points[0], points[1], atol=1e-4)
    assert np.linalg.norm(points[0] - points[2]) > 1e-2
    both = fingerprints(Committee([potential, potential]), ethanol[:2], (1, 6, 8))
    assert both.shape[0] == 2


def test_scores(ethanol: Dataset) -> None:
    potential = load("ethanol-hdnnp")
    grades = scores(potential, ethanol, "grade")
    graph = ethanol[7].graph(potential.cutoff)
    assert grades[7] == pytest.approx(float(potential.grade(graph).max()))
    alike = scores(Committee([potential, potential]), ethanol[:2], "deviation")
    np.testing.assert_allclose(alike, 0, atol=1e-7)
    with pytest.raises(ConfigError, match="is no committee"):
        scores(potential, ethanol, "deviation")
    with pytest.raises(DataError, match="Frame 0 contains Na, which the model does not know"):
        fingerprints(potential, Dataset.from_frames([SALT.with_(source="")]), (11, 17))


# --- filtering ---------------------------------------------------------------------------------


def test_each_frame_that_is_left_out_has_its_reasons() -> None:
    quiet = np.zeros((3, 3))
    loud = np.array([[3.0, 4.0, 0.0], [-3, -4, 0], [0, 0, 0]])
    free = Frame(np.array([8]), np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3, bool), -2.0)
    frames = [
        WATER.with_(forces=quiet),
        WATER.with_(forces=loud, energy=-13.9),
        WATER.with_(forces=quiet, energy=-10.0),
        WATER.with_(energy=np.nan),
        SALT,
        free,
    ]
    data = Dataset.from_frames(frames)
    found = filter_frames(
        data, Conditions(max_force=4.9, max_energy=0.5, without=["Na"], findings=["not-finite"])
    )
    reasons = {name: frames.tolist() for name, frames in found.reasons.items()}
    assert reasons == {
        "force above 4.9 eV/Angstrom": [1],
        "energy above the lowest by 0.5 eV/atom": [2, 3],
        "contains Na": [4],
        "error of the doctor: not-finite": [3],
    }
    assert found.kept.tolist() == [0, 5]
    listed = found.to_json(data)["left_out"]
    assert listed[2]["reasons"] == [
        "energy above the lowest by 0.5 eV/atom",
        "error of the doctor: not-finite",
    ]
    atoms = filter_frames(data, Conditions(max_atoms=3, min_atoms=2, findings=["none"]))
    assert atoms.kept.tolist() == [0, 1, 2, 3, 5]
    with pytest.raises(ConfigError, match="no finding 'overlaps'; did you mean 'overlap'"):
        filter_frames(data, Conditions(findings=["overlaps"]))
    with pytest.raises(ConfigError, match="No frame contains the element 'K'"):
        filter_frames(data, Conditions(elements=["K"]))


def test_the_doctor_names_its_findings_as_the_docs_do() -> None:
    page = (Path(__file__).parent.parent / "docs/data.md").read_text()
    rows = page.partition("| finding |")[2].partition("\n\n")[0].splitlines()[2:]
    named = {word.strip("` ") for row in rows for word in row.split("|")[1].split(",")}
    assert named == set(doctor.CODES)


# --- the commands ------------------------------------------------------------------------------


def run(words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    return int(stop.value.code or 0)


def test_commands(tmp_path, monkeypatch, capsys, ethanol: Dataset) -> None:
    monkeypatch.chdir(tmp_path)
    formats.write(ethanol, "md.extxyz")
    ase.io.write("salt.cif", SALT.to_atoms())
    assert run("data filter md.extxyz --output good.extxyz --max-force 2 --json why.json") == 0
    why = json.loads(Path("why.json").read_text())
    assert why["n_kept"] + len(why["left_out"]) == 40
    assert len(formats.read("good.extxyz")) == why["n_kept"]
    words = "data select ethanol-mace md.extxyz --number 4 --output few.extxyz --json few.json"
    assert run(words) == 0
    chosen = json.loads(Path("few.json").read_text())
    few = formats.read("few.extxyz")
    ase.io.write("bare.xyz", [frame.to_atoms() for frame in ethanol[:9]], plain=True)
    assert run("data select ethanol-mace bare.xyz --number 3 --output three.extxyz") == 0
    assert len(ase.io.read("three.extxyz", ":")) == 3
    assert (
        run("data select ethanol-mace bare.xyz --number 3 --output no.extxyz --energy-key E") == 1
    )
    assert few.hash == ethanol[sorted(chosen["frames"])].hash
    assert "Covering radius" in capsys.readouterr().out
    more = "data select ethanol-mace md.extxyz --known few.extxyz --number 1 --output more.extxyz"
    assert run(more) == 0
    made = "data generate salt.cif --output new.extxyz --rattle 0.05 --number 3 --contacts"
    assert run(f"{made} --points 2 --json made.json") == 0
    keys = formats.LabelKeys(energy=None, forces=None)
    record = json.loads(Path("made.json").read_text())["frames"]
    assert len(record) == len(formats.read("new.extxyz", keys=keys)) == 3 + 3 * 2
    assert record[0]["source"].startswith("made: salt.cif")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("generate salt.cif --output a.xyz", "Nothing was asked for; name what to make"),
        ("generate salt.cif --output a.pdb --rattle 0.1", "ending '.pdb', which Ladera does not"),
        (
            "generate salt.cif --output a.xyz --contacts --points 0",
            "--points is 0; a curve needs one",
        ),
        ("generate salt.cif --output a.xyz --supercell 0 1 1", "give three whole numbers"),
        ("generate salt.cif --output a.xyz --strain 3", "--strain is 3; it must be"),
        (
            "generate salt.cif --output a.xyz --rattle -1",
            "--rattle is -1 Angstrom; it must be finite",
        ),
        ("filter md.extxyz --output a.xyz --max-force 0", "none meets all conditions"),
        (
            "select ethanol-mace md.extxyz --output a.xyz",
            "Neither --number nor --distance is given; give one",
        ),
        ("select ethanol-mace salt.xyz --output a.xyz --number 1", "contains Na, which the model"),
        ("select ethanol-mace md.extxyz --output a.xyz --number 0", "must be at least 1"),
        (
            "select ethanol-mace md.extxyz --output a.xyz --number 1 --by deviation --above 1",
            "is no committee",
        ),
        (
            "select ethanol-hdnnp md.extxyz --output a.xyz --number 1 --by grade --above 99",
            "No frame has a grade above 99",
        ),
    ],
)
def test_mistakes_get_a_sentence(
    words: str, sentence: str, tmp_path, monkeypatch, capsys, ethanol: Dataset
) -> None:
    monkeypatch.chdir(tmp_path)
    formats.write(ethanol[:3], "md.extxyz")
    formats.write(Dataset.from_frames([SALT.with_(forces=np.zeros((8, 3)))]), "salt.xyz")
    ase.io.write("salt.cif", SALT.to_atoms())
    assert run(f"data {words}") in (1, 2)
    assert sentence in capsys.readouterr().err
    assert not Path("a.xyz").exists()
