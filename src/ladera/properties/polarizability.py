"""Polarisability of a molecule: a calculator's own, or how its dipole answers an electric field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ase.calculators.calculator import PropertyNotImplementedError

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.properties.memory import RememberingCalculator
from ladera.units import COULOMB

if TYPE_CHECKING:
    from ase import Atoms

FIELD: Final = 0.05  # V/Angstrom: far above the noise of a self-consistent dipole, and weak
_KEYWORD: Final = "electric_field"  # of calculators that take one, in V/Angstrom
_PROPERTY: Final = "polarizability"


class _Field(list[float]):
    """A field that can be multiplied like an array and goes into C like a list.

    tblite (0.8) multiplies what it is given and hands it on as a pointer, which an array is not.
    """

    def __mul__(self, factor: Any) -> _Field:
        return _Field(each * float(factor) for each in self)

    def __truediv__(self, divisor: Any) -> _Field:
        return self * (1 / float(divisor))


class Polarizability:
    r"""The polarisability of structures like one, by its calculator, as a volume in Angstrom^3.

    Of a calculator with the property ``polarizability`` (e^2 Angstrom^2/eV, as ASE has it) that,
    and of one with an option ``electric_field`` (V/Angstrom), as tblite's, by central differences

        alpha_ij = [mu_i(F_j = f) - mu_i(F_j = -f)] / (2 f) * e^2 / (4 pi epsilon_0),    f = 0.05

    made symmetric. Raises PropertyError for any other, all models of Ladera among them.
    """

    def __init__(self, atoms: Atoms) -> None:
        self._memory = atoms.calc if isinstance(atoms.calc, RememberingCalculator) else None
        potential = getattr(atoms.calc, "potential", None)
        self._calculator: Any = getattr(potential, "ase_calculator", atoms.calc)
        self._own = _PROPERTY in getattr(self._calculator, "implemented_properties", ())
        options = getattr(self._calculator, "parameters", None)
        if not self._own and not (isinstance(options, Mapping) and _KEYWORD in options):
            raise PropertyError(
                "The model, or calculator, gives no polarisability and takes no electric_field, "
                "and Raman intensities are made of the polarisability's changes; take an ASE "
                "calculator that does, such as --calculator tblite.ase:TBLite, or look at the "
                "infrared spectrum with `ladera ir`."
            )
        if not self._own and "dipole" not in self._calculator.implemented_properties:
            raise PropertyError(
                "The calculator takes an electric_field and gives no dipole to answer it; take "
                "one that gives both, or a polarizability."
            )

    @property
    def origin(self) -> str:
        """How it is made, for people."""
        return "the calculator's own" if self._own else f"dipoles in fields of {FIELD:g} V/Å"

    def __call__(self, atoms: Atoms) -> Floats:
        """Of one structure, (3, 3), Angstrom^3."""
        if self._memory is None:
            return self._of(atoms)
        kept = self._memory.remember(atoms, self.origin, lambda: {"tensor": self._of(atoms)})
        tensor: Floats = kept["tensor"]
        return tensor

    def derivatives(self, atoms: Atoms, step: float) -> Floats:
        """Central differences for displacements of ``step`` (Angstrom), (3 n_atoms, 3, 3), A^2."""
        slopes = np.empty((3 * len(atoms), 3, 3))
        for i, move in enumerate(step * np.eye(3 * len(atoms)).reshape(-1, len(atoms), 3)):
            ends = []
            for sign in (1, -1):
                copy = atoms.copy()
                copy.set_constraint()
                copy.positions += sign * move
                ends.append(self(copy))
            slopes[i] = (ends[0] - ends[1]) / (2 * step)
        return slopes

    def _of(self, atoms: Atoms) -> Floats:
        plain = atoms.copy()
        plain.calc = None
        try:
            tensor = self._given(plain) if self._own else self._by_fields(plain)
        except (PropertyNotImplementedError, NotImplementedError) as error:
            raise PropertyError(
                f"The calculator {type(self._calculator).__name__} gives no polarisability of "
                f"{atoms.get_chemical_formula()} after all ({error}); take another."
            ) from error
        if tensor.shape != (3, 3) or not np.isfinite(tensor).all():
            raise PropertyError(
                f"The calculator {type(self._calculator).__name__} gives a polarisability of shape "
                f"{tensor.shape}; nine finite numbers (3, 3) in e^2 Angstrom^2/eV are expected."
            )
        return COULOMB * (tensor + tensor.T) / 2

    def _given(self, atoms: Atoms) -> Floats:
        return np.asarray(self._calculator.get_property(_PROPERTY, atoms), dtype=float)

    def _by_fields(self, atoms: Atoms) -> Floats:
        before = self._calculator.parameters[_KEYWORD]
        start = np.zeros(3) if before is None else np.asarray(before, dtype=float)
        columns = []
        try:
            for field in FIELD * np.eye(3):
                dipoles = []
                for sign in (1, -1):
                    self._set(_Field((start + sign * field).tolist()))
                    dipoles.append(np.array(self._calculator.get_property("dipole", atoms)))
                columns.append((dipoles[0] - dipoles[1]) / (2 * FIELD))
        finally:
            self._set(before)
        return np.array(columns).T

    def _set(self, field: Any) -> None:
        self._calculator.set(**{_KEYWORD: field})
        self._calculator.reset()  # few calculators forget their results by themselves
