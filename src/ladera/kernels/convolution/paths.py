"""What couples to what in a convolution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ladera.arrays import Integers


class Coupling(NamedTuple):
    """One path: a block of entries, a row of them for each target, a column for each source."""

    sources: slice  # components of the sender's features
    targets: tuple[int, ...]  # components of the message
    entries: slice  # columns of the matrix that makes factors of harmonics

    @property
    def n_sources(self) -> int:
        """How many components of the sender's features there are."""
        return int(self.sources.stop - self.sources.start)


class PathArrays(NamedTuple):
    """The paths as the loops take them."""

    blocks: Integers  # (n_paths, 5): first source, n sources, first target, n targets, first entry
    targets: Integers  # components of the message, which the blocks count into


@dataclass(frozen=True, eq=False)
class Paths:
    """All paths of a convolution."""

    couplings: tuple[Coupling, ...]
    n_sources: int
    n_targets: int

    @cached_property
    def arrays(self) -> PathArrays:
        """The paths as the loops take them."""
        blocks, targets = [], np.zeros(0, dtype=np.int64)
        for coupling in self.couplings:
            received = len(targets), len(coupling.targets)
            entry = coupling.entries.start
            blocks.append((coupling.sources.start, coupling.n_sources, *received, entry))
            targets = np.append(targets, coupling.targets)
        return PathArrays(np.array(blocks, dtype=np.int64), targets)
