"""Configuration of a training run: every key, its unit, its default and what it is for.

The same classes check a YAML file, write ``ladera template`` and make ``ladera schema``.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from ladera import modelfile
from ladera.data.formats import AtomColumns, LabelKeys
from ladera.training.finetune.config import FinetuneConfig

if TYPE_CHECKING:
    from ladera.potential import PotentialConfig as ModelConfig
else:
    # Every registered architecture, told apart by its name.
    ModelConfig = Annotated[
        reduce(or_, map(modelfile.config_class, modelfile.ARCHITECTURES)),
        Field(discriminator="architecture"),
    ]


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _named(key: str, name: str) -> BeforeValidator:
    """A section that does not say which one it is, is the default one."""
    return BeforeValidator(lambda value: {key: name} | value if isinstance(value, dict) else value)


Files = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Groups = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
UpToOne = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """A group of keys; one that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- data --------------------------------------------------------------------------------------


class RandomSplit(Section):
    """Frames drawn at random."""

    method: Literal["random"] = Field("random", description="Frames drawn at random.")
    validation: NonNegativeFloat = Field(
        0.1, description="Validation frames: a fraction below 1, or a number of frames."
    )
    test: NonNegativeFloat = Field(
        0.1, description="Test frames: a fraction below 1, or a number of frames."
    )
    seed: NonNegativeInt = Field(0, description="Seed of the draw.")


class GroupSplit(Section):
    """Whole groups of frames, by their config_type."""

    method: Literal["group"] = Field("group", description="Whole config_types.")
    validation: Groups = Field((), description="The config_types to validate on.")
    test: Groups = Field((), description="The config_types to test on.")


class FirstSplit(Section):
    """Frames in the order of the files."""

    method: Literal["first"] = Field("first", description="In the order of the files.")
    train: PositiveInt = Field(description="Number of frames to train on, from the first.")
    validation: NonNegativeInt = Field(
        0, description="Number of frames to validate on, after those. The rest is for the test."
    )


class FileSplit(Section):
    """What the frames say themselves."""

    method: Literal["file"] = Field(
        "file", description="As the frames say: set=train and set=test of an input.data."
    )
    validation: NonNegativeFloat = Field(
        0.1,
        description="Training frames to validate on, if the files name none: a fraction below 1, "
        "or a number of frames.",
    )
    seed: NonNegativeInt = Field(0, description="Seed of the draw of validation frames.")


class StoredSplit(Section):
    """A split made before."""

    method: Literal["stored"] = Field("stored", description="As a split file says.")
    path: str = Field(description="File that 'ladera data split' or another run wrote.")


SplitConfig = Annotated[
    RandomSplit | GroupSplit | FirstSplit | FileSplit | StoredSplit,
    Field(discriminator="method"),
    _named("method", "random"),
]


class DataConfig(Section):
    """Which frames to train on, to validate on and to test on."""

    files: Files = Field(
        min_length=1, description="Files with labelled frames; paths are from where you are."
    )
    validation_files: Files = Field(
        (), description="Files of validation frames; then none are taken from 'files'."
    )
    test_files: Files = Field((), description="Files of test frames; then none are taken either.")
    units: Literal["angstrom-ev", "bohr-hartree", "angstrom-hartree"] | None = Field(
        None, description="Units of the files; an input.data needs them said."
    )
    atom_columns: AtomColumns = Field(
        "charge energy",
        description="What the two columns after the symbol hold in an input.data.",
    )
    keys: LabelKeys = Field(
        default_factory=LabelKeys, description="The names of the labels in the files."
    )
    split: SplitConfig = Field(
        default_factory=RandomSplit, description="How 'files' are divided; kept in split.json."
    )
    resample: Literal["bootstrap", "subsample"] | None = Field(
        None,
        description="Train on a random sample of the training frames, drawn with the run's seed: "
        "as many with repetition (bootstrap), or 80 % of them (subsample).",
    )
    graph_memory: PositiveFloat = Field(
        4.0,
        description="GiB of neighbour lists to keep; those beyond are built again when needed.",
    )


# --- loss --------------------------------------------------------------------------------------


class LossConfig(Section):
    """What is minimised: a weighted sum of the mean errors of what the frames are labelled with."""

    function: Literal["mse", "mae", "huber"] = Field(
        "mse",
        description="Error of a residual x: its square, its absolute value, or (huber) both.",
    )
    huber_delta: PositiveFloat = Field(
        0.01,
        description="Where huber turns from x^2/2 to linear: eV/atom, eV/Angstrom, eV/Angstrom^3, "
        "e*Angstrom.",
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
    config_weights: dict[str, NonNegativeFloat] = Field(
        default_factory=dict,
        description="Factors on the frames of a config_type, such as {surface: 2.0}.",
    )

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if self.energy == self.forces == self.stress == self.dipole == 0:
            raise ValueError("energy, forces, stress and dipole have the weight 0; raise one")
        return self


# --- optimizer ---------------------------------------------------------------------------------


WeightDecay = Annotated[NonNegativeFloat, Field(description="Pull of the parameters towards zero.")]


class SGD(Section):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = Field("sgd", description="Which optimizer.")
    learning_rate: PositiveFloat = Field(1e-3, description="Size of a step.")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="0 for none.")
    weight_decay: WeightDecay = 0.0


class Adagrad(Section):
    """Steps that shrink with the sum of the squared gradients."""

    name: Literal["adagrad"] = Field("adagrad", description="Which optimizer.")
    learning_rate: PositiveFloat = Field(1e-2, description="Size of a step.")
    weight_decay: WeightDecay = 0.0


class RMSprop(Section):
    """Steps divided by the running root mean square of the gradients."""

    name: Literal["rmsprop"] = Field("rmsprop", description="Which optimizer.")
    learning_rate: PositiveFloat = Field(1e-3, description="Size of a step.")
    alpha: Fraction = Field(0.99, description="Memory of the running mean.")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="0 for none.")
    weight_decay: WeightDecay = 0.0


class Adam(Section):
    """Steps of the running mean over the running root mean square of the gradients."""

    name: Literal["adam"] = Field("adam", description="Which optimizer.")
    learning_rate: PositiveFloat = Field(2e-3, description="Size of a step.")
    betas: tuple[Fraction, Fraction] = Field((0.9, 0.999), description="Memories of the means.")
    weight_decay: WeightDecay = 0.0


class AdamW(Section):
    """Adam with the weight decay apart from the gradient."""

    name: Literal["adamw"] = Field("adamw", description="Which optimizer.")
    learning_rate: PositiveFloat = Field(2e-3, description="Size of a step.")
    betas: tuple[Fraction, Fraction] = Field((0.9, 0.999), description="Memories of the means.")
    weight_decay: WeightDecay = 1e-2


class LBFGS(Section):
    """Limited-memory quasi-Newton steps on all frames at once."""

    name: Literal["lbfgs"] = Field("lbfgs", description="Which optimizer.")
    learning_rate: PositiveFloat = Field(1.0, description="First step of the line search.")
    max_iterations: PositiveInt = Field(20, description="Iterations in one epoch.")
    history: PositiveInt = Field(20, description="How many steps it remembers.")


class Kalman(Section):
    """A global extended Kalman filter: few epochs, memory for the square of the weights.

    For HDNNP. One update takes several energies, or several force components; schedule and
    batch_size have no part in it. Errors are in units of the model's energy_scale.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: Literal["kalman"] = Field("kalman", description="Which optimizer.")
    memory: Literal["standard", "fading"] = Field(
        "standard", description="standard grows its trust by eta; fading forgets by lambda."
    )
    epsilon: PositiveFloat = Field(
        0.01, description="Inverse of the first covariance: small is unsure of the weights."
    )
    q0: NonNegativeFloat = Field(0.01, description="First process noise.")
    q_tau: NonNegativeFloat = Field(2.302, description="Its decay in an epoch: 2.302 is tenfold.")
    q_min: NonNegativeFloat = Field(1e-6, description="Its least value.")
    eta: PositiveFloat = Field(0.01, description="First trust in an observation (standard).")
    eta_tau: NonNegativeFloat = Field(2.302, description="Its growth in an epoch.")
    eta_max: PositiveFloat = Field(1.0, description="Its largest value.")
    lambda_: Annotated[float, Field(gt=0, le=1)] = Field(
        0.98, alias="lambda", description="First forgetting factor (fading)."
    )
    nu: Annotated[float, Field(gt=0, le=1)] = Field(
        0.9987, description="How slowly it approaches 1 (fading)."
    )
    energy_fraction: PositiveFloat | Literal["automatic"] = Field(
        "automatic",
        description="Energies seen in an epoch, of all there are; above 1 each several times. "
        "automatic: each at least once, and one for 10 force components.",
    )
    force_fraction: UpToOne = Field(0.1, description="Force components seen in an epoch.")
    energy_batch: PositiveInt | Literal["all"] = Field(16, description="Energies in one update.")
    force_batch: PositiveInt | Literal["all"] = Field(
        64, description="Force components in one update."
    )
    force_weight: PositiveFloat = Field(
        1.0, description="Factor on force errors and their Jacobian."
    )
    selection: Literal["random", "sorted", "threshold"] = Field(
        "random", description="Which observations: any, the worst, or any above a threshold."
    )
    threshold: NonNegativeFloat = Field(
        1.0, description="In root mean square errors at the start of the epoch."
    )
    trials: PositiveInt = Field(
        3, description="Candidates looked at for one above the threshold; then the worst of them."
    )
    blocks: Literal["automatic", "one", "element", "node"] = Field(
        "automatic",
        description="Weights that share a covariance: all (one), those of an element's network, "
        "those that enter a node; automatic: one up to 3,000 weights, node above.",
    )


GradientOptimizer = SGD | Adagrad | RMSprop | Adam | AdamW | LBFGS
OptimizerConfig = Annotated[
    GradientOptimizer | Kalman,
    Field(discriminator="name"),
    _named("name", "adam"),
]


# --- learning rate -----------------------------------------------------------------------------


Warmup = Annotated[
    NonNegativeFloat, Field(description="Epochs over which the learning rate rises from zero.")
]


class Constant(Section):
    """The same learning rate throughout."""

    name: Literal["constant"] = Field("constant", description="Which schedule.")
    warmup_epochs: Warmup = 0.0


class Exponential(Section):
    """The learning rate falls by the same factor in every epoch."""

    name: Literal["exponential"] = Field("exponential", description="Which schedule.")
    final_factor: UpToOne = Field(0.01, description="Last learning rate over the first.")
    warmup_epochs: Warmup = 0.0


class Cosine(Section):
    """The learning rate falls along half a cosine."""

    name: Literal["cosine"] = Field("cosine", description="Which schedule.")
    final_factor: UpToOne = Field(0.01, description="Last learning rate over the first.")
    warmup_epochs: Warmup = 0.0


class Plateau(Section):
    """The learning rate falls when the validation loss no longer does."""

    name: Literal["plateau"] = Field("plateau", description="Which schedule.")
    factor: Fraction = Field(0.5, description="What the learning rate is multiplied by.")
    patience: PositiveInt = Field(10, description="Epochs without a better validation loss.")
    minimum_factor: UpToOne = Field(1e-3, description="The least learning rate over the first.")
    warmup_epochs: Warmup = 0.0


ScheduleConfig = Annotated[
    Constant | Exponential | Cosine | Plateau,
    Field(discriminator="name"),
    _named("name", "cosine"),
]


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


# --- all ---------------------------------------------------------------------------------------


class TrainingConfig(Section):
    """A whole training run."""

    data: DataConfig = Field(description="The labelled frames.")
    model: ModelConfig = Field(description="The potential to train.")
    reference_energies: (
        Literal["automatic", "isolated_atoms", "least_squares", "base"] | dict[str, float]
    ) = Field(
        "automatic",
        description="Energy of a free atom of each element: from the free atoms among the frames "
        "(isolated_atoms), fitted (least_squares), the first if possible (automatic), or given "
        "in eV, such as {H: -13.6, O: -432.1}; of a fine-tuning also those of the base.",
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
    batch_size: PositiveInt | Literal["all"] = Field(
        8, description="Frames in one step, over all processes; all for every frame."
    )
    gradient_clip: PositiveFloat | None = Field(
        None, description="Longest gradient (Euclidean norm) a step may follow."
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
    precision: Literal["float64", "float32"] = Field(
        "float64", description="Numbers of the model; sums are float64 always."
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
        """A fine-tuning has the model of its base."""
        if isinstance(values, dict) and "model" not in values:
            section = values.get("finetune")
            if isinstance(section, dict) and isinstance(section.get("base"), str):
                model = modelfile.load(section["base"]).config
                return values | {"model": model.model_dump(mode="json", by_alias=True)}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.finetune is not None:
            self._check_finetune()
        elif self.reference_energies == "base":
            raise ValueError("reference_energies: base is for a fine-tuning; choose another one")
        if self.optimizer.name == "lbfgs" and self.batch_size != "all":
            raise ValueError(
                "lbfgs compares the gradients of successive steps, which must be of the same "
                "frames; set batch_size: all, or take another optimizer"
            )
        if self.optimizer.name == "kalman":
            self._check_kalman()
        return self

    def _check_finetune(self) -> None:
        """What has no meaning for a model that is there already."""
        unused = {
            "committee": self.committee is not None,
            "optimizer.name: kalman": self.optimizer.name == "kalman",
        }
        for key, given in unused.items():
            if given:
                raise ValueError(f"a fine-tuning makes no use of {key}; leave it out")

    def _check_kalman(self) -> None:
        """The filter has no gradient to clip and its own loss."""
        unused = {
            "gradient_clip": self.gradient_clip is not None,
            "ema_decay": self.ema_decay is not None,
            "loss.stress": self.loss.stress > 0,
            "loss.dipole": self.loss.dipole > 0,
            "loss.function": self.loss.function != "mse",
        }
        for key, given in unused.items():
            if given:
                raise ValueError(
                    f"the Kalman filter makes no use of {key}; leave it out, or take another "
                    "optimizer"
                )
