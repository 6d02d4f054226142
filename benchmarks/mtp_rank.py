"""What radial coefficients of low rank cost: acetylacetone (H, C, O), 500 frames at 300 K.

    OMP_NUM_THREADS=1 python benchmarks/mtp_rank.py RUNS [--train] [--ranks any 5 4] [--write]

RUNS holds a training for each rank of benchmarks/mtp_rank.yaml; with --train the missing ones are
made. Errors are those of 650 other frames (Batatia et al., arXiv:2205.06643), MAE / RMSE. --write
renews a section of docs/mtp-training.md.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import torch
from mtp_training import errors_of
from page import DATA, ROOT, table, write_rows
from runs import options, trained

from ladera.data import formats
from ladera.models.mtp import MTP

ACAC: Final = DATA / "data" / "acac"
RANKS: Final = ("any", "5", "4")
CONFIG: Final = Path(__file__).with_name("mtp_rank.yaml")
HEAD: Final = ("rank", "radial numbers", "of all", "loss", "energy (meV/atom)", "forces (meV/Å)")


def numbers_of(model: MTP, rank: str) -> int:
    """How many the radial coefficients come from: U and V less what U X, V X^-T leaves the same."""
    n_rows, size = model.radial_coefficients.flatten(0, 2).shape
    return n_rows * size if rank == "any" else (n_rows + size - int(rank)) * int(rank)


def main() -> None:
    """Train what is missing and print the table."""
    chosen = options(__doc__, "ranks", RANKS, CONFIG)
    torch.set_num_threads(1)
    test, rows = formats.read([str(ACAC / "test_MD_300K.extxyz.gz")]), []
    for rank in chosen.ranks:
        changes = [] if rank == "any" else [f"optimizer.radial_rank={rank}"]
        changes.append(f"data.files={ACAC / 'train_300K.extxyz.gz'}")
        folder = chosen.runs / f"rank-{rank}"
        run = trained(folder, chosen.config, [*changes, *chosen.changes], chosen.train)
        if run is None or not isinstance(run[0], MTP):
            continue
        model = run[0]
        with (folder / "log.csv").open(encoding="utf-8") as file:
            loss = float(list(csv.DictReader(file))[-1]["train_loss"])
        count = numbers_of(model, rank)
        whole = count + len(model.moment_coefficients) + len(model.species_energies)
        rows.append([rank, str(count), str(whole), f"{loss:.3g}", *errors_of(model, test)])
        print(*rows[-1], sep="  ", flush=True)
    print(table(HEAD, rows))
    if chosen.write and rows:
        write_rows("mtp rank", HEAD, rows, ROOT / "docs" / "mtp-training.md")


if __name__ == "__main__":
    main()
