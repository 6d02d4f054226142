"""The optimizer, the learning rate and the second stage in a training configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from ladera.training.sections import Fraction, Section, UpToOne, named

# --- optimizer ---------------------------------------------------------------------------------


WeightDecay = Annotated[
    NonNegativeFloat,
    Field(
        description="Pull of the parameters towards zero; of a mace: of the weights that mix "
        "messages and products, as published models are trained."
    ),
]


Epsilon = Annotated[PositiveFloat, Field(description="Added to what steps are divided by.")]


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
    initial_accumulator: NonNegativeFloat = Field(
        0.0, description="What the sum of the squared gradients starts from."
    )
    epsilon: Epsilon = 1e-10
    weight_decay: WeightDecay = 0.0


class RMSprop(Section):
    """Steps divided by the running root mean square of the gradients."""

    name: Literal["rmsprop"] = Field("rmsprop", description="Which optimizer.")
    learning_rate: PositiveFloat = Field(1e-3, description="Size of a step.")
    alpha: Fraction = Field(0.99, description="Memory of the running mean.")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="0 for none.")
    epsilon: Epsilon = 1e-8
    weight_decay: WeightDecay = 0.0


class Adam(Section):
    """Steps of the running mean over the running root mean square of the gradients."""

    name: Literal["adam"] = Field("adam", description="Which optimizer.")
    learning_rate: PositiveFloat = Field(5e-3, description="Size of a step.")
    betas: tuple[Fraction, Fraction] = Field((0.9, 0.99), description="Memories of the means.")
    epsilon: Epsilon = 1e-8
    weight_decay: WeightDecay = 0.0


class AdamW(Section):
    """Adam with the weight decay apart from the gradient."""

    name: Literal["adamw"] = Field("adamw", description="Which optimizer.")
    learning_rate: PositiveFloat = Field(5e-3, description="Size of a step.")
    betas: tuple[Fraction, Fraction] = Field((0.9, 0.99), description="Memories of the means.")
    epsilon: Epsilon = 1e-8
    weight_decay: WeightDecay = 1e-2


class Muon(Section):
    """Steps that turn matrices in all directions alike (Muon), and Adam for the rest."""

    name: Literal["muon"] = Field("muon", description="Which optimizer.")
    learning_rate: PositiveFloat = Field(
        1e-2, description="Size of a step; of a matrix, relative to its first entries."
    )
    momentum: Fraction = Field(0.95, description="Memory of the mean gradient of a matrix.")
    betas: tuple[Fraction, Fraction] = Field(
        (0.9, 0.99), description="Memories of the means of other parameters."
    )
    weight_decay: WeightDecay = 0.0


class ScheduleFree(Section):
    """AdamW whose steps are averaged as it goes: no schedule, no number of epochs to know before.

    Defazio et al., NeurIPS 2024, arXiv:2405.15682. It validates and saves the average.
    """

    name: Literal["schedule_free"] = Field("schedule_free", description="Which optimizer.")
    learning_rate: PositiveFloat = Field(2e-3, description="Size of a step.")
    betas: tuple[Fraction, Fraction] = Field((0.9, 0.999), description="Memories of the means.")
    weight_decay: WeightDecay = 0.0


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

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True
    )

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


class VariableProjection(Section):
    """Linear coefficients by least squares, the others by steps of Levenberg and Marquardt.

    For MTP, in float64. An epoch is one step; schedule and batch_size have no part in it.
    """

    name: Literal["variable_projection"] = Field(
        "variable_projection", description="Which optimizer."
    )
    ridge: PositiveFloat = Field(
        1e-10,
        description="Pull of the linear coefficients towards zero, relative to their squares.",
    )
    radial_rank: PositiveInt | None = Field(
        None,
        description="Rank of the radial coefficients as a matrix of pairs and functions by "
        "polynomials: fewer numbers to learn, for many elements. Left out: any.",
    )
    damping: PositiveFloat = Field(
        1e-2, description="First pull of a step towards zero, relative; it adapts itself."
    )
    tolerance: NonNegativeFloat = Field(
        1e-3, description="The training ends when a step is to lower the loss by less, relative."
    )


GradientOptimizer = SGD | Adagrad | RMSprop | Adam | AdamW | Muon | ScheduleFree | LBFGS
OptimizerConfig = Annotated[
    GradientOptimizer | Kalman | VariableProjection,
    Field(discriminator="name"),
    named("name", "adam"),
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
    named("name", "cosine"),
]

# --- second stage ------------------------------------------------------------------------------


class StageTwo(Section):
    """Other weights for the last epochs: energies often learn best after forces have been learned.

    The best model is that of this stage.
    """

    start: Fraction = Field(0.75, description="When it begins, as a fraction of the epochs.")
    energy: NonNegativeFloat | None = Field(None, description="loss.energy from then on.")
    forces: NonNegativeFloat | None = Field(None, description="loss.forces from then on.")
    stress: NonNegativeFloat | None = Field(None, description="loss.stress from then on.")
    dipole: NonNegativeFloat | None = Field(None, description="loss.dipole from then on.")
    charges: NonNegativeFloat | None = Field(None, description="loss.charges from then on.")
    learning_rate: PositiveFloat | None = Field(
        None, description="Constant learning rate from then on. Left out: the schedule goes on."
    )
