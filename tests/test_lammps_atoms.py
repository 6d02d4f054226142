"""What ``pair_style ladera`` gives of single atoms, and models that need more than their edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import POTENTIALS, moment_tensor, water_like
from ladera import Committee, Potential
from ladera.potential.committee import Calibration
from lammps_runs import (
    InProcess,
    assert_same,
    dump,
    lmp,
    needs_compiler,
    needs_lammps,
    read,
    saved,
    setup,
)
from test_4g import model as fourth_generation

pytestmark = [needs_lammps, needs_compiler]

CRYSTAL, SMALL = water_like(12, 6.0, True, seed=1), water_like(5, 3.0, True, seed=3)


def committee() -> Committee:
    members = [moment_tensor(), moment_tensor()]
    with torch.no_grad():
        members[1].moment_coefficients.mul_(1.1)
    return Committee(members, Calibration(forces=2.0, largest_force_std=0.3))


def expected(potential: Potential, name: str) -> np.ndarray:
    atoms = CRYSTAL.copy()
    atoms.calc = potential.calculator()
    return np.array(atoms.calc.get_property(name, atoms))


def values(potential: Potential, name: str, folder: Path) -> np.ndarray:
    """A value of all atoms, by fix pair."""
    commands = f"fix values all pair 1 ladera {name} 1\nrun 0"
    with InProcess(CRYSTAL, saved(potential, folder), folder, commands) as lammps:
        assert_same(lammps.said(), potential, CRYSTAL)
        return lammps.array("f_values", 1)


@pytest.mark.parametrize("make", [POTENTIALS["hdnnp_generated"], committee])
def test_grade(make, tmp_path: Path):
    potential = make()
    found = values(potential, "grade", tmp_path)
    np.testing.assert_allclose(found, expected(potential, "grade"), rtol=1e-9)


def test_spread_of_a_committee(tmp_path: Path):
    potential = committee()
    found = values(potential, "spread", tmp_path)
    spread = np.linalg.norm(expected(potential, "forces_std"), axis=1)
    np.testing.assert_allclose(found, spread, rtol=1e-9)


def test_charges_of_a_model_that_sees_all_atoms(tmp_path: Path):
    potential = fourth_generation()
    found = values(potential, "charge", tmp_path)
    np.testing.assert_allclose(found, expected(potential, "charges"), rtol=1e-9)
    with InProcess(SMALL, saved(potential, tmp_path), tmp_path, "run 0") as lammps:
        assert_same(lammps.said(), potential, SMALL)


def test_several_files_are_a_committee_on_two_processes(tmp_path: Path):
    potential = committee()
    for k, member in enumerate(potential.members):
        member.save(tmp_path / f"{k}.ladera")
    commands, box = setup(CRYSTAL, tmp_path / "0.ladera", tmp_path)
    commands = commands.replace("0.ladera", f'0.ladera" "{tmp_path}/1.ladera')
    commands += "fix values all pair 1 ladera spread 1\n" + dump("both").replace(
        "c_energies", "c_energies f_values"
    )
    done = lmp(commands, tmp_path, processes=2)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    rows = np.loadtxt(tmp_path / "both.dump", skiprows=9)
    spread = np.linalg.norm(expected(Committee(potential.members), "forces_std"), axis=1)
    np.testing.assert_allclose(rows[:, 5], spread, rtol=1e-9)
    np.savetxt(tmp_path / "both.dump", np.delete(rows, 5, axis=1), header="\n" * 8, comments="")
    assert_same(read("both", tmp_path, box), potential, CRYSTAL)


def test_a_run_stops_outside_the_training_domain(tmp_path: Path):
    commands = """
        fix grade all pair 2 ladera grade 1
        compute largest all reduce max f_grade
        variable largest equal c_largest
        fix stop all halt 2 v_largest > $(v_limit) error continue
        velocity all create 5000 1 loop geom
        fix nve all nve
        run 40
        """
    model = saved(POTENTIALS["hdnnp_generated"](), tmp_path)
    with InProcess(CRYSTAL, model, tmp_path, "variable limit equal 1e9\n" + commands) as lammps:
        assert lammps.lammps.get_thermo("step") == 40
    with InProcess(CRYSTAL, model, tmp_path, "variable limit equal 0.01\n" + commands) as lammps:
        assert lammps.lammps.get_thermo("step") < 40
