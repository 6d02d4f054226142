"""``pair_style ladera`` in what scripts do beside steps: restarts, minimization, other atoms."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

import ladera
from conftest import POTENTIALS, water_like
from ladera import Potential
from ladera.codes import n2p2
from ladera.engines.lammps import asking
from lammps_runs import (
    BAR,
    VIRIAL,
    InProcess,
    assert_same,
    dump,
    lmp,
    needs_compiler,
    needs_lammps,
    read,
    saved,
    setup,
    turned,
)

pytestmark = [needs_lammps, needs_compiler]

CRYSTAL = water_like(12, 6.0, True, seed=1)
MOLECULE = water_like(9, 8.0, False, seed=2)


def said_of(potential: Potential, atoms: Atoms) -> Atoms:
    atoms = atoms.copy()
    atoms.calc = potential.calculator()
    return atoms


def positions(lammps: InProcess) -> np.ndarray:
    return lammps.array("x", 3) @ lammps.box.rotation.T


def test_a_folder_of_n2p2(tmp_path: Path):
    """As published networks come; benchmarks/lammps_hdnnp.py runs those that there are."""
    n2p2.export(POTENTIALS["hdnnp_generated"](), tmp_path / "network")
    potential = ladera.load(tmp_path / "network")
    with InProcess(CRYSTAL, tmp_path / "network", tmp_path, "run 0") as lammps:
        assert_same(lammps.said(), potential, CRYSTAL)


def test_a_restart_goes_on_as_if_nothing_had_been(tmp_path: Path):
    """50 steps, a restart file, and 50 steps by another process are 100 steps."""
    commands, _ = setup(CRYSTAL, saved(POTENTIALS["mtp"](), tmp_path), tmp_path)
    steps = """
        fix nve all nve
        timestep 0.0002
        run {}
        """
    ended = "write_dump all custom {0}.x id x y z vx vy vz modify sort id format float %.17g\n"
    ended += 'print "$(pe:%.17g) $(step)" file {0}.e'
    velocities = "velocity all create 300 3 loop geom\n"
    whole = commands + velocities + "\n" + steps.format(50) + "\nwrite_restart half.restart\n"
    # LAMMPS makes its list anew after a restart, so that the other run has to do that as well.
    done = lmp(whole + "run 50\n" + ended.format("whole"), tmp_path)
    assert done.returncode == 0, done.stdout[-2000:]
    read_data = next(line for line in commands.splitlines() if "read_data" in line)
    again = commands.replace(read_data, "read_restart half.restart")
    again = "\n".join(line for line in again.splitlines() if "boundary" not in line)
    done = lmp(again + steps.format(50) + ended.format("parts"), tmp_path)
    assert done.returncode == 0, done.stdout[-2000:]
    one, other = (np.loadtxt(tmp_path / f"{name}.x", skiprows=9) for name in ("whole", "parts"))
    np.testing.assert_allclose(other, one, rtol=0, atol=1e-8)
    (e, step), (f, same) = (
        (tmp_path / f"{name}.e").read_text().split() for name in ("whole", "parts")
    )
    assert (step, same) == ("100", "100")
    assert float(f) == pytest.approx(float(e), rel=1e-10)


def test_a_restart_does_not_bring_the_model(tmp_path: Path):
    with InProcess(CRYSTAL, saved(POTENTIALS["mtp"](), tmp_path), tmp_path, "run 0") as lammps:
        lammps.do(f"write_restart {tmp_path}/file\nclear\nread_restart {tmp_path}/file")
        with pytest.raises(Exception, match="ERROR"):
            lammps.do("run 0")


def test_rerun_and_minimize_and_box_relax(tmp_path: Path):
    potential = POTENTIALS["lennard_jones"]()
    start = bulk("O", "fcc", a=2.6, cubic=True)
    start.rattle(0.05, seed=1)
    with InProcess(start, saved(potential, tmp_path), tmp_path) as lammps:
        lammps.do(f"dump all all custom 1 {tmp_path}/dump id type x y z")
        lammps.do("dump_modify all format float %.17g\nrun 0\nundump all")
        alone = lammps.said()
        lammps.do("displace_atoms all random 0.1 0.1 0.1 3\nrun 0")
        assert lammps.said().energy > alone.energy + 1e-3
        lammps.do(f"rerun {tmp_path}/dump dump x y z")
        assert lammps.said().energy == pytest.approx(alone.energy, rel=1e-6)
        lammps.do("minimize 0 1e-5 500 5000")
        found = start.copy()
        found.positions = positions(lammps)
        assert_same(lammps.said(), potential, found, relative=1e-8)
        assert np.abs(said_of(potential, found).get_forces()).max() < 1e-4
        lammps.do("fix relax all box/relax aniso 0.0 vmax 0.01\nminimize 0 1e-5 2000 20000")
        pressure = [lammps.lammps.get_thermo(name) / BAR for name in VIRIAL]
        assert np.abs(pressure).max() < 1e-5  # eV/Angstrom^3
        relaxed = lammps.lammps.get_thermo("pe")
    found = said_of(potential, found)
    BFGS(FrechetCellFilter(found), logfile=None).run(fmax=0.001, steps=500)
    assert relaxed == pytest.approx(found.get_potential_energy(), abs=1e-3)


def test_a_box_that_is_deformed_and_flips(tmp_path: Path):
    potential = POTENTIALS["hdnnp_generated"]()
    commands = """
        fix deform all deform 1 xy erate 800 xz erate 500 remap x flip yes
        fix nve all nve
        timestep 0.0001
        run 20
        run 0 pre yes
        """
    with InProcess(CRYSTAL, saved(potential, tmp_path), tmp_path) as lammps:
        before = lammps.lammps.get_thermo("xy")
        lammps.do(commands)
        low, high, xy, yz, xz, *_ = lammps.lammps.extract_box()
        lengths = np.subtract(high, low)
        cell = np.array([[lengths[0], 0, 0], [xy, lengths[1], 0], [xz, yz, lengths[2]]])
        assert xy < before  # it has gone beyond half of the box, and begun at the other end
        atoms = Atoms(CRYSTAL.symbols, lammps.array("x", 3), cell=cell, pbc=True)
        energy, forces = lammps.lammps.get_thermo("pe"), lammps.array("f", 3)
        pressure = np.array([lammps.lammps.get_thermo(name) for name in VIRIAL])
    atoms = said_of(potential, atoms)
    assert energy == pytest.approx(atoms.get_potential_energy(), rel=1e-10)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-9)
    stress = turned(-pressure / BAR, np.eye(3))
    np.testing.assert_allclose(stress, atoms.get_stress(voigt=False), atol=1e-9)


def test_atoms_come_and_go_between_runs(tmp_path: Path):
    potential = POTENTIALS["hdnnp_generated"]()
    with InProcess(MOLECULE, saved(potential, tmp_path), tmp_path, "run 0") as lammps:
        before = lammps.said()
        lammps.do("create_atoms 1 single $(xlo+0.5) $(ylo+0.5) $(zlo+0.5)\nrun 0")
        more = lammps.lammps.get_thermo("pe")
        assert more != before.energy
        lammps.do("group new id 10\ndelete_atoms group new\nrun 0")
        assert lammps.said().energy == pytest.approx(before.energy, rel=1e-12)


def test_types_that_change_in_the_life_of_a_list(tmp_path: Path):
    """The list is sorted by element, and Monte Carlo changes the elements."""
    potential, atoms = POTENTIALS["hdnnp_generated"](), MOLECULE.copy()
    commands = "neigh_modify delay 100 every 100 check no\nrun 1\n"
    with InProcess(atoms, saved(potential, tmp_path), tmp_path, commands) as lammps:
        lammps.do("set atom 1 type 1\nset atom 2 type 2\nset atom 5 type 2\nrun 1 pre no")
        atoms.symbols[[0, 1, 4]] = ["H", "O", "O"]
        assert_same(lammps.said(), potential, atoms)


def test_groups_that_are_excluded_from_all_are_not_there(tmp_path: Path):
    """As fix gcmc asks what the energy is without an atom, whose own E0 is part of it."""
    potential, atoms = POTENTIALS["hdnnp_generated"](), CRYSTAL.copy()
    commands = "group gone id 3\nneigh_modify exclude group gone all\nrun 0"
    with InProcess(atoms, saved(potential, tmp_path), tmp_path, commands) as lammps:
        found = lammps.said()
    del atoms[2]
    atoms = said_of(potential, atoms)
    assert found.energy == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    np.testing.assert_allclose(np.delete(found.forces, 2, 0), atoms.get_forces(), atol=1e-10)
    assert found.energies[2] == 0


def test_two_models_that_are_mixed(tmp_path: Path):
    """pair hybrid/scaled, by which alchemical paths go from one model to another."""
    one, other = POTENTIALS["hdnnp_generated"](), POTENTIALS["mtp"]()
    first, second = tmp_path / "first.ladera", tmp_path / "second.ladera"
    one.save(first)
    other.save(second)
    with InProcess(CRYSTAL, first, tmp_path) as lammps:
        elements = " ".join(lammps.box.symbols)
        lammps.do(
            f"""
            pair_style hybrid/scaled 0.3 ladera {first} 0.7 ladera {second}
            pair_coeff * * ladera 1 {elements}
            pair_coeff * * ladera 2 {elements}
            run 0
            """
        )
        found = lammps.said()
    a, b = said_of(one, CRYSTAL), said_of(other, CRYSTAL)
    energy = 0.3 * a.get_potential_energy() + 0.7 * b.get_potential_energy()
    assert found.energy == pytest.approx(energy, rel=1e-12)
    np.testing.assert_allclose(
        found.forces, 0.3 * a.get_forces() + 0.7 * b.get_forces(), atol=1e-10
    )


def test_processes_without_atoms(tmp_path: Path):
    """Two groups of atoms at the ends of a long box, and nothing between them."""
    near = water_like(5, 8.0, False, seed=3)
    atoms = near + near
    atoms.positions[5:, 0] += 40.0
    atoms.set_cell([60.0, 14.0, 14.0])
    atoms.pbc = True
    script, boxes, potentials = "", {}, {}
    for name in ("mtp", "mace"):
        potentials[name] = potential = POTENTIALS[name]()
        (tmp_path / name).mkdir()
        model = saved(potential, tmp_path / name)
        commands, boxes[name] = setup(atoms, model, tmp_path, name)
        script += "clear\nprocessors 4 1 1\n" + commands + dump(name)
    done = lmp(script, tmp_path, processes=4)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    for name, potential in potentials.items():
        assert_same(read(name, tmp_path, boxes[name]), potential, atoms)


def test_an_interruption_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Control-C while Python computes: LAMMPS must not go on with the answer of another step."""
    model = saved(POTENTIALS["mtp"](), tmp_path)
    with InProcess(CRYSTAL, model, tmp_path, "run 0") as lammps:

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(asking.OfEdges, "_predict", interrupted)
        with pytest.raises(Exception, match="The run was interrupted"):
            lammps.do("run 1")


def test_a_program_ends_that_has_not_closed_lammps(tmp_path: Path):
    """Python takes its modules apart before LAMMPS, in whichever order."""
    commands, _ = setup(CRYSTAL, saved(POTENTIALS["hdnnp_generated"](), tmp_path), tmp_path)
    lines = [line.strip() for line in (commands + "run 0").splitlines()]
    program = f"""
import ladera
from ladera.models.hdnnp import HDNNPConfig
from ladera.engines.lammps import start
lammps = start(["-screen", "none", "-log", "none"])
for line in {list(filter(None, lines))}:
    lammps.command(line)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
