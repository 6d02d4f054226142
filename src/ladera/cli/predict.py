"""``ladera predict``: label structures by a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ladera.cli.data import Reading, read_files
from ladera.cli.inputs import DATA, MODEL, Types
from ladera.cli.models import ModelOptions, load_model
from ladera.cli.outputs import claim_file
from ladera.cli.session import answer, asked
from ladera.data.unit_names import FileUnits

if TYPE_CHECKING:
    from rich.table import Table

    from ladera.labelling import Labelled
    from ladera.potential import Potential
    from ladera.quantities import Quantity

_LINES = 10  # frames that are shown


@Parameter(name="*")
@dataclass
class StructureReading:
    """How the structures in the files are to be understood."""

    units: Annotated[
        FileUnits | None,
        Parameter(help="Units of the files; an input.data needs them said."),
    ] = None
    total_charge_key: Annotated[
        str | None, Parameter(help="Key of the total charge (total_charge).")
    ] = None
    config_type_key: Annotated[
        str | None, Parameter(help="Key of a frame's group (config_type).")
    ] = None
    head_key: Annotated[str | None, Parameter(help="Key of the level of theory (head).")] = None
    types: Types = None

    def without_labels(self) -> Reading:
        """The reading of these and of no label."""
        from ladera.quantities import QUANTITIES

        labels: dict[str, Any] = {f"{quantity.name}_key": "none" for quantity in QUANTITIES}
        return Reading(**labels, virial_key="none", **vars(self))


def predict(
    model: Annotated[
        Path,
        MODEL,
        Parameter(help="Model file, folder of a training run, or name of a published model."),
    ],
    /,
    *files: Annotated[
        Path, DATA, Parameter(help="Files with structures, of any format that is read.")
    ],
    quantities: Annotated[
        list[str] | None,
        Parameter(
            help="What to predict, such as energy forces; all that the model gives.",
            consume_multiple=1,
        ),
    ] = None,
    reading: StructureReading | None = None,
    options: ModelOptions | None = None,
    output: Annotated[
        Path | None,
        Parameter(
            help="File to write: .extxyz, .extxyz.gz, .cfg, .h5, .csv (a table of the frames, "
            "and one of the atoms) or .json."
        ),
    ] = None,
) -> int:
    """Label structures with a model's energies, forces, stress, dipoles, charges and grades.

    Any number of frames, of any format: trajectories of dynamics, data sets. Energies are in eV,
    forces in eV/Angstrom, stress in eV/Angstrom^3, dipoles in e*Angstrom, charges in e. A
    committee's standard deviations come with them, and of a model that knows its training domain
    the grade of each atom, above 1 outside. Labels that the files hold are not read. Beside the
    output its .provenance.json says by which model, and how, it was made.

        ladera predict run/model.ladera trajectory.traj --output labelled.extxyz
    """
    import json
    from io import StringIO

    from ladera.labelling.files import outputs, write_json_to
    from ladera.labelling.labelled import label, quantities_of

    for path in () if output is None else outputs(output):
        claim_file(path)
    potential = load_model([model], options)
    wanted = quantities_of(potential, quantities)
    dataset = read_files(files, (reading or StructureReading()).without_labels())
    found = label(potential, dataset, wanted, files=files)
    lost = () if output is None else found.save(output)
    if asked():
        text = StringIO()
        write_json_to(found, text)
        answer(json.loads(text.getvalue()), () if output is None else outputs(output))
    _print(found, potential)
    if output is not None:
        print(f"Wrote {len(found):,} frames to {output}.")
    if lost:
        print(f"{output} has no place for {', '.join(lost)}: left out; .extxyz has one.")
    return 0


def _print(found: Labelled, potential: Potential) -> None:
    """The first frames, and what all or some have not."""
    from rich.console import Console

    from ladera.quantities import QUANTITIES

    Console(highlight=False, markup=False).print(_table(found))
    if len(found) > _LINES:
        print(f"The first {_LINES} of {len(found):,} frames.")
    for sentence in found.absent():
        print(sentence)
    missing = [q.words or q.name for q in QUANTITIES if q not in potential.gives]
    missing += ["grade"] * (found.grade is None)
    if missing:
        name = potential.config.architecture
        print(f"This {name} model gives no {', no '.join(missing)}.")


def _table(found: Labelled) -> Table:
    """The first frames: energies, the largest of what has components or belongs to atoms."""
    import numpy as np
    from rich.table import Table

    from ladera.quantities import pretty

    shown: list[tuple[str, str, Quantity]] = []
    for q in found.given:
        if found.frames.has(q.name).any():
            largest = "largest " if q.per_atom or len(q.shape) > 1 else ""
            shown.append((q.name, largest + q.singular, q))
        if q in found.std:
            shown.append((f"{q.name}_std", "±", q))
    table = Table("frame", "atoms")
    for _, words, quantity in shown:
        head = f"{words}\n{pretty(quantity.unit)}"
        table.add_column(head, justify="right", no_wrap=quantity.basic)
    if found.grade is not None:
        table.add_column("largest\ngrade", justify="right")
    few, ends = found.frames[:_LINES], found.frames.offsets
    for k, frame in enumerate(few):
        row = [str(k), frame.formula]
        for name, _, quantity in shown:
            values = found[name][slice(*ends[k : k + 2]) if quantity.per_atom else k]
            if not np.isfinite(values).all():
                row.append("")
            elif quantity.per_atom or quantity.shape:
                sizes = np.linalg.norm(values, axis=-1) if len(quantity.shape) == 1 else values
                row.append(f"{np.abs(sizes).max():.4g}")
            else:
                row.append(f"{values:.4f}")
        if found.grade is not None:
            row.append(f"{found.grade[slice(*ends[k : k + 2])].max():.3g}")
        table.add_row(*row)
    return table
