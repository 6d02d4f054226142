"""Structures as they would be at a temperature, if the walker's energy were harmonic."""

from __future__ import annotations

from typing import Final

import numpy as np

from ladera.data.frame import Frame
from ladera.errors import SimulationError
from ladera.potential import Potential
from ladera.properties.displacements import derivatives
from ladera.properties.normal_modes import WAVENUMBER
from ladera.simulation.relaxation import relax
from ladera.units import BOLTZMANN

_FMAX: Final = 0.01  # eV/Angstrom
_SOFTEST: Final = 100.0 / WAVENUMBER  # sqrt(eV/amu)/Angstrom; softer modes move as this one does


def thermal(
    frame: Frame,
    potential: Potential,
    temperature: float,
    number: int,
    generator: np.random.Generator,
) -> list[Frame]:
    """Structures displaced along the normal modes that a potential finds, at a temperature (K).

        x = x_0 + sum_s xi_s sqrt(k T) / omega_s  e_s / sqrt(m),    xi_s normal

    the classical distribution of a harmonic oscillator, around the structure at rest (in its cell
    as it is). Bonds move little and torsions much, as they do in dynamics, while displacements at
    random are hot in the former and cold in the latter. Modes below 100 cm^-1, imaginary ones among
    them, move as one of 100 cm^-1: a harmonic torsion would go through its neighbours.

    Raises SimulationError where the structure does not come to rest.
    """
    relaxed = relax(frame.to_atoms(), potential, fmax=_FMAX)
    if not relaxed.converged:
        raise SimulationError(
            f"begin.modes: {frame.source or frame.formula} does not come to rest by the walker "
            f"({relaxed.last.step} steps); begin with a relaxed structure, or leave modes out."
        )
    atoms = relaxed.atoms.copy()
    atoms.calc = potential.calculator()
    masses = np.repeat(atoms.get_masses(), 3)
    hessian = derivatives(atoms, None).hessian / np.sqrt(np.outer(masses, masses))
    eigenvalues, modes = np.linalg.eigh(hessian)
    whole = 3 if frame.periodic.all() else 6
    inner = np.argsort(np.abs(eigenvalues))[min(whole, len(masses) - 1) :]
    frequencies = np.sqrt(np.maximum(eigenvalues[inner], _SOFTEST**2))
    spread = np.sqrt(BOLTZMANN * temperature) / frequencies
    found = []
    for _ in range(number):
        moves = modes[:, inner] @ (spread * generator.standard_normal(len(inner)))
        positions = atoms.positions + (moves / np.sqrt(masses)).reshape(-1, 3)
        name = f"modes-{temperature:g}K"
        found.append(frame.with_(positions=positions, config_type=name, source=f"made: {name}"))
    return found
