"""Watches a run: is the structure still one, and does the model still know it?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ase.data import covalent_radii

from ladera.errors import SimulationError
from ladera.graph import cell_volume
from ladera.kernels.neighbors import closest_pair
from ladera.simulation.settings import MDSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ase import Atoms

    from ladera.potential.parts import Part

_CLOSEST: Final = 0.5  # of the sum of two covalent radii
_LARGEST_JUMP: Final = 1.0  # of the potential energy in one step, eV per atom
_SMALLEST_VOLUME, _LARGEST_VOLUME = 0.3, 10.0  # of the volume at the start


class Guard:
    """Raises SimulationError as soon as a run has become meaningless.

    After every step: numbers that are not finite, a temperature beyond the limit, a potential
    energy that jumps by more than 1 eV per atom, a volume below 0.3 or above 10 times that at
    the start. With every row of the log: too many atoms outside the model's training domain for
    too long. The run itself adds :func:`check_distances`.
    """

    def __init__(self, settings: MDSettings, atoms: Atoms) -> None:
        self._settings = settings
        self._n_atoms = len(atoms)
        self._volume = atoms.cell.volume
        self._energy: float | None = None
        self._rows_outside = 0

    def check_step(self, atoms: Atoms, temperature: float) -> None:
        """After a step, with the results of it and the temperature in K."""
        energy = check_finite(atoms.calc.results)
        if not temperature <= self._settings.explosion_temperature:
            raise SimulationError(
                f"the temperature is {temperature:.4g} K, "
                f"above {self._settings.explosion_temperature:g} K"
            )
        jump = 0.0 if self._energy is None else abs(energy - self._energy) / self._n_atoms
        if jump > _LARGEST_JUMP:
            raise SimulationError(f"the energy jumped by {jump:.3g} eV per atom in one step")
        self._energy = energy
        if self._settings.ensemble == "npt":
            ratio = cell_volume(atoms.cell.array.tolist()) / self._volume
            if not _SMALLEST_VOLUME < ratio < _LARGEST_VOLUME:
                raise SimulationError(f"the volume is {ratio:.3g} times that at the start")

    def check_domain(self, extrapolating: int | None) -> None:
        """With a row of the log: how many atoms are outside the training domain, if known."""
        if not extrapolating:
            self._rows_outside = 0
            return
        limit = self._settings.max_extrapolating
        self._rows_outside = self._rows_outside + 1 if extrapolating > limit * self._n_atoms else 0
        if self._rows_outside >= self._settings.extrapolation_patience:
            raise SimulationError(
                f"{extrapolating} of {self._n_atoms} atoms are outside the model's training "
                f"domain, more than the fraction {limit:g} in {self._rows_outside} rows of the log "
                "in sequence"
            )

    def state(self) -> dict[str, int]:
        """What has to be remembered over a restart."""
        return {"rows_outside": self._rows_outside}

    def restore(self, state: dict[str, int]) -> None:
        """Put the numbers of :meth:`state` back."""
        self._rows_outside = state["rows_outside"]


def check_finite(results: Mapping[str, Any]) -> float:
    """The energy in eV of a calculator's results; SimulationError unless it and forces are finite.

    Results are taken as they are: asking the calculator whether anything has changed costs more.
    """
    energy = float(results["energy"])
    if not (math.isfinite(energy) and np.isfinite(results["forces"]).all()):
        raise SimulationError("energy or forces are not finite")
    return energy


def check_distances(parts: Iterable[Part]) -> None:
    """SimulationError when two atoms are closer than half the sum of their covalent radii.

    Of a structure, whole or in parts; see :meth:`ladera.potential.LaderaCalculator.parts`.
    """
    for graph, atoms, _ in parts:
        centers, neighbors = graph.centers.cpu().numpy(), graph.neighbors.cpu().numpy()
        radii = covalent_radii[graph.numbers.cpu().numpy()]
        vectors = graph.vectors.cpu().numpy()
        worst, ratio = closest_pair(centers, neighbors, vectors, radii)
        if ratio < _CLOSEST:
            raise SimulationError(
                f"atoms {atoms[centers[worst]]} and {atoms[neighbors[worst]]} are only "
                f"{np.linalg.norm(vectors[worst]):.3g} Angstrom apart"
            )
