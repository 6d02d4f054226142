"""Configuration of the Lennard-Jones potential."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, model_validator

from ladera.potential import PotentialConfig


class LennardJonesConfig(PotentialConfig):
    """Lennard-Jones parameters of each element; pairs mix by Lorentz and Berthelot's rules."""

    architecture: Literal["lennard_jones"] = "lennard_jones"
    epsilon: dict[str, PositiveFloat] = Field(description="Well depth of each element, eV.")
    sigma: dict[str, PositiveFloat] = Field(description="Diameter of each element, Angstrom.")

    @model_validator(mode="after")
    def _one_value_per_species(self) -> LennardJonesConfig:
        for name, values in (("epsilon", self.epsilon), ("sigma", self.sigma)):
            missing = sorted(set(self.species) - set(values))
            if missing:
                raise ValueError(f"{name} has no value for {', '.join(missing)}")
        return self
