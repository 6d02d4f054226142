"""D3 as a calculator of ASE, to be added to any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from ladera.errors import DataError
from ladera.models.dispersion import Dispersion
from ladera.potential import PropertyUnavailableError
from ladera.structure import Structure

if TYPE_CHECKING:
    from ase import Atoms


class D3(Calculator):
    """ASE calculator of the dispersion energy of :class:`ladera.models.dispersion.Dispersion`.

    ``functional`` is such as "pbe", or "pbe:zero" for another damping than Becke and Johnson's.
    ``energy`` and ``free_energy`` in eV, ``energies`` of the atoms, ``forces`` in eV/Angstrom and,
    of a periodic structure, ``stress`` in eV/Angstrom^3. Add it to another calculator by ASE's
    ``SumCalculator``; a model of Ladera takes it in: ``ladera.load(path, dispersion="pbe")``.

    Raises ConfigError without the package and for a functional that has no parameters, DataError
    for an element beyond plutonium.
    """

    name = "d3"
    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012

    def __init__(self, functional: str = "pbe") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._dispersion = Dispersion(functional)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Fill ``results``."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        atoms = atoms if atoms is not None else self.atoms
        if atoms is None:
            raise DataError("The calculator D3 has not been given a structure yet.")
        found = self._dispersion.of(Structure.from_atoms(atoms))
        energy = float(found.energies.sum())
        self.results = {"energy": energy, "free_energy": energy, "energies": found.energies}
        self.results["forces"] = -found.gradient
        if atoms.pbc.any() and atoms.cell.volume > 0:
            self.results["stress"] = full_3x3_to_voigt_6_stress(found.virial / atoms.cell.volume)
        elif "stress" in properties:
            raise PropertyUnavailableError("The structure has no stress: it has no volume.")
