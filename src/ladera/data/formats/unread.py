"""What a file says besides the labels that are read: names like theirs, units, masses.

Nothing of it is guessed at. A name that looks like a label's is named, and units other than those
the file is read in are refused.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from ladera.arrays import Floats, Integers
from ladera.errors import DataError
from ladera.quantities import QUANTITIES
from ladera.units import BOHR, FILE_UNITS, GIGAPASCAL, HARTREE, KCAL_PER_MOL, RYDBERG, UnitSystem

_STEMS: Final = re.compile(r"energ|forc|stress|virial|dipole|charge|weight|conf\w*type|pressure")
_LABELS: Final = ("configtype", "totalcharge", "head", "dipole", "charges", "virials", "stress")
# Results of ASE that say nothing new: parts of atoms, energies that are compared, what is no label.
_HARMLESS: Final = {
    *("energies", "stresses", "freeenergy", "energyatzerobroadening", "kineticenergy"),
    *("initialcharges", "borneffectivecharges"),
    *(f"{quantity.name}std" for quantity in QUANTITIES),  # that a committee's labels come with
}

_ENERGIES: Final = {
    **dict.fromkeys(("ev", "electronvolt", "electronvolts"), 1.0),
    "mev": 1e-3,
    **dict.fromkeys(("hartree", "hartrees", "ha", "eh", "au", "atomic"), HARTREE),
    **dict.fromkeys(("rydberg", "rydbergs", "ry"), RYDBERG),
    **dict.fromkeys(("kcal/mol", "kcalmol"), KCAL_PER_MOL),
    **dict.fromkeys(("kj/mol", "kjmol"), KCAL_PER_MOL / 4.184),
}
_LENGTHS: Final = {
    **dict.fromkeys(("angstrom", "angstroms", "ang", "a", "å"), 1.0),
    **dict.fromkeys(("bohr", "bohrs", "a0", "au", "atomic"), BOHR),
    **dict.fromkeys(("nm", "nanometer"), 10.0),
}
_PRESSURES: Final = {"gpa": GIGAPASCAL, "kbar": GIGAPASCAL / 10, "kb": GIGAPASCAL / 10}
_SYSTEMS: Final = {"metal": "angstrom-ev", "real": "angstrom-kcal/mol", "ase": "angstrom-ev"}


def lookalikes(found: Iterable[str], used: set[str]) -> list[str]:
    """The keys that look like those of labels and are not used, in order."""

    def looks(key: str) -> bool:
        plain = re.sub(r"[^a-z]", "", key.lower())
        close = len(plain) > 3 and difflib.get_close_matches(plain, _LABELS, n=1, cutoff=0.85)
        return plain not in _HARMLESS and bool(_STEMS.search(plain) or close)

    return sorted(key for key in found if key not in used and not _is_unit(key) and looks(key))


def check_units(values: Mapping[str, Any], units: UnitSystem, said: bool, where: str) -> None:
    """Raise DataError when a frame declares units that it is not read in.

    A unit that Ladera does not know is refused as well, unless the user has said the units.
    """
    for key in filter(_is_unit, values):
        text = str(values[key])
        factors = _declared(key, text, units)
        if factors is None and said:
            continue
        if factors is None or any(abs(is_ / read - 1) > 1e-3 for is_, read in factors):
            raise DataError(
                f"{where}: {key}={text[:40]} declares another unit than those of {units.name}, "
                "in which the file is read; say its units with --units (data.units), one of "
                f"{', '.join(FILE_UNITS)}, or convert the numbers and take the key out."
            )


def _is_unit(key: str) -> bool:
    words = re.split(r"[^a-z]+", key.lower())
    first = words[0] in ("unit", "units") and words[1:2] != ["cell"]
    return first or words[-1].endswith(("unit", "units"))


def _declared(key: str, text: str, units: UnitSystem) -> list[tuple[float, float]] | None:
    """Pairs of the unit a key declares and the unit that is read; None for an unknown one."""
    word = re.sub(r"[\s*^_]|\.(?=\s|$)", "", text.lower()).replace("a.u", "au")
    name = key.lower()
    if "forc" in name:
        energy, _, length = word.rpartition("/")
        pair = _ENERGIES.get(energy), _LENGTHS.get(length)
        return [(pair[0] / pair[1], units.force)] if pair[0] and pair[1] else None
    if "stress" in name or "pressure" in name:
        energy, _, length = word.removesuffix("3").rpartition("/")
        pair = _ENERGIES.get(energy), _LENGTHS.get(length)
        unit = pair[0] / pair[1] ** 3 if pair[0] and pair[1] else _PRESSURES.get(word)
        return [(unit, units.energy / units.length**3)] if unit else None
    if "energ" in name or "virial" in name:
        return [(_ENERGIES[word], units.energy)] if word in _ENERGIES else None
    if any(part in name for part in ("length", "pos", "dist", "coord", "cell", "lattice")):
        return [(_LENGTHS[word], units.length)] if word in _LENGTHS else None
    if word in _SYSTEMS or word in FILE_UNITS:
        meant = FILE_UNITS[_SYSTEMS.get(word, word)]
        return [(meant.energy, units.energy), (meant.length, units.length)]
    known = [(_ENERGIES[word], units.energy)] if word in _ENERGIES else []
    known += [(_LENGTHS[word], units.length)] if word in _LENGTHS else []
    return known or None


def odd_mass(numbers: Integers, masses: Floats) -> str:
    """The first atom whose mass is another element's, in words; empty where there is none.

    Isotopes are nearer to their own element than to others, or within 10 % of it.
    """
    own = atomic_masses[numbers]
    for atom in np.flatnonzero(np.abs(masses / own - 1) > 0.1):
        nearest = 1 + int(np.argmin(np.abs(atomic_masses[1:] - masses[atom])))
        tritium = numbers[atom] == 1 and masses[atom] < 3.1 and masses[atom] > 1
        if nearest != numbers[atom] and not tritium:
            symbol = chemical_symbols[numbers[atom]]
            return f"atom {atom}, {symbol}, has the mass {masses[atom]:g} amu"
    return ""
