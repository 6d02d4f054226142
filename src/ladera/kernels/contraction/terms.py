"""The terms of a symmetric contraction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ladera.arrays import Integers

NONE = -1  # in the place of a factor that a term does not have


class TermArrays(NamedTuple):
    """The terms as the loops take them."""

    factors: Integers  # (n_terms, largest degree) rows of the features, then NONE
    component: Integers  # (n_terms,) rows of the result


@dataclass(frozen=True, eq=False)
class Terms:
    """Products of features, each added to a component of the result."""

    arrays: TermArrays
    n_components: int

    @property
    def degree(self) -> int:
        """How many factors the longest term may have."""
        return int(self.arrays.factors.shape[1])

    @cached_property
    def by_degree(self) -> tuple[tuple[Integers, TermArrays], ...]:
        """The places of the terms with as many factors each, and these without NONE."""
        factors, component = self.arrays
        degrees, parts = (factors != NONE).sum(1), []
        for degree in np.unique(degrees):
            places = np.flatnonzero(degrees == degree)
            parts.append((places, TermArrays(factors[places, :degree], component[places])))
        return tuple(parts)
