"""Test errors on rMD17, 950 frames to train on and 50 to validate, against ANI.

    python benchmarks/rmd17.py RUNS [--train] [--molecules ethanol] [--set key=value] [--write]

RUNS holds a folder for each molecule with a training run of Ladera in it; with --train the missing
ones are made, with the configuration --config (benchmarks/rmd17.yaml by default) and the data of
the molecule, split 01. ANI is a network on fixed symmetry functions as well; its errors are those
of table 1 of Batatia et al., NeurIPS 2022, arXiv:2206.07697. CPU seconds are those of a training,
from reading the frames to the errors of all of them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from page import DATA, table, write_section
from runs import options, trained

from ladera.data import formats
from ladera.training.evaluation import evaluate_dataset

RMD17 = DATA / "data" / "rmd17"
CONFIG = Path(__file__).with_name("rmd17.yaml")
ANI = {  # MAE, meV and meV/Angstrom
    "ethanol": (2.5, 13.4),
    "malonaldehyde": (4.6, 24.5),
    "benzene": (3.3, 10.0),
    "toluene": (7.7, 24.3),
    "naphthalene": (11.3, 29.2),
    "aspirin": (16.6, 40.6),
}


def main() -> None:
    chosen = options(__doc__, "molecules", list(ANI), CONFIG)
    torch.set_num_threads(1)
    rows = []
    for molecule in chosen.molecules:
        frames = formats.read(RMD17 / f"{molecule}_test_01.extxyz.gz")
        changes = [
            f"data.files={RMD17 / f'{molecule}_train_01.extxyz.gz'}",
            f"data.test_files={RMD17 / f'{molecule}_test_01.extxyz.gz'}",
            *chosen.changes,
        ]
        run = trained(chosen.runs / molecule, chosen.config, changes, chosen.train)
        row = [molecule, "{:.1f} / {:.1f}".format(*ANI[molecule])]
        if run:
            evaluation = evaluate_dataset(run[0], frames).to_json()
            energy = evaluation["energy"]["mae"] * frames[0].n_atoms
            row += [f"{energy:.1f} / {evaluation['forces']['mae']:.1f}", f"{run[1]:.0f}"]
        else:
            row += ["-", "-"]
        rows.append(row)
        print(rows[-1], flush=True)
    header = ["MAE of E, meV / F, meV/Å", "ANI", "Ladera", "CPU s"]
    print(table(header, rows))
    if chosen.write:
        write_section("rmd17", table(header, rows))


if __name__ == "__main__":
    main()
