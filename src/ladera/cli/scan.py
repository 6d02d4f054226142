"""``ladera scan``: energy along one or two internal coordinates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ladera.cli.misuse import UsageError
from ladera.cli.models import ModelOptions
from ladera.cli.numbers import FORCE, PLAIN, whole
from ladera.cli.properties import Frame, Model, Structure, finish, require_free, with_model

POINTS = "points.extxyz"


def scan(
    model: Model,
    structure: Structure,
    /,
    *,
    coordinate: Annotated[
        list[str],
        Parameter(
            help="Atoms from 0: 0-1 a distance, 0-1-2 an angle, 0-1-2-3 a dihedral; one or two.",
            consume_multiple=1,
        ),
    ],
    start: Annotated[
        list[float],
        PLAIN,
        Parameter(
            name="--from", help="First value of each, Angstrom or degree.", consume_multiple=1
        ),
    ],
    end: Annotated[
        list[float],
        PLAIN,
        Parameter(name="--to", help="Last value of each, Angstrom or degree.", consume_multiple=1),
    ],
    points: Annotated[
        list[int],
        Parameter(help="How many values of each.", consume_multiple=1, converter=whole),
    ],
    relax: Annotated[
        bool, Parameter(negative=(), help="Bring all else to rest; otherwise parts are rigid.")
    ] = False,
    fmax: Annotated[
        float, FORCE, Parameter(help="At rest when no force is larger, eV/Angstrom.")
    ] = 0.02,
    steps: Annotated[
        int, Parameter(help="Give a point up after so many steps.", converter=whole)
    ] = 500,
    frame: Frame = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("scan"),
) -> int:
    """Potential energy (eV) along a distance, angle or dihedral, or on the grid of two of them.

    Writes result.json, table.csv, points.csv, figure.svg and points.extxyz.

        ladera scan ethanol-mace ethanol.xyz --coordinate 0-1-2-3 --from 60 --to 420 --points 25
    """
    given = {"--from": len(start), "--to": len(end), "--points": len(points)}
    for flag, count in given.items():
        if count != len(coordinate):
            raise UsageError(
                f"{flag} has {count} number(s) and --coordinate names {len(coordinate)}; "
                "give one for each coordinate."
            )
    import numpy as np

    from ladera.errors import PropertyError
    from ladera.properties.scan import scan as run
    from ladera.simulation.records import write_structure

    if min(points) < 2:
        raise PropertyError.of("points", min(points), "give 2 or more")
    require_free(output, POINTS)
    atoms = with_model(structure, model, options, output, frame)
    values = {
        name: np.linspace(first, last, count)
        for name, first, last, count in zip(coordinate, start, end, points, strict=True)
    }
    result = run(atoms, coordinates=values, relax=relax, fmax=fmax, steps=steps)
    write_structure(output / POINTS, *result.motion()[0])
    return finish(result, output)
