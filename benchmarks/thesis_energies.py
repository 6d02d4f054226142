"""The energies of a thesis's frames by n2p2, by Keras and by Ladera: its figure 20, made again.

    LADERA_BENCH_KERAS=/env/bin/python LADERA_BENCH_N2P2=/bin python benchmarks/thesis_energies.py
        FOLDER [--write]

FOLDER holds the training files of the public repository E-4841/NeuralNetworks-MD
(Examples/training). The first variable names the Python of an environment with keras, the second a
folder with n2p2's nnp-scaling and nnp-train. The three have the same frames, symmetry functions and
sizes of networks. Keras and Ladera begin with the same weights and train as the control.in says,
Ladera once more with its Kalman filter, 30 epochs;
n2p2 begins with its own and trains with its Kalman filter, 30 epochs, with tanh in the place of
the twisted one, which it does not have. The last frame is no training frame for Keras and Ladera;
n2p2 leaves out two of its own choice. --write renews the table and the figure of docs/thesis.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
from control_in import PEER, write_task
from page import ROOT, table, write_section

from ladera.arrays import Floats
from ladera.codes.n2p2.writing import export
from ladera.data import formats
from ladera.jobs.control_in import read_training, training
from ladera.potential import evaluate
from ladera.units import ATOMIC

N2P2 = "LADERA_BENCH_N2P2"
FILTER = "Ladera, Kalman filter"
MARKERS = {"n2p2": ("s", "C1"), "Keras": ("x", "C0"), "Ladera": ("+", "C2"), FILTER: ("D", "C3")}
IMAGE = ROOT / "docs" / "images" / "thesis-energies.png"
# As in the examples that come with n2p2, without forces.
TRAINING = """
random_seed 10
test_fraction 0.1
epochs 30
updater_type 1
parallel_mode 0
jacobian_mode 1
update_strategy 0
selection_mode 0
task_batch_size_energy 1
energy_fraction 1.0
memorize_symfunc_results
weights_min -1.0
weights_max 1.0
nguyen_widrow_weights_short
main_error_metric RMSEpa
write_trainpoints 30
write_weights_epoch 30
kalman_type 0
kalman_epsilon 1.0E-2
kalman_q0 0.01
kalman_qtau 2.302
kalman_qmin 1.0E-6
kalman_eta 0.01
kalman_etatau 2.302
kalman_etamax 1.0
"""


def main() -> None:
    """Train all three, print the errors, draw the energies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    missing = [name for name in (PEER, N2P2) if name not in os.environ]
    if missing:
        raise SystemExit(f"There is nothing to compare with: set {' and '.join(missing)}.")
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "files"
        shutil.copytree(chosen.folder, folder)
        control = folder / "control.in"
        control.write_text(re.sub(r"length_unit +\w+", "length_unit Bohr", control.read_text()))
        reference = np.array(
            [f.energy for f in formats.stream(folder / "input.data", units=ATOMIC)]
        )
        found = {**_ladera_and_keras(folder), "n2p2": _n2p2(folder, reference)}
    n_atoms = 222  # of every frame
    rows = []
    for name in MARKERS:
        error = 1e3 * (found[name] - reference) / n_atoms
        rows.append([name, f"{np.sqrt(np.mean(error**2)):.3f}", f"{np.abs(error).max():.3f}"])
    spread = 1e3 * (reference - reference.mean()) / n_atoms
    rows.append(["the mean energy", f"{spread.std():.3f}", f"{np.abs(spread).max():.3f}"])
    text = table(("", "RMSE of ten frames, meV/atom", "largest error, meV/atom"), rows)
    print(text)
    _draw(reference, found)
    if chosen.write:
        write_section("energies", text, ROOT / "docs" / "thesis.md")


def _ladera_and_keras(folder: Path) -> dict[str, Floats]:
    """Energies of all frames, eV, by the models of both."""
    run, task = folder / "run", folder / "task.npz"
    model = training(folder / "control.in", run)
    job = read_training(folder / "control.in")
    frames = list(formats.stream(folder / "input.data", units=ATOMIC))
    kalman = training(
        folder / "control.in", folder / "kalman", overrides=["optimizer.name=kalman", "epochs=30"]
    )
    ours, best = (
        np.array([float(evaluate(m, f.graph(m.cutoff), gradients=False).energy) for f in frames])
        for m in (model, kalman)
    )
    offset = write_task(folder / "control.in", run / "model.ladera", task)
    peer = str(Path(__file__).with_name("control_in_peer.py"))
    said = subprocess.run(
        [os.environ[PEER], peer, str(task)], capture_output=True, text=True, check=True
    )
    theirs = np.array(json.loads(said.stdout.splitlines()[-1])["energies"])
    return {"Keras": job.range * theirs + offset, "Ladera": ours, FILTER: best}


def _n2p2(folder: Path, reference: Floats) -> Floats:
    """Energies of all frames, eV, by the network of the last epoch of nnp-train."""
    model = training(
        folder / "control.in", folder / "one", overrides=["epochs=1", "model.activation=tanh"]
    )
    work = folder / "n2p2"
    export(model, work, ATOMIC)
    for name in ("scaling.data", *(path.name for path in work.glob("weights.*"))):
        (work / name).unlink()
    settings = work / "input.nn"
    settings.write_text(settings.read_text() + TRAINING)
    shutil.copy(folder / "input.data", work / "input.data")
    for command in (["nnp-scaling", "100"], ["nnp-train"]):
        program = str(Path(os.environ[N2P2]) / command[0])
        done = subprocess.run(
            [program, *command[1:]], cwd=work, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    points = [np.loadtxt(work / f"{part}points.000030.out", ndmin=2) for part in ("train", "test")]
    rows = np.concatenate(points)
    rows = rows[np.argsort(rows[:, 0])]
    # In its units of training, which are linear in those of the labels.
    slope, offset = np.polyfit(rows[:, 1], reference, 1)
    return offset + slope * rows[:, 2]


def _draw(reference: Floats, found: dict[str, Floats]) -> None:
    """Energies of the frames in their order, over the mean of the labels."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    frames, mean = np.arange(1, len(reference) + 1), reference.mean()
    axes.plot(frames, reference - mean, "ko-", linewidth=1, label="labels")
    for name, (marker, color) in MARKERS.items():
        axes.plot(
            frames, found[name] - mean, marker, color=color, fillstyle="none", ms=9, label=name
        )
    axes.axvspan(len(reference) - 0.5, len(reference) + 0.5, color="0.93", zorder=0)
    axes.set(xlabel="frame", ylabel="energy over the mean (eV)", xticks=frames)
    axes.legend(frameon=False)
    figure.savefig(IMAGE, dpi=150)
    plt.close(figure)
    print(f"drew {IMAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
