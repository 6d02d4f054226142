"""Before the first step: whether structure, model and settings fit, and the velocities."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Final

import numpy as np
from ase.data import chemical_symbols

from ladera.errors import DataError, SimulationError
from ladera.simulation.settings import MDSettings
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
            f"know; it was made for {', '.join(potential.symbols)}."
        )


def check_ensemble(atoms: Atoms, settings: MDSettings) -> None:
    """Refuse what ASE's integrators cannot do: open structures for npt, constraints for chains."""
    if settings.ensemble == "npt" and not atoms.pbc.all():
        raise SimulationError(
            f"The ensemble npt needs a structure that is periodic in all three directions, not "
            f"{atoms.pbc.tolist()}: only it has a pressure. Choose an nvt ensemble."
        )
    if atoms.constraints and settings.ensemble in ("npt", "nvt-nose-hoover"):
        raise SimulationError(
            f"The ensemble {settings.ensemble} cannot treat fixed atoms; "
            "remove the constraints or choose nvt-bussi or nvt-langevin."
        )


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

    Drawn from Maxwell and Boltzmann's distribution, p = sqrt(m k_B T) * normal, less what moves
    or (in an open structure) rotates the whole, unless constraints hold it; so the mean kinetic
    energy is that of the remaining degrees of freedom. Or those of the structure, as they are but
    for the same two.
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
    if not atoms.constraints:
        _stop_drift(atoms)
        if not atoms.pbc.any():
            _stop_rotation(atoms)


def _stop_drift(atoms: Atoms) -> None:
    masses = atoms.get_masses()[:, None]
    momenta = atoms.get_momenta()
    atoms.set_momenta(momenta - masses * momenta.sum(axis=0) / masses.sum())


def _stop_rotation(atoms: Atoms) -> None:
    """Subtract the rigid rotation omega = I^-1 L; a linear molecule's axis has no inertia."""
    masses = atoms.get_masses()[:, None]
    positions = atoms.positions - atoms.get_center_of_mass()
    momenta = atoms.get_momenta()
    angular_momentum = np.cross(positions, momenta).sum(axis=0)
    inertia = np.eye(3) * (masses * positions**2).sum() - (masses * positions).T @ positions
    omega = np.linalg.pinv(inertia, rcond=1e-8, hermitian=True) @ angular_momentum
    atoms.set_momenta(momenta - masses * np.cross(omega, positions))
