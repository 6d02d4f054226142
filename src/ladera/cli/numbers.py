"""Numbers of a command line: whole ones are not rounded, others may be followed by their unit.

A ValueError says what is wrong with a value; the flag comes before it (:mod:`ladera.cli.misuse`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args, get_origin

from cyclopts import Parameter, Token

from ladera import measures


def whole(kind: Any, tokens: Sequence[Token]) -> Any:
    """Convert tokens to ``kind``, made of int; ValueError where one is no whole number."""
    return _as_kind(kind, [_whole(token.value) for token in tokens])


def _whole(word: str) -> int:
    try:
        return int(word)  # of any length
    except ValueError:
        found = re.fullmatch(r"([-+]?\d+)(?:\.0*)?", word)  # 10. and 10.0 are whole as well
    if found is None:
        what = measures.quantity_of(word)
        raise ValueError(f"is '{word}'{what and f', {what}'}; expected a whole number.")
    return int(found[1])


def _as_kind(kind: Any, values: list[Any]) -> Any:
    """One value, a tuple or a list of them, as a parameter is."""
    kinds = [each for each in (get_args(kind) or (kind,)) if each is not type(None)]
    container = get_origin(kind if get_origin(kind) in (list, tuple) else kinds[0])
    return container(values) if container in (list, tuple) else values[0]


def in_unit(unit: str) -> Parameter:
    """For the annotation of a flag of float: its unit, in which numbers without one are.

    Those with another unit of the same dimension are converted.
    """

    def converted(kind: Any, tokens: Sequence[Token]) -> Any:
        return _as_kind(kind, [measures.number(token.value, unit) for token in tokens])

    return Parameter(converter=converted)


KELVIN = in_unit("K")
FEMTOSECONDS = in_unit("fs")
PICOSECONDS = in_unit("ps")
SECONDS = in_unit("s")
ANGSTROM = in_unit("Angstrom")
FORCE = in_unit("eV/Angstrom")
STRESS = in_unit("eV/Angstrom^3")
PRESSURE = in_unit("GPa")
WAVENUMBER = in_unit("cm^-1")
WAVELENGTH = in_unit("nm")
PLAIN = in_unit("")  # a share may be in per cent
