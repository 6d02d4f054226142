"""Data larger than memory: what is gone through in parts says what the whole says."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import ladera
from data_frames import water
from ladera import array_files
from ladera.array_files import blank, read_arrays, save_arrays
from ladera.data import dataset as dataset_module
from ladera.data.dataset import Dataset
from ladera.data.doctor.pairs import same_atoms
from ladera.data.graphs import GraphStore
from ladera.data.splits import Split
from ladera.data.store import release
from ladera.errors import DataError
from ladera.graph import Graph
from ladera.models.hdnnp import statistics as hdnnp_statistics
from ladera.models.hdnnp.config import HDNNPConfig
from ladera.models.hdnnp.scaling import principal_components
from ladera.models.hdnnp.statistics import RunningMoments
from ladera.potential import TrainingStatistics
from ladera.quantities import ENERGY, FORCES, QUANTITIES
from ladera.training import config_file, evaluation
from ladera.training.evaluation import Evaluation, evaluate_dataset
from ladera.training.preparation import prepare

MODEL = {"architecture": "hdnnp", "size": "small", "cutoff": 4.0, "hidden_layers": [4]}

# --- statistics in one pass ---------------------------------------------------------------------


@pytest.mark.parametrize("covariances", [True, False])
def test_moments_of_parts_are_those_of_all(covariances: bool) -> None:
    # Far from zero beside its width, as a sum of squares minus a squared mean would lose.
    x = 1e4 + np.random.default_rng(0).standard_normal((1000, 5)) * [1, 0.1, 10, 1e-3, 0]
    moments = RunningMoments(5, covariances)
    for part in np.split(x, [0, 1, 3, 400, 400, 999]):
        moments.add(torch.from_numpy(part))
    assert moments.count == 1000
    assert np.array_equal(moments.low, x.min(0))
    assert np.array_equal(moments.high, x.max(0))
    assert moments.mean.numpy() == pytest.approx(x.mean(0), rel=1e-14)
    assert moments.deviation.numpy() == pytest.approx(x.std(0, ddof=1), rel=1e-8, abs=1e-10)
    if covariances:
        expected = np.cov(x.T, ddof=0)
        assert moments.covariance.numpy() == pytest.approx(expected, rel=1e-8, abs=1e-10)


def test_the_scaling_of_a_model_is_that_of_all_atoms_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hdnnp_statistics, "ATOMS_AT_ONCE", 20)  # batches of 7 molecules
    graphs = GraphStore(Dataset.from_frames(water(40)), 4.0)
    config = HDNNPConfig(
        species=("H", "O"),
        cutoff=4.0,
        size="small",
        scaling="principal",
        components={"H": 6, "O": 5},
    )
    model = ladera.build(config)
    model.fit_statistics(graphs, TrainingStatistics({"H": 0.0, "O": 0.0}, 0.0, 1.0))
    everything = Graph.batch(list(graphs))
    values = model.symmetry_functions(everything.to(model.dtype)).double().detach().numpy()
    index = model.element_index(everything).numpy()
    for element, count in enumerate(model.plan.counts):
        G = values[index == element, :count]
        varies = np.ptp(G, axis=0) > 1e-8
        assert varies.sum() > 3
        found = {
            name: getattr(model, name)[element, :count].numpy() for name in ("minimum", "mean")
        }
        assert np.array_equal(found["minimum"], G.min(0))
        assert model.maximum[element, :count].numpy()[varies] == pytest.approx(G.max(0)[varies])
        assert found["mean"] == pytest.approx(G.mean(0), rel=1e-12)
        deviation = model.deviation[element, :count].numpy()
        assert deviation[varies] == pytest.approx(G.std(0, ddof=1)[varies], rel=1e-9)
        expected = principal_components(G, model.input_counts[element])
        mixing = model.mixing[element, :count].numpy()[:, : expected.shape[1]]
        signs = np.where((mixing * expected).sum(0) < 0, -1, 1)
        assert mixing == pytest.approx(signs * expected, rel=1e-6, abs=1e-7)


def test_energies_and_forces_in_blocks_give_the_statistics_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_module, "BLOCK", 7)
    Dataset.from_frames(water(40)).save(tmp_path / "data.h5")
    values = {"data": {"files": [str(tmp_path / "data.h5")]}, "model": MODEL, "epochs": 1}
    prepared = prepare(config_file.parse(values, "this test"))
    with pytest.warns(UserWarning, match="do not determine"):
        found = prepared.statistics()
    view = prepared.dataset[prepared.train]
    forces = view.column("forces")
    assert found.force_scale == pytest.approx(np.sqrt(np.mean(forces**2)), rel=1e-13)
    free = 2 * found.reference_energies["H"] + found.reference_energies["O"]
    expected = np.mean((view.column("energy") - free) / 3)
    assert found.energy_shift == pytest.approx(expected, abs=1e-12)


def test_frames_of_the_same_atoms_are_found_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_module, "BLOCK", 4)
    frames = water(15)
    for k in (1, 6, 14):
        frames[k] = frames[k].with_(head="other")
    for k in (3, 9):
        numbers = np.array([1, 8, 1])
        frames[k] = frames[k].with_(numbers=numbers)
    frames[5] = frames[5].with_(forces=None)
    groups = [group.tolist() for group in same_atoms(Dataset.from_frames(frames))]
    assert groups == [[0, 2, 4, 7, 8, 10, 11, 12, 13], [1, 6, 14], [3, 9]]


# --- the last evaluation ------------------------------------------------------------------------


def test_kept_neighbour_lists_and_predictions_on_disk_change_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Dataset.from_frames(water(30))
    model = ladera.build(HDNNPConfig(species=("H", "O"), cutoff=4.0, size="small"))
    chosen = np.arange(3, 30, 2)
    graphs = GraphStore(data, 4.0)
    before = evaluate_dataset(model, data[chosen], chosen)
    monkeypatch.setattr(array_files, "_IN_MEMORY", 80)
    monkeypatch.setattr(evaluation, "BLOCK", 5)
    after = evaluate_dataset(model, data[chosen], chosen, graphs=graphs)
    assert isinstance(after[FORCES].base, np.memmap)
    assert after.to_json()["forces"] == pytest.approx(before.to_json()["forces"], rel=1e-12)
    stored = []
    for number, found in enumerate((before, after)):
        found.save_predictions(tmp_path / f"{number}.npz")
        stored.append(read_arrays(tmp_path / f"{number}.npz"))
    assert stored[0].keys() == stored[1].keys()
    for name, values in stored[0].items():
        assert np.array_equal(values, stored[1][name], equal_nan=values.dtype.kind == "f"), name
    assert stored[0]["forces_reference"].shape == (3 * len(chosen), 3)


def test_predictions_are_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_module, "BLOCK", 500)
    n_frames, n_atoms = 20_000, 10
    rows = n_frames * n_atoms
    text, generator = np.zeros(n_frames, dtype="S1"), np.random.default_rng(0)
    arrays = {
        "offsets": np.arange(0, rows + 1, n_atoms),
        "numbers": np.ones(rows, dtype="u1"),
        "forces": generator.integers(0, 9, size=(rows, 3)).astype(float),
        "has_forces": np.ones(n_frames, dtype=bool),
        "config_type": text,
    }
    data = Dataset(arrays)[::-1]
    shapes = {q: (rows if q.per_atom else n_frames, *q.shape) for q in QUANTITIES}
    predicted = {q: np.broadcast_to(np.nan, shape) for q, shape in shapes.items()}
    exists = {q: np.full(n_frames, q == ENERGY) for q in QUANTITIES}
    found = Evaluation(data, np.arange(n_frames), predicted, exists)
    tracemalloc.start()
    found.save_predictions(tmp_path / "predictions.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * n_frames  # the forces alone are 240 bytes a frame, their rows 80 more
    stored = read_arrays(tmp_path / "predictions.npz")
    assert np.array_equal(stored["forces_reference"], data.column("forces"))


def test_a_split_is_written_in_parts(tmp_path: Path) -> None:
    n_frames = 100_000
    order = np.random.default_rng(0).permutation(n_frames)
    split = Split(order[2000:], order[:1000], order[1000:2000], "0123", 'of "all", ångström')
    tracemalloc.start()
    split.save(tmp_path / "split.json")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * n_frames  # 7 bytes a frame in the file, held a few times
    assert json.loads((tmp_path / "split.json").read_text("utf-8")) == split.to_json()


def test_arrays_in_parts_are_read_as_one(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((11, 3))
    save_arrays(tmp_path / "x.npz", [("x", 11, np.split(x, [4, 9])), ("empty", 0, [x[:0]])])
    stored = read_arrays(tmp_path / "x.npz")
    assert np.array_equal(stored["x"], x)
    assert stored["empty"].shape == (0, 3)


@pytest.mark.parametrize("full", [False, True])
def test_a_large_blank_array_is_on_disk_if_it_fits(
    full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_file() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(array_files, "_IN_MEMORY", 64)
    if full:
        monkeypatch.setattr(array_files, "TemporaryFile", no_file)
    values = blank((7, 3))
    assert isinstance(values.base, np.memmap) is not full
    assert values.shape == (7, 3)
    assert np.isnan(values).all()
    values[2] = 1.0
    release({"values": values})
    assert np.array_equal(np.nan_to_num(values).sum(1), [0, 0, 3, 0, 0, 0, 0])


# --- files that lead elsewhere ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["soft", "external", "virtual", "external storage"])
@pytest.mark.parametrize("name", ["positions", "energy"])
def test_a_data_set_that_leads_elsewhere_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    path, other = tmp_path / "data.h5", tmp_path / "other.h5"
    Dataset.from_frames(water(4)).save(path)
    Dataset.from_frames(water(4, seed=1)).save(other)
    with h5py.File(path, "r+") as file:
        values = file[name][...]
        del file[name]
        match kind:
            case "soft":
                file["forces2"] = values
                file[name] = h5py.SoftLink("/forces2")
            case "external":
                file[name] = h5py.ExternalLink(str(other), name)
            case "virtual":
                layout = h5py.VirtualLayout(values.shape, values.dtype)
                layout[...] = h5py.VirtualSource(str(other), name, values.shape)
                file.create_virtual_dataset(name, layout)
            case _:
                raw = tmp_path / "raw.bin"
                raw.write_bytes(values.tobytes())
                file.create_dataset(
                    name,
                    values.shape,
                    values.dtype,
                    external=[(str(raw), 0, h5py.h5f.UNLIMITED)],
                )
    words = "is a link to" if kind in ("soft", "external") else "lie in other files"
    with pytest.raises(DataError, match=f"data.h5 .*'{name}'.* {words}"):
        Dataset.open(path)
