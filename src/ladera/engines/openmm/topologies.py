"""ASE's structures for OpenMM, which wants its boxes in a form of their own."""

from __future__ import annotations

import numpy as np
import openmm
from ase import Atoms
from openmm import app, unit

from ladera.arguments import checked
from ladera.engines.cells import standing
from ladera.engines.openmm.force import NANOMETER
from ladera.errors import DataError
from ladera.structure import directions


@checked
def topology_of(atoms: Atoms) -> tuple[app.Topology, unit.Quantity]:
    """Topology and positions of an ``ase.Atoms``, for OpenMM: one residue, no bonds.

    A periodic structure is turned, and its cell vectors are chosen anew in the same lattice, until
    they are as OpenMM wants them: a along x, b in the xy plane, and b_x, c_x and c_y at most half
    of a_x, a_x and b_y. Raises DataError for a structure that is periodic along some directions
    only, which OpenMM does not have.
    """
    topology = app.Topology()
    residue = topology.addResidue("LAD", topology.addChain())
    for k, atom in enumerate(atoms):
        topology.addAtom(f"{atom.symbol}{k}", app.Element.getByAtomicNumber(atom.number), residue)
    positions = atoms.positions
    if atoms.pbc.any():
        if not atoms.pbc.all():
            raise DataError(
                f"The structure is periodic {directions(atoms.pbc)}; OpenMM's are periodic in all "
                "directions or in none."
            )
        cell, turn = standing(atoms)
        positions = positions @ turn
        topology.setPeriodicBoxVectors(_reduced(cell) / NANOMETER * unit.nanometer)
    return topology, positions / NANOMETER * unit.nanometer


@checked
def system_of(topology: app.Topology, *forces: openmm.Force) -> openmm.System:
    """A system of a topology's atoms, with their masses and its box, and of the forces given."""
    system = openmm.System()
    for atom in topology.atoms():
        system.addParticle(0.0 if atom.element is None else atom.element.mass)
    if topology.getPeriodicBoxVectors() is not None:
        system.setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors())
    for each in forces:
        system.addForce(each)
    return system


def _reduced(cell: np.ndarray) -> np.ndarray:
    """A lower triangular cell (3, 3) in OpenMM's reduced form, of the same lattice."""
    a, b, c = np.tril(cell)
    b = b - a * np.round(b[0] / a[0])
    c = c - b * np.round(c[1] / b[1])
    c = c - a * np.round(c[0] / a[0])
    return np.array([a, b, c])
