"""``ladera evaluate`` and ``ladera info``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ladera.cli.data import Reading, read_files
from ladera.cli.inputs import DATA, MODEL
from ladera.cli.models import ModelOptions, load_model
from ladera.cli.outputs import claim_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.table import Table

    from ladera.codes.published import PublishedModel
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
    with Console(stderr=True).status("Evaluating ...") as status:
        found = evaluate_dataset(
            potential,
            dataset[frames],
            frames,
            on_frames=lambda done: status.update(f"Evaluated {done:,} of {len(frames):,} frames"),
        )
    summary = require_foreign_labels(found).to_json()
    _print_evaluation(summary)
    if summary["uncertainty"] is not None:
        Console().print(reliability_table(summary["uncertainty"]))
    if found.extrapolation is not None:
        print(found.extrapolation.in_one_line())
    if output is not None:
        given = [*files, *([] if split is None else [split])]
        settings = {} if split is None else {"split": str(split), "part": part}
        record = describe_evaluation(potential, dataset, given, **settings)
        write_evaluations({part: found}, output, provenance=record)
        print(f"Wrote {output / 'evaluation.json'} and {output / f'predictions_{part}.npz'}.")
    return 0


def info(
    model: Annotated[
        Path,
        MODEL,
        Parameter(help="Model file, folder of a training run, or name of a published model."),
    ],
    /,
) -> int:
    """Say what a model file holds and where it comes from: configuration, data, code, errors.

    Of the name of a published model: origin, licence, elements. Nothing is downloaded.

        ladera info run/model.ladera
        ladera info mace-mp-small
    """
    import yaml
    from rich.console import Console

    from ladera import loading
    from ladera.codes import published

    if not model.exists() and published.is_name(str(model)):
        known = published.find(str(model))
        if not known.file:
            return _print_published(known)
        model = published.fetch(known)
    header = loading.read_header(model)
    config, origin = header["config"], header["provenance"]
    console = Console(highlight=False, markup=False)
    console.print(
        f"{config['architecture']} for {', '.join(config['species'])}, cutoff "
        f"{config['cutoff']:g} Angstrom (model format {header['format_version']})"
    )
    if config.get("calibration"):
        factors = {name: config["calibration"][name] for name in ("energy", "forces")}
        shown = ", ".join(f"{k} {v:.3f}" for k, v in factors.items() if v is not None)
        console.print(f"Spread calibrated with the factors: {shown}")
    if "imported_from" in origin:
        units = f", in {origin['units']}" if "units" in origin else ""
        where = origin.get("folder") or origin["file"]
        console.print(f"Imported from {origin['imported_from']}: {where}{units}")
        if "published_as" in origin:
            console.print(
                f"Published as {origin['published_as']} at {origin['url']}; licence "
                f"{origin['licence']}"
            )
    elif "errors" in origin:
        versions = ", ".join(f"{name} {number}" for name, number in origin["versions"].items())
        console.print(f"Trained {origin['date']} with {versions}, seed {origin['seed']}")
        console.print(f"Data {', '.join(origin['config']['data']['files'])}")
        console.print(f"Data hash {origin['data_hash']}")
        best = [member["epoch"] for member in origin.get("members", [origin])]
        epochs = f"{', '.join(map(str, best))} of {origin['config']['epochs']}"
        console.print(f"Best epoch {epochs}")
        console.print(error_table(origin["errors"]))
    elif "members" in origin:
        console.print(f"Made of {len(origin['members'])} models.")
    else:
        console.print("Not trained: its parameters are those of its configuration.")
    settings = origin.get("config", {"model": config})
    console.print(yaml.safe_dump(settings, sort_keys=False, default_flow_style=None).rstrip())
    return 0


def _print_published(model: PublishedModel) -> int:
    """What is known of a published model without its file."""
    from ladera.codes import published

    path = published.folder_of_models() / model.file_name
    print(f"{model.name}: {model.about}")
    print(f"Elements: {' '.join(model.elements)}")
    print(f"Licence: {model.licence}")
    print(f"Origin: {model.url}")
    print(f"SHA-256: {model.sha256 or 'not published; that of the first download will be kept'}")
    print(f"Here: {path}" if path.is_file() else f"Not here yet; its place is {path}")
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
