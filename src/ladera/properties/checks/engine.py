"""What an engine has to answer for its answers to be checked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats
    from ladera.potential import Potential


@dataclass(frozen=True, eq=False)
class Answer:
    """What is said of one structure, its atoms in their order; None for what is not given."""

    energy: float  # eV
    forces: Floats  # (n_atoms, 3), eV/Angstrom
    stress: Floats | None = None  # (3, 3), eV/Angstrom^3, positive in tension
    energies: Floats | None = None  # (n_atoms,), eV, of the atoms


class Way(NamedTuple):
    """Another way in which an engine computes the same, such as on more threads."""

    ask: Callable[[Atoms], Answer]
    epsilon: float  # rounding of the less precise of the two ways


class Engine(ABC):
    """Something that computes energies and forces of any structure, and runs it.

    ``potential`` is the model that it asks, ``epsilon`` the spacing of its floating-point numbers
    at one, ``cutoff`` (Angstrom) is None where it is not known, and ``hops`` as in
    :class:`ladera.potential.Potential`.
    """

    name: str
    potential: Potential
    epsilon: float
    cutoff: float | None
    hops: int | None

    @abstractmethod
    def ask(self, atoms: Atoms) -> Answer:
        """Of a structure of any cell, whatever was asked before."""

    @abstractmethod
    def run(self, atoms: Atoms, timestep: float, steps: int) -> Floats:
        """Total energies (steps + 1,), eV, of a run at constant energy from these momenta.

        ``timestep`` is in fs.
        """

    def volumes(
        self, atoms: Atoms, temperature: float, timestep: float, steps: int, every: int
    ) -> Floats | None:
        """Volumes (n,), Angstrom^3, of a run at no pressure that begins with these momenta.

        One of so many steps; ``temperature`` is in K, ``timestep`` in fs. None of an engine that
        cannot do it.
        """
        return None

    def ways(self) -> Mapping[str, Way]:
        """Other ways to the same numbers, by what a line of the table calls them."""
        return {}
