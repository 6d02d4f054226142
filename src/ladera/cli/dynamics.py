"""``ladera structure`` and ``ladera spectrum``: what a simulation shows of a substance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ladera.cli.inputs import TRAJECTORY, Types
from ladera.cli.numbers import ANGSTROM, FEMTOSECONDS, KELVIN, PICOSECONDS, WAVENUMBER
from ladera.cli.properties import finish, require_free
from ladera.cli.vibrations import DipoleSource, MarksFile, Vacuum

Run = Annotated[
    Path, TRAJECTORY, Parameter(help="Folder of `ladera md`, or a trajectory file ASE reads.")
]

Interval = Annotated[
    float | None, FEMTOSECONDS, Parameter(help="Time between frames of a trajectory file, fs.")
]
Skip = Annotated[float, PICOSECONDS, Parameter(help="Time left out at the start, ps.")]


def structure(
    trajectory: Run,
    /,
    *,
    farthest: Annotated[
        float | None,
        ANGSTROM,
        Parameter(help="Where g(r) ends, Angstrom; half the height of the cell by default."),
    ] = None,
    types: Types = None,
    interval: Interval = None,
    skip: Skip = 0.0,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("structure"),
) -> int:
    """Radial distribution functions, neighbours, angles and structure factor, with errors.

    For every pair of elements g(r) with its integral, the first peak and minimum (Angstrom) and
    the neighbours within; angles (degree) between neighbours; S(q). Writes result.json, table.csv
    and figure.svg.

        ladera structure md-300K --skip 5
    """
    from ladera.properties.distributions import structure as compute
    from ladera.properties.trajectory import frames_after

    require_free(output)
    frames = frames_after(trajectory, skip, interval=interval, types=types or ())
    return finish(compute(frames, farthest=farthest), output)


def spectrum(
    trajectory: Run,
    /,
    *,
    interval: Interval = None,
    temperature: Annotated[
        float | None, KELVIN, Parameter(help="Temperature, K; that of the run by default.")
    ] = None,
    types: Types = None,
    skip: Skip = 0.0,
    resolution: Annotated[
        float, WAVENUMBER, Parameter(help="Width of a sharp line, cm^-1.")
    ] = 10.0,
    experiment: Annotated[
        Path | None,
        Parameter(help="Measured spectrum: JCAMP-DX, or columns of wavenumber and absorbance."),
    ] = None,
    marks: MarksFile = None,
    dipoles: DipoleSource = None,
    vacuum: Vacuum = False,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("spectrum"),
) -> int:
    """Vibrational density of states from velocities, and infrared from dipoles where they are.

    Frames must be close: every 2 fs with hydrogen, `ladera md --timestep 0.5
    --trajectory-interval 4`. A model with dipoles writes them into trajectories of what is open; of
    a cell, and of another model, they come with --dipoles, molecules kept whole. The infrared
    spectrum (km/mol) comes with the harmonic quantum factor. A measured spectrum is laid over it,
    peaks are matched and the shifts tabled. Writes result.json, table.csv and figure.svg.

        ladera spectrum md-300K --skip 5 --resolution 10 --experiment ethanol.jdx
        ladera spectrum md-crystal --skip 5 --dipoles model.ladera
    """
    from ladera.properties.experiment import read_spectrum
    from ladera.properties.marks import read_marks
    from ladera.properties.spectrum import spectrum as compute
    from ladera.properties.trajectory import read_trajectory

    require_free(output)
    run = read_trajectory(trajectory, interval=interval, temperature=temperature, types=types or ())
    result = compute(
        run.after(skip),
        resolution=resolution,
        measured=None if experiment is None else read_spectrum(experiment),
        marks=None if marks is None else read_marks(marks),
        dipoles=dipoles,
        vacuum=vacuum,
    )
    return finish(result, output)
