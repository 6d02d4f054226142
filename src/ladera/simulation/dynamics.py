"""A structure in motion: settings turned into a system, its conditions and an integrator."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ladera.simulation.held import degrees_of_freedom
from ladera.simulation.integrators import INTEGRATORS, Conditions, State, kinetic_energy
from ladera.simulation.system import System
from ladera.units import BOLTZMANN, FEMTOSECOND, GIGAPASCAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ase import Atoms

    from ladera.arrays import Floats
    from ladera.simulation.settings import MDSettings


class Dynamics:
    """The state of a run, its steps, and what is measured of it.

    ``atoms``, with a calculator and momenta, are always as the ``state`` is, which is there from
    :meth:`start` or :meth:`go_back_to` on.
    """

    state: State

    def __init__(self, atoms: Atoms, settings: MDSettings, rng: np.random.Generator) -> None:
        self.atoms = atoms
        self._settings = settings
        self._rng = rng
        self._integrator = INTEGRATORS[settings.ensemble]
        rests = settings.ensemble == "nvt-langevin" and not atoms.constraints
        self._system = System(atoms, rests=rests)
        self._conditions = conditions(settings, degrees_of_freedom(atoms, settings.ensemble))

    def start(self) -> None:
        """Begin with the atoms as they are; the model is asked for its forces."""
        self.state = self._integrator.init(self._system, self._conditions)

    def go_back_to(self, cell: Floats, stored: Mapping[str, Any]) -> None:
        """Begin with a cell and a state, its fields by name; what is not stored is computed.

        Raises ValueError for what is no state of these atoms and this integrator.
        """
        atoms = dict.fromkeys(("positions", "momenta"), self.atoms.positions)
        _require_like({"cell": cell, **{name: stored.get(name) for name in atoms}}, atoms)
        self.atoms.set_cell(cell, apply_constraint=False)
        self.atoms.set_positions(stored["positions"], apply_constraint=False)
        self.atoms.set_momenta(stored["momenta"], apply_constraint=False)
        self.start()
        _require_like(stored, vars(self.state))
        self.state = replace(self.state, **stored)

    def step(self, number: int) -> None:
        """Step ``number`` of the run, counted from one."""
        if self._settings.temperature_end is not None:
            thermal = BOLTZMANN * self._settings.temperature_at(number)
            self._conditions = replace(self._conditions, thermal_energy=thermal)
        self.state = self._integrator.step(self.state, self._system, self._conditions, self._rng)
        self.atoms.arrays["momenta"][:] = self.state.momenta

    def temperature(self) -> float:
        """T = 2 K / (n_f k_B), K."""
        twice_kinetic = 2 * kinetic_energy(self.atoms.arrays["momenta"], self._system.masses)
        return twice_kinetic / (self._conditions.degrees_of_freedom * BOLTZMANN)

    def conserved_energy(self) -> float:
        """What an exact integration keeps constant, eV; along a ramp it does not stay."""
        energy = self.atoms.get_potential_energy() + self.atoms.get_kinetic_energy()
        return float(energy + self.state.exchanged)


def _require_like(stored: Mapping[str, Any], like: Mapping[str, Any]) -> None:
    """Raise ValueError unless all that is stored are finite numbers of the shapes known."""
    for name, value in stored.items():
        array = np.asarray(value)
        shape = np.shape(like[name]) if name in like else (3, 3) if name == "cell" else None
        if array.shape != shape or array.dtype.kind not in "if" or not np.isfinite(array).all():
            expected = "nothing of that name" if shape is None else f"finite numbers, shape {shape}"
            raise ValueError(
                f"{name} has {array.dtype} of shape {array.shape}, expected {expected}"
            )


def conditions(settings: MDSettings, degrees_of_freedom: int) -> Conditions:
    """The settings in ASE's units, for an integrator."""
    thermal = BOLTZMANN * settings.temperature
    return Conditions(
        time_step=settings.timestep * FEMTOSECOND,
        degrees_of_freedom=degrees_of_freedom,
        thermal_energy=thermal,
        initial_thermal_energy=thermal,
        thermostat_time=settings.thermostat_time * FEMTOSECOND,
        barostat_time=settings.barostat_time * FEMTOSECOND,
        pressure=settings.pressure * GIGAPASCAL,
    )
