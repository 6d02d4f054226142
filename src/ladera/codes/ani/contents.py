r"""What the files of an ANI potential say, whichever program wrote them.

The inputs of a network, the "atomic environment vector", are for every element in the order of the
file the radial functions of all shifts, then for every pair of elements j <= k the angular ones:
for each shift of the distance all shifts of the angle. With f_c the cosine cutoff function,

    radial     1/4 sum_j exp(-eta_R (r_ij - s)^2) f_c(r_ij)
    angular    the functions ``shifted_wide``, see ``functions.ShiftedFunction``

(Smith, Isayev, Roitberg, Chem. Sci. 8, 3192 (2017); Gao et al., J. Chem. Inf. Model. 60, 3408
(2020)).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from pathlib import Path
from typing import Final, NamedTuple

from ladera.arrays import Reals
from ladera.kernels.symmetry_functions.functions import (
    GaussianFunction,
    ShiftedFunction,
    SymmetryFunction,
)

# What the radial functions are multiplied with before they enter the networks.
RADIAL_FACTOR: Final = 0.25


class Layer(NamedTuple):
    """A layer of a network."""

    weights: Reals  # (out, in)
    biases: Reals  # (out,)


class Environment(NamedTuple):
    """The parameters of the symmetry functions; lengths in Angstrom, angles in radian."""

    radial_cutoff: float
    angular_cutoff: float
    radial_eta: float
    radial_shifts: tuple[float, ...]
    angular_eta: float
    zeta: float
    angular_shifts: tuple[float, ...]
    angles: tuple[float, ...]

    def n_functions(self, n_elements: int) -> int:
        """How many an atom has."""
        n_pairs = n_elements * (n_elements + 1) // 2
        angular = n_pairs * len(self.angular_shifts) * len(self.angles)
        return n_elements * len(self.radial_shifts) + angular


@dataclass(frozen=True, eq=False)
class Contents:
    """An ANI potential: one set of functions, and an ensemble of networks on it."""

    path: Path
    written_by: str  # NeuroChem or TorchANI
    symbols: tuple[str, ...]  # in the order of the inputs
    environment: Environment
    self_energies: Mapping[str, float]  # Hartree
    members: tuple[Mapping[str, tuple[Layer, ...]], ...]  # CELU between the layers; Hartree

    def functions(self, center: str) -> Iterator[SymmetryFunction]:
        """The functions of a central element in the order of the inputs."""
        parameters = self.environment
        for neighbor, shift in product(self.symbols, parameters.radial_shifts):
            yield GaussianFunction(
                kind="radial",
                center=center,
                neighbors=(neighbor,),
                eta=parameters.radial_eta,
                shift=shift,
                cutoff=parameters.radial_cutoff,
            )
        pairs = combinations_with_replacement(self.symbols, 2)
        for pair, shift, angle in product(pairs, parameters.angular_shifts, parameters.angles):
            yield ShiftedFunction(
                kind="shifted_wide",
                center=center,
                neighbors=pair,
                eta=parameters.angular_eta,
                shift=shift,
                zeta=parameters.zeta,
                angle=math.degrees(angle),
                cutoff=parameters.angular_cutoff,
            )
