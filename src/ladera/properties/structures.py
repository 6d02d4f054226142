"""What the properties ask of the structure they are given, and small steps they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

import numpy as np
import torch
from ase.optimize import LBFGS

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.graph import Graph
from ladera.potential import LaderaCalculator, Potential
from ladera.progress import track
from ladera.properties.given import OfStructure, of_structure
from ladera.properties.memory import alike
from ladera.properties.result import Result
from ladera.simulation.held import require_honoured
from ladera.simulation.rest import Rest, descend, largest_force, largest_stress
from ladera.structure import directions
from ladera.units import GIGAPASCAL

if TYPE_CHECKING:
    from ase import Atoms

P = ParamSpec("P")
R = TypeVar("R", bound=Result)

LARGEST_FORCE = 0.02  # eV/Angstrom, of a structure that counts as relaxed
LARGEST_STRESS = 0.3  # GPa
_SHARE = 0.05  # of the forces that a change of the cell brings, left after relaxing
_LEAST_FORCE = 1e-5  # eV/Angstrom, what rounding may leave


def with_spread(
    at_rest: Literal["nothing", "atoms", "cell"],
) -> Callable[[Callable[Concatenate[Atoms, P], R]], OfStructure[P, R]]:
    """A property of a structure that, with a committee, carries its members' standard deviations.

    The structure may be ASE's Atoms, a Frame, a path or a name, and a model may follow it; without
    one it is the structure's own calculator that is asked.

    The property is computed with the committee's mean and with each member by itself. A member's
    minimum is not the committee's: for a property of the minimum its ``atoms``, or these and the
    ``cell``, come to rest first.
    """

    def decorated(compute: Callable[Concatenate[Atoms, P], R]) -> OfStructure[P, R]:
        @wraps(compute)
        def computed(atoms: Atoms, /, *args: P.args, **kwargs: P.kwargs) -> R:
            result = compute(atoms, *args, **kwargs)
            potential = getattr(atoms.calc, "potential", None)
            if not (isinstance(potential, Potential) and potential.members):
                return result
            alone = []
            for member in track(potential.members, "members"):
                copy = atoms.copy()
                copy.calc = alike(atoms.calc, member)
                if at_rest != "nothing":
                    _settle(copy, cell=at_rest == "cell")
                alone.append(result.in_this_order(compute(copy, *args, **kwargs)))
            return replace(result, spread=deviations(alone))

        return of_structure(computed)

    return decorated


def _settle(atoms: Atoms, *, cell: bool) -> None:
    """Move the atoms, or atoms and ``cell``, to the minimum that is near, in place."""
    for _ in descend(atoms, Rest.of(1e-4, 3e-4 if cell else None, cell=cell), steps=300):
        pass
    # Soft bonds are far from rest at larger forces; single precision may not come so far.
    limit = Rest.of(1e-3, None, cell=cell)
    if not limit.reached(atoms):
        left = limit.left(largest_force(atoms), largest_stress(atoms) if cell else None)
        raise PropertyError(
            "A member of the committee finds no minimum near that of the mean: after 300 steps "
            f"{left} is left. Is the structure like the training data? Look at the members one by "
            "one."
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


def require_crystal(atoms: Atoms, what: str) -> None:
    """PropertyError unless the structure is periodic in all three directions, and all free."""
    if not atoms.pbc.all():
        raise PropertyError(
            f"{what} belongs to a crystal, and this structure ({atoms.get_chemical_formula()}) is "
            f"periodic {directions(atoms.pbc)}; "
            + (
                'make it periodic along all of them (in extended XYZ pbc="T T T"), a film or a '
                "wire with more vacuum than the model's cutoff along the open ones."
                if atoms.pbc.any()
                else "give a cell that is periodic in all directions. For a molecule there is "
                "`ladera vibrations`."
            )
        )
    require_honoured(atoms, "crystal", PropertyError)


def require_molecule(atoms: Atoms, what: str) -> None:
    """PropertyError when the structure is periodic."""
    if atoms.pbc.any():
        raise PropertyError(
            f"{what} belongs to a molecule, and this structure ({atoms.get_chemical_formula()}) is "
            f"periodic {directions(atoms.pbc)}; for a crystal there is `ladera phonons`. Take a "
            "molecule out of its box: atoms.pbc = False, or a file without a cell. Of an adsorbate "
            "or another part of a crystal `ladera vibrations` has the modes when the rest is held."
        )


def require_relaxed(atoms: Atoms, *, cell: bool, fmax: float = LARGEST_FORCE) -> None:
    """PropertyError when a force, or with ``cell`` the stress, is too large for a minimum."""
    force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    if not force <= fmax:
        flag = " --cell" if cell else ""
        raise PropertyError(
            f"The structure is not relaxed: a force of {force:.3g} eV/Angstrom is left, at most "
            f"{fmax:g} may be; run `ladera relax MODEL STRUCTURE{flag} --fmax 0.001` first (relax "
            "in Python)."
        )
    if cell:
        stress = float(np.abs(stress_of(atoms)).max() / GIGAPASCAL)
        if not stress <= LARGEST_STRESS:
            raise PropertyError(
                f"The cell is not relaxed: a stress of {stress:.3g} GPa is left, at most "
                f"{LARGEST_STRESS:g} may be; run `ladera relax MODEL STRUCTURE --cell "
                "--fmax 0.001` first (relax in Python)."
            )


def require_strain(strain: float) -> None:
    """PropertyError unless a largest relative change of the volume makes sense."""
    if not 0 < strain < 0.5:
        what = "it is the largest relative change of the volume, between 0 and 0.5, such as 0.05"
        raise PropertyError.of("strain", f"{strain:g}", what)


def require_fmax(fmax: float) -> None:
    """PropertyError unless a largest force (eV/Angstrom) can be what is left."""
    if not 0 < fmax < np.inf:
        what = "it must be finite and above zero, such as 0.001"
        raise PropertyError.of("fmax", f"{fmax:g} eV/Angstrom", what)


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


def scaled_crystals(atoms: Atoms, factors: Floats, fmax: float) -> list[Atoms]:
    """Copies with ``factors`` times the volume and the same shape, their atoms at rest.

    The largest force left is ``fmax`` (eV/Angstrom), and a twentieth of what the scaling brings at
    most: atoms that a soft crystal would hardly move would make it look harder than it is. Raises
    as :func:`relax_ions` does.
    """
    copies = [atoms.copy() for _ in factors]
    for copy, factor in zip(copies, factors, strict=True):
        copy.set_cell(atoms.cell.array * np.cbrt(factor), scale_atoms=True)
        copy.calc = atoms.calc
    brought = max(np.linalg.norm(end.get_forces(), axis=1).max() for end in (copies[0], copies[-1]))
    for copy in track(copies, "volumes at rest"):
        relax_ions(copy, max(min(fmax, _SHARE * brought), min(fmax, _LEAST_FORCE)))
    return copies


def relax_ions(
    atoms: Atoms, fmax: float, steps: int = 500, *, what: str = "of a strained cell"
) -> None:
    """Move the atoms of ``atoms`` to zero force in a fixed cell, in place; errors say ``what``.

    Raises PropertyError when the forces do not fall below ``fmax`` (eV/Angstrom), which must be
    above zero.
    """
    require_fmax(fmax)
    if np.linalg.norm(atoms.get_forces(), axis=1).max() <= fmax:
        return
    optimizer = LBFGS(atoms, logfile=None)  # type: ignore[arg-type]
    if not optimizer.run(fmax=fmax, steps=steps):
        force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
        raise PropertyError(
            f"The atoms {what} did not come to rest: after {steps} steps a force of "
            f"{force:.3g} eV/Angstrom is left, {fmax:.2g} may be. Is the structure stable, and the "
            "model in double precision?"
        )


def largest_grade(*structures: Atoms) -> float:
    """The largest grade of an atom by the structures' model; NaN where it has none."""
    calculator = structures[0].calc
    if not isinstance(calculator, LaderaCalculator):
        return np.nan
    potential, found = calculator.potential, []
    for atoms in structures:  # no forces are needed
        with torch.no_grad():
            grades = potential.grade(Graph.from_atoms(atoms, potential.cutoff))
        found.append(np.nan if grades is None else float(grades.max()))
    return max(found)
