"""Networks in LAMMPS: the calculator's energies, forces and virials by two pair styles.

    python benchmarks/lammps_hdnnp.py [MODEL STRUCTURES]
    LADERA_BENCH_LAMMPS="lmp" python benchmarks/lammps_hdnnp.py [MODEL STRUCTURES]
    LADERA_BENCH_LAMMPS="lmp" python benchmarks/lammps_hdnnp.py --speed   # seconds of a step

Both run pair_style ladera, in the LAMMPS of this environment. The second runs pair_style hdnnp
beside it: the variable is the command of a LAMMPS with the package ML-HDNNP; one that has it as a
plugin finds that through its own LAMMPS_PLUGIN_PATH. With --write, the table goes into
docs/n2p2.md, which takes both.

For hdnnp every model is exported as `ladera export --to n2p2` does it, and LAMMPS is given the very
lines that stand as a comment in the exported input.nn. Both programs then compute the same
structure, and once more the one that LAMMPS has after 20 steps of NVE at 300 K (0.25 fs) with the
neighbour list made anew at every second step. Without a model of your own: the embedded ethanol
network without its dipoles, potentials published for n2p2, and random ones with all activations,
cutoff functions and scalings, from the folder of data beside the repository. The largest deviations
of energy, forces and virial from Ladera's calculator are printed; a line is MISSED if one is above
its limit (see LIMITS).

--speed takes n2p2's own water, 8640 atoms, on one process and on two, and claims that pair_style
ladera is at least 4 times as fast. Both must be built for the same MPI.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.lammps import Prism
from ase.data import atomic_masses, atomic_numbers
from ase.io.lammpsdata import write_lammps_data
from numpy.typing import NDArray
from page import DATA, ROOT, table, write_section

import ladera
from ladera.codes import n2p2
from ladera.data import formats
from ladera.engines.lammps import building, installed, running
from ladera.models.hdnnp import HDNNP, HDNNPConfig
from ladera.potential import Potential
from ladera.simulation.calculator import LaderaCalculator
from ladera.units import ATOMIC, METAL, UnitSystem

VARIABLE = "LADERA_BENCH_LAMMPS"
STEPS = 20
BAR = 1 / 1.6021765e6  # eV/Angstrom^3, the figure that LAMMPS has for its metal units
MARGIN = 5.0  # Angstrom of room around an open structure
LIMITS = {"energy": 1e-10, "forces": 1e-9, "virial": 1e-8}  # eV per atom, eV/Angstrom, eV per atom


SPEED_STEPS = 3
_MOVES = """
neighbor 1.0 bin
timestep 0.00025
velocity all create 300 4711 dist gaussian
fix move all nve
"""
_NUMBERS = f"""
neigh_modify every 2 delay 0 check no
compute virial all pressure NULL virial
thermo 1
thermo_style custom step pe c_virial[*] vol
thermo_modify format float %.17g
dump all all custom {STEPS} dump.* id xu yu zu fx fy fz
dump_modify all sort id format float %.17g
run {STEPS}
"""
_SPEED = f"""
run 1 post no
run {SPEED_STEPS} pre no
"""


class Case(NamedTuple):
    """A potential and structures for it, written in the units of a folder."""

    name: str
    potential: Potential
    units: UnitSystem
    structures: list[Atoms]


class Style(NamedTuple):
    """A pair style, and the LAMMPS that has it."""

    name: str
    command: list[str]
    environment: dict[str, str]
    lines: Callable[[Case, Path], str]  # of a script, for a folder in which files may be written


class State(NamedTuple):
    """A structure and what a program says of it, in eV and Angstrom."""

    atoms: Atoms
    energy: float
    forces: NDArray[np.float64]
    virial: NDArray[np.float64]  # (3, 3)


def main() -> None:
    if "--speed" in sys.argv:
        speed([_ladera(), *_hdnnp()])
        return
    words = [word for word in sys.argv[1:] if word != "--write"]
    if len(words) not in (0, 2):
        raise SystemExit("Give a model file and a file of structures for it, or neither.")
    styles = [_ladera(), *_hdnnp()]
    if "--write" in sys.argv and len(styles) < 2:
        raise SystemExit(f"The page has both pair styles: {VARIABLE} must be set.")
    rows, missed = [], 0
    for case in [_case(*words)] if words else _cases():
        row = [case.name, str(len(case.structures))]
        for style in styles:
            worst = dict.fromkeys(LIMITS, 0.0)
            for atoms in case.structures:
                for state in run_lammps(style, case, atoms):
                    for name, value in deviations(case.potential, state).items():
                        worst[name] = max(worst[name], value)
            met = all(worst[name] <= limit for name, limit in LIMITS.items())
            missed += not met
            found = [f"{value:.1e}" for value in worst.values()]
            row += found
            print(f"{case.name}, {style.name}: {' '.join(found)} {'met' if met else 'MISSED'}")
            sys.stdout.flush()
        rows.append(row)
    if "--write" in sys.argv:
        header = ["potential", "structures"]
        header += [f"{x}, {style.name}" for style in styles for x in ("ΔE", "ΔF", "ΔW")]
        write_section("lammps", table(header, rows), ROOT / "docs" / "n2p2.md")
    if missed:
        raise SystemExit(f"{missed} lines differ by more than the limits {LIMITS}.")


def speed(styles: list[Style]) -> None:
    """Seconds of a step of 8640 atoms of water by each style, on one process and two."""
    folder = DATA / "data" / "n2p2" / "H2O_RPBE-D3"
    water = ladera.load(folder / "potential", units=ATOMIC.name)
    (frame,) = formats.read(folder / "water1080" / "input.data", units=ATOMIC)
    case = Case("water", water, ATOMIC, [frame.to_atoms()])
    starter = str(installed.find_lammps().starter)
    for processes in (1, 2):
        seconds = {}
        for style in styles:
            many = style._replace(command=[starter, "-n", str(processes), *style.command])
            with TemporaryDirectory() as name:
                start = f"replicate 2 2 2\n{style.lines(case, Path(name))}"
                _run(many, Path(name), start, *case.structures, _SPEED)
                log = (Path(name) / "log.lammps").read_text()
            (loop,) = re.findall(rf"Loop time of (\S+) on .* for {SPEED_STEPS} steps", log)
            seconds[style.name] = float(loop) / SPEED_STEPS
        said = ", ".join(f"{name} {value:.3f} s a step" for name, value in seconds.items())
        print(f"8640 atoms of water, {processes} processes: {said}", flush=True)
        if len(seconds) == 2:
            times = seconds["hdnnp"] / seconds["ladera"]
            print(f"  {times:.1f} times as fast: {'met' if times >= 4 else 'MISSED'}", flush=True)


def _ladera() -> Style:
    """Ladera's own, in the LAMMPS of this environment."""

    def lines(case: Case, folder: Path) -> str:
        case.potential.save(folder / "model.ladera")
        return f"pair_style ladera {folder}/model.ladera"

    lammps = installed.find_lammps()
    environment = running.environment(lammps, building.build(lammps), threads=1)
    return Style("ladera", [str(lammps.program)], environment, lines)


def _hdnnp() -> list[Style]:
    """n2p2's, of the LAMMPS that the variable names; none where it is not set."""

    def lines(case: Case, folder: Path) -> str:
        n2p2.export(case.potential, folder / "potential", case.units)
        said = (folder / "potential" / "input.nn").read_text().splitlines()
        style = next(line for line in said if "pair_style hdnnp" in line).lstrip("# ")
        return style.replace("dir DIR", f"dir {folder}/potential")

    command = shlex.split(os.environ.get(VARIABLE, ""))
    if not command:
        print(f"{VARIABLE} is not set: pair_style hdnnp is left out.")
        return []
    if shutil.which(command[0]) is None:
        raise SystemExit(f"{VARIABLE} is {command[0]}, which cannot be run.")
    return [Style("hdnnp", command, os.environ | {"OMP_NUM_THREADS": "1"}, lines)]


def run_lammps(style: Style, case: Case, atoms: Atoms) -> Iterator[State]:
    """The structure as given and after some steps, with what LAMMPS computes for them."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        atoms = _boxed(atoms)
        prism = _run(style, folder, style.lines(case, folder), atoms, _NUMBERS)
        yield from _states(folder, atoms, prism)


def _run(style: Style, folder: Path, start: str, atoms: Atoms, commands: str) -> Prism:
    """Run LAMMPS in a folder: a structure, the lines that start a style, and commands."""
    prism = Prism(atoms.cell.array, pbc=atoms.pbc)
    symbols = sorted(set(atoms.get_chemical_symbols()), key=atomic_numbers.__getitem__)
    write_lammps_data(
        folder / "structure.data", atoms, specorder=symbols, prismobj=prism, masses=True
    )
    boundary = " ".join("p" if periodic else "f" for periodic in atoms.pbc)
    head = f"units metal\nboundary {boundary}\natom_style atomic\nread_data structure.data\n"
    model = f"{start}\npair_coeff * * {' '.join(symbols)}\n"
    (folder / "in.lammps").write_text(head + model + _MOVES + commands)
    result = subprocess.run(
        [*style.command, "-in", "in.lammps", "-log", "log.lammps", "-nocite"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=style.environment,
    )
    if result.returncode:
        raise SystemExit(f"{shlex.join(style.command)} failed:\n{result.stdout[-3000:]}")
    return prism


def deviations(potential: Potential, state: State) -> dict[str, float]:
    """How far Ladera's numbers are from LAMMPS's, by the names of LIMITS."""
    atoms = state.atoms.copy()
    atoms.calc = LaderaCalculator(potential)
    return {
        "energy": abs(atoms.get_potential_energy() - state.energy) / len(atoms),
        "forces": float(np.abs(atoms.get_forces() - state.forces).max()),
        "virial": float(np.abs(atoms.calc.prediction.virial[0].numpy() - state.virial).max())
        / len(atoms),
    }


def _states(folder: Path, atoms: Atoms, prism: Prism) -> Iterator[State]:
    """What LAMMPS wrote of its first and last step, turned back into the structure's own axes."""
    rows = {}
    for line in (folder / "log.lammps").read_text().splitlines():
        words = line.split()
        if len(words) == 9 and words[0].isdigit():
            rows[int(words[0])] = [float(word) for word in words[1:]]
    for step in (0, STEPS):
        energy, *pressures, volume = rows[step]
        xx, yy, zz, xy, xz, yz = pressures
        pressure = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        virial = prism.tensor2_to_ase(-pressure * BAR * volume)
        data = np.loadtxt(folder / f"dump.{step}", skiprows=9, ndmin=2)
        moved = atoms.copy()
        moved.positions = prism.vector_to_ase(data[:, 1:4])
        forces = prism.vector_to_ase(data[:, 4:7])
        yield State(moved, energy, forces, virial)


def _boxed(atoms: Atoms) -> Atoms:
    """An open structure in a box of its own, which LAMMPS needs; others as they are."""
    atoms = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if not atoms.pbc.any():
        atoms.positions -= atoms.positions.min(axis=0) - MARGIN
        atoms.cell = np.diag(np.ptp(atoms.positions, axis=0) + 2 * MARGIN)
    atoms.set_masses(atomic_masses[[atomic_numbers[s] for s in atoms.symbols]])
    return atoms


def _case(model: str, structures: str) -> Case:
    frames = formats.read(structures)
    return Case(model, ladera.load(model), ATOMIC, [frame.to_atoms() for frame in frames])


def _cases() -> Iterator[Case]:
    yield Case("ethanol, trained by Ladera", _ethanol(), ATOMIC, _embedded(3))
    yield Case("the same in eV and Å", _ethanol(), METAL, _embedded(1))
    if not DATA.is_dir():
        print(f"{DATA} is missing: published potentials are left out.")
        return
    folder = DATA / "data" / "n2p2" / "H2O_RPBE-D3"
    water = ladera.load(folder / "potential", units=ATOMIC.name)
    frames = formats.read(folder / "water24" / "input.data", units=ATOMIC)
    yield Case("water, RPBE-D3 (n2p2)", water, ATOMIC, [f.to_atoms() for f in frames])
    yield Case("the same in eV and Å", water, METAL, [f.to_atoms() for f in frames])
    vapour = ladera.load(DATA / "data" / "water_hdnnp_cc0", units=ATOMIC.name)
    frames = formats.read(DATA / "data" / "water_pbe0ts" / "test_even.extxyz.gz")
    yield Case("water and vapour", vapour, ATOMIC, [frames[i].to_atoms() for i in (0, 5)])
    for symbol in ("Si", "Ge", "Li", "Mo", "Ni"):
        nnp = ladera.load(DATA / "data" / "mlearn_potentials" / symbol / "nnp", units=ATOMIC.name)
        frames = formats.read(DATA / "data" / "mlearn" / f"{symbol}_test.extxyz.gz")
        yield Case(f"{symbol} (mlearn)", nnp, ATOMIC, [frames[i].to_atoms() for i in (0, -1)])
    folder = DATA / "data" / "n2p2" / "hdnnp_synthetic"
    frames = formats.read(folder / "frames.data", units=METAL)
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        potential = ladera.load(path, units=METAL.name)
        yield Case(f"random: {path.name}", potential, METAL, [f.to_atoms() for f in frames])


def _ethanol() -> HDNNP:
    """The energies of the embedded network, without its dipoles."""
    whole: Potential = ladera.load("ethanol-hdnnp")
    settings = whole.config.model_dump(exclude={"architecture", "dipole_layers"})
    potential = HDNNP(HDNNPConfig(**settings))
    state = whole.state_dict()
    potential.load_state_dict({name: state[name] for name in potential.state_dict()})
    return potential.double()


def _embedded(count: int) -> list[Atoms]:
    folder = Path(ladera.__file__).parent / "data" / "embedded"
    frames = formats.read(folder / "ethanol.extxyz.gz")
    return [frame.to_atoms() for frame in frames if len(frame.numbers) == 9][:count]


if __name__ == "__main__":
    main()
