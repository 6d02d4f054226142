"""Which parameter of mace-torch is which of Ladera's, and how its numbers are laid out.

mace-torch keeps most weights as one flat row: the matrices of the degrees l one after the other.
Ladera has a tensor for each. :func:`layout` says, for every tensor of mace-torch, of which of
Ladera's it is made; reading and writing both go by it. See :mod:`ladera.models.mace` for the names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ladera.models.mace.config import MACEConfig

# Sender, element, receiver, as mace-torch has it, to element, sender, receiver, and back.
_BY_ELEMENT = (1, 0, 2)


class Block(NamedTuple):
    """A piece of a tensor of mace-torch: Ladera's name, shape there, and the order of axes here."""

    name: str
    shape: tuple[int, ...]
    order: tuple[int, ...] | None = None  # that of Ladera, if it is another one
    beside: str | None = None  # Ladera's name of the second half of the columns, if it is two


Layout = Mapping[str, Sequence[Block]]


def layout(config: MACEConfig, gated: bool = False) -> Layout:
    """The pieces of every learned tensor, by the name that it has in mace-torch.

    ``gated`` says whether the last readout of a model with dipoles has vectors.
    """
    elements, channels = len(config.species), config.channels
    blocks: dict[str, Sequence[Block]] = {
        "node_embedding.linear.weight": [Block("embedding", (elements, channels))]
    }
    for layer, kind in enumerate(config.kinds):
        shape = _Shape(config, layer)
        blocks |= dict(_nonlinear(shape) if kind == "nonlinear_residual" else _linear(shape, kind))
        blocks |= dict(_product(shape))
        blocks |= dict(_dipole_readout(shape, gated) if config.has_dipole else _readout(shape))
    return blocks


def split(tensor: Tensor, blocks: Sequence[Block]) -> Iterator[tuple[str, Tensor]]:
    """Ladera's tensors in one of mace-torch; ValueError when it has another size."""
    sizes = [math.prod(block.shape) for block in blocks]
    if sum(sizes) != tensor.numel():
        raise ValueError(f"has {tensor.numel():,} numbers instead of {sum(sizes):,}")
    for block, piece in zip(blocks, torch.split(tensor.flatten(), sizes), strict=True):
        shaped = piece.reshape(block.shape)
        if block.beside is not None:
            shaped, second = shaped.chunk(2, dim=1)
            yield block.beside, second
        yield block.name, (shaped if block.order is None else shaped.permute(block.order))


def join(tensors: Mapping[str, Tensor], blocks: Sequence[Block]) -> Tensor:
    """One of mace-torch's tensors, flat, from Ladera's."""

    def piece(block: Block) -> Tensor:
        tensor = tensors[block.name]
        if block.beside is not None:
            tensor = torch.cat([tensor, tensors[block.beside]], dim=1)
        # Every order there is swaps two axes: it undoes itself.
        return tensor if block.order is None else tensor.permute(block.order)

    return torch.cat([piece(block).reshape(-1) for block in blocks])


class _Shape:
    """The numbers that the shapes of a layer are made of."""

    def __init__(self, config: MACEConfig, layer: int) -> None:
        self.config, self.layer = config, layer
        self.elements, self.channels = len(config.species), config.channels
        self.heads, self.max_l = len(config.heads), config.max_l
        self.last = layer == config.num_interactions - 1
        hidden = range(config.hidden_l + 1)
        self.inputs = range(1) if layer == 0 else hidden
        self.outputs = self._at_last() if self.last else hidden
        self.edge_channels = config.edge_channels[layer] if config.edge_channels else self.channels
        limit = config.hidden_l if config.edge_l is None else config.edge_l
        self.senders = [l for l in self.inputs if l <= limit]
        self.ours = f"layers.{layer}."
        self.theirs = f"interactions.{layer}."

    def _at_last(self) -> range:
        """What the last layer has: scalars for an energy, vectors for a dipole."""
        config = self.config
        if not config.has_dipole:
            return range(1)
        return range(2) if config.has_energy or self.layer == 0 else range(1, 2)

    def paths(self, l: int) -> int:
        """How many products of a feature and a harmonic have the degree l and its parity."""
        return sum(
            abs(l1 - l2) <= l <= l1 + l2 and (l1 + l2 - l) % 2 == 0
            for l1 in self.senders
            for l2 in range(self.max_l + 1)
        )


Pieces = Iterator[tuple[str, Sequence[Block]]]


def _linear(s: _Shape, kind: str) -> Pieces:
    """The interactions whose radial network has neither biases nor elements."""
    C, E, ours = s.channels, s.edge_channels, s.ours + "interaction."
    yield (
        s.theirs + "linear_up.weight",
        [Block(f"{ours}up.weights.{l}", (C, E)) for l in s.senders],
    )
    outputs = sum(s.paths(l) for l in range(s.max_l + 1)) * E
    widths = (s.config.num_radial, *s.config.radial_layers, outputs)
    for k, shape in enumerate(pairwise(widths)):
        name = f"{s.theirs}conv_tp_weights.layer{k}.weight"
        yield name, [Block(f"{ours}radial.weights.{k}", shape)]
    yield (
        s.theirs + "linear.weight",
        [Block(f"{ours}down.weights.{l}", (s.paths(l) * E, C)) for l in range(s.max_l + 1)],
    )
    if kind.startswith("density"):
        shape = (s.config.num_radial, 1)
        yield s.theirs + "density_fn.layer0.weight", [Block(f"{ours}density.weights.0", shape)]
    if kind.endswith("residual"):
        common = [l for l in s.outputs if l in s.inputs]
        names = [f"{s.ours}skip.weights.{l}" for l in common]
    else:
        names = [f"{ours}mix.weights.{l}" for l in range(s.max_l + 1)]
    yield (
        s.theirs + "skip_tp.weight",
        [Block(name, (C, s.elements, C), _BY_ELEMENT) for name in names],
    )


def _nonlinear(s: _Shape) -> Pieces:
    """The interaction with gates, and elements in the radial network."""
    C, E, ours = s.channels, s.edge_channels, s.ours + "interaction."
    degrees = range(s.max_l + 1)

    def width(l: int) -> int:
        return C * (1 + s.max_l) if l == 0 else C

    for word in ("source", "target"):
        yield f"{s.theirs}{word}_embedding.weight", [Block(ours + word, (s.elements, C))]
    yield (
        s.theirs + "linear_up.weight",
        [Block(f"{ours}up.weights.{l}", (C, E)) for l in s.senders],
    )
    inputs, outputs = s.config.num_radial + 2 * C, sum(s.paths(l) for l in degrees) * E
    yield from _network(
        s.theirs + "conv_tp_weights.", ours + "radial.", (inputs, *s.config.radial_layers, outputs)
    )
    yield from _network(s.theirs + "density_fn.", ours + "density.", (inputs, 64, 1))
    for name in ("alpha", "beta"):
        yield s.theirs + name, [Block(ours + name, ())]
    yield (
        s.theirs + "linear_1.weight",
        [Block(f"{ours}down.weights.{l}", (s.paths(l) * E, width(l))) for l in degrees],
    )
    yield (
        s.theirs + "linear_res.weight",
        [Block(f"{ours}rest.weights.{l}", (E, width(l))) for l in s.senders if l in degrees],
    )
    yield (
        s.theirs + "linear_2.weight",
        [Block(f"{ours}last.weights.{l}", (C, C)) for l in degrees],
    )
    yield (
        s.theirs + "skip_tp.weight",
        [Block(f"{s.ours}skip.weights.{l}", (C, C)) for l in s.outputs if l in s.inputs],
    )


def _network(theirs: str, ours: str, widths: tuple[int, ...]) -> Pieces:
    """A radial network: linear, norm, activation; linear, norm, activation; ...; linear."""
    for k, (n_in, n_out) in enumerate(pairwise(widths)):
        for name, shape in (("weight", (n_out, n_in)), ("bias", (n_out,))):
            yield f"{theirs}net.{3 * k}.{name}", [Block(f"{ours}linears.{k}.{name}", shape)]
            if k < len(widths) - 2:
                norm = [Block(f"{ours}norms.{k}.{name}", (n_out,))]
                yield f"{theirs}net.{3 * k + 1}.{name}", norm


def _product(s: _Shape) -> Pieces:
    """The linear layer after the products, whose own weights are in :func:`product_names`."""
    name = f"products.{s.layer}.linear.weight"
    C = s.channels
    yield name, [Block(f"{s.ours}linear.weights.{l}", (C, C)) for l in s.outputs]


def product_names(config: MACEConfig) -> Iterator[tuple[str, str, str]]:
    """Weights of the products: Ladera's name, mace-torch's, and that of their coupling matrix."""
    for layer in range(config.num_interactions):
        for place, degree in enumerate(_Shape(config, layer).outputs):
            theirs = f"products.{layer}.symmetric_contractions.contractions.{place}."
            for order in range(1, config.correlation + 1):
                # They are kept from the most factors to the fewest.
                place = config.correlation - 1 - order
                yield (
                    f"layers.{layer}.product.weights.{degree}.{order - 1}",
                    theirs + ("weights_max" if place < 0 else f"weights.{place}"),
                    f"{theirs}U_matrix_{order}",
                )


def _dipole_readout(s: _Shape, gated: bool) -> Pieces:
    """Energies (if any) and dipoles of atoms, from scalars and vectors."""
    theirs, C, has_energy = f"readouts.{s.layer}.", s.channels, s.config.has_energy
    energy, dipole = f"{s.ours}readout.weights.", f"{s.ours}dipole.weights."
    if not (s.last and s.config.readout_layers):
        both = [Block(f"{energy}0", (C, 1))] * has_energy + [Block(f"{dipole}0", (C, 1))]
        yield f"{theirs}linear.weight", both
        return
    (n,) = s.config.readout_layers
    first, second = [], []
    if has_energy:
        gates = f"{s.ours}dipole.gates.0" if gated else None
        first.append(Block(f"{energy}0", (C, 2 * n if gated else n), beside=gates))
        second.append(Block(f"{energy}1", (n, 1)))
    if gated:
        first.append(Block(f"{dipole}0", (C, n)))
        second.append(Block(f"{dipole}1", (n, 1)))
    if first:
        yield f"{theirs}linear_1.weight", first
        yield f"{theirs}linear_2.weight", second


def _readout(s: _Shape) -> Pieces:
    theirs, ours, H = f"readouts.{s.layer}.", s.ours + "readout.", s.heads
    hidden = [nodes * H for nodes in s.config.readout_layers] if s.last else []
    words = (
        ("linear",),
        ("linear_1", "linear_2"),
        ("linear_1", "linear_mid", "linear_2"),
    )[len(hidden)]
    shapes = pairwise((s.channels, *hidden, H))
    for k, (word, shape) in enumerate(zip(words, shapes, strict=True)):
        yield f"{theirs}{word}.weight", [Block(f"{ours}weights.{k}", shape)]
        if k and s.config.readout_bias:
            yield f"{theirs}{word}.bias", [Block(f"{ours}biases.{k - 1}", shape[1:])]
