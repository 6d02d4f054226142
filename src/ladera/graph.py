"""Structures as graphs: atoms, and the edges from each atom to every neighbour it sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from ladera import display
from ladera.arguments import require
from ladera.errors import ArgumentError, DataError, told
from ladera.halo import Halo, collected, spread
from ladera.kernels.neighbors import (
    Candidates,
    closest_pair,
    farthest_move,
    find_pairs,
    pairs_of_molecules,
    within_cutoff,
)
from ladera.structure import Structure

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from ladera.kernels.neighbors import Pairs

_FLOATING = ("positions", "cell", "vectors", "total_charge")  # fields of a graph
_IDENTITY = np.eye(3)
_SAME_PLACE = 1e-3  # Angstrom
_SMALL = 300  # atoms: from there on a list of cells is faster than all pairs
_NEAR = 1e4  # Angstrom: farther out a structure is looked at more closely


@dataclass(frozen=True, eq=False)
class Graph:
    """One structure, or a batch of them, with the edge vectors a potential is a function of.

    Edges are directed and complete: for every pair closer than the cutoff both i -> j and j -> i
    are there, once per periodic image, an atom's own images included. They are sorted by centre
    and, inside one centre, by the neighbour's atomic number, so that a kernel reads the neighbours
    of an atom as one contiguous block and those of each element as a sub-block. The atoms of a
    structure lie together, structure after structure.

    r_ij = positions[j] - positions[i] + shift . cell          (a vector from centre to neighbour)

    With a ``halo`` it is what one process of an engine with domain decomposition has of a
    structure: its own atoms first, then ghosts, which are neighbours and never centres. Cell and
    periodic directions are those of the whole; neighbours across a boundary are ghosts at their
    places, so that all shifts are 0. Raises DataError for edges that begin at a ghost, and for
    several structures.

    With ``inputs`` it has no edges: what they say to one model stands in their place, made by
    :meth:`ladera.Potential.reduced` for a training on energies.
    """

    numbers: Tensor  # (n_atoms,) int64, atomic numbers
    positions: Tensor  # (n_atoms, 3), Angstrom
    cell: Tensor  # (n_structures, 3, 3), rows are the cell vectors, Angstrom
    periodic: Tensor  # (n_structures, 3) bool
    structure_index: Tensor  # (n_atoms,) int64, which structure an atom belongs to
    centers: Tensor  # (n_edges,) int64
    neighbors: Tensor  # (n_edges,) int64
    shifts: Tensor  # (n_edges, 3) int32, how many cells the neighbour's image is away
    vectors: Tensor  # (n_edges, 3), Angstrom
    row_pointer: Tensor  # (n_atoms + 1,) int64, edges of atom i: row_pointer[i]:row_pointer[i + 1]
    total_charge: Tensor  # (n_structures,), e; only models with charges look at it
    heads: Tensor | None = None  # (n_structures,) int64, for a model with several; None: its own
    cutoff: float = math.inf  # Angstrom, up to which all pairs are here; inf: the maker's affair
    halo: Halo | None = None  # of a process that has a part of the atoms; None: all are here
    inputs: Tensor | None = None  # (n_atoms, m), what a model makes of the edges, in their place

    def __post_init__(self) -> None:
        if self.halo is not None:
            self._check_halo(self.halo.n_owned)

    def __repr__(self) -> str:
        """How many, up to which distance, and where."""
        kept = f"{self.vectors.dtype} on {self.vectors.device}".removeprefix("torch.")
        numbers = (self.n_structures, "structure"), (self.n_atoms, "atom"), (self.n_edges, "edge")
        structures, atoms, edges = (display.count(*each) for each in numbers)
        reach = f"{edges} up to {self.cutoff:g} Angstrom"
        return display.lines("Graph", [structures, atoms, reach, kept])

    @property
    def n_atoms(self) -> int:
        """Number of atoms in all structures."""
        return self.numbers.shape[0]

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return self.cell.shape[0]

    @property
    def n_edges(self) -> int:
        """Number of directed edges in all structures."""
        return self.centers.shape[0]

    @property
    def n_owned(self) -> int:
        """Number of atoms that are no ghosts, the first ones: all of them without a halo."""
        return self.n_atoms if self.halo is None else self.halo.n_owned

    @property
    def owned_rows(self) -> Tensor:
        """The row pointer of the owned atoms, (n_owned + 1,): all atoms that may have edges."""
        return self.row_pointer if self.halo is None else self.row_pointer[: self.n_owned + 1]

    @cached_property
    def atom_counts(self) -> Tensor:
        """Atoms of each structure, (n_structures,) int64."""
        return torch.bincount(self.structure_index, minlength=self.n_structures)

    @cached_property
    def volumes(self) -> Tensor:
        """Cell volumes in Angstrom^3, (n_structures,) float64; 0 for an open structure."""
        cells = zip(self.cell.tolist(), self.periodic.tolist(), strict=True)
        values = [cell_volume(cell) if any(periodic) else 0.0 for cell, periodic in cells]
        return torch.tensor(values, dtype=torch.float64, device=self.cell.device)

    def require_pairs(self, cutoff: float) -> None:
        """Raise DataError for a graph that was made with a shorter cutoff (Angstrom)."""
        if self.cutoff == 0:
            raise DataError(
                "The structure was evaluated in parts, as it does not fit into memory whole, and "
                "what was asked for needs all pairs of atoms at once; take fewer atoms."
            )
        if self.cutoff < cutoff:
            raise DataError(
                f"The graph holds pairs up to {self.cutoff:g} Angstrom, and the model needs those "
                f"up to {cutoff:g}; make it with the model's cutoff."
            )

    def reduced(self, inputs: Tensor) -> Self:
        """The same atoms with ``inputs`` (n_atoms, m) in the place of their edges."""
        return replace(
            self,
            centers=self.centers[:0],
            neighbors=self.neighbors[:0],
            shifts=self.shifts[:0],
            vectors=self.vectors[:0],
            row_pointer=torch.zeros_like(self.row_pointer),
            inputs=inputs,
        )

    def exchange(self, features: Tensor) -> Tensor:
        """Give ghosts the features of the atoms they are copies of: (n_atoms, ...) to the same.

        Without a halo all atoms are here and this is the identity. Its gradient is
        :meth:`collect`.
        """
        return features if self.halo is None else spread(features, self.halo)

    def collect(self, values: Tensor) -> Tensor:
        """Add what ghosts have to the atoms they are copies of, (n_atoms, ...); theirs is 0 then.

        Without a halo this is the identity. Its gradient is :meth:`exchange`.
        """
        return values if self.halo is None else collected(values, self.halo)

    def owned(self, values: Tensor) -> Tensor:
        """Values (n_atoms, ...) with 0 for ghosts, of which their owners know better."""
        if self.halo is None:
            return values
        return torch.cat([values[: self.n_owned], torch.zeros_like(values[self.n_owned :])])

    def _check_halo(self, n_owned: int) -> None:
        rows = self.row_pointer
        if not 0 <= n_owned <= self.n_atoms or bool(rows[n_owned] != rows[-1]):
            raise DataError(
                f"Of the {self.n_atoms} atoms of a graph the halo calls {n_owned} its own, and "
                "edges begin at others; owned atoms come first, and ghosts have no edges."
            )
        if self.n_structures != 1:
            raise DataError(
                f"A graph with a halo has {self.n_structures} structures; give each its own."
            )

    def to(
        self, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Self:
        """The same graph with floating-point fields in ``dtype`` and all tensors on ``device``."""
        if device in (None, self.vectors.device) and all(
            dtype in (None, getattr(self, name).dtype) for name in _FLOATING
        ):
            return self
        changed: dict[str, Any] = {}
        for field in fields(self):
            tensor = getattr(self, field.name)
            if not isinstance(tensor, Tensor):
                continue
            target = dtype if tensor.is_floating_point() else None
            moved = tensor.to(device=device, dtype=target)
            if moved is not tensor:
                changed[field.name] = moved
        return replace(self, **changed) if changed else self

    @classmethod
    def from_atoms(cls, atoms: Atoms, cutoff: float) -> Graph:
        """Graph of an ``ase.Atoms`` with all neighbours closer than ``cutoff`` (Angstrom).

        Its total charge is that of :meth:`ladera.structure.Structure.from_atoms`.
        """
        require(cutoff, float, "cutoff", "Graph.from_atoms")
        if not 0 < cutoff < math.inf:
            raise DataError(f"The cutoff of a graph is {cutoff:g} Angstrom; give one above zero.")
        return cls.of(Structure.from_atoms(atoms), cutoff)

    @classmethod
    def of(cls, structure: Structure, cutoff: float) -> Graph:
        """Graph of one structure; raises DataError as :meth:`NeighborList.build` does."""
        return _of_molecules([structure], cutoff) or NeighborList(cutoff).build(structure)

    @classmethod
    def of_all(cls, structures: Sequence[Structure], cutoff: float) -> Graph:
        """Graph of many structures, the same as the :meth:`batch` of the graphs of each.

        Open ones are searched for neighbours all at once, which of small molecules takes a tenth of
        the time. Raises DataError as :meth:`NeighborList.build` does, of the first that is unsound.
        """
        return _of_molecules(structures, cutoff) or cls.batch(
            [cls.of(structure, cutoff) for structure in structures]
        )

    @classmethod
    def batch(cls, graphs: Sequence[Graph]) -> Graph:
        """Join graphs into one; atoms, edges and structures keep their order."""
        if not graphs:
            raise DataError("A batch of no structures was asked for; give at least one.")
        other = next((each for each in graphs if not isinstance(each, Graph)), None)
        if other is not None:
            raise ArgumentError(
                f"A batch is made of graphs, not of {told(other)}; make them by Graph.from_atoms."
            )
        if len(graphs) == 1:
            return graphs[0]
        if any(graph.halo is not None for graph in graphs):
            raise DataError("Graphs with a halo are evaluated one by one, not as a batch.")
        if len({graph.heads is None for graph in graphs}) > 1:
            raise DataError("Of the structures of a batch all have a head of their own, or none.")
        atoms = np.cumsum([0] + [g.n_atoms for g in graphs]).tolist()
        edges = np.cumsum([0] + [g.n_edges for g in graphs]).tolist()
        structures = np.cumsum([0] + [g.n_structures for g in graphs]).tolist()

        def joined(name: str, offsets: Sequence[int] | None = None) -> Tensor:
            tensors = [getattr(graph, name) for graph in graphs]
            if offsets is not None:
                tensors = [t + shift for t, shift in zip(tensors, offsets, strict=False)]
            return torch.cat(tensors)

        rows = [g.row_pointer[:-1] + shift for g, shift in zip(graphs, edges, strict=False)]
        rows.append(rows[0].new_tensor([edges[-1]]))
        return Graph(
            numbers=joined("numbers"),
            positions=joined("positions"),
            cell=joined("cell"),
            periodic=joined("periodic"),
            structure_index=joined("structure_index", structures),
            centers=joined("centers", atoms),
            neighbors=joined("neighbors", atoms),
            shifts=joined("shifts"),
            vectors=joined("vectors"),
            row_pointer=torch.cat(rows),
            total_charge=joined("total_charge"),
            heads=None if graphs[0].heads is None else joined("heads"),
            cutoff=min(graph.cutoff for graph in graphs),
            inputs=None if graphs[0].inputs is None else joined("inputs"),
        )


def _of_molecules(structures: Sequence[Structure], cutoff: float) -> Graph | None:
    """The graph of open structures that are small and sound; None where one is not."""
    counts = np.array([len(structure.numbers) for structure in structures], dtype=np.int64)
    sound = [s.positions.shape == (len(s.numbers), 3) for s in structures]
    periodic = np.array([structure.periodic for structure in structures])
    if not all(sound) or not 0 < counts.min() <= counts.max() <= _SMALL or periodic.any():
        return None
    numbers = np.concatenate([structure.numbers for structure in structures])
    positions = np.concatenate([structure.positions for structure in structures])
    cells = np.array([structure.cell for structure in structures])
    if not max(np.abs(positions).max(), np.abs(cells).max()) < _NEAR:  # nor NaN
        return None
    starts = np.concatenate([[0], np.cumsum(counts)])
    centers, neighbors, rows, vectors, shortest = pairs_of_molecules(
        numbers, positions, starts, cutoff
    )
    if shortest < _SAME_PLACE:
        return None
    return Graph(
        numbers=torch.from_numpy(numbers),
        positions=torch.from_numpy(positions),
        cell=torch.from_numpy(cells),
        periodic=torch.from_numpy(periodic),
        structure_index=torch.from_numpy(np.repeat(np.arange(len(counts)), counts)),
        centers=torch.from_numpy(centers),
        neighbors=torch.from_numpy(neighbors),
        shifts=torch.zeros((len(centers), 3), dtype=torch.int32),
        vectors=torch.from_numpy(vectors),
        row_pointer=torch.from_numpy(rows),
        total_charge=torch.tensor([s.total_charge for s in structures], dtype=torch.float64),
        cutoff=cutoff,
    )


class NeighborList:
    """Builds graphs of one structure after another.

    With a ``skin`` (Angstrom) it looks for pairs up to cutoff + skin and uses these candidates
    again until a pair may have come in from beyond, which is what molecular dynamics wants. The
    graph always holds exactly the pairs closer than ``cutoff``, in the same order, whatever the
    skin and whatever structures came before.
    """

    def __init__(self, cutoff: float, skin: float = 0.0) -> None:
        self.cutoff = cutoff
        self.skin = skin
        self._candidates: _Candidates | None = None

    def build(self, structure: Structure) -> Graph:
        """Graph of one structure, whose arrays it copies.

        Raises DataError for positions that are not finite, for a periodic direction without a cell
        vector, two atoms in one place, and for what else
        :meth:`ladera.structure.Structure.check` refuses.
        """
        candidates, is_new = self._candidates, False
        if candidates is None or not candidates.hold_all(structure, self.cutoff):
            is_new = True
            structure.check(self.cutoff + self.skin)
            candidates = _Candidates(structure, self.cutoff + self.skin)
            self._candidates = candidates if self.skin > 0 else None
        pairs, vectors = within_cutoff(candidates.pairs, structure, self.cutoff)
        if is_new:
            _require_apart(pairs, vectors, len(structure.numbers))
        return Graph(
            numbers=candidates.numbers,
            positions=torch.from_numpy(structure.positions.copy()),
            cell=torch.from_numpy(structure.cell.copy()[None]),
            periodic=candidates.periodic,
            structure_index=candidates.structure_index,
            centers=torch.from_numpy(pairs.centers),
            neighbors=torch.from_numpy(pairs.neighbors),
            shifts=torch.from_numpy(pairs.shifts),
            vectors=torch.from_numpy(vectors),
            row_pointer=torch.from_numpy(pairs.row_pointer),
            total_charge=torch.from_numpy(np.array([structure.total_charge], dtype=np.float64)),
            cutoff=self.cutoff,
        )


def _require_apart(pairs: Pairs, vectors: NDArray[np.float64], n_atoms: int) -> None:
    """DataError for two atoms in one place, where no potential has a direction for a force."""
    closest, half = closest_pair(pairs.centers, pairs.neighbors, vectors, np.ones(n_atoms))
    if 2 * half < _SAME_PLACE:
        i, j = int(pairs.centers[closest]), int(pairs.neighbors[closest])
        raise DataError(
            f"Atoms {min(i, j)} and {max(i, j)} are in one place ({2 * half:.1g} Angstrom apart); "
            "remove one of them, or the symmetry that made it twice."
        )


class _Candidates:
    """The pairs within ``radius`` of a structure, good for structures that are nearly the same.

    The graphs of all these share the tensors that are the same in them.
    """

    def __init__(self, structure: Structure, radius: float) -> None:
        self.radius = radius
        self.positions, self.cell = structure.positions.copy(), structure.cell.copy()
        # Bytes compare several times faster than arrays.
        self._numbers, self._periodic = structure.numbers.tobytes(), structure.periodic.tobytes()
        self._cell = self.cell.tobytes()
        self.pairs = Candidates.of(find_pairs(structure, radius))
        self.numbers = torch.from_numpy(structure.numbers.copy())  # (n_atoms,)
        self.periodic = torch.from_numpy(structure.periodic.copy())[None]  # (1, 3)
        self.structure_index = torch.zeros(len(structure.numbers), dtype=torch.int64)  # (n_atoms,)

    @cached_property
    def _inverse_cell(self) -> NDArray[np.float64]:
        return np.asarray(np.linalg.inv(self.cell))

    def hold_all(self, structure: Structure, cutoff: float) -> bool:
        """Whether every pair closer than ``cutoff`` is certain to be among the candidates.

        With the cell's deformation F, cell = cell_0 F, and the displacements that remain,
        u_i = r_i - r_i0 F, a pair has r_ij = r_ij0 F + u_j - u_i. One that is no candidate has
        |r_ij0| >= radius and therefore |r_ij| >= radius s - 2 max|u|, s the smallest singular
        value of F; it is at least 1 - |F - 1| with Frobenius's norm, which costs a tenth of it.
        """
        if (
            structure.numbers.tobytes() != self._numbers
            or structure.periodic.tobytes() != self._periodic
        ):
            return False
        deformation, smallest_stretch = _IDENTITY, 1.0
        if structure.cell.tobytes() != self._cell:
            if not structure.periodic.all():
                return False  # the open directions may have no cell vector to compare
            deformation = self._inverse_cell @ structure.cell
            change = (deformation - _IDENTITY).ravel()
            smallest_stretch = 1.0 - math.sqrt(change @ change)
        farthest = farthest_move(structure.positions, self.positions, deformation)
        return self.radius * smallest_stretch - 2 * farthest >= cutoff


def cell_volume(cell: Sequence[Sequence[float]]) -> float:
    """|a . (b x c)| in Angstrom^3, a tenth of the time of a determinant; rows are a, b and c."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = cell
    volume = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    return abs(volume)
