"""Published moment tensor potentials side by side: Ladera and motep, one thread each.

    LADERA_BENCH_MOTEP=/env/bin/python OMP_NUM_THREADS=1 python benchmarks/mtp.py [--write]

The variable names the Python of an environment with motep, whose engine in C is taken. Both compute
energies and forces by their ASE calculators, neighbour list included, after every atom has moved;
they must agree on a structure first. CPU time, the fastest and the median of many calls, in rounds
that alternate between the programs. Then Ladera alone for larger and larger boxes of silicon, each
in a process of its own: time and memory an atom.

With --write the tables go into docs/performance.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers
from page import DATA, table, write_section
from scaling import resident

import ladera

MOTEP = "LADERA_BENCH_MOTEP"
ROUNDS, SHARE = 6, 1.5  # seconds of each round
MLEARN = DATA / "data" / "mlearn_potentials"
CONDUCTORS = DATA / "data" / "ionic_conductors" / "mtp_potentials"
REPEATS = (5, 11, 23)  # of a cubic cell of 8 atoms


class Case(NamedTuple):
    """A published potential and a structure."""

    name: str
    level: int
    file: Path
    types: tuple[str, ...]
    crystal: Atoms

    def atoms(self) -> Atoms:
        """The structure, a little disordered."""
        atoms = self.crystal.copy()
        atoms.rattle(0.1, seed=1)
        return atoms


def mixed(counts: dict[str, int], a: float) -> Atoms:
    """Atoms of several elements, mixed at random on 5 x 5 x 8 places of a cubic lattice."""
    atoms = bulk("X", "sc", a=a) * (5, 5, 8)
    symbols = [symbol for symbol, count in counts.items() for _ in range(count)]
    atoms.symbols = np.random.default_rng(0).permutation(symbols)
    return atoms


def cases() -> list[Case]:
    """Of one, three and four elements; crystals of the density of the material."""
    file = "fitted.mtp.PBE.PBE"
    sulfide = {"Li": 67, "P": 29, "S": 104}
    titanate = {"Li": 14, "La": 24, "Ti": 41, "O": 121}
    crystals = {
        "Si": (24, bulk("Si", cubic=True) * 3),
        "Mo": (20, bulk("Mo", cubic=True) * 5),
        "Li": (16, bulk("Li", cubic=True) * 5),
    }
    return [
        *(
            Case(name, level, MLEARN / name / "mtp" / "fitted.mtp", (name,), crystal)
            for name, (level, crystal) in crystals.items()
        ),
        Case("Li7P3S11", 18, CONDUCTORS / "Li7P3S11" / file, tuple(sulfide), mixed(sulfide, 2.7)),
        Case(
            "Li0.33La0.56TiO3",
            16,
            CONDUCTORS / "Li0.33La0.56TiO3" / file,
            ("Li", "La", "Ti", "O"),
            mixed(titanate, 2.3),
        ),
    ]


class Motep:
    """The other program, which answers cases one after another."""

    def __init__(self, python: str, folder: Path) -> None:
        self._folder = folder
        script = Path(__file__).with_name("mtp_peer.py")
        self._process = subprocess.Popen(
            [python, str(script), "cext"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def time(self, case: Case, repeats: int, seed: int) -> dict[str, Any]:
        """Energy, forces and seconds of a case."""
        structure = self._folder / f"{case.name}.traj"
        if not structure.exists():
            ase.io.write(structure, case.atoms())
        asked = {
            "potential": str(case.file),
            "types": [atomic_numbers[symbol] for symbol in case.types],
            "structure": str(structure),
            "repeats": repeats,
            "seed": seed,
        }
        if self._process.stdin is None or self._process.stdout is None:
            raise SystemExit("motep has no pipes.")
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"motep ended before it answered {case.name}.")
        return json.loads(line)  # type: ignore[no-any-return]


class Ladera:
    """Ladera, in the manner of the other."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self._prepared = cache(self._prepare)

    def _prepare(self, file: Path, types: tuple[str, ...]) -> Any:
        potential = ladera.load(file, types=types)
        return potential.calculator(dtype=self._dtype)

    def time(self, case: Case, repeats: int, seed: int) -> dict[str, Any]:
        """Energy, forces and seconds of a case."""
        atoms = case.atoms()
        atoms.calc = self._prepared(case.file, case.types)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        places, times = atoms.get_positions(), []
        generator = np.random.default_rng(seed)
        for _ in range(repeats):
            atoms.positions = places + generator.normal(scale=0.01, size=places.shape)
            start = time.process_time()
            atoms.get_potential_energy()
            atoms.get_forces()
            times.append(time.process_time() - start)
        return {"energy": energy, "forces": forces, "cpu": times}


def compare(case: Case, programs: dict[str, Any]) -> list[str]:
    """One line of the table: microseconds an atom."""
    n_atoms = len(case.crystal)
    first = {name: program.time(case, 2, 0) for name, program in programs.items()}
    ours, theirs = first["float64"], first["motep"]
    energy = abs(ours["energy"] - theirs["energy"]) / n_atoms
    force = np.abs(np.array(ours["forces"]) - np.array(theirs["forces"])).max()
    print(f"{case.name}: energies agree to {energy:.1e} eV/atom, forces to {force:.1e} eV/A")
    if energy > 1e-8 or force > 1e-6:
        raise SystemExit("The programs do not compute the same potential.")
    times: dict[str, list[float]] = {name: [] for name in programs}
    for seed in range(ROUNDS):
        for name, program in programs.items():
            repeats = min(100, max(3, int(SHARE / min(first[name]["cpu"]))))
            times[name] += program.time(case, repeats, seed)["cpu"]
    per_atom = 1e6 / n_atoms
    best = {name: per_atom * min(found) for name, found in times.items()}
    middle = {name: per_atom * float(np.median(found)) for name, found in times.items()}
    edges = f"{case.name}, {n_atoms} atoms", str(case.level)
    cells = [f"{best[name]:.1f} ({middle[name]:.1f})" for name in programs]
    ratios = [f"{best['motep'] / best[name]:.1f}" for name in programs if name != "motep"]
    return [*edges, *cells, *ratios]


def grow(repeats: int) -> dict[str, float]:
    """Time and memory of a box of silicon, in this process."""
    torch.set_num_threads(1)
    case = cases()[0]
    calculator = ladera.load(case.file, types=case.types).calculator()
    small = case.atoms()
    small.calc = calculator
    small.get_forces()  # loads the kernels
    atoms = bulk("Si", cubic=True) * repeats
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    generator, times = np.random.default_rng(0), []
    atoms.calc = calculator
    for _ in range(3):
        atoms.positions += generator.normal(scale=0.01, size=atoms.positions.shape)
        start = time.process_time()
        atoms.get_forces()
        times.append(time.process_time() - start)
    grown = resident("VmHWM") - before
    return {"atoms": len(atoms), "cpu": min(times[1:]), "memory": grown}


def main() -> None:
    torch.set_num_threads(1)
    if "--grow" in sys.argv:
        print(json.dumps(grow(int(sys.argv[-1]))))
        return
    python = os.environ.get(MOTEP)
    if python is None:
        raise SystemExit(f"Set {MOTEP} to a Python that has motep.")
    with TemporaryDirectory() as name:
        programs = {
            "float64": Ladera("float64"),
            "float32": Ladera("float32"),
            "motep": Motep(python, Path(name)),
        }
        rows = []
        for case in cases():
            rows.append(compare(case, programs))
            print(" | ".join(rows[-1]), flush=True)
    header = ["structure", "level", "Ladera", "Ladera, float32", "motep", "ratio"]
    speeds = table([*header, "ratio, float32"], rows)
    print(speeds)
    lines = []
    for repeats in REPEATS:
        command = [sys.executable, __file__, "--grow", str(repeats)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        n = found["atoms"]
        time_, memory = 1e6 * found["cpu"] / n, found["memory"] / n / 1000
        lines.append([f"{n:,.0f}", f"{time_:.1f}", f"{memory:.1f}"])
    growth = table(["atoms", "us an atom", "kB an atom"], lines)
    print(growth)
    if "--write" in sys.argv:
        write_section("mtp", speeds)
        write_section("mtp growth", growth)


if __name__ == "__main__":
    main()
