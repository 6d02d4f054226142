"""Test errors on rMD17, 950 frames to train on and 50 to validate, against ANI.

    python benchmarks/rmd17.py RUNS [--train] [--cases ethanol] [--set key=value] [--write]

RUNS holds a folder for each molecule with a training run of Ladera in it; with --train the missing
ones are made, with the configuration --config (benchmarks/rmd17.yaml by default) and the data of
the molecule, split 01. A case such as ethanol-shifted has symmetry functions of another family. ANI
is a network on fixed symmetry functions as well; its errors are those of table 1 of Batatia et al.,
NeurIPS 2022, arXiv:2206.07697. CPU seconds are those of a training, from reading the frames to the
errors of all of them. With --write the tables whose cases all have a run go into the documentation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


FAMILIES = ("shifted", "chebyshev")
SECTIONS = {
    "rmd17": tuple(ANI),
    "rmd17 functions": tuple(f"ethanol-{family}" for family in FAMILIES),
}


def main() -> None:
    """Train what is missing, and print both tables."""
    cases = [case for section in SECTIONS.values() for case in section]
    chosen = options(__doc__, "cases", cases, CONFIG)
    torch.set_num_threads(1)
    rows = {case: found for case in chosen.cases if (found := row(case, chosen))}
    header = ["MAE of E, meV / F, meV/Å", "ANI", "Ladera", "CPU s"]
    for section, wanted in SECTIONS.items():
        text = table(header, [rows[case] for case in wanted if case in rows])
        print(text)
        if chosen.write and all(case in rows for case in wanted):
            write_section(section, text)


def row(case: str, chosen: Any) -> list[str] | None:
    """Errors of the run of a case on the test frames; None where there is no run."""
    molecule, _, family = case.partition("-")
    changes = [
        f"data.files={RMD17 / f'{molecule}_train_01.extxyz.gz'}",
        f"data.test_files={RMD17 / f'{molecule}_test_01.extxyz.gz'}",
        *([f"model.functions={family}"] if family else []),
        *chosen.changes,
    ]
    run = trained(chosen.runs / case, chosen.config, changes, chosen.train)
    if run is None:
        return None
    frames = formats.read(RMD17 / f"{molecule}_test_01.extxyz.gz")
    evaluation = evaluate_dataset(run[0], frames).to_json()
    energy = evaluation["energy"]["mae"] * frames[0].n_atoms
    found = f"{energy:.1f} / {evaluation['forces']['mae']:.1f}"
    ani = "{:.1f} / {:.1f}".format(*ANI[molecule])
    print(case, ani, found, flush=True)
    return [case.replace("-", ", "), ani, found, f"{run[1]:.0f}"]


if __name__ == "__main__":
    main()
