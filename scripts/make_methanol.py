"""Make the embedded frames of methanol: twenty to fine-tune a model of ethanol on, eight to test.

    python scripts/make_methanol.py [FOLDER]

Needs ``pip install ladera[xtb,pyscf]``. Two walks by GFN2-xTB, at 500 K with other velocities, and
of each frame energy, forces and dipole by B3LYP/def2-SVP, the level of ``ethanol.extxyz.gz``. Two
minutes on one core; FOLDER (build/methanol) holds walks and labels, with which the same command
goes on where it stopped.
"""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path
from typing import Final

import ase.io
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

import ladera
from ladera.labelling.engines import as_engine

ROOT: Final = Path(__file__).parents[1]
OUTPUT: Final = ROOT / "src/ladera/data/embedded/methanol.extxyz.gz"
ENGINE: Final = {
    "engine": "pyscf",
    "method": "b3lyp",
    "basis": "def2-svp",
    "density_fitting": True,
}
METHOD: Final = "B3LYP/def2-SVP, density fitting, PySCF"
FRAMES: Final = {"train": 20, "test": 8}
TEMPERATURE: Final = 500  # K
SETTLING, APART = 400, 80  # steps of 0.5 fs before the first frame, and between two


def walked(folder: Path, subset: str, seed: int) -> list[Atoms]:
    """The frames of one walk, without labels."""
    place = folder / f"walk-{subset}"
    ladera.run_md(
        molecule("CH3OH"),
        as_engine("tblite").calculator(),
        folder=place,
        ensemble="nvt-langevin",
        temperature=TEMPERATURE,
        timestep=0.5,
        steps=SETTLING + APART * FRAMES[subset],
        trajectory_interval=APART,
        seed=seed,
        resume=place.exists(),
    )
    frames = ase.io.read(place / "trajectory.traj", ":")
    return [Atoms(frame.symbols, frame.positions) for frame in frames[-FRAMES[subset] :]]


def labelled(folder: Path, subset: str, frames: list[Atoms]) -> list[Atoms]:
    """The same with energy, forces and dipole, in whole digits of what they are good for."""
    path = folder / f"{subset}.extxyz"
    ladera.label(frames, ENGINE, path)
    rows = []
    for frame in ase.io.read(path, ":"):
        atoms = Atoms(frame.symbols, frame.positions.round(6))
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=round(frame.get_potential_energy(), 7),
            forces=frame.get_forces().round(6),
            dipole=frame.get_dipole_moment().round(6),
        )
        atoms.info |= {"subset": subset, "config_type": f"md_{TEMPERATURE}K", "method": METHOD}
        rows.append(atoms)
    return rows


def main() -> None:
    """Walk, label, and write one compressed file."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build/methanol"
    rows = [
        row
        for seed, subset in enumerate(FRAMES, start=1)
        for row in labelled(folder, subset, walked(folder, subset, seed))
    ]
    text = io.StringIO()
    ase.io.write(text, rows, format="extxyz")
    with gzip.GzipFile(OUTPUT, "wb", mtime=0) as file:  # the same frames make the same file
        file.write(text.getvalue().encode())


if __name__ == "__main__":
    main()
