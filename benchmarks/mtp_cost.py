"""What the time of a moment tensor potential is made of: the numbers of ladera.models.mtp.pruning.

    OMP_NUM_THREADS=1 python benchmarks/mtp_cost.py

Potentials of several levels and with some of their functions are called for silicon with several
cutoffs; the CPU time of an atom, whole calls of the ASE calculator after every atom has moved, the
fastest of many, is fitted by a sum over products, and at each neighbour over sums and monomials
(radial functions have no time of their own in such a fit). It prints the nanoseconds of each, and
how far single times are from the fit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from page import table
from scipy.optimize import nnls

from ladera import Graph
from ladera.arrays import Booleans
from ladera.kernels.moment_tensors.program import MomentProgram
from ladera.models.mtp import MTP, MTPConfig
from ladera.models.mtp.generation import program_of_level

LEVELS: Final = (8, 12, 16, 20, 24)
CUTOFFS: Final = (3.7, 4.7, 6.0)
REPEATS: Final = 25
PARTS: Final = ("atom", "product", "neighbour", "monomial", "sum")


def programs() -> Iterator[MomentProgram]:
    """Whole ones, random functions of them, and those of low rank."""
    generator = np.random.default_rng(0)
    for level in LEVELS:
        program = program_of_level(level)
        yield program
        if level >= 16:
            rank = program.basic[:, 1:].sum(axis=1)
            high = np.zeros(program.n_moments, dtype=bool)
            high[: len(rank)] = rank > 4
            for p, q, _, k in program.products.tolist():
                high[k] |= high[p] or high[q]
            yield with_functions(program, ~high[program.scalars])
            yield with_functions(program, generator.random(len(program.scalars)) < 0.4)


def with_functions(program: MomentProgram, kept: Booleans) -> MomentProgram:
    """Some functions of a program."""
    return MomentProgram(program.basic, program.products, program.scalars[kept]).without_idle()


def counts(program: MomentProgram, n_neighbors: float) -> list[float]:
    """How much there is of each of PARTS."""
    mu, rank = program.basic[:, 0], program.basic[:, 1:].sum(axis=1)
    ranks = [int(rank[mu == m].max(initial=-1)) for m in range(program.n_radial)]
    monomials = (program.degree + 1) * (program.degree + 2) // 2
    sums = sum((r + 1) ** 2 for r in ranks)
    each = (n_neighbors * count for count in (1, monomials, sums))
    return [1, len(program.products), *each]


def microseconds(program: MomentProgram, cutoff: float, atoms: Atoms) -> float:
    """CPU time of an atom, the fastest call."""
    config = MTPConfig(species=("Si",), cutoff=cutoff, level=LEVELS[-1], min_distance=1.8)
    model = MTP.with_program(config, program)
    torch.manual_seed(0)
    with torch.no_grad():
        model.radial_coefficients.normal_(0.0, 0.1)
        model.moment_coefficients.normal_(0.0, 1e-3)
    atoms.calc = model.eval().requires_grad_(False).calculator()
    atoms.get_forces()
    generator, places, times = np.random.default_rng(0), atoms.get_positions(), []
    for _ in range(REPEATS):
        atoms.positions = places + generator.normal(scale=0.01, size=places.shape)
        start = time.process_time()
        atoms.get_forces()
        times.append(time.process_time() - start)
    return 1e6 * min(times) / len(atoms)


def main() -> None:
    """Time the calls and print the fit."""
    torch.set_num_threads(1)
    atoms = bulk("Si", cubic=True) * 3
    atoms.rattle(0.1, seed=1)
    rows, times = [], []
    for program in programs():
        for cutoff in CUTOFFS:
            n_neighbors = Graph.from_atoms(atoms, cutoff).n_edges / len(atoms)
            rows.append(counts(program, n_neighbors))
            times.append(microseconds(program, cutoff, atoms.copy()))
            size = f"{len(program.scalars)} functions, {len(program.products)} products"
            print(f"{size}, {n_neighbors:.0f} neighbours: {times[-1]:.1f} us")
    matrix, taken = np.array(rows), np.array(times)
    found, _ = nnls(matrix / taken[:, None], np.ones(len(taken)))
    off = matrix @ found / taken - 1
    cells = [f"{1000 * number:.2f}" for number in found]
    print(table(["of", "ns"], [list(row) for row in zip(PARTS, cells, strict=True)]))
    print(f"fit over time: {100 * off.min():+.0f} to {100 * off.max():+.0f} %")


if __name__ == "__main__":
    main()
