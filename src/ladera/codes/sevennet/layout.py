"""Where the numbers of a layer of SevenNet are in its flat arrays, and where they are in ours.

SevenNet has features in the order 0o, 0e, 1o, 1e, ... or in that of ``irreps_manual``, Ladera in
the order 0e, 0o, 1e, 1o, ...; the paths of a convolution are in the order in which its loops over
(sender, harmonic, output) meet them, or sorted by their output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ladera.arrays import Integers
from ladera.codes.sevennet.settings import Block, Settings, blocks_of
from ladera.errors import ModelFileError
from ladera.models.equivariant.irreps import Irrep, paths, products
from ladera.models.nequip.shapes import LayerShape


class Way(NamedTuple):
    """A path of a convolution: irreps of the sender, of the harmonic and of the output."""

    one: Irrep
    two: Irrep
    out: Irrep


@dataclass(frozen=True)
class Layout:
    """One layer there: blocks of its input and of its output, and the order of its paths."""

    features: Sequence[Block]
    hidden: Sequence[Block]  # what the gates make
    out: Sequence[Block]  # before the gates, which are among its scalars 0e
    ways: Sequence[Way]  # in the order of the radial functions
    rows: Sequence[Way]  # in the order of the rows of messages

    @property
    def messages(self) -> dict[Irrep, int]:
        """Channels of the messages, of each irrep in its order."""
        channels, found = self._channels, {way.out: 0 for way in self.rows}
        for way in self.rows:
            found[way.out] += channels[way.one]
        return found

    @property
    def _channels(self) -> dict[Irrep, int]:
        return {irrep: channels for channels, irrep in self.features}

    def columns(self, ways: Sequence[Way]) -> Integers:
        """Which of the radial functions are those of some paths, one after the other."""
        return _places(self.ways, ways, self._channels)

    def rows_of(self, irrep: Irrep, ways: Sequence[Way]) -> Integers:
        """Which rows of the messages of an irrep are those of some paths."""
        mine = [way for way in self.rows if way.out == irrep]
        return _places(mine, ways, self._channels)


def layouts_of(path: Path, settings: Settings) -> list[Layout]:
    """The layout of each layer; ModelFileError for irreps that are none."""
    hidden = hidden_of(path, settings)
    return [
        _layout(settings, hidden[t], hidden[t + 1], t == settings.num_convolution_layer - 1)
        for t in range(settings.num_convolution_layer)
    ]


def hidden_of(path: Path, settings: Settings) -> list[list[Block]]:
    """The features before each layer, and after the last."""
    if settings.irreps_manual:
        if len(settings.irreps_manual) != settings.num_convolution_layer + 1:
            raise ModelFileError(
                f"{path}: 'irreps_manual' in its config has {len(settings.irreps_manual)} entries "
                f"for {settings.num_convolution_layer} layers; the file is damaged."
            )
        return [blocks_of(path, text) for text in settings.irreps_manual]
    scalar = Irrep(0, 1)
    found = [[(settings.channel, scalar)]]
    for t in range(settings.num_convolution_layer):
        spherical = harmonics(settings.harmonics_l, settings.is_parity)
        reached = {i for _, one in found[-1] for two in spherical for i in products(one, two)}
        last = t == settings.num_convolution_layer - 1
        kept = [scalar] if last else [i for i in sorted(reached) if i.l <= settings.node_l]
        found.append([(settings.channel, irrep) for irrep in kept])
    return found


def _layout(
    settings: Settings, features: Sequence[Block], hidden: Sequence[Block], is_last: bool
) -> Layout:
    """The layout of a layer from its features to the ``hidden`` ones, which gates make."""
    largest = max(irrep.l for _, irrep in hidden)
    loops = [
        Way(one, two, out)
        for _, one in features
        for two in harmonics(settings.harmonics_l, settings.is_parity)
        for out in products(one, two)
        if out.l <= largest and not (is_last and out.parity == -1)
    ]
    by_output = sorted(loops, key=lambda way: way.out)
    gates = sum(channels for channels, irrep in hidden if irrep.l > 0)
    with_gates = {irrep: channels for channels, irrep in hidden}
    with_gates[Irrep(0, 1)] = with_gates.get(Irrep(0, 1), 0) + gates
    out = [(with_gates[irrep], irrep) for irrep in sorted(with_gates)]
    order = by_output if settings.sorted_paths else loops
    return Layout(features, hidden, out, order, by_output)


def harmonics(max_l: int, parity: bool) -> list[Irrep]:
    """The irreps of the harmonics, which are all even in models without parity."""
    return [Irrep(l, (-1) ** l if parity else 1) for l in range(max_l + 1)]


def ways_of(shape: LayerShape) -> list[Way]:
    """Our paths, in the order of our radial functions."""
    found = paths(shape.features, shape.harmonics, shape.out)
    return [Way(shape.features[w.one], shape.harmonics[w.two], shape.out[w.out]) for w in found]


def gate_columns(shape: LayerShape, layout: Layout) -> Integers:
    """Which columns of their 0e, scalars and then gates, are those of ours."""
    scalars = shape.out_channels[0]
    starts, start = {}, scalars
    for channels, irrep in layout.hidden:
        if irrep.l > 0:
            starts[irrep] = start
            start += channels
    gated = [
        np.arange(channels) + starts[irrep]
        for irrep, channels in zip(shape.out, shape.out_channels, strict=True)
        if irrep.l > 0
    ]
    return np.concatenate([np.arange(scalars), *gated])


def _places(order: Sequence[Way], wanted: Sequence[Way], channels: dict[Irrep, int]) -> Integers:
    starts, start = {}, 0
    for way in order:
        starts[way] = start
        start += channels[way.one]
    return np.concatenate([np.arange(channels[way.one]) + starts[way] for way in wanted])
