"""``ladera thermal-conductivity``: of a crystal by its phonons, of anything by its heat flux."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ladera.cli.numbers import whole
from ladera.cli.phonons import Displacement, Supercell
from ladera.cli.properties import Frame, Model, Structure, finish, require_free, with_model


def lattice(
    model: Model,
    structure: Structure,
    /,
    *,
    temperature: Annotated[
        list[float] | None,
        Parameter(help="Temperatures, K; 300 by default.", consume_multiple=True),
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
        with_model(structure, model, output, frame),
        temperatures=temperature or (300.0,),
        direct=direct,
        isotopes=isotopes,
        mesh=mesh,
        supercell=supercell,
        pair_cutoff=pair_cutoff,
        displacement=displacement,
    )
    return finish(result, output)
