"""Atoms the model does not know: named in molecular dynamics and in evaluations."""

from __future__ import annotations

import csv
import json
import re
import warnings

import numpy as np
import pytest
from ase.io import read

from ladera import Committee, Dataset
from ladera.cli import main
from ladera.data.formats import write
from ladera.errors import SimulationError, StoppedError
from ladera.extrapolation import judgement
from ladera.properties.given import of_structure
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.preparation import SimulationWarning
from ladera.simulation.settings import MDSettings
from ladera.training.evaluation import evaluate_dataset
from ladera.training.trainer import train
from training_runs import argon, config, hdnnp


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return train(config(folder, epochs=2, model=hdnnp()), folder / "run")


def squeezed(n_frames: int = 3) -> Dataset:
    """Known crystals, the last one far too dense."""
    frames = list(argon(n_frames))
    last = frames[-1]
    frames[-1] = last.with_(positions=0.85 * last.positions, cell=0.85 * last.cell)
    return Dataset.from_frames(frames)


def test_each_value_is_listed_with_its_range(model):
    graph = squeezed()[2].graph(model.cutoff)
    found = model.explain_grade(graph)
    G = model.symmetry_functions(graph).numpy()
    counts = np.bincount([each.atom for each in found], minlength=graph.n_atoms)
    assert counts.tolist() == model.extrapolations(graph).tolist()
    of_functions = [each for each in found if each.function is not None]
    gamma = model.active_set_grade(graph)
    assert {each.atom for each in found if each not in of_functions} == {
        atom for atom in range(graph.n_atoms) if gamma[atom] > 1
    }
    for each in of_functions:
        assert G[each.atom, each.function - 1] == each.value
        assert not each.minimum <= each.value <= each.maximum
        assert model.plan.functions[0][each.function - 1].number == each.kind
    first = of_functions[0]
    assert str(first).startswith(f"atom {first.atom} (Ar): symmetry function ")
    beyond = max(first.value - first.maximum, first.minimum - first.value)
    assert f"is {first.value:.6g}, by {beyond:.2g} outside" in str(first)
    committee = Committee([model, model])
    assert [each._replace(member=None) for each in committee.explain_grade(graph)] == found
    assert {each.member for each in committee.explain_grade(graph)} == {0}


def test_a_data_set_is_counted_by_function_and_frame(model):
    data = squeezed()
    found = evaluate_dataset(model, data, np.array([10, 11, 12]))
    report = found.to_json()["extrapolation"]
    expected = [model.extrapolations(frame.graph(model.cutoff)).numpy() for frame in data]
    assert report["n_values"] == sum(int(e.sum()) for e in expected) > 0
    assert report["n_atoms"] == sum(int((e > 0).sum()) for e in expected)
    assert sum(row["atoms"] for row in report["functions"]) == report["n_values"]
    assert report["worst_frames"][0]["frame"] == 12
    assert report["worst_frames"][0]["atoms"] == 4
    first = report["functions"][0]
    assert first["lowest"] < first["minimum"] or first["highest"] > first["maximum"]
    assert {row[0] for row in found.extrapolation.rows} <= {10, 11, 12}


def test_known_frames_are_all_inside(model, tmp_path):
    path = tmp_path / "argon.extxyz"
    write(argon(), path)
    split = model.provenance["split"]["train"]
    found = evaluate_dataset(model, argon()[np.array(split)])
    assert found.to_json()["extrapolation"]["n_values"] == 0


def test_evaluate_names_them(model, tmp_path, capsys):
    model.save(tmp_path / "model.ladera")
    write(squeezed(), tmp_path / "data.extxyz")
    output = tmp_path / "evaluation"
    words = [str(tmp_path / name) for name in ("model.ladera", "data.extxyz")]
    with pytest.raises(SystemExit) as end:
        main(["evaluate", *words, "--output", str(output)])
    assert end.value.code == 0
    said = capsys.readouterr()
    (line,) = [line for line in said.out.splitlines() if "Extrapolation" in line]
    assert re.match(
        r"Extrapolation: \d+ atoms in 1 of 3 frames are outside the model's training domain; "
        r"the farthest, in frame 2, is atom \d \(Ar\), grade \d[\d.e+]* where 1 is the edge: its ",
        line,
    )
    assert line.endswith("label and train.")
    total = json.loads((output / "evaluation.json").read_text())["test"]["extrapolation"]
    with (output / "extrapolation_test.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == total["n_values"]
    assert float(rows[-1]["value"]) != 0


@pytest.mark.parametrize(
    ("grade", "words"), [(1 + 1e-5, "nothing to worry"), (1.5, "a little outside"), (2.1, "far")]
)
def test_what_a_grade_means_is_said(grade, words):
    assert words in judgement(grade)


def simulate(model, folder, steps, resume=False):
    """Molecular dynamics from a structure the model does not know; what it warns of."""
    settings = MDSettings(
        ensemble="nve",
        temperature=5.0,
        timestep=1.0,
        steps=steps,
        log_interval=1,
        restart_interval=2,
        extrapolation_patience=100,
        stop_grade=0.0,
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run_md(squeezed()[2].to_atoms(), model, settings, folder, resume=resume)
    return [str(each.message) for each in said if each.category is SimulationWarning]


def test_molecular_dynamics_names_them_and_goes_on_where_it_stopped(model, tmp_path):
    said = simulate(model, tmp_path / "whole", 4)
    (line,) = said
    assert line.startswith("Extrapolation: in 5 rows of md.csv atoms were outside the model's")
    assert re.search(
        r"the farthest, in step \d, is atom \d \(Ar\), grade \d[\d.e+]* where 1 is the edge: its ",
        line,
    )
    assert "(symmetry function " in line
    assert "That is far outside the training data" in line
    with (tmp_path / "whole" / "extrapolation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(float(row["grade"]) > 1 for row in rows)
    assert {row["step"] for row in rows} == {"0", "1", "2", "3", "4"}
    simulate(model, tmp_path / "parts", 2)
    later = simulate(model, tmp_path / "parts", 4, resume=True)
    assert later == [line.replace("whole", "parts")]
    whole, parts = ((tmp_path / n / "extrapolation.csv").read_bytes() for n in ("whole", "parts"))
    assert whole == parts


def test_the_guard_still_ends_the_run(model, tmp_path):
    settings = MDSettings(
        ensemble="nve",
        temperature=5.0,
        timestep=1.0,
        steps=50,
        log_interval=1,
        max_extrapolating=0.5,
        extrapolation_patience=2,
        stop_grade=0.0,
    )
    atoms = squeezed()[2].to_atoms()
    with (
        pytest.warns(SimulationWarning),
        pytest.raises(SimulationError, match="outside the model's training domain"),
    ):
        run_md(atoms, model, settings, tmp_path)


def test_a_run_far_outside_stops_by_default_and_goes_on_when_told(model, tmp_path):
    atoms = squeezed()[2].to_atoms()
    settings = {"ensemble": "nve", "temperature": 5.0, "timestep": 1.0, "steps": 2}
    with pytest.raises(StoppedError, match=r"above stop_grade = 10 .*--stop-grade, 0") as stop:
        run_md(atoms, model, settings, tmp_path)
    assert stop.value.exit_code == 3
    assert "as asked" not in str(stop.value)
    assert (tmp_path / "stopped.extxyz").is_file()
    with pytest.warns(SimulationWarning, match="far outside"):
        run_md(atoms, model, settings, tmp_path, resume=True, stop_grade=0.0)
    assert (tmp_path / "final.extxyz").is_file()


def test_frames_worth_a_label_are_kept(model, tmp_path):
    def run(folder, steps, resume=False):
        settings = {"ensemble": "nve", "temperature": 5.0, "timestep": 1.0, "steps": steps}
        more = {"log_interval": 1, "restart_interval": 2, "stop_grade": 0.0, "select_grade": 2.0}
        with pytest.warns(SimulationWarning):
            run_md(squeezed()[2].to_atoms(), model, settings | more, folder, resume=resume)
        return (folder / "selected.extxyz").read_bytes()

    whole = run(tmp_path / "whole", 4)
    run(tmp_path / "parts", 2)
    assert run(tmp_path / "parts", 4, resume=True) == whole
    kept = read(tmp_path / "whole" / "selected.extxyz", ":")
    assert [atoms.info["step"] for atoms in kept] == [0, 1, 2, 3, 4]
    assert all(atoms.arrays["grade"].max() > 2 for atoms in kept)
    assert kept[0].calc is None  # the model's labels are not a reference's
    quiet = {"ensemble": "nve", "temperature": 1.0, "steps": 2, "select_grade": 2.0}
    run_md(argon()[0].to_atoms(), model, quiet, tmp_path / "quiet")
    assert not (tmp_path / "quiet" / "selected.extxyz").exists()


def test_a_property_of_a_structure_far_outside_says_so(model):
    @of_structure
    def energy(atoms, /):
        return atoms.get_potential_energy()

    known, unknown = argon()[0].to_atoms(), squeezed()[2].to_atoms()
    assert np.isfinite(energy(known, model))
    with pytest.warns(SimulationWarning, match="4 of 4 atoms of the structure are outside"):
        energy(unknown, model)
