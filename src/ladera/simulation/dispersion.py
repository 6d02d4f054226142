"""London dispersion: what functionals such as PBE, and models trained on them, leave out."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress

from ladera.errors import ConfigError, DataError, did_you_mean
from ladera.potential import PropertyUnavailableError
from ladera.structure import Structure
from ladera.units import BOHR, HARTREE

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats

_CUTOFF: Final = 60 * BOHR  # of pairs
_MARGIN: Final = 1.0  # Angstrom, about the atoms in open directions
HEAVIEST: Final = 94  # Pu, the last element of D3 (and dftd3 dies of some beyond its tables)


class D3(Calculator):
    r"""ASE calculator of the D3 dispersion energy with Becke-Johnson damping.

        E = -sum_(i<j) sum_(n=6,8) s_n C_n / (r^n + f^n),    f = a_1 sqrt(C_8 / C_6) + a_2

    (Grimme, Ehrlich and Goerigk, J. Comput. Chem. 32, 1456 (2011)), with the C_n of each pair by
    the coordination numbers of its atoms, and s_n, a_1, a_2 of a functional. By simple-dftd3, the
    package ``dftd3``; pairs up to 60 Bohr, without the term of three atoms.

    ``energy`` and ``free_energy`` in eV, ``forces`` in eV/Angstrom and, of a periodic structure,
    ``stress`` in eV/Angstrom^3. Add it to another calculator by ASE's ``SumCalculator``.

    Raises ConfigError without the package and for a functional that has no parameters, DataError
    for an element beyond plutonium.
    """

    name = "d3"
    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, functional: str = "pbe") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._library = _library()
        self.functional = functional
        try:
            self._damping = self._library.RationalDampingParam(method=functional)
        except RuntimeError as error:
            hint = did_you_mean(functional.lower(), _functionals())
            raise ConfigError(
                f"D3(BJ) has no parameters for the functional '{functional}'; {hint}"
            ) from error

    def __reduce__(self) -> tuple[type[D3], tuple[str]]:
        """Copies, also those for other processes, ask the package for handles of their own."""
        return type(self), (self.functional,)

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
        _check_elements(atoms)
        Structure.from_atoms(atoms).check(_CUTOFF)
        positions, cell, turn = _in_a_box(atoms)
        model = self._library.DispersionModel(
            atoms.numbers, positions / BOHR, cell / BOHR, np.arange(3) < atoms.pbc.sum()
        )
        found = model.get_dispersion(param=self._damping, grad=True)
        energy = HARTREE * float(found["energy"])
        forces = -HARTREE / BOHR * np.asarray(found["gradient"]) @ turn.T
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        if atoms.pbc.any() and atoms.cell.volume > 0:
            stress = HARTREE * turn @ np.asarray(found["virial"]) @ turn.T / atoms.cell.volume
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)
        elif "stress" in properties:
            raise PropertyUnavailableError("The structure has no stress: it has no volume.")


def _in_a_box(atoms: Atoms) -> tuple[Floats, Floats, Floats]:
    """Positions and cell for the library, and the axes they are in (columns), (3, 3).

    The library (1.7) folds atoms along open directions as well, wants a vector there, and mixes up
    the rows and columns of a leaning cell that is periodic along some of its vectors only
    (https://github.com/dftd3/simple-dftd3/issues/185). So the periodic vectors come first, along
    the first axes, and the atoms lie inside of what is open.
    """
    vectors = atoms.cell.array[atoms.pbc]
    k = len(vectors)
    turn, triangle = np.linalg.qr(vectors.T, mode="complete")
    turn = turn * np.append(np.where(np.diag(triangle) < 0, -1, 1), np.ones(3 - k))
    positions = atoms.positions @ turn
    low, high = positions.min(axis=0), positions.max(axis=0)
    cell = np.diag(high - low + 2 * _MARGIN)
    cell[:k] = vectors @ turn
    positions[:, k:] += _MARGIN - low[k:]
    return positions, cell, turn


def _library() -> Any:
    """The interface of the package dftd3, which is optional."""
    try:
        return importlib.import_module("dftd3.interface")
    except ImportError as error:
        raise ConfigError(
            "Dispersion by D3 needs the package dftd3, which is not installed; "
            "'pip install ladera[dispersion]' brings it."
        ) from error


def _functionals() -> list[str]:
    """The functionals that have parameters."""
    text = resources.files("dftd3").joinpath("parameters.toml").read_text(encoding="utf-8")
    methods = tomllib.loads(text)["parameter"]
    return sorted(name for name, entry in methods.items() if "bj" in entry.get("d3", ()))


def _check_elements(atoms: Atoms) -> None:
    unknown = np.flatnonzero((atoms.numbers < 1) | (atoms.numbers > HEAVIEST))
    if len(unknown):
        atom = int(unknown[0])
        raise DataError(
            f"Atom {atom} is {chemical_symbols[atoms.numbers[atom]]}, and D3 has parameters from H "
            f"to {chemical_symbols[HEAVIEST]}."
        )
