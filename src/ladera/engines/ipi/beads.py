"""Structures as i-PI sends them, and its answers: atomic units, cell vectors as columns.

i-PI's virial is -dE/d(strain), the opposite of the sum that is here; its stress is positive under
compression.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from ase import Atoms

from ladera.arrays import Floats
from ladera.engines.evaluator import Evaluator
from ladera.errors import DataError
from ladera.loading import ModelLike
from ladera.structure import Structure
from ladera.units import BOHR, HARTREE

_SAME_PLACE: Final = 1e-3  # Angstrom


class Units(NamedTuple):
    """Of lengths in Angstrom and energies in eV. i-PI knows its own to eight digits."""

    length: float = BOHR
    energy: float = HARTREE


class Answer(NamedTuple):
    """What i-PI wants of one structure, in its units."""

    energy: float
    forces: Floats  # (n_atoms, 3)
    virial: Floats  # (3, 3)
    extras: str = ""


class Beads:
    """A model that is asked by i-PI for one structure or for several, which it evaluates at once.

    i-PI says where atoms are, and not which: ``template`` says that, in the same order, and along
    which vectors the structure is periodic and which charge it has. ``model`` and ``asked`` (head,
    device, dtype, skin) are those of :class:`ladera.engines.evaluator.Evaluator`, which says what
    is raised.
    """

    def __init__(
        self, model: ModelLike, template: Atoms, units: Units | None = None, **asked: Any
    ) -> None:
        structure = Structure.from_atoms(template)
        self._template = template.copy()
        self._units = units or Units()
        self._evaluator = Evaluator(
            model,
            structure.numbers,
            periodic=structure.periodic,
            total_charge=structure.total_charge,
            **asked,
        )
        self._is_first = True

    def __call__(self, cells: Sequence[Floats], positions: Sequence[Floats]) -> list[Answer]:
        """Answers for cells (3, 3) and positions (n_atoms, 3), one or several.

        Raises DataError for another number of atoms than the template's, for another order, as far
        as that shows, and for a structure that no model can evaluate.
        """
        length, energy = self._units
        places = [np.asarray(each).reshape(-1, 3) * length for each in positions]
        boxes = [np.ascontiguousarray(np.asarray(each).T) * length for each in cells]
        self.require_count(len(places[0]))
        if self._is_first:
            self._require_order(places[0], boxes[0])
            self._is_first = False
        prediction = self._evaluator(places, boxes)
        energies = prediction.energy.cpu().numpy() / energy
        forces = prediction.forces.cpu().numpy().reshape(len(places), -1, 3) * (length / energy)
        virials = prediction.virial.cpu().numpy() / -energy
        return [Answer(float(e), f, w) for e, f, w in zip(energies, forces, virials, strict=True)]

    def require_count(self, n_atoms: int) -> None:
        """Raise DataError for another number of atoms than the template has."""
        if n_atoms != len(self._template):
            raise DataError(
                f"i-PI has {n_atoms} atoms and the structure for Ladera {len(self._template)}; "
                "both must be of the same atoms in the same order."
            )

    def _require_order(self, positions: Floats, cell: Floats) -> None:
        """Raise DataError where atoms begin in places of atoms of other elements.

        It shows only where i-PI begins with the structure of the template.
        """
        known = self._template.copy()
        if known.pbc.any():
            known.set_cell(cell, scale_atoms=True)
        apart = positions[:, None] - known.positions
        if known.pbc.all():
            fractions = apart @ np.linalg.pinv(cell)
            apart = (fractions - np.round(fractions)) @ cell
        distances = np.linalg.norm(apart, axis=2)
        nearest = distances.argmin(axis=1)
        if not distances.min(axis=1).max() <= _SAME_PLACE:
            return  # it begins elsewhere, or nowhere
        symbols = self._template.get_chemical_symbols()
        for atom, other in enumerate(nearest):
            if symbols[atom] != symbols[other]:
                raise DataError(
                    f"Atom {atom} of i-PI is where the structure for Ladera has its atom {other}, "
                    f"{symbols[other]}, and not its atom {atom}, {symbols[atom]}; give both the "
                    "same order."
                )
