"""The files that a command reads are looked at before it runs: what is wrong costs no import.

Annotations say what a parameter names: :data:`MODEL`, :data:`STRUCTURE` and so on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, get_type_hints

from cyclopts import Parameter

from ladera.cli.misuse import UsageError, example_in


class Role(NamedTuple):
    """What the paths of a parameter are; ``last`` of them are structures, and models the others.

    With ``or_one`` the last of several is a structure unless it is a model.
    """

    name: str
    last: int = 0
    or_one: bool = False

    def structures_of(self, paths: Sequence[Path]) -> int:
        """How many of the last paths are structures."""
        if not self.or_one or len(paths) < 2:
            return self.last
        from ladera.inputs import is_model

        return 0 if is_model(paths[-1]) else 1


MODEL: Final = Role("model")
STRUCTURE: Final = Role("structure")
DATA: Final = Role("data")
TRAJECTORY: Final = Role("trajectory")
CONFIG: Final = Role("config")
MODEL_AND_STRUCTURE: Final = Role("model", 1)
MODEL_AND_ENDS: Final = Role("model", 2)
MODEL_AND_MAYBE_STRUCTURE: Final = Role("model", or_one=True)
ENGINE: Final = "engine"  # a flag that stands in the place of a model
Types = Annotated[
    list[str] | None,
    Parameter(
        help="Elements of a LAMMPS dump's types 1, 2, 3..., or a .cfg's 0, 1, 2...",
        consume_multiple=1,
    ),
]
ExecutorOption = Annotated[
    str | None,
    Parameter(
        help="Have jobs of a queue do it: slurm, pbs, a YAML file with settings, or a "
        "configuration of Parsl (.py)."
    ),
]
_NEEDS: Final = {1: "MODEL and STRUCTURE", 2: "MODEL, START and END"}


def inputs_first(command: Callable[..., int], group: str = "") -> Callable[..., int]:
    """The same command, which looks at its files before it does anything else."""

    @wraps(command)
    def run(*words: Any, **flags: Any) -> int:
        bound = inspect.signature(command).bind(*words, **flags)
        own = command.__name__.rstrip("_").replace("_", "-")
        name = " ".join(filter(None, ("ladera", group, own)))
        _look(command, name, bound.arguments)
        _require_some(command, name, bound)
        return command(*words, **flags)

    return run


def _require_some(command: Callable[..., int], name: str, bound: inspect.BoundArguments) -> None:
    """UsageError where a command is given none, or too few, of what it takes any number of."""
    hints = get_type_hints(command, include_extras=True)
    for parameter in bound.signature.parameters.values():
        role, given = _role(hints[parameter.name]), bound.arguments.get(parameter.name, ())
        if parameter.kind is not parameter.VAR_POSITIONAL or role in (None, TRAJECTORY):
            continue
        # A flag that names an engine stands in the place of a model, but not where both are asked.
        engine = ENGINE in bound.arguments and not role.or_one
        needed = role.last + (not engine)
        few = bool(role.last and given and given[0].suffix != ".in" and len(given) < needed)
        if given and not few:
            continue
        needs = _NEEDS.get(role.last, parameter.name.upper())
        needs = "MODEL" if role.or_one else needs
        needs = needs.removeprefix("MODEL and ") if engine else needs
        have = f", and was given {' and '.join(map(str, given))}" if given else ""
        how = "name them in this order" if role.last else "name one or more"
        how = "name it" if role.or_one else how
        known = "model.ladera ethanol.xyz --temperature 300 --time 20"  # of md, without a text
        example = example_in(command.__doc__ or "") or f"{name} {known}"
        raise UsageError(f"{name} needs {needs}{have}; {how}, as in `{example}`.")


def _role(hint: Any) -> Role | None:
    """What an annotation says of the paths of its parameter."""
    found = (each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Role))
    return next(found, None)


def _look(command: Callable[..., int], name: str, values: dict[str, Any]) -> None:
    from ladera import inputs
    from ladera.files import require_place

    found: dict[str, list[Path]] = {
        "model": [],
        "structure": [],
        "data": [],
        "config": [],
        "trajectory": [],
    }
    in_order = True
    for role, paths, flag in _paths(command, values):
        in_order = in_order and not flag
        first = len(paths) - role.structures_of(paths)
        if role.last and (first < (ENGINE not in values) or paths[0].suffix == ".in"):
            continue  # a control.in names its files itself
        found[role.name] += paths[:first]
        found["structure"] += paths[first:]
    what = "data" if found["data"] else "structure"
    structures = found["structure"] + found["data"]
    inputs.require(found["model"], structures, name, what, in_order)
    for path in found["trajectory"]:
        inputs.require_trajectory(path)
    for path in found["config"]:
        inputs.require_config(path)
    if isinstance(output := values.get("output"), Path) and not output.is_file():
        require_place(output)


def _paths(owner: Any, values: dict[str, Any]) -> Iterator[tuple[Role, list[Path], bool]]:
    """The paths given for parameters with a role, also in groups of flags; whether by a flag."""
    parameters = {} if isinstance(owner, type) else inspect.signature(owner).parameters
    for name, hint in get_type_hints(owner, include_extras=True).items():
        value = values.get(name)
        if is_dataclass(value):
            yield from _paths(type(value), vars(value))
        role = _role(hint)
        if role is not None and value is not None:
            given = [value] if isinstance(value, str | Path) else value
            flag = name not in parameters or parameters[name].kind == inspect.Parameter.KEYWORD_ONLY
            yield role, [Path(path) for path in given], flag
