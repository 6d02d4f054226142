"""Training of moment tensor potentials: the linear problem, variable projection, gradients."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import bulk

import ladera
from ladera import Graph, evaluate
from ladera.cli import main
from ladera.data.dataset import Dataset
from ladera.data.formats import write
from ladera.data.frame import Frame
from ladera.data.graphs import GraphStore
from ladera.errors import ConfigError
from ladera.kernels.moment_tensors.design import Design
from ladera.kernels.moment_tensors.design_arrays import Atoms, Functions
from ladera.models.mtp import MTP, MTPConfig
from ladera.models.mtp.generation import program_of_level
from ladera.models.mtp.graphs import scalars
from ladera.models.mtp.pruning import work_of
from ladera.threads import torch_threads
from ladera.training.batches import Batches
from ladera.training.loss import Objective
from ladera.training.preparation import prepare
from ladera.training.processes import launch
from ladera.training.steps import make_steps
from ladera.training.trainer import train
from ladera.training.variable_projection import low_rank
from ladera.training.variable_projection.pruning import prune
from training_runs import argon, config, same_bits

CUTOFF = 4.5


def potential(level: int = 8, species: tuple[str, ...] = ("Cu", "Au"), seed: int = 0) -> MTP:
    """A model with smooth radial functions and random functions of them."""
    torch.manual_seed(seed)
    made = ladera.build(MTPConfig(species=species, cutoff=CUTOFF, level=level, min_distance=2.0))
    with torch.no_grad():
        made.radial_coefficients.mul_(0.1)
        made.moment_coefficients.normal_(0.0, 0.01)
        made.species_energies.normal_()
    return made


def frame(seed: int, species: tuple[str, ...] = ("Cu", "Au")) -> Frame:
    """A small distorted crystal, without labels."""
    generator = np.random.default_rng(seed)
    atoms = bulk("Cu", "fcc", a=3.8 + 0.1 * generator.standard_normal(), cubic=True)
    atoms.symbols[:] = generator.choice(species, len(atoms))
    atoms.positions += 0.15 * generator.standard_normal(atoms.positions.shape)
    return Frame(
        numbers=atoms.numbers.astype(np.int64),
        positions=atoms.positions,
        cell=atoms.cell.array,
        periodic=atoms.pbc,
    )


def labelled(truth: ladera.Potential, n_frames: int = 20) -> Dataset:
    """Frames with energies, forces and stresses of a potential."""
    frames = []
    for seed in range(n_frames):
        bare = frame(seed, truth.symbols)
        with torch.no_grad():
            found = evaluate(truth, bare.graph(CUTOFF))
        values = {f: getattr(bare, f) for f in ("numbers", "positions", "cell", "periodic")}
        frames.append(
            Frame(
                **values,
                energy=float(found.energy[0]),
                forces=found.forces.numpy(),
                stress=found.stress[0].numpy(),
            )
        )
    return Dataset.from_frames(frames)


def settings(folder: Path, dataset: Dataset, **changes: Any) -> Any:
    model = {"architecture": "mtp", "level": 6, "cutoff": CUTOFF}
    return config(
        folder,
        dataset,
        **{
            "model": model,
            "optimizer": {"name": "variable_projection"},
            "reference_energies": dict.fromkeys(dataset.symbols, 0.0),
            "epochs": 6,
            **changes,
        },
    )


# --- rows --------------------------------------------------------------------------------------


def rows_of(model: MTP, graph: Graph) -> Any:
    index = model.element_index(graph).numpy()
    edges = (graph.row_pointer, graph.neighbors, graph.vectors)
    coefficients = model.radial_coefficients.detach().numpy().copy()
    weights = model.moment_coefficients.detach().numpy().copy()
    return Design(model.program).rows(
        Atoms(*(each.numpy() for each in edges), index),
        Functions(coefficients, weights, model.config.min_distance, model.cutoff),
        strain=True,
        radial=True,
    )


@pytest.mark.parametrize("level", [2, 10, 16])
def test_rows_are_the_derivatives_of_the_energy(level: int) -> None:
    model = potential(level)
    graph = frame(1).graph(CUTOFF)
    rows, n_scalars = rows_of(model, graph), len(model.program.scalars)
    weights = model.moment_coefficients
    prediction = evaluate(model.train(), graph)  # by torch, recording gradients
    free = model.species_energies[model.element_index(graph)].sum()
    energy = float((prediction.energy[0] - free).detach())
    assert rows.energy[:n_scalars] @ weights.detach().numpy() == pytest.approx(energy, rel=1e-9)
    gradient = -prediction.forces.detach().numpy().ravel()
    found = rows.positions[:, :n_scalars] @ weights.detach().numpy()
    np.testing.assert_allclose(found, gradient, atol=1e-9 * abs(gradient).max())
    virial = (prediction.stress[0] * graph.volumes[0]).detach().numpy()[np.tril_indices(3)]
    found = rows.strain[:, :n_scalars] @ weights.detach().numpy()
    np.testing.assert_allclose(found, virial, atol=1e-9 * abs(virial).max())
    # By the radial coefficients: of the energy, and of a random sum of forces.
    some = torch.randn_like(prediction.forces)
    for value, row in (
        (prediction.energy.sum(), rows.energy),
        (-(some * prediction.forces).sum(), some.numpy().ravel() @ rows.positions),
        (prediction.stress[0, 1, 0] * graph.volumes[0], rows.strain[1]),
    ):
        (slope,) = torch.autograd.grad(value, model.radial_coefficients, retain_graph=True)
        np.testing.assert_allclose(
            row[n_scalars:], slope.ravel(), atol=1e-9 * float(slope.abs().max())
        )


def test_rows_do_not_depend_on_the_number_of_threads() -> None:
    model = potential(8)
    atoms = bulk("Cu", "fcc", a=3.7, cubic=True) * (2, 2, 1)
    atoms.rattle(0.1, seed=1)
    graph = Graph.from_atoms(atoms, CUTOFF)
    alone = rows_of(model, graph)
    with torch_threads(2):
        shared = rows_of(model, graph)
    for one, two in zip(alone, shared, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-12, atol=1e-12 * abs(one).max())


# --- variable projection -----------------------------------------------------------------------


def steps_of(settings: Any) -> tuple[Any, MTP, Objective, Batches, Any]:
    prepared = prepare(settings)
    graphs = GraphStore(prepared.dataset, CUTOFF)
    batches = Batches(prepared.dataset, graphs, prepared.weights)
    model = prepared.start.potential(prepared, batches, False)
    objective = Objective(model, settings.loss)
    steps = make_steps(prepared, batches, objective, launch(settings))
    return steps, model, objective, batches, prepared


def test_one_pass_finds_the_linear_coefficients_of_a_known_model(tmp_path: Path) -> None:
    truth = potential(6)
    loss = {"energy": 100.0, "forces": 1.0, "stress": 10.0}
    model = {"architecture": "mtp", "level": 6, "cutoff": CUTOFF, "min_distance": 2.0}
    optimizer = {"name": "variable_projection", "ridge": 1e-14}
    chosen = settings(tmp_path, labelled(truth), model=model, loss=loss, optimizer=optimizer)
    steps, found, objective, batches, prepared = steps_of(chosen)
    with torch.no_grad():
        found.radial_coefficients.copy_(truth.radial_coefficients)
    for number, frames in enumerate(steps.of_epoch(0)):
        steps.take(frames, number)
    sums = objective(batches.make(prepared.train)).detach()
    assert float(objective.total(sums, sums[:, 0])) < 1e-12
    np.testing.assert_allclose(
        found.moment_coefficients.detach(), truth.moment_coefficients.detach(), rtol=1e-4
    )


def test_the_sums_are_those_of_the_loss_and_its_slope(tmp_path: Path) -> None:
    """What least squares minimise is the loss of the trainer; at its minimum c has its gradient."""
    data = labelled(potential(10, seed=3))
    loss = {"energy": 30.0, "forces": 1.0, "stress": 200.0}
    optimizer = {"name": "variable_projection", "ridge": 1e-13}
    chosen = settings(tmp_path, data, loss=loss, optimizer=optimizer)
    steps, model, objective, batches, prepared = steps_of(chosen)
    for epoch in range(2):
        for number, frames in enumerate(steps.of_epoch(epoch)):
            steps.take(frames, number)
        best = steps.search._best
        if epoch == 0:
            steps.end_epoch(None)
    model.train()
    sums = objective(batches.make(prepared.train))
    total = objective.total(sums, sums[:, 0])
    assert best["loss"] == pytest.approx(float(total.detach()), rel=1e-6)
    (slope,) = torch.autograd.grad(total, model.radial_coefficients)
    # d|r|^2/dc = -2 J^T r, r = y - A w, of the sums of products; w is at its minimum.
    gram, n = best["gram"].numpy(), steps.search._rows.n_linear
    found = -2 * (gram[n:-1, -1] - gram[n:-1, :n] @ best["weights"].numpy())
    np.testing.assert_allclose(found, slope.ravel(), atol=1e-6 * float(slope.abs().max()))


class StopAt:
    """Sends this process a signal at one step of the run."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.when = (epoch, batch)

    def step(self, epoch: int, batch: int, n_batches: int) -> None:
        if (epoch, batch) == self.when:
            os.kill(os.getpid(), signal.SIGINT)

    def epoch(self, row: Any) -> None:
        pass


def test_training_learns_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    chosen = settings(tmp_path, argon(), epochs=5)
    whole = train(chosen, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(chosen, tmp_path / "parts", observer=StopAt(3, 1))
    with pytest.raises(KeyboardInterrupt):
        train(chosen, tmp_path / "parts", resume=True, observer=StopAt(4, 2))
    assert same_bits(train(chosen, tmp_path / "parts", resume=True), whole)
    rows = np.genfromtxt(tmp_path / "whole" / "log.csv", delimiter=",", names=True)
    assert rows["train_loss"][-1] < 0.7 * rows["train_loss"][0]
    shortest = min(float(each.graph(CUTOFF).vectors.norm(dim=1).min()) for each in argon())
    assert 0.9 * shortest < whole.config.min_distance < shortest


def test_a_training_begins_with_some_frames_and_ends_with_all(tmp_path: Path) -> None:
    """Steps on a few of many frames come first; it is interrupted among them, and after them."""
    data = labelled(potential(10, ("Cu",), seed=3), n_frames=48)
    files = {"files": str(tmp_path / "argon.extxyz"), "split": {"validation": 0, "test": 0}}
    model = {"architecture": "mtp", "level": 2, "cutoff": CUTOFF}
    chosen = settings(tmp_path, data, model=model, epochs=8, data=files)
    steps, _, _, _, prepared = steps_of(chosen)
    few = np.concatenate(steps.of_epoch(0))
    assert len(set(few.tolist())) < 0.3 * len(prepared.train) < 0.3 * len(few) + 4
    whole = train(chosen, tmp_path / "whole")
    pieces = len(steps.of_epoch(0)) // 4
    with pytest.raises(KeyboardInterrupt):
        train(chosen, tmp_path / "parts", observer=StopAt(1, 2 * pieces))
    with pytest.raises(KeyboardInterrupt):
        train(chosen, tmp_path / "parts", resume=True, observer=StopAt(4, 2))
    assert same_bits(train(chosen, tmp_path / "parts", resume=True), whole)
    # In the end it is the best of all frames: w is at the minimum of their loss.
    steps, found, objective, batches, prepared = steps_of(chosen)
    found.load_state_dict(whole.state_dict())
    found.train()
    sums = objective(batches.make(prepared.train))
    slope = torch.autograd.grad(objective.total(sums, sums[:, 0]), found.moment_coefficients)[0]
    scale = objective.total(sums, sums[:, 0]).detach() / whole.moment_coefficients.abs().max()
    assert float(slope.abs().max()) < 1e-6 * float(scale)


def test_a_training_on_energies_alone_has_no_frames_to_spare(tmp_path: Path) -> None:
    data = labelled(potential(4, ("Cu",)), n_frames=48)
    model = {"architecture": "mtp", "level": 2, "cutoff": CUTOFF}
    loss = {"energy": 1.0, "forces": 0.0}
    steps, *_, prepared = steps_of(settings(tmp_path, data, model=model, loss=loss))
    assert len(np.concatenate(steps.of_epoch(0))) == len(prepared.train)


def test_it_ends_when_nothing_is_to_be_gained(tmp_path: Path) -> None:
    model = {"architecture": "mtp", "level": 2, "cutoff": CUTOFF}
    train(settings(tmp_path, argon(), model=model, epochs=60), tmp_path / "run")
    rows = np.genfromtxt(tmp_path / "run" / "log.csv", delimiter=",", names=True)
    assert len(rows) < 60
    assert rows["train_loss"][-1] < rows["train_loss"][0]


def test_what_a_correction_explains_is_not_learned(tmp_path: Path) -> None:
    truth = ladera.build(
        {"architecture": "mtp", "species": ["Cu"], "cutoff": CUTOFF, "level": 4, "zbl": True}
    )
    with torch.no_grad():
        truth.uncorrected.moment_coefficients.normal_(0.0, 1e-3)
    model = {"architecture": "mtp", "level": 4, "cutoff": CUTOFF, "zbl": True, "min_distance": 0.5}
    optimizer = {"name": "variable_projection", "ridge": 1e-14}
    chosen = settings(tmp_path, labelled(truth), model=model, optimizer=optimizer)
    steps, found, *_ = steps_of(chosen)
    with torch.no_grad():
        found.uncorrected.radial_coefficients.copy_(truth.uncorrected.radial_coefficients)
    for number, frames in enumerate(steps.of_epoch(0)):
        steps.take(frames, number)
    assert steps.search._best["loss"] < 1e-10


def test_gradients_train_it_as_well(tmp_path: Path) -> None:
    optimizer = {"name": "adam", "learning_rate": 1e-2}
    train(settings(tmp_path, argon(), optimizer=optimizer, epochs=4), tmp_path / "run")
    rows = np.genfromtxt(tmp_path / "run" / "log.csv", delimiter=",", names=True)
    assert rows["train_loss"][-1] < rows["train_loss"][0]


def test_variable_projection_is_what_an_mtp_is_trained_by(tmp_path: Path) -> None:
    data = argon()
    chosen = config(tmp_path, data, model={"architecture": "mtp", "cutoff": CUTOFF}, optimizer={})
    assert chosen.optimizer.name == "variable_projection"
    assert config(tmp_path, data, optimizer={}).optimizer.name == "adam"
    with pytest.raises(ConfigError, match=r"variable projection makes no use of loss\.function"):
        settings(tmp_path, data, loss={"function": "huber"})
    with pytest.raises(ConfigError, match="Variable projection trains models of architecture mtp"):
        train(config(tmp_path, data, optimizer={"name": "variable_projection"}), tmp_path / "run")


def test_radial_coefficients_of_low_rank_stay_so(tmp_path: Path) -> None:
    data = labelled(potential(10, seed=3))
    optimizer = {"name": "variable_projection", "radial_rank": 2}
    model = {"architecture": "mtp", "level": 8, "cutoff": CUTOFF}
    chosen = settings(tmp_path, data, model=model, optimizer=optimizer)
    steps, found, *_ = steps_of(chosen)
    losses = []
    for epoch in range(5):
        for number, frames in enumerate(steps.of_epoch(epoch)):
            steps.take(frames, number)
        losses.append(steps.search.loss)
        radial = found.radial_coefficients.detach().reshape(-1, 8)
        values = torch.linalg.svdvals(radial)
        assert float(values[2]) < 1e-10 * float(values[0])
        steps.end_epoch(None)
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("rank", [2, 3])  # of coefficients of rank 2
def test_coefficients_of_low_rank_move_along_their_tangent(rank: int) -> None:
    generator = np.random.default_rng(0)
    matrix = generator.standard_normal((6, 2)) @ generator.standard_normal((2, 5))
    coefficients = matrix.reshape(1, 2, 3, 5)
    along = low_rank.tangent(coefficients, rank)
    change = 1e-5 * generator.standard_normal(along.shape[1])
    moved = low_rank.moved(coefficients, rank, change)
    found = np.ravel(moved - coefficients)
    np.testing.assert_allclose(found, along @ change, atol=1e-8)
    assert np.abs(found).max() > 1e-5


def test_a_rank_above_that_of_the_start_is_reached(tmp_path: Path) -> None:
    """All pairs of elements begin with the same functions, two at this level."""
    model = {"architecture": "mtp", "level": 8, "cutoff": CUTOFF}
    optimizer = {"name": "variable_projection", "radial_rank": 3}
    chosen = settings(tmp_path, labelled(potential(8)), model=model, optimizer=optimizer)
    steps, found, *_ = steps_of(chosen)
    for epoch in range(4):
        for number, frames in enumerate(steps.of_epoch(epoch)):
            steps.take(frames, number)
        steps.end_epoch(None)
    values = torch.linalg.svdvals(found.radial_coefficients.detach().reshape(-1, 8))
    assert float(values[3]) < 1e-10 * float(values[0])
    assert float(values[2]) > 1e-3 * float(values[0])


# --- pruning -----------------------------------------------------------------------------------


def test_what_explains_nothing_is_pruned_without_loss() -> None:
    """Of a model that makes no use of functions above a level these go, and nothing is lost."""
    large, small = potential(10, ("Cu",)), program_of_level(6)
    with torch.no_grad():
        large.moment_coefficients[[s not in scalars(6) for s in scalars(10)]] = 0.0
    data = Dataset.from_frames(frame(seed, ("Cu",)) for seed in range(20))
    cost = work_of(small, 40).time / work_of(large.program, 40).time
    found = prune(large, data, cost=1.05 * cost, epochs=0)
    assert found.cost <= 1.05 * cost
    assert len(found.potential.program.products) < len(large.program.products)
    graph = data[0].graph(CUTOFF)
    with torch.no_grad():
        one, two = evaluate(large, graph), evaluate(found.potential, graph)
    assert found.loss < 1e-12 * float(one.forces.square().mean())
    np.testing.assert_allclose(two.forces, one.forces, atol=1e-6 * float(one.forces.abs().max()))


def test_pruning_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, frames, output = (tmp_path / name for name in ("m.ladera", "f.extxyz", "p.ladera"))
    potential(8, ("Ar",)).save(model)
    write(argon(6), frames)
    call = ["prune", str(model), str(frames), "--cost", "0.98", "--epochs", "1"]
    with pytest.raises(SystemExit, match="0"):
        main([*call, "--output", str(output)])
    assert "of the time" in capsys.readouterr().out
    assert len(ladera.load(output).program.scalars) < 9
    with pytest.raises(ConfigError, match="between 0 and 1"):
        prune(ladera.load(model), argon(2), cost=1.5)
    with pytest.raises(ConfigError, match=r"cannot come down to 0\.1"):
        prune(ladera.load(model), argon(2), cost=0.1)
