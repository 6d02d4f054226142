"""Make the data of the thesis tutorial: a hydrated alumina cluster, labelled by GFN2-xTB.

Needs ``pip install ladera[xtb]``, which brings tblite. Run ``python scripts/make_alumina.py`` and
wait: the wheel of tblite has a slow linear algebra, and ``LD_PRELOAD=libopenblas.so.0`` (Debian:
``apt install libopenblas0``) makes it several times faster; then it takes half an hour on one core.

1. Geometry: 30 formula units of gibbsite, Al(OH)3, cut out of the crystal around a point, and four
   molecules of water on them: 222 atoms, Al30 H98 O94, closed shells and no charge.
2. A short relaxation, then Langevin dynamics at 400 K; a frame every 20 fs.
3. Labels: energy and forces of the frame, its positions rounded as they are in the file.

The file has the thesis's layout (Hartree; the atomic energy, which is 0, before the charge), its
lengths in Angstrom. Molecular dynamics is chaotic: another processor gives other, equally valid
frames.
"""

from __future__ import annotations

import argparse
import gzip
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import FIRE
from ase.spacegroup import crystal
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation
from tblite.ase import TBLite

OUTPUT = Path(__file__).parents[1] / "examples/thesis/input.data.gz"
N_ALUMINIUM, N_WATER = 30, 4
TEMPERATURE = 400.0  # K
TIMESTEP = 1.0  # fs
STEPS_BETWEEN_FRAMES = 20
RELAXATION_STEPS = 60
AL_O_BOND = 2.2  # Angstrom, the longest
CLEARANCE = {True: 2.6, False: 1.8}  # Angstrom between molecules, with and without hydrogen

# Gibbsite (Saalfeld and Wedde, Z. Kristallogr. 139, 129 (1974)), P 21/n: fractional coordinates.
CELL = (8.684, 5.078, 9.736, 90.0, 94.54, 90.0)  # Angstrom and degrees
ALUMINIUM = ((0.1679, 0.5295, -0.0023), (0.3344, 0.0236, -0.0024))
OXYGEN = (
    (0.1779, 0.2183, -0.1115),
    (0.6692, 0.6558, -0.1023),
    (0.4984, 0.1315, -0.1044),
    (-0.0205, 0.6293, -0.1068),
    (0.2971, 0.7178, -0.1052),
    (0.8194, 0.1491, -0.1015),
)
HYDROGEN = (
    (0.101, 0.152, -0.124),
    (0.595, 0.573, -0.098),
    (0.503, 0.137, -0.190),
    (-0.029, 0.801, -0.107),
    (0.293, 0.724, -0.196),
    (0.815, 0.160, -0.190),
)


def flake() -> Atoms:
    """The aluminium atoms nearest to a point, and the three hydroxide ions for each of them."""
    cell = crystal(
        ["Al"] * len(ALUMINIUM) + ["O"] * len(OXYGEN) + ["H"] * len(HYDROGEN),
        ALUMINIUM + OXYGEN + HYDROGEN,
        spacegroup=14,
        setting=2,
        cellpar=CELL,
    )
    bulk = cell.repeat((5, 8, 4))
    positions = bulk.positions - bulk.get_center_of_mass()
    aluminium, oxygen, hydrogen = (np.flatnonzero(bulk.numbers == z) for z in (13, 8, 1))
    order = np.argsort(np.linalg.norm(positions[aluminium], axis=1), kind="stable")
    aluminium = aluminium[order[:N_ALUMINIUM]]
    distances = cdist(positions[oxygen], positions[aluminium])
    bonds = (distances < AL_O_BOND).sum(axis=1)
    oxygen = oxygen[np.lexsort((distances.mean(axis=1), -bonds))[: 3 * N_ALUMINIUM]]
    hydrogen = hydrogen[cdist(positions[oxygen], positions[hydrogen]).argmin(axis=1)]
    kept = np.concatenate([aluminium, oxygen, hydrogen])
    return Atoms(bulk.numbers[kept], positions[kept])


def add_water(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """One more molecule, turned at random, as near to the middle as there is room."""
    water = molecule("H2O")
    water.positions -= water.get_center_of_mass()
    water.positions = Rotation.random(random_state=rng).apply(water.positions)
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    heavy = np.minimum.outer(water.numbers, atoms.numbers) > 1
    room = np.where(heavy, CLEARANCE[True], CLEARANCE[False])
    while (cdist(water.positions, atoms.positions) < room).any():
        water.positions += 0.05 * direction
    return atoms + water


def block(atoms: Atoms) -> str:
    """A labelled frame: rounded positions, and their energy and forces."""
    atoms.positions = atoms.positions.round(6)
    energy = atoms.get_potential_energy() / units.Hartree
    forces = atoms.get_forces() / units.Hartree
    charges = atoms.get_charges()
    lines = ["begin"]
    for symbol, (x, y, z), charge, (fx, fy, fz) in zip(
        atoms.symbols, atoms.positions, charges, forces, strict=True
    ):
        lines.append(
            f"atom {x:11.6f} {y:11.6f} {z:11.6f} {symbol:2s} 0.0 {charge:9.6f} "
            f"{fx:11.8f} {fy:11.8f} {fz:11.8f}"
        )
    return "\n".join([*lines, f"energy {energy:.9f}", "charge 0.0", "end", ""])


def main() -> None:
    """Build, relax, move, label."""
    parser = argparse.ArgumentParser(description="Label a hydrated alumina cluster by GFN2-xTB.")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--seed", type=int, default=30)
    arguments = parser.parse_args()

    rng = np.random.default_rng(arguments.seed)
    atoms = flake()
    for _ in range(N_WATER):
        atoms = add_water(atoms, rng)
    print(f"{atoms.symbols}: {len(atoms)} atoms")
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    started = time.perf_counter()
    FIRE(atoms, maxstep=0.1).run(fmax=0.3, steps=RELAXATION_STEPS)
    MaxwellBoltzmannDistribution(atoms, temperature_K=2 * TEMPERATURE, rng=rng)
    dynamics = Langevin(
        atoms,
        TIMESTEP * units.fs,
        temperature_K=TEMPERATURE,
        friction=0.02 / units.fs,
        rng=rng,
    )
    frames: list[str] = []
    while len(frames) < arguments.frames:
        dynamics.run(STEPS_BETWEEN_FRAMES)
        frames.append(block(atoms))
        temperature, minutes = atoms.get_temperature(), (time.perf_counter() - started) / 60
        print(f"frame {len(frames)}: {temperature:.0f} K, {minutes:.1f} min", flush=True)
        with gzip.GzipFile(arguments.output, "wb", mtime=0) as file:
            file.write("".join(frames).encode())


if __name__ == "__main__":
    main()
