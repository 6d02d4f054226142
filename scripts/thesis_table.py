"""How many symmetry functions: time and errors of trainings as those of a thesis.

Run ``python scripts/thesis_table.py``; a minute or two on one core. For each set of functions it
writes a control.in with its .smf files, trains as ``ladera train control.in`` does, and prints a
row: functions of each atom, milliseconds to compute those of one frame, CPU seconds of the
training, and errors. Then once more the largest set, trained on the forces too.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from itertools import combinations_with_replacement
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
import torch

from ladera.data import formats
from ladera.jobs.control_in import smf, training
from ladera.kernels.symmetry_functions.functions import GaussianFunction
from ladera.models.hdnnp import HDNNP
from ladera.units import ANGSTROM_HARTREE

EXAMPLE = Path(__file__).parents[1] / "examples/thesis"
ELEMENTS = ("H", "O", "Al")
CUTOFF = 6.35  # Angstrom; 12 Bohr
# As in the thesis: radial Gaussians for each element, and for each pair both signs of lambda.
ETAS = np.geomspace(0.02, 1.0, 10).round(3).tolist()
SETS = {36: (ETAS[:4], (1.0, 2.0)), 54: (ETAS, (1.0, 2.0)), 78: (ETAS, (1.0, 2.0, 4.0, 16.0))}
WITH_FORCES = (
    "loss.energy=100",
    "loss.forces=1",
    "optimizer.name=adam",
    "optimizer.learning_rate=0.005",
    "schedule.name=cosine",
    "batch_size=3",
)


def functions(center: str, size: int) -> list[GaussianFunction]:
    """The functions of one central element."""
    etas, zetas = SETS[size]
    radial = [
        GaussianFunction(kind="radial", center=center, neighbors=(e,), eta=eta, cutoff=CUTOFF)
        for e in ELEMENTS
        for eta in etas
    ]
    angular = [
        GaussianFunction(
            kind="wide",
            center=center,
            neighbors=pair,
            eta=0.0,
            cutoff=CUTOFF,
            lambda_=sign,
            zeta=zeta,
        )
        for pair in combinations_with_replacement(ELEMENTS, 2)
        for zeta in zetas
        for sign in (1.0, -1.0)
    ]
    return radial + angular


def write_functions(folder: Path, size: int) -> None:
    """The .smf files of all elements."""
    for element in ELEMENTS:
        smf.write(folder / f"{element}.smf", functions(element, size), ANGSTROM_HARTREE.length)


def row(folder: Path, name: str, overrides: tuple[str, ...]) -> str:
    """Train in a folder, and measure; not the compilation, which happens once."""
    training(folder / "control.in", folder / "first", overrides=(*overrides, "epochs=1"))
    started = time.process_time()
    potential = training(folder / "control.in", folder / "run", overrides=overrides)
    seconds = time.process_time() - started
    errors = json.loads((folder / "run/evaluation.json").read_text())
    cells = [name, f"{milliseconds(potential):.1f}", f"{seconds:.1f}"]
    for kind, digits in (("energy", 2), ("forces", 0)):
        pair = [f"{errors[part][kind]['rmse']:.{digits}f}" for part in ("train", "validation")]
        cells.append(" / ".join(pair))
    return f"| {' | '.join(cells)} |"


def milliseconds(potential: object) -> float:
    """CPU time to compute the functions of all atoms of one frame: the best of ten."""
    if not isinstance(potential, HDNNP):
        raise TypeError("a control.in is of a network on symmetry functions")
    frame = next(formats.stream(EXAMPLE / "input.data.gz", units=ANGSTROM_HARTREE))
    graph = frame.graph(potential.cutoff)
    times = []
    with torch.no_grad():
        for _ in range(10):
            started = time.process_time()
            potential.symmetry_functions(graph)
            times.append(time.process_time() - started)
    return 1e3 * min(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Trainings with more and fewer functions.")
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--write-example", action="store_true", help="write the example's .smf")
    arguments = parser.parse_args()
    if arguments.write_example:
        return write_functions(EXAMPLE, 78)

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # one composition: the reference energies are of no account
    with_forces = (*WITH_FORCES, f"epochs={min(200, arguments.epochs)}")
    print("RMSE of training frames / validation frames")
    print(
        "| functions of an atom | ms a frame | training, CPU s | energy, meV/atom | force, meV/Å |"
    )
    print("|---|---|---|---|---|")
    text = (EXAMPLE / "control.in").read_text()
    text = text.replace("input.data.gz", str(EXAMPLE / "input.data.gz"))
    for size, name, overrides in (
        *((size, str(size), (f"epochs={arguments.epochs}",)) for size in SETS),
        (78, "78, with forces", with_forces),
    ):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            write_functions(folder, size)
            (folder / "control.in").write_text(text)
            print(row(folder, name, overrides), flush=True)
    return None


if __name__ == "__main__":
    main()
