"""A region of a force field's system by a model: mechanical embedding.

    E = E_model(region) + E_force_field(all) - E_force_field(inside of the region)

What the force field says of atoms of the region among each other is taken away: its bonds, angles
and torsions, its constraints, and the Coulomb and van der Waals terms of its pairs. What is between
the region and its surroundings stays the force field's, by its fixed charges: the surroundings do
not polarise the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import combinations
from typing import Final
from xml.etree import ElementTree

import openmm
from openmm import app

from ladera.arguments import checked
from ladera.engines.openmm.force import particles_of, region_force
from ladera.errors import DataError
from ladera.loading import ModelLike, as_potential

# Sums of terms, each of a few atoms.
_BONDED: Final = (
    "CMAPTorsionForce",
    "CustomAngleForce",
    "CustomBondForce",
    "CustomCompoundBondForce",
    "CustomTorsionForce",
    "HarmonicAngleForce",
    "HarmonicBondForce",
    "PeriodicTorsionForce",
    "RBTorsionForce",
)
# What is no part of a force field: it stays as it is.
_OUTSIDE: Final = (
    "AndersenThermostat",
    "CMMotionRemover",
    "CustomCVForce",
    "CustomCentroidBondForce",
    "CustomExternalForce",
    "CustomVolumeForce",
    "MonteCarloAnisotropicBarostat",
    "MonteCarloBarostat",
    "MonteCarloFlexibleBarostat",
    "MonteCarloMembraneBarostat",
    "OrientationRestraintForce",
    "PythonForce",
    "RGForce",
    "RMSDForce",
)
_TERMS: Final = ("Bonds", "Angles", "Torsions", "Constraints")  # of a serialized system
_ATOM: Final = re.compile(r"[abp]\d+")  # which attributes of a term are atoms
Pairs = set[tuple[int, int]]


@checked
def mixed_system(
    model: ModelLike,
    topology: app.Topology,
    system: openmm.System,
    atoms: Iterable[int],
    *,
    total_charge: float = 0.0,
    head: str | None = None,
    skin: float = 1.0,
    device: str | None = None,
    dtype: str | None = None,
) -> openmm.System:
    """A copy of a force field's system in which the model holds the ``atoms`` together.

    See :mod:`ladera.engines.openmm.mixing` for what is taken away and what stays. ``system`` is
    that of the ``topology`` and is not changed; ``atoms`` are whole molecules. The other arguments
    are those of :func:`ladera.openmm.force`.

    Raises DataError for a region that ends inside a molecule, for a force whose terms inside the
    region cannot be told from the others (implicit solvent, AMOEBA), for a model with charges in a
    periodic system, whose images would count twice, and what ``force`` raises. At run time it
    raises one for a box that is lower than twice the model's cutoff.
    """
    if system.getNumParticles() != topology.getNumAtoms():
        raise DataError(
            f"The system has {system.getNumParticles()} particles and the topology "
            f"{topology.getNumAtoms()} atoms; give those that belong together."
        )
    region, periodic = particles_of(topology, atoms), system.usesPeriodicBoundaryConditions()
    potential, inside = as_potential(model, device=device, dtype=dtype), frozenset(region)
    if periodic and potential.hops is None:
        raise DataError(
            f"The {potential.config.architecture} model reaches atoms at any distance: in a "
            "periodic system it would see images of the region that the force field has, too; "
            "take a model without charges, or a system in the open."
        )
    bonds = _bonds(topology, system)
    _require_whole(topology, bonds, inside)
    mixed = _without_terms(system, inside)
    for force in mixed.getForces():
        _take_away(force, inside)
    mixed.addForce(_ties([pair for pair in sorted(bonds) if inside.issuperset(pair)], periodic))
    mixed.addForce(
        region_force(
            potential,
            topology,
            region,
            periodic=periodic,
            total_charge=total_charge,
            head=head,
            skin=skin,
        )
    )
    return mixed


def _bonds(topology: app.Topology, system: openmm.System) -> Pairs:
    """Which atoms hold together: bonds of the topology and of the force field, constraints."""
    bonds = [(bond[0].index, bond[1].index) for bond in topology.bonds()]
    constraints = range(system.getNumConstraints())
    bonds += [tuple(system.getConstraintParameters(k)[:2]) for k in constraints]
    for force in system.getForces():
        if isinstance(force, openmm.HarmonicBondForce):
            bonds += [tuple(force.getBondParameters(k)[:2]) for k in range(force.getNumBonds())]
    return {(min(pair), max(pair)) for pair in bonds}


def _require_whole(topology: app.Topology, bonds: Pairs, inside: frozenset[int]) -> None:
    """Raise DataError where a bond leads out of the region."""
    crossing = next((pair for pair in sorted(bonds) if len(inside.intersection(pair)) == 1), None)
    if crossing is None:
        return
    one, two = sorted(crossing, key=lambda atom: atom not in inside)
    names = [f"{atom.name} of {atom.residue.name}" for atom in topology.atoms()]
    raise DataError(
        f"Atom {one} ({names[one]}) is in the region and atom {two} ({names[two]}), to which it is "
        "bound, is not; the region must be whole molecules, since nothing caps a bond that is cut."
    )


def _without_terms(system: openmm.System, inside: frozenset[int]) -> openmm.System:
    """A copy without the constraints and bonded terms whose atoms are all in the region.

    OpenMM's forces cannot lose terms; a system's XML can.
    """
    tree = ElementTree.fromstring(openmm.XmlSerializer.serialize(system))
    owners = [tree, *(force for force in tree.iter("Force") if force.get("type") in _BONDED)]
    for terms in [part for owner in owners for part in owner if part.tag in _TERMS]:
        for term in list(terms):
            atoms = [int(value) for name, value in term.items() if _ATOM.fullmatch(name)]
            if inside.issuperset(atoms):
                terms.remove(term)
    return openmm.XmlSerializer.deserialize(ElementTree.tostring(tree, encoding="unicode"))


def _take_away(force: openmm.Force, inside: frozenset[int]) -> None:
    """Have a force leave out the pairs of the region; DataError where it cannot."""
    pairs = list(combinations(sorted(inside), 2))
    if isinstance(force, openmm.NonbondedForce):
        offsets = [
            force.getExceptionParameterOffset(k)[1]
            for k in range(force.getNumExceptionParameterOffsets())
        ]
        if any(inside.issuperset(force.getExceptionParameters(k)[:2]) for k in offsets):
            raise DataError(
                "Pairs of the region have charges that change with a parameter of the system; "
                "mix the system before they are given any."
            )
        for one, two in pairs:
            force.addException(one, two, 0.0, 1.0, 0.0, True)
    elif isinstance(force, openmm.CustomNonbondedForce):
        known = [force.getExclusionParticles(k) for k in range(force.getNumExclusions())]
        excluded = {frozenset(pair) for pair in known}
        for pair in pairs:
            if frozenset(pair) not in excluded:
                force.addExclusion(*pair)
    elif (kind := type(force).__name__) not in (*_BONDED, *_OUTSIDE):
        raise DataError(
            f"The system has a {kind}, of which the terms inside of the region cannot be taken "
            "away; take a force field without it."
        )


def _ties(bonds: Iterable[tuple[int, int]], periodic: bool) -> openmm.Force:
    """Bonds without energy, by which OpenMM knows molecules: a barostat moves them as a whole."""
    ties = openmm.HarmonicBondForce()
    ties.setName("Bonds of the region, without energy")
    ties.setUsesPeriodicBoundaryConditions(periodic)
    for one, two in bonds:
        ties.addBond(one, two, 0.1, 0.0)
    return ties
