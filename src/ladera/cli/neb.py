"""``ladera neb``: the path of least energy between two structures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ladera.cli.inputs import MODEL_AND_ENDS
from ladera.cli.misuse import UsageError
from ladera.cli.models import ModelOptions
from ladera.cli.numbers import FORCE, whole
from ladera.cli.properties import finish, require_free, with_model

PATH = "path.extxyz"


def neb(
    *files: Annotated[
        Path,
        MODEL_AND_ENDS,
        Parameter(help="Model file (several make a committee), then start and end, both relaxed."),
    ],
    images: Annotated[
        int, Parameter(help="Structures on the path, the ends among them.", converter=whole)
    ] = 9,
    fmax: Annotated[
        float, FORCE, Parameter(help="Done when no force across the path is larger, eV/Angstrom.")
    ] = 0.05,
    steps: Annotated[int, Parameter(help="Give up after so many steps.", converter=whole)] = 500,
    frame: Annotated[
        list[int] | None,
        Parameter(
            help="Which structures of files with several: of the start, and of the end.",
            consume_multiple=1,
            converter=whole,
        ),
    ] = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("neb"),
) -> int:
    """Barrier (eV) between two structures of the same atoms: nudged elastic band, climbing image.

    With a committee the barrier and every point of the path carry the spread of its members. Writes
    result.json, table.csv, figure.svg and path.extxyz.

        ladera neb model.ladera start/relaxed.extxyz end/relaxed.extxyz --images 11
    """
    if frame is not None and len(frame) != 2:
        raise UsageError(
            f"--frame has {len(frame)} of its two numbers; give one of the start and one of "
            "the end."
        )
    from ladera.properties.energy_path import energy_path
    from ladera.simulation.records import write_structure
    from ladera.simulation.structures import read_structure

    first, last = frame or (None, None)
    require_free(output, PATH)
    start = with_model(files[-2], files[:-2], options, output, first)
    end = read_structure(files[-1], last)
    result = energy_path(start, end, images=images, fmax=fmax, steps=steps)
    write_structure(output / PATH, *result.motion()[0][: len(result.images)])
    return finish(result, output)
