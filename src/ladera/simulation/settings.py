"""What a molecular dynamics run is: its settings, checked before anything is computed."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from ladera.errors import SimulationError, did_you_mean

_FEMTOSECONDS_PER_PICOSECOND: Final = 1000.0

_EXPECTED: Final = {
    "greater_than": "above zero",
    "greater_than_equal": "zero or more",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a finite number",
    "finite_number": "a finite number",
}


class MDSettings(BaseModel):
    """Settings of a molecular dynamics run.

    Raises SimulationError for a value that makes no sense, or a key that is not known, naming it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    ensemble: Literal["nve", "nvt-langevin", "nvt-bussi", "nvt-nose-hoover", "npt"] = Field(
        "nvt-langevin",
        description="nve (velocity Verlet, constant energy), nvt-langevin, nvt-bussi (stochastic "
        "velocity rescaling), nvt-nose-hoover (chain of three) or npt (Martyna, Tobias and Klein, "
        "isotropic).",
    )
    temperature: float = Field(
        300.0, ge=0, description="Temperature of the thermostat and of the initial velocities, K."
    )
    temperature_end: float | None = Field(
        None,
        ge=0,
        description="Final temperature of a linear ramp over the whole run, K; without it the "
        "temperature stays.",
    )
    timestep: float = Field(
        0.5, gt=0, description="Time step, fs. Half a femtosecond suits molecules with hydrogen."
    )
    steps: int | None = Field(
        None, gt=0, description="Length of the run in time steps. Give this or --time."
    )
    time: float | None = Field(None, gt=0, description="Length of the run, ps.")
    pressure: float = Field(0.0, description="Pressure of the barostat, GPa; npt only.")
    thermostat_time: float = Field(
        100.0,
        gt=0,
        description="Coupling time of the thermostat, fs; for nvt-langevin the inverse of the "
        "friction.",
    )
    barostat_time: float = Field(
        1000.0, gt=0, description="Coupling time of the barostat, fs; npt only."
    )
    initial_velocities: Literal["maxwell-boltzmann", "structure"] = Field(
        "maxwell-boltzmann",
        description="maxwell-boltzmann draws them for the temperature, structure takes those of "
        "the file.",
    )
    seed: int = Field(
        0, ge=0, description="Seed of the initial velocities and of a stochastic thermostat."
    )
    log_interval: int = Field(
        10,
        gt=0,
        description="A row of md.csv every so many steps; the structure is checked as often.",
    )
    trajectory_interval: int = Field(
        20, gt=0, description="A frame of trajectory.traj every so many steps."
    )
    heat_flux: bool | None = Field(
        None,
        description="Write the heat flux into md.csv, for `ladera thermal-conductivity "
        "green-kubo`; with nve, and rows a few femtoseconds apart.",
    )
    restart_interval: int = Field(1000, gt=0, description="A restart point every so many steps.")
    max_temperature: float | None = Field(
        None,
        gt=0,
        description="The run stops as exploded above this temperature, K. Default: ten times the "
        "highest temperature asked for, at least 5000 K.",
    )
    max_extrapolating: float = Field(
        0.5,
        ge=0,
        description="The run stops when more than this fraction of the atoms, 0 to 1, leaves the "
        "model's training domain, in extrapolation_patience rows of md.csv in sequence. 1 never "
        "stops.",
    )
    extrapolation_patience: int = Field(
        10, gt=0, description="How many rows of md.csv in sequence may be beyond max_extrapolating."
    )

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

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_in_a_sentence(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            settings = handler(values)
        except ValidationError as error:
            raise SimulationError(_sentence(error.errors()[0], list(cls.model_fields))) from None
        _check_fraction(settings)
        _check_length(settings)
        _check_temperatures(settings)
        return settings


def _sentence(detail: ErrorDetails, names: list[str]) -> str:
    """What is wrong with one setting."""
    name, value, kind = str(detail["loc"][0]), detail["input"], detail["type"]
    if kind == "extra_forbidden":
        return f"'{name}' is no setting of a simulation; {did_you_mean(name, names)}"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
        return f"{name} is '{value}'; {did_you_mean(str(value), choices)}"
    return f"{name} is {value}; it must be {_EXPECTED.get(kind, 'of another kind')}."


def _check_fraction(settings: MDSettings) -> None:
    if settings.max_extrapolating > 1:
        raise SimulationError(
            f"max_extrapolating is {settings.max_extrapolating}; it is a fraction, from 0 to 1."
        )


def _check_length(settings: MDSettings) -> None:
    if (settings.steps is None) == (settings.time is None):
        raise SimulationError(
            "Give the length of the run once, as a number of steps or as a time in ps."
        )
    if settings.n_steps < 1:
        raise SimulationError(
            f"A time of {settings.time} ps is shorter than one time step of {settings.timestep} fs."
        )


def _check_temperatures(settings: MDSettings) -> None:
    if settings.temperature_end is not None and settings.ensemble == "nve":
        raise SimulationError(
            "temperature_end needs a thermostat; the ensemble nve keeps the energy instead."
        )
    if settings.ensemble in ("nve", "nvt-langevin"):
        return
    if 0 in (settings.temperature, settings.temperature_end):
        raise SimulationError(
            f"The ensemble {settings.ensemble} needs temperatures above 0 K; "
            "nvt-langevin can cool down to zero."
        )
