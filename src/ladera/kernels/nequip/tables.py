"""What a NequIP model is to the compiled loops: plain arrays, all normalisations multiplied in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from ladera.arrays import Floats
from ladera.kernels.splines import Radial

Activation = Literal["silu", "tanh"]


class Irrep(NamedTuple):
    """Features that turn alike: degree l and how many channels of them there are."""

    l: int
    channels: int


class Path(NamedTuple):
    """One way to couple an irrep of the sender with harmonics of degree l2 to a message.

    Its message has the channels of the irrep ``source``.
    """

    source: int  # place among the irreps of the sender
    l2: int
    target: int  # place among the irreps of the layer's output
    coupling: Floats  # (2 l1 + 1, 2 l2 + 1, 2 l3 + 1)


class Skip(NamedTuple):
    """What of an irrep of the layer's input is added to one of its output."""

    source: int
    target: int
    weights: Floats  # (S or 1, channels in, columns of the target)


class Output(NamedTuple):
    """An irrep of a layer's output: scalars f(x), others f(g) x with a gate g for each channel."""

    l: int
    channels: int
    activation: Activation  # f, times ``factor``
    factor: float


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer; S elements. Lists go by irreps; matrices act from the right.

    With the features h (atoms, 2 l + 1, channels) of the layer's input, radial functions w of its
    paths p and the sum over neighbours j of i,

        x = h up;   M_ip = sum_j coupling_p(x_j, Y(r_j - r_i)) w_p(r_ij)
        y = M down + h skip;   y <- gamma y (q + least)^(-1/2);   h' = gate(y)

    q = sum of share_k |y_k|^2 over the irreps k. Columns of an output are its channels; those of
    the first, the scalars, are its channels and then the gates of all outputs with l > 0 in turn.
    """

    sources: tuple[Irrep, ...]
    outputs: tuple[Output, ...]
    paths: tuple[Path, ...]  # in the order of the radial functions
    radial: Radial  # (distances, sum of the paths' channels)
    up: tuple[Floats, ...]  # (S or 1, channels in, channels) of each source
    up_bias: Floats | None  # (S or 1, channels of the first source): scalars
    down: tuple[Floats, ...]  # (channels of all paths to it, columns) of each output
    down_bias: Floats | None  # (columns of the first output,)
    skip: tuple[Skip, ...]
    gamma: tuple[Floats, ...] | None  # (columns,) of each output; None: no norm
    share: tuple[float, ...] = ()
    least: float = 0.0

    @property
    def columns(self) -> tuple[int, ...]:
        """Of each output."""
        first, *others = [output.channels for output in self.outputs]
        gates = sum(output.channels for output in self.outputs if output.l > 0)
        return (first + gates, *others)


@dataclass(frozen=True, eq=False)
class Readout:
    """The network at the end: x <- factor f(x W), without f after the last W."""

    weights: tuple[Floats, ...]  # (C, n_1), ..., (n_k, 1)
    factor: float  # of f, which is silu


@dataclass(frozen=True, eq=False)
class Model:
    """A whole NequIP. Energies are E0 + scale * readout, in eV; lengths in Angstrom."""

    cutoff: float
    kinks: tuple[float, ...]  # distances at which the cutoff function is not smooth
    degree: int  # of the spherical harmonics
    embedding: Floats  # (S, channels of the first layer's source)
    layers: tuple[Layer, ...]
    readout: Readout
    reference_energies: Floats  # (S,) eV
    scale: Floats  # (S,) eV
