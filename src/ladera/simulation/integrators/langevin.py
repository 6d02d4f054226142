"""Langevin dynamics: friction and noise.

Reference: E. Vanden-Eijnden and G. Ciccotti, Chem. Phys. Lett. 429, 310 (2006), equation 23, and 39
where something is held.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ladera.simulation.integrators.verlet import State, kinetic_energy

if TYPE_CHECKING:
    from ladera.simulation.integrators.verlet import Conditions
    from ladera.simulation.system import System


def langevin_step(
    state: State, system: System, conditions: Conditions, rng: np.random.Generator
) -> State:
    """One step with friction 1 / tau.

    ::

        dr = v dt,    m dv = F dt - gamma m v dt + m sigma dw,    sigma = sqrt(2 k_B T gamma / m)

        v_n+1/2 = v_n + c1 F_n / m - c2 v_n + b
        r_n+1   = r_n + dt v_n+1/2 + a
        v_n+1   = v' + c1 F_n+1 / m - c2 v' + b,    v' = (r_n+1 - r_n - a) / dt

        a  = dt^3/2 sigma eta / (2 sqrt(3))
        b  = (dt^1/2 / 2 - gamma dt^3/2 / 8) sigma xi - gamma / 2 a
        c1 = dt / 2 - gamma dt^2 / 8,    c2 = gamma c1

    Friction and noise exchange energy all the time. What the bath has received is the work of the
    forces less the gain of kinetic energy, and its sum with U and K drifts when the forces are not
    the gradient of the energy or the time step is too long:

        exchanged' = exchanged + (F_n + F_n+1) . (r_n+1 - r_n) / 2 - (K_n+1 - K_n)

    =======  ====================  =======================================
    symbol   variable              meaning
    =======  ====================  =======================================
    v        velocities            p / m
    gamma    friction              1 / thermostat_time
    sigma    sigma                 strength of the noise, (n_atoms, 1)
    xi, eta  xi, eta               normal random numbers, (n_atoms, 3) each
    a, b     random_move,          what they do to positions and velocities
             random_velocity
    =======  ====================  =======================================
    """
    time, masses = conditions.time_step, system.masses
    friction = 1 / conditions.thermostat_time
    sigma = np.sqrt(2 * conditions.thermal_energy * friction / masses)
    c1 = time / 2 - time**2 * friction / 8
    c2 = friction * c1
    xi = rng.standard_normal(state.momenta.shape)
    eta = rng.standard_normal(state.momenta.shape)
    random_move = (time**1.5 / (2 * math.sqrt(3)) * sigma) * eta
    random_velocity = (math.sqrt(time) / 2 - time**1.5 * friction / 8) * sigma * xi
    random_velocity -= friction / 2 * random_move

    velocities = state.momenta / masses
    velocities += c1 * state.forces / masses - c2 * velocities + random_velocity
    positions = system.move(state.positions + time * velocities + random_move)
    moves = positions - state.positions
    velocities = (moves - random_move) / time
    forces = system.forces()
    velocities += c1 * forces / masses - c2 * velocities + random_velocity
    momenta = system.project(velocities * masses)

    work = 0.5 * float(np.vdot(state.forces + forces, moves))
    gain = kinetic_energy(momenta, masses) - kinetic_energy(state.momenta, masses)
    return replace(
        state,
        positions=positions,
        momenta=momenta,
        forces=forces,
        exchanged=state.exchanged + work - gain,
    )
