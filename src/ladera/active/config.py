"""What an active learning is: its keys, their units, defaults and purposes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from ladera import yaml_text
from ladera.data.unit_names import FileUnits
from ladera.errors import ConfigError
from ladera.files import write_text_atomic
from ladera.schemas import Configured
from ladera.training import config_file
from ladera.training.config import TrainingConfig
from ladera.training.template import commented

REMEDY: Final = "'ladera active --template' shows what one looks like"
_ANEW: Final = ("variable_projection", "kalman")  # optimizers that go on from no model
_OURS: Final = ("files", "validation_files", "test_files", "split")  # which frames are for what


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str | int | float) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Numbers = Annotated[tuple[PositiveFloat, ...], BeforeValidator(_as_tuple)]


class Begin(Configured):
    """What the first model learns from."""

    data: Names = Field((), description="Files with labelled frames to begin with.")
    units: FileUnits | None = Field(None, description="Units of these files, as in a training.")
    number: PositiveInt = Field(
        20,
        description="Structures made of each one that was given, by rattle and strain; in later "
        "rounds as many candidates.",
    )
    rattle: NonNegativeFloat = Field(
        0.05, description="Standard deviation of the atoms' displacements in these, Angstrom."
    )
    strain: NonNegativeFloat = Field(
        0.03, description="Largest component of the strain of cells in these; molecules have none."
    )
    modes: PositiveFloat | None = Field(
        None,
        description="Make as many displaced along the normal modes that the walker finds, as at "
        "this temperature, K.",
    )
    contacts: bool = Field(True, description="Make structures with two atoms pushed together, too.")
    dimers: bool = Field(
        False, description="Make curves of two atoms each: they teach short distances of all pairs."
    )
    free_atoms: bool = Field(
        True, description="Label a free atom of each element: energies are measured from these."
    )
    walker: str | dict[str, Any] | None = Field(
        None,
        description="Who moves the atoms before there is a model: a universal model, or an engine, "
        "such as tblite. Left out: nobody.",
    )
    frames: PositiveInt = Field(
        30, description="Structures to label of those that the walker came through."
    )
    time: PositiveFloat | None = Field(
        None,
        description="How long the walker walks at each temperature, ps, where that costs more than "
        "a model's walks. Left out: explore.time.",
    )


class Explore(Configured):
    """Dynamics of the model, whose atoms get hotter until it is lost."""

    temperatures: Numbers = Field(
        (300.0, 600.0), min_length=1, description="One after the other, K; the last is the hottest."
    )
    pressures: Annotated[tuple[float, ...], BeforeValidator(_as_tuple)] = Field(
        (), description="Of cells, GPa, each in dynamics of its own with a barostat."
    )
    time: PositiveFloat = Field(2.0, description="At each temperature, ps.")
    timestep: PositiveFloat = Field(0.5, description="fs.")
    interval: PositiveFloat = Field(
        20.0, description="Between structures that are looked at, fs; the grade is as well."
    )
    walkers: PositiveInt = Field(
        2, description="Dynamics of each structure and pressure, with other velocities."
    )
    relax: NonNegativeInt = Field(
        0,
        description="Most steps of a relaxation of each structure by the model, with its cell if "
        "pressures are given; 0: none. Its end is labelled first: it may be the model's alone.",
    )

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if list(self.temperatures) != sorted(set(self.temperatures)):
            raise ValueError("temperatures must rise: each one higher than the one before")
        if self.interval < self.timestep:
            raise ValueError("interval is shorter than one timestep; look less often")
        if self.time * 1000 < self.interval:
            raise ValueError("time is shorter than interval, so that no structure is looked at")
        return self


class Select(Configured):
    """Which structures are labelled in each round."""

    by: Literal["grade", "deviation"] = Field(
        "grade",
        description="How a model says that it does not know: the grade of its worst atom, 1 at the "
        "edge of what it was trained on; or the deviation of a committee's forces, eV/Angstrom.",
    )
    above: PositiveFloat | None = Field(
        None,
        description="What is above this is new. Default: grade 2, deviation 0.2. Grades count in "
        "units of the median of frames kept back, where that is above 1: of few data all are high.",
    )
    lost: PositiveFloat | None = Field(
        None, description="Dynamics ends above this, counted alike. Default: grade 10, deviation 1."
    )
    frames: PositiveInt = Field(
        20, description="To label and to train on: the new ones that differ most, then others."
    )
    checks: PositiveInt = Field(
        10,
        description="To label besides, by chance, and to judge the model on before it has seen "
        "them; later they are for validation, never for training.",
    )
    closest: PositiveFloat = Field(
        0.6,
        description="Atoms nearer than this share of the sum of their covalent radii are not "
        "labelled.",
    )
    max_force: PositiveFloat = Field(
        30.0, description="Frames whose label has a larger force are not trained on, eV/Angstrom."
    )

    @property
    def new(self) -> float:
        """Where something new begins."""
        default = 2.0 if self.by == "grade" else 0.2
        return default if self.above is None else self.above

    @property
    def end(self) -> float:
        """Where dynamics ends."""
        default = 10.0 if self.by == "grade" else 1.0
        return default if self.lost is None else self.lost

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end < self.new:
            raise ValueError(f"lost ({self.end:g}) is below above ({self.new:g}); raise it")
        return self


class Stop(Configured):
    """When it is enough; this section may be changed while a loop goes on."""

    forces: PositiveFloat | None = Field(
        None,
        description="Mean absolute error of force components that is wanted, eV/Angstrom, on the "
        "checks of a round. Without it and energy the loop goes on to the most rounds.",
    )
    energy: PositiveFloat | None = Field(
        None, description="Mean absolute error of the energy that is wanted, eV/atom."
    )
    new: Annotated[NonNegativeFloat, Field(le=1)] = Field(
        0.02, description="Share of the structures met that may be new."
    )
    rounds: PositiveInt = Field(10, description="Most rounds.")
    labels: PositiveInt | None = Field(None, description="Most frames that are labelled in all.")
    hours: PositiveFloat | None = Field(None, description="Most hours of a clock, of all rounds.")


class ActiveConfig(Configured):
    """A whole active learning."""

    structures: Names = Field(
        min_length=1, description="Files with structures, where exploring begins; without labels."
    )
    engine: str | dict[str, Any] = Field(
        description="What computes labels, as in 'ladera label': tblite, a YAML file, a model, or "
        "the keys that would stand in the file.",
    )
    training: dict[str, Any] = Field(
        description="Keys of a training (ladera template), but for its files: model, loss, epochs "
        "...; or with 'finetune' in the place of 'model', to go on from a published model.",
    )
    warm_start: Annotated[NonNegativeFloat, Field(le=1)] = Field(
        0.0,
        description="From the second round on go on from the model before, for this share of the "
        "epochs; 0 trains each one anew.",
    )
    begin: Begin = Field(default_factory=Begin, description="What the first model learns from.")
    explore: Explore = Field(default_factory=Explore, description="Where models look.")
    select: Select = Field(default_factory=Select, description="What is labelled of that.")
    stop: Stop = Field(default_factory=Stop, description="When it is enough.")
    processes: PositiveInt = Field(
        1, description="Labels and dynamics that are computed at the same time on this machine."
    )
    executor: str | dict[str, Any] | None = Field(
        None, description="Have jobs of a queue do that: slurm, pbs, a YAML file, or its keys."
    )
    max_failed: Annotated[NonNegativeFloat, Field(le=1)] = Field(
        0.5, description="Share of a round's labels that may fail before all stops."
    )
    seed: NonNegativeInt = Field(0, description="Of all that is drawn.")

    @model_validator(mode="after")
    def _trains(self) -> Self:
        if self.begin.modes is not None and self.begin.walker is None:
            raise ValueError("begin.modes are those of begin.walker, which is left out; name one")
        data = self.training.get("data", {})
        ours = [f"data.{key}" for key in _OURS if isinstance(data, dict) and key in data]
        ours += ["seed"] * ("seed" in self.training)
        if ours:
            raise ValueError(
                f"training has the key '{ours[0]}', which the loop sets itself; see begin.data and "
                "seed"
            )
        committee = self.training.get("committee") is not None
        if (self.select.by == "deviation") != committee:
            raise ValueError(
                "select.by: deviation is that of a committee; give training a committee, such as "
                "{members: 4}, or choose by grade"
                if not committee
                else "training has a committee, whose models deviate; set select.by: deviation"
            )
        if self.warm_start and (committee or "finetune" in self.training):
            what = "a committee" if committee else "a fine-tuning"
            raise ValueError(f"warm_start is not for {what}; leave it out")
        return self

    def training_config(self, files: tuple[str, ...], checks: tuple[str, ...]) -> TrainingConfig:
        """The training on some files, validated on others, that the keys ask for."""
        split = {"method": "random", "validation": 0, "test": 0}
        data = {"files": list(files), "validation_files": list(checks), "split": split}
        data |= self.training.get("data", {})
        values = {**self.training, "data": data, "seed": self.seed}
        return config_file.parse(values, "training")


def read(path: Path) -> ActiveConfig:
    """The configuration in a YAML file; ConfigError, with line and key, for what is wrong in it."""
    text = yaml_text.read(path, f"'ladera active --template > {path}' makes one.")
    return parse(yaml_text.keys_of(path, text, REMEDY), str(path), text)


def parse(values: dict[str, Any], name: str, text: str = "") -> ActiveConfig:
    """The configuration in nested dictionaries, which errors call ``name``."""
    try:
        config = ActiveConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            yaml_text.problem_of(error, ActiveConfig, name, text, "active learning")
        ) from None
    try:
        training = config.training_config(("data.extxyz",), ())
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    if config.warm_start and training.optimizer.name in _ANEW:
        raise ConfigError(
            f"{name}: warm_start is not for the optimizer {training.optimizer.name}, which always "
            "begins anew; leave it out, or take another."
        )
    return config


def save(config: ActiveConfig, path: Path) -> None:
    """Write it, all defaults included."""
    values = config.model_dump(mode="json")
    write_text_atomic(path, yaml.safe_dump(values, sort_keys=False, width=100))


def template() -> str:
    """A complete configuration in YAML, every key with its default and what it is for."""
    example = {
        "structures": "molecule.xyz",
        "engine": "tblite",
        "training": {"model": {"architecture": "mtp", "level": 12, "cutoff": 5.0}, "epochs": 60},
        "stop": {"forces": 0.05},
    }
    lines = [
        "# Configuration of `ladera active`. What stands here is the default, and may be left out,",
        "# but for structures, engine, training and stop.forces. Units are Angstrom, eV, fs and K.",
        *commented(parse(example, "the template")),
    ]
    return "\n".join(lines) + "\n"
