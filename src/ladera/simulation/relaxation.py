"""Relaxation: move the atoms, and the cell if asked, to where nothing pulls any more."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ladera import display
from ladera.arguments import checked
from ladera.errors import DataError, SimulationError
from ladera.identity import describe_run
from ladera.loading import as_potential
from ladera.potential import LaderaCalculator, PropertyUnavailableError
from ladera.progress import Task
from ladera.simulation.comparison import COLUMNS, SYMMETRY_TOLERANCE, Row, before_and_after
from ladera.simulation.doubts import doubts
from ladera.simulation.extrapolation import warn_of_structures
from ladera.simulation.guard import check_distances, check_finite
from ladera.simulation.held import require_honoured
from ladera.simulation.preparation import SimulationWarning, check_species
from ladera.simulation.records import snapshot
from ladera.simulation.rest import OptimizerName, Rest, descend, largest_force, largest_stress
from ladera.simulation.rows import RelaxRow
from ladera.simulation.run_folder import RunFolder
from ladera.simulation.structures import as_atoms
from ladera.structure import directions

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.loading import ModelLike
    from ladera.simulation.structures import StructureLike

log = logging.getLogger(__name__)

_Writer = Callable[[RelaxRow, "Atoms"], None]


@dataclass(frozen=True)
class Relaxation:
    """What a relaxation came to."""

    start: Atoms  # the first structure, with its energy, forces and stress
    atoms: Atoms  # the last structure, likewise
    converged: bool
    last: RelaxRow
    limits: Rest  # of force and stress, that it was to come below
    doubts: tuple[str, ...] = ()  # why the model may have made it up; see the module doubts

    def __repr__(self) -> str:
        """Whether it has converged, after how many steps, and what is left."""
        state = "converged" if self.converged else "not converged"
        energy = f"energy {self.last.potential_energy_ev:.6f} eV"
        what = self.atoms.get_chemical_formula()
        steps = f"{state} after {self.last.step} steps"
        return display.lines("Relaxation", [what, steps, energy, self.left])

    @property
    def left(self) -> str:
        """The largest force, and of a cell that was relaxed the stress, beside their limits."""
        return self.limits.left(self.last.max_force_ev_per_angstrom, self.last.max_stress_gpa)

    def _repr_html_(self) -> str:
        return display.table(COLUMNS, self.table(), repr(self))

    def table(self) -> list[Row]:
        """Quantity, before, after and change; see :mod:`ladera.simulation.comparison`."""
        return before_and_after(self.start, self.atoms)


@checked
def relax(
    structure: StructureLike,
    model: ModelLike,
    *,
    fmax: float = 0.01,
    smax: float | None = None,
    steps: int = 1000,
    cell: bool = False,
    symmetry: bool = False,
    optimizer: OptimizerName = "lbfgs",
    folder: str | os.PathLike[str] | None = None,
    on_row: Callable[[RelaxRow], None] | None = None,
) -> Relaxation:
    """Relax a structure with ASE's optimisers; what is given stays as it is.

    ``structure`` is what :func:`ladera.simulation.structures.as_atoms` takes, ``model`` what
    :func:`ladera.loading.as_potential` does.

    Done when the largest force on an atom is below ``fmax`` (eV/Angstrom) and, with ``cell``, no
    component of the stress is above ``smax`` (GPa; 0.01, or ten times the number of ``fmax`` if
    that is less); given up after ``steps``. The cell moves by ASE's FrechetCellFilter. With
    ``symmetry`` forces and stress are made symmetric, so that the space group stays that of the
    start (ASE's FixSymmetry, found within 0.01 Angstrom).

    ASE's constraints are honoured. With ``cell`` held atoms keep their place in the cell, and what
    the stress does not know of, such as fixed bonds and springs, is refused.

    Look at ``converged``. ``folder`` receives relax.csv (see :class:`RelaxRow`), trajectory.traj,
    settings.json and relaxed.extxyz. ``on_row`` is called with each row.

    Raises SimulationError for settings that make no sense, for the cell or symmetry of a structure
    that is not periodic in all directions, for a folder that holds a relaxation, and when energy or
    forces are not finite or the relaxed atoms sit on top of each other; DataError for an unknown
    element.
    """
    atoms, potential = as_atoms(structure), as_potential(model)
    rest = Rest.of(fmax, smax, cell=cell)
    _check_settings(atoms, steps, cell or symmetry)
    if cell:
        require_honoured(atoms, "cell relaxation")
    check_species(atoms, potential)
    moving: Atoms = atoms.copy()
    calculator = LaderaCalculator(potential)
    moving.calc = calculator
    if symmetry:
        _keep_symmetry(moving)
    settings = {
        "fmax": fmax,
        "smax": rest.stress,
        "steps": steps,
        "cell": cell,
        "symmetry": symmetry,
        "optimizer": optimizer,
    }
    place = None if folder is None else RunFolder(folder)
    with (
        _writer(place, describe_run(settings, potential, atoms)) as write,
        Task("steps of the relaxation") as task,
    ):
        for step, done in enumerate(_iterations(moving, rest, steps, optimizer)):
            if step == 0:
                start = _frame(moving, atoms)
            converged, row = done, _row(step, moving, calculator)
            frame = _frame(moving, atoms)
            write(row, frame)
            left = rest.left(row.max_force_ev_per_angstrom, row.max_stress_gpa)
            state = f"{row.potential_energy_ev:.6f} eV, {left}"
            log.debug("step %5d  %s", step, state)
            task.show(step, state)
            if on_row is not None:
                on_row(row)
        if place is not None:
            place.write_final(frame, "relax")
    _check_result(row, calculator, moving)
    found = tuple(doubts(potential, start, frame))
    for sentence in found:
        warnings.warn(sentence, SimulationWarning, stacklevel=3)
    return Relaxation(start, frame, converged, row, rest, found)


def _iterations(atoms: Atoms, rest: Rest, steps: int, optimizer: OptimizerName) -> Iterator[bool]:
    """Whether it has converged, at the start and after each step."""
    atoms.get_forces()  # a structure that no model takes is refused as it is
    try:
        check_finite(atoms.calc.results)
        for converged in descend(atoms, rest, steps=steps, optimizer=optimizer):
            check_finite(atoms.calc.results)
            yield converged
    except (SimulationError, DataError) as error:
        reason = str(error).rstrip(".")
        raise SimulationError(
            f"The relaxation had to stop: {reason}. Start from a more sensible structure, or "
            "train the model on structures like this one."
        ) from error


def _keep_symmetry(atoms: Atoms) -> None:
    """Add the symmetry to what holds the atoms."""
    from ase.constraints import FixSymmetry

    atoms.set_constraint([*atoms.constraints, FixSymmetry(atoms, symprec=SYMMETRY_TOLERANCE)])


def _frame(moving: Atoms, start: Atoms) -> Atoms:
    """The structure as it is now, with its results and without our own constraints."""
    frame = snapshot(moving)
    frame.set_constraint(start.constraints)
    return frame


def _row(step: int, atoms: Atoms, calculator: LaderaCalculator) -> RelaxRow:
    try:
        max_stress = largest_stress(atoms)
    except PropertyUnavailableError:
        max_stress = None
    return RelaxRow(
        step=step,
        potential_energy_ev=float(atoms.get_potential_energy()),
        max_force_ev_per_angstrom=largest_force(atoms),
        max_stress_gpa=max_stress,
        volume_angstrom3=float(atoms.cell.volume) if atoms.pbc.any() else None,
        extrapolating_atoms=calculator.extrapolating_atoms(),
        largest_grade=calculator.largest_grade(),
    )


@contextmanager
def _writer(folder: RunFolder | None, description: Mapping[str, Any]) -> Iterator[_Writer]:
    """Writes rows and frames into the folder, or nowhere."""
    if folder is None:
        yield lambda row, atoms: None
        return
    with folder.lock():
        folder.require_new("relax")
        with folder.open_relaxation() as write:
            folder.describe(description)
            yield write


def _check_settings(atoms: Atoms, steps: int, cell: bool) -> None:
    if steps < 1:
        raise SimulationError.of("steps", steps, "it must be one or more")
    if cell and not atoms.pbc.all():
        raise SimulationError(
            "--cell (in Python cell=True) needs a structure that is periodic in all three "
            f"directions, and this one is periodic {directions(atoms.pbc)}; leave it out."
        )


def _check_result(row: RelaxRow, calculator: LaderaCalculator, atoms: Atoms) -> None:
    """Refuse a collapsed structure; warn of one that the model does not know."""
    try:
        check_distances(calculator.parts())
    except SimulationError as error:
        raise SimulationError(
            f"The structure collapsed: {str(error).rstrip('.')}. The model is wrong here; train "
            "it on structures like this one."
        ) from error
    if row.extrapolating_atoms:
        warn_of_structures(
            calculator.potential, [atoms], "the relaxed structure", above=1.0, stacklevel=4
        )
