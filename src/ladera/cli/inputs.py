"""The files that a command reads are looked at before it runs: what is wrong costs no import.

Annotations say what a parameter names: :data:`MODEL`, :data:`STRUCTURE` and so on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final, NamedTuple, get_type_hints


class Role(NamedTuple):
    """What the paths of a parameter are; ``last`` of them are structures, and models the others."""

    name: str
    last: int = 0


MODEL: Final = Role("model")
STRUCTURE: Final = Role("structure")
DATA: Final = Role("data")
TRAJECTORY: Final = Role("trajectory")
CONFIG: Final = Role("config")
MODEL_AND_STRUCTURE: Final = Role("model", 1)
MODEL_AND_ENDS: Final = Role("model", 2)


def inputs_first(command: Callable[..., int], group: str = "") -> Callable[..., int]:
    """The same command, which looks at its files before it does anything else."""

    @wraps(command)
    def run(*words: Any, **flags: Any) -> int:
        bound = inspect.signature(command).bind(*words, **flags)
        name = " ".join(filter(None, ("ladera", group, command.__name__.rstrip("_"))))
        _look(command, name, bound.arguments)
        return command(*words, **flags)

    return run


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
    for role, paths in _paths(command, values):
        first = len(paths) - role.last
        if role.last and (first < 1 or paths[0].suffix == ".in"):
            continue  # a control.in names its files itself
        found[role.name] += paths[:first]
        found["structure"] += paths[first:]
    what = "data" if found["data"] else "structure"
    inputs.require(found["model"], found["structure"] + found["data"], name, what)
    for path in found["trajectory"]:
        inputs.require_trajectory(path)
    for path in found["config"]:
        inputs.require_config(path)
    if isinstance(output := values.get("output"), Path) and not output.is_file():
        require_place(output)


def _paths(owner: Any, values: dict[str, Any]) -> Iterator[tuple[Role, list[Path]]]:
    """The paths given for parameters with a role, also in groups of flags."""
    for name, hint in get_type_hints(owner, include_extras=True).items():
        value = values.get(name)
        if is_dataclass(value):
            yield from _paths(type(value), vars(value))
        roles = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Role)]
        if roles and value is not None:
            given = [value] if isinstance(value, str | Path) else value
            yield roles[0], [Path(path) for path in given]
