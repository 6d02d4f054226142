"""The structure that a model is checked with where none is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.collections import g2
from ase.data import atomic_numbers, covalent_radii
from ase.optimize import FIRE

from ladera.errors import PropertyError
from ladera.properties.training_frames import frames_of_training, lowest_frame
from ladera.simulation.structures import as_atoms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ladera.arrays import Floats
    from ladera.potential import Potential
    from ladera.simulation.structures import StructureLike

_ATOMS: Final = 16
_RATTLE: Final = 0.05  # Angstrom
_ROOM: Final = 1.45  # radii of the sphere that an atom has for itself, in covalent radii
_NEAREST: Final = 0.9  # distance of two atoms in sums of their radii
_TRIALS: Final = 10_000
_MOST: Final = 4  # elements that are all taken
# What to take of more: elements by their share in the crust of the earth.
_COMMON: Final[tuple[str, ...]] = (
    "O",
    "Si",
    "Al",
    "Fe",
    "Ca",
    "Na",
    "Mg",
    "K",
    "Ti",
    "H",
    "P",
    "Mn",
    "C",
)
_PICKED: Final = 3
_CALM: Final = 1.0  # eV/Angstrom, of a force in a packing that is at rest
_STEPS: Final = 200  # until it is
_COLLAPSED: Final = 0.5  # distance of two atoms in sums of their radii


def structure_for(potential: Potential, given: StructureLike | None) -> tuple[Atoms, str]:
    """The structure to check with, moved a little at random, and what it is.

    What is given; or the frame with the lowest energy that the model was trained on; or a random
    packing of its elements, brought to rest, or where these fall together one of ASE's molecules.
    The motion takes all symmetry away, which would hide what is wrong with a force or a stress.
    Raises PropertyError where there is no such molecule.
    """
    atoms, words = _chosen(potential, given)
    atoms.set_constraint()
    atoms.calc = None
    atoms.rattle(_RATTLE, seed=7)
    return atoms, f"{words}, each atom moved by some {_RATTLE:g} Å"


def _chosen(potential: Potential, given: StructureLike | None) -> tuple[Atoms, str]:
    if given is not None:
        atoms: Atoms = as_atoms(given).copy()
        return atoms, f"The structure given, {atoms.get_chemical_formula()}"
    frames = frames_of_training(potential)
    lowest = None if frames is None else lowest_frame(frames)
    if lowest is not None:
        return lowest, f"The lowest training frame, {lowest.get_chemical_formula()}"
    symbols = symbols_for(potential)
    packed = _at_rest(_packing(symbols), potential)
    if packed is not None:
        formula = packed.get_chemical_formula()
        return packed, f"A random packing of the model's elements, {formula}, brought to rest"
    name = _molecule_of(symbols)
    if name is not None:
        return molecule(name), f"A molecule of the model's elements, {name}"
    raise PropertyError(
        "No frame of the training is at hand, and a random packing of the model's elements "
        f"({', '.join(symbols)}) falls together; give a STRUCTURE that the model knows."
    )


def symbols_for(potential: Potential) -> Sequence[str]:
    """All elements of a model of few, the most common ones of another."""
    symbols = potential.symbols
    if len(symbols) <= _MOST:
        return symbols
    return ([s for s in _COMMON if s in symbols] or list(symbols))[:_PICKED]


def _packing(symbols: Sequence[str]) -> Atoms:
    """Atoms of these elements in equal parts, in a cube, none nearer than in a bond."""
    generator = np.random.default_rng(5)
    names = [symbols[k % len(symbols)] for k in range(_ATOMS)]
    radii = np.array([covalent_radii[atomic_numbers[name]] for name in names])
    edge = float(np.cbrt(4 / 3 * np.pi * ((_ROOM * radii) ** 3).sum()))
    order = np.argsort(-radii, kind="stable")  # large ones first, while there is room
    places, taken = np.zeros((_ATOMS, 3)), list[int]()
    for k in order:
        for _ in range(_TRIALS):
            place = edge * generator.random(3)
            if _fits(place, places[taken], _NEAREST * (radii[taken] + radii[k]), edge):
                break
        places[k] = place
        taken.append(int(k))
    return Atoms(names, places, cell=[edge] * 3, pbc=True)


def _fits(place: Floats, others: Floats, nearest: Floats, edge: float) -> bool:
    apart = others - place
    apart -= edge * np.round(apart / edge)
    return bool((np.linalg.norm(apart, axis=1) > nearest).all())


def _at_rest(atoms: Atoms, potential: Potential) -> Atoms | None:
    """The packing without large forces; None where atoms fall together."""
    atoms.calc = potential.calculator()
    FIRE(atoms, logfile=None, maxstep=0.1).run(fmax=_CALM, steps=_STEPS)
    radii = covalent_radii[atoms.numbers]
    apart = atoms.get_all_distances(mic=True) / (radii[:, None] + radii)
    np.fill_diagonal(apart, np.inf)
    return atoms if apart.min() > _COLLAPSED else None


def _molecule_of(symbols: Sequence[str]) -> str | None:
    """The largest of ASE's molecules that is made of all these elements and no others."""
    made = {name: molecule(name) for name in g2.names}
    fitting = [name for name, atoms in made.items() if set(atoms.symbols) == set(symbols)]
    return max(fitting, key=lambda name: len(made[name]), default=None)
