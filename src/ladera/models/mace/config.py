"""Configuration of a MACE potential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from ladera.errors import did_you_mean
from ladera.potential import PotentialConfig

Interaction = Literal["agnostic", "residual", "density", "density_residual", "nonlinear_residual"]
Basis = Literal["bessel", "gaussian", "chebyshev"]
Transform = Literal["agnesi", "soft"]
Gate = Literal["silu", "tanh", "abs"]
Output = Literal["energy", "dipole"]


class MACEConfig(PotentialConfig):
    """A MACE: message passing with equivariant messages of high body order.

    A cutoff is all it needs; the defaults are a network that trains on a few cores.
    """

    optimizer: ClassVar[Mapping[str, Any]] = {"name": "muon"}

    architecture: Literal["mace"] = "mace"
    channels: PositiveInt = Field(default=64, description="Channels of every feature.")
    max_l: NonNegativeInt = Field(
        default=3, description="Largest l of the spherical harmonics of the edges."
    )
    hidden_l: NonNegativeInt = Field(
        default=1,
        description="Largest L of the features that atoms pass on between layers; 0: scalars only.",
    )
    correlation: PositiveInt = Field(
        default=3,
        description="How many neighbours one product takes together: body order less one.",
    )
    num_interactions: PositiveInt = Field(default=2, description="Layers of message passing.")
    interactions: tuple[Interaction, ...] = Field(
        default=(),
        description="Kind of each layer. Left out: agnostic, then residual.",
    )
    basis: Basis = Field(default="bessel", description="Radial basis functions.")
    num_radial: PositiveInt = Field(default=8, description="How many radial basis functions.")
    cutoff_power: PositiveInt = Field(
        default=5, description="p of the polynomial cutoff; larger: steeper, nearer the cutoff."
    )
    transform: Transform | None = Field(
        default=None,
        description="Stretch distances by covalent radii before the radial basis.",
    )
    radial_layers: tuple[PositiveInt, ...] = Field(
        default=(64, 64, 64), description="Hidden nodes of the radial networks."
    )
    apply_cutoff: bool = Field(
        default=True,
        description="Cut off the inputs of the radial network; false: its outputs.",
    )
    edge_channels: tuple[PositiveInt, ...] = Field(
        default=(),
        description="Channels of the messages in each layer. Left out: those of the features.",
    )
    edge_l: NonNegativeInt | None = Field(
        default=None,
        description="Largest l of the sender's features in a message. Left out: hidden_l.",
    )
    element_products: bool = Field(
        default=True, description="Own weights of the products for each element."
    )
    readout_layers: tuple[PositiveInt, ...] = Field(
        default=(16,),
        description="Hidden nodes of the last readout; earlier layers have linear ones.",
    )
    readout_bias: bool = Field(
        default=False, description="Biases in the last readout, in all layers but its first."
    )
    gate: Gate = Field(default="silu", description="Activation in the last readout.")
    heads: tuple[str, ...] = Field(
        default=("default",),
        min_length=1,
        description="Names of the readouts, one for each level of theory.",
    )
    head: str | None = Field(
        default=None, description="Which head predicts. Left out: the first of heads."
    )
    outputs: tuple[Output, ...] = Field(
        default=("energy",),
        min_length=1,
        description="What it predicts: energy, dipole (by charges and atomic dipoles), or both.",
    )
    charges: bool = Field(
        default=True,
        description="Charges in the dipole; false: dipoles of atoms alone, as mace-torch has.",
    )
    average_neighbors: tuple[PositiveFloat, ...] = Field(
        default=(),
        description="What messages are divided by, for each layer. Left out: from training data.",
    )
    zbl: bool = Field(
        default=False, description="Screened nuclear repulsion (ZBL) between close atoms."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("interactions", "edge_channels", "average_neighbors"):
            given = getattr(self, name)
            if given and len(given) != self.num_interactions:
                raise ValueError(
                    f"{name} has {len(given)} entries for {self.num_interactions} layers; "
                    "give one for each layer"
                )
        if len(set(self.heads)) != len(self.heads):
            raise ValueError(f"heads {list(self.heads)} must have different names")
        if self.head is not None and self.head not in self.heads:
            raise ValueError(
                f"there is no head '{self.head}'; {did_you_mean(self.head, self.heads)}"
            )
        if self.has_dipole and self.max_l == 0:
            raise ValueError(
                "a dipole is a vector, of which max_l: 0 knows nothing; take 1 or more"
            )
        if self.has_dipole and len(self.heads) > 1:
            raise ValueError(f"a model with a dipole has one head, not {len(self.heads)}")
        return self

    @property
    def corrections(self) -> dict[str, str | bool]:
        """Its own repulsion of nuclei; see :data:`ladera.models.zbl.MACE`."""
        return {"zbl": True} if self.zbl else {}

    @property
    def kinds(self) -> tuple[Interaction, ...]:
        """Kind of each layer, written out."""
        rest: list[Interaction] = ["residual"] * (self.num_interactions - 1)
        return self.interactions or ("agnostic", *rest)

    @property
    def has_energy(self) -> bool:
        """Whether the model predicts energies."""
        return "energy" in self.outputs

    @property
    def has_dipole(self) -> bool:
        """Whether the model predicts dipole moments."""
        return "dipole" in self.outputs

    @property
    def head_names(self) -> tuple[str, ...]:
        """Names of the readouts."""
        return self.heads

    @property
    def chosen_head(self) -> str | None:
        """Which head was chosen to predict, if one was."""
        return self.head

    @property
    def head_index(self) -> int:
        """Which of ``heads`` predicts."""
        return 0 if self.head is None else self.heads.index(self.head)
