"""A model as an engine asks it: structure after structure, each nearly the one before."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from ladera.arrays import Floats
from ladera.errors import DataError
from ladera.graph import Graph, NeighborList
from ladera.loading import ModelLike, as_potential
from ladera.potential import Potential, Prediction, evaluate
from ladera.potential.memory import Fitting
from ladera.potential.prediction import NO_ENERGY
from ladera.quantities import ENERGY
from ladera.structure import Structure, StructureWarning

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

OPEN: Final = np.zeros((3, 3))  # the cell of a structure in the open


class Successive:
    """A model asked for structures that move a little from one call to the next.

    Neighbours are looked for anew only where atoms have moved by half of the ``skin`` (Angstrom);
    it changes the speed and no result. A copy, also a pickled one, has the model and looks for
    neighbours itself.
    """

    def __init__(self, potential: Potential, head: str | None = None, skin: float = 1.0) -> None:
        if ENERGY not in potential.gives:
            raise DataError(NO_ENERGY)
        if head is not None:
            potential.config.number_of_head(head)
        self.potential, self._head, self._skin = potential, head, skin
        self._fitting = Fitting(potential, skin, head)
        self._lists: list[NeighborList] = []  # of the first structure of a batch, the second, ...

    def __call__(self, structures: Sequence[Structure]) -> Prediction:
        """What the model says of one structure or of several, in one evaluation.

        The same structure, a little later, best comes at the same place. A single one is evaluated
        in parts where it does not fit into memory. Raises DataError as
        :meth:`ladera.graph.NeighborList.build` does, and what :class:`Fitting` raises.
        """
        if len(structures) == 1 and (parts := self._fitting.division(structures[0])) is not None:
            return parts.evaluate()
        while len(self._lists) < len(structures):
            self._lists.append(NeighborList(self.potential.cutoff, self._skin))
        graphs = [
            neighbors.build(structure)
            for neighbors, structure in zip(self._lists, structures, strict=False)
        ]
        with torch.no_grad():
            return evaluate(self.potential, Graph.batch(graphs), head=self._head)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_lists": []}


class Evaluator:
    """Energies, forces and virials of the same atoms, one arrangement after the other.

    Raises DataError for an element that the model does not know and for a model without energies,
    ConfigError for a head that the model does not have, and what loading a model raises.

    Parameters
    ----------
    model
        What :func:`ladera.loading.as_potential` takes.
    numbers
        Atomic numbers (n_atoms,).
    periodic
        Along which cell vectors, (3,), or one truth for all.
    total_charge
        In e; of one that the model does not know a StructureWarning is given.
    head
        The level of theory, of a model with several.
    skin
        That of :class:`Successive`.
    device, dtype
        Where and how precisely it computes; left out, as the model is.
    """

    def __init__(
        self,
        model: ModelLike,
        numbers: ArrayLike,
        *,
        periodic: ArrayLike = False,
        total_charge: float = 0.0,
        head: str | None = None,
        skin: float = 1.0,
        device: str | None = None,
        dtype: str | None = None,
    ) -> None:
        potential = as_potential(model, device=device, dtype=dtype)
        self._model = Successive(potential, head, skin)
        self._atoms = Structure.of(numbers, np.zeros((0, 3)), OPEN, periodic, total_charge)
        potential.indices_of(torch.from_numpy(self._atoms.numbers).to(potential.device))
        if total_charge and not potential.knows_charge:
            warnings.warn(
                f"A total charge of {total_charge:+g} e was given, which the "
                f"{potential.config.architecture} model does not know: its energies and forces are "
                "those without it.",
                StructureWarning,
                stacklevel=3,
            )

    @property
    def potential(self) -> Potential:
        """The model, loaded."""
        return self._model.potential

    @property
    def is_periodic(self) -> bool:
        """Along some cell vector."""
        return bool(self._atoms.periodic.any())

    def __call__(self, positions: Sequence[Floats], cells: Sequence[Floats]) -> Prediction:
        """What the model says of one arrangement or of several, in one evaluation.

        ``positions`` are (n_structures, n_atoms, 3), ``cells`` (n_structures, 3, 3) with the cell
        vectors as rows, both in Angstrom. Raises what :class:`Successive` does.
        """
        return self._model(
            [
                self._atoms._replace(positions=where, cell=cell)
                for where, cell in zip(positions, cells, strict=True)
            ]
        )
