"""What a symmetry function is: its kind and parameters, in the words of its users."""

from __future__ import annotations

from typing import Literal, get_args

from ase.data import atomic_numbers
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    field_validator,
    model_validator,
)

Kind = Literal["radial", "narrow", "wide"]

# In the order of their numbers in RuNNer's and n2p2's `cutoff_type`.
CutoffFunction = Literal[
    "hard",
    "cosine",
    "tanh3",
    "tanh3_normalized",
    "exponential",
    "poly1",
    "poly2",
    "poly3",
    "poly4",
]
CUTOFF_FUNCTIONS: tuple[CutoffFunction, ...] = get_args(CutoffFunction)


class SymmetryFunction(BaseModel):
    r"""One atom-centred symmetry function (Behler, J. Chem. Phys. 134, 074106 (2011)).

    With g(r) = exp(-eta (r - shift)^2) f_c(r):

        radial, G2:   G = sum_j g(r_ij)
        narrow, G3:   G = 2^(1-zeta) sum_{j<k} (1 + lambda cos theta_jik)^zeta
                          g(r_ij) g(r_ik) g(r_jk)
        wide, G9:     the same without g(r_jk)

    over neighbours j (and k) of the given elements. eta in 1/Angstrom^2, lengths in Angstrom.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    kind: Kind = Field(description="radial (G2), narrow (G3) or wide (G9).")
    center: str = Field(description="Element of the central atom.")
    neighbors: tuple[str, ...] = Field(description="Element of j, or of j and k.")
    eta: NonNegativeFloat = Field(description="Gaussian exponent, 1/Angstrom^2.")
    cutoff: PositiveFloat = Field(description="Cutoff radius, Angstrom.")
    shift: float = Field(default=0.0, description="Centre of the Gaussian, Angstrom.")
    lambda_: float | None = Field(default=None, alias="lambda", description="Usually 1 or -1.")
    zeta: PositiveFloat | None = Field(default=None, description="Angular exponent, at least 1.")

    @field_validator("neighbors")
    @classmethod
    def _sorted_by_atomic_number(cls, neighbors: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [symbol for symbol in neighbors if symbol not in atomic_numbers]
        if unknown:
            raise ValueError(f"'{unknown[0]}' is not a chemical symbol")
        return tuple(sorted(neighbors, key=atomic_numbers.__getitem__))

    @model_validator(mode="after")
    def _complete(self) -> SymmetryFunction:
        wanted = 1 if self.kind == "radial" else 2
        if len(self.neighbors) != wanted:
            raise ValueError(f"a {self.kind} function has {wanted} neighbour element(s)")
        angular = (self.lambda_, self.zeta)
        if self.kind == "radial" and angular != (None, None):
            raise ValueError("a radial function has neither lambda nor zeta")
        if self.kind != "radial" and None in angular:
            raise ValueError(f"a {self.kind} function needs lambda and zeta")
        if self.zeta is not None and self.zeta < 1:
            raise ValueError("zeta below 1 has an infinite slope at theta = 180 degrees")
        return self

    @property
    def sort_key(self) -> tuple[float, ...]:
        """Order inside one central element, that of RuNNer and n2p2."""
        number = {"radial": 2, "narrow": 3, "wide": 9}[self.kind]
        elements = tuple(float(atomic_numbers[symbol]) for symbol in self.neighbors)
        radial = (float(number), self.cutoff, self.eta, self.shift)
        if self.lambda_ is None or self.zeta is None:
            return (*radial, *elements)
        return (*radial, self.zeta, self.lambda_, *elements)
