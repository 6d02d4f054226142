r"""An atom that is carried through the cutoff of another: no jump in energy or force.

A centre, a second atom in the distance of a bond, and a third one that passes the cutoff of the
centre, at both sides of which energy and forces f are carried on to the cutoff by cubics through
four places r_k that are a spacing h apart:

    f(r_0) = 4 f(r_1) - 6 f(r_2) + 4 f(r_3) - f(r_4)        exact to h^4
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from ladera.properties.checks.rows import Rounding, Row, largest, worst

if TYPE_CHECKING:
    from ladera.arrays import Floats
    from ladera.properties.checks.engine import Answer, Engine

_SPACING: Final = 1e-3  # Angstrom
_WEIGHTS: Final = (4, -6, 4, -1)
_STEEP: Final = 1e-8  # eV and, times 100, eV/Angstrom: what the cubics of a smooth model leave
_ANGLE: Final = np.radians(70)  # between the second atom and the third
_MOST: Final = 4  # elements whose pairs are looked at


def check_cutoff(engine: Engine, symbols: Sequence[str]) -> Iterator[Row]:
    """The largest jumps of energy and force, over pairs of elements."""
    names = ("energy at the cutoff", "forces at the cutoff")
    if engine.cutoff is None:
        yield from (Row.skipped(name, "the cutoff is not known") for name in names)
        return
    found = [_jumps(engine, engine.cutoff, *pair) for pair in product(symbols[:_MOST], repeat=2)]
    for name, rows in zip(names, zip(*found, strict=True), strict=True):
        row = worst(rows)
        yield Row(name, row.found, row.allowed, row.unit, "" if row.passed else row.note)


def _jumps(engine: Engine, cutoff: float, center: str, passing: str) -> tuple[Row, Row]:
    """Those of one pair of elements."""
    sides = [
        [engine.ask(_three(center, passing, cutoff + side * k * _SPACING)) for k in (1, 2, 3, 4)]
        for side in (-1, 1)
    ]
    rounding = Rounding.of(sides[0][0], _three(center, passing, cutoff), engine.epsilon)
    inside, outside = (_carried_on(side) for side in sides)
    note = f"{passing} at {cutoff:g} Angstrom from {center}"
    jumps = [largest(one - other) for one, other in zip(inside, outside, strict=True)]
    return (
        Row("", jumps[0], rounding.energy + _STEEP, "eV", note),
        Row("", jumps[1], rounding.forces + 100 * _STEEP, "eV/Angstrom", note),
    )


def _carried_on(answers: Sequence[Answer]) -> tuple[Floats, Floats]:
    """Energy and forces at the cutoff, seen from one side."""
    pairs = list(zip(_WEIGHTS, answers, strict=True))
    energy = sum(weight * (answer.energy - answers[0].energy) for weight, answer in pairs)
    forces = sum(weight * answer.forces for weight, answer in pairs)
    return np.array(energy + answers[0].energy), np.asarray(forces)


def _three(center: str, passing: str, distance: float) -> Atoms:
    bond = 2 * covalent_radii[atomic_numbers[center]]
    second = bond * np.array([np.cos(_ANGLE), np.sin(_ANGLE), 0])
    return Atoms([center, center, passing], [[0, 0, 0], second, [distance, 0, 0]])
