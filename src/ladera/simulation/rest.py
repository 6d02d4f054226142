"""When a structure is at rest, and the steps of an optimiser towards it.

The pull on a cell has a limit of its own, a stress. ASE's one limit for all counts the virial per
atom as a force: 0.01 eV for an atom of 10 cubic Angstrom is 0.16 GPa, a strain of a tenth of a
per cent in a metal and of several per cent in a molecular crystal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np

from ladera.arrays import Floats
from ladera.errors import SimulationError
from ladera.units import GIGAPASCAL

if TYPE_CHECKING:
    from ase import Atoms

OptimizerName = Literal["lbfgs", "bfgs", "fire"]

# GPa: a strain of 0.2 % of what yields softest in a molecular crystal, with some 5 GPa.
STRESS_LIMIT: Final = 0.01
# GPa for each eV/Angstrom of a tighter force: what rounding leaves of both differs by about this.
_STRESS_BY_FORCE: Final = 10.0
_LOGARITHM_TERMS: Final = 200  # enough for a cell that is stretched tenfold


@dataclass(frozen=True)
class Rest:
    """What may be left: the largest force on an atom, and the largest stress of a free cell."""

    force: float  # eV/Angstrom
    stress: float | None = None  # GPa, of each component; None where the cell is held

    @classmethod
    def of(cls, fmax: float, smax: float | None, *, cell: bool) -> Self:
        """The limits that were asked for.

        Without ``smax`` (GPa) a free cell has 0.01 GPa, and less where ``fmax`` (eV/Angstrom) is
        below 0.001: ten times its number. Raises SimulationError for limits that make no sense.
        """
        for name, limit, unit in (("fmax", fmax, "eV/Angstrom"), ("smax", smax, "GPa")):
            if limit is not None and not (math.isfinite(limit) and limit > 0):
                raise SimulationError.of(
                    name, f"{limit:g} {unit}", "it must be finite and above zero"
                )
        if cell:
            tight = min(STRESS_LIMIT, _STRESS_BY_FORCE * fmax)
            return cls(fmax, tight if smax is None else smax)
        if smax is not None:
            raise SimulationError(
                "--smax (smax in Python) limits the stress of a cell that is relaxed; give --cell "
                "(cell=True) as well, or leave it out."
            )
        return cls(fmax)

    def reached(self, atoms: Atoms) -> bool:
        """Whether no more than this is left, of what the constraints leave free."""
        if not largest_force(atoms) < self.force:
            return False
        return self.stress is None or largest_stress(atoms) < self.stress

    def left(self, force: float, stress: float | None) -> str:
        """What is left beside what may be, in words."""
        words = f"largest force {force:.3g} of {self.force:g} eV/Angstrom"
        if self.stress is not None and stress is not None:
            words += f", largest stress {stress:.3g} of {self.stress:g} GPa"
        return words


def largest_force(atoms: Atoms) -> float:
    """Length of the largest force on an atom, eV/Angstrom, without what is held."""
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


def largest_stress(atoms: Atoms) -> float:
    """The largest component of the stress, GPa, symmetric where the symmetry is kept."""
    stress: Any = atoms.get_stress()
    return float(np.abs(stress).max() / GIGAPASCAL)


def descend(
    atoms: Atoms, rest: Rest, *, steps: int, optimizer: OptimizerName = "lbfgs"
) -> Iterator[bool]:
    """Move the atoms, and the cell if it has a limit, in place, with ASE's optimisers.

    Whether ``rest`` is reached, at the start and after each step; the last time when it is, or
    after ``steps``.
    """
    from ase.optimize import BFGS, FIRE, LBFGS

    kind = {"lbfgs": LBFGS, "bfgs": BFGS, "fire": FIRE}[optimizer]
    target = atoms if rest.stress is None else _with_cell(atoms)
    for _ in kind(target, logfile=None).irun(fmax=0.0, steps=steps):
        reached = rest.reached(atoms)
        yield reached
        if reached:
            return


def _with_cell(atoms: Atoms) -> Any:
    """The atoms and their cell as ASE's optimisers move them together."""
    from ase.filters import FrechetCellFilter

    both: Any = FrechetCellFilter(atoms)
    # SciPy's prints warnings of its last digits, which no step depends on. ASE has moved it.
    getattr(both, "_utility", both).logm = _logarithm
    return both


def _logarithm(matrix: Floats) -> Floats:
    r"""Logarithm of a multiple of a cell's deformation, (3, 3).

        log M = log s + 2 sum_k X^(2k+1) / (2k+1),  X = (M/s - 1) (M/s + 1)^-1,  s = det(M)^(1/3)

    ASE 3.29 asks for that of the deformation times the number of atoms: without ``s`` the series
    of a cell of a hundred atoms has not ended after some hundred terms.

    Raises SimulationError for a cell that has turned inside out or is stretched beyond all measure.
    """
    one, scale = np.eye(3), float(np.cbrt(np.linalg.det(matrix)))
    if scale > 0:
        unit = matrix / scale
        power = np.asarray(np.linalg.solve((unit + one).T, (unit - one).T).T, dtype=float)
        square, total = power @ power, np.zeros((3, 3))
        for k in range(_LOGARITHM_TERMS):
            total += 2 / (2 * k + 1) * power
            power = power @ square
            if np.abs(power).max() < 1e-18:
                return total + math.log(scale) * one
    raise SimulationError("the cell has turned inside out, or one of its sides is far too long")
