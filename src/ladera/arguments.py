"""What a public function may be called with: every mistake in a call is told in one sentence.

    @checked
    def load(path: str | os.PathLike[str], *, head: str | None = None) -> Potential: ...

    load("model.ladera", haed="pbe")  # ArgumentError: load has no argument 'haed'; did you ...

A value is held against the annotation of its argument where that is of Python or NumPy, or a class;
what a function turns into a structure, a model or data (``StructureLike``), it looks at itself.
"""

from __future__ import annotations

import functools
import inspect
import numbers
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from ladera.errors import ArgumentError, did_you_mean, told

P = ParamSpec("P")
R = TypeVar("R")

# What is said of each kind of value.
_WORDS: Final[Mapping[Any, tuple[str, str]]] = {
    float: ("a number", "numbers"),
    int: ("a whole number", "whole numbers"),
    bool: ("True or False", "True or False"),
    str: ("a text", "texts"),
    os.PathLike: ("a path", "paths"),
    Callable: ("a function", "functions"),
    Mapping: ("a dictionary", "dictionaries"),
    dict: ("a dictionary", "dictionaries"),
    np.ndarray: ("an array of numbers", "arrays"),
    type(None): ("None", "None"),
}

_LIKE: Final = re.compile(r"\b(?!PathLike)\w+Like\b")
# What annotations may name that is imported for type checkers alone.
_ALWAYS: Final[dict[str, Any]] = {
    "Any": Any,
    "Callable": Callable,
    "Iterable": Iterable,
    "Mapping": Mapping,
    "Sequence": Sequence,
    "os": os,
}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function, whose wrong arguments raise ArgumentError with a sentence."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bind(function, args, kwargs)
        return function(*args, **kwargs)

    return call


def bind(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    unseen: Collection[str] = (),
) -> inspect.BoundArguments:
    """The arguments of a call by their names, without those that are left out.

    Raises ArgumentError for one too many, too few, or of the wrong kind; at the kind of those that
    are ``unseen`` the function looks itself.
    """
    name = function.__qualname__.removesuffix(".__init__")
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        raise ArgumentError(_misfit(name, signature, args, kwargs)) from None
    kinds = _kinds(function)
    for argument, value in bound.arguments.items():
        kind = kinds.get(argument, Any)
        alone = signature.parameters[argument].kind < 2 or argument in kwargs
        if alone and argument not in unseen:
            require(value, kind, argument, name)
    return bound


def require(value: Any, kind: Any, argument: str, function: str) -> None:
    """Raise ArgumentError unless a value is of the kind that an annotation says."""
    if _fits(value, kind):
        return
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if choices and isinstance(value, str):
        what = did_you_mean(value, map(str, choices))
    else:
        what = f"give {_said(kind)}{_example(value, kind)}."
    raise ArgumentError(f"{argument} of {function} is {told(value)}; {what}")


def _misfit(
    name: str, signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> str:
    """Why a call does not fit a signature."""
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    names = [p.name for p in parameters if p.kind != p.POSITIONAL_ONLY]
    usage = f"call it as {name}{_usage(parameters)}"
    for key in kwargs:
        if key not in names:
            return f"{name} has no argument '{key}'; {did_you_mean(key, names) if names else usage}"
    places = [p for p in parameters if p.kind <= p.POSITIONAL_OR_KEYWORD]
    given = len(args) - (len(signature.parameters) - len(parameters))
    if given > len(places):
        many = "a value" if given == len(places) + 1 else f"{given - len(places)} values"
        return f"{name} was given {many} too many without a name; {usage}."
    missing = [
        p.name
        for place, p in enumerate(parameters)
        if p.default is p.empty and p.kind <= p.KEYWORD_ONLY and p.kind != p.VAR_POSITIONAL
        if p.name not in kwargs and not (p in places and place < given)
    ]
    if missing:
        return f"{name} was not given {' and '.join(missing)}; {usage}."
    return f"{name} was given an argument twice; {usage}."


def _usage(parameters: Sequence[inspect.Parameter]) -> str:
    """What has to be given, and that there is more."""
    words = [p.name for p in parameters if p.default is p.empty and p.kind <= p.KEYWORD_ONLY]
    return f"({', '.join([*words, '...'] if len(words) < len(parameters) else words)})"


@functools.cache
def _kinds(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotations by argument; Any for what is only known to a type checker."""
    function = inspect.unwrap(function)
    scope = _ALWAYS | vars(sys.modules[function.__module__])
    kinds = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        if _LIKE.search(str(annotation)):
            continue
        try:
            kinds[name] = eval(annotation, scope) if isinstance(annotation, str) else annotation
        except (NameError, TypeError, AttributeError):
            kinds[name] = Any
    return kinds


def _origin(kind: Any) -> Any:
    """What an annotation is of; an array, too, is a name of its own from NumPy 2.5 on."""
    origin = get_origin(kind) or kind
    return np.ndarray if origin is NDArray else origin


def _fits(value: Any, kind: Any) -> bool:
    origin, parts = _origin(kind), get_args(kind)
    if origin is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return any(value is part or value == part for part in parts)
    if origin in (float, int):
        wanted = numbers.Real if origin is float else numbers.Integral
        return isinstance(value, wanted) and not isinstance(value, bool | np.bool_)
    if origin is bool:
        return isinstance(value, bool | np.bool_)
    if origin is np.ndarray:
        return _is_array(value)
    if origin in (Sequence, Iterable, list, tuple):
        if not isinstance(value, Sequence | np.ndarray | Iterable) or isinstance(
            value, str | bytes
        ):
            return False
        held = value if isinstance(value, Sequence | np.ndarray) and parts else ()
        return all(_fits(each, parts[0]) for each in held)
    if origin is typing.Callable or origin is Callable:
        return callable(value)
    return isinstance(value, origin) if isinstance(origin, type) else True


def _is_array(value: Any) -> bool:
    if isinstance(value, str | bytes) or value is None:
        return False
    try:
        return np.asarray(value).dtype.kind in "biuf"
    except (TypeError, ValueError, RuntimeError):
        return False


def _said(kind: Any, many: bool = False) -> str:
    """Words for a kind."""
    origin, parts = _origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        words = list(dict.fromkeys(_said(part, many) for part in parts))
        if "a text" in words and "a path" in words:
            words.remove("a text")
        return " or ".join(words)
    if origin is Literal:
        return f"one of {', '.join(map(repr, parts))}"
    if origin in (Sequence, Iterable, list, tuple):
        held = _said(parts[0], many=True) if parts else "values"
        return f"sequences of {held}" if many else f"a sequence of {held}"
    if origin in _WORDS:
        return _WORDS[origin][many]
    name = getattr(origin, "__name__", str(origin))
    article = "an" if name[0] in "AEIOU" or name[:2].isupper() else "a"  # an MDSettings
    return f"{name} objects" if many else f"{article} {name}"


def _example(value: Any, kind: Any) -> str:
    """The number alone, of a text that begins with one."""
    union = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else ()
    if not isinstance(value, str) or float not in (kind, *union):
        return ""
    digits = value.strip().rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ /^°µ")
    try:
        return f", such as {float(digits):g} without quotation marks"
    except ValueError:
        return ""
