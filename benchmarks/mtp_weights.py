"""The weight of energies in the loss of moment tensor potentials, by validation frames of mlearn.

    python benchmarks/mtp_weights.py RUNS [--train] [--elements Li Mo] [--set key=value] [--write]

A potential of each element is trained by benchmarks/mtp_training.yaml on nine tenths of its
training frames, for a few epochs. With these radial functions the linear coefficients are solved
for each of WEIGHTS, from the same sums, and the tenth that was kept back is evaluated; test frames
are not looked at. The last row has the geometric mean over the elements of the four errors, over
those with the first weight: one weight for all is where that is smallest.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from mlearn import MLEARN
from mtp_training import CONFIG, LEVELS
from page import table, write_section
from runs import options, trained
from scipy.linalg.blas import dsyrk

from ladera.arrays import Floats
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.data.graphs import GraphStore
from ladera.data.splits import Split
from ladera.models.mtp import MTP
from ladera.training.batches import Batches
from ladera.training.config import LossConfig
from ladera.training.evaluation import evaluate_dataset
from ladera.training.optimizer_config import VariableProjection
from ladera.training.variable_projection import least_squares
from ladera.training.variable_projection.rows import FrameRows

WEIGHTS: Final = (10.0, 30.0, 100.0, 300.0, 1000.0)
EPOCHS: Final = 8


def sums(model: MTP, frames: Dataset) -> tuple[Floats, Floats, int]:
    """Sums of products of linear columns and labels, of energies and of forces with weight 1."""
    batches = Batches(frames, GraphStore(frames, model.cutoff))
    every = np.arange(len(frames))
    rows = FrameRows(model, model, batches, LossConfig(energy=1.0, forces=1.0), every)
    columns = [*range(rows.n_linear), rows.n_columns - 1]
    parts = [np.zeros((len(columns), len(columns)), order="F") for _ in range(2)]
    for frame in every:
        for part, each in enumerate(rows.of(int(frame), radial=False)):  # energies, forces
            parts[part] = dsyrk(1.0, each[:, columns].T, 1.0, parts[part], overwrite_c=True)
    energy, forces = (np.triu(part) + np.triu(part, 1).T for part in parts)
    return energy, forces, rows.n_linear


def validated(model: MTP, frames: Dataset, split: Split) -> list[Floats]:
    """Energy MAE and RMSE, meV/atom, force MAE and RMSE, meV/Angstrom, with each weight."""
    energy, forces, n_linear = sums(model, frames[split.train])
    errors = []
    for weight in WEIGHTS:
        gram = weight * energy + forces
        weights = torch.from_numpy(
            least_squares.solve(gram, VariableProjection().ridge, np.zeros(n_linear)).weights
        )
        with torch.no_grad():
            n_scalars = len(model.moment_coefficients)
            model.moment_coefficients.copy_(weights[:n_scalars])
            model.species_energies.copy_(weights[n_scalars:])
        found = evaluate_dataset(model, frames[split.validation]).to_json()
        four = [found[of][kind] for of in ("energy", "forces") for kind in ("mae", "rmse")]
        errors.append(np.array(four))
    return errors


def main() -> None:
    """Train what is missing and print the table."""
    chosen = options(__doc__, "elements", tuple(LEVELS), CONFIG)
    torch.set_num_threads(1)
    rows, logs = [], []
    for element in chosen.elements:
        level, cutoff = LEVELS[element]
        file = MLEARN / f"{element}_train.extxyz.gz"
        changes = [
            f"data.files={file}",
            "data.split.validation=0.1",
            f"model.level={level}",
            f"model.cutoff={cutoff}",
            f"epochs={EPOCHS}",
            *chosen.changes,
        ]
        folder = chosen.runs / element
        run = trained(folder, chosen.config, changes, chosen.train)
        if run is None:
            continue
        frames = formats.read([str(file)])
        split = Split.load(folder / "split.json", frames)
        errors = validated(run[0], frames, split)
        logs.append(np.log([each / errors[0] for each in errors]).mean(axis=1))
        cells = ["{:.2f} / {:.2f}; {:.1f} / {:.1f}".format(*each) for each in errors]
        rows.append([element, *cells])
        print(*rows[-1], sep="  ", flush=True)
    if not rows:
        raise SystemExit(f"{chosen.runs} has no run; make them with --train.")
    means = np.exp(np.mean(logs, axis=0))
    rows.append(["mean, relative", *(f"{mean:.3f}" for mean in means)])
    text = table(["", *(f"{weight:g}" for weight in WEIGHTS)], rows)
    print(text)
    if chosen.write:
        write_section("mtp weights", text)


if __name__ == "__main__":
    main()
