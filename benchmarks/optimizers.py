"""What a short training reaches with AdamW and with Muon, at several rates, in equal epochs.

    python benchmarks/optimizers.py RUNS [--train] [--cases mace-muon-0.01] [--set k=v] [--write]

RUNS holds a folder for each case, a family, an optimizer and its learning rate; with --train the
missing ones are made, on 100 of the training frames of 3BPA at 300 K, 20 to validate on, and all
are tested on the other 380: root mean square errors. CPU seconds on one thread.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from molecules import MOLECULES, errors
from page import DATA, table, write_section
from runs import options, trained

from ladera.data import formats
from ladera.data.dataset import Dataset

HERE: Final = Path(__file__).parent
FAMILIES: Final = {
    "mace": ["model.channels=32", "model.hidden_l=0"],
    "nequip": ["model.channels=[32, 16, 8]"],
}
RATES: Final = {"adamw": (0.01, 0.02, 0.05), "muon": (0.01,)}
CASES: Final = tuple(
    f"{family}-{name}-{rate}"
    for family in FAMILIES
    for name, rates in RATES.items()
    for rate in rates
)
SIZES: Final = {"train": 100, "validation": 20, "test": 380}


def main() -> None:
    """Train what is missing, and print the table."""
    chosen = options(__doc__, "cases", CASES)
    torch.set_num_threads(1)
    files = parts(chosen.runs)
    test, rows = formats.read(files["test"]), []
    for case in chosen.cases:
        family, name, rate = case.split("-")
        changes = [
            f"data.files={files['train']}",
            f"data.validation_files={files['validation']}",
            f"reference_energies={MOLECULES['3bpa'].atoms}",
            "stage_two=null",
            "batch_size=2",
            "epochs=30",
            f"optimizer={{name: {name}, learning_rate: {rate}, weight_decay: 0}}",
            *FAMILIES[family],
            *chosen.changes,
        ]
        config = HERE / f"molecules_{family}.yaml"
        if run := trained(chosen.runs / case, config, changes, chosen.train):
            rows.append([family, name, rate, errors(run[0], test), f"{run[1]:.0f}"])
            print(rows[-1], flush=True)
    text = table(["family", "optimizer", "rate", "E, meV / F, meV/Å", "CPU s"], rows)
    print(text)
    if chosen.write:
        write_section("optimizers", text)


def parts(folder: Path) -> dict[str, Path]:
    """Files with the frames of each part, drawn by chance, the same ones every time."""
    frames = formats.read(DATA / "data" / MOLECULES["3bpa"].train)
    order, found, first = np.random.default_rng(1).permutation(len(frames)), {}, 0
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in SIZES.items():
        found[name] = folder / f"{name}.extxyz"
        if not found[name].exists():
            part: Dataset = frames[np.sort(order[first : first + size])]
            formats.write(part, found[name])
        first += size
    return found


if __name__ == "__main__":
    main()
