"""Finds what the symmetry functions of a central element share, and lists it; see ``plan``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from ladera.kernels.symmetry_functions.functions import (
    SHAPES,
    GaussianFunction,
    PolynomialFunction,
    SymmetryFunction,
)
from ladera.kernels.symmetry_functions.tables import (
    harmonic_tables,
    legendre_coefficients,
)

# Beyond this the moments cost more than the triplets of any realistic neighbourhood.
LARGEST_MOMENT_ZETA = 32

GAUSSIAN = -1

_PAIRS = ("wide_slots", "wide_elements", "triplet_elements")
_FLOATS = (
    "eta",
    "shift",
    "cutoff",
    "inner",
    "first",
    "second",
    "factor",
    "self",
    "weight",
)


def uses_moments(function: SymmetryFunction) -> bool:
    """Whether a function is computed from moments: wide, zeta a moderate integer, |lambda| <= 1."""
    if not isinstance(function, GaussianFunction) or function.kind != "wide":
        return False
    lambda_, zeta = _lambda_and_zeta(function)
    return zeta.is_integer() and 1 <= zeta <= LARGEST_MOMENT_ZETA and abs(lambda_) <= 1


class Builder:
    """Collects the arrays, one central element after the other."""

    def __init__(self, species: Sequence[str], names: Iterable[str]) -> None:
        self.index = {symbol: i for i, symbol in enumerate(species)}
        self.lists: dict[str, list[Any]] = {
            name: [0] if name.endswith("_start") else [] for name in names
        }
        self.slots_of_center: list[int] = []

    def add_center(self, functions: Sequence[SymmetryFunction]) -> None:
        """Add all functions of the next central element; their position is their column of G."""
        channels = self._add_channels(functions)
        self._add_radial(functions, channels)
        slots = self._add_slots(functions, channels)
        self._add_wide(functions, slots)
        self._add_triplets(functions, self._add_sides(functions))

    def arrays(self) -> dict[str, Any]:
        """The collected lists as arrays, with the harmonics' tables added."""
        largest = max(0, *self.lists["degree"])
        rows = self.lists.pop("wide_coefficients")
        coefficients = np.zeros((len(rows), largest + 1))
        for row, kappa in enumerate(rows):
            coefficients[row, : len(kappa)] = kappa
        a, b, d, diagonal = harmonic_tables(largest)
        values: dict[str, Any] = {
            "wide_coefficients": coefficients,
            "triplet_narrow": np.array(self.lists["triplet_narrow"], dtype=np.bool_),
            "harmonic_a": a,
            "harmonic_b": b,
            "harmonic_d": d,
            "harmonic_diagonal": diagonal,
        }
        for name, items in self.lists.items():
            dtype = np.float64 if name.rpartition("_")[2] in _FLOATS else np.int64
            array = np.array(items, dtype=dtype)
            values.setdefault(name, array.reshape(-1, 2) if name in _PAIRS else array)
        return values

    def _add_channels(self, functions: Sequence[SymmetryFunction]) -> list[dict[Any, int]]:
        """Distinct channels of each neighbour element: key to position in the pair's list."""
        found: list[dict[Any, int]] = []
        for symbol in self.index:
            keys = sorted({_channel(f) for f in functions if _has_channel(f, symbol)})
            found.append({key: i for i, key in enumerate(keys)})
            for kind, cutoff, eta, shift in keys:
                self.lists["channel_kind"].append(kind)
                self.lists["channel_eta"].append(eta)
                self.lists["channel_shift"].append(shift)
                self.lists["channel_cutoff"].append(cutoff)
            self._close("channel_start", "channel_eta")
        return found

    def _add_radial(
        self, functions: Sequence[SymmetryFunction], channels: list[dict[Any, int]]
    ) -> None:
        """Radial functions of each neighbour element; weighted ones are among those of all."""
        for element, symbol in enumerate(self.index):
            for column, function in enumerate(functions):
                if not function.angular and _has_channel(function, symbol):
                    weight = atomic_numbers[symbol] if function.weighted else 1.0
                    self.lists["radial_channel"].append(channels[element][_channel(function)])
                    self.lists["radial_weight"].append(weight)
                    self.lists["radial_output"].append(column)
            self._close("radial_start", "radial_channel")

    def _add_slots(
        self, functions: Sequence[SymmetryFunction], channels: list[dict[Any, int]]
    ) -> list[dict[Any, int]]:
        """Channels that need moments: key to position in the central element's list of slots."""
        wide = [f for f in functions if uses_moments(f)]
        found: list[dict[Any, int]] = []
        count = 0
        for element, symbol in enumerate(self.index):
            mine = [f for f in wide if symbol in f.neighbors]
            keys = sorted({_channel(f) for f in mine})
            found.append({key: count + i for i, key in enumerate(keys)})
            count += len(keys)
            for key in keys:
                self.lists["slot_channel"].append(channels[element][key])
                degree = max(_degree(f) for f in mine if _channel(f) == key)
                self.lists["slot_degree"].append(degree)
            self._close("slot_start", "slot_channel")
        self.slots_of_center.append(count)
        self.lists["degree"].append(max((_degree(f) for f in wide), default=-1))
        return found

    def _add_wide(self, functions: Sequence[SymmetryFunction], slots: list[dict[Any, int]]) -> None:
        groups: dict[tuple[int, ...], list[int]] = {}
        for column, function in enumerate(functions):
            if uses_moments(function):
                both = (slots[self.index[s]][_channel(function)] for s in function.neighbors)
                groups.setdefault(tuple(both), []).append(column)
        for (first, second), columns in groups.items():
            same = first == second
            self.lists["wide_slots"].append((first, second))
            pair = functions[columns[0]].neighbors
            self.lists["wide_elements"].append([self.index[symbol] for symbol in pair])
            self.lists["wide_degree"].append(max(_degree(functions[c]) for c in columns))
            for column in columns:
                lambda_, zeta = _lambda_and_zeta(functions[column])
                self.lists["wide_output"].append(column)
                kappa = legendre_coefficients(int(zeta), lambda_) * (0.5 if same else 1.0)
                self.lists["wide_coefficients"].append(kappa)
                self_term = (0.5 * (1.0 + lambda_)) ** zeta if same else 0.0
                self.lists["wide_self"].append(-self_term)
            self._close("wide_function_start", "wide_output")
        self._close("wide_start", "wide_degree")

    def _add_sides(self, functions: Sequence[SymmetryFunction]) -> dict[Any, int]:
        """Distinct f_c and compact functions: key to position in the central element's list."""
        keys = sorted({_side(f) for f in functions if _uses_triplets(f)})
        for kind, inner, cutoff in keys:
            self.lists["side_kind"].append(kind)
            self.lists["side_inner"].append(inner)
            self.lists["side_cutoff"].append(cutoff)
        self._close("side_start", "side_kind")
        return {key: i for i, key in enumerate(keys)}

    def _add_triplets(self, functions: Sequence[SymmetryFunction], sides: dict[Any, int]) -> None:
        groups: dict[tuple[Any, ...], list[int]] = {}
        for column, function in enumerate(functions):
            if _uses_triplets(function):
                elements = tuple(self.index[symbol] for symbol in function.neighbors) or (-1, -1)
                shared = (elements, *_side(function)[1:], function.narrow)
                groups.setdefault(shared, []).append(column)
        for (elements, inner, cutoff, narrow), columns in groups.items():
            self.lists["triplet_elements"].append(elements)
            self.lists["triplet_inner"].append(inner)
            self.lists["triplet_cutoff"].append(cutoff)
            self.lists["triplet_narrow"].append(narrow)
            angles = self._add_angles([functions[c] for c in columns])
            terms: dict[tuple[Any, ...], list[int]] = {}
            for column in columns:
                terms.setdefault(_term(functions[column]), []).append(column)
            for key in sorted(terms):
                self.lists["term_side"].append(sides[_side(functions[terms[key][0]])])
                self.lists["term_eta"].append(key[1])
                self.lists["term_shift"].append(key[2])
                for column in terms[key]:
                    angle = _angle(functions[column])
                    factor = 2.0 ** (1.0 - angle[2]) if angle[0] == GAUSSIAN else 1.0
                    self.lists["term_angle"].append(angles[angle])
                    self.lists["term_output"].append(column)
                    self.lists["term_factor"].append(factor)
                self._close("term_function_start", "term_output")
            self._close("term_start", "term_eta")
        self._close("triplet_start", "triplet_cutoff")

    def _add_angles(self, functions: Sequence[SymmetryFunction]) -> dict[Any, int]:
        """Distinct angular parts of a group: key to position in the group's list."""
        keys = sorted({_angle(f) for f in functions})
        for kind, first, second in keys:
            self.lists["angle_kind"].append(kind)
            self.lists["angle_first"].append(first)
            self.lists["angle_second"].append(second)
        self._close("angle_start", "angle_kind")
        return {key: i for i, key in enumerate(keys)}

    def _close(self, start: str, of: str) -> None:
        self.lists[start].append(len(self.lists[of]))


def _uses_triplets(function: SymmetryFunction) -> bool:
    return function.angular and not uses_moments(function)


def _has_channel(function: SymmetryFunction, neighbor: str) -> bool:
    """Whether a function is made of a channel of this neighbour element."""
    if _uses_triplets(function):
        return False
    return function.weighted or neighbor in function.neighbors


def _channel(function: SymmetryFunction) -> tuple[int, float, float, float]:
    """Kind, cutoff, eta, and shift or beginning."""
    if isinstance(function, PolynomialFunction):
        return (SHAPES.index(function.shape), function.cutoff, 0.0, function.inner)
    return (GAUSSIAN, function.cutoff, function.eta, function.shift)


def _side(function: SymmetryFunction) -> tuple[int, float, float]:
    """Kind, beginning and end of a triplet's factor in each distance, Gaussians apart."""
    if isinstance(function, PolynomialFunction):
        return (SHAPES.index(function.shape), function.inner, function.cutoff)
    return (GAUSSIAN, -math.inf, function.cutoff)


def _term(function: SymmetryFunction) -> tuple[int, float, float]:
    """Kind of the side, eta and shift."""
    if isinstance(function, PolynomialFunction):
        return (SHAPES.index(function.shape), 0.0, 0.0)
    return (GAUSSIAN, function.eta, function.shift if function.eta > 0 else 0.0)


def _angle(function: SymmetryFunction) -> tuple[int, float, float]:
    """Kind, and lambda and zeta or the window in radian, whose shape is never asymmetric."""
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
    return int(_lambda_and_zeta(function)[1])
