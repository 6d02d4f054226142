"""``ladera vacancy`` and ``ladera surface``: what it takes to open a crystal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ladera.cli.inputs import STRUCTURE
from ladera.cli.models import ModelOptions
from ladera.cli.numbers import ANGSTROM
from ladera.cli.properties import Frame, Largest, Model, Structure, finish, require_free, with_model

if TYPE_CHECKING:
    from ladera.potential import Potential


def vacancy(
    model: Model,
    structure: Structure,
    /,
    *,
    heights: Annotated[
        list[float] | None,
        ANGSTROM,
        Parameter(
            help="Least heights of the supercells, Angstrom; two or more, 8 and 12 by default.",
            consume_multiple=1,
        ),
    ] = None,
    reference: Annotated[
        list[Path] | None,
        STRUCTURE,
        Parameter(
            help="Relaxed structures of pure elements, whose energy per atom is the chemical "
            "potential in a compound.",
            consume_multiple=1,
        ),
    ] = None,
    fmax: Largest = 0.005,
    frame: Frame = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("vacancy"),
) -> int:
    """Formation energies (eV) of the vacancies of a relaxed crystal, one for each kind of site.

    In supercells of two heights or more, with what the size changes; of a compound Schottky's
    defect too. Writes result.json, table.csv and figure.svg.

        ladera vacancy model.ladera relax/relaxed.extxyz --heights 8 12 16
    """
    from ladera.properties.vacancies import HEIGHTS, vacancies

    require_free(output)
    atoms = with_model(structure, model, options, output, frame)
    found = vacancies(
        atoms,
        heights=heights or HEIGHTS,
        chemical_potentials=_chemical_potentials(reference or (), atoms.calc.potential),
        fmax=fmax,
    )
    return finish(found, output)


def surface(
    model: Model,
    structure: Structure,
    /,
    *,
    facets: Annotated[
        list[str] | None,
        Parameter(
            help="Miller indices of the conventional cell: 111, 0001 or 1,-1,0. Left out, all of "
            "0 and 1 that differ.",
            consume_multiple=1,
        ),
    ] = None,
    thickness: Annotated[
        float, ANGSTROM, Parameter(help="Least thickness of the thinnest of four slabs, Angstrom.")
    ] = 10.0,
    fmax: Largest = 0.005,
    frame: Frame = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("surface"),
) -> int:
    """Energies (J/m^2) of the surfaces of a relaxed crystal, every termination of each.

    By slabs of four thicknesses and the line through their energies, with its error. Writes
    result.json, table.csv and figure.svg.

        ladera surface model.ladera relax/relaxed.extxyz --facets 100 111
    """
    from ladera.properties.surfaces import surfaces

    wanted = None if facets is None else [_facet(word) for word in facets]
    require_free(output)
    atoms = with_model(structure, model, options, output, frame)
    return finish(surfaces(atoms, facets=wanted, thickness=thickness, fmax=fmax), output)


def _facet(word: str) -> tuple[int, int, int]:
    """Miller indices of a word; the third of four says nothing new."""
    from ladera.errors import PropertyError

    try:
        indices = [int(part) for part in (word.split(",") if "," in word else word)]
    except ValueError:
        indices = []
    if len(indices) == 4 and sum(indices[:3]) == 0:
        del indices[2]
    if len(indices) != 3 or not any(indices):
        raise PropertyError(
            f"--facets: '{word}' is no plane; give Miller indices such as 111, 0001 or 1,-1,0."
        )
    h, k, l = indices
    return h, k, l


def _chemical_potentials(files: Sequence[Path], potential: Potential) -> dict[str, float]:
    """Energy of an atom of each element, eV, in the structures of these files."""
    from ladera.errors import PropertyError
    from ladera.properties.structures import require_relaxed
    from ladera.simulation.structures import read_structure

    found: dict[str, float] = {}
    for file in files:
        atoms = read_structure(file)
        elements = set(atoms.symbols)
        if len(elements) > 1:
            raise PropertyError(
                f"--reference: {file} is {atoms.symbols.formula:metal}; a chemical potential is "
                "taken from a structure of one element, such as its crystal or molecule."
            )
        atoms.calc = potential.calculator()
        require_relaxed(atoms, cell=bool(atoms.pbc.all()))
        found[elements.pop()] = float(atoms.get_potential_energy()) / len(atoms)
    return found
