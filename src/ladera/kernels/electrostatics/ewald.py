"""Where Ewald sums are cut off, and which vectors of the reciprocal lattice they run over.

The charges' own Gaussians are replaced by wider ones of width eta (Ewald, Ann. Phys. 369, 253
(1921)): the difference is summed over pairs closer than r_c, the wide Gaussians over reciprocal
lattice vectors shorter than k_c. Each function here chooses eta, r_c and k_c.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import brentq

from ladera.arrays import Floats, Integers
from ladera.errors import ConfigError

# Time of one term of the real over one of the reciprocal sum: the balance that n2p2 strikes, kept
# so that its numbers come out to the last digit.
REAL_OVER_RECIPROCAL: Final = 3.676


@dataclass(frozen=True)
class EwaldSums:
    """How the sums are split and cut off."""

    width: float  # eta, Angstrom
    real_cutoff: float  # r_c, Angstrom
    reciprocal_cutoff: float  # k_c, 1/Angstrom

    @property
    def open(self) -> bool:
        """Whether there is no cell, and nothing to sum in reciprocal space."""
        return math.isinf(self.width)


# Without a cell all is summed over pairs: infinitely wide Gaussians take nothing off them.
OPEN: Final = EwaldSums(math.inf, math.inf, 0.0)


def jackson_catlow(volume: float, precision: float) -> EwaldSums:
    """eta = V^(1/3) / sqrt(2 pi), r_c = sqrt(-2 ln p) eta, k_c = sqrt(-2 ln p) / eta.

    ``volume`` in Angstrom^3; ``precision`` p is relative and below 1. From Jackson and Catlow, Mol.
    Simul. 1, 207 (1988).
    """
    width = volume ** (1 / 3) / math.sqrt(2 * math.pi)
    reach = math.sqrt(-2 * math.log(precision))
    return EwaldSums(width, reach * width, reach / width)


def kolafa_perram(
    volume: float, n_atoms: int, precision: float, strength: float, widest: float
) -> EwaldSums:
    """The cheapest sums with force errors below ``precision`` in both of them.

    With C = 2^(3/4) q^2 sqrt(N/V) / (4 pi epsilon_0) and the ratio t of the times of both sums,

        exp(-s^2) / sqrt(s) = (p / C) sqrt(eta / 2)
        eta = [V^2 (1 + 1 / (2 s^2)) / (t (2 pi)^3)]^(1/6)
        r_c = sqrt(2) s eta,    k_c = sqrt(2) s / eta

    where eta is then raised to ``widest``, the largest width of the charges themselves.
    ``precision`` p is in eV/Angstrom, ``strength`` q^2 / (4 pi epsilon_0) in eV*Angstrom, for the
    largest charge q expected; ``volume`` in Angstrom^3. From Kolafa and Perram, Mol. Simul. 9, 351
    (1992).
    """
    error = precision / (2**0.75 * strength * math.sqrt(n_atoms / volume))
    shortest = (volume**2 / (REAL_OVER_RECIPROCAL * (2 * math.pi) ** 3)) ** (1 / 6)

    def width(s: float) -> float:
        return float(shortest * (1 + 0.5 / s**2) ** (1 / 6))

    s = _decreasing_root(
        lambda s: -(s**2) - 0.5 * math.log(s) - math.log(error * math.sqrt(width(s) / 2))
    )
    eta = max(width(s), widest)
    return EwaldSums(eta, math.sqrt(2) * s * eta, math.sqrt(2) * s / eta)


def kolafa_perram_at_cutoff(
    volume: float, n_atoms: int, precision: float, strength: float, real_cutoff: float
) -> EwaldSums:
    """As :func:`kolafa_perram`, with a given r_c (Angstrom).

    With C = 2 q^2 sqrt(N/V) / (4 pi epsilon_0),

        eta = r_c / sqrt(-2 ln[sqrt(r_c / 2) p / C])
        exp(-(k_c eta)^2 / 2) / sqrt(k_c) = p eta / (sqrt(2) C)

    Raises ConfigError for a precision that needs no Ewald sum at that cutoff.
    """
    error = precision / (2 * strength * math.sqrt(n_atoms / volume))
    remainder = math.sqrt(real_cutoff / 2) * error
    if remainder >= 1:
        raise ConfigError(
            f"The Ewald precision {precision:.3g} eV/Angstrom is too coarse for the real cutoff "
            f"{real_cutoff:.3g} Angstrom; choose a smaller precision."
        )
    width = real_cutoff / math.sqrt(-2 * math.log(remainder))
    target = math.log(error * width / math.sqrt(2))
    reach = _decreasing_root(lambda x: -(x**2) / 2 - 0.5 * math.log(x / width) - target)
    return EwaldSums(width, real_cutoff, reach / width)


def reciprocal_vectors(cell: Floats, cutoff: float) -> Integers:
    """Integers n of the vectors k = 2 pi n . cell^-T with 0 < |k| < cutoff, (n_vectors, 3).

    Of k and -k only one is there. ``cell`` (3, 3) in Angstrom, ``cutoff`` in 1/Angstrom.
    """
    bounds = np.floor(cutoff * np.linalg.norm(cell, axis=1) / (2 * np.pi)).astype(np.int64)
    axes = [np.arange(-bound, bound + 1) for bound in bounds]
    n = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    n = n[len(n) // 2 + 1 :]  # the second half: what comes after the zero vector in the middle
    k = 2 * np.pi * n @ np.linalg.inv(cell).T
    chosen: Integers = n[np.einsum("ka,ka->k", k, k) < cutoff**2]
    return chosen


def _decreasing_root(function: Callable[[float], float]) -> float:
    """Where a function that falls from infinity on crosses zero."""
    return float(brentq(function, 1e-8, 1e3, xtol=1e-15, rtol=1e-14))
