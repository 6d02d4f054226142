"""Symmetry functions, values and edge gradients: microseconds per atom on one thread.

    python benchmarks/symmetry_functions.py                      # a cluster made here
    python benchmarks/symmetry_functions.py INPUT.NN INPUT.DATA  # settings and structures of yours

The cluster has the size and composition of an amorphous aluminium oxide hydrate (Al30 O98 H94, 222
atoms, open, about 146 neighbours within 12 Angstrom) and 78 functions per atom: 6 radial Gaussians
for each of three elements, and wide angular functions with two eta, lambda = 1 and -1 and zeta = 1,
2, 4 for six pairs, cut at 60. Ladera computes the wide functions from moments; the same functions
can go over all triplets, which is what other codes do. Both run here, and the ratio is printed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

from ladera.codes.n2p2 import settings
from ladera.codes.n2p2 import symmetry_functions as n2p2_functions
from ladera.data import formats
from ladera.graph import Graph
from ladera.kernels.symmetry_functions import cpu, plan_builder
from ladera.kernels.symmetry_functions.environment import Edges
from ladera.kernels.symmetry_functions.functions import GaussianFunction, SymmetryFunction
from ladera.kernels.symmetry_functions.plan import Plan, make_plan
from ladera.units import METAL

CUTOFF = 12.0
SPECIES = ("H", "O", "Al")
TANH3 = 2


def cluster(seed: int) -> Atoms:
    """A ball of atoms at the density that gives about 146 neighbours within the cutoff."""
    generator = np.random.default_rng(seed)
    symbols = ["Al"] * 30 + ["O"] * 98 + ["H"] * 94
    positions: list[np.ndarray] = []
    while len(positions) < len(symbols):
        trial = generator.normal(size=3)
        trial *= 10.3 * generator.random() ** (1 / 3) / np.linalg.norm(trial)
        if all(np.linalg.norm(trial - other) > 1.0 for other in positions):
            positions.append(trial)
    return Atoms(symbols, positions)


def functions() -> Sequence[SymmetryFunction]:
    """78 functions for each central element."""
    radial = (0.005, 0.008, 0.013, 0.021, 0.034, 0.055)
    pairs = [(a, b) for i, a in enumerate(SPECIES) for b in SPECIES[i:]]
    angular = [
        (eta, lambda_, zeta)
        for eta in (0.0, 0.013)
        for zeta in (1.0, 2.0, 4.0)
        for lambda_ in (1.0, -1.0)
    ][:10]
    return [
        GaussianFunction(kind="radial", center=c, neighbors=(e,), eta=eta, cutoff=CUTOFF)
        for c in SPECIES
        for e in SPECIES
        for eta in radial
    ] + [
        GaussianFunction(
            kind="wide",
            center=c,
            neighbors=pair,
            eta=eta,
            lambda_=lambda_,
            zeta=zeta,
            cutoff=CUTOFF,
        )
        for c in SPECIES
        for pair in pairs
        for eta, lambda_, zeta in angular
    ]


def read_functions(path: Path) -> Sequence[SymmetryFunction]:
    """The functions of a RuNNer or n2p2 settings file."""
    by_element = n2p2_functions.read(settings.read(path), METAL)
    return [function for of_element in by_element.values() for function in of_element]


@contextmanager
def triplets_only() -> Iterator[None]:
    """Plans made in here send every angular function over the triplets."""
    limit, plan_builder.LARGEST_DEGREE = plan_builder.LARGEST_DEGREE, 0
    try:
        yield
    finally:
        plan_builder.LARGEST_DEGREE = limit


def microseconds(plan: Plan, structures: list[Atoms], repeats: int) -> tuple[float, float]:
    """Fastest CPU time per atom: values alone, and values with the gradient on every edge."""
    arguments, atoms = [], 0
    for structure in structures:
        graph = Graph.from_atoms(structure, CUTOFF)
        index = np.array([plan.species.index(symbol) for symbol in structure.symbols])
        arguments.append(
            Edges(graph.vectors.numpy(), graph.row_pointer.numpy(), index, index[graph.neighbors])
        )
        atoms += len(structure)
    weights = [np.ones((len(structure), plan.n_functions)) for structure in structures]
    values, gradients = [], []
    for _ in range(repeats + 1):
        start = time.process_time()
        for argument in arguments:
            cpu.values(plan, argument)
        middle = time.process_time()
        for argument, weight in zip(arguments, weights, strict=True):
            cpu.reverse(plan, argument, weight)
        values.append(middle - start)
        gradients.append(time.process_time() - start)
    return (min(values[1:]) / atoms * 1e6, min(gradients[1:]) / atoms * 1e6)


def main() -> None:
    torch.set_num_threads(1)
    if len(sys.argv) == 3:
        chosen = read_functions(Path(sys.argv[1]))
        structures = [frame.to_atoms() for frame in formats.read(sys.argv[2], units=METAL)]
    else:
        chosen, structures = functions(), [cluster(seed) for seed in range(4)]
    edges = np.mean([Graph.from_atoms(s, CUTOFF).n_edges / len(s) for s in structures])
    print(f"{len(structures)} structures of {len(structures[0])} atoms, {edges:.0f} neighbours")
    times = {}
    for name, repeats, mode in (("moments", 5, nullcontext()), ("triplets", 1, triplets_only())):
        with mode:
            plan = make_plan(SPECIES, chosen, TANH3)
        times[name] = microseconds(plan, structures, repeats)
        print(
            f"{name:9s} {plan.n_functions} functions: values {times[name][0]:7.1f}, "
            f"values and gradients {times[name][1]:7.1f} us/atom"
        )
    ratio = times["triplets"][1] / times["moments"][1]
    print(f"moments are {ratio:.0f} times faster than triplets, measured here")


if __name__ == "__main__":
    main()
