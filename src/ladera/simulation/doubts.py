"""Why the end of a relaxation, or a path, may be made up: what a chemist would want to be told.

A relaxation goes wherever the model says that energies are lower, and a model that has learned from
few frames says so of places that it has never seen. A path goes where its ends make it go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ladera.graph import Graph
from ladera.potential import Potential

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from ladera.potential.reach import Passage

_TOO_LOW: Final = "{:.3g} meV/atom below all that the training frames, cooled down, could have"


def doubts(potential: Potential, start: Atoms, end: Atoms) -> list[str]:
    """Sentences about an end that the training frames do not explain; none of a good one.

    ``start`` and ``end`` are the same atoms, with energies, not put back into their cell between
    them. A model that keeps nothing of its training frames has no doubts.
    """
    deficit = _below_all(potential, end)
    passages = _passages(potential, start, end)
    found = []
    if deficit > 0:
        found.append(
            f"The relaxed structure is {_TOO_LOW.format(1000 * deficit)}: the model may have made "
            "this minimum up. Compare its energy with that of the start by your reference."
        )
    if passages:
        found.append(
            "The relaxation went farther than the training frames reach, for "
            f"{_pairs(passages, potential, end)}. The model has not learned what is "
            "there: compare the energies of start and end by your reference."
        )
    return found


def doubts_of_path(potential: Potential, images: Sequence[Atoms]) -> list[str]:
    """The same of a path: of its lowest image, and of the way from the first to any other."""
    deficits = [_below_all(potential, image) for image in images]
    ways = [_passages(potential, images[0], image) for image in images[1:]]
    lowest = max(range(len(images)), key=lambda k: deficits[k])
    farthest = max(range(len(ways)), key=lambda k: ways[k][0].depth if ways[k] else 0.0)
    found = []
    if deficits[lowest] > 0:
        found.append(
            f"Image {lowest} of the path is {_TOO_LOW.format(1000 * deficits[lowest])}: the model "
            "may have made it up. Compare its energy with that of image 0 by your reference."
        )
    if ways[farthest]:
        found.append(
            f"The path goes farther than the training frames reach, at image {farthest + 1} for "
            f"{_pairs(ways[farthest], potential, images[0])}. The model has not learned what is "
            "there, and the barrier hangs on it: compare the energies of some images by your "
            "reference."
        )
    return found


def _below_all(potential: Potential, atoms: Atoms) -> float:
    """How far an energy (eV/atom) is below all that the training frames could have; 0 if not.

    Nothing but the energy of the free atoms may be added to it.
    """
    parts = potential.members or (potential,)
    known = [part.active_set for part in parts if part.active_set is not None]
    floors = [each.floor for each in known if each.floor is not None]
    free = parts[0].free_atom_energies()
    if not floors or free is None:
        return 0.0
    index = potential.element_index(Graph.from_atoms(atoms, potential.cutoff))
    energy = (float(atoms.get_potential_energy()) - float(free[index].sum())) / len(atoms)
    return max(min(floors) - energy, 0.0)


def _passages(potential: Potential, start: Atoms, end: Atoms) -> list[Passage]:
    """Pairs of atoms that went farther than the training frames reach, of a committee any.

    The deepest first.
    """
    known = [part.active_set for part in potential.modules() if isinstance(part, Potential)]
    reaches = [each.reach for each in known if each is not None and each.reach is not None]
    graphs = [Graph.from_atoms(atoms, potential.cutoff) for atoms in (start, end)]
    return min((reach.passages(*graphs) for reach in reaches), key=len, default=[])


def _pairs(passages: Sequence[Passage], potential: Potential, atoms: Atoms) -> str:
    """How many pairs of atoms, and what the deepest did."""
    count = len({(each.i, each.j) for each in passages})
    what = "one pair of atoms" if count == 1 else f"{count} pairs of atoms"
    return f"{what}: {passages[0].in_words(atoms.symbols, potential.cutoff)}"
