"""Frames that meet certain conditions, and why the others do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ladera.arrays import Booleans, Floats, Integers
from ladera.data import doctor
from ladera.data.dataset import Dataset
from ladera.data.reference_energies import isolated_atoms
from ladera.errors import ConfigError, did_you_mean

FINDINGS: Final = ("none", "errors", "warnings")


@dataclass(frozen=True)
class Conditions:
    """What a frame must meet; what is None is not asked."""

    max_force: float | None = None  # eV/Angstrom, of every atom
    max_energy: float | None = None  # eV/atom above the lowest frame of its composition
    max_stress: float | None = None  # eV/Angstrom^3, of every component
    min_atoms: int | None = None
    max_atoms: int | None = None
    elements: Sequence[str] | None = None  # no others may be in it
    without: Sequence[str] = ()  # none of these may be in it
    findings: Sequence[str] = ("errors",)  # of the doctor: none, errors, warnings, or their codes


@dataclass(frozen=True, eq=False)
class Filtered:
    """The frames that met all conditions, and the reasons of the others."""

    n_frames: int
    reasons: dict[str, Integers]  # frames that did not meet a condition, ascending, by its name

    @property
    def kept(self) -> Integers:
        """The numbers of the frames that are left, ascending."""
        out = [np.empty(0, dtype=np.int64), *self.reasons.values()]
        return np.setdiff1d(np.arange(self.n_frames), np.concatenate(out))

    def to_json(self, dataset: Dataset) -> dict[str, Any]:
        """Counts, and each frame that was left out with where it came from and why."""
        why: dict[int, list[str]] = {}
        for reason, frames in self.reasons.items():
            for frame in frames.tolist():
                why.setdefault(frame, []).append(reason)
        return {
            "n_frames": self.n_frames,
            "n_kept": len(self.kept),
            "data_hash": dataset.hash,
            "counts": {reason: len(frames) for reason, frames in self.reasons.items()},
            "left_out": [
                {"frame": k, "source": dataset[k].source, "reasons": why[k]} for k in sorted(why)
            ],
        }


def filter_frames(dataset: Dataset, conditions: Conditions) -> Filtered:
    """Judge every frame by every condition.

    A frame without a label meets the conditions on it; one whose label is no number does not.
    Free atoms meet those on forces, energy and the number of atoms: they set E0.

    Raises ConfigError for an element or a finding that does not exist, or a limit below zero.
    """
    for name in ("max_force", "max_energy", "max_stress", "min_atoms", "max_atoms"):
        limit = getattr(conditions, name)
        if limit is not None and not limit >= 0:
            raise ConfigError.of(name, f"{limit:g}", "it must be zero or more")
    least, most = conditions.min_atoms, conditions.max_atoms
    if least is not None and most is not None and least > most:
        what = f"no frame has as many and at most {most} (max_atoms)"
        raise ConfigError.of("min_atoms", least, f"{what}; lower it, or raise the other")
    free = np.isin(np.arange(len(dataset)), isolated_atoms(dataset))
    reasons: dict[str, Integers] = {}
    for reason, bad, spare in _judged(dataset, conditions):
        frames = np.flatnonzero(bad & ~free if spare else bad)
        if len(frames):
            reasons[reason] = frames
    return Filtered(len(dataset), reasons)


def _judged(data: Dataset, asked: Conditions) -> Iterator[tuple[str, Booleans, bool]]:
    """Each condition in words, which frames do not meet it, and whether free atoms are spared."""
    if asked.max_force is not None:
        bad = _beyond(data, "forces", asked.max_force, _largest_force)
        yield f"force above {asked.max_force:g} eV/Angstrom", bad, True
    if asked.max_stress is not None:
        bad = _beyond(data, "stress", asked.max_stress, _largest_stress)
        yield f"stress above {asked.max_stress:g} eV/Angstrom^3", bad, True
    if asked.max_energy is not None:
        excess = _excess(data)
        bad = data.has("energy") & ~(excess <= asked.max_energy)
        yield f"energy above the lowest by {asked.max_energy:g} eV/atom", bad, True
    if asked.min_atoms is not None:
        yield f"fewer than {asked.min_atoms} atoms", data.atom_counts < asked.min_atoms, True
    if asked.max_atoms is not None:
        yield f"more than {asked.max_atoms} atoms", data.atom_counts > asked.max_atoms, True
    present = data.compositions > 0
    _require_elements(data, [*(asked.elements or ()), *asked.without])
    for column, symbol in enumerate(data.symbols):
        unwanted = asked.elements is not None and symbol not in asked.elements
        if unwanted or symbol in asked.without:
            yield f"contains {symbol}", present[:, column], False
    yield from _found(data, asked.findings)


def _beyond(
    data: Dataset, label: str, limit: float, largest: Callable[[Dataset], Floats]
) -> Booleans:
    values = data.of_frames(largest)
    bad: Booleans = data.has(label) & ~(values <= limit)
    return bad


def _largest_force(view: Dataset) -> Floats:
    """Of each frame the largest length of a force, (n_frames,), eV/Angstrom."""
    lengths = np.linalg.norm(view.column("forces"), axis=1)
    return np.maximum.reduceat(lengths, view.offsets[:-1])


def _largest_stress(view: Dataset) -> Floats:
    return np.asarray(np.abs(view.column("stress")).max(axis=(1, 2)))


def _excess(data: Dataset) -> Floats:
    """Energy above that of the lowest frame of the same composition, (n_frames,), eV/atom."""
    _, kind = np.unique(data.compositions, axis=0, return_inverse=True)
    energies = data.column("energy")
    lowest = np.full(kind.max() + 1, np.inf)
    np.minimum.at(lowest, kind.ravel(), np.where(np.isfinite(energies), energies, np.inf))
    excess: Floats = (energies - lowest[kind.ravel()]) / data.atom_counts
    return excess


def _require_elements(data: Dataset, symbols: Sequence[str]) -> None:
    for symbol in symbols:
        if symbol not in data.symbols:
            hint = did_you_mean(symbol, data.symbols)
            raise ConfigError(f"No frame contains the element '{symbol}'; {hint}")


def _found(data: Dataset, asked: Sequence[str]) -> Iterator[tuple[str, Booleans, bool]]:
    """What the doctor finds of the kinds that are asked for."""
    if "none" in asked or not asked:
        return
    levels = {"errors": ("error",), "warnings": ("error", "warning")}
    severities = {level for word in asked for level in levels.get(word, ())}
    codes = set(asked) - set(FINDINGS)
    for code in sorted(codes - set(doctor.CODES)):
        hint = did_you_mean(code, [*doctor.CODES, *FINDINGS])
        raise ConfigError(f"The doctor has no finding '{code}'; {hint}")
    for finding in doctor.check(data).findings:
        if finding.severity in severities or finding.code in codes:
            bad = np.zeros(len(data), dtype=bool)
            bad[list(finding.frames)] = True
            yield f"{finding.severity} of the doctor: {finding.code}", bad, False
