"""Properties that write down how they were made: one record, drawn from what a function was given.

    @recorded
    def equation_of_state(atoms, /, *, strain=0.05): ...

The result has ``provenance``: the record of :mod:`ladera.provenance` with every setting (defaults
included), and model, structure, data and other results by their hashes and files.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np
from ase import Atoms

from ladera import arguments, provenance
from ladera.identity import describe_model, describe_structure
from ladera.potential import LaderaCalculator, Potential
from ladera.properties.experiment import MeasuredSpectrum
from ladera.properties.marks import Marks
from ladera.properties.result import Result
from ladera.properties.trajectory import Trajectory

P = ParamSpec("P")
R = TypeVar("R", bound=Result)

log = logging.getLogger(__name__)

_LONGEST: Final = 100  # numbers of an array that counts as a setting


def recorded(function: Callable[P, R]) -> Callable[P, R]:
    """The function, whose results say how they were made.

    Raises ArgumentError for a call that it does not understand.
    """

    @functools.wraps(function)
    def record(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = arguments.bind(function, args, kwargs)
        bound.apply_defaults()
        # Before the work: what it was given may be changed by then.
        described = _describe(bound.arguments) | provenance.how()
        began = time.perf_counter()
        result = replace(function(*args, **kwargs), provenance=described)
        log.debug("%s took %.2f s.", result.title, time.perf_counter() - began)
        return result

    return record


def _describe(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, model, structure, data and results among the arguments of a property."""
    record: dict[str, Any] = {"settings": {}}
    for name, value in arguments.items():
        parts = list(value) if isinstance(value, (list, tuple)) else [value]
        match parts:
            case [Atoms(), *_] if len(parts) > 1:
                record["data"] = {"frames": len(parts)} | _data(parts[-1])
            case [Atoms()]:
                record["structure" if "structure" not in record else name] = describe_structure(
                    parts[0]
                )
                record |= _model(parts[0])
            case [Trajectory(), *_]:
                record.setdefault("data", {"trajectories": []})
                record["data"]["trajectories"] += [_trajectory(part) for part in parts]
            case [Potential()]:
                record["model" if "model" not in record else name] = describe_model(parts[0])
            case [Result(), *_]:
                record["results"] = [dict(part.provenance) for part in parts]
            case [MeasuredSpectrum() | Marks()]:
                record[name] = {"files": provenance.files_of(parts[0].hash)}
            case _ if not callable(value):
                record["settings"][name] = _setting(value)
    return record


def _model(atoms: Atoms) -> dict[str, Any]:
    """The model of a structure's calculator, or the name of a foreign calculator."""
    match atoms.calc:
        case LaderaCalculator():
            return {"model": describe_model(atoms.calc.potential)}
        case None:
            return {}
    return {"model": {"calculator": type(atoms.calc).__name__}}


def _data(last: Atoms) -> dict[str, Any]:
    sha256 = describe_structure(last)["sha256"]
    return {"last_frame": sha256, "files": provenance.files_of(sha256)}


def _trajectory(trajectory: Trajectory) -> dict[str, Any]:
    return {
        "frames": trajectory.n_frames,
        "atoms": len(trajectory.numbers),
        "interval": trajectory.interval,
        "last_frame": trajectory.hash,
        "files": provenance.files_of(trajectory.hash),
    }


def _setting(value: Any) -> Any:
    """A value as JSON has it."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case os.PathLike():
            return next(iter(provenance.files(os.fspath(value))), os.fspath(value))
        case np.generic():
            return value.item()
        case np.ndarray():
            return value.tolist() if value.size <= _LONGEST else f"array of shape {value.shape}"
        case Mapping():
            return {str(key): _setting(item) for key, item in value.items()}
        case list() | tuple() | range():
            return [_setting(item) for item in value]
    return repr(value)
