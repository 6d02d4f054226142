"""Tensors over the arrays of the pair style, without a copy."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ladera.graph import Graph

if TYPE_CHECKING:
    from ladera.engines.lammps.bridge import Atoms
    from ladera.halo import Halo


class _Arrays(NamedTuple):
    """All rows that there is room for; see ``LaderaAtoms``."""

    numbers: Tensor
    row_pointer: Tensor
    centers: Tensor
    neighbors: Tensor
    vectors: Tensor
    # What a graph has and nobody looks at: 0.
    nowhere: Tensor  # (atom_room, 3) float64
    structure: Tensor  # (atom_room,) int64
    shifts: Tensor  # (edge_room, 3) int32


class Views:
    """Tensors over memory of the pair style, made anew when that has moved."""

    def __init__(self) -> None:
        self._place: tuple[int, ...] = ()
        self._arrays: _Arrays | None = None
        self._cell = torch.zeros(1, 3, 3, dtype=torch.float64)
        self._open = torch.zeros(1, 3, dtype=torch.bool)
        self._neutral = torch.zeros(1, dtype=torch.float64)

    def graph(self, atoms: Atoms, cutoff: float, halo: Halo | None = None) -> Graph:
        """The edges of atoms as a graph, up to ``cutoff`` (Angstrom)."""
        arrays, n_atoms, n_edges = self._of(atoms), atoms.n_atoms, atoms.n_edges
        return Graph(
            numbers=arrays.numbers[:n_atoms],
            positions=arrays.nowhere[:n_atoms],
            cell=self._cell,
            periodic=self._open,
            structure_index=arrays.structure[:n_atoms],
            centers=arrays.centers[:n_edges],
            neighbors=arrays.neighbors[:n_edges],
            shifts=arrays.shifts[:n_edges],
            vectors=arrays.vectors[:n_edges],
            row_pointer=arrays.row_pointer[: n_atoms + 1],
            total_charge=self._neutral,
            cutoff=cutoff,
            halo=halo,
        )

    def atoms(self, atoms: Atoms) -> tuple[Tensor, Tensor]:
        """Atomic numbers (n_atoms,) and positions (n_atoms, 3), Angstrom."""
        positions = _tensor(atoms.positions, (atoms.n_atoms, 3), np.float64)
        return self._of(atoms).numbers[: atoms.n_atoms], positions

    def _of(self, atoms: Atoms) -> _Arrays:
        n_atoms, n_edges = atoms.atom_room, atoms.edge_room
        place = (atoms.numbers, atoms.row_pointer, atoms.centers, atoms.neighbors, atoms.vectors)
        if self._arrays is None or self._place != (*place, n_atoms, n_edges):
            self._place = (*place, n_atoms, n_edges)
            self._arrays = _Arrays(
                numbers=_tensor(atoms.numbers, (n_atoms,), np.int64),
                row_pointer=_tensor(atoms.row_pointer, (n_atoms + 1,), np.int64),
                centers=_tensor(atoms.centers, (n_edges,), np.int64),
                neighbors=_tensor(atoms.neighbors, (n_edges,), np.int64),
                vectors=_tensor(atoms.vectors, (n_edges, 3), np.float64),
                nowhere=torch.zeros(n_atoms, 3, dtype=torch.float64),
                structure=torch.zeros(n_atoms, dtype=torch.int64),
                shifts=torch.zeros(1, 3, dtype=torch.int32).expand(n_edges, 3),
            )
        return self._arrays


def _tensor(
    address: int | None, shape: tuple[int, ...], dtype: type[np.int64 | np.float64]
) -> Tensor:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size == 0 or address is None:
        return torch.from_numpy(np.zeros(shape, dtype))
    memory = (ctypes.c_char * size).from_address(address)
    return torch.from_numpy(np.ndarray(shape, dtype, buffer=memoryview(memory)))
