r"""Does an engine find the density that Ladera's own dynamics finds?

Both run at no pressure from the same structure, each with its own thermostat and barostat. The
error of a mean is that of means of blocks, s / sqrt(n), the largest of several numbers n of blocks:
blocks that are too short know nothing of what lasts longer than they do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from ladera.errors import LaderaError
from ladera.properties.checks.drift import safe_step
from ladera.properties.checks.rows import Row
from ladera.units import BOLTZMANN

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats
    from ladera.properties.checks.engine import Engine

STEPS: Final = 25_000
_UNSETTLED: Final = 0.2  # of the run, from its beginning, which is left out
_EVERY: Final = 10  # steps
_LONGER: Final = 2.0  # than the steps of a run that shows a drift
_BLOCKS: Final = (5, 8, 12, 20)
_CONFIDENCE: Final = 4.0  # standard deviations
_MOST: Final = 0.02  # of the density: less exact runs show nothing
_GRAMS: Final = 1.66053906892  # g/cm^3 in an amu/Angstrom^3 (CODATA 2022)


def check_density(
    own: Engine, engine: Engine, atoms: Atoms, temperature: float, generator: np.random.Generator
) -> Row:
    """The difference of the two densities, and four of its standard deviations."""
    name, unit = f"density at {temperature:g} K", "g/cm^3"
    moving = atoms.copy()
    masses = atoms.get_masses()[:, None]
    momenta = np.sqrt(masses * BOLTZMANN * temperature) * generator.standard_normal((len(atoms), 3))
    moving.set_momenta(momenta - masses / masses.sum() * momenta.sum(axis=0))
    timestep = _LONGER * safe_step(own, atoms)
    found: list[tuple[float, float]] = []
    for each in (own, engine):
        try:
            volumes = each.volumes(moving, temperature, timestep, STEPS, _EVERY)
        except LaderaError as broken:  # it evaporates, or atoms fly apart
            words = f"the run broke off: {broken}".rstrip(".")
            if each is own:
                return Row.skipped(name, words)
            return Row(name, math.nan, _MOST * found[0][0], unit, words)
        if volumes is None:
            return Row.skipped(name, "the engine has no barostat here")
        densities = _GRAMS * masses.sum() / volumes[int(_UNSETTLED * len(volumes)) :]
        found.append((float(densities.mean()), error_of_mean(densities)))
    (one, error), (other, another) = found
    allowed = _CONFIDENCE * math.hypot(error, another)
    words = (
        f"{one:.4f} ± {error:.4f} by ladera md and {other:.4f} ± {another:.4f}, of {STEPS:,} steps "
        f"of {timestep:.2g} fs"
    )
    if allowed > _MOST * one:
        return Row.skipped(name, f"{words}: too uncertain, take a larger structure")
    return Row(name, abs(one - other), allowed, unit, words)


def error_of_mean(values: Floats) -> float:
    """The standard error of the mean of a correlated series; see the module."""
    means = [[part.mean() for part in np.array_split(values, n)] for n in _BLOCKS]
    return max(float(np.std(each, ddof=1)) / math.sqrt(len(each)) for each in means)
