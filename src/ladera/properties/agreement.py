"""How nearly a fast model does what a slow one does: structure, vibrations and speed of both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.arrays import Floats
from ladera.errors import LaderaError, PropertyError
from ladera.plotting import INK, PALETTE, axes, style
from ladera.potential import Potential
from ladera.properties.displacements import derivatives
from ladera.properties.normal_modes import WAVENUMBER
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.simulation.relaxation import relax
from ladera.tables import Cell, Column, Number, Table
from ladera.threads import torch_threads

if TYPE_CHECKING:
    from ase import Atoms

_PREPARING: Final = 2  # calls before those that are timed
_CALLS: Final = 7
_STEP: Final = 1e-4  # Angstrom, between them, so that nothing is remembered
_LIMITS: Final = (5e-4, 2000)  # eV/Angstrom and steps of the relaxations


@dataclass(frozen=True, kw_only=True)
class Agreement(Result):
    """What two models make of a structure that each has relaxed for itself.

    Frequencies are those of all normal modes of the structure, ascending, without translations (and
    rotations, of a molecule), negative where imaginary; of a crystal of its cell as it is given, so
    that a supercell shows phonons all over the Brillouin zone. The first of two numbers is the
    teacher's, the second the student's.

    Where a model does not come to rest, or modes do not fit into memory, ``not_compared`` says what
    is missing and why: frequencies are none then, and numbers NaN.
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
    not_compared: str = ""  # a sentence

    @property
    def deviation(self) -> float:
        """Root mean square of the differences between frequencies, cm^-1."""
        if not len(self.teacher_frequencies):
            return math.nan
        return float(np.sqrt(np.mean((self.student_frequencies - self.teacher_frequencies) ** 2)))

    @property
    def speedup(self) -> float:
        """How many times the student is faster."""
        return float(self.microseconds[0] / self.microseconds[1])

    def table(self) -> Table:
        """What each of them makes of the structure."""
        pairs = [
            ("lowest frequency (cm^-1)", *(f.min(initial=math.inf) for f in self._frequencies)),
            ("highest frequency (cm^-1)", *(f.max(initial=-math.inf) for f in self._frequencies)),
            ("time for an atom (us)", *self.microseconds),
        ]
        if np.isfinite(self.volumes).all():
            pairs.insert(0, ("volume (Angstrom^3/atom)", *self.volumes))
        rows: list[tuple[Cell, ...]] = [(name, _number(a), _number(b)) for name, a, b in pairs]
        columns = (
            Column("quantity"),
            Column("teacher", pattern=".5g"),
            Column("student", pattern=".5g"),
        )
        return Table(columns, tuple(rows), notes=(self.not_compared,) * bool(self.not_compared))

    def tables(self) -> tuple[Table, ...]:
        """That, and how far they are from each other."""
        apart = Table.of_one(
            (Column("modes, RMS difference", "cm^-1", pattern=".3g"), _number(self.deviation)),
            (Column("atoms apart, RMS", "Angstrom", pattern=".2g"), _number(self.distance)),
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
            if len(both):
                ends = [both.min(), both.max()]
                panel.plot(ends, ends, "-", color=INK, lw=0.8)
                panel.plot(*self._frequencies, "o", color=PALETTE[0], ms=3.5)
            else:
                panel.text(0.5, 0.5, "not compared", ha="center", transform=panel.transAxes)
                panel.set(xticks=[], yticks=[])
            panel.set_xlabel(f"{self.teacher} (cm$^{{-1}}$)")
            panel.set_ylabel(f"{self.student} (cm$^{{-1}}$)")
        return figure


class _AtRest(NamedTuple):
    """What two models make of a structure when they are at rest; fields as in the result."""

    teacher_frequencies: Floats = np.empty(0)
    student_frequencies: Floats = np.empty(0)
    volumes: Floats = np.full(2, math.nan)
    distance: float = math.nan
    not_compared: str = ""


@recorded
def agreement(
    atoms: Atoms, /, teacher: Potential, student: Potential, *, names: tuple[str, str]
) -> Agreement:
    """Compare two models on a molecule, a slab or a crystal; ``names`` are theirs.

    Each relaxes it, of a crystal with its cell, to forces below 5e-4 eV/Angstrom, and is timed on
    one thread with the structure as it is given. Modes are compared in ascending order. What
    cannot be compared, since a relaxation does not end or memory is short, is told in
    ``not_compared``, and the rest is there.

    Raises PropertyError for what :func:`require_comparable` refuses.
    """
    require_comparable(atoms)
    models = (teacher, student)
    return Agreement(
        teacher=names[0],
        student=names[1],
        formula=atoms.get_chemical_formula(),
        microseconds=np.array([_speed(atoms, model) for model in models]),
        atoms=len(atoms),
        **_at_rest(atoms, models, names)._asdict(),
    )


def _at_rest(atoms: Atoms, models: tuple[Potential, ...], names: tuple[str, str]) -> _AtRest:
    """Both structures, and the modes of both."""
    pairs = list(zip(models, names, strict=True))
    try:
        rest = [_relaxed(atoms, model, name) for model, name in pairs]
    except LaderaError as error:
        return _AtRest(not_compared=f"Neither structures at rest nor modes were compared: {error}")
    volumes = [each.get_volume() / len(atoms) if _fills(atoms) else math.nan for each in rest]
    structures = _AtRest(volumes=np.array(volumes), distance=_distance(*rest))
    try:
        modes = [_frequencies(each, model) for each, model in zip(rest, models, strict=True)]
    except LaderaError as error:
        return structures._replace(not_compared=f"Modes were not compared: {error}")
    return structures._replace(teacher_frequencies=modes[0], student_frequencies=modes[1])


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


def _relaxed(atoms: Atoms, model: Potential, name: str) -> Atoms:
    fmax, steps = _LIMITS
    try:
        relaxed = relax(atoms, model, fmax=fmax, steps=steps, cell=_fills(atoms))
    except LaderaError as error:
        raise PropertyError(f"{name} does not relax the structure. {error}") from error
    if not relaxed.converged:
        raise PropertyError(
            f"{name} does not relax the structure to {fmax:g} eV/Angstrom in {steps} steps "
            f"({relaxed.last.max_force_ev_per_angstrom:.2g} are left); give one nearer to rest."
        )
    return relaxed.atoms


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


def _number(value: float) -> Number:
    """A cell of a table."""
    return Number(float(value), instead="not compared")


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
    """Microseconds for the forces of an atom, on one thread: the fastest of some calls.

    What slower ones took longer was other work of the machine.
    """
    moving, times = atoms.copy(), []
    moving.calc = model.calculator()
    with torch_threads(1):
        for _ in range(_PREPARING + _CALLS):
            moving.positions[0, 0] += _STEP
            began = perf_counter()
            moving.get_forces()
            times.append(perf_counter() - began)
    return 1e6 * min(times[_PREPARING:]) / len(atoms)
