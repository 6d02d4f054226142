"""Configuration of moment tensor potentials."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from ladera.models.repelled import RepelledConfig
from ladera.schemas import Configured


class ProgramSize(Configured):
    """How large the program is that a model holds; see :class:`.MomentProgram`."""

    basic: PositiveInt
    products: NonNegativeInt
    scalars: PositiveInt


class MTPConfig(RepelledConfig):
    """What decides the size of a moment tensor potential: its level, and its radial functions."""

    architecture: Literal["mtp"] = "mtp"
    level: int = Field(
        default=16,
        ge=2,
        le=28,
        description="Even, from 2 to 28: more functions, slower and more exact; 8 to 20 are usual.",
    )
    min_distance: PositiveFloat = Field(
        default=0.5,
        description="The shortest distance that radial functions are made for, Angstrom; a little "
        "below the shortest of the training data.",
    )
    radial_basis_size: PositiveInt = Field(
        default=8, description="Chebyshev polynomials of the distance in each radial function."
    )
    n_radial: PositiveInt | None = Field(
        default=None,
        description="Radial functions of a pair of elements. Left out: as many as the level uses.",
    )
    program: ProgramSize | None = Field(
        default=None,
        description="Of a model with functions of its own, such as one that was read or pruned: "
        "how many moments, products and functions it has. Left out: those of the level.",
    )

    @field_validator("level")
    @classmethod
    def _even(cls, level: int) -> int:
        if level % 2:
            raise ValueError(
                f"levels are even, and this is {level}; take {level - 1} or {level + 1}"
            )
        return level

    @model_validator(mode="after")
    def _ordered(self) -> MTPConfig:
        if self.min_distance >= self.cutoff:
            raise ValueError(
                f"min_distance {self.min_distance:g} is not below the cutoff {self.cutoff:g}"
            )
        return self
