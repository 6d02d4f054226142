"""Constant pressure and temperature, the cell keeping its shape.

References: G. J. Martyna, D. J. Tobias and M. L. Klein, J. Chem. Phys. 101, 4177 (1994);
M. E. Tuckerman et al., J. Phys. A 39, 5629 (2006).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import exprel

from ladera.simulation.calculator import cell_volume
from ladera.simulation.integrators.nose_hoover import (
    N_CHAIN,
    ChainState,
    _resting_chain,
    advance_chain,
    apply_thermostat,
    chain_energy,
    nose_hoover_init,
    thermostat_energy,
)
from ladera.simulation.integrators.verlet import kinetic_energy

if TYPE_CHECKING:
    from ladera.arrays import Floats
    from ladera.simulation.integrators.verlet import Conditions
    from ladera.simulation.system import System


@dataclass(frozen=True)
class BarostatState(ChainState):
    """A state with the volume, its momentum and a chain on that.

    Attributes
    ----------
    reference_cell
        (3, 3), Angstrom, the cell where the strain is zero.
    strain
        epsilon; the cell is exp(epsilon) times the reference, the volume exp(3 epsilon) times.
    strain_momentum
        p_epsilon.
    barostat
        The chain on the strain's momentum: rows xi and its momenta, (2, 3).
    stress_trace
        tr sigma at the positions, eV/Angstrom^3.
    """

    reference_cell: Floats = field(default_factory=lambda: np.eye(3))
    strain: float = 0.0
    strain_momentum: float = 0.0
    barostat: Floats = field(default_factory=_resting_chain)
    stress_trace: float = 0.0


def npt_init(system: System, conditions: Conditions) -> BarostatState:
    """The system as it is, with strain and chains at rest."""
    cell = system.atoms.cell.array.copy()
    return replace(
        BarostatState(**vars(nose_hoover_init(system, conditions))),
        exchanged=conditions.pressure * cell_volume(cell),
        reference_cell=cell,
        stress_trace=system.stress_trace(),
    )


def npt_step(
    state: BarostatState, system: System, conditions: Conditions, rng: np.random.Generator
) -> BarostatState:
    """One step of Martyna, Tobias and Klein's equations for an isotropic cell.

    ::

        dr/dt       = p / m + (p_eps / W) r
        dp/dt       = F - (1 + 3 / n_f) (p_eps / W) p
        d eps/dt    = p_eps / W
        d p_eps/dt  = (1 + 3 / n_f) 2 K - V (tr sigma + 3 P_0)

    and the chains on p and p_eps, each part of them solved exactly with the others at rest: chains,
    p_eps and p for half a step, r and eps for a whole one, and back.

    ==========  ==================  ==========================================
    symbol      variable            meaning
    ==========  ==================  ==========================================
    eps         strain              V = V_0 exp(3 eps)
    p_eps       strain_momentum     eV (unit of time)
    W           strain_mass(...)    (3 n_atoms + 3) k_B T tau_p^2
    2 K         2 kinetic_energy()  sum_i p_i^2 / m_i, eV
    tr sigma    stress_trace        of the potential's stress, eV/Angstrom^3
    P_0         pressure            eV/Angstrom^3
    ==========  ==================  ==========================================
    """
    time, mass = conditions.time_step, strain_mass(system, conditions)
    state = _advance_barostat(state, mass, conditions)
    chain, momenta = apply_thermostat(state.thermostat, state.momenta, system, conditions)
    state = replace(state, momenta=momenta)
    state = _strain_momentum_step(state, system, conditions)
    state = _momentum_step(state, mass, conditions)

    rate = state.strain_momentum / mass
    growth = time * rate
    moved = state.positions * math.exp(growth)
    moved += (time * float(exprel(growth))) * state.momenta / system.masses
    strain = state.strain + growth
    system.move(moved)
    system.deform(state.reference_cell * math.exp(strain))
    state = replace(
        state,
        positions=moved,
        strain=strain,
        forces=system.forces(),
        stress_trace=system.stress_trace(),
    )

    state = _momentum_step(state, mass, conditions)
    state = _strain_momentum_step(state, system, conditions)
    chain, momenta = apply_thermostat(chain, state.momenta, system, conditions)
    state = replace(state, momenta=momenta, thermostat=chain)
    state = _advance_barostat(state, mass, conditions)
    return replace(state, exchanged=_exchanged(state, mass, conditions))


def strain_mass(system: System, conditions: Conditions) -> float:
    """W = (3 n_atoms + 3) k_B T tau_p^2 at the temperature of the start."""
    thermal = conditions.initial_thermal_energy
    return (3 * len(system.masses) + 3) * thermal * conditions.barostat_time**2


def _volume(state: BarostatState) -> float:
    return cell_volume(state.reference_cell) * math.exp(3 * state.strain)


def _coupling(conditions: Conditions) -> float:
    """1 + 3 / n_f."""
    return 1 + 3 / conditions.degrees_of_freedom


def _momentum_step(state: BarostatState, mass: float, conditions: Conditions) -> BarostatState:
    """p' = p exp(-x) + t F (1 - exp(-x)) / x, x = t (1 + 3 / n_f) p_eps / W, t half a step."""
    time = conditions.time_step / 2
    decay = time * _coupling(conditions) * state.strain_momentum / mass
    kick = time * float(exprel(-decay))
    return replace(state, momenta=state.momenta * math.exp(-decay) + kick * state.forces)


def _strain_momentum_step(
    state: BarostatState, system: System, conditions: Conditions
) -> BarostatState:
    """p_eps' = p_eps + t ((1 + 3 / n_f) 2 K - V (tr sigma + 3 P_0)), t half a step."""
    force = _coupling(conditions) * 2 * kinetic_energy(state.momenta, system.masses)
    force -= _volume(state) * (state.stress_trace + 3 * conditions.pressure)
    momentum = state.strain_momentum + conditions.time_step / 2 * force
    return replace(state, strain_momentum=momentum)


def _barostat_masses(conditions: Conditions) -> list[float]:
    """R_0 = 9 k_B T tau_p^2, R_j = k_B T tau_p^2, at the temperature of the start."""
    mass = conditions.initial_thermal_energy * conditions.barostat_time**2
    return [9 * mass, *[mass] * (N_CHAIN - 1)]


def _advance_barostat(state: BarostatState, mass: float, conditions: Conditions) -> BarostatState:
    """Half a step of the chain on p_eps, whose p_eps^2 / W has the mean k_B T."""
    thermal = conditions.thermal_energy
    surplus = (state.strain_momentum**2 / mass, thermal, thermal)
    masses = _barostat_masses(conditions)
    chain, scale = advance_chain(state.barostat, masses, surplus, conditions.time_step / 2)
    return replace(state, barostat=chain, strain_momentum=scale * state.strain_momentum)


def _exchanged(state: BarostatState, mass: float, conditions: Conditions) -> float:
    """Energy of both chains, of the moving volume, and P_0 V."""
    thermal = conditions.thermal_energy
    chain = chain_energy(state.barostat, _barostat_masses(conditions), thermal, thermal)
    volume = state.strain_momentum**2 / (2 * mass) + conditions.pressure * _volume(state)
    return thermostat_energy(state.thermostat, conditions) + chain + volume
