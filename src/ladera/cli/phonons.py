"""``ladera phonons`` and ``ladera expansion``: vibrations of a crystal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ladera.cli.models import ModelOptions
from ladera.cli.numbers import ANGSTROM, PLAIN, whole
from ladera.cli.properties import Frame, Largest, Model, Structure, finish, require_free, with_model

Supercell = Annotated[
    tuple[int, int, int] | None,
    Parameter(help="Cells along each vector; left out, 12 Angstrom high or more.", converter=whole),
]
Displacement = Annotated[float, ANGSTROM, Parameter(help="How far atoms move, Angstrom.")]


def phonons(
    model: Model,
    structure: Structure,
    /,
    *,
    supercell: Supercell = None,
    displacement: Displacement = 0.01,
    born: Annotated[
        Path | None,
        Parameter(help="BORN file of phonopy: dielectric tensor and Born charges, for LO and TO."),
    ] = None,
    dielectric: Annotated[
        list[float] | None,
        Parameter(
            help="Electronic dielectric tensor, 1, 3 or 9 numbers, for a model with dipoles of "
            "periodic cells, which gives the Born charges.",
            consume_multiple=1,
        ),
    ] = None,
    frame: Frame = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("phonons"),
) -> int:
    """Phonons of a relaxed crystal: bands and density of states (THz), heat (J/K/mol).

    Give the primitive cell, relaxed. Imaginary modes are named; the error of the supercell's size
    is computed too. Writes result.json, table.csv and figure.svg.

        ladera phonons model.ladera relax/relaxed.extxyz --supercell 4 4 4
    """
    from ladera.properties.phonons import phonons as compute

    require_free(output)
    atoms = with_model(structure, model, options, output, frame)
    found = compute(
        atoms, supercell=supercell, displacement=displacement, born=born, dielectric=dielectric
    )
    return finish(found, output)


def expansion(
    model: Model,
    structure: Structure,
    /,
    *,
    supercell: Supercell = None,
    strain: Annotated[
        float, PLAIN, Parameter(help="Largest relative growth of the volume.")
    ] = 0.08,
    points: Annotated[int, Parameter(help="How many volumes, five or more.", converter=whole)] = 8,
    displacement: Displacement = 0.01,
    fmax: Largest = 1e-3,
    frame: Frame = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("expansion"),
) -> int:
    """Thermal expansion (1/K) of a relaxed crystal by phonons at several volumes.

    The quasi-harmonic approximation up to 1000 K. Writes result.json, table.csv and figure.svg.

        ladera expansion model.ladera relax/relaxed.extxyz --supercell 3 3 3
    """
    from ladera.properties.quasi_harmonic import quasi_harmonic

    require_free(output)
    result = quasi_harmonic(
        with_model(structure, model, options, output, frame),
        supercell=supercell,
        strain=strain,
        points=points,
        displacement=displacement,
        fmax=fmax,
    )
    return finish(result, output)
