"""``ladera thermal-conductivity``: of a crystal by its phonons, of anything by its heat flux."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ladera.cli.inputs import MODEL, STRUCTURE, ExecutorOption
from ladera.cli.misuse import UsageError
from ladera.cli.models import ModelOptions, model_source
from ladera.cli.numbers import ANGSTROM, FEMTOSECONDS, KELVIN, PICOSECONDS, whole
from ladera.cli.phonons import Displacement, Supercell
from ladera.cli.properties import Frame, Model, Structure, finish, require_free, with_model


def lattice(
    model: Model,
    structure: Structure,
    /,
    *,
    options: ModelOptions | None = None,
    temperature: Annotated[
        list[float] | None,
        KELVIN,
        Parameter(help="Temperatures, K; 300 by default.", consume_multiple=1),
    ] = None,
    direct: Annotated[
        bool,
        Parameter(help="Solve Boltzmann's equation in full, beside the relaxation-time result."),
    ] = False,
    isotopes: Annotated[bool, Parameter(help="Let the natural isotopes scatter too.")] = False,
    mesh: Annotated[
        tuple[int, int, int] | None,
        Parameter(
            help="Wave vectors along each reciprocal vector; left out, until converged.",
            converter=whole,
        ),
    ] = None,
    supercell: Supercell = None,
    pair_cutoff: Annotated[
        float | None,
        ANGSTROM,
        Parameter(help="Displace only pairs of atoms closer than this together, Angstrom."),
    ] = None,
    displacement: Displacement = 0.03,
    frame: Frame = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path(
        "lattice-conductivity"
    ),
) -> int:
    """Thermal conductivity (W/m/K) of a relaxed crystal by its phonons, with phono3py.

    Heat of the lattice alone, scattered by three phonons; what the mesh of wave vectors changes is
    said beside it. Writes result.json, table.csv and figure.svg; the same command goes on after an
    interruption. Takes pip install ladera[thermal].

        ladera thermal-conductivity lattice model.ladera relax/relaxed.extxyz --temperature 200 300
    """
    from ladera.properties.lattice_conductivity import lattice_conductivity

    require_free(output)
    result = lattice_conductivity(
        with_model(structure, model, options, output, frame),
        temperatures=temperature or (300.0,),
        direct=direct,
        isotopes=isotopes,
        mesh=mesh,
        supercell=supercell,
        pair_cutoff=pair_cutoff,
        displacement=displacement,
    )
    return finish(result, output)


@Parameter(name="*")
@dataclass
class Runs:
    """Runs to make first."""

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
    temperature: Annotated[float | None, KELVIN, Parameter(help="Their temperature, K.")] = None
    runs: Annotated[
        int,
        Parameter(
            help="How many; with fewer than six the errors come from blocks of them.",
            converter=whole,
        ),
    ] = 8
    time: Annotated[float, PICOSECONDS, Parameter(help="Length of each after --skip, ps.")] = 100.0
    equilibration: Annotated[
        float, PICOSECONDS, Parameter(help="Before each, with a thermostat, ps.")
    ] = 10.0
    timestep: Annotated[float, FEMTOSECONDS, Parameter(help="Their time step, fs.")] = 1.0
    flux_interval: Annotated[
        float,
        FEMTOSECONDS,
        Parameter(help="The heat flux is written so often, fs; fast motion must be seen."),
    ] = 5.0
    processes: Annotated[
        int | None,
        Parameter(help="How many run at the same time; one a core by default.", converter=whole),
    ] = None
    executor: ExecutorOption = None


def green_kubo(
    *folders: Annotated[Path, Parameter(help="Folders of `ladera md --heat-flux --ensemble nve`.")],
    options: ModelOptions | None = None,
    runs: Runs | None = None,
    skip: Annotated[
        float, PICOSECONDS, Parameter(help="Time left out at the start of each, ps.")
    ] = 0.0,
    window: Annotated[
        float | None,
        PICOSECONDS,
        Parameter(help="End of the integral, ps; where its noise begins by default."),
    ] = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("green-kubo"),
) -> int:
    """Thermal conductivity (W/m/K) from the heat flux of runs at constant energy, with its error.

    For crystals, glasses and liquids of one element, and models whose atomic energies have a
    reach: all but those with electrostatics. With --model, --structure and --temperature it makes
    the runs itself, side by side, into folders run-1... inside; the same command goes on after an
    interruption. Writes result.json, table.csv and figure.svg.

        ladera thermal-conductivity green-kubo run-1 run-2 run-3 run-4 run-5 run-6 --skip 5
        ladera thermal-conductivity green-kubo --model m.ladera --structure a.cif --temperature 300
    """
    from ladera.errors import ConfigError
    from ladera.properties.green_kubo import green_kubo as compute

    require_free(output)
    runs = runs or Runs()
    if runs.model is not None or runs.structure is not None:
        if folders:
            raise ConfigError(
                f"{folders[0]} counts as a finished run, while --model and --structure ask for new "
                "ones; leave one or the other out."
            )
        folders = tuple(_run(runs, options, skip, output))
    if not folders:
        raise UsageError(
            "ladera thermal-conductivity green-kubo needs folders of runs, or --model, --structure "
            "and --temperature to make some; name them, as in `ladera thermal-conductivity "
            "green-kubo md-300K`."
        )
    return finish(compute(folders, skip=skip, window=window), output)


def _run(runs: Runs, options: ModelOptions | None, skip: float, output: Path) -> list[Path]:
    """Folders of the runs, made or finished first."""
    from ladera.simulation.independent import run_independent
    from ladera.simulation.settings import MDSettings
    from ladera.simulation.structures import read_structure

    if not (runs.model and runs.structure and runs.temperature):
        needs = {
            "--model": runs.model,
            "--structure": runs.structure,
            "--temperature": runs.temperature,
        }
        missing = " and ".join(name for name, value in needs.items() if not value)
        raise UsageError(
            f"Simulations need --model, --structure and --temperature, and {missing} is missing; "
            "add it."
        )
    settings = MDSettings(
        ensemble="nve",
        temperature=runs.temperature,
        timestep=runs.timestep,
        time=skip + runs.time,
        log_interval=max(1, round(runs.flux_interval / runs.timestep)),
        trajectory_interval=max(1, round(1000 / runs.timestep)),
        heat_flux=True,
    )
    return run_independent(
        read_structure(runs.structure, runs.frame),
        model_source(runs.model, options),
        settings,
        output,
        count=runs.runs,
        equilibration=runs.equilibration,
        processes=runs.processes,
        executor=runs.executor,
    )
