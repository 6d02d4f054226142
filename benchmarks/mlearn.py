"""Test errors on mlearn, against the published neural networks and moment tensor potentials.

    python benchmarks/mlearn.py RUNS [--train] [--elements Si Li] [--set key=value] [--write]

RUNS holds a folder for each element with a training run of Ladera in it; with --train the missing
ones are made, with the configuration --config (benchmarks/mlearn.yaml by default), the data of the
element and the cutoff of its published network. The published networks (Zuo et al., J. Phys. Chem.
A 124, 731 (2020)) are loaded from their n2p2 folders and evaluated by Ladera on the same test
frames. Errors of the published moment tensor potentials are those that motep 0.2.0 gave for these
frames; they are not computed here. CPU seconds are those of a training, from reading the frames to
the errors of all of them.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import torch
from page import DATA, table, write_section
from runs import options, trained

import ladera
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.training.evaluation import evaluate_dataset

MLEARN = DATA / "data" / "mlearn"
PUBLISHED = DATA / "data" / "mlearn_potentials"
ELEMENTS = ("Si", "Ge", "Li", "Mo", "Ni")
CONFIG = Path(__file__).with_name("mlearn.yaml")


class Errors(NamedTuple):
    """Of energies in meV/atom, of force components in eV/Angstrom."""

    energy_mae: float
    energy_rmse: float
    force_mae: float
    force_rmse: float

    def cells(self) -> list[str]:
        energy = f"{self.energy_mae:.2f} / {self.energy_rmse:.2f}"
        return [energy, f"{self.force_mae:.3f} / {self.force_rmse:.3f}"]


MTP = {
    "Si": Errors(2.31, 3.03, 0.056, 0.088),
    "Ge": Errors(1.79, 3.68, 0.047, 0.070),
    "Li": Errors(0.49, 0.66, 0.010, 0.013),
    "Mo": Errors(2.94, 3.98, 0.090, 0.151),
    "Ni": Errors(0.48, 0.75, 0.014, 0.027),
}


def errors(potential: ladera.Potential, frames: Dataset) -> Errors:
    """Errors of a potential on labelled frames."""
    evaluation = evaluate_dataset(potential, frames).to_json()
    energy, forces = evaluation["energy"], evaluation["forces"]
    milli = 1e-3
    return Errors(energy["mae"], energy["rmse"], forces["mae"] * milli, forces["rmse"] * milli)


def main() -> None:
    chosen = options(__doc__, "elements", ELEMENTS, CONFIG)
    torch.set_num_threads(1)
    rows = []
    for element in chosen.elements:
        frames = formats.read(MLEARN / f"{element}_test.extxyz.gz")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # training keywords that do not matter here
            published = ladera.load(PUBLISHED / element / "nnp", units="bohr-hartree")
        network = errors(published, frames)
        changes = [
            f"data.files={MLEARN / f'{element}_train.extxyz.gz'}",
            f"data.test_files={MLEARN / f'{element}_test.extxyz.gz'}",
            f"model.cutoff={published.cutoff:.4f}",
            *chosen.changes,
        ]
        run = trained(chosen.runs / element, chosen.config, changes, chosen.train)
        row = [element, *network.cells(), *MTP[element].cells()]
        if run:
            ours = errors(run[0], frames)
            better = all(a < b for a, b in zip(ours, network, strict=True))
            row += [*ours.cells(), f"{run[1]:.0f}", "yes" if better else "no"]
        else:
            row += ["-"] * 4
        rows.append(row)
        print(rows[-1], flush=True)
    header = ["", *(f"{who}, {q}" for who in ("NNP", "MTP", "Ladera") for q in ("E", "F"))]
    header += ["CPU s", "better than the NNP on all four"]
    print(table(header, rows))
    if chosen.write:
        write_section("mlearn", table(header, rows))


if __name__ == "__main__":
    main()
