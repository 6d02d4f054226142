"""One descriptor of one atom beyond what a model was trained on."""

from __future__ import annotations

from typing import NamedTuple


class Extrapolation(NamedTuple):
    """A descriptor of an atom outside the range that it had in the training data."""

    atom: int
    element: str
    function: int  # number among the functions of the element, from 1 in the order of n2p2
    kind: int  # type of the function in n2p2
    value: float
    minimum: float
    maximum: float

    def __str__(self) -> str:
        """One readable line, without the structure it is in."""
        beyond = max(self.value - self.maximum, self.minimum - self.value)
        return (
            f"atom {self.atom} ({self.element}): symmetry function {self.function} (type "
            f"{self.kind}) is {self.value:.6g}, by {beyond:.2g} outside {self.minimum:.6g} to "
            f"{self.maximum:.6g}"
        )
