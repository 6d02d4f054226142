"""What the filter needs of each frame, computed once: inputs and their slopes in positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ladera.arrays import Integers
from ladera.data.graphs import room, weight
from ladera.graph import Graph
from ladera.kernels.symmetry_functions import ops
from ladera.kernels.symmetry_functions.plan import Plan, make_plan
from ladera.models.hdnnp.model import HDNNP
from ladera.potential import Potential, evaluate
from ladera.training.batches import Batches


@dataclass(frozen=True)
class Changes:
    """ds_i/dr_a of the atoms of one element, in the order of a."""

    rows: Tensor  # (n_pairs,) which of the element's atoms i is
    start: Integers  # (n_atoms + 1,) pairs of a: [a] to [a + 1]
    slopes: Tensor  # (n_pairs, 3, n_inputs)


@dataclass(frozen=True)
class FrameInputs:
    """The inputs of the networks for a frame, and the labels as the networks see them."""

    inputs: list[Tensor]  # for each element, (its atoms, its inputs)
    changes: list[Changes] | None  # for each element; None where the forces do not count
    energy: float  # (E_ref - sum of E0 and shift) / energy_scale
    forces: Tensor  # (3 n_atoms,), F_ref / energy_scale, 1/Angstrom

    def moves(self, element: int, atom: int, axis: int) -> tuple[Tensor, Tensor]:
        """Inputs of the atoms of an element that feel a move of ``atom``, and their changes by it.

        Both (n_pairs, n_inputs).
        """
        if self.changes is None:
            raise ValueError("these inputs were made without forces")
        changes = self.changes[element]
        pairs = slice(changes.start[atom], changes.start[atom + 1])
        return self.inputs[element][changes.rows[pairs]], changes.slopes[pairs, axis]

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        changes = self.changes or ()
        starts = sum(change.start.nbytes for change in changes)
        of_changes = (tensor for change in changes for tensor in (change.rows, change.slopes))
        return starts + weight([*self.inputs, self.forces, *of_changes])


class FrameStore:
    """The inputs of frames, kept in memory as far as it goes, then computed anew."""

    def __init__(
        self, potential: HDNNP, whole: Potential, batches: Batches, forces: bool, memory: float
    ) -> None:
        self._potential, self._whole = potential, whole  # the latter with what it need not learn
        self._batches, self._forces = batches, forces
        self._free = room(memory)
        self._kept: dict[int, FrameInputs] = {}
        self._columns = _columns(potential.plan)

    def __getitem__(self, frame: int) -> FrameInputs:
        if frame in self._kept:
            return self._kept[frame]
        inputs = self._compute(frame)
        if inputs.nbytes <= self._free:
            self._free -= inputs.nbytes
            self._kept[frame] = inputs
        return inputs

    def _compute(self, frame: int) -> FrameInputs:
        potential, labels = self._potential, self._batches.dataset[frame]
        graph = self._batches.graphs[frame]
        scale = float(potential.energy_scale)
        index = potential.element_index(graph)
        constants = float((potential.reference_energies + potential.energy_shift)[index].sum())
        with torch.no_grad():
            scaled = potential.energy_inputs(graph)
            of = [torch.nonzero(index == e)[:, 0] for e in range(len(potential.numbers))]
            counts = potential.input_counts
            inputs = [scaled[atoms, : counts[e]] for e, atoms in enumerate(of)]
            changes = self._changes(graph, index, of) if self._forces else None
        forces = np.zeros((graph.n_atoms, 3)) if labels.forces is None else labels.forces
        energy = np.nan if labels.energy is None else (labels.energy - constants) / scale
        if self._whole is not potential:
            with torch.no_grad():
                one, two = (evaluate(p, graph, self._forces) for p in (self._whole, potential))
                energy -= float(one.energy - two.energy) / scale
                if self._forces:
                    forces = forces - (one.forces - two.forces).numpy()
        return FrameInputs(inputs, changes, energy, torch.from_numpy(forces.ravel() / scale))

    def _changes(self, graph: Graph, index: Tensor, of: Sequence[Tensor]) -> list[Changes]:
        """Slopes of all inputs, the way that takes fewer passes over the symmetry functions."""
        if 3 * graph.n_atoms < len(self._columns):
            return _by_moves(self._potential, graph, index, of)
        numbers = [ops.number_of(plan) for plan in self._columns]
        return _by_functions(self._potential, graph, index, of, numbers)


def _columns(plan: Plan) -> list[Plan]:
    """For each column of the symmetry functions a plan of that column alone."""
    plans = []
    for column in range(plan.n_functions):
        functions = [columns[column] for columns in plan.functions if column < len(columns)]
        plans.append(make_plan(plan.species, functions, plan.cutoff_kind, plan.cutoff_alpha))
    return plans


def _by_moves(potential: HDNNP, graph: Graph, index: Tensor, of: Sequence[Tensor]) -> list[Changes]:
    """One tangent pass for each atom and axis: for small molecules, where all feel each other."""
    arguments = (graph.vectors, graph.row_pointer, index, index[graph.neighbors])
    columns = []
    for move in range(3 * graph.n_atoms):
        # r_ij is r_j - r_i: a move of j counts for it, one of i against it.
        atom, axis = divmod(move, 3)
        direction = torch.zeros_like(graph.vectors)
        direction[graph.neighbors == atom, axis] += 1
        direction[graph.centers == atom, axis] -= 1
        columns.append(ops.tangent(*arguments, direction, potential.plan_number))
    slopes = torch.stack(columns).reshape(
        graph.n_atoms, 3, graph.n_atoms, -1
    )  # of (a, axis, i, function)
    slopes = potential.input_scaling().changes(slopes, index).transpose(1, 2)
    changes = []
    for atoms, count in zip(of, potential.input_counts, strict=True):
        of_element = slopes[:, atoms, :, :count].flatten(0, 1)
        rows = torch.arange(len(atoms)).repeat(graph.n_atoms)
        changes.append(Changes(rows, np.arange(graph.n_atoms + 1) * len(atoms), of_element))
    return changes


def _by_functions(
    potential: HDNNP, graph: Graph, index: Tensor, of: Sequence[Tensor], columns: Sequence[int]
) -> list[Changes]:
    """One reverse pass for each column of the symmetry functions, which does that column alone.

    r_ij is r_j - r_i: an edge's slope counts for j, and against i.
    """
    arguments = (graph.vectors, graph.row_pointer, index, index[graph.neighbors])
    ones = graph.vectors.new_ones(graph.n_atoms, 1)
    passes = [ops.reverse(*arguments, ones, column) for column in columns]
    by_edge = torch.stack(passes, dim=2)  # (n_edges, 3, n_functions)
    scaling, of_centers = potential.input_scaling(), index[graph.centers]
    by_edge = scaling.changes(by_edge.transpose(0, 1), of_centers).transpose(0, 1)
    changes = []
    for element, atoms in enumerate(of):
        rows = torch.full((graph.n_atoms,), -1)
        rows[atoms] = torch.arange(len(atoms))
        edges = torch.nonzero(of_centers == element)[:, 0]
        centers, neighbors = rows[graph.centers[edges]], graph.neighbors[edges]
        slopes = by_edge[edges][:, :, : potential.input_counts[element]]
        # Both ends of all edges; what meets at the same atoms is summed, images included.
        key = torch.cat([neighbors * len(atoms) + centers, atoms[centers] * len(atoms) + centers])
        distinct, place = torch.unique(key, return_inverse=True)
        summed = slopes.new_zeros(len(distinct), 3, slopes.shape[2])
        summed.index_add_(0, place[: len(edges)], slopes)
        summed.index_add_(0, place[len(edges) :], slopes, alpha=-1)
        moved = (distinct // max(len(atoms), 1)).numpy()
        start = np.searchsorted(moved, np.arange(graph.n_atoms + 1))
        changes.append(Changes(distinct % max(len(atoms), 1), start, summed))
    return changes
