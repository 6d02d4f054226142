"""From a list of symmetry functions to the tables that the kernels loop over.

Everything a function shares with others is found here, once. A *channel* is one function of the
distance for one pair of central and neighbour element: a Gaussian times f_c, or a compact function.
Radial functions are sums over a channel, weighted ones over the channels of all elements; wide
Gaussian functions are products of moments of channels.

Wide Gaussian functions separate. With Legendre polynomials P_l and real spherical harmonics
normalised such that sum_m Y_lm(u) Y_lm(v) = P_l(u.v),

    2^(1-zeta) (1 + lambda cos theta)^zeta = sum_l kappa_l P_l(cos theta)
    A_lm = sum_{j in element} g(r_j) Y_lm(u_j)                    (one pass over the neighbours)
    G = sum_l kappa_l sum_m A_lm(e1) A_lm(e2)                     (e1 != e2)
    G = sum_l kappa_l sum_m A_lm^2 / 2 - sum_j g_j^2 2^(-zeta) (1 + lambda)^zeta      (e1 == e2)

which costs O(neighbours), and (zeta + 1)^2 moments where monomials would need zeta^3/6. It is
exact for integer zeta and |lambda| <= 1. Chebyshev functions of the angle are such sums too, over
all pairs of elements, times the weights of both.

All other angular functions go over triplets, in *groups* that share elements and radial window. A
*term* is the product of the distances' parts, an *angle* the part of the angle, and a function one
of each. The wide polynomial functions are among them although they separate: their A(theta) is a
polynomial in theta on a part of [0, 180] degrees and no polynomial in cos theta, so that its
Legendre series does not end, and converges like l^-(k+1) for a shape that is k times
differentiable. No number of moments that is cheaper than the triplets gives ten digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ladera.arrays import Integers
from ladera.errors import ConfigError
from ladera.kernels.symmetry_functions.functions import ChebyshevFunction, SymmetryFunction
from ladera.kernels.symmetry_functions.plan_arrays import PlanArrays
from ladera.kernels.symmetry_functions.plan_builder import Builder


@dataclass(frozen=True, eq=False)
class Plan:
    """Symmetry functions ready to be computed.

    ``functions[c]`` are those of the central element ``species[c]``, in the order of the columns
    of G. Shapes of the workspace follow from the sizes here.
    """

    species: tuple[str, ...]
    functions: tuple[tuple[SymmetryFunction, ...], ...]
    cutoff_kind: int
    cutoff_alpha: float
    arrays: PlanArrays
    n_functions: int  # the largest number of functions of a central element
    n_channels: int  # likewise of channels of a pair
    n_slots: int  # likewise of slots of a central element
    n_sides: int  # likewise of sides of a central element
    n_groups: int  # likewise of its triplet groups
    n_angles: int  # likewise of angles of a triplet group
    n_terms: int  # likewise of its terms

    @property
    def has_triplets(self) -> bool | None:
        """True, or None where no function goes over triplets.

        Numba drops the branches of a None before it compiles: a third of the time of a first run.
        """
        return True if self.n_groups else None

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of functions of each central element."""
        return tuple(len(functions) for functions in self.functions)


def make_plan(
    species: Sequence[str],
    functions: Sequence[SymmetryFunction],
    cutoff_kind: int,
    cutoff_alpha: float = 0.0,
) -> Plan:
    """Plan for functions over ``species`` (symbols in the order of the element indices).

    ``cutoff_kind`` is the number of the cutoff function, ``cutoff_alpha`` its inner fraction.
    Raises ConfigError for a function of an element that is not among the species.
    """
    for function in functions:
        for symbol in (function.center, *function.neighbors):
            if symbol not in species:
                raise ConfigError(
                    f"A {function.kind} symmetry function names {symbol}, which is not among the "
                    f"species {', '.join(species)}; remove it or add the species."
                )
        lacking = _without_weight(function, species)
        if lacking:
            raise ConfigError(
                f"The weights of a {function.kind} symmetry function leave out {lacking[0]}, which "
                f"is among the species; add {lacking[0]}: NUMBER, 0 if it is not to count."
            )
    by_center = tuple(
        tuple(sorted((f for f in functions if f.center == s), key=lambda f: f.sort_key))
        for s in species
    )
    builder = Builder(species)
    for group in by_center:
        builder.add_center(group)
    arrays = builder.arrays(cutoff_kind, cutoff_alpha)
    return Plan(
        species=tuple(species),
        functions=by_center,
        cutoff_kind=cutoff_kind,
        cutoff_alpha=cutoff_alpha,
        arrays=arrays,
        n_functions=max(len(group) for group in by_center),
        n_channels=_most(arrays.channels.start),
        n_slots=_most(arrays.slots.start[:: len(species)]),
        n_sides=_most(arrays.sides.start),
        n_groups=_most(arrays.triplets.start),
        n_angles=_most(arrays.angles.start),
        n_terms=_most(arrays.terms.start),
    )


def _without_weight(function: SymmetryFunction, species: Sequence[str]) -> list[str]:
    """The species that the weights of a function leave out, if it has some."""
    if not isinstance(function, ChebyshevFunction) or not function.weights:
        return []
    weights = dict(function.weights)
    return [symbol for symbol in species if symbol not in weights]


def _most(start: Integers) -> int:
    """The largest number of rows of a table that belong together."""
    return int(np.diff(start).max(initial=0))
