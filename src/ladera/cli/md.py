"""``ladera md``: molecular dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ladera.cli.inputs import MODEL_AND_STRUCTURE, inputs_first
from ladera.cli.models import ModelOptions, load_model
from ladera.cli.numbers import in_unit, whole
from ladera.cli.progress import ProgressBar
from ladera.cli.properties import Frame
from ladera.errors import SimulationError
from ladera.simulation.settings import MDSettings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from ladera.simulation.run_folder import LogRow

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
    potential = load_model(files[:-1], options)
    with _Display(settings) as display:
        run_md(atoms, potential, settings, output, resume=resume, on_row=display.show_row)
    display.summarize(output)
    return 0


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
    with _Display(job.settings) as display:
        job.run(output, resume=resume, on_row=display.show_row)
    display.summarize(output)
    return 0


def _folder(settings: MDSettings, resume: bool) -> Path:
    """The folder of a run that none was given for; that of an older Ladera, md, to go on there."""
    folder, former = Path(settings.name), Path("md")
    return former if resume and former.is_dir() and not folder.is_dir() else folder


class _Display(ProgressBar):
    """The speed, temperature and energy on a bar; quiet without a terminal."""

    def __init__(self, settings: MDSettings) -> None:
        super().__init__("step", settings.n_steps)
        self._settings = settings
        self._last: LogRow | None = None

    def show_row(self, row: LogRow) -> None:
        """Draw a row of the log."""
        self._last = row
        state = f"{row.temperature_k:.0f} K, total energy {row.total_energy_ev:.3f} eV"
        if row.extrapolating_atoms:
            state += f", {row.extrapolating_atoms} atoms outside the training domain"
        self.show(row.step, speed=self._speed(row.step), words=state)

    def summarize(self, output: Path) -> None:
        """Say what was done and where it is."""
        row = self._last
        if row is None:
            print(f"The run in {output} was complete already.")
            return
        steps = self._settings.n_steps
        speed = self._speed(steps)
        print(
            f"{steps} steps, {steps * self._settings.timestep / 1000:g} ps"
            f"{speed and f', {speed}'}; in the last row {row.temperature_k:.1f} K, potential "
            f"energy {row.potential_energy_ev:.4f} eV. Results in {output}."
        )

    def _speed(self, step: int) -> str:
        rate = self.rate(step)
        if rate is None:
            return ""
        nanoseconds_per_day = rate * self._settings.timestep * 1e-6 * 86400
        return f"{rate:.1f} steps/s, {nanoseconds_per_day:.3g} ns/day"
