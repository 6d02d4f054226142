"""The exceptions a user of Ladera can meet.

::

    LaderaError            anything Ladera refuses; one sentence with the culprit and the remedy
    |-- ConfigError        a key or value of a configuration
    |-- DataError          a structure, a label or a data file
    |-- ModelFileError     a model file or checkpoint
    |-- TrainingError      a training that had to stop
    |-- SimulationError    a simulation that cannot start or had to stop
    |   +-- StoppedError   one that met the limit it was given, and can go on
    +-- PropertyError      a property that this structure or calculator does not have
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pydantic import ValidationError


class LaderaError(Exception):
    """Base class: catch it to catch everything Ladera raises on purpose."""

    exit_code: ClassVar[int] = 1  # of a command that ends with it


class ConfigError(LaderaError):
    """A configuration key is unknown, missing or has an impossible value."""


class DataError(LaderaError):
    """A structure, label or data file is malformed or unsuitable."""


class ModelFileError(LaderaError):
    """A model file or checkpoint is missing, cut short, foreign or from a newer version."""


class TrainingError(LaderaError):
    """A training had to be stopped."""


class SimulationError(LaderaError):
    """A simulation was given impossible settings or had to be stopped."""


class StoppedError(SimulationError):
    """A simulation met a structure beyond the grade or deviation at which it was told to stop."""

    exit_code = 3


class PropertyError(LaderaError):
    """A property was asked of a structure or calculator that does not have it."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """End of an error sentence: the closest choice, or all of them when none is close."""
    choices = sorted(choices)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"choose one of: {', '.join(choices)}."


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Where a validation by pydantic failed first, such as ``model.cutoff``, and why."""
    problem = error.errors()[0]
    return ".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")
