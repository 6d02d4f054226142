"""Why the end of a relaxation may be made up: what a chemist would want to be told of it.

A relaxation goes wherever the model says that energies are lower, and a model that has learned from
few frames says so of places that it has never seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ladera.graph import Graph
from ladera.potential import Potential

if TYPE_CHECKING:
    from ase import Atoms


def doubts(potential: Potential, start: Atoms, end: Atoms) -> list[str]:
    """Sentences about an end that the training frames do not explain; none of a good one.

    ``start`` and ``end`` are the same atoms, with energies, not put back into their cell between
    them. A model that keeps nothing of its training frames has no doubts.
    """
    found = (_too_low(potential, end), _out_of_reach(potential, start, end))
    return [sentence for sentence in found if sentence]


def _too_low(potential: Potential, end: Atoms) -> str:
    """Of an energy below all that the training frames could have, if nothing is added to it."""
    parts = potential.members or (potential,)
    known = [part.active_set for part in parts if part.active_set is not None]
    floors = [each.floor for each in known if each.floor is not None]
    free = parts[0].free_atom_energies()
    if not floors or free is None:
        return ""
    index = potential.element_index(Graph.from_atoms(end, potential.cutoff))
    energy = (float(end.get_potential_energy()) - float(free[index].sum())) / len(end)
    if energy >= min(floors):
        return ""
    return (
        f"The relaxed structure is {1000 * (min(floors) - energy):.3g} meV/atom below all that "
        "the training frames, cooled down, could have: the model may have made this minimum "
        "up. Compare its energy with that of the start by your reference."
    )


def _out_of_reach(potential: Potential, start: Atoms, end: Atoms) -> str:
    """Of atoms that moved farther than the training frames reach; those of a committee any."""
    known = [part.active_set for part in potential.modules() if isinstance(part, Potential)]
    reaches = [each.reach for each in known if each is not None and each.reach is not None]
    graphs = [Graph.from_atoms(atoms, potential.cutoff) for atoms in (start, end)]
    found = min((reach.passages(*graphs) for reach in reaches), key=len, default=[])
    if not found:
        return ""
    count = len({(each.i, each.j) for each in found})
    what = "one pair of atoms" if count == 1 else f"{count} pairs of atoms"
    return (
        f"The relaxation went farther than the training frames reach, for {what}: "
        f"{found[0].in_words(end.symbols, potential.cutoff)}. The model has not learned what is "
        "there: compare the energies of start and end by your reference."
    )
