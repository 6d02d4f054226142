"""``control.in``: its keys, each with the words behind it.

::

    # what is right of a # is a comment
    cut_function_type    2
    neurons_per_layer    [15, 15, 1]
    atom_type_1          H   1   1.008   H.smf

in any order. The keys are those of the thesis's program, training and simulation in one list; a key
that the task at hand does not need may be there. Paths are from the folder of the control.in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from ladera.errors import ConfigError, did_you_mean
from ladera.files import closest
from ladera.units import ANGSTROM_HARTREE, ATOMIC, ATOMIC_TIME, UnitSystem

T = TypeVar("T")

# How each key is written; what is said of one that is missing.
KEYS: Final = {
    "mode": "training",
    "cut_function_type": "2",
    "angular_sf": "wide",
    "atomic_data_path": "input.data",
    "length_unit": "Ang",
    "number_of_atom_types": "3",
    "model_path": "run/model.ladera",
    "neurons_per_layer": "[15, 15, 1]",
    "activation_function": "hyperbolic_tangent",
    "weight_initialization": "glorot_normal",
    "bias_initialization": "zeros",
    "random_seed": "10",
    "optimization_method": "Adagrad",
    "learning_rate": "0.005",
    "epsilon": "1e-8",
    "decay_value": "0.0",
    "clipvalue": "1.0",
    "loss_function": "mse",
    "number_of_epochs": "500",
    "minibatch_size": "10",
    "validation_fraction": "0.1",
    "iterations": "1000",
    "timestep": "0.5 fs",
}
MASS_TOLERANCE: Final = 0.005  # of an element's mass; isotopes are farther away
LARGEST: Final = 10**9  # of what is counted
ATOM_TYPE: Final = re.compile(r"atom_type_([1-9]\d{0,2})")

# The energies of the thesis are in Hartree whatever the lengths are in.
_LENGTH_UNITS: Final = {
    "ang": ANGSTROM_HARTREE,
    "angstrom": ANGSTROM_HARTREE,
    "bohr": ATOMIC,
    "au": ATOMIC,
}
_FEMTOSECONDS: Final = {"fs": 1.0, "ps": 1e3, "as": 1e-3, "s": 1e15, "au": ATOMIC_TIME}
_TIME: Final = re.compile(r"([-+.\deE]+)\s*([A-Za-z.]*)")


@dataclass(frozen=True)
class Entry:
    """One key with its words."""

    key: str
    words: tuple[str, ...]
    line: int  # from 1

    @property
    def text(self) -> str:
        """The words as one text."""
        return " ".join(self.words)


@dataclass(frozen=True)
class AtomType:
    """An ``atom_type_N`` line."""

    symbol: str
    mass: float  # amu
    functions: Path  # its .smf file


class ControlFile:
    """The keys of one ``control.in``. Whatever is asked of it raises ConfigError, with file, line
    and key, when it is missing or makes no sense."""

    def __init__(self, path: Path, entries: Iterable[Entry]) -> None:
        self.path = path
        self._entries: dict[str, Entry] = {}
        for entry in entries:
            if entry.key not in KEYS and not ATOM_TYPE.fullmatch(entry.key):
                hint = did_you_mean(entry.key, [*KEYS, "atom_type_1"])
                raise self.error(f"'{entry.key}' is not a key of a control.in; {hint}", entry)
            if entry.key in self._entries:
                first = self._entries[entry.key].line
                raise self.error(
                    f"'{entry.key}' stands on line {first} already; keep one of them.", entry
                )
            if not entry.words:
                example = KEYS.get(entry.key, "H 1 1.008 H.smf")
                raise self.error(
                    f"'{entry.key}' has no value; write for example '{entry.key} {example}'.", entry
                )
            self._entries[entry.key] = entry

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def entry(self, key: str) -> Entry:
        """A key that must be there."""
        if key not in self._entries:
            raise self.error(
                f"the key '{key}' is missing; add it, for example '{key} {KEYS[key]}'."
            )
        return self._entries[key]

    def word(self, key: str) -> str:
        """The single word behind a key."""
        entry = self.entry(key)
        if len(entry.words) != 1:
            raise self.error(f"'{key}' is '{entry.text}', expected one word.", entry)
        return entry.words[0]

    def choice(self, key: str, choices: Mapping[str, T]) -> T:
        """What the word behind a key stands for; upper and lower case are the same."""
        word = self.word(key)
        by_name = {name.lower(): value for name, value in choices.items()}
        if word.lower() not in by_name:
            raise self.error(f"{key} is '{word}'; {did_you_mean(word, choices)}", self.entry(key))
        return by_name[word.lower()]

    def number(self, key: str, low: float = -math.inf, high: float = math.inf) -> float:
        """The number behind a key, from ``low`` to ``high``."""
        value = _number(self.word(key))
        if value is None or not low <= value <= high:
            span = f" from {low:g}" + (f" to {high:g}" if high < math.inf else " up")
            wanted = "a number" + (span if low > -math.inf else "")
            raise self.error(f"{key} is '{self.word(key)}', expected {wanted}.", self.entry(key))
        return value

    def whole_number(self, key: str, low: int) -> int:
        """The whole number behind a key, ``low`` at least and LARGEST at most."""
        value = _number(self.word(key))
        if value is None or not value.is_integer() or not low <= value <= LARGEST:
            end = "up" if value is None or value <= LARGEST else f"to {LARGEST}"
            raise self.error(
                f"{key} is '{self.word(key)}', expected a whole number from {low} {end}.",
                self.entry(key),
            )
        return int(value)

    def file(self, key: str) -> Path:
        """The path behind a key, which must exist."""
        return self.existing(self.word(key), self.entry(key))

    def existing(self, name: str, entry: Entry) -> Path:
        """A path from the folder of the control.in, which must exist."""
        path = self.path.parent / name
        if not path.exists():
            raise self.error(f"{entry.key} names {name}, but there is no {path}.", entry)
        return path

    # --- what needs more than one word, or a table ---------------------------------------------

    def units(self) -> UnitSystem:
        """``length_unit``, with energies in Hartree."""
        return self.choice("length_unit", _LENGTH_UNITS)

    def timestep(self) -> float:
        """``timestep`` in fs; without a unit it is refused."""
        entry = self.entry("timestep")
        match = _TIME.fullmatch(entry.text)
        value = _number(match[1]) if match else None
        if match is None or value is None:
            raise self.error(
                f"timestep is '{entry.text}', expected a time such as 'timestep 0.5 fs'.", entry
            )
        unit = match[2].lower().replace(".", "")
        if not unit:
            raise self.error(
                f"'timestep {entry.text}' has no unit, and {entry.text} could be fs, atomic units "
                "or even s; write it behind the number, for example 'timestep 0.5 fs' "
                f"(units: {', '.join(_FEMTOSECONDS)}).",
                entry,
            )
        if unit not in _FEMTOSECONDS:
            raise self.error(
                f"timestep has the unit '{match[2]}'; {did_you_mean(unit, _FEMTOSECONDS)}", entry
            )
        if value <= 0:
            raise self.error(f"timestep is '{entry.text}'; it must be above zero.", entry)
        return value * _FEMTOSECONDS[unit]

    def layers(self) -> tuple[int, ...]:
        """The hidden nodes of ``neurons_per_layer``, whose last number is the output's 1."""
        entry = self.entry("neurons_per_layer")
        words = entry.text.strip("[]()").replace(",", " ").split()
        values = [int(word) if re.fullmatch(r"\d{1,4}", word) else 0 for word in words]
        if len(values) < 2 or min(values) < 1 or values[-1] != 1:
            raise self.error(
                f"neurons_per_layer is '{entry.text}', expected the nodes of one hidden layer or "
                "more, 9999 at most, and then 1 for the energy, such as [15, 15, 1].",
                entry,
            )
        return tuple(values[:-1])

    def atom_types(self) -> tuple[AtomType, ...]:
        """The ``atom_type_N`` lines, as many as ``number_of_atom_types``, by N."""
        count = self.whole_number("number_of_atom_types", 1)
        lines = [entry for key, entry in self._entries.items() if ATOM_TYPE.fullmatch(key)]
        numbers = sorted(int(entry.key.removeprefix("atom_type_")) for entry in lines)
        if len(numbers) != count or numbers[-1] != count:
            listed = ", ".join(map(str, numbers)) or "none"
            raise self.error(
                f"number_of_atom_types is {count}, but the atom_type lines are {listed}; expected "
                f"atom_type_1 to atom_type_{count}.",
                self.entry("number_of_atom_types"),
            )
        types = tuple(self._atom_type(self._entries[f"atom_type_{n}"]) for n in numbers)
        symbols = [kind.symbol for kind in types]
        for kind in symbols:
            if symbols.count(kind) > 1:
                raise self.error(f"{kind} has two atom_type lines; keep one of them.")
        return types

    def strange_masses(self) -> list[str]:
        """A sentence for each mass that is not that of its element."""
        said = []
        for number, kind in enumerate(self.atom_types(), start=1):
            known = float(atomic_masses[atomic_numbers[kind.symbol]])
            if abs(kind.mass / known - 1) > MASS_TOLERANCE:
                said.append(
                    f"atom_type_{number} gives {kind.symbol} the mass {kind.mass:g} and the "
                    f"element has {known:g}; a simulation takes {kind.mass:g} as it is said."
                )
        return said

    def _atom_type(self, entry: Entry) -> AtomType:
        if len(entry.words) != 4:
            raise self.error(
                f"'{entry.key} {entry.text}' has {len(entry.words)} words behind the key, expected "
                f"symbol, atomic number, mass and file, such as '{entry.key} H 1 1.008 H.smf'.",
                entry,
            )
        symbol, number, mass, file = entry.words
        if atomic_numbers.get(symbol, 0) == 0:
            hint = did_you_mean(symbol, chemical_symbols[1:])
            raise self.error(f"{entry.key} has '{symbol}', which is no element; {hint}", entry)
        if number != str(atomic_numbers[symbol]):
            raise self.error(
                f"{entry.key} gives {symbol} the atomic number {number}; it is "
                f"{atomic_numbers[symbol]}.",
                entry,
            )
        value = _number(mass)
        if value is None or value <= 0:
            raise self.error(
                f"{entry.key} gives {symbol} the mass '{mass}', expected amu above zero.", entry
            )
        return AtomType(symbol, value, self.existing(file, entry))

    def error(self, message: str, entry: Entry | None = None) -> ConfigError:
        """An error of this file, with the line where it is."""
        where = f"{self.path}, line {entry.line}" if entry else str(self.path)
        return ConfigError(f"{where}: {message}")


def read(path: Path) -> ControlFile:
    """Read a ``control.in``.

    Raises ConfigError for a file that is missing or holds no keys, for a key there is not, a key
    given twice and a key without a value.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise ConfigError(f"There is no control file {path}; {closest(path)}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    entries = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if words:
            entries.append(Entry(words[0], tuple(words[1:]), number))
    if not entries:
        raise ConfigError(f"{path} holds no keys; is it the right file?")
    return ControlFile(path, entries)


def _number(word: str) -> float | None:
    """A word as a finite number; None when it is not."""
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
