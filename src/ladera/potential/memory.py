"""How much memory an evaluation needs, known before it is made; and what is done where it is not.

What an atom takes is measured on a piece of the structure itself, by the model that is asked: a
hundred atoms first, and where it may come near to what the machine has, more of them.
"""

from __future__ import annotations

import warnings
from copy import deepcopy
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from ladera.errors import TooLargeError
from ladera.graph import NeighborList
from ladera.machine import SHARE, Growth, in_words, memory, size_in_words
from ladera.potential.evaluation import evaluate
from ladera.potential.parts import Division, Places, reaches
from ladera.quantities import ENERGY
from ladera.structure import Structure

if TYPE_CHECKING:
    from ladera.arrays import Integers
    from ladera.machine import Memory
    from ladera.potential.contract import Potential

SMALL: Final = 1000  # atoms, of structures that nothing is asked of
_PIECE: Final = 128  # atoms that are measured first
_WARM_UP: Final = 24  # that are evaluated before, so that compiled loops are there
_DISTINCT: Final = 16 * 2**20  # bytes that stand out from what else a process does
_NEAR: Final = 0.25  # of the free memory, from which it is measured again with more atoms
_RESULTS: Final = 400  # bytes of an atom that stay of each model while parts come and go


class MemoryWarning(UserWarning):
    """An evaluation does not fit into memory as it is; the sentence says what is done."""


class Fitting:
    """Decides whether the structures that a model is asked for are evaluated whole or in parts.

    ``skin`` is that of the list of neighbours when they are whole. Once measured, what an atom
    takes serves for all structures that are not larger.
    """

    def __init__(self, potential: Potential, skin: float = 0.0, head: str | None = None) -> None:
        self._potential, self._skin, self._head = potential, skin, head
        self._measured = self._told = 0  # atoms that it was measured for, and told of
        self._per_atom = 0.0

    def division(self, structure: Structure) -> Division | None:
        """The parts, or None where the whole fits, or where nothing is known of memory.

        Warns (MemoryWarning) when there are parts. Raises TooLargeError where neither fits.
        """
        n_atoms = len(structure.numbers)
        # Of another code's calculator, which no model file can hold, a piece may take hours.
        if n_atoms < SMALL or not self._potential.storable:
            return None
        there = memory(self._potential.device)
        if n_atoms > self._measured:
            self._per_atom = bytes_per_atom(self._potential, structure, self._skin, there)
            self._measured = n_atoms
        needed = self._per_atom * n_atoms
        if needed <= SHARE * there.free:
            return None
        if self._potential.hops is None or ENERGY not in self._potential.gives:
            if needed > there.free:
                why = (
                    "its energies depend on atoms at any distance"
                    if self._potential.hops is None
                    else "it has no energies, which are sums"
                )
                raise TooLargeError(
                    f"{self._words(n_atoms, needed, there)}; {why}, so that it cannot be made in "
                    "parts: take fewer atoms."
                )
            return None
        return self._divided(structure, needed, there)

    def _divided(self, structure: Structure, needed: float, there: Memory) -> Division:
        places, n_atoms = Places.of(structure), len(structure.numbers)
        models = 1 + len(self._potential.members)
        room = SHARE * there.free - _RESULTS * models * n_atoms
        most = int(room / self._per_atom) if room > 0 else 0
        owned, sizes = _divide(self._potential, places, np.arange(n_atoms), most)
        words = self._words(n_atoms, needed, there)
        if not owned:
            raise TooLargeError(
                f"{words}; the smallest parts it can be made in need more as well, "
                f"{size_in_words(self._per_atom * min(sizes))}: take a machine with more "
                "memory, or a smaller model."
            )
        if n_atoms > self._told:
            self._told = n_atoms
            warnings.warn(
                f"{words}; it is made in {len(owned)} parts, which have "
                f"{sum(sizes) / n_atoms:.2g} times as many atoms together.",
                MemoryWarning,
                stacklevel=5,
            )
        return Division(self._potential, places, owned, self._head)

    def _words(self, n_atoms: int, needed: float, there: Memory) -> str:
        of = f"An evaluation of {n_atoms:,} atoms by this {self._potential.config.architecture}"
        return f"{of} model needs {in_words(needed, there)}"


def bytes_per_atom(potential: Potential, structure: Structure, skin: float, there: Memory) -> float:
    """What one atom takes, of an evaluation of the whole structure; 0 where it is not known.

    Of a model whose energies depend on atoms at any distance, a part of it may grow with their
    number: a n + b n^2 through the two sizes that are measured.
    """
    places, n_atoms = Places.of(structure), len(structure.numbers)
    _grown(potential, _piece(potential, places, _WARM_UP), skin)
    piece = _piece(potential, places, _PIECE)
    first = _grown(potential, piece, skin) / len(piece.numbers)
    likely = first * (n_atoms / len(piece.numbers) if potential.hops is None else 1)
    if likely * n_atoms < _NEAR * there.free:
        return likely
    count = int(np.clip(_DISTINCT / max(first, 1.0), 2 * _PIECE, n_atoms // 4))
    # Loops keep their scratch memory: a copy has none of evaluations before.
    other, larger = deepcopy(potential), _piece(potential, places, count)
    _grown(other, _piece(potential, places, _WARM_UP), skin)
    second, size = _grown(other, larger, skin), len(larger.numbers)
    if potential.hops is not None:
        return second / size
    squares = max(0.0, (second / size - first) / (size - len(piece.numbers)))
    return second / size + squares * (n_atoms - size)


def _grown(potential: Potential, structure: Structure, skin: float) -> float:
    """Bytes that an evaluation of a structure takes at its peak, its list of neighbours and all."""
    with Growth(potential.device) as growth, torch.no_grad():
        neighbors = NeighborList(potential.cutoff, skin)
        said = evaluate(potential, neighbors.build(structure))
        _ = (said.forces, said.virial) if ENERGY in potential.gives else said.atomic_values
    return growth.bytes or 0.0


def _piece(potential: Potential, places: Places, count: int) -> Structure:
    """Some ``count`` to twice as many atoms of a structure, from where they are dense.

    Where it was cut it is periodic, at a distance that atoms have in it, so that atoms see as many
    neighbours as they do in the whole.
    """
    whole, atoms = places.structure, np.arange(len(places.fractions))
    cut = np.zeros(3, dtype=bool)
    while len(atoms) >= 2 * count:
        axis, halves = places.halves(atoms)
        cut[axis] = True
        atoms = min(halves, key=lambda half: _volume(places, half))
    if not potential.partly_periodic and (cut | whole.periodic).any():
        cut[~whole.periodic] = True
    spacing = (_volume(places, atoms) / len(atoms)) ** (1 / 3)
    lengths = np.ptp(places.fractions[atoms], axis=0) + spacing / places.heights
    cell = places.cell * np.where(cut, lengths, 1.0)[:, None]
    return Structure(
        whole.numbers[atoms],
        places.fractions[atoms] @ places.cell,
        np.where((cut | whole.periodic)[:, None], cell, 0.0),
        whole.periodic | cut,
    )


def _volume(places: Places, atoms: Integers) -> float:
    """Of the box of some atoms, at least one Angstrom wide, Angstrom^3."""
    return float(np.prod(np.maximum(1.0, np.ptp(places.fractions[atoms], axis=0) * places.heights)))


def _divide(
    potential: Potential, places: Places, owned: Integers, most: int
) -> tuple[list[Integers], list[int]]:
    """Atoms of each part so that none, those around counted, has more than ``most``.

    And how many each has. No parts where that is not possible: then those of the smallest.
    """
    size = len(places.within(*places.box(owned, reaches(potential)[1]))[0])
    if size <= most:
        return [owned], [size]
    if len(owned) == 1:
        return [], [size]
    parts, sizes = list[np.ndarray](), list[int]()
    for half in places.halves(owned)[1]:
        found, of = _divide(potential, places, half, most)
        if not found:
            return [], of
        parts, sizes = parts + found, sizes + of
    return parts, sizes
