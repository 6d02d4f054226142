"""``ladera md``: molecular dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ladera.cli.models import ModelOptions, load_model
from ladera.cli.numbers import whole
from ladera.cli.progress import ProgressBar
from ladera.cli.properties import Frame
from ladera.errors import SimulationError
from ladera.simulation.settings import MDSettings

if TYPE_CHECKING:
    from ladera.simulation.run_folder import LogRow

    Flags = MDSettings
else:
    # The settings as the command line reads them, before they are checked.
    Flags = make_dataclass(
        "Flags",
        [
            (
                name,
                Annotated[
                    info.annotation,
                    Parameter(
                        help=info.description,
                        converter=whole if info.annotation in (int, int | None) else None,
                    ),
                ],
                info.default,
            )
            for name, info in MDSettings.model_fields.items()
        ],
        namespace={"__module__": __name__},
    )


def md(
    *files: Annotated[
        Path,
        Parameter(
            help="Model file (several make a committee) and structure file, anything ASE reads; "
            "or a control.in, which says everything."
        ),
    ],
    flags: Annotated[Flags | None, Parameter(name="*")] = None,
    frame: Frame = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("md"),
    resume: Annotated[
        bool, Parameter(negative=(), help="Continue the run in the folder, bit for bit.")
    ] = False,
) -> int:
    """Run molecular dynamics; the text of the help is in :mod:`ladera.cli`."""
    from ladera.simulation.molecular_dynamics import run_md
    from ladera.simulation.structures import read_structure

    if not files:
        raise SimulationError(
            "Give a model and a structure: ladera md MODEL STRUCTURE --temperature 300 --time 10."
        )
    if files[0].suffix == ".in":
        return _run_control(files, flags, output, resume)
    if len(files) < 2:
        raise SimulationError(f"Give a structure file too: ladera md {files[0]} STRUCTURE.")
    settings = MDSettings(**vars(flags) if flags else {})  # without any it asks for the length
    atoms = read_structure(files[-1], frame)
    potential = load_model(files[:-1], options)
    with _Display(settings) as display:
        run_md(atoms, potential, settings, output, resume=resume, on_row=display.show_row)
    display.summarize(output)
    return 0


def _run_control(files: Sequence[Path], flags: Flags | None, output: Path, resume: bool) -> int:
    """Molecular dynamics as a control.in says."""
    from ladera.jobs import control_in

    if len(files) > 1 or flags is not None:
        raise SimulationError(
            f"{files[0]} says all there is to say of the run; leave the other files and settings "
            "out, or name model and structure instead of it."
        )
    job = control_in.read_simulation(files[0])
    with _Display(job.settings) as display:
        job.run(output, resume=resume, on_row=display.show_row)
    display.summarize(output)
    return 0


class _Display(ProgressBar):
    """The speed, temperature and energy on a bar; quiet without a terminal."""

    def __init__(self, settings: MDSettings) -> None:
        super().__init__("step", settings.n_steps)
        self._settings = settings
        self._last: LogRow | None = None

    def show_row(self, row: LogRow) -> None:
        """Draw a row of the log."""
        self._last = row
        state = f"{row.temperature_k:.0f} K, {row.total_energy_ev:.3f} eV"
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
            f"{speed and f', {speed}'}; in the last row {row.temperature_k:.1f} K and "
            f"{row.potential_energy_ev:.4f} eV. Results in {output}."
        )

    def _speed(self, step: int) -> str:
        rate = self.rate(step)
        if rate is None:
            return ""
        nanoseconds_per_day = rate * self._settings.timestep * 1e-6 * 86400
        return f"{rate:.1f} steps/s, {nanoseconds_per_day:.3g} ns/day"
