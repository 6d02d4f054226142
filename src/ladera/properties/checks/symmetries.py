"""What may change no number: motions, order, images, copies, and how it is computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ladera.properties.checks.engine import Answer
from ladera.properties.checks.rows import Rounding, Row
from ladera.structure import total_charge

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats, Integers
    from ladera.properties.checks.engine import Engine


def check_symmetries(engine: Engine, atoms: Atoms, generator: np.random.Generator) -> Iterator[Row]:
    """Rotation, inversion, translation, order, images, and two of the same."""
    here = engine.ask(atoms)
    rounding = Rounding.of(here, atoms, engine.epsilon)
    orthogonal = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    rotation = orthogonal * np.linalg.det(orthogonal)
    for name, matrix in (("rotation", rotation), ("inversion", -np.eye(3))):
        turned = atoms.copy()
        turned.positions[:] = atoms.positions @ matrix
        turned.cell[:] = atoms.cell.array @ matrix
        yield rounding.compare(name, engine.ask(turned), _turned(here, matrix))
    shifted = atoms.copy()
    shifted.positions += generator.uniform(-5, 5, 3)
    yield rounding.compare("translation", engine.ask(shifted), here)
    order = generator.permutation(len(atoms))
    yield rounding.compare("order of the atoms", engine.ask(atoms[order]), _ordered(here, order))
    yield _images(engine, atoms, here, rounding, generator)
    yield _sum_of_energies(here, rounding)
    yield _two(engine, atoms, here)


def check_ways(engine: Engine, atoms: Atoms) -> Iterator[Row]:
    """All other ways in which an engine computes the same."""
    here = engine.ask(atoms)
    for name, way in engine.ways().items():
        yield Rounding.of(here, atoms, way.epsilon).compare(name, way.ask(atoms), here)


def _turned(answer: Answer, matrix: Floats) -> Answer:
    stress = answer.stress if answer.stress is None else matrix.T @ answer.stress @ matrix
    return Answer(answer.energy, answer.forces @ matrix, stress, answer.energies)


def _ordered(answer: Answer, order: Integers) -> Answer:
    energies = answer.energies if answer.energies is None else answer.energies[order]
    return Answer(answer.energy, answer.forces[order], answer.stress, energies)


def _images(
    engine: Engine,
    atoms: Atoms,
    here: Answer,
    rounding: Rounding,
    generator: np.random.Generator,
) -> Row:
    name = "atoms moved by whole cells"
    if not atoms.pbc.any():
        return Row.skipped(name, "the structure is not periodic")
    cells = generator.integers(-2, 3, (len(atoms), 3)) * atoms.pbc
    moved = atoms.copy()
    moved.positions += cells @ atoms.cell.array
    return rounding.compare(name, engine.ask(moved), here)


def _sum_of_energies(here: Answer, rounding: Rounding) -> Row:
    name = "sum of the atomic energies"
    if here.energies is None:
        return Row.skipped(name, "the engine gives none")
    return Row(name, abs(float(here.energies.sum()) - here.energy), rounding.energy, "eV")


def _two(engine: Engine, atoms: Atoms, here: Answer) -> Row:
    """Twice the cell, or two of an open structure beyond each other's reach."""
    name = "two cells in one" if atoms.pbc.any() else "two far apart"
    if total_charge(atoms):
        return Row.skipped(name, "the structure is charged")
    if atoms.pbc.any():
        heights = np.where(atoms.pbc, atoms.cell.lengths(), np.inf)
        twice = atoms.repeat([2 if k == heights.argmin() else 1 for k in range(3)])
    elif engine.cutoff is None or engine.hops is None:
        return Row.skipped(name, "its reach is not known, or without end")
    else:
        far = np.ptp(atoms.positions[:, 0]) + 2 * engine.cutoff * max(engine.hops, 1)
        other = atoms.copy()
        other.positions[:, 0] += far
        twice = atoms + other
    energies = None if here.energies is None else np.tile(here.energies, 2)
    expected = Answer(2 * here.energy, np.tile(here.forces, (2, 1)), here.stress, energies)
    return Rounding.of(expected, twice, engine.epsilon).compare(name, engine.ask(twice), expected)
