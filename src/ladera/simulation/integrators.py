"""ASE's integrators behind one face: step, heat, say what is conserved, save and restore.

The thermostats act on the degrees of freedom that really move. With nothing fixed an integrator
conserves the total momentum (3 fewer), and in an open structure the angular momentum too (3 more,
2 for two atoms), Langevin's friction and noise excepted. For a molecule of nine atoms the
difference between 27 and 21 is 29 % in temperature.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ase.constraints import FixCom
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.nose_hoover_chain import NoseHooverChainNVT
from ase.md.verlet import VelocityVerlet

from ladera.errors import SimulationError
from ladera.simulation.chains import Barostat, IsotropicNPT, Thermostat
from ladera.simulation.settings import MDSettings
from ladera.units import BOLTZMANN, FEMTOSECOND, GIGAPASCAL

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

State = dict[str, "NDArray[Any] | bool | int | float"]


class Integrator(ABC):
    """One of ASE's integrators at work on a structure.

    ``dynamics`` is ASE's object; ``degrees_of_freedom`` are those that carry kinetic energy.
    """

    dynamics: Any

    def __init__(
        self, atoms: Atoms, settings: MDSettings, rng: np.random.Generator, dof: int
    ) -> None:
        self.atoms = atoms
        self.degrees_of_freedom = dof
        self.dynamics = self._build(settings, rng)
        self.set_temperature(settings.temperature)

    @abstractmethod
    def _build(self, settings: MDSettings, rng: np.random.Generator) -> Any:
        """ASE's integrator for ``self.atoms``."""

    def step(self) -> None:
        """One time step."""
        self.dynamics.step()

    @abstractmethod
    def set_temperature(self, temperature: float) -> None:
        """New target of the thermostat, K. Conserved energies hold between two calls."""

    def conserved_energy(self) -> float:
        """What an exact integration would keep constant, eV."""
        return float(self.atoms.get_potential_energy() + self.atoms.get_kinetic_energy())

    def temperature(self) -> float:
        """T = 2 E_kin / (degrees of freedom * k_B), K."""
        # As atoms.get_kinetic_energy(), which copies momenta and masses first.
        momenta = self.atoms.arrays["momenta"]
        twice_kinetic = float(np.vdot(momenta, momenta / self.dynamics.masses))
        return twice_kinetic / (self.degrees_of_freedom * BOLTZMANN)

    def state(self) -> State:
        """Every number the integrator holds, by its path, so that it can be restored exactly."""
        return {path: getattr(owner, name) for path, owner, name in _numbers(self, "")}

    def restore(self, state: State) -> None:
        """Put the numbers of :meth:`state` back."""
        for path, value in state.items():
            *parents, name = path.split(".")
            owner: Any = self
            for parent in parents:
                owner = getattr(owner, parent)
            setattr(owner, name, value)


class ConstantEnergy(Integrator):
    """Velocity Verlet; conserves the total energy."""

    def _build(self, settings: MDSettings, rng: np.random.Generator) -> Any:
        return VelocityVerlet(self.atoms, settings.timestep * FEMTOSECOND)

    def set_temperature(self, temperature: float) -> None:
        """There is no thermostat."""


class _CentreOfMassAtRest(FixCom):
    """ASE's constraint, which looks all masses up and adds them at every step."""

    def __init__(self, masses: NDArray[np.float64]) -> None:
        self._shares = masses / masses.sum()

    def adjust_positions(self, atoms: Atoms, new: NDArray[np.float64]) -> None:
        """Shift the new positions back by sum_i m_i (r_i' - r_i) / sum_i m_i."""
        new -= self._shares @ (new - atoms.positions)

    def adjust_momenta(self, atoms: Atoms, momenta: NDArray[np.float64]) -> None:
        """Subtract each atom's share of the total momentum."""
        momenta -= self._shares[:, None] * momenta.sum(axis=0)


class LangevinThermostat(Integrator):
    """Langevin dynamics with the centre of mass at rest.

    Friction and noise exchange energy all the time, so the conserved energy is the potential energy
    plus the work the forces have done, plus the kinetic energy at the start:

        U(t) + sum over steps of (F_n + F_n+1) . (r_n+1 - r_n) / 2 + K(0)

    with the forces of the potential alone, since those of constraints do no work. It drifts when
    forces are not the gradient of the energy or the time step is too long.
    """

    def _build(self, settings: MDSettings, rng: np.random.Generator) -> Any:
        # Constraints of the structure's own may add forces for the integrator; ours does not.
        self._plain = not self.atoms.constraints
        if self._plain:
            self.atoms.set_constraint(_CentreOfMassAtRest(self.atoms.get_masses()))
        self.work = 0.0
        self.forces: NDArray[np.float64] | None = None  # of the last step
        self.initial_kinetic_energy = float(self.atoms.get_kinetic_energy())
        return Langevin(
            self.atoms,
            settings.timestep * FEMTOSECOND,
            temperature_K=settings.temperature,
            friction=1 / (settings.thermostat_time * FEMTOSECOND),
            fixcm=False,
            rng=rng,
        )

    def step(self) -> None:
        positions = self.atoms.get_positions()
        before = self.forces
        if before is None:
            before = self.atoms.get_forces(apply_constraint=False)
        self.forces = self.dynamics.step(before if self._plain else None)
        if not self._plain:
            self.forces = self.atoms.get_forces(apply_constraint=False)
        moves = self.atoms.positions - positions
        self.work += 0.5 * float(np.vdot(before + self.forces, moves))

    def set_temperature(self, temperature: float) -> None:
        self.dynamics.set_temperature(temperature_K=temperature)

    def conserved_energy(self) -> float:
        potential = float(self.atoms.get_potential_energy())
        return potential + self.work + self.initial_kinetic_energy


class BussiThermostat(Integrator):
    """Stochastic velocity rescaling; conserves the total energy less what the thermostat gave."""

    def _build(self, settings: MDSettings, rng: np.random.Generator) -> Any:
        dynamics = Bussi(
            self.atoms,
            settings.timestep * FEMTOSECOND,
            temperature_K=settings.temperature,
            taut=settings.thermostat_time * FEMTOSECOND,
            rng=rng,
        )
        dynamics.ndof = self.degrees_of_freedom
        return dynamics

    def set_temperature(self, temperature: float) -> None:
        self.dynamics.temp = BOLTZMANN * temperature
        self.dynamics.target_kinetic_energy = 0.5 * self.dynamics.temp * self.dynamics.ndof

    def conserved_energy(self) -> float:
        return super().conserved_energy() - float(self.dynamics.transferred_energy)


class NoseHooverThermostat(Integrator):
    """Nose-Hoover chain; ASE has its conserved energy."""

    def _build(self, settings: MDSettings, rng: np.random.Generator) -> Any:
        dynamics = NoseHooverChainNVT(
            self.atoms,
            settings.timestep * FEMTOSECOND,
            temperature_K=settings.temperature,
            tdamp=settings.thermostat_time * FEMTOSECOND,
        )
        dynamics._thermostat = _thermostat(self, settings)
        return dynamics

    def set_temperature(self, temperature: float) -> None:
        self.dynamics._thermostat._kT = BOLTZMANN * temperature

    def conserved_energy(self) -> float:
        return float(self.dynamics.get_conserved_energy())


class IsotropicBarostat(NoseHooverThermostat):
    """Martyna, Tobias and Klein's isotropic NPT with Nose-Hoover chains."""

    def _build(self, settings: MDSettings, rng: np.random.Generator) -> Any:
        dynamics = IsotropicNPT(
            self.atoms,
            settings.timestep * FEMTOSECOND,
            temperature_K=settings.temperature,
            pressure_au=settings.pressure * GIGAPASCAL,
            tdamp=settings.thermostat_time * FEMTOSECOND,
            pdamp=settings.barostat_time * FEMTOSECOND,
        )
        dynamics._thermostat = _thermostat(self, settings)
        dynamics._barostat = Barostat(
            num_atoms_global=len(self.atoms),
            temperature_K=settings.temperature,
            pdamp=settings.barostat_time * FEMTOSECOND,
        )
        # The coupling of volume and momenta is 1 + 3 / (degrees of freedom), and ASE takes these
        # for three times the number of atoms.
        dynamics._num_atoms_global = self.degrees_of_freedom / 3
        return dynamics

    def set_temperature(self, temperature: float) -> None:
        super().set_temperature(temperature)
        self.dynamics._kT = self.dynamics._barostat._kT = BOLTZMANN * temperature


INTEGRATORS: Final[dict[str, type[Integrator]]] = {
    "nve": ConstantEnergy,
    "nvt-langevin": LangevinThermostat,
    "nvt-bussi": BussiThermostat,
    "nvt-nose-hoover": NoseHooverThermostat,
    "npt": IsotropicBarostat,
}


def degrees_of_freedom(atoms: Atoms, ensemble: str) -> int:
    """Degrees of freedom that carry kinetic energy in an ensemble; see the module's docstring.

    Raises SimulationError when none is left.
    """
    n_atoms = len(atoms)
    if atoms.constraints:
        dof = int(atoms.get_number_of_degrees_of_freedom())
    else:
        keeps_rotation = ensemble != "nvt-langevin" and not atoms.pbc.any()
        rotations = {1: 0, 2: 2}.get(n_atoms, 3)
        dof = 3 * n_atoms - 3 - (rotations if keeps_rotation else 0)
    if dof <= 0:
        raise SimulationError(
            f"This structure of {n_atoms} atom{'s' if n_atoms != 1 else ''} has nothing left to "
            "move once momentum and constraints are fixed; molecular dynamics needs more atoms."
        )
    return dof


def _thermostat(integrator: Integrator, settings: MDSettings) -> Any:
    """A Nose-Hoover chain for the degrees of freedom there are; ASE takes 3 times the atoms."""
    return Thermostat(
        num_atoms_global=integrator.degrees_of_freedom / 3,  # type: ignore[arg-type]
        masses=integrator.atoms.get_masses()[:, None],
        temperature_K=settings.temperature,
        tdamp=settings.thermostat_time * FEMTOSECOND,
    )


def _numbers(owner: Any, prefix: str) -> Iterator[tuple[str, Any, str]]:
    """Path, owner and name of every numeric attribute of an integrator and of its parts."""
    for name, value in vars(owner).items():
        path = f"{prefix}{name}"
        if isinstance(value, (bool, int, float, np.number)) or (
            isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
        ):
            yield path, owner, name
        elif type(value).__module__.startswith(("ase.md.", "ladera.simulation.chains")):
            yield from _numbers(value, f"{path}.")
