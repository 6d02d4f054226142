"""What the properties ask of the structure they are given, and small steps they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

import numpy as np
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.potential import Potential
from ladera.properties.memory import alike
from ladera.properties.result import Result
from ladera.simulation.held import require_honoured
from ladera.units import GIGAPASCAL

if TYPE_CHECKING:
    from ase import Atoms

P = ParamSpec("P")
R = TypeVar("R", bound=Result)

LARGEST_FORCE = 0.02  # eV/Angstrom, of a structure that counts as relaxed
LARGEST_STRESS = 0.3  # GPa


def with_spread(
    at_rest: Literal["nothing", "atoms", "cell"],
) -> Callable[[Callable[Concatenate[Atoms, P], R]], Callable[Concatenate[Atoms, P], R]]:
    """A property of atoms that, with a committee, carries its members' standard deviations.

    The property is computed with the committee's mean and with each member by itself. A member's
    minimum is not the committee's: for a property of the minimum its ``atoms``, or these and the
    ``cell``, come to rest first.
    """

    def decorated(
        compute: Callable[Concatenate[Atoms, P], R],
    ) -> Callable[Concatenate[Atoms, P], R]:
        @wraps(compute)
        def computed(atoms: Atoms, /, *args: P.args, **kwargs: P.kwargs) -> R:
            require_calculator(atoms)
            result = compute(atoms, *args, **kwargs)
            potential = getattr(atoms.calc, "potential", None)
            if not (isinstance(potential, Potential) and potential.members):
                return result
            alone = []
            for member in potential.members:
                copy = atoms.copy()
                copy.calc = alike(atoms.calc, member)
                if at_rest != "nothing":
                    _settle(copy, cell=at_rest == "cell")
                alone.append(result.in_this_order(compute(copy, *args, **kwargs)))
            return replace(result, spread=deviations(alone))

        return computed

    return decorated


def _settle(atoms: Atoms, *, cell: bool) -> None:
    """Move the atoms, or atoms and ``cell``, to the minimum that is near, in place."""
    moving = FrechetCellFilter(atoms) if cell else atoms
    LBFGS(moving, logfile=None).run(fmax=1e-4, steps=300)  # type: ignore[arg-type]
    # Soft bonds are far from rest at larger forces; single precision may not come so far.
    force = float(np.linalg.norm(moving.get_forces(), axis=1).max())
    if not force < 1e-3:
        raise PropertyError(
            "A member of the committee finds no minimum near that of the mean: after 300 steps a "
            f"force of {force:.3g} eV/Angstrom is left. Is the structure like the training data? "
            "Look at the members one by one."
        )


def deviations(results: list[R]) -> dict[str, Any]:
    """Sample standard deviation of every numeric field that has one shape in all results."""
    spread: dict[str, Any] = {}
    for field in fields(results[0]):
        values = [np.asarray(getattr(result, field.name)) for result in results]
        numeric = "unit" in field.metadata and all(v.dtype.kind in "if" for v in values)
        if numeric and len({value.shape for value in values}) == 1:
            spread[field.name] = np.std(values, axis=0, ddof=1)
    return spread


def require_calculator(atoms: Atoms) -> None:
    """PropertyError unless a calculator is attached."""
    if atoms.calc is None:
        raise PropertyError(
            "The structure has no calculator; set atoms.calc = ladera.load(MODEL).calculator(), "
            "or any other ASE calculator."
        )


def require_crystal(atoms: Atoms, what: str) -> None:
    """PropertyError unless the structure is periodic in all three directions, and all free."""
    if not atoms.pbc.all():
        raise PropertyError(
            f"{what} belongs to a crystal, and this structure ({atoms.get_chemical_formula()}) is "
            f"periodic along {atoms.pbc.tolist()}; give a cell that is periodic in all directions. "
            "For a molecule there is `ladera vibrations`."
        )
    require_honoured(atoms, "crystal", PropertyError)


def require_molecule(atoms: Atoms, what: str) -> None:
    """PropertyError when the structure is periodic."""
    if atoms.pbc.any():
        raise PropertyError(
            f"{what} belongs to a molecule, and this structure ({atoms.get_chemical_formula()}) is "
            f"periodic along {atoms.pbc.tolist()}; for a crystal there is `ladera phonons`. Take a "
            "molecule out of its box: atoms.pbc = False, or a file without a cell."
        )


def require_relaxed(atoms: Atoms, *, cell: bool, fmax: float = LARGEST_FORCE) -> None:
    """PropertyError when a force, or with ``cell`` the stress, is too large for a minimum."""
    force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    if not force <= fmax:
        flag = " --cell" if cell else ""
        raise PropertyError(
            f"The structure is not relaxed: a force of {force:.3g} eV/Angstrom is left, at most "
            f"{fmax:g} may be; run `ladera relax MODEL STRUCTURE{flag} --fmax 0.001` first."
        )
    if cell:
        stress = float(np.abs(stress_of(atoms)).max() / GIGAPASCAL)
        if not stress <= LARGEST_STRESS:
            raise PropertyError(
                f"The cell is not relaxed: a stress of {stress:.3g} GPa is left, at most "
                f"{LARGEST_STRESS:g} may be; run `ladera relax MODEL STRUCTURE --cell "
                "--fmax 0.001` first."
            )


def stress_of(atoms: Atoms) -> Floats:
    """Stress (3, 3), eV/Angstrom^3. Raises PropertyError when the calculator has none."""
    from ase.calculators.calculator import PropertyNotImplementedError

    try:
        stress: Floats = atoms.get_stress(voigt=False, apply_constraint=False)
    except (PropertyNotImplementedError, NotImplementedError) as error:
        raise PropertyError(
            f"The calculator {type(atoms.calc).__name__} gives no stress, which this property is "
            "made of; take a model or a calculator that does."
        ) from error
    return stress


def relax_ions(atoms: Atoms, fmax: float, steps: int = 500) -> None:
    """Move the atoms of ``atoms`` to zero force in a fixed cell, in place.

    Raises PropertyError when the forces do not fall below ``fmax`` (eV/Angstrom).
    """
    if np.linalg.norm(atoms.get_forces(), axis=1).max() <= fmax:
        return
    optimizer = LBFGS(atoms, logfile=None)  # type: ignore[arg-type]
    if not optimizer.run(fmax=fmax, steps=steps):
        force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
        raise PropertyError(
            f"The atoms of a strained cell did not come to rest: after {steps} steps a force of "
            f"{force:.3g} eV/Angstrom is left, {fmax:g} was asked for. Is the structure stable?"
        )
