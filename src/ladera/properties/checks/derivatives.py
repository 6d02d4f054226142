r"""Forces and stress against differences of the energy, and the symmetry of the Hessian.

All along random directions d of all atoms at once, each with components of the size of one: an
error of a single component shows in every one of them.

    F . d = -dE/dt          of E(r + t d)
    V s : e = dE/dt         of E(r (1 + t e), cell (1 + t e)), with a symmetric strain e
    d_a . H d_b = d_b . H d_a       with H d = -dF/dt

The derivatives are exact to t^4; what is left is estimated by a step twice as long, and what the
noise of the energy makes of them by that noise, which is measured first (J. J. Moré, S. M. Wild,
SIAM J. Sci. Comput. 33, 1292 (2011)): of numbers f_k along a line with a spacing so small that
they are nearly equal, the fourth differences are made of noise alone,

    s^2 = (4!)^2 / 8!  <(D^4 f)^2>
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np

from ladera.properties.checks.conditioning import conditioning
from ladera.properties.checks.rows import Rounding, Row, best, largest, worst

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats
    from ladera.properties.checks.engine import Answer, Engine

DIRECTIONS: Final = 4
_PARTS: Final = (1, 4, 16, 64)  # of a first step, which are tried one after the other
_STRAINS: Final = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_STEPS: Final = (1, -1, 2, -2, 4, -4)
_SHORTEST, _LONGEST = 5e-4, 2e-2  # Angstrom, of a step
_FIFTH: Final = 500.0  # fifth derivatives that steps are chosen for, in units of the force
_NOISE_SPACING, _NOISE_POINTS = 1e-5, 12  # Angstrom
_FOURTH: Final = 24**2 / 40320  # (4!)^2 / 8!
_CONFIDENCE: Final = 10.0  # standard deviations of the noise
_MARGIN: Final = 5.0  # times the difference of two steps, which of splines says too little
_MOST: Final = 1e-3  # of the largest force, whatever noise and steps would excuse
_ARM: Final = 3.0  # Angstrom, by which a strain moves a neighbour


@dataclass(frozen=True)
class Noise:
    """Standard deviations that rounding, or an iteration, gives to what an engine says."""

    energy: float  # eV
    forces: float  # eV/Angstrom

    def step(self, scale: float) -> float:
        """The length, Angstrom, at which it does as little harm as the fifth derivative."""
        best = (self.energy / (_FIFTH * scale)) ** 0.2
        return float(np.clip(best, _SHORTEST, _LONGEST))


def measure_noise(engine: Engine, atoms: Atoms, direction: Floats) -> Noise:
    """That of energies and forces; see the module."""
    answers = [
        engine.ask(_moved(atoms, direction, k * _NOISE_SPACING)) for k in range(_NOISE_POINTS)
    ]
    energies = np.array([answer.energy for answer in answers])
    forces = np.array([answer.forces for answer in answers])
    # A large constant is taken off before: it would be rounded again.
    deviations = [
        float(np.sqrt(_FOURTH * np.mean(np.diff(values - values[0], n=4, axis=0) ** 2)))
        for values in (energies, forces)
    ]
    return Noise(*deviations)


def check_derivatives(
    engine: Engine, atoms: Atoms, generator: np.random.Generator
) -> Iterator[Row]:
    """Noise, forces, their sum, stress, and the symmetry of the Hessian."""
    here = engine.ask(atoms)
    rounding = Rounding.of(here, atoms, engine.epsilon, conditioning(engine.potential, atoms))
    directions = generator.standard_normal((DIRECTIONS, len(atoms), 3))
    noise = measure_noise(engine, atoms, directions[0])
    yield Row("noise of the energy", noise.energy, rounding.noise, "eV")
    total = largest(here.forces.sum(axis=0))
    yield Row("sum of the forces", total, len(atoms) * rounding.forces, "eV/Angstrom")
    scale = max(0.1, largest(here.forces))  # and no NaN
    first = noise.step(scale * np.sqrt(len(atoms)))
    steps = [first / k for k in _PARTS]
    asked = _Asked(engine, atoms, here, noise, rounding, scale)
    yield best(asked.forces(directions, step) for step in steps)
    if here.stress is None:
        why = "the engine gives none" if atoms.pbc.any() else "the structure has no volume"
        yield Row.skipped("stress", why)
    else:
        yield best(asked.stress(here.stress, step) for step in steps)
    yield best(asked.symmetry(directions, step) for step in steps)


@dataclass(frozen=True)
class _Line:
    """What an engine says at some steps along a line, and the derivatives of it at no step."""

    step: float
    answers: dict[int, Answer]

    @classmethod
    def of(cls, engine: Engine, step: float, place: Callable[[float], Atoms]) -> _Line:
        return cls(step, {k: engine.ask(place(k * step)) for k in _STEPS})

    def slope(self, value: Callable[[Answer], Floats | float]) -> tuple[Floats, Floats]:
        """d/dt of a value, and how far that may be off for the length of the step."""
        f = {k: np.asarray(value(answer), dtype=float) for k, answer in self.answers.items()}
        short, long = (
            (8 * (f[k] - f[-k]) - (f[2 * k] - f[-2 * k])) / (12 * k * self.step) for k in (1, 2)
        )
        return short, _MARGIN * np.abs(long - short)


@dataclass(frozen=True)
class _Asked:
    """An engine at one structure, with what it says there."""

    engine: Engine
    atoms: Atoms
    here: Answer
    noise: Noise
    rounding: Rounding
    scale: float  # the largest force, eV/Angstrom

    def forces(self, directions: Floats, step: float) -> Row:
        """F . d against -dE/dt."""
        root = np.sqrt(directions[0].size)
        slopes, said, rows = [], [], []
        for direction in directions:
            slope, doubt = self._along(direction, step).slope(lambda answer: answer.energy)
            slopes.append(-float(slope))
            said.append(float(np.vdot(self.here.forces, direction)))
            allowed = (float(doubt) + _CONFIDENCE * self.noise.energy / step) / root
            allowed += self.rounding.forces
            error = abs(said[-1] - slopes[-1]) / root
            rows.append(Row("forces", error, _held(allowed, self.scale), "eV/Angstrom"))
        return _explained(rows, said, slopes)

    def stress(self, stress: Floats, step: float) -> Row:
        """V s against dE/de, the strain moving neighbours by the step."""
        step, volume = step / _ARM, self.atoms.cell.volume
        most = self.scale * _ARM * len(self.atoms) / volume
        slopes, said, rows = [], [], []
        for i, j in _STRAINS:
            strain = np.zeros((3, 3))
            strain[i, j] += 0.5
            strain[j, i] += 0.5
            line = _Line.of(self.engine, step, partial(_strained, self.atoms, strain))
            slope, doubt = line.slope(lambda answer: answer.energy)
            slopes.append(float(slope) / volume)
            said.append(float(stress[i, j]))
            allowed = (float(doubt) + _CONFIDENCE * self.noise.energy / step) / volume
            allowed += self.rounding.stress
            error = abs(said[-1] - slopes[-1])
            rows.append(Row("stress", error, _held(allowed, most), "eV/Angstrom^3"))
        return _explained(rows, said, slopes)

    def symmetry(self, directions: Floats, step: float) -> Row:
        """d_a . H d_b against d_b . H d_a."""
        root, rows = np.sqrt(directions[0].size), []
        columns = [self._along(d, step).slope(lambda answer: -answer.forces) for d in directions]
        for a, b in combinations(range(len(directions)), 2):
            (one, doubt), (other, another) = columns[a], columns[b]
            error = abs(np.vdot(directions[b], one) - np.vdot(directions[a], other)) / root
            doubts = np.abs(directions[b]) * doubt + np.abs(directions[a]) * another
            noise = _CONFIDENCE * self.noise.forces + self.rounding.forces
            allowed = _held(float(doubts.sum()) / root + noise / step, self.scale)
            rows.append(Row("Hessian is symmetric", float(error), allowed, "eV/Angstrom^2"))
        return worst(rows)

    def _along(self, direction: Floats, step: float) -> _Line:
        return _Line.of(self.engine, step, partial(_moved, self.atoms, direction))


def _held(allowed: float, scale: float) -> float:
    """What is allowed, and never more than a thousandth: a check that could not fail is none."""
    return min(_MOST * scale, allowed)  # in this order: of NaN, too, the thousandth


def _explained(rows: Sequence[Row], said: Sequence[float], slopes: Sequence[float]) -> Row:
    """The worst of some rows; of a failure, what all of them have in common."""
    found = worst(rows)
    return found if found.passed else replace(found, note=_diagnosis(said, slopes))


def _diagnosis(said: Sequence[float], slopes: Sequence[float]) -> str:
    """Whether one factor, such as a sign or a unit, stands between two lists of numbers."""
    one, other = np.array(said), np.array(slopes)
    if not np.isfinite([one, other]).all() or not other.any():
        return ""
    factor = float(one @ other / (other @ other))
    if largest(one - factor * other) > 0.01 * largest(one):
        return ""
    if abs(factor + 1) < 0.01:
        return "the sign is wrong"
    return f"{factor:.4g} times what the energy says"


def _moved(atoms: Atoms, direction: Floats, by: float) -> Atoms:
    moved: Atoms = atoms.copy()
    moved.positions += by * direction
    return moved


def _strained(atoms: Atoms, strain: Floats, by: float) -> Atoms:
    strained: Atoms = atoms.copy()
    deformation = np.eye(3) + by * strain
    strained.cell[:] = atoms.cell.array @ deformation
    strained.positions[:] = atoms.positions @ deformation
    return strained
