"""Errors of the universal potentials on data of other people, element by element.

    OMP_NUM_THREADS=1 python benchmarks/universal.py [MODEL ...] [--every N] [--write]

The sets are two of MatterSim's (``../shared/data/mattersim_benchmarks``): ``mptrj-random-1k``,
1,000 frames drawn from MPtrj, on which most of these models were trained, and ``mpf-alkali-TP``,
460 frames of alkali compounds at high temperature and pressure, which MatterSim's authors computed.
Absolute errors of energies per atom, of components of forces, and of components of the stress; then
the same of frames with an element, and of the forces on its atoms. With --write the tables go into
docs/performance.md. Models come by name, as ``ladera.load`` has them; --every 5 takes every fifth
frame.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from page import DATA, table, write_section

import ladera
from ladera.arrays import Floats
from ladera.data import formats
from ladera.data.frame import Frame
from ladera.progress import track

FOLDER = DATA / "data" / "mattersim_benchmarks"
SETS = ("mptrj-random-1k", "mpf-alkali-TP")
MODELS = ("sevennet-0", "nequix-mp-1", "nequix-oam-1")
GIGAPASCALS = 160.21766208  # of 1 eV/A^3
MOST = 30  # elements in the table: those with the most atoms
# What stands for the errors on an element. Far from the data a few frames make a mean.
MIDDLES: dict[str, tuple[str, Callable[[list[float]], Any]]] = {
    "mptrj-random-1k": ("Mean", np.mean),
    "mpf-alkali-TP": ("Median", np.median),
}


class FrameErrors(NamedTuple):
    """Of one model on one frame: absolute values."""

    symbols: tuple[str, ...]  # of the atoms
    energy: float  # meV/atom
    forces: Floats  # (n_atoms, 3), meV/A
    stress: Floats  # (3, 3), GPa


def errors(potential: ladera.Potential, frame: Frame) -> FrameErrors:
    """The errors on a frame with energy, forces and stress."""
    if frame.forces is None or frame.energy is None or frame.stress is None:
        raise SystemExit(f"{frame.source} lacks a label.")
    atoms = frame.to_atoms()
    atoms.calc = potential.calculator()
    return FrameErrors(
        tuple(atoms.symbols),
        1e3 * abs(atoms.get_potential_energy() - frame.energy) / len(atoms),
        1e3 * np.abs(atoms.get_forces() - frame.forces),
        GIGAPASCALS * np.abs(atoms.get_stress(voigt=False) - frame.stress),
    )


def summary(found: list[FrameErrors]) -> list[str]:
    """Mean and median of energies, components of forces, and components of stress."""
    energies = [each.energy for each in found]
    forces = np.concatenate([each.forces.ravel() for each in found])
    stresses = np.concatenate([each.stress.ravel() for each in found])
    return [
        f"{np.mean(each):{pattern}} / {np.median(each):{pattern}}"
        for each, pattern in ((energies, ".1f"), (forces, ".1f"), (stresses, ".2f"))
    ]


def of_element(found: list[FrameErrors], symbol: str, middle: Callable[[Any], Any]) -> str:
    """Energy and stress of the frames with an element, and the forces on its atoms between."""
    frames = [each for each in found if symbol in each.symbols]
    forces = np.concatenate([each.forces[np.array(each.symbols) == symbol] for each in frames])
    stress = np.concatenate([each.stress.ravel() for each in frames])
    energy = middle([each.energy for each in frames])
    return f"{energy:.0f} / {middle(forces.ravel()):.0f} / {middle(stress):.2f}"


def main() -> None:
    """Evaluate, print, and write if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    names = chosen.models
    frames = {
        name: list(formats.read(FOLDER / f"{name}.extxyz.gz"))[:: chosen.every] for name in SETS
    }
    found: dict[tuple[str, str], list[FrameErrors]] = {}
    for name in names:
        potential = ladera.load(name)
        for each in SETS:
            start = time.process_time()
            found[name, each] = [errors(potential, f) for f in track(frames[each], "frames")]
            seconds = time.process_time() - start
            print(f"{name}, {each}: {summary(found[name, each])}, {seconds:.0f} s", flush=True)
    header = ["model", "set", "energy, meV/atom", "forces, meV/Å", "stress, GPa"]
    counts = " and ".join(f"{len(each)} frames of {name}" for name, each in frames.items())
    text = f"Mean / median of the absolute errors, {counts}:\n\n"
    text += table(header, [[*key, *summary(each)] for key, each in found.items()])
    for each in SETS:
        words, middle = MIDDLES[each]
        atoms = Counter(symbol for frame in found[names[0], each] for symbol in frame.symbols)
        rows = [
            [s, f"{n:,}", *(of_element(found[name, each], s, middle) for name in names)]
            for s, n in atoms.most_common(MOST)
        ]
        text += f"\n\n{words} errors in {each}, energy / forces / stress:\n\n"
        text += table(["element", "atoms", *names], rows)
    print(text)
    if chosen.write:
        write_section("universal", text)


if __name__ == "__main__":
    main()
