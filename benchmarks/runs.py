"""Training runs of a benchmark: made once, kept in a folder, with the CPU time they took."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ladera
from ladera.training import config_file
from ladera.training.trainer import train

COST = "cpu_seconds.txt"


def options(
    purpose: str | None, what: str, choices: Sequence[str], config: Path | None = None
) -> Any:
    """The command line of a benchmark that trains a model for each of some choices.

    ``config``: of all of them; None: they have different ones.
    """
    parser = argparse.ArgumentParser(
        description=purpose, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--train", action="store_true")
    parser.add_argument(f"--{what}", nargs="+", default=list(choices), choices=list(choices))
    parser.add_argument("--config", type=Path, default=config)
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def trained(
    folder: Path, config: Path, changes: Sequence[str], train_missing: bool
) -> tuple[ladera.Potential, float] | None:
    """The model of a run and the CPU seconds of its training; None where there is no whole run.

    With ``train_missing`` a run that is not there is made, by a configuration and changes to it,
    and one that was interrupted goes on; seconds since its last whole epoch are not counted.
    """
    model, cost = folder / "model.ladera", folder / COST
    if cost.is_file():
        return ladera.load(model), float(cost.read_text())
    if not train_missing:
        return None
    print(f"training {folder}", flush=True)
    so_far = folder / "cpu_seconds_so_far.txt"
    start = time.process_time() - (float(so_far.read_text()) if so_far.is_file() else 0.0)

    def on_epoch(_: dict[str, float | int]) -> None:
        so_far.write_text(f"{time.process_time() - start:.1f}\n")

    settings = config_file.load(config, list(changes))
    resume = (folder / "checkpoint.safetensors").is_file()
    potential = train(settings, folder, resume=resume, on_epoch=on_epoch)
    seconds = time.process_time() - start
    cost.write_text(f"{seconds:.1f}\n")
    return potential, seconds
