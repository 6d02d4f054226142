"""Numbers with their units as people write them: ``300K``, ``10 ps``, ``0.01 eV/A``, ``5 %``.

Light, for the command line. Factors are those of ``ase.units`` (CODATA 2014); a test compares them.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Unit(NamedTuple):
    """A unit: its size in eV, Angstrom, fs, K and e, and its power of each of these."""

    size: float
    energy: int = 0
    length: int = 0
    time: int = 0
    temperature: int = 0
    charge: int = 0

    @property
    def dimension(self) -> tuple[int, ...]:
        """The powers alone."""
        return self[1:]

    def times(self, other: Unit, power: int) -> Unit:
        """The product with a power of another one."""
        powers = (a + power * b for a, b in zip(self.dimension, other.dimension, strict=True))
        return Unit(self.size * other.size**power, *powers)


_BOHR: Final = 0.5291772105638411
_PASCAL: Final = 6.241509125883258e-12  # eV/Angstrom^3
_HARTREE: Final = 27.211386024367243
_MOLE: Final = 6.022140857e23
_JOULE: Final = 6.241509125883258e18  # eV
_UNITS: Final[dict[str, Unit]] = {
    "%": Unit(0.01),
    **{name: Unit(1.0, energy=1) for name in ("eV", "ev")},
    "meV": Unit(1e-3, energy=1),
    **{name: Unit(_HARTREE, energy=1) for name in ("Ha", "ha", "Hartree", "hartree", "Eh")},
    **{name: Unit(_HARTREE / 2, energy=1) for name in ("Ry", "ry", "Rydberg", "rydberg")},
    "kJ": Unit(1e3 * _JOULE, energy=1),
    "kcal": Unit(4184 * _JOULE, energy=1),
    "mol": Unit(_MOLE),
    "atom": Unit(1.0),
    **{name: Unit(1.0, length=1) for name in ("Angstrom", "angstrom", "A", "Å", "Ang", "ang")},
    **{name: Unit(_BOHR, length=1) for name in ("Bohr", "bohr", "a0")},
    "pm": Unit(1e-2, length=1),
    "nm": Unit(10.0, length=1),
    "um": Unit(1e4, length=1),
    "cm": Unit(1e8, length=1),
    "as": Unit(1e-3, time=1),
    "fs": Unit(1.0, time=1),
    "ps": Unit(1e3, time=1),
    "ns": Unit(1e6, time=1),
    "us": Unit(1e9, time=1),
    "s": Unit(1e15, time=1),
    "THz": Unit(1e-3, time=-1),
    **{name: Unit(1.0, temperature=1) for name in ("K", "k", "Kelvin", "kelvin")},
    "e": Unit(1.0, charge=1),
    **{
        prefix + "Pa": Unit(size * _PASCAL, energy=1, length=-3)
        for prefix, size in {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.items()
    },
    "bar": Unit(1e5 * _PASCAL, energy=1, length=-3),
    "kbar": Unit(1e8 * _PASCAL, energy=1, length=-3),
    "atm": Unit(101325 * _PASCAL, energy=1, length=-3),
    "cP": Unit(1e12 * _PASCAL, energy=1, length=-3, time=1),
}
_QUANTITIES: Final = {
    _unit.dimension: _words
    for _unit, _words in (
        (Unit(1), "a number without a unit"),
        (_UNITS["eV"], "an energy"),
        (_UNITS["A"], "a length"),
        (_UNITS["fs"], "a time"),
        (_UNITS["THz"], "a frequency"),
        (_UNITS["K"], "a temperature"),
        (_UNITS["e"], "a charge"),
        (_UNITS["Pa"], "a pressure"),
        (_UNITS["cP"], "a viscosity"),
        (_UNITS["eV"].times(_UNITS["A"], -1), "a force"),
        (_UNITS["cm"].times(_UNITS["cm"], -2), "a wavenumber"),
    )
}
_NUMBER: Final = re.compile(
    r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:inf|nan)\b)(.*)"
)
_CELSIUS: Final = ("C", "°C", "degC", "Celsius", "celsius")
_ZERO_CELSIUS: Final = 273.15  # K


def number(text: str, unit: str = "") -> float:
    """The number in ``unit`` that a text says in this one, in another, or in none.

    An empty unit is that of a plain number, which may be in per cent. Raises ValueError, whose
    words say what was found and what was expected.
    """
    found = _NUMBER.fullmatch(text)
    with_point = re.sub(r"(\d),(\d)", r"\1.\2", text)
    if with_point != text:
        raise ValueError(f"is '{text}'; write {with_point}, with a point.")
    if not found:
        raise ValueError(f"is '{text}', which is no number; expected one{_in(unit)}.")
    value, said = float(found[1]), found[2].strip()
    if said in ("", unit):
        return value
    if said in _CELSIUS and unit == "K":
        return value + _ZERO_CELSIUS
    wanted, given = parse(unit), parse(said)
    if given is None:
        raise ValueError(
            f"is '{text}', and '{said}' is no unit that Ladera knows; expected a number{_of(unit)}."
        )
    assert wanted is not None, f"a flag has the unit {unit}"
    if given.dimension != wanted.dimension:
        quantity = _QUANTITIES.get(given.dimension, f"a number of {said}")
        raise ValueError(
            f"is '{text}', {quantity}; expected {_QUANTITIES[wanted.dimension]}{_in(unit)}."
        )
    return value * given.size / wanted.size


def quantity_of(text: str) -> str:
    """What a number with a unit is, in words, such as "a time"; "" for a text that is none."""
    found = _NUMBER.fullmatch(text)
    unit = parse(found[2].strip()) if found and found[2].strip() else None
    return _QUANTITIES.get(unit.dimension, "") if unit else ""


def parse(text: str) -> Unit | None:
    """The unit of a word such as eV/A^3, cm^-1 or mPa s; None for one that is not known."""
    product, power = Unit(1.0), 1
    words = re.findall(r"([/*\s·]*)([^/*\s·]+)", text)
    if not words:
        return product if not text else None
    for mark, word in words:
        power = -1 if "/" in mark else power if power < 0 and not mark.strip() else 1
        name, raised, exponent = word.partition("^")
        exponent = {"³": "3", "⁻¹": "-1"}.get(name[-1:], exponent)
        name = name.rstrip("³⁻¹")
        if name == "1" and not raised:
            continue
        if name not in _UNITS or not re.fullmatch(r"-?\d|", exponent):
            return None
        product = product.times(_UNITS[name], power * int(exponent or 1))
    return product


def _of(unit: str) -> str:
    return f" of {unit}" if unit else ""


def _in(unit: str) -> str:
    return f" in {unit}" if unit else ""
