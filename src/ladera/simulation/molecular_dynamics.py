"""Molecular dynamics: logged, guarded, and continued bit for bit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ladera.arguments import checked
from ladera.errors import (
    ArgumentError,
    DataError,
    LabellingError,
    SimulationError,
    StoppedError,
)
from ladera.identity import describe_run
from ladera.interrupt import StopRequest
from ladera.loading import as_potential
from ladera.potential import LaderaCalculator, PropertyUnavailableError
from ladera.potential.heat_flux import HeatFlux
from ladera.progress import Task
from ladera.quantities import ENERGY, FORCES
from ladera.simulation import restart
from ladera.simulation.dynamics import Dynamics
from ladera.simulation.guard import Guard, check_distances
from ladera.simulation.preparation import (
    check_ensemble,
    check_species,
    check_timestep,
    set_velocities,
)
from ladera.simulation.records import snapshot
from ladera.simulation.restart import RestartPoint
from ladera.simulation.rows import HEAT_FLUX, LogRow
from ladera.simulation.run_folder import RunFiles, RunFolder
from ladera.simulation.settings import MDSettings
from ladera.simulation.stopping import StopRule, force_deviations
from ladera.simulation.structures import as_atoms
from ladera.units import FEMTOSECOND, GIGAPASCAL

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.loading import ModelLike
    from ladera.potential import Potential, Prediction
    from ladera.simulation.structures import StructureLike


@checked
def run_md(
    structure: StructureLike,
    model: ModelLike,
    settings: MDSettings | Mapping[str, Any] | None = None,
    folder: str | os.PathLike[str] | None = None,
    *,
    resume: bool = False,
    on_row: Callable[[LogRow], None] | None = None,
    **changes: Any,
) -> Atoms:
    """Run molecular dynamics and return the last structure; what is given stays as it is.

    ``structure`` is what :func:`ladera.simulation.structures.as_atoms` takes, ``model`` what
    :func:`ladera.loading.as_potential` does. Settings are those of
    :class:`ladera.simulation.settings.MDSettings`: an object, a dictionary, keywords (such as
    ``temperature=300, time=10``), or one of the former with keywords that change it.

    ``folder`` receives md.csv (see :class:`LogRow`), trajectory.traj, restart.npz, settings.json,
    extrapolation.csv and final.extxyz. With ``resume`` the run in it continues from its last
    restart point to exactly the trajectory it would have had; model, structure and settings must
    be the same, but the run may be made longer. ``on_row`` is called with each new row of the log.

    Ctrl-C and the signals of queue systems (:mod:`ladera.interrupt`) leave a restart point at the
    current step and raise KeyboardInterrupt.

    The run raises StoppedError at the first row of the log beyond ``stop_grade`` (10 by default, of
    a model with an active set) or ``stop_deviation``; the frame is in stopped.extxyz, and the run
    can go on. With ``select_grade`` frames beyond that are kept in selected.extxyz.

    Raises SimulationError for settings the structure does not allow, for a folder that holds
    another run, and when the structure explodes or leaves the model's training domain; then the
    last good frame is in last_good.extxyz. Raises ConfigError for a folder in which a run is at
    work or whose files it would replace, and DataError for an element the model does not
    know. Warns (SimulationWarning) of a long time step and of extrapolation.
    """
    atoms, potential = as_atoms(structure), as_potential(model)
    settings = MDSettings.of(settings, changes)
    if folder is None:
        raise ArgumentError(
            "run_md was not given folder, where the log and the trajectory go; say it, as in "
            'folder="md".'
        )
    check_species(atoms, potential)
    check_ensemble(atoms, settings)
    check_timestep(atoms, settings.timestep)
    run = _Run(atoms, potential, settings, RunFolder(folder), on_row)
    with run.folder.lock():
        point = run.restart_point() if resume else None
        if point is None:
            run.folder.require_new("md")
        with (
            StopRequest() as stop,
            run.folder.open_run(point) as run.files,
            Task("steps", settings.n_steps, done=run.step) as run.task,
        ):
            run.begin(point)
            while run.step < settings.n_steps:
                run.advance()
                run.obey_stop_rule()
                if stop.requested:
                    run.save_restart()
                    raise KeyboardInterrupt(f"stopped after step {run.step}")
            run.finish()
    return run.frame()


class _Run:
    """A run in progress: its dynamics, its guard and its files."""

    files: RunFiles
    task: Task

    def __init__(
        self,
        atoms: Atoms,
        potential: Potential,
        settings: MDSettings,
        folder: RunFolder,
        on_row: Callable[[LogRow], None] | None,
    ) -> None:
        self.step = 0
        self.folder = folder
        self._settings = settings
        self._on_row = on_row
        self._start = atoms
        self._calculator = LaderaCalculator(potential)
        self._atoms: Atoms = atoms.copy()
        self._atoms.calc = self._calculator
        self._rng = np.random.default_rng(settings.seed)
        set_velocities(self._atoms, settings, self._rng)
        self._dynamics = Dynamics(self._atoms, settings, self._rng)
        self._guard = Guard(settings, atoms)
        self._stop_rule = StopRule.of(settings.stop_grade, settings.stop_deviation, potential)
        self._heat_flux = HeatFlux(potential, atoms) if settings.heat_flux else None
        self._good_step = -1  # there is no good frame yet

    def restart_point(self) -> RestartPoint:
        """Go back to where the run in the folder was, if it is this run; that point."""
        point = restart.load(self.folder.restart)
        self.folder.require_same_run(self._description())
        if point.step > self._settings.n_steps:
            raise SimulationError(
                f"The run in {self.folder.path} is at step {point.step} already, beyond the "
                f"{self._settings.n_steps} asked for; a run can be made longer, not shorter."
            )
        try:
            self._dynamics.go_back_to(point.cell, point.state)
        except ValueError as error:
            raise SimulationError(
                f"{self.folder.restart} is no restart point of this run ({error}); start anew in "
                "another folder."
            ) from error
        self.step = point.step
        self._guard.restore(point.guard)
        self._rng.bit_generator.state = point.random_state
        return point

    def begin(self, point: RestartPoint | None) -> None:
        """Write what the run is; of a new one also its first row and restart point."""
        self.folder.describe(self._description(), resumed=point is not None)
        if point is None:
            self._dynamics.start()
            self._stop_rule.require_known(self._calculator)
            self._check_start()
            self.save_restart()
        self._good, self._good_step = self.frame(), self.step
        if point is None:
            self.obey_stop_rule()
        else:
            self._stop_rule.require_known(self._calculator)

    def advance(self) -> None:
        """One step with its checks, and what is due after it."""
        try:
            self._dynamics.step(self.step + 1)
            self.step += 1
            self._check_and_record()
        except (SimulationError, DataError, LabellingError) as error:
            self._stop(error)
        self.task.done = self.step
        if self.step % self._settings.restart_interval == 0 or self.step == self._settings.n_steps:
            self.save_restart()

    def obey_stop_rule(self) -> None:
        """With a row of the log: StoppedError beyond the limits, with all that it takes to go on.

        A run that goes on has passed the frame at which it stopped.
        """
        if self.step % self._settings.log_interval:
            return
        reason = self._stop_rule.breach(self._calculator)
        if reason is None:
            return
        frame, grades = self.frame(), self._calculator.grade()
        deviations = force_deviations(self._calculator)
        for name, values in (("grade", grades), ("force_deviation", deviations)):
            if values is not None:
                frame.new_array(name, values)
        path = self.folder.write_stopped(frame)
        self.save_restart()  # behind the frame: a run that is killed between them stops there again
        raise StoppedError(
            f"The simulation stopped after step {self.step} "
            f"({self.step * self._settings.timestep:g} fs)"
            f"{', as asked' if self._stop_rule.asked else ''}: {reason}. The frame is "
            f"{path}: label it and train on it; or go on with --resume and a higher limit"
            f"{'' if self._stop_rule.asked else ' (--stop-grade, 0 for none)'}."
        )

    def frame(self) -> Atoms:
        """The structure as it is now, with its results."""
        return snapshot(self._atoms)

    def save_restart(self) -> None:
        """Write a restart point."""
        point = RestartPoint(
            step=self.step,
            cell=self._atoms.cell.array,
            state=vars(self._dynamics.state),
            random_state=dict(self._rng.bit_generator.state),
            guard=self._guard.state(),
            **self.files.positions(),
        )
        restart.save(self.folder.restart, point)

    def finish(self) -> None:
        """Write the last structure, and say how often the model had to extrapolate."""
        self.files.extrapolation.say_total()
        self.files.selected.say_total()
        self.folder.write_final(self.frame())

    def _description(self) -> Mapping[str, Any]:
        return describe_run(self._settings.model_dump(), self._calculator.potential, self._start)

    def _check_start(self) -> None:
        try:
            self._check_and_record()
        except SimulationError as error:
            reason = str(error).rstrip(".")
            raise SimulationError(
                f"This structure is no start for a simulation: {reason}. "
                "Check it, or relax it first."
            ) from error

    def _check_and_record(self) -> None:
        """Check the structure, and write the row and the frame that are due."""
        self._guard.check_step(self._atoms, self._dynamics.temperature())
        if self.step % self._settings.log_interval == 0:
            self._write_row()
        if self.step % self._settings.trajectory_interval == 0:
            self.files.frames.write(self._good if self._good_step == self.step else self.frame())

    def _write_row(self) -> None:
        row = self._row()
        check_distances(self._calculator.parts())
        self.files.write_row(row)
        grades = self._calculator.grade()
        limit = self._settings.select_grade
        if grades is not None and limit is not None and grades.max() > limit:
            self.files.selected.write(self._atoms, self.step, grades)
        if grades is not None and row.extrapolating_atoms:
            symbols, reasons = self._atoms.symbols, self._calculator.explain_grade()
            self.files.extrapolation.record(self.step, symbols, grades, reasons)
        self._guard.check_domain(row.extrapolating_atoms)
        if self.step > 0:
            self._good, self._good_step = self.frame(), self.step
        rate = self.task.rate or 0.0
        speed = f"{rate:.1f} steps/s, {rate * self._settings.timestep * 1e-6 * 86400:.3g} ns/day"
        state = f"{row.temperature_k:.0f} K, total energy {row.total_energy_ev:.3f} eV"
        if row.extrapolating_atoms:
            state += f", {row.extrapolating_atoms} atoms outside the training domain"
        self.task.words = f"{speed}, {state}"
        if self._on_row is not None:
            self._on_row(row)

    def _row(self) -> LogRow:
        atoms = self._atoms
        potential_energy = float(atoms.get_potential_energy())
        kinetic_energy = float(atoms.get_kinetic_energy())
        return LogRow(
            step=self.step,
            time_fs=self.step * self._settings.timestep,
            temperature_k=self._dynamics.temperature(),
            potential_energy_ev=potential_energy,
            kinetic_energy_ev=kinetic_energy,
            total_energy_ev=potential_energy + kinetic_energy,
            conserved_energy_ev=self._dynamics.conserved_energy(),
            pressure_gpa=_pressure(atoms, kinetic_energy),
            volume_angstrom3=float(atoms.cell.volume) if atoms.pbc.any() else None,
            extrapolating_atoms=self._calculator.extrapolating_atoms(),
            largest_grade=self._calculator.largest_grade(),
            **_spread(self._calculator.prediction),
            **self._flux(),
        )

    def _flux(self) -> dict[str, float]:
        """The heat flux, where it is asked for."""
        if self._heat_flux is None:
            return {}
        velocities = self._atoms.get_velocities() * FEMTOSECOND
        masses, prediction = self._atoms.get_masses(), self._calculator.prediction
        flux = self._heat_flux(prediction, masses, velocities)
        return dict(zip(HEAT_FLUX, flux.tolist(), strict=True))

    def _stop(self, error: Exception) -> NoReturn:
        """Save the last good frame and say why the run had to end."""
        path = self.folder.write_last_good(self._good)
        self.files.extrapolation.say_total()
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
