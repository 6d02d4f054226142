"""Integrators: pairs of functions on plain arrays, init and step, state in and state out.

    init(system, conditions) -> state
    step(state, system, conditions, rng) -> state

A new one is these two functions and a line in :data:`INTEGRATORS`. What its state has beyond
:class:`State` are fields of a frozen dataclass, arrays or floats: a restart point stores them by
their names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from ladera.simulation.integrators.barostat import npt_init, npt_step
from ladera.simulation.integrators.bussi import bussi_step
from ladera.simulation.integrators.langevin import langevin_step
from ladera.simulation.integrators.nose_hoover import nose_hoover_init, nose_hoover_step
from ladera.simulation.integrators.verlet import (
    Conditions,
    State,
    kinetic_energy,
    verlet_init,
    verlet_step,
)
from ladera.simulation.system import System

__all__ = ["INTEGRATORS", "Conditions", "Integrator", "State", "kinetic_energy"]


class Integrator(NamedTuple):
    """The two functions of an integrator."""

    init: Callable[[System, Conditions], State]
    step: Callable[[Any, System, Conditions, np.random.Generator], State]


INTEGRATORS: Final = {
    "nve": Integrator(verlet_init, verlet_step),
    "nvt-langevin": Integrator(verlet_init, langevin_step),
    "nvt-bussi": Integrator(verlet_init, bussi_step),
    "nvt-nose-hoover": Integrator(nose_hoover_init, nose_hoover_step),
    "npt": Integrator(npt_init, npt_step),
}
