"""A model as a force of OpenMM, which calls it in Python once a step.

OpenMM's units are nm, ps, kJ/mol and amu.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import openmm
from openmm import app

from ladera.arguments import checked
from ladera.arrays import Floats
from ladera.engines.evaluator import OPEN, Evaluator
from ladera.errors import DataError
from ladera.loading import ModelLike
from ladera.units import KCAL_PER_MOL

KJ_PER_MOL: Final = KCAL_PER_MOL / 4.184  # eV
NANOMETER: Final = 10.0  # Angstrom


class Computation:
    """What an ``openmm.PythonForce`` calls: a state to its energy and forces.

    ``smallest_height`` (Angstrom) is how low the periodic box of a region may be whose images must
    not see each other.
    """

    def __init__(self, evaluator: Evaluator, smallest_height: float = 0.0) -> None:
        self._evaluator, self._smallest_height = evaluator, smallest_height
        self.is_periodic = evaluator.is_periodic

    def __call__(self, state: openmm.State) -> tuple[float, Floats]:
        """Energy in kJ/mol and forces (n_atoms, 3) in kJ/mol/nm."""
        positions = state.getPositions(asNumpy=True)._value * NANOMETER
        cell = OPEN
        if self.is_periodic:
            cell = state.getPeriodicBoxVectors(asNumpy=True)._value * NANOMETER
            self._check(cell)
        prediction = self._evaluator([positions], [cell])
        forces = prediction.forces.cpu().numpy() * (NANOMETER / KJ_PER_MOL)
        return float(prediction.energy) / KJ_PER_MOL, forces

    def _check(self, cell: Floats) -> None:
        """Raise DataError where a region would see its own images."""
        if self._smallest_height:
            height = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0).max()
            if height < self._smallest_height:
                raise DataError(
                    f"The box is {height:.4g} Angstrom high, and a region of a model with a cutoff "
                    f"of {self._smallest_height / 2:.4g} needs twice that: the region would see "
                    "its own images, which the force field has, too; take a larger box."
                )


@checked
def force(
    model: ModelLike,
    topology: app.Topology,
    atoms: Iterable[int] | None = None,
    *,
    periodic: bool | None = None,
    total_charge: float = 0.0,
    head: str | None = None,
    skin: float = 1.0,
    device: str | None = None,
    dtype: str | None = None,
) -> openmm.PythonForce:
    """The model as a force for an ``openmm.System``, of all atoms or of those in ``atoms``.

    >>> system.addForce(ladera.openmm.force("model.ladera", pdb.topology))

    It adds to what other forces of the system say; for a part of a system of a force field take
    :func:`ladera.openmm.mixed_system`, which takes away what would count twice. Energies are exact
    to the precision of the model; the CPU, Reference and double-precision GPU platforms of OpenMM
    keep it.

    A model works in boxes of any size, its own images included. A ``MonteCarloBarostat`` needs no
    virial and works with it. The force can be serialized with its system: OpenMM pickles the model
    into the XML. Checkpoints and states hold positions and velocities and no model.

    Parameters
    ----------
    model
        What :func:`ladera.loading.as_potential` takes.
    topology
        The system's atoms, whose elements the model must know.
    atoms
        Indices of those that the model is for, each once; None for all.
    periodic
        Whether the model sees periodic images; None where the topology has box vectors.
    total_charge
        Of the atoms that the model is for, in e.
    head
        The level of theory, of a model with several.
    skin
        Candidate neighbours are kept until they have moved by this much, Angstrom.
    device, dtype
        Where and how precisely the model computes, such as "cuda" and "float32".

    Raises DataError for an element that the model does not know, for particles without an element
    and for impossible ``atoms``; ConfigError for an unknown head.
    """
    particles = [] if atoms is None else particles_of(topology, atoms)
    if periodic is None:
        periodic = topology.getPeriodicBoxVectors() is not None
    evaluator = Evaluator(
        model,
        numbers_of(topology, particles),
        periodic=periodic,
        total_charge=total_charge,
        head=head,
        skin=skin,
        device=device,
        dtype=dtype,
    )
    return _python_force(Computation(evaluator), particles)


def region_force(
    model: ModelLike,
    topology: app.Topology,
    atoms: Iterable[int],
    *,
    periodic: bool,
    total_charge: float,
    head: str | None,
    skin: float,
) -> openmm.PythonForce:
    """The force of a region inside of a force field's system, which must not see its images."""
    particles = particles_of(topology, atoms)
    evaluator = Evaluator(
        model,
        numbers_of(topology, particles),
        periodic=periodic,
        total_charge=total_charge,
        head=head,
        skin=skin,
    )
    return _python_force(Computation(evaluator, 2 * evaluator.potential.cutoff), particles)


def _python_force(computation: Computation, particles: list[int]) -> openmm.PythonForce:
    made = openmm.PythonForce(computation, {}, particles)
    made.setUsesPeriodicBoundaryConditions(computation.is_periodic)
    made.setName("Ladera")
    return made


def particles_of(topology: app.Topology, atoms: Iterable[int]) -> list[int]:
    """Indices of atoms, checked: at least one, each once, each in the topology."""
    particles, n_atoms = list(atoms), topology.getNumAtoms()
    if not particles:
        raise DataError("atoms is empty; name at least one atom, or leave it out for all.")
    for atom in particles:
        if not 0 <= atom < n_atoms:
            raise DataError(f"atoms has {atom}, and the topology has atoms 0 to {n_atoms - 1}.")
    if len(set(particles)) < len(particles):
        twice = next(atom for k, atom in enumerate(particles) if atom in particles[:k])
        raise DataError(f"atoms has {twice} twice; name each atom once.")
    return [int(atom) for atom in particles]


def numbers_of(topology: app.Topology, particles: Sequence[int]) -> list[int]:
    """Atomic numbers of all atoms of a topology, or of some of them."""
    every = list(topology.atoms())
    chosen = [every[particle] for particle in particles] if particles else every
    for atom in chosen:
        if atom.element is None:
            raise DataError(
                f"Particle {atom.index} ({atom.name} of residue {atom.residue.name}) has no "
                "element; a model is for atoms, and not for virtual sites and other particles."
            )
    return [atom.element.atomic_number for atom in chosen]
