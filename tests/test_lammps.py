"""``pair_style ladera``: LAMMPS has the calculator's numbers, on any number of processes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.units import Pascal, kcal, mol

from conftest import POTENTIALS, water_like
from ladera import Graph, Potential, evaluate
from ladera.engines.lammps import running
from ladera.potential.heat_flux import HeatFlux
from lammps_runs import (
    QUIET,
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

pytestmark = [needs_lammps, needs_compiler]

STRUCTURES: dict[str, Atoms] = {
    "triclinic": water_like(12, 6.0, True, seed=1),
    "smaller than the cutoff": water_like(5, 3.0, True, seed=3),
    "molecule": water_like(9, 8.0, False, seed=2),
    "slab": water_like(12, 7.0, (True, True, False), seed=4),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_what_the_calculator_says(potential: Potential, name: str, tmp_path: Path):
    atoms = STRUCTURES[name]
    with InProcess(atoms, saved(potential, tmp_path), tmp_path, "run 0") as lammps:
        assert_same(lammps.said(), potential, atoms)


def same_on(processes: int, names: Iterable[str], folder: Path, seconds: int = 300) -> None:
    """All structures by some models in one run of LAMMPS."""
    potentials = {name: POTENTIALS[name]() for name in names}
    script, boxes = "", {}
    for name, potential in potentials.items():
        (folder / name).mkdir()
        model = saved(potential, folder / name)
        for place, atoms in enumerate(STRUCTURES.values()):
            case = f"{name}-{place}"
            commands, boxes[case] = setup(atoms, model, folder, case)
            script += "clear\n" + commands + dump(case)
    done = lmp(script, folder, processes, seconds=seconds)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    for name, potential in potentials.items():
        for place, atoms in enumerate(STRUCTURES.values()):
            case = f"{name}-{place}"
            assert_same(read(case, folder, boxes[case]), potential, atoms)


def test_two_processes_say_it_as_well(tmp_path: Path):
    same_on(2, [name for name in POTENTIALS if name not in ("mace", "nequip")], tmp_path)


@pytest.mark.skipif("LADERA_RANKS" not in os.environ, reason="long: LADERA_RANKS='1 2 4' asks it")
def test_any_number_of_processes_says_it(tmp_path: Path):
    """All models, on more processes than there are cores."""
    for processes in map(int, os.environ["LADERA_RANKS"].split()):
        (tmp_path / str(processes)).mkdir()
        same_on(processes, POTENTIALS, tmp_path / str(processes), seconds=3600)


def test_forces_and_pressure_are_derivatives(tmp_path: Path):
    """By differences of energies that LAMMPS has of moved atoms and of strained boxes."""
    potential, atoms, step = POTENTIALS["mtp"](), STRUCTURES["triclinic"], 1e-4
    with InProcess(atoms, saved(potential, tmp_path), tmp_path, "run 0") as lammps:
        said, rotation = lammps.said(), lammps.box.rotation
        stress = rotation.T @ said.stress @ rotation

        def energy(change: str, back: str) -> float:
            lammps.do(f"{change}\nrun 0 post no")
            found = lammps.lammps.get_thermo("pe")
            lammps.do(back)
            return found

        for axis, move in enumerate(("{0} 0 0", "0 {0} 0", "0 0 {0}")):
            lammps.do("group one id 4")
            moves = [f"displace_atoms one move {move.format(x)}" for x in (step, -step)]
            up, down = energy(*moves), energy(*reversed(moves))
            force = (said.forces @ rotation)[3, axis]
            assert -(up - down) / (2 * step) == pytest.approx(force, rel=1e-5)
        lx, ly, lz, xy, xz, yz = writing_box(lammps)
        volume = lx * ly * lz
        for component, changes in {
            # The box is a = (lx, 0, 0), b = (xy, ly, 0), c = (xz, yz, lz); each strain is upper.
            (2, 2): lambda e: f"z final 0 {lz * (1 + e)!r}",
            (1, 2): lambda e: f"yz final {yz + e * lz!r}",
            (0, 1): lambda e: f"xy final {xy + e * ly!r} xz final {xz + e * yz!r}",
        }.items():
            boxes = [f"change_box all {changes(e)} remap units box" for e in (step, -step, 0.0)]
            up, down = energy(boxes[0], boxes[2]), energy(boxes[1], boxes[2])
            expected = pytest.approx(stress[component], rel=1e-5)
            assert (up - down) / (2 * step * volume) == expected, component


def writing_box(lammps: InProcess) -> list[float]:
    return [lammps.lammps.get_thermo(name) for name in ("lx", "ly", "lz", "xy", "xz", "yz")]


def test_heat_flux(tmp_path: Path):
    """LAMMPS makes it of the centroid virial; Ladera's own is the same."""
    potential, atoms = POTENTIALS["mtp"](), STRUCTURES["smaller than the cutoff"].copy()
    model = saved(potential, tmp_path)
    velocities = np.random.default_rng(5).normal(scale=0.01, size=(len(atoms), 3))  # Angstrom/fs
    with InProcess(atoms, model, tmp_path) as lammps:
        own = lammps.box.rotation
        for k, velocity in enumerate(1000 * velocities @ own, 1):  # Angstrom/ps
            values = " ".join(map(repr, velocity.tolist()))
            lammps.do(f"group each id {k}\nvelocity each set {values} units box\ngroup each delete")
        lammps.do(
            """
            compute kinetic all ke/atom
            compute centroid all centroid/stress/atom NULL virial
            compute flux all heat/flux kinetic energies centroid
            thermo_style custom step c_flux[*]
            run 0
            """
        )
        found = np.array(lammps.lammps.extract_compute("flux", 0, 1)[:3]) @ own.T / 1000
    with torch.no_grad():
        prediction = evaluate(potential, Graph.from_atoms(atoms, potential.cutoff))
    flux = HeatFlux(potential)(prediction, atoms.get_masses(), velocities)
    np.testing.assert_allclose(found, flux, rtol=1e-5)  # LAMMPS has its own kinetic energy


def test_units_real(tmp_path: Path):
    potential, atoms = POTENTIALS["lennard_jones"](), STRUCTURES["triclinic"]
    commands, _ = setup(atoms, saved(potential, tmp_path), tmp_path)
    atoms = atoms.copy()
    atoms.calc = potential.calculator()
    lammps = running.start(QUIET)
    for line in commands.replace("units metal", "units real").splitlines():
        lammps.command(line.strip())
    lammps.command("run 0")
    energy, pressure = (lammps.get_thermo(name) for name in ("pe", "press"))
    lammps.close()
    assert energy == pytest.approx(atoms.get_potential_energy() / (kcal / mol), rel=1e-6)
    expected = -atoms.get_stress()[:3].mean() / (101325 * Pascal)  # atmospheres
    assert pressure == pytest.approx(expected, rel=1e-5)


def test_steps_through_new_lists_of_neighbours(tmp_path: Path):
    """Atoms go from process to process, and ghosts come and go."""
    potential, atoms = POTENTIALS["hdnnp_generated"](), water_like(24, 8.0, True, seed=8)
    atoms.wrap()
    commands, box = setup(atoms, saved(potential, tmp_path), tmp_path)
    commands += """
        neighbor 0.3 bin
        velocity all create 900 11 loop geom
        fix nve all nve
        timestep 0.0005
        run 60
        write_dump all custom last.xyz id x y z modify sort id format float %.17g
        """
    done = lmp(commands + dump("last"), tmp_path, processes=2)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    builds = int(re.findall(r"Neighbor list builds = (\d+)", done.stdout)[0])
    assert builds > 2
    atoms.positions = np.loadtxt(tmp_path / "last.xyz", skiprows=9)[:, 1:] @ box.rotation.T
    assert_same(read("last", tmp_path, box), potential, atoms, relative=1e-9)


def test_beside_other_styles(tmp_path: Path):
    """Some of the atoms are its own in pair hybrid, and energies are added in hybrid/overlay."""
    potential, atoms = POTENTIALS["mtp"](), STRUCTURES["triclinic"]
    model = saved(potential, tmp_path)
    with InProcess(atoms, model, tmp_path, "run 0") as lammps:
        alone = lammps.said()
        lammps.do("pair_style lj/cut 4.0\npair_coeff * * 0.01 1.5\nrun 0")
        other = lammps.said()
        lammps.do(
            f"""
            pair_style hybrid/overlay ladera {model} lj/cut 4.0
            pair_coeff * * ladera {" ".join(lammps.box.symbols)}
            pair_coeff * * lj/cut 0.01 1.5
            run 0
            """
        )
        both = lammps.said()
        for one, two, sum_ in zip(alone, other, both, strict=True):
            np.testing.assert_allclose(sum_, one + two, rtol=1e-10, atol=1e-12)
        lammps.do(
            f"""
            pair_style hybrid ladera {model} zero 4.0
            pair_coeff * * zero
            pair_coeff * * ladera NULL O
            run 0
            """
        )
        some = lammps.said()
    oxygen = atoms[atoms.numbers == 8]
    oxygen.calc = potential.calculator()
    assert some.energy == pytest.approx(oxygen.get_potential_energy(), rel=1e-10)
    np.testing.assert_allclose(some.forces[atoms.numbers == 8], oxygen.get_forces(), atol=1e-10)
    assert not some.forces[atoms.numbers == 1].any()
