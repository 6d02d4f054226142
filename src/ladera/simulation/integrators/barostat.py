"""Constant pressure and temperature, the cell keeping its shape.

References: G. J. Martyna, D. J. Tobias and M. L. Klein, J. Chem. Phys. 101, 4177 (1994);
M. E. Tuckerman et al., J. Phys. A 39, 5629 (2006).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ladera.graph import cell_volume
from ladera.simulation.integrators.nose_hoover import (
    ChainState,
    advance_chain,
    advance_thermostat,
    chain_energy,
    nose_hoover_init,
    resting_chain,
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
    barostat: Floats = field(default_factory=resting_chain)
    stress_trace: float = 0.0


def npt_init(system: System, conditions: Conditions) -> BarostatState:
    """The system as it is, with strain and chains at rest."""
    cell = system.atoms.cell.array.copy()
    return replace(
        BarostatState(**vars(nose_hoover_init(system, conditions))),
        exchanged=conditions.pressure * cell_volume(cell.tolist()),
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

    ==========  ====================  ==========================================
    symbol      variable              meaning
    ==========  ====================  ==========================================
    eps         strain                V = V_0 exp(3 eps)
    p_eps       strain_momentum       eV (unit of time)
    W           inertia               (3 n_atoms + 3) k_B T tau_p^2
    2 K         2 * kinetic_energy()  sum_i p_i^2 / m_i, eV
    tr sigma    trace                 of the potential's stress, eV/Angstrom^3
    P_0         pressure              eV/Angstrom^3
    ==========  ====================  ==========================================
    """
    time, half, masses = conditions.time_step, conditions.time_step / 2, system.masses
    inertia = strain_mass(system, conditions)
    coupling = 1 + 3 / conditions.degrees_of_freedom
    reference_volume = cell_volume(state.reference_cell.tolist())

    def push(momentum: float, twice_kinetic: float, trace: float, volume: float) -> float:
        """p_eps' = p_eps + dt/2 ((1 + 3 / n_f) 2 K - V (tr sigma + 3 P_0))."""
        force = coupling * twice_kinetic - volume * (trace + 3 * conditions.pressure)
        return momentum + half * force

    def kick(momenta: Floats, forces: Floats, strain_momentum: float) -> Floats:
        """p' = p exp(-x) + dt/2 F (1 - exp(-x)) / x,  x = dt/2 (1 + 3 / n_f) p_eps / W."""
        x = half * coupling * strain_momentum / inertia
        return momenta * math.exp(-x) + half * _growth(-x) * forces

    barostat, p_eps = _advance_barostat(state.barostat, state.strain_momentum, inertia, conditions)
    twice_kinetic = 2 * kinetic_energy(state.momenta, masses)
    thermostat, scale = advance_thermostat(state.thermostat, twice_kinetic, conditions)
    volume = reference_volume * math.exp(3 * state.strain)
    p_eps = push(p_eps, scale**2 * twice_kinetic, state.stress_trace, volume)
    p = kick(scale * state.momenta, state.forces, p_eps)

    x = time * p_eps / inertia
    strain = state.strain + x
    moved = state.positions * math.exp(x) + time * _growth(x) * p / masses
    positions = system.move(moved)
    system.deform(state.reference_cell * math.exp(strain))
    forces, trace = system.forces(), system.stress_trace()

    p = kick(p, forces, p_eps)
    volume = reference_volume * math.exp(3 * strain)
    twice_kinetic = 2 * kinetic_energy(p, masses)
    p_eps = push(p_eps, twice_kinetic, trace, volume)
    thermostat, scale = advance_thermostat(thermostat, twice_kinetic, conditions)
    barostat, p_eps = _advance_barostat(barostat, p_eps, inertia, conditions)
    return BarostatState(
        positions=positions,
        momenta=scale * p,
        forces=forces,
        exchanged=_exchanged(thermostat, barostat, p_eps**2 / (2 * inertia), volume, conditions),
        thermostat=thermostat,
        reference_cell=state.reference_cell,
        strain=strain,
        strain_momentum=p_eps,
        barostat=barostat,
        stress_trace=trace,
    )


def strain_mass(system: System, conditions: Conditions) -> float:
    """W = (3 n_atoms + 3) k_B T tau_p^2 at the temperature of the start."""
    thermal = conditions.initial_thermal_energy
    return (3 * len(system.masses) + 3) * thermal * conditions.barostat_time**2


def _growth(x: float) -> float:
    """(exp(x) - 1) / x."""
    return math.expm1(x) / x if x else 1.0


def _advance_barostat(
    chain: Floats, strain_momentum: float, inertia: float, conditions: Conditions
) -> tuple[Floats, float]:
    """Half a time step of the chain on p_eps, whose p_eps^2 / W has the mean k_B T."""
    thermal = conditions.thermal_energy
    surplus = (strain_momentum**2 / inertia, thermal, thermal)
    chain, scale = advance_chain(
        chain, conditions.barostat_masses, surplus, conditions.time_step / 2
    )
    return chain, scale * strain_momentum


def _exchanged(
    thermostat: Floats, barostat: Floats, moving: float, volume: float, conditions: Conditions
) -> float:
    """Energy of both chains, of the moving volume, p_eps^2 / (2 W), and P_0 V."""
    thermal = conditions.thermal_energy
    chain = chain_energy(barostat, conditions.barostat_masses, thermal, thermal)
    return thermostat_energy(thermostat, conditions) + chain + moving + conditions.pressure * volume
