"""Taking away the Coulomb interaction of close atoms, which a short-range network has learned."""

from __future__ import annotations

from typing import NamedTuple


class Screening(NamedTuple):
    """f(r) = 1 below ``alpha * outer``, falling to 0 at ``outer``: the part that is taken away.

    ``kind`` is a number of ``cutoffs.cutoff_function``.
    """

    kind: int
    alpha: float
    outer: float  # Angstrom
