"""``ladera diffusion``: how fast ions move in trajectories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ladera.cli.properties import finish, require_free


def diffusion(
    trajectories: Annotated[
        list[Path], Parameter(help="Folders of `ladera md`, or trajectory files ASE reads.")
    ],
    /,
    *,
    species: Annotated[str, Parameter(help="The element that moves, as Li.")],
    interval: Annotated[
        float | None, Parameter(help="Time between frames of trajectory files, fs.")
    ] = None,
    temperature: Annotated[
        list[float] | None,
        Parameter(help="Temperature of each trajectory, K.", consume_multiple=True),
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
    target: Annotated[
        float, Parameter(help="Temperature that an Arrhenius line is extrapolated to, K.")
    ] = 300.0,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("diffusion"),
) -> int:
    """Diffusion coefficient (cm^2/s), conductivity (mS/cm) and Haven ratio with their errors.

    Several trajectories at different temperatures make an Arrhenius line: activation energy (eV),
    prefactor and extrapolation. Writes result.json, table.csv and figure.svg; with several
    trajectories those of each are in folders of their own inside.

        ladera diffusion md-600K md-800K md-1000K --species Li --skip 5
        ladera diffusion run.lammpstrj --species Li --types Li P S --interval 100 --temperature 600
    """
    from ladera.errors import ConfigError
    from ladera.properties.arrhenius import arrhenius
    from ladera.properties.diffusion import diffusion as compute
    from ladera.properties.trajectory import read_trajectory

    require_free(output)
    if temperature is not None and len(temperature) != len(trajectories):
        raise ConfigError(
            f"--temperature has {len(temperature)} value(s) for {len(trajectories)} trajectories; "
            "give one for each, in their order."
        )
    results = []
    for index, path in enumerate(trajectories):
        trajectory = read_trajectory(
            path,
            interval=interval,
            temperature=None if temperature is None else temperature[index],
            types=types or (),
        ).after(skip)
        results.append(compute(trajectory, species, charge=charge, window=window))
    if len(results) == 1:
        return finish(results[0], output)
    line = arrhenius(results, target=target)
    for index, result in enumerate(results):
        result.save(output / f"{index + 1}-{result.temperature:.0f}K")
    return finish(line, output)
