"""``ladera evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ladera.cli.data import Reading, read_files
from ladera.cli.inputs import DATA, MODEL
from ladera.cli.models import ModelOptions, load_model
from ladera.cli.outputs import claim_folder
from ladera.cli.session import answer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.table import Table

    from ladera.data.dataset import Dataset

Part = Literal["train", "validation", "test"]


def evaluate(
    model: Annotated[Path, MODEL, Parameter(help="Model file, or folder of a training run.")],
    /,
    *files: Annotated[Path, DATA, Parameter(help="Data files, read as one data set.")],
    reading: Reading | None = None,
    options: ModelOptions | None = None,
    split: Annotated[
        Path | None, Parameter(help="Split file of these data; without it, all frames count.")
    ] = None,
    part: Annotated[Part, Parameter(help="Which part of the split to look at.")] = "test",
    output: Annotated[
        Path | None, Parameter(help="Folder for evaluation.json and predictions_PART.npz.")
    ] = None,
) -> int:
    """Compare a model's energies, forces, stress and dipoles with labelled structures.

    Errors (mean absolute, root mean square, largest, and R2) are in meV/atom, meV/Angstrom,
    meV/Angstrom^3 and, for models with dipoles, me*Angstrom, in total, by config_type and by
    element; the worst frames are named. Atoms with a symmetry function outside its training range
    are named as well; and of a committee it says how well its uncertainties agree with its errors.

        ladera evaluate run/model.ladera test.extxyz --output evaluation
    """
    from rich.console import Console

    from ladera.identity import describe_evaluation
    from ladera.training.evaluation import evaluate_dataset, require_foreign_labels
    from ladera.training.evaluation_files import files_of, write_evaluations

    if output is not None:
        claim_folder(output, *files_of(part))
    potential = load_model([model], options)
    dataset = read_files(files, reading)
    frames = _frames(dataset, split, part)
    found = evaluate_dataset(potential, dataset[frames], frames)
    summary = require_foreign_labels(found).to_json()
    _print_evaluation(summary)
    if summary["uncertainty"] is not None:
        Console().print(reliability_table(summary["uncertainty"]))
    if found.extrapolation is not None:
        print(found.extrapolation.in_one_line())
    given = [*files, *([] if split is None else [split])]
    settings = {} if split is None else {"split": str(split), "part": part}
    record = describe_evaluation(potential, dataset, given, **settings)
    answer({"kind": "evaluation", **summary, "provenance": record})
    if output is not None:
        write_evaluations({part: found}, output, provenance=record)
        print(f"Wrote {output / 'evaluation.json'} and {output / f'predictions_{part}.npz'}.")
    return 0


def error_table(rows: dict[str, Any], heading: str = "frames") -> Table:
    """Errors of each quantity for each name; what has no labels is left out."""
    from rich.table import Table

    from ladera.quantities import QUANTITIES, pretty

    table = Table(heading, "", "unit")
    for name in ("MAE", "RMSE", "max", "R2"):
        table.add_column(name, justify="right")
    for name, row in rows.items():
        if not isinstance(row, dict):  # of a model made in Python, with a record of its own
            continue
        shown = [quantity for quantity in QUANTITIES if row.get(quantity.name) is not None]
        for quantity in shown:
            errors = row[quantity.name]
            numbers = [f"{errors[kind]:.2f}" for kind in ("mae", "rmse", "max")]
            r2 = "" if errors["r2"] is None else f"{errors['r2']:.5f}"
            label = (name or "(none)") if quantity == shown[0] else ""
            last = quantity == shown[-1]
            unit = pretty(quantity.unit_of_errors)
            table.add_row(label, quantity.name, unit, *numbers, r2, end_section=last)
    return table


def _print_evaluation(summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    from ladera.quantities import QUANTITIES, pretty

    console = Console()
    total = {f"{summary['n_frames']:,} frames": summary}
    groups = summary["by_config_type"]
    console.print(error_table(total | (groups if len(groups) > 1 else {})))
    if summary["by_head"]:
        console.print(error_table(summary["by_head"], "head"))
    if any(errors for row in summary["by_element"].values() for errors in row.values()):
        console.print(error_table(summary["by_element"], "element"))
    for quantity in (quantity for quantity in QUANTITIES if quantity.basic):
        unit = pretty(quantity.unit_of_errors)
        for worst in summary["worst_frames"][quantity.name][:3]:
            atom = f", atom {worst['atom']}" if "atom" in worst else ""
            source = f" ({worst['source']})" if worst["source"] else ""
            console.print(
                f"Worst {quantity.name}: {worst['error']:.1f} {unit} in frame {worst['frame']}"
                + escape(atom + source),
                highlight=False,
            )


def reliability_table(found: dict[str, Any]) -> Table:
    """How well a committee's uncertainties agree with its errors, before and after calibration."""
    from rich.table import Table

    table = Table("", "", title=f"Uncertainty of {found['members']} members")
    for name in ("factor", "in 68 %", "in 95 %", "ln likelihood", "correlation"):
        table.add_column(name, justify="right")
    for quantity, row in found.items():
        if quantity == "members" or row is None:
            continue
        correlation = "" if row["correlation"] is None else f"{row['correlation']:.2f}"
        for kind, factor in (("before", 1.0), ("after", row["factor"])):
            if row[kind] is not None:
                shares = [f"{100 * row[kind][f'coverage_{level}']:.1f} %" for level in (68, 95)]
                likelihood = f"{row[kind]['log_likelihood']:.3f}"
                name = quantity if kind == "before" else ""
                table.add_row(name, kind, f"{factor:.3f}", *shares, likelihood, correlation)
    return table


def _frames(dataset: Dataset, split: Path | None, part: Part) -> NDArray[np.int64]:
    """The numbers of the frames to look at."""
    import numpy as np

    from ladera.data.splits import Split

    if split is None:
        return np.arange(len(dataset))
    frames: NDArray[np.int64] = getattr(Split.load(split, dataset), part)
    return frames
