"""A moment tensor potential as the loops of :mod:`ladera.kernels.moment_tensors` take it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor

from ladera.graph import Graph
from ladera.kernels.moment_tensors import inference
from ladera.kernels.moment_tensors.neighbors import Edges, radial_tables
from ladera.kernels.moment_tensors.program import MomentProgram
from ladera.kernels.moment_tensors.tables import Tables
from ladera.models.mtp.rewriting import Rewritten, rewritten
from ladera.models.snapshot import Snapshot

if TYPE_CHECKING:
    from ladera.models.mtp.model import MTP


_QUICK: Final = 20  # the highest level whose program is made in a third of a second


class Programs:
    """The program of a model, and what the compiled loops need of it, made when it is asked for.

    ``level`` is that of a program which is not Ladera's own; None of one that is.
    """

    def __init__(self, program: MomentProgram, level: int | None) -> None:
        self.program, self._level = program, level
        self._tables: dict[tuple[np.dtype[Any], bool], Tables] = {}

    @cached_property
    def lean(self) -> Rewritten | None:
        """The same functions with fewer products, where such are soon found."""
        if self._level is None or self._level > _QUICK:
            return None
        found = rewritten(self.program, self._level)
        fewer = found is not None and len(found.program.products) < len(self.program.products)
        return found if fewer else None

    def tables(self, dtype: np.dtype[Any], *, lean: bool = False) -> Tables:
        """Of the program, or of the lean one if there is one."""
        found = self.lean if lean else None
        key = dtype, found is not None
        if key not in self._tables:
            program = self.program if found is None else found.program
            self._tables[key] = Tables.of(program.without_idle(), dtype)
        return self._tables[key]


class FastPath:
    """Tables of a potential's parameters, and what is computed with them."""

    def __init__(self, potential: MTP, programs: Programs, dtype: np.dtype[Any]) -> None:
        self._snapshot = Snapshot(potential)
        self._lean = programs.lean
        self._tables = tables = programs.tables(dtype, lean=True)
        coefficients = _array(potential.radial_coefficients)
        self._radial = radial_tables(coefficients, potential.distances, tables.dtype)
        self._coefficients = _array(potential.moment_coefficients)
        if self._lean is not None:
            self._coefficients = self._lean.factors * self._coefficients[self._lean.order]
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
        found = inference.functions(self._tables, self._radial, edges_of(graph, index))
        if self._lean is not None:
            ours, found = found, np.empty_like(found)
            found[:, self._lean.order] = self._lean.factors.astype(found.dtype) * ours
        return torch.from_numpy(found)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Copies of a model, also those for other processes, make tables of their own."""
        return type(None), ()


def _array(tensor: Tensor) -> Any:
    return tensor.detach().double().numpy()


def edges_of(graph: Graph, index: Tensor) -> Edges:
    """The edges of a graph, with the index of each atom's element."""
    vectors = graph.vectors.detach().contiguous().numpy()
    return Edges(vectors, graph.owned_rows.numpy(), graph.neighbors.numpy(), index.numpy())
