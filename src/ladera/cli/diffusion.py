"""``ladera diffusion``: how fast ions move in trajectories, or in runs it makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ladera.cli.progress import ProgressBar
from ladera.cli.properties import finish, require_free

if TYPE_CHECKING:
    from ladera.properties.trajectory import Trajectory

_FRAME = 50.0  # fs between the frames of a run


def diffusion(
    trajectories: Annotated[
        list[Path] | None,
        Parameter(help="Folders of `ladera md`, or trajectory files ASE reads."),
    ] = None,
    /,
    *,
    species: Annotated[str, Parameter(help="The element that moves, as Li.")],
    model: Annotated[
        list[Path] | None,
        Parameter(
            help="Run simulations with this model (several make a committee) instead.",
            consume_multiple=True,
        ),
    ] = None,
    structure: Annotated[Path | None, Parameter(help="Structure that these start from.")] = None,
    time: Annotated[float, Parameter(help="Their length after --skip, ps.")] = 100.0,
    timestep: Annotated[float, Parameter(help="Their time step, fs.")] = 1.0,
    processes: Annotated[
        int | None, Parameter(help="How many run at the same time; one a core by default.")
    ] = None,
    interval: Annotated[
        float | None, Parameter(help="Time between frames of trajectory files, fs.")
    ] = None,
    temperature: Annotated[
        list[float] | None,
        Parameter(help="Temperature of each trajectory or run, K.", consume_multiple=True),
    ] = None,
    types: Annotated[
        list[str] | None,
        Parameter(help="Species of a LAMMPS dump's types 1, 2, 3...", consume_multiple=True),
    ] = None,
    charge: Annotated[
        float | None, Parameter(help="Charge of an ion, e; the usual one by default.")
    ] = None,
    window: Annotated[
        tuple[float, float] | None, Parameter(help="First and last time of the fit, ps.")
    ] = None,
    skip: Annotated[float, Parameter(help="Time left out at the start, ps.")] = 0.0,
    viscosity: Annotated[
        float | None,
        Parameter(help="Of a liquid in a cubic cell, mPa s: corrects for the size of the cell."),
    ] = None,
    target: Annotated[
        float, Parameter(help="Temperature that an Arrhenius line is extrapolated to, K.")
    ] = 300.0,
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
    from ladera.properties.arrhenius import arrhenius
    from ladera.properties.diffusion import diffusion as compute
    from ladera.properties.trajectory import read_trajectory

    require_free(output)
    groups = [[path] for path in trajectories or ()]
    if model is not None or structure is not None:
        groups = _runs(
            groups, model, structure, temperature, output, skip + time, timestep, processes
        )
        temperature = None  # the runs know theirs
    if not groups:
        raise ConfigError("Give trajectories, or --model, --structure and --temperature to run.")
    if temperature is not None and len(temperature) != len(groups):
        raise ConfigError(
            f"--temperature has {len(temperature)} value(s) for {len(groups)} trajectories; "
            "give one for each, in their order."
        )
    results = []
    for index, group in enumerate(groups):
        first, *members = (
            read_trajectory(
                path,
                interval=interval,
                temperature=None if temperature is None else temperature[index],
                types=types or (),
            ).after(skip)
            for path in group
        )
        result = compute(
            first, species, charge=charge, window=window, viscosity=viscosity, members=members
        )
        results.append(result)
        if len(groups) == 1:
            _save_details(first, species, output)
            return finish(result, output)
        place = output / f"{index + 1}-{result.temperature:.0f}K"
        result.save(place)
        _save_details(first, species, place)
    return finish(arrhenius(results, target=target), output)


def _runs(
    given: list[list[Path]],
    model: list[Path] | None,
    structure: Path | None,
    temperatures: list[float] | None,
    output: Path,
    time: float,
    timestep: float,
    processes: int | None,
) -> list[list[Path]]:
    """Folders of the runs, made or finished first: at each temperature the mean's and members'."""
    from ladera.errors import ConfigError
    from ladera.simulation.parallel import run_temperatures
    from ladera.simulation.settings import MDSettings
    from ladera.simulation.structures import read_structure

    if given:
        raise ConfigError(
            f"{given[0][0]} counts as a trajectory, while --model and --structure ask for new "
            "simulations; leave one or the other out."
        )
    if not (model and structure and temperatures):
        raise ConfigError("Simulations need --model, --structure and --temperature.")
    settings = MDSettings(
        ensemble="nvt-bussi",
        timestep=timestep,
        time=time,
        trajectory_interval=max(1, round(_FRAME / timestep)),
    )
    words = f"{len(temperatures)} temperature(s), {time:g} ps each"
    with ProgressBar(f"{words}, %", 100) as bar:
        runs = run_temperatures(
            read_structure(structure),
            model,
            temperatures,
            settings,
            output,
            processes=processes,
            on_progress=lambda done, total: bar.show(100 * done / total),
        )
    return [[of_one.mean, *of_one.members] for of_one in runs]


def _save_details(trajectory: Trajectory, species: str, output: Path) -> None:
    """Van Hove's function, and the density of the ions where there is a framework."""
    from ladera.properties.site_density import site_density
    from ladera.properties.van_hove import van_hove

    if trajectory.n_frames >= 20:
        van_hove(trajectory, species).save(output / "van_hove")
    if trajectory.volume > 0 and not trajectory.mobile(species).all():
        site_density(trajectory, species).save(output / "site_density")
