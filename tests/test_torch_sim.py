"""Models in torch-sim, which needs Python 3.12: skipped where it is not installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from argon import argon, cluster, crystal
from ladera.errors import ConfigError, DataError

ts = pytest.importorskip("torch_sim", reason="torch-sim is not installed (ladera[torch-sim])")
from ladera.torch_sim import LaderaModel  # noqa: E402

CPU = torch.device("cpu")


def crystals():
    """Three of them, of different sizes, one in a skewed cell smaller than the cutoff."""
    skewed = crystal(1)
    skewed.set_cell([[5.4, 0.3, 0.1], [1.2, 5.2, 0], [-0.8, 1.7, 5.5]], scale_atoms=True)
    found = [crystal(1), skewed, crystal((2, 1, 1))]
    for seed, atoms in enumerate(found):
        atoms.rattle(0.05, seed=seed)
    return found


def test_a_batch_has_the_numbers_of_the_calculator():
    structures, potential = crystals(), argon()
    said = LaderaModel(potential)(ts.io.atoms_to_state(structures, CPU, torch.float64))
    first = 0
    for k, atoms in enumerate(structures):
        atoms.calc = potential.calculator()
        last = first + len(atoms)
        assert said["energy"][k].item() == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
        np.testing.assert_allclose(said["forces"][first:last], atoms.get_forces(), atol=1e-12)
        np.testing.assert_allclose(said["stress"][k], atoms.get_stress(voigt=False), atol=1e-12)
        first = last


def test_it_keeps_the_contract_of_torch_sim():
    from torch_sim.models.interface import validate_model_outputs

    from ladera.models.lennard_jones import LennardJones, LennardJonesConfig

    symbols = ("Mg", "Si", "Fe", "H", "C", "N", "O")
    config = LennardJonesConfig(
        species=symbols,
        cutoff=5.0,
        epsilon=dict.fromkeys(symbols, 0.01),
        sigma=dict.fromkeys(symbols, 2.0),
    )
    model = LaderaModel(LennardJones(config).requires_grad_(False))
    validate_model_outputs(model, CPU, torch.float64)


def test_dynamics_of_a_batch_conserve_energy():
    potential = argon()
    state = ts.io.atoms_to_state(crystals(), CPU, torch.float64)
    model = LaderaModel(potential, compute_stress=False)
    state = ts.nve_init(state=state, model=model, kT=torch.tensor(0.003, dtype=torch.float64))

    def total(state):
        return state.energy + ts.calc_kinetic_energy(
            masses=state.masses, momenta=state.momenta, system_idx=state.system_idx
        )

    start = total(state)
    step = torch.tensor(0.02, dtype=torch.float64)
    for _ in range(30):
        state = ts.nve_step(state=state, model=model, dt=step)
    assert torch.allclose(total(state), start, atol=2e-4)


def test_a_structure_in_the_open_has_no_stress():
    said = LaderaModel(argon())(ts.io.atoms_to_state([cluster()], CPU, torch.float64))
    assert said["stress"].isnan().all()
    assert said["forces"].isfinite().all()


def test_what_is_refused():
    state = ts.io.atoms_to_state([crystal(1)], CPU, torch.float64)
    state.atomic_numbers[2] = 10
    with pytest.raises(DataError, match="Atom 2 is Ne, which this model does not know"):
        LaderaModel(argon())(state)
    with pytest.raises(ConfigError, match="has no head 'pbe'"):
        LaderaModel(argon(), head="pbe")
