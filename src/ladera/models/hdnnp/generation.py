"""Symmetry functions from a cutoff alone: a sensible set, or a pool from which data may choose."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, combinations_with_replacement, product
from typing import Literal, NamedTuple

from ladera.kernels.symmetry_functions.functions import (
    ChebyshevFunction,
    GaussianFunction,
    PolynomialFunction,
    ShiftedFunction,
    SymmetryFunction,
)

Size = Literal["small", "medium", "large", "huge"]
Family = Literal["gaussian", "shifted", "chebyshev"]
Recipe = Literal[
    "grid",
    "gastegger_centered",
    "gastegger_shifted",
    "imbalzano_centered",
    "imbalzano_shifted",
    "polynomial",
    "shifted",
    "chebyshev",
]
Gaussian = tuple[float, float]  # shift, Angstrom; eta, 1/Angstrom^2


class _Amounts(NamedTuple):
    radial: int  # Gaussians of the radial functions
    angular: int  # Gaussians of the angular functions
    zetas: tuple[float, ...]
    widths: int = 1  # of the angular Gaussians; each grid has half the points of the one before


_SIZES: dict[str, _Amounts] = {
    "small": _Amounts(radial=6, angular=2, zetas=(1, 4)),
    "medium": _Amounts(radial=8, angular=5, zetas=(1, 4)),
    "large": _Amounts(radial=12, angular=6, zetas=(1, 2, 4, 8, 16)),
    "huge": _Amounts(radial=20, angular=8, zetas=(1, 2, 4, 8), widths=3),
}
_POOL = _Amounts(radial=12, angular=6, zetas=(1, 2, 4, 8))


class _Grid(NamedTuple):
    radial: int  # Gaussians of the radial functions
    distances: int  # Gaussians of the mean distance
    angles: int  # shifts of the angle


_GRIDS: dict[str, _Grid] = {
    "small": _Grid(radial=6, distances=2, angles=4),
    "medium": _Grid(radial=8, distances=5, angles=4),
    "large": _Grid(radial=12, distances=8, angles=8),
    "huge": _Grid(radial=20, distances=10, angles=12),
}


class _Orders(NamedTuple):
    radial: int  # the highest
    angular: int  # likewise
    reaches: tuple[float, ...]  # cutoffs, in parts of the largest
    resolved: bool  # whether every pair of elements has weights of its own


_ORDERS: dict[str, _Orders] = {
    "small": _Orders(radial=8, angular=6, reaches=(1.0,), resolved=False),
    "medium": _Orders(radial=12, angular=10, reaches=(1.0,), resolved=True),
    "large": _Orders(radial=16, angular=12, reaches=(1.0, 0.6), resolved=True),
    "huge": _Orders(radial=20, angular=16, reaches=(1.0, 0.7, 0.5, 0.35), resolved=True),
}
# Windows of the polynomial angular functions, degrees.
_WINDOWS = ((-90.0, 90.0), (0.0, 120.0), (30.0, 150.0), (60.0, 180.0), (90.0, 270.0))
# No chemical bond is shorter than this (Angstrom), H2 excepted.
_SHORTEST = 0.8


def generate(
    species: Sequence[str], cutoff: float, size: Size = "medium", family: Family = "gaussian"
) -> tuple[SymmetryFunction, ...]:
    """Symmetry functions for all pairs and triplets of ``species``, up to ``cutoff`` (Angstrom).

    Gaussian and shifted ones have radial Gaussians centred on an even grid from the shortest bond
    to the cutoff, as wide as the grid spacing (Gastegger et al., J. Chem. Phys. 148, 241709
    (2018)), and angular ones on coarser grids: gaussian, wide functions for both signs of lambda
    and several zeta, where ``huge`` has three such grids, as wide Gaussians see triplets of unequal
    distances that narrow ones do not; shifted, functions with a grid of angles.

    Chebyshev ones have all orders up to one that the size gives, with the weights 1 and, of several
    elements, others: whole numbers around 0, as in aenet, for ``small``, else 1 for each element or
    pair of elements and 0 for the others, which tells all pairs apart.
    """
    match family:
        case "gaussian":
            return tuple(_on_grid(species, cutoff, _SIZES[size]))
        case "shifted":
            return tuple(_shifted(species, cutoff, _GRIDS[size]))
        case "chebyshev":
            return tuple(_chebyshev(species, cutoff, _ORDERS[size]))


def pool(
    species: Sequence[str], cutoff: float, recipes: Iterable[Recipe]
) -> tuple[SymmetryFunction, ...]:
    """More symmetry functions than a network wants, by one or several recipes, each once.

    Every recipe gives radial functions and, on a coarser grid, wide angular ones, the Gaussian ones
    for both signs of lambda and several zeta. With n Gaussians and the cutoff r_c:

        grid                what :func:`generate` takes
        gastegger_centered  shift = 0, eta = 1 / (2 r^2), r on an even grid from the shortest bond
        gastegger_shifted   shift on that grid, eta = 1 / (2 spacing^2)
        imbalzano_centered  shift = 0, eta = (n^(m/n) / r_c)^2, m = 0 ... n - 1
        imbalzano_shifted   shift = r_m = r_c / n^(m/n), eta = 1 / (r_m-1 - r_m)^2, m = 1 ... n
        polynomial          compact support around 0 or around the points of an even grid
        shifted             functions with shifts of the angle, those of :func:`generate`, large
        chebyshev           Chebyshev polynomials, likewise

    After Gastegger et al., J. Chem. Phys. 148, 241709 (2018), Imbalzano et al., J. Chem. Phys.
    148, 241730 (2018), and Bircher, Singraber, Dellago, Mach. Learn.: Sci. Technol. 2, 035026
    (2021).
    """
    functions: list[SymmetryFunction] = []
    for recipe in recipes:
        if recipe == "grid":
            functions += _on_grid(species, cutoff, _POOL)
        elif recipe == "polynomial":
            functions += _polynomials(species, cutoff, _POOL)
        elif recipe in ("shifted", "chebyshev"):
            functions += generate(species, cutoff, "large", recipe)
        else:
            radial, angular = (
                [(_rounded(shift), _rounded(eta)) for shift, eta in _RECIPES[recipe](cutoff, count)]
                for count in (_POOL.radial, _POOL.angular)
            )
            functions += _gaussians(species, cutoff, radial, angular, _POOL.zetas)
    return tuple(dict.fromkeys(functions))


def _on_grid(
    species: Sequence[str], cutoff: float, amounts: _Amounts
) -> Iterator[SymmetryFunction]:
    radial = _grid(_SHORTEST, cutoff, amounts.radial)
    counts = [amounts.angular >> level for level in range(amounts.widths)]
    angular = [each for count in counts for each in _grid(_SHORTEST, 0.9 * cutoff, count)]
    return _gaussians(species, cutoff, radial, angular, amounts.zetas)


def _gastegger_centered(cutoff: float, n: int) -> list[Gaussian]:
    return [(0.0, 0.5 / r**2) for r in _even(_SHORTEST, cutoff, n)]


def _gastegger_shifted(cutoff: float, n: int) -> list[Gaussian]:
    eta = 0.5 * (n / (cutoff - _SHORTEST)) ** 2
    # A Gaussian at the cutoff itself has nothing left of it.
    return [(r, eta) for r in _even(_SHORTEST, cutoff, n + 1)[:-1]]


def _imbalzano_centered(cutoff: float, n: int) -> list[Gaussian]:
    return [(0.0, (n ** (m / n) / cutoff) ** 2) for m in range(n)]


def _imbalzano_shifted(cutoff: float, n: int) -> list[Gaussian]:
    r = [cutoff / n ** (m / n) for m in range(n + 1)]
    return [(r[m], 1 / (r[m - 1] - r[m]) ** 2) for m in range(1, n + 1)]


# So many Gaussians up to a cutoff.
_RECIPES: dict[Recipe, Callable[[float, int], list[Gaussian]]] = {
    "gastegger_centered": _gastegger_centered,
    "gastegger_shifted": _gastegger_shifted,
    "imbalzano_centered": _imbalzano_centered,
    "imbalzano_shifted": _imbalzano_shifted,
}


def _gaussians(
    species: Sequence[str],
    cutoff: float,
    radial: Sequence[Gaussian],
    angular: Sequence[Gaussian],
    zetas: Sequence[float],
) -> Iterator[SymmetryFunction]:
    """These Gaussians for all elements and pairs of elements around each element."""
    for center in species:
        for neighbor, (shift, eta) in product(species, radial):
            yield GaussianFunction(
                kind="radial",
                center=center,
                neighbors=(neighbor,),
                eta=eta,
                shift=shift,
                cutoff=cutoff,
            )
        pairs = combinations_with_replacement(species, 2)
        for pair, (shift, eta), zeta, lambda_ in product(pairs, angular, zetas, (-1.0, 1.0)):
            yield GaussianFunction(
                kind="wide",
                center=center,
                neighbors=pair,
                eta=eta,
                shift=shift,
                cutoff=cutoff,
                lambda_=lambda_,
                zeta=zeta,
            )


def _polynomials(
    species: Sequence[str], cutoff: float, amounts: _Amounts
) -> Iterator[SymmetryFunction]:
    """Ranges (inner, outer) around 0 and around each point of a grid; several angular windows."""
    radial, angular = _ranges(cutoff, amounts.radial), _ranges(cutoff, amounts.angular)
    for center in species:
        for neighbor, (inner, outer) in product(species, radial):
            yield PolynomialFunction(
                kind="polynomial_radial",
                center=center,
                neighbors=(neighbor,),
                inner=inner,
                cutoff=outer,
                shape="poly2",
            )
        pairs = combinations_with_replacement(species, 2)
        for pair, (inner, outer), (left, right) in product(pairs, angular, _WINDOWS):
            yield PolynomialFunction(
                kind="polynomial_wide",
                center=center,
                neighbors=pair,
                inner=inner,
                cutoff=outer,
                angle_left=left,
                angle_right=right,
                shape="poly2",
            )


def _shifted(species: Sequence[str], cutoff: float, grid: _Grid) -> Iterator[SymmetryFunction]:
    """Radial Gaussians, and a grid of mean distances and angles, as wide as they are apart.

    (1 + cos x)^zeta / 2^zeta is nearly exp(-zeta x^2 / 4), so that zeta is 2 / spacing^2.
    """
    yield from _gaussians(species, cutoff, _grid(_SHORTEST, cutoff, grid.radial), (), ())
    spacing = 180.0 / grid.angles
    zeta = round(max(1.0, 2.0 / math.radians(spacing) ** 2), 2)
    angles = [_rounded((i + 0.5) * spacing) for i in range(grid.angles)]
    distances = _grid(_SHORTEST, 0.9 * cutoff, grid.distances)
    pairs = list(combinations_with_replacement(species, 2))
    for center, pair, (shift, eta), angle in product(species, pairs, distances, angles):
        yield ShiftedFunction(
            kind="shifted_wide",
            center=center,
            neighbors=pair,
            eta=eta,
            shift=shift,
            zeta=zeta,
            angle=angle,
            cutoff=cutoff,
        )


def _chebyshev(
    species: Sequence[str], cutoff: float, orders: _Orders
) -> Iterator[SymmetryFunction]:
    reaches = [_rounded(cutoff * part) for part in orders.reaches]
    weights = list(_weights(species, orders.resolved))
    for center, reach, given in product(species, reaches, weights):
        for order in range(orders.radial + 1):
            yield _polynomial("chebyshev_radial", center, reach, order, given)
        for order in range(orders.angular + 1):
            yield _polynomial("chebyshev_angular", center, reach, order, given)


def _polynomial(
    kind: Literal["chebyshev_radial", "chebyshev_angular"],
    center: str,
    cutoff: float,
    order: int,
    weights: Mapping[str, float],
) -> ChebyshevFunction:
    pairs = tuple(weights.items())
    return ChebyshevFunction(kind=kind, center=center, cutoff=cutoff, order=order, weights=pairs)


def _weights(species: Sequence[str], resolved: bool) -> Iterator[dict[str, float]]:
    """None, which is 1 for all, then those that tell the elements apart."""
    yield {}
    if len(species) == 1:
        return
    if not resolved:
        yield numbered_weights(species)
        return
    alone = [(symbol,) for symbol in species]
    pairs = combinations(species, 2) if len(species) > 2 else ()
    for chosen in (*alone, *pairs):
        yield {symbol: float(symbol in chosen) for symbol in species}


def numbered_weights(species: Sequence[str]) -> dict[str, float]:
    """Whole numbers around 0 in the order of the elements, as aenet has them.

    -1, 1 for two elements, -1, 0, 1 for three, -2, -1, 1, 2 for four.
    """
    half, odd = divmod(len(species), 2)
    numbers = [n for n in range(-half, half + 1) if n or odd]
    return {symbol: float(n) for symbol, n in zip(species, numbers, strict=True)}


def _ranges(cutoff: float, count: int) -> list[tuple[float, float]]:
    """Half of them around 0, half around points on a grid and reaching to the second next."""
    centered = [(-r, r) for r in _even(2 * _SHORTEST, cutoff, count // 2)]
    middles = _even(_SHORTEST, cutoff, count - count // 2 + 2)
    shifted = [(low, high) for low, high in zip(middles, middles[2:], strict=False)]
    return centered + shifted


def _grid(first: float, last: float, count: int) -> list[Gaussian]:
    """Centres and exponents of ``count`` Gaussians that cover first to last."""
    spacing = (last - first) / count
    eta = _rounded(0.5 / spacing**2)
    return [(_rounded(first + i * spacing), eta) for i in range(count)]


def _even(first: float, last: float, count: int) -> list[float]:
    """``count`` points from first to last, both included."""
    return [_rounded(first + i * (last - first) / (count - 1)) for i in range(count)]


def _rounded(value: float) -> float:
    """As many digits as a person would write."""
    return round(value, 6)
