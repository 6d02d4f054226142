"""Training of moment tensor potentials on mlearn: errors, and CPU time beside motep's.

    LADERA_BENCH_MTP=/env/bin/python python benchmarks/mtp_training.py RUNS [--train]
        [--elements Li Mo] [--set key=value] [--write]

RUNS holds a folder for each element with a training run of Ladera in it; with --train the missing
ones are made, by benchmarks/mtp_training.yaml with the data of the element, and the level and the
cutoff of its published potential (Zuo et al., J. Phys. Chem. A 124, 731 (2020)), whose errors stand
beside; of copper there are training frames only. Where the variable names the Python of an
environment with motep 0.2.0, that trains on the same frames with the same functions and loss until
its loss is that of Ladera or it has spent FACTOR times the CPU time; both losses and motep's
iterations are printed. One thread each.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from mlearn import MLEARN, MTP, PUBLISHED
from page import table, write_section
from runs import options, trained

from ladera.data import formats
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
FACTOR = 5


def main() -> None:
    """Train what is missing and print the tables."""
    chosen = options(__doc__, "elements", tuple(LEVELS), CONFIG)
    errors, times = [], []
    for element in chosen.elements:
        level, cutoff = LEVELS[element]
        frames = MLEARN / f"{element}_train.extxyz.gz"
        changes = [
            f"data.files={frames}",
            f"model.level={level}",
            f"model.cutoff={cutoff}",
            *chosen.changes,
        ]
        run = trained(chosen.runs / element, chosen.config, changes, chosen.train)
        if run is None:
            continue
        potential, seconds = run
        test = MLEARN / f"{element}_test.extxyz.gz"
        cells = (
            [*errors_of(potential, test), *MTP[element].cells()] if test.is_file() else ["-"] * 4
        )
        errors.append([element, str(level), *cells, f"{seconds:.0f}"])
        print(*errors[-1], sep="  ", flush=True)
        if PEER in os.environ:
            times.append([element, *compared(element, frames, potential, seconds)])
            print(*times[-1], sep="  ", flush=True)
    head = ["", "level", "energy (meV/atom)", "forces (meV/Å)", "published energy"]
    text = table([*head, "published forces", "CPU (s)"], errors)
    if times:
        head = ["", "Ladera: CPU (s)", "loss", "motep: CPU (s)", "iterations", "loss"]
        text += "\n\n" + table(head, times)
    print(text)
    if chosen.write:
        write_section("mtp training", text)


def errors_of(potential: Potential, file: Path) -> list[str]:
    """Errors of the frames of a file, MAE / RMSE, meV/atom and meV/Angstrom."""
    found = evaluate_dataset(potential, formats.read([str(file)])).to_json()
    energy, forces = found["energy"], found["forces"]
    return [
        f"{energy['mae']:.2f} / {energy['rmse']:.2f}",
        f"{forces['mae']:.1f} / {forces['rmse']:.1f}",
    ]


def compared(element: str, frames: Path, potential: Potential, seconds: float) -> list[str]:
    """CPU time and loss of both, on all training frames."""
    data, weight = formats.read([str(frames)]), config_file.load(CONFIG).loss.energy
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
    return [
        f"{seconds:.0f}",
        f"{loss:.3g}",
        f"{spent:.0f}",
        str(len(rows) - 1),
        f"{theirs:.3g}",
    ]


if __name__ == "__main__":
    main()
