"""The plan as the compiled loops see it: one table for each thing that functions share.

Rows ``start[i]`` to ``start[i + 1]`` of a table belong to row i of the one above it, which its
comment names. A *pair* is central element * n_elements + neighbour element. A ``kind`` is GAUSSIAN,
SHIFTED (of an angle), CHEBYSHEV (of a distance), or the position of a compact function in SHAPES.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ladera.arrays import Floats, Integers
from ladera.kernels.harmonics import Recurrence

GAUSSIAN: Final = -1
SHIFTED: Final = -2
CHEBYSHEV: Final = -3
# What the Gaussians of a triplet are of: two distances, all three, or the sum of two.
WIDE: Final = 0
NARROW: Final = 1
JOINT: Final = 2


class Channels(NamedTuple):
    """Functions of the distance, of each pair."""

    start: Integers
    kind: Integers
    eta: Floats  # 1/Angstrom^2, 0 for compact functions, the order of a polynomial T_n
    shift: Floats  # Angstrom, or where a compact function starts
    cutoff: Floats  # Angstrom


class RadialFunctions(NamedTuple):
    """Sums over a channel, of each pair; weighted ones are among those of all neighbours."""

    start: Integers
    channel: Integers  # counted from the pair's first
    weight: Floats  # of the neighbour: its atomic number, mostly 1
    output: Integers  # column of G


class Slots(NamedTuple):
    """Channels with moments, of each pair."""

    start: Integers
    channel: Integers  # counted from the pair's first
    degree: Integers  # largest l


class WideGroups(NamedTuple):
    """Pairs of slots that wide functions are products of, of each central element."""

    start: Integers
    first_slot: Integers  # both counted from the central element's first
    second_slot: Integers
    first_element: Integers
    second_element: Integers
    degree: Integers


class WideFunctions(NamedTuple):
    """Functions of each wide group."""

    start: Integers
    output: Integers  # column of G
    coefficients: Floats  # (n_functions, largest degree + 1), kappa_l
    self_term: Floats  # coefficient of sum_j g_j^2


class Sides(NamedTuple):
    """Factors of one distance in functions over triplets, of each central element."""

    start: Integers
    kind: Integers
    inner: Floats  # Angstrom
    cutoff: Floats  # Angstrom


class TripletGroups(NamedTuple):
    """Functions over triplets that share elements, window and form, of each central element."""

    start: Integers
    first_element: Integers  # both -1 for all elements, with weights
    second_element: Integers
    inner: Floats  # Angstrom, minus infinity for Gaussian functions
    cutoff: Floats  # Angstrom
    form: Integers  # WIDE, NARROW or JOINT


class Angles(NamedTuple):
    """Factors of the angle, of each triplet group."""

    start: Integers
    kind: Integers
    first: Floats  # lambda, the shift, or where the window starts (radian)
    second: Floats  # zeta, or where the window stops


class Terms(NamedTuple):
    """Products of the distances' factors, of each triplet group; those of one side together.

    In a JOINT group the Gaussian exp(-eta [t - shift]^2) is one of t = r_ij + r_ik.
    """

    start: Integers
    side: Integers  # counted from the central element's first
    eta: Floats
    shift: Floats


class TermFunctions(NamedTuple):
    """Functions of each term: its product with an angle."""

    start: Integers
    angle: Integers  # counted from the group's first
    output: Integers  # column of G
    factor: Floats  # 2^(1-zeta), or 1


class PlanArrays(NamedTuple):
    """All tables of a plan, and what belongs to none."""

    n_elements: int
    atomic_numbers: Floats  # (n_elements,)
    degree: Integers  # (n_elements,) largest l of a central element, -1 without moments
    cutoff_kind: int
    cutoff_alpha: float  # inner fraction of the cutoff where f_c is 1
    channels: Channels
    radial: RadialFunctions
    slots: Slots
    wide: WideGroups
    wide_functions: WideFunctions
    sides: Sides
    triplets: TripletGroups
    angles: Angles
    terms: Terms
    term_functions: TermFunctions
    harmonics: Recurrence
