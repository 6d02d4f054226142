"""What every model's configuration has; light, for what only looks at configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, PositiveFloat, field_validator

from ladera import display, measures
from ladera.errors import ConfigError, did_you_mean
from ladera.schemas import Configured

if TYPE_CHECKING:
    from ladera.graph import Graph


def _in_angstrom(value: Any) -> Any:
    """The number of a length such as "0.6 nm"."""
    return measures.number(value, "Angstrom") if isinstance(value, str) else value


class PotentialConfig(Configured):
    """What every model's configuration has; models add their own keys."""

    # What trains it where the user names no optimizer: its name, and keys of it.
    optimizer: ClassVar[Mapping[str, Any]] = {"name": "adam"}
    # Of Adam, at which a fine-tuning keeps what the model knows.
    finetuning_rate: ClassVar[float] = 1e-3

    architecture: str = Field(description="Which model, such as hdnnp.")
    species: tuple[str, ...] = Field(
        default=(),
        description="Chemical symbols the model knows. Left out: those of the training data.",
    )
    cutoff: Annotated[PositiveFloat, BeforeValidator(_in_angstrom)] = Field(
        description="Interaction cutoff in Angstrom."
    )

    def __repr__(self) -> str:
        """What makes a model large or small; the whole is ``model_dump()``."""
        parts = [f"{name} {display.short(getattr(self, name))}" for name in self.model_fields_set]
        return display.lines(type(self).__name__, sorted(parts))

    __str__ = __repr__

    @field_validator("species")
    @classmethod
    def _known_symbols(cls, species: tuple[str, ...]) -> tuple[str, ...]:
        from ase.data import atomic_numbers, chemical_symbols

        for symbol in species:
            if symbol not in atomic_numbers:
                hint = did_you_mean(symbol, chemical_symbols[1:])
                raise ValueError(f"'{symbol}' is not a chemical symbol; {hint}")
        return tuple(sorted(set(species), key=atomic_numbers.__getitem__))

    def for_training(self, graphs: Sequence[Graph]) -> Self:
        """The same configuration with what it leaves to the training data decided.

        Training calls it once, before the model is built. The result decides nothing more.
        """
        return self

    @property
    def head_names(self) -> tuple[str, ...]:
        """The heads, one for each level of theory; none of an architecture without such a thing."""
        return ()

    @property
    def chosen_head(self) -> str | None:
        """The head that was chosen to predict; None where each structure has its own."""
        return None

    @property
    def head_index(self) -> int:
        """Which of ``head_names`` predicts where neither the structure nor the caller says one."""
        return 0

    @property
    def corrections(self) -> dict[str, str | bool]:
        """What is added to the model that it has not learned, by name; mostly nothing."""
        return {}

    def number_of_head(self, name: str) -> int:
        """Which of ``head_names`` it is; ConfigError for one that the model does not have."""
        if name in self.head_names:
            return self.head_names.index(name)
        hint = did_you_mean(name, self.head_names) if self.head_names else "it has none at all."
        raise ConfigError(f"The {self.architecture} model has no head '{name}'; {hint}")
