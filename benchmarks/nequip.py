"""NequIP side by side: Ladera against nequix and sevenn; energy, forces and stress, one thread.

    LADERA_BENCH_NEQUIX=/env1/bin/python LADERA_BENCH_SEVENN=/env2/bin/python \
        LADERA_BENCH_SEVENN_MODEL=checkpoint_sevennet_0.pth \
        OMP_NUM_THREADS=1 python benchmarks/nequip.py [SYSTEM ...]

The variables name the Pythons of two environments, one with nequix (0.4.5, with jax), one with
sevenn (0.13.0), and SevenNet-0's checkpoint, which is in sevenn's wheel. Either may be left out.
With --write, the table goes into docs/performance.md.

The same published weights in float32 on both sides, each through its own ASE calculator after every
atom has moved, neighbour list included; both must give the same energies and forces, which is
checked first. CPU time, the fastest of several runs that alternate between the programs. Both run
on one thread: jax's are confined to one processor.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np
import torch
from page import DATA, table, write_section
from peers import Peer, fastest

import ladera
from ladera.simulation.calculator import LaderaCalculator

WORKLOAD = DATA / "workloads" / "mace"
SYSTEMS = ("si216", "water192")
ROUNDS, SHARE = 4, 2.0  # seconds of each round
HEADER = ["model", "system", "atoms", "edges", "Ladera", "other", "ratio", "first call, s of CPU"]


class Ladera:
    """Ladera, in the manner of the others."""

    def __init__(self) -> None:
        self._prepared: dict[tuple[str, str], tuple[Any, dict[str, Any]]] = {}

    def time(self, repeats: int, model: str, system: str) -> dict[str, Any]:
        """Energy, forces and seconds of a case."""
        key = model, system
        if key not in self._prepared:
            sys.path.insert(0, str(WORKLOAD))
            import common

            atoms = common.systems()[system]
            start = time.process_time()
            atoms.calc = LaderaCalculator(ladera.load(model).to(torch.float32))
            values = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
            atoms.get_stress()
            self._prepared[key] = atoms, {**values, "first": time.process_time() - start}
        atoms, values = self._prepared[key]
        cpu, wall = fastest(atoms, repeats, stress=True)
        return {**values, "cpu": cpu, "wall": wall}

    def size(self, model: str, system: str) -> tuple[int, int]:
        """Atoms and edges of a system."""
        atoms = self._prepared[model, system][0]
        return len(atoms), ladera.Graph.from_atoms(atoms, atoms.calc.potential.cutoff).n_edges


def check(ours: dict[str, Any], theirs: dict[str, Any], n_atoms: int) -> None:
    """Refuse to compare programs that compute different things."""
    energy = abs(ours["energy"] - theirs["energy"]) / n_atoms
    difference = np.abs(np.array(ours["forces"]) - np.array(theirs["forces"])).max()
    force = difference / np.abs(ours["forces"]).max()
    print(f"    energies agree to {energy:.1e} eV/atom, forces to {force:.1e} of the largest")
    if force > 1e-4 or energy > 1e-5:
        raise SystemExit("The programs do not compute the same potential.")


def measure(name: str, model: str, system: str, ours: Ladera, other: Peer) -> list[str]:
    """A row of the table; both in turn."""
    sides: tuple[Any, Any] = ours, other
    first = [side.time(1, model=model, system=system) for side in sides]
    n_atoms, n_edges = ours.size(model, system)
    check(*first, n_atoms)
    times = [[answer["cpu"]] for answer in first]
    for _ in range(ROUNDS):
        for side, values in zip(sides, times, strict=True):
            repeats = min(20, max(1, int(SHARE / values[0])))
            values.append(side.time(repeats, model=model, system=system)["cpu"])
    fast, slow = (1e3 * min(values) for values in times)
    calls = " / ".join(f"{answer['first']:.1f}" for answer in first)
    sizes = f"{n_atoms}", f"{n_edges:,}"
    row = [name, system, *sizes, f"{fast:.1f}", f"{slow:.0f}", f"{slow / fast:.1f}", calls]
    print(" | ".join(row), flush=True)
    return row


def peers() -> dict[str, tuple[str, Peer]]:
    """What there is to compare with: the model's file, and the program."""
    found = {}
    python, weights = os.environ.get("LADERA_BENCH_NEQUIX"), DATA / "data" / "weights"
    if python is not None:
        path = str(weights / "nequix" / "nequix-mp-1.nqx")
        found["Nequix mp-1"] = path, Peer("nequip_peer.py", python, "nequix", WORKLOAD)
    python, model = (os.environ.get(f"LADERA_BENCH_SEVENN{end}") for end in ("", "_MODEL"))
    if python is not None and model is not None:
        found["SevenNet-0"] = model, Peer("nequip_peer.py", python, "sevenn", WORKLOAD)
    if not found:
        raise SystemExit(
            "Set LADERA_BENCH_NEQUIX to a Python that has nequix, or LADERA_BENCH_SEVENN to one "
            "with sevenn and LADERA_BENCH_SEVENN_MODEL to its checkpoint."
        )
    return found


def main() -> None:
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    chosen = [name for name in sys.argv[1:] if not name.startswith("-")] or SYSTEMS
    ours, rows, others = Ladera(), [], peers()
    for name, (model, other) in others.items():
        rows += [measure(name, model, system, ours, other) for system in chosen]
        other.close()
    text = table(HEADER, rows)
    print(text)
    if "--write" in sys.argv:
        if len(rows) < 2 * len(SYSTEMS):
            raise SystemExit("Only all measured ratios are written; set all variables, name none.")
        write_section("nequip", text)


if __name__ == "__main__":
    main()
