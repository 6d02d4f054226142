"""Charges and dipoles of atoms, beside the energies of compiled loops or without any."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from ladera.errors import DataError
from ladera.graph import Graph
from ladera.potential import Prediction

# Charges (n_atoms,) in e, if there are any, and atomic dipoles (n_atoms, 3) in e*Angstrom.
Moments = tuple[Tensor | None, Tensor]


class LazyMoments(Prediction):
    """Energies and gradients of no parameter, and moments that are computed when asked for."""

    def __init__(
        self, graph: Graph, energies: Tensor, gradients: Tensor, moments: Callable[[], Moments]
    ) -> None:
        self.__dict__.update(
            graph=graph, atomic_energies=energies, edge_gradients=gradients, _compute=moments
        )

    @cached_property
    def _moments(self) -> Moments:
        with torch.no_grad():
            found: Moments = self.__dict__["_compute"]()
        return found

    @property
    def charges(self) -> Tensor | None:
        """(n_atoms,), e."""
        return self._moments[0]

    @property
    def atomic_dipoles(self) -> Tensor:
        """(n_atoms, 3), e*Angstrom."""
        return self._moments[1]


NO_ENERGY: Final = (
    "This model predicts dipole moments and neither energies nor forces; take another for these."
)


class DipolePrediction(Prediction):
    """Of a model with charges and atomic dipoles alone: asking for energies raises DataError."""

    def __init__(self, graph: Graph, charges: Tensor | None, atomic_dipoles: Tensor) -> None:
        self.__dict__.update(graph=graph, charges=charges, atomic_dipoles=atomic_dipoles)

    @property
    def atomic_energies(self) -> Tensor:
        """There are none."""
        raise DataError(NO_ENERGY)

    def _gradients(self) -> Tensor:
        raise DataError(NO_ENERGY)


def neutralized(free: Tensor, graph: Graph) -> Tensor:
    """Charges (n_atoms,) shifted alike within each structure to sum to its total charge."""
    sums = free.new_zeros(graph.n_structures).index_add(0, graph.structure_index, free)
    excess = (sums - graph.total_charge.to(sums)) / graph.atom_counts
    return free - excess[graph.structure_index]
