"""Training of moment tensor potentials on mlearn: errors, and CPU time beside motep's.

    LADERA_BENCH_MTP=/env/bin/python python benchmarks/mtp_training.py RUNS [--train]
        [--elements Li Mo] [--set key=value] [--write]

RUNS holds a folder for each element with a training run of Ladera in it; with --train the missing
ones are made, by benchmarks/mtp_training.yaml with the data of the element, and the level and the
cutoff of its published potential (Zuo et al., J. Phys. Chem. A 124, 731 (2020)), whose errors stand
beside; of copper there are training frames only, and a tenth of them takes the place of a test.
Where the variable names the Python of an environment with motep 0.2.0, motep trains on every
PART-th frame, the same functions and loss, without stress, for BUDGET seconds of CPU time, and
Ladera until its loss is no larger. One thread each. --write renews the rows of the elements asked
for, and no others.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from ase.io import read, write
from mlearn import MLEARN, MTP, PUBLISHED
from page import table, write_rows
from runs import options, trained

from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.data.splits import Split
from ladera.potential import Potential
from ladera.training import config_file
from ladera.training.evaluation import evaluate_dataset

PEER = "LADERA_BENCH_MTP"


class Setting(NamedTuple):
    """Level and cutoff of a published potential, and weights that mtp_weights.py tells."""

    level: int
    cutoff: float
    energy: float
    stress: float

    @property
    def changes(self) -> list[str]:
        """To the configuration."""
        model = [f"model.{name}={getattr(self, name)}" for name in ("level", "cutoff")]
        return [*model, f"loss.energy={self.energy}", f"loss.stress={self.stress}"]


SETTINGS = {
    "Li": Setting(16, 5.1, 10, 10),
    "Mo": Setting(20, 5.2, 100, 0),
    "Ni": Setting(20, 4.0, 30, 0),
    "Cu": Setting(20, 3.9, 30, 0),  # like nickel
    "Si": Setting(24, 4.7, 10, 10),
    "Ge": Setting(24, 5.1, 10, 10),
}
CONFIG = Path(__file__).with_name("mtp_training.yaml")
BUDGET = 60.0
PART = 8
HEAD = ("", "level", "weights: E, F, S", "energy (meV/atom)", "forces (meV/Å)", "published energy")
HEAD = (*HEAD, "published forces", "CPU (s)")
BESIDE = ("", "frames", "motep: loss", "CPU (s)", "iterations", "Ladera: loss", "CPU (s)")
BESIDE = (*BESIDE, "epochs", "ratio", "loss in the end", "CPU (s)")


def published(element: str) -> list[str]:
    """Errors of the published potential: energies, meV/atom, and forces, meV/Angstrom."""
    errors = MTP[element]
    forces = f"{1000 * errors.force_mae:.0f} / {1000 * errors.force_rmse:.0f}"
    return [errors.cells()[0], forces]


def main() -> None:
    """Train what is missing and print the tables."""
    chosen = options(__doc__, "elements", tuple(SETTINGS), CONFIG)
    errors, times = [], []
    for element in chosen.elements:
        setting = SETTINGS[element]
        frames = MLEARN / f"{element}_train.extxyz.gz"
        test = MLEARN / f"{element}_test.extxyz.gz"
        changes = [*setting.changes, *chosen.changes]
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
            weights = f"{setting.energy:g}, 1, {setting.stress:g}"
            errors.append([element, str(setting.level), weights, *cells, f"{seconds:.0f}"])
            print(*errors[-1], sep="  ", flush=True)
        if PEER in os.environ:
            times += compared(element, chosen, changes)
    for name, head, rows in (
        ("mtp training", HEAD, errors),
        ("mtp training beside motep", BESIDE, times),
    ):
        print(table(head, rows))
        if chosen.write and rows:
            write_rows(name, head, rows)


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
    """CPU time of both to the same loss on a part of the frames; nothing where there is no run.

    That is the loss motep comes to in its time. Ladera's is that of a training of so many epochs,
    with reading, grade and report, as take a longer one there.
    """
    frames = chosen.runs / f"{element}-part.extxyz"
    if not frames.is_file():
        write(frames, read(MLEARN / f"{element}_train.extxyz.gz", f"::{PART}"))
    changes = [f"data.files={frames}", *changes, "loss.stress=0"]
    run = trained(chosen.runs / f"{element}-part", chosen.config, changes, chosen.train)
    if run is None:
        return []
    losses = losses_of(chosen.runs / f"{element}-part")
    weight = config_file.load(chosen.config, changes).loss.energy
    rows = of_peer(element, frames, weight, chosen.runs / f"{element}-motep.json")
    spent, theirs = rows[-1]
    epochs = 1 + next(k for k, loss in enumerate(losses) if loss <= theirs)
    folder = chosen.runs / f"{element}-part-{epochs}"
    same = trained(folder, chosen.config, [*changes, f"epochs={epochs}"], chosen.train)
    if same is None:
        return []
    seconds = same[1]
    row = [element, str(len(read(frames, ":"))), f"{theirs:.3g}", f"{spent:.0f}"]
    row += [str(len(rows) - 1), f"{losses_of(folder)[-1]:.3g}", f"{seconds:.1f}", str(epochs)]
    row += [f"{spent / seconds:.0f}", f"{min(losses):.3g}", f"{run[1]:.0f}"]
    print(*row, sep="  ", flush=True)
    return [row]


def losses_of(folder: Path) -> list[float]:
    """The loss of the training frames after each epoch of a run."""
    with (folder / "log.csv").open(encoding="utf-8") as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file)]


def of_peer(element: str, frames: Path, weight: float, kept: Path) -> list[list[float]]:
    """CPU time and loss of motep after each iteration; made once."""
    if not kept.is_file():
        fitted = PUBLISHED / element / "mtp" / "fitted.mtp"
        command = [os.environ[PEER], str(Path(__file__).with_name("mtp_training_peer.py"))]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*command, str(frames), str(fitted), str(weight), str(BUDGET)],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
        )
        kept.write_text(done.stdout.splitlines()[-1])
    rows: list[list[float]] = json.loads(kept.read_text())
    return rows


if __name__ == "__main__":
    main()
