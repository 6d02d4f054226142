"""``ladera md``: molecular dynamics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import make_dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ladera.cli.inputs import MODEL_AND_STRUCTURE, inputs_first
from ladera.cli.misuse import UsageError
from ladera.cli.models import ModelOptions, load_model
from ladera.cli.numbers import in_unit, whole
from ladera.cli.properties import Frame
from ladera.cli.session import answer, quantities
from ladera.errors import SimulationError
from ladera.simulation.settings import MDSettings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from ladera.potential import Potential
    from ladera.simulation.rows import LogRow

    Flags = MDSettings
else:

    def _of(info: FieldInfo) -> Parameter:
        """How the value of a flag is read: a number with its unit, a whole one, or a word."""
        if info.annotation in (int, int | None):
            return Parameter(converter=whole)
        extra = info.json_schema_extra
        return in_unit(extra["unit"]) if extra else Parameter()

    # The settings as the command line reads them, before they are checked.
    Flags = make_dataclass(
        "Flags",
        [
            (
                name,
                Annotated[
                    info.annotation,
                    _of(info),
                    Parameter(help=info.description),
                ],
                info.default,
            )
            for name, info in MDSettings.model_fields.items()
        ],
        namespace={"__module__": __name__},
    )


@inputs_first
def md(
    *files: Annotated[
        Path,
        MODEL_AND_STRUCTURE,
        Parameter(
            help="Model file (several make a committee) and structure file, anything ASE reads; "
            "or a control.in, which says everything."
        ),
    ],
    flags: Annotated[Flags | None, Parameter(name="*")] = None,
    frame: Frame = None,
    options: ModelOptions | None = None,
    engine: Annotated[
        str | None,
        Parameter(
            help="An engine in the place of MODEL, as for ladera label: tblite, pyscf, or a YAML "
            "file. Every frame of the trajectory is labelled by it.",
            group="Model",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        Parameter(help="Folder for the results; named by what is run, such as md-300K."),
    ] = None,
    resume: Annotated[
        bool, Parameter(negative=(), help="Continue the run in the folder, bit for bit.")
    ] = False,
) -> int:
    """Run molecular dynamics; the text of the help is in :mod:`ladera.cli`."""
    if files[0].suffix == ".in":
        return _run_control(files, flags, output, resume)
    settings = MDSettings(**vars(flags) if flags else {})  # without any it asks for the length
    from ladera.simulation.molecular_dynamics import run_md  # torch: a mistake need not wait
    from ladera.simulation.structures import read_structure

    output = output or _folder(settings, resume)
    atoms = read_structure(files[-1], frame)
    potential = _potential(files[:-1], options, engine)
    seen = _Seen(settings)
    run_md(atoms, potential, settings, output, resume=resume, on_row=seen.row)
    seen.summarize(output)
    return 0


def _potential(
    models: Sequence[Path], options: ModelOptions | None, engine: str | None
) -> Potential:
    """What gives the forces: a model, or an engine in its place."""
    if engine is None:
        return load_model(models, options)
    from ladera.labelling.engines import as_engine
    from ladera.loading import as_potential

    if models or options is not None:
        what = f"{models[0]} is a model" if models else "a flag is of a model"
        raise UsageError(
            f"--engine {engine} stands in the place of a model, and {what}; leave one of them out."
        )
    return as_potential(as_engine(engine).calculator())


def _run_control(
    files: Sequence[Path], flags: Flags | None, output: Path | None, resume: bool
) -> int:
    """Molecular dynamics as a control.in says."""
    from ladera.jobs import control_in

    if len(files) > 1 or flags is not None:
        raise SimulationError(
            f"{files[0]} says all there is to say of the run; leave the other files and settings "
            "out, or name model and structure instead of it."
        )
    job = control_in.read_simulation(files[0])
    output = output or _folder(job.settings, resume)
    seen = _Seen(job.settings)
    job.run(output, resume=resume, on_row=seen.row)
    seen.summarize(output)
    return 0


def _folder(settings: MDSettings, resume: bool) -> Path:
    """The folder of a run that none was given for; that of an older Ladera, md, to go on there."""
    folder, former = Path(settings.name), Path("md")
    return former if resume and former.is_dir() and not folder.is_dir() else folder


class _Seen:
    """What was seen of a run, for a sentence at its end."""

    def __init__(self, settings: MDSettings) -> None:
        self._settings = settings
        self._first: tuple[int, float] | None = None  # step and when
        self._last: LogRow | None = None

    def row(self, row: LogRow) -> None:
        """Keep a row of the log."""
        self._first = self._first or (row.step, monotonic())
        self._last = row

    def summarize(self, output: Path) -> None:
        """Say what was done and where it is."""
        row = self._last
        self._answer(output)
        if row is None or self._first is None:
            print(f"The run in {output} was complete already.")
            return
        steps, (first, began) = self._settings.n_steps, self._first
        speed, seconds = "", monotonic() - began
        if steps > first and seconds > 0:
            rate = (steps - first) / seconds
            nanoseconds_per_day = rate * self._settings.timestep * 1e-6 * 86400
            speed = f", {rate:.1f} steps/s, {nanoseconds_per_day:.3g} ns/day"
        print(
            f"{steps} steps, {steps * self._settings.timestep / 1000:g} ps{speed}; in the last row "
            f"{row.temperature_k:.1f} K, potential energy {row.potential_energy_ev:.4f} eV. "
            f"Results in {output}."
        )

    def _answer(self, output: Path) -> None:
        """The last row, and the means of the run, as a document."""
        from ladera.simulation.run_folder import SimulationRun, largest_grade

        run = SimulationRun.read(output)
        names = {
            "temperature": ("temperature_k", "K"),
            "potential_energy": ("potential_energy_ev", "eV"),
            "kinetic_energy": ("kinetic_energy_ev", "eV"),
            "total_energy": ("total_energy_ev", "eV"),
        }
        fields: dict[str, tuple[Any, str]] = {
            "steps": (run.table["step"][-1], ""),
            "time": (run.table["time_fs"][-1] / 1000, "ps"),
        }
        for name, (column, unit) in names.items():
            fields[f"last_{name}"] = run.table[column][-1], unit
            fields[f"mean_{name}"] = run.table[column].mean(), unit
        fields["largest_grade"] = largest_grade(run.table), ""
        record = json.loads((output / "settings.json").read_text(encoding="utf-8"))
        answer(quantities("molecular_dynamics", fields, record), sorted(output.iterdir()))
