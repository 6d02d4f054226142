"""What the optimizer of a family reaches beside Adam, in equal epochs, on data of several kinds.

    python benchmarks/family_optimizers.py RUNS [--train] [--cases mace-water] [--write]

RUNS holds a folder for each case, a family and its data, and each optimizer; with --train the
missing ones are made, with a small model and the defaults of Ladera in everything else. Few epochs,
one seed, one thread: mean absolute and root mean square errors of test frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from page import DATA, table, write_section
from runs import options, trained

import ladera
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.models import registry
from ladera.training.evaluation import evaluate_dataset


@dataclass(frozen=True)
class Frames:
    """``number`` training frames, every ``step``-th, and how many are tested."""

    train: str
    test: str
    number: int
    step: int
    tests: int


FRAMES: Final = {
    "h2co": Frames("h2co_dipole/train.extxyz.gz", "h2co_dipole/test.extxyz.gz", 200, 1, 300),
    "water": Frames("water_pbe0ts/train.extxyz.gz", "water_pbe0ts/test_even.extxyz.gz", 24, 1, 10),
    "silicon": Frames("mlearn/Si_train.extxyz.gz", "mlearn/Si_test.extxyz.gz", 60, 3, 25),
    "molybdenum": Frames("mlearn/Mo_train.extxyz.gz", "mlearn/Mo_test.extxyz.gz", 80, 2, 23),
    "ethanol": Frames(
        "rmd17/ethanol_train_01.extxyz.gz", "rmd17/ethanol_test_01.extxyz.gz", 100, 1, 300
    ),
}


@dataclass(frozen=True)
class Case:
    """A small model and how long it is trained."""

    model: dict[str, Any]
    epochs: int
    batch: int
    rest: dict[str, Any] = field(default_factory=dict)


SINGLE: Final = {"precision": "float32"}
CASES: Final = {
    "mace-h2co": Case(
        {"cutoff": 4.5, "channels": 16, "outputs": ["energy", "dipole"]},
        40,
        8,
        {**SINGLE, "loss": {"energy": 10.0, "forces": 1.0, "dipole": 10.0}},
    ),
    "mace-water": Case({"cutoff": 4.5, "channels": 16, "hidden_l": 0}, 15, 1, SINGLE),
    "mace-ethanol": Case({"cutoff": 4.5, "channels": 16}, 30, 4, SINGLE),
    "nequip-silicon": Case({"cutoff": 4.5, "layers": 2, "channels": [16, 8, 8]}, 20, 2, SINGLE),
    "nequip-ethanol": Case({"cutoff": 4.5, "layers": 3, "channels": [32, 16, 8]}, 30, 4, SINGLE),
    "hdnnp-ethanol": Case({"cutoff": 5.0, "size": "small"}, 60, 4),
    "hdnnp-h2co": Case({"cutoff": 5.0}, 60, 8),
    "hdnnp-molybdenum": Case({"cutoff": 5.0}, 40, 4),
    "hdnnp-water": Case({"cutoff": 5.0, "size": "small"}, 30, 1),
}


def main() -> None:
    """Train what is missing, and print the table."""
    chosen = options(__doc__, "cases", list(CASES))
    torch.set_num_threads(1)
    rows = []
    for name in chosen.cases:
        case, (family, data) = CASES[name], name.split("-")
        train, test = parts(data, chosen.runs)
        for optimizer in ({"name": "adam"}, dict(registry.config_class(family).optimizer)):
            values = {
                "data": {"files": str(train), "split": {"validation": 0.1, "test": 0, "seed": 1}},
                "model": {"architecture": family, **case.model},
                "epochs": case.epochs,
                "batch_size": case.batch,
                "optimizer": optimizer,
                **case.rest,
            }
            folder = chosen.runs / f"{name}-{optimizer['name']}"
            if run := trained(folder, written(values, folder), chosen.changes, chosen.train):
                rows.append([name, optimizer["name"], *errors(run[0], test), f"{run[1]:.0f}"])
                print(rows[-1], flush=True)
    head = ["", "optimizer", "E, meV/atom: MAE / RMSE", "F, meV/Å: MAE / RMSE", "CPU s"]
    text = table(head, rows)
    print(text)
    if chosen.write:
        write_section("family optimizers", text)


def parts(name: str, folder: Path) -> tuple[Path, Dataset]:
    """The file of the training frames, and the test frames."""
    frames, path = FRAMES[name], folder / f"{name}.extxyz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        all_of_them = formats.read(DATA / "data" / frames.train)
        formats.write(all_of_them[:: frames.step][: frames.number], path)
    return path, formats.read(DATA / "data" / frames.test)[: frames.tests]


def written(values: dict[str, Any], folder: Path) -> Path:
    """The configuration as a file beside the folder of its run."""
    path = folder.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(values))
    return path


def errors(potential: ladera.Potential, frames: Dataset) -> list[str]:
    """Errors of the energy and of the forces."""
    found = evaluate_dataset(potential, frames).to_json()
    return [f"{found[q]['mae']:.1f} / {found[q]['rmse']:.1f}" for q in ("energy", "forces")]


if __name__ == "__main__":
    main()
