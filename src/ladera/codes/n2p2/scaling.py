"""``scaling.data``: the range, mean and standard deviation of each symmetry function.

::

    element function minimum maximum mean sigma      # both counted from 1

element by element in the order of atomic numbers, functions in n2p2's order. Files of RuNNer and
of old versions of n2p2 have no sigma and end with a row of two numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from ladera.arrays import Floats
from ladera.codes.n2p2 import tables
from ladera.errors import ModelFileError
from ladera.files import write_text_atomic
from ladera.kernels.symmetry_functions.functions import SymmetryFunction
from ladera.models.hdnnp.config import Scaling


class Statistics(NamedTuple):
    """Of the functions of one element, each (n_functions,)."""

    minimum: Floats
    maximum: Floats
    mean: Floats
    deviation: Floats  # NaN where the file has none


# What each mode divides by.
_DIVIDES_BY_RANGE: Final = ("scale", "scale_center")
_COLUMNS: Final = (
    tables.Column(10, "e_index", "Element, by atomic number."),
    tables.Column(10, "sf_index", "Symmetry function of the element."),
    tables.Column(24, "sf_min", "Its minimum over the training set."),
    tables.Column(24, "sf_max", "Its maximum."),
    tables.Column(24, "sf_mean", "Its mean."),
    tables.Column(24, "sf_sigma", "Its standard deviation."),
)


def read(path: Path, functions: Mapping[str, Sequence[SymmetryFunction]]) -> dict[str, Statistics]:
    """The statistics of the functions of each element, elements by atomic number.

    Raises ModelFileError, with the line, for a file that is missing, cut short, or of another set
    of functions: rows too few, too many, or not numbered as these functions are.
    """
    wanted = [
        (e, f) for e, of_element in enumerate(functions.values()) for f in range(len(of_element))
    ]
    rows = tables.read(path)
    if rows and len(rows[-1].words) == 2:  # RuNNer's energy range
        rows.pop()
    if len(rows) != len(wanted):
        each = ", ".join(
            f"{len(of_element)} of {symbol}" for symbol, of_element in functions.items()
        )
        raise ModelFileError(
            f"{path} has {len(rows)} rows, but input.nn has {len(wanted)} symmetry functions "
            f"({each}); it belongs to another set of functions, or is cut short."
        )
    values = []
    for row, (element, function) in zip(rows, wanted, strict=True):
        numbers = row.numbers(5)
        if (numbers[0], numbers[1]) != (element + 1, function + 1):
            raise row.error(
                f"it is of element {numbers[0]:g}, function {numbers[1]:g}, where element "
                f"{element + 1}, function {function + 1} is due; it belongs to another set of "
                "functions."
            )
        sigma = numbers[5] if len(numbers) > 5 else float("nan")
        if numbers[2] > numbers[3]:
            raise row.error(f"its minimum {numbers[2]:g} is above its maximum {numbers[3]:g}.")
        values.append([*numbers[2:5], sigma])
    table = np.array(values)
    ends = np.cumsum([len(of_element) for of_element in functions.values()])[:-1]
    parts = np.split(table, ends)
    return {symbol: Statistics(*part.T) for symbol, part in zip(functions, parts, strict=True)}


def check(
    path: Path,
    mode: Scaling,
    functions: Mapping[str, Sequence[SymmetryFunction]],
    statistics: dict[str, Statistics],
) -> None:
    """Raise ModelFileError for the first function whose scaling divides by zero."""
    for symbol, of_element in statistics.items():
        if mode in _DIVIDES_BY_RANGE:
            divisor, name = of_element.maximum - of_element.minimum, "its minimum is its maximum"
        elif mode == "sigma":
            divisor, name = of_element.deviation, "its sigma is zero"
        else:
            continue
        if np.isnan(divisor).any():
            raise ModelFileError(
                f"{path} has no column sigma, which scale_symmetry_functions_sigma needs; make it "
                "again with nnp-scaling."
            )
        for index in np.flatnonzero(divisor <= 0)[:1]:
            function = functions[symbol][int(index)]
            raise ModelFileError(
                f"{path}: function {index + 1} of {symbol} ({describe(function)}) is constant, "
                f"{name}, so that its scaling divides by zero; remove it and train again."
            )


def write(path: Path, statistics: Sequence[Statistics]) -> None:
    """Write the statistics of each element, elements by atomic number."""
    lines = [tables.header(["Scaling of the symmetry functions."], _COLUMNS)]
    for element, of_element in enumerate(statistics, start=1):
        lines += [
            f"{element:10d} {index:10d} " + " ".join(f"{value:24.16E}" for value in row)
            for index, row in enumerate(np.stack(of_element, axis=1).tolist(), start=1)
        ]
    write_text_atomic(path, "\n".join([lines[0].rstrip("\n"), *lines[1:], ""]))


def describe(function: SymmetryFunction) -> str:
    """A function in a few words: its kind, neighbours and cutoff."""
    partners = " ".join(function.neighbors) or "all elements"
    return f"{function.kind} with {partners}, cutoff {function.cutoff:g} Angstrom"
