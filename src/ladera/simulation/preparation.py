"""Before the first step: whether structure, model and settings fit, and the velocities."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Final

import numpy as np
from ase.data import chemical_symbols

from ladera.errors import DataError, SimulationError
from ladera.simulation.held import Purpose, require_honoured, without_free_motions
from ladera.simulation.settings import MDSettings
from ladera.structure import directions
from ladera.units import BOLTZMANN

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.potential import Potential

# A bond to hydrogen vibrates in 9 to 11 fs; velocity Verlet wants ten steps or so of it and falls
# apart at three. Frequencies go as one over the square root of the lightest mass.
_HYDROGEN_MASS: Final = 1.008  # amu
_LONGEST_GOOD_TIMESTEP: Final = 1.0  # fs, with hydrogen
_ABSURD_TIMESTEP: Final = 5.0  # fs, with hydrogen


class SimulationWarning(UserWarning):
    """A simulation goes on, but its result may not mean what the user thinks."""


def check_species(atoms: Atoms, potential: Potential) -> None:
    """Refuse a structure without atoms or with an element the model does not know."""
    if len(atoms) == 0:
        raise DataError("The structure has no atoms; a simulation needs at least one.")
    known = np.isin(atoms.numbers, potential.numbers)
    if not known.all():
        atom = int(np.flatnonzero(~known)[0])
        raise DataError(
            f"Atom {atom} is {chemical_symbols[atoms.numbers[atom]]}, which this model does not "
            f"know; it was made for {', '.join(potential.symbols)}. Choose another model."
        )


def check_ensemble(atoms: Atoms, settings: MDSettings) -> None:
    """Refuse an open structure for npt, and constraints that the ensemble cannot honour."""
    if settings.ensemble == "npt" and not atoms.pbc.all():
        raise SimulationError(
            f"The ensemble npt needs a structure that is periodic in all three directions, and "
            f"this one is periodic {directions(atoms.pbc)}; choose an nvt ensemble."
        )
    purposes: dict[str, Purpose] = {"npt": "npt", "nvt-langevin": "langevin"}
    require_honoured(atoms, purposes.get(settings.ensemble, "dynamics"))


def check_timestep(atoms: Atoms, timestep: float) -> None:
    """Warn of a time step (fs) that is long for the lightest atom and refuse an absurd one."""
    masses = atoms.get_masses()
    lightest = int(np.argmin(masses))
    if not masses[lightest] > 0:
        raise DataError(f"Atom {lightest} has the mass {masses[lightest]} amu; give it a mass.")
    scale = math.sqrt(masses[lightest] / _HYDROGEN_MASS)
    good, absurd = _LONGEST_GOOD_TIMESTEP * scale, _ABSURD_TIMESTEP * scale
    if timestep <= good:
        return
    message = (
        f"A time step of {timestep:g} fs is too long for {atoms.symbols[lightest]} with its mass "
        f"of {masses[lightest]:.4g} amu, whose bonds vibrate within {9 * scale:.2g} fs; "
        f"use {good:.2g} fs or less"
    )
    if timestep >= absurd:
        raise SimulationError(f"{message}.")
    warnings.warn(f"{message}, or watch the conserved energy.", SimulationWarning, stacklevel=3)


def set_velocities(atoms: Atoms, settings: MDSettings, rng: np.random.Generator) -> None:
    """Give the atoms their initial momenta.

    Drawn from Maxwell and Boltzmann's distribution, p = sqrt(m k_B T) * normal, or those of the
    structure; less what constraints hold, and less the motions of the whole that nothing hinders:
    its drift and, in an open structure, its rotation. Langevin's noise turns the whole, and where
    something is held moves it, so then these stay. The mean kinetic energy is that of
    :func:`ladera.simulation.held.degrees_of_freedom`.
    """
    if settings.initial_velocities == "structure":
        if not atoms.has("momenta"):
            raise SimulationError(
                "initial_velocities is 'structure' but the structure file has no velocities; "
                "use one that a simulation wrote, or maxwell-boltzmann."
            )
    else:
        scale = np.sqrt(atoms.get_masses() * BOLTZMANN * settings.temperature)
        atoms.set_momenta(rng.standard_normal((len(atoms), 3)) * scale[:, None])
    if settings.ensemble not in ("nve", "nvt-langevin") and not atoms.get_momenta().any():
        raise SimulationError(
            f"The ensemble {settings.ensemble} only scales velocities, and all of these are zero; "
            "use maxwell-boltzmann velocities."
        )
    momenta = atoms.get_momenta()
    if settings.ensemble != "nvt-langevin":
        momenta = without_free_motions(atoms, momenta)
    elif not atoms.constraints:
        shares = atoms.get_masses()[:, None] / atoms.get_masses().sum()
        momenta = momenta - shares * momenta.sum(axis=0)
    atoms.set_momenta(momenta)
