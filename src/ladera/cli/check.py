"""``ladera check``: is what was deployed right?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ladera.cli.inputs import MODEL_AND_MAYBE_STRUCTURE
from ladera.cli.models import ModelOptions, load_model
from ladera.cli.numbers import KELVIN
from ladera.cli.properties import Frame, finish, require_free


def check(
    *files: Annotated[
        Path,
        MODEL_AND_MAYBE_STRUCTURE,
        Parameter(
            help="Model file; several make a committee. Last a structure file, which may be left "
            "out: then a training frame, or a packing of the model's elements.",
        ),
    ],
    engine: Annotated[str, Parameter(help="What computes: ase, lammps, openmm or ipi.")] = "ase",
    temperature: Annotated[
        float | None,
        KELVIN,
        Parameter(help="K; compare the engine's density at no pressure with that of ladera md."),
    ] = None,
    frame: Frame = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("check"),
) -> int:
    """Check that forces, stress and symmetries of a model are right, as an engine computes it.

    Forces and stress against differences of the energy, the symmetry of the Hessian, rotation,
    inversion, order of the atoms, whole cells, two of the same, threads, batches, precision, an
    atom carried through the cutoff, the energy of a short run: a line for each, with what was
    found and what rounding allows. Any ASE calculator can be checked with --calculator. The exit
    code is 1 when something is not right. Writes result.json, table.csv and figure.svg.

        ladera check model.ladera crystal.cif --output check
        ladera check model.ladera crystal.cif --engine lammps
        ladera check model.ladera liquid.xyz --engine openmm --temperature 300
        ladera check crystal.cif --calculator ase.calculators.emt:EMT
    """
    from ladera.properties.check import check as compute
    from ladera.simulation.structures import read_structure

    require_free(output)
    models = files[: len(files) - MODEL_AND_MAYBE_STRUCTURE.structures_of(files)]
    given = [read_structure(path, frame) for path in files[len(models) :]]
    result = compute(load_model(models, options), *given, engine=engine, temperature=temperature)
    finish(result, output)
    return 0 if result.passed else 1
