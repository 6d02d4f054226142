"""Which irreps the features of each layer have, and how many channels of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Final

import numpy as np

from ladera.arrays import Integers
from ladera.models.equivariant.irreps import Irrep, Irreps, natural, paths, products
from ladera.models.nequip.config import Connection, NequIPConfig

_SCALAR: Final = Irrep(0, 1)


@dataclass(frozen=True)
class Run:
    """Irreps of the sender, one after the other, with equal channels."""

    sources: slice  # of the layer's input
    out: tuple[int, ...]  # which irreps of the layer's output they reach
    columns: Integers  # those of the radial network's outputs that are of their paths


@dataclass(frozen=True)
class LayerShape:
    """Sizes of one layer."""

    features: Irreps  # of the input
    channels: tuple[int, ...]  # of each of them
    harmonics: Irreps
    out: Irreps
    out_channels: tuple[int, ...]
    connection: Connection

    @property
    def gates(self) -> tuple[int, ...]:
        """Channels of each irrep of the output that has gates, in turn; scalars have none."""
        pairs = zip(self.out, self.out_channels, strict=True)
        return tuple(channels for irrep, channels in pairs if irrep.l > 0)

    @property
    def columns(self) -> tuple[int, ...]:
        """Channels of each irrep of the output before the gates: those of the scalars included."""
        first, *rest = self.out_channels
        return (first + sum(self.gates), *rest)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Channels of all paths to each irrep of the output."""
        found = [0] * len(self.out)
        for way in paths(self.features, self.harmonics, self.out):
            found[way.out] += self.channels[way.one]
        return tuple(found)

    @property
    def common(self) -> list[tuple[int, int]]:
        """Irreps that input and output have in common: place in the one and in the other."""
        return [(k, self.out.index(i)) for k, i in enumerate(self.features) if i in self.out]

    @cached_property
    def runs(self) -> list[Run]:
        """The input in pieces with equal channels."""
        ways, runs, start = paths(self.features, self.harmonics, self.out), [], 0
        widths = [self.channels[way.one] for way in ways]
        ends = np.cumsum(widths)
        for _, members in groupby(self.channels):
            sources = slice(start, start + len(list(members)))
            chosen = [p for p, way in enumerate(ways) if sources.start <= way.one < sources.stop]
            columns = [np.arange(ends[p] - widths[p], ends[p]) for p in chosen]
            out = tuple(sorted({ways[p].out for p in chosen}))
            if chosen:
                runs.append(Run(sources, out, np.concatenate(columns)))
            start = sources.stop
        return runs


def layer_shapes(config: NequIPConfig) -> list[LayerShape]:
    """Sizes of all layers.

    Features begin and end as scalars, and between have every irrep that the layers before can make
    and the layers behind have a use for.
    """
    harmonics, allowed = _harmonics(config), _allowed(config)
    made: list[set[Irrep]] = [{_SCALAR}]
    for _ in config.kinds:
        made.append(_coupled(made[-1], harmonics) & set(allowed))
    used: list[set[Irrep]] = [{_SCALAR}]
    for kind in reversed(config.kinds):
        kept = set() if kind == "none" else used[0]
        used.insert(0, _coupled(used[0], harmonics) | kept)  # a coupling works in all directions
    irreps = [tuple(i for i in allowed if i in a & b) for a, b in zip(made, used, strict=True)]
    channels = [tuple(config.widths[irrep.l] for irrep in each) for each in irreps]
    channels[0] = (config.embedding_channels or config.widths[0],)
    return [
        LayerShape(irreps[t], channels[t], harmonics, irreps[t + 1], channels[t + 1], kind)
        for t, kind in enumerate(config.kinds)
    ]


def _coupled(irreps: set[Irrep], harmonics: Irreps) -> set[Irrep]:
    return {irrep for one in irreps for two in harmonics for irrep in products(one, two)}


def _harmonics(config: NequIPConfig) -> Irreps:
    if config.parity == "none":
        return tuple(Irrep(l, 1) for l in range(config.max_l + 1))
    return natural(config.max_l)


def _allowed(config: NequIPConfig) -> Irreps:
    """All irreps that features may have."""
    degrees = range(len(config.widths))
    match config.parity:
        case "natural":
            return natural(len(config.widths) - 1)
        case "full":
            return tuple(Irrep(l, parity) for l in degrees for parity in (1, -1))
        case "none":
            return tuple(Irrep(l, 1) for l in degrees)
