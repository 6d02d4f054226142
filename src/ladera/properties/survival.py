"""Whether a simulation twice as hot as the hottest training data stays in one piece."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.arrays import Floats
from ladera.errors import SimulationError
from ladera.plotting import PALETTE, panel_grid, style
from ladera.properties.given import of_structure_and_model
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.preparation import SimulationWarning
from ladera.simulation.run_folder import RunFolder, largest_grade
from ladera.simulation.settings import MDSettings
from ladera.tables import Column, Number, Table

if TYPE_CHECKING:
    import os

    from ase import Atoms

    from ladera.potential import Potential

_ROWS: Final = 400


_NO_DOMAIN: Final = "the model keeps no record of its training domain"


@dataclass(frozen=True, kw_only=True)
class Survival(Result):
    """A run with a thermostat: how far it came and how often the model had to extrapolate."""

    kind: ClassVar[str] = "survival"
    title: ClassVar[str] = "Survival"
    caption: ClassVar[str] = (
        "Temperature, with the one that was set dashed, and the atoms outside the training domain."
    )

    reason: str  # why it broke off; empty if it did not
    temperature: float = quantity("K")
    timestep: float = quantity("fs")
    asked: float = quantity("ps")
    survived: float = quantity("ps")
    outside: float = quantity()  # share of the rows with an extrapolating atom
    times: Floats = quantity("ps")  # (n,)
    temperatures: Floats = quantity("K")  # (n,)
    extrapolating: Floats = quantity()  # (n,), atoms outside the training domain

    def table(self) -> Table:
        """What was asked, what was reached, and why not more."""
        return Table.of_one(
            (Column("temperature", "K", pattern="g"), self.temperature),
            (Column("time step", "fs", pattern="g"), self.timestep),
            (Column("asked", "ps"), self.asked),
            (Column("survived", "ps"), Number(self.survived, note=self.reason)),
            (
                Column("rows with atoms outside the training domain", "%", pattern=".1f"),
                Number(100 * self.outside, note="" if np.isfinite(self.outside) else _NO_DOMAIN),
            ),
        )

    def plot(self, ax: Axes | None = None) -> Figure:
        """Temperature, and below it the atoms outside the training domain."""
        known = bool(np.isfinite(self.extrapolating).any())
        with style():
            height, rows = (4.2, (1, 1)) if known else (2.6, (1,))
            figure, panels = panel_grid(5.2, height, ax, rows=rows, share="x")
            panels[0].plot(self.times, self.temperatures, color=PALETTE[0], lw=0.9)
            panels[0].axhline(self.temperature, color=PALETTE[1], ls="--", lw=1)
            panels[0].set(ylabel="temperature (K)")
            if known:
                panels[1].step(self.times, self.extrapolating, color=PALETTE[0], lw=0.9)
                panels[1].set(ylabel="atoms outside (number)")
            panels[-1].set(xlabel="time (ps)")
        return figure


@of_structure_and_model
@recorded
def survival(
    atoms: Atoms,
    potential: Potential,
    folder: str | os.PathLike[str],
    /,
    *,
    temperature: float = 600.0,
    timestep: float = 0.5,
    time: float = 10.0,
) -> Survival:
    """Run ``time`` ps at ``temperature`` (K, Langevin) with ``timestep`` (fs), and see how it ends.

    The run stops when the structure explodes or collapses; leaving the training domain is counted
    and does not stop it. It is in ``folder``, and goes on from where it was if it was interrupted.
    """
    place = RunFolder(folder)
    steps = max(1, round(1000 * time / timestep))
    settings = MDSettings(
        ensemble="nvt-langevin",
        temperature=temperature,
        timestep=timestep,
        steps=steps,
        log_interval=max(1, steps // _ROWS),
        trajectory_interval=max(1, steps // 100),
        max_extrapolating=1.0,
        stop_grade=0.0,
    )
    reason = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SimulationWarning)  # counted below
            run_md(atoms, potential, settings, place.path, resume=place.holds_run)
    except SimulationError as error:
        reason = str(error).split(". The last good frame")[0]
    rows = place.table()
    times = rows.get("time_fs", np.empty(0)) / 1000
    extrapolating = rows.get("extrapolating_atoms", np.full(len(times), np.nan))
    known = extrapolating[np.isfinite(extrapolating)]
    return Survival(
        reason=reason,
        temperature=temperature,
        timestep=timestep,
        asked=time,
        survived=time if not reason else float(times[-1]) if len(times) else 0.0,
        outside=float(np.mean(known > 0)) if len(known) else float("nan"),
        times=times,
        temperatures=rows.get("temperature_k", np.empty(0)),
        extrapolating=extrapolating,
        largest_grade=largest_grade(rows),
    )
