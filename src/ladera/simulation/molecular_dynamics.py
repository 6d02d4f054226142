"""Molecular dynamics with ASE's integrators: logged, guarded, and continued bit for bit."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ladera.errors import DataError, SimulationError
from ladera.interrupt import StopRequest
from ladera.potential import LaderaCalculator, PropertyUnavailableError
from ladera.quantities import ENERGY, FORCES
from ladera.simulation import records, restart
from ladera.simulation.extrapolation import ExtrapolationLog
from ladera.simulation.guard import Guard, check_distances
from ladera.simulation.integrators import INTEGRATORS, degrees_of_freedom
from ladera.simulation.preparation import (
    check_ensemble,
    check_species,
    check_timestep,
    set_velocities,
)
from ladera.simulation.records import FrameFile, Table
from ladera.simulation.settings import MDSettings
from ladera.units import GIGAPASCAL

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.potential import Potential, Prediction


@dataclass(frozen=True)
class LogRow:
    """One row of md.csv; None is an empty field."""

    step: int
    time_fs: float
    temperature_k: float
    potential_energy_ev: float
    kinetic_energy_ev: float
    total_energy_ev: float
    conserved_energy_ev: float  # what an exact integration would keep constant
    pressure_gpa: float | None  # None for an open structure
    volume_angstrom3: float | None
    extrapolating_atoms: int | None  # None for a model without a record of its training domain
    energy_std_ev: float | None = None  # of a committee: None for a single model
    max_force_std_ev_per_angstrom: float | None = None  # the largest of any force component


_COLUMNS: Final = tuple(field.name for field in fields(LogRow))


def run_md(
    atoms: Atoms,
    potential: Potential,
    settings: MDSettings,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    on_row: Callable[[LogRow], None] | None = None,
) -> Atoms:
    """Run molecular dynamics and return the last structure; ``atoms`` itself stays as it is.

    ``folder`` receives md.csv (see :class:`LogRow`), trajectory.traj, restart.npz, settings.json,
    extrapolation.csv and final.extxyz. With ``resume`` the run in it continues from its last
    restart point to exactly the trajectory it would have had; model, structure and settings must
    be the same, but the run may be made longer. ``on_row`` is called with each new row of the log.

    Ctrl-C and SIGTERM leave a restart point at the current step and raise KeyboardInterrupt.

    Raises SimulationError for settings the structure does not allow, for a folder that holds
    another run, and when the structure explodes or leaves the model's training domain; then the
    last good frame is in last_good.extxyz. Raises DataError for an element the model does not
    know. Warns (SimulationWarning) of a long time step and of extrapolation.
    """
    check_species(atoms, potential)
    check_ensemble(atoms, settings)
    check_timestep(atoms, settings.timestep)
    run = _Run(atoms, potential, settings, Path(folder), on_row)
    point = None
    if resume:
        point = run.restart_point()
    else:
        run.claim_folder()
    with (
        StopRequest() as stop,
        closing(Table(run.folder / "md.csv", _COLUMNS, point.table if point else None)) as table,
        closing(
            FrameFile(run.folder / "trajectory.traj", point.frames if point else None)
        ) as frames,
        closing(
            ExtrapolationLog(
                run.folder / "extrapolation.csv", point.extrapolation if point else None
            )
        ) as extrapolation,
    ):
        run.begin(point, table, frames, extrapolation)
        while run.step < settings.n_steps:
            run.advance()
            if stop.requested:
                run.save_restart()
                raise KeyboardInterrupt(f"stopped after step {run.step}")
        run.finish()
    return run.frame()


class _Run:
    """The parts of a run in progress and the files they write to."""

    _table: Table
    _frames: FrameFile
    _extrapolation: ExtrapolationLog

    def __init__(
        self,
        atoms: Atoms,
        potential: Potential,
        settings: MDSettings,
        folder: Path,
        on_row: Callable[[LogRow], None] | None,
    ) -> None:
        self.step = 0
        self._good_step = -1  # there is no good frame yet
        self._settings = settings
        self.folder = folder
        self._on_row = on_row
        self._rng = np.random.default_rng(settings.seed)
        self._start = atoms
        self._atoms: Atoms = atoms.copy()
        self._calculator = LaderaCalculator(potential)
        self._atoms.calc = self._calculator
        set_velocities(self._atoms, settings, self._rng)
        dof = degrees_of_freedom(atoms, settings.ensemble)
        self._integrator = INTEGRATORS[settings.ensemble](self._atoms, settings, self._rng, dof)
        self._guard = Guard(settings, atoms)

    def claim_folder(self) -> None:
        """Make a new run's folder, unless it holds a run already."""
        if (self.folder / "restart.npz").exists():
            raise SimulationError(
                f"{self.folder} holds a run already; continue it with --resume or choose "
                "another folder."
            )
        records.write_settings(self.folder, self._contents())

    def restart_point(self) -> restart.RestartPoint:
        """Where the run in the folder goes on, if it is this run."""
        point = restart.load(self.folder / "restart.npz")
        records.require_same_run(self.folder, self._contents())
        if point.step > self._settings.n_steps:
            raise SimulationError(
                f"The run in {self.folder} is at step {point.step} already, beyond the "
                f"{self._settings.n_steps} asked for; a run can be made longer, not shorter."
            )
        records.write_settings(self.folder, self._contents())
        return point

    def begin(
        self,
        point: restart.RestartPoint | None,
        table: Table,
        frames: FrameFile,
        extrapolation: ExtrapolationLog,
    ) -> None:
        """Write the first row and restart point, or go back to the restart point."""
        self._table, self._frames, self._extrapolation = table, frames, extrapolation
        if point is not None:
            self._go_back_to(point)
        else:
            self._check_start()
            self.save_restart()
        self._good, self._good_step = self.frame(), self.step

    def advance(self) -> None:
        """One step with its checks, and what is due after it."""
        settings = self._settings
        try:
            if settings.temperature_end is not None:
                self._integrator.set_temperature(settings.temperature_at(self.step + 1))
            self._integrator.step()
            self.step += 1
            self._guard.check_step(self._atoms, self._integrator.temperature())
            self._record()
        except (SimulationError, DataError) as error:
            self._stop(error)
        if self.step % settings.restart_interval == 0 or self.step == settings.n_steps:
            self.save_restart()

    def frame(self) -> Atoms:
        """The structure as it is now, with its results and without our own constraints."""
        frame = records.snapshot(self._atoms)
        frame.set_constraint(self._start.constraints)
        return frame

    def save_restart(self) -> None:
        """Write a restart point."""
        point = restart.RestartPoint(
            step=self.step,
            atoms=restart.atoms_state(self._atoms),
            integrator=self._integrator.state(),
            random_state=dict(self._rng.bit_generator.state),
            guard=self._guard.state(),
            table=self._table.position(),
            frames=self._frames.position(),
            extrapolation=self._extrapolation.state(),
        )
        restart.save(self.folder / "restart.npz", point)

    def finish(self) -> None:
        """Write the last structure, and say how often the model had to extrapolate."""
        self._extrapolation.say_total()
        records.write_structure(self.folder / "final.extxyz", self.frame())

    def _contents(self) -> dict[str, Any]:
        return {
            "settings": asdict(self._settings),
            "model": records.describe_model(self._calculator.potential),
            "structure": records.describe_structure(self._start),
        }

    def _go_back_to(self, point: restart.RestartPoint) -> None:
        self.step = point.step
        point.put_into(self._atoms)
        self._integrator.restore(point.integrator)
        self._guard.restore(point.guard)
        self._rng.bit_generator.state = point.random_state

    def _check_start(self) -> None:
        try:
            self._guard.check_step(self._atoms, self._integrator.temperature())
            self._record()
        except SimulationError as error:
            reason = str(error).rstrip(".")
            raise SimulationError(
                f"This structure is no start for a simulation: {reason}. "
                "Check it, or relax it first."
            ) from error

    def _record(self) -> None:
        """Check the structure and write the row and the frame that are due."""
        settings = self._settings
        if self.step % settings.log_interval == 0:
            row = self._row()
            check_distances(self._calculator.prediction.graph)
            self._table.write(vars(row))
            grades = self._calculator.grade()
            if grades is not None and row.extrapolating_atoms:
                symbols, reasons = self._atoms.symbols, self._calculator.explain_grade()
                self._extrapolation.record(self.step, symbols, grades, reasons)
            self._guard.check_domain(row.extrapolating_atoms)
            if self.step > 0:
                self._good, self._good_step = self.frame(), self.step
            if self._on_row is not None:
                self._on_row(row)
        if self.step % settings.trajectory_interval == 0:
            self._frames.write(self._good if self._good_step == self.step else self.frame())

    def _row(self) -> LogRow:
        atoms = self._atoms
        potential_energy = float(atoms.get_potential_energy())
        kinetic_energy = float(atoms.get_kinetic_energy())
        return LogRow(
            step=self.step,
            time_fs=self.step * self._settings.timestep,
            temperature_k=self._integrator.temperature(),
            potential_energy_ev=potential_energy,
            kinetic_energy_ev=kinetic_energy,
            total_energy_ev=potential_energy + kinetic_energy,
            conserved_energy_ev=self._integrator.conserved_energy(),
            pressure_gpa=_pressure(atoms, kinetic_energy),
            volume_angstrom3=float(atoms.cell.volume) if atoms.pbc.any() else None,
            extrapolating_atoms=self._calculator.extrapolating_atoms(),
            **_spread(self._calculator.prediction),
        )

    def _stop(self, error: Exception) -> None:
        """Save the last good frame and say why the run had to end."""
        path = self.folder / "last_good.extxyz"
        records.write_structure(path, self._good)
        reason = str(error).rstrip(".")
        raise SimulationError(
            f"The simulation stopped after step {self.step} "
            f"({self.step * self._settings.timestep:g} fs): {reason}. The last good frame, of step "
            f"{self._good_step}, is {path}. Relax the structure first, take a shorter time step, "
            "or train the model on structures like this one."
        ) from error


def _spread(prediction: Prediction) -> dict[str, float]:
    """Standard deviations of energy and forces, if there is a committee to tell them."""
    if not prediction.members:
        return {}
    return {
        "energy_std_ev": float(prediction.std[ENERGY]),
        "max_force_std_ev_per_angstrom": float(prediction.std[FORCES].max()),
    }


def _pressure(atoms: Atoms, kinetic_energy: float) -> float | None:
    """P = (2 E_kin / V - tr sigma) / 3, GPa; None without a volume."""
    try:
        stress: Any = atoms.get_stress(apply_constraint=False)
    except PropertyUnavailableError:
        return None
    return float((2 * kinetic_energy / atoms.cell.volume - stress[:3].sum()) / 3 / GIGAPASCAL)
