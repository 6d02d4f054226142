"""Configurations of models that may leave nuclei that are too close to a formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, Self

from pydantic import Field, model_serializer, model_validator

from ladera.potential import PotentialConfig

# Of the sum of covalent radii: where the repulsion ends that is added to a model. It learns its
# bonds from data, and those of N2, O2 and the oxides of metals are longer.
REACH: Final = 0.7


class RepelledConfig(PotentialConfig):
    """Of a model that may learn what the repulsion of nuclei leaves; see :mod:`~.corrected`."""

    # Files from before there were such keys, and what identifies them, stay as they are.
    later_keys: ClassVar[tuple[str, ...]] = ("zbl",)

    zbl: bool = Field(
        default=False,
        description="Add the repulsion of nuclei (Ziegler, Biersack, Littmark) to atoms that are "
        "closer than in bonds; the model learns what is left.",
    )

    @model_validator(mode="after")
    def _within_cutoff(self) -> Self:
        if not self.zbl:
            return self
        from ase.data import atomic_numbers, covalent_radii

        radii = (covalent_radii[atomic_numbers[symbol]] for symbol in self.species)
        reach = 2 * REACH * max(radii, default=0.0)
        if reach > self.cutoff:
            raise ValueError(
                f"zbl repels atoms up to {reach:.3g} Angstrom, beyond the cutoff {self.cutoff:g}; "
                "raise the cutoff"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, serialize: Callable[[RepelledConfig], dict[str, Any]]) -> dict[str, Any]:
        """Without the later keys that say nothing new."""
        values = serialize(self)
        for name in self.later_keys:
            if getattr(self, name) == type(self).model_fields[name].default:
                values.pop(name, None)
        return values
