"""How a model is asked by the pair style: about some edges, all of a process, or a whole system."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Final, final

import numpy as np
import torch
from ase.data import atomic_masses, atomic_numbers
from torch import Tensor

from ladera import loading
from ladera.engines.lammps.ghosts import PairHalo
from ladera.engines.lammps.views import Views
from ladera.errors import ConfigError
from ladera.graph import NeighborList
from ladera.potential import Potential, Prediction, evaluate
from ladera.quantities import CHARGES, ENERGY, FORCES
from ladera.structure import Structure

if TYPE_CHECKING:
    from ladera.engines.lammps.bridge import Atoms

_SKIN: Final = 1.0  # Angstrom, of a whole system's own list of neighbours


class Reach(IntEnum):
    """How much of the system a model wants to see at once: ``LaderaReach``."""

    EDGES = 0
    MESSAGES = 1
    SYSTEM = 2


class Wanted(IntFlag):
    """What may be asked of atoms beside their energies: ``LaderaWanted``."""

    GRADE = 1
    SPREAD = 2
    CHARGE = 4


def asked_of(paths: Sequence[str], symbols: Sequence[str], processes: int, threads: int) -> Asked:
    """The model of a path, or the committee of several, for atoms of elements in an order.

    Raises what loading raises, and ConfigError for a model without energies, for an element that it
    does not know, and for one whose energy depends on all atoms where these are on several
    processes.
    """
    potential = loading.load_committee(paths)
    name = " and ".join(paths)
    if ENERGY not in potential.gives:
        raise ConfigError(f"{name} gives no energies, and LAMMPS wants forces; take another model.")
    for symbol in symbols:
        if atomic_numbers.get(symbol) not in potential.numbers:
            what = "" if symbol in atomic_numbers else ", which is no element"
            raise ConfigError(
                f"pair_coeff names {symbol}{what}, and {name} was made for "
                f"{', '.join(potential.symbols)}; name the element of each type of atoms."
            )
    if potential.hops is not None:
        kind = Reach.EDGES if potential.hops == 1 else Reach.MESSAGES
        return OfEdges(potential, symbols, threads, kind)
    if processes > 1:
        raise ConfigError(
            f"The energy of {name} depends on atoms at any distance, and LAMMPS has them on "
            f"{processes} processes; start one process, with threads: ladera lammps run -n 1."
        )
    return OfSystem(potential, symbols, threads)


class Asked(ABC):
    """A model, and how it is asked.

    ``elements`` are atomic number and mass (amu) of the elements of the pair style, in its order.
    """

    def __init__(
        self, potential: Potential, symbols: Sequence[str], threads: int, reach: Reach
    ) -> None:
        self.potential, self._threads, self.reach = potential.eval(), threads, reach
        numbers = [atomic_numbers[symbol] for symbol in symbols]
        self.elements = [(number, float(atomic_masses[number])) for number in numbers]
        self._views = Views()
        self._answer: list[Tensor] = []  # kept until the next one is asked for

    @property
    def gives(self) -> Wanted:
        """What may be asked of it."""
        gives = Wanted(0)
        gives |= Wanted.GRADE if self.potential.knows_domain else gives
        gives |= Wanted.SPREAD if self.potential.members else gives
        return gives | (Wanted.CHARGE if CHARGES in self.potential.gives else gives)

    @property
    def at_once(self) -> Wanted:
        """What of that takes sums over atoms or forces of members, and so all edges at once."""
        of_members = Wanted.GRADE | Wanted.SPREAD if self.potential.members else Wanted(0)
        return of_members | Wanted.CHARGE

    @final
    def answer(self, atoms: Atoms) -> None:
        """Answer what is asked of some atoms."""
        self._answer = []
        with torch.no_grad(), _threads(self._threads):
            prediction = self._predict(atoms)
            atoms.energies = self._kept(prediction.atomic_energies)
            self._answer_values(atoms, prediction)

    @abstractmethod
    def _predict(self, atoms: Atoms) -> Prediction:
        """What the model says of atoms; fills in all of the answer that is not of single atoms."""

    def _answer_values(self, atoms: Atoms, prediction: Prediction) -> None:
        wanted = Wanted(atoms.wanted)
        if Wanted.GRADE in wanted:
            grade = self.potential.grade(prediction.graph, prediction)
            atoms.grade = None if grade is None else self._kept(grade)
        if Wanted.SPREAD in wanted:
            atoms.spread = self._kept(prediction.std[FORCES].norm(dim=1))
        if Wanted.CHARGE in wanted:
            charges = prediction.charges
            atoms.charge = None if charges is None else self._kept(charges)

    def _kept(self, values: Tensor) -> int:
        """The address of float64 numbers, which stay there until the next answer."""
        values = values.detach().double().contiguous().cpu()
        self._answer.append(values)
        return values.data_ptr()


@final
class OfEdges(Asked):
    """A model whose energies depend on edges: of one atom, or over several."""

    def _predict(self, atoms: Atoms) -> Prediction:
        halo = None if atoms.is_portion else PairHalo(atoms)
        graph = self._views.graph(atoms, self.potential.cutoff, halo)
        prediction = evaluate(self.potential, graph)
        atoms.gradients = self._kept(prediction.edge_gradients)
        return prediction


@final
class OfSystem(Asked):
    """A model whose energies depend on all atoms."""

    def __init__(self, potential: Potential, symbols: Sequence[str], threads: int) -> None:
        super().__init__(potential, symbols, threads, Reach.SYSTEM)
        self._neighbors = NeighborList(potential.cutoff, _SKIN)

    def _predict(self, atoms: Atoms) -> Prediction:
        numbers, positions = self._views.atoms(atoms)
        structure = Structure.of(
            numbers.numpy(),
            positions.numpy(),
            np.ctypeslib.as_array(atoms.cell).reshape(3, 3),
            np.ctypeslib.as_array(atoms.periodic).astype(bool),
        )
        prediction = evaluate(self.potential, self._neighbors.build(structure))
        atoms.gradients = None
        atoms.forces = self._kept(prediction.forces)
        atoms.virial = self._kept(prediction.virial)
        atoms.virials = self._kept(prediction.atomic_virials)
        return prediction


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """That many threads of torch, which the compiled loops use as well."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
