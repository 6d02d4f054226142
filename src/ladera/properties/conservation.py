"""How well a potential conserves energy: drift at constant energy against the time step."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.arrays import Floats
from ladera.errors import PropertyError, SimulationError
from ladera.plotting import FAINT, PALETTE, axes, log_scale, style
from ladera.progress import track
from ladera.properties.given import of_structure_and_model
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.preparation import SimulationWarning
from ladera.simulation.run_folder import RunFolder, largest_grade
from ladera.simulation.settings import MDSettings
from ladera.tables import Column, Number, Table
from ladera.units import BOLTZMANN

if TYPE_CHECKING:
    import os

    from ase import Atoms

    from ladera.potential import Potential

STEPS: Final = (0.25, 0.5, 1.0, 1.5, 2.0)  # fs, for hydrogen; longer with the root of the mass
DURATION: Final = 1.0  # ps, for hydrogen
DRIFT: Final = 1.0  # meV/atom/ps, of a safe step
FLUCTUATION: Final = 0.05  # of k T for each atom, of a safe step
_HYDROGEN: Final = 1.008  # amu
_ROWS: Final = 200  # of a run's log


@dataclass(frozen=True, kw_only=True)
class EnergyConservation(Result):
    """Runs at constant energy from one start; not-a-number for one that broke off."""

    kind: ClassVar[str] = "energy_conservation"
    title: ClassVar[str] = "Energy conservation"
    caption: ClassVar[str] = (
        "Drift and fluctuation of the total energy against the time step; limits dotted, safe "
        "steps shaded."
    )

    temperature: float = quantity("K")  # twice of it at the start, half of which stays
    duration: float = quantity("ps")
    timesteps: Floats = quantity("fs")  # (n,)
    drift: Floats = quantity("meV/ps")  # (n,), per atom
    fluctuation: Floats = quantity("meV")  # (n,), per atom, root mean square about the drift
    safe: float = quantity("fs")  # the longest safe step; not-a-number if there is none

    def table(self) -> Table:
        """One row for each time step."""
        rows = []
        for step, drift, fluctuation in zip(
            self.timesteps, self.drift, self.fluctuation, strict=True
        ):
            verdict = "safe" if step <= self.safe else "too long"
            numbers = (Number(x, instead="broke off") for x in (drift, fluctuation))
            rows.append((step, *numbers, verdict if np.isfinite(drift) else "broke off"))
        columns = (
            Column("time step", "fs", pattern="g"),
            Column("drift of the total energy", "meV/atom/ps", pattern="+.3g"),
            Column("fluctuation", "meV/atom", pattern=".3g"),
            Column("verdict"),
        )
        words = f"Each of them {self.duration:.3g} ps, from {self.temperature:g} K."
        return Table(columns, tuple(rows), notes=(words,))

    def plot(self, ax: Axes | None = None) -> Figure:
        """Drift and fluctuation against the time step."""
        limit = 1e3 * FLUCTUATION * BOLTZMANN * self.temperature
        with style():
            figure, panel = axes(4.6, 3.3, ax)
            panel.plot(
                self.timesteps,
                np.abs(self.drift),
                "o-",
                color=PALETTE[0],
                label="size of the drift (meV/atom/ps)",
            )
            panel.plot(
                self.timesteps,
                self.fluctuation,
                "s--",
                color=PALETTE[1],
                label="fluctuation (meV/atom)",
            )
            panel.axhline(DRIFT, color=PALETTE[0], lw=0.8, ls=":")
            panel.axhline(limit, color=PALETTE[1], lw=0.8, ls=":")
            if np.isfinite(self.safe):
                panel.axvspan(0, self.safe, color=FAINT, alpha=0.15, lw=0, label="safe")
            panel.set(xlabel="time step (fs)", ylabel="meV/atom (drift: in a ps)")
            log_scale(panel, "y")
            panel.set_xlim(0, 1.05 * float(self.timesteps[-1]))
            panel.legend()
        return figure


@of_structure_and_model
@recorded
def energy_conservation(
    atoms: Atoms,
    potential: Potential,
    folder: str | os.PathLike[str],
    /,
    *,
    temperature: float = 300.0,
    timesteps: tuple[float, ...] = (),
) -> EnergyConservation:
    """Drift and fluctuation of the total energy in runs at constant energy, and the safe step.

    All runs begin at ``atoms`` (relaxed) with the same velocities, of twice the ``temperature``
    (K): half of that goes into the springs. The drift is the slope of the total energy, the
    fluctuation what is left about that line. A step is safe when it and all shorter ones drift by
    less than 1 meV/atom/ps and fluctuate by less than 5 % of k T per atom. ``timesteps`` (fs) are
    0.25 to 2 for hydrogen, and as many times longer as the root of the lightest mass is. The runs
    are in ``folder``, and complete ones are not run again.

    Raises PropertyError for a temperature or a time step that is not above zero.
    """
    root = float(np.sqrt(atoms.get_masses().min() / _HYDROGEN))
    steps = np.array(timesteps or [float(f"{step * root:.2g}") for step in STEPS])
    if not temperature > 0:
        raise PropertyError.of("temperature", f"{temperature:g} K", "it must be above zero")
    if not (steps > 0).all():
        given = " ".join(f"{step:g}" for step in steps)
        raise PropertyError.of("timesteps", f"{given} fs", "they must be above zero")
    duration = DURATION * root
    runs = [
        _run(atoms, potential, Path(folder), float(step), duration, temperature)
        for step in track(steps, "runs, one for each time step")
    ]
    drift, fluctuation, grades = np.array(runs).T
    limit = 1e3 * FLUCTUATION * BOLTZMANN * temperature
    sound = (np.abs(drift) < DRIFT) & (fluctuation < limit)
    count = int(np.argmin([*sound, False]))
    return EnergyConservation(
        temperature=temperature,
        duration=duration,
        timesteps=steps,
        drift=drift,
        fluctuation=fluctuation,
        safe=float(steps[count - 1]) if count else float("nan"),
        largest_grade=float(np.fmax.reduce(grades)),
    )


def _run(
    atoms: Atoms,
    potential: Potential,
    folder: Path,
    timestep: float,
    duration: float,
    temperature: float,
) -> tuple[float, float, float]:
    """Drift (meV/atom/ps), fluctuation (meV/atom) and largest grade of one run."""
    steps = max(_ROWS, round(1000 * duration / timestep))
    settings = MDSettings(
        ensemble="nve",
        temperature=2 * temperature,
        timestep=timestep,
        steps=steps,
        log_interval=max(1, steps // _ROWS),
        trajectory_interval=steps,
        max_extrapolating=1.0,
        stop_grade=0.0,
    )
    place = RunFolder(folder / f"nve-{timestep:g}fs")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SimulationWarning)  # the table says what is too long
            run_md(atoms, potential, settings, place.path, resume=place.holds_run)
    except SimulationError:
        return float("nan"), float("nan"), largest_grade(place.table())
    rows = place.table()
    time, energy = rows["time_fs"] / 1000, 1e3 * rows["total_energy_ev"] / len(atoms)
    line = np.polynomial.Polynomial.fit(time, energy, 1).convert()
    rest = energy - line(time)
    slope = float(line.coef[1]) if len(line.coef) > 1 else 0.0
    return slope, float(np.sqrt((rest**2).mean())), largest_grade(rows)
