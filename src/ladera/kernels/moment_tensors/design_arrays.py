"""What the loops of :mod:`~.design_loops` and :mod:`~.radial_columns` read and write."""

from __future__ import annotations

from typing import Final, NamedTuple

from ladera.arrays import Floats, Integers

LANES: Final = 24  # three axes times the numbers of a SIMD register
NARROW: Final = 8


class Tables(NamedTuple):
    """A program as the loops walk it: all products of a moment one after the other.

    Indices that go into arrays in the innermost loops are unsigned, which spares a comparison.
    """

    radial: Integers  # (n_basic,) mu of each basic moment
    monomial: Integers  # (n_basic,)
    exponents: Integers  # (n_monomials, 3)
    lower: Integers  # (n_monomials, 3) the monomial with one factor less; 0 where there is none
    made: Integers  # (n_made,) moments that products make, in the order in which they are complete
    start: Integers  # (n_made + 1,) products of each
    first: Integers  # (n_products,)
    second: Integers  # (n_products,)
    factor: Floats  # (n_products,)
    scalars: Integers  # (n_scalars,)


class Chain(NamedTuple):
    """The terms of sums over products that depend on each radial function, in their order.

    Forward, the tangent of ``moment[n]`` is the sum of factor M_other times the tangent of ``one``
    over the terms start[n] to start[n + 1]; in reverse, the bar of ``moment[n]`` goes to ``one``.
    """

    bounds: Integers  # (n_radial + 1,) moments of each radial function
    moment: Integers  # (n_moments,)
    start: Integers  # (n_moments + 1,)
    one: Integers  # (n_terms,)
    other: Integers  # (n_terms,)
    factor: Floats  # (n_terms,)


class Chains(NamedTuple):
    """What depends on each radial function."""

    forward: Chain
    reverse: Chain
    start: Integers  # (n_radial + 1,) of ``basic``
    basic: Integers  # basic moments whose bars change with the coefficients of a radial function


class Atoms(NamedTuple):
    """The neighbours of each atom of a frame."""

    row_pointer: Integers  # (n_atoms + 1,)
    neighbors: Integers  # (n_edges,)
    vectors: Floats  # (n_edges, 3)
    elements: Integers  # (n_atoms,)


class Functions(NamedTuple):
    """Radial functions, and what the invariant functions count for in the present energy."""

    coefficients: Floats  # (n_species, n_species, n_radial, size)
    weights: Floats  # (n_scalars,)
    minimum: float
    cutoff: float


class Scratch(NamedTuple):
    """Of one atom; ``width`` is a multiple of LANES, and edge e has the places 3 e to 3 e + 2."""

    basis: Floats  # (size, width) Q of the edge, three times
    basis_slope: Floats  # (size, width) dQ/dr u
    radial: Floats  # (n_radial, width) f_mu, three times
    radial_slope: Floats  # (n_radial, width) f_mu' u
    monomials: Floats  # (n_monomials, width) u^abc, three times
    monomial_slopes: Floats  # (n_monomials, width) its gradient in r_ij
    slopes: Floats  # (n_basic, width) gradient of the basic moments in r_ij
    moments: Floats  # (n_moments,)
    bars: Floats  # (n_moments,) dE/dM
    tangents: Floats  # (n_moments, LANES)
    narrow: Floats  # (n_moments, NARROW)
    bar_narrow: Floats  # (n_moments, NARROW)
    mixed: Floats  # (NARROW, width) d^2 E / dc dr_ij
    columns: Integers  # (NARROW,) of these c
    sums: Floats  # (n_radial, width) sum_k dE/dM_k u^abc of the moments of a radial function
    sum_slopes: Floats  # (n_radial, width) and its gradient in r_ij
