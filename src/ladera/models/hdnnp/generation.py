"""A sensible set of symmetry functions when the user gives only a cutoff and a size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Literal, NamedTuple

from ladera.kernels.symmetry_functions.functions import GaussianFunction, SymmetryFunction

Size = Literal["small", "medium", "large"]


class _Recipe(NamedTuple):
    radial: int  # Gaussians on the radial grid
    angular: int  # Gaussians of the angular functions
    zetas: tuple[float, ...]


_RECIPES: dict[str, _Recipe] = {
    "small": _Recipe(radial=6, angular=2, zetas=(1, 4)),
    "medium": _Recipe(radial=8, angular=5, zetas=(1, 4)),
    "large": _Recipe(radial=12, angular=6, zetas=(1, 2, 4, 8, 16)),
}
# No chemical bond is shorter than this (Angstrom), H2 excepted.
_SHORTEST = 0.8


def generate(
    species: Sequence[str], cutoff: float, size: Size = "medium"
) -> tuple[SymmetryFunction, ...]:
    """Symmetry functions for all pairs and triplets of ``species``, up to ``cutoff`` (Angstrom).

    Radial: Gaussians centred on an even grid from the shortest bond to the cutoff, as wide as the
    grid spacing (Gastegger et al., J. Chem. Phys. 148, 241709 (2018)). Angular: wide functions,
    with Gaussians on a coarser grid, for both signs of lambda and several zeta.
    """
    recipe = _RECIPES[size]
    functions: list[SymmetryFunction] = []
    for center in species:
        for neighbor in species:
            for shift, eta in _grid(_SHORTEST, cutoff, recipe.radial):
                functions.append(
                    GaussianFunction(
                        kind="radial",
                        center=center,
                        neighbors=(neighbor,),
                        eta=eta,
                        shift=shift,
                        cutoff=cutoff,
                    )
                )
        for pair in combinations_with_replacement(species, 2):
            for shift, eta in _grid(_SHORTEST, 0.9 * cutoff, recipe.angular):
                functions += [
                    GaussianFunction(
                        kind="wide",
                        center=center,
                        neighbors=pair,
                        eta=eta,
                        shift=shift,
                        cutoff=cutoff,
                        lambda_=lambda_,
                        zeta=zeta,
                    )
                    for zeta in recipe.zetas
                    for lambda_ in (-1.0, 1.0)
                ]
    return tuple(functions)


def _grid(first: float, last: float, count: int) -> list[tuple[float, float]]:
    """Centres and exponents of ``count`` Gaussians that cover first to last."""
    spacing = (last - first) / count
    eta = round(0.5 / spacing**2, 6)
    return [(round(first + i * spacing, 6), eta) for i in range(count)]
