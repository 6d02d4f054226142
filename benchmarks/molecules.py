"""Test errors of a NequIP and a MACE trained on 500 frames of a molecule at 300 K, in one table.

    python benchmarks/molecules.py RUNS [--train] [--cases nequip-3bpa ...] [--set k=v] [--write]

RUNS holds a folder for each case, a family and a molecule, with a training run in it; with --train
the missing ones are made, with benchmarks/molecules_nequip.yaml and molecules_mace.yaml. Published:
root mean square errors of Allegro and NequIP with L = 3 and MACE with 256 channels and L = 2, means
of three runs; tables 2 and 3 of Batatia et al., NeurIPS 2022, arXiv:2206.07697. Where their test
frames are not at hand others stand in: of acac at 600 K the 500 training frames of that
temperature, of 3BPA at 300 K 136 frames of the training set of mixed temperatures that are not
among the 500. Hotter frames of 3BPA may lie in RUNS, in hot_600K.extxyz and hot_1200K.extxyz: ours
are of dynamics with ANI-2x, labelled by PySCF. CPU seconds are those of a training on one thread,
from reading the frames to the errors of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from page import DATA, table, write_section
from runs import options, trained

import ladera
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.training.evaluation import evaluate_dataset
from ladera.training.run_folder import read_log

HERE: Final = Path(__file__).parent
PUBLISHED: Final = ("Allegro", "NequIP", "MACE")


class Test(NamedTuple):
    """Frames to test on, and the errors published for such frames by each of PUBLISHED."""

    name: str
    file: str  # below the data; frames of ours: below RUNS
    published: tuple[str, str, str]
    ours: bool = False


@dataclass(frozen=True)
class Molecule:
    """Where the frames are, energies of its free atoms (eV), and its tests."""

    train: str
    atoms: dict[str, float]
    tests: tuple[Test, ...]


MOLECULES: Final = {
    "3bpa": Molecule(
        "3bpa/train_300K.extxyz.gz",
        {
            "H": -13.587222780835477,
            "C": -1029.4889999855063,
            "N": -1484.9814568572233,
            "O": -2041.9816003861047,
        },
        (
            Test(
                "300 K",
                "3bpa/test_300K_from_mixedT.extxyz.gz",
                ("3.8 / 13.0", "3.3 / 10.8", "3.0 / 8.8"),
            ),
            Test(
                "600 K, ours",
                "hot_600K.extxyz",
                ("12.1 / 29.2", "11.2 / 26.4", "9.7 / 21.8"),
                ours=True,
            ),
            Test(
                "1200 K, ours",
                "hot_1200K.extxyz",
                ("42.6 / 83.0", "38.5 / 76.2", "29.8 / 62.0"),
                ours=True,
            ),
        ),
    ),
    "acac": Molecule(
        "acac/train_300K.extxyz.gz",
        {"H": -13.568422178253735, "C": -1026.8538996116154, "O": -2037.796869412825},
        (
            Test("300 K", "acac/test_MD_300K.extxyz.gz", ("-", "0.8 / 5.9", "0.9 / 5.1")),
            Test("600 K", "acac/train_600K.extxyz.gz", ("-", "6.0 / 27.8", "4.6 / 22.4")),
        ),
    ),
}
FAMILIES: Final = {"nequip": "NequIP here", "mace": "MACE here"}
CASES: Final = tuple(f"{family}-{molecule}" for molecule in MOLECULES for family in FAMILIES)


class Run(NamedTuple):
    """A trained model, and what it took."""

    potential: ladera.Potential
    seconds: float  # of CPU
    epochs: int


def main() -> None:
    """Train what is missing, and print both tables."""
    chosen = options(__doc__, "cases", CASES)
    torch.set_num_threads(1)
    runs = {case: run for case in chosen.cases if (run := run_of(case, chosen))}
    errors = table(
        ["molecule", "test", "frames", *PUBLISHED, *FAMILIES.values()],
        list(tested(runs, chosen.runs)),
    )
    costs = table(
        ["run", "parameters", "epochs", "CPU s"], [cost(case, run) for case, run in runs.items()]
    )
    print(errors, costs, sep="\n\n")
    if chosen.write:
        write_section("molecules", f"{errors}\n\n{costs}")


def run_of(case: str, chosen: Any) -> Run | None:
    """The run of a family and a molecule, made where it is missing and wanted."""
    family, name = case.split("-")
    molecule = MOLECULES[name]
    energies = ", ".join(f"{symbol}: {energy!r}" for symbol, energy in molecule.atoms.items())
    changes = [
        f"data.files={DATA / 'data' / molecule.train}",
        f"reference_energies={{{energies}}}",
        *chosen.changes,
    ]
    config = chosen.config or HERE / f"molecules_{family}.yaml"
    found = trained(chosen.runs / case, config, changes, chosen.train)
    return found and Run(*found, epochs=len(read_log(chosen.runs / case)["epoch"]))


def tested(runs: Mapping[str, Run], folder: Path) -> Iterator[list[str]]:
    """A row for each test whose frames are there, with the errors of the runs of its molecule."""
    for name, molecule in MOLECULES.items():
        for test in molecule.tests:
            path = (folder if test.ours else DATA / "data") / test.file
            if not path.is_file():
                continue
            frames = formats.read(path)
            row = [name, test.name, str(len(frames)), *test.published]
            for family in FAMILIES:
                run = runs.get(f"{family}-{name}")
                row.append(errors(run.potential, frames) if run else "-")
            print(row, flush=True)
            yield row


def errors(potential: ladera.Potential, frames: Dataset) -> str:
    """Root mean square errors: of the energy, meV, and of a force component, meV/Angstrom."""
    found = evaluate_dataset(potential, frames).to_json()
    energy = found["energy"]["rmse"] * frames[0].n_atoms  # of an atom, in all formats of errors
    return f"{energy:.1f} / {found['forces']['rmse']:.1f}"


def cost(case: str, run: Run) -> list[str]:
    """What a run took: parameters, epochs, CPU seconds."""
    parameters = sum(parameter.numel() for parameter in run.potential.parameters())
    return [case, f"{parameters:,}", str(run.epochs), f"{run.seconds:.0f}"]


if __name__ == "__main__":
    main()
