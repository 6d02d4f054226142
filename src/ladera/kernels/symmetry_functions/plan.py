"""From a list of symmetry functions to the flat arrays that the kernels loop over.

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
exact for integer zeta and |lambda| <= 1.

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
from typing import Any, NamedTuple

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from ladera.errors import ConfigError
from ladera.kernels.symmetry_functions.functions import SymmetryFunction
from ladera.kernels.symmetry_functions.plan_builder import Builder

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class PlanArrays(NamedTuple):
    """The plan as the compiled loops see it.

    ``x_start[i]:x_start[i + 1]`` is the range of x that belongs to i, where i is a central element
    or, for channels, radial functions and slots, the pair central * n_elements + neighbour.
    A ``kind`` is -1 for the Gaussian family, else the position of a compact function in SHAPES.
    """

    n_elements: int
    atomic_numbers: Floats  # (n_elements,)
    cutoff_kind: int
    cutoff_alpha: float  # inner fraction of the cutoff where f_c is 1
    channel_start: Integers
    channel_kind: Integers
    channel_eta: Floats  # 0 for compact functions
    channel_shift: Floats  # or where a compact function begins
    channel_cutoff: Floats
    radial_start: Integers
    radial_channel: Integers  # counted from the pair's first channel
    radial_weight: Floats  # atomic number of the neighbour, or 1
    radial_output: Integers  # column of G
    slot_start: Integers  # a slot is a channel with moments
    slot_channel: Integers
    slot_degree: Integers  # largest l
    wide_start: Integers  # groups of wide functions sharing both slots
    wide_slots: Integers  # (n_groups, 2), counted from the central element's first slot
    wide_elements: Integers  # (n_groups, 2)
    wide_degree: Integers
    wide_function_start: Integers
    wide_output: Integers
    wide_coefficients: Floats  # (n_functions, largest degree + 1), kappa_l
    wide_self: Floats  # coefficient of sum_j g_j^2
    side_start: Integers  # distinct f_c and compact functions of the triplets
    side_kind: Integers
    side_inner: Floats
    side_cutoff: Floats
    triplet_start: Integers  # groups of functions sharing elements, radial window and narrowness
    triplet_elements: Integers  # (n_groups, 2), or -1 for all elements, with weights
    triplet_narrow: NDArray[np.bool_]
    triplet_inner: Floats  # minus infinity for Gaussian functions
    triplet_cutoff: Floats
    angle_start: Integers  # distinct angular parts of a group
    angle_kind: Integers
    angle_first: Floats  # lambda, or where the window begins (radian)
    angle_second: Floats  # zeta, or where it ends
    term_start: Integers  # distinct radial parts of a group, those with the same side together
    term_side: Integers  # counted from the central element's first side
    term_eta: Floats
    term_shift: Floats
    term_function_start: Integers
    term_angle: Integers  # counted from the group's first angle
    term_output: Integers
    term_factor: Floats  # 2^(1-zeta), or 1
    degree: Integers  # (n_elements,) largest l of a central element, -1 without moments
    harmonic_a: Floats  # recurrence of the harmonics, [l, m]
    harmonic_b: Floats
    harmonic_d: Floats  # dN_lm/dz = d[l, m] N_l,m+1
    harmonic_diagonal: Floats  # N_mm


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
    def triplets(self) -> bool | None:
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
    by_center = tuple(
        tuple(sorted((f for f in functions if f.center == s), key=lambda f: f.sort_key))
        for s in species
    )
    builder = Builder(species, PlanArrays._fields)
    for group in by_center:
        builder.add_center(group)
    whole: dict[str, Any] = {
        "n_elements": len(species),
        "atomic_numbers": np.array([float(atomic_numbers[symbol]) for symbol in species]),
        "cutoff_kind": cutoff_kind,
        "cutoff_alpha": cutoff_alpha,
    }
    arrays = PlanArrays(**(builder.arrays() | whole))
    return Plan(
        species=tuple(species),
        functions=by_center,
        cutoff_kind=cutoff_kind,
        cutoff_alpha=cutoff_alpha,
        arrays=arrays,
        n_functions=max(len(group) for group in by_center),
        n_channels=int(np.diff(arrays.channel_start).max()),
        n_slots=max(builder.slots_of_center),
        n_sides=int(np.diff(arrays.side_start).max()),
        n_groups=int(np.diff(arrays.triplet_start).max()),
        n_angles=int(np.diff(arrays.angle_start).max(initial=0)),
        n_terms=int(np.diff(arrays.term_start).max(initial=0)),
    )
