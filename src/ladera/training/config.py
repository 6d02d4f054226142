"""Configuration of a training run: every key, its unit, its default and what it is for.

The same classes check a YAML file, write ``ladera template`` and make ``ladera schema``.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from ladera.models import registry
from ladera.quantities import QUANTITIES
from ladera.training.data_config import DataConfig
from ladera.training.finetune.config import FinetuneConfig
from ladera.training.optimizer_config import Adam, Cosine, OptimizerConfig, ScheduleConfig, StageTwo
from ladera.training.sections import Fraction, Section

if TYPE_CHECKING:
    from ladera.potential import PotentialConfig as ModelConfig
else:
    # Every registered architecture, told apart by its name.
    ModelConfig = Annotated[
        reduce(or_, map(registry.config_class, registry.ARCHITECTURES)),
        Field(discriminator="architecture"),
    ]


# --- loss --------------------------------------------------------------------------------------


class LossConfig(Section):
    """What is minimised: a weighted sum of the mean errors of what the frames are labelled with."""

    function: Literal["mse", "mae", "huber", "universal"] = Field(
        "mse",
        description="Error of a residual x: its square, its absolute value, both (huber), or huber "
        "that turns linear sooner for forces above 100 eV/Angstrom (universal).",
    )
    huber_delta: PositiveFloat = Field(
        0.01,
        description="Where huber and universal turn from x^2/2 to linear: eV/atom, eV/Angstrom, "
        "eV/Angstrom^3, e*Angstrom, e.",
    )
    energy: NonNegativeFloat = Field(100.0, description="Weight of the energy per atom (eV/atom).")
    forces: NonNegativeFloat = Field(
        1.0, description="Weight of the force components (eV/Angstrom)."
    )
    stress: NonNegativeFloat = Field(
        0.0, description="Weight of the stress components (eV/Angstrom^3)."
    )
    dipole: NonNegativeFloat = Field(
        0.0, description="Weight of the components of the dipole moment (e*Angstrom)."
    )
    charges: NonNegativeFloat = Field(0.0, description="Weight of the atomic charges (e).")
    config_weights: dict[str, NonNegativeFloat] = Field(
        default_factory=dict,
        description="Factors on the frames of a config_type, such as {surface: 2.0}.",
    )

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if not self.learns:
            *others, last = (quantity.name for quantity in QUANTITIES)
            raise ValueError(f"{', '.join(others)} and {last} have the weight 0; raise one")
        return self

    @property
    def learns(self) -> bool:
        """Whether anything has a weight."""
        return any(getattr(self, quantity.name) for quantity in QUANTITIES)


class AtomsPerBatch(Section):
    """Batches of about the same number of atoms, for frames of different sizes."""

    atoms: PositiveInt = Field(
        description="Most atoms in one step; a larger frame is a batch of its own."
    )


# --- committee ---------------------------------------------------------------------------------


class CommitteeSection(Section):
    """Several models instead of one: their spread tells how far to trust their mean."""

    members: Annotated[int, Field(ge=2)] = Field(
        4, description="How many models, alike but for the seed of first parameters and shuffling."
    )
    parallel: PositiveInt | None = Field(
        None,
        description="How many are trained at the same time, sharing the cores; as many as fit if "
        "left out.",
    )
    executor: str | dict[str, Any] | None = Field(
        None,
        description="Have jobs of a queue train them: slurm, pbs, a YAML file, or the keys of one.",
    )


# --- all ---------------------------------------------------------------------------------------


class TrainingConfig(Section):
    """A whole training run."""

    data: DataConfig = Field(description="The labelled frames.")
    model: ModelConfig | None = Field(description="The potential to train.")  # None: the base's
    reference_energies: (
        Literal["automatic", "isolated_atoms", "least_squares", "base"] | dict[str, float]
    ) = Field(
        "automatic",
        description="Energy of a free atom of each element: from the free atoms among the frames "
        "(isolated_atoms), fitted (least_squares), the first if possible (automatic), or given "
        "in eV, such as {H: -13.6, O: -432.1}; of a fine-tuning also those of the base.",
    )
    energy_shift: Literal["mean", "none"] = Field(
        "mean",
        description="What each atom has beside its reference energy before anything is learned: "
        "the mean over the training frames; or none, so that a free atom keeps its reference "
        "energy, and bonds are learned from nothing.",
    )
    finetune: FinetuneConfig | None = Field(
        None,
        description="Go on from a trained model, such as {base: mace-mp-small, method: frozen}; "
        "then 'model' is left out.",
    )
    loss: LossConfig = Field(default_factory=LossConfig, description="What is minimised.")
    optimizer: OptimizerConfig = Field(default_factory=Adam, description="How it is minimised.")
    schedule: ScheduleConfig = Field(
        default_factory=Cosine, description="The learning rate over time."
    )
    epochs: PositiveInt = Field(200, description="Passes through the training frames.")
    stage_two: StageTwo | None = Field(
        None, description="Other weights of the loss for the last epochs."
    )
    batch_size: PositiveInt | Literal["all"] | AtomsPerBatch = Field(
        8,
        description="Frames in one step, over all processes; all for every frame; or atoms, such "
        "as {atoms: 500}.",
    )
    gradient_clip: PositiveFloat | None = Field(
        None, description="Longest gradient (Euclidean norm) a step may follow."
    )
    gradient_clip_value: PositiveFloat | None = Field(
        None, description="Largest component of the gradient a step may follow."
    )
    ema_decay: Fraction | None = Field(
        None,
        description="Keep the running mean of the parameters with this memory, such as 0.99, and "
        "validate and save that.",
    )
    early_stopping: PositiveInt | None = Field(
        None, description="Stop after so many epochs without a better validation loss."
    )
    checkpoint_interval: PositiveInt = Field(
        10, description="Epochs between two checkpoints; Ctrl-C writes one at once."
    )
    seed: NonNegativeInt = Field(0, description="Seed of first parameters and shuffling.")
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where to compute.")
    precision: Literal["float64", "float32", "base"] = Field(
        "float64",
        description="Numbers of the model; sums are float64 always. base: of a fine-tuning, those "
        "of the base.",
    )
    processes: PositiveInt = Field(
        1, description="Processes (or GPUs) that share the frames of each step."
    )
    committee: CommitteeSection | None = Field(
        None,
        description="Train several models that make one, with calibrated uncertainties, such as "
        "{members: 4}; with data.resample each sees other training frames.",
    )

    @model_validator(mode="before")
    @classmethod
    def _model_of_base(cls, values: Any) -> Any:
        """A fine-tuning may leave its model out: it has that of its base."""
        if isinstance(values, dict) and "finetune" in values:
            return {"model": None} | values
        return values

    @model_validator(mode="before")
    @classmethod
    def _optimizer_of_model(cls, values: Any) -> Any:
        """Each architecture has its own, where the user names none.

        A fine-tuning by Muon has a rate at which a model keeps what it knows, where none is given.
        """
        if not isinstance(values, dict):
            return values
        model, given = values.get("model"), values.get("optimizer", {})
        if values.get("finetune") is not None:
            if not isinstance(given, dict) or given.get("name") != "muon":
                return values
            from ladera.potential.config import PotentialConfig as AnyModel

            rate = AnyModel.finetuning_rate
            return values | {"optimizer": {"learning_rate": rate, **given}}
        name = model.get("architecture") if isinstance(model, dict) else None
        if name not in registry.ARCHITECTURES or not isinstance(given, dict):
            return values
        usual = registry.config_class(name).optimizer
        if given.get("name", usual["name"]) != usual["name"]:
            return values
        return values | {"optimizer": {**usual, **given}}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.finetune is not None:
            self._check_finetune()
        elif "base" in (self.reference_energies, self.precision):
            key = "precision" if self.precision == "base" else "reference_energies"
            raise ValueError(f"{key}: base is for a fine-tuning; choose another one")
        elif self.model is None:
            raise ValueError("the key 'model' is missing or empty; give it a value")
        if self.optimizer.name == "lbfgs" and self.batch_size != "all":
            raise ValueError(
                "lbfgs compares the gradients of successive steps, which must be of the same "
                "frames; set batch_size: all, or take another optimizer"
            )
        if self.optimizer.name in ("kalman", "variable_projection"):
            self._check_unused()
        if self.optimizer.name == "schedule_free":
            self._check_schedule_free()
        if not self.loss_of(self.epochs).learns:
            raise ValueError("in stage_two nothing has a weight; raise one")
        return self

    @property
    def first_epoch_of_stage_two(self) -> int:
        """Its number, from 0; that of no epoch where there is no second stage."""
        return self.epochs if self.stage_two is None else int(self.stage_two.start * self.epochs)

    def loss_of(self, epoch: int) -> LossConfig:
        """The loss with the weights of this epoch, from 0."""
        if self.stage_two is None or epoch < self.first_epoch_of_stage_two:
            return self.loss
        weights = self.stage_two.model_dump(exclude={"start", "learning_rate"}, exclude_none=True)
        return self.loss.model_copy(update=weights)

    def _check_finetune(self) -> None:
        """What has no meaning for a model that is there already."""
        unused = {
            "committee": self.committee is not None,
            "energy_shift: none": self.energy_shift == "none",
            "optimizer.name: kalman": self.optimizer.name == "kalman",
            "optimizer.name: variable_projection": self.optimizer.name == "variable_projection",
        }
        for key, given in unused.items():
            if given:
                raise ValueError(f"a fine-tuning makes no use of {key}; leave it out")

    def _check_schedule_free(self) -> None:
        """It has an average of its own, and its theory wants a constant rate."""
        if self.ema_decay is not None:
            raise ValueError("schedule_free keeps a mean of its own; leave ema_decay out")
        if self.schedule.name != "constant":
            raise ValueError(
                f"schedule_free needs no schedule; set schedule.name: constant instead of "
                f"{self.schedule.name}"
            )

    def _check_unused(self) -> None:
        """The Kalman filter and variable projection have no gradient to clip; both want squares."""
        kalman = self.optimizer.name == "kalman"
        words = "the Kalman filter" if kalman else "variable projection"
        learnt = [q for q in QUANTITIES if q.basic or (q.derivative and not kalman)]
        unused = {
            "gradient_clip": self.gradient_clip is not None,
            "gradient_clip_value": self.gradient_clip_value is not None,
            "ema_decay": self.ema_decay is not None,
            **{
                f"loss.{q.name}": getattr(self.loss, q.name) > 0
                for q in QUANTITIES
                if q not in learnt
            },
            "loss.function": self.loss.function != "mse",
            "stage_two": self.stage_two is not None,
        }
        for key, given in unused.items():
            if given:
                raise ValueError(
                    f"{words} makes no use of {key}; leave it out, or take another optimizer"
                )
