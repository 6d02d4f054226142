"""Training of moment tensor potentials on mlearn: errors, and CPU time beside motep's.

    LADERA_BENCH_MTP=/env/bin/python python benchmarks/mtp_training.py RUNS [--train]
        [--elements Li Mo] [--set key=value] [--write]

RUNS holds a folder for each element with a training run of Ladera in it; with --train the missing
ones are made, by benchmarks/mtp_training.yaml with the data of the element, and the level and the
cutoff of its published potential (Zuo et al., J. Phys. Chem. A 124, 731 (2020)), whose errors stand
beside; of copper there are training frames only, and a tenth of them takes the place of a test.
Where the variable names the Python of an environment with motep 0.2.0, both train on every PART-th
frame, which motep comes to an end with: the same functions and loss, until its loss is that of
Ladera or it has spent FACTOR times the CPU time; both losses and motep's iterations are printed.
One thread each.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from ase.io import read, write
from mlearn import MLEARN, MTP, PUBLISHED
from page import table, write_section
from runs import options, trained

from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.data.splits import Split
from ladera.potential import Potential
from ladera.training import config_file
from ladera.training.evaluation import evaluate_dataset

PEER = "LADERA_BENCH_MTP"
LEVELS = {
    "Li": (16, 5.1),
    "Mo": (20, 5.2),
    "Ni": (20, 4.0),
    "Cu": (20, 3.9),
    "Si": (24, 4.7),
    "Ge": (24, 5.1),
}
CONFIG = Path(__file__).with_name("mtp_training.yaml")
FACTOR = 10
PART = 8


def published(element: str) -> list[str]:
    """Errors of the published potential: energies, meV/atom, and forces, meV/Angstrom."""
    errors = MTP[element]
    forces = f"{1000 * errors.force_mae:.0f} / {1000 * errors.force_rmse:.0f}"
    return [errors.cells()[0], forces]


def main() -> None:
    """Train what is missing and print the tables."""
    chosen = options(__doc__, "elements", tuple(LEVELS), CONFIG)
    errors, times = [], []
    for element in chosen.elements:
        level, cutoff = LEVELS[element]
        frames = MLEARN / f"{element}_train.extxyz.gz"
        test = MLEARN / f"{element}_test.extxyz.gz"
        changes = [f"model.level={level}", f"model.cutoff={cutoff}", *chosen.changes]
        kept_back = [] if test.is_file() else ["data.split.validation=0.1"]
        run = trained(
            chosen.runs / element,
            chosen.config,
            [f"data.files={frames}", *kept_back, *changes],
            chosen.train,
        )
        if run is not None:
            potential, seconds = run
            cells = (
                [*errors_of(potential, formats.read([str(test)])), *published(element)]
                if test.is_file()
                else [*errors_of(potential, validation(chosen.runs / element, frames)), "-", "-"]
            )
            errors.append([element, str(level), *cells, f"{seconds:.0f}"])
            print(*errors[-1], sep="  ", flush=True)
        if PEER in os.environ:
            times += compared(element, chosen, changes)
    head = ["", "level", "energy (meV/atom)", "forces (meV/Å)", "published energy"]
    text = table([*head, "published forces", "CPU (s)"], errors)
    if times:
        head = ["", "frames", "Ladera: CPU (s)", "loss", "motep: CPU (s)", "iterations", "loss"]
        times_text = table([*head, "ratio"], times)
        print(times_text)
        if chosen.write:
            write_section("mtp training beside motep", times_text)
    print(text)
    if chosen.write and errors:
        write_section("mtp training", text)


def validation(folder: Path, file: Path) -> Dataset:
    """The frames that a training kept back."""
    frames = formats.read([str(file)])
    return frames[Split.load(folder / "split.json", frames).validation]


def errors_of(potential: Potential, frames: Dataset) -> list[str]:
    """Errors of frames, MAE / RMSE, meV/atom and meV/Angstrom."""
    found = evaluate_dataset(potential, frames).to_json()
    energy, forces = found["energy"], found["forces"]
    return [
        f"{energy['mae']:.2f} / {energy['rmse']:.2f}",
        f"{forces['mae']:.1f} / {forces['rmse']:.1f}",
    ]


def compared(element: str, chosen: Any, changes: list[str]) -> list[list[str]]:
    """CPU time and loss of both on a part of the frames; nothing where there is no run."""
    frames = chosen.runs / f"{element}-part.extxyz"
    if not frames.is_file():
        write(frames, read(MLEARN / f"{element}_train.extxyz.gz", f"::{PART}"))
    changes = [f"data.files={frames}", *changes]
    run = trained(chosen.runs / f"{element}-part", chosen.config, changes, chosen.train)
    if run is None:
        return []
    potential, seconds = run
    data, weight = formats.read([str(frames)]), config_file.load(chosen.config, changes).loss.energy
    found = evaluate_dataset(potential, data).to_json()
    loss = 1e-6 * (weight * found["energy"]["rmse"] ** 2 + found["forces"]["rmse"] ** 2)
    fitted = PUBLISHED / element / "mtp" / "fitted.mtp"
    command = [os.environ[PEER], str(Path(__file__).with_name("mtp_training_peer.py"))]
    arguments = [str(frames), str(fitted), *map(str, (weight, FACTOR * seconds, loss))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *arguments], check=True, capture_output=True, text=True, env=environment
    )
    rows = json.loads(done.stdout.splitlines()[-1])
    spent, theirs = rows[-1]
    row = [element, str(len(data)), f"{seconds:.0f}", f"{loss:.3g}", f"{spent:.0f}"]
    ratio = f"{spent / seconds:.0f}" if theirs <= loss else f"over {spent / seconds:.0f}"
    row += [str(len(rows) - 1), f"{theirs:.3g}", ratio]
    print(*row, sep="  ", flush=True)
    return [row]


if __name__ == "__main__":
    main()
