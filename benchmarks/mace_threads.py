"""What a second thread is worth to MACE: energy and forces on one thread and on two, in turn.

    python benchmarks/mace_threads.py [--write]

Models of 128 channels with random weights, on structures of ``../shared/workloads/mace``; the step
is that of the ASE calculator after every atom has moved. Milliseconds by the clock, the fastest of
several runs that alternate: nothing else may use the cores. With --write, the table goes into
docs/performance.md.
"""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np
import torch
from ase import Atoms
from mace import systems
from page import table, write_section

import ladera
from ladera.models.mace import MACEConfig
from ladera.simulation.calculator import LaderaCalculator

SIZES = {"128x0e": 0, "128x0e + 128x1o": 1}
ROUNDS, STEPS = 6, 4


def main() -> None:
    rows = []
    for size, hidden_l in SIZES.items():
        for system in ("water192", "si216"):
            for precision in (torch.float32, torch.float64):
                one, two = measure(systems()[system], hidden_l, precision)
                bits = str(torch.finfo(precision).bits)
                row = [size, system, bits, f"{one:.1f}", f"{two:.1f}", f"{one / two:.2f}"]
                print(*row, flush=True)
                rows.append(row)
    lines = table(["model", "system", "bits", "one thread, ms", "two threads, ms", "ratio"], rows)
    if "--write" in sys.argv:
        write_section("mace-threads", lines)


def measure(atoms: Atoms, hidden_l: int, precision: torch.dtype) -> tuple[float, float]:
    """Milliseconds of a step on one thread and on two."""
    torch.manual_seed(0)
    species = tuple(sorted(set(atoms.symbols)))
    config = MACEConfig(species=species, cutoff=6.0, channels=128, hidden_l=hidden_l)
    potential = ladera.build(config).to(precision)
    atoms.calc = LaderaCalculator(potential)
    rng = np.random.default_rng(0)
    fastest = {1: np.inf, 2: np.inf}
    for n_threads in ROUNDS * [1, 2]:
        torch.set_num_threads(n_threads)
        for _ in range(STEPS):
            atoms.positions += rng.normal(0, 1e-3, atoms.positions.shape)
            start = perf_counter()
            atoms.get_forces()
            fastest[n_threads] = min(fastest[n_threads], perf_counter() - start)
    return 1e3 * fastest[1], 1e3 * fastest[2]


if __name__ == "__main__":
    main()
