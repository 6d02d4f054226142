"""The weights of energies and stress in the loss of moment tensor potentials, by frames left out.

    OMP_NUM_THREADS=1 python benchmarks/mtp_weights.py [--elements Li Mo] [--write]

With the radial functions of the published potential of each element (Zuo et al., J. Phys. Chem. A
124, 731 (2020)) the linear coefficients are solved for each of WEIGHTS on four fifths of the
training frames of mlearn, and the other fifth is evaluated, five times; test frames are not looked
at. The few radial functions have seen all frames. Everything comes from sums of products, which one
pass over the frames makes for all weights. --write renews the rows of docs/performance.md.
"""

from __future__ import annotations

import argparse
from typing import Final, NamedTuple

import numpy as np
import torch
from mlearn import ELEMENTS, MLEARN, PUBLISHED
from page import table, write_rows
from scipy.linalg.blas import dsyrk

import ladera
from ladera.arrays import Floats
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.data.graphs import GraphStore
from ladera.models.mtp import MTP
from ladera.training.batches import Batches
from ladera.training.config import LossConfig
from ladera.training.optimizer_config import VariableProjection
from ladera.training.variable_projection import least_squares
from ladera.training.variable_projection.pruning import lean
from ladera.training.variable_projection.rows import FrameRows

WEIGHTS: Final = ((10, 0), (10, 3), (10, 10), (30, 0), (30, 3), (30, 10), (100, 0), (100, 3))
FOLDS: Final = 5
HEAD: Final = ("", *(f"{energy}, {stress}" for energy, stress in WEIGHTS))


class Sums(NamedTuple):
    """Sums of products of linear columns and labels, whose last are mean squares over all frames.

    Of each fold, and of energies, forces and stress with weight 1: (n_folds, 3, n, n); and the rows
    of the energies of all frames, (n_frames, n).
    """

    folds: Floats
    energies: Floats


def sums_of(model: MTP, frames: Dataset) -> Sums:
    """By one pass; a frame belongs to the fold of its number."""
    batches = Batches(frames, GraphStore(frames, model.cutoff))
    loss = LossConfig(energy=1.0, forces=1.0, stress=1.0)
    rows = FrameRows(model, model, batches, loss, np.arange(len(frames)))
    columns = [*range(rows.n_linear), rows.n_columns - 1]
    n = len(columns)
    parts = [[np.zeros((n, n), order="F") for _ in range(3)] for _ in range(FOLDS)]
    energies = np.zeros((len(frames), n))
    for frame in range(len(frames)):
        some = parts[frame % FOLDS]
        for part, every in enumerate(rows.of(frame, radial=False)):  # energies, forces, stress
            each = np.ascontiguousarray(every[:, columns])
            some[part] = dsyrk(1.0, each.T, 1.0, some[part], overwrite_c=True)
            if part == 0:
                energies[frame] = each[0]
    upper = np.array([[np.triu(part) for part in some] for some in parts])
    return Sums(upper + np.swapaxes(np.triu(upper, 1), 2, 3), energies)


def left_out(sums: Sums, energy: float, stress: float) -> Floats:
    """Energy MAE and RMSE, meV/atom, of forces, meV/Angstrom, of stress, meV/Angstrom^3."""
    n = sums.folds.shape[-1] - 1
    weights = np.array([energy, 1.0, stress])
    squares, deviation = np.zeros(3), 0.0
    whole = sums.folds.sum(axis=0)
    for k, own in enumerate(sums.folds):
        gram = np.tensordot(weights, whole - own, 1)
        found = least_squares.solve(gram, VariableProjection().ridge, np.zeros(n)).weights
        residual = np.append(found, -1.0)
        squares += residual @ own @ residual
        deviation += np.abs(sums.energies[k::FOLDS] @ residual).sum()
    mean = deviation / np.sqrt(len(sums.energies))  # rows have the root of the mean in them
    return 1000 * np.array([mean, *np.sqrt(squares)])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--elements", nargs="+", default=list(ELEMENTS), choices=list(ELEMENTS))
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for element in chosen.elements:
        model = ladera.load(PUBLISHED / element / "mtp" / "fitted.mtp", types=(element,))
        if not isinstance(model, MTP):
            raise SystemExit(f"The published potential of {element} is no mtp.")
        sums = sums_of(lean(model), formats.read([str(MLEARN / f"{element}_train.extxyz.gz")]))
        errors = [left_out(sums, *weights) for weights in WEIGHTS]
        rows.append([element, *("{:.2f} / {:.2f}; {:.1f}; {:.2f}".format(*e) for e in errors)])
        print(*rows[-1], sep="  ", flush=True)
    print(table(HEAD, rows))
    if chosen.write:
        write_rows("mtp weights", HEAD, rows)


if __name__ == "__main__":
    main()
