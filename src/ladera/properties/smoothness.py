"""Is what a model answers to a small step smooth, so that it has a derivative?

It is not where a shell of neighbours is at a cutoff, and the model does not go to zero there.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Final

import numpy as np

from ladera.arrays import Floats
from ladera.graph import Graph
from ladera.potential import LaderaCalculator
from ladera.properties.displacements import evaluate_displaced
from ladera.properties.memory import alike

if TYPE_CHECKING:
    from ase import Atoms

LIMIT: Final = 0.03  # of the largest slope, which those to two sides differ by
_OF_A_PAIR: Final = 0.01  # of the largest slope of a force, which is that of many pairs
_SMALLER: Final = 0.1  # of a displacement: the second one


def kink(steps: Floats, sides: Floats, limit: float) -> tuple[int, int] | None:
    """Step and direction at which slopes change by more than ``limit`` as no smooth one's do.

    ``steps`` (n_steps,) are lengths, largest first; ``sides`` (n_steps, 2, n_directions, ...) the
    slopes from no step to plus and minus each. Those of a smooth answer are C + a e + b e^2 + ...:
    their difference grows with the step and their mean hardly. The worst place is returned, None
    where there is none.
    """
    ratio = (steps[:-1] / steps[1:]).reshape(-1, *(1 for _ in sides.shape[2:]))
    odd, even = sides[:, 0] - sides[:, 1], sides.mean(axis=1)
    jumps = np.maximum(np.abs(odd[:-1] - ratio * odd[1:]), np.abs(even[:-1] - even[1:]))
    worst = jumps.max(axis=tuple(range(2, jumps.ndim)))
    step, direction = np.unravel_index(worst.argmax(), worst.shape)
    return (int(step), int(direction)) if worst[step, direction] > limit else None


def kink_of_forces(atoms: Atoms, displacements: Floats) -> Floats:
    """The slopes of a force to plus and minus (2,), eV/Angstrom^2, where they differ most.

    Of the ``displacements`` (n, n_atoms, 3), Angstrom; NaN where forces are smooth. Only asked of a
    model with a pair of atoms that a displacement may carry across its cutoff; in double precision.
    """
    found, size = np.full(2, np.nan), float(np.linalg.norm(displacements, axis=2).max(initial=0))
    if not isinstance(atoms.calc, LaderaCalculator) or not size:
        return found
    potential = atoms.calc.potential
    distances = Graph.from_atoms(atoms, potential.cutoff + size).vectors.norm(dim=1)
    if not bool((distances > potential.cutoff - size).any()):
        return found
    double = atoms.copy()
    double.calc = alike(atoms.calc, deepcopy(potential).double())
    shares = np.array([1.0, _SMALLER])
    signed = np.concatenate([sign * share * displacements for share in shares for sign in (1, -1)])
    forces = evaluate_displaced(double, np.concatenate([0 * displacements[:1], signed])).forces
    shape = (len(shares), 2, *displacements.shape)
    lengths = size * shares[:, None, None, None, None] * np.array([1, -1])[:, None, None, None]
    sides = (forces[1:] - forces[0]).reshape(shape) / lengths
    place = kink(shares, sides, float(_OF_A_PAIR * np.abs(sides).max()))
    if place is None:
        return found
    step, which = place
    jumps = np.abs(sides[step, 0, which] - sides[step, 1, which])
    atom, axis = np.unravel_index(jumps.argmax(), jumps.shape)
    slopes: Floats = -sides[step, :, which, atom, axis]
    return slopes
