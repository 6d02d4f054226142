"""Training of moment tensor potentials on mlearn: errors, and CPU time beside motep's.

    LADERA_BENCH_MTP=/env/bin/python python benchmarks/mtp_training.py RUNS [--train]
        [--elements Li Mo] [--set key=value] [--write]

RUNS holds a folder for each element with a training run of Ladera in it; with --train the missing
ones are made, by benchmarks/mtp_training.yaml with the data of the element, and the level and the
cutoff of its published potential (Zuo et al., J. Phys. Chem. A 124, 731 (2020)), whose errors stand
beside, with the difference and its standard error; of copper there are training frames only, and a
tenth of them takes the place of a test. Where the variable names the Python of an environment with
motep 0.2.0, motep trains on every PART-th frame, the same functions and loss, without stress, for
BUDGET seconds of CPU time, and Ladera until its loss is no larger. One thread each. --write renews
the rows of the elements asked for, and no others.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase.io import read, write
from mlearn import MLEARN, PUBLISHED
from page import table, write_rows
from runs import options, trained

from ladera import load
from ladera.arrays import Floats
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.data.splits import Split
from ladera.potential import Potential
from ladera.quantities import ENERGY, FORCES, Quantity
from ladera.training import config_file
from ladera.training.evaluation import Evaluation, evaluate_dataset

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
HEAD = (
    *("", "level", "weights: E, F, S", "energy (meV/atom)", "forces (meV/Å)"),
    *("published energy", "published forces", "energy: difference", "forces: difference"),
    "CPU (s)",
)
BESIDE = (
    *("", "frames", "motep: loss", "CPU (s)", "iterations", "Ladera: loss", "CPU (s)"),
    *("epochs", "ratio", "loss in the end", "CPU (s)"),
)


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
            if test.is_file():
                cells = beside_published(potential, element, formats.read([str(test)]))
            else:
                kept = evaluate_dataset(potential, validation(chosen.runs / element, frames))
                cells = [*shown(kept), *["-"] * 4]
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


def beside_published(potential: Potential, element: str, test: Dataset) -> list[str]:
    """Errors of a potential and of the published one of the element, and their difference."""
    fitted = load(PUBLISHED / element / "mtp" / "fitted.mtp", types=(element,))
    ours, theirs = (evaluate_dataset(each, test) for each in (potential, fitted))
    return [*shown(ours), *shown(theirs), *(difference(ours, theirs, q) for q in (ENERGY, FORCES))]


def shown(evaluation: Evaluation) -> list[str]:
    """Errors of energies and forces, MAE / RMSE, meV/atom and meV/Angstrom."""
    errors = evaluation.to_json()
    energy, forces = errors["energy"], errors["forces"]
    return [
        f"{energy['mae']:.2f} / {energy['rmse']:.2f}",
        f"{forces['mae']:.1f} / {forces['rmse']:.1f}",
    ]


def difference(ours: Evaluation, theirs: Evaluation, quantity: Quantity) -> str:
    """MAE / RMSE of one model less those of another, with the standard error of each.

    Frames are what was drawn: both models are wrong in the same ones, so that the error of the
    difference is much smaller than that of either. It is that of a ratio of two sums over frames;
    the difference of two roots is that of their squares over their sum.
    """
    cells = []
    for power in (1, 2):
        one, counts = sums_by_frame(ours, quantity, power)
        other, _ = sums_by_frame(theirs, quantity, power)
        n, total = len(counts), counts.sum()
        mean = (one - other).sum() / total
        rest = one - other - mean * counts
        error = np.sqrt(n / (n - 1) * (rest**2).sum()) / total
        roots = np.sqrt(one.sum() / total) + np.sqrt(other.sum() / total)
        scale = 1000 / (1 if power == 1 else roots)
        cells.append(f"{scale * mean:+.2f} ± {scale * error:.2f}")
    return " / ".join(cells)


def sums_by_frame(evaluation: Evaluation, quantity: Quantity, power: int) -> tuple[Floats, Floats]:
    """Sums of powers of the errors of each frame, and how many these are."""
    errors = np.abs(evaluation.errors(quantity)) ** power
    if quantity == ENERGY:
        return errors, np.ones(len(errors))
    offsets = evaluation.dataset.offsets
    return np.add.reduceat(errors.sum(1), offsets[:-1]), 3.0 * np.diff(offsets)


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
