"""``ladera md``: molecular dynamics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import make_dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ladera.cli.models import ModelOptions, load_model
from ladera.cli.numbers import whole
from ladera.cli.properties import Frame
from ladera.cli.session import answer, quantities
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
    seen = _Seen(settings)
    run_md(atoms, potential, settings, output, resume=resume, on_row=seen.row)
    seen.summarize(output)
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
    seen = _Seen(job.settings)
    job.run(output, resume=resume, on_row=seen.row)
    seen.summarize(output)
    return 0


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
            f"{row.temperature_k:.1f} K and {row.potential_energy_ev:.4f} eV. Results in {output}."
        )

    def _answer(self, output: Path) -> None:
        """The last row, and the means of the run, as a document."""
        from ladera.simulation.run_folder import SimulationRun

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
        record = json.loads((output / "settings.json").read_text(encoding="utf-8"))
        answer(quantities("molecular_dynamics", fields, record), sorted(output.iterdir()))
