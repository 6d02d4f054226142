"""Splits that can be trusted later, and reference energies."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_frames import copper, water
from ladera.data import reference_energies
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.data.splits import Split, file_split, first_split, group_split, random_split
from ladera.errors import DataError


def free_atom(number: int, energy: float, **fields: object) -> Frame:
    frame = Frame(
        np.array([number]), np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3, bool), energy=energy
    )
    return frame.with_(**fields)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    frames = [
        frame.with_(config_type="gas" if k < 12 else "hot") for k, frame in enumerate(water(18))
    ]
    return Dataset.from_frames([*frames, free_atom(1, -13.6), free_atom(8, -2041.0)])


@pytest.mark.filterwarnings("ignore:.*comes to none")
@settings(max_examples=40, deadline=None)
@given(
    validation=st.floats(0, 0.4) | st.integers(0, 7),
    test=st.floats(0, 0.4) | st.integers(0, 7),
    seed=st.integers(0, 5),
)
def test_random_splits_use_every_frame_once(dataset, validation, test, seed):
    split = random_split(dataset, validation, test, seed)
    together = np.concatenate([split.train, split.validation, split.test])
    assert sorted(together.tolist()) == list(range(20))
    for part, size in ((split.validation, validation), (split.test, test)):
        assert len(part) == (round(18 * size) if size < 1 else size)
    assert {18, 19} <= set(split.train.tolist())
    again = random_split(dataset, validation, test, seed)
    assert again.to_json() == split.to_json()


def test_other_seeds_split_otherwise(dataset):
    assert random_split(dataset, 5, 5, 0).to_json() != random_split(dataset, 5, 5, 1).to_json()


def test_groups_go_whole(dataset):
    split = group_split(dataset, test=["hot"])
    assert split.test.tolist() == list(range(12, 18))
    assert split.train.tolist() == [*range(12), 18, 19]
    with pytest.raises(DataError, match="did you mean 'hot'"):
        group_split(dataset, validation=["hott"])
    with pytest.raises(DataError, match="no frame has a group"):
        group_split(Dataset.from_frames(water(3)), validation=["hot"])


def test_first_and_file_splits(dataset):
    split = first_split(dataset, 10, 4)
    assert (split.train[-1], split.validation.tolist(), split.test[0]) == (9, [10, 11, 12, 13], 14)
    with pytest.raises(DataError, match="cannot be taken from 20"):
        first_split(dataset, 18, 4)
    with pytest.raises(DataError, match="set=train"):
        file_split(dataset)
    frames = [
        f.with_(subset=s) for f, s in zip(water(4), ("train", "test", "", "test"), strict=True)
    ]
    split = file_split(Dataset.from_frames(frames))
    assert (split.train.tolist(), split.test.tolist()) == ([0, 2], [1, 3])


@pytest.mark.parametrize("sizes", [(1.5, 0), (-0.1, 0), (0, -3), (10, 9), (0.9, 0.9)])
def test_impossible_sizes_are_refused(dataset, sizes):
    with pytest.raises(DataError):
        random_split(dataset, *sizes)


def test_a_split_must_leave_something_to_train_on():
    with pytest.raises(DataError, match="leave none of 3"):
        random_split(Dataset.from_frames(water(3)), 1, 2)
    with pytest.raises(DataError, match="Frame 1 is in two parts"):
        Split(np.array([0, 1]), np.array([1]), np.array([], int), "", "")
    with pytest.raises(DataError, match="no frame to train on"):
        Split(np.array([], int), np.array([1]), np.array([], int), "", "")


def test_a_stored_split_is_refused_for_other_data(dataset, tmp_path):
    path = tmp_path / "split.json"
    split = random_split(dataset)
    split.save(path)
    assert Split.load(path, dataset).to_json() == split.to_json()
    with pytest.raises(DataError, match="other data"):
        Split.load(path, dataset[::-1])
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "test": [99]}))
    with pytest.raises(DataError, match="names frame 99; the data set has 20"):
        Split.load(path, dataset)
    path.write_text(json.dumps({**stored, "test": stored["train"]}))
    with pytest.raises(DataError, match="two parts"):
        Split.load(path, dataset)
    path.write_text(json.dumps({**stored, "format_version": 2}))
    with pytest.raises(DataError, match="upgrade"):
        Split.load(path, dataset)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format_version": "x"}', "null", "\udcff"])
def test_damaged_split_files(dataset, tmp_path, text):
    path = tmp_path / "split.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"split\.json is no split"):
        Split.load(path, dataset)
    with pytest.raises(DataError, match="no split file"):
        Split.load(tmp_path / "none.json", dataset)


def test_reference_energies_of_free_atoms(dataset):
    expected = {"H": -13.6, "O": -2041.0}
    assert reference_energies.from_isolated_atoms(dataset) == expected
    assert reference_energies.automatic(dataset) == expected
    with pytest.raises(DataError, match="no free atom of O"):
        reference_energies.from_isolated_atoms(dataset[:19])
    contradiction = Dataset.from_frames([*dataset, free_atom(1, -13.0)])
    with pytest.raises(DataError, match="Frame 18 and Frame 20 are both a free H atom"):
        reference_energies.from_isolated_atoms(contradiction)


def test_a_free_atom_in_a_box_and_a_crystal_of_one_atom():
    box = {"cell": np.eye(3) * 20, "periodic": np.ones(3, bool)}
    for name in ("IsolatedAtom", "isolated_atom"):
        dataset = Dataset.from_frames([free_atom(29, -1.0, config_type=name, **box)])
        assert reference_energies.from_isolated_atoms(dataset) == {"Cu": -1.0}
    plain = Dataset.from_frames([free_atom(29, -1.0, **box)])
    assert reference_energies.from_isolated_atoms(plain) == {"Cu": -1.0}
    fcc = 0.5 * 3.6 * (np.ones((3, 3)) - np.eye(3))
    for change in ({"cell": fcc, "periodic": np.ones(3, bool)}, {"total_charge": 1.0}):
        with pytest.raises(DataError, match="no free atom of Cu"):
            reference_energies.from_isolated_atoms(
                Dataset.from_frames([free_atom(29, -3.7, **{**box, **change})])
            )


def test_given_reference_energies(dataset):
    values = {"H": -13.0, "O": -2000.0, "C": 0.0}
    assert reference_energies.from_values(values, dataset) == {"H": -13.0, "O": -2000.0}
    with pytest.raises(DataError, match="no value for O"):
        reference_energies.from_values({"H": -13.0}, dataset)
    with pytest.raises(DataError, match="'Hh' in the reference energies is no element"):
        reference_energies.from_values({**values, "Hh": 0.0}, dataset)
    with pytest.raises(DataError, match="of H is nan"):
        reference_energies.from_values({**values, "H": float("nan")}, dataset)


def hydrocarbons(e_h: float, e_c: float, free: bool) -> Dataset:
    """CH4, C2H6, C2H2 with energies that are sums over atoms."""
    frames = []
    for carbons, hydrogens in ((1, 4), (2, 6), (2, 2)):
        numbers = np.array([6] * carbons + [1] * hydrogens)
        positions = 1.5 * np.arange(3 * len(numbers), dtype=float).reshape(-1, 3)
        energy = carbons * e_c + hydrogens * e_h
        frames.append(Frame(numbers, positions, np.zeros((3, 3)), np.zeros(3, bool), energy=energy))
    return Dataset.from_frames([*frames, free_atom(1, 5.0)] if free else frames)


@given(st.floats(-100, 0), st.floats(-2000, 0), st.booleans())
@settings(max_examples=20, deadline=None)
def test_least_squares_finds_what_the_compositions_determine(e_h, e_c, free):
    found = reference_energies.least_squares(hydrocarbons(e_h, e_c, free))
    assert found == pytest.approx({"H": e_h, "C": e_c}, abs=1e-8)


def test_least_squares_warns_where_they_do_not():
    dataset = Dataset.from_frames(water(5))
    with pytest.warns(UserWarning, match=r"1 composition.s. of the data do not determine"):
        found = reference_energies.automatic(dataset)
    mean = np.mean(dataset.column("energy"))
    assert 2 * found["H"] + found["O"] == pytest.approx(mean)
    assert found["H"] / found["O"] == pytest.approx(2.0)  # the smallest that fit


def test_least_squares_needs_energies():
    with pytest.raises(DataError, match="No frame has an energy"):
        reference_energies.least_squares(
            Dataset.from_frames([frame.with_(energy=None) for frame in copper(2)])
        )
    frames = water(3)
    frames[1] = frames[1].with_(energy=float("nan"))
    with pytest.raises(DataError, match="water.xyz, frame 1 has the energy nan"):
        reference_energies.least_squares(Dataset.from_frames(frames))
