"""Why an atom is outside what a model was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from ladera.arrays import Floats


class Extrapolation(NamedTuple):
    """A number that describes an atom, outside the range that it had in the training data.

    A symmetry function; or, with ``function`` None and ``about`` saying which: the standard
    deviation of the atom's force in a committee (eV/Angstrom), whose range ends at the largest of
    the frames of the calibration, gamma of the model's active set, whose range ends at 1, or the
    distance of the nearest neighbour (Angstrom), from the shortest that the model was made for.
    """

    atom: int
    element: str
    function: int | None  # number among the functions of the element, from 1 in the order of n2p2
    kind: int | None  # type of the function in n2p2
    value: float
    minimum: float
    maximum: float
    about: str = ""  # what it is of, such as "angles O-Al-O"
    member: int | None = None  # of a committee, from 0, whose training data had this range

    @property
    def beyond(self) -> float:
        """How far the value is outside."""
        return max(self.value - self.maximum, self.minimum - self.value)

    @property
    def grade(self) -> float:
        """1 + beyond / (maximum - minimum); of what never varied, 1 + beyond."""
        return 1.0 + self.beyond / (self.maximum - self.minimum or 1.0)

    @property
    def name(self) -> str:
        """What has the value, in the words of n2p2."""
        if self.about == ACTIVE_SET:
            return "gamma of the active set"
        if self.about == NEAREST:
            return "distance of the nearest neighbour"
        if self.function is None:
            return "standard deviation of the force"
        return f"symmetry function {self.function} (type {self.kind})"

    @property
    def in_words(self) -> str:
        """What is unusual about the atom, in a chemist's words."""
        if self.about == ACTIVE_SET:
            return (
                f"its surroundings are {self.value:.3g} times as far out as those that span the "
                "training data"
            )
        if self.about == NEAREST:
            return (
                f"its nearest neighbour is {self.value:.3g} Angstrom away, and the model was made "
                f"for {self.minimum:.3g} and more"
            )
        if self.function is None:
            return (
                f"the members of the committee disagree on its force ({self.value:.3g} "
                f"eV/Angstrom, at most {self.maximum:.3g} where it was calibrated)"
            )
        return (
            f"its {self.about} are unlike those of the training data ({self.name} is "
            f"{self.value:.4g}, there {self.minimum:.4g} to {self.maximum:.4g})"
        )

    def __str__(self) -> str:
        """One readable line, without the structure it is in."""
        return (
            f"atom {self.atom} ({self.element}): {self.name} is {self.value:.6g}, by "
            f"{self.beyond:.2g} outside {self.minimum:.6g} to {self.maximum:.6g}"
        )


# What is called so everywhere: the grade of each atom, and the largest one of a structure.
GRADE: Final = "grade"
LARGEST_GRADE: Final = "largest_grade"
# The columns of extrapolation.csv.
COLUMNS: Final = (*Extrapolation._fields[:7], "grade")
ACTIVE_SET: Final = "active set"  # what a reason is about that is a gamma
NEAREST: Final = "nearest neighbour"  # and one that is its distance
# Grades up to which an atom is on the edge of what is known, and not far; from FAR on frames are
# worth labelling, beyond LOST dynamics stops (the habits of Podryabinkin and Shapeev, 2017).
EDGE, FAR, LOST = 1.01, 2.0, 10.0


def row_of(found: Extrapolation) -> dict[str, Any]:
    """A row of extrapolation.csv."""
    return {**found._asdict(), "grade": found.grade}


def farthest(
    grades: Floats, symbols: Sequence[str], reasons: Iterable[Extrapolation]
) -> tuple[float, str]:
    """The largest of the grades of all atoms, and which atom has it and why, in words."""
    atom = int(grades.argmax())
    words = f"atom {atom} ({symbols[atom]}), grade {grades[atom]:.4g} where 1 is the edge"
    why = in_words(each for each in reasons if each.atom == atom)
    return float(grades[atom]), words + (f": {why}" if why else "")


def in_words(reasons: Iterable[Extrapolation]) -> str:
    """Why an atom is outside: the worst of its reasons, and beside a gamma the worst range."""
    ordered = sorted(reasons, key=lambda each: -each.grade)
    ranges = [each for each in ordered[1:] if each.about != ACTIVE_SET]
    told = ordered[:1] + (ranges[:1] if ordered and ordered[0].about == ACTIVE_SET else [])
    return "; ".join(each.in_words for each in told)


def judgement(grade: float) -> str:
    """What the largest grade of atoms that are outside means for their energies; a sentence."""
    if grade <= EDGE:
        return "That is the edge of the training data: nothing to worry about."
    if grade <= FAR:
        return "That is a little outside the training data: compare a few with your reference."
    return "That is far outside the training data: do not trust these energies; label and train."
