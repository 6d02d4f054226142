"""Lines ``symfunction_short`` of an ``input.nn``, read and written.

==============================  ======================================
type                            what follows it and the central element
==============================  ======================================
2                               e1 eta rs rc
3, 9                            e1 e2 eta lambda zeta rc [rs]
12                              eta rs rc
13                              eta rs lambda zeta rc
20                              e1 rl rc shape
21, 22                          e1 e2 rl rc left right shape
23                              rl rc shape
24, 25                          rl rc left right shape
==============================  ======================================

Every type is one line of :data:`_TYPES`: the fields of the function in the order of the file.
"""

from __future__ import annotations

from functools import partial
from operator import mul
from typing import Any, Final

from pydantic import ValidationError

from ladera.codes.n2p2.settings import Line, Settings
from ladera.codes.n2p2.units import shortest
from ladera.errors import first_problem
from ladera.kernels.symmetry_functions.functions import (
    SHAPES,
    GaussianFunction,
    PolynomialFunction,
    Shape,
    SymmetryFunction,
)
from ladera.units import UnitSystem

_ANGULAR: Final = "e1 e2 eta lambda zeta cutoff [shift]"
_POLYNOMIAL: Final = "inner cutoff angle_left angle_right shape"
_TYPES: Final = {
    2: "e1 eta shift cutoff",
    3: _ANGULAR,
    9: _ANGULAR,
    12: "eta shift cutoff",
    13: "eta shift lambda zeta cutoff",
    20: "e1 inner cutoff shape",
    21: f"e1 e2 {_POLYNOMIAL}",
    22: f"e1 e2 {_POLYNOMIAL}",
    23: "inner cutoff shape",
    24: _POLYNOMIAL,
    25: _POLYNOMIAL,
}
_KINDS: Final = {
    number: (family, kind)
    for family in (GaussianFunction, PolynomialFunction)
    for kind, number in family.NUMBERS.items()
}
_SHAPES: Final[dict[str, Shape]] = dict(
    zip(("e", "p1", "p1a", "p2", "p2a", "p3", "p3a", "p4", "p4a"), SHAPES, strict=True)
)
_SHAPE_WORDS: Final = {shape: word for word, shape in _SHAPES.items()}


def read(settings: Settings, units: UnitSystem) -> dict[str, list[SymmetryFunction]]:
    """The functions of each element, in n2p2's order (that of networks and scaling.data).

    Raises ConfigError, with the line, for a type there is not, for a wrong number of arguments and
    for an impossible function, and when an element has none.
    """
    elements = settings.elements
    by_element: dict[str, list[SymmetryFunction]] = {symbol: [] for symbol in elements}
    for line in settings.lines("symfunction_short"):
        by_element[settings.element(line)].append(_function(settings, line, units))
    for symbol, functions in by_element.items():
        if not functions:
            raise settings.error(
                f"{symbol} has no symmetry functions; add 'symfunction_short {symbol} ...' lines."
            )
        functions.sort(key=lambda function: function.sort_key)
    return by_element


def write(function: SymmetryFunction, units: UnitSystem) -> str:
    """The line of a function."""
    words = ["symfunction_short", f"{function.center:2s}", f"{function.number:2d}"]
    for name in _TYPES[function.number].split():
        if name in ("e1", "e2"):
            words.append(f"{function.neighbors[int(name[1]) - 1]:2s}")
        elif isinstance(function, PolynomialFunction) and name == "shape":
            words.append(_SHAPE_WORDS[function.shape])
        else:
            field = name.strip("[]")
            value = getattr(function, "lambda_" if field == "lambda" else field)
            if name.startswith("[") and value == 0:
                continue
            unit = _unit(field, units)
            words.append(shortest(value / unit, value, partial(mul, unit)))
    return " ".join(words)


def _function(settings: Settings, line: Line, units: UnitSystem) -> SymmetryFunction:
    number = settings.whole_number(line, line.words[1]) if len(line.words) > 1 else 0
    if number not in _TYPES:
        known = ", ".join(map(str, _TYPES))
        raise settings.error(
            f"there is no symmetry function type {number}; n2p2 has {known}.", line
        )
    names = _TYPES[number].replace("[", "").replace("]", "").split()
    required = len([name for name in _TYPES[number].split() if not name.startswith("[")])
    words = line.words[2:]
    if not required <= len(words) <= len(names):
        raise settings.error(
            f"type {number} takes '{_TYPES[number]}' after the type, {required} words; found "
            f"{len(words)}: '{' '.join(words)}'.",
            line,
        )
    values: dict[str, Any] = {"neighbors": []}
    for position, (name, word) in enumerate(zip(names, words, strict=False), start=2):
        if name in ("e1", "e2"):
            values["neighbors"].append(settings.element(line, position))
        elif name == "shape":
            if word not in _SHAPES:
                raise settings.error(
                    f"there is no shape '{word}'; choose one of {', '.join(_SHAPES)}.", line
                )
            values["shape"] = _SHAPES[word]
        else:
            values[name] = settings.number(line, word) * _unit(name, units)
    family, kind = _KINDS[number]
    try:
        return family(kind=kind, center=settings.element(line), **values)
    except ValidationError as error:
        where, message = first_problem(error)
        reason = f"{where.partition('.')[0]}: {message}" if where else message
        raise settings.error(f"impossible symmetry function ({reason}).", line) from error


def _unit(name: str, units: UnitSystem) -> float:
    """The unit of a number of the file, in Ladera's units."""
    if name == "eta":
        return units.length**-2
    return units.length if name in ("shift", "cutoff", "inner") else 1.0
