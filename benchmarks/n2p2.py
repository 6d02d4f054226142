"""Ladera and n2p2 side by side: energy and forces of one structure, one thread each.

    LADERA_BENCH_N2P2=/path/to/n2p2 OMP_NUM_THREADS=1 python benchmarks/n2p2.py [clusters|water]

With --write, the table of all workloads goes into docs/performance.md.

Both programs read the same folder (input.nn, scaling.data, weights.ZZZ.data) and must compute the
same energies and forces, which is checked first.

    clusters  Al30 O98 H94, open, 144 neighbours within 12 Angstrom; 36 and 78 functions an atom
              (wide angular ones); networks of random weights, which Ladera makes and exports
    water     1,080 atoms, periodic, 96 neighbours within 12 Bohr; 27 and 30 functions (narrow
              angular ones); the published RPBE-D3 potential

n2p2's step is its library's, without reading files: neighbour list, symmetry functions with
derivatives, networks, forces. Ladera's is the calculator's that molecular dynamics runs through,
after every atom has moved: with the neighbour list made anew (skin 0), and with its candidates kept
between steps (skin 1 Angstrom), as nearly every step of molecular dynamics finds them. CPU time,
the fastest of several runs, which alternate between the two programs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from ase import Atoms
from n2p2_peer import N2P2, STAGES, VARIABLE, find
from page import DATA, table, write_section

import ladera
from ladera.codes.n2p2 import export, symmetry_functions
from ladera.codes.n2p2.reading import read_settings
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.graph import Graph
from ladera.models.hdnnp import HDNNP, HDNNPConfig
from ladera.potential import Potential, TrainingStatistics
from ladera.simulation.calculator import LaderaCalculator
from ladera.units import ATOMIC, METAL, UnitSystem

CLUSTERS = DATA / "workloads" / "alumina222"
WATER = DATA / "data" / "n2p2" / "H2O_RPBE-D3"
ROUNDS, REPEATS = 4, 3
# n2p2 at commit 61daa0d, g++ -O3 -march=native, one core of an AMD EPYC (Zen 4): microseconds per
# atom, without and with its neighbour list. Recorded once, and not on your machine.
RECORDED = {
    "36 wide": (592.0, 607.0),
    "78 wide, two eta": (1255.0, 1270.0),
    "78 wide, zeta to 16": (1225.0, 1240.0),
    "water": (252.0, 346.0),
}


class Workload(NamedTuple):
    """A folder that both programs read, and structures."""

    name: str
    folder: Path
    units: UnitSystem
    frames: Dataset

    @property
    def structures(self) -> list[Atoms]:
        return [frame.to_atoms() for frame in self.frames]


class Times(NamedTuple):
    """Microseconds of CPU time per atom."""

    anew: float  # Ladera, neighbour list included
    kept: float  # Ladera, candidates of the neighbour list kept
    n2p2: Sequence[float]  # its stages; empty without n2p2


def clusters(settings: str, name: str, folder: Path) -> Workload:
    """Ten clusters and networks of random weights for them, written to ``folder``."""
    source = folder / "settings"
    source.mkdir(parents=True)
    (source / "input.nn").write_text((CLUSTERS / settings).read_text())
    functions = symmetry_functions.read(read_settings(source), METAL)
    frames = formats.read(CLUSTERS / "input.data.gz", units=METAL)
    torch.manual_seed(0)
    config = HDNNPConfig(
        species=tuple(functions),
        cutoff=12.0,
        symmetry_functions=tuple(f for of_element in functions.values() for f in of_element),
        cutoff_function="tanh3",
        hidden_layers=(20, 20),
        scaling="scale_center",
    )
    potential = HDNNP(config)
    graphs = [Graph.from_atoms(frame.to_atoms(), config.cutoff) for frame in frames]
    potential.fit_statistics(graphs, TrainingStatistics(dict.fromkeys(functions, 0.0), 0.0, 1.0))
    export(potential, folder, METAL)
    return Workload(name, folder, METAL, frames)


def water() -> Workload:
    """The published potential for water, and a box of it."""
    frames = formats.read(WATER / "water1080" / "input.data", units=ATOMIC)
    return Workload("water", WATER / "potential", ATOMIC, frames)


def ladera_step(potential: Potential, structures: Sequence[Atoms], skin: float) -> float:
    """CPU seconds of a step of all structures; the fastest of a few."""
    generator = np.random.default_rng(0)
    copies = [atoms.copy() for atoms in structures]
    for atoms in copies:
        atoms.calc = LaderaCalculator(potential, skin)
        atoms.get_forces()
    seconds = []
    for _ in range(REPEATS):
        total = 0.0
        for atoms in copies:
            atoms.positions += generator.normal(scale=0.002, size=atoms.positions.shape)
            start = time.process_time()
            atoms.get_potential_energy()
            atoms.get_forces()
            total += time.process_time() - start
        seconds.append(total)
    return min(seconds)


def check(workload: Workload, potential: Potential, n2p2: N2P2, structures: Path) -> None:
    """Refuse to compare programs that compute different things."""
    steps = n2p2.steps(workload.folder, structures, 1)
    calculator = LaderaCalculator(potential)
    energies, forces = [], []
    for atoms in workload.structures:
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    units = workload.units
    energy = np.abs(np.array(energies) / (steps.energies * units.energy) - 1).max()
    scale = np.abs(steps.forces).max()
    force = np.abs(np.concatenate(forces) / units.force - steps.forces).max() / scale
    print(f"{workload.name}: energies agree to {energy:.1e}, forces to {force:.1e} of the largest")
    if energy > 1e-10 or force > 1e-9:
        raise SystemExit("The two programs do not compute the same potential.")


def measure(workload: Workload, n2p2: N2P2 | None) -> Times:
    """Both programs, in turn."""
    potential = ladera.load(workload.folder, units=workload.units.name)
    anew, kept, stages = [], [], []
    with TemporaryDirectory() as folder:
        structures = Path(folder, "input.data")
        formats.write(workload.frames, structures, units=workload.units)
        if n2p2 is not None:
            check(workload, potential, n2p2, structures)
        for _ in range(ROUNDS):
            anew.append(ladera_step(potential, workload.structures, 0.0))
            kept.append(ladera_step(potential, workload.structures, 1.0))
            if n2p2 is not None:
                stages.append(n2p2.steps(workload.folder, structures, REPEATS).seconds)
    per_atom = 1e6 / sum(len(atoms) for atoms in workload.structures)
    fastest: list[float] = []
    if stages:
        rows = np.concatenate(stages)
        fastest = (rows[rows.sum(1).argmin()] * per_atom).tolist()
    return Times(min(anew) * per_atom, min(kept) * per_atom, fastest)


def row(name: str, times: Times) -> list[str]:
    """One line of the table: a ratio only of what was measured here."""
    if times.n2p2:
        listed, *rest = times.n2p2
        without = sum(rest)
        split = " + ".join(f"{value:.0f}" for value in times.n2p2)
        peer = [f"{listed + without:.0f} ({split})"]
        ratios = [
            f"{without / times.kept:.1f}",
            f"{(listed + without) / times.anew:.1f}",
            f"{(listed + without) / times.kept:.1f}",
        ]
    else:
        peer, ratios = [f"recorded: {RECORDED[name][1]:.0f}"], ["-", "-", "-"]
    return [name, f"{times.anew:.1f}", f"{times.kept:.1f}", *peer, *ratios]


def main() -> None:
    torch.set_num_threads(1)
    n2p2 = find()
    if n2p2 is None:
        print(f"{VARIABLE} is not set: n2p2's numbers are recorded ones, and no ratio is formed.")
    rows = []
    with TemporaryDirectory() as folder:
        workloads = []
        if "water" not in sys.argv:
            workloads += [
                clusters("36.input.nn", "36 wide", Path(folder, "a")),
                clusters("78eta.input.nn", "78 wide, two eta", Path(folder, "b")),
                clusters("78zeta.input.nn", "78 wide, zeta to 16", Path(folder, "c")),
            ]
        if "clusters" not in sys.argv:
            workloads.append(water())
        rows = [row(workload.name, measure(workload, n2p2)) for workload in workloads]
    header = [
        "functions",
        "Ladera, list anew",
        "Ladera, list kept",
        f"n2p2 ({' + '.join(STAGES)})",
        "ratio without lists",
        "ratio, lists anew",
        "ratio, list kept",
    ]
    print(table(header, rows))
    if "--write" in sys.argv:
        if n2p2 is None or len(rows) < len(RECORDED):
            raise SystemExit(f"Only all measured ratios are written; set {VARIABLE}, name none.")
        write_section("n2p2", table(header, rows))


if __name__ == "__main__":
    main()
