r"""Second derivatives of a model's energy, and first ones of its dipole, by differentiating it.

    H = d2E / dr_i dr_j        (3 n_atoms, 3 n_atoms), eV/Angstrom^2
    L = dW / dr_i              (3 n_atoms, 3, 3), eV/Angstrom, with W = dE / d(strain)
    Z = d mu / dr_i            (3 n_atoms, 3), e

Rows and columns are x, y, z of the first atom, of the second, and so on. The derivatives are exact
to rounding and taken in float64, whatever the precision of the model's parameters.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from itertools import combinations_with_replacement
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ladera.arrays import Floats, Integers
from ladera.errors import ConfigError, DataError
from ladera.graph import Graph
from ladera.molecules import Molecules
from ladera.potential import Potential, Prediction
from ladera.potential.moments import moments_of_molecules

if TYPE_CHECKING:
    from ase import Atoms


_PEAK = 3  # times what torch keeps for derivatives: measured, 1.8 for MACE and 2.6 for networks


def hessian(potential: Potential, structure: Atoms | Graph, *, memory: float = 0.5) -> Floats:
    r"""Hessian d2E/dr2 of one structure, (3 n_atoms, 3 n_atoms), eV/Angstrom^2.

    A molecule, or a periodic cell: an atom then moves with all its images, and the Hessian is that
    of wave vector zero. Of a committee it is that of the mean energy. It is not made symmetric:
    what H_ij and H_ji differ by is rounding.

    The gradient of a component of dE/dr is a column. Several columns come from one pass, each from
    a copy of the structure, as many as fit into ``memory`` (GB, beside the model): what one copy
    takes is measured on the first. A structure of which one copy needs more is computed all the
    same, column by column.

    Raises DataError for a graph of several structures and for an element the model does not know,
    ConfigError for a model that cannot be differentiated twice.
    """
    blocks = HessianBlocks(potential, structure, memory)
    return np.hstack([blocks.columns(*ends) for ends in blocks.ends])


class HessianBlocks:
    """The columns of a Hessian, in blocks of as many as fit into the memory; see :func:`hessian`.

    All of them, or those that are ``chosen`` (n,). ``ends`` are the first of each block and that of
    the next, in the order of these.
    """

    def __init__(
        self,
        potential: Potential,
        structure: Atoms | Graph,
        memory: float = 0.5,
        chosen: Integers | None = None,
    ) -> None:
        if not memory > 0:
            raise ConfigError.of("memory", f"{memory:g} GB", "it must be above zero")
        self._model, self._graph = _prepared(potential, structure)
        self._chosen = np.arange(3 * self._graph.n_atoms) if chosen is None else chosen
        size = len(self._chosen)
        try:
            self._width = _block(self._model, self._graph, 1e9 * memory, size)
        except RuntimeError as error:
            raise _no_hessian(potential, str(error)) from error
        starts = range(0, size, self._width)
        self.ends = [(first, min(first + self._width, size)) for first in starts]

    @cached_property
    def _copies(self) -> _Copies:
        return _Copies(self._model, self._graph, self._width)

    def columns(self, start: int, stop: int) -> Floats:
        """Columns ``start`` to ``stop`` - 1, (3 n_atoms, stop - start), eV/Angstrom^2."""
        return self._copies.columns(torch.from_numpy(self._chosen[start:stop])).T.cpu().numpy()


def _no_hessian(potential: Potential, reason: str) -> ConfigError:
    return ConfigError(
        f"The {potential.config.architecture} model has no Hessian, because it cannot be "
        f"differentiated twice ({reason.splitlines()[0]}); take central differences of "
        "its forces instead: properties do so when they are given a step."
    )


def dipole_derivatives(potential: Potential, structure: Atoms | Graph) -> Floats:
    """Derivatives d mu / dr of the dipole moment of one structure, (3 n_atoms, 3), e.

    Raises DataError for a model without a dipole, for a graph of several structures, and for
    charges in a periodic structure, whose dipole is not defined.
    """
    model, graph = _prepared(potential, structure)
    moves, prediction = _displaced(model, graph)
    return _slopes(prediction.dipole[0], moves)


def moment_derivatives(
    potential: Potential, structure: Atoms | Graph, molecules: Molecules
) -> Floats:
    """Derivatives of the dipole moment and the charges of whole molecules, (3 n_atoms, 3 + n), e.

    The n ``molecules`` are those of the structure, which may be a cell; see
    :mod:`ladera.potential.moments` for what is differentiated and what is refused.
    """
    model, graph = _prepared(potential, structure)
    moves, prediction = _displaced(model, graph)
    return _slopes(moments_of_molecules(prediction, molecules)[0], moves)


def _slopes(values: Tensor, moves: Tensor) -> Floats:
    """Derivatives of ``values`` (n,) by the displacements of the atoms, (3 n_atoms, n)."""
    columns = [_slope(value, moves, again=True) for value in values]
    return torch.stack(columns).reshape(len(values), -1).T.detach().cpu().numpy()


def strain_derivatives(potential: Potential, structure: Atoms | Graph) -> tuple[Floats, Floats]:
    r"""Derivatives of the virial W = dE/d(strain) of one structure: by positions, and by a strain.

        L = dW / dr            (3 n_atoms, 3, 3), eV/Angstrom
        dW / d(strain)         (3, 3, 3, 3), eV; the last two are those of the strain

    The strain e takes the structure with all its atoms to r (1 + e), and W is that of the strained
    structure, so that dW/de / V less the change of the volume is the slope of Cauchy's stress with
    the ions clamped. Raises as :func:`hessian` does.
    """
    model, graph = _prepared(potential, structure)
    with torch.enable_grad():
        moves = torch.zeros_like(graph.positions).requires_grad_()
        strain, further = (torch.zeros_like(graph.cell[0]).requires_grad_() for _ in range(2))
        one = torch.eye(3).to(strain)
        deformation = one
        for leaf in (strain, further):
            deformation = deformation @ (one + 0.5 * (leaf + leaf.mT))
        moved = replace(
            graph,
            positions=(graph.positions + moves) @ deformation,
            cell=graph.cell @ deformation,
            vectors=(graph.vectors + moves[graph.neighbors] - moves[graph.centers]) @ deformation,
        )
        virial = _slope(model.predict(moved, gradients=False).energy.sum(), further)
    try:
        _require_record(virial)
    except RuntimeError as error:
        raise _no_hessian(potential, str(error)) from error
    by_moves, by_strain = torch.zeros(3, 3, graph.n_atoms, 3), torch.zeros(3, 3, 3, 3)
    by_moves, by_strain = by_moves.to(virial), by_strain.to(virial)
    for i, j in combinations_with_replacement(range(3), 2):
        by_moves[i, j] = by_moves[j, i] = _slope(virial[i, j], moves, again=True)
        by_strain[i, j] = by_strain[j, i] = _slope(virial[i, j], strain, again=True)
    coupling = by_moves.reshape(3, 3, -1).permute(2, 0, 1)
    return coupling.detach().cpu().numpy(), by_strain.detach().cpu().numpy()


def _prepared(potential: Potential, structure: Atoms | Graph) -> tuple[Potential, Graph]:
    """The model with constant parameters, and the structure's graph, both in float64."""
    if not potential.differentiable:
        raise _no_hessian(potential, "its derivatives are not known to torch")
    if not isinstance(structure, Graph):
        structure = Graph.from_atoms(structure, potential.cutoff)
    if structure.n_structures != 1:
        raise DataError(
            f"Derivatives belong to one structure, and this graph has {structure.n_structures}; "
            "ask for each by itself."
        )
    model = deepcopy(potential).double().requires_grad_(False)
    return model, structure.to(torch.float64, model.device)


def _displaced(model: Potential, graph: Graph) -> tuple[Tensor, Prediction]:
    """Displacements of the atoms, zero and a leaf of torch, and the prediction they lead to."""
    with torch.enable_grad():
        moves = torch.zeros_like(graph.positions).requires_grad_()
        vectors = graph.vectors + moves[graph.neighbors] - moves[graph.centers]
        moved = replace(graph, positions=graph.positions + moves, vectors=vectors)
        return moves, model.predict(moved, gradients=False)


def _block(model: Potential, graph: Graph, memory: float, size: int) -> int:
    """How many copies fit into ``memory`` (bytes), so that ``size`` columns fill all passes."""
    counter = _SavedBytes()
    with counter:
        _Copies(model, graph, 1).columns(torch.zeros(1, dtype=torch.int64))
    fitting = max(1, int(memory / max(_PEAK * counter.bytes, 1)))
    return ceil(size / ceil(size / fitting))


class _Copies:
    """Copies of a structure with the gradient of their energy, ready to be differentiated."""

    def __init__(self, model: Potential, graph: Graph, count: int) -> None:
        self._moves, prediction = _displaced(model, Graph.batch([graph] * count))
        self._gradient = _slope(prediction.energy.sum(), self._moves).reshape(count, -1)
        _require_record(self._gradient)

    def columns(self, which: Tensor) -> Tensor:
        """The columns ``which`` of the Hessian as rows, at most one for each copy."""
        count = len(which)
        chosen = self._gradient[torch.arange(count), which].sum()
        rows = _slope(chosen, self._moves, again=True).reshape(self._gradient.shape)
        return rows[:count].detach()


def _require_record(gradient: Tensor) -> None:
    """RuntimeError when a gradient that is not zero cannot be differentiated once more."""
    if not gradient.requires_grad and bool(gradient.any()):
        raise RuntimeError("torch has no record of how its gradient was made")


def _slope(value: Tensor, moves: Tensor, again: bool = False) -> Tensor:
    """d value / d moves; differentiable itself, or ``again`` with the graph kept for others."""
    if not value.requires_grad:  # no edges: nothing depends on where the atoms are
        return torch.zeros_like(moves)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(
            value, moves, retain_graph=True, create_graph=not again, materialize_grads=True
        )
    return slope


class _SavedBytes(saved_tensors_hooks):
    """Counts the memory of the tensors that torch keeps for derivatives, each once."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        super().__init__(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: Tensor) -> Any:
        storage = tensor.untyped_storage()
        self._seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    @property
    def bytes(self) -> int:
        """Bytes seen so far."""
        return sum(self._seen.values())
