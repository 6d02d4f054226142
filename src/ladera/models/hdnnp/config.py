"""Configuration of a Behler-Parrinello potential."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from ladera.kernels.symmetry_functions.functions import CutoffFunction, SymmetryFunction
from ladera.models.hdnnp.generation import Size, generate
from ladera.potential import PotentialConfig

Activation = Literal[
    "linear",
    "tanh",
    "logistic",
    "softplus",
    "relu",
    "gaussian",
    "cosine",
    "reversed_logistic",
    "exponential",
    "harmonic",
    "tanh_twist",
]
Scaling = Literal["none", "scale", "center", "scale_center", "sigma"]


class HDNNPConfig(PotentialConfig):
    """A Behler-Parrinello network: symmetry functions, then one small network per element.

    A cutoff is all it needs. Give ``symmetry_functions`` to choose them yourself; otherwise a set
    of the asked ``size`` is generated.
    """

    architecture: Literal["hdnnp"] = "hdnnp"
    size: Size = Field(
        default="medium",
        description="How many symmetry functions to generate: small, medium or large.",
    )
    symmetry_functions: tuple[SymmetryFunction, ...] = Field(
        default=(),
        description="The symmetry functions. Left out: generated from species, cutoff and size.",
    )
    cutoff_function: CutoffFunction = Field(
        default="poly2",
        description="Shape of the cutoff function; poly2 has continuous second derivatives.",
    )
    cutoff_alpha: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Inner fraction of the cutoff within which its function is 1."
    )
    hidden_layers: tuple[PositiveInt, ...] = Field(
        default=(32, 32), min_length=1, description="Nodes of each hidden layer."
    )
    activation: Activation = Field(
        default="tanh",
        description="Activation of the hidden layers; tanh_twist is 1.0 tanh x + 0.1 x.",
    )
    scaling: Scaling = Field(
        default="sigma",
        description="How symmetry functions are scaled before they enter the network.",
    )
    scale_range: tuple[float, float] = Field(
        default=(0.0, 1.0), description="S_min and S_max of the scaling."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.scale_range[0] >= self.scale_range[1]:
            raise ValueError(f"scale_range {self.scale_range} must be ascending")
        longest = max((f.cutoff for f in self.symmetry_functions), default=0.0)
        if longest > self.cutoff:
            raise ValueError(
                f"a symmetry function reaches to {longest} Angstrom, beyond the cutoff "
                f"{self.cutoff}; raise the cutoff"
            )
        return self

    def complete(self) -> Self:
        """The same configuration with its symmetry functions written out."""
        if self.symmetry_functions:
            return self
        functions = generate(self.species, self.cutoff, self.size)
        return self.model_copy(update={"symmetry_functions": functions})
