"""How nearly a fast model does what a slow one does: structure, vibrations and speed of both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.plotting import INK, PALETTE, axes, style
from ladera.potential import Potential
from ladera.properties.displacements import derivatives
from ladera.properties.normal_modes import WAVENUMBER
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.simulation.relaxation import relax
from ladera.tables import Cell, Column, Table
from ladera.threads import torch_threads

if TYPE_CHECKING:
    from ase import Atoms

_CALLS: Final = 5  # that are timed, after one that prepares
_STEP: Final = 1e-4  # Angstrom, between them, so that nothing is remembered
_LIMITS: Final = (5e-4, 2000)  # eV/Angstrom and steps of the relaxations


@dataclass(frozen=True, kw_only=True)
class Agreement(Result):
    """What two models make of a structure that each has relaxed for itself.

    Frequencies are those of all normal modes of the structure, ascending, without translations (and
    rotations, of a molecule), negative where imaginary; of a crystal of its cell as it is given, so
    that a supercell shows phonons all over the Brillouin zone. The first of two numbers is the
    teacher's, the second the student's.
    """

    kind: ClassVar[str] = "agreement"
    title: ClassVar[str] = "Teacher and student"
    caption: ClassVar[str] = "Normal modes of the student against those of its teacher."

    teacher: str
    student: str
    formula: str
    teacher_frequencies: Floats = quantity("cm^-1")  # (n_modes,)
    student_frequencies: Floats = quantity("cm^-1")  # (n_modes,)
    volumes: Floats = quantity("Angstrom^3/atom")  # (2,); NaN without a volume
    distance: float = quantity("Angstrom")  # root mean square of what atoms are apart, relaxed
    microseconds: Floats = quantity("us/atom")  # (2,), energy and forces, one thread
    atoms: int = quantity()  # of the structure that was timed

    @property
    def deviation(self) -> float:
        """Root mean square of the differences between frequencies, cm^-1."""
        return float(np.sqrt(np.mean((self.student_frequencies - self.teacher_frequencies) ** 2)))

    @property
    def speedup(self) -> float:
        """How many times the student is faster."""
        return float(self.microseconds[0] / self.microseconds[1])

    def table(self) -> Table:
        """What each of them makes of the structure."""
        pairs = [
            ("lowest frequency (cm^-1)", *(f.min() for f in self._frequencies)),
            ("highest frequency (cm^-1)", *(f.max() for f in self._frequencies)),
            ("time for an atom (us)", *self.microseconds),
        ]
        if np.isfinite(self.volumes).all():
            pairs.insert(0, ("volume (Angstrom^3/atom)", *self.volumes))
        rows: list[tuple[Cell, ...]] = [(name, float(a), float(b)) for name, a, b in pairs]
        columns = (
            Column("quantity"),
            Column("teacher", pattern=".5g"),
            Column("student", pattern=".5g"),
        )
        return Table(columns, tuple(rows))

    def tables(self) -> tuple[Table, ...]:
        """That, and how far they are from each other."""
        apart = Table.of_one(
            (Column("modes, RMS difference", "cm^-1", pattern=".3g"), self.deviation),
            (Column("atoms apart, RMS", "Angstrom", pattern=".2g"), self.distance),
            (Column("times faster", pattern=".3g"), self.speedup),
            name="difference",
        )
        return (self.table(), apart)

    @property
    def _frequencies(self) -> tuple[Floats, Floats]:
        return self.teacher_frequencies, self.student_frequencies

    def plot(self, ax: Axes | None = None) -> Figure:
        """The student's frequencies against the teacher's."""
        with style():
            figure, panel = axes(ax=ax)
            both = np.concatenate(self._frequencies)
            ends = [both.min(), both.max()]
            panel.plot(ends, ends, "-", color=INK, lw=0.8)
            panel.plot(*self._frequencies, "o", color=PALETTE[0], ms=3.5)
            panel.set_xlabel(f"{self.teacher} (cm$^{{-1}}$)")
            panel.set_ylabel(f"{self.student} (cm$^{{-1}}$)")
        return figure


class _Found(NamedTuple):
    """What one model makes of the structure."""

    atoms: Atoms
    frequencies: Floats


@recorded
def agreement(
    atoms: Atoms, /, teacher: Potential, student: Potential, *, names: tuple[str, str]
) -> Agreement:
    """Compare two models on a molecule, a slab or a crystal; ``names`` are theirs.

    Each relaxes it, of a crystal with its cell, to forces below 5e-4 eV/Angstrom, and is timed on
    one thread with the structure as it is given. Modes are compared in ascending order.

    Raises PropertyError for what :func:`require_comparable` refuses, and where a relaxation does
    not end.
    """
    require_comparable(atoms)
    found = [_of(atoms, model, name) for model, name in zip((teacher, student), names, strict=True)]
    return Agreement(
        teacher=names[0],
        student=names[1],
        formula=str(atoms.symbols),
        teacher_frequencies=found[0].frequencies,
        student_frequencies=found[1].frequencies,
        volumes=np.array(
            [each.atoms.get_volume() / len(atoms) if _fills(atoms) else math.nan for each in found]
        ),
        distance=_distance(found[0].atoms, found[1].atoms),
        microseconds=np.array([_speed(atoms, model) for model in (teacher, student)]),
        atoms=len(atoms),
    )


def require_comparable(atoms: Atoms) -> None:
    """Raise PropertyError for a single atom, and for a chain, which turns about its axis."""
    along = int(atoms.pbc.sum())
    if len(atoms) < 2 or along == 1:
        raise PropertyError(
            "Models are compared on molecules, slabs and crystals, and this structure has "
            f"{len(atoms)} atoms and is periodic along {along} directions; give another one."
        )


def _fills(atoms: Atoms) -> bool:
    """Whether it is periodic everywhere, so that its cell has a volume."""
    return bool(atoms.pbc.all())


def _of(atoms: Atoms, model: Potential, name: str) -> _Found:
    fmax, steps = _LIMITS
    relaxed = relax(atoms, model, fmax=fmax, steps=steps, cell=_fills(atoms))
    if not relaxed.converged:
        raise PropertyError(
            f"{name} does not relax the structure to {fmax:g} eV/Angstrom in {steps} steps; give "
            "one nearer to rest."
        )
    return _Found(relaxed.atoms, _frequencies(relaxed.atoms, model))


def _frequencies(atoms: Atoms, model: Potential) -> Floats:
    """Of all normal modes but the motions of the whole, cm^-1, ascending.

        omega^2 = eigenvalues of M^-1/2 H M^-1/2

    Motions of the whole are those that are nearest to zero: 3 of a crystal or slab, 6 of a molecule
    (5 of a linear one).
    """
    atoms = atoms.copy()
    atoms.calc = model.calculator()
    masses = np.repeat(atoms.get_masses(), 3)
    slopes = derivatives(atoms, None).hessian
    eigenvalues = np.linalg.eigvalsh(slopes / np.sqrt(np.outer(masses, masses)))
    whole = 3 if atoms.pbc.any() else 5 if _is_linear(atoms) else 6
    inner = np.sort(np.argsort(np.abs(eigenvalues))[whole:])
    kept = eigenvalues[inner]
    found: Floats = np.sign(kept) * np.sqrt(np.abs(kept)) * WAVENUMBER
    return found


def _is_linear(atoms: Atoms) -> bool:
    spread = np.linalg.svd(atoms.positions - atoms.positions.mean(axis=0), compute_uv=False)
    return bool(spread[1] < 1e-3 * spread[0])


def _distance(one: Atoms, other: Atoms) -> float:
    """Root mean square of what atoms are apart, Angstrom, turned and moved upon each other."""
    if one.pbc.any():
        moves = one.get_scaled_positions(wrap=False) - other.get_scaled_positions(wrap=False)
        moves = (moves - one.pbc * np.round(moves)) @ one.cell.complete().array
        moves = moves - moves.mean(axis=0)
    else:
        a, b = (each.positions - each.positions.mean(axis=0) for each in (one, other))
        u, _, v = np.linalg.svd(a.T @ b)  # Kabsch, Acta Cryst. A 32, 922 (1976)
        proper = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
        moves = a @ u @ proper @ v - b
    return float(np.sqrt((moves**2).sum(axis=1).mean()))


def _speed(atoms: Atoms, model: Potential) -> float:
    """Microseconds for the forces of an atom, on one thread: the median of some calls."""
    moving, times = atoms.copy(), []
    moving.calc = model.calculator()
    with torch_threads(1):
        for call in range(_CALLS + 1):
            moving.positions[0, 0] += _STEP
            began = perf_counter()
            moving.get_forces()
            times.append((perf_counter() - began) * (call > 0))
    return 1e6 * median(times[1:]) / len(atoms)
