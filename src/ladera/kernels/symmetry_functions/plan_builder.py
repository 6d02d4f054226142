"""Finds what the symmetry functions of a central element share, and lists it; see ``plan``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement
from typing import Any, Generic, TypeVar, get_args, get_type_hints

import numpy as np
from ase.data import atomic_numbers

from ladera.arrays import Floats
from ladera.kernels.harmonics import (
    chebyshev_coefficients,
    legendre_coefficients,
    recurrence,
)
from ladera.kernels.symmetry_functions.functions import (
    LARGEST_DEGREE,
    SHAPES,
    ChebyshevFunction,
    GaussianFunction,
    PolynomialFunction,
    ShiftedFunction,
    SymmetryFunction,
)
from ladera.kernels.symmetry_functions.plan_arrays import (
    CHEBYSHEV,
    GAUSSIAN,
    JOINT,
    NARROW,
    SHIFTED,
    WIDE,
    Angles,
    Channels,
    PlanArrays,
    RadialFunctions,
    Sides,
    Slots,
    TermFunctions,
    Terms,
    TripletGroups,
    WideFunctions,
    WideGroups,
)

Table = TypeVar("Table")


def uses_moments(function: SymmetryFunction) -> bool:
    """Whether a function is computed from moments: wide, and a polynomial in cos theta.

    Of the Gaussian ones those with zeta a moderate integer and |lambda| <= 1.
    """
    if isinstance(function, ChebyshevFunction):
        return function.angular
    if not isinstance(function, GaussianFunction) or function.kind != "wide":
        return False
    lambda_, zeta = _lambda_and_zeta(function)
    return zeta.is_integer() and 1 <= zeta <= LARGEST_DEGREE and abs(lambda_) <= 1


class _Rows(Generic[Table]):
    """The rows of one table of the plan, collected one after the other."""

    def __init__(self, table: type[Table]) -> None:
        self.table = table
        self.columns: dict[str, list[Any]] = {name: [] for name in get_type_hints(table)}
        self.columns["start"].append(0)
        self.count = 0

    def add(self, **values: Any) -> None:
        """Append a row."""
        for name, value in values.items():
            self.columns[name].append(value)
        self.count += 1

    def close(self) -> None:
        """What follows belongs to the next row of the table above."""
        self.columns["start"].append(self.count)

    def done(self, **columns: Any) -> Table:
        """The table, its columns of the types it declares; ``columns`` are ready as they are."""
        for name, annotation in get_type_hints(self.table).items():
            if name not in columns:
                last = get_args(annotation)[-1]  # a type; before NumPy 2.5, a dtype of one
                scalar = get_args(last)[0] if get_args(last) else last
                columns[name] = np.array(self.columns[name], dtype=scalar)
        return self.table(**columns)


class Builder:
    """Collects the tables, one central element after the other."""

    def __init__(self, species: Sequence[str]) -> None:
        self.index = {symbol: i for i, symbol in enumerate(species)}
        self.degrees: list[int] = []  # the largest l of each central element
        self.channels = _Rows(Channels)
        self.radial = _Rows(RadialFunctions)
        self.slots = _Rows(Slots)
        self.wide = _Rows(WideGroups)
        self.wide_functions = _Rows(WideFunctions)
        self.sides = _Rows(Sides)
        self.triplets = _Rows(TripletGroups)
        self.angles = _Rows(Angles)
        self.terms = _Rows(Terms)
        self.term_functions = _Rows(TermFunctions)

    def add_center(self, functions: Sequence[SymmetryFunction]) -> None:
        """Add all functions of the next central element; their position is their column of G."""
        channels = self._add_channels(functions)
        self._add_radial(functions, channels)
        slots = self._add_slots(functions, channels)
        self._add_wide(functions, slots)
        self._add_triplets(functions, self._add_sides(functions))

    def arrays(self, cutoff_kind: int, cutoff_alpha: float) -> PlanArrays:
        """The collected tables, with the recurrence of the harmonics."""
        largest = max(0, *self.degrees)
        rows = self.wide_functions.columns["coefficients"]
        coefficients = np.zeros((len(rows), largest + 1))
        for row, kappa in zip(coefficients, rows, strict=True):
            row[: len(kappa)] = kappa
        return PlanArrays(
            n_elements=len(self.index),
            atomic_numbers=np.array([float(atomic_numbers[symbol]) for symbol in self.index]),
            degree=np.array(self.degrees, dtype=np.int64),
            cutoff_kind=cutoff_kind,
            cutoff_alpha=cutoff_alpha,
            channels=self.channels.done(),
            radial=self.radial.done(),
            slots=self.slots.done(),
            wide=self.wide.done(),
            wide_functions=self.wide_functions.done(coefficients=coefficients),
            sides=self.sides.done(),
            triplets=self.triplets.done(),
            angles=self.angles.done(),
            terms=self.terms.done(),
            term_functions=self.term_functions.done(),
            harmonics=recurrence(largest),
        )

    def _add_channels(self, functions: Sequence[SymmetryFunction]) -> list[dict[Any, int]]:
        """Distinct channels of each neighbour element: key to position in the pair's list."""
        positions: list[dict[Any, int]] = []
        for symbol in self.index:
            of_element = (_channel(f) for f in functions if _has_channel(f, symbol))
            keys = sorted({key for channel in of_element for key in _with_lower(channel)})
            positions.append({key: i for i, key in enumerate(keys)})
            for kind, cutoff, eta, shift in keys:
                self.channels.add(kind=kind, eta=eta, shift=shift, cutoff=cutoff)
            self.channels.close()
        return positions

    def _add_radial(
        self, functions: Sequence[SymmetryFunction], channels: list[dict[Any, int]]
    ) -> None:
        """Radial functions of each neighbour element; weighted ones are among those of all."""
        for element, symbol in enumerate(self.index):
            for column, function in enumerate(functions):
                if not function.angular and _has_channel(function, symbol):
                    self.radial.add(
                        channel=channels[element][_channel(function)],
                        weight=function.weight(symbol),
                        output=column,
                    )
            self.radial.close()

    def _add_slots(
        self, functions: Sequence[SymmetryFunction], channels: list[dict[Any, int]]
    ) -> list[dict[Any, int]]:
        """Channels that need moments: key to position in the central element's list of slots."""
        wide = [f for f in functions if uses_moments(f)]
        positions: list[dict[Any, int]] = []
        count = 0
        for element, symbol in enumerate(self.index):
            of_element = [f for f in wide if _has_slot(f, symbol)]
            keys = sorted({_channel(f) for f in of_element})
            positions.append({key: count + i for i, key in enumerate(keys)})
            count += len(keys)
            for key in keys:
                degree = max(_degree(f) for f in of_element if _channel(f) == key)
                self.slots.add(channel=channels[element][key], degree=degree)
            self.slots.close()
        self.degrees.append(max((_degree(f) for f in wide), default=-1))
        return positions

    def _add_wide(self, functions: Sequence[SymmetryFunction], slots: list[dict[Any, int]]) -> None:
        groups: dict[tuple[str, str, Any], list[int]] = {}
        for column, function in enumerate(functions):
            if uses_moments(function):
                for pair in self._element_pairs(function):
                    groups.setdefault((*pair, _channel(function)), []).append(column)
        for (one, other, channel), columns in groups.items():
            first, second = self.index[one], self.index[other]
            self.wide.add(
                first_slot=slots[first][channel],
                second_slot=slots[second][channel],
                first_element=first,
                second_element=second,
                degree=max(_degree(functions[c]) for c in columns),
            )
            for column in columns:
                coefficients, at_zero = _series(functions[column])
                weight = functions[column].weight(one) * functions[column].weight(other)
                weight *= 0.5 if one == other else 1.0  # j < k, and not j = k
                self.wide_functions.add(
                    output=column,
                    coefficients=coefficients * weight,
                    self_term=-at_zero * weight if one == other else 0.0,
                )
            self.wide_functions.close()
        self.wide.close()

    def _element_pairs(self, function: SymmetryFunction) -> list[tuple[str, str]]:
        """The elements of j and k; all pairs for a function over all neighbours."""
        if function.sums_over_all:
            return list(combinations_with_replacement(self.index, 2))
        one, other = function.neighbors
        return [(one, other)]

    def _add_sides(self, functions: Sequence[SymmetryFunction]) -> dict[Any, int]:
        """Distinct f_c and compact functions: key to position in the central element's list."""
        keys = sorted({_side(f) for f in functions if _uses_triplets(f)})
        for kind, inner, cutoff in keys:
            self.sides.add(kind=kind, inner=inner, cutoff=cutoff)
        self.sides.close()
        return {key: i for i, key in enumerate(keys)}

    def _add_triplets(self, functions: Sequence[SymmetryFunction], sides: dict[Any, int]) -> None:
        groups: dict[tuple[Any, ...], list[int]] = {}
        for column, function in enumerate(functions):
            if _uses_triplets(function):
                elements = tuple(self.index[symbol] for symbol in function.neighbors) or (-1, -1)
                shared = (*elements, *_side(function)[1:], _form(function))
                groups.setdefault(shared, []).append(column)
        for (first, second, inner, cutoff, form), columns in groups.items():
            self.triplets.add(
                first_element=first,
                second_element=second,
                inner=inner,
                cutoff=cutoff,
                form=form,
            )
            angles = self._add_angles([functions[c] for c in columns])
            self._add_terms(functions, columns, sides, angles)
        self.triplets.close()

    def _add_angles(self, functions: Sequence[SymmetryFunction]) -> dict[Any, int]:
        """Distinct angular parts of a group: key to position in the group's list."""
        keys = sorted({_angle(f) for f in functions})
        for kind, first, second in keys:
            self.angles.add(kind=kind, first=first, second=second)
        self.angles.close()
        return {key: i for i, key in enumerate(keys)}

    def _add_terms(
        self,
        functions: Sequence[SymmetryFunction],
        columns: Sequence[int],
        sides: dict[Any, int],
        angles: dict[Any, int],
    ) -> None:
        """Distinct radial parts of the group that has these columns, with their functions."""
        terms: dict[tuple[Any, ...], list[int]] = {}
        for column in columns:
            terms.setdefault(_term(functions[column]), []).append(column)
        for key in sorted(terms):
            side = sides[_side(functions[terms[key][0]])]
            self.terms.add(side=side, eta=key[1], shift=key[2])
            for column in terms[key]:
                angle = _angle(functions[column])
                factor = 2.0 ** (1.0 - angle[2]) if angle[0] < 0 else 1.0
                self.term_functions.add(angle=angles[angle], output=column, factor=factor)
            self.term_functions.close()
        self.terms.close()


def _uses_triplets(function: SymmetryFunction) -> bool:
    return function.angular and not uses_moments(function)


def _has_channel(function: SymmetryFunction, neighbor: str) -> bool:
    """Whether a function is made of a channel of this neighbour element."""
    if _uses_triplets(function):
        return False
    return function.sums_over_all or neighbor in function.neighbors


def _has_slot(function: SymmetryFunction, neighbor: str) -> bool:
    """Whether a function is made of moments of this neighbour element."""
    return uses_moments(function) and _has_channel(function, neighbor)


def _channel(function: SymmetryFunction) -> tuple[int, float, float, float]:
    """Kind, cutoff, eta (or order), and shift or beginning."""
    if isinstance(function, PolynomialFunction):
        return (SHAPES.index(function.shape), function.cutoff, 0.0, function.inner)
    if isinstance(function, ChebyshevFunction):  # T_n of an angle comes with T_0 of the distance
        return (CHEBYSHEV, function.cutoff, 0.0 if function.angular else float(function.order), 0.0)
    return (GAUSSIAN, function.cutoff, function.eta, function.shift)


def _with_lower(
    channel: tuple[int, float, float, float],
) -> Iterator[tuple[int, float, float, float]]:
    """A channel, and before a polynomial T_n those of all lower orders: its recurrence."""
    kind, cutoff, order, start = channel
    if kind == CHEBYSHEV:
        yield from ((kind, cutoff, float(n), start) for n in range(int(order)))
    yield channel


def _side(function: SymmetryFunction) -> tuple[int, float, float]:
    """Kind, beginning and end of a triplet's factor in each distance, Gaussians apart."""
    if isinstance(function, PolynomialFunction):
        return (SHAPES.index(function.shape), function.inner, function.cutoff)
    return (GAUSSIAN, -math.inf, function.cutoff)


def _form(function: SymmetryFunction) -> int:
    if isinstance(function, ShiftedFunction):
        return JOINT
    return NARROW if function.narrow else WIDE


def _term(function: SymmetryFunction) -> tuple[int, float, float]:
    """Kind of the side, eta and shift: those of r_ij + r_ik where the function has their mean."""
    if isinstance(function, ShiftedFunction):
        eta, shift = function.eta / 4, 2 * function.shift
    elif isinstance(function, GaussianFunction):
        eta, shift = function.eta, function.shift
    else:
        eta, shift = 0.0, 0.0
    return (_side(function)[0], eta, shift if eta > 0 else 0.0)


def _angle(function: SymmetryFunction) -> tuple[int, float, float]:
    """Kind, and lambda or the shift and zeta, or the window in radian, which is symmetric."""
    if isinstance(function, ShiftedFunction):
        return (SHIFTED, math.radians(function.angle), function.zeta)
    if not isinstance(function, PolynomialFunction):
        return (GAUSSIAN, *_lambda_and_zeta(function))
    symmetric = SHAPES.index(function.shape.removesuffix("_asymmetric"))
    left, right = function.angle_left or 0.0, function.angle_right or 0.0
    return (symmetric, math.radians(left), math.radians(right))


def _lambda_and_zeta(function: SymmetryFunction) -> tuple[float, float]:
    if not isinstance(function, GaussianFunction):
        return (0.0, 0.0)
    return (function.lambda_ or 0.0, function.zeta or 0.0)


def _degree(function: SymmetryFunction) -> int:
    """The largest l of its moments."""
    if isinstance(function, ChebyshevFunction):
        return function.order
    return int(_lambda_and_zeta(function)[1])


def _series(function: SymmetryFunction) -> tuple[Floats, float]:
    """Its part of the angle in Legendre polynomials, and its value at an angle of zero."""
    if isinstance(function, ChebyshevFunction):
        return chebyshev_coefficients(function.order), 1.0
    lambda_, zeta = _lambda_and_zeta(function)
    return legendre_coefficients(int(zeta), lambda_), 2.0 * (0.5 * (1.0 + lambda_)) ** zeta
