"""Configuration of a NequIP potential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from ladera.models.repelled import RepelledConfig

Connection = Literal["none", "linear", "species"]
Parity = Literal["natural", "full", "none"]


class NequIPConfig(RepelledConfig):
    """A NequIP: message passing between features of every degree, with gates.

    A cutoff is all it needs; the defaults are a network that trains on a few cores.
    """

    optimizer: ClassVar[Mapping[str, Any]] = {"name": "muon"}

    architecture: Literal["nequip"] = "nequip"
    layers: PositiveInt = Field(default=4, description="Layers of message passing.")
    max_l: NonNegativeInt = Field(
        default=2, description="Largest l of the spherical harmonics of the edges."
    )
    channels: PositiveInt | tuple[PositiveInt, ...] = Field(
        default=(64, 32, 16),
        description="Channels of the features of degree l = 0, 1, 2, ...; one number: of every l "
        "up to max_l.",
    )
    parity: Parity = Field(
        default="natural",
        description="Features of each l: natural, with the parity of harmonics; full, with both "
        "parities; none, without any, so that a mirror image may differ.",
    )
    embedding_channels: PositiveInt | None = Field(
        default=None,
        description="Numbers that an element begins with. Left out: the channels of l = 0.",
    )
    connections: tuple[Connection, ...] = Field(
        default=(),
        description="What each layer adds of its input: none, linear, or species (weights of each "
        "element). Left out: none, then species.",
    )
    num_radial: PositiveInt = Field(default=8, description="How many radial basis functions.")
    train_basis: bool = Field(
        default=False, description="Train the frequencies of the radial basis."
    )
    cutoff_power: PositiveInt = Field(
        default=6, description="p of the polynomial cutoff; larger: steeper, nearer the cutoff."
    )
    cutoff_start: PositiveFloat | None = Field(
        default=None,
        description="Cut off by the XPLOR function from this distance on, Angstrom. Left out: by "
        "the polynomial.",
    )
    radial_layers: tuple[PositiveInt, ...] = Field(
        default=(64,), description="Hidden nodes of the radial networks."
    )
    solid_harmonics: bool = Field(
        default=False, description="Harmonics of the vector, r^l Y_l, not of its direction."
    )
    layer_norm: bool = Field(
        default=False, description="Divide the features of each layer by their root mean square."
    )
    biases: bool = Field(default=False, description="Biases of the scalars in every linear layer.")
    readout_layers: tuple[PositiveInt, ...] = Field(
        default=(), description="Hidden nodes of the readout. Left out: a linear one."
    )
    average_neighbors: PositiveFloat | None = Field(
        default=None,
        description="Messages are divided by its root. Left out: from training data.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.connections and len(self.connections) != self.layers:
            raise ValueError(
                f"connections has {len(self.connections)} entries for {self.layers} layers; "
                "give one for each layer"
            )
        if not self.widths:
            raise ValueError("channels is empty; give those of l = 0 at least")
        if self.cutoff_start is not None and self.cutoff_start >= self.cutoff:
            raise ValueError(
                f"cutoff_start {self.cutoff_start:g} is not below the cutoff {self.cutoff:g}"
            )
        return self

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the features of degree l = 0, 1, 2, ..."""
        if isinstance(self.channels, tuple):
            return self.channels
        return (self.channels,) * (self.max_l + 1)

    @property
    def kinds(self) -> tuple[Connection, ...]:
        """What each layer adds of its input, written out."""
        rest: list[Connection] = ["species"] * (self.layers - 1)
        return self.connections or ("none", *rest)
