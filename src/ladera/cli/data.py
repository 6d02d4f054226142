"""``ladera data``: look at, check, convert and split data sets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ladera.cli.inputs import DATA, Types
from ladera.cli.numbers import whole
from ladera.cli.outputs import claim_file
from ladera.cli.session import answer
from ladera.data.unit_names import FileUnits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ladera.data.dataset import Dataset
    from ladera.data.doctor import Report
    from ladera.data.splits import Split

Units = Literal["angstrom-ev", "bohr-hartree", "angstrom-hartree"]
_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


@Parameter(name="*")
@dataclass
class Reading:
    """How the files are to be understood."""

    units: Annotated[
        FileUnits | None,
        Parameter(
            help="Units of the files; an input.data needs them said. cp2k: Angstrom, Hartree and "
            "forces in Hartree/Bohr."
        ),
    ] = None
    energy_key: Annotated[
        str | None, Parameter(help="Key of the energy in the files (energy); none to do without.")
    ] = None
    forces_key: Annotated[
        str | None, Parameter(help="Column of the forces (forces); none to do without.")
    ] = None
    stress_key: Annotated[
        str | None, Parameter(help="Key of the stress, positive in tension (stress).")
    ] = None
    virial_key: Annotated[
        str | None, Parameter(help="Key of the virial, which is -volume * stress (virial).")
    ] = None
    dipole_key: Annotated[str | None, Parameter(help="Key of the dipole moment (dipole).")] = None
    charges_key: Annotated[
        str | None, Parameter(help="Column of the atomic charges (charges).")
    ] = None
    total_charge_key: Annotated[
        str | None, Parameter(help="Key of the total charge (total_charge).")
    ] = None
    config_type_key: Annotated[
        str | None, Parameter(help="Key of a frame's group (config_type).")
    ] = None
    head_key: Annotated[str | None, Parameter(help="Key of the level of theory (head).")] = None
    weight_key: Annotated[str | None, Parameter(help="Key of the weight (weight).")] = None
    types: Types = None
    atom_columns: Annotated[
        Literal["charge energy", "energy charge"],
        Parameter(help="What the two columns after the symbol hold in an input.data."),
    ] = "charge energy"


def info(
    *files: Annotated[Path, DATA, Parameter(help="Data files, read as one data set.")],
    reading: Reading | None = None,
) -> int:
    """Count frames, elements and labels.

    Energies are in eV/atom, forces in eV/Angstrom, stress in eV/Angstrom^3.

        ladera data info train.extxyz test.extxyz
    """
    from ladera.data.summary import summarize

    summary = summarize(read_files(files, reading))
    answer(summary)
    _print_summary(summary)
    return 0


def check(
    *files: Annotated[Path, DATA, Parameter(help="Data files, read as one data set.")],
    reading: Reading | None = None,
) -> int:
    """Look for bad labels and geometries before training.

    The exit code is 1 when something is wrong that forbids training.

        ladera data check train.extxyz --json findings.json
    """
    from ladera.data.doctor import check as examine

    dataset = read_files(files, reading)
    report = examine(dataset)
    answer(report.to_json())
    print_report(report, dataset)
    return 1 if report.errors else 0


def convert(
    *files: Annotated[Path, DATA, Parameter(help="Data files, read as one data set.")],
    output: Annotated[
        Path,
        Parameter(help="File to write: .extxyz, .extxyz.gz, .cfg, .h5, or .data (input.data)."),
    ],
    output_units: Annotated[
        FileUnits | None, Parameter(help="Units to write an input.data in.")
    ] = None,
    reading: Reading | None = None,
) -> int:
    """Write the same frames in another format.

    HDF5 (.h5) is the format for data larger than memory.

        ladera data convert input.data --units bohr-hartree --output train.extxyz
    """
    from ladera.data import formats
    from ladera.data.dataset import Dataset

    formats.writable(output)
    claim_file(output)
    lost: tuple[str, ...] = ()
    if output.suffix in (".h5", ".hdf5") and output_units in (None, "angstrom-ev"):
        dataset = Dataset.store(formats.stream(files, **_options(reading)), output)
    else:
        dataset = read_files(files, reading)
        lost = formats.write(dataset, output, units=output_units)
    answer({"n_frames": len(dataset), "left_out": lost}, [output])
    print_line(f"Wrote {len(dataset):,} frames to {output}.")
    if lost:
        print_line(f"{output.name} has no place for {', '.join(lost)}: left out.", "yellow")
    return 0


def split(
    *files: Annotated[Path, DATA, Parameter(help="Data files, read as one data set.")],
    output: Annotated[Path, Parameter(help="JSON file to write the frame numbers to.")],
    method: Annotated[
        Literal["random", "group", "first", "file"],
        Parameter(
            help="random; group: whole config_types; first: train on the first frames, validate "
            "on the next; file: as set=train and set=test of an input.data say, validation "
            "drawn from train."
        ),
    ] = "random",
    validation: Annotated[
        str | None,
        Parameter(
            help="Fraction below 1 or number of frames (0.1); for groups their names, as A,B."
        ),
    ] = None,
    test: Annotated[str | None, Parameter(help="As for validation.")] = None,
    seed: Annotated[int, Parameter(help="Seed of what is drawn at random.", converter=whole)] = 0,
    reading: Reading | None = None,
) -> int:
    """Divide frames into training, validation and test, once and for all.

    The file knows the data it belongs to and is refused for others.

        ladera data split train.extxyz --output split.json --validation 0.1 --test 0
        ladera data split train.extxyz --output split.json --method group --test md_600K,md_900K
    """
    claim_file(output)
    dataset = read_files(files, reading)
    division = _split(dataset, method, validation, test, seed)
    division.save(output)
    answer(json.loads(output.read_text(encoding="utf-8")), [output])
    parts = {"training": division.train, "validation": division.validation, "test": division.test}
    print_line(
        f"Wrote {output}: "
        + ", ".join(f"{len(indices):,} {name}" for name, indices in parts.items())
        + f" of {len(dataset):,} frames ({division.method})."
    )
    return 0


def read_files(files: Sequence[Path], reading: Reading | None) -> Dataset:
    """The frames of some files."""
    from ladera.data import formats

    return formats.read(files, **_options(reading))


def _options(reading: Reading | None) -> dict[str, Any]:
    """The arguments of :func:`ladera.data.formats.read` that a command line asks for."""
    from ladera.data import formats

    reading = reading or Reading()
    chosen = {name: getattr(reading, f"{name}_key") for name in formats.LabelKeys.model_fields}
    keys = {name: key for name, key in chosen.items() if key is not None}
    return {
        "units": reading.units,
        "keys": formats.LabelKeys(**keys),
        "atom_columns": reading.atom_columns,
        "types": reading.types or (),
    }


def _split(
    dataset: Dataset, method: str, validation: str | None, test: str | None, seed: int
) -> Split:
    from ladera.data import splits

    if method == "group":
        return splits.group_split(dataset, _names(validation), _names(test))
    sizes = _size(validation, "validation"), _size(test, "test")
    if method == "file":
        return splits.file_split(dataset, sizes[0], seed)
    if method == "random":
        return splits.random_split(dataset, *sizes, seed=seed)
    n_validation, n_test = (
        splits.size(part, len(dataset), name)
        for part, name in zip(sizes, ("validation", "test"), strict=True)
    )
    return splits.first_split(dataset, len(dataset) - n_validation - n_test, n_validation)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _size(text: str | None, option: str) -> float:
    from ladera.errors import ConfigError

    try:
        return 0.1 if text is None else float(text)
    except ValueError:
        raise ConfigError(
            f"--{option} is '{text}'; expected a fraction below 1 or a number of frames."
        ) from None


def _print_summary(summary: dict[str, Any]) -> None:
    from rich.table import Table

    console = _console()
    print_line(
        f"{summary['n_frames']:,} frames, {summary['n_atoms']:,} atoms "
        f"({summary['atoms_per_frame']['min']} to {summary['atoms_per_frame']['max']} per frame), "
        f"{summary['periodicity']}"
    )
    elements = Table("element", "atoms", "in frames", title="Elements", title_justify="left")
    for symbol, counts in summary["elements"].items():
        elements.add_row(symbol, f"{counts['atoms']:,}", f"{counts['frames']:,}")
    console.print(elements)
    labels = Table(
        "label",
        "frames",
        "unit",
        "mean",
        "standard deviation",
        "min",
        "max",
        title="Labels",
        title_justify="left",
    )
    for name, values in summary["labels"].items():
        numbers = (values[key] for key in ("mean", "standard_deviation", "min", "max"))
        labels.add_row(
            name, f"{values['frames']:,}", values["unit"], *(f"{v:.4g}" for v in numbers)
        )
    console.print(labels)
    if summary["free_atoms"]:
        free = ", ".join(f"{symbol} ({n:,})" for symbol, n in summary["free_atoms"].items())
        print_line(f"Free atoms, which these numbers leave out: {free}")
    groups = {"Compositions": "compositions", "Heads": "heads", "Groups": "config_types"}
    for title, counted in groups.items():
        counts = summary[counted]
        if len(counts) > 1 or counted == "compositions":
            shown = [f"{name or '(none)'} ({n:,})" for name, n in list(counts.items())[:12]]
            rest = f", {len(counts) - 12:,} more" if len(counts) > 12 else ""
            print_line(f"{title}: {', '.join(shown)}{rest}")
    print_line(f"Hash: {summary['data_hash']}")


def print_report(report: Report, dataset: Dataset) -> None:
    """A table of what the doctor found."""
    from rich.markup import escape
    from rich.table import Table

    console = _console()
    if report.findings:
        table = Table("finding", "frame", "atom", "what was found", show_lines=True)
        for finding in report.findings:
            table.add_row(
                f"[{_STYLES[finding.severity]}]{finding.severity}[/]\n{finding.code}",
                "" if finding.frame is None else str(finding.frame),
                "" if finding.atom is None else str(finding.atom),
                escape(finding.message + _source(dataset, finding.frame)),
            )
        console.print(table)
    print_line(
        f"{report.n_frames:,} frames, {report.n_atoms:,} atoms: "
        f"{_counted(report.errors, 'error')}, {_counted(report.warnings, 'warning')}, "
        f"{_counted(report.notes, 'note')}."
    )


def _source(dataset: Dataset, frame: int | None) -> str:
    source = "" if frame is None else dataset[frame].source
    return f" [{Path(source).name}]" if source else ""


def print_line(sentence: str, style: str | None = None) -> None:
    """A sentence in one line, however long, so that it can be searched for."""
    _console().print(sentence, style=style, soft_wrap=True, highlight=False, markup=False)


def _counted(things: Sequence[object], noun: str) -> str:
    return f"{len(things)} {noun}" + ("" if len(things) == 1 else "s")


def _console() -> Any:
    from rich.console import Console

    return Console()
