"""``ladera label``: label structures by an engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ladera.cli.data import read_files
from ladera.cli.inputs import DATA, ExecutorOption
from ladera.cli.numbers import PLAIN, SECONDS, whole
from ladera.cli.predict import StructureReading
from ladera.cli.session import answer

if TYPE_CHECKING:
    from ladera.labelling.cost import Estimate
    from ladera.labelling.job import LabelRun

_LINES = 10  # frames that failed, which are shown


def label(
    *files: Annotated[
        Path, DATA, Parameter(help="Files with structures, of any format that is read.")
    ],
    engine: Annotated[
        str,
        Parameter(
            help="A YAML file with its settings, or by itself: tblite, pyscf, the MODULE:NAME of "
            "an ASE calculator, or a model, which teaches another."
        ),
    ],
    output: Annotated[Path, Parameter(help="Data file to append to: .extxyz.")],
    processes: Annotated[
        int, Parameter(help="How many frames at the same time.", converter=whole)
    ] = 1,
    threads: Annotated[int, Parameter(help="Threads of each of them.", converter=whole)] = 1,
    executor: ExecutorOption = None,
    time_limit: Annotated[
        float | None,
        SECONDS,
        Parameter(help="Seconds after which a frame is given up; that of the settings."),
    ] = None,
    max_failed: Annotated[
        float | None,
        PLAIN,
        Parameter(
            help="Share of the frames that may fail before all stops. Default: a tenth, at least 3."
        ),
    ] = None,
    atoms: Annotated[
        bool,
        Parameter(help="Label a free atom of each element, too, in its ground state."),
    ] = False,
    again: Annotated[bool, Parameter(help="Compute again what failed before.")] = False,
    dry_run: Annotated[
        bool,
        Parameter(help="Check all, time a few frames, and say how long the whole would take."),
    ] = False,
    reading: StructureReading | None = None,
) -> int:
    """Label structures with energies, forces, stress, dipoles and charges of an engine.

    Frames are appended to the output as they are ready; energies are in eV, forces in eV/Angstrom,
    stress in eV/Angstrom^3, dipoles in e*Angstrom. Labels that the files hold are not read. The
    same command, run again after whatever stopped it, goes on: no frame is computed twice. Frames
    that fail are set aside in OUTPUT.label, with their logs.

        ladera label md.extxyz --engine tblite --output data.extxyz
    """
    from ladera.labelling.cost import estimate
    from ladera.labelling.job import label as label_frames

    dataset = read_files(files, (reading or StructureReading()).without_labels())
    how: dict[str, Any] = {
        "processes": processes,
        "threads": threads,
        "time_limit": time_limit,
        "atoms": atoms,
    }
    if dry_run:
        _print_estimate(estimate(dataset, engine, output, **how), processes)
        return 0
    run = label_frames(
        dataset, engine, output, max_failed=max_failed, again=again, executor=executor, **how
    )
    answer(_document(run), [run.path])
    _print(run)
    return 0


def _document(run: LabelRun) -> dict[str, Any]:
    return {
        "labelled": run.labelled,
        "before": run.before,
        "repeated": run.repeated,
        "failed": [
            {"frame": each.source, "reason": each.reason, "log": each.log} for each in run.failed
        ],
        "wall_seconds": run.wall,
        "cpu_seconds": run.cpu,
    }


def _print(run: LabelRun) -> None:
    pace = f" ({run.wall / run.labelled:.3g} s each)" if run.labelled else ""
    before = f"; {run.before:,} were there before" if run.before else ""
    print(f"Labelled {run.labelled:,} frames{pace} in {run.path}{before}.")
    if run.repeated:
        print(f"{run.repeated:,} frames are the same as another, and are labelled once.")
    if run.failed:
        print(f"{len(run.failed):,} frames failed, and are in {run.path}.label/failed.extxyz:")
    for each in run.failed[:_LINES]:
        print(f"  {each.source}: {each.reason} See {each.log}.")
    if len(run.failed) > _LINES:
        print(f"  and {len(run.failed) - _LINES:,} more.")


def _print_estimate(found: Estimate, processes: int) -> None:
    from ladera.cli.session import quantities

    fields: dict[str, tuple[Any, str]] = {
        "frames": (found.frames, ""),
        "labelled_before": (found.before, ""),
        "time": (found.seconds, "s"),
    }
    answer(quantities("label_estimate", fields))
    before = f", {found.before:,} are there already" if found.before else ""
    print(f"{found.frames:,} frames are to be labelled{before}. Nothing was written.")
    if found.frames:
        tried = ", ".join(f"{formula} {seconds:.3g} s" for formula, seconds in found.sample)
        many = f"{processes} processes" if processes > 1 else "one process"
        print(f"Tried: {tried}. All of them would take {_span(found.seconds)} with {many}.")


def _span(seconds: float) -> str:
    """A time in the unit that suits it."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"about {seconds / size:.2g} {unit}"
    return f"about {seconds:.2g} seconds"
