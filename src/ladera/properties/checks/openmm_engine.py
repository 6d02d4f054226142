"""OpenMM with a model as its force as an engine: on the platform Reference, and on CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import openmm
import torch
from openmm import unit

from ladera.engines.cells import standing
from ladera.engines.openmm.force import KJ_PER_MOL, NANOMETER, force
from ladera.engines.openmm.topologies import system_of, topology_of
from ladera.properties.checks.engine import Answer, Engine, Way
from ladera.structure import total_charge
from ladera.units import FEMTOSECOND

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats
    from ladera.potential import Potential

_ENERGY: Final = unit.kilojoule_per_mole
_FORCE: Final = unit.kilojoule_per_mole / unit.nanometer
_PICOSECOND: Final = 1000.0  # fs


class OpenMMEngine(Engine):
    """What a system with :func:`ladera.openmm.force` computes. OpenMM has no stress."""

    name = "openmm"

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self.epsilon = torch.finfo(potential.dtype).eps
        self.cutoff, self.hops = potential.cutoff, potential.hops

    def ask(self, atoms: Atoms) -> Answer:
        """A context of the platform Reference, and its state.

        Raises DataError for a structure that is periodic along some directions only.
        """
        return self._ask(atoms, "Reference")

    def run(self, atoms: Atoms, timestep: float, steps: int) -> Floats:
        """By velocity Verlet, written for OpenMM's ``CustomIntegrator``.

        OpenMM's own ``VerletIntegrator`` knows velocities between its steps only.
        """
        integrator = openmm.CustomIntegrator(timestep / _PICOSECOND)
        integrator.addComputePerDof("v", "v + dt * f / (2 * m)")
        integrator.addComputePerDof("x", "x + dt * v")
        integrator.addComputePerDof("v", "v + dt * f / (2 * m)")
        context = self._moving(atoms, integrator)
        energies = [_total(context)]
        for _ in range(steps):
            integrator.step(1)
            energies.append(_total(context))
        return np.array(energies)

    def volumes(
        self, atoms: Atoms, temperature: float, timestep: float, steps: int, every: int
    ) -> Floats:
        """By Langevin's dynamics and the Monte Carlo barostat."""
        integrator = openmm.LangevinMiddleIntegrator(temperature, 1.0, timestep / _PICOSECOND)
        integrator.setRandomNumberSeed(1)
        barostat = openmm.MonteCarloBarostat(0.0, temperature, every)
        barostat.setRandomNumberSeed(2)
        context = self._moving(atoms, integrator, barostat)
        found = []
        for _ in range(steps // every):
            integrator.step(every)
            volume = context.getState().getPeriodicBoxVolume()
            found.append(volume.value_in_unit(unit.angstrom**3))
        return np.array(found)

    def ways(self) -> Mapping[str, Way]:
        """OpenMM's other platform of a processor."""
        return {"on platform CPU": Way(lambda atoms: self._ask(atoms, "CPU"), self.epsilon)}

    def _ask(self, atoms: Atoms, platform: str) -> Answer:
        context, turn = self._context(atoms, platform, openmm.VerletIntegrator(0.001))
        state = context.getState(getEnergy=True, getForces=True)
        forces = state.getForces(asNumpy=True).value_in_unit(_FORCE)
        energy = state.getPotentialEnergy().value_in_unit(_ENERGY)
        return Answer(energy * KJ_PER_MOL, forces @ turn.T * (KJ_PER_MOL / NANOMETER))

    def _moving(
        self, atoms: Atoms, integrator: openmm.Integrator, *more: openmm.Force
    ) -> openmm.Context:
        """A context in which the atoms have their velocities."""
        context, turn = self._context(atoms, "Reference", integrator, *more)
        velocities = atoms.get_velocities() @ turn * FEMTOSECOND * _PICOSECOND / NANOMETER
        context.setVelocities(velocities)
        return context

    def _context(
        self, atoms: Atoms, platform: str, integrator: openmm.Integrator, *more: openmm.Force
    ) -> tuple[Any, Floats]:
        """A context of a structure, and the rotation (3, 3) by which it was turned for OpenMM."""
        topology, positions = topology_of(atoms)
        own = force(self.potential, topology, total_charge=total_charge(atoms))
        system = system_of(topology, own)
        for other in more:
            system.addForce(other)
        for particle, mass in enumerate(atoms.get_masses()):
            system.setParticleMass(particle, mass)
        context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform))
        context.setPositions(positions)
        return context, standing(atoms)[1] if atoms.pbc.any() else np.eye(3)


def _total(context: Any) -> float:
    """Potential and kinetic energy, eV."""
    state = context.getState(getEnergy=True)
    total = state.getPotentialEnergy() + state.getKineticEnergy()
    return float(total.value_in_unit(_ENERGY)) * KJ_PER_MOL
