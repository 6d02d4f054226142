"""The parts of training: loss, batches, learning rate, checkpoints, evaluation."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ladera
from ladera.data.dataset import Dataset
from ladera.data.graphs import GraphStore, weight
from ladera.errors import ConfigError, DataError, ModelFileError
from ladera.graph import Graph
from ladera.models.lennard_jones import LennardJonesConfig
from ladera.quantities import ENERGY, FORCES, STRESS
from ladera.training import checkpoint
from ladera.training.batches import Batches, filled, shuffled
from ladera.training.config import LossConfig
from ladera.training.evaluation import evaluate_dataset
from ladera.training.loss import Objective
from ladera.training.muon import Muon
from ladera.training.optimizer_config import (
    Constant,
    Cosine,
    Exponential,
    Plateau,
    ScheduleConfig,
)
from ladera.training.optimizers import LearningRate, ParameterAverage
from ladera.training.preparation import prepare
from ladera.training.run_folder import RunFolder
from training_runs import CUTOFF, argon, config


def potential(epsilon: float = 0.012, sigma: float = 3.35) -> ladera.Potential:
    return ladera.build(
        LennardJonesConfig(
            species=("Ar",), cutoff=CUTOFF, epsilon={"Ar": epsilon}, sigma={"Ar": sigma}
        )
    )


# --- loss --------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["mse", "mae", "huber"])
def test_the_loss_is_the_formula_of_its_docstring(function: str) -> None:
    data = argon(3)
    frames = [data[0], data[1].with_(forces=None, weight=2.0), data[2].with_(energy=None)]
    frames[0] = frames[0].with_(stress=None)
    dataset = Dataset.from_frames(frames)
    settings = LossConfig(function=function, energy=3.0, forces=0.5, stress=7.0, huber_delta=0.01)
    model = potential()
    objective = Objective(model, settings)
    batch = Batches(dataset, GraphStore(dataset, CUTOFF)).make(np.arange(3))
    sums = objective(batch)
    loss = objective.total(sums, batch.counts).item()

    def rho(x: Any) -> Any:
        if function == "mse":
            return x**2
        if function == "mae":
            return np.abs(x)
        return np.where(np.abs(x) < 0.01, x**2 / 2, 0.01 * (np.abs(x) - 0.005))

    found = evaluate_dataset(model, dataset)
    energies = [c * rho((found[ENERGY][k] - frames[k].energy) / 4) for k, c in ((0, 1.0), (1, 2.0))]
    forces = [rho(found[FORCES][4 * k : 4 * k + 4] - frames[k].forces) for k in (0, 2)]
    stress = [c * rho(found[STRESS][k] - frames[k].stress) for k, c in ((1, 2.0), (2, 1.0))]
    expected = 3.0 * np.mean(energies) + 0.5 * np.mean(forces) + 7.0 * np.mean(stress)
    assert loss == pytest.approx(expected, rel=1e-12)


def test_large_forces_count_less_in_the_universal_loss() -> None:
    frame = argon(1)[0]
    lengths = np.array([50.0, 150.0, 250.0, 350.0])
    dataset = Dataset.from_frames([frame.with_(forces=np.outer(lengths, [0, 0, 1.0]))])
    batch = Batches(dataset, GraphStore(dataset, CUTOFF)).make(np.arange(1))
    model = potential()
    settings = LossConfig(function="universal", energy=0.0, forces=1.0, huber_delta=0.5)
    objective = Objective(model, settings)
    loss = objective.total(objective(batch), batch.counts).item()
    residual = np.abs(evaluate_dataset(model, dataset)[FORCES] - dataset[0].forces)
    delta = 0.5 * np.array([1.0, 0.7, 0.4, 0.1])[:, None]
    linear = delta * (residual - delta / 2)
    expected = np.where(residual < delta, residual**2 / 2, linear).mean()
    assert loss == pytest.approx(expected, rel=1e-12)


def test_the_gradient_of_the_loss_agrees_with_finite_differences() -> None:
    dataset = argon(2)
    batch = Batches(dataset, GraphStore(dataset, CUTOFF)).make(np.arange(2))

    def loss(epsilon: float, sigma: float) -> tuple[torch.Tensor, ladera.Potential]:
        model = potential(epsilon, sigma)
        objective = Objective(model, LossConfig(energy=1.0, forces=1.0, stress=1.0))
        return objective.total(objective(batch), batch.counts), model

    value, model = loss(0.012, 3.35)
    value.backward()
    step = 1e-6
    for name, change in (("epsilon", (step, 0.0)), ("sigma", (0.0, step))):
        high = loss(0.012 + change[0], 3.35 + change[1])[0].item()
        low = loss(0.012 - change[0], 3.35 - change[1])[0].item()
        slope = (high - low) / (2 * step)
        assert getattr(model, name).grad.item() == pytest.approx(slope, rel=1e-6)


def test_a_stress_label_without_a_volume_is_refused() -> None:
    frame = argon(1)[0].with_(periodic=np.zeros(3, dtype=bool), cell=np.zeros((3, 3)))
    dataset = Dataset.from_frames([frame.with_(source="here.xyz, frame 0")])
    dataset_graphs = GraphStore(dataset, CUTOFF)
    with pytest.raises(DataError, match=r"Frame 0 \(here\.xyz, frame 0\) has a stress but no vol"):
        Objective(potential(), LossConfig())(Batches(dataset, dataset_graphs).make(np.arange(1)))


# --- batches -----------------------------------------------------------------------------------


@given(st.integers(1, 200), st.integers(1, 50), st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_has_every_frame_once_in_batches_of_nearly_equal_size(
    n_frames: int, batch_size: int, seed: int, epoch: int
) -> None:
    indices = np.arange(100, 100 + n_frames)
    batches = shuffled(indices, batch_size, seed, epoch)
    assert sorted(np.concatenate(batches)) == indices.tolist()
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    again = shuffled(indices, batch_size, seed, epoch)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(1, 40))
def test_batches_by_atoms_hold_as_many_frames_as_fit(counts: list[int], atoms: int) -> None:
    indices = np.arange(100, 100 + len(counts))
    batches = filled(indices, np.array(counts), atoms, seed=1, epoch=2)
    assert sorted(np.concatenate(batches)) == indices.tolist()
    sizes = [[counts[k - 100] for k in batch] for batch in batches]
    assert all(sum(size) <= atoms or len(size) == 1 for size in sizes)
    assert all(sum(a) + b[0] > atoms for a, b in itertools.pairwise(sizes))


def test_epochs_differ() -> None:
    indices = np.arange(50)
    first, second = (np.concatenate(shuffled(indices, 25, 0, epoch)) for epoch in (0, 1))
    assert not np.array_equal(first, second)


def test_a_batch_of_all_frames_is_made_once() -> None:
    dataset = argon(4)
    batches, frames = Batches(dataset, GraphStore(dataset, CUTOFF, memory=0)), np.arange(3)
    one, two = (batches.make(shuffled(frames, 3, 0, epoch)[0]) for epoch in (0, 1))
    assert one is two
    assert batches.make(frames[:2]) is not one
    assert batches.make(frames) is one  # beside that of the validation frames


def test_graphs_beyond_the_memory_are_built_again_and_are_the_same() -> None:
    dataset = argon(4)
    kept, built = GraphStore(dataset, CUTOFF), GraphStore(dataset, CUTOFF, memory=0)
    assert kept[1] is kept[1]
    assert built[1] is not built[1]
    assert torch.equal(kept[1].vectors, built[1].vectors)


@pytest.mark.parametrize("periodic", [True, False])
def test_a_batch_is_the_same_whatever_of_it_is_kept(periodic: bool) -> None:
    dataset = argon(6)
    if not periodic:
        dataset = Dataset.from_frames([f.with_(periodic=np.zeros(3, dtype=bool)) for f in dataset])
    frames = np.array([4, 0, 5, 1])
    expected = Graph.batch([dataset[int(k)].graph(CUTOFF) for k in frames])
    size = weight(getattr(dataset[0].graph(CUTOFF), name) for name in names_of_tensors(expected))
    for n_kept in (0, 2, 6):
        graphs = GraphStore(dataset, CUTOFF, memory=1.5 * size * n_kept)
        for _ in range(2):  # the second time some are there
            batch = graphs.batch(frames)
            for name in names_of_tensors(expected):
                assert torch.equal(getattr(batch, name), getattr(expected, name)), name


def names_of_tensors(graph: Graph) -> list[str]:
    return [f.name for f in fields(graph) if isinstance(getattr(graph, f.name), torch.Tensor)]


# --- learning rate -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "middle", "end"),
    [
        (Constant(), 1.0, 1.0),
        (Exponential(final_factor=0.01), 0.1, 0.01),
        (Cosine(final_factor=0.1), 0.55, 0.1),
    ],
)
def test_schedules(schedule: ScheduleConfig, middle: float, end: float) -> None:
    rate = LearningRate(schedule, epochs=10, base=0.5)
    assert rate.at(0.0, 0.1) == pytest.approx(0.5)
    assert rate.at(5.0, 0.1) == pytest.approx(0.5 * middle)
    assert rate.at(10.0, 0.1) == pytest.approx(0.5 * end)


def test_warm_up_rises_from_the_first_step() -> None:
    rate = LearningRate(Constant(warmup_epochs=2.0), epochs=10, base=1.0)
    assert [rate.at(time, 0.5) for time in (0.0, 0.5, 1.5, 5.0)] == [0.25, 0.5, 1.0, 1.0]


def test_plateau_falls_after_its_patience_and_not_below_its_minimum() -> None:
    schedule = Plateau(factor=0.1, patience=2, minimum_factor=0.05)
    rate = LearningRate(schedule, epochs=10, base=1.0)
    rates = []
    for loss in (1.0, 0.5, 0.6, 0.7, 0.4, 0.5, 0.5, 0.5, 0.5):
        rate.update(loss)
        rates.append(rate.at(1.0, 0.1))
    assert rates == [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05]


def test_the_parameter_average_follows_its_formula_and_gives_the_parameters_back() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    average = ParameterAverage([parameter], decay=0.5)
    expected = 0.0
    for step in range(1, 20):
        with torch.no_grad():
            parameter.fill_(float(step))
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected += (1 - decay) * (step - expected)
    with average.applied():
        assert parameter.item() == pytest.approx(expected, rel=1e-14)
    assert parameter.item() == 19.0


# --- checkpoints -------------------------------------------------------------------------------

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text()
)
_STATES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers(-99, 99) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(state=_STATES)
def test_a_checkpoint_gives_back_what_went_in(
    state: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("checkpoint") / "c.safetensors"
    checkpoint.save(path, {"state": state})
    assert checkpoint.load(path) == {"state": state}


@pytest.mark.parametrize("name", ["Adam", "LBFGS", "SGD"])
def test_a_checkpoint_keeps_an_optimizer_bit_for_bit(tmp_path: Path, name: str) -> None:
    parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    optimizer = getattr(torch.optim, name)([parameter], lr=0.1)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (parameter**4).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    checkpoint.save(tmp_path / "c", optimizer.state_dict())
    assert _equal(checkpoint.load(tmp_path / "c"), optimizer.state_dict())


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b) and type(a) is type(b)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    with pytest.raises(ModelFileError, match="start without --resume"):
        checkpoint.load(path)
    checkpoint.save(path, {"best": {"loss": 0.5, "epoch": 3}})
    changed = path.read_bytes().replace(b"0.5", b"9.5")
    path.write_bytes(changed)  # one value for another: nothing else would notice
    with pytest.raises(ModelFileError, match=r"no complete Ladera checkpoint .*those of its hash"):
        checkpoint.load(path)
    checkpoint.save(path, {"a": torch.ones(100)})
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    with pytest.raises(ModelFileError, match="no complete Ladera checkpoint"):
        checkpoint.load(path)
    path.write_bytes(whole.replace(b'format_version\\": 2', b'format_version\\": 9'))
    with pytest.raises(ModelFileError, match="upgrade Ladera"):
        checkpoint.load(path)


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, {"a": 1})

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(ModelFileError, match="No space left on device"):
        checkpoint.save(path, {"a": 2})
    assert checkpoint.load(path) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"]


# --- log ---------------------------------------------------------------------------------------


def test_a_resumed_log_has_every_epoch_once(tmp_path: Path) -> None:
    columns = ["epoch", "loss"]
    with RunFolder(tmp_path).log(columns, 0) as log:
        for epoch in (1, 2, 3):
            log.write({"epoch": epoch, "loss": None if epoch == 2 else 0.5, "other": 1})
    with (tmp_path / "log.csv").open("a") as file:
        file.write("4,0.")  # killed in the middle of a line
    with RunFolder(tmp_path).log(columns, 2) as log:
        log.write({"epoch": 3, "loss": 0.25})
    assert (tmp_path / "log.csv").read_text() == "epoch,loss\n1,0.5\n2,\n3,0.25\n"


# --- preparation -------------------------------------------------------------------------------


def test_files_of_their_own_are_validation_and_test_frames(tmp_path: Path) -> None:
    from ladera.data.formats import write

    data = argon(9)
    write(data[5:7], tmp_path / "validation.extxyz")
    write(data[7:], tmp_path / "test.extxyz")
    settings = config(tmp_path, data[:5])
    changed = settings.model_copy(
        update={
            "data": settings.data.model_copy(
                update={
                    "validation_files": (str(tmp_path / "validation.extxyz"),),
                    "test_files": (str(tmp_path / "test.extxyz"),),
                }
            )
        }
    )
    prepared = prepare(changed)
    assert prepared.train.tolist() == [0, 1, 2, 3, 4]
    assert prepared.validation.tolist() == [5, 6]
    assert prepared.test.tolist() == [7, 8]
    prepared.split.check(prepared.dataset)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 17}, "leave 16 frames to train on, and batch_size is 17"),
        ({"processes": 5}, "5 processes cannot share a batch of 4"),
        ({"loss": {"config_weights": {"evn": 2.0}}}, "did you mean 'even'"),
        ({"model": {"species": ["Ne"]}}, "The frames contain Ar, but the model is for Ne"),
        ({"model": {"epsilon": {"Ne": 0.1}}}, "'model': epsilon has no value for Ar"),
        ({"reference_energies": {"Ne": 1.0}}, "no value for Ar"),
        ({"data": {"keys": {"forces": None}}}, "loss.forces is 1, but no training frame has"),
        ({"data": {"keys": {"forces": "force"}}}, "did you mean 'forces'"),
        ({"early_stopping": 3, "data": {"split": {"validation": 0}}}, "early_stopping looks at"),
        ({"schedule": {"name": "plateau"}, "data": {"split": {"validation": 0}}}, "plateau"),
        ({"data": {"split": {"method": "stored", "path": "nowhere.json"}}}, "no split file"),
        ({"data": {"files": "nowhere.xyz"}}, "nowhere.xyz"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    from training_runs import parse, values

    nested = values(tmp_path)
    for key, value in changes.items():
        nested[key] = nested.get(key, {}) | value if isinstance(value, dict) else value
    if "Ne" in changes.get("model", {}).get("species", ()):
        nested["model"] |= {"epsilon": {"Ne": 0.1}, "sigma": {"Ne": 3.0}}
    with pytest.raises((ConfigError, DataError), match=message):
        prepare(parse(nested, "config.yaml")).statistics()


def test_free_atoms_set_the_reference_energies_and_are_not_trained_on(tmp_path: Path) -> None:
    data = argon(8)
    atom = data[0].with_(
        numbers=np.array([18]),
        positions=np.zeros((1, 3)),
        cell=np.zeros((3, 3)),
        periodic=np.zeros(3, dtype=bool),
        energy=-14.0,
        forces=np.zeros((1, 3)),
        stress=None,
        config_type="IsolatedAtom",
    )
    dataset = Dataset.from_frames([*data, atom])
    prepared = prepare(
        config(tmp_path, dataset, data={"files": str(tmp_path / "argon.extxyz")}, batch_size=2)
    )
    statistics = prepared.statistics()
    assert 8 not in prepared.train
    assert statistics.reference_energies == {"Ar": -14.0}
    view = data[prepared.train]
    per_atom = view.column("energy") / 4 + 14.0
    assert statistics.energy_shift == pytest.approx(per_atom.mean(), rel=1e-9)
    assert statistics.force_scale == pytest.approx(
        math.sqrt(np.mean(view.column("forces") ** 2)), rel=1e-6
    )
    without = replace(prepared, config=prepared.config.model_copy(update={"energy_shift": "none"}))
    assert without.statistics() == replace(statistics, energy_shift=0.0)


# --- evaluation --------------------------------------------------------------------------------


def test_errors_are_those_computed_by_hand(tmp_path: Path) -> None:
    data = argon(20)
    frames = list(data)
    frames[3] = frames[3].with_(energy=frames[3].energy + 0.4, source="bad.xyz, frame 3")
    spoiled = frames[5].forces.copy()
    spoiled[2] += [0.3, 0.0, 0.4]
    frames[5] = frames[5].with_(forces=spoiled)
    frames[6] = frames[6].with_(energy=None, forces=None, stress=None)
    found = evaluate_dataset(potential(0.0104, 3.4), Dataset.from_frames(frames))
    summary = found.to_json()
    energy, forces = summary["energy"], summary["forces"]
    assert energy["count"] == 19
    assert energy["mae"] == pytest.approx(100 / 19)
    assert energy["rmse"] == pytest.approx(100 / math.sqrt(19))
    assert energy["max"] == pytest.approx(100)
    assert forces["count"] == 19 * 12
    assert forces["mae"] == pytest.approx(700 / (19 * 12))
    assert forces["max"] == pytest.approx(400)
    assert 0 < forces["r2"] < 1
    assert summary["stress"]["max"] < 1e-6
    assert summary["by_config_type"]["even"]["energy"]["max"] < 1e-6
    assert summary["by_config_type"]["odd"]["energy"]["max"] == pytest.approx(100)
    assert summary["by_element"]["Ar"]["forces"] == forces
    worst = summary["worst_frames"]
    assert worst["energy"][0]["frame"] == 3
    assert worst["energy"][0]["source"] == "bad.xyz, frame 3"
    assert worst["forces"][0]["frame"] == 5
    assert worst["forces"][0]["atom"] == 2
    assert worst["forces"][0]["error"] == pytest.approx(500)
    json.dumps(summary)

    found.save_predictions(tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz", allow_pickle=False) as arrays:
        assert arrays["frame_index"].tolist() == list(range(20))
        assert np.isnan(arrays["energy_reference"][6])
        assert arrays["forces_predicted"].shape == arrays["forces_reference"].shape == (80, 3)
        assert arrays["stress_predicted"].shape == (20, 3, 3)


def test_evaluation_names_the_frame_with_an_unknown_element() -> None:
    frame = argon(2)[1].with_(numbers=np.array([18, 18, 2, 18]), source="x.xyz, frame 1")
    dataset = Dataset.from_frames([argon(1)[0], frame])
    with pytest.raises(DataError, match=r"Frame 1 \(x\.xyz, frame 1\), atom 2 is He"):
        evaluate_dataset(potential(), dataset)
    with pytest.raises(DataError, match="nothing to evaluate"):
        evaluate_dataset(potential(), dataset[[]])


@pytest.mark.parametrize(("entries", "scale"), [(3.0, 3.0), (0.3, 0.3), (0.01, 20**-0.5)])
def test_muon_moves_in_all_directions_alike(entries: float, scale: float) -> None:
    """Whatever the gradient's singular values, and by the rate in units of the first entries."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.nn.Parameter(entries * torch.ones(2, 5, 20, dtype=torch.float64))
    bias = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = Muon([weights, bias], rate=0.01, momentum=0.95, betas=(0.9, 0.99), weight_decay=0.0)
    left, right = (torch.randn(n, n, dtype=torch.float64, generator=generator) for n in (5, 20))
    left, right = torch.linalg.qr(left)[0], torch.linalg.qr(right)[0]
    sizes = torch.tensor([1.0, 0.3, 0.1, 0.03, 0.01], dtype=torch.float64)
    gradient = left @ torch.diag(sizes) @ right[:5]
    weights.grad = torch.stack([gradient, torch.zeros_like(gradient)])
    bias.grad = torch.tensor([2.0, -3.0, 0.0], dtype=torch.float64)
    optimizer.step()
    step = -(left.T @ (weights[0].detach() - entries) @ right[:5].T).diag()
    full = 0.01 * scale * 20**0.5
    assert 0.6 < (step / full).min() < (step / full).max() < 1.25
    assert (weights[1] == entries).all()  # an element that the batch lacks
    torch.testing.assert_close(bias.detach(), -0.01 * bias.grad.sign())


def test_what_a_batch_lacks_stays_where_muon_left_it() -> None:
    weights = torch.nn.Parameter(torch.zeros(2, 3, 3, dtype=torch.float64))
    optimizer = Muon([weights], rate=0.01, momentum=0.95, betas=(0.9, 0.99), weight_decay=0.0)
    weights.grad = torch.ones_like(weights)
    optimizer.step()
    before = weights.detach().clone()
    weights.grad[1] = 0.0
    optimizer.step()
    assert torch.equal(weights[1], before[1])
    assert not torch.equal(weights[0], before[0])
