"""Velocity Verlet, and the two elementary steps of all integrators.

References: L. Verlet, Phys. Rev. 159, 98 (1967); W. C. Swope et al., J. Chem. Phys. 76, 637 (1982);
what is held, H. C. Andersen (RATTLE), J. Comput. Phys. 52, 24 (1983).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from ladera.arrays import Floats
    from ladera.simulation.system import System


@dataclass(frozen=True)
class Conditions:
    """What stays the same from step to step. Times in ASE's unit, Angstrom sqrt(amu/eV).

    Attributes
    ----------
    time_step
        dt.
    degrees_of_freedom
        n_f, those that carry kinetic energy: <K> = n_f k_B T / 2.
    thermal_energy
        k_B T of the thermostat, eV; changes only along a ramp.
    initial_thermal_energy
        k_B T at the start of a ramp, eV, of which the masses of Nose-Hoover chains are made.
    thermostat_time, barostat_time
        tau and tau_p.
    pressure
        P_0 of the barostat, eV/Angstrom^3.
    """

    time_step: float
    degrees_of_freedom: int
    thermal_energy: float
    initial_thermal_energy: float
    thermostat_time: float
    barostat_time: float
    pressure: float

    @cached_property
    def thermostat_masses(self) -> Floats:
        """Q_0 = n_f k_B T tau^2, Q_j = k_B T tau^2, of the Nose-Hoover chain on the atoms."""
        mass = self.initial_thermal_energy * self.thermostat_time**2
        return np.array([self.degrees_of_freedom * mass, mass, mass])

    @cached_property
    def barostat_masses(self) -> Floats:
        """R_0 = 9 k_B T tau_p^2, R_j = k_B T tau_p^2, of the chain on the volume."""
        mass = self.initial_thermal_energy * self.barostat_time**2
        return np.array([9 * mass, mass, mass])


@dataclass(frozen=True)
class State:
    """What a step changes. Integrators with more to remember add fields.

    Attributes
    ----------
    positions
        (n_atoms, 3), Angstrom.
    momenta
        (n_atoms, 3), sqrt(eV amu).
    forces
        (n_atoms, 3) at the positions, eV/Angstrom.
    exchanged
        Energy that thermostat and barostat hold, eV: an exact integration keeps the potential and
        the kinetic energy and this together constant.
    """

    positions: Floats
    momenta: Floats
    forces: Floats
    exchanged: float = 0.0


S = TypeVar("S", bound=State)


def kinetic_energy(momenta: Floats, masses: Floats) -> float:
    """K = sum_i p_i^2 / (2 m_i), eV."""
    return 0.5 * float(np.vdot(momenta, momenta / masses))


def momentum_step(momenta: Floats, forces: Floats, time: float) -> Floats:
    """p' = p + t F."""
    return momenta + time * forces


def position_step(
    positions: Floats, momenta: Floats, time: float, system: System
) -> tuple[Floats, Floats]:
    """r' = r + t p / m; where something is held, p' = m (r' - r) / t of the move that was made."""
    moved = system.move(positions + time * momenta / system.masses)
    if system.held:
        momenta = (moved - positions) * system.masses / time
    return moved, momenta


def verlet_init(system: System, conditions: Conditions) -> State:
    """The system as it is, with its forces."""
    atoms = system.atoms
    return State(atoms.get_positions(), atoms.get_momenta(), system.forces())


def verlet_step(state: S, system: System, conditions: Conditions, rng: np.random.Generator) -> S:
    """One step at constant energy.

    ::

        p_n+1/2 = p_n + dt/2 F_n
        r_n+1   = r_n + dt p_n+1/2 / m
        p_n+1   = p_n+1/2 + dt/2 F_n+1

    ======  ==================  =========================
    symbol  variable            unit
    ======  ==================  =========================
    r       positions           Angstrom
    p       momenta             sqrt(eV amu)
    F       forces              eV/Angstrom
    m       system.masses       amu
    dt      time_step           Angstrom sqrt(amu/eV)
    ======  ==================  =========================
    """
    time = conditions.time_step
    momenta = momentum_step(state.momenta, state.forces, time / 2)
    positions, momenta = position_step(state.positions, momenta, time, system)
    forces = system.forces()
    momenta = system.project(momentum_step(momenta, forces, time / 2))
    return replace(state, positions=positions, momenta=momenta, forces=forces)
