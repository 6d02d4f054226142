"""Errors of the universal potentials on data of other people, element by element.

    OMP_NUM_THREADS=1 python benchmarks/universal.py [MODEL ...] [--write]

The sets are two of MatterSim's (``../shared/data/mattersim_benchmarks``): ``mptrj-random-1k``,
1,000 frames drawn from MPtrj, on which most of these models were trained, and ``mpf-alkali-TP``,
460 frames of alkali compounds at high temperature and pressure, which MatterSim's authors computed.
Mean absolute errors of energies per atom, of force components and of the pressure; then of the
forces on each element. With --write the tables go into docs/performance.md. Models come by name, as
``ladera.load`` has them.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import NamedTuple

import numpy as np
from page import DATA, table, write_section

import ladera
from ladera.data import formats
from ladera.data.frame import Frame
from ladera.progress import track

FOLDER = DATA / "data" / "mattersim_benchmarks"
SETS = ("mptrj-random-1k", "mpf-alkali-TP")
MODELS = ("sevennet-0", "sevennet-l3i5", "nequix-mp-1", "nequix-oam-1")
KILOBAR = 1602.1766208  # of 1 eV/A^3
MOST = 30  # elements in the table: those with the most atoms


class Errors(NamedTuple):
    """Of one model on one set: absolute values, all components one after the other."""

    energies: list[float]  # meV/atom
    forces: dict[str, list[float]]  # meV/A, of each element
    pressures: list[float]  # GPa

    def summary(self) -> list[str]:
        """Means over frames, components of forces, and frames."""
        forces = np.concatenate([np.array(each) for each in self.forces.values()])
        means = (np.mean(self.energies), np.mean(forces), np.mean(self.pressures))
        return [f"{means[0]:.1f}", f"{means[1]:.1f}", f"{means[2]:.2f}"]


def errors(potential: ladera.Potential, frames: list[Frame]) -> Errors:
    """The errors on frames with energies, forces and stress."""
    found, calculator = Errors([], defaultdict(list), []), potential.calculator()
    for frame in track(frames, "frames"):
        if frame.forces is None or frame.energy is None or frame.stress is None:
            raise SystemExit(f"{frame.source} lacks a label.")
        atoms = frame.to_atoms()
        atoms.calc = calculator
        found.energies.append(1e3 * abs(atoms.get_potential_energy() - frame.energy) / len(atoms))
        differences = 1e3 * np.abs(atoms.get_forces() - frame.forces)
        for symbol, each in zip(atoms.symbols, differences, strict=True):
            found.forces[symbol] += each.tolist()
        pressure = atoms.get_stress()[:3].mean() - np.trace(frame.stress) / 3
        found.pressures.append(abs(pressure) * KILOBAR / 10)
    return found


def main() -> None:
    """Evaluate, print, and write if asked to."""
    names = [word for word in sys.argv[1:] if not word.startswith("-")] or list(MODELS)
    frames = {name: list(formats.read(FOLDER / f"{name}.extxyz.gz")) for name in SETS}
    found: dict[tuple[str, str], Errors] = {}
    for name in names:
        potential = ladera.load(name)
        for each in SETS:
            found[name, each] = errors(potential, frames[each])
            print(f"{name}, {each}: {' '.join(found[name, each].summary())}", flush=True)
    header = ["model", "set", "energy, meV/atom", "forces, meV/Å", "pressure, GPa"]
    text = table(header, [[*key, *each.summary()] for key, each in found.items()])
    for each in SETS:
        counts = {symbol: len(v) // 3 for symbol, v in found[names[0], each].forces.items()}
        symbols = sorted(counts, key=counts.__getitem__, reverse=True)[:MOST]
        rows = [
            [
                s,
                f"{counts[s]:,}",
                *(f"{np.mean(found[name, each].forces[s]):.0f}" for name in names),
            ]
            for s in symbols
        ]
        text += f"\n\nForces in {each}, meV/Å:\n\n" + table(["element", "atoms", *names], rows)
    print(text)
    if "--write" in sys.argv:
        write_section("universal", text)


if __name__ == "__main__":
    main()
