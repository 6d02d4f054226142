"""Hessians: a model differentiated twice, against central differences of its forces.

    OMP_NUM_THREADS=1 python benchmarks/hessian.py [--write]

Ethanol and aspirin, models with the weights they start with, in float64. CPU seconds on one thread,
the second call of each. Differences go through the model in batches, two copies for each
coordinate. With --write the table goes into docs/molecules.md.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from ase.io import read
from page import DATA, ROOT, table, write_section

import ladera
from ladera import Graph, Potential
from ladera.models.hdnnp import HDNNPConfig
from ladera.models.mace import MACEConfig
from ladera.potential import TrainingStatistics
from ladera.properties.displacements import derivatives

SPECIES = ("H", "C", "O")
STEP = 0.005  # Angstrom


def structures() -> dict[str, Atoms]:
    """Ethanol and, where the workload is at hand, aspirin."""
    molecules = {"ethanol": molecule("CH3CH2OH")}
    aspirin = DATA / "workloads" / "mace" / "aspirin.xyz"
    if aspirin.exists():
        molecules["aspirin"] = read(aspirin)
    return molecules


def models() -> dict[str, Potential]:
    """A MACE of the size of the published one for SPICE, and the networks of a default."""
    torch.manual_seed(1)
    mace = ladera.build(MACEConfig(species=SPECIES, cutoff=4.5, channels=32))
    networks = ladera.build(HDNNPConfig(species=SPECIES, cutoff=6.0))
    rattled = []
    for atoms in structures().values():
        for seed in range(4):
            moved = atoms.copy()
            moved.rattle(0.05, seed=seed)
            rattled.append(Graph.from_atoms(moved, 6.0))
    free = dict.fromkeys(SPECIES, 0.0)
    networks.fit_statistics(rattled, TrainingStatistics(free, 0.0, 1.0))
    return {"MACE, 32 channels": mace.eval(), "networks, 144 functions": networks.eval()}


def measure(atoms: Atoms, step: float | None) -> tuple[float, np.ndarray]:
    """CPU seconds of the second call, and the Hessian."""
    derivatives(atoms, step)
    start = time.process_time()
    result = derivatives(atoms, step)
    return time.process_time() - start, result.hessian


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for name, potential in models().items():
        for what, atoms in structures().items():
            atoms.calc = potential.calculator()
            atoms.get_forces()
            exact, H = measure(atoms, None)
            steps, differences = measure(atoms, STEP)
            off = np.abs(differences - H).max() / np.abs(H).max()
            numbers = [f"{exact:.2f}", f"{steps:.2f}", f"{off:.0e}"]
            rows.append([name, what, *numbers])
    header = [
        "model",
        "molecule",
        "exact, s",
        "differences, s",
        "differences off by (of the largest element)",
    ]
    print(table(header, rows))
    if "--write" in sys.argv:
        write_section("hessian", table(header, rows), ROOT / "docs" / "molecules.md")


if __name__ == "__main__":
    main()
