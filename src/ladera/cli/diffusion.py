"""``ladera diffusion``: how fast ions move in trajectories, or in runs it makes itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ladera.cli.inputs import MODEL, STRUCTURE, TRAJECTORY, ExecutorOption, Types
from ladera.cli.misuse import UsageError
from ladera.cli.models import ModelOptions, model_source
from ladera.cli.numbers import FEMTOSECONDS, KELVIN, PICOSECONDS, in_unit, whole
from ladera.cli.properties import Frame, finish, require_free


@Parameter(name="*")
@dataclass
class Runs:
    """Simulations to run first."""

    model: Annotated[
        list[Path] | None,
        MODEL,
        Parameter(
            help="Run simulations with this model (several make a committee) instead.",
            consume_multiple=1,
        ),
    ] = None
    structure: Annotated[
        Path | None, STRUCTURE, Parameter(help="Structure that these start from.")
    ] = None
    frame: Frame = None
    time: Annotated[float, PICOSECONDS, Parameter(help="Their length after --skip, ps.")] = 100.0
    timestep: Annotated[float, FEMTOSECONDS, Parameter(help="Their time step, fs.")] = 1.0
    processes: Annotated[
        int | None,
        Parameter(help="How many run at the same time; one a core by default.", converter=whole),
    ] = None
    executor: ExecutorOption = None


@Parameter(name="*")
@dataclass
class Files:
    """What trajectory files do not say."""

    interval: Annotated[
        float | None, FEMTOSECONDS, Parameter(help="Time between frames of trajectory files, fs.")
    ] = None
    temperature: Annotated[
        list[float] | None,
        KELVIN,
        Parameter(help="Temperature of each trajectory or run, K.", consume_multiple=1),
    ] = None
    types: Types = None


@Parameter(name="*")
@dataclass
class Analysis:
    """How trajectories become numbers."""

    charge: Annotated[
        float | None, in_unit("e"), Parameter(help="Charge of an ion, e; the usual one by default.")
    ] = None
    window: Annotated[
        tuple[float, float] | None,
        PICOSECONDS,
        Parameter(help="First and last time of the fit, ps."),
    ] = None
    skip: Annotated[float, PICOSECONDS, Parameter(help="Time left out at the start, ps.")] = 0.0
    viscosity: Annotated[
        float | None,
        in_unit("mPa s"),
        Parameter(help="Of a liquid in a cubic cell, mPa s: corrects for the size of the cell."),
    ] = None
    target: Annotated[
        float, KELVIN, Parameter(help="Temperature that an Arrhenius line is extrapolated to, K.")
    ] = 300.0


def diffusion(
    *trajectories: Annotated[
        Path, TRAJECTORY, Parameter(help="Folders of `ladera md`, or trajectory files.")
    ],
    species: Annotated[str, Parameter(help="The element that moves, as Li.")],
    runs: Runs | None = None,
    files: Files | None = None,
    analysis: Analysis | None = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("diffusion"),
) -> int:
    """Diffusion coefficient (cm^2/s), conductivity (mS/cm) and Haven ratio with their errors.

    Several trajectories at different temperatures make an Arrhenius line: activation energy (eV),
    prefactor and extrapolation. Writes result.json, table.csv and figure.svg; with several
    trajectories those of each are in folders of their own inside. Beside each are van_hove (how far
    ions have gone) and, in a crystal, site_density (where they are; density.cube).

    With --model, --structure and --temperature it runs the simulations itself, side by side (nvt,
    Bussi's thermostat) into folders md-600K... inside; the same command goes on after an
    interruption. Of a committee the mean runs, and each member by itself (md-600K-member-1...), for
    the deviation of the members; all that takes twice as long as the mean.

        ladera diffusion md-600K md-800K md-1000K --species Li --skip 5
        ladera diffusion run.lammpstrj --species Li --types Li P S --interval 100 --temperature 600
        ladera diffusion --model m.ladera --structure lgps.cif --species Li --temperature 600 800
    """
    from ladera.errors import ConfigError

    if not trajectories and (runs is None or not (runs.model or runs.structure)):
        raise UsageError(
            "ladera diffusion needs trajectories, or --model, --structure and --temperature to "
            "make some; name them, as in `ladera diffusion md-600K md-800K --species Li`."
        )
    from ladera.properties.transport import TrajectoryFiles, transport

    require_free(output)
    runs, files, analysis = runs or Runs(), files or Files(), analysis or Analysis()
    groups, temperatures = [[path] for path in trajectories], files.temperature
    if runs.model is not None or runs.structure is not None:
        if groups:
            raise ConfigError(
                f"{groups[0][0]} counts as a trajectory, while --model and --structure ask for new "
                "simulations; leave one or the other out."
            )
        groups = _run(runs, options, temperatures, analysis.skip + runs.time, output)
        temperatures = None  # the runs know theirs
    settings = asdict(analysis)
    source = TrajectoryFiles(
        groups, files.interval, temperatures, files.types or (), settings.pop("skip")
    )
    return finish(transport(source, species, output, **settings), output)


def _run(
    runs: Runs,
    options: ModelOptions | None,
    temperatures: list[float] | None,
    time: float,
    output: Path,
) -> list[list[Path]]:
    """Folders of the runs, made or finished first."""
    from ladera.properties.transport import run_for_diffusion
    from ladera.simulation.structures import read_structure

    if not (runs.model and runs.structure and temperatures):
        needs = {
            "--model": runs.model,
            "--structure": runs.structure,
            "--temperature": temperatures,
        }
        missing = " and ".join(name for name, value in needs.items() if not value)
        raise UsageError(f"Simulations need --model, --structure and --temperature; add {missing}.")
    return run_for_diffusion(
        read_structure(runs.structure, runs.frame),
        model_source(runs.model, options),
        temperatures,
        output,
        time=time,
        timestep=runs.timestep,
        processes=runs.processes,
        executor=runs.executor,
    )
