"""Published moment tensor potentials, pruned: errors of test frames and time of a step.

    OMP_NUM_THREADS=1 python benchmarks/mtp_pruning.py RUNS [--elements Si Ge] [--write]

RUNS keeps the pruned potentials of Zuo et al., J. Phys. Chem. A 124, 731 (2020), which come from
the training frames of mlearn without a step of the radial functions. Errors are those of the test
frames, MAE / RMSE; times are those of 216 atoms of a disordered crystal (atom_steps.py). --write
renews a section of docs/performance.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Final

import torch
from ase.build import bulk
from atom_steps import microseconds
from mlearn import MLEARN, PUBLISHED
from mtp_training import errors_of
from page import table, write_rows

import ladera
from ladera.data import formats
from ladera.models.mtp import MTP
from ladera.training.variable_projection.pruning import lean, prune

COSTS: Final = (0.5, 0.4, 0.3)
HEAD: Final = ("", "functions", "products", "energy (meV/atom)", "forces (meV/Å)")


def models_of(element: str, runs: Path) -> dict[str, MTP]:
    """The published potential, the same by Ladera's program, and what was pruned of it."""
    published = ladera.load(PUBLISHED / element / "mtp" / "fitted.mtp", types=(element,))
    if not isinstance(published, MTP):
        raise SystemExit(f"The published potential of {element} is no mtp.")
    models = {"as MLIP wrote it": published, "by Ladera's program": lean(published)}
    frames = formats.read([str(MLEARN / f"{element}_train.extxyz.gz")])
    for cost in COSTS:
        file = runs / f"{element}-{cost:g}.ladera"
        if not file.is_file():
            start = time.process_time()
            prune(published, frames, cost=cost, epochs=0).potential.save(file)
            print(f"{file}: {time.process_time() - start:.0f} s CPU", flush=True)
        models[f"`--cost {cost:g}`"] = ladera.load(file)
    return models


def rows_of(element: str, runs: Path) -> list[list[str]]:
    """Of each model."""
    models = models_of(element, runs)
    test = formats.read([str(MLEARN / f"{element}_test.extxyz.gz")])
    start = bulk(element, cubic=True) * 3
    start.rattle(0.1, seed=1)
    times = microseconds(list(models.values()), start)
    rows = []
    for (name, model), taken in zip(models.items(), times, strict=True):
        program = model.program
        sizes = f"{len(program.scalars)}", f"{len(program.products):,}"
        cells = f"{taken:.1f}", f"{times[0] / taken:.1f}"
        rows.append([f"{element}, {name}", *sizes, *errors_of(model, test), *cells])
        print(*rows[-1], sep="  ", flush=True)
    return rows


def main() -> None:
    """Prune what is missing, measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--elements", nargs="+", default=["Si", "Ge"], choices=["Si", "Ge"])
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    chosen.runs.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    head = (*HEAD, "µs an atom", "times faster")
    rows = [row for element in chosen.elements for row in rows_of(element, chosen.runs)]
    print(table(head, rows))
    if chosen.write:
        write_rows("mtp pruned", head, rows)


if __name__ == "__main__":
    main()
