"""Stochastic velocity rescaling.

Reference: G. Bussi, D. Donadio and M. Parrinello, J. Chem. Phys. 126, 014101 (2007), equation A7.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from ladera.simulation.integrators.verlet import State, kinetic_energy, verlet_step

if TYPE_CHECKING:
    import numpy as np

    from ladera.simulation.integrators.verlet import Conditions
    from ladera.simulation.system import System


def bussi_step(
    state: State, system: System, conditions: Conditions, rng: np.random.Generator
) -> State:
    """Rescale the momenta, then a step of velocity Verlet.

    ::

        p' = alpha p
        alpha^2 = c + (1 - c) q (R_1^2 + sum_i=2^n_f R_i^2) + 2 R_1 sqrt(c (1 - c) q)
        c = exp(-dt / tau),    q = k_B T / (2 K)

        exchanged' = exchanged - (alpha^2 - 1) K

    ======  ====================  ===================================================
    symbol  variable              meaning
    ======  ====================  ===================================================
    c       memory                what is left of the old kinetic energy
    K       kinetic               kinetic energy, eV
    R_1     first                 a normal random number
    R_i     others                the sum of the squares of n_f - 1 more, 2 gamma(...)
    ======  ====================  ===================================================
    """
    kinetic = kinetic_energy(state.momenta, system.masses)
    memory = math.exp(-conditions.time_step / conditions.thermostat_time)
    drive = (1 - memory) * 0.5 * conditions.thermal_energy / kinetic
    first = rng.standard_normal()
    others = 2 * rng.standard_gamma(0.5 * (conditions.degrees_of_freedom - 1))
    cross = 2 * first * math.sqrt(memory * drive)
    factor = math.sqrt(memory + drive * (others + first**2) + cross)
    state = replace(
        state,
        momenta=factor * state.momenta,
        exchanged=state.exchanged - (factor**2 - 1) * kinetic,
    )
    return verlet_step(state, system, conditions, rng)
