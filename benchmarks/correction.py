"""A student of a published model, corrected by a few labels of another theory.

    python benchmarks/correction.py RUNS [--student mtp] [--labels 10 30 100]

RUNS holds the distillations of distillation.py, of which ethanol's is made where it is missing; the
other theory is GFN2-xTB. The student walks for 4 ps at 500 K, and frames in equal steps of that get
labels, with those of the free atoms. Fine-tuned by `ladera finetune`'s defaults, it is compared
with the same family trained on these labels alone, as the distillation trains. Errors are mean
absolute ones on 75 frames of xTB's own dynamics at 500 K: forces in meV/Angstrom, energies in
meV/atom.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.io import read, write
from distillation import CASES, STUDENTS
from page import table

import ladera
from ladera.active.distillation import STUDENTS as TRAININGS
from ladera.active.teaching import judgement_of
from ladera.data.dataset import Dataset
from ladera.labelling.engines import as_engine
from ladera.training import config_file
from ladera.training.trainer import train

ENGINE = {"engine": "tblite", "method": "GFN2-xTB"}
TEMPERATURE = 500.0  # K
SPLIT = {"method": "random", "validation": 0.1, "test": 0}


def main() -> None:
    """Make what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--student", choices=STUDENTS, default="mtp")
    parser.add_argument("--labels", nargs="+", type=int, default=[10, 30, 100])
    chosen = parser.parse_args()
    head = ["labels of xTB", "model", "forces (meV/Å)", "energies (meV/atom)"]
    print(table(head, list(rows_of(chosen.runs, chosen.student, chosen.labels))))


def rows_of(runs: Path, student: str, counts: list[int]) -> Iterator[list[str]]:
    """The student, and for each number of labels what becomes of it, and a model of these alone."""
    case, folder = CASES["ethanol"], runs / f"corrected-{student}"
    distilled = ladera.distill(
        case.teacher,
        case.structure(),
        runs / f"ethanol-{student}",
        student=student,
        temperatures=case.temperatures,
        changes=[*case.changes, *STUDENTS[student]],
    )
    tests = Dataset.from_frames(list(ladera.read(walked(ENGINE, folder / "xtb", 1.0)))[25:])
    model = distilled.run.model
    yield ["0", "the student", *errors(ladera.load(model), tests)[:1], ""]
    pool = list(ladera.read(walked(model, folder / "student", 4.0)))
    for count in counts:
        data = folder / f"{count}.extxyz"
        places = np.linspace(len(pool) // 10, len(pool) - 1, count).round().astype(int)
        ladera.label(Dataset.from_frames([pool[k] for k in places]), ENGINE, data, atoms=True)
        files = {"data": {"files": [str(data)], "split": SPLIT}}
        tuned = {
            "finetune": {"base": str(model), "method": "naive"},
            "batch_size": 4,
            "optimizer": {"learning_rate": ladera.load(model).config.finetuning_rate},
            "precision": "base",
            "epochs": 100,
        }
        for name, training in (("fine-tuned", tuned), ("from nothing", TRAININGS[student])):
            run = folder / f"{count}-{name.split()[0]}"
            if not (run / "model.ladera").exists():
                train(config_file.parse({**training, **files}, name), run)
            yield [str(count), name, *errors(ladera.load(run / "model.ladera"), tests)]


def walked(who: object, folder: Path, time: float) -> Path:
    """Dynamics of ethanol by a model or an engine, one frame each 10 fs."""
    frames = folder / "frames.extxyz"
    if not frames.exists():
        mover = as_engine(who).calculator() if isinstance(who, dict) else who
        ethanol: Atoms = molecule("CH3CH2OH")
        ladera.run_md(
            ethanol,
            mover,
            folder=folder,
            temperature=TEMPERATURE,
            time=time,
            timestep=0.5,
            seed=1,
            trajectory_interval=20,
        )
        write(frames, read(folder / "trajectory.traj", ":"))
    return frames


def errors(model: ladera.Potential, tests: Dataset) -> list[str]:
    """Mean absolute errors of forces, meV/Angstrom, and energies, meV/atom."""
    found = judgement_of(model, tests)
    assert found.forces is not None
    assert found.energy is not None
    return [f"{1000 * found.forces:.1f}", f"{1000 * found.energy:.2f}"]


if __name__ == "__main__":
    main()
