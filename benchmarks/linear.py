"""What O(N) means: CPU time of energy and forces against atoms, beside quantum mechanics.

    OMP_NUM_THREADS=1 LADERA_BENCH_QUANTUM=PYTHON python benchmarks/linear.py [--write]

Open cubes of water from one molecule to 3,375, for a MACE and for networks on symmetry functions of
common sizes, through the ASE calculator, neighbour list anew; the second call of two. Where
LADERA_BENCH_QUANTUM names a Python with tblite, ASE and PySCF, it computes the smaller ones by
GFN2-xTB and by density functional theory, each until a size has taken more than five seconds.
One thread each. With --write the table goes into docs/performance.md and the figure into
docs/images/linear.png.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from page import ROOT, table, write_section

import ladera
from ladera import Graph, Potential
from ladera.models.hdnnp import HDNNPConfig
from ladera.models.mace import MACEConfig
from ladera.plotting import PALETTE, axes, log_scale, style
from ladera.potential import TrainingStatistics

EDGES = (1, 2, 3, 4, 5, 7, 10, 15)  # molecules along the edge of a cube
SPACING = 3.107  # Angstrom between molecules: the density of water
LONGEST = 5.0  # seconds; larger systems are left out
FIGURE = ROOT / "docs" / "images" / "linear.png"
QUANTUM = {"gfn2": "GFN2-xTB", "dft": "DFT (PBE/def2-SVP)"}


def cube(edge: int) -> Atoms:
    """Molecules of water on a lattice, each turned at random."""
    generator = np.random.default_rng(edge)
    atoms = Atoms()
    for place in np.ndindex(edge, edge, edge):
        one = molecule("H2O")
        one.euler_rotate(*generator.uniform(0, 360, 3), center="COM")
        one.positions += SPACING * np.array(place) - one.get_center_of_mass()
        atoms += one
    return atoms


def models() -> dict[str, Potential]:
    """A MACE of 32 channels in float32, and networks of the default size."""
    torch.manual_seed(1)
    mace = ladera.build(MACEConfig(species=("H", "O"), cutoff=4.5, channels=32)).float()
    networks = ladera.build(HDNNPConfig(species=("H", "O"), cutoff=6.0))
    graphs = [Graph.from_atoms(cube(3), 6.0)]
    networks.fit_statistics(graphs, TrainingStatistics({"H": 0.0, "O": 0.0}, 0.0, 1.0))
    return {"MACE": mace.eval(), "networks": networks.eval()}


def seconds(atoms: Atoms, potential: Potential) -> float:
    """CPU time of a step after all atoms have moved, neighbour list included."""
    taken = []
    for seed in range(2):
        atoms.rattle(0.01, seed=seed)
        atoms.calc = potential.calculator()
        start = time.process_time()
        atoms.get_forces()
        taken.append(time.process_time() - start)
    return min(taken)


def quantum_seconds(python: str, method: str, atoms: Atoms) -> float:
    """The same by quantum mechanics, in another environment."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "cube.xyz")
        atoms.copy().write(path, format="extxyz")
        command = [python, str(Path(__file__).with_name("quantum_peer.py")), method, str(path)]
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        output = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | threads
        )
    return float(output.stdout.split()[-1])


def measure() -> dict[str, list[tuple[int, float]]]:
    """Atoms and seconds of every program."""
    times: dict[str, list[tuple[int, float]]] = {}
    cubes = [cube(edge) for edge in EDGES]
    for name, potential in models().items():
        seconds(cubes[1], potential)  # loads the kernels
        times[name] = [(len(atoms), seconds(atoms, potential)) for atoms in cubes]
        print(name, times[name], flush=True)
    python = os.environ.get("LADERA_BENCH_QUANTUM")
    for method, name in QUANTUM.items() if python else ():
        rows = times[name] = []
        for atoms in cubes:
            rows.append((len(atoms), quantum_seconds(str(python), method, atoms)))
            print(name, rows[-1], flush=True)
            if rows[-1][1] > LONGEST:
                break
    return times


def slope(rows: list[tuple[int, float]]) -> float:
    """Power of N with which the time grows, from the largest two systems."""
    (small, fast), (large, slow) = rows[-2:]
    return float(np.log(slow / fast) / np.log(large / small))


def draw(times: dict[str, list[tuple[int, float]]]) -> None:
    """Seconds against atoms, with the power of N beside each line's name."""
    with style():
        figure, panel = axes(5.4, 3.8)
        lines = zip(times.items(), ("o-", "s-", "^--", "D--"), PALETTE, strict=False)
        for (name, rows), marks, color in lines:
            label = f"{name}, as N^{slope(rows):.1f}"
            panel.plot(*zip(*rows, strict=True), marks, color=color, label=label, ms=4)
        panel.set(xlabel="atoms N", ylabel="CPU time of energy and forces / s")
        log_scale(panel, "x")
        log_scale(panel, "y")
        panel.set_ylim(top=600)  # room for the legend
        panel.legend(loc="upper right")
        figure.savefig(FIGURE)
    print(f"wrote {FIGURE.relative_to(ROOT)}")


def main() -> None:
    torch.set_num_threads(1)
    times = measure()
    columns = {name: dict(rows) for name, rows in times.items()}
    header = ["atoms", *(f"{name}, s" for name in times)]
    sizes = [atoms for atoms, _ in times["MACE"]]
    lines = [
        [f"{n:,}", *(f"{c[n]:.2g}" if n in c else "-" for c in columns.values())] for n in sizes
    ]
    lines.append(["grows as", *(f"N^{slope(rows):.1f}" for rows in times.values())])
    print(table(header, lines))
    if "--write" in sys.argv:
        draw(times)
        picture = "![CPU time of energy and forces against atoms](images/linear.png)"
        write_section("linear", f"{table(header, lines)}\n\n{picture}")


if __name__ == "__main__":
    main()
