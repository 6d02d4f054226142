"""Configuration of a fourth-generation potential: networks, and the electrostatics between them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, model_validator

from ladera.kernels.symmetry_functions.functions import CutoffFunction
from ladera.models.hdnnp.config import Activations, HDNNPConfig, Layers, NetworkShape


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class JacksonCatlow(_Section):
    """Ewald sums cut off where their terms have fallen to a given part of the first."""

    truncation: Literal["jackson_catlow"] = "jackson_catlow"
    precision: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=1e-8, description="Relative size of the first term left out."
    )


class KolafaPerram(_Section):
    """Ewald sums cut off where the estimated error of a force is small enough."""

    truncation: Literal["kolafa_perram"] = "kolafa_perram"
    precision: PositiveFloat = Field(description="Error of a force, eV/Angstrom.")
    maximum_charge: PositiveFloat = Field(
        default=1.0, description="Largest charge to be expected, e."
    )
    real_cutoff: PositiveFloat | None = Field(
        default=None,
        description="Where the sum in real space ends, Angstrom. Left out: the cheapest.",
    )


Ewald = Annotated[JacksonCatlow | KolafaPerram, Field(discriminator="truncation")]


class ScreeningConfig(_Section):
    """Coulomb interactions grow from nothing at ``inner`` to their full size at ``outer``."""

    inner: NonNegativeFloat = Field(description="Distance up to which there is none, Angstrom.")
    outer: PositiveFloat = Field(description="Distance from which there is all of it, Angstrom.")
    shape: CutoffFunction = Field(
        default="cosine", description="Shape of the transition; tanh3 knows no inner distance."
    )

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.inner >= self.outer:
            raise ValueError(f"inner ({self.inner}) must be less than outer ({self.outer})")
        return self


class ElectrostaticsConfig(_Section):
    """Gaussian charges, the networks of their electronegativities, and their interaction."""

    hidden_layers: Layers | dict[str, Layers] = Field(
        default=(32, 32), description="As in the model, for the electronegativity networks."
    )
    activation: Activations | dict[str, Activations] = Field(
        default="tanh", description="As in the model, for the electronegativity networks."
    )
    gaussian_widths: dict[str, PositiveFloat] = Field(
        default_factory=dict,
        description="Width sigma of each element's charge, Angstrom. Left out: covalent radii.",
    )
    permittivity: PositiveFloat = Field(
        default=1.0, description="Relative permittivity that divides all Coulomb energies."
    )
    ewald: Ewald = Field(
        default_factory=JacksonCatlow, description="How Ewald sums are cut off in periodic cells."
    )
    screening: ScreeningConfig | None = Field(
        default=None, description="Reduce the interaction of close atoms. Left out: do not."
    )


class HDNNP4GConfig(HDNNPConfig):
    """A Behler-Parrinello network that knows the charges of the atoms, and their electrostatics."""

    architecture: Literal["hdnnp_4g"] = "hdnnp_4g"  # type: ignore[assignment]
    electrostatics: ElectrostaticsConfig = Field(
        default_factory=ElectrostaticsConfig,
        description="Charges, electronegativity networks and Coulomb interactions.",
    )

    @model_validator(mode="after")
    def _electrostatics_fit(self) -> Self:
        unknown = sorted(set(self.electrostatics.gaussian_widths) - set(self.species))
        if self.species and unknown:
            raise ValueError(
                f"gaussian_widths has an entry for {', '.join(unknown)}, not among the species"
            )
        for symbol in self.species:
            self.electronegativity_network(symbol)
        return self

    def electronegativity_network(self, symbol: str) -> NetworkShape:
        """Shape of an element's electronegativity network; ValueError as for :meth:`network`."""
        section = self.electrostatics
        shape = {"hidden_layers": section.hidden_layers, "activation": section.activation}
        try:
            return self.model_copy(update=shape).network(symbol)
        except ValueError as error:
            raise ValueError(f"of the electronegativity networks, {error}") from error
