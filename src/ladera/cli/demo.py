"""``ladera demo``: the whole way on real data, by the commands a user would type."""

from __future__ import annotations

import contextlib
import json
import shlex
import time
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from ladera.cli.session import answer, quantities

DATA: Final = "ethanol.extxyz.gz"
CONFIG: Final = "ethanol.yaml"
STRUCTURE: Final = "ethanol.xyz"


@dataclass(frozen=True)
class Stage:
    """One command of the demonstration and what it is there for."""

    purpose: str
    command: str


STAGES: Final = (
    Stage(
        "Compile what a network of this kind needs, once per installation", "ladera compile hdnnp"
    ),
    Stage("Examine the labelled frames", f"ladera data check {DATA}"),
    Stage("Train a neural network on energies and forces", f"ladera train {CONFIG} --output train"),
    Stage(
        "Judge it on frames of trajectories it has seen nothing of",
        f"ladera evaluate train/model.ladera {DATA} --split train/split.json --output test",
    ),
    Stage("Relax a molecule", f"ladera relax train/model.ladera {STRUCTURE} --output relax"),
    Stage(
        "Keep it at 300 K for 20 ps",
        "ladera md train/model.ladera relax/relaxed.extxyz --ensemble nvt-langevin "
        "--temperature 300 --time 20 --output nvt",
    ),
    Stage(
        "Leave it to itself for 3 ps: the energy must stay",
        "ladera md train/model.ladera nvt/final.extxyz --ensemble nve "
        "--initial-velocities structure --time 3 --output nve",
    ),
    Stage("Make a page of it all", "ladera report train --md relax nvt nve --output report.html"),
)


def demo(
    *,
    output: Annotated[Path, Parameter(help="Folder for the results; it must not exist.")] = Path(
        "demo"
    ),
) -> int:
    """Train on the embedded ethanol data, simulate, report.

    The data are 666 geometries with energies and forces of density functional theory. Every step
    is a command shown before it runs, to be repeated and changed in the folder of the results.
    Takes about two and a half minutes on two cores.

        ladera demo --output demo
    """
    from ladera.errors import ConfigError

    if output.exists():
        raise ConfigError(f"{output} exists already; remove it or choose another --output.")
    started = time.perf_counter()
    _lay_out(output)
    seconds: dict[str, float] = {}
    with contextlib.chdir(output):
        for stage in STAGES:
            began = time.perf_counter()
            if code := _run(stage):
                return code
            seconds[stage.command.split()[-1]] = time.perf_counter() - began
        _summarize(output, seconds["nvt"], time.perf_counter() - started)
    return 0


def _lay_out(folder: Path) -> None:
    """Put the data, the training configuration and a molecule into the folder."""
    from ase.build import molecule

    folder.mkdir(parents=True)
    for name in (DATA, CONFIG):
        with as_file(files("ladera.data") / "embedded" / name) as source:
            (folder / name).write_bytes(source.read_bytes())
    molecule("CH3CH2OH").write(folder / STRUCTURE)


def _run(stage: Stage) -> int:
    """Show a command and run it, by the same way as from a shell."""
    from rich.console import Console

    from ladera.cli import app

    console = Console(highlight=False)
    console.print(f"\n[bold]{stage.purpose}[/bold]")
    console.print(f"[cyan]$ {stage.command}[/cyan]", soft_wrap=True)
    code: int = app(shlex.split(stage.command)[1:])
    return code


def _summarize(output: Path, md_seconds: float, all_seconds: float) -> None:
    """The figures that say whether the model is any good, and where to look further."""
    from rich.console import Console
    from rich.table import Table

    from ladera.report.simulation_section import drift
    from ladera.simulation.run_folder import SimulationRun

    errors = json.loads(Path("test/evaluation.json").read_text(encoding="utf-8"))["test"]
    steps = SimulationRun.read("nvt").table["step"][-1]
    slope = drift(SimulationRun.read("nve"))
    fields = {
        "energy_rmse": (errors["energy"]["rmse"], "meV/atom"),
        "forces_rmse": (errors["forces"]["rmse"], "meV/Angstrom"),
        "drift": (slope, "meV/atom/ps"),
        "speed": (steps / md_seconds, "steps/s"),
        "seconds": (all_seconds, "s"),
    }
    answer(quantities("demo", fields), [output / "report.html"])
    table = Table(show_header=False)
    for name, value in (
        ("Energy of test frames, RMSE", f"{errors['energy']['rmse']:.2f} meV/atom"),
        ("Forces on their atoms, RMSE", f"{errors['forces']['rmse']:.1f} meV/Å"),
        ("Drift of the energy without a thermostat", f"{slope:.3f} meV/atom/ps"),
        ("Molecular dynamics, start included", f"{steps / md_seconds:,.0f} steps/s"),
        ("All of the above", f"{all_seconds:.0f} s"),
    ):
        table.add_row(name, value)
    console = Console(highlight=False)
    console.print()
    console.print(table)
    console.print(f"Open {output / 'report.html'} in a browser.", soft_wrap=True)
