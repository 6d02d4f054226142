"""The path of least energy between two structures: barriers, with the spread along the path."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.geometry import find_mic
from ase.mep import NEB
from ase.optimize import FIRE
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.plotting import INK, PALETTE, axes, style
from ladera.potential import LaderaCalculator
from ladera.progress import Task
from ladera.properties.given import of_two_structures
from ladera.properties.memory import alike
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.structures import require_relaxed
from ladera.simulation.doubts import doubts_of_path
from ladera.simulation.held import is_held, require_honoured
from ladera.simulation.preparation import SimulationWarning
from ladera.structure import spin_state, total_charge
from ladera.tables import Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase.calculators.calculator import Calculator

LONGEST_MOVE: Final = 0.02  # Angstrom; ends nearer than this are the same structure
HELD_IN_PLACE: Final = 1e-3  # Angstrom, that held atoms may differ by
ROUGH: Final = 0.3  # eV/Angstrom, from which the highest image climbs


@dataclass(frozen=True, kw_only=True)
class EnergyPath(Result):
    """Images along a path; energies are relative to the first.

    With a committee the spread of ``energies``, ``barrier``, ``reverse_barrier`` and
    ``reaction_energy`` is that of the members on the images of their mean.
    """

    kind: ClassVar[str] = "energy_path"
    title: ClassVar[str] = "Energy path"
    caption: ClassVar[str] = (
        "Energy along the path; bars are two standard deviations of a committee's members."
    )

    numbers: Floats = quantity()  # (n_atoms,), atomic numbers
    cell: Floats = quantity("Angstrom")  # (3, 3)
    periodic: Floats = quantity()  # (3,), one or zero
    images: Floats = quantity("Angstrom")  # (n_images, n_atoms, 3)
    distances: Floats = quantity("Angstrom")  # (n_images,), along the path
    energies: Floats = quantity("eV")  # (n_images,)
    forces: Floats = quantity("eV/Angstrom")  # (n_images,), largest across the path
    barrier: float = quantity("eV")
    reverse_barrier: float = quantity("eV")
    reaction_energy: float = quantity("eV")
    residual: float = quantity("eV/Angstrom")  # largest of the forces
    # Why the model may have made it up; see ladera.simulation.doubts.
    doubts: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        """In files an empty tuple is a list of no kind."""
        object.__setattr__(self, "doubts", tuple(self.doubts))

    def table(self) -> Table:
        """Barriers."""
        top = int(np.argmax(self.energies))
        left = Column("force left across the path", "eV/Angstrom", pattern=".3f")
        return Table.of_one(
            (Column("barrier", "eV", pattern=".4f"), self.number("barrier", note=f"image {top}")),
            (Column("barrier back", "eV", pattern=".4f"), self.number("reverse_barrier")),
            (Column("reaction energy", "eV", pattern=".4f"), self.number("reaction_energy")),
            (left, self.residual),
        )

    def tables(self) -> tuple[Table, ...]:
        """Barriers, and the images."""
        columns = (
            Column("image"),
            Column("path", "Angstrom", pattern=".3f"),
            Column("potential energy over the start", "eV", pattern=".4f"),
            Column("force across the path", "eV/Angstrom", pattern=".3f"),
        )
        rows = tuple(
            (float(i), float(distance), self.number("energies", i), float(self.forces[i]))
            for i, distance in enumerate(self.distances)
        )
        return self.table(), Table(columns, rows, name="images")

    def plot(self, ax: Axes | None = None) -> Figure:
        """Energy along the path, with two spreads."""
        with style():
            figure, panel = axes(5.0, 3.3, ax)
            if "energies" in self.spread:
                panel.errorbar(
                    self.distances,
                    self.energies,
                    yerr=2 * np.asarray(self.spread["energies"]),
                    fmt="none",
                    ecolor=INK,
                    capsize=2,
                    label="two standard deviations of the members",
                )
            panel.plot(self.distances, self.energies, "o-", color=PALETTE[0], label="images")
            panel.set(xlabel="distance along the path (Å)", ylabel="energy (eV)")
            if "energies" in self.spread:
                panel.legend()
        return figure

    def structures_met(self) -> list[Atoms]:
        """The images."""
        numbers, periodic = self.numbers.astype(int), self.periodic.astype(bool)
        return [Atoms(numbers, image, cell=self.cell, pbc=periodic) for image in self.images]

    def motion(self) -> tuple[list[Atoms], list[str]]:
        """The images, there and back."""
        order = [*range(len(self.images)), *range(len(self.images) - 2, 0, -1)]
        images = self.structures_met()
        frames = [images[i] for i in order]
        return frames, [f"image {i}, {self.energies[i]:.3f} eV" for i in order]


@of_two_structures
@recorded
def energy_path(
    start: Atoms,
    end: Atoms,
    /,
    *,
    images: int = 9,
    fmax: float = 0.05,
    steps: int = 500,
) -> EnergyPath:
    """Nudged elastic band between two relaxed structures of the same atoms, by ASE.

    ``start`` carries the calculator, unless a model follows the ends. The first path is that of the
    image-dependent pair potential, atoms going the shorter way through periodic cells; ``images``
    counts the ends. Once the band
    is at 0.3 eV/Angstrom its highest image climbs (Henkelman, Uberuaga and Jonsson, J. Chem. Phys.
    113, 9901 (2000)); done when no force across the path is larger than ``fmax`` (eV/Angstrom).
    Atoms that are held must be held in both ends, at the same places.

    Raises PropertyError for ends that differ in their atoms, cells, charge, spin or what is held,
    are the same, in place, by an image of the cell or moved as a whole, or are not relaxed, for
    constraints a path cannot honour, and for a band that has not converged in
    ``steps``.
    """
    _check_ends(start, end, images)
    _check_held(start, end)
    calculator = start.calc
    last = end.copy()
    last.calc = calculator
    require_relaxed(last, cell=False, fmax=max(fmax, 0.02))
    require_relaxed(start, cell=False, fmax=max(fmax, 0.02))
    band = [start.copy() for _ in range(images - 1)] + [end.copy()]
    for image in band:
        image.calc = _another(calculator)
    neb = NEB(band, climb=False, method="improvedtangent", allow_shared_calculator=True)
    neb.interpolate("idpp", mic=bool(start.pbc.any()), apply_constraint=True)
    with Task("steps of the band") as task:
        rough, climbing = (FIRE(neb, logfile=None) for _ in range(2))
        for optimizer in (rough, climbing):
            optimizer.attach(lambda: task.show(rough.nsteps + climbing.nsteps, _words(neb, fmax)))
        rough.run(fmax=max(ROUGH, fmax), steps=steps)
        neb.climb = True
        converged = climbing.run(fmax=fmax, steps=steps)
    if not converged:
        raise PropertyError(
            f"The path has not converged: after {steps} steps a force of "
            f"{neb.get_residual():.3g} eV/Angstrom is left across it, {fmax:g} was asked for; give "
            "more --steps, more --images, or ends that are nearer to each other."
        )
    result = _result(neb, band, calculator)
    return replace(result, doubts=_doubts(band, calculator))


def _doubts(band: Sequence[Atoms], calculator: Calculator) -> tuple[str, ...]:
    """Why the model may have made the path up; warns of it."""
    if not isinstance(calculator, LaderaCalculator):
        return ()
    images, positions = [], band[0].positions
    for before, computed in zip([band[0], *band[:-1]], band, strict=True):
        move = find_mic(computed.positions - before.positions, computed.cell, computed.pbc)[0]
        image, positions = computed.copy(), positions + move  # not put back into the cell
        image.positions = positions
        image.calc = SinglePointCalculator(image, energy=computed.get_potential_energy())
        images.append(image)
    found = tuple(doubts_of_path(calculator.potential, images))
    for sentence in found:
        warnings.warn(sentence, SimulationWarning, stacklevel=5)
    return found


def _words(neb: NEB, fmax: float) -> str:
    return f"force across the path {neb.get_residual():.3f} of {fmax:g} eV/Angstrom"


def _result(neb: NEB, band: Sequence[Atoms], calculator: Calculator) -> EnergyPath:
    energies = np.array([image.get_potential_energy() for image in band])
    moves = [two.positions - one.positions for one, two in pairwise(band)]
    moves = [find_mic(move, band[0].cell, band[0].pbc)[0] for move in moves]
    distances = np.concatenate([[0.0], np.cumsum([np.linalg.norm(move) for move in moves])])
    inner = neb.get_forces().reshape(len(band) - 2, -1, 3)
    forces = np.zeros(len(band))
    forces[1:-1] = np.linalg.norm(inner, axis=2).max(axis=1)
    spread = {}
    members = calculator.potential.members if isinstance(calculator, LaderaCalculator) else ()
    if isinstance(calculator, LaderaCalculator) and members:
        alone = np.array([_energies(band, alike(calculator, member)) for member in members])
        barriers = [_barriers(row) for row in alone]
        names = ("barrier", "reverse_barrier", "reaction_energy")
        spread = dict(zip(names, np.std(barriers, axis=0, ddof=1), strict=True))
        spread["energies"] = np.std(alone - alone[:, :1], axis=0, ddof=1)
    barrier, reverse, reaction = _barriers(energies)
    return EnergyPath(
        numbers=band[0].numbers.copy(),
        cell=band[0].cell.array.copy(),
        periodic=band[0].pbc.astype(float),
        images=np.array([image.positions for image in band]),
        distances=distances,
        energies=energies - energies[0],
        forces=forces,
        barrier=barrier,
        reverse_barrier=reverse,
        reaction_energy=reaction,
        residual=float(forces.max()),
        spread=spread,
    )


def _barriers(energies: Floats) -> tuple[float, float, float]:
    """Barrier there and back, and reaction energy, eV."""
    top = float(energies.max())
    return top - float(energies[0]), top - float(energies[-1]), float(energies[-1] - energies[0])


def _energies(band: Sequence[Atoms], calculator: Calculator) -> Floats:
    energies = []
    for image in band:
        copy = image.copy()
        copy.calc = calculator
        energies.append(copy.get_potential_energy())
    return np.array(energies)


def _another(calculator: Calculator) -> Calculator:
    """A calculator for each image: a model's own, which keeps its neighbour list, or the same."""
    if isinstance(calculator, LaderaCalculator):
        return alike(calculator)
    return calculator


def _check_ends(start: Atoms, end: Atoms, images: int) -> None:
    if images < 4:
        raise PropertyError.of("images", images, "give 4 or more, the ends among them")
    if not np.array_equal(start.numbers, end.numbers):
        raise PropertyError(
            f"The ends have different atoms ({start.get_chemical_formula()} and "
            f"{end.get_chemical_formula()}), or the same in another order; number them alike."
        )
    same_cell = np.allclose(start.cell.array, end.cell.array, atol=1e-4)
    if not (same_cell and (start.pbc == end.pbc).all()):
        raise PropertyError("The ends have different cells; a path needs one and the same.")
    charges = total_charge(start), total_charge(end)
    if charges[0] != charges[1] or spin_state(start) != spin_state(end):
        raise PropertyError(
            f"The ends differ in charge or spin (the start has {charges[0]:+g} e, the end "
            f"{charges[1]:+g} e); a path leads over one potential energy surface, so give both the "
            "same."
        )
    moves, lengths = find_mic(end.positions - start.positions, start.cell, start.pbc)
    if lengths.max() < LONGEST_MOVE:
        image = (
            ""
            if np.allclose(end.positions, start.positions + moves, atol=1e-6)
            else (", atoms of it in other images of the cell")
        )
        raise PropertyError(f"Both ends are the same structure{image}; give two different ones.")
    if not is_held(start) and _as_a_whole(start, moves) < LONGEST_MOVE:
        raise PropertyError(
            "Both ends are the same structure, moved as a whole; give two different ones."
        )


def _as_a_whole(start: Atoms, moves: Floats) -> float:
    """The longest of ``moves`` (n_atoms, 3), less translation and, of a molecule, rotation."""
    one, other = start.positions, start.positions + moves
    one, other = one - one.mean(axis=0), other - other.mean(axis=0)
    if not start.pbc.any():
        other = Rotation.align_vectors(one, other)[0].apply(other)
    return float(np.linalg.norm(other - one, axis=1).max())


def _check_held(start: Atoms, end: Atoms) -> None:
    """Refuse constraints that differ, or that the way from one end to the other would break."""
    for atoms in (start, end):
        require_honoured(atoms, "path", PropertyError)
    one, other = ([repr(c.todict()) for c in atoms.constraints] for atoms in (start, end))
    if one != other:
        first, second = (
            ", ".join(type(c).__name__ for c in atoms.constraints) or "nothing"
            for atoms in (start, end)
        )
        raise PropertyError(
            f"The ends are held differently, the start by {first}, the end by {second}; give both "
            "the same constraints."
        )
    held = end.positions.copy()
    for constraint in start.constraints:
        constraint.adjust_positions(start, held)
    shifts = find_mic(end.positions - held, start.cell, start.pbc)[1]
    atom = int(np.argmax(shifts))
    if shifts[atom] > HELD_IN_PLACE:
        raise PropertyError(
            f"Atom {atom} is held but moves by {shifts[atom]:.3g} Angstrom between the ends; give "
            "ends that have it at the same place, or remove the constraint."
        )
