"""What a number is worth beside labels or published numbers: the verdicts of a model's card."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ladera.errors import ConfigError, did_you_mean
from ladera.files import closest
from ladera.quantities import QUANTITIES
from ladera.training.config_file import read_yaml

if TYPE_CHECKING:
    import os

    from ladera.potential import Potential

GOOD, LIMIT, BAD = "good", "with care", "no"
UNCOMPARED: Final = "no reference"  # a number that nothing was held against
# Largest root mean square errors, in standard deviations of the labels: guessing their mean has 1.
GOOD_ERROR, LIMIT_ERROR = 0.1, 0.3
_WORST_FIRST: Final = (BAD, LIMIT, GOOD, UNCOMPARED)


class _Measured(NamedTuple):
    """How a number is written, and how far it may be from the reference, as a share of that."""

    name: str
    unit: str
    pattern: str
    good: float
    limit: float


# Shares are conventions of this card. Lattices are told apart by less than moduli; heat at room
# temperature is near its classical limit whatever the forces are.
_VOLUME: Final = _Measured("volume", "Å³ per atom", ".3f", 0.01, 0.03)
_BULK: Final = _Measured("bulk modulus", "GPa", ".1f", 0.10, 0.25)
_SHEAR: Final = _Measured("shear modulus", "GPa", ".1f", 0.10, 0.25)
_CONSTANT: Final = _Measured("", "GPa", ".1f", 0.10, 0.25)
_FREQUENCY: Final = _Measured("highest frequency", "THz", ".2f", 0.05, 0.15)
_HEAT: Final = _Measured("heat at 300 K", "J/K/mol", ".2f", 0.02, 0.05)
_KNOWN: Final[Mapping[str, Mapping[str, _Measured]]] = {
    "equation_of_state": {"volume": _VOLUME, "bulk_modulus": _BULK},
    "elasticity": {"bulk_modulus": _BULK, "shear_modulus": _SHEAR},
    "phonons": {"highest_frequency": _FREQUENCY, "heat_capacity": _HEAT},
}
_STIFFNESS: Final = re.compile(r"C[1-6][1-6]")


@dataclass(frozen=True)
class References:
    """Published numbers for one crystal, and where each group of them is from.

    ``numbers`` has for each piece of the card (``equation_of_state``, ``elasticity``, ``phonons``)
    values by name, in the units of that piece's table; ``sources`` has words that cite them.
    """

    numbers: Mapping[str, Mapping[str, float]]
    sources: Mapping[str, str]

    def judge(self, piece: str, found: Mapping[str, float]) -> tuple[str, str]:
        """The words about a piece's numbers beside the references, and the worst verdict.

        No words, and that there is no reference, where none is for this piece. Elastic constants
        are held to a share of the largest reference among them, as small ones are differences.
        """
        references = self.numbers.get(piece, {})
        compared = {name: value for name, value in references.items() if name in found}
        if not compared:
            return "", UNCOMPARED
        largest = max((v for n, v in references.items() if _STIFFNESS.fullmatch(n)), default=1.0)
        words, verdicts = [], []
        for name, value in compared.items():
            kind = _kind(piece, name)
            scale = largest if kind is _CONSTANT else value
            off = (found[name] - value) / scale
            verdicts.append(_within(abs(off), kind.good, kind.limit))
            change = f"{100 * (found[name] / value - 1):+.1f} %" if value else "zero"
            words.append(f"{kind.name or name} {value:{kind.pattern}} {kind.unit} ({change})")
        text = f"; {self.sources[piece]}: {', '.join(words)}"
        return text, min(verdicts, key=_WORST_FIRST.index)


NOTHING: Final = References({}, {})


def read_references(path: str | os.PathLike[str]) -> References:
    """Published numbers from YAML: for each piece of the card a ``source`` and its numbers.

        equation_of_state: {source: "PBE, Bosoni et al. 2024", volume: 11.952, bulk_modulus: 141.0}
        elasticity: {source: "PBE, Materials Project, mp-149", C11: 153, C12: 57, C44: 74}
        phonons: {source: "PBE, Alexandria", highest_frequency: 15.2, heat_capacity: 39.6}

    Volumes are in Angstrom^3 per atom, moduli and constants in GPa, frequencies in THz, heat in
    J/K/mol of primitive cells at 300 K. Raises ConfigError for a file that is missing, a piece or
    name that is not known, a value that is no number, and numbers without a source.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"There is no file {path} with published numbers; {closest(path)}")
    values = read_yaml(path, "give a group a line, such as elasticity: {source: ..., C11: 153}")
    numbers, sources = {}, {}
    for piece, group in values.items():
        _require(piece in _KNOWN, path, f"'{piece}'", tuple(_KNOWN), piece)
        if not isinstance(group, dict):
            raise ConfigError(
                f"{path}: '{piece}' is {group!r}; expected its numbers and their source."
            )
        source = group.get("source")
        if not isinstance(source, str) or not source.strip():
            raise ConfigError(
                f"{path}: '{piece}' has no source; say with 'source:' where its numbers are from."
            )
        sources[piece] = source.strip()
        numbers[piece] = _numbers(path, piece, group)
    return References(numbers, sources)


def of_errors(errors: Mapping[str, Any]) -> str:
    """What errors are worth beside the spread of the labels: sqrt(1 - R2) is their ratio."""
    if errors["r2"] is None:
        return UNCOMPARED
    return _within(math.sqrt(max(0.0, 1 - errors["r2"])), GOOD_ERROR, LIMIT_ERROR)


def trained_on(potential: Potential) -> tuple[list[str], list[str]]:
    """Names of the quantities a model gives that had a weight in its training, and that had none.

    None of either where that is not known, as of models of other codes.
    """
    provenance = potential.provenance
    origin: Any = next(
        (o for o in (provenance, *provenance.get("members", ())) if "config" in o), {}
    )
    config = origin.get("config", {})
    losses = [loss for loss in (config.get("loss"), config.get("stage_two")) if loss]
    if not losses:
        return [], []
    seen = origin.get("errors", {}).get("train", {})
    names = [q.name for q in QUANTITIES if q in potential.gives and q.name in losses[0]]
    trained = [
        name
        for name in names
        if any(loss.get(name) for loss in losses) and seen.get(name, True) is not None
    ]
    return trained, [name for name in names if name not in trained]


def worse(one: str, other: str) -> str:
    """The less favourable of two verdicts; a comparison counts more than that there is none."""
    return min(one, other, key=_WORST_FIRST.index)


def _within(size: float, good: float, limit: float) -> str:
    return GOOD if size <= good else LIMIT if size <= limit else BAD


def _kind(piece: str, name: str) -> _Measured:
    return _KNOWN[piece].get(name, _CONSTANT)


def _numbers(path: Path, piece: str, group: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for name, value in group.items():
        if name == "source":
            continue
        is_constant = piece == "elasticity" and isinstance(name, str) and _STIFFNESS.fullmatch(name)
        names = (*_KNOWN[piece], "source", *(("C11",) if piece == "elasticity" else ()))
        _require(bool(is_constant) or name in _KNOWN[piece], path, f"'{piece}.{name}'", names, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            raise ConfigError(f"{path}: '{piece}.{name}' is {value!r}; expected a number.")
        if not is_constant and value <= 0:
            raise ConfigError(f"{path}: '{piece}.{name}' is {value:g}; it must be above zero.")
        found[str(name)] = float(value)
    return found


def _require(known: bool, path: Path, what: str, names: tuple[str, ...], name: Any) -> None:
    if not known:
        raise ConfigError(
            f"{path}: {what} is nothing that the card has; {did_you_mean(str(name), names)}"
        )
