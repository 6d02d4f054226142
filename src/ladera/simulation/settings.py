"""What a molecular dynamics run is: its settings, checked before anything is computed."""

from __future__ import annotations

import re
from collections.abc import Mapping
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

from ladera import display, measures
from ladera.errors import SimulationError, did_you_mean, told

_FEMTOSECONDS_PER_PICOSECOND: Final = 1000.0

_MOST_STEPS: Final = 10**13
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
        300.0,
        json_schema_extra={"unit": "K"},
        ge=0,
        description="Temperature of the thermostat and of the initial velocities, K.",
    )
    temperature_end: float | None = Field(
        None,
        json_schema_extra={"unit": "K"},
        ge=0,
        description="Final temperature of a linear ramp over the whole run, K; without it the "
        "temperature stays.",
    )
    timestep: float = Field(
        0.5,
        json_schema_extra={"unit": "fs"},
        gt=0,
        description="Time step, fs. Half a femtosecond suits molecules with hydrogen.",
    )
    steps: int | None = Field(
        None, gt=0, description="Length of the run in time steps. Give this or --time."
    )
    time: float | None = Field(
        None, json_schema_extra={"unit": "ps"}, gt=0, description="Length of the run, ps."
    )
    pressure: float = Field(
        0.0,
        json_schema_extra={"unit": "GPa"},
        description="Pressure of the barostat, GPa; npt only.",
    )
    thermostat_time: float = Field(
        100.0,
        json_schema_extra={"unit": "fs"},
        gt=0,
        description="Coupling time of the thermostat, fs; for nvt-langevin the inverse of the "
        "friction.",
    )
    barostat_time: float = Field(
        1000.0,
        json_schema_extra={"unit": "fs"},
        gt=0,
        description="Coupling time of the barostat, fs; npt only.",
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
        json_schema_extra={"unit": "K"},
        gt=0,
        description="The run stops as exploded above this temperature, K. Default: ten times the "
        "highest temperature asked for, at least 5000 K.",
    )
    max_extrapolating: float = Field(
        0.5,
        json_schema_extra={"unit": ""},
        ge=0,
        description="The run stops when more than this fraction of the atoms, 0 to 1, leaves the "
        "model's training domain, in extrapolation_patience rows of md.csv in sequence. 1 never "
        "stops.",
    )
    extrapolation_patience: int = Field(
        10, gt=0, description="How many rows of md.csv in sequence may be beyond max_extrapolating."
    )

    stop_grade: float | None = Field(
        None,
        json_schema_extra={"unit": ""},
        ge=0,
        description="The run ends, with exit code 3 and the frame in stopped.extxyz, when an atom "
        "has a larger grade in a row of md.csv; 1 is the edge of the training domain. Default: 10, "
        "of a model with an active set; 0 never stops.",
    )
    select_grade: float | None = Field(
        None,
        json_schema_extra={"unit": ""},
        gt=0,
        description="Frames of rows of md.csv in which an atom has a larger grade are kept in "
        "selected.extxyz, to be labelled and learned; 2 is a good choice.",
    )
    stop_deviation: float | None = Field(
        None,
        json_schema_extra={"unit": "eV/Angstrom"},
        gt=0,
        description="The same when the force on an atom deviates by more among the members of a "
        "committee, eV/Angstrom.",
    )

    @classmethod
    def of(
        cls, settings: MDSettings | Mapping[str, Any] | None, changes: Mapping[str, Any]
    ) -> MDSettings:
        """Settings that are given as an object, a dictionary or nothing, with some changed."""
        if isinstance(settings, MDSettings):
            settings = settings.model_dump(exclude_unset=True)
        return cls(**{**(settings or {}), **changes})

    def __repr__(self) -> str:
        """What differs from the defaults, and the ensemble."""
        names = [
            name
            for name in type(self).model_fields
            if name == "ensemble" or (getattr(self, name) != type(self).model_fields[name].default)
        ]
        return display.lines("MDSettings", [f"{name}={getattr(self, name)!r}" for name in names])

    __str__ = __repr__

    @property
    def n_steps(self) -> int:
        """Length of the run in time steps."""
        if self.steps is not None:
            return self.steps
        return round((self.time or 0.0) * _FEMTOSECONDS_PER_PICOSECOND / self.timestep)

    @property
    def name(self) -> str:
        """A name for the folder of such a run: md-300K, md-300-600K, md-300K-1GPa, md-nve-300K."""
        if self.ensemble == "nve":
            drawn = self.initial_velocities == "maxwell-boltzmann"
            return f"md-nve-{self.temperature:g}K" if drawn else "md-nve"
        end = "" if self.temperature_end is None else f"-{self.temperature_end:g}"
        pressure = f"-{self.pressure:g}GPa" if self.ensemble == "npt" else ""
        return f"md-{self.temperature:g}{end}K{pressure}"

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
            settings = handler(_with_units(cls, values))
        except ValidationError as error:
            raise _wrong(error.errors()[0], list(cls.model_fields)) from None
        _check_fraction(settings)
        _check_ensemble(settings)
        _check_length(settings)
        _check_temperatures(settings)
        return settings


def _with_units(cls: type[BaseModel], values: Any) -> Any:
    """The values with numbers in place of what says its unit, such as "300 K"."""
    if not isinstance(values, dict):
        return values
    found = dict(values)
    for name, value in values.items():
        unit = _unit_of(cls, name)
        if isinstance(value, str) and unit is not None:
            try:
                found[name] = measures.number(value, unit)
            except ValueError as error:
                raise SimulationError(f"{name} {error}") from None
    return found


def _unit_of(cls: type[BaseModel], name: str) -> str | None:
    """The unit of a setting, "" of a share; None where it has none."""
    extra = cls.model_fields[name].json_schema_extra if name in cls.model_fields else None
    return str(extra["unit"]) if isinstance(extra, dict) else None


def _wrong(detail: ErrorDetails, names: list[str]) -> SimulationError:
    """What is wrong with one setting."""
    name, value, kind = str(detail["loc"][0]), detail["input"], detail["type"]
    if kind == "extra_forbidden":
        hint = did_you_mean(name, names)
        return SimulationError(f"'{name}' is no setting of a simulation; {hint}")
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
        hint = did_you_mean(str(value), choices)
        return SimulationError(f"{name} is {told(value)}; {hint}")
    unit = _unit_of(MDSettings, name) or ""
    shown = f"{value:g} {unit}".rstrip() if isinstance(value, float) else told(value)
    expected = f"it must be {_EXPECTED.get(kind, 'of another kind')}"
    return SimulationError.of(name, shown, expected)


def _check_fraction(settings: MDSettings) -> None:
    if settings.max_extrapolating > 1:
        share = f"{settings.max_extrapolating:g}"
        raise SimulationError.of("max_extrapolating", share, "it is a fraction, from 0 to 1")


def _check_ensemble(settings: MDSettings) -> None:
    for name in ("pressure", "barostat_time"):
        value = getattr(settings, name)
        if settings.ensemble != "npt" and value != MDSettings.model_fields[name].default:
            what = f"only the ensemble npt has a barostat, and this one is {settings.ensemble}"
            shown = f"{value:g} {_unit_of(MDSettings, name)}"
            raise SimulationError.of(name, shown, f"{what}; take npt, or leave it out")


def _check_length(settings: MDSettings) -> None:
    if (settings.steps is None) == (settings.time is None):
        given = "missing" if settings.steps is None else "given twice"
        raise SimulationError(
            f"The length of the run is {given}: give either --steps, a number, or --time, in ps "
            "(in Python steps= or time=)."
        )
    if settings.n_steps < 1:
        raise SimulationError(
            f"A time of {settings.time} ps is shorter than one time step of {settings.timestep} "
            "fs; run longer, or take a shorter time step."
        )
    if settings.n_steps > _MOST_STEPS:
        raise SimulationError(
            f"The run is {settings.n_steps:.1e} steps long, which no computer ends; is its length "
            "(--steps, or --time in ps) in another unit?"
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
