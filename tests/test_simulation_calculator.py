"""The ASE calculator: results, committees, caching, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from hypothesis import given, settings
from hypothesis import strategies as st

from ladera import Committee
from ladera.errors import ConfigError, DataError, LaderaError, ModelFileError
from ladera.loading import load_committee
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig
from ladera.simulation.calculator import LaderaCalculator


def argon(epsilon: float = 0.0104, sigma: float = 3.4, cutoff: float = 7.0) -> LennardJones:
    return LennardJones(
        LennardJonesConfig(
            species=("Ar",), cutoff=cutoff, epsilon={"Ar": epsilon}, sigma={"Ar": sigma}
        )
    )


def crystal(size: int = 2, seed: int = 0) -> Atoms:
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True) * size
    atoms.rattle(0.1, seed=seed)
    return atoms


def results(potential, atoms: Atoms, names=("energy", "forces", "stress", "energies", "stresses")):
    calculator = LaderaCalculator(potential)
    return {name: calculator.get_property(name, atoms) for name in names}


def test_results_are_consistent():
    """Sums of the per-atom results, and forces and stress against finite differences."""
    atoms = crystal()
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.03 * np.eye(3)[::-1]), scale_atoms=True)
    atoms.calc = LaderaCalculator(argon())
    assert atoms.get_potential_energies().sum() == pytest.approx(atoms.get_potential_energy())
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    assert atoms.get_stress().shape == (6,)
    assert atoms.get_stresses().shape == (len(atoms), 6)
    np.testing.assert_allclose(atoms.get_stresses().sum(axis=0), atoms.get_stress(), atol=1e-12)
    forces = calculate_numerical_forces(atoms, eps=1e-4, iatoms=[0, 5])
    np.testing.assert_allclose(atoms.get_forces()[[0, 5]], forces, atol=1e-8)
    stress = calculate_numerical_stress(atoms, eps=1e-5)
    np.testing.assert_allclose(atoms.get_stress(), stress, atol=1e-9)


def test_isolated_atom_has_no_forces():
    atoms = Atoms("Ar")
    atoms.calc = LaderaCalculator(argon())
    assert atoms.get_potential_energy() == 0
    assert not atoms.get_forces().any()


def test_stress_of_an_open_structure_is_refused_the_way_ase_expects():
    atoms = Atoms("Ar2", positions=[[0, 0, 0], [3.8, 0, 0]])
    atoms.calc = LaderaCalculator(argon())
    for request in (atoms.get_stress, atoms.get_stresses):
        with pytest.raises(PropertyNotImplementedError, match="not periodic"):
            request()
        with pytest.raises(LaderaError, match="not periodic"):
            request()
    assert np.isfinite(atoms.get_forces()).all()


def test_unknown_element_names_the_atom():
    atoms = molecule("H2O")
    atoms.calc = LaderaCalculator(argon())
    with pytest.raises(DataError, match=r"Atom 0 is O.*made for Ar"):
        atoms.get_potential_energy()


@settings(max_examples=15, deadline=None)
@given(
    changes=st.lists(
        st.sampled_from(["move", "cell", "pbc", "number", "count", "none"]), max_size=6
    )
)
def test_any_change_of_the_structure_is_noticed(changes):
    """One calculator, one structure changed in place, always the results of a new calculator."""
    potential = LennardJones(
        LennardJonesConfig(
            species=("Ar", "Kr"),
            cutoff=6.0,
            epsilon={"Ar": 0.0104, "Kr": 0.014},
            sigma={"Ar": 3.4, "Kr": 3.65},
        )
    )
    atoms = crystal(1)
    calculator = LaderaCalculator(potential)
    atoms.calc = calculator
    names = ("energy", "forces", "energies")
    for change in ("none", *changes):
        if change == "move":
            atoms.positions[-1, 2] += 1e-13
        elif change == "cell":
            atoms.cell[:] = atoms.cell.array * 1.01
        elif change == "pbc":
            atoms.pbc[0] = not atoms.pbc[0]
        elif change == "number":
            atoms.numbers[0] = 36 if atoms.numbers[0] == 18 else 18
        elif change == "count":
            atoms = atoms[:-1] if len(atoms) > 1 else crystal(1)
            atoms.calc = calculator
        for name, expected in results(potential, atoms.copy(), names).items():
            assert np.array_equal(calculator.get_property(name, atoms), expected), (change, name)


def test_results_are_computed_once():
    """Asking for one result after another of the same structure is one evaluation."""
    evaluations = 0

    class Counting(LennardJones):
        def atomic_energies(self, graph):
            nonlocal evaluations
            evaluations += 1
            return super().atomic_energies(graph)

    atoms = crystal()
    atoms.calc = LaderaCalculator(Counting(argon().config))
    atoms.get_stress()
    atoms.get_forces()
    atoms.get_potential_energies()
    atoms.get_stresses()
    assert evaluations == 1
    atoms.positions[0] += 0.01
    atoms.get_forces()
    assert evaluations == 2


def test_results_do_not_change_under_the_caller():
    """What the calculator returned earlier is not overwritten, and cannot spoil its cache."""
    atoms = crystal()
    atoms.calc = LaderaCalculator(argon())
    forces = atoms.get_forces()
    kept = forces.copy()
    forces[:] = 0
    assert np.array_equal(atoms.get_forces(), kept)
    atoms.rattle(0.1)
    other = atoms.get_forces()
    assert not np.array_equal(other, kept)


def test_committee_gives_mean_and_spread():
    members = [argon(0.0100), argon(0.0104, 3.45), argon(0.0110, 3.4, cutoff=6.0)]
    atoms = crystal()
    atoms.calc = LaderaCalculator(members)
    single = [results(member, atoms.copy()) for member in members]
    energies = np.array([result["energy"] for result in single])
    forces = np.array([result["forces"] for result in single])
    stresses = np.array([result["stress"] for result in single])
    assert atoms.get_potential_energy() == pytest.approx(energies.mean())
    np.testing.assert_allclose(atoms.get_forces(), forces.mean(axis=0), atol=1e-14)
    np.testing.assert_allclose(atoms.get_stress(), stresses.mean(axis=0), atol=1e-14)
    calculator = atoms.calc
    assert calculator.get_property("energy_std", atoms) == pytest.approx(energies.std(ddof=1))
    spread = calculator.get_property("forces_std", atoms)
    assert spread.shape == (len(atoms), 3)
    np.testing.assert_allclose(spread, forces.std(axis=0, ddof=1), atol=1e-14)


def test_single_model_has_no_spread():
    atoms = crystal()
    with pytest.raises(PropertyNotImplementedError):
        LaderaCalculator(argon()).get_property("forces_std", atoms)


def test_committee_of_models_in_different_precision():
    members = [argon(), argon(0.0110).float()]
    atoms = crystal()
    atoms.calc = LaderaCalculator(members)
    assert atoms.get_forces().dtype == np.float64
    assert atoms.calc.get_property("energy_std", atoms) > 0


def test_single_precision_has_no_net_force():
    """Sums are in double precision, so that a float32 model does not push the whole structure."""
    atoms = crystal()
    atoms.calc = LaderaCalculator(argon().float())
    assert abs(atoms.get_forces()).max() > 0.01
    assert abs(atoms.get_forces().sum(axis=0)).max() < 1e-14
    prediction = atoms.calc.prediction
    np.testing.assert_allclose(atoms.get_forces(), prediction.forces.numpy(), atol=1e-6)


def test_gradients_are_not_recorded():
    atoms = crystal()
    calculator = argon().calculator()
    atoms.calc = calculator
    with torch.enable_grad():
        atoms.get_forces()
    assert not calculator.prediction.atomic_energies.requires_grad


def test_load_one_model_or_a_committee(tmp_path):
    one, two = tmp_path / "one.ladera", tmp_path / "two.ladera"
    argon().save(one)
    argon(0.0110).save(two)
    assert isinstance(load_committee(one), LennardJones)
    assert isinstance(load_committee([one]), LennardJones)
    committee = load_committee([one, two])
    assert isinstance(committee, Committee)
    assert len(committee.members) == 2
    with pytest.raises(ModelFileError, match=r"missing\.ladera"):
        load_committee([one, tmp_path / "missing.ladera"])
    LennardJones(
        LennardJonesConfig(species=("Ne",), cutoff=5.0, epsilon={"Ne": 0.003}, sigma={"Ne": 2.8})
    ).save(two)
    with pytest.raises(ConfigError, match="same species"):
        load_committee([one, two])
