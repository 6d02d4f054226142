"""A moment tensor potential as the loops of :mod:`ladera.kernels.moment_tensors` take it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ladera.graph import Graph
from ladera.kernels.moment_tensors import inference
from ladera.kernels.moment_tensors.neighbors import Edges, radial_tables
from ladera.kernels.moment_tensors.tables import Tables
from ladera.models.snapshot import Snapshot

if TYPE_CHECKING:
    from ladera.models.mtp.model import MTP


class FastPath:
    """Tables of a potential's parameters, and what is computed with them."""

    def __init__(self, potential: MTP, tables: Tables) -> None:
        self._snapshot = Snapshot(potential)
        self._tables = tables
        coefficients = _array(potential.radial_coefficients)
        self._radial = radial_tables(coefficients, potential.distances, tables.dtype)
        self._coefficients = _array(potential.moment_coefficients)
        self._constants = _array(potential.constants())

    @property
    def outdated(self) -> bool:
        """Whether a parameter has changed, or has been replaced, since the tables were made."""
        return self._snapshot.outdated

    @cached_property
    def _potential(self) -> inference.Potential:
        return inference.potential(self._tables, self._radial, self._coefficients)

    def energies_and_edge_gradients(self, graph: Graph, index: Tensor) -> tuple[Tensor, Tensor]:
        """Energies (n_atoms,), eV, float64, and dE/dr_ij (n_edges, 3), eV/Angstrom."""
        found = inference.energies_and_edge_gradients(
            self._potential, edges_of(graph, index), self._constants
        )
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])

    def functions(self, graph: Graph, index: Tensor) -> Tensor:
        """The invariant functions of each atom, (n_atoms, n_scalars)."""
        return torch.from_numpy(
            inference.functions(self._tables, self._radial, edges_of(graph, index))
        )

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Copies of a model, also those for other processes, make tables of their own."""
        return type(None), ()


def _array(tensor: Tensor) -> Any:
    return tensor.detach().double().numpy()


def edges_of(graph: Graph, index: Tensor) -> Edges:
    """The edges of a graph, with the index of each atom's element."""
    vectors = graph.vectors.detach().contiguous().numpy()
    return Edges(vectors, graph.row_pointer.numpy(), graph.neighbors.numpy(), index.numpy())
