r"""One large structure, evaluated part by part, so that its memory is that of one part.

A part has some atoms of its own, and of those around them what their numbers hang on. With h edges
from an atomic energy to the farthest atom that changes it (``Potential.hops``) the gradient

    g_ij = sum_k dE_k/dr_ij,    i one of the part's own atoms,

has terms of atoms k up to h - 1 cutoffs from i, each of which hangs on atoms within h cutoffs of k.
So atoms within (2 h - 2) cutoffs need all their edges, which end within (2 h - 1) cutoffs, and
atoms beyond need none. Energies E_i and gradients g_ij of the own atoms of all parts are those of
the whole structure: each edge is in exactly one sum of forces and virial. Other atoms are computed
for them alone; with h = 1 there are none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import torch
from ase.geometry import complete_cell
from torch import Tensor

from ladera.arrays import Floats, Integers
from ladera.errors import TooLargeError
from ladera.extrapolation import Extrapolation
from ladera.graph import Graph, NeighborList
from ladera.potential.committee import calibration_of
from ladera.potential.evaluation import evaluate
from ladera.potential.prediction import LongRange, Prediction
from ladera.quantities import Quantity
from ladera.structure import Structure

if TYPE_CHECKING:
    from ladera.potential.contract import Potential


class Part(NamedTuple):
    """Some atoms of a structure, and those around them; the own ones are first."""

    graph: Graph  # open; images are atoms, and those far out have no edges
    atoms: Integers  # (n_atoms,) which atom of the structure each is, or is an image of
    n_owned: int

    @property
    def owned(self) -> Integers:
        """Which atoms of the structure are the part's own, (n_owned,)."""
        return self.atoms[: self.n_owned]


@dataclass(frozen=True, eq=False)
class Places:
    """Where atoms are in their cell, which has a vector along open directions as well."""

    structure: Structure
    cell: Floats  # (3, 3)
    fractions: Floats  # (n_atoms, 3), along periodic directions from 0 to 1
    heights: Floats  # (3,), distances between the faces of the cell, Angstrom

    @classmethod
    def of(cls, structure: Structure) -> Self:
        """Those of a structure. Raises DataError as a list of neighbours does."""
        structure.check(1.0)
        periodic = structure.periodic
        cell = complete_cell(np.where(periodic[:, None], structure.reduced()[0], 0.0))
        inverse = np.linalg.inv(cell)
        fractions = structure.positions @ inverse
        fractions -= np.where(periodic, np.floor(fractions), 0.0)
        fractions[periodic & (fractions >= 1)] = 0.0  # of one just below 0
        return cls(structure, cell, fractions, 1 / np.linalg.norm(inverse, axis=0))

    def halves(self, atoms: Integers) -> tuple[int, tuple[Integers, Integers]]:
        """Across which direction some atoms are longest, and they in two, as many in each."""
        axis = int((np.ptp(self.fractions[atoms], axis=0) * self.heights).argmax())
        order = atoms[np.argsort(self.fractions[atoms, axis], kind="stable")]
        return axis, (order[: len(order) // 2], order[len(order) // 2 :])

    def box(self, atoms: Integers, margin: float) -> tuple[Floats, Floats]:
        """The lowest and highest fractions of some atoms, with a margin (Angstrom), (3,) each."""
        chosen, wide = self.fractions[atoms], margin / self.heights
        return chosen.min(axis=0) - wide, chosen.max(axis=0) + wide

    def within(self, low: Floats, high: Floats) -> tuple[Integers, Floats]:
        """All atoms and images in a box, and how many cells each is away, (n, 3)."""
        atoms = np.arange(len(self.fractions))
        shifts = np.zeros((len(atoms), 3))
        for k in range(3):
            periodic, found = self.structure.periodic[k], []
            images = np.arange(np.floor(low[k]), np.floor(high[k]) + 1) if periodic else [0.0]
            for shift in images:
                place = self.fractions[atoms, k] + shift
                inside = (place >= low[k]) & (place <= high[k])
                moved = shifts[inside]
                moved[:, k] = shift
                found.append((atoms[inside], moved))
            atoms, shifts = (np.concatenate(each) for each in zip(*found, strict=True))
        return atoms, shifts


class Division:
    """The parts of a structure, and what a model says of all of them together.

    ``owned`` are the atoms of each part; every atom is in one of them.
    """

    def __init__(
        self,
        potential: Potential,
        places: Places,
        owned: Sequence[Integers],
        head: str | None = None,
    ) -> None:
        self._potential, self._places, self._head = potential, places, head
        self._owned = owned

    def __len__(self) -> int:
        return len(self._owned)

    def parts(self) -> Iterator[Part]:
        """One after the other, each made when it is asked for."""
        return (part_of(self._potential, self._places, owned) for owned in self._owned)

    def evaluate(self) -> Prediction:
        """Energies, forces and virial of the whole, under ``torch.no_grad()``.

        Its graph has no edges, so that no model takes it for all there is, and all gradients are
        those in positions and strain.
        """
        totals: list[_Sums] = []
        with torch.no_grad():
            for part in self.parts():
                said = evaluate(self._potential, part.graph, head=self._head)
                each = (said, *said.members)
                totals = totals or [_Sums(self._graph) for _ in each]
                for total, one in zip(totals, each, strict=True):
                    total.add(part, one)
        whole, *members = totals
        return whole.prediction(
            members=[member.prediction() for member in members],
            factors=calibration_of(self._potential).factors,
        )

    def grade(self) -> Tensor | None:
        """As :meth:`ladera.potential.Potential.grade`, of all atoms."""
        grades = torch.zeros(len(self._places.fractions), dtype=torch.float64)
        for part in self.parts():
            found = self._potential.grade(self._as_asked(part.graph))
            if found is None:
                return None
            grades[torch.from_numpy(part.owned)] = found[: part.n_owned].double().cpu()
        return grades

    def explain_grade(self) -> list[Extrapolation]:
        """As :meth:`ladera.potential.Potential.explain_grade`."""
        found = [
            each._replace(atom=int(part.atoms[each.atom]))
            for part in self.parts()
            for each in self._potential.explain_grade(self._as_asked(part.graph))
            if each.atom < part.n_owned
        ]
        return sorted(found, key=lambda each: each.atom)

    def _as_asked(self, graph: Graph) -> Graph:
        return graph.to(self._potential.dtype, self._potential.device)

    @property
    def _graph(self) -> Graph:
        """The atoms without edges; its cutoff of 0 keeps models from using it."""
        _, positions, cell, periodic, charge = self._places.structure
        n, none = len(positions), torch.zeros(0, dtype=torch.int64)
        return Graph(
            numbers=torch.from_numpy(self._places.structure.numbers.copy()),
            positions=torch.from_numpy(positions.copy()),
            cell=torch.from_numpy(cell.copy()[None]),
            periodic=torch.from_numpy(periodic.copy())[None],
            structure_index=torch.zeros(n, dtype=torch.int64),
            centers=none,
            neighbors=none,
            shifts=torch.zeros((0, 3), dtype=torch.int32),
            vectors=torch.zeros((0, 3), dtype=torch.float64),
            row_pointer=torch.zeros(n + 1, dtype=torch.int64),
            total_charge=torch.tensor([charge], dtype=torch.float64),
            cutoff=0.0,
        )


def _no_values() -> Mapping[Quantity, Tensor]:
    raise TooLargeError(
        "The structure is evaluated in parts, as it does not fit into memory whole, and charges "
        "and dipoles are known of a whole alone; take fewer atoms."
    )


class _Sums:
    """Energies, forces and virial of one model, summed over parts."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._energies: Tensor | None = None
        self._forces = np.zeros((graph.n_atoms, 3))
        self._virial = torch.zeros((1, 3, 3), dtype=torch.float64)

    def add(self, part: Part, said: Prediction) -> None:
        """What the model says of a part."""
        if said.long_range is not None:
            raise TooLargeError(
                "The structure does not fit into memory, and this model's energies depend on "
                "atoms at any distance, so that it cannot be evaluated in parts; take fewer atoms."
            )
        own = _without_edges_after(said.graph, part.n_owned)
        of_own = Prediction(own, said.atomic_energies, said.edge_gradients[: own.n_edges])
        np.add.at(self._forces, part.atoms, of_own.forces.cpu().numpy())
        self._virial += of_own.virial.cpu()
        energies = said.atomic_energies[: part.n_owned].cpu()
        if self._energies is None:
            self._energies = torch.zeros(self._graph.n_atoms, dtype=energies.dtype)
        self._energies[torch.from_numpy(part.owned)] = energies

    def prediction(
        self,
        members: Sequence[Prediction] = (),
        factors: Mapping[Quantity, float] | None = None,
    ) -> Prediction:
        """What the model says of the whole; see :class:`Prediction` for the arguments."""
        by_positions = LongRange(-torch.from_numpy(self._forces), self._virial)
        return Prediction(
            self._graph,
            self._energies,
            self._graph.vectors,
            by_positions,
            atomic_values=_no_values,
            members=members,
            factors=factors,
        )


def reaches(potential: Potential) -> tuple[float, float]:
    """How far from a part's own atoms others need their edges, and how far these reach, Angstrom.

    Of a model whose ``hops`` are known.
    """
    hops = max(potential.hops or 1, 1)
    return (2 * hops - 2) * potential.cutoff, (2 * hops - 1) * potential.cutoff


def part_of(potential: Potential, places: Places, owned: Integers) -> Part:
    """The part that has these atoms of its own."""
    inner, outer = reaches(potential)
    atoms, shifts = places.within(*places.box(owned, outer))
    where = places.fractions[atoms] + shifts
    low, high = places.box(owned, inner)
    near = ((where >= low) & (where <= high)).all(axis=1)
    own = np.isin(atoms, owned) & ~shifts.any(axis=1)
    order = np.argsort(np.where(own, 0, np.where(near, 1, 2)), kind="stable")
    around = Structure(
        places.structure.numbers[atoms[order]],
        where[order] @ places.cell,
        np.zeros((3, 3)),
        np.zeros(3, dtype=bool),
        places.structure.total_charge,
    )
    graph = NeighborList(potential.cutoff).build(around)
    n_centers = int((own | near).sum()) if inner else len(owned)
    return Part(_without_edges_after(graph, n_centers), atoms[order], len(owned))


def _without_edges_after(graph: Graph, count: int) -> Graph:
    """The same with the edges of the first ``count`` atoms alone."""
    end = int(graph.row_pointer[count])
    names = ("centers", "neighbors", "shifts", "vectors")
    kept = {name: getattr(graph, name)[:end] for name in names}
    return replace(graph, **kept, row_pointer=graph.row_pointer.clamp(max=end))
