"""Nose-Hoover chains: a thermostat without random numbers.

References: G. J. Martyna, M. L. Klein and M. Tuckerman, J. Chem. Phys. 97, 2635 (1992);
M. E. Tuckerman et al., J. Phys. A 39, 5629 (2006).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ladera.kernels.compilation import exact
from ladera.simulation.integrators.verlet import State, kinetic_energy, verlet_init, verlet_step

if TYPE_CHECKING:
    from ladera.arrays import Floats
    from ladera.simulation.integrators.verlet import Conditions
    from ladera.simulation.system import System

_OUTER: Final = 1 / (2 - 2 ** (1 / 3))
# Suzuki and Yoshida's fourth order: H. Yoshida, Phys. Lett. A 150, 262 (1990).
_WEIGHTS: Final = (_OUTER, 1 - 2 * _OUTER, _OUTER)


def resting_chain() -> Floats:
    """A chain of three at zero."""
    return np.zeros((2, 3))


@dataclass(frozen=True)
class ChainState(State):
    """A state with the chain on the momenta of the atoms: rows eta and pi, (2, 3)."""

    thermostat: Floats = field(default_factory=resting_chain)


def advance_chain(
    chain: Floats, masses: Floats, surplus: tuple[float, float, float], time: float
) -> tuple[Floats, float]:
    """Move a chain by ``time``; the chain, and the factor for the momenta it acts on.

    ``surplus`` is 2 K of these momenta, the mean it should have, and k_B T. With the masses Q,

    ::

        d eta_j / dt = pi_j / Q_j
        d pi_j / dt  = G_j - pi_j pi_j+1 / Q_j+1
        G_0 = 2 K - mean,    G_j = pi_j-1^2 / Q_j-1 - k_B T
        d p / dt     = -p pi_0 / Q_0

    split symmetrically: momenta of the chain from its end, its positions and the factor, momenta
    back. The chain scales p alone, p -> s p, so that 2 K -> s^2 2 K need not be summed again.
    """
    moved = chain.copy()
    factor: float = _advance(  # type: ignore[no-untyped-call]
        moved[0], moved[1], masses, *surplus, time
    )
    return moved, factor


@exact
def _advance(eta, pi, masses, twice_kinetic, mean, thermal, time):  # type: ignore[no-untyped-def]
    """Move eta and pi in place; see :func:`advance_chain`."""
    last = len(pi) - 1
    scale = 1.0
    for weight in _WEIGHTS:
        step = weight * time
        for visit in range(2 * last + 2):
            j = last - visit if visit <= last else visit - last - 1
            if visit == last + 1:  # between the way from the end and the way back
                for k in range(last + 1):
                    eta[k] += step * pi[k] / masses[k]
                scale *= math.exp(-step * pi[0] / masses[0])
            if j == 0:
                force = scale * scale * twice_kinetic - mean
            else:
                force = pi[j - 1] * pi[j - 1] / masses[j - 1] - thermal
            drag = 1.0
            if j < last:
                drag = math.exp(-0.25 * step * pi[j + 1] / masses[j + 1])
            pi[j] = (pi[j] * drag + 0.5 * step * force) * drag
    return scale


def chain_energy(chain: Floats, masses: Floats, mean: float, thermal: float) -> float:
    """Energy of a chain, eV: mean eta_0 + k_B T sum_j>0 eta_j + sum_j pi_j^2 / (2 Q_j)."""
    eta, pi = chain.tolist()
    kinetic = sum(0.5 * p * p / mass for p, mass in zip(pi, masses.tolist(), strict=True))
    return float(mean * eta[0] + thermal * sum(eta[1:]) + kinetic)


def advance_thermostat(
    chain: Floats, twice_kinetic: float, conditions: Conditions
) -> tuple[Floats, float]:
    """Half a time step of the chain on the atoms; the chain, and the factor for their momenta."""
    thermal = conditions.thermal_energy
    surplus = (twice_kinetic, conditions.degrees_of_freedom * thermal, thermal)
    masses = conditions.thermostat_masses
    return advance_chain(chain, masses, surplus, conditions.time_step / 2)


def thermostat_energy(chain: Floats, conditions: Conditions) -> float:
    """Energy of the chain on the atoms, eV."""
    thermal = conditions.thermal_energy
    mean = conditions.degrees_of_freedom * thermal
    return chain_energy(chain, conditions.thermostat_masses, mean, thermal)


def nose_hoover_init(system: System, conditions: Conditions) -> ChainState:
    """The system as it is, with a chain at rest."""
    return ChainState(**vars(verlet_init(system, conditions)))


def nose_hoover_step(
    state: ChainState, system: System, conditions: Conditions, rng: np.random.Generator
) -> ChainState:
    """Half a step of the chain, a step of velocity Verlet, half a step of the chain.

    ::

        p -> s p,   velocity Verlet,   p -> s' p        (s, s' from the chain)

    ==========  ==================  =============================================
    symbol      variable            meaning
    ==========  ==================  =============================================
    eta, pi     thermostat          positions and momenta of the chain, its rows
    Q           thermostat_masses   eV (unit of time)^2
    n_f         degrees_of_freedom  mean of 2 K is n_f k_B T
    s           scale               factor for the momenta of the atoms
    ==========  ==================  =============================================
    """
    masses = system.masses
    twice_kinetic = 2 * kinetic_energy(state.momenta, masses)
    chain, scale = advance_thermostat(state.thermostat, twice_kinetic, conditions)
    state = verlet_step(replace(state, momenta=scale * state.momenta), system, conditions, rng)
    twice_kinetic = 2 * kinetic_energy(state.momenta, masses)
    chain, scale = advance_thermostat(chain, twice_kinetic, conditions)
    return replace(
        state,
        momenta=scale * state.momenta,
        thermostat=chain,
        exchanged=thermostat_energy(chain, conditions),
    )
