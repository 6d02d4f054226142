"""Test errors of a MACE trained on 500 frames of a molecule at 300 K, beside the published ones.

    python benchmarks/mace_molecules.py RUNS [--train] [--molecules acac] [--set k=v] [--write]

RUNS holds a folder for each molecule with a training run in it; with --train the missing ones are
made, with the configuration --config (benchmarks/mace_molecules.yaml by default). Published: root
mean square errors of MACE with 256 channels and L = 2, mean of three runs; tables 2 and 3 of
Batatia et al., NeurIPS 2022, arXiv:2206.07697. Where their test frames are not at hand others stand
in: of acac at 600 K the 500 training frames of that temperature, of 3BPA at 300 K 136 frames of the
training set of mixed temperatures that are not among the 500. CPU seconds are those of a training
on one thread, from reading the frames to the errors of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from page import DATA, table, write_section
from runs import options, trained

from ladera.data import formats
from ladera.training.evaluation import evaluate_dataset

CONFIG = Path(__file__).with_name("mace_molecules.yaml")


@dataclass(frozen=True)
class Molecule:
    """Where the frames are, energies of its free atoms (eV), and published errors by test file."""

    train: str
    atoms: dict[str, float]
    tests: dict[str, tuple[str, str]]


MOLECULES = {
    "acac": Molecule(
        "acac/train_300K.extxyz.gz",
        {"H": -13.568422178253735, "C": -1026.8538996116154, "O": -2037.796869412825},
        {
            "300 K": ("acac/test_MD_300K.extxyz.gz", "0.9 / 5.1"),
            "600 K": ("acac/train_600K.extxyz.gz", "4.6 / 22.4"),
        },
    ),
    "3bpa": Molecule(
        "3bpa/train_300K.extxyz.gz",
        {
            "H": -13.587222780835477,
            "C": -1029.4889999855063,
            "N": -1484.9814568572233,
            "O": -2041.9816003861047,
        },
        {"300 K": ("3bpa/test_300K_from_mixedT.extxyz.gz", "3.0 / 8.8")},
    ),
}


def main() -> None:
    chosen = options(__doc__, "molecules", list(MOLECULES), CONFIG)
    torch.set_num_threads(1)
    rows = []
    for name in chosen.molecules:
        molecule = MOLECULES[name]
        energies = ", ".join(f"{symbol}: {energy!r}" for symbol, energy in molecule.atoms.items())
        changes = [
            f"data.files={DATA / 'data' / molecule.train}",
            f"reference_energies={{{energies}}}",
            *chosen.changes,
        ]
        run = trained(chosen.runs / name, chosen.config, changes, chosen.train)
        for temperature, (file, published) in molecule.tests.items():
            row = [name, temperature, published, "-", "-"]
            if run:
                frames = formats.read(DATA / "data" / file)
                evaluation = evaluate_dataset(run[0], frames).to_json()
                energy = evaluation["energy"]["rmse"] * frames[0].n_atoms
                row[3:] = [f"{energy:.1f} / {evaluation['forces']['rmse']:.1f}", f"{run[1]:.0f}"]
            rows.append(row)
            print(row, flush=True)
    header = ["molecule", "test", "published, meV / meV/Å", "Ladera", "CPU s"]
    print(table(header, rows))
    if chosen.write:
        write_section("mace molecules", table(header, rows))


if __name__ == "__main__":
    main()
