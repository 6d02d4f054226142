"""What a check found, and what rounding allows two ways to the same number to differ by."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats
    from ladera.properties.checks.engine import Answer

DOUBLE: Final = float(np.finfo(np.float64).eps)
LOST: Final = 1e3  # roundings that a model makes of one: three digits of its precision
_SCATTER: Final = 10.0  # roundings of everything a model is made of, that an energy scatters by
_SURE: Final = 4.0  # standard deviations of a sum that its rounding may be
_LEAST: Final = 0.3  # eV/Angstrom, of forces that rounding is a share of
_REACH: Final = 20.0  # Angstrom, over which forces make a virial, at the cutoff with its rounding


@dataclass(frozen=True)
class Row:
    """One line: how large the worst disagreement is, and how large it may be.

    It fails where ``found`` is no number, and was not checked where ``allowed`` is none: then
    ``note`` says why.
    """

    name: str
    found: float
    allowed: float
    unit: str = ""
    note: str = ""

    @classmethod
    def skipped(cls, name: str, why: str) -> Self:
        """One that could not be checked."""
        return cls(name, math.nan, math.nan, note=why)

    @property
    def was_checked(self) -> bool:
        """Whether there is something to pass."""
        return not math.isnan(self.allowed)

    @property
    def passed(self) -> bool:
        """Whether it agrees; True for one that was not checked."""
        return not self.was_checked or self.found <= self.allowed

    @property
    def share(self) -> float:
        """What was found as a share of what is allowed; infinite for no number."""
        share = self.found / self.allowed if self.allowed > 0 else math.inf * bool(self.found)
        return math.inf if math.isnan(share) else share


def worst(rows: Iterable[Row]) -> Row:
    """The one that is farthest from what is allowed."""
    return max(rows, key=lambda row: row.share)


def best(tries: Iterable[Row]) -> Row:
    """The first that passes, or else the one that comes nearest to it.

    Of the same check by shorter and shorter steps: what is wrong stays wrong, while what a step
    brings, such as a pair of atoms that it carries through the cutoff, goes.
    """
    found = list[Row]()
    for row in tries:
        if row.passed:
            return row
        found.append(row)
    return min(found, key=lambda row: row.share)


@dataclass(frozen=True)
class Rounding:
    """Largest differences between two ways to the same numbers, by nothing but rounding.

    Each number may lose three digits of the precision e in which it is computed: forces 1000 e F
    with F the largest of them, or the virial of an atom over an Angstrom where forces cancel (at
    least 0.3 eV/Angstrom), energies F times an Angstrom for each atom, and what their sum in double
    precision loses (:func:`summed`). The energy may scatter by ten roundings of positions, e F
    times an Angstrom for each atom, and of parameters (:mod:`.conditioning`), at random. Measured,
    in both precisions: 0.02 to 0.7 such roundings of all architectures, 1 to 4 of published
    networks and of some with random coefficients; sums 0.1 to 0.8 of theirs.
    """

    energy: float  # eV
    forces: float  # eV/Angstrom
    stress: float  # eV/Angstrom^3
    energies: float  # eV
    noise: float  # eV, standard deviation of the energy

    @classmethod
    def of(
        cls, answer: Answer, atoms: Atoms, epsilon: float, conditioning: float | None = None
    ) -> Self:
        """Of a structure, by what was said of it.

        ``conditioning`` (eV) is that of :func:`.conditioning.conditioning`. Without it the energy
        may scatter by the three digits that numbers may lose.
        """
        n = len(atoms)
        volume = atoms.cell.volume if atoms.cell.rank == 3 else math.inf
        virial = 0.0 if answer.stress is None else volume * largest(answer.stress) / n
        forces = LOST * epsilon * max(_LEAST, largest(answer.forces), virial)
        one = 0.0 if answer.energies is None else largest(answer.energies)
        of_sum = summed(n) * DOUBLE * max(abs(answer.energy), n * one)
        scatter = math.sqrt(n) * forces
        if conditioning is not None:
            scatter = _SCATTER * math.hypot(scatter / LOST, epsilon * conditioning)
        return cls(
            energy=n * forces + _SURE * of_sum,
            forces=forces,
            stress=n * forces * _REACH / volume,
            energies=forces + _SURE * summed(1) * DOUBLE * one,
            noise=scatter + of_sum,
        )

    def compare(self, name: str, given: Answer, expected: Answer, note: str = "") -> Row:
        """The quantity in which two answers differ most, as a share of what they may."""
        pairs = (
            ("energy", given.energy, expected.energy, self.energy, "eV"),
            ("forces", given.forces, expected.forces, self.forces, "eV/Angstrom"),
            ("stress", given.stress, expected.stress, self.stress, "eV/Angstrom^3"),
            ("atomic energies", given.energies, expected.energies, self.energies, "eV"),
        )
        rows = [
            Row(
                f"{name}: {what}", largest(np.asarray(one) - np.asarray(other)), allowed, unit, note
            )
            for what, one, other, allowed, unit in pairs
            if one is not None and other is not None
        ]
        return worst(rows)


def summed(n: int) -> float:
    r"""The standard deviation of a sum of n numbers of one sign, in roundings of the sum S.

    Its partial sums k S / n are each rounded by 1 / sqrt(12) of their last digit, which together is

        sqrt( sum_k (k / n)^2 / 12 ) = sqrt(n) / 6

    and conversions of units bring one more at most.
    """
    return 1 + math.sqrt(n) / 6


def largest(values: Floats) -> float:
    """The largest absolute value; NaN where there is one."""
    return float(np.max(np.abs(values), initial=0.0))
