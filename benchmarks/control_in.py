"""Training on energies alone, as a thesis did: CPU time and losses of Ladera beside Keras.

    LADERA_BENCH_KERAS=/env/bin/python python benchmarks/control_in.py [FOLDER] [--write]

The variable names the Python of an environment with keras and tensorflow-cpu; without it there is
nothing to compare with, and that is said. FOLDER holds a control.in with the optimiser Adagrad and
is examples/thesis when left out. Both programs train the same networks from the same first weights
on the same frames, in the same batches, 500 epochs or what the file says, and alternate; the best
of three counts. Ladera's time is that of `ladera train control.in` from beginning to end: frames
read, examined, symmetry functions, the training, the model and all files written. Keras gets the
scaled functions from Ladera, reads them and trains; its program is left the rest. One thread each.
--write renews the table in docs/thesis.md, and the figure.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from page import ROOT, table, write_section

import ladera
from ladera.jobs.control_in import read_training
from ladera.models.hdnnp import HDNNP
from ladera.table_files import column
from ladera.training.preparation import prepare
from ladera.training.run_folder import read_log

PEER = "LADERA_BENCH_KERAS"
REPEATS = 3
ONE_THREAD = dict.fromkeys(
    (
        *("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"),
        *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    ),
    "1",
)
IMAGE = ROOT / "docs" / "images" / "thesis-keras.png"
HEAD = ("", "loss after the last epoch", "500 epochs, s", "the whole command, CPU s")


def main() -> None:
    """Train on both sides, print the table and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "examples" / "thesis")
    parser.add_argument("--write", action="store_true", help="renew docs/thesis.md")
    chosen = parser.parse_args()
    if PEER not in os.environ:
        raise SystemExit(f"Keras is not here: set {PEER} to the Python of an environment with it.")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        ours, theirs = _both(chosen.folder, folder)
    head = [*HEAD]
    head[2] = f"{len(ours['loss'])} epochs, s"
    rows = [
        [name, f"{side['loss'][-1]:.6f}", f"{side['wall']:.1f}", f"{side['total']:.1f}"]
        for name, side in ((f"Keras {theirs['keras']}", theirs), ("Ladera", ours))
    ]
    ratios = [f"{theirs[key] / ours[key]:.1f}" for key in ("wall", "total")]
    rows.append(["Keras over Ladera", "", *ratios])
    text = table(head, rows)
    print(text)
    _draw(ours, theirs)
    if chosen.write:
        write_section("keras", text, ROOT / "docs" / "thesis.md")


def _both(source: Path, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Losses and the least times of both."""
    command = [sys.executable, "-m", "ladera", "train", str(source / "control.in"), "--output"]
    _seconds([*command, str(folder / "first"), "--set", "epochs=1"])  # compiles, if need be
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    for repeat in range(REPEATS):
        run = folder / f"run_{repeat}"
        _, total = _seconds([*command, str(run)])
        log = read_log(run)
        ours.append(
            {
                "loss": column(log, "train_loss").tolist(),
                "val_loss": column(log, "validation_loss").tolist(),
                "wall": float(column(log, "seconds").sum()),
                "total": total,
            }
        )
        if repeat == 0:
            write_task(source / "control.in", run / "model.ladera", folder / "task.npz")
        peer = str(Path(__file__).with_name("control_in_peer.py"))
        said, total = _seconds([os.environ[PEER], peer, str(folder / "task.npz")])
        theirs.append({**json.loads(said.splitlines()[-1]), "total": total})
    return _best(ours), _best(theirs)


def _best(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return runs[0] | {key: min(run[key] for run in runs) for key in ("wall", "total")}


def _seconds(command: list[str]) -> tuple[str, float]:
    """What a command prints, and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, sum(
        getattr(after, key) - getattr(before, key) for key in ("ru_utime", "ru_stime")
    )


def write_task(control: Path, model: Path, task: Path) -> float:
    """What Keras needs: scaled functions, energies, first weights, and how to train.

    Energies are over what is returned (eV, of the first frame), in units of their range.
    """
    job = read_training(control)
    prepared, trained = prepare(job.config), ladera.load(model)
    torch.manual_seed(job.config.seed)
    first = ladera.build(prepared.model)
    if not isinstance(trained, HDNNP) or not isinstance(first, HDNNP):
        raise SystemExit("A control.in is of a network on symmetry functions.")
    frames = [prepared.dataset[int(k)] for k in [*prepared.train, *prepared.validation]]
    references = trained.reference_energies + trained.energy_shift
    values: dict[str, Any] = {}
    energies = []
    inputs: list[list[np.ndarray]] = [[] for _ in trained.symbols]
    for frame in frames:
        graph = frame.graph(trained.cutoff)
        with torch.no_grad():
            x, index = trained.energy_inputs(graph), trained.element_index(graph)
        energies.append((frame.energy - float(references[index].sum())) / job.range)
        for element, count in enumerate(trained.input_counts):
            inputs[element].append(x[index == element, :count].numpy())
    for element, network in enumerate(first.atomic_networks()):
        values[f"inputs_{element}"] = np.array(inputs[element])
        for layer, (weight, bias) in enumerate(network.arrays()):
            values |= {f"weight_{element}_{layer}": weight.T, f"bias_{element}_{layer}": bias}
    optimizer = job.config.optimizer
    settings = {
        "learning_rate": optimizer.learning_rate,
        "initial_accumulator_value": optimizer.initial_accumulator,
        "epsilon": optimizer.epsilon,
        "clipvalue": job.config.gradient_clip_value,
    }
    np.savez(
        task,
        elements=len(trained.symbols),
        layers=len(first.atomic_networks()[0].layers()),
        activation=first.atomic_networks()[0].activations[0],
        energies=np.array(energies)[:, None],
        optimizer=json.dumps(settings),
        loss=job.config.loss.function,
        epochs=job.config.epochs,
        batch_size=prepared.batch_size,
        validation=len(prepared.validation) / len(frames),
        **values,
    )
    return float(references[trained.element_index(frames[0].graph(trained.cutoff))].sum())


def _draw(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Losses against epochs, one curve on the other."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    epochs = np.arange(1, len(ours["loss"]) + 1)
    for key, words, color in (("loss", "training", "C0"), ("val_loss", "validation", "C1")):
        axes.plot(epochs, theirs[key], color=color, linewidth=5, alpha=0.3, label=f"Keras, {words}")
        axes.plot(epochs, ours[key], color=color, linewidth=1.2, label=f"Ladera, {words}")
    axes.set(xlabel="epoch", ylabel="loss (energies over their range)", yscale="log", xscale="log")
    axes.legend(frameon=False)
    figure.savefig(IMAGE, dpi=150)
    plt.close(figure)
    print(f"drew {IMAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
