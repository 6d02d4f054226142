"""The data set: views, labels that are missing or NaN, hashes, and the HDF5 store."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_frames import assert_same_frames, copper, water
from ladera.data.dataset import LABELS, Dataset
from ladera.data.frame import Frame
from ladera.errors import DataError


@pytest.fixture
def mixed() -> list[Frame]:
    """Molecules and crystals; some labels missing, one NaN."""
    frames = [*water(5), *copper(3)]
    frames[1] = frames[1].with_(energy=None, forces=None)
    frames[2] = frames[2].with_(energy=float("nan"), dipole=np.array([0.1, 0.2, 0.3]))
    frames[3] = frames[3].with_(
        charges=np.array([-0.8, 0.4, 0.4]), total_charge=0.0, weight=2.0, config_type="wet é"
    )
    frames[6] = frames[6].with_(subset="test", config_type="bulk")
    return frames


@pytest.fixture(params=["memory", "file"])
def dataset(request, mixed, tmp_path) -> Dataset:
    in_memory = Dataset.from_frames(mixed)
    if request.param == "memory":
        return in_memory
    in_memory.save(tmp_path / "set.h5")
    return Dataset.open(tmp_path / "set.h5")


def test_frames_come_back_as_they_were(dataset, mixed):
    assert len(dataset) == len(mixed)
    for stored, original in zip(dataset, mixed, strict=True):
        assert_same_frames(original, stored)
        assert stored.source == original.source
    assert_same_frames(dataset[-1], mixed[-1])
    assert_same_frames(dataset[np.int64(2)], mixed[2])


def test_missing_is_not_nan(dataset):
    assert dataset[1].energy is None
    assert np.isnan(dataset[2].energy)
    assert dataset.has("energy").tolist() == [True, False] + [True] * 6
    assert np.isnan(dataset.column("energy")[[1, 2]]).all()


def test_columns_of_views_follow_their_order(dataset, mixed):
    view = dataset[np.array([6, 0, 3])]
    assert view.atom_counts.tolist() == [32, 3, 3]
    np.testing.assert_array_equal(
        view.column("positions"), np.concatenate([mixed[k].positions for k in (6, 0, 3)])
    )
    assert view.column("config_type").tolist() == ["bulk", "", "wet é"]
    assert view.symbols == ("H", "O", "Cu")
    assert view.compositions.tolist() == [[0, 0, 32], [2, 1, 0], [2, 1, 0]]
    assert dataset[:5].symbols == ("H", "O")


def test_structures_of_a_view_are_those_of_its_frames(dataset):
    view = dataset[::-1]
    for found, frame in zip(view.structures, view, strict=True):
        expected = frame.structure
        assert found.total_charge == expected.total_charge
        for name in ("numbers", "positions", "cell", "periodic"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_views_of_views_slices_masks_and_lists(dataset, mixed):
    assert_same_frames(dataset[2:][1], mixed[3])
    assert_same_frames(dataset[::-1][0], mixed[-1])
    assert_same_frames(dataset[dataset.has("dipole")][0], mixed[2])
    assert len(dataset[[]]) == 0
    assert dataset[[]].symbols == ()
    with pytest.raises(IndexError):
        dataset[8]


def test_labels_and_absent_columns(dataset):
    assert set(dataset.labels) == set(LABELS)
    assert dataset[:1].labels == ("energy", "forces")
    stress = dataset[:1].column("stress")
    assert stress.shape == (1, 3, 3)
    assert np.isnan(stress).all()


def test_frames_are_copies(dataset):
    before = dataset.hash
    frame = dataset[0]
    frame.positions[:] += 1.0
    frame.forces[:] = 0.0
    assert dataset[:].hash == before


def test_hash_depends_on_contents_only(mixed, tmp_path):
    original = Dataset.from_frames(mixed)
    original.save(tmp_path / "set.h5")
    assert Dataset.open(tmp_path / "set.h5").hash == original.hash
    assert Dataset.from_frames(list(original[::-1])).hash == original[::-1].hash
    renamed = [frame.with_(source="elsewhere") for frame in mixed]
    assert Dataset.from_frames(renamed).hash == original.hash


@pytest.mark.parametrize(
    "change",
    [
        {"energy": None},
        {"energy": -1.0},
        {"config_type": "other"},
        {"weight": 3.0},
        {"stress": np.zeros((3, 3))},
        {"periodic": np.array([True, False, False])},
        {"numbers": np.array([8, 1, 2])},
    ],
)
def test_any_change_changes_the_hash(mixed, change):
    changed = [mixed[0].with_(**change), *mixed[1:]]
    assert Dataset.from_frames(changed).hash != Dataset.from_frames(mixed).hash


def test_saving_a_view_and_over_the_file_it_comes_from(dataset, mixed, tmp_path):
    path = tmp_path / "set.h5"
    dataset[4:].save(path)
    assert_same_frames(Dataset.open(path)[0], mixed[4])
    assert len(dataset) == len(mixed)
    assert_same_frames(dataset[0], mixed[0])  # the old file is still mapped


def test_storing_more_frames_than_are_held_at_once(tmp_path, mixed, monkeypatch):
    monkeypatch.setattr("ladera.data.dataset.BLOCK", 3)
    monkeypatch.setattr("ladera.data.store.BLOCK", 2)
    path = tmp_path / "deep" / "set.h5"
    stored = Dataset.store((frame for frame in mixed), path)
    assert stored.hash == Dataset.from_frames(mixed).hash
    assert [frame.source for frame in stored] == [frame.source for frame in mixed]
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(DataError, match="no atoms"):
        Dataset.store([*mixed, _nothing()], path)
    assert Dataset.open(path).hash == stored.hash
    assert list(path.parent.iterdir()) == [path]


def _nothing() -> Frame:
    return Frame(np.zeros(0, int), np.zeros((0, 3)), np.zeros((3, 3)), np.zeros(3, bool))


def test_an_empty_data_set_is_stored(tmp_path):
    Dataset.from_frames([]).save(tmp_path / "empty.h5")
    assert len(Dataset.open(tmp_path / "empty.h5")) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"forces": np.zeros((2, 3))}, "forces has shape"),
        ({"positions": np.zeros(3)}, "positions has shape"),
        ({"numbers": np.array([8, 1, 0])}, "atom 2 has the atomic number 0"),
        ({"stress": np.zeros(6)}, "stress has shape"),
    ],
)
def test_frames_that_do_not_fit_together_are_refused(change, words):
    with pytest.raises(DataError, match=words) as caught:
        Dataset.from_frames([water(1)[0].with_(**change)])
    assert "water.xyz, frame 0" in str(caught.value)


def test_atomic_numbers_of_another_type_are_refused(tmp_path):
    """They were compared with numbers before anyone looked."""
    path = tmp_path / "set.h5"
    Dataset.from_frames(water(2)).save(path)
    with h5py.File(path, "r+") as file:
        del file["numbers"]
        file["numbers"] = np.array([b"O", b"H", b"H"] * 2)
    with pytest.raises(DataError, match=r"its array 'numbers' has .* type \|S1, expected"):
        Dataset.open(path)


def test_a_frame_without_atoms_is_refused():
    with pytest.raises(DataError, match="no atoms"):
        Dataset.from_frames([_nothing()])


def test_files_that_are_no_data_sets(tmp_path, mixed):
    with pytest.raises(DataError, match="no data set file"):
        Dataset.open(tmp_path / "nothing.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(DataError, match="no complete"):
        Dataset.open(tmp_path / "text.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match="no Ladera data set"):
        Dataset.open(tmp_path / "foreign.h5")
    path = tmp_path / "newer.h5"
    Dataset.from_frames(mixed).save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(DataError, match="upgrade"):
        Dataset.open(path)


@pytest.mark.parametrize("name", ["forces", "energy", "offsets", "has_forces"])
def test_a_data_set_file_with_a_wrong_array_is_refused(tmp_path, mixed, name):
    path = tmp_path / "set.h5"
    Dataset.from_frames(mixed).save(path)
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = np.zeros(2, dtype="i4")
    with pytest.raises(DataError, match=r"set\.h5"):
        Dataset.open(path)
    with h5py.File(path, "r+") as file:
        del file[name]
    if name != "has_forces":
        with pytest.raises(DataError, match=name):
            Dataset.open(path)


def test_a_full_disk_leaves_the_old_file(tmp_path, mixed, monkeypatch):
    path = tmp_path / "set.h5"
    Dataset.from_frames(mixed).save(path)
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.File, "create_dataset", full)
    with pytest.raises(DataError, match="No space left"):
        Dataset.from_frames(mixed[:2]).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_files_raise_data_errors_or_still_open(tmp_path, data):
    path = tmp_path / "damaged.h5"
    Dataset.from_frames(water(3)).save(path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    else:
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        dataset = Dataset.open(path)
        frames = list(dataset)
    except DataError:
        return
    assert len(frames) == len(dataset)
