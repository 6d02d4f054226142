"""What a symmetry function is: its kind and parameters, in the words of its users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, get_args

from ase.data import atomic_numbers
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    field_serializer,
    field_validator,
    model_validator,
)

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

# In the order in which n2p2 sorts their names e, p1, p1a, p2, ...
Shape = Literal[
    "exponential",
    "poly1",
    "poly1_asymmetric",
    "poly2",
    "poly2_asymmetric",
    "poly3",
    "poly3_asymmetric",
    "poly4",
    "poly4_asymmetric",
]
SHAPES: tuple[Shape, ...] = get_args(Shape)


# The cosine of a shifted function's angle is made smaller by this, as in TorchANI: the angle then
# stays away from 0 and 180 degrees, where the arc cosine has no derivative.
COSINE_FACTOR: Final = 0.95
# Beyond this the moments cost more than the triplets of any realistic neighbourhood.
LARGEST_DEGREE: Final = 32


class _Function(BaseModel):
    """What all families share.

    ``NUMBERS`` gives each kind its number in RuNNer and n2p2; above 100 are kinds that these lack.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    NUMBERS: ClassVar[dict[str, int]]

    kind: str
    center: str = Field(description="Element of the central atom.")
    neighbors: tuple[str, ...] = Field(
        default=(), description="Element of j, or of j and k; none for a weighted function."
    )
    cutoff: PositiveFloat = Field(description="Cutoff radius, Angstrom.")

    @field_validator("center", "neighbors")
    @classmethod
    def _sorted_by_atomic_number(cls, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
        symbols = (given,) if isinstance(given, str) else given
        unknown = [symbol for symbol in symbols if symbol not in atomic_numbers]
        if unknown:
            raise ValueError(f"'{unknown[0]}' is not a chemical symbol")
        if isinstance(given, str):
            return given
        return tuple(sorted(given, key=atomic_numbers.__getitem__))

    @model_validator(mode="after")
    def _right_number_of_neighbors(self) -> _Function:
        wanted = 0 if self.sums_over_all else 2 if self.angular else 1
        if len(self.neighbors) != wanted:
            raise ValueError(f"a {self.kind} function has {wanted} neighbour element(s)")
        return self

    @property
    def about(self) -> str:
        """What it looks at, in a chemist's words: distances to O, or angles O-Al-O."""
        if not self.neighbors:
            return (
                "angles between all neighbours" if self.angular else "distances to all neighbours"
            )
        if self.angular:
            return f"angles {self.neighbors[0]}-{self.center}-{self.neighbors[1]}"
        return f"distances to {self.neighbors[0]}"

    @property
    def number(self) -> int:
        """Its type in RuNNer and n2p2, if these have such a kind."""
        return self.NUMBERS[self.kind]

    @property
    def angular(self) -> bool:
        """Whether it is a sum over pairs of neighbours."""
        return not self.kind.endswith("radial")

    @property
    def narrow(self) -> bool:
        """Whether it has a factor that depends on the distance between j and k."""
        return self.kind.endswith("narrow")

    @property
    def in_n2p2(self) -> bool:
        """Whether RuNNer or n2p2 have such a kind."""
        return self.number < 100

    @property
    def sums_over_all(self) -> bool:
        """Whether it sums over neighbours of all elements, each with its weight."""
        return self.kind.startswith("weighted")

    def weight(self, symbol: str) -> float:
        """The factor of a neighbour: its atomic number in the weighted kinds, mostly 1."""
        return float(atomic_numbers[symbol]) if self.sums_over_all else 1.0

    @property
    def _elements(self) -> tuple[float, ...]:
        return tuple(float(atomic_numbers[symbol]) for symbol in self.neighbors)


class GaussianFunction(_Function):
    r"""A symmetry function made of Gaussians (Behler, J. Chem. Phys. 134, 074106 (2011)).

    With g(r) = exp(-eta (r - shift)^2) f_c(r):

        radial, G2:   G = sum_j g(r_ij)
        narrow, G3:   G = 2^(1-zeta) sum_{j<k} (1 + lambda cos theta_jik)^zeta
                          g(r_ij) g(r_ik) g(r_jk)
        wide, G9:     the same without g(r_jk)

    over neighbours j (and k) of the given elements. The weighted kinds (Gastegger et al., J. Chem.
    Phys. 148, 241709 (2018)) sum over neighbours of all elements, each term times Z_j (and Z_k).
    eta in 1/Angstrom^2, lengths in Angstrom.
    """

    NUMBERS = {"radial": 2, "narrow": 3, "wide": 9, "weighted_radial": 12, "weighted_narrow": 13}

    kind: Literal["radial", "narrow", "wide", "weighted_radial", "weighted_narrow"] = Field(
        description="radial (G2), narrow (G3), wide (G9), weighted_radial or weighted_narrow."
    )
    eta: NonNegativeFloat = Field(description="Gaussian exponent, 1/Angstrom^2.")
    shift: float = Field(default=0.0, description="Centre of the Gaussian, Angstrom.")
    lambda_: float | None = Field(default=None, alias="lambda", description="Usually 1 or -1.")
    zeta: float | None = Field(
        default=None,
        description="Angular exponent, at least 1. (Negative ones, which are infinite at an angle, "
        "are in published potentials by mistake.)",
    )

    @model_validator(mode="after")
    def _complete(self) -> GaussianFunction:
        angular = (self.lambda_, self.zeta)
        if not self.angular and angular != (None, None):
            raise ValueError("a radial function has neither lambda nor zeta")
        if self.angular and None in angular:
            raise ValueError(f"a {self.kind} function needs lambda and zeta")
        if self.zeta is not None and 0 <= self.zeta < 1:
            raise ValueError(
                f"zeta = {self.zeta} is below 1, which makes the forces infinite where "
                "lambda cos(theta) = -1; choose 1 or more"
            )
        return self

    @property
    def sort_key(self) -> tuple[float, ...]:
        """Order inside one central element, that of RuNNer and n2p2."""
        radial = (float(self.number), self.cutoff, self.eta, self.shift)
        if self.lambda_ is None or self.zeta is None:
            return (*radial, *self._elements)
        return (*radial, self.zeta, self.lambda_, *self._elements)


class PolynomialFunction(_Function):
    r"""A symmetry function with compact support (Bircher, Singraber, Dellago,
    Mach. Learn.: Sci. Technol. 2, 035026 (2021)).

    With C(x; l, r) = s(|x - m| / h), m = (l + r)/2 and h = (r - l)/2, for l < x < r, 0 elsewhere:

        polynomial_radial:   G = sum_j C(r_ij)
        polynomial_narrow:   G = sum_{j<k} A(theta_jik) C(r_ij) C(r_ik) C(r_jk)
        polynomial_wide:     the same without C(r_jk)

    where C(r) has l = inner, r = cutoff, and A(theta) has l, r = angle_left, angle_right. The
    weighted kinds sum over neighbours of all elements, each term times Z_j (and Z_k). The shape is

        poly1        s(t) = 1 - 3 t^2 + 2 t^3
        poly2        s(t) = 1 - 10 t^3 + 15 t^4 - 6 t^5
        poly3        s(t) = 1 - 35 t^4 + 84 t^5 - 70 t^6 + 20 t^7
        poly4        s(t) = 1 - 126 t^5 + 420 t^6 - 540 t^7 + 315 t^8 - 70 t^9
        exponential  s(t) = exp(1 - 1 / (1 - t^2))

    and the asymmetric ones have t (2 - t) in place of t in C(r), though not in A(theta).
    """

    NUMBERS = {
        "polynomial_radial": 20,
        "polynomial_narrow": 21,
        "polynomial_wide": 22,
        "weighted_polynomial_radial": 23,
        "weighted_polynomial_narrow": 24,
        "weighted_polynomial_wide": 25,
    }

    kind: Literal[
        "polynomial_radial",
        "polynomial_narrow",
        "polynomial_wide",
        "weighted_polynomial_radial",
        "weighted_polynomial_narrow",
        "weighted_polynomial_wide",
    ] = Field(description="polynomial_radial, _narrow or _wide; weighted_ before it if so.")
    inner: float = Field(
        description="Where the radial part begins, Angstrom; minus the cutoff centres it at 0."
    )
    angle_left: float | None = Field(
        default=None, description="Where the angular part begins, degrees."
    )
    angle_right: float | None = Field(
        default=None, description="Where the angular part ends, degrees."
    )
    shape: Shape = Field(description="How it falls from the middle to the ends of its range.")

    @model_validator(mode="after")
    def _complete(self) -> PolynomialFunction:
        if self.inner >= self.cutoff:
            raise ValueError(f"inner = {self.inner} must be below the cutoff {self.cutoff}")
        window = (self.angle_left, self.angle_right)
        if not self.angular and window != (None, None):
            raise ValueError("a radial function has neither angle_left nor angle_right")
        if not self.angular:
            return self
        if self.angle_left is None or self.angle_right is None:
            raise ValueError(f"a {self.kind} function needs angle_left and angle_right")
        if self.angle_left >= self.angle_right:
            raise ValueError(f"angle_left and angle_right {window} must be ascending")
        leaves = self.angle_left < 0 or self.angle_right > 180
        if leaves and self.angle_left + self.angle_right not in (0, 360):
            raise ValueError(
                f"the angles {window} may only leave 0 to 180 degrees when their middle is 0 or "
                "180; elsewhere the forces would jump at that angle"
            )
        return self

    @property
    def sort_key(self) -> tuple[float, ...]:
        """Order inside one central element, that of n2p2."""
        kind = (float(self.number), float(SHAPES.index(self.shape)))
        radial = (*kind, *self._elements, self.cutoff, self.inner)
        if self.angle_left is None or self.angle_right is None:
            return radial
        return (*radial, self.angle_left, self.angle_right)


class ShiftedFunction(_Function):
    r"""A wide function with a shift of its angle (Smith, Isayev, Roitberg, Chem. Sci. 8, 3192
    (2017)).

        shifted_wide:   G = 2^(1-zeta) sum_{j<k} (1 + cos(theta_jik - angle))^zeta
                            exp(-eta [(r_ij + r_ik)/2 - shift]^2) f_c(r_ij) f_c(r_ik)

    over neighbours j and k of the given elements. theta is arccos(0.95 cos theta') of the angle
    theta' between the two, as in TorchANI, so that the forces of atoms on a line are continuous.
    """

    NUMBERS = {"shifted_wide": 101}

    kind: Literal["shifted_wide"] = Field(description="shifted_wide, the angular functions of ANI.")
    eta: NonNegativeFloat = Field(description="Gaussian exponent, 1/Angstrom^2.")
    shift: float = Field(
        default=0.0, description="Centre of the Gaussian of the mean distance, Angstrom."
    )
    zeta: Annotated[float, Field(ge=1)] = Field(description="Angular exponent, at least 1.")
    angle: Annotated[float, Field(ge=0, le=180)] = Field(
        description="Where the angular part is largest, degrees."
    )

    @property
    def sort_key(self) -> tuple[float, ...]:
        """Order inside one central element."""
        number = float(self.number)
        radial = (number, self.cutoff, self.eta, self.shift)
        return (*radial, self.zeta, self.angle, *self._elements)


class ChebyshevFunction(_Function):
    r"""A coefficient of the radial or angular distribution of all neighbours in Chebyshev
    polynomials T_n (Artrith, Urban, Ceder, Phys. Rev. B 96, 014112 (2017)).

        chebyshev_radial:    G = sum_j w_j T_n(2 r_ij / r_c - 1) f_c(r_ij)
        chebyshev_angular:   G = sum_{j<k} w_j w_k T_n(cos theta_jik) f_c(r_ij) f_c(r_ik)

    n is the order. The weights w of the elements are 1, which describes the structure, or other
    numbers, which tell the elements apart.
    """

    NUMBERS = {"chebyshev_radial": 111, "chebyshev_angular": 112}

    kind: Literal["chebyshev_radial", "chebyshev_angular"] = Field(
        description="chebyshev_radial or chebyshev_angular, over neighbours of all elements."
    )
    order: NonNegativeInt = Field(description="Order n of the polynomial.")
    weights: tuple[tuple[str, float], ...] = Field(
        default=(), description="Weight of each neighbour element, such as {H: -1, O: 1}; else 1."
    )

    @field_validator("weights", mode="before")
    @classmethod
    def _pairs_of_weights(cls, given: Any) -> Any:
        """A mapping as pairs, which can be compared and hashed."""
        return tuple(given.items()) if isinstance(given, Mapping) else given

    @field_validator("weights")
    @classmethod
    def _of_elements(cls, weights: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
        unknown = [symbol for symbol, _ in weights if symbol not in atomic_numbers]
        if unknown:
            raise ValueError(f"'{unknown[0]}' is not a chemical symbol")
        return tuple(sorted(weights, key=lambda pair: atomic_numbers[pair[0]]))

    @field_serializer("weights")
    def _mapping_of_weights(self, weights: tuple[tuple[str, float], ...]) -> dict[str, float]:
        return dict(weights)

    @model_validator(mode="after")
    def _not_too_high(self) -> ChebyshevFunction:
        if self.order > LARGEST_DEGREE:
            raise ValueError(f"order = {self.order} is above {LARGEST_DEGREE}")
        return self

    @property
    def sums_over_all(self) -> bool:
        """Always."""
        return True

    def weight(self, symbol: str) -> float:
        """The factor of a neighbour."""
        return dict(self.weights)[symbol] if self.weights else 1.0

    @property
    def sort_key(self) -> tuple[float, ...]:
        """Order inside one central element: those of the structure come first."""
        weights = tuple(weight for _, weight in self.weights)
        return (float(self.number), self.cutoff, float(len(weights)), *weights, float(self.order))


SymmetryFunction = Annotated[
    GaussianFunction | PolynomialFunction | ShiftedFunction | ChebyshevFunction,
    Field(discriminator="kind"),
]
