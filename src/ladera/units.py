"""Units and conversion factors.

Inside Ladera lengths are in Angstrom, energies in eV, masses in amu, times in fs, charges in e,
dipoles in e*Angstrom and stresses in eV/Angstrom^3 with the ASE sign (positive in tension).
Numbers in other units are converted once, where they are read. Every factor comes from
``ase.units`` (CODATA 2014), so that Ladera and ASE never disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ase import units as _ase

BOHR: Final[float] = float(_ase.Bohr)  # Angstrom
HARTREE: Final[float] = float(_ase.Hartree)  # eV
RYDBERG: Final[float] = float(_ase.Rydberg)  # eV
COULOMB: Final[float] = HARTREE * BOHR  # e^2 / (4 pi epsilon_0), eV*Angstrom
KCAL_PER_MOL: Final[float] = float(_ase.kcal / _ase.mol)  # eV
ATOMIC_TIME: Final[float] = float(_ase.AUT / _ase.fs)  # hbar / Hartree, fs
FEMTOSECOND: Final[float] = float(_ase.fs)  # ASE time units, Angstrom*sqrt(amu/eV)
BOLTZMANN: Final[float] = float(_ase.kB)  # eV/K
DEBYE: Final[float] = float(_ase.Debye)  # e*Angstrom
GIGAPASCAL: Final[float] = float(_ase.GPa)  # eV/Angstrom^3


@dataclass(frozen=True)
class UnitSystem:
    """Length and energy unit of a file, in Angstrom and eV; of forces where it is another."""

    name: str
    length: float
    energy: float
    own_force: float | None = None

    @property
    def force(self) -> float:
        """Unit of force in eV/Angstrom."""
        return self.own_force or self.energy / self.length


METAL: Final = UnitSystem("angstrom-ev", 1.0, 1.0)
ATOMIC: Final = UnitSystem("bohr-hartree", BOHR, HARTREE)
ANGSTROM_HARTREE: Final = UnitSystem("angstrom-hartree", 1.0, HARTREE)
UNIT_SYSTEMS: Final = {system.name: system for system in (METAL, ATOMIC, ANGSTROM_HARTREE)}

# Those that a data file may be in, besides.
FILE_UNITS: Final = UNIT_SYSTEMS | {
    system.name: system
    for system in (
        UnitSystem("cp2k", 1.0, HARTREE, HARTREE / BOHR),  # Angstrom, Hartree, Hartree/Bohr
        UnitSystem("bohr-rydberg", BOHR, RYDBERG),
        UnitSystem("angstrom-rydberg", 1.0, RYDBERG),
        UnitSystem("angstrom-kcal/mol", 1.0, KCAL_PER_MOL),
        UnitSystem("angstrom-kj/mol", 1.0, KCAL_PER_MOL / 4.184),
    )
}
