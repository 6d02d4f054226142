"""What properties are given: structures, models and trajectories as people have them at hand."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from inspect import Parameter
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, TypeAlias, TypeVar

import numpy as np
from ase.calculators.calculator import BaseCalculator
from ase.calculators.singlepoint import SinglePointCalculator

from ladera.arguments import bind
from ladera.errors import ArgumentError, PropertyError, told
from ladera.extrapolation import FAR, judgement
from ladera.loading import ModelLike, as_potential
from ladera.potential import LaderaCalculator, Potential
from ladera.properties.result import Result
from ladera.properties.trajectory import Trajectory, read_trajectory
from ladera.simulation.extrapolation import warn_of_structures
from ladera.simulation.preparation import SimulationWarning
from ladera.simulation.structures import StructureLike, as_atoms

if TYPE_CHECKING:
    from ase import Atoms

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

# What :func:`as_trajectory` takes.
TrajectoryLike: TypeAlias = Trajectory | str | os.PathLike[str]


class OfStructure(Protocol[P, R_co]):
    """A property of a structure: with its own calculator, or of a model that is given with it."""

    def __call__(
        self, structure: StructureLike, model: ModelLike | None = None, /, *a: P.args, **k: P.kwargs
    ) -> R_co:
        """The property; see the function."""
        ...


class OfTwoStructures(Protocol[P, R_co]):
    """A property of two structures, likewise."""

    def __call__(
        self,
        start: StructureLike,
        end: StructureLike,
        model: ModelLike | None = None,
        /,
        *a: P.args,
        **k: P.kwargs,
    ) -> R_co:
        """The property; see the function."""
        ...


def with_calculator(structure: StructureLike, model: ModelLike | None = None) -> Atoms:
    """The structure that is meant, ready to be computed with; with a model a copy.

    Raises PropertyError for a structure without a calculator where no model is given.
    """
    atoms = as_atoms(structure)
    if model is None:
        _require_calculator(atoms)
        return atoms
    copy: Atoms = atoms.copy()
    own = isinstance(model, BaseCalculator) and not isinstance(model, SinglePointCalculator)
    copy.calc = model if own else as_potential(model).calculator()
    return copy


def _require_calculator(atoms: Atoms) -> None:
    if atoms.calc is None or isinstance(atoms.calc, SinglePointCalculator):
        what = "no calculator" if atoms.calc is None else "results, and no calculator for more"
        raise PropertyError(
            f"The structure has {what}; give a model besides, such as "
            'vibrations(structure, "ethanol-mace"), or set atoms.calc = '
            "ladera.load(MODEL).calculator(), or any other ASE calculator."
        )


def as_trajectory(trajectory: TrajectoryLike) -> Trajectory:
    """The trajectory that is meant: itself, or that of a folder of ``ladera md`` or a file.

    Raises as :func:`ladera.properties.trajectory.read_trajectory` does.
    """
    if isinstance(trajectory, Trajectory):
        return trajectory
    if isinstance(trajectory, (str, os.PathLike)):
        return read_trajectory(trajectory)
    raise ArgumentError(
        f"The trajectory is {told(trajectory)}; give the folder of a run, or what "
        "read_trajectory(path, interval=...) or Trajectory(...) makes."
    )


def of_structure(function: Callable[Concatenate[Atoms, P], R]) -> OfStructure[P, R]:
    """A property of a structure, in whatever form, of its calculator or of a model."""
    return _taking(function, "structure", model=True)


def of_two_structures(function: Callable[Concatenate[Atoms, Atoms, P], R]) -> OfTwoStructures[P, R]:
    """A property of two structures, the first of which has the calculator."""
    return _taking(function, "start", "end", model=True)


def of_structure_and_model(
    function: Callable[Concatenate[Atoms, Potential, P], R],
) -> Callable[Concatenate[StructureLike, ModelLike, P], R]:
    """A property of a model at a structure, both in whatever form."""
    return _taking(function, "structure", "model")


def of_model(
    function: Callable[Concatenate[Potential, P], R],
) -> Callable[Concatenate[ModelLike, P], R]:
    """A property of a model, in whatever form."""
    return _taking(function, "model")


def of_trajectory(
    function: Callable[Concatenate[Trajectory, P], R],
) -> Callable[Concatenate[TrajectoryLike, P], R]:
    """A property of a trajectory, which may be named by its path; with the grade of its run."""
    return _taking(function, "trajectory")


def _graded(result: R, structures: Sequence[Atoms]) -> R:
    """The result with the largest grade of the structures, or of those that it is made of.

    Warns from the grade on at which a frame is worth a label: a property is of many structures near
    it.
    """
    calculator = structures[0].calc
    if not isinstance(calculator, LaderaCalculator):
        return result
    met = result.structures_met() if isinstance(result, Result) else []
    found = warn_of_structures(
        calculator.potential, met or structures, "the structure", above=FAR, stacklevel=4
    )
    if not isinstance(result, Result):
        return result
    if not found > FAR and result.largest_grade > FAR:
        warnings.warn(
            "Extrapolation: an atom of a structure that this is made of has a grade of "
            f"{result.largest_grade:.4g}, where 1 is the edge of the training data. "
            f"{judgement(result.largest_grade)}",
            SimulationWarning,
            stacklevel=4,
        )
    return replace(result, largest_grade=float(np.fmax(found, result.largest_grade)))


def _graded_by_run(result: R, given: Sequence[object]) -> R:
    """The result with the largest grade in the run that a trajectory is of; it was warned of."""
    if not isinstance(result, Result) or not isinstance(given[0], Trajectory):
        return result
    found = np.fmax(given[0].largest_grade, result.largest_grade)
    return replace(result, largest_grade=float(found))


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "structure": as_atoms,
    "start": as_atoms,
    "end": as_atoms,
    "model": as_potential,
    "trajectory": as_trajectory,
}


def _taking(function: Callable[..., R], *names: str, model: bool = False) -> Callable[..., R]:
    """The function, whose first arguments come in any form; with ``model`` one may follow them."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> R:
        bind(call, args, kwargs, names)
        given = [_READERS[name](value) for name, value in zip(names, args, strict=False)]
        rest = args[len(names) :]
        if not model:
            return _graded_by_run(function(*given, *rest, **kwargs), given)
        given[0] = with_calculator(given[0], rest[0] if rest else None)
        return _graded(function(*given, *rest[1:], **kwargs), given)

    parameters = list(inspect.signature(function).parameters.values())
    place = Parameter.POSITIONAL_ONLY
    first = [Parameter(name, place) for name in names]
    if model:
        first.append(Parameter("model", place, default=None))
    signature = inspect.signature(function)
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*first, *parameters[len(names) :]]
    )
    return call
