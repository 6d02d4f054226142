"""Time of a step of dynamics, of several potentials in turn."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from ase import Atoms

import ladera

ROUNDS, REPEATS = 6, 8


def microseconds(potentials: Sequence[ladera.Potential], start: Atoms) -> list[float]:
    """CPU time of an atom, of each: the fastest of many steps, in rounds that alternate.

    A step is a call of the ASE calculator for energy and forces, neighbour list included, after
    every atom has moved.
    """
    structures = [start.copy() for _ in potentials]
    for atoms, potential in zip(structures, potentials, strict=True):
        atoms.calc = potential.calculator()
        atoms.get_forces()
    best = np.full(len(potentials), np.inf)
    for seed in range(ROUNDS):
        for k, atoms in enumerate(structures):
            generator = np.random.default_rng(seed)
            for _ in range(REPEATS):
                moved = generator.normal(scale=0.01, size=start.positions.shape)
                atoms.positions = start.positions + moved
                begin = time.process_time()
                atoms.get_potential_energy()
                atoms.get_forces()
                best[k] = min(best[k], time.process_time() - begin)
    return [float(each) for each in 1e6 * best / len(start)]
