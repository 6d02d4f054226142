r"""Does a short run at constant energy conserve it?

The energy of velocity Verlet's steps strays by their length squared, and what is left of that in
the slopes s of two runs of the same time, one with steps of half the length, is of the forces:

    s = (4 s(dt / 2) - s(dt)) / 3
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from ladera.errors import LaderaError
from ladera.properties.checks.rows import Row, best
from ladera.units import BOLTZMANN, FEMTOSECOND

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.properties.checks.engine import Engine

STEPS: Final = 150
_STEP: Final = 0.25  # fs, for hydrogen; longer with the root of the mass
_FARTHEST: Final = 0.002  # Angstrom, that the forces at the start may move an atom in a step
_PARTS: Final = (1, 8)  # of that step, which are tried one after the other
_HYDROGEN: Final = 1.008  # amu
_TEMPERATURE: Final = 300.0  # K
_MOST: Final = 1.0  # meV/atom/ps, whatever the steps would excuse
_LEAST: Final = 0.1  # meV/atom/ps, what a run so short may show


def check_drift(engine: Engine, atoms: Atoms, generator: np.random.Generator) -> Row:
    """The slope of the total energy of runs that begin at 300 K, less that of the steps."""
    moving = atoms.copy()
    masses = atoms.get_masses()[:, None]
    spread = np.sqrt(masses * BOLTZMANN * _TEMPERATURE)
    momenta = spread * generator.standard_normal((len(atoms), 3))
    moving.set_momenta(momenta - masses / masses.sum() * momenta.sum(axis=0))
    timestep = safe_step(engine, atoms)
    return best(_drift(engine, moving, timestep / k) for k in _PARTS)


def safe_step(engine: Engine, atoms: Atoms) -> float:
    """A step that conserves energy, fs: by the lightest atom, and by the forces as they are."""
    masses = atoms.get_masses()
    pull = float((np.linalg.norm(engine.ask(atoms).forces, axis=1) / masses).max())
    safe = np.sqrt(2 * _FARTHEST / pull) / FEMTOSECOND if pull > 0 else np.inf
    return min(_STEP * float(np.sqrt(masses.min() / _HYDROGEN)), float(safe))


def _drift(engine: Engine, atoms: Atoms, timestep: float) -> Row:
    name, unit = "drift at constant energy", "meV/atom/ps"
    try:
        whole, half = (_slope(engine, atoms, timestep / k, k * STEPS) for k in (1, 2))
    except LaderaError as error:  # atoms that fly apart
        return Row(name, math.nan, _MOST, unit, f"the run broke off: {error}".rstrip("."))
    allowed = min(_LEAST + abs(whole - half), _MOST)
    words = f"{STEPS} steps of {timestep:.2g} fs, and twice as many of half of that"
    drift = abs(4 * half - whole) / 3
    return Row(name, drift, allowed, unit, words)


def _slope(engine: Engine, atoms: Atoms, timestep: float, steps: int) -> float:
    """Of the total energy, meV/atom/ps."""
    energies = 1e3 * engine.run(atoms, timestep, steps) / len(atoms)
    times = 1e-3 * timestep * np.arange(steps + 1)
    return float(np.polyfit(times, energies - energies[0], 1)[0])
