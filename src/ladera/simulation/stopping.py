"""When to end a run because the model no longer knows what it meets: one rule for all who ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ladera.errors import SimulationError
from ladera.extrapolation import LOST, in_words
from ladera.quantities import FORCES

if TYPE_CHECKING:
    from ladera.arrays import Floats
    from ladera.potential import LaderaCalculator, Potential


@dataclass(frozen=True)
class StopRule:
    """Limits of what a structure may be; None is no limit.

    ``grade`` is that of an atom (:meth:`ladera.potential.Potential.grade`): 1 is the edge of the
    training domain. ``deviation`` is that of an atom's force in a committee, eV/Angstrom:

        |sigma_i| = sqrt( sum_a sigma_ia^2 ),    a = x, y, z

    with the standard deviations sigma of the components, calibrated if the committee is.
    """

    grade: float | None = None
    deviation: float | None = None
    asked: bool = True  # whether somebody has set it

    @classmethod
    def of(cls, grade: float | None, deviation: float | None, potential: Potential) -> StopRule:
        """The rule of settings: a grade of 0 is none, and None that of a model's active set."""
        if grade is not None:
            return cls(grade or None, deviation)
        default = LOST if potential.is_active_set_known else None
        return cls(default, deviation, asked=deviation is not None)

    def require_known(self, calculator: LaderaCalculator) -> None:
        """SimulationError where the model has not what the rule looks at.

        With the calculator's results of any structure.
        """
        architecture = calculator.potential.config.architecture
        if self.deviation is not None and not calculator.potential.members:
            what = f"a single {architecture} model has no deviation, so take a committee"
            raise SimulationError.of("stop_deviation", f"{self.deviation:g} eV/Angstrom", what)
        if self.grade is not None and calculator.grade() is None:
            what = (
                f"the {architecture} model keeps no record of its training domain, so take one "
                "with an active set ('ladera grade' makes one), with symmetry functions, a "
                "calibrated committee, or leave it out"
            )
            raise SimulationError.of("stop_grade", f"{self.grade:g}", what)

    def breach(self, calculator: LaderaCalculator) -> str | None:
        """What breaks the rule in the calculator's last structure, in words; None within limits."""
        found: list[str] = []
        grades = calculator.grade() if self.grade is not None else None
        if grades is not None and self.grade is not None and grades.max() > self.grade:
            atom = int(grades.argmax())
            reasons = [each for each in calculator.explain_grade() if each.atom == atom]
            why = in_words(reasons)
            found.append(
                f"{_name(calculator, atom)} has the grade {grades[atom]:.3g}, above stop_grade = "
                f"{self.grade:g}" + (f" ({why})" if why else "")
            )
        deviations = force_deviations(calculator) if self.deviation is not None else None
        if deviations is not None and self.deviation is not None:
            atom = int(deviations.argmax())
            if deviations[atom] > self.deviation:
                found.append(
                    f"the force on {_name(calculator, atom)} deviates by {deviations[atom]:.3g} "
                    f"eV/Angstrom in the committee, above stop_deviation = {self.deviation:g}"
                )
        return "; ".join(found) or None


def force_deviations(calculator: LaderaCalculator) -> Floats | None:
    """|sigma_i| of each atom of the last structure, eV/Angstrom; None of a single model."""
    prediction = calculator.prediction
    if not prediction.members:
        return None
    with torch.no_grad():
        values: Floats = prediction.std[FORCES].norm(dim=1).cpu().numpy()
    return values


def _name(calculator: LaderaCalculator, atom: int) -> str:
    symbols = calculator.atoms.symbols  # type: ignore[union-attr]
    return f"atom {atom} ({symbols[atom]})"
