"""Hessian and dipole derivatives of a structure; forces and dipoles of displaced copies of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from ase.calculators.calculator import PropertyNotImplementedError

from ladera.arrays import Booleans, Floats, Integers
from ladera.curvature import HessianBlocks, dipole_derivatives
from ladera.errors import PropertyError
from ladera.graph import Graph
from ladera.machine import require_memory
from ladera.models.dispersion import STEP
from ladera.potential import LaderaCalculator, evaluate
from ladera.progress import Task, track
from ladera.properties.memory import Arrays, RememberingCalculator
from ladera.quantities import DIPOLE
from ladera.structure import Structure

if TYPE_CHECKING:
    from collections.abc import Callable

    from ase import Atoms

    from ladera.potential import Potential

_ATOMS_IN_A_BATCH: Final = 4000
# Arrays of the size of what is chosen of the Hessian that are there at once, beside the Hessian
# itself: measured, those that vibrations make of it among them.
_OF_MODEL, _OF_DIFFERENCES = 5.5, 10.0
_STEP: Final = 0.005  # Angstrom, of the differences of a calculator that has nothing better


@dataclass(frozen=True)
class Displaced:
    """Results of displaced copies."""

    forces: Floats  # (n_copies, n_atoms, 3), eV/Angstrom
    dipoles: Floats | None  # (n_copies, 3), e*Angstrom; None without a dipole


@dataclass(frozen=True)
class Derivatives:
    """Derivatives at a structure."""

    hessian: Floats  # (3 n_atoms, 3 n_atoms), eV/Angstrom^2, symmetric
    asymmetry: float  # largest difference of H_ij and H_ji before they were made equal
    dipole: Floats | None  # (3 n_atoms, 3), d mu / d x in e; None without a dipole
    origin: str  # how they were made, for people


def derivatives(atoms: Atoms, step: float | None, moving: Booleans | None = None) -> Derivatives:
    """Second derivatives of the energy, and first ones of the dipole if there is one.

    Of part of a structure, the coordinates ``moving`` (3 n_atoms,) with each other; zero elsewhere.

    Without a ``step`` (Angstrom) those of a Ladera model itself, see :mod:`ladera.curvature`. With
    one, and of other calculators (0.005 Angstrom where none is given), central differences:

        H_ij = - (F_i(x_j + h) - F_i(x_j - h)) / (2 h),    h = ``step``

    Where a model's own second derivatives are slow (``Potential.slow_hessian``) those of two steps
    are extrapolated to none: (4 H(h) - H(2 h)) / 3 is right to the fourth power of h. One
    displacement is two copies; copies go through a Ladera model in batches.
    """
    size = 3 * len(atoms)
    chosen = np.arange(size) if moving is None else np.flatnonzero(moving)
    if step is None and isinstance(atoms.calc, LaderaCalculator):
        if atoms.calc.potential.slow_hessian:
            slopes, dipole = _extrapolated(atoms, chosen)
            origin = "differences extrapolated to no step"
        else:
            slopes, dipole = _exact(atoms, atoms.calc, chosen)
            origin = "derivatives of the model"
            if "dispersion" in atoms.calc.potential.config.corrections:
                origin += f", of D3 differences of its gradient, {STEP:g} Å"
    else:
        slopes, dipole = _differences(atoms, step or _STEP, chosen)
        origin = f"central differences, {step or _STEP:g} Å"
    block, hessian = slopes[chosen], np.zeros((size, size))
    hessian[np.ix_(chosen, chosen)] = (block + block.T) / 2
    return Derivatives(
        hessian=hessian,
        asymmetry=float(np.abs(block - block.T).max()),
        dipole=dipole,
        origin=origin,
    )


def require_columns(n_atoms: int, columns: int, copies: float) -> None:
    """Raise TooLargeError where so many columns of a Hessian do not fit into memory.

    ``copies`` are how many arrays of their size are there at once.
    """
    size = 3 * n_atoms
    require_memory(
        8.0 * size * (size + copies * columns),
        f"The Hessian of {n_atoms:,} atoms",
        "hold those that need not move (FixAtoms), or take a smaller structure",
    )


def _exact(
    atoms: Atoms, calculator: LaderaCalculator, chosen: Integers
) -> tuple[Floats, Floats | None]:
    """Columns ``chosen`` of the Hessian, (3 n_atoms, n_chosen), and the slopes of the dipole."""
    potential, dipole = calculator.potential, None
    if DIPOLE in potential.gives and not atoms.pbc.any():
        slopes = partial(dipole_derivatives, potential, atoms)
        dipole = _piece(atoms, calculator, "dipole derivatives", slopes)
    return model_hessian(atoms, calculator, chosen), dipole


def model_hessian(
    atoms: Atoms, calculator: LaderaCalculator, chosen: Integers | None = None
) -> Floats:
    """The Hessian (3 n_atoms, 3 n_atoms) of a model, eV/Angstrom^2, as it comes; remembered.

    Of some columns ``chosen`` (n,) these.
    """
    count = 3 * len(atoms) if chosen is None else len(chosen)
    require_columns(len(atoms), count, _OF_MODEL)
    blocks = HessianBlocks(calculator.potential, atoms, chosen=chosen)
    part = "" if chosen is None or len(chosen) == 3 * len(atoms) else f" of {chosen.tolist()}"
    columns = [
        _piece(atoms, calculator, f"Hessian, columns {ends}{part}", partial(blocks.columns, *ends))
        for ends in track(blocks.ends, "blocks of the Hessian")
    ]
    return np.hstack(columns)


def _piece(
    atoms: Atoms, calculator: LaderaCalculator, what: str, compute: Callable[[], Floats]
) -> Floats:
    """One array, from the calculator's memory if it has one and the array is there."""
    if not isinstance(calculator, RememberingCalculator):
        return compute()
    return calculator.remember(atoms, what, lambda: {"array": compute()})["array"]


def _extrapolated(atoms: Atoms, chosen: Integers) -> tuple[Floats, Floats | None]:
    near, near_dipole = _differences(atoms, _STEP, chosen)
    far, far_dipole = _differences(atoms, 2 * _STEP, chosen)
    if near_dipole is None or far_dipole is None:
        return (4 * near - far) / 3, None
    return (4 * near - far) / 3, (4 * near_dipole - far_dipole) / 3


def _differences(atoms: Atoms, step: float, chosen: Integers) -> tuple[Floats, Floats | None]:
    size, count = 3 * len(atoms), len(chosen)
    require_columns(len(atoms), count, _OF_DIFFERENCES)
    steps = step * np.eye(size)[chosen].reshape(count, len(atoms), 3)
    displaced = evaluate_displaced(atoms, np.concatenate([steps, -steps]))
    slopes = (displaced.forces[count:] - displaced.forces[:count]).reshape(count, size).T / (
        2 * step
    )
    if displaced.dipoles is None:
        return slopes, None
    dipole = np.zeros((size, 3))
    dipole[chosen] = (displaced.dipoles[:count] - displaced.dipoles[count:]) / (2 * step)
    return slopes, dipole


def evaluate_displaced(atoms: Atoms, displacements: Floats) -> Displaced:
    """Forces, and dipoles where the calculator has them, at positions + ``displacements``.

    ``displacements`` is (n_copies, n_atoms, 3), Angstrom. Constraints do not count.
    """
    if isinstance(atoms.calc, LaderaCalculator):
        return _by_batches(atoms, atoms.calc, displacements)
    forces: list[Floats] = []
    dipoles: list[Floats] | None = []
    for displacement in track(displacements, "displaced copies"):
        copy = atoms.copy()
        copy.set_constraint()
        copy.positions += displacement
        copy.calc = atoms.calc
        forces.append(copy.get_forces())
        if dipoles is not None:
            try:
                dipoles.append(copy.get_dipole_moment())
            except (PropertyNotImplementedError, NotImplementedError):
                dipoles = None
    return Displaced(np.array(forces), None if dipoles is None else np.array(dipoles))


def has_dipole(atoms: Atoms) -> bool:
    """Whether the calculator says that it has a dipole."""
    return "dipole" in getattr(atoms.calc, "implemented_properties", ())


def no_dipole(atoms: Atoms) -> PropertyError:
    """The error of a calculator without a dipole, with what to do about it."""
    return PropertyError(
        "The model, or calculator, gives no dipole, and infrared intensities "
        "are made of its changes; take those of another, --dipoles xtb or MODEL (dipoles in "
        "Python), train a model with dipoles (architecture hdnnp_dipole, or "
        "outputs: [energy, dipole] of a mace), or look at the frequencies with `ladera "
        "vibrations` and at the density of states of a simulation with `ladera spectrum`."
    )


def _by_batches(atoms: Atoms, calculator: LaderaCalculator, displacements: Floats) -> Displaced:
    count = max(1, _ATOMS_IN_A_BATCH // len(atoms))
    batches: list[Arrays] = []
    with Task("displaced copies", len(displacements)) as task:
        for start in range(0, len(displacements), count):
            part = displacements[start : start + count]
            compute = partial(_batch, atoms, calculator.potential, part)
            if isinstance(calculator, RememberingCalculator):
                batches.append(calculator.remember(atoms, "displaced copies", compute, part))
            else:
                batches.append(compute())
            task.advance(len(part))
    forces = np.concatenate([batch["forces"] for batch in batches])
    dipoles = [batch["dipoles"] for batch in batches if "dipoles" in batch]
    return Displaced(
        forces.reshape(-1, len(atoms), 3), np.concatenate(dipoles) if dipoles else None
    )


def _batch(atoms: Atoms, potential: Potential, displacements: Floats) -> Arrays:
    """Forces (n_copies n_atoms, 3), and dipoles (n_copies, 3) of a model that has them."""
    structure = Structure.from_atoms(atoms)
    graphs = [
        Graph.of(structure._replace(positions=structure.positions + displacement), potential.cutoff)
        for displacement in displacements
    ]
    with torch.no_grad():
        prediction = evaluate(potential, Graph.batch(graphs))
        arrays = {"forces": prediction.forces.cpu().numpy()}
        if DIPOLE in potential.gives and not atoms.pbc.any():
            arrays["dipoles"] = prediction.dipole.cpu().numpy()
    return arrays
