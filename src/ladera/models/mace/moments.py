"""Charges and dipoles of atoms beside the energies of compiled loops."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from ladera.graph import Graph
from ladera.potential import Prediction

Moments = tuple[
    Tensor, Tensor
]  # charges (n_atoms,) in e, atomic dipoles (n_atoms, 3) in e*Angstrom


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
    def charges(self) -> Tensor:
        """(n_atoms,), e."""
        return self._moments[0]

    @property
    def atomic_dipoles(self) -> Tensor:
        """(n_atoms, 3), e*Angstrom."""
        return self._moments[1]
