"""The search for packings of the dimer in a cell, by the penalty of :mod:`penalty`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from ase import Atoms
from scipy.optimize import OptimizeResult, minimize
from scipy.stats import qmc

from molecule import Floats
from penalty import RING_WEIGHT, Problem

# Lattice translations to the image that the acid may meet, one of each pair T, -T
TRANSLATIONS: Final = tuple(t for t in product((-1, 0, 1), repeat=3) if t > (0, 0, 0))
_TRIES: Final = 16  # ways to turn the chains that are looked at for each that is minimised
_REACH: Final = 7.0  # Angstrom, from the ring's carbon to T/2
_NOWHERE: Final = np.full(3, np.nan)
_SAME_TURN: Final = 0.98  # |q . q'|: rotations less than 23 degrees apart
_SAME_PLACES: Final = 1.0  # Angstrom


@dataclass(frozen=True)
class Packing:
    """One way to fill the cell."""

    penalty: float  # Angstrom^2
    clash: float  # its part by atoms too close
    ring: float  # Angstrom: the acid's atoms off a planar dimer, root mean square
    translation: tuple[int, ...]
    atoms: Atoms


def search(
    dimer: Atoms, cell: Floats, *, cores: int, places: int, chains: int, seed: int = 0
) -> list[Packing]:
    """Distinct packings, best first.

    Rotations of the core alone are minimised from ``cores`` quasi-random ones. In the best
    ``places`` of them side chains are turned in quasi-random ways for each lattice translation
    within reach, and from the ``chains`` least bad of these everything is minimised together.
    """
    core = Problem.of(dimer, cell, core=True)
    starts = quaternions(qmc.Sobol(3, seed=seed).random(cores))
    found = sorted((_minimised(core, _NOWHERE, start, 60) for start in starts), key=_penalty_of)
    problem = Problem.of(dimer, cell)
    turns = 2 * np.pi * qmc.Sobol(len(problem.turning), seed=seed).random(_TRIES * chains)
    packings = []
    for place in distinct_turns([result.x for result in found])[:places]:
        tries = [np.append(place, turn) for turn in turns]
        for translation in TRANSLATIONS:
            centre = _nearer(problem, place, np.array(translation) @ cell / 2)
            if centre is None:
                continue
            least = sorted(tries, key=lambda x: problem.parts(centre, x)[0].sum())[:chains]
            grown = sorted((_minimised(problem, centre, x, 120) for x in least), key=_penalty_of)
            packings += [_packing(problem, translation, centre, best.x) for best in grown[:3]]
    return distinct(sorted(packings, key=lambda packing: packing.penalty))


def quaternions(uniform: Floats) -> Floats:
    """Rotations (n, 4), uniform for uniform numbers (n, 3) (Shoemake, Graphics Gems III, 1992)."""
    u, v, w = uniform.T
    v, w = 2 * np.pi * v, 2 * np.pi * w
    a, b = np.sqrt(1 - u), np.sqrt(u)
    return np.stack([a * np.sin(v), a * np.cos(v), b * np.sin(w), b * np.cos(w)], axis=1)


def distinct_turns(turns: Sequence[Floats]) -> list[Floats]:
    """The first of each group of rotations that are nearly the same, normalised."""
    kept: list[Floats] = []
    for turn in turns:
        turn = turn / np.linalg.norm(turn)
        if all(abs(turn @ other) < _SAME_TURN for other in kept):
            kept.append(turn)
    return kept


def distinct(packings: Sequence[Packing]) -> list[Packing]:
    """The first of each group whose heavy atoms are nearly in the same places.

    Where hydrogens of methyl groups are is for the relaxation to find.
    """
    kept: list[Packing] = []
    for packing in packings:
        if all(_apart(packing.atoms, other.atoms) > _SAME_PLACES for other in kept):
            kept.append(packing)
    return kept


def _apart(one: Atoms, other: Atoms) -> float:
    """Root mean square distance of the heavy atoms, Angstrom."""
    heavy = one.numbers > 1
    moves = one.positions[heavy] - other.positions[heavy]
    return float(np.sqrt((moves**2).sum(axis=1).mean()))


def _minimised(problem: Problem, centre: Floats, x: Floats, steps: int) -> OptimizeResult:
    def target(x: Floats) -> tuple[float, Floats]:
        parts, slopes = problem.parts(centre, x)
        return parts.sum(), slopes

    return minimize(target, x, jac=True, method="L-BFGS-B", options={"maxiter": steps})


def _penalty_of(result: OptimizeResult) -> float:
    return float(result.fun)


def _nearer(problem: Problem, place: Floats, centre: Floats) -> Floats | None:
    """T/2 or -T/2, whichever the chain reaches; None if neither."""
    root = problem.placed(np.append(place, np.zeros(len(problem.turning)))).positions[
        problem.turning[0].base
    ]
    nearer = min((centre, -centre), key=lambda c: float(np.linalg.norm(root - c)))
    return nearer if np.linalg.norm(root - nearer) < _REACH else None


def _packing(problem: Problem, translation: tuple[int, ...], centre: Floats, x: Floats) -> Packing:
    parts, _ = problem.parts(centre, x)
    sign = 1 if centre @ (np.array(translation) @ problem.numbers.cell) > 0 else -1
    return Packing(
        penalty=float(parts.sum()),
        clash=float(parts[0]),
        ring=float(np.sqrt(parts[1] / RING_WEIGHT / 4)),
        translation=tuple(sign * t for t in translation),
        atoms=problem.placed(x),
    )
