"""Configuration of moment tensor potentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

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

if TYPE_CHECKING:
    from ladera.graph import Graph
    from ladera.kernels.moment_tensors.program import MomentProgram

# Of the shortest distance of the training frames: what dynamics needs beyond them.
_BELOW: Final = 0.95


class ProgramSize(Configured):
    """How large the program is that a model holds; see :class:`.MomentProgram`."""

    basic: PositiveInt
    products: NonNegativeInt
    scalars: PositiveInt
    radial: PositiveInt

    @classmethod
    def of(cls, program: MomentProgram) -> ProgramSize:
        """That of a program."""
        return cls(
            basic=len(program.basic),
            products=len(program.products),
            scalars=len(program.scalars),
            radial=program.n_radial,
        )


class MTPConfig(RepelledConfig):
    """What decides the size of a moment tensor potential: its level, and its radial functions."""

    optimizer: ClassVar[Mapping[str, Any]] = {"name": "variable_projection"}
    finetuning_rate: ClassVar[float] = 1e-4

    architecture: Literal["mtp"] = "mtp"
    level: int = Field(
        default=16,
        ge=2,
        le=28,
        description="Even, from 2 to 28: more functions, slower and more exact; 8 to 20 are usual.",
    )
    min_distance: PositiveFloat = Field(
        default=0.5,
        description="The shortest distance that radial functions are made for, Angstrom. Left out "
        "in training: a little below the shortest of the training data.",
    )
    radial_basis_size: PositiveInt = Field(
        default=8, description="Chebyshev polynomials of the distance in each radial function."
    )
    program: ProgramSize | None = Field(
        default=None,
        description="Of a model with functions of its own, such as one that was read or pruned: "
        "how many moments, products, functions and radial functions it has. Left out: those of "
        "the level.",
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

    def for_training(self, graphs: Sequence[Graph]) -> Self:
        """With the shortest distance of the frames, if none was given."""
        if "min_distance" in self.model_fields_set:
            return self
        lengths = (graph.vectors.norm(dim=1) for graph in graphs if graph.n_edges)
        shortest = min((float(each.min()) for each in lengths), default=self.min_distance / _BELOW)
        return self.model_copy(update={"min_distance": round(_BELOW * shortest, 3)})
