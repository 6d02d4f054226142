"""The exceptions a user of Ladera can meet.

::

    LaderaError            anything Ladera refuses; one sentence with the culprit and the remedy
    |-- ConfigError        a key or value of a configuration
    |   +-- MissingPackageError   a package that something needs; also an ImportError
    |-- DataError          a structure, a label or a data file
    |-- ModelFileError     a model file or checkpoint
    |-- TrainingError      a training that had to stop
    |-- LabellingError     a calculation of labels that failed, or too many of them
    |-- SimulationError    a simulation that cannot start or had to stop
    |   +-- StoppedError   one that met the limit it was given, and can go on
    |-- PropertyError      a property that this structure or calculator does not have
    |-- TooLargeError      what does not fit into memory; also a MemoryError
    +-- ArgumentError      a function was called with what it does not take; also a TypeError
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from pydantic import ValidationError


class LaderaError(Exception):
    """Base class: catch it to catch everything Ladera raises on purpose."""

    exit_code: ClassVar[int] = 1  # of a command that ends with it
    argument: str | None = None  # whose value is wrong; then the sentence begins with it

    @classmethod
    def of(cls, argument: str, value: object, expected: str) -> Self:
        """The error of an argument with an impossible value, by its name in Python.

        The command line says the flag in its place.
        """
        error = cls(f"{argument} is {value}; {expected}.")
        error.argument = argument
        return error


class ConfigError(LaderaError):
    """A configuration key is unknown, missing or has an impossible value."""


class MissingPackageError(ConfigError, ImportError):
    """A package that is needed is not installed, or is too old. Also Python's ImportError."""


class DataError(LaderaError):
    """A structure, label or data file is malformed or unsuitable."""


class ModelFileError(LaderaError):
    """A model file or checkpoint is missing, cut short, foreign or from a newer version."""


class TrainingError(LaderaError):
    """A training had to be stopped."""


class LabellingError(LaderaError):
    """An engine could not label a frame, or so many that the labelling had to stop."""


class TooManyFailedError(LabellingError):
    """So many frames failed that a labelling stopped: ``found`` says which, without what to do."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found} {remedy}")
        self.found = found


class SimulationError(LaderaError):
    """A simulation was given impossible settings or had to be stopped."""


class StoppedError(SimulationError):
    """A simulation met a structure beyond the grade or deviation at which it was told to stop."""

    exit_code = 3


class PropertyError(LaderaError):
    """A property was asked of a structure or calculator that does not have it."""


class TooLargeError(LaderaError, MemoryError):
    """Something needs more memory than the machine has. Also Python's MemoryError."""


class ArgumentError(LaderaError, TypeError):
    """A function was called with an argument that it does not have, or of a kind it does not take.

    Also Python's TypeError, which it is.
    """


def told(value: object) -> str:
    """What a value is, in a few words for a sentence: a number or a text itself, else its kind."""
    if isinstance(words := getattr(value, "in_words", None), str):  # what stands for a value
        return words
    shape = getattr(value, "shape", None)
    if value is None or isinstance(value, bool | int | float | str) or shape == ():
        text = f"'{value}'" if isinstance(value, str) else str(value)
        return text if len(text) <= 60 else f"{text[:56]}...'"
    if isinstance(value, os.PathLike):
        return f"the path {os.fspath(value)!s}"
    if shape is not None:
        return f"an array of shape {tuple(shape)}"
    if isinstance(value, list | tuple):
        held = f" of {len(value)}, the first {told(value[0])}" if value else " without entries"
        return f"a {type(value).__name__}{held}"
    if isinstance(value, bytes):
        return "bytes"
    kind = value.__name__ if isinstance(value, type) else type(value).__name__
    what = "the class" if isinstance(value, type) else "an" if kind[0] in "aeiouAEIOU" else "a"
    return f"{what} {kind}"


_MOST_CHOICES = 25  # in a sentence


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """End of an error sentence: the closest choice, or all of them when none is close.

    Choices of which the word is the first part, such as nvt of nvt-bussi, are closer than others.
    """
    choices, begin = sorted(choices), word.lower()
    close = [each for each in choices if begin and each.startswith((f"{begin}-", f"{begin}_"))]
    close = close or [each for each in choices if word and _initials(each) == word.lower()]
    close = close or difflib.get_close_matches(word.lower(), choices, n=1, cutoff=0.6)
    close = close or difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    close = close or [each for each in choices if len(word) > 1 and each.startswith(begin)]
    if close and all(each.startswith(close[0]) for each in close):  # the others are longer forms
        return f"did you mean '{close[0]}'?"
    choices = close or choices
    if len(choices) > _MOST_CHOICES:
        return f"choose one of {len(choices)}, such as {', '.join(choices[:: len(choices) // 8])}."
    return f"choose one of: {', '.join(choices)}."


def _initials(name: str) -> str:
    """What people call learning_rate."""
    return "".join(part[:1] for part in name.split("_")) if "_" in name else ""


def reason_of(error: Exception) -> str:
    """What another library says of a file, where people understand it: ": " and its first line."""
    said = (str(error).splitlines() or [""])[0].rstrip(".")
    said = re.sub(r"^[\w.]*\b(?:ase|Error)\b[\w.]*: *", "", said)
    foreign = (
        r"Can't read from|Error|Errno|ase\b|[<>_()\[\]]|\w\.\w+\.|invalid literal|object|"
        r"^\W*\w*\W*$|index"
    )
    return "" if re.search(foreign, said) else f": {said}"


def needs_package(path: object, error: ModuleNotFoundError) -> DataError:
    """The error of a file whose reader wants a package that is not installed."""
    return DataError(
        f"{path} can only be read with the package '{error.name}'; install it, or convert the file "
        "where it is installed."
    )


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Where a validation by pydantic failed first, such as ``model.cutoff``, and why."""
    problem = error.errors()[0]
    said, value = problem["msg"].removeprefix("Value error, "), problem["input"]
    if said.startswith("Input should "):
        said = f"it is {told(value)} and should {said[13:]}"
    return ".".join(map(str, problem["loc"])), said.replace("a valid ", "a ")
