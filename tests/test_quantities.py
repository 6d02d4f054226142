"""Quantities: one row each; forces summed one way; dipoles of structures beside cells; grades."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import bulk

import ladera
from ladera import Committee, Dataset, Graph
from ladera.data.graphs import GraphStore
from ladera.errors import ConfigError, DataError
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig
from ladera.potential import Calibration, evaluate
from ladera.quantities import (
    CHARGES,
    DIPOLE,
    ENERGY,
    FORCES,
    QUANTITIES,
    STRESS,
    pretty,
)
from ladera.training.batches import Batches
from ladera.training.committee import calibrate
from ladera.training.config import LossConfig
from ladera.training.evaluation import evaluate_dataset
from ladera.training.loss import COUNT, Objective
from ladera.units import ATOMIC, BOHR, HARTREE
from test_dipoles import WATER, labelled, new_mace, new_model
from test_hdnnp import hdnnp_generated, water_like


def test_units_of_errors_and_their_spellings() -> None:
    columns = {quantity.name: quantity.column("train", "mae") for quantity in QUANTITIES}
    assert columns["energy"] == "train_energy_mae_mev_per_atom"
    assert columns["forces"] == "train_force_mae_mev_per_angstrom"
    assert columns["stress"] == "train_stress_mae_mev_per_angstrom3"
    assert columns["dipole"] == "train_dipole_mae_me_angstrom"
    assert [pretty(q.unit_of_errors) for q in (ENERGY, FORCES, STRESS, DIPOLE, CHARGES)] == [
        "meV/atom",
        "meV/Å",
        "meV/Å³",
        "meÅ",
        "me",
    ]


def test_units_in_files() -> None:
    expected = [HARTREE, HARTREE / BOHR, HARTREE / BOHR**3, BOHR, 1.0]
    rows = (ENERGY, FORCES, STRESS, DIPOLE, CHARGES)
    assert [quantity.factor(ATOMIC) for quantity in rows] == expected


# --- one way to sum forces -----------------------------------------------------------------------


def crystal():
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True).repeat(2)
    atoms.rattle(0.1, seed=1)
    return atoms


def argon(epsilon: float = 0.0104) -> LennardJones:
    return LennardJones(
        LennardJonesConfig(species=("Ar",), cutoff=8.0, epsilon={"Ar": epsilon}, sigma={"Ar": 3.4})
    )


@pytest.mark.parametrize("recording", [False, True])
def test_forces_of_a_float32_model_are_float64_sums(recording: bool) -> None:
    """They are those of the calculator bit for bit, and move no structure as a whole."""
    potential, atoms = argon().float(), crystal()
    atoms.calc = potential.calculator()
    with torch.set_grad_enabled(recording):
        prediction = evaluate(potential, Graph.from_atoms(atoms, potential.cutoff))
    forces = prediction.forces.detach()
    assert forces.dtype == prediction.virial.dtype == prediction.stress.dtype == torch.float64
    assert np.array_equal(forces.numpy(), atoms.get_forces())
    assert float(forces.sum(0).abs().max()) < 1e-14
    stress = atoms.get_stress(voigt=False)
    np.testing.assert_allclose(prediction.stress[0].detach().numpy(), stress, rtol=1e-13, atol=0)
    assert prediction.energy.item() == pytest.approx(atoms.get_potential_energy(), rel=1e-14)


def test_forces_and_virials_of_a_batch_are_differentiable() -> None:
    potential = argon()
    graphs = [Graph.from_atoms(crystal()[: 3 + k], potential.cutoff) for k in range(2)]
    graph = Graph.batch(graphs)

    def loss() -> torch.Tensor:
        found = evaluate(potential, graph)
        return found.forces.square().sum() + found.virial.square().sum()

    (slope,) = torch.autograd.grad(loss(), [potential.sigma])
    step, values = 1e-5, []
    for sign in (1, -1):
        with torch.no_grad():
            potential.sigma += sign * step
            values.append(float(loss()))
            potential.sigma -= sign * step
    assert float(slope) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6)


# --- where a quantity exists ---------------------------------------------------------------------


def mixed(dipole_in_cell: bool = False) -> Dataset:
    """Molecules with dipoles, and among them one in a cell."""
    frames = list(labelled(4))
    cell = {"cell": 6 * np.eye(3), "periodic": np.ones(3, dtype=bool), "source": "box.xyz, frame 0"}
    dipole = frames[1].dipole if dipole_in_cell else None
    frames[1] = frames[1].with_(dipole=dipole, **cell)
    return Dataset.from_frames(frames)


@pytest.mark.parametrize("make", [new_model, new_mace])
def test_a_cell_in_a_batch_leaves_the_dipoles_of_the_others(make) -> None:
    potential, data = make(), mixed(dipole_in_cell=True)
    found = evaluate_dataset(potential, data)
    assert found.exists[DIPOLE].tolist() == [True, False, True, True]
    assert np.isfinite(found[DIPOLE]).all(1).tolist() == [True, False, True, True]
    alone = evaluate_dataset(potential, data[[0]])
    np.testing.assert_allclose(found[DIPOLE][0], alone[DIPOLE][0], atol=1e-12)
    assert found.exists[STRESS].tolist() == [False, True, False, False]
    assert found.to_json()["dipole"]["count"] == 9
    assert np.isfinite(found.to_json()["dipole"]["rmse"])


def batch(data: Dataset):
    return Batches(data, GraphStore(data, 4.0)).make(np.arange(len(data)))


def test_only_a_label_of_what_does_not_exist_is_an_error() -> None:
    objective = Objective(new_model(), LossConfig(dipole=1.0))
    sums = objective(batch(mixed()))
    assert torch.isfinite(sums).all()
    assert sums[QUANTITIES.index(DIPOLE), COUNT].item() == 9
    objective.total(sums, batch(mixed()).counts).backward()
    assert all(torch.isfinite(p.grad).all() for p in objective.parameters() if p.grad is not None)
    with pytest.raises(DataError, match=r"Frame 1 \(box\.xyz, frame 0\) is periodic and has a dip"):
        objective(batch(mixed(dipole_in_cell=True)))


def test_dipoles_of_atoms_alone_exist_in_cells() -> None:
    potential = new_mace(charges=False)
    assert CHARGES not in potential.gives
    found = evaluate_dataset(potential, mixed(dipole_in_cell=True))
    assert found.exists[DIPOLE].all()
    with torch.no_grad():
        sums = Objective(potential, LossConfig(dipole=1.0))(batch(mixed(dipole_in_cell=True)))
    assert float(sums[QUANTITIES.index(DIPOLE), COUNT]) == 12


def test_what_a_model_does_not_give_is_named() -> None:
    prediction = evaluate(argon(), Graph.from_atoms(crystal(), 8.0))
    with pytest.raises(DataError, match="This model has no charges"):
        _ = prediction[CHARGES]
    with pytest.raises(DataError, match="only a committee has"):
        _ = prediction.spread[FORCES]
    with pytest.raises(ConfigError, match="no head 'pbe'; it has none at all"):
        evaluate(argon(), prediction.graph, head="pbe")


def test_hdnnp_dipole_computes_its_functions_once(monkeypatch) -> None:
    """In a training step the moments are read off the inputs of the energies."""
    potential, calls = new_model().train(), []
    values = type(potential).energy_inputs
    monkeypatch.setattr(type(potential), "energy_inputs", lambda *a: calls.append(1) or values(*a))
    prediction = evaluate(potential, Graph.from_atoms(WATER, potential.cutoff))
    assert prediction.dipole.requires_grad
    assert not calls
    with torch.no_grad():
        later = evaluate(potential, prediction.graph)
    assert not calls
    torch.testing.assert_close(later.dipole, prediction.dipole.detach())
    assert calls == [1]


# --- grades --------------------------------------------------------------------------------------


def test_the_grade_of_symmetry_functions_is_continuous_and_one_on_the_edge() -> None:
    potential = hdnnp_generated()
    atoms = water_like(12, 6.0, True, 2)
    graph = Graph.from_atoms(atoms, potential.cutoff)
    inside = potential.grade(graph)
    assert inside.dtype == torch.float64
    assert float(inside.max()) <= 1
    assert potential.explain_grade(graph) == []
    start = atoms.positions[1].copy()
    path = []
    for part in np.linspace(0, 1, 400):
        atoms.positions[1] = (1 - part) * start + part * (atoms.positions[0] + [0.6, 0, 0])
        graph = Graph.from_atoms(atoms, potential.cutoff)
        grade = potential.grade(graph)
        assert torch.equal(grade > 1, potential.extrapolations(graph) > 0)
        reasons = [each for each in potential.explain_grade(graph) if each.atom == 0]
        if reasons:
            largest = max(each.grade for each in reasons)
            assert float(grade[0]) == pytest.approx(largest, rel=1e-9)
        path.append(float(grade[0]))
    assert path[0] <= 1 < path[-1]
    assert max(np.abs(np.diff(path))[np.array(path[1:]) < 3]) < 0.3
    assert any(f"-{atoms.symbols[0]}-" in r.about or "distances to" in r.about for r in reasons)


def test_the_grade_of_a_committee_is_its_spread_over_that_of_its_calibration(tmp_path) -> None:
    members = [argon(0.0100), argon(0.0104), argon(0.0109)]
    assert Committee(members).grade(Graph.from_atoms(crystal(), 8.0)) is None
    frames = []
    for seed in range(3):
        atoms = crystal()
        atoms.rattle(0.03, seed=seed)
        atoms.calc = argon(0.0106).calculator()
        frames.append(
            ladera.Frame(
                atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc,
                energy=atoms.get_potential_energy(), forces=atoms.get_forces(),
            )
        )  # fmt: skip
    committee = calibrate(Committee(members), Dataset.from_frames(frames))
    grades = torch.cat([committee.grade(frame.graph(8.0)) for frame in frames])
    assert 0.999 < float(grades.max()) <= 1
    atoms = frames[0].to_atoms()
    atoms.positions[3] += [0.9, 0, 0]
    atoms.calc = committee.calculator()
    atoms.get_forces()
    grade, (reason, *_) = atoms.calc.grade(), atoms.calc.explain_grade()
    deviation = np.linalg.norm(atoms.calc.get_property("forces_std"), axis=1)
    limit = committee.config.calibration.largest_force_std
    np.testing.assert_allclose(grade, deviation / limit)
    assert atoms.calc.extrapolating_atoms() == (grade > 1).sum() > 0
    assert reason.grade == pytest.approx(grade[reason.atom])
    assert "the members of the committee disagree on its force" in reason.in_words
    committee.save(tmp_path / "c.ladera")
    again = ladera.load(tmp_path / "c.ladera")
    assert again.config.calibration == committee.config.calibration


def test_a_calibration_from_before_grades_is_written_as_it_was() -> None:
    old = {"energy": 2.0, "forces": 3.0, "n_energies": 5, "n_forces": 60}
    assert Calibration(**old).model_dump(mode="json") == old
