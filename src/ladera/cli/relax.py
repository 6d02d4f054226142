"""``ladera relax``: geometry optimisation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ladera.cli.inputs import MODEL, STRUCTURE
from ladera.cli.models import ModelOptions, load_model
from ladera.cli.numbers import FORCE, PRESSURE, whole
from ladera.cli.properties import Frame
from ladera.cli.session import answer, quantities


def relax(
    model: Annotated[list[Path], MODEL, Parameter(help="Model file; several make a committee.")],
    structure: Annotated[Path, STRUCTURE, Parameter(help="Structure file, anything ASE reads.")],
    /,
    *,
    fmax: Annotated[
        float, FORCE, Parameter(help="Done when no force on an atom is larger, eV/Angstrom.")
    ] = 0.01,
    smax: Annotated[
        float | None,
        PRESSURE,
        Parameter(
            help="With --cell: done when no component of the stress is larger, GPa; 0.01, and "
            "less with an --fmax below 0.001."
        ),
    ] = None,
    steps: Annotated[int, Parameter(help="Give up after so many steps.", converter=whole)] = 1000,
    cell: Annotated[bool, Parameter(negative=(), help="Relax the cell as well.")] = False,
    symmetry: Annotated[
        bool, Parameter(negative=(), help="Keep the space group that the structure begins with.")
    ] = False,
    optimizer: Annotated[Literal["lbfgs", "bfgs", "fire"], Parameter(help="Of ASE's.")] = "lbfgs",
    frame: Frame = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("relax"),
) -> int:
    """Move atoms, and the cell if asked, to zero force.

    Shows energy, cell, space group and bonds before and after. Writes relaxed.extxyz, relax.csv,
    trajectory.traj and settings.json. The exit code is not 0 when forces, or with --cell the
    stress, have not converged; the files are there all the same.

        ladera relax model.ladera ethanol.xyz --fmax 0.01
    """
    import json

    from ladera.errors import SimulationError
    from ladera.simulation.relaxation import relax as run
    from ladera.simulation.structures import read_structure

    atoms = read_structure(structure, frame)
    potential = load_model(model, options)
    result = run(
        atoms,
        potential,
        fmax=fmax,
        smax=smax,
        steps=steps,
        cell=cell,
        symmetry=symmetry,
        optimizer=optimizer,
        folder=output,
    )
    last = result.last
    record = json.loads((output / "settings.json").read_text(encoding="utf-8"))
    fields = {
        "converged": (result.converged, ""),
        "steps": (last.step, ""),
        "energy": (last.potential_energy_ev, "eV"),
        "max_force": (last.max_force_ev_per_angstrom, "eV/Angstrom"),
        "max_stress": (last.max_stress_gpa, "GPa"),
        "largest_grade": (last.largest_grade, ""),
        "doubts": (result.doubts, ""),
        "positions": (result.atoms.positions, "Angstrom"),
        "cell": (result.atoms.cell.array, "Angstrom"),
        "symbols": (result.atoms.get_chemical_symbols(), ""),
    }
    answer(quantities("relaxation", fields, record), [output / "relaxed.extxyz"])
    reached = f"potential energy {last.potential_energy_ev:.6f} eV, {result.left}"
    if last.max_stress_gpa is not None and not cell:
        reached += f", largest stress {last.max_stress_gpa:.3g} GPa, the cell being held"
    if last.largest_grade is not None:
        reached += f", largest grade {last.largest_grade:.3g}"
    if not result.converged:
        raise SimulationError(
            f"Not converged in {last.step} steps: {reached}. The structure so far is "
            f"{output / 'relaxed.extxyz'}; go on from it, with more --steps."
        )
    _print_table(result.table())
    print(f"Converged in {last.step} steps: {reached}. Results in {output}.")
    return 0


def _print_table(rows: list[tuple[str, str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ladera.simulation.comparison import COLUMNS

    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)
