"""A moment tensor potential as the loops of :mod:`ladera.kernels.moment_tensors` take it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ladera.graph import Graph
from ladera.kernels.moment_tensors import inference
from ladera.kernels.moment_tensors.neighbors import Edges
from ladera.kernels.moment_tensors.tables import Tables

if TYPE_CHECKING:
    from ladera.models.mtp.model import MTP


class FastPath:
    """Tables of a potential's parameters, and what is computed with them."""

    def __init__(self, potential: MTP) -> None:
        self._tensors = (*potential.parameters(), *potential.buffers())
        self._versions = self._current()
        self._dtype: np.dtype[Any] = np.dtype(str(potential.dtype).removeprefix("torch."))
        self._tables = Tables.of(potential.program.without_idle())
        config = potential.config
        self._radial = inference.radial_tables(
            _array(potential.radial_coefficients),
            config.min_distance,
            potential.cutoff,
            self._dtype,
        )
        self._coefficients = _array(potential.moment_coefficients)
        energies = potential.species_energies.double() + potential.reference_energies
        self._constants = _array(energies)

    @property
    def outdated(self) -> bool:
        """Whether a parameter has changed since the tables were made."""
        return self._versions != self._current()

    def _current(self) -> list[int]:
        return [tensor._version for tensor in self._tensors]

    @cached_property
    def _potential(self) -> inference.Potential:
        return inference.potential(self._tables, self._radial, self._coefficients, self._dtype)

    def energies_and_edge_gradients(self, graph: Graph, index: Tensor) -> tuple[Tensor, Tensor]:
        """Energies (n_atoms,), eV, float64, and dE/dr_ij (n_edges, 3), eV/Angstrom."""
        found = inference.energies_and_edge_gradients(
            self._potential, _edges(graph, index), self._constants
        )
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])

    def functions(self, graph: Graph, index: Tensor) -> Tensor:
        """The invariant functions of each atom, (n_atoms, n_scalars)."""
        return torch.from_numpy(
            inference.functions(self._tables, self._radial, _edges(graph, index))
        )

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Copies of a model, also those for other processes, make tables of their own."""
        return type(None), ()


def _array(tensor: Tensor) -> Any:
    return tensor.detach().double().numpy()


def _edges(graph: Graph, index: Tensor) -> Edges:
    vectors = graph.vectors.detach().contiguous().numpy()
    return Edges(vectors, graph.row_pointer.numpy(), graph.neighbors.numpy(), index.numpy())
