"""The units of a folder: n2p2 has none, so they must be said."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Final

from ladera.codes.n2p2.settings import Settings, SettingsWarning
from ladera.errors import ConfigError, did_you_mean
from ladera.units import UNIT_SYSTEMS, UnitSystem

_WORDS: Final = {
    "bohr": "bohr",
    "bohrs": "bohr",
    "a0": "bohr",
    "angstrom": "angstrom",
    "angstroms": "angstrom",
    "å": "angstrom",
    "ha": "hartree",
    "hartree": "hartree",
    "eh": "hartree",
    "ev": "ev",
}
_COMMENT: Final = re.compile(r"(length|energy) unit\s*[:=]\s*(\S+)", re.IGNORECASE)


def of_folder(settings: Settings, asked: UnitSystem | str | None) -> UnitSystem:
    """The units a user gives; else those that comments of the ``input.nn`` state.

    The comments are ``# Length unit : Bohr`` and ``# Energy unit : Ha``, as in the potentials that
    come with n2p2 and in every folder that Ladera writes. Raises ConfigError when neither says it.
    """
    stated = _stated(settings)
    if asked is None:
        if stated is None:
            raise ConfigError(
                f"{settings.path} does not say its units; give units='bohr-hartree' or "
                "units='angstrom-ev' (on the command line --units, of `ladera train` and of "
                "`ladera import`, which makes a model file of the folder for all other commands)."
            )
        return stated
    if isinstance(asked, str) and asked not in UNIT_SYSTEMS:
        raise ConfigError(f"There are no units '{asked}'; {did_you_mean(asked, UNIT_SYSTEMS)}")
    units = UNIT_SYSTEMS[asked] if isinstance(asked, str) else asked
    if stated not in (None, units):
        warnings.warn(
            f"{settings.path} says in a comment that it is in {stated.name}, but is read as "
            f"{units.name}, as asked for.",
            SettingsWarning,
            stacklevel=3,
        )
    return units


def shortest(number: float, value: float, back: Callable[[float], float]) -> str:
    """A number with the fewest digits from which ``back`` makes the very ``value`` again.

    A file that was read and is written then has its own numbers: 12.0, not 11.999999999999998.
    """
    for digits in range(1, 17):
        text = f"{number:.{digits}g}"
        if back(float(text)) == value:
            return text
    return f"{number:.17g}"


def _stated(settings: Settings) -> UnitSystem | None:
    """The units that comments state, if both are there and known."""
    words: dict[str, str] = {}
    for comment in settings.comments:
        for kind, word in _COMMENT.findall(comment):
            words[kind.lower()] = _WORDS.get(word.lower().strip(".,;()"), "")
    name = f"{words.get('length')}-{words.get('energy')}"
    return UNIT_SYSTEMS.get(name)
