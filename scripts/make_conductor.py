"""Teach the lithium conductor that comes with Ladera: li3ocl-mtp, a student of SevenNet-0.

    python scripts/make_conductor.py [FOLDER]

Antiperovskite Li3OCl with one Schottky pair: 3 x 3 x 3 cells without one Li and one Cl, whose place
lets lithium hop. SevenNet-0 relaxes the crystal, ``ladera.distill`` lets it teach a moment tensor
potential up to 1200 K in FOLDER (build/models/li3ocl-mtp; an interrupted run goes on), and the
student of all labels is put where the package ships it. A quarter of an hour on one idle core; pip
brings the teacher.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import numpy as np
from ase import Atoms
from ase.spacegroup import crystal

import ladera
from ladera import modelfile

ROOT: Final = Path(__file__).parents[1]
NAME: Final = "li3ocl-mtp"
TEACHER: Final = "sevennet-0"
TEMPERATURES: Final = (300.0, 600.0, 900.0, 1200.0)  # K
PARTS: Final = ("train", "checks")  # of the labels of a round
CHANGES: Final = (
    "training.model.level=14",
    "training.epochs=25",  # of least squares and BFGS: more hardly change it
    "begin.number=20",
    "begin.strain=0.04",  # as far as the crystal expands
    "begin.frames=30",
    "explore.pressures=[0]",  # so that it does
    "explore.timestep=2",
    "explore.time=4",
    "explore.walkers=1",
    "select.frames=25",
    "select.checks=8",
    "stop.rounds=5",
    "stop.forces=0.03",
)


def perfect() -> Atoms:
    """The cubic cell of five atoms: lithium around oxygen, chlorine between the octahedra."""
    return crystal(
        ("Li", "O", "Cl"),
        [(0.5, 0.5, 0), (0.5, 0.5, 0.5), (0, 0, 0)],
        spacegroup=221,
        cellpar=[3.91] * 3 + [90] * 3,
    )


def with_schottky_pair(cell: Atoms) -> Atoms:
    """3 x 3 x 3 cells without a chlorine and the lithium that is farthest from it."""
    atoms = cell.repeat(3)
    chlorine = int(np.flatnonzero(atoms.numbers == 17)[0])
    lithium = np.flatnonzero(atoms.numbers == 3)
    far = int(lithium[np.argmax(atoms.get_distances(chlorine, lithium, mic=True))])
    del atoms[[chlorine, far]]
    return atoms


def trained_on_all(folder: Path) -> ladera.Potential:
    """A student of the labels of all rounds, those that the last one picked included.

    Each round begins anew, and some end in a worse minimum than the one before.
    """
    files = {
        key: [str(path) for path in sorted(folder.glob(f"round_*/{key}.extxyz"))] for key in PARTS
    }
    config = {
        "data": {
            "files": files["train"],
            "validation_files": files["checks"],
            "split": {"method": "random", "validation": 0, "test": 0},
        },
        "model": {"architecture": "mtp", "level": 14, "cutoff": 5.0},
        "loss": {"stress": 100},
        "epochs": 30,
        "seed": 1,
    }
    final = folder / "final"
    return ladera.train(config, final, resume=final.exists())


def ship(student: ladera.Potential, folder: Path) -> None:
    """Put the student where the package has it; its record names files from the folder on."""
    record = json.dumps(student.provenance).replace(f"{folder}/", "").replace(f" {folder}", "")
    student.provenance = json.loads(record)
    modelfile.save(student, ROOT / "src/ladera/data/embedded" / f"{NAME}.ladera")


def main() -> None:
    """Relax the crystal, distil, and put the student beside the data of the package."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build/models" / NAME
    relaxed = ladera.relax(perfect(), TEACHER, cell=True, fmax=1e-3).atoms
    print(f"lattice constant of {TEACHER}: {relaxed.cell.lengths().mean():.4f} Å", flush=True)
    done = ladera.distill(
        TEACHER,
        with_schottky_pair(relaxed),
        folder,
        temperatures=TEMPERATURES,
        changes=CHANGES,
        on_round=lambda each: print(
            f"round {each.number}: {each.labels_so_far} labels", each.judged, flush=True
        ),
    )
    print(done)
    ship(trained_on_all(folder), folder)


if __name__ == "__main__":
    main()
