"""Training by Ladera and by n2p2: CPU seconds to the same errors, and the last errors.

    LADERA_BENCH_N2P2=/path/to/n2p2 OMP_NUM_THREADS=1 python benchmarks/training.py CASE [options]

CASE is water (20 frames of water, n2p2's own example) or silicon (the 214 training and 25 test
frames of mlearn). Same frames, symmetry functions and networks for both. nnp-train runs with its
Kalman filter and the settings of its example; for silicon with those it recommends (data set
normalised by forces, three force updates for each energy) and the right energy of the atom. Both
report the RMSE of the training frames after each epoch, and that time counts.

    --epochs N          epochs of Ladera
    --n2p2-epochs N     epochs of nnp-train
    --set key=value     another value for a key of Ladera's configuration, as in `ladera train`
    --output FOLDER     keep the runs there
    --write             put the table into docs/performance.md

Only CPU time of one process each is compared: Ladera's from the call of train() on, its kernels
compiled before; nnp-train's from its start. Without n2p2, curves recorded once are printed instead,
and no ratio is formed. Linux only, for it reads /proc.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from ladera.training.log import Row
from n2p2_peer import N2P2, VARIABLE, find
from page import DATA, table, write_section

import ladera
from ladera.codes.n2p2 import networks, symmetry_functions
from ladera.codes.n2p2.reading import model_config, read_settings
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.training import config_file
from ladera.training.evaluation import evaluate_dataset
from ladera.training.trainer import train
from ladera.units import ATOMIC, UnitSystem

WATER = DATA / "data" / "n2p2" / "H2O_train20"
SILICON = DATA / "data" / "mlearn_potentials" / "Si" / "nnp"
MLEARN = DATA / "data" / "mlearn"
POLL = 0.03  # seconds


class Point(NamedTuple):
    """The training frames after an epoch."""

    epoch: int
    seconds: float  # of CPU time since the start
    energy: float  # RMSE, meV/atom
    forces: float  # RMSE, meV/Angstrom


# nnp-train at commit 61daa0d on one core of an AMD EPYC (Zen 4), recorded once.
RECORDED = {
    "water": [
        Point(10, 14.6, 3.676, 796.5),
        Point(20, 28.4, 0.618, 522.7),
        Point(60, 85.6, 0.328, 313.4),
        Point(200, 285.9, 0.025, 85.1),
    ],
    "silicon": [
        Point(4, 35.3, 8.93, 219.6),
        Point(20, 163.8, 7.14, 155.5),
        Point(40, 325.0, 5.78, 131.9),
    ],
}


class Case(NamedTuple):
    """What both programs train on."""

    folder: Path  # input.nn, input.data, scaling.data
    units: UnitSystem
    test: Dataset | None
    optimizer: dict[str, Any]  # of Ladera


def water(folder: Path) -> Case:
    """n2p2's example, its outputs made sparse."""
    for name in ("input.nn", "input.data", "scaling.data"):
        shutil.copyfile(WATER / name, folder / name)
    _edit(folder / "input.nn", {})
    # Few frames of many atoms: each energy ten times an epoch, one force component in twenty.
    balance = {"energy_fraction": 10, "force_fraction": 0.05}
    return Case(folder, ATOMIC, None, {"name": "kalman", **balance})


def silicon(folder: Path) -> Case:
    """The published functions and network, with the settings that n2p2 recommends now."""
    shutil.copyfile(SILICON / "scaling.data", folder / "scaling.data")
    shutil.copyfile(SILICON / "input.nn", folder / "input.nn")
    frames = formats.read(MLEARN / "Si_train.extxyz.gz")
    formats.write(frames, folder / "input.data", units=ATOMIC)
    mean = np.mean(frames.column("energy") / frames.atom_counts) / ATOMIC.energy
    _edit(
        folder / "input.nn",
        {
            "atom_energy": f"Si {mean:.8f}",
            "force_weight": "1.0",
            "short_force_fraction": None,
            "force_energy_ratio": "3.0",
            "normalize_data_set": "force",
            "memorize_symfunc_results": "",
        },
    )
    return Case(folder, ATOMIC, formats.read(MLEARN / "Si_test.extxyz.gz"), {"name": "kalman"})


def _edit(path: Path, values: dict[str, str | None]) -> None:
    """Other values for keywords of an input.nn; None takes a keyword away."""
    path.chmod(0o644)
    rare = ("write_trainpoints", "write_trainforces", "write_neuronstats")
    quiet: dict[str, str | None] = {**dict.fromkeys(rare, "100000"), "write_trainlog": None}
    values = quiet | values
    lines = [
        line
        for line in path.read_text().splitlines()
        if not line.split() or line.split()[0] not in values
    ]
    lines += [f"{word} {value}" for word, value in values.items() if value is not None]
    path.write_text("\n".join([*lines, ""]))


def run_n2p2(n2p2: N2P2, case: Case, folder: Path, epochs: int) -> list[Point]:
    """Run nnp-train in a copy of the folder; its learning curve with CPU times."""
    shutil.copytree(case.folder, folder)
    every = str(epochs)
    _edit(folder / "input.nn", {"epochs": every, "write_weights_epoch": every})
    with (folder / "stdout.log").open("w") as output:
        process = subprocess.Popen(
            [n2p2.program("nnp-train")],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        curve: list[Point] = []
        while process.poll() is None:
            time.sleep(POLL)
            curve += _new_points(folder / "learning-curve.out", process.pid, len(curve), case)
    if process.returncode:
        raise SystemExit(f"nnp-train failed; see {folder / 'stdout.log'}.")
    return curve


def _new_points(path: Path, pid: int, known: int, case: Case) -> list[Point]:
    """The rows of a learning curve since the last look."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        lines = path.read_text().splitlines(keepends=True)
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return []
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    milli = 1e3
    rows = [line.split() for line in lines if line.endswith("\n") and not line.startswith("#")]
    return [
        Point(
            int(row[0]),
            seconds,
            float(row[1]) * case.units.energy * milli,
            float(row[9]) * case.units.force * milli,
        )
        for row in rows[known:]
    ]


class Curve:
    """Ladera's learning curve, by CPU time since it was made."""

    def __init__(self) -> None:
        self.start = time.process_time()
        self.points: list[Point] = []

    def step(self, epoch: int, batch: int, n_batches: int) -> None:
        """Nothing to see."""

    def epoch(self, row: Row) -> None:
        """A row of log.csv; the validation frames are the training frames."""
        energy, forces = (
            row[f"validation_{name}"]
            for name in ("energy_rmse_mev_per_atom", "force_rmse_mev_per_angstrom")
        )
        seconds = time.process_time() - self.start
        self.points.append(
            Point(int(row["epoch"] or 0), seconds, float(energy or 0), float(forces or 0))
        )


def run_ladera(
    case: Case, frames: Path, folder: Path, epochs: int, changes: Sequence[str]
) -> tuple[list[Point], ladera.Potential]:
    """Train on the same frames, functions and networks."""
    settings = read_settings(case.folder)
    functions = symmetry_functions.read(settings, case.units)
    inputs = {symbol: len(of_element) for symbol, of_element in functions.items()}
    model = model_config(settings, functions, networks.shapes(settings, "short", inputs, {}))
    config: dict[str, Any] = {
        "data": {
            "files": [str(frames)],
            "validation_files": [str(frames)],
            "split": {"test": 0},
            "units": case.units.name,
        },
        "model": model.model_dump(mode="json", exclude={"species"}),
        "reference_energies": {
            symbol: value * case.units.energy
            for symbol, value in settings.by_element("atom_energy").items()
        },
        "optimizer": case.optimizer,
        "epochs": epochs,
    }
    path = folder.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(config))
    chosen = config_file.load(path, list(changes))
    curve = Curve()
    potential = train(chosen, folder, observer=curve)
    return curve.points, potential


def n2p2_potential(folder: Path, case: Case, epochs: int) -> ladera.Potential:
    """The network that nnp-train has left."""
    for weights in folder.glob(f"weights.*.{epochs:06d}.out"):
        shutil.copyfile(weights, folder / f"{'.'.join(weights.name.split('.')[:2])}.data")
    return ladera.load(folder, units=case.units.name)


def rmse(potential: ladera.Potential, frames: Dataset) -> tuple[float, float]:
    """Of energies (meV/atom) and forces (meV/Angstrom)."""
    errors = evaluate_dataset(potential, frames).to_json()
    return errors["energy"]["rmse"], errors["forces"]["rmse"]


def milestones(peer: Sequence[Point]) -> list[Point]:
    """The epochs of a curve at which both its errors are the best so far, thinned out."""
    best: list[Point] = []
    for point in peer[1:]:
        if not best or (point.energy <= best[-1].energy and point.forces <= best[-1].forces):
            best.append(point)
    chosen = [best[round(i)] for i in np.linspace(0, len(best) - 1, min(6, len(best)))]
    return [point for i, point in enumerate(chosen) if point not in chosen[:i]]


def reached(curve: Sequence[Point], goal: Point) -> Point | None:
    """The first epoch after which energies and forces are both as good as the goal."""
    return next((p for p in curve if p.energy <= goal.energy and p.forces <= goal.forces), None)


def compare(peer: Sequence[Point], ours: Sequence[Point], measured: bool) -> str:
    """Table of CPU seconds to the same two errors."""
    rows = []
    for goal in milestones(peer) if measured else peer:
        point = reached(ours, goal)
        rows.append(
            [
                f"{goal.energy:.2f}",
                f"{goal.forces:.0f}",
                f"{goal.seconds:.1f} ({goal.epoch} epochs)",
                f"{point.seconds:.1f} ({point.epoch} epochs)" if point else "not reached",
                f"{goal.seconds / point.seconds:.1f}" if point and measured else "-",
            ]
        )
    title = "nnp-train, CPU s" if measured else "nnp-train, CPU s (recorded)"
    header = ["energy RMSE, meV/atom", "force RMSE, meV/Å", title, "Ladera, CPU s", "ratio"]
    return table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=("water", "silicon"))
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--n2p2-epochs", type=int)
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    n2p2 = find()
    folder = chosen.output or Path(tempfile.mkdtemp(prefix="ladera-training-"))
    (folder / "settings").mkdir(parents=True)
    case = {"water": water, "silicon": silicon}[chosen.case](folder / "settings")
    frames = case.folder / "input.data"
    if n2p2 is None:
        print(f"{VARIABLE} is not set: nnp-train's curve is a recorded one; no ratio is formed.")
        peer = RECORDED[chosen.case]
    else:
        epochs = chosen.n2p2_epochs or {"water": 60, "silicon": 40}[chosen.case]
        peer = run_n2p2(n2p2, case, folder / "nnp-train", epochs)
        frames = folder / "nnp-train" / "train.data"  # without those it has put aside
    ours, potential = run_ladera(case, frames, folder / "ladera", chosen.epochs, chosen.changes)
    text = [compare(peer, ours, n2p2 is not None)]
    rows = [
        [name, str(p.epoch), f"{p.seconds:.1f}", f"{p.energy:.2f}", f"{p.forces:.1f}"]
        for name, p in (("nnp-train", peer[-1]), ("Ladera", ours[-1]))
    ]
    header = ["", "epochs", "CPU s", "energy RMSE, meV/atom", "force RMSE, meV/Å"]
    if case.test is not None and n2p2 is not None:
        header += ["test: energy RMSE", "test: force RMSE"]
        models = [n2p2_potential(folder / "nnp-train", case, peer[-1].epoch), potential]
        for row, model in zip(rows, models, strict=True):
            energy, forces = rmse(model, case.test)
            row += [f"{energy:.2f}", f"{forces:.1f}"]
    text.append(table(header, rows))
    print("\n\n".join(text))
    if chosen.write:
        if n2p2 is None:
            raise SystemExit(f"Only measured ratios are written; set {VARIABLE}.")
        write_section(f"training {chosen.case}", "\n\n".join(text))


if __name__ == "__main__":
    main()
