"""From a list of symmetry functions to the flat arrays that the kernels loop over.

Everything a function shares with others is found here, once: a *channel* is one factor
g(r) = exp(-eta (r - shift)^2) f_c(r) for one pair of central and neighbour element. Radial
functions are sums over a channel; wide functions are products of moments of channels; narrow
functions are products of three channels.

Wide functions separate. With Legendre polynomials P_l and real spherical harmonics normalised such
that sum_m Y_lm(u) Y_lm(v) = P_l(u.v),

    2^(1-zeta) (1 + lambda cos theta)^zeta = sum_l kappa_l P_l(cos theta)
    A_lm = sum_{j in element} g(r_j) Y_lm(u_j)                    (one pass over the neighbours)
    G = sum_l kappa_l sum_m A_lm(e1) A_lm(e2)                     (e1 != e2)
    G = sum_l kappa_l sum_m A_lm^2 / 2 - sum_j g_j^2 2^(-zeta) (1 + lambda)^zeta      (e1 == e2)

which costs O(neighbours), and (zeta + 1)^2 moments where monomials would need zeta^3/6. It is
exact for integer zeta and |lambda| <= 1; other wide functions go with the narrow ones, over
triplets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ladera.errors import ConfigError
from ladera.kernels.symmetry_functions.functions import GaussianFunction, SymmetryFunction

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

# Beyond this the moments cost more than the triplets of any realistic neighbourhood.
LARGEST_MOMENT_ZETA = 32


class PlanArrays(NamedTuple):
    """The plan as the compiled loops see it.

    ``x_start[i]:x_start[i + 1]`` is the range of x that belongs to i, where i is a central element
    or, for channels, radial functions and slots, the pair central * n_elements + neighbour.
    """

    n_elements: int
    cutoff_kind: int
    cutoff_alpha: float  # inner fraction of the cutoff where f_c is 1
    channel_start: Integers
    channel_eta: Floats
    channel_shift: Floats
    channel_cutoff: Floats
    radial_start: Integers
    radial_channel: Integers  # counted from the pair's first channel
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
    triplet_start: Integers  # groups of functions sharing elements, cutoff and kind
    triplet_elements: Integers  # (n_groups, 2)
    triplet_narrow: NDArray[np.bool_]
    triplet_cutoff: Floats
    angle_start: Integers  # distinct (lambda, zeta) of a group
    angle_lambda: Floats
    angle_zeta: Floats
    term_start: Integers  # distinct (eta, shift) of a group
    term_channels: Integers  # (n_terms, 2), in e1's and e2's channels
    term_eta: Floats
    term_shift: Floats
    term_function_start: Integers
    term_angle: Integers  # counted from the group's first angle
    term_output: Integers
    term_factor: Floats  # 2^(1-zeta)
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
    functions: tuple[tuple[GaussianFunction, ...], ...]
    cutoff_kind: int
    cutoff_alpha: float
    arrays: PlanArrays
    n_functions: int  # the largest number of functions of a central element
    n_channels: int  # likewise of channels of a pair
    n_slots: int  # likewise of slots of a central element
    n_angles: int  # likewise of (lambda, zeta) of a triplet group

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
    index = {symbol: i for i, symbol in enumerate(species)}
    gaussians = [f for f in functions if isinstance(f, GaussianFunction) and not f.weighted]
    if len(gaussians) < len(functions):
        other = next(f for f in functions if f not in gaussians)
        raise ConfigError(f"{other.kind} symmetry functions are not computed yet; remove them.")
    for function in functions:
        for symbol in (function.center, *function.neighbors):
            if symbol not in index:
                raise ConfigError(
                    f"A {function.kind} symmetry function names {symbol}, which is not among the "
                    f"species {', '.join(species)}; remove it or add the species."
                )
    by_center = tuple(
        tuple(sorted((f for f in gaussians if f.center == s), key=lambda f: f.sort_key))
        for s in species
    )
    for symbol, group in zip(species, by_center, strict=True):
        if len(set(group)) < len(group):
            raise ConfigError(f"{symbol} has the same symmetry function twice; remove one.")
    builder = _Builder(index)
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
        n_channels=int(np.diff(arrays.channel_start).max()),
        n_slots=max(builder.slots_of_center),
        n_angles=int(np.diff(arrays.angle_start).max(initial=0)),
    )


def uses_moments(function: GaussianFunction) -> bool:
    """Whether a function is computed from moments: wide, zeta a moderate integer, |lambda| <= 1."""
    if function.kind != "wide" or function.zeta is None or function.lambda_ is None:
        return False
    whole = float(function.zeta).is_integer() and function.zeta <= LARGEST_MOMENT_ZETA
    return whole and abs(function.lambda_) <= 1


def legendre_coefficients(zeta: int, lambda_: float) -> Floats:
    """kappa_l of 2^(1-zeta) (1 + lambda x)^zeta = sum_l kappa_l P_l(x), (zeta + 1,).

    From x^n = sum_{l = n, n-2, ...} P_l(x) (2l + 1) n! / (2^k k! (l + n + 1)!!), k = (n - l)/2, in
    exact rational arithmetic: the coefficients are right to the last digit.
    """
    kappa = [Fraction(0)] * (zeta + 1)
    for n in range(zeta + 1):
        power = math.comb(zeta, n) * Fraction(lambda_) ** n
        for l in range(n, -1, -2):
            k = (n - l) // 2
            double_factorial = math.prod(range(l + n + 1, 0, -2))
            denominator = 2**k * math.factorial(k) * double_factorial
            kappa[l] += power * Fraction((2 * l + 1) * math.factorial(n), denominator)
    return np.array([float(2 * value / 2**zeta) for value in kappa])


class _Builder:
    """Collects the arrays, one central element after the other."""

    def __init__(self, index: dict[str, int]) -> None:
        self.index = index
        self.n = len(index)
        self.lists: dict[str, list[Any]] = {name: [] for name in PlanArrays._fields}
        for name in PlanArrays._fields:
            if name.endswith("_start"):
                self.lists[name].append(0)
        self.slots_of_center: list[int] = []

    def add_center(self, functions: Sequence[GaussianFunction]) -> None:
        """Add all functions of the next central element; their position is their column of G."""
        channels = self._add_channels(functions)
        self._add_radial(functions, channels)
        slots = self._add_slots(functions, channels)
        self._add_wide(functions, slots)
        self._add_triplets(functions, channels)

    def _add_channels(self, functions: Sequence[GaussianFunction]) -> list[dict[Any, int]]:
        """Distinct channels of each neighbour element: key to position in the pair's list."""
        found: list[dict[Any, int]] = []
        for symbol in self.index:
            keys = sorted({_channel(f) for f in functions if symbol in f.neighbors})
            found.append({key: i for i, key in enumerate(keys)})
            for cutoff, eta, shift in keys:
                self.lists["channel_eta"].append(eta)
                self.lists["channel_shift"].append(shift)
                self.lists["channel_cutoff"].append(cutoff)
            self._close("channel_start", "channel_eta")
        return found

    def _add_radial(
        self, functions: Sequence[GaussianFunction], channels: list[dict[Any, int]]
    ) -> None:
        for element, symbol in enumerate(self.index):
            for column, function in enumerate(functions):
                if function.kind == "radial" and function.neighbors == (symbol,):
                    self.lists["radial_channel"].append(channels[element][_channel(function)])
                    self.lists["radial_output"].append(column)
            self._close("radial_start", "radial_channel")

    def _add_slots(
        self, functions: Sequence[GaussianFunction], channels: list[dict[Any, int]]
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
                degree = max(int(f.zeta or 0) for f in mine if _channel(f) == key)
                self.lists["slot_degree"].append(degree)
            self._close("slot_start", "slot_channel")
        self.slots_of_center.append(count)
        self.lists["degree"].append(max((int(f.zeta or 0) for f in wide), default=-1))
        return found

    def _add_wide(self, functions: Sequence[GaussianFunction], slots: list[dict[Any, int]]) -> None:
        groups: dict[tuple[int, int], list[int]] = {}
        for column, function in enumerate(functions):
            if uses_moments(function):
                first, second = (slots[self.index[s]][_channel(function)] for s in _pair(function))
                groups.setdefault((first, second), []).append(column)
        for (first, second), columns in groups.items():
            same = first == second
            self.lists["wide_slots"].append((first, second))
            pair = _pair(functions[columns[0]])
            self.lists["wide_elements"].append([self.index[symbol] for symbol in pair])
            self.lists["wide_degree"].append(max(int(functions[c].zeta or 0) for c in columns))
            for column in columns:
                zeta, lambda_ = int(functions[column].zeta or 0), functions[column].lambda_ or 0.0
                self.lists["wide_output"].append(column)
                kappa = legendre_coefficients(zeta, lambda_) * (0.5 if same else 1.0)
                self.lists["wide_coefficients"].append(kappa)
                self_term = (0.5 * (1.0 + lambda_)) ** zeta if same else 0.0
                self.lists["wide_self"].append(-self_term)
            self._close("wide_function_start", "wide_output")
        self._close("wide_start", "wide_degree")

    def _add_triplets(
        self, functions: Sequence[GaussianFunction], channels: list[dict[Any, int]]
    ) -> None:
        groups: dict[tuple[Any, ...], list[int]] = {}
        for column, function in enumerate(functions):
            if function.kind != "radial" and not uses_moments(function):
                e1, e2 = (self.index[symbol] for symbol in _pair(function))
                shared = (e1, e2, function.cutoff, function.kind == "narrow")
                groups.setdefault(shared, []).append(column)
        for (e1, e2, cutoff, narrow), columns in groups.items():
            self.lists["triplet_elements"].append((e1, e2))
            self.lists["triplet_narrow"].append(narrow)
            self.lists["triplet_cutoff"].append(cutoff)
            angles = sorted({_angle(functions[c]) for c in columns})
            self.lists["angle_lambda"] += [angle[0] for angle in angles]
            self.lists["angle_zeta"] += [angle[1] for angle in angles]
            self._close("angle_start", "angle_zeta")
            for key in sorted({_channel(functions[c]) for c in columns}):
                self.lists["term_channels"].append((channels[e1][key], channels[e2][key]))
                self.lists["term_eta"].append(key[1])
                self.lists["term_shift"].append(key[2])
                for column in columns:
                    if _channel(functions[column]) == key:
                        angle = _angle(functions[column])
                        self.lists["term_angle"].append(angles.index(angle))
                        self.lists["term_output"].append(column)
                        self.lists["term_factor"].append(2.0 ** (1.0 - angle[1]))
                self._close("term_function_start", "term_output")
            self._close("term_start", "term_eta")
        self._close("triplet_start", "triplet_cutoff")

    def _close(self, start: str, of: str) -> None:
        self.lists[start].append(len(self.lists[of]))

    def arrays(self, cutoff_kind: int, cutoff_alpha: float) -> PlanArrays:
        """The collected lists as arrays, with the harmonics' tables added."""
        largest = max(0, *self.lists["degree"])
        a, b, d, diagonal = _harmonic_tables(largest)
        rows = self.lists["wide_coefficients"]
        coefficients = np.zeros((len(rows), largest + 1))
        for row, kappa in enumerate(rows):
            coefficients[row, : len(kappa)] = kappa
        values: dict[str, Any] = {}
        floats = {"eta", "shift", "cutoff", "lambda", "zeta", "factor", "self"}
        for name, items in self.lists.items():
            ending = name.rsplit("_", 1)[-1]
            dtype = np.float64 if ending in floats else np.int64
            if name == "triplet_narrow":
                dtype = np.bool_  # type: ignore[assignment]
            if name in ("wide_slots", "wide_elements", "triplet_elements", "term_channels"):
                values[name] = np.array(items, dtype=np.int64).reshape(-1, 2)
            elif name != "wide_coefficients":
                values[name] = np.array(items, dtype=dtype)
        values |= {
            "n_elements": self.n,
            "cutoff_kind": cutoff_kind,
            "cutoff_alpha": cutoff_alpha,
            "wide_coefficients": coefficients,
            "harmonic_a": a,
            "harmonic_b": b,
            "harmonic_d": d,
            "harmonic_diagonal": diagonal,
        }
        return PlanArrays(**values)


def _channel(function: GaussianFunction) -> tuple[float, float, float]:
    return (function.cutoff, function.eta, function.shift)


def _angle(function: GaussianFunction) -> tuple[float, float]:
    if function.lambda_ is None or function.zeta is None:
        raise ConfigError(f"The {function.kind} function {function} has no angular part.")
    return (function.lambda_, function.zeta)


def _pair(function: GaussianFunction) -> tuple[str, str]:
    first, second = function.neighbors
    return first, second


def _harmonic_tables(largest: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Recurrence coefficients of N_lm = K_lm d^m P_l(z)/dz^m up to l = ``largest``.

    K_lm = sqrt((2 - delta_m0) (l - m)! / (l + m)!), so that with c_m + i s_m = (x + i y)^m the
    harmonics Y_lm = N_lm c_m, N_lm s_m obey sum_m Y_lm(u) Y_lm(v) = P_l(u.v). Then
    N_lm = a_lm z N_l-1,m - b_lm N_l-2,m and dN_lm/dz = d_lm N_l,m+1.
    """
    a, b, d = (np.zeros((largest + 1, largest + 1)) for _ in range(3))
    diagonal = np.ones(largest + 1)
    for m in range(largest + 1):
        if m > 0:
            # N_mm / N_m-1,m-1 = (2m - 1) K_mm / K_m-1,m-1
            ratio = np.sqrt((2.0 * m - 1.0) / (2.0 * m))
            diagonal[m] = diagonal[m - 1] * ratio * (np.sqrt(2.0) if m == 1 else 1.0)
        for l in range(m, largest + 1):
            if l > m:
                a[l, m] = (2.0 * l - 1.0) / np.sqrt((l - m) * (l + m))
            if l > m + 1:
                b[l, m] = np.sqrt((l + m - 1.0) * (l - m - 1.0) / ((l - m) * (l + m)))
            d[l, m] = np.sqrt((l - m) * (l + m + 1.0)) / (np.sqrt(2.0) if m == 0 else 1.0)
    return a, b, d, diagonal
