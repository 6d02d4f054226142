"""``ladera eos`` and ``ladera elastic``: what a crystal does under strain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ladera.cli.inputs import MODEL, STRUCTURE
from ladera.cli.models import ModelOptions, load_model
from ladera.cli.numbers import ANGSTROM, FORCE, PLAIN, whole
from ladera.cli.outputs import claim_folder
from ladera.cli.session import answer

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.properties.result import Result
    from ladera.tables import Table as Contents

_WORDS, _WIDEST = 18, 1000  # characters of words that are not folded, and of a line

Model = Annotated[list[Path], MODEL, Parameter(help="Model file; several make a committee.")]
Structure = Annotated[Path, STRUCTURE, Parameter(help="Structure file, anything ASE reads.")]
Frame = Annotated[
    int | None,
    Parameter(
        help="Which structure of a file with several: 0 the first, -1 the last.", converter=whole
    ),
]
Largest = Annotated[
    float, FORCE, Parameter(help="Atoms are at rest when no force is larger, eV/Angstrom.")
]


def eos(
    model: Model,
    structure: Structure,
    /,
    *,
    strain: Annotated[
        float, PLAIN, Parameter(help="Largest relative change of the volume, to either side.")
    ] = 0.05,
    points: Annotated[int, Parameter(help="How many volumes, six or more.", converter=whole)] = 11,
    fmax: Largest = 1e-3,
    frame: Frame = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("eos"),
) -> int:
    """Energy against volume of a crystal: equilibrium volume (Angstrom^3), bulk modulus (GPa).

    Fits Birch and Murnaghan's and Vinet's forms, with their errors. Writes result.json,
    table.csv and figure.svg.

        ladera eos model.ladera copper.cif --output eos
    """
    from ladera.properties.equation_of_state import equation_of_state

    require_free(output)
    atoms = with_model(structure, model, options, output, frame)
    return finish(equation_of_state(atoms, strain=strain, points=points, fmax=fmax), output)


def elastic(
    model: Model,
    structure: Structure,
    /,
    *,
    tolerance: Annotated[
        float,
        PLAIN,
        Parameter(help="Of relaxed strains: converged when halving changes no constant by more."),
    ] = 0.01,
    fmax: Largest = 1e-3,
    step: Annotated[
        float | None,
        ANGSTROM,
        Parameter(help="Of differences for the Hessian, Angstrom; left out, derivatives."),
    ] = None,
    frame: Frame = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("elastic"),
) -> int:
    """Elastic constants of a relaxed crystal in GPa, with moduli, stability and anisotropy.

    Exact, by second derivatives of the model, in IEEE's standard axes whatever those of the file.
    Writes result.json, table.csv and figure.svg. Relax the cell first: `ladera relax MODEL
    STRUCTURE --cell --fmax 0.001`.

        ladera elastic model.ladera relax/relaxed.extxyz --output elastic
    """
    from ladera.properties.elasticity import elasticity

    require_free(output)
    atoms = with_model(structure, model, options, output, frame)
    return finish(elasticity(atoms, tolerance=tolerance, fmax=fmax, step=step), output)


def require_free(output: Path, *names: str) -> None:
    """Take the folder of a result. ConfigError when it holds one already, or another run does."""
    from ladera.errors import ConfigError
    from ladera.properties.result import FIGURE, FILE, TABLE

    if (output / FILE).exists():
        raise ConfigError(f"{output} holds a result already; remove it or choose another --output.")
    claim_folder(output, TABLE, FIGURE, *names)


def with_model(
    structure: Path,
    model: Sequence[Path],
    options: ModelOptions | None,
    output: Path,
    frame: int | None = None,
) -> Atoms:
    """A structure with a model's calculator. DataError when it does not know an element.

    Evaluations are kept in the folder of the result until it is finished, and found again by a
    command that was interrupted.
    """
    from ladera.properties.memory import FOLDER, RememberingCalculator
    from ladera.simulation.preparation import check_species
    from ladera.simulation.structures import read_structure

    atoms, potential = read_structure(structure, frame), load_model(model, options)
    check_species(atoms, potential)
    atoms.calc = RememberingCalculator(potential, output / FOLDER)
    return atoms


def finish(result: Result, output: Path) -> int:
    """Save a result, show its tables, say where the rest is."""
    import json

    from ladera.properties.memory import forget
    from ladera.properties.result import FIGURE, FILE, TABLE

    result.save(output)
    forget(output)
    answer(json.loads(result.to_json()), [output / name for name in (FILE, TABLE, FIGURE)])
    show(result)
    names = ", ".join(f"{each.name}.csv" for each in result.tables())
    print(f"Wrote {output / 'result.json'}, {names} and figure.svg.")
    return 0


def show(result: Result) -> None:
    """Print a result's tables, and how far it is from the training data."""
    for number, each in enumerate(result.tables()):
        print_table(each, "" if number else result.title)
    if result.domain():
        print(result.domain())


def print_table(contents: Contents, title: str = "") -> None:
    """Print a table: numbers to the right, notes below."""
    import textwrap

    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left")
    for index, is_words in enumerate(contents.of_words):
        head = contents.columns[index]
        longest = max((len(row[index]) for row in contents.rows), default=0)
        if is_words and (contents.upright or longest > _WORDS):
            table.add_column(head, overflow="fold")
        else:  # the head is folded to it; no digit goes to another line
            width = max(longest, *map(len, head.split()))
            head = textwrap.fill(head, width, break_long_words=False, break_on_hyphens=False)
            table.add_column(head, justify="left" if is_words else "right", no_wrap=True)
    for row in contents.rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    least = console.measure(table, options=console.options.update(width=_WIDEST)).minimum
    console.width = max(console.width, least)
    console.print(table)
    for line in contents.foot:
        console.print(line)
