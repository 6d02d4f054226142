"""Why an atom is outside what a model was trained on."""

from __future__ import annotations

from typing import Final, NamedTuple


class Extrapolation(NamedTuple):
    """A number that describes an atom, outside the range that it had in the training data.

    A symmetry function; or, with ``function`` None, the standard deviation of the atom's force in
    a committee (eV/Angstrom), whose range ends at the largest of the frames of the calibration.
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
        if self.function is None:
            return "standard deviation of the force"
        return f"symmetry function {self.function} (type {self.kind})"

    @property
    def in_words(self) -> str:
        """What is unusual about the atom, in a chemist's words."""
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


# The columns of extrapolation.csv.
COLUMNS: Final = Extrapolation._fields[:7]
