"""A crystal of springs: what the quick form of the study asks where the whole one has a potential.

Every pair of atoms that is nearer than 4 Angstrom in a packing has a spring of about that length;
those between atoms that are not bonded are weaker. So packing, dimer, half of it and supercells
have a minimum that is near, and all that asks for one can be run in seconds.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Final

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_REACH: Final = 4.0  # Angstrom
_BOND: Final = 1.7  # Angstrom: nearer atoms are bonded, those of iron with O and N not
_STIFF: Final = 8.0  # eV/Angstrom^2
_WEAK: Final = 2.0
_SHORTER: Final = 0.998  # of the weak springs: something is left to relax
_CHARGES: Final = {"H": 0.1, "C": 0.05, "N": -0.3, "O": -0.4, "Fe": 0.5}


class Springs(Calculator):
    """Energy, forces, stress and dipole of springs; atoms in the order of ``packings``.

    ``packings`` are files whose first structures, periodic, are at rest, of the same number of
    atoms. A structure is taken for the one from which its springs are strained least.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress", "dipole"]

    def __init__(self, packings: list[str]) -> None:
        super().__init__()
        self.packings = packings

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: tuple[str, ...] = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        energy, first, pulls, vectors = min(
            (_strained(self.atoms, packing) for packing in self.packings),
            key=lambda found: found[0],
        )
        forces = np.zeros((len(self.atoms), 3))
        np.add.at(forces, first, pulls)
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        charges = np.array([_CHARGES[s] for s in self.atoms.get_chemical_symbols()])
        self.results["dipole"] = (charges - charges.mean()) @ self.atoms.positions
        if self.atoms.pbc.all():
            stress = 0.5 * vectors.T @ pulls / self.atoms.cell.volume
            self.results["stress"] = full_3x3_to_voigt_6_stress((stress + stress.T) / 2)


def _strained(atoms: Atoms, packing: str) -> tuple[float, Integers, Floats, Floats]:
    """Energy, first atoms of pairs (both ways), the pull of each on it, and its vector."""
    times = (0, 0, 0)
    if atoms.pbc.all():
        times = _times(atoms, _reference(packing))
    first, second, shifts, lengths, stiffness = _springs(packing, times, len(atoms))
    vectors = atoms.positions[second] - atoms.positions[first] + shifts @ atoms.cell.array
    apart = np.linalg.norm(vectors, axis=1)
    stretched = apart - lengths
    pulls = (stiffness * stretched / apart)[:, None] * vectors
    return float((stiffness * stretched**2).sum() / 4), first, pulls, vectors


@cache  # an engine makes a calculator for each frame
def _reference(packing: str) -> Atoms:
    return ase.io.read(packing, index=0)


@cache
def _springs(packing: str, times: tuple[int, int, int], n_atoms: int) -> tuple[Any, ...]:
    """Pairs, their shifts, lengths and stiffness; of no cell where it is repeated no time."""
    rest = _reference(packing)
    rest = rest.repeat(times) if all(times) else Atoms(rest.numbers, rest.positions)
    first, second, lengths, shifts = neighbor_list("ijdS", rest[:n_atoms], _REACH)
    bonded = lengths < _BOND
    lengths = np.where(bonded, 1.0, _SHORTER) * lengths
    return first, second, shifts, lengths, np.where(bonded, _STIFF, _WEAK)


def _times(atoms: Atoms, reference: Atoms) -> tuple[int, int, int]:
    """How often the reference's cell is repeated along each vector."""
    a, b, c = np.rint(atoms.cell.lengths() / reference.cell.lengths()).astype(int)
    return int(a), int(b), int(c)
