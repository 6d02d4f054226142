"""What a molecular dynamics run is: its settings, checked before anything is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final, Literal, get_args

from ladera.errors import SimulationError, did_you_mean

Ensemble = Literal["nve", "nvt-langevin", "nvt-bussi", "nvt-nose-hoover", "npt"]
InitialVelocities = Literal["maxwell-boltzmann", "structure"]

_FEMTOSECONDS_PER_PICOSECOND: Final = 1000.0

_CHOICES: Final = {
    "ensemble": get_args(Ensemble),
    "initial_velocities": get_args(InitialVelocities),
}
_ABOVE_ZERO: Final = {
    "timestep",
    "steps",
    "time",
    "thermostat_time",
    "barostat_time",
    "log_interval",
    "trajectory_interval",
    "restart_interval",
    "max_temperature",
    "extrapolation_patience",
}
_NOT_NEGATIVE: Final = {"temperature", "temperature_end", "seed", "max_extrapolating"}


@dataclass(frozen=True)
class MDSettings:
    """Settings of a molecular dynamics run.

    Raises SimulationError for a value that makes no sense, naming it.

    Attributes
    ----------
    ensemble
        nve (velocity Verlet, constant energy), nvt-langevin, nvt-bussi (stochastic velocity
        rescaling), nvt-nose-hoover (chain of three) or npt (Martyna, Tobias and Klein, isotropic).
    temperature
        Temperature of the thermostat and of the initial velocities, K.
    temperature_end
        Final temperature of a linear ramp over the whole run, K; without it the temperature stays.
    timestep
        Time step, fs. Half a femtosecond suits molecules with hydrogen.
    steps
        Length of the run in time steps. Give this or --time.
    time
        Length of the run, ps.
    pressure
        Pressure of the barostat, GPa; npt only.
    thermostat_time
        Coupling time of the thermostat, fs; for nvt-langevin the inverse of the friction.
    barostat_time
        Coupling time of the barostat, fs; npt only.
    initial_velocities
        maxwell-boltzmann draws them for the temperature, structure takes those of the file.
    seed
        Seed of the initial velocities and of a stochastic thermostat.
    log_interval
        A row of md.csv every so many steps; the structure is checked as often.
    trajectory_interval
        A frame of trajectory.traj every so many steps.
    restart_interval
        A restart point every so many steps.
    max_temperature
        The run stops as exploded above this temperature, K. Default: ten times the highest
        temperature asked for, at least 5000 K.
    max_extrapolating
        The run stops when more than this fraction of the atoms, 0 to 1, leaves the model's
        training domain, in extrapolation_patience rows of md.csv in sequence. 1 never stops.
    extrapolation_patience
        How many rows of md.csv in sequence may be beyond max_extrapolating.
    """

    ensemble: Ensemble = "nvt-langevin"
    temperature: float = 300.0
    temperature_end: float | None = None
    timestep: float = 0.5
    steps: int | None = None
    time: float | None = None
    pressure: float = 0.0
    thermostat_time: float = 100.0
    barostat_time: float = 1000.0
    initial_velocities: InitialVelocities = "maxwell-boltzmann"
    seed: int = 0
    log_interval: int = 10
    trajectory_interval: int = 20
    restart_interval: int = 1000
    max_temperature: float | None = None
    max_extrapolating: float = 0.5
    extrapolation_patience: int = 10

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_numbers()
        self._check_length()
        self._check_temperatures()

    @property
    def n_steps(self) -> int:
        """Length of the run in time steps."""
        if self.steps is not None:
            return self.steps
        return round((self.time or 0.0) * _FEMTOSECONDS_PER_PICOSECOND / self.timestep)

    @property
    def explosion_temperature(self) -> float:
        """The temperature no intact structure reaches, K."""
        if self.max_temperature is not None:
            return self.max_temperature
        return max(10 * self.temperature, 10 * (self.temperature_end or 0.0), 5000.0)

    def temperature_at(self, step: int) -> float:
        """Target temperature after ``step`` steps, K: T_start + (T_end - T_start) step / steps."""
        if self.temperature_end is None:
            return self.temperature
        return self.temperature + (self.temperature_end - self.temperature) * step / self.n_steps

    def _check_choices(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                hint = did_you_mean(str(value), choices)
                raise SimulationError(f"{name} is '{value}'; {hint}")

    def _check_numbers(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if value is None or name in _CHOICES:
                continue
            kind = int if "int" in str(field.type) else (int, float)
            if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
                expected = "a whole number" if kind is int else "a finite number"
                raise SimulationError(f"{name} is {value}; it must be {expected}.")
            if name in _ABOVE_ZERO and value <= 0:
                raise SimulationError(f"{name} is {value}; it must be above zero.")
            if name in _NOT_NEGATIVE and value < 0:
                raise SimulationError(f"{name} is {value}; it must be zero or more.")
        if self.max_extrapolating > 1:
            raise SimulationError(
                f"max_extrapolating is {self.max_extrapolating}; it is a fraction, from 0 to 1."
            )

    def _check_length(self) -> None:
        if (self.steps is None) == (self.time is None):
            raise SimulationError(
                "Give the length of the run once, as a number of steps or as a time in ps."
            )
        if self.n_steps < 1:
            raise SimulationError(
                f"A time of {self.time} ps is shorter than one time step of {self.timestep} fs."
            )

    def _check_temperatures(self) -> None:
        if self.temperature_end is not None and self.ensemble == "nve":
            raise SimulationError(
                "temperature_end needs a thermostat; the ensemble nve keeps the energy instead."
            )
        if self.ensemble in ("nve", "nvt-langevin"):
            return
        if 0 in (self.temperature, self.temperature_end):
            raise SimulationError(
                f"The ensemble {self.ensemble} needs temperatures above 0 K; "
                "nvt-langevin can cool down to zero."
            )
