"""Active learning: judged on what was never seen, resumed bit for bit, stopped with a reason."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms

import ladera
from active_engines import TETRAHEDRON, morse
from active_engines import active_settings as asked
from label_engines import Here
from ladera import cli
from ladera.active import config as config_file
from ladera.active.choice import Candidate, Limits, choose
from ladera.active.config import template
from ladera.active.descent import Descent
from ladera.active.exploration import plans, starts_of, walk_all
from ladera.active.folder import ActiveFolder, Judgement, Round, Walk, read_frames
from ladera.active.modes import thermal
from ladera.active.stopping import may_label, verdict
from ladera.active.walker import Walker
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.errors import ConfigError, DataError, LabellingError, SimulationError
from ladera.labelling.engines import as_engine
from ladera.labelling.labelled import as_dataset
from ladera.loading import ModelSource, as_potential
from ladera.lock import locked
from ladera.processes import pool
from ladera.sampling.generation import closest_contact
from ladera.simulation import restart
from ladera.simulation.records import writing
from ladera.simulation.restart import RestartPoint
from ladera.units import BOLTZMANN


def learn(
    folder: Path, config: dict[str, Any], name: str = "loop", **more: Any
) -> ladera.ActiveRun:
    return ladera.learn(config, folder / name, **{"executor": Here()} | more)


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> ladera.ActiveRun:
    """One that was done, in a folder of which no test changes anything."""
    folder = tmp_path_factory.mktemp("active")
    return learn(folder, asked(folder))


@pytest.fixture(scope="module")
def first_round(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One that stopped after its first round, to be copied; and its configuration."""
    folder = tmp_path_factory.mktemp("first-round")
    path = folder / "engine.yaml"
    path.write_text(yaml.safe_dump(morse(folder)))
    config = asked(folder, stop={"rounds": 1}) | {"engine": str(path)}
    learn(folder, config)
    return folder, config


@pytest.fixture
def begun(first_round: tuple[Path, dict[str, Any]], tmp_path: Path) -> dict[str, Any]:
    """The configuration of a copy of it in ``tmp_path``; what it computes is noted there."""
    folder, config = first_round
    shutil.copytree(folder / "loop", tmp_path / "loop")
    return config


def candidates(loop: ladera.ActiveRun, number: int) -> list[dict[str, str]]:
    with ActiveFolder(loop.folder).round(number).candidates.open() as file:
        return list(csv.DictReader(file))


def test_a_model_is_learned_and_judged(loop: ladera.ActiveRun) -> None:
    _, first, last = loop.rounds
    assert first.judged is not None
    assert last.judged is not None
    assert (last.judged.frames, last.judged.energy is None) == (4, False)
    assert last.trained_on > first.trained_on
    assert loop.stopped == "2 rounds, the most that were allowed (stop.rounds)"
    potential = ladera.load(loop.model)
    checks = ladera.read(loop.folder / "round_2/checks.extxyz")
    errors = [
        np.abs(np.asarray(ladera.evaluate(potential, frame).forces) - frame.forces).mean()
        for frame in checks
    ]
    assert np.mean(errors) == pytest.approx(last.judged.forces, rel=1e-9)
    assert "2 rounds" in repr(loop)


def test_what_judges_is_never_learned(loop: ladera.ActiveRun) -> None:
    folder = ActiveFolder(loop.folder)
    learned, judging = [], []
    for number in range(3):
        learned += read_frames(folder.round(number).train)
        judging += read_frames(folder.round(number).checks)
    trained = {frame.positions.tobytes() for frame in learned}
    assert len(trained) == len(learned)
    assert not trained & {frame.positions.tobytes() for frame in judging}
    # And they are of dynamics of their own.
    rows = candidates(loop, 1)
    assert {row["walk"] for row in rows if row["became"] == "check"} == {"Cu4-0-judge"}
    assert not any("judge" in row["walk"] for row in rows if row["became"] == "picked")


def test_no_structure_is_labelled_twice(loop: ladera.ActiveRun) -> None:
    notes = (loop.folder.parent / "notes").read_text().split()
    assert max(Counter(notes).values()) == 1
    assert len(notes) == sum(each.labelled for each in loop.rounds)


def test_free_atoms_set_the_energies(loop: ladera.ActiveRun) -> None:
    first = read_frames(ActiveFolder(loop.folder).round(0).train)
    assert sum(frame.config_type == "IsolatedAtom" for frame in first) == 1
    potential = ladera.load(loop.model)
    assert float(potential.free_atom_energies()[0]) == pytest.approx(0.0, abs=1e-9)


def test_rounds_are_told_to_people(loop: ladera.ActiveRun) -> None:
    table = (loop.folder / "rounds.csv").read_text().splitlines()
    assert table[0].startswith("round,trained_on,labelled,force_mae_mev_per_angstrom")
    assert len(table) == 4
    record = json.loads((loop.folder / "round_2/round.json").read_text())
    assert record["stopped"] == loop.stopped
    assert record["labels_so_far"] == sum(each.labelled for each in loop.rounds)


def test_candidates_say_where_they_are(loop: ladera.ActiveRun) -> None:
    for number in (1, 2):
        folder = ActiveFolder(loop.folder).round(number)
        rows = candidates(loop, number)
        for became, path in (("picked", folder.to_learn), ("check", folder.to_judge)):
            chosen = {int(row["place"]): row for row in rows if row["became"] == became}
            frames = as_dataset([path])
            assert sorted(chosen) == list(range(len(frames)))
            contacts = [closest_contact(frame)[0] for frame in frames]
            said = [float(chosen[k]["contact"]) for k in range(len(frames))]
            assert said == pytest.approx(contacts, rel=1e-5)
        assert all(row["place"] == "" for row in rows if row["became"] in ("", "too close"))


def test_info_tells_the_rounds(
    loop: ladera.ActiveRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["info", str(loop.folder), "--json", str(tmp_path / "answer.json")])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"State: stopped: {loop.stopped}" in said
    assert [line.split()[0] for line in said.splitlines()[-3:-1]] == ["1", "2"]
    found = json.loads((tmp_path / "answer.json").read_text())
    assert (found["kind"], len(found["rounds"])) == ("active_learning", 3)
    (tmp_path / "begun/round_0").mkdir(parents=True)
    with pytest.raises(SystemExit) as ended:
        cli.main(["info", str(tmp_path / "begun")])
    assert ended.value.code != 0
    assert "whose first labels are not there yet" in capsys.readouterr().err


def test_a_loop_that_is_done_goes_on_where_more_is_asked(
    loop: ladera.ActiveRun, begun: dict[str, Any], tmp_path: Path
) -> None:
    assert not (tmp_path / "loop/round_1/train.extxyz").exists()  # no labels for nobody
    two = learn(tmp_path, begun | {"stop": {"rounds": 2}})
    assert [each.judged for each in two.rounds] == [each.judged for each in loop.rounds]
    assert _tensors(two.model) == _tensors(loop.model)
    notes = Path(begun["structures"]).with_name("notes")
    before = notes.read_text()
    again = learn(tmp_path, begun | {"stop": {"rounds": 2}})
    assert again.rounds == two.rounds
    assert notes.read_text() == before


def _tensors(path: Path) -> dict[str, list[float]]:
    return {name: each.tolist() for name, each in ladera.load(path).state_dict().items()}


def test_another_loop_in_the_same_folder_is_refused(begun: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"another active learning: select\.frames was 5"):
        learn(tmp_path, begun | {"select": {"frames": 6, "checks": 4, "lost": 50}})
    with (
        locked(tmp_path / "loop"),
        pytest.raises(ConfigError, match="in use by"),
    ):
        learn(tmp_path, begun)


@pytest.mark.parametrize("changed", ["engine", "structures"])
def test_files_that_are_no_longer_what_they_were(
    changed: str, begun: dict[str, Any], tmp_path: Path
) -> None:
    """The same configuration, but for what its files hold: labels would be mixed in silence."""
    path = Path(begun[changed])
    before = path.read_text()
    try:
        if changed == "engine":
            path.write_text(yaml.safe_dump(morse(tmp_path)))
        else:
            ase.io.write(path, Atoms("Cu4", 1.01 * TETRAHEDRON))
        with pytest.raises(ConfigError, match=f"other contents of {changed}, under the same name"):
            learn(tmp_path, begun)
    finally:
        path.write_text(before)


def test_the_error_that_was_asked_for_ends_it(begun: dict[str, Any], tmp_path: Path) -> None:
    done = learn(tmp_path, begun | {"stop": {"forces": 10.0, "new": 1.0, "rounds": 5}})
    assert done.stopped == (
        "the errors are as small as was asked, and the walks met nothing new up to 300 K"
    )
    assert len(done.rounds) == 2


def test_labels_are_counted(begun: dict[str, Any], tmp_path: Path) -> None:
    done = learn(tmp_path, begun | {"stop": {"labels": 20, "rounds": 5}})
    assert sum(each.labelled for each in done.rounds) <= 20
    assert "labels, and 20 are allowed" in done.stopped


def test_what_the_engine_does_not_want_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It raises an error, gives no number, or hangs; in a process that stays until it hangs."""
    begun = []

    class Counted(pool.Worker):
        def __init__(self, threads: int) -> None:
            begun.append(threads)
            super().__init__(threads)

    monkeypatch.setattr(pool, "Worker", Counted)
    engine = morse(tmp_path, fails=7, nans=43, hangs=23) | {"time_limit": 1.0}
    config = asked(tmp_path, engine, stop={"rounds": 1}, max_failed=0.9)
    done = learn(tmp_path, config, executor=None)
    aside = "".join(path.read_text() for path in done.folder.glob("*/*.label/failed.extxyz"))
    reasons = ("it did not want to", "not a finite number", "longer than the time limit of 1 s")
    counts = [aside.count(reason) for reason in reasons]
    assert min(counts) > 0
    assert sum(counts) == sum(each.failed for each in done.rounds)
    assert len(begun) == 1 + counts[2]
    notes = (tmp_path / "notes").read_text().split()
    assert max(Counter(notes).values()) == 1  # nor what failed
    for path in done.folder.glob("round_*/*.extxyz"):
        if path.name in ("train.extxyz", "checks.extxyz"):
            assert all(np.isfinite(frame.forces).all() for frame in read_frames(path))


def test_a_full_disk_is_not_the_end_of_a_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, save, calls = asked(tmp_path, stop={"rounds": 1}), restart.save, []
    whole = learn(tmp_path, config, "whole")

    def full(path: Path, point: RestartPoint) -> None:
        calls.append(path)
        if len(calls) == 3:
            with writing(path):
                raise OSError(28, "No space left on device")
        save(path, point)

    with monkeypatch.context() as patch:
        patch.setattr(restart, "save", full)
        with pytest.raises(OSError, match="No space left on device"):
            learn(tmp_path, config)
    assert not list((tmp_path / "loop").glob("round_1/candidates.csv"))
    assert learn(tmp_path, config).rounds[1].judged == whole.rounds[1].judged


def test_an_engine_that_always_fails_ends_it(tmp_path: Path) -> None:
    with pytest.raises(LabellingError, match=r"it did not want to.* Raise max_failed in the conf"):
        learn(tmp_path, asked(tmp_path, morse(tmp_path, fails=1)))
    # It is mended, and goes on.
    with pytest.raises(ConfigError, match=r"engine\.options\.fails was 1"):
        learn(tmp_path, asked(tmp_path))


def test_a_training_that_asks_for_labels_that_are_not_there_is_mended(tmp_path: Path) -> None:
    """A molecule has no stress; what was labelled before that was found out is kept."""
    config = asked(tmp_path, stop={"rounds": 1})
    config["training"]["loss"] = {"stress": 1.0}
    with pytest.raises(ConfigError, match=r"loss\.stress is 1, but no training frame has a label"):
        learn(tmp_path, config)
    labelled = (tmp_path / "notes").read_text().split()
    config["training"]["loss"] = {"stress": 0.0}
    learn(tmp_path, config)
    notes = (tmp_path / "notes").read_text().split()
    assert notes[: len(labelled)] == labelled
    assert max(Counter(notes).values()) == 1
    config["training"]["epochs"] = 16  # now a model has been trained
    with pytest.raises(ConfigError, match=r"another active learning: training\.epochs was 15"):
        learn(tmp_path, config)


def test_forces_beyond_all_measure_are_left_out(tmp_path: Path) -> None:
    config = asked(tmp_path, select={"frames": 5, "checks": 4, "max_force": 1.0, "lost": 50})
    done = learn(tmp_path, config | {"stop": {"rounds": 1}})
    assert done.rounds[0].left_out > 0
    for frame in read_frames(done.folder / "round_0/train.extxyz"):
        assert np.linalg.norm(frame.forces, axis=1).max() <= 1.0


def test_a_crystal_is_strained_and_put_under_pressure(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "copper.xyz", bulk("Cu", a=3.5, cubic=True))
    explore = {"temperatures": [150], "time": 0.04, "timestep": 2, "walkers": 1}
    config = asked(tmp_path, explore=explore | {"pressures": [0.0, 2.0]}, stop={"rounds": 1})
    config["training"]["loss"] = {"stress": 1.0}
    done = learn(tmp_path, config)
    first = read_frames(done.folder / "round_0/train.extxyz")
    assert len({frame.cell.tobytes() for frame in first}) > 5
    assert {walk.pressure for walk in done.rounds[1].walks} == {0.0, 2.0}


def test_a_walker_finds_the_first_structures(tmp_path: Path) -> None:
    begin = {"number": 4, "contacts": False, "walker": morse(tmp_path), "frames": 6, "modes": 200.0}
    done = learn(tmp_path, asked(tmp_path, begin=begin, stop={"rounds": 1}))
    groups = Counter(f.config_type for f in read_frames(done.folder / "round_0/train.extxyz"))
    assert groups["150 K"] + groups["300 K"] == 6
    assert groups["modes-200K"] > 0
    assert all(walk.ended == "finished" for walk in done.rounds[0].walks)


def test_normal_modes_are_as_hot_as_was_asked(tmp_path: Path) -> None:
    """Equipartition: the mean energy above the minimum is k T / 2 for each mode."""
    frame = Frame.from_atoms(Atoms("Cu4", TETRAHEDRON))
    walker = as_potential(as_engine(morse(tmp_path)).calculator())
    made = thermal(frame, walker, 40.0, 60, np.random.default_rng(0))
    lowest = ladera.relax(frame.to_atoms(), walker, fmax=0.001).atoms.get_potential_energy()
    above = [ladera.evaluate(walker, each).energy.item() - lowest for each in made]
    assert np.mean(above) == pytest.approx(6 * 0.5 * BOLTZMANN * 40.0, rel=0.15)
    with pytest.raises(ConfigError, match=r"begin\.modes are those of begin\.walker"):
        config_file.parse(asked(tmp_path, begin={"modes": 300.0}), "it")


def test_a_model_walks_first_and_its_descriptors_choose(
    loop: ladera.ActiveRun, tmp_path: Path
) -> None:
    begin = {"number": 4, "contacts": False, "walker": str(loop.model), "frames": 6}
    done = learn(tmp_path, asked(tmp_path, begin=begin, stop={"rounds": 1}))
    groups = Counter(f.config_type for f in read_frames(done.folder / "round_0/train.extxyz"))
    assert groups["150 K"] + groups["300 K"] == 6


def test_charges_go_with_the_structures(tmp_path: Path) -> None:
    ammonium = molecule("NH3")
    ammonium += Atoms("H", [[0, 0, 1.15]])
    ammonium.info["total_charge"] = 1
    ase.io.write(tmp_path / "copper.xyz", ammonium, format="extxyz")
    tblite = pytest.importorskip("tblite.ase")
    assert tblite
    config = asked(tmp_path, {"engine": "tblite"}, stop={"rounds": 1})
    config["begin"] = {"number": 8, "rattle": 0.03, "contacts": False}
    config["explore"] = {"temperatures": [50], "time": 0.02, "timestep": 0.5, "walkers": 1}
    done = learn(tmp_path, config)
    for name in ("round_0/train", "round_0/checks", "round_1/checks"):
        for frame in read_frames(done.folder / f"{name}.extxyz"):
            assert frame.total_charge == (1 if frame.n_atoms > 1 else None), name


def test_warm_start_goes_on_from_the_model_before(tmp_path: Path) -> None:
    config = asked(tmp_path, warm_start=0.2)
    with pytest.raises(ConfigError, match="warm_start is not for the optimizer variable_proj"):
        config_file.parse(config, "it")
    config["training"]["model"] = {"architecture": "hdnnp", "cutoff": 5.0}
    config["training"] |= {"optimizer": {"learning_rate": 0.003}}
    done = learn(tmp_path, config)
    again = yaml.safe_load((done.folder / "round_2/model/config.yaml").read_text())
    assert again["finetune"]["base"].endswith("round_1/model/model.ladera")
    assert again["epochs"] == 3
    assert again["optimizer"]["learning_rate"] == 0.003


def test_a_committee_tells_what_is_new(tmp_path: Path) -> None:
    config = asked(tmp_path, stop={"rounds": 1})
    config["training"] = {
        "model": {"architecture": "mtp", "level": 6, "cutoff": 5.0},
        "epochs": 5,
        "committee": {"members": 2},
        "data": {"resample": "bootstrap"},
    }
    config["select"] = {"frames": 3, "checks": 4, "by": "deviation", "above": 0.01, "lost": 100}
    done = learn(tmp_path, config)
    assert done.rounds[1].largest is not None
    assert done.rounds[1].largest > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"engin": "tblite"}, "'engin' is no key of this active learning; did you mean 'engine'"),
        ({"explore": {"temperature": 300}}, r"'explore\.temperature' is no key .* 'temperatures'"),
        ({"explore": {"temperatures": [600, 300]}}, "explore: temperatures must rise"),
        ({"explore": {"time": -1}}, r"explore\.time: it is -1 and should be greater than 0"),
        ({"explore": {"interval": 0.1}}, "interval is shorter than one timestep"),
        ({"select": {"above": 20.0}}, r"select: lost \(10\) is below above \(20\)"),
        ({"select": {"by": "spread"}}, r"select\.by is 'spread'; .*deviation, grade"),
        ({"select": {"by": "deviation"}}, "give training a committee"),
        ({"training": {"model": {"architecture": "mtp"}}}, "training: .*cutoff"),
        ({"training": {"model": {"architecture": "mpt", "cutoff": 4}}}, "did you mean 'mtp'"),
        ({"warm_start": 2.0}, "warm_start: it is 2"),
        ({"stop": {"new": 3}}, r"stop\.new: it is 3"),
    ],
)
def test_configurations_that_cannot_be_used(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        config_file.parse({**asked(tmp_path), **change}, "active.yaml")


def test_structures_that_cannot_be_labelled_are_refused_at_once(tmp_path: Path) -> None:
    radical = molecule("CH3")
    radical.set_initial_magnetic_moments(None)
    ase.io.write(tmp_path / "copper.xyz", radical)
    pytest.importorskip("tblite")
    with pytest.raises(DataError, match="odd number"):
        learn(tmp_path, asked(tmp_path, {"engine": "tblite", "multiplicity": 1}))
    assert not (tmp_path / "loop").exists()


def test_what_structures_say_and_loops_do_not(tmp_path: Path) -> None:
    config = asked(tmp_path, stop={"rounds": 1})
    ase.io.write(tmp_path / "copper.xyz", Atoms("Cu"))
    with pytest.raises(DataError, match="single atoms only"):
        learn(tmp_path, config)
    bound = bulk("Cu", cubic=True)
    bound.set_constraint(FixAtoms([0]))
    ase.io.write(tmp_path / "copper.xyz", bound, format="extxyz")
    with pytest.raises(DataError, match=r"npt, which moves all atoms .* cannot hold FixAtoms"):
        learn(tmp_path, config | {"explore": {"pressures": [0.0]}})


def test_what_a_structure_holds_stays_where_it_is(tmp_path: Path) -> None:
    held = Atoms("Cu4", TETRAHEDRON, constraint=FixAtoms([0]))
    ase.io.write(tmp_path / "copper.xyz", held, format="extxyz")
    walker, frame = Walker.of(morse(tmp_path)), Frame.from_atoms(held)
    config = config_file.parse(asked(tmp_path), "it")
    walks = plans(config, starts_of(config, [frame]), walker, tmp_path, 1, None)
    walk_all(walks[:1], 1, Here())
    found = [each.frame.positions for each in walks[0].met()]
    assert len(found) == 10  # at both temperatures
    moves = np.abs(np.array(found) - held.positions).max(axis=(0, 2))
    assert moves[0] < 1e-7  # as exact as the file
    assert (moves[1:] > 0.01).all()


def test_relaxations_by_the_model_are_met_and_their_ends_are_learned(tmp_path: Path) -> None:
    """Dynamics goes elsewhere; the minimum that a model believes in is where it may be wrong."""
    ase.io.write(tmp_path / "copper.xyz", Atoms("Cu4", 1.1 * TETRAHEDRON))
    config = asked(tmp_path)
    config["explore"]["relax"] = 40
    run = learn(tmp_path, config)
    for number in (1, 2):
        rows = [row for row in candidates(run, number) if row["walk"].endswith("-relaxation")]
        assert {row["temperature_k"] for row in rows} == {"0"}
        assert (rows[-1]["became"], rows[-1]["place"]) == ("picked", "0")
        walk = run.rounds[number].walks[-1]
        assert (walk.relaxation, walk.ended) in {(True, "finished"), (True, "lost")}
        assert walk.reached == (0.0 if walk.ended == "finished" else None)
        dynamics = walk.model_copy(update={"relaxation": False, "reached": 300.0})
        record = run.rounds[number].model_copy(update={"walks": [dynamics, walk]})
        assert record.reached == 300  # K, which a relaxation has not
    assert "0 K" in {
        frame.config_type for frame in read_frames(run.folder / "round_1/train.extxyz")
    }
    assert not [walk for walk in run.rounds[0].walks if walk.relaxation]
    # So the next model knows what the engine says of the minimum of the one before.
    rest = ladera.relax(Atoms("Cu4", TETRAHEDRON), run.model, fmax=1e-3).atoms
    assert rest.get_all_distances()[0, 1] == pytest.approx(2.5, abs=0.01)


def test_a_relaxation_ends_where_the_model_is_lost(loop: ladera.ActiveRun, tmp_path: Path) -> None:
    walker, far = Walker(ModelSource.of(loop.model)), Atoms("Cu4", 1.3 * TETRAHEDRON)
    far.calc = ladera.load(loop.model).calculator()
    far.get_potential_energy()
    grade = far.calc.largest_grade()
    far.calc = None
    for name, lost, ended in (("kept", None, "finished"), ("lost", 0.5 * grade, "lost")):
        descent = Descent(far, walker, 60, False, tmp_path / name, lost)
        (descent.folder / "path").mkdir(parents=True)
        (descent.folder / "path" / "relax.csv").touch()  # it was killed before
        (walk,) = walk_all([descent], 1, Here())
        assert (walk.ended, walk.reached) == (ended, 0.0 if ended == "finished" else None)
        if ended == "finished":
            steps = [each.step for each in descent.met()]
            assert steps == sorted(set(steps))
            assert 0 not in steps
            assert [each.rest for each in descent.met()] == [*[False] * (len(steps) - 1), True]
        else:
            assert f"limit {lost:g}" in walk.reason


def test_a_structure_that_collapses_is_not_asked_for_first(tmp_path: Path) -> None:
    walker = Walker.of({"engine": "calculator", "calculator": "active_engines:Hole"})
    descent = Descent(Atoms("Cu4", TETRAHEDRON), walker, 60, False, tmp_path / "it", None)
    (walk,) = walk_all([descent], 1, Here())
    assert (walk.ended, walk.reached) == ("broken", None)
    assert "apart" in walk.reason
    assert not any(each.rest for each in descent.met())


def test_a_grade_that_is_no_number_is_an_error(
    loop: ladera.ActiveRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    potential = ladera.load(loop.model)
    frames = [Frame.from_atoms(Atoms("Cu4", TETRAHEDRON), "here")] * 2
    candidates = [Candidate(frame, "walk", 300.0, 1, False) for frame in frames]
    monkeypatch.setattr("ladera.active.choice.scores", lambda *args: np.full(len(args[1]), np.nan))
    config = config_file.parse(asked(tmp_path), "it")
    with pytest.raises(SimulationError, match="grade of here is no number"):
        choose(candidates, potential, Dataset.from_frames(frames), config, 1, 2, 1, Limits(2, 10))


def test_the_same_structure_is_chosen_once(loop: ladera.ActiveRun, tmp_path: Path) -> None:
    potential = ladera.load(loop.model)
    frames = read_frames(loop.folder / "round_0/train.extxyz")
    frames = [frame for frame in frames if frame.n_atoms > 1]
    known, new = Dataset.from_frames(frames[:4]), frames[4:6]
    # Turned, and with its atoms in another order, it is still the same.
    turned = new[0].with_(positions=(new[0].positions @ np.diag([-1.0, -1.0, 1.0]))[::-1].copy())
    candidates = [
        Candidate(frame, "walk", 300.0, k, False)
        for k, frame in enumerate([*new, turned, *new, frames[0]])
    ]
    config = config_file.parse(asked(tmp_path), "it")
    choice = choose(candidates, potential, known, config, 1, 6, 0, Limits(2, 10))
    assert len(choice.picked) == 2
    candidates = [Candidate(frame, "walk", 300.0, 1, False) for frame in frames[:4]]
    assert not len(choose(candidates, potential, known, config, 1, 6, 0, Limits(2, 10)).picked)


def test_enough_is_only_what_every_walk_has_shown(tmp_path: Path) -> None:
    config = config_file.parse(asked(tmp_path, stop={"forces": 0.1, "rounds": 9}), "it")
    walks = [Walk(folder=name, structure="Cu4", reached=300.0, ended="finished") for name in "ab"]
    judged = Judgement(frames=4, forces=0.05)
    good = Round(number=3, walks=walks, met=50, new=0, judged=judged)
    assert "as small as was asked" in verdict(config, good)
    lost = walks[0].model_copy(update={"reached": 150.0, "ended": "lost"})
    assert not verdict(config, good.model_copy(update={"walks": [walks[1], lost]}))
    nowhere = walks[0].model_copy(update={"reached": None, "ended": "broken"})
    assert not verdict(config, good.model_copy(update={"walks": [walks[1], nowhere]}))
    assert not verdict(config, good.model_copy(update={"new": 2}))
    bad = Judgement(frames=4, forces=float("nan"))
    assert not verdict(config, good.model_copy(update={"judged": bad}))
    assert may_label(config, good) == 5


def test_the_template_is_a_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "active.yaml"
    path.write_text(template())
    assert config_file.read(path).stop.forces == 0.05
    with pytest.raises(SystemExit) as ended:
        cli.main(["active", "--template"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == template()


def test_the_line_of_a_mistake_is_named(tmp_path: Path) -> None:
    path = tmp_path / "active.yaml"
    path.write_text(template().replace("  walkers: 2", "  walkrs: 2"))
    line = path.read_text().splitlines().index("  walkrs: 2") + 1
    with pytest.raises(ConfigError, match=rf"line {line}: 'explore\.walkrs' .* 'walkers'"):
        config_file.read(path)


@pytest.mark.slow
def test_killed_at_random_it_comes_to_the_same_end(tmp_path: Path) -> None:
    """With KILLS of the environment as many times; the end of each line of a journal is noted."""
    kills = int(os.environ.get("KILLS", "2"))
    config = asked(tmp_path, morse(tmp_path, pause=0.02))
    (tmp_path / "active.yaml").write_text(yaml.safe_dump(config))
    whole = learn(tmp_path, config, "whole")
    computed = len((tmp_path / "notes").read_text().split())
    (tmp_path / "notes").unlink()
    chance = random.Random(3)
    command = [sys.executable, "-m", "ladera", "active", "active.yaml", "--output", "killed"]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    for _ in range(kills):
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        # Most of the time it is at work, and not only beginning.
        _wait_for_a_change(tmp_path / "killed", process)
        time.sleep(chance.uniform(0, 3))
        process.kill()
        process.communicate()
        if (tmp_path / "killed/round_2/round.json").exists():
            shutil.rmtree(tmp_path / "killed")  # done already: again from the start
            (tmp_path / "notes").unlink()
    done = learn(tmp_path, config, "killed")
    notes = (tmp_path / "notes").read_text().split()
    twice = sum(count - 1 for count in Counter(notes).values())
    assert twice <= kills  # what was being computed, one at a time
    assert len(notes) - twice == computed
    assert _tensors(done.model) == _tensors(whole.model)
    times = {"seconds", "seconds_so_far", "engine_seconds"}
    for one, other in zip(done.rounds, whole.rounds, strict=True):
        assert one.model_dump(exclude=times) == other.model_dump(exclude=times)
    for name in ("train", "checks"):
        for number in range(2):
            path = f"round_{number}/{name}.extxyz"
            pairs = zip(
                read_frames(done.folder / path), read_frames(whole.folder / path), strict=True
            )
            assert all(np.array_equal(a.forces, b.forces) for a, b in pairs)


def _wait_for_a_change(folder: Path, process: subprocess.Popen[bytes]) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    while process.poll() is None:
        time.sleep(0.05)
        for path in folder.rglob("*"):
            try:
                if path.is_file() and before.get(path) != path.stat().st_mtime_ns:
                    return
            except FileNotFoundError:  # a temporary one
                continue
